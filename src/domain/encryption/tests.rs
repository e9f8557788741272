use aws_lc_rs::cipher::{AES_128, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;

use super::cipher::{Encryptor, sealed_bytes};
use super::playlist::Unsuitable;
use super::*;
use crate::domain::manifest::base::Base;

fn settings() -> Settings {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Settings {
        key_per: KeyPer::Asset,
        asset_depth: 1,
        rotate_every: 0,
        key_name: "sluicegate.key".to_owned(),
        paths: words(&["/*"]),
        extensions: words(&["ts", "m4s", "mp4"]),
        clear_extensions: words(&["vtt"]),
        require_https: true,
    }
}

fn encryption(settings: Settings) -> Encryption {
    Encryption::new(&Secret::from_hex(&"5a".repeat(16)).expect("a secret"), "p".into(), settings)
}

fn announced(settings: Settings, playlist: &str) -> Result<Option<String>, Unsuitable> {
    let base = Base::parse("https://a.example/movie/360p/level.m3u8").expect("a base");
    let announced = encryption(settings).announce(playlist.as_bytes(), &base)?;
    Ok(announced.map(|text| String::from_utf8(text).expect("text")))
}

fn decrypted(seal: &Seal, sealed: &[u8]) -> Vec<u8> {
    let key = UnboundCipherKey::new(&AES_128, &seal.key).expect("a key");
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).expect("a key");
    let mut bytes = sealed.to_vec();
    let clear = key.decrypt(&mut bytes, DecryptionContext::Iv128(FixedLength::from(seal.iv)));
    clear.expect("ciphertext with its padding").to_vec()
}

#[test]
fn a_body_in_pieces_is_encrypted_as_a_whole_would_be() {
    let seal = encryption(settings()).seal("/movie/360p/seg1.ts", "");
    for length in [0_usize, 1, 15, 16, 17, 1000] {
        let clear: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).expect("small")).collect();
        for piece in [1, 7, 16, 64, 1000] {
            let mut encryptor = Encryptor::new(&seal).expect("a cipher");
            let mut sealed = Vec::new();
            for part in clear.chunks(piece) {
                sealed.extend(encryptor.update(part).expect("encrypted"));
            }
            sealed.extend(encryptor.finish().expect("encrypted"));
            assert_eq!(sealed.len() as u64, sealed_bytes(length as u64), "{length} in {piece}");
            assert_eq!(decrypted(&seal, &sealed), clear, "{length} in {piece}");
        }
    }
}

#[test]
fn renditions_of_an_asset_share_a_key_and_no_two_segments_an_iv() {
    let encryption = encryption(settings());
    let first = encryption.seal("/movie/360p/seg1.ts", "");
    let second = encryption.seal("/movie/720p/seg1.ts", "");
    assert!(first.key == second.key && first.iv != second.iv);
    assert!(first.key != encryption.seal("/other/360p/seg1.ts", "").key, "another asset");
    assert!(first.key == encryption.key("/movie/720p/sluicegate.key", 0, ""), "the key that is served");
    let shallow = encryption.seal("/seg1.ts", "");
    assert!(shallow.key == encryption.key("/sluicegate.key", 0, ""), "no directory at all");
}

#[test]
fn another_property_or_secret_gives_another_key() {
    let here = encryption(settings()).seal("/movie/seg1.ts", "");
    let secret = Secret::from_hex(&"5a".repeat(16)).expect("a secret");
    let there = Encryption::new(&secret, "q".into(), settings()).seal("/movie/seg1.ts", "");
    let other = Secret::from_hex(&"5b".repeat(16)).expect("a secret");
    let elsewhere = Encryption::new(&other, "p".into(), settings()).seal("/movie/seg1.ts", "");
    assert!(here.key != there.key && here.key != elsewhere.key && here.iv != elsewhere.iv);
    assert!(here.id() != there.id() && format!("{here:?}") == "Seal(..)");
}

#[test]
fn a_key_of_a_session_is_of_no_use_to_another() {
    let per_session = encryption(Settings { key_per: KeyPer::Session, ..settings() });
    assert!(per_session.key("/movie/a.key", 0, "aa") != per_session.key("/movie/a.key", 0, "bb"));
    let per_asset = encryption(settings());
    assert!(per_asset.key("/movie/a.key", 0, "aa") == per_asset.key("/movie/a.key", 0, "bb"));
}

#[test]
fn the_period_follows_the_number_in_a_segments_name() {
    let rotating = encryption(Settings { rotate_every: 10, ..settings() });
    for (name, period) in [
        ("/m/seg_00009.ts", 0),
        ("/m/seg_00010.ts", 1),
        ("/m/123.m4s", 12),
        ("/m/v2_part20-a.ts", 2),
        ("/m/init.mp4", 0),
        ("/m/é7é.ts", 0),
        ("/m/99999999999999999999999.ts", 0),
    ] {
        assert_eq!(rotating.period(name), period, "{name}");
    }
    assert!(rotating.seal("/m/9.ts", "").key != rotating.seal("/m/10.ts", "").key);
    assert!(rotating.seal("/m/10.ts", "").key == rotating.key("/m/sluicegate.key", 1, ""));
}

#[test]
fn every_segment_is_announced_with_its_key_and_iv() {
    let playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-VERSION:1\n#EXTINF:4,\nseg0.ts\n#EXTINF:4,\n../a/seg1.ts?x=1\n#EXT-X-ENDLIST\n";
    let text = announced(settings(), playlist).expect("suitable").expect("a media playlist");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[2], "#EXT-X-VERSION:2");
    assert!(lines[3].starts_with("#EXT-X-KEY:METHOD=AES-128,URI=\"sluicegate.key\",IV=0x"), "{text}");
    assert!(lines[4] == "#EXTINF:4," && lines[5] == "seg0.ts");
    assert!(lines[6].starts_with("#EXT-X-KEY:METHOD=AES-128,URI=\"../a/sluicegate.key\",IV=0x"), "{text}");
    assert_eq!(lines[8], "../a/seg1.ts?x=1");
    let without: Vec<&str> = lines.into_iter().filter(|line| !line.starts_with("#EXT-X-KEY")).collect();
    assert_eq!(without.join("\n") + "\n", playlist.replace("VERSION:1", "VERSION:2"), "nothing else changes");
    let first = text.find("IV=0x").expect("an IV");
    let iv = encryption(settings()).seal("/movie/360p/seg0.ts", "").iv;
    let iv = u128::from_be_bytes(iv);
    assert_eq!(&text[first + 5..first + 37], format!("{iv:032x}"));
}

#[test]
fn an_initialisation_section_has_a_key_of_its_own_and_the_version_is_stated() {
    let playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:4,\nseg0.m4s\n#EXT-X-DISCONTINUITY\n#EXTINF:4,\n#EXT-X-MAP:URI=\"b/init.mp4\"\nb/seg0.m4s\n";
    let text = announced(settings(), playlist).expect("suitable").expect("a media playlist");
    let shape: Vec<&str> = text.lines().map(|line| line.split([':', '?']).next().unwrap_or(line)).collect();
    let key = "#EXT-X-KEY";
    let expected = [
        "#EXTM3U",
        "#EXT-X-VERSION",
        "#EXT-X-TARGETDURATION",
        key,
        "#EXT-X-MAP",
        key,
        "#EXTINF",
        "seg0.m4s",
        "#EXT-X-DISCONTINUITY",
        "#EXTINF",
        key,
        "#EXT-X-MAP",
        key,
        "b/seg0.m4s",
    ];
    assert_eq!(shape, expected, "{text}");
}

#[test]
fn what_stays_clear_is_announced_as_clear() {
    let playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nseg0.ts\n#EXTINF:4,\nhttps://ads.example/ad.ts\n#EXTINF:4,\nsub.vtt\n";
    let text = announced(settings(), playlist).expect("suitable").expect("a media playlist");
    assert_eq!(text.matches("METHOD=AES-128").count(), 1);
    assert_eq!(
        text.matches("#EXT-X-KEY:METHOD=NONE\n#EXTINF:4,\nhttps://ads.example/ad.ts").count(),
        1,
        "{text}"
    );
}

#[test]
fn a_multivariant_playlist_stays_as_it_is() {
    let playlist = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n360p/level.m3u8\n";
    assert_eq!(announced(settings(), playlist), Ok(None));
}

#[test]
fn what_cannot_be_encrypted_is_refused_with_its_line() {
    let head = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n";
    for (rest, refusal) in [
        ("#EXTINF:4,\n#EXT-X-BYTERANGE:10@0\nseg.ts\n", Unsuitable::ByteRange(4)),
        ("#EXT-X-MAP:URI=\"i.mp4\",BYTERANGE=\"10@0\"\n", Unsuitable::ByteRange(3)),
        ("#EXT-X-PART:DURATION=1,URI=\"p.m4s\"\n", Unsuitable::Part(3)),
        ("#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://a\"\n", Unsuitable::Encrypted(3)),
        ("#EXT-X-MAP:X=1\n", Unsuitable::Reference(3)),
        ("#EXTINF:4,\n{$base}/seg.ts\n", Unsuitable::Reference(4)),
        ("#EXTINF:4,\na%2fseg.ts\n", Unsuitable::Reference(4)),
        ("#EXTINF:4,\nseg.bin\n", Unsuitable::Extension { line: 4, extension: "bin".to_owned() }),
    ] {
        assert_eq!(announced(settings(), &format!("{head}{rest}")), Err(refusal), "{rest}");
    }
    let clear = format!("{head}#EXT-X-KEY:METHOD=NONE\n#EXTINF:4,\nseg.ts\n");
    assert!(announced(settings(), &clear).is_ok(), "METHOD=NONE says that it is clear");
}

#[test]
fn paths_bound_what_is_encrypted() {
    let encryption = encryption(Settings { paths: vec!["/vod/*".to_owned()], ..settings() });
    assert_eq!(encryption.treatment("/vod/a/seg.ts"), Treatment::Encrypted);
    assert_eq!(encryption.treatment("/live/a/seg.ts"), Treatment::Clear);
    assert_eq!(encryption.treatment("/vod/a/SEG.TS"), Treatment::Encrypted);
    assert!(encryption.is_key("/vod/a/sluicegate.key") && !encryption.is_key("/live/a/sluicegate.key"));
}

proptest::proptest! {
    #[test]
    fn arbitrary_playlists_never_panic(body in "(#EXTM3U\n)?(#EXT(INF|-X-MAP|-X-KEY|-X-VERSION|-X-TARGETDURATION)?:?[ -~]{0,20}[\r\n]{0,2}|[ -~é]{0,20}\n){0,20}") {
        let _ = announced(settings(), &body);
    }
}

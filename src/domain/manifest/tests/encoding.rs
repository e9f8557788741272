//! Codings within limits, and the choice of one.

use super::super::encoding::{
    Coding, EncodingError, Limits, choose, content_codings, decode, decode_all, decode_start, encode,
};

const ALL: [Coding; 3] = [Coding::Gzip, Coding::Br, Coding::Zstd];

fn playlist() -> Vec<u8> {
    (0..500).flat_map(|index| format!("#EXTINF:6.0,\nseg{index}.ts\n").into_bytes()).collect()
}

#[test]
fn what_is_encoded_decodes_to_itself() {
    for coding in [Coding::Identity, Coding::Gzip, Coding::Br, Coding::Zstd] {
        for body in [Vec::new(), b"#EXTM3U\n".to_vec(), playlist()] {
            let coded = encode(coding, &body).unwrap();
            assert_eq!(decode(coding, &coded, &Limits::default()), Ok(body), "{coding:?}");
        }
        assert!(
            encode(coding, &playlist()).unwrap().len() < playlist().len() / 4 || coding == Coding::Identity
        );
    }
}

#[test]
fn codings_are_taken_off_in_reverse() {
    let body = playlist();
    let coded = encode(Coding::Br, &encode(Coding::Gzip, &body).unwrap()).unwrap();
    let codings = content_codings(" gzip, identity ,BR ").unwrap();
    assert_eq!(codings, [Coding::Gzip, Coding::Br]);
    assert_eq!(decode_all(&codings, &coded, &Limits::default()), Ok(body.clone()));
    assert_eq!(decode_all(&[], &body, &Limits::default()), Ok(body));
    assert_eq!(content_codings("deflate"), Err(EncodingError::UnknownCoding("deflate".to_owned())));
    assert_eq!(content_codings("gzip, gzip, x-gzip"), Err(EncodingError::TooManyCodings(3)));
    assert_eq!(content_codings(""), Ok(Vec::new()));
}

#[test]
fn a_bomb_is_stopped_at_the_ratio_and_at_the_size() {
    let zeros = vec![0; 4 * 1024 * 1024];
    for coding in ALL {
        let bomb = encode(coding, &zeros).unwrap();
        let limits = Limits::default();
        let ratio = Err(EncodingError::RatioTooHigh { ratio_max: limits.ratio_max });
        assert_eq!(decode(coding, &bomb, &limits), ratio, "{coding:?}");
        let small = Limits { decoded_bytes_max: 100_000, ratio_max: usize::MAX, ..limits };
        let size = Err(EncodingError::DecodedTooLarge { bytes_max: 100_000 });
        assert_eq!(decode(coding, &bomb, &small), size, "{coding:?}");
        let narrow = Limits { coded_bytes_max: 3, ..limits };
        let coded = Err(EncodingError::CodedTooLarge { bytes: bomb.len(), bytes_max: 3 });
        assert_eq!(decode(coding, &bomb, &narrow), coded, "{coding:?}");
    }
}

#[test]
fn damaged_and_truncated_bodies_are_errors() {
    for coding in ALL {
        let coded = encode(coding, &playlist()).unwrap();
        for length in [1, coded.len() / 2, coded.len() - 1] {
            let cut = decode(coding, &coded[..length], &Limits::default());
            assert!(matches!(cut, Err(EncodingError::Damaged(_))), "{coding:?} {length} {cut:?}");
        }
        let junk = decode(coding, b"#EXTM3U\n#EXTINF:4,\nx.ts\n", &Limits::default());
        assert!(matches!(junk, Err(EncodingError::Damaged(_))), "{coding:?} {junk:?}");
    }
}

#[test]
fn the_client_chooses_by_weight_and_we_among_equals() {
    use Coding::{Br, Gzip, Identity, Zstd};
    for (header, expected) in [
        (None, Identity),
        (Some(""), Identity),
        (Some("gzip"), Gzip),
        (Some("GZIP;q=1"), Gzip),
        (Some("gzip, deflate, br, zstd"), Zstd),
        (Some("br;q=0.5, gzip;q=0.8"), Gzip),
        (Some("*"), Zstd),
        (Some("*;q=0"), Identity),
        (Some("gzip;q=0, *;q=0.1"), Zstd),
        (Some("zstd;q=0,*"), Br),
        (Some("identity;q=1, gzip;q=0.5"), Identity),
        (Some("gzip;q=0.5"), Gzip),
        (Some("gzip;q=2"), Identity),
        (Some("gzip;q=0.0001"), Identity),
        (Some("gzip;q=abc"), Identity),
        (Some("deflate, compress"), Identity),
        (Some("identity;q=0, gzip;q=0.001"), Gzip),
        (Some(" gzip ; Q = 0.3 , br ; q=0.2"), Gzip),
        (Some("x-gzip"), Gzip),
        (Some("identity;q=0"), Identity),
        (Some(",,;;,gzip,"), Gzip),
        (Some("gzip, identity"), Gzip),
    ] {
        assert_eq!(choose(header, &[Zstd, Br, Gzip]), expected, "{header:?}");
    }
}

#[test]
fn the_start_of_a_coded_body_is_known_without_its_end() {
    let text = "#EXTM3U\n".to_owned() + &"#EXTINF:4,\nsegment.ts\n".repeat(2_000);
    for coding in [Coding::Identity, Coding::Gzip, Coding::Br, Coding::Zstd] {
        let coded = encode(coding, text.as_bytes()).unwrap();
        assert_eq!(decode_start(coding, &coded, 16), &text.as_bytes()[..16], "{coding:?}");
        for end in [0, 1, 5] {
            let start = decode_start(coding, &coded[..end.min(coded.len())], 16);
            assert!(text.as_bytes().starts_with(&start), "{coding:?}");
        }
        assert!(decode_start(Coding::Gzip, text.as_bytes(), 16).is_empty());
    }
    let gzip = encode(Coding::Gzip, text.as_bytes()).unwrap();
    assert_eq!(decode_start(Coding::Gzip, &gzip[..gzip.len() - 9], 16), &text.as_bytes()[..16]);
}

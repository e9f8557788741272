//! The rules of sessions.

use proptest::prelude::*;

use super::mint::sign;
use super::verify::PRESENTED_BYTES_MAX;
use super::*;
use crate::domain::token::edgeauth;
use crate::domain::token::grant::{Clients, Grant, Scope, UnixTime};
use crate::domain::token::presented::Presented;
use crate::domain::token::reason::Reason;

const NOW: UnixTime = Duration::from_secs(1_700_000_000);
const MINUTE: u64 = 1_699_999_980;

fn key() -> Secret {
    Secret::from_hex("eee7e9157f81b2f6d471bf2c").unwrap()
}

fn sessions_with(settings: Settings) -> Sessions {
    Sessions::new("example", &Keys::of([("key", key())]), settings)
}

fn sessions() -> Sessions {
    sessions_with(Settings::default())
}

fn grant() -> Grant {
    Grant {
        scope: Scope::Acl("/a/*".to_owned()),
        expires: 1_700_000_300,
        clients: Clients::Address("203.0.113.7".to_owned()),
        session_id: Some("s-1".to_owned()),
        payload: Some("p".to_owned()),
        nonce: None,
        key_name: "key".into(),
    }
}

const UNKNOWN: Life = Life::Fixed { media_duration: None };

fn at(path: &str) -> At<'_> {
    At { path, client: "203.0.113.7".parse().unwrap(), salt: b"" }
}

fn seconds(duration: u64) -> Duration {
    Duration::from_secs(duration)
}

#[test]
fn a_session_verifies_in_every_carriers_writing() {
    let sessions = sessions();
    let session = sessions.mint(&grant(), UNKNOWN, b"", NOW);
    assert!(session.canonical().starts_with("exp=1700086380~acl=/*~id=s-1~data=hdntl,p~hmac="));
    assert!(session.path_component().starts_with("hdntl=exp=1700086380~acl=%2f*~id=s-1~data=hdntl,p~hmac="));
    assert!(session.query_pair().starts_with("hdntl=exp=1700086380~acl=/*~id=s-1~data=hdntl,p~hmac="));
    let path = session.path_component()["hdntl=".len()..].to_owned();
    let query = session.query_pair()["hdntl=".len()..].to_owned();
    for presented in [
        session.canonical().to_owned(),
        session.cookie_value(),
        session.header_value(),
        path.replace("%2f", "%2F"),
        path.replace('%', "%25").replace('=', "%3D"),
        path.replace('=', "%3D").replace('~', "%7E"),
        query.replace('=', "%3D").replace('~', "%7E").replace('/', "%2F").replace(',', "%2C"),
        path,
        query,
    ] {
        assert_eq!(sessions.verify(&presented, &at("/x"), NOW).as_ref(), Ok(&session), "{presented}");
        let admitted = sessions.admit(&presented, &at("/x"), NOW).unwrap();
        assert_eq!(
            (admitted.id(), admitted.expires, &*admitted.key_name),
            (Some("s-1"), 1_700_086_380, "key")
        );
        assert_eq!(sessions.session(&admitted), session, "{presented}");
        assert!(!format!("{admitted:?}").contains("hmac"), "a session's text is not shown");
    }
}

#[test]
fn networks_of_a_grant_bind_the_session_where_the_address_is_carried() {
    let networks =
        Clients::Networks(vec!["203.0.113.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()]);
    let carry = Carry { ip: true, ..Carry::default() };
    let sessions = sessions_with(Settings { carry, ..Settings::default() });
    let admits = |grant: &Grant, client: &str| {
        let session = sessions.mint(grant, UNKNOWN, b"", NOW);
        let at = At { client: client.parse().unwrap(), ..at("/a") };
        let value = session.cookie_value();
        sessions.admit(&value, &at, NOW).map(|admitted| admitted.expires)
    };
    let bound = Grant { clients: networks, ..grant() };
    for client in ["203.0.113.200", "2001:db8::7", "::ffff:203.0.113.1"] {
        assert!(admits(&bound, client).is_ok(), "{client}");
    }
    assert_eq!(admits(&bound, "203.0.114.7"), Err(Reason::IpMismatch));
    let nobody = Grant { clients: Clients::Networks(Vec::new()), ..grant() };
    assert_eq!(admits(&nobody, "203.0.113.7"), Err(Reason::IpMismatch));
}

#[test]
fn a_condition_that_no_acl_can_say_is_not_carried() {
    let carry = Carry { acl: true, ..Carry::default() };
    let sessions = sessions_with(Settings { carry, ..Settings::default() });
    for scope in [Scope::Url, Scope::Condition] {
        let session = sessions.mint(&Grant { scope, ..grant() }, UNKNOWN, b"", NOW);
        assert_eq!(session.acl(), "/*");
    }
}

#[test]
fn replaced_keys_judge_from_then_on() {
    let sessions = sessions();
    let session = sessions.mint(&grant(), UNKNOWN, b"", NOW);
    let new = Secret::from_hex("aabb").unwrap();
    sessions.replace_keys(&Keys::of([("new", new.clone()), ("key", key())]));
    assert_eq!(sessions.mint(&grant(), UNKNOWN, b"", NOW).key_name().as_ref(), "new");
    assert!(sessions.admit(session.canonical(), &at("/a"), NOW).is_ok());
    sessions.replace_keys(&Keys::of([("new", new)]));
    assert_eq!(sessions.admit(session.canonical(), &at("/a"), NOW), Err(Reason::BadSignature));
}

#[test]
fn delimiters_that_are_escaped_twice_are_refused() {
    let sessions = sessions();
    let session = sessions.mint(&grant(), UNKNOWN, b"", NOW);
    let twice = session.canonical().replace('=', "%253D").replace('~', "%257E");
    assert_eq!(sessions.verify(&twice, &at("/x"), NOW).err(), Some(Reason::Malformed));
    let plus = session.canonical().replace("hdntl,p", "hdntl,p+");
    assert_eq!(sessions.verify(&plus, &at("/x"), NOW).err(), Some(Reason::BadSignature));
}

#[test]
fn the_same_grant_within_a_minute_gives_the_same_text() {
    let sessions = sessions();
    let first = sessions.mint(&grant(), UNKNOWN, b"", seconds(MINUTE));
    assert_eq!(sessions.mint(&grant(), UNKNOWN, b"", Duration::from_millis(MINUTE * 1000 + 59_999)), first);
    assert_ne!(sessions.mint(&grant(), UNKNOWN, b"", seconds(MINUTE + 60)), first);
    let other = Grant { session_id: Some("s-2".to_owned()), ..grant() };
    assert_ne!(sessions.mint(&other, UNKNOWN, b"", seconds(MINUTE)), first);
}

#[test]
fn a_life_covers_the_media_and_keeps_the_cap() {
    let settings = Settings { pause_allowance: seconds(600), ..Settings::default() };
    let sessions = sessions_with(settings);
    for offset in [0, 1, 59] {
        let now = seconds(MINUTE + offset);
        let life = |media_duration| {
            sessions.mint(&grant(), Life::Fixed { media_duration }, b"", now).expires() - now.as_secs()
        };
        for duration in
            [Duration::from_millis(1), seconds(10), Duration::from_millis(5_400_500), seconds(86_340)]
        {
            let life = seconds(life(Some(duration)));
            assert!(
                life >= duration + seconds(600) && life <= duration + seconds(661),
                "{duration:?} {life:?}"
            );
            assert!(life <= seconds(86_400 + 600));
        }
        for media_duration in [None, Some(seconds(86_400)), Some(seconds(1_000_000)), Some(Duration::MAX)] {
            assert_eq!(life(media_duration), 86_400 + 600 - offset);
        }
    }
}

#[test]
fn only_what_is_carried_stands_in_the_session() {
    let none = Carry { id: false, data: false, ip: false, acl: false };
    let session =
        sessions_with(Settings { carry: none, ..Settings::default() }).mint(&grant(), UNKNOWN, b"", NOW);
    assert!(session.canonical().starts_with("exp=1700086380~acl=/*~data=hdntl~hmac="));
    let all = Carry { id: true, data: true, ip: true, acl: true };
    let sessions = sessions_with(Settings { carry: all, ..Settings::default() });
    let session = sessions.mint(&grant(), UNKNOWN, b"", NOW);
    assert!(
        session.canonical().starts_with("ip=203.0.113.7~exp=1700086380~acl=/a/*~id=s-1~data=hdntl,p~hmac=")
    );
    assert_eq!(
        (session.acl(), session.ip(), session.id(), session.payload()),
        ("/a/*", Some("203.0.113.7"), Some("s-1"), Some("p"))
    );
    let canonical = session.canonical();
    assert!(sessions.admit(canonical, &at("/a/b"), NOW).is_ok());
    assert_eq!(sessions.admit(canonical, &at("/b"), NOW), Err(Reason::AclMismatch));
    let elsewhere = At { client: "203.0.113.8".parse().unwrap(), ..at("/a/b") };
    assert_eq!(sessions.admit(canonical, &elsewhere, NOW), Err(Reason::IpMismatch));
}

#[test]
fn a_session_ends_at_its_second() {
    let sessions = sessions();
    let session =
        sessions.mint(&grant(), Life::Fixed { media_duration: Some(seconds(10)) }, b"", seconds(MINUTE));
    let admit = |now| sessions.admit(session.canonical(), &at("/a"), now).err();
    assert_eq!(admit(Duration::from_millis((MINUTE + 69) * 1000 + 999)), None);
    assert_eq!(admit(seconds(MINUTE + 70)), Some(Reason::Expired));
}

#[test]
fn no_session_passes_as_an_access_token_nor_on_another_property_nor_the_reverse() {
    let session = sessions().mint(&grant(), UNKNOWN, b"", NOW);
    let elsewhere = Sessions::new("other", &Keys::of([("key", key())]), Settings::default());
    assert_eq!(elsewhere.admit(session.canonical(), &at("/a"), NOW), Err(Reason::BadSignature));
    let verifier = edgeauth::verify::Verifier::new(edgeauth::Settings::with_key(key()));
    let presented = Presented::for_path(session.canonical(), "/a", "203.0.113.7".parse().unwrap());
    assert_eq!(verifier.verify(&presented, NOW), Err(Reason::BadSignature));
    let mut access = "exp=1700086400~acl=/*~data=hdntl~hmac=".to_owned();
    Signer::new(&key(), Algorithm::Sha256)
        .sign(&[b"exp=1700086400~acl=/*~data=hdntl"])
        .write_hex(&mut access);
    assert_eq!(sessions().admit(&access, &at("/a"), NOW), Err(Reason::BadSignature));
}

#[test]
fn a_session_without_its_mark_is_malformed() {
    let label = "sluicegate session v1 example";
    let signer = Signer::new(&key().derived(label), Algorithm::Sha256);
    for signed in [
        "exp=1700086400~acl=/*",
        "exp=1700086400~acl=/*~data=p",
        "exp=1700086400~acl=/*~data=hdntlx",
        "exp=1700086400~data=hdntl",
        "acl=/*~exp=1700086400~data=hdntl",
        "exp=1700086400~acl=/*~data=hdntl~x=1",
        "exp=1700086400~acl=/*~data=hdntl~data=hdntl",
    ] {
        let token = format!("{signed}~hmac={}", sign(&signer, signed, b""));
        assert_eq!(sessions().admit(&token, &at("/a"), NOW), Err(Reason::Malformed), "{signed}");
    }
}

#[test]
fn the_transition_key_verifies_and_the_primary_mints() {
    let old = key();
    let new = Secret::from_text("new").unwrap();
    let session = sessions().mint(&grant(), UNKNOWN, b"", NOW);
    let rotated =
        Sessions::new("example", &Keys::of([("key", new), ("transition_key", old)]), Settings::default());
    assert_eq!(
        rotated.admit(session.canonical(), &at("/a"), NOW).map(|admitted| admitted.key_name.to_string()),
        Ok("transition_key".to_owned())
    );
    assert_eq!(rotated.mint(&grant(), UNKNOWN, b"", NOW).key_name().as_ref(), "key");
}

#[test]
fn a_salt_binds_the_session_to_its_headers() {
    let sessions = sessions();
    let session = sessions.mint(&grant(), UNKNOWN, b"Player/1", NOW);
    let salted = |salt| sessions.admit(session.canonical(), &At { salt, ..at("/a") }, NOW).err();
    assert_eq!(salted(b"Player/1".as_slice()), None);
    assert_eq!(salted(b"Player/2".as_slice()), Some(Reason::BadSignature));
    assert_eq!(salted(b"".as_slice()), Some(Reason::BadSignature));
}

#[test]
fn what_a_token_carries_cannot_inject() {
    let hostile = Grant {
        scope: Scope::Acl("/a/\"\r\n*".to_owned()),
        session_id: Some("a~exp=9\r\n\"b\\".to_owned()),
        payload: Some("x; Domain=evil\n#EXTINF é".to_owned()),
        ..grant()
    };
    let all = Carry { id: true, data: true, ip: true, acl: true };
    let sessions = sessions_with(Settings { carry: all, ..Settings::default() });
    let session = sessions.mint(&hostile, UNKNOWN, b"", NOW);
    assert_eq!(session.expires(), 1_700_086_380);
    for text in [
        session.canonical().to_owned(),
        session.path_component(),
        session.query_pair(),
        session.cookie_value(),
    ] {
        assert!(text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\')), "{text}");
        let fields = text.trim_start_matches("hdntl=").split('~');
        assert_eq!(fields.filter(|field| field.starts_with("exp=")).count(), 1, "{text}");
    }
    assert!(!session.path_component().contains('/'));
}

#[test]
fn an_empty_acl_still_matches_nothing() {
    let all = Carry { acl: true, ..Carry::default() };
    let sessions = sessions_with(Settings { carry: all, ..Settings::default() });
    let empty = Grant {
        scope: Scope::Acl(String::new()),
        session_id: Some(String::new()),
        payload: Some(String::new()),
        ..grant()
    };
    let session = sessions.mint(&empty, UNKNOWN, b"", Duration::MAX);
    assert_eq!((session.id(), session.payload()), (None, None));
    assert_eq!(sessions.admit(session.canonical(), &at("/a"), NOW), Err(Reason::AclMismatch));
}

#[test]
fn an_id_that_grows_by_escaping_is_not_lost() {
    let odd = Grant { session_id: Some("~".repeat(64)), ..grant() };
    let session = sessions().mint(&odd, UNKNOWN, b"", NOW);
    let admitted = sessions().admit(session.canonical(), &at("/a"), NOW).unwrap();
    assert_eq!(admitted.id(), Some("%7e".repeat(64).as_str()));
    let long = Grant { session_id: Some("i".repeat(193)), ..grant() };
    let session = sessions().mint(&long, UNKNOWN, b"", NOW);
    assert_eq!(sessions().admit(session.canonical(), &at("/a"), NOW), Err(Reason::Malformed));
}

#[test]
fn a_literal_percent_survives_every_carrier() {
    let sessions = sessions();
    let odd = Grant { session_id: Some("sid%2f1%25".to_owned()), ..grant() };
    let session = sessions.mint(&odd, UNKNOWN, b"", NOW);
    assert_eq!(session.id(), Some("sid%2f1%25"));
    let path = &session.path_component()["hdntl=".len()..];
    let query = &session.query_pair()["hdntl=".len()..];
    for presented in [path, query, &session.cookie_value(), &path.replace('%', "%25"), session.canonical()] {
        assert_eq!(sessions.verify(presented, &at("/a"), NOW).as_ref(), Ok(&session), "{presented}");
    }
}

#[test]
fn a_cookie_is_renewed_in_its_last_half_and_never_past_its_age() {
    let settings = Settings { ttl_max: seconds(3600), age_max: seconds(5400), ..Settings::default() };
    let sessions = sessions_with(settings.clone());
    let session = sessions.mint(&grant(), Life::Renewable, b"", seconds(MINUTE));
    assert_eq!((session.first_mint(), session.expires()), (Some(MINUTE), MINUTE + 3600));
    assert_eq!(sessions.renewed(&session, b"", seconds(MINUTE + 1799)), None);
    let second = sessions.renewed(&session, b"", seconds(MINUTE + 1800)).unwrap();
    assert_eq!(
        (second.first_mint(), second.expires(), second.id()),
        (Some(MINUTE), MINUTE + 5400, Some("s-1"))
    );
    assert!(sessions.admit(second.canonical(), &at("/a"), seconds(MINUTE + 5399)).is_ok());
    assert_eq!(sessions.renewed(&second, b"", seconds(MINUTE + 5000)), None);
    assert_eq!(sessions.renewed(&session, b"", seconds(MINUTE + 3601)), None);
    let never = sessions_with(Settings { renew: false, ..settings });
    assert_eq!(never.renewed(&session, b"", seconds(MINUTE + 1800)), None);
    let fixed = sessions.mint(&grant(), UNKNOWN, b"", seconds(MINUTE));
    assert_eq!(sessions.renewed(&fixed, b"", seconds(MINUTE + 3000)), None);
}

#[test]
fn what_is_too_long_is_refused() {
    assert_eq!(sessions().admit(&"a".repeat(60_000), &at("/a"), NOW), Err(Reason::Malformed));
    assert_eq!(sessions().admit("", &at("/a"), NOW), Err(Reason::Malformed));
}

proptest! {
    #[test]
    fn what_is_minted_verifies_and_a_flipped_character_does_not(
        id in "\\PC{1,20}",
        payload in any::<String>(),
        (index, flip) in (any::<prop::sample::Index>(), 1_u8..127),
    ) {
        prop_assume!(!payload.is_empty());
        let sessions = sessions();
        let grant = Grant { session_id: Some(id), payload: Some(payload), ..grant() };
        let session = sessions.mint(&grant, UNKNOWN, b"", NOW);
        prop_assume!(session.path_component().len() <= PRESENTED_BYTES_MAX);
        let path = session.path_component()["hdntl=".len()..].to_owned();
        let query = session.query_pair()["hdntl=".len()..].to_owned();
        for presented in [path.as_str(), &query, &session.cookie_value(), &session.header_value()] {
            let verified = sessions.verify(presented, &at("/a"), NOW);
            prop_assert_eq!(verified.as_ref(), Ok(&session));
        }
        let mut bytes = path.clone().into_bytes();
        let at_byte = index.index(bytes.len());
        bytes[at_byte] ^= flip;
        if let Ok(flipped) = String::from_utf8(bytes) {
            let is_case_of_hex = flipped.eq_ignore_ascii_case(&path) && !flipped[flipped.len() - 64..].contains(|digit: char| digit.is_ascii_uppercase());
            prop_assert!(is_case_of_hex || sessions.admit(&flipped, &at("/a"), NOW).is_err(), "{}", flipped);
        }
    }

    #[test]
    fn arbitrary_text_never_panics(text in "([a-e=~%é]|%[0-9a-f]{2}|%25|exp=1|~acl=/\\*|~data=hdntl|~hmac=[0-9a-f]{64}){0,24}") {
        prop_assert!(sessions().admit(&text, &at("/a"), NOW).is_err());
    }
}

#[test]
fn a_session_names_its_viewing_and_keeps_it_when_renewed() {
    let sessions = sessions();
    for viewing in [0, 7, u64::MAX] {
        let session = sessions.mint_viewing(&grant(), Some(viewing), Life::Renewable, b"", NOW);
        assert!(session.canonical().contains(&format!("~data=hdntl.{viewing:016x},p~hmac=")));
        let admitted = sessions.admit(session.canonical(), &at("/a"), NOW).unwrap();
        assert_eq!(admitted.viewing, Some(viewing));
        assert_eq!(sessions.with_payload(&admitted, |payload| payload.map(str::to_owned)), Some("p".into()));
        let later = NOW + Duration::from_hours(13);
        let settings = Settings { age_max: Duration::from_hours(72), ..Settings::default() };
        let renewed = sessions_with(settings).renewed(&session, b"", later).unwrap();
        assert_eq!((renewed.viewing(), renewed.payload()), (Some(viewing), Some("p")));
    }
    let plain = sessions.mint(&grant(), UNKNOWN, b"", NOW);
    assert_eq!(plain.viewing(), None);
}

#[test]
fn a_viewing_is_sixteen_small_hex_digits_or_the_text_is_no_session() {
    let keys = sessions().keys.load_full();
    let property_key = &keys.iter().next().expect("a key").key;
    for data in [
        "hdntl.",
        "hdntl.7",
        "hdntl.000000000000000G",
        "hdntl.000000000000000A",
        "hdntl.00000000000000007",
        "hdntl.0000000000000007p",
    ] {
        let signed = format!("exp=1700000300~acl=/*~data={data}");
        let text = format!("{signed}~hmac={}", sign(property_key, &signed, b""));
        assert_eq!(sessions().admit(&text, &at("/a"), NOW).err(), Some(Reason::Malformed), "{data}");
    }
}

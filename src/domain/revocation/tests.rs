use super::*;

const NOW: UnixTime = std::time::Duration::from_secs(1_000);

fn identifier(kind: Kind, text: &str) -> Identifier {
    Identifier::new(kind, text).expect("an identifier")
}

fn put(set: &mut Revocations, list: u32, kind: Kind, text: &str, ends: u64) {
    set.apply(&Change::Put(Record { list, identifier: identifier(kind, text), ends, version: 1 }));
}

fn claims<'a>(session_id: &'a str, payload: &'a str, client: &str) -> Claims<'a> {
    let client = client.parse().expect("an address");
    Claims { session_id: Some(session_id), payload: Some(payload), viewing: Some(7), client }
}

fn against(set: &Revocations, session_id: &str, payload: &str, client: &str) -> Option<Reason> {
    set.against(&claims(session_id, payload, client), &[], NOW)
}

#[test]
fn a_revoked_id_is_refused_in_every_spelling() {
    for revoked in ["user:1", "user%3a1", "user%3A1", "user%253a1", "%75ser:1"] {
        let mut set = Revocations::default();
        put(&mut set, 0, Kind::Session, revoked, 2_000);
        for shown in ["user:1", "user%3a1", "user%3A1", "user%253A1", "us%65r:1"] {
            assert_eq!(against(&set, shown, "", "::1"), Some(Reason::Revoked), "{revoked} {shown}");
        }
        for other in ["User:1", "user:11", "user", "user+1", "user%3", "user%zz1"] {
            assert_eq!(against(&set, other, "", "::1"), None, "{revoked} {other}");
        }
    }
}

#[test]
fn normal_is_its_own_normal_form() {
    for text in ["a", "%", "%4", "%%341", "%25%25%32%35", "100%", "%ff", "é%c3%a9", "%2525252525zz"] {
        let once = normal(text).into_owned();
        assert_eq!(normal(&once), once, "{text}");
    }
}

#[test]
fn a_payload_is_no_session_id() {
    let mut set = Revocations::default();
    put(&mut set, 0, Kind::Payload, "gold", 2_000);
    assert_eq!(against(&set, "gold", "", "::1"), None);
    assert_eq!(against(&set, "", "gold", "::1"), Some(Reason::Revoked));
}

#[test]
fn an_address_is_refused_in_every_network_that_holds_it() {
    for revoked in
        ["203.0.113.7", "203.0.113.7/32", "203.0.113.9/24", "::ffff:203.0.113.7", "::ffff:203.0.113.0/120"]
    {
        let mut set = Revocations::default();
        put(&mut set, 0, Kind::Address, revoked, 2_000);
        assert_eq!(against(&set, "", "", "203.0.113.7"), Some(Reason::Revoked), "{revoked}");
        assert_eq!(against(&set, "", "", "::ffff:203.0.113.7"), Some(Reason::Revoked), "{revoked}");
        assert_eq!(against(&set, "", "", "203.0.114.7"), None, "{revoked}");
        assert_eq!(against(&set, "", "", "2001:db8::7"), None, "{revoked}");
    }
    let mut set = Revocations::default();
    put(&mut set, 0, Kind::Address, "2001:db8::/48", 2_000);
    assert_eq!(against(&set, "", "", "2001:DB8:0:1::7"), Some(Reason::Revoked));
    assert_eq!(against(&set, "", "", "2001:db8:1::7"), None);
}

#[test]
fn odd_spellings_of_addresses_are_refused_as_input() {
    for odd in ["", "203.0.113.007", "203.0.113", "203.0.113.0/33", "host.example", " 203.0.113.7"] {
        assert!(Identifier::new(Kind::Address, odd).is_err(), "{odd}");
    }
    assert!(Identifier::new(Kind::Ended, "12").is_err());
    assert!(Identifier::new(Kind::Session, &"a".repeat(TEXT_BYTES_MAX_PLUS_ONE)).is_err());
}

const TEXT_BYTES_MAX_PLUS_ONE: usize = identifier::TEXT_BYTES_MAX + 1;

#[test]
fn a_viewing_that_gave_way_is_over_a_limit_and_an_ended_one_is_revoked() {
    let mut set = Revocations::default();
    put(&mut set, 0, Kind::Displaced, "0000000000000007", 2_000);
    assert_eq!(against(&set, "", "", "::1"), Some(Reason::SessionLimit));
    put(&mut set, 0, Kind::Ended, "0000000000000007", 2_000);
    assert_eq!(against(&set, "", "", "::1"), Some(Reason::Revoked));
}

#[test]
fn a_revocation_ends_at_its_time() {
    let mut set = Revocations::default();
    put(&mut set, 0, Kind::Session, "a", 1_000);
    put(&mut set, 0, Kind::Session, "b", 1_001);
    assert_eq!(against(&set, "a", "", "::1"), None);
    assert_eq!(against(&set, "b", "", "::1"), Some(Reason::Revoked));
    assert_eq!(set.seconds_left(0, &identifier(Kind::Session, "b"), NOW), Some(1));
    assert_eq!(set.prune(NOW), 1);
    assert_eq!((set.count(), set.lists()[&0].count), (1, 1));
}

#[test]
fn a_property_obeys_the_lists_that_it_names_and_the_default_one() {
    let mut set = Revocations::default();
    set.apply(&Change::PutList { id: 5, name: "sports".into() });
    put(&mut set, 5, Kind::Session, "a", 2_000);
    put(&mut set, 0, Kind::Session, "b", 2_000);
    let judged = |id, lists: &[Box<str>]| set.against(&claims(id, "", "::1"), lists, NOW);
    assert_eq!(judged("a", &[]), Some(Reason::Revoked));
    assert_eq!(judged("a", &["sports".into()]), Some(Reason::Revoked));
    assert_eq!(judged("a", &["films".into()]), None);
    assert_eq!(judged("b", &["films".into()]), Some(Reason::Revoked));
}

#[test]
fn a_list_goes_with_what_stands_in_it_and_the_default_one_stays() {
    let mut set = Revocations::default();
    set.apply(&Change::PutList { id: 5, name: "sports".into() });
    put(&mut set, 5, Kind::Session, "a", 2_000);
    put(&mut set, 5, Kind::Address, "10.0.0.0/8", 2_000);
    put(&mut set, 0, Kind::Session, "a", 2_000);
    set.apply(&Change::RemoveList { id: 5 });
    set.apply(&Change::RemoveList { id: DEFAULT_LIST });
    assert_eq!((set.count(), set.lists().len()), (1, 1));
    assert_eq!(against(&set, "a", "", "10.0.0.1"), Some(Reason::Revoked));
    assert_eq!(against(&set, "x", "", "10.0.0.1"), None);
    set.apply(&Change::Remove { list: 0, identifier: identifier(Kind::Session, "a") });
    assert!(set.is_empty());
}

#[test]
fn a_copy_does_not_see_what_comes_after_it() {
    let mut set = Revocations::default();
    put(&mut set, 0, Kind::Session, "a", 2_000);
    let snapshot = set.clone();
    put(&mut set, 0, Kind::Session, "b", 2_000);
    set.apply(&Change::Remove { list: 0, identifier: identifier(Kind::Session, "a") });
    assert_eq!(against(&snapshot, "a", "", "::1"), Some(Reason::Revoked));
    assert_eq!(against(&snapshot, "b", "", "::1"), None);
    assert_eq!((snapshot.count(), set.count()), (1, 1));
}

#[test]
fn the_same_revocation_again_changes_its_end() {
    let mut set = Revocations::default();
    put(&mut set, 0, Kind::Session, "a", 2_000);
    put(&mut set, 0, Kind::Session, "%61", 3_000);
    assert_eq!(set.count(), 1);
    assert_eq!(set.seconds_left(0, &identifier(Kind::Session, "a"), NOW), Some(2_000));
    assert_eq!(set.of_list(0).len(), 1);
}

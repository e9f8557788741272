//! The rules of the memory tier.

use super::*;
use crate::store::object::Description;
use crate::store::purge::Purge;
use crate::store::slabs::Slabs;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

fn memory(bytes_max: u64, object_bytes_max: u64) -> Memory<()> {
    Memory::new(bytes_max, object_bytes_max, Arc::default(), Arc::default())
}

fn tagged(memory: &Memory<()>, text: &str, bytes: u64, tags: &[&str]) -> Arc<Object<()>> {
    let tags = tags.iter().map(|tag| Box::from(*tag)).collect();
    let description = Description { meta: (), meta_bytes: 0, tags, may_rest_on_disk: true };
    let body = Slabs::copied(&vec![7; usize::try_from(bytes).unwrap()]);
    Arc::new(Object::new(Key::new(text), Arc::new(description), body, memory.purges.latest()))
}

fn object(memory: &Memory<()>, text: &str, bytes: u64) -> Arc<Object<()>> {
    tagged(memory, text, bytes, &[])
}

fn purge(memory: &Memory<()>, scope: &Scope, depth: Depth) -> usize {
    if !matches!(scope, Scope::Key(_)) {
        memory.purges.record(Purge { scope: scope.clone(), depth });
    }
    memory.purge(scope, depth)
}

#[test]
fn an_object_of_64_mib_fits_where_the_limit_says_so() {
    for bytes_max in [100 * MIB, 512 * MIB, 3_000 * MIB] {
        let memory = memory(bytes_max, 64 * MIB);
        assert!(memory.insert(object(&memory, "large", 64 * MIB)), "of {bytes_max}");
        assert!(memory.get(&Key::new("large")).is_some(), "of {bytes_max}");
        assert_eq!(memory.counters.memory_refused.total(), 0);
    }
}

#[test]
fn an_object_heavier_than_a_shard_is_refused_and_counted() {
    let memory = memory(10 * MIB, 64 * MIB);
    assert!(memory.insert(object(&memory, "a", 1)));
    assert!(!memory.insert(object(&memory, "a", 10 * MIB)));
    assert!(memory.get(&Key::new("a")).is_none(), "what it was to replace is older");
    assert_eq!(memory.counters.memory_refused.total(), 1);
}

#[test]
fn memory_stays_under_its_bound() {
    let memory = memory(8 * MIB, MIB);
    for number in 0..2_000_u64 {
        memory.insert(object(&memory, &format!("{number}"), (number * 7_919) % (100 * KIB)));
        assert!(memory.bytes() <= 8 * MIB, "{} bytes after {number}", memory.bytes());
    }
    let held: u64 = memory.kept.iter().map(|(_, object)| object.weight()).sum();
    assert_eq!(held, memory.bytes());
    assert!(memory.counters.memory_evictions.total() > 1_000);
    assert_eq!(memory.counters.memory_evictions.total() + memory.count() as u64, 2_000);
}

#[test]
fn empty_objects_are_bounded_too() {
    let memory = memory(64 * KIB, 8 * KIB);
    for number in 0..10_000 {
        memory.insert(object(&memory, &format!("{number}"), 0));
    }
    assert!(memory.count() <= 128, "{} objects", memory.count());
}

#[test]
fn a_scan_of_ten_times_the_size_leaves_the_hot_set() {
    let memory = memory(8 * MIB, MIB);
    let hot: Vec<_> = (0..64).map(|number| format!("hot/{number}")).collect();
    for _ in 0..3 {
        for text in &hot {
            if memory.get(&Key::new(text.as_str())).is_none() {
                memory.insert(object(&memory, text, 64 * KIB));
            }
        }
    }
    for number in 0..80 * 16 {
        memory.insert(object(&memory, &format!("scan/{number}"), 64 * KIB));
    }
    let left = hot.iter().filter(|text| memory.peek(&Key::new(text.as_str())).is_some()).count();
    assert_eq!(left, hot.len());
}

#[test]
fn one_hash_with_another_text_is_a_miss() {
    let memory = memory(MIB, 64 * KIB);
    let stored = object(&memory, "a", 10);
    memory.kept.insert(Key::new("b").hash(), stored);
    assert!(memory.get(&Key::new("b")).is_none());
    assert_eq!(purge(&memory, &Scope::Key("b".into()), Depth::Hard), 0);
}

#[test]
fn a_replaced_object_is_no_eviction() {
    let memory = memory(MIB, 64 * KIB);
    memory.insert(object(&memory, "a", 10));
    memory.insert(object(&memory, "a", 20));
    assert_eq!(memory.get(&Key::new("a")).unwrap().0.len(), 20);
    assert_eq!(memory.counters.memory_evictions.total(), 0);
    assert_eq!(memory.count(), 1);
}

#[test]
fn each_scope_purges_what_it_names_and_nothing_else() {
    let texts = ["/vod/1/a", "/vod/1/b", "/vod/2/a", "/live/a"];
    for (scope, gone) in [
        (Scope::Key("/vod/1/a".into()), &texts[..1]),
        (Scope::Prefix("/vod/1/".into()), &texts[..2]),
        (Scope::Prefix("/vod/".into()), &texts[..3]),
        (Scope::Tag("film".into()), &texts[1..3]),
        (Scope::All, &texts[..]),
        (Scope::Key("/vod".into()), &[]),
        (Scope::Tag("fil".into()), &[]),
    ] {
        let memory = memory(MIB, 64 * KIB);
        for (text, tags) in texts.iter().zip([&["x"][..], &["film"], &["y", "film"], &[]]) {
            memory.insert(tagged(&memory, text, 10, tags));
        }
        assert_eq!(purge(&memory, &scope, Depth::Hard), gone.len(), "{scope:?}");
        for text in texts {
            let found = memory.get(&Key::new(text));
            assert_eq!(found.is_none(), gone.contains(&text), "{scope:?} and {text}");
        }
    }
}

#[test]
fn a_soft_purge_leaves_the_object_marked_stale() {
    for scope in [Scope::Key("a".into()), Scope::Prefix("a".into()), Scope::All] {
        let memory = memory(MIB, 64 * KIB);
        memory.insert(object(&memory, "a", 10));
        memory.insert(object(&memory, "b", 10));
        purge(&memory, &scope, Depth::Soft(Duration::from_secs(9)));
        assert!(memory.get(&Key::new("a")).unwrap().0.is_marked_stale());
        assert_eq!(memory.get(&Key::new("b")).unwrap().0.is_marked_stale(), scope == Scope::All);
    }
}

#[test]
fn an_object_fetched_before_a_purge_is_not_kept_after_it() {
    let memory = memory(MIB, 64 * KIB);
    let [early, soft] = ["/vod/a", "/live/a"].map(|text| object(&memory, text, 10));
    purge(&memory, &Scope::Prefix("/vod/".into()), Depth::Hard);
    purge(&memory, &Scope::Prefix("/live/".into()), Depth::Soft(Duration::from_secs(9)));
    assert!(!memory.insert(early));
    assert!(memory.get(&Key::new("/vod/a")).is_none());
    assert!(memory.insert(soft));
    assert!(memory.get(&Key::new("/live/a")).unwrap().0.is_marked_stale());
    assert!(memory.insert(object(&memory, "/vod/a", 10)), "fetched after the purge");
    assert!(!memory.get(&Key::new("/vod/a")).unwrap().0.is_marked_stale());
}

#[test]
fn an_insert_that_the_walk_of_a_purge_missed_is_seen_on_the_next_hit() {
    let memory = memory(MIB, 64 * KIB);
    memory.insert(object(&memory, "/vod/a", 10));
    // Recorded, but the walk had passed this place before the object came to it.
    memory.purges.record(Purge { scope: Scope::Prefix("/vod".into()), depth: Depth::Hard });
    assert!(memory.get(&Key::new("/vod/a")).is_none());
    assert_eq!(memory.count(), 0);
}

//! The store from outside: memory, fetches and disk together, and what a process that is killed leaves behind.
#![expect(clippy::unwrap_used, reason = "the helpers of tests may panic as the tests do")]

use std::future::Future;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use sluicegate::store::disk::{Codec, Disk, Settings};
use sluicegate::store::fill::{Answer, Fetched, Opened, Reader, Source};
use sluicegate::store::fills::{Fills, Limits};
use sluicegate::store::key::Key;
use sluicegate::store::object::{Description, Object};
use sluicegate::store::purge::{Depth, Purge, Scope};
use sluicegate::store::slabs::Slabs;
use sluicegate::store::tiers::{Admission, Tiers};

/// Where a child process is to write; set only for children of these tests.
const CHILD_FOLDER: &str = "SLUICEGATE_TEST_STORE_FOLDER";
const WAIT: Duration = Duration::from_secs(20);

fn settings(folder: &Path) -> Settings {
    Settings {
        folder: folder.to_owned(),
        bytes_max: 64 << 20,
        object_bytes_max: 8 << 20,
        reads_max: 4,
        loading_bytes_max: 32 << 20,
        read_timeout: Duration::from_secs(20),
        unwritten_bytes_max: 32 << 20,
        pause: Duration::from_millis(100),
    }
}

fn codec() -> Codec<u32> {
    Codec {
        write: |meta, bytes| bytes.extend_from_slice(&meta.to_le_bytes()),
        read: |bytes| Some(u32::from_le_bytes(bytes.try_into().ok()?)),
    }
}

fn description(meta: u32) -> Description<u32> {
    Description { meta, meta_bytes: 4, tags: Box::default(), may_rest_on_disk: true }
}

async fn until(holds: impl Fn() -> bool) {
    let begun = tokio::time::Instant::now();
    while !holds() {
        assert!(begun.elapsed() < WAIT, "it never held");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The body that belongs to a version of a name, and to no other.
fn body_of(name: u32, version: u32) -> Vec<u8> {
    let words = 1_000 + (name * 7_919 + version * 104_729) % 200_000;
    (0..words).flat_map(|at| (at ^ name.rotate_left(16) ^ version.rotate_left(8)).to_le_bytes()).collect()
}

fn object(name: u32, version: u32) -> Arc<Object<u32>> {
    let (key, body) = (Key::new(format!("/{name}")), Slabs::copied(&body_of(name, version)));
    Arc::new(Object::new(key, Arc::new(description(version)), body, 0))
}

#[expect(clippy::disallowed_methods, reason = "the one word that a parent test has for its child")]
fn child_folder() -> Option<std::ffi::OsString> {
    std::env::var_os(CHILD_FOLDER)
}

fn child(test: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(CHILD_FOLDER, folder);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// As a child: writes ever new versions of thirty objects until it is killed. Otherwise nothing.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Some(folder) = child_folder() else { return };
    run(async {
        let counters = Arc::default();
        let disk = Disk::start(settings(folder.as_ref()), codec(), Arc::default(), counters);
        until(|| disk.is_ready()).await;
        for version in 0.. {
            for name in 0..30 {
                disk.offer(&object(name, version));
                tokio::task::yield_now().await;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
}

#[test]
fn a_process_that_is_killed_leaves_no_wrong_byte() {
    let folder = tempfile::tempdir().unwrap();
    let (mut found_in_all, mut torn_in_all) = (0, 0);
    for round in 0..12 {
        let mut writer = child("child_that_writes_until_it_is_killed", folder.path()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(150 + 37 * round));
        // SIGKILL: it has no time for anything.
        writer.kill().unwrap();
        writer.wait().unwrap();
        torn_in_all += files(folder.path(), "tmp");
        run(async {
            let counters = Arc::<sluicegate::store::counters::Counters>::default();
            let disk = Disk::start(settings(folder.path()), codec(), Arc::default(), counters.clone());
            until(|| disk.is_ready()).await;
            assert_eq!(files(folder.path(), "tmp"), 0, "what was not written to its end is gone");
            for name in 0..30 {
                let Some(found) = disk.find(&Key::new(format!("/{name}"))).await else { continue };
                found_in_all += 1;
                let body = found.body().collect().await.expect("what is shown is whole").to_bytes();
                assert!(body == body_of(name, *found.meta()), "round {round}, object {name}");
            }
            assert_eq!(counters.disk_corrupt.total(), 0);
        });
    }
    assert!(found_in_all > 30, "{found_in_all} objects in twelve rounds");
    println!("{found_in_all} objects read back, {torn_in_all} unfinished files removed");
}

fn files(folder: &Path, kind: &str) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            count += files(&path, kind);
        } else if path.extension().is_some_and(|found| found == kind) {
            count += 1;
        }
    }
    count
}

/// As a child whose files may have 64 KiB at most: a write that fails half-way. Otherwise nothing.
#[test]
fn child_whose_disk_is_full() {
    let Some(folder) = child_folder() else { return };
    run(async {
        let counters = Arc::<sluicegate::store::counters::Counters>::default();
        let disk = Disk::start(settings(folder.as_ref()), codec(), Arc::default(), counters.clone());
        until(|| disk.is_ready()).await;
        let small = Object::new(Key::new("/s"), Arc::new(description(1)), Slabs::copied(&[1; 9_000]), 0);
        disk.offer(&Arc::new(small));
        until(|| disk.count() == 1).await;
        let large =
            Object::new(Key::new("/l"), Arc::new(description(1)), Slabs::copied(&vec![1; 900_000]), 0);
        disk.offer(&Arc::new(large));
        until(|| disk.is_off()).await;
        assert_eq!((counters.disk_errors.total(), counters.disk_off.total()), (1, 1));
        assert!(disk.find(&Key::new("/l")).await.is_none());
        let small = disk.find(&Key::new("/s")).await.expect("what is there is still read");
        assert_eq!(small.body().collect().await.unwrap().to_bytes(), [1; 9_000][..]);
        assert_eq!(files(folder.as_ref(), "tmp"), 0);
    });
}

#[test]
fn a_disk_that_is_full_turns_writing_off_and_leaves_no_unfinished_file() {
    let folder = tempfile::tempdir().unwrap();
    let exe = std::env::current_exe().unwrap();
    // With SIGXFSZ ignored, a write behind the limit is an error of the write.
    let status = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 128; exec \"$0\" --exact child_whose_disk_is_full --nocapture"])
        .arg(exe)
        .env(CHILD_FOLDER, folder.path())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}

type Store = Fills<u32, (), u16>;
type Read = Reader<u32, (), u16>;

/// What a request does: memory, then one fetch per key, which looks on disk before it goes to the origin.
async fn request(store: &Arc<Store>, name: u32, origin: &Arc<std::sync::atomic::AtomicUsize>) -> Bytes {
    let key = Key::new(format!("/{name}"));
    if let Some(object) = store.tiers().find(&key) {
        return object.body().collect().await.unwrap().to_bytes();
    }
    let (tiers, sought, origin) = (store.tiers().clone(), key.clone(), origin.clone());
    let reader: Read = store
        .open(&key, |_| async move {
            if let Some(disk) = tiers.disk()
                && let Some(found) = disk.find(&sought).await
            {
                let Answer { description, length, body, is_kept, source } = found.into_answer();
                let body = Either::Left(body);
                return Fetched::Shared(Answer { description, length, body, is_kept, source });
            }
            origin.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let body = Either::Right(Full::new(Bytes::from(body_of(name, 1))));
            let length = Some(body_of(name, 1).len() as u64);
            Fetched::Shared(Answer {
                description: description(1),
                length,
                body,
                is_kept: true,
                source: Source::Origin,
            })
        })
        .unwrap();
    match reader.opened(WAIT).await.unwrap() {
        Opened::Growing(growing) => growing.body().collect().await.unwrap().to_bytes(),
        other => panic!("{other:?}"),
    }
}

fn store(folder: &Path) -> Arc<Store> {
    let tiers = Tiers::new(4 << 20, 1 << 20);
    let admission = Admission::SecondHit(Duration::from_mins(10));
    Fills::new(Arc::new(tiers.with_disk(settings(folder), codec(), admission)), Limits::default())
}

#[tokio::test]
async fn an_object_goes_to_disk_on_its_second_request_and_comes_back_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Arc::default();
    let first = store(folder.path());
    let disk = || first.tiers().disk().unwrap();
    until(|| disk().is_ready()).await;
    assert!(request(&first, 1, &origin).await == body_of(1, 1));
    assert!(request(&first, 2, &origin).await == body_of(2, 1));
    assert!(request(&first, 1, &origin).await == body_of(1, 1));
    until(|| disk().count() == 1).await;
    assert!(disk().has(&Key::new("/1")));
    drop(first);

    let second = store(folder.path());
    until(|| second.tiers().disk().unwrap().is_ready()).await;
    let fetched = origin.load(std::sync::atomic::Ordering::Relaxed);
    assert!(request(&second, 1, &origin).await == body_of(1, 1));
    assert!(request(&second, 1, &origin).await == body_of(1, 1));
    assert_eq!(origin.load(std::sync::atomic::Ordering::Relaxed), fetched);
    let counters = second.tiers().counters();
    assert_eq!((counters.disk_hits.total(), counters.memory_hits.total()), (1, 1));
    assert_eq!(counters.disk_writes.total(), 0, "what came from disk is not written again");
}

#[tokio::test]
async fn an_object_evicted_before_its_second_request_goes_to_disk_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Arc::default();
    let store = store(folder.path());
    let disk = || store.tiers().disk().unwrap();
    until(|| disk().is_ready()).await;
    for name in 0..40 {
        request(&store, name, &origin).await;
    }
    assert_eq!(disk().count(), 0);
    let evicted = (0..40).find(|name| store.tiers().memory().peek(&Key::new(format!("/{name}"))).is_none());
    request(&store, evicted.unwrap(), &origin).await;
    until(|| disk().count() == 1).await;
}

#[tokio::test]
async fn many_requests_for_an_object_on_disk_make_one_read() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Arc::default();
    let first = store(folder.path());
    until(|| first.tiers().disk().unwrap().is_ready()).await;
    for _ in 0..2 {
        request(&first, 1, &origin).await;
    }
    until(|| first.tiers().disk().unwrap().count() == 1).await;
    drop(first);
    let second = store(folder.path());
    until(|| second.tiers().disk().unwrap().is_ready()).await;
    let requests = (0..50).map(|_| {
        let (second, origin) = (second.clone(), origin.clone());
        tokio::spawn(async move { request(&second, 1, &origin).await })
    });
    for request in requests.collect::<Vec<_>>() {
        assert!(request.await.unwrap() == body_of(1, 1));
    }
    let counters = second.tiers().counters();
    assert_eq!((counters.disk_hits.total(), counters.fills.total()), (1, 1));
    assert_eq!(origin.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_broken_disk_is_no_error_for_anybody() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("cache");
    let origin = Arc::default();
    let store = store(&folder);
    until(|| store.tiers().disk().unwrap().is_ready()).await;
    for _ in 0..2 {
        request(&store, 1, &origin).await;
    }
    until(|| store.tiers().disk().unwrap().count() == 1).await;
    std::fs::remove_dir_all(&folder).unwrap();
    for name in 0..20 {
        for _ in 0..2 {
            assert!(request(&store, name, &origin).await == body_of(name, 1));
        }
    }
    until(|| store.tiers().disk().unwrap().is_off()).await;
    assert!(store.tiers().counters().disk_off.total() >= 1);
}

#[tokio::test]
async fn a_purge_reaches_memory_and_disk() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Arc::default();
    let store = store(folder.path());
    let disk = || store.tiers().disk().unwrap();
    until(|| disk().is_ready()).await;
    for (name, _) in (0..4).flat_map(|name| [(name, 1), (name, 2)]) {
        request(&store, name, &origin).await;
    }
    until(|| disk().count() == 4).await;
    let one = store.purge(&Purge { scope: Scope::Key("/1".into()), depth: Depth::Hard }).await;
    assert_eq!((one.in_memory, one.on_disk), (1, 1));
    let rest = store
        .purge(&Purge { scope: Scope::Prefix("/".into()), depth: Depth::Soft(Duration::from_secs(9)) })
        .await;
    assert_eq!((rest.in_memory, rest.on_disk), (3, 3));
    assert!(store.tiers().find(&Key::new("/1")).is_none());
    assert!(store.tiers().find(&Key::new("/2")).unwrap().is_marked_stale());
    assert!(disk().find(&Key::new("/2")).await.is_none());
}

//! The rules of the disk tier, over real files.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;
use tempfile::TempDir;

use super::*;
use crate::store::disk::format::CHUNK_BYTES;
use crate::store::slabs::Slabs;

const PAUSE: Duration = Duration::from_millis(100);

fn settings(folder: &Path) -> Settings {
    Settings {
        folder: folder.to_owned(),
        bytes_max: 1 << 30,
        object_bytes_max: 64 << 20,
        reads_max: 4,
        loading_bytes_max: 32 << 20,
        read_timeout: Duration::from_secs(20),
        unwritten_bytes_max: 256 << 20,
        pause: PAUSE,
    }
}

fn codec() -> Codec<u8> {
    Codec { write: |meta, bytes| bytes.push(*meta), read: |bytes| bytes.first().copied() }
}

struct Started {
    disk: Disk<u8>,
    purges: Arc<Purges>,
    counters: Arc<Counters>,
}

impl std::ops::Deref for Started {
    type Target = Disk<u8>;

    fn deref(&self) -> &Disk<u8> {
        &self.disk
    }
}

fn unread(settings: Settings) -> Started {
    let (purges, counters) = (Arc::<Purges>::default(), Arc::<Counters>::default());
    let disk = Disk::start(settings, codec(), purges.clone(), counters.clone());
    Started { disk, purges, counters }
}

async fn start(folder: &Path) -> Started {
    let started = unread(settings(folder));
    until(|| started.is_ready()).await;
    started
}

/// Ends a disk as a stop of the process would, and begins anew.
async fn restart(started: Started, folder: &Path) -> Started {
    drop(started);
    start(folder).await
}

async fn until(holds: impl Fn() -> bool) {
    let begun = tokio::time::Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it never held");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn numbered(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

fn object(text: &str, body: &[u8], tags: &[&str], outlived: u64) -> Arc<Object<u8>> {
    let tags = tags.iter().map(|tag| Box::from(*tag)).collect();
    let description = Description { meta: 7, meta_bytes: 9, tags, may_rest_on_disk: true };
    Arc::new(Object::new(Key::new(text), Arc::new(description), Slabs::copied(body), outlived))
}

async fn put(started: &Started, text: &str, body: &[u8]) {
    let writes = started.counters.disk_writes.total();
    started.offer(&object(text, body, &[], started.purges.latest()));
    until(|| started.counters.disk_writes.total() > writes).await;
}

async fn read(body: DiskBody) -> Result<Bytes, DiskError> {
    body.collect().await.map(http_body_util::Collected::to_bytes)
}

async fn get(started: &Started, text: &str) -> Option<Vec<u8>> {
    let found = started.find(&Key::new(text)).await?;
    Some(read(found.body()).await.unwrap().to_vec())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.file_name() != Some("lock".as_ref()) {
            found.push(path);
        }
    }
    found
}

#[tokio::test]
async fn an_object_is_found_again_also_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let mut disk = start(folder.path()).await;
    let body = numbered(2 * CHUNK_BYTES + 5);
    disk.offer(&object("/a", &body, &["film"], 0));
    until(|| disk.count() == 1).await;
    for _ in 0..2 {
        let found = disk.find(&Key::new("/a")).await.unwrap();
        assert_eq!((*found.meta(), found.len()), (7, body.len() as u64));
        assert_eq!((&*found.description.tags, found.description.meta_bytes), (&["film".into()][..], 9));
        assert_eq!(found.body().size_hint().exact(), Some(body.len() as u64));
        assert!(read(found.body()).await.unwrap() == body);
        let at = CHUNK_BYTES as u64 - 3;
        assert_eq!(read(found.range(at, at + 6)).await.unwrap(), body[CHUNK_BYTES - 3..CHUNK_BYTES + 3]);
        // Who reads holds the folder.
        drop(found);
        disk = restart(disk, folder.path()).await;
    }
    assert!(disk.find(&Key::new("/b")).await.is_none());
    let name = format!("{:032x}", Key::new("/a").hash());
    assert_eq!(files(folder.path()), [folder.path().join(&name[..2]).join(&name[2..4]).join(&name)]);
}

#[tokio::test]
async fn a_chunk_that_has_to_be_waited_for_is_the_same() {
    let folder = TempDir::new().unwrap();
    let disk = start(folder.path()).await;
    let body = numbered(5 * CHUNK_BYTES + 5);
    put(&disk, "/a", &body).await;
    let found = disk.find(&Key::new("/a")).await.unwrap();
    let mut slow = found.body();
    // As if the kernel had not had the first chunk in memory; the next ones follow by reading ahead.
    slow.begin(0);
    let mut got = Vec::new();
    while let Some(frame) = slow.frame().await {
        got.extend_from_slice(&frame.unwrap().into_data().unwrap());
        assert!(slow.coming.is_some() || slow.is_end_stream());
    }
    assert!(got == body);
}

#[tokio::test]
async fn a_newer_object_takes_the_place_of_an_older_one() {
    let folder = TempDir::new().unwrap();
    let disk = start(folder.path()).await;
    put(&disk, "/a", b"older and longer").await;
    let reader = disk.find(&Key::new("/a")).await.unwrap();
    put(&disk, "/a", b"newer").await;
    assert_eq!(get(&disk, "/a").await.unwrap(), b"newer");
    assert_eq!(read(reader.body()).await.unwrap(), "older and longer", "who reads it goes on");
    assert_eq!((disk.count(), files(folder.path()).len()), (1, 1));
}

#[tokio::test]
async fn a_file_cut_off_anywhere_is_a_miss_and_goes() {
    let folder = TempDir::new().unwrap();
    let mut disk = start(folder.path()).await;
    let body = numbered(CHUNK_BYTES + 100);
    put(&disk, "/a", &body).await;
    let file = files(folder.path()).remove(0);
    let whole = fs::read(&file).unwrap();
    let front = format::HEAD_BYTES + 3;
    let mut lengths = vec![0, 1, 8, 55, 56, 57, front, front + 1, front + CHUNK_BYTES];
    lengths.extend([1, 4, 5, 8, 12, 13].map(|back| whole.len() - back));
    for (round, length) in lengths.into_iter().enumerate() {
        fs::write(&file, &whole[..length]).unwrap();
        if round % 2 == 0 {
            disk = restart(disk, folder.path()).await;
            assert_eq!(disk.count(), 0, "cut at {length}, found at the start");
        }
        assert!(disk.find(&Key::new("/a")).await.is_none(), "cut at {length}");
        until(|| !file.exists()).await;
        put(&disk, "/a", &body).await;
        assert!(get(&disk, "/a").await.unwrap() == body);
    }
}

#[tokio::test]
async fn a_byte_changed_before_the_body_or_behind_it_is_a_miss() {
    let folder = TempDir::new().unwrap();
    let disk = start(folder.path()).await;
    put(&disk, "/a", b"the body").await;
    let file = files(folder.path()).remove(0);
    let whole = fs::read(&file).unwrap();
    let body = format::HEAD_BYTES + 3..whole.len() - 8;
    for at in (0..whole.len()).filter(|at| !body.contains(at)) {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        fs::write(&file, changed).unwrap();
        assert!(disk.find(&Key::new("/a")).await.is_none(), "byte {at}");
        until(|| !file.exists()).await;
        put(&disk, "/a", b"the body").await;
    }
    assert_eq!(disk.counters.disk_off.total(), 0, "a bad file is no bad disk");
}

#[tokio::test]
async fn a_damaged_chunk_ends_the_body_with_an_error_before_its_bytes_and_the_file_goes() {
    let folder = TempDir::new().unwrap();
    let disk = start(folder.path()).await;
    let body = numbered(3 * CHUNK_BYTES);
    for waits in [false, true] {
        put(&disk, "/a", &body).await;
        let file = files(folder.path()).remove(0);
        let damaged = OpenOptions::new().write(true).open(&file).unwrap();
        damaged.write_all_at(&[0xff], (format::HEAD_BYTES + 3 + 2 * CHUNK_BYTES - 1) as u64).unwrap();
        let found = disk.find(&Key::new("/a")).await.unwrap();
        let mut reader = found.body();
        if waits {
            reader.begin(0);
        }
        let first = reader.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(first == body[..CHUNK_BYTES]);
        assert!(matches!(reader.frame().await.unwrap(), Err(DiskError(FileError::Corrupt))));
        assert!(reader.frame().await.is_none());
        assert!(!disk.has(&Key::new("/a")));
        until(|| !file.exists()).await;
    }
    assert_eq!(disk.counters.disk_corrupt.total(), 2);
}

#[tokio::test]
async fn a_file_cut_off_while_it_is_read_ends_the_body_with_an_error() {
    let folder = TempDir::new().unwrap();
    let disk = start(folder.path()).await;
    put(&disk, "/a", &numbered(3 * CHUNK_BYTES)).await;
    let mut reader = disk.find(&Key::new("/a")).await.unwrap().body();
    assert!(reader.frame().await.unwrap().is_ok());
    let file = OpenOptions::new().write(true).open(files(folder.path()).remove(0)).unwrap();
    file.set_len(CHUNK_BYTES as u64 + 1_000).unwrap();
    assert!(reader.frame().await.unwrap().is_err());
}

#[tokio::test]
async fn a_removed_folder_is_a_miss_and_turns_writing_off_for_a_while() {
    let parent = TempDir::new().unwrap();
    let folder = parent.path().join("cache");
    let disk = start(&folder).await;
    put(&disk, "/a", b"the body").await;
    fs::remove_dir_all(&folder).unwrap();
    assert!(disk.find(&Key::new("/a")).await.is_none());
    assert!(!disk.is_off(), "one file that is gone says nothing of the disk");
    disk.offer(&object("/b", b"", &[], 0));
    until(|| disk.is_off()).await;
    assert_eq!((disk.counters.disk_off.total(), disk.counters.disk_errors.total()), (1, 1));
    disk.offer(&object("/c", b"", &[], 0));
    fs::create_dir(&folder).unwrap();
    until(|| !disk.is_off()).await;
    put(&disk, "/b", b"again").await;
    assert_eq!(get(&disk, "/b").await.unwrap(), b"again");
    assert!(disk.find(&Key::new("/c")).await.is_none(), "it was left alone while it was off");
}

#[tokio::test]
async fn a_place_that_cannot_be_written_turns_writing_off_and_leaves_nothing_behind() {
    let folder = TempDir::new().unwrap();
    let disk = start(folder.path()).await;
    put(&disk, "/a", b"the body").await;
    let name = format!("{:032x}", Key::new("/b").hash());
    fs::create_dir_all(folder.path().join(&name[..2]).join(&name[2..4]).join(&name).join("in the way"))
        .unwrap();
    disk.offer(&object("/b", b"", &[], 0));
    until(|| disk.is_off()).await;
    assert_eq!(get(&disk, "/a").await.unwrap(), b"the body", "what is there is still read");
    assert_eq!(files(folder.path()).len(), 1);
}

#[tokio::test]
async fn a_folder_that_cannot_be_had_is_tried_again() {
    let parent = TempDir::new().unwrap();
    let folder = parent.path().join("cache");
    fs::write(&folder, "a file in its place").unwrap();
    let disk = unread(settings(&folder));
    until(|| disk.is_off()).await;
    assert!(!disk.is_ready() && disk.find(&Key::new("/a")).await.is_none());
    disk.offer(&object("/a", b"", &[], 0));
    fs::remove_file(&folder).unwrap();
    until(|| disk.is_ready() && !disk.is_off()).await;
    put(&disk, "/a", b"the body").await;
}

#[tokio::test]
async fn two_disks_do_not_share_a_folder() {
    let folder = TempDir::new().unwrap();
    let first = start(folder.path()).await;
    let second = unread(settings(folder.path()));
    until(|| second.is_off()).await;
    assert!(!second.is_ready());
    drop(first);
    until(|| second.is_ready()).await;
}

#[tokio::test]
async fn what_was_not_written_to_its_end_is_removed_and_what_is_not_ours_is_not() {
    let folder = TempDir::new().unwrap();
    let mut disk = start(folder.path()).await;
    put(&disk, "/a", b"the body").await;
    let place = files(folder.path()).remove(0);
    let unfinished = place.with_extension("3.tmp");
    let [foreign, elsewhere] = [place.with_file_name("notes.txt"), folder.path().join("notes.txt")];
    for path in [&unfinished, &foreign, &elsewhere] {
        fs::write(path, "bytes").unwrap();
    }
    let misplaced = place.with_file_name(format!("{:032x}", Key::new("/b").hash()));
    fs::copy(&place, &misplaced).unwrap();
    disk = restart(disk, folder.path()).await;
    assert!(!unfinished.exists() && !misplaced.exists());
    assert!(foreign.exists() && elsewhere.exists());
    assert_eq!(disk.count(), 1);
}

#[tokio::test]
async fn files_stay_under_their_bound_now_and_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let small = Settings { bytes_max: 100_000, ..settings(folder.path()) };
    let disk = unread(small.clone());
    until(|| disk.is_ready()).await;
    for number in 0..30 {
        put(&disk, &format!("/{number}"), &numbered(10_000)).await;
        assert!(disk.bytes() <= 100_000);
    }
    let on_disk = || files(folder.path()).iter().map(|file| fs::metadata(file).unwrap().len()).sum::<u64>();
    until(|| on_disk() == disk.bytes()).await;
    assert_eq!(disk.counters.disk_evictions.total(), 30 - disk.count() as u64);
    drop(disk);
    let smaller = unread(Settings { bytes_max: 30_000, ..small });
    until(|| smaller.is_ready()).await;
    assert_eq!(smaller.count(), 2);
    until(|| on_disk() == smaller.bytes()).await;
}

#[tokio::test]
async fn a_purge_removes_the_files_so_that_a_restart_does_not_bring_them_back() {
    for scope in
        [Scope::Key("/vod/a".into()), Scope::Prefix("/vod/".into()), Scope::Tag("film".into()), Scope::All]
    {
        let folder = TempDir::new().unwrap();
        let mut disk = start(folder.path()).await;
        for (text, tags) in [("/vod/a", &["film"][..]), ("/live/a", &[])] {
            disk.offer(&object(text, b"bytes", tags, 0));
        }
        until(|| disk.count() == 2).await;
        let gone = disk.purge(&scope).await;
        assert_eq!(gone, if scope == Scope::All { 2 } else { 1 }, "{scope:?}");
        for _ in 0..2 {
            assert!(disk.find(&Key::new("/vod/a")).await.is_none(), "{scope:?}");
            assert_eq!(disk.find(&Key::new("/live/a")).await.is_some(), scope != Scope::All, "{scope:?}");
            disk = restart(disk, folder.path()).await;
        }
    }
}

#[tokio::test]
async fn an_object_fetched_before_a_purge_is_not_shown_after_it() {
    let folder = TempDir::new().unwrap();
    let disk = start(folder.path()).await;
    let early = object("/vod/a", b"bytes", &[], disk.purges.latest());
    disk.purges.record(crate::store::purge::Purge {
        scope: Scope::All,
        depth: crate::store::purge::Depth::Soft(Duration::from_secs(9)),
    });
    disk.offer(&early);
    until(|| disk.counters.disk_writes.total() == 1).await;
    assert!(disk.find(&Key::new("/vod/a")).await.is_none());
    until(|| files(folder.path()).is_empty()).await;
}

#[tokio::test]
async fn what_waits_to_be_written_is_bounded() {
    let folder = TempDir::new().unwrap();
    let disk = unread(Settings { unwritten_bytes_max: 100 << 10, ..settings(folder.path()) });
    until(|| disk.is_ready()).await;
    // Nothing is written meanwhile: the one turn is taken.
    let turn = disk.writer.clone().acquire_owned().await;
    for number in 0..10 {
        disk.offer(&object(&format!("/{number}"), &numbered(30 << 10), &[], 0));
    }
    assert_eq!(disk.counters.disk_skipped.total(), 7);
    drop(turn);
    until(|| disk.count() == 3).await;
}

#[tokio::test]
async fn what_may_not_rest_on_disk_and_what_is_too_large_is_not_written() {
    let folder = TempDir::new().unwrap();
    let disk = unread(Settings { object_bytes_max: 10, ..settings(folder.path()) });
    until(|| disk.is_ready()).await;
    let description = Description { meta: 7, meta_bytes: 0, tags: Box::default(), may_rest_on_disk: false };
    let live = Object::new(Key::new("/live"), Arc::new(description), Slabs::copied(b""), 0);
    disk.offer(&Arc::new(live));
    disk.offer(&object("/large", &numbered(11), &[], 0));
    put(&disk, "/a", &numbered(10)).await;
    assert_eq!((disk.count(), files(folder.path()).len()), (1, 1));
}

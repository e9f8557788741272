//! The rules of collapsing: one fetch, streamed to all who wait.

use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll};

use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::mpsc;

use super::*;
use crate::store::fill::{Answer, Growing, Opened, Source, WaitError};
use crate::store::flow::FillBody;
use crate::store::flow::FillError;
use crate::store::object::Description;
use crate::store::object::Object;
use crate::store::purge::Depth;
use crate::store::purge::Scope;
use crate::store::slabs::Slabs;

const LONG: Duration = Duration::from_hours(1);
const MIB: usize = 1 << 20;

type Store = Fills<u8, &'static str, u16>;
type Read = Reader<u8, &'static str, u16>;
type Got = Fetched<u8, &'static str, u16, Scripted>;

/// A source that sends what its test tells it to, when it does.
struct Scripted(mpsc::UnboundedReceiver<Result<Bytes, &'static str>>);

impl Body for Scripted {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        self.0.poll_recv(context).map(|frame| frame.map(|frame| frame.map(Frame::data)))
    }
}

type Script = mpsc::UnboundedSender<Result<Bytes, &'static str>>;

fn scripted() -> (Script, Scripted) {
    let (script, frames) = mpsc::unbounded_channel();
    (script, Scripted(frames))
}

fn store(limits: Limits) -> Arc<Store> {
    Fills::new(Arc::new(Tiers::new(64 << 20, limits.object_bytes_max)), limits)
}

fn description(tags: &[&str]) -> Description<u8> {
    let tags = tags.iter().map(|tag| Box::from(*tag)).collect();
    Description { meta: 7, meta_bytes: 1, tags, may_rest_on_disk: true }
}

fn shared(length: Option<u64>, body: Scripted) -> Got {
    Fetched::Shared(Answer {
        description: description(&["film"]),
        length,
        body,
        is_kept: true,
        source: Source::Origin,
    })
}

fn open(store: &Arc<Store>, got: Got) -> Read {
    store.open(&Key::new("/a"), |_| async { got }).unwrap()
}

fn join(store: &Arc<Store>) -> Read {
    store.open(&Key::new("/a"), |_| std::future::pending::<Got>()).unwrap()
}

/// Opens a fetch of which the test writes the body.
fn begin(store: &Arc<Store>, length: Option<u64>) -> (Script, Read) {
    let (script, body) = scripted();
    (script, open(store, shared(length, body)))
}

async fn growing(reader: Read) -> Growing<u8> {
    match reader.opened(LONG).await.unwrap() {
        Opened::Growing(growing) => growing,
        other => panic!("{other:?}"),
    }
}

async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

fn numbered(bytes: usize) -> Bytes {
    (0..bytes).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

async fn whole(body: FillBody) -> Result<Bytes, FillError> {
    body.collect().await.map(http_body_util::Collected::to_bytes)
}

async fn next(body: &mut FillBody) -> Option<Result<Bytes, FillError>> {
    body.frame().await.map(|frame| frame.map(|frame| frame.into_data().unwrap()))
}

#[tokio::test]
async fn a_thousand_waiters_make_one_fetch_and_all_get_every_byte() {
    let store = store(Limits::default());
    let bytes = numbered(MIB / 2 + 17);
    let (script, leader) = begin(&store, Some(bytes.len() as u64));
    let readers = std::iter::once(leader).chain((1..1_000).map(|_| join(&store)));
    let readers: Vec<_> = readers
        .map(|reader| tokio::spawn(async move { whole(growing(reader).await.body()).await }))
        .collect();
    settle().await;
    for part in bytes.chunks(30_000) {
        script.send(Ok(Bytes::copy_from_slice(part))).unwrap();
        tokio::task::yield_now().await;
    }
    drop(script);
    for reader in readers {
        assert!(reader.await.unwrap().unwrap() == bytes);
    }
    let counters = store.tiers().counters();
    assert_eq!((counters.fills.total(), counters.collapsed.total()), (1, 999));
    assert!(store.is_empty());
    assert_eq!(store.bytes(), 0);
    let object = store.tiers().find(&Key::new("/a")).unwrap();
    assert_eq!((object.len(), *object.meta()), (bytes.len() as u64, 7));
}

#[tokio::test]
async fn a_reader_that_comes_late_starts_at_the_first_byte_and_follows() {
    let store = store(Limits::default());
    let (script, leader) = begin(&store, None);
    let mut first = growing(leader).await.body();
    script.send(Ok(numbered(1_000))).unwrap();
    assert_eq!(next(&mut first).await.unwrap().unwrap(), numbered(1_000));
    let mut late = growing(join(&store)).await.body();
    assert_eq!(next(&mut late).await.unwrap().unwrap(), numbered(1_000));
    script.send(Ok(Bytes::from_static(b"more"))).unwrap();
    assert_eq!(next(&mut late).await.unwrap().unwrap(), "more");
    assert_eq!(next(&mut first).await.unwrap().unwrap(), "more");
    drop(script);
    assert!(next(&mut late).await.is_none());
    assert!(next(&mut first).await.is_none());
}

#[tokio::test]
async fn readers_share_the_bytes_and_copy_none() {
    let store = store(Limits::default());
    let (script, leader) = begin(&store, Some(100_000));
    let (mut one, mut other) = (growing(leader).await.body(), growing(join(&store)).await.body());
    script.send(Ok(numbered(100_000))).unwrap();
    let [one, other] = [next(&mut one).await, next(&mut other).await].map(|got| got.unwrap().unwrap());
    drop(script);
    settle().await;
    let kept = store.tiers().find(&Key::new("/a")).unwrap().slabs().slice(0, 1).unwrap();
    assert_eq!(one.as_ptr(), other.as_ptr());
    assert_eq!(one.as_ptr(), kept.as_ptr());
}

#[tokio::test]
async fn a_range_of_an_arriving_object_waits_for_its_bytes_and_ends_before_the_object() {
    let store = store(Limits::default());
    let (script, leader) = begin(&store, Some(10_000));
    let range = growing(join(&store)).await.range(4_000, 6_000);
    assert_eq!(range.size_hint().exact(), Some(2_000));
    let range = tokio::spawn(whole(range));
    let bytes = numbered(10_000);
    script.send(Ok(bytes.slice(..5_000))).unwrap();
    settle().await;
    assert!(!range.is_finished());
    script.send(Ok(bytes.slice(5_000..7_000))).unwrap();
    assert_eq!(range.await.unwrap().unwrap(), bytes.slice(4_000..6_000));
    drop((script, leader));
}

#[tokio::test]
async fn the_size_is_exact_where_the_length_is_known() {
    let store = store(Limits::default());
    let (_script, leader) = begin(&store, Some(10));
    let leader = growing(leader).await;
    assert_eq!(leader.length(), Some(10));
    assert_eq!(leader.body().size_hint().exact(), Some(10));
}

#[tokio::test]
async fn the_size_is_open_where_the_length_is_not_known() {
    let store = store(Limits::default());
    let (script, leader) = begin(&store, None);
    let body = growing(leader).await.body();
    script.send(Ok(numbered(10))).unwrap();
    settle().await;
    assert_eq!((body.size_hint().lower(), body.size_hint().exact()), (10, None));
    assert!(!body.is_end_stream());
    drop(script);
    settle().await;
    assert_eq!(body.size_hint().exact(), Some(10));
}

#[tokio::test]
async fn a_reader_that_stalls_holds_nobody() {
    let store = store(Limits::default());
    let (script, leader) = begin(&store, Some(8 * MIB as u64));
    let mut stalled = growing(leader).await.body();
    let quick = tokio::spawn(whole(growing(join(&store)).await.body()));
    let bytes = numbered(8 * MIB);
    script.send(Ok(bytes.clone())).unwrap();
    drop(script);
    assert!(quick.await.unwrap().unwrap() == bytes);
    assert!(next(&mut stalled).await.unwrap().is_ok());
    assert!(store.tiers().find(&Key::new("/a")).is_some());
}

#[tokio::test]
async fn a_source_that_breaks_off_ends_its_readers_with_an_error_and_stores_nothing() {
    let store = store(Limits::default());
    for length in [Some(1_000), None] {
        let (script, leader) = begin(&store, length);
        let mut body = growing(leader).await.body();
        script.send(Ok(numbered(900))).unwrap();
        assert!(next(&mut body).await.unwrap().is_ok());
        script.send(Err("reset")).unwrap();
        assert_eq!(next(&mut body).await, Some(Err(FillError::Broken("reset".into()))));
        assert!(store.is_empty());
        assert!(store.tiers().find(&Key::new("/a")).is_none());
    }
    assert_eq!(store.tiers().counters().fills_failed.total(), 2);
    assert_eq!(store.bytes(), 0);
}

#[tokio::test]
async fn a_body_shorter_or_longer_than_declared_is_an_error() {
    for (bytes, error) in
        [(9, FillError::Short { came: 9, declared: 10 }), (11, FillError::Long { declared: 10 })]
    {
        let store = store(Limits::default());
        let (script, leader) = begin(&store, Some(10));
        script.send(Ok(numbered(bytes))).unwrap();
        drop(script);
        assert_eq!(whole(growing(leader).await.body()).await, Err(error));
        assert!(store.tiers().find(&Key::new("/a")).is_none());
    }
}

#[tokio::test]
async fn a_range_behind_the_end_of_an_object_of_unknown_length_is_an_error() {
    let store = store(Limits::default());
    let (script, leader) = begin(&store, None);
    script.send(Ok(numbered(10))).unwrap();
    drop(script);
    let range = growing(leader).await.range(5, 20);
    assert_eq!(whole(range).await, Err(FillError::Short { came: 10, declared: 20 }));
}

#[tokio::test]
async fn a_fetch_that_panics_leaves_nobody_waiting() {
    let store = store(Limits::default());
    let reader: Read = store
        .open(&Key::new("/a"), |_| async { if true { panic!("as told") } else { scripted_end() } })
        .unwrap();
    assert_eq!(reader.opened(LONG).await.unwrap_err(), WaitError::Lost);
    assert!(store.is_empty());
}

fn scripted_end() -> Got {
    Fetched::Failed(0)
}

struct Panicking;

impl Body for Panicking {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        panic!("as told")
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::new()
    }
}

#[tokio::test]
async fn a_source_that_panics_ends_bodies_with_an_error() {
    let store = store(Limits::default());
    let answer = Answer {
        description: description(&[]),
        length: None,
        body: Panicking,
        is_kept: true,
        source: Source::Origin,
    };
    let reader: Read = store.open(&Key::new("/a"), |_| async { Fetched::Shared(answer) }).unwrap();
    assert_eq!(whole(growing(reader).await.body()).await, Err(FillError::Lost));
    assert!(store.is_empty());
}

#[tokio::test]
async fn a_failed_fetch_is_told_to_all_who_wait() {
    let store = store(Limits::default());
    let (leader, follower) = (open(&store, Fetched::Failed(504)), join(&store));
    for reader in [leader, follower] {
        assert!(matches!(reader.opened(LONG).await, Ok(Opened::Failed(504))));
    }
    assert!(store.is_empty());
}

#[tokio::test]
async fn an_object_that_is_there_whole_is_given_to_all_and_kept() {
    let store = store(Limits::default());
    let object = Object::new(Key::new("/a"), Arc::new(description(&[])), Slabs::copied(b"held"), 0);
    let (leader, follower) = (open(&store, Fetched::Whole(Arc::new(object))), join(&store));
    for reader in [leader, follower] {
        assert!(matches!(reader.opened(LONG).await, Ok(Opened::Whole(object)) if object.len() == 4));
    }
    assert!(store.tiers().find(&Key::new("/a")).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_private_answer_releases_the_others_at_once_and_its_key_is_remembered() {
    let limits = Limits { private_for: Duration::from_mins(1), ..Limits::default() };
    let store = store(limits);
    let (leader, follower) = (open(&store, Fetched::Private("mine")), join(&store));
    assert!(matches!(follower.opened(LONG).await, Ok(Opened::Refused)));
    assert!(matches!(leader.opened(LONG).await, Ok(Opened::Private("mine"))));
    // From here on nobody waits for another one.
    let (one, other) = (open(&store, Fetched::Private("one")), open(&store, Fetched::Private("other")));
    assert!(matches!(one.opened(LONG).await, Ok(Opened::Private("one"))));
    assert!(matches!(other.opened(LONG).await, Ok(Opened::Private("other"))));
    tokio::time::advance(Duration::from_secs(61)).await;
    let (_script, leader) = begin(&store, None);
    assert!(!join(&store).leads() && leader.leads());
}

#[tokio::test]
async fn a_key_whose_answer_may_be_shared_again_is_collapsed_again() {
    let store = store(Limits::default());
    assert!(open(&store, Fetched::Private("mine")).opened(LONG).await.is_ok());
    let (script, leader) = begin(&store, None);
    drop(script);
    whole(growing(leader).await.body()).await.unwrap();
    let (_script, _leader) = begin(&store, None);
    assert!(!join(&store).leads());
}

#[tokio::test(start_paused = true)]
async fn waiters_are_bounded_in_number_and_time() {
    let store = store(Limits { waiters_max: 3, ..Limits::default() });
    let pending = |_| std::future::pending::<Got>();
    let key = Key::new("/a");
    let readers: Vec<Read> = (0..3).map(|_| store.open(&key, pending).unwrap()).collect();
    assert_eq!(store.open(&key, pending).unwrap_err(), Crowded(3));
    for reader in readers {
        let late = reader.opened(Duration::from_secs(10)).await.unwrap_err();
        assert_eq!(late, WaitError::Late(Duration::from_secs(10)));
    }
    assert!(store.open(&key, pending).is_ok());
    assert_eq!(store.tiers().counters().crowded.total(), 1);
}

#[tokio::test]
async fn those_who_read_do_not_count_as_waiting() {
    let store = store(Limits { waiters_max: 2, ..Limits::default() });
    let (_script, leader) = begin(&store, None);
    let mut bodies = vec![growing(leader).await.body()];
    for _ in 0..10 {
        bodies.push(growing(join(&store)).await.body());
    }
    assert_eq!(bodies.len(), 11);
}

/// Begins a fetch of `length`, sends `came` bytes of it to `readers` and lets them all leave: whether it goes on.
async fn outlives_its_readers(length: Option<u64>, came: usize, readers: usize) -> bool {
    let store = store(Limits::default());
    let (script, leader) = begin(&store, length);
    let joined = (1..readers).map(|_| join(&store));
    let mut bodies = Vec::new();
    for reader in std::iter::once(leader).chain(joined) {
        bodies.push(growing(reader).await.body());
    }
    script.send(Ok(numbered(came))).unwrap();
    settle().await;
    drop(bodies);
    settle().await;
    assert_eq!(store.tiers().counters().fills_abandoned.total(), u64::from(store.is_empty()));
    assert_eq!(script.is_closed(), store.is_empty(), "the source goes with its fetch");
    !store.is_empty()
}

#[tokio::test]
async fn the_last_reader_that_leaves_ends_a_fetch_of_which_less_than_half_is_there() {
    assert!(!outlives_its_readers(Some(1_000), 499, 1).await);
    assert!(outlives_its_readers(Some(1_000), 500, 1).await);
    assert!(!outlives_its_readers(None, 500, 1).await);
    assert!(outlives_its_readers(Some(1_000), 1, 2).await, "two requests came for it");
    assert!(outlives_its_readers(None, 1, 2).await, "two requests came for it");
}

#[tokio::test]
async fn a_leader_that_leaves_ends_nothing_for_the_others() {
    let store = store(Limits::default());
    let (script, leader) = begin(&store, Some(1_000));
    let follower = join(&store);
    drop(leader);
    let follower = growing(follower).await.body();
    script.send(Ok(numbered(1_000))).unwrap();
    drop(script);
    assert_eq!(whole(follower).await.unwrap(), numbered(1_000));
}

struct OnDrop(Arc<AtomicUsize>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_fetch_nobody_waits_for_is_ended_before_its_head() {
    let store = store(Limits::default());
    let ended = Arc::new(AtomicUsize::new(0));
    let guard = OnDrop(ended.clone());
    let reader: Read = store
        .open(&Key::new("/a"), |_| async move {
            let _guard = guard;
            std::future::pending::<Got>().await
        })
        .unwrap();
    settle().await;
    drop(reader);
    settle().await;
    assert_eq!(ended.load(Ordering::Relaxed), 1);
    assert!(store.is_empty());
}

#[tokio::test]
async fn an_object_too_large_by_its_head_is_streamed_and_not_kept() {
    let limits = Limits { object_bytes_max: 64 << 10, window_bytes: 300 << 10, ..Limits::default() };
    let store = store(limits);
    let bytes = numbered(2 * MIB);
    let (script, leader) = begin(&store, Some(bytes.len() as u64));
    let follower = join(&store);
    let bodies =
        [leader, follower].map(|reader| tokio::spawn(async { whole(growing(reader).await.body()).await }));
    settle().await;
    assert!(store.is_empty(), "nobody can join it any more");
    for part in bytes.chunks(50_000) {
        script.send(Ok(Bytes::copy_from_slice(part))).unwrap();
    }
    drop(script);
    for body in bodies {
        assert!(body.await.unwrap().unwrap() == bytes);
    }
    assert!(store.tiers().find(&Key::new("/a")).is_none());
    assert_eq!((store.tiers().counters().fills_passed.total(), store.bytes()), (1, 0));
}

#[tokio::test]
async fn an_object_that_turns_out_too_large_is_streamed_and_not_kept() {
    let limits = Limits { object_bytes_max: 300 << 10, window_bytes: 100 << 10, ..Limits::default() };
    let store = store(limits);
    let bytes = numbered(2 * MIB);
    let (script, leader) = begin(&store, None);
    let body = tokio::spawn(whole(growing(leader).await.body()));
    for part in bytes.chunks(50_000) {
        script.send(Ok(Bytes::copy_from_slice(part))).unwrap();
    }
    drop(script);
    assert!(body.await.unwrap().unwrap() == bytes);
    assert!(store.tiers().find(&Key::new("/a")).is_none());
}

#[tokio::test]
async fn what_is_not_kept_waits_for_its_only_reader() {
    let limits = Limits { object_bytes_max: 1, window_bytes: 100_000, ..Limits::default() };
    let store = store(limits);
    let (script, leader) = begin(&store, None);
    let mut body = growing(leader).await.body();
    for _ in 0..100 {
        script.send(Ok(numbered(50_000))).unwrap();
    }
    settle().await;
    assert!(store.bytes() <= 150_000, "{} bytes", store.bytes());
    drop(script);
    let mut came = 0;
    while let Some(frame) = next(&mut body).await {
        came += frame.unwrap().len();
        tokio::task::yield_now().await;
    }
    assert_eq!(came, 5_000_000);
}

#[tokio::test(start_paused = true)]
async fn a_laggard_of_an_object_that_is_not_kept_is_cut_off_after_its_time() {
    let limits = Limits { object_bytes_max: 1, window_bytes: 100_000, ..Limits::default() };
    let store = store(limits);
    let (script, leader) = begin(&store, None);
    let follower = join(&store);
    let mut stalled = growing(leader).await.body();
    let quick = tokio::spawn(whole(growing(follower).await.body()));
    for _ in 0..100 {
        script.send(Ok(numbered(50_000))).unwrap();
    }
    drop(script);
    assert_eq!(quick.await.unwrap().unwrap().len(), 5_000_000);
    assert_eq!(next(&mut stalled).await, Some(Err(FillError::Cut)));
    assert_eq!(store.tiers().counters().readers_cut.total(), 1);
}

#[tokio::test]
async fn arriving_objects_are_bounded_together() {
    let limits = Limits { flying_bytes_max: 1 << 20, window_bytes: 64 << 10, ..Limits::default() };
    let store = store(limits);
    let mut held = Vec::new();
    for number in 0..20 {
        let (script, body) = scripted();
        let reader = store.open(&Key::new(format!("/{number}")), |_| async { shared(None, body) }).unwrap();
        for _ in 0..10 {
            script.send(Ok(numbered(50_000))).unwrap();
        }
        held.push((script, growing(reader).await.body()));
        settle().await;
    }
    let bytes = store.bytes();
    assert!(bytes <= (1 << 20) + 20 * 120_000, "{bytes} bytes");
    assert!(store.tiers().counters().fills_passed.total() > 10);
    drop(held);
    settle().await;
    assert_eq!(store.bytes(), 0);
}

#[tokio::test]
async fn what_was_purged_on_its_way_is_not_kept_and_not_joined() {
    for (scope, depth) in [
        (Scope::Key("/a".into()), Depth::Hard),
        (Scope::Prefix("/".into()), Depth::Hard),
        (Scope::Tag("film".into()), Depth::Hard),
        (Scope::All, Depth::Hard),
        (Scope::Key("/a".into()), Depth::Soft(Duration::from_secs(9))),
        (Scope::Tag("film".into()), Depth::Soft(Duration::from_secs(9))),
    ] {
        let store = store(Limits::default());
        let (script, leader) = begin(&store, None);
        let leader = growing(leader).await.body();
        store.purge(&Purge { scope: scope.clone(), depth }).await;
        let (_later, second) = begin(&store, None);
        assert!(second.leads(), "{scope:?}: an answer from before the purge is for those who have it");
        drop((script, second));
        settle().await;
        whole(leader).await.unwrap();
        let kept = store.tiers().find(&Key::new("/a"));
        match depth {
            Depth::Hard => assert!(kept.is_none(), "{scope:?}"),
            Depth::Soft(_) => assert!(kept.unwrap().is_marked_stale(), "{scope:?}"),
        }
    }
}

#[tokio::test]
async fn single_bytes_do_not_make_a_list_of_single_bytes() {
    let store = store(Limits::default());
    let (script, leader) = begin(&store, None);
    let mut body = growing(leader).await.body();
    let mut got = Vec::new();
    for byte in numbered(20_000) {
        script.send(Ok(vec![byte].into())).unwrap();
        got.extend_from_slice(&next(&mut body).await.unwrap().unwrap());
    }
    drop(script);
    assert!(next(&mut body).await.is_none());
    assert_eq!(got, numbered(20_000));
    let object = store.tiers().find(&Key::new("/a")).unwrap();
    assert!(object.slabs().pieces().count() <= 5);
    assert!(object.weight() < 22_000);
}

/// Readers on many threads, each at its own pace, some leaving early, see the bytes in order and to the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_on_many_threads_see_every_byte_in_order() {
    for round in 0..20 {
        let store = store(Limits::default());
        let bytes = numbered(MIB + round * 1_013);
        let (script, leader) = begin(&store, (round % 2 == 0).then_some(bytes.len() as u64));
        let mut readers = Vec::new();
        for number in 0..16_usize {
            let (reader, bytes) = (join(&store), bytes.clone());
            readers.push(tokio::spawn(async move {
                let first = number * 60_000;
                let mut body = growing(reader).await.range(first as u64, bytes.len() as u64);
                let mut at = first;
                while let Some(frame) = next(&mut body).await {
                    let frame = frame.unwrap();
                    assert_eq!(frame, bytes.slice(at..at + frame.len()));
                    at += frame.len();
                    if number % 5 == 1 {
                        return;
                    }
                    if number % 3 == 1 {
                        tokio::task::yield_now().await;
                    }
                }
                assert_eq!(at, bytes.len());
            }));
        }
        let writer = tokio::spawn({
            let bytes = bytes.clone();
            async move {
                for part in bytes.chunks(7_919) {
                    script.send(Ok(Bytes::copy_from_slice(part))).unwrap();
                    tokio::task::yield_now().await;
                }
            }
        });
        assert!(whole(growing(leader).await.body()).await.unwrap() == bytes);
        writer.await.unwrap();
        for reader in readers {
            reader.await.unwrap();
        }
    }
}

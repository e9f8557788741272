//! The store: what a hit, a fetch, a purge and a read from disk cost.

use std::convert::Infallible;
use std::hint::black_box;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use sluicegate::store::disk::{Codec, Disk, Settings};
use sluicegate::store::fill::{Answer, Fetched, Opened, Reader, Source};
use sluicegate::store::fills::{Fills, Limits};
use sluicegate::store::key::Key;
use sluicegate::store::object::{Description, Object};
use sluicegate::store::purge::{Depth, Purge, Scope};
use sluicegate::store::slabs::Slabs;
use sluicegate::store::tiers::Tiers;

const MIB: usize = 1 << 20;
const WAIT: Duration = Duration::from_mins(1);

type Store = Fills<(), (), ()>;

fn store(bytes_max: u64) -> Arc<Store> {
    Fills::new(Arc::new(Tiers::new(bytes_max, 8 << 20)), Limits::default())
}

fn description() -> Description<()> {
    Description { meta: (), meta_bytes: 0, tags: Box::default(), may_rest_on_disk: true }
}

fn object(key: Key, bytes: usize) -> Arc<Object<()>> {
    Arc::new(Object::new(key, Arc::new(description()), Slabs::copied(&vec![1; bytes]), 0))
}

fn text(number: usize) -> String {
    format!("example/vod/film-{}/720p/segment-{number:05}.m4s", number % 100)
}

/// Reads a body to its end without keeping it.
async fn drain<B: Body<Data = Bytes> + Unpin>(mut body: B) -> usize {
    let mut bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, Bytes::len);
    }
    bytes
}

/// A source that sends frames as a connection does: one at a time, with nothing ready in between.
struct Frames {
    frame: Bytes,
    left: usize,
    ready: bool,
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.ready = !self.ready;
        if self.ready {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(self.frame.clone()))))
    }
}

fn memory(criterion: &mut Criterion) {
    let store = store(256 << 20);
    let names: Vec<_> = (0..10_000).map(text).collect();
    for name in &names {
        store.tiers().keep(&object(Key::new(name.as_str()), 1 << 10), Source::Origin, 1);
    }
    criterion.bench_function("key of a segment", |bencher| {
        bencher.iter(|| Key::new(black_box(names[17].as_str())));
    });
    let keys: Vec<_> = names.iter().map(|name| Key::new(name.as_str())).collect();
    let mut at = 0;
    criterion.bench_function("memory hit among 10 000", |bencher| {
        bencher.iter(|| {
            at = (at + 7_919) % keys.len();
            store.tiers().find(black_box(&keys[at])).expect("it is there")
        });
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let large = object(Key::new("large"), 4 * MIB);
    criterion.bench_function("body of 4 MiB from memory", |bencher| {
        bencher.iter(|| runtime.block_on(drain(large.body())));
    });
}

fn purges(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("purge among 100 000");
    group.sample_size(10);
    let store = store(1 << 30);
    for number in 0..100_000 {
        store.tiers().keep(&object(Key::new(text(number)), 100), Source::Origin, 1);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for (name, scope) in [
        ("by key", Scope::Key(text(4_711).into())),
        ("by prefix", Scope::Prefix("example/vod/film-47/".into())),
        ("by surrogate key", Scope::Tag("film-47".into())),
    ] {
        let purge = Purge { scope, depth: Depth::Soft(Duration::from_secs(9)) };
        group.bench_function(name, |bencher| bencher.iter(|| runtime.block_on(store.purge(&purge))));
    }
    group.finish();
}

fn fills(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fetch of 1 MiB in frames of 16 KiB");
    group.sample_size(20);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let frame = Bytes::from(vec![1; 16 << 10]);
    group.throughput(Throughput::Bytes(MIB as u64));
    group.bench_function("the source alone", |bencher| {
        bencher.iter(|| runtime.block_on(drain(Frames { frame: frame.clone(), left: 64, ready: false })));
    });
    for readers in [1, 10, 1_000] {
        group.bench_function(format!("{readers} readers"), |bencher| {
            bencher.iter_batched(
                || store(64 << 20),
                |store| {
                    runtime.block_on(async {
                        let key = Key::new("/a");
                        let readers = (0..readers).map(|_| tokio::spawn(follow(open(&store, &key, &frame))));
                        for reader in readers.collect::<Vec<_>>() {
                            assert_eq!(reader.await.expect("a reader"), MIB);
                        }
                    });
                    store
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

fn open(store: &Arc<Store>, key: &Key, frame: &Bytes) -> Reader<(), (), ()> {
    let body = Frames { frame: frame.clone(), left: 64, ready: false };
    let fetch = |_| async {
        let length = Some(MIB as u64);
        Fetched::Shared(Answer {
            description: description(),
            length,
            body,
            is_kept: true,
            source: Source::Origin,
        })
    };
    store.open(key, fetch).expect("room to wait")
}

async fn follow(reader: Reader<(), (), ()>) -> usize {
    match reader.opened(WAIT).await.expect("a head") {
        Opened::Growing(growing) => drain(growing.body()).await,
        Opened::Whole(_) | Opened::Private(()) | Opened::Refused | Opened::Failed(()) => 0,
    }
}

fn disk(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let disk = runtime.block_on(written(folder.path()));
    let mut group = criterion.benchmark_group("disk, in the kernel's memory");
    for (name, bytes) in [("1 KiB", 1 << 10), ("4 MiB", 4 * MIB)] {
        group.bench_function(format!("find and read {name}"), |bencher| {
            bencher.iter(|| {
                runtime.block_on(async {
                    let found = disk.find(&Key::new(name)).await.expect("it was written");
                    assert_eq!(drain(found.body()).await, bytes);
                });
            });
        });
    }
    group.finish();
}

async fn written(folder: &Path) -> Disk<()> {
    let settings = Settings {
        folder: folder.to_owned(),
        bytes_max: 1 << 30,
        object_bytes_max: 8 << 20,
        reads_max: 8,
        loading_bytes_max: 32 << 20,
        read_timeout: Duration::from_secs(20),
        unwritten_bytes_max: 64 << 20,
        pause: Duration::from_secs(1),
    };
    let codec = Codec { write: |(), _| (), read: |_| Some(()) };
    let disk = Disk::start(settings, codec, Arc::default(), Arc::default());
    while disk.count() < 2 {
        disk.offer(&object(Key::new("1 KiB"), 1 << 10));
        disk.offer(&object(Key::new("4 MiB"), 4 * MIB));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    disk
}

criterion_group!(benches, memory, purges, fills, disk);
criterion_main!(benches);

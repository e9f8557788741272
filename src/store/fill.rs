//! One fetch and those who wait for it: first for its head, then for its bytes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::store::flow::{FillBody, Flow, Seated};
use crate::store::key::Key;
use crate::store::object::{Description, Object};
use crate::store::purge::Depth;

/// What came of a fetch, as its head tells it. `P` is an answer for one request alone, `F` the failure of a fetch.
#[derive(Debug)]
pub enum Fetched<M, P, F, B> {
    /// An answer for everybody: it is streamed to all who wait, and kept when it ends well.
    Shared(Answer<M, B>),
    /// An object that is there as a whole, as after a 304 to its validation. It is kept.
    Whole(Arc<Object<M>>),
    /// An answer that must not be shared: for the request that began the fetch. The others fetch on their own.
    Private(P),
    /// There is no answer; everybody who waits is told why.
    Failed(F),
}

/// The head of an answer for everybody, and its body.
#[derive(Debug)]
pub struct Answer<M, B> {
    pub description: Description<M>,
    /// What the head says of the length. A body that ends elsewhere is a failure.
    pub length: Option<u64>,
    pub body: B,
    /// Whether it goes into the store. One that does not is for those who wait already.
    pub is_kept: bool,
    pub source: Source,
}

/// Where a body comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Origin,
    /// Read from the disk tier: it need not be written there again.
    Disk,
}

#[derive(Debug)]
pub(super) struct Fill<M, P, F> {
    pub key: Key,
    pub flow: Arc<Flow>,
    /// The number of the latest purge when the fetch began.
    pub outlived: u64,
    head: watch::Sender<Head<M, F>>,
    private: Mutex<Option<P>>,
    purged: Mutex<Option<Depth>>,
    waiting: AtomicUsize,
}

#[derive(Debug)]
pub(super) enum Head<M, F> {
    Awaited,
    Growing(Arc<Description<M>>),
    Whole(Arc<Object<M>>),
    Private,
    Failed(F),
    Lost,
}

impl<M, P, F> Fill<M, P, F> {
    pub fn new(key: Key, flow: Arc<Flow>, outlived: u64) -> Arc<Self> {
        let (private, purged) = (Mutex::new(None), Mutex::new(None));
        let head = watch::Sender::new(Head::Awaited);
        Arc::new(Self { key, flow, outlived, head, private, purged, waiting: AtomicUsize::new(0) })
    }

    /// Requests that wait for its head.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub fn announce(&self, head: Head<M, F>) {
        self.head.send_replace(head);
    }

    pub fn announce_private(&self, answer: P) {
        *self.private.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        self.announce(Head::Private);
    }

    /// Tells all who wait that there will be no head, unless there was one.
    pub fn announce_loss(&self) {
        self.head.send_if_modified(|head| {
            let lost = matches!(head, Head::Awaited);
            if lost {
                *head = Head::Lost;
            }
            lost
        });
    }

    /// Its key was purged while it came.
    pub fn purge(&self, depth: Depth) {
        let mut purged = self.purged.lock().unwrap_or_else(PoisonError::into_inner);
        *purged = Some(purged.map_or(depth, |before| before.with(depth)));
    }

    pub fn purged(&self) -> Option<Depth> {
        *self.purged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The surrogate keys, as soon as the head is there.
    pub fn with_tags<T>(&self, then: impl FnOnce(&[Box<str>]) -> T) -> T {
        match &*self.head.borrow() {
            Head::Growing(description) => then(&description.tags),
            Head::Whole(object) => then(object.tags()),
            Head::Awaited | Head::Private | Head::Failed(_) | Head::Lost => then(&[]),
        }
    }
}

/// A request's part in a fetch. To drop it is to leave.
#[derive(Debug)]
pub struct Reader<M, P, F> {
    waiting: Waiting<M, P, F>,
    seated: Seated,
    leads: bool,
}

/// What a request gets of a fetch.
#[derive(Debug)]
pub enum Opened<M, P, F> {
    /// An object that is arriving.
    Growing(Growing<M>),
    Whole(Arc<Object<M>>),
    /// An answer for this request alone.
    Private(P),
    /// The answer was for another request alone: this one fetches on its own.
    Refused,
    Failed(F),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WaitError {
    #[error("there was no head of an answer within {0:?}")]
    Late(Duration),
    #[error("the fetch ended without a head of an answer")]
    Lost,
}

impl<M, P, F: Clone> Reader<M, P, F> {
    pub(super) fn new(fill: Arc<Fill<M, P, F>>, seated: Seated, leads: bool) -> Self {
        fill.waiting.fetch_add(1, Ordering::Relaxed);
        Self { waiting: Waiting(fill), seated, leads }
    }

    /// Whether this request began the fetch.
    pub fn leads(&self) -> bool {
        self.leads
    }

    /// Waits for the head, for `wait` at most.
    pub async fn opened(self, wait: Duration) -> Result<Opened<M, P, F>, WaitError> {
        let Self { waiting, seated, leads } = self;
        let fill = &waiting.0;
        let mut head = fill.head.subscribe();
        let known = head.wait_for(|head| !matches!(head, Head::Awaited));
        let known = tokio::time::timeout(wait, known).await;
        let known = known.map_err(|_| WaitError::Late(wait))?.map_err(|_| WaitError::Lost)?;
        match &*known {
            Head::Growing(description) => {
                Ok(Opened::Growing(Growing { description: description.clone(), seated }))
            }
            Head::Whole(object) => Ok(Opened::Whole(object.clone())),
            Head::Private if leads => {
                let answer = fill.private.lock().unwrap_or_else(PoisonError::into_inner).take();
                answer.map(Opened::Private).ok_or(WaitError::Lost)
            }
            Head::Private => Ok(Opened::Refused),
            Head::Failed(failure) => Ok(Opened::Failed(failure.clone())),
            Head::Awaited | Head::Lost => Err(WaitError::Lost),
        }
    }
}

#[derive(Debug)]
struct Waiting<M, P, F>(Arc<Fill<M, P, F>>);

impl<M, P, F> Drop for Waiting<M, P, F> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An object whose head is here and whose bytes arrive.
#[derive(Debug)]
pub struct Growing<M> {
    description: Arc<Description<M>>,
    seated: Seated,
}

impl<M> Growing<M> {
    pub fn meta(&self) -> &M {
        &self.description.meta
    }

    /// The length of the object, where its head tells it.
    pub fn length(&self) -> Option<u64> {
        self.seated.declared()
    }

    /// Whether it goes into the store when it ends well.
    pub fn is_kept(&self) -> bool {
        !self.seated.is_passing()
    }

    /// All of it, from the first byte.
    pub fn body(self) -> FillBody {
        self.seated.body(0, None)
    }

    /// The bytes from `first` to before `end`.
    pub fn range(self, first: u64, end: u64) -> FillBody {
        self.seated.body(first, Some(end))
    }
}

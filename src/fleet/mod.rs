//! What several edges share: revocations, seats of viewings, used one-time tokens, purges.
//!
//! The scheme: each edge holds **all revocations itself**, exactly, in a snapshot that requests read without a lock and without
//! waiting. Redis (or Valkey) holds the same with a number for each change. An edge that connects reads everything; from then on it
//! compares numbers twice a second and fetches what came after its own; a message only wakes it earlier, so that a lost one costs
//! half a second. Where Redis has lost what an edge knows, the edge gives it back. Seats and one-time tokens are asked for when
//! a viewing begins, each in one step inside Redis; who has a seat is not asked about again, only reported in batches.
//!
//! What is answered: a token used twice at the same moment at two edges (one step decides); a message lost, a partition, a
//! restart of Redis with its data, with older data or with none (numbers are compared, and everything at each connection); an edge
//! that knows nothing yet, or has known nothing for long (`fail = "closed"` refuses then).
//!
//! Without Redis the same is judged in this process, and kept in files.

pub mod counters;
mod follow;
mod keep;
mod ledger;
mod link;
mod lists;
mod once;
mod restore;
mod scripts;
mod seats;
pub mod settings;
mod viewings;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::domain::revocation::identifier::Kind;
use crate::domain::revocation::{Claims, Revocations};
use crate::domain::token::grant::UnixTime;
use crate::domain::token::reason::Reason;

use counters::Counters;
use keep::Keep;
use ledger::Ledger;
use link::Link;
use once::Tokens;
use settings::{Fail, Settings, Terms};

pub use link::LinkError;
pub use lists::{Added, ListError, ListMeta};
pub use seats::{Access, Ask, Seat};
pub use viewings::Watched;

/// How an edge carries out a purge of the fleet's.
pub type Purger = Box<dyn Fn(Purged<'_>) + Send + Sync>;

/// What is to be purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purged<'a> {
    /// One purge, in the words of the edge that ordered it.
    Order(&'a str),
    /// Purges were missed, and nobody knows which.
    Everything,
}

/// One edge's part of the fleet.
pub struct Fleet {
    settings: Settings,
    clock: Clock,
    revocations: ArcSwap<Revocations>,
    /// Held while a next set is made of the present one; never while anything is waited for.
    changing: Mutex<()>,
    /// Held while lists are changed by operators, so that bounds are judged one after the other.
    operating: tokio::sync::Mutex<()>,
    saving: tokio::sync::Mutex<()>,
    is_unsaved: AtomicBool,
    link: ArcSwapOption<Link>,
    /// How far the fleet has been followed.
    place: Mutex<keep::Place>,
    /// Milliseconds since `started` at which this edge last knew all that the fleet knew, and one; zero: never.
    agreed: AtomicU64,
    started: Instant,
    ledger: Ledger,
    tokens: Tokens,
    keep: Option<Keep>,
    purger: OnceLock<Purger>,
    /// Purges that this edge ordered and has carried out, by nonce; with the text, as long as the fleet was not told.
    own_purges: Mutex<Vec<(String, Option<String>)>>,
    wake: Notify,
    first: Notify,
    counters: Counters,
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fleet").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    #[error("[fleet] folder {folder}: {error}")]
    Folder { folder: String, error: std::io::Error },
    #[error(
        "[fleet] folder {0}: the file of revocations is damaged, and a property with fail = \"closed\" depends on it; restore it, or remove it to begin without revocations (what is readable of it was not taken)"
    )]
    Damaged(String),
}

impl Fleet {
    /// Reads what was kept. Nothing is connected before [`Fleet::run`]. `is_strict`: a damaged file is no start.
    pub fn open(settings: Settings, clock: Clock, is_strict: bool) -> Result<Arc<Self>, FleetError> {
        let fault = |error| FleetError::Folder {
            folder: settings.folder.as_ref().map(|folder| folder.display().to_string()).unwrap_or_default(),
            error,
        };
        let keep = settings.folder.as_ref().map(|folder| Keep::open(folder)).transpose().map_err(fault)?;
        let fleet = Self {
            clock,
            revocations: ArcSwap::default(),
            changing: Mutex::new(()),
            operating: tokio::sync::Mutex::new(()),
            saving: tokio::sync::Mutex::new(()),
            is_unsaved: AtomicBool::new(false),
            link: ArcSwapOption::empty(),
            place: Mutex::default(),
            agreed: AtomicU64::new(0),
            started: Instant::now(),
            ledger: Ledger::new(settings.viewings_max),
            tokens: Tokens::new(settings.tokens_max),
            keep,
            purger: OnceLock::new(),
            own_purges: Mutex::default(),
            wake: Notify::new(),
            first: Notify::new(),
            counters: Counters::default(),
            settings,
        };
        fleet.restore(is_strict)?;
        Ok(Arc::new(fleet))
    }

    /// A fleet of one edge that keeps nothing.
    pub fn alone(clock: Clock) -> Arc<Self> {
        Self::open(Settings::default(), clock, false).expect("no folder can fail")
    }

    /// Has the fleet's purges carried out by `purger`; the first that is given counts.
    pub fn carry_out_purges(&self, purger: Purger) {
        let _ = self.purger.set(purger);
    }

    /// Follows the fleet and keeps files until `shutdown`.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let following = async {
            if let Some(redis) = &self.settings.redis {
                self.follow(redis, &shutdown).await;
            }
        };
        tokio::join!(following, self.tend(&shutdown));
        self.link.store(None);
        self.save().await;
        self.save_viewings().await;
    }

    /// Waits until the fleet was read once, or `patience` is over: so that an edge that starts does not admit whom it is about to
    /// hear of.
    pub async fn read_once(&self, patience: Duration) {
        if self.settings.redis.is_some() && self.agreed.load(Ordering::Acquire) == 0 {
            let _ = tokio::time::timeout(patience, self.first.notified()).await;
        }
    }

    /// What speaks against a request. Nothing is waited for.
    pub fn against(&self, claims: &Claims<'_>, terms: &Terms, now: UnixTime) -> Option<Reason> {
        self.revocations.load().against(claims, &terms.lists, now)
    }

    /// Whether no revocation stands at all.
    pub fn has_no_revocations(&self) -> bool {
        self.revocations.load().is_empty()
    }

    /// Whether payloads have to be looked at.
    pub fn judges_payloads(&self) -> bool {
        self.revocations.load().has(Kind::Payload)
    }

    /// Whether a property that fails closed may admit viewers.
    pub fn may_admit(&self, terms: &Terms) -> bool {
        terms.fail == Fail::Open || self.age().is_none_or(|age| age <= terms.age_max)
    }

    /// How long ago this edge knew all that the fleet knew; none without a Redis, since then it always does.
    pub fn age(&self) -> Option<Duration> {
        self.settings.redis.as_ref()?;
        match self.agreed.load(Ordering::Acquire) {
            0 => Some(Duration::MAX),
            agreed => Some(self.started.elapsed().saturating_sub(Duration::from_millis(agreed - 1))),
        }
    }

    /// Whether Redis can be asked; none where there is none to ask.
    pub fn is_connected(&self) -> Option<bool> {
        self.settings.redis.as_ref().map(|_| self.link.load().is_some())
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    pub fn revocations(&self) -> Arc<Revocations> {
        self.revocations.load_full()
    }

    /// The number of the latest change that is known here.
    pub fn version(&self) -> u64 {
        self.place().version
    }

    /// Viewings that this edge keeps in mind.
    pub fn viewings_count(&self) -> usize {
        self.ledger.count()
    }

    pub fn tokens_count(&self) -> usize {
        self.tokens.count()
    }

    fn place(&self) -> std::sync::MutexGuard<'_, keep::Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the next set of revocations of the present one.
    fn change<R>(&self, make: impl FnOnce(&mut Revocations) -> R) -> R {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = Revocations::clone(&self.revocations.load());
        let result = make(&mut next);
        self.revocations.store(Arc::new(next));
        self.is_unsaved.store(true, Ordering::Release);
        result
    }

    fn agree(&self) {
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.agreed.store(elapsed + 1, Ordering::Release);
        self.first.notify_waiters();
        self.first.notify_one();
    }

    fn key(&self, name: &str) -> String {
        let prefix = self.settings.redis.as_ref().map_or("", |redis| &redis.prefix);
        format!("{{{prefix}}}:{name}")
    }

    fn channel(&self) -> String {
        let prefix = self.settings.redis.as_ref().map_or("", |redis| &redis.prefix);
        format!("{prefix}:changed")
    }

    /// Runs a script, when Redis can be asked. A failure is counted and has the connection looked at.
    async fn call<T: redis::FromRedisValue>(
        &self,
        script: &redis::Script,
        keys: &[&str],
        arguments: &[&[u8]],
    ) -> Option<T> {
        let link = self.link.load_full()?;
        match link.call(script, keys, arguments).await {
            Ok(answer) => Some(answer),
            Err(error) => {
                self.counters.failed.add(1);
                tracing::debug!("{error}");
                self.wake.notify_one();
                None
            }
        }
    }

    /// The work of every second and of every minute.
    async fn tend(&self, shutdown: &CancellationToken) {
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        seconds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut count = 0_u64;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = seconds.tick() => {}
            }
            count += 1;
            self.tell().await;
            self.save().await;
            if count.is_multiple_of(10) {
                self.save_viewings().await;
            }
            if count.is_multiple_of(60) {
                let now = self.clock.now();
                self.ledger.forget(now);
                self.tokens.forget(now);
                if self.revocations.load().records().any(|record| record.ends <= now.as_secs()) {
                    self.change(|set| set.prune(now));
                }
                self.forget_remote(now).await;
            }
        }
    }
}

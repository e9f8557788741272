//! The signals of a drain: it has begun, and what is idle may end.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

/// Says when to drain, without a lock for those that only look.
#[derive(Debug, Default)]
pub(super) struct Drain {
    has_begun: AtomicBool,
    token: CancellationToken,
    idle_may_end: CancellationToken,
}

impl Drain {
    pub(super) fn begin(&self) {
        // First, so that whom the token wakes sees it.
        self.has_begun.store(true, Ordering::Release);
        self.token.cancel();
    }

    pub(super) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Acquire)
    }

    /// From now on nobody waits for a request that may be on its way.
    pub(super) fn end_idle(&self) {
        self.idle_may_end.cancel();
    }

    pub(super) fn idle_may_end(&self) -> &CancellationToken {
        &self.idle_may_end
    }

    pub(super) fn token(&self) -> &CancellationToken {
        &self.token
    }
}

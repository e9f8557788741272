//! The signal that the drain has begun.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

/// Says when to drain, without a lock for those that only look.
#[derive(Debug, Default)]
pub(super) struct Drain {
    has_begun: AtomicBool,
    token: CancellationToken,
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

    pub(super) fn token(&self) -> &CancellationToken {
        &self.token
    }
}

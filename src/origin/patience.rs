//! One timer for all the waits of a connection, armed at the first of them.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

/// Waits until a deadline that moves with every answer and every byte. The timer is not moved with it: when it ends too
/// early it is set once more, so that a busy connection moves it once in the time that it waits at most.
#[derive(Debug, Default)]
pub struct Patience(Option<Pin<Box<Sleep>>>);

impl Patience {
    /// Ready when `deadline` has passed. To be asked only where nothing else is ready.
    pub fn poll_until(&mut self, context: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(context).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_moves_is_kept() {
        let mut patience = Patience::default();
        let start = Instant::now();
        let after = |seconds: u64| start + Duration::from_secs(seconds);
        for (deadline, is_moved_to) in [(10, 20), (30, 25), (26, 26)] {
            let _ = futures_util::poll!(poll_fn(|context| patience.poll_until(context, after(deadline))));
            poll_fn(|context| patience.poll_until(context, after(is_moved_to))).await;
            let late = Instant::now().saturating_duration_since(after(is_moved_to));
            assert!(Instant::now() >= after(is_moved_to) && late < Duration::from_millis(10), "{late:?}");
        }
    }
}

//! Connections that wait for their next request: stacks, so that the one used last is used next and the others grow old.
//!
//! There is one stack for each processor, and each thread keeps to its own: threads meet at a stack only when their own
//! is empty. No connection has a timer; those that lay too long are closed by one sweep for all.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::line::Line;

/// Connections in their boxes: they move from stack to request and back as a pointer.
type Stack = Vec<Box<Line>>;

#[derive(Debug)]
pub struct Idle {
    stacks: Box<[Mutex<Stack>]>,
    count: AtomicUsize,
    limits: Limits,
    is_swept: AtomicBool,
}

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub connections_max: usize,
    /// How long a connection may lie idle.
    pub idle_timeout: Duration,
    /// A connection of this age takes no further request.
    pub age_max: Duration,
}

impl Idle {
    pub fn new(limits: Limits) -> Self {
        let stacks = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            stacks: (0..stacks).map(|_| Mutex::default()).collect(),
            count: AtomicUsize::new(0),
            limits,
            is_swept: AtomicBool::new(false),
        }
    }

    /// The connection that was used last, of those that are still good.
    pub fn take(&self) -> Option<Box<Line>> {
        let own = own_stack();
        for turn in 0..self.stacks.len() {
            if self.count.load(Ordering::Relaxed) == 0 {
                return None;
            }
            while let Some(mut line) = self.pop(own + turn) {
                if self.is_good(&line, Instant::now()) && line.is_quiet() {
                    return Some(line);
                }
            }
        }
        None
    }

    /// Keeps a connection that has nothing left over of its last request.
    pub fn put(self: &Arc<Self>, mut line: Box<Line>) {
        if !line.rest() || !self.is_young(&line, line.idle_since) {
            return;
        }
        if self.count.fetch_add(1, Ordering::Relaxed) >= self.limits.connections_max {
            self.count.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        self.stack(own_stack()).push(line);
        if !self.is_swept.swap(true, Ordering::Relaxed) {
            tokio::spawn(sweep(Arc::downgrade(self), self.limits.idle_timeout));
        }
    }

    fn pop(&self, at: usize) -> Option<Box<Line>> {
        let line = self.stack(at).pop()?;
        self.count.fetch_sub(1, Ordering::Relaxed);
        Some(line)
    }

    fn is_good(&self, line: &Line, now: Instant) -> bool {
        now.saturating_duration_since(line.idle_since) < self.limits.idle_timeout && self.is_young(line, now)
    }

    fn is_young(&self, line: &Line, now: Instant) -> bool {
        now.saturating_duration_since(line.born) < self.limits.age_max
    }

    /// Closes what lay too long or was closed by the origin; whether nothing is left.
    fn sweep(&self) -> bool {
        let now = Instant::now();
        for at in 0..self.stacks.len() {
            let closed: Stack =
                self.stack(at).extract_if(.., |line| !self.is_good(line, now) || !line.is_quiet()).collect();
            self.count.fetch_sub(closed.len(), Ordering::Relaxed);
        }
        self.count.load(Ordering::Relaxed) == 0
    }

    fn stack(&self, at: usize) -> MutexGuard<'_, Stack> {
        self.stacks[at % self.stacks.len()].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sweeps until there is nothing left to sweep.
async fn sweep(idle: Weak<Idle>, every: Duration) {
    loop {
        tokio::time::sleep(every.max(Duration::from_millis(10))).await;
        let Some(idle) = idle.upgrade() else { return };
        if idle.sweep() {
            idle.is_swept.store(false, Ordering::Relaxed);
            // One that was put in between has not begun a sweep of its own.
            if idle.count.load(Ordering::Relaxed) == 0 || idle.is_swept.swap(true, Ordering::Relaxed) {
                return;
            }
        }
    }
}

fn own_stack() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: Cell<Option<usize>> = const { Cell::new(None) };
    }
    OWN.with(|own| {
        own.get().unwrap_or_else(|| {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            own.set(Some(number));
            number
        })
    })
}

//! What a service manager is told (`sd_notify(3)`); nothing where there is none.
//!
//! Its socket blocks while the manager does not read, so that a thread of its own writes what is told, in order.

use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use sd_notify::NotifyState;

/// What waits to be written; more is not said, and the manager has not read what came before.
const QUEUE: usize = 64;

/// One message.
#[derive(Debug)]
enum Message {
    Ready,
    /// With the time at which it began, of the monotonic clock.
    Reloading(Option<i128>),
    Stopping,
    Status(String),
    MainProcess(u32),
    Alive,
}

/// The process serves, or its reload is over.
pub fn ready() {
    tell(Message::Ready);
}

/// A reload has begun; [`ready`] ends it.
pub fn reloading() {
    let now = match NotifyState::monotonic_usec_now() {
        Ok(NotifyState::MonotonicUsec(now)) => Some(now),
        Ok(_) | Err(_) => None,
    };
    tell(Message::Reloading(now));
}

/// The drain has begun.
pub fn stopping() {
    tell(Message::Stopping);
}

/// One line that `systemctl status` shows.
pub fn status(line: &str) {
    tell(Message::Status(line.to_owned()));
}

/// From now on the service is another process.
pub fn main_process_is(process: u32) {
    tell(Message::MainProcess(process));
}

/// Shows the watchdog that the runtime turns, where there is one; never ends.
pub async fn feed_watchdog() {
    let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else {
        return std::future::pending().await;
    };
    // As `sd_watchdog_enabled(3)` recommends.
    let mut turns = tokio::time::interval((limit / 2).max(Duration::from_millis(1)));
    loop {
        turns.tick().await;
        tell(Message::Alive);
    }
}

fn tell(message: Message) {
    static WRITER: OnceLock<SyncSender<Message>> = OnceLock::new();
    let writer = WRITER.get_or_init(|| {
        let (writer, messages) = sync_channel::<Message>(QUEUE);
        std::thread::spawn(move || messages.iter().for_each(|message| write(&message)));
        writer
    });
    if let Err(TrySendError::Full(message)) = writer.try_send(message) {
        tracing::debug!(?message, "the service manager does not read what it is told");
    }
}

fn write(message: &Message) {
    let told = match message {
        Message::Ready => sd_notify::notify(&[NotifyState::Ready]),
        Message::Reloading(None) => sd_notify::notify(&[NotifyState::Reloading]),
        Message::Reloading(Some(now)) => {
            sd_notify::notify(&[NotifyState::Reloading, NotifyState::MonotonicUsec(*now)])
        }
        Message::Stopping => sd_notify::notify(&[NotifyState::Stopping, NotifyState::Status("draining")]),
        Message::Status(line) => sd_notify::notify(&[NotifyState::Status(line)]),
        Message::MainProcess(process) => sd_notify::notify(&[NotifyState::MainPid(*process)]),
        Message::Alive => sd_notify::notify(&[NotifyState::Watchdog]),
    };
    if let Err(error) = told {
        tracing::warn!("the service manager was not told: {error}");
    }
}

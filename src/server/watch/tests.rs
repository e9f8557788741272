//! The watch, on paused time.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use tokio::time::{advance, sleep_until};

use super::*;

/// The verdict of one look at `activity`.
async fn look(watch: &mut Watch, activity: &Activity, timer: &mut Pin<&mut Sleep>) -> Option<Expiry> {
    poll_fn(|cx| Poll::Ready(watch.look(activity, timer.as_mut(), cx))).await
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_end_expires() {
    let activity = Activity::default();
    let mut watch = Watch::new(&Limits::default(), Protocol::H1, Instant::now());
    let mut timer = pin!(sleep_until(watch.first_due()));
    activity.head_is_open.store(true, Ordering::Relaxed);
    advance(9 * SECOND).await;
    assert_eq!(look(&mut watch, &activity, &mut timer).await, None);
    advance(SECOND).await;
    assert_eq!(look(&mut watch, &activity, &mut timer).await, Some(Expiry::HeaderTimeout));
}

#[tokio::test(start_paused = true)]
async fn each_request_gives_an_idle_connection_its_time_anew() {
    let activity = Activity::default();
    let mut watch = Watch::new(&Limits::default(), Protocol::H1, Instant::now());
    let mut timer = pin!(sleep_until(watch.first_due()));
    for _ in 0..3 {
        activity.begin_request();
        activity.end_request();
        assert_eq!(look(&mut watch, &activity, &mut timer).await, None);
        advance(14 * SECOND).await;
        assert_eq!(look(&mut watch, &activity, &mut timer).await, None);
    }
    advance(SECOND).await;
    assert_eq!(look(&mut watch, &activity, &mut timer).await, Some(Expiry::Idle));
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_take_its_time() {
    let activity = Activity::default();
    let mut watch = Watch::new(&Limits::default(), Protocol::H1, Instant::now());
    let mut timer = pin!(sleep_until(watch.first_due()));
    activity.begin_request();
    for _ in 0..20 {
        assert_eq!(look(&mut watch, &activity, &mut timer).await, None);
        advance(60 * SECOND).await;
    }
    activity.end_request();
    assert_eq!(look(&mut watch, &activity, &mut timer).await, None);
    advance(15 * SECOND).await;
    assert_eq!(look(&mut watch, &activity, &mut timer).await, Some(Expiry::Idle));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_cut_off() {
    let activity = Activity::default();
    let mut watch = Watch::new(&Limits::default(), Protocol::H1, Instant::now());
    let mut timer = pin!(sleep_until(watch.first_due()));
    activity.begin_request();
    activity.write_waits.store(true, Ordering::Relaxed);
    assert_eq!(look(&mut watch, &activity, &mut timer).await, None);
    advance(19 * SECOND).await;
    assert_eq!(look(&mut watch, &activity, &mut timer).await, None);
    advance(SECOND).await;
    assert_eq!(look(&mut watch, &activity, &mut timer).await, Some(Expiry::StalledWrite));
}

/// Has the client take `bytes` each second for two minutes, the socket being full in between.
async fn read_at(bytes: u64) -> Option<Expiry> {
    let activity = Activity::default();
    let mut watch = Watch::new(&Limits::default(), Protocol::H1, Instant::now());
    let mut timer = pin!(sleep_until(watch.first_due()));
    activity.begin_request();
    activity.write_waits.store(true, Ordering::Relaxed);
    for _ in 0..120 {
        if let Some(expiry) = look(&mut watch, &activity, &mut timer).await {
            return Some(expiry);
        }
        advance(SECOND).await;
        activity.bytes_written.fetch_add(bytes, Ordering::Relaxed);
    }
    None
}

#[tokio::test(start_paused = true)]
async fn a_client_slower_than_the_least_rate_is_cut_off() {
    assert_eq!(read_at(1024).await, Some(Expiry::TooSlow));
    assert_eq!(read_at(7 * 1024).await, Some(Expiry::TooSlow));
    assert_eq!(read_at(9 * 1024).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_slow_origin_is_not_held_against_the_client() {
    let activity = Activity::default();
    let mut watch = Watch::new(&Limits::default(), Protocol::H1, Instant::now());
    let mut timer = pin!(sleep_until(watch.first_due()));
    activity.begin_request();
    for _ in 0..120 {
        activity.bytes_written.fetch_add(100, Ordering::Relaxed);
        assert_eq!(look(&mut watch, &activity, &mut timer).await, None);
        advance(SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn closed_windows_of_http2_count_as_a_stalled_write() {
    let activity = Activity::default();
    activity.bytes_read.store(100, Ordering::Relaxed);
    let mut watch = Watch::new(&Limits::default(), Protocol::H2, Instant::now());
    let mut timer = pin!(sleep_until(watch.first_due()));
    activity.begin_request();
    activity.begin_request();
    activity.hold_back();
    assert_eq!(look(&mut watch, &activity, &mut timer).await, None);
    advance(40 * SECOND).await;
    assert_eq!(look(&mut watch, &activity, &mut timer).await, None, "one stream waits for its origin");
    activity.hold_back();
    assert_eq!(look(&mut watch, &activity, &mut timer).await, None);
    advance(20 * SECOND).await;
    assert_eq!(look(&mut watch, &activity, &mut timer).await, Some(Expiry::StalledWrite));
}

#[tokio::test(start_paused = true)]
async fn pings_do_not_keep_an_idle_http2_connection() {
    let activity = Activity::default();
    activity.bytes_read.store(100, Ordering::Relaxed);
    let mut watch = Watch::new(&Limits::default(), Protocol::H2, Instant::now());
    let mut timer = pin!(sleep_until(watch.first_due()));
    for _ in 0..59 {
        assert_eq!(look(&mut watch, &activity, &mut timer).await, None);
        advance(SECOND).await;
        activity.bytes_written.fetch_add(17, Ordering::Relaxed);
    }
    advance(SECOND).await;
    assert_eq!(look(&mut watch, &activity, &mut timer).await, Some(Expiry::Idle));
}

#[tokio::test(start_paused = true)]
async fn the_drain_ends_what_has_no_limit() {
    let activity = Activity::default();
    let mut watch = Watch::new(&Limits::default(), Protocol::H1, Instant::now());
    let mut timer = pin!(sleep_until(watch.first_due()));
    activity.begin_request();
    assert_eq!(look(&mut watch, &activity, &mut timer).await, None);
    watch.end_within(3 * SECOND, Instant::now());
    assert_eq!(look(&mut watch, &activity, &mut timer).await, None);
    advance(3 * SECOND).await;
    assert_eq!(look(&mut watch, &activity, &mut timer).await, Some(Expiry::Drained));
}

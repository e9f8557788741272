//! Several servers: shares, failures, retries, ejection, health.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use sluicegate::origin::settings::{Balance, EjectionSettings, HealthSettings, RetrySettings};
use sluicegate::origin::{OriginError, State};

use crate::support::*;

const UNAVAILABLE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy";

#[tokio::test]
async fn servers_are_asked_by_their_weight() {
    let (one, two) = (Raw::always(&ok("1")).await, Raw::always(&ok("2")).await);
    for balance in [Balance::RoundRobin, Balance::LeastConnections] {
        let mut settings = settings(&[one.address, two.address]);
        settings.servers[0].weight = 2;
        settings.balance = balance;
        let origin = origin(settings);
        let mut answers = String::new();
        for _ in 0..9 {
            answers.push_str(&fetched(&origin, "/").await);
        }
        assert_eq!(answers.matches('1').count(), 6, "{balance:?}: {answers}");
    }
}

#[tokio::test]
async fn a_busy_server_is_passed_over() {
    let busy = Raw::start(|_| vec![Step::Hang]).await;
    let idle = Raw::always(&ok("idle")).await;
    let mut settings = settings(&[busy.address, idle.address]);
    settings.balance = Balance::LeastConnections;
    let origin = Arc::new(origin(settings));
    let held = tokio::spawn({
        let origin = origin.clone();
        async move { get(&origin, "/").await.map(drop) }
    });
    until(|| busy.asked().len() == 1).await;
    for _ in 0..5 {
        assert_eq!(fetched(&origin, "/").await, "idle");
    }
    held.abort();
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_retried_elsewhere_and_put_out() {
    let up = Raw::always(&ok("up")).await;
    let mut settings = with_retry(settings(&[nobody().await, up.address]));
    settings.ejection =
        EjectionSettings { failures: 2, time: Duration::from_mins(1), time_max: Duration::from_mins(1) };
    let origin = origin(settings);
    for _ in 0..10 {
        assert_eq!(fetched(&origin, "/").await, "up");
    }
    let report = origin.report();
    assert_eq!((report[0].requests, report[0].failures, report[0].ejections), (2, 2, 1), "{report:?}");
    assert_eq!((report[0].state, report[1].state), (State::Ejected, State::Up));
    assert_eq!((report[1].requests, report[1].failures, report[1].under_way), (10, 0, 0));
}

#[tokio::test]
async fn an_ejected_server_comes_back() {
    let is_ill = Arc::new(AtomicBool::new(true));
    let ill = is_ill.clone();
    let first = Raw::start(move |_| {
        if ill.load(Ordering::Relaxed) { vec![Step::Close] } else { vec![Step::Send(ok("first"))] }
    })
    .await;
    let second = Raw::always(&ok("second")).await;
    let mut settings = with_retry(settings(&[first.address, second.address]));
    settings.ejection =
        EjectionSettings { failures: 1, time: Duration::from_millis(50), time_max: Duration::from_secs(1) };
    let origin = origin(settings);
    assert_eq!(fetched(&origin, "/").await, "second");
    assert_eq!(origin.report()[0].state, State::Ejected);
    is_ill.store(false, Ordering::Relaxed);
    until(|| origin.report()[0].state == State::Up).await;
    let answers = [fetched(&origin, "/").await, fetched(&origin, "/").await];
    assert!(answers.contains(&"first".to_owned()), "{answers:?}");
}

#[tokio::test]
async fn when_all_servers_are_out_all_are_asked() {
    let (one, two) = (Raw::always(UNAVAILABLE).await, Raw::always(UNAVAILABLE).await);
    let mut settings = with_retry(settings(&[one.address, two.address]));
    settings.ejection =
        EjectionSettings { failures: 1, time: Duration::from_mins(1), time_max: Duration::from_mins(1) };
    let origin = origin(settings);
    for _ in 0..3 {
        let answer = get(&origin, "/").await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
    assert!(origin.report().iter().all(|server| server.state == State::Ejected));
}

#[tokio::test]
async fn a_failing_status_is_asked_for_again_elsewhere() {
    let (busy, up) = (Raw::always(UNAVAILABLE).await, Raw::always(&ok("up")).await);
    let origin = origin(with_retry(settings(&[busy.address, up.address])));
    for _ in 0..4 {
        assert_eq!(fetched(&origin, "/").await, "up");
    }
    assert_eq!(busy.asked().len(), 2);
}

#[tokio::test]
async fn a_failing_status_of_the_only_server_is_passed_on() {
    let busy = Raw::always(UNAVAILABLE).await;
    let origin = origin(with_retry(settings(&[busy.address])));
    let answer = get(&origin, "/").await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(text(answer).await.expect("a body"), "busy");
    assert_eq!(busy.asked().len(), 1);
}

#[tokio::test]
async fn a_backup_serves_while_the_others_are_out() {
    let backup = Raw::always(&ok("backup")).await;
    let mut settings = with_retry(settings(&[nobody().await, backup.address]));
    settings.servers[1].is_backup = true;
    settings.ejection =
        EjectionSettings { failures: 1, time: Duration::from_mins(1), time_max: Duration::from_mins(1) };
    let origin = origin(settings);
    for _ in 0..3 {
        assert_eq!(fetched(&origin, "/").await, "backup");
    }
    assert_eq!(origin.report()[0].requests, 1);
}

#[tokio::test]
async fn a_connection_closed_before_the_answer_is_made_again_to_the_only_server() {
    let is_first = AtomicBool::new(true);
    let closing = Raw::start(move |_| {
        if is_first.swap(false, Ordering::Relaxed) {
            vec![Step::Close]
        } else {
            vec![Step::Send(ok("again"))]
        }
    })
    .await;
    let origin = origin(with_retry(settings(&[closing.address])));
    assert_eq!(fetched(&origin, "/").await, "again");
    assert_eq!(closing.asked().len(), 2);
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_costs_no_retry_and_no_reputation() {
    // It promises to stay, and closes when it is used again.
    let is_second = Mutex::new(std::collections::HashSet::new());
    let closing = Raw::start_with_peer(move |_, peer| {
        if is_second.lock().expect("not poisoned").insert(peer) {
            vec![Step::Send(ok("x"))]
        } else {
            vec![Step::Close]
        }
    })
    .await;
    let mut settings = settings(&[closing.address]);
    settings.ejection.failures = 1;
    let origin = origin(settings);
    for _ in 0..5 {
        assert_eq!(fetched(&origin, "/").await, "x");
    }
    assert_eq!(closing.connections(), 5);
    assert_eq!(origin.report()[0].failures, 0);
}

#[tokio::test]
async fn what_changes_something_or_is_held_back_is_sent_once() {
    for (method, patience) in [(Method::POST, None), (Method::GET, Some(Duration::from_secs(5)))] {
        let (closing, up) = (Raw::start(|_| vec![Step::Close]).await, Raw::always(&ok("up")).await);
        let origin = origin(with_retry(settings(&[closing.address, up.address])));
        let answer = origin.fetch(&method, "/?_HLS_msn=1", HeaderMap::new(), patience, NOW).await;
        assert!(matches!(answer, Err(OriginError::Closed(_))), "{method} {patience:?}");
        assert!(up.asked().is_empty());
    }
}

#[tokio::test]
async fn a_held_back_answer_puts_no_server_out() {
    let hanging = Raw::start(|_| vec![Step::Hang]).await;
    let mut settings = settings(&[hanging.address]);
    settings.connect_timeout = Duration::from_millis(50);
    settings.ejection.failures = 1;
    let origin = origin(settings);
    let patience = Some(Duration::from_millis(50));
    let answer = origin.fetch(&Method::GET, "/?_HLS_msn=9", HeaderMap::new(), patience, NOW).await;
    assert!(matches!(answer, Err(OriginError::FirstByte(_))));
    assert_eq!((origin.report()[0].state, origin.report()[0].failures), (State::Up, 0));
}

#[tokio::test]
async fn retries_end_with_their_budget() {
    let (closing, up) = (Raw::start(|_| vec![Step::Close]).await, Raw::always(&ok("up")).await);
    let mut settings = settings(&[closing.address, up.address]);
    settings.retry = RetrySettings { attempts_max: 1, statuses: Vec::new(), percent: 10, per_second: 0 };
    let origin = origin(settings);
    let mut failed = 0;
    for _ in 0..40 {
        failed += u32::from(get(&origin, "/").await.is_err());
    }
    // Every other request meets the closing server; a tenth of forty may be sent again.
    assert!((16..=17).contains(&failed), "{failed}");
}

#[tokio::test]
async fn a_server_that_fails_its_checks_is_not_asked_until_it_passes_them() {
    let is_well = Arc::new(AtomicBool::new(false));
    let well = is_well.clone();
    let first = Raw::start(move |head| {
        let is_check = head.starts_with("GET /healthz ");
        let answer =
            if is_check && !well.load(Ordering::Relaxed) { UNAVAILABLE.to_vec() } else { ok("first") };
        vec![Step::Send(answer)]
    })
    .await;
    let second = Raw::always(&ok("second")).await;
    let mut settings = settings(&[first.address, second.address]);
    settings.health = Some(HealthSettings {
        path: "/healthz".to_owned(),
        interval: Duration::from_millis(10),
        timeout: Duration::from_secs(2),
        statuses: vec![StatusCode::OK],
        down_after: 2,
        up_after: 2,
    });
    let origin = origin(settings);
    assert!(!fetched(&origin, "/").await.is_empty(), "the checks begin");
    until(|| origin.report()[0].state == State::Down).await;
    for _ in 0..4 {
        assert_eq!(fetched(&origin, "/").await, "second");
    }
    is_well.store(true, Ordering::Relaxed);
    until(|| origin.report()[0].state == State::Up).await;
    let answers = [fetched(&origin, "/").await, fetched(&origin, "/").await];
    assert!(answers.contains(&"first".to_owned()), "{answers:?}");
    let checks = first.asked().iter().filter(|head| head.starts_with("GET /healthz ")).count();
    assert!(checks >= 4, "{checks}");
    let address = first.address.to_string();
    assert!(first.asked().iter().all(|head| field(head, "host") == Some(&address)));
}

#[tokio::test]
async fn checks_end_with_their_origin() {
    let server = Raw::always(&ok("x")).await;
    let mut settings = settings(&[server.address]);
    settings.health = Some(HealthSettings {
        path: "/healthz".to_owned(),
        interval: Duration::from_millis(5),
        timeout: Duration::from_secs(2),
        statuses: vec![StatusCode::OK],
        down_after: 1,
        up_after: 1,
    });
    let origin = origin(settings);
    fetched(&origin, "/").await;
    until(|| server.asked().len() > 3).await;
    drop(origin);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let asked = server.asked().len();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(server.asked().len(), asked);
}

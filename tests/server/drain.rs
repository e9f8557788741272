//! Shutdown: what runs is finished, what idles is closed, nothing new is taken.

use std::time::Duration;

use sluicegate::server::settings::Settings;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::{
    get, h2_client, is_closed, read_all, read_answer, settings, start, text, until, within,
};

const LONG: Duration = Duration::from_mins(10);

#[tokio::test]
async fn running_requests_finish_and_idle_connections_close() {
    let server = start(settings());
    let mut running = TcpStream::connect(server.http).await.unwrap();
    running.write_all(b"GET /gate HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    let (mut client, connection) = h2_client(TcpStream::connect(server.http).await.unwrap()).await;
    let stream = tokio::spawn(client.send_request(get("http://h/gate")));
    within(server.arrived.acquire_many(2)).await.unwrap().forget();
    let mut idle = TcpStream::connect(server.http).await.unwrap();
    idle.write_all(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    read_answer(&mut idle, "hello /a").await;
    let mut fresh = TcpStream::connect(server.http).await.unwrap();
    until(|| server.counters.open.value() == 4).await;

    server.shutdown.cancel();
    assert!(is_closed(&mut idle).await);
    assert!(is_closed(&mut fresh).await);
    until(|| server.counters.open.value() == 2).await;
    assert!(TcpStream::connect(server.http).await.is_err());

    server.gate.add_permits(2);
    let answer = read_all(&mut running).await;
    assert!(answer.contains("connection: close") && answer.ends_with("through the gate"), "{answer}");
    let response = within(stream).await.unwrap().unwrap();
    assert_eq!(text(response).await, "through the gate");
    within(connection).await.unwrap().unwrap();
    within(server.task).await.unwrap();
    assert_eq!(server.counters.open.value(), 0);
    assert_eq!(server.counters.cut_by_drain.value(), 0);
}

#[tokio::test]
async fn a_request_on_its_way_on_an_idle_connection_is_answered_as_the_last() {
    let server = start(Settings { drain_idle_timeout: LONG, drain_timeout: LONG, ..settings() });
    let mut idle = TcpStream::connect(server.http).await.unwrap();
    idle.write_all(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    read_answer(&mut idle, "hello /a").await;
    let mut begun = TcpStream::connect(server.http).await.unwrap();
    begun.write_all(b"GET /b HTTP/1.1\r\n").await.unwrap();
    let fresh = TcpStream::connect(server.http).await.unwrap();
    until(|| server.counters.open.value() == 3).await;
    // The kernel completed it, and nobody has taken it yet: this thread does not give way.
    let queued = std::net::TcpStream::connect(server.http).unwrap();
    server.shutdown.cancel();
    queued.set_nonblocking(true).unwrap();
    let queued = TcpStream::from_std(queued).unwrap();
    for (mut client, rest) in [
        (idle, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n"),
        (begun, "Host: h\r\n\r\n"),
        (fresh, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n"),
        (queued, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n"),
    ] {
        client.write_all(rest.as_bytes()).await.unwrap();
        let answer = read_all(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"), "{answer}");
    }
    // Nobody is left, so that the time is not waited for.
    within(server.task).await.unwrap();
}

#[tokio::test]
async fn the_drain_has_an_end() {
    let drain_timeout = Duration::from_millis(100);
    let server = start(Settings { drain_timeout, ..settings() });
    let mut running = TcpStream::connect(server.http).await.unwrap();
    running.write_all(b"GET /gate HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    let (mut client, _connection) = h2_client(TcpStream::connect(server.http).await.unwrap()).await;
    let stream = tokio::spawn(client.send_request(get("http://h/gate")));
    within(server.arrived.acquire_many(2)).await.unwrap().forget();
    server.shutdown.cancel();
    within(server.task).await.unwrap();
    assert_eq!(server.counters.cut_by_drain.value(), 2);
    assert!(is_closed(&mut running).await);
    assert!(within(stream).await.unwrap().is_err());
    assert_eq!(server.counters.open.value(), 0);
}

#[tokio::test]
async fn nothing_to_drain_takes_no_time() {
    let server = start(settings());
    server.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(5), server.task).await.unwrap().unwrap();
}

//! A raw HTTP/1.1 server that does what it is told, and an origin in front of such servers.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use http_body_util::BodyExt;
use sluicegate::origin::body::{BodyError, OriginBody};
use sluicegate::origin::settings::{
    Auth, Balance, Base, EjectionSettings, HeadLimits, Http2, RedirectSettings, RetrySettings,
    ServerSettings, Settings, TlsSettings,
};
use sluicegate::origin::{Origin, OriginError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a server does for a request; then it waits for the next one.
#[derive(Clone, Debug)]
pub enum Step {
    Send(Vec<u8>),
    Pause(Duration),
    /// Nothing more, for as long as the client stays.
    Hang,
    Close,
}

/// A server on a free port. It remembers the heads of all requests, and counts its connections.
pub struct Raw {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
}

impl Raw {
    pub async fn start(answer: impl Fn(&str) -> Vec<Step> + Send + Sync + 'static) -> Self {
        Self::start_with_peer(move |head, _| answer(head)).await
    }

    /// A server whose answer depends on the connection, too.
    pub async fn start_with_peer(
        answer: impl Fn(&str, SocketAddr) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (asked, connections) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (heads, count, answer) = (asked.clone(), connections.clone(), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let (heads, answer) = (heads.clone(), answer.clone());
                tokio::spawn(async move { serve(stream, &heads, &|head| answer(head, peer)).await });
            }
        });
        Self { address, asked, connections }
    }

    /// A server that answers everything so.
    pub async fn always(answer: &[u8]) -> Self {
        let answer = answer.to_vec();
        Self::start(move |_| vec![Step::Send(answer.clone())]).await
    }

    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("not poisoned").clone()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn serve(
    mut stream: TcpStream,
    heads: &Mutex<Vec<String>>,
    answer: &(impl Fn(&str) -> Vec<Step> + Sync),
) -> Option<()> {
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            let mut chunk = [0; 4096];
            let read = stream.read(&mut chunk).await.ok().filter(|&read| read > 0)?;
            buffer.extend_from_slice(&chunk[..read]);
        };
        let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
        buffer.drain(..end);
        heads.lock().expect("not poisoned").push(head.clone());
        for step in answer(&head) {
            match step {
                Step::Send(bytes) => stream.write_all(&bytes).await.ok()?,
                Step::Pause(time) => tokio::time::sleep(time).await,
                Step::Hang => {
                    let _ = stream.read(&mut [0; 1]).await;
                    return None;
                }
                Step::Close => return None,
            }
        }
    }
}

/// An address where nobody listens.
pub async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("an address")
}

/// `200 OK` with this body.
pub fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

pub fn server(url: &str) -> ServerSettings {
    let uri: http::Uri = url.parse().expect("a URL");
    let base = Base {
        scheme: uri.scheme().expect("a scheme").clone(),
        authority: uri.authority().expect("an authority").clone(),
        prefix: uri.path().trim_end_matches('/').to_owned(),
    };
    ServerSettings { base, weight: 1, is_backup: false }
}

/// Servers at these addresses; short times, no retries or ejections unless a test asks for them.
pub fn settings(addresses: &[SocketAddr]) -> Settings {
    Settings {
        servers: addresses.iter().map(|address| server(&format!("http://{address}"))).collect(),
        balance: Balance::RoundRobin,
        host: None,
        tls: TlsSettings::default(),
        http2: Http2::Off,
        http2_connections: 1,
        auth: Auth::None,
        connect_timeout: Duration::from_secs(5),
        first_byte_timeout: Duration::from_secs(5),
        between_bytes_timeout: Duration::from_secs(5),
        fetch_timeout: Duration::from_secs(20),
        fetches_max: 16,
        queue_max: 16,
        queue_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_secs(30),
        connection_age_max: Duration::from_mins(5),
        head: HeadLimits { bytes_max: 32 << 10, fields_max: 100, interim_max: 8 },
        retry: RetrySettings { attempts_max: 0, statuses: Vec::new(), percent: 0, per_second: 0 },
        ejection: EjectionSettings {
            failures: 0,
            time: Duration::from_mins(1),
            time_max: Duration::from_mins(1),
        },
        health: None,
        redirects: RedirectSettings::default(),
    }
}

/// The same with one retry, of which there are plenty.
pub fn with_retry(mut settings: Settings) -> Settings {
    let statuses = vec![StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE];
    settings.retry = RetrySettings { attempts_max: 1, statuses, percent: 100, per_second: 100 };
    settings
}

pub fn origin(settings: Settings) -> Origin {
    Origin::new(settings).expect("an origin")
}

/// The time that requests are sent at: 2015-08-30T12:36:00Z.
pub const NOW: Duration = Duration::new(1_440_938_160, 0);

pub async fn get(origin: &Origin, path: &str) -> Result<Response<OriginBody>, OriginError> {
    get_with(origin, path, &[]).await
}

pub async fn get_with(
    origin: &Origin,
    path: &str,
    fields: &[(&str, &str)],
) -> Result<Response<OriginBody>, OriginError> {
    origin.fetch(&Method::GET, path, headers(fields), None, NOW).await
}

pub fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let fields = fields.iter().map(|(name, value)| {
        (
            HeaderName::from_bytes(name.as_bytes()).expect("a name"),
            HeaderValue::from_str(value).expect("a value"),
        )
    });
    fields.collect()
}

pub async fn text(response: Response<OriginBody>) -> Result<String, BodyError> {
    let body: Bytes = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// The body of a GET that has to succeed.
pub async fn fetched(origin: &Origin, path: &str) -> String {
    text(get(origin, path).await.expect("an answer")).await.expect("a whole body")
}

/// The value of a field in a head.
pub fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
}

/// Waits until `condition` holds.
pub async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.expect("it comes to that");
}

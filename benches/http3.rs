//! What HTTP/3 costs the edge, beside HTTP/2 and HTTP/1.1 over TLS: its CPU time for cached objects of two sizes.
//!
//! The program itself serves; eight clients of each version, in this process, ask one request after the other. What the
//! clients need is not counted, only slows them down: the edge's own CPU time is read from the kernel.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h3_quinn::quinn;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Bytes of an object, and how many are fetched in a round.
const CASES: [(usize, u32); 2] = [(1 << 10, 40_000), (1 << 20, 2_000)];
const ROUNDS: usize = 3;
const CLIENTS: u32 = 8;

struct Edge {
    process: Child,
    port: u16,
}

impl Edge {
    fn start(folder: &Path) -> Self {
        let program = env!("CARGO_BIN_EXE_sluicegate");
        let made = Command::new(program)
            .args(["cert", "--host", "localhost", "--out"])
            .arg(folder)
            .stdout(Stdio::null())
            .status();
        assert!(made.expect("it runs").success());
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        let config = folder.join("config.toml");
        let text = format!(
            "[server]\nhttp = []\nhttps = [\"127.0.0.1:{port}\"]\nhttp3 = [\"127.0.0.1:{port}\"]\nworkers = 1\n\
             [server.limits]\nrequests_per_connection = 1000000\nstreams_per_connection = 1000000\n\
             [[tls.certificate]]\ncert = \"dev.pem\"\nkey = \"dev.key\"\n[log]\nlevel = \"error\"\naccess = \"off\"\n\
             [[property]]\nname = \"open\"\nhosts = [\"*\"]\naccess = {{ action = \"open\" }}\norigin = {{ urls = [\"http://{}\"] }}\n",
            origin()
        );
        std::fs::write(&config, text).expect("written");
        let process =
            Command::new(program).args(["serve", "--config"]).arg(&config).spawn().expect("it starts");
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { process, port }
    }

    /// User and system time so far (proc(5): fields 14 and 15, a hundred a second).
    fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).expect("a process");
        let fields = stat.rsplit(')').next().expect("its name").split_whitespace().skip(11).take(2);
        fields.map(|ticks| ticks.parse::<f64>().expect("a number")).sum::<f64>() / 100.0
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An origin whose objects are as long as their names say.
fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 4096];
            let read = stream.read(&mut head).unwrap_or(0);
            let target = String::from_utf8_lossy(&head[..read]);
            let length =
                target.split(['/', '.']).nth(1).and_then(|name| name.parse::<usize>().ok()).unwrap_or(0);
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nCache-Control: max-age=3600\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(&vec![7; length]);
        }
    });
    address
}

fn tls(authority: &Path, versions: &[&'static rustls::SupportedProtocolVersion]) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority).expect("a certificate")).expect("an authority");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// One client over TCP.
async fn over_tcp(authority: &Path, port: u16, is_http2: bool, bytes: usize, count: u32) {
    let tls = tls(authority, &[&rustls::version::TLS13]);
    let builder = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_only();
    let connector = if is_http2 { builder.enable_http2().build() } else { builder.enable_http1().build() };
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let url: http::Uri = format!("https://localhost:{port}/{bytes}.mp4").parse().expect("a URL");
    for _ in 0..count {
        let reply = client.get(url.clone()).await.expect("an answer");
        assert_eq!(reply.into_body().collect().await.expect("a body").to_bytes().len(), bytes);
    }
}

/// One client over QUIC.
async fn over_quic(authority: &Path, port: u16, bytes: usize, count: u32) {
    let mut tls = tls(authority, &[&rustls::version::TLS13]);
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).expect("TLS 1.3");
    let mut endpoint = quinn::Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a socket");
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
    let edge = SocketAddr::from(([127, 0, 0, 1], port));
    let connection = endpoint.connect(edge, "localhost").expect("it begins").await.expect("a connection");
    let (mut driver, mut client) =
        h3::client::new(h3_quinn::Connection::new(connection)).await.expect("HTTP/3");
    tokio::spawn(async move { std::future::poll_fn(|cx| driver.poll_close(cx)).await });
    for _ in 0..count {
        let request =
            Request::get(format!("https://localhost:{port}/{bytes}.mp4")).body(()).expect("a request");
        let mut stream = client.send_request(request).await.expect("a stream");
        stream.finish().await.expect("its end");
        assert_eq!(stream.recv_response().await.expect("an answer").status(), 200);
        let mut read = 0;
        while let Some(data) = stream.recv_data().await.expect("a body") {
            read += bytes::Buf::remaining(&data);
        }
        assert_eq!(read, bytes);
    }
}

#[derive(Clone, Copy)]
enum Version {
    Http1,
    Http2,
    Http3,
}

/// The edge's CPU time for one request, in microseconds.
async fn measure(edge: &Edge, authority: &Path, version: Version, bytes: usize, count: u32) -> f64 {
    let before = edge.cpu_seconds();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let (authority, port, count) = (authority.to_owned(), edge.port, count / CLIENTS);
        clients.spawn(async move {
            match version {
                Version::Http1 => over_tcp(&authority, port, false, bytes, count).await,
                Version::Http2 => over_tcp(&authority, port, true, bytes, count).await,
                Version::Http3 => over_quic(&authority, port, bytes, count).await,
            }
        });
    }
    while let Some(done) = clients.join_next().await {
        done.expect("no panic");
    }
    (edge.cpu_seconds() - before) * 1e6 / f64::from(count)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let edge = Edge::start(folder.path());
    let authority = folder.path().join("ca.pem");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    println!("CPU time of the edge for a cached object over TLS 1.3, in µs; medians of {ROUNDS} rounds");
    println!("{:>10} {:>10} {:>10} {:>10} {:>14}", "bytes", "HTTP/1.1", "HTTP/2", "HTTP/3", "HTTP/3:HTTP/2");
    for (bytes, count) in CASES {
        let mut spent = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (place, version) in [Version::Http1, Version::Http2, Version::Http3].into_iter().enumerate() {
                spent[place].push(runtime.block_on(measure(&edge, &authority, version, bytes, count)));
            }
        }
        let [http1, http2, http3] = spent.map(median);
        println!("{bytes:>10} {http1:>10.1} {http2:>10.1} {http3:>10.1} {:>14.2}", http3 / http2);
    }
}

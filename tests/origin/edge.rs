//! The origin side as a configuration makes it, behind a whole edge.

use std::net::SocketAddr;
use std::path::Path;

use sluicegate::app::App;
use sluicegate::clock::Clock;
use sluicegate::config;
use sluicegate::origin::State;
use sluicegate::telemetry::diagnostics::Level;
use sluicegate::telemetry::metrics::Metrics;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::support::*;

struct TestEdge {
    address: SocketAddr,
    app: std::sync::Arc<sluicegate::edge::Edge>,
    _shutdown: DropGuard,
}

impl TestEdge {
    /// An open edge whose `[property.origin]` has these keys.
    fn start(origin: &str) -> Self {
        let text = format!(
            "[server]\nhttp = [\"127.0.0.1:0\"]\n[log]\naccess = \"off\"\n[[property]]\nname = \"p\"\nhosts = [\"*\"]\n\
             access = {{ action = \"open\" }}\n[property.origin]\n{origin}\n"
        );
        let metrics = Metrics::new();
        let parsed = config::parse(&text, "test.toml", Path::new("."), &metrics, NOW);
        let config = parsed.unwrap_or_else(|faults| panic!("{}", faults.lines().join("\n")));
        let app = App::build(config, metrics, Clock::manual(NOW), Level::of_nothing()).expect("an edge");
        let address = app.addresses().expect("addresses").0[0];
        let edge = app.edge.clone();
        let shutdown = CancellationToken::new();
        tokio::spawn(app.run(shutdown.clone()));
        Self { address, app: edge, _shutdown: shutdown.drop_guard() }
    }

    async fn get(&self, path: &str, fields: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("the edge listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n{fields}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }
}

#[tokio::test]
async fn viewers_do_not_notice_a_server_that_is_down() {
    let up = Raw::always(&ok("segment")).await;
    let edge = TestEdge::start(&format!(
        "servers = [{{ url = \"http://{}\" }}, {{ url = \"http://{}\" }}]\nejection_failures = 2",
        nobody().await,
        up.address
    ));
    for number in 0..8 {
        let answer = edge.get(&format!("/{number}.ts"), "").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("segment"), "{answer}");
    }
    let terms = edge.app.terms.load();
    let property = terms.properties.select("a.example", None).expect("a property");
    let servers = property.upstreams[0].source.servers();
    assert_eq!([servers[0].state, servers[1].state], [State::Ejected, State::Up], "{servers:?}");
}

#[tokio::test]
async fn an_answer_that_cannot_be_true_is_502() {
    let part = b"HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 5-7/9\r\ncontent-length: 3\r\n\r\nabc";
    let lying = Raw::always(part).await;
    let edge = TestEdge::start(&format!("urls = [\"http://{}\"]", lying.address));
    for fields in ["", "Range: bytes=0-2\r\n"] {
        let answer = edge.get("/1.ts", fields).await;
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    }
    // What is for its sender alone is asked as it was, and not in slices.
    let own = "Range: bytes=5-7\r\nAuthorization: Basic eDp5\r\n";
    assert!(edge.get("/1.ts", own).await.ends_with("abc"));
}

#[tokio::test]
async fn requests_are_signed_with_the_edges_time() {
    let server = Raw::always(&ok("x")).await;
    let edge = TestEdge::start(&format!(
        "urls = [\"http://{}/bucket\"]\nhost = \"bucket.s3.example\"\nauth = {{ sigv4 = {{ access_key_id = {{ text = \"AKID\" }}, \
         secret_access_key = {{ text = \"s\" }}, region = \"eu-central-1\" }} }}",
        server.address
    ));
    edge.get("/1.ts", "Authorization: Basic eDp5\r\n").await;
    let head = &server.asked()[0];
    assert_eq!(field(head, "x-amz-date"), Some("20150830T123600Z"));
    assert_eq!(field(head, "host"), Some("bucket.s3.example"));
    let authorization = field(head, "authorization").expect("it is signed");
    let scope = "AWS4-HMAC-SHA256 Credential=AKID/20150830/eu-central-1/s3/aws4_request, ";
    assert!(authorization.starts_with(scope), "{authorization}");
}

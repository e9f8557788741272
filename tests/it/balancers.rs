//! Real balancers in front of the edge, which announce their clients by the PROXY protocol.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::support::client::read_reply;
use crate::support::program::{Running, free_port, is_wanted};
use crate::support::tls::{self, TestCertificate};
use crate::support::{Answer, Reply, TestEdge, TestOrigin};

/// All of 127.0.0.0/8 is this machine: a client that the edge can tell from the balancer.
const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const PATIENCE: Duration = Duration::from_secs(20);

struct Stage {
    origin: TestOrigin,
    edge: TestEdge,
    certificate: TestCertificate,
}

/// An edge whose listeners, plain and TLS, are for balancers of 127.0.0.1 alone.
async fn stage(extra: &str) -> Stage {
    let origin = TestOrigin::start().await;
    origin.at("/s.ts", Answer::ok("video/mp2t", "segment"));
    let certificate = TestCertificate::new();
    let edge = TestEdge::with_text(&format!(
        "[server]\nhttp = [\"127.0.0.1:0\"]\nhttps = [\"127.0.0.1:0\"]\nproxy_protocol = [\"127.0.0.1:0\"]\n\
         proxy_protocol_from = [\"127.0.0.1\"]\n[[tls.certificate]]\ncert = \"{}\"\nkey = \"{}\"\n\
         [admin]\nlisten = \"127.0.0.1:0\"\n[log]\naccess = \"off\"\n[[property]]\nname = \"test\"\nhosts = [\"*\"]\n\
         origin = {{ urls = [\"http://{}\"] }}\naccess = {{ action = \"open\" }}\n{extra}",
        certificate.certificate().display(),
        certificate.key().display(),
        origin.address,
    ))
    .await;
    Stage { origin, edge, certificate }
}

/// A connection from [`CLIENT`], once somebody listens.
async fn connect(port: u16) -> TcpStream {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let connected = async {
        loop {
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.bind(SocketAddr::from((CLIENT, 0))).expect("an address of this machine");
            match socket.connect(address).await {
                Ok(stream) => return stream,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, connected).await.expect("the balancer listens")
}

async fn get(port: u16) -> Reply {
    let mut stream = connect(port).await;
    stream.write_all(b"GET /s.ts HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await.expect("it reads");
    tokio::time::timeout(PATIENCE, read_reply(&mut stream, false)).await.expect("an answer in time")
}

fn run(program: &str, arguments: &[&str], folder: &Path) -> Running {
    let child = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Running(child.expect("it starts"))
}

/// haproxy with a frontend for each line of its `server`.
fn haproxy(servers: &[String], folder: &Path) -> (Running, Vec<u16>) {
    let ports: Vec<u16> = servers.iter().map(|_| free_port()).collect();
    let mut text = "global\n  maxconn 100\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 20s\n  timeout server 20s\n".to_owned();
    for (server, port) in servers.iter().zip(&ports) {
        text.push_str(&format!("listen l{port}\n  bind 127.0.0.1:{port}\n  server edge {server}\n"));
    }
    std::fs::write(folder.join("haproxy.cfg"), text).expect("a configuration");
    (run("haproxy", &["-q", "-db", "-f", "haproxy.cfg"], folder), ports)
}

async fn headers_taken(edge: &TestEdge) -> u64 {
    edge.count("proxy_protocol_headers_total").await
}

#[tokio::test]
async fn haproxy_announces_its_clients_in_both_versions() {
    if !is_wanted("haproxy", &["haproxy", "-v"]) {
        return;
    }
    let stage = stage("").await;
    let folder = tempfile::tempdir().expect("a folder");
    let edge = stage.edge.address;
    let servers = ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"]
        .map(|how| format!("{edge} {how}"));
    let (_haproxy, ports) = haproxy(&servers, folder.path());
    for port in ports {
        let reply = get(port).await;
        assert_eq!(reply.text(), "segment", "{}", reply.head);
    }
    let asked = stage.origin.asked();
    let seen = asked[0].header("x-forwarded-for");
    assert_eq!(seen.as_deref(), Some("127.0.0.2"), "{asked:?}");
    assert_eq!(headers_taken(&stage.edge).await, 3);
}

#[tokio::test]
async fn the_announced_address_is_the_one_that_is_judged() {
    if !is_wanted("haproxy", &["haproxy", "-v"]) {
        return;
    }
    let stage = stage("ip = { block = [\"127.0.0.2\"] }\ndebug_reasons = true\n").await;
    let folder = tempfile::tempdir().expect("a folder");
    let servers = ["send-proxy", "send-proxy-v2"].map(|how| format!("{} {how}", stage.edge.address));
    let (_haproxy, ports) = haproxy(&servers, folder.path());
    for port in ports {
        let reply = get(port).await;
        assert_eq!((reply.status, reply.reason().as_deref()), (403, Some("ip_blocked")), "{}", reply.head);
    }
    assert!(stage.origin.asked().is_empty());
}

#[tokio::test]
async fn haproxys_own_checks_are_taken_and_a_balancer_without_header_is_not() {
    if !is_wanted("haproxy", &["haproxy", "-v"]) {
        return;
    }
    let stage = stage("").await;
    let folder = tempfile::tempdir().expect("a folder");
    // Its checks say LOCAL.
    let checked = format!("{} send-proxy-v2 check inter 20ms check-send-proxy", stage.edge.address);
    let (_haproxy, ports) = haproxy(&[checked, stage.edge.address.to_string()], folder.path());
    let counted = async {
        while headers_taken(&stage.edge).await == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, counted).await.expect("a check");
    assert_eq!(get(ports[1]).await.status, 0, "it ends without an answer");
    assert_eq!(stage.edge.count("proxy_protocol_refusals_missing_total").await, 1);
    assert_eq!(get(ports[0]).await.text(), "segment");
}

#[tokio::test]
async fn tls_passes_haproxy_behind_its_header() {
    if !is_wanted("haproxy", &["haproxy", "-v"]) {
        return;
    }
    let stage = stage("ip = { allow = [\"127.0.0.2\"] }\n").await;
    let folder = tempfile::tempdir().expect("a folder");
    let secure = stage.edge.secure.expect("a TLS listener");
    let (_haproxy, ports) = haproxy(&[format!("{secure} send-proxy-v2")], folder.path());
    let stream = connect(ports[0]).await;
    let authority = stage.certificate.authority();
    let session = tls::over(stream, &authority, &["http/1.1"], &[&rustls::version::TLS13]).await;
    let mut session = session.expect("a handshake");
    session.write_all(b"GET /s.ts HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("it reads");
    let reply = read_reply(&mut session, false).await;
    assert_eq!(reply.text(), "segment", "{}", reply.head);
}

#[tokio::test]
async fn nginx_announces_its_clients() {
    const MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";
    if !is_wanted("nginx-stream", &["test", "-f", MODULE]) {
        return;
    }
    let stage = stage("").await;
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let text = format!(
        "load_module {MODULE};\ndaemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr error;\n\
         events {{ worker_connections 64; }}\nstream {{ server {{ listen 127.0.0.1:{port}; proxy_pass {}; proxy_protocol on; }} }}\n",
        stage.edge.address
    );
    std::fs::write(folder.path().join("nginx.conf"), text).expect("a configuration");
    let prefix = folder.path().display().to_string();
    let _nginx = run("/usr/sbin/nginx", &["-e", "stderr", "-c", "nginx.conf", "-p", &prefix], folder.path());
    let reply = get(port).await;
    assert_eq!(reply.text(), "segment", "{}", reply.head);
    assert_eq!(stage.origin.asked()[0].header("x-forwarded-for").as_deref(), Some("127.0.0.2"));
}

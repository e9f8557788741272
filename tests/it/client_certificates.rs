//! Certificates of clients, by property: who is let in, over which connections, and what becomes of tickets and reloads.

use std::path::PathBuf;
use std::sync::Arc;

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, SupportedProtocolVersion};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::client::{self, Reply, read_reply};
use crate::support::tls::{self, TestCertificate};
use crate::support::{Answer, TestEdge, TestOrigin};

const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

/// An authority for clients.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// What a client shows.
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivatePkcs8KeyDer<'static>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("an authority").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn identity(&self, common_name: &str, names: Vec<SanType>) -> Identity {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.subject_alt_names = names;
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Identity { chain: vec![certificate.der().clone()], key: key.serialize_der().into() }
    }
}

fn dns(name: &str) -> Vec<SanType> {
    vec![SanType::DnsName(name.try_into().expect("a name"))]
}

/// An edge with a property `closed` (closed.test), which asks for certificates as `tls` says, and an open one (open.test).
struct Stage {
    certificate: TestCertificate,
    folder: tempfile::TempDir,
    origin: TestOrigin,
    edge: TestEdge,
}

fn text(stage: (&TestCertificate, &TestOrigin), tls: &str) -> String {
    let (certificate, origin) = stage;
    let property = |name: &str, extra: &str| {
        format!(
            "[[property]]\nname = \"{name}\"\nhosts = [\"{name}.test\"]\ndebug_reasons = true\norigin = {{ urls = [\"http://{}\"] }}\naccess = {{ action = \"open\" }}\n{extra}\n",
            origin.address
        )
    };
    format!(
        "[server]\nhttp = [\"127.0.0.1:0\"]\nhttps = [\"127.0.0.1:0\"]\n[[tls.certificate]]\ncert = \"{}\"\nkey = \"{}\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\naccess = \"off\"\n{}{}",
        certificate.certificate().display(),
        certificate.key().display(),
        property("closed", &format!("tls = {{ {tls} }}")),
        property("open", ""),
    )
}

impl Stage {
    async fn new(authority: &Authority, tls: &str) -> Self {
        let certificate = TestCertificate::naming(&["closed.test", "open.test"]);
        let origin = TestOrigin::start().await;
        origin.at("/a", Answer::ok("text/plain", "a"));
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("clients.pem"), &authority.pem).expect("a file");
        let path = folder.path().join("edge.toml");
        std::fs::write(&path, text((&certificate, &origin), tls)).expect("a file");
        let edge = TestEdge::with_file(&path).await;
        Self { certificate, folder, origin, edge }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn reload(&self, tls: &str) {
        std::fs::write(self.file("edge.toml"), text((&self.certificate, &self.origin), tls)).expect("a file");
        let reloader = self.edge.reloader.clone().expect("a file");
        tokio::task::spawn_blocking(move || reloader.reload()).await.expect("no panic").expect("no fault");
    }

    /// A client, whose connections may go on from each other.
    fn client(&self, identity: Option<&Identity>, versions: &[&'static SupportedProtocolVersion]) -> Client {
        let builder = tls::client(&[self.certificate.authority()], versions);
        let config = match identity {
            Some(identity) => builder
                .with_client_auth_cert(identity.chain.clone(), PrivateKeyDer::from(identity.key.clone_key()))
                .expect("a certificate"),
            None => builder.with_no_client_auth(),
        };
        Client { address: self.edge.secure.expect("a TLS listener"), config }
    }

    async fn count(&self, name: &str) -> u64 {
        self.edge.count(&format!("{name}_total")).await
    }
}

#[derive(Clone)]
struct Client {
    address: std::net::SocketAddr,
    config: ClientConfig,
}

type Connection = TlsStream<TcpStream>;

impl Client {
    async fn connect(&self, name: &'static str) -> std::io::Result<Connection> {
        let socket = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from(name).expect("a name");
        TlsConnector::from(Arc::new(self.config.clone())).connect(name, socket).await
    }

    /// The status of one request, and how the handshake went; `None` where the handshake was refused.
    async fn ask(&self, name: &'static str) -> Option<(u16, HandshakeKind)> {
        let mut connection = self.connect(name).await.ok()?;
        let head = format!("GET /a HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
        // With TLS 1.3 the client thinks that it is done before the edge has looked at its certificate.
        connection.write_all(head.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut connection, &mut answer).await.ok()?;
        let answer = String::from_utf8(answer).expect("text");
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        Some((status, connection.get_ref().1.handshake_kind()?))
    }

    async fn status(&self, name: &'static str) -> Option<u16> {
        self.ask(name).await.map(|(status, _)| status)
    }
}

async fn send(connection: &mut Connection, host: &str) -> Reply {
    let head = format!("GET /a HTTP/1.1\r\nHost: {host}\r\n\r\n");
    connection.write_all(head.as_bytes()).await.expect("it stands");
    read_reply(connection, false).await
}

const REQUIRED: &str = "client_certificates = \"required\", client_ca = [\"clients.pem\"]";
const OPTIONAL: &str = "client_certificates = \"optional\", client_ca = [\"clients.pem\"]";

#[tokio::test]
async fn a_property_lets_in_whom_its_authorities_vouch_for_and_nobody_else() {
    let (authority, other) = (Authority::new("ours"), Authority::new("ours"));
    let stage = Stage::new(&authority, REQUIRED).await;
    let (good, bad) = (authority.identity("viewer", Vec::new()), other.identity("viewer", Vec::new()));
    for version in BOTH {
        let client = |identity| stage.client(identity, std::slice::from_ref(version));
        assert_eq!(client(Some(&good)).status("closed.test").await, Some(200));
        assert_eq!(client(Some(&bad)).status("closed.test").await, None);
        assert_eq!(client(None).status("closed.test").await, None);
        // The other property asks for none, and is served to whoever shows one.
        assert_eq!(client(None).status("open.test").await, Some(200));
        assert_eq!(client(Some(&bad)).status("open.test").await, Some(200));
    }
    assert_eq!(stage.count("client_certificates_refused").await, 4);
    assert_eq!(stage.count("client_certificates_accepted").await, 2);
    assert_eq!(stage.count("tls_handshakes_failed").await, 4);
}

#[tokio::test]
async fn where_names_are_listed_only_certificates_for_one_of_them_are_good() {
    let authority = Authority::new("ours");
    let listed = "client_names = [\"edge-2.test\", \"spiffe://test/edge\", \"by-common-name\"]";
    let stage = Stage::new(&authority, &format!("{REQUIRED}, {listed}")).await;
    let uri = |text: &str| vec![SanType::URI(text.try_into().expect("a URI"))];
    let cases = [
        ("x", dns("EDGE-2.test"), true),
        ("x", uri("spiffe://test/edge"), true),
        ("by-common-name", Vec::new(), true),
        ("x", dns("edge-22.test"), false),
        ("x", uri("spiffe://test/edge/other"), false),
        ("x", Vec::new(), false),
        // The common name counts only where there is no other.
        ("by-common-name", dns("edge-3.test"), false),
        ("edge-2.test", dns("edge-3.test"), false),
    ];
    for (common_name, names, is_good) in cases {
        let shown = format!("{common_name} {names:?}");
        let identity = authority.identity(common_name, names);
        let status = stage.client(Some(&identity), BOTH).status("closed.test").await;
        assert_eq!(status, is_good.then_some(200), "{shown}");
    }
}

#[tokio::test]
async fn a_request_over_a_connection_that_was_for_another_property_is_misdirected() {
    let authority = Authority::new("ours");
    for tls in [REQUIRED, OPTIONAL] {
        let stage = Stage::new(&authority, tls).await;
        let good = authority.identity("viewer", Vec::new());
        let viewer = stage.client(Some(&good), BOTH);
        let mut connection = viewer.connect("open.test").await.expect("a handshake");
        assert_eq!(send(&mut connection, "open.test").await.status, 200);
        let refused = send(&mut connection, "closed.test").await;
        assert_eq!((refused.status, refused.reason().as_deref()), (421, Some("client_certificate")));
        // The connection is as good as before for what it was made for.
        assert_eq!(send(&mut connection, "open.test").await.status, 200);
        let mut verified = viewer.connect("closed.test").await.expect("a handshake");
        assert_eq!(send(&mut verified, "closed.test").await.status, 200);
        assert_eq!(send(&mut verified, "open.test").await.status, 200);
        assert_eq!(send(&mut verified, "closed.test").await.status, 200);
        let head = b"GET /a HTTP/1.1\r\nHost: closed.test\r\nConnection: close\r\n\r\n";
        let plain = client::send(stage.edge.address, head, false).await;
        assert_eq!((plain.status, plain.text().as_str()), (421, "Misdirected Request\n"));
        assert_eq!(
            stage.edge.count("denials_total{property=\"closed\",reason=\"client_certificate\"}").await,
            2
        );
    }
}

#[tokio::test]
async fn streams_of_one_http2_connection_are_judged_each_by_its_own_authority() {
    let authority = Authority::new("ours");
    let stage = Stage::new(&authority, REQUIRED).await;
    let good = authority.identity("viewer", Vec::new());
    let mut client = stage.client(Some(&good), BOTH);
    client.config.alpn_protocols = vec![b"h2".to_vec()];
    for (name, expected) in [("open.test", 421), ("closed.test", 200)] {
        let io = TokioIo::new(client.connect(name).await.expect("a handshake"));
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
        let connection = tokio::spawn(connection);
        for (host, expected) in [("open.test", 200), ("closed.test", expected), ("open.test", 200)] {
            let request = hyper::Request::get(format!("https://{host}/a"));
            let request = request.body(Empty::<Bytes>::new()).expect("a request");
            let answer = sender.send_request(request).await.expect("an answer");
            assert_eq!(answer.status(), expected, "{host} over the connection to {name}");
        }
        connection.abort();
    }
}

#[tokio::test]
async fn an_optional_certificate_may_be_missing_but_not_bad() {
    let (authority, other) = (Authority::new("ours"), Authority::new("others"));
    let stage = Stage::new(&authority, OPTIONAL).await;
    let (good, bad) = (authority.identity("viewer", Vec::new()), other.identity("viewer", Vec::new()));
    assert_eq!(stage.client(Some(&good), BOTH).status("closed.test").await, Some(200));
    assert_eq!(stage.client(None, BOTH).status("closed.test").await, Some(200));
    let mut client = stage.client(Some(&bad), BOTH);
    // rustls's client keeps back what the edge's hints do not name; a forger does not.
    client.config.client_auth_cert_resolver = Arc::new(Always(bad));
    assert_eq!(client.status("closed.test").await, None);
    assert_eq!(stage.count("client_certificates_refused").await, 1);
}

/// Shows its certificate whatever authorities the server names.
#[derive(Debug)]
struct Always(Identity);

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity(..)")
    }
}

impl rustls::client::ResolvesClientCert for Always {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
        let key = PrivateKeyDer::from(self.0.key.clone_key());
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).ok()?;
        Some(Arc::new(rustls::sign::CertifiedKey::new(self.0.chain.clone(), key)))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_reload_costs_no_connection_and_no_ticket_and_another_authority_ends_both() {
    let (authority, next) = (Authority::new("ours"), Authority::new("next"));
    for version in BOTH {
        let stage = Stage::new(&authority, REQUIRED).await;
        let good = authority.identity("viewer", Vec::new());
        let client = stage.client(Some(&good), std::slice::from_ref(version));
        let mut connection = client.connect("closed.test").await.expect("a handshake");
        assert_eq!(send(&mut connection, "closed.test").await.status, 200);
        assert_eq!(client.ask("closed.test").await, Some((200, HandshakeKind::Resumed)));

        stage.reload(REQUIRED).await;
        assert_eq!(send(&mut connection, "closed.test").await.status, 200);
        assert_eq!(client.ask("closed.test").await, Some((200, HandshakeKind::Resumed)));

        // One more authority: who stands is judged anew, and a ticket made before is not enough.
        std::fs::write(stage.file("clients.pem"), format!("{}{}", authority.pem, next.pem)).expect("a file");
        stage.reload(REQUIRED).await;
        assert_eq!(send(&mut connection, "closed.test").await.status, 200);
        assert!(
            matches!(client.ask("closed.test").await, Some((200, kind)) if kind != HandshakeKind::Resumed)
        );

        std::fs::write(stage.file("clients.pem"), &next.pem).expect("a file");
        stage.reload(REQUIRED).await;
        assert_eq!(send(&mut connection, "closed.test").await.status, 421);
        assert_eq!(client.ask("closed.test").await, None);
    }
}

#[tokio::test]
async fn a_ticket_from_when_nothing_was_asked_does_not_lead_past_the_question() {
    let authority = Authority::new("ours");
    for version in BOTH {
        let stage = Stage::new(&authority, "").await;
        let client = stage.client(None, std::slice::from_ref(version));
        assert_eq!(client.status("closed.test").await, Some(200));
        assert_eq!(client.ask("closed.test").await, Some((200, HandshakeKind::Resumed)));
        let mut connection = client.connect("closed.test").await.expect("a handshake");
        assert_eq!(send(&mut connection, "closed.test").await.status, 200);
        stage.reload(OPTIONAL).await;
        // It may go without a certificate, but has to be asked for one.
        assert_eq!(send(&mut connection, "closed.test").await.status, 421);
        assert!(
            matches!(client.ask("closed.test").await, Some((200, kind)) if kind != HandshakeKind::Resumed)
        );
        stage.reload(REQUIRED).await;
        assert_eq!(client.status("closed.test").await, None);
        let good = authority.identity("viewer", Vec::new());
        let known = stage.client(Some(&good), std::slice::from_ref(version));
        assert_eq!(known.status("closed.test").await, Some(200));
        // Nor is a ticket of a client that was verified good where another property is meant.
        stage.reload("").await;
        assert!(
            matches!(known.ask("closed.test").await, Some((200, kind)) if kind != HandshakeKind::Resumed)
        );
    }
}

#[tokio::test]
async fn tickets_outlive_reloads_and_are_counted() {
    let authority = Authority::new("ours");
    for version in BOTH {
        let stage = Stage::new(&authority, REQUIRED).await;
        let client = stage.client(None, std::slice::from_ref(version));
        assert!(matches!(client.ask("open.test").await, Some((200, kind)) if kind != HandshakeKind::Resumed));
        for _ in 0..3 {
            stage.reload(OPTIONAL).await;
            assert_eq!(client.ask("open.test").await, Some((200, HandshakeKind::Resumed)));
        }
        assert_eq!(stage.count("tls_handshakes_resumed").await, 3);
    }
}

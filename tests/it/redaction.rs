//! No secret of a run stands in any log line, metric, operators' answer or `Debug`: the whole program, at its most talkative, through an
//! evening on which all goes wrong.

use std::collections::BTreeSet;
use std::io::BufRead as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use sluicegate::config;
use sluicegate::telemetry::metrics::Metrics;
use tokio::net::TcpStream;

use crate::admin::{JSON, post};
use crate::leaks::hmacs;
use crate::support::client::{Reply, read_reply};
use crate::support::edge::clock_offset;
use crate::support::player::Player;
use crate::support::tls::{TestCertificate, connect};
use crate::support::token::{Access, encoded};
use crate::support::{Answer, KEY, START, TestOrigin, request, stage};
use crate::{secure_link, signed_claims};

/// Secrets that are texts, each unlike any other text of the run.
const OPERATORS: &str = "operators-9d1f0c";
const REDIS: &str = "redis-52ab77";
const BEARER: &str = "bearer-e01c55";
const AWS: &str = "aws-7711aa";
const GHOST: &str = "g2o-88c3d2";
const MEDIA: &str = "c0ffee00c0ffee11c0ffee22c0ffee33";
const TRANSITION: &str = "5eed5eed5eed5eed5eed5eed";
/// What clients bring along that is nobody's business.
const COOKIE: &str = "cookie-31d6cf";
const BASIC: &str = "authorization-fa90";
const SIGNED: &str = "signed-by-amazon-77b0";
const GUESS: &str = "guessed-token-0f0f";

const MASTER: &str = "/v/master.m3u8";

fn text(folder: &Path, origin: SocketAddr, certificate: &TestCertificate) -> String {
    let property = |name: &str, keys: &str| {
        format!("[[property]]\nname = \"{name}\"\nhosts = [\"{name}.example\"]\n{keys}\n")
    };
    let (certificate, key) = (certificate.certificate(), certificate.key());
    let mut text = format!(
        "[server]\nhttp = [\"127.0.0.1:0\"]\nhttps = [\"127.0.0.1:0\"]\n\
         [[tls.certificate]]\ncert = '{}'\nkey = '{}'\n\
         [admin]\nlisten = \"127.0.0.1:0\"\ntoken = {{ text = \"{OPERATORS}\" }}\ntop_sample = 1\n\
         [log]\nlevel = \"trace\"\nformat = \"json\"\naccess = '{}'\n\
         [fleet]\nredis = \"redis://127.0.0.1:1/0\"\npassword = {{ text = \"{REDIS}\" }}\n",
        certificate.display(),
        key.display(),
        folder.join("access.log").display()
    );
    let edgeauth =
        format!("access = {{ key = {{ hex = \"{KEY}\" }}, transition_key = {{ hex = \"{TRANSITION}\" }} }}");
    text.push_str(&property(
        "films",
        &format!("origin = {{ urls = [\"http://{origin}\"], auth = {{ bearer = {{ text = \"{BEARER}\" }} }} }}\n{edgeauth}\nsession = {{ carrier = \"query\" }}"),
    ));
    text.push_str(&property(
        "links",
        &format!(
            "origin = {{ urls = [\"http://{origin}\"], auth = {{ sigv4 = {{ access_key_id = {{ text = \"AKID\" }}, secret_access_key = {{ text = \"{AWS}\" }}, region = \"r\", service = \"s3\" }} }} }}\n\
             access = {{ dialect = \"secure_link\", key = {{ text = \"{}\" }}, secure_link = {{ path_prefix = \"/p\" }} }}\nsession = {{ carrier = \"cookie\" }}",
            secure_link::SECRET
        ),
    ));
    text.push_str(&property(
        "claims",
        &format!(
            "origin = {{ urls = [\"http://{origin}\"], auth = {{ g2o = {{ version = 5, nonce = \"v1\", key = {{ text = \"{GHOST}\" }} }} }} }}\n\
             access = {{ dialect = \"jwt\", key = {{ hex = \"{}\" }}, jwt = {{ nonce = \"name\" }} }}",
            signed_claims::SECRET
        ),
    ));
    text.push_str(&property(
        "sealed",
        &format!("origin = {{ urls = [\"http://{origin}\"] }}\n{edgeauth}\nencryption = {{ secret = {{ hex = \"{MEDIA}\" }} }}\nlimits = {{ one_time = true }}"),
    ));
    text.push_str(&property(
        "broken",
        &format!("origin = {{ urls = [\"http://127.0.0.1:1\"] }}\n{edgeauth}"),
    ));
    text
}

/// The program, and what it says on standard error.
struct Running {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Running {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sluicegate"))
            .args(["serve", "--config", "config.toml", &format!("--clock-offset={}", clock_offset())])
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let stderr = std::io::BufReader::new(child.stderr.take().expect("piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, lines, said: Vec::new() }
    }

    /// The address behind this text, once a line has it.
    fn address(&mut self, before: &str) -> SocketAddr {
        loop {
            let line = self
                .lines
                .recv_timeout(Duration::from_secs(20))
                .unwrap_or_else(|_| panic!("{:?}", self.said));
            self.said.push(line);
            let line = self.said.last().expect("just pushed");
            if let Some((_, rest)) = line.split_once(before) {
                return rest.split('"').next().and_then(|text| text.parse().ok()).expect("an address");
            }
        }
    }

    fn finish(mut self) -> String {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.said.extend(self.lines.iter());
        self.said.join("\n")
    }
}

/// What was seen of a run: what is to be secret, and what operators were told.
#[derive(Default)]
struct Seen {
    secrets: BTreeSet<String>,
    told: String,
}

impl Seen {
    fn viewer(&mut self, target: &str, reply: &Reply) {
        self.secrets.extend(hmacs(&format!("{target} {} {}", reply.head, reply.text())));
    }

    fn operator(&mut self, asked: &str, reply: &Reply) {
        self.told.push_str(&format!("\n== {asked}\n{}{}", reply.head, reply.text()));
    }
}

/// Viewers who play, and who do it wrong, over HTTP/1.1, HTTP/2 and TLS.
async fn viewers(at: SocketAddr, secure: SocketAddr, certificate: &TestCertificate, seen: &mut Seen) {
    let access = Access { id: Some("viewer1"), ..Access::acl("/*") };
    let (token, old) = (access.text(), Access { end: START - 1, ..Access::acl("/*") }.text());
    let once = Access { id: Some("once"), ..Access::acl("/*") }.text();
    seen.secrets.extend(hmacs(&format!("{token} {old} {once}")));
    let jwt = signed_claims::jwt(
        &json!({ "exp": START + 300, "cdniuc": "regex:http://[^/]*/v/.*", "jti": "one-time" }),
    );
    let signature = secure_link::signature(MASTER, START + 300);
    let in_path = secure_link::signature("/v/", START + 300);
    seen.secrets.extend([jwt.clone(), jwt.rsplit('.').next().expect("a signature").to_owned()]);
    seen.secrets.extend([signature.clone(), in_path.clone()]);

    let mut player = Player::at(at);
    player.fields.push(("host".to_owned(), "films.example".to_owned()));
    for (target, reply) in player.play(&access.on(MASTER)).await {
        assert_eq!(reply.status, 200, "{target}");
        seen.viewer(&target, &reply);
    }
    let fields = [
        ("cookie", format!("theme={COOKIE}; hdntl={token}")),
        ("authorization", format!("Basic {BASIC}")),
        ("referer", format!("http://page.example/?hdnts={token}")),
        ("user-agent", format!("player hdnts={token}")),
        ("hdnts", old.clone()),
        ("sluicegate-debug", GUESS.to_owned()),
        ("cmcd-session", format!("sid=\"hdnts={}\"", &token[..20])),
    ];
    let link = format!("?st={signature}&e={}", START + 300);
    let end = START + 300;
    let presigned = format!("X-Amz-Credential=AKID&X-Amz-Signature={SIGNED}&sig={SIGNED}&Signature={SIGNED}");
    // No name marks it: at a property that has no links it is a path like another.
    let nameless = [MASTER, "/v/%zz"].into_iter().map(|path| format!("/p/{in_path}/{end}{path}"));
    for host in ["films", "links", "claims", "sealed", "broken", "nobody"] {
        for target in [
            format!("{MASTER}?hdnts={token}"),
            format!("{MASTER}?hdnts={old}"),
            format!("{MASTER}?hdnts={once}"),
            format!("{MASTER}?hdnts={once}"),
            format!("{MASTER}?hdnts={token}&hdnts={old}"),
            format!("{MASTER}?%68dnts={token}&{presigned}"),
            format!("{MASTER}?hdnts={}&{presigned}", encoded(&encoded(&token))),
            format!("{MASTER}{link}"),
            format!("/v/hdntl={}/%zz/level.m3u8", token.replace('/', "%2f")),
            format!("/v/hdntl={}/360p/seg0.m4s", token.replace('/', "%2f")),
            format!("{MASTER}?URISigningPackage={jwt}"),
            format!("/URISigningPackage={jwt}{MASTER}"),
            format!("{MASTER};URISigningPackage={jwt}"),
            format!("{MASTER}?URISigningPackage={jwt}x"),
            format!(
                "{MASTER}?CMCD={}",
                encoded(&format!("nor=\"..%2Fa%3Fhdnts={token}\",sid=\"{}\"", &token[..30]))
            ),
        ]
        .into_iter()
        .chain(nameless.clone().filter(|_| matches!(host, "links" | "nobody")))
        {
            let host = format!("{host}.example");
            let bare = [("host", host.as_str())];
            let all: Vec<(&str, &str)> =
                bare.into_iter().chain(fields.iter().map(|(name, value)| (*name, value.as_str()))).collect();
            for fields in [&bare[..], &all] {
                for method in ["GET", "POST"] {
                    seen.viewer(&target, &request(at, method, &target, fields).await);
                }
            }
        }
    }
    let target = format!("{MASTER}?hdnts={token}");
    let io = TokioIo::new(TcpStream::connect(at).await.expect("it listens"));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
    tokio::spawn(connection);
    let ask = Request::get(format!("http://films.example{target}"))
        .header("cookie", &fields[0].1)
        .header("authorization", &fields[1].1)
        .body(Full::<Bytes>::default())
        .expect("a request");
    let response = sender.send_request(ask).await.expect("an answer");
    assert_eq!(response.status(), 200);
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    seen.secrets.extend(hmacs(&String::from_utf8_lossy(&body)));
    let mut stream = connect(secure, &certificate.authority(), &["http/1.1"]).await;
    let head = format!("GET {target} HTTP/1.1\r\nhost: sealed.example\r\nconnection: close\r\n\r\n");
    tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await.expect("sent");
    seen.viewer(&target, &read_reply(&mut stream, false).await);
}

/// Operators who purge, revoke, look and reload with whole URLs at hand.
async fn operators(admin: SocketAddr, folder: &Path, seen: &mut Seen) {
    let access = Access::acl("/*").on(MASTER);
    seen.secrets.extend(hmacs(&access));
    let token = access.split_once("hdnts=").expect("a token").1.to_owned();
    let bearer = format!("Bearer {OPERATORS}");
    let as_operator = [JSON, ("authorization", bearer.as_str())];
    let url = format!("http://films.example{access}");
    for (path, body) in [
        ("/purge", json!({ "url": url })),
        ("/purge", json!({ "url": url, "soft": true })),
        ("/purge", json!({ "url": format!("films.example{access}") })),
        ("/purge", json!({ "url": format!("http://nobody.example{access}") })),
        ("/purge", json!({ "url": access, "property": "films" })),
        ("/purge", json!({ "url": format!("http://links.example{access}") })),
        ("/purge", json!({ "prefix": url })),
        ("/purge", json!({ "prefix": format!("http://films.example/v/hdntl={token}/") })),
        ("/purge", json!({ "tag": format!("hdnts={token}") })),
        ("/purge", json!({ "tag": format!("hdnts={token} x") })),
        ("/revocation-lists/0/identifiers/add", json!([{ "id": "viewer1", "durationSeconds": 60 }])),
        ("/revocation-lists/0/identifiers/add", json!([{ "token": token, "durationSeconds": 60 }])),
        ("/log-level", json!({ "level": "trace" })),
    ] {
        let reply = post(admin, path, &as_operator, &body.to_string()).await;
        assert!(
            matches!(reply.status, 200 | 400 | 405 | 409),
            "{path} {body}: {} {}",
            reply.status,
            reply.text()
        );
        seen.operator(path, &reply);
    }
    let look = format!("/cache?url={}", encoded(&url));
    for fields in [&[("authorization", bearer.as_str())][..], &[("authorization", GUESS)], &[]] {
        for path in [
            "/status",
            "/properties",
            "/sessions",
            "/top?by=requests",
            "/revocation-lists/0/identifiers",
            "/metrics",
            "/log-level",
            &look,
        ] {
            let asked = path.split('?').next().unwrap_or(path);
            seen.operator(asked, &request(admin, "GET", path, fields).await);
        }
    }
    let file = folder.join("config.toml");
    let sound = std::fs::read_to_string(&file).expect("a file");
    for (from, to) in [
        (format!("{{ hex = \"{KEY}\" }}"), format!("\"{KEY}\"")),
        (format!("{{ hex = \"{KEY}\" }}"), format!("{{ hex = [\"{KEY}\"] }}")),
        (format!("{{ hex = \"{KEY}\" }}"), format!("{{ hexa = \"{KEY}\" }}")),
        (format!("{{ hex = \"{KEY}\" }}"), format!("{{ hex = \"{KEY}xyz\" }}")),
        (format!("{{ hex = \"{KEY}\" }}"), format!("{{ \"{KEY}\" = 1 }}")),
        (format!("{{ hex = \"{KEY}\" }}"), format!("{{ {KEY} }}")),
        (format!("hex = \"{MEDIA}\""), format!("hex = \"{}\"", &MEDIA[..20])),
        (format!("{{ text = \"{OPERATORS}\" }}"), format!("\"{OPERATORS}\"")),
        ("redis://127.0.0.1:1/0".to_owned(), format!("redis://user:{REDIS}@127.0.0.1:1/0")),
        ("redis://127.0.0.1:1/0".to_owned(), format!("rediss//user:{REDIS}@127.0.0.1:1/0")),
        ("http://127.0.0.1:1".to_owned(), format!("http://user:{BEARER}@127.0.0.1:1")),
    ] {
        let faulty = sound.replace(&from, &to);
        assert_ne!(faulty, sound, "{from}");
        std::fs::write(&file, faulty).expect("written");
        let reply = post(admin, "/reload", &as_operator, "{}").await;
        assert!(matches!(reply.status, 200 | 422), "{to}: {} {}", reply.status, reply.text());
        seen.operator(&format!("/reload {}", to.len()), &reply);
    }
    std::fs::write(&file, sound).expect("written");
    assert_eq!(post(admin, "/reload", &as_operator, "{}").await.status, 200);
}

/// A secret as it may stand in a text: as it is, escaped, and as `Debug` shows bytes.
fn forms(secret: &str) -> Vec<String> {
    let bytes: Vec<String> = secret.bytes().take(8).map(|byte| byte.to_string()).collect();
    vec![secret.to_owned(), encoded(secret), format!("[{}", bytes.join(", "))]
}

fn assert_silent(what: &str, text: &str, secrets: &BTreeSet<String>) {
    let mut found = Vec::new();
    for secret in secrets {
        for form in forms(secret) {
            found.extend(
                text.lines().filter(|line| line.contains(&form)).map(|line| format!("{form}: {line}")),
            );
        }
    }
    found.truncate(10);
    assert!(
        found.is_empty(),
        "{what}: {} lines of {}:\n{}",
        found.len(),
        text.lines().count(),
        found.join("\n")
    );
}

#[tokio::test]
async fn no_secret_of_a_run_is_written_or_told() {
    let origin: TestOrigin = stage::origin().await;
    let here = format!("http://films.example{}", Access::acl("/*").on("/v/away"));
    origin.at("/v/moved.m3u8", Answer::with("302 Found", &[("location", &here)], ""));
    let certificate = TestCertificate::new();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.toml");
    std::fs::write(&file, text(folder.path(), origin.address, &certificate)).expect("written");
    let mut seen = Seen::default();
    let texts = [KEY, TRANSITION, OPERATORS, REDIS, BEARER, AWS, GHOST, MEDIA, COOKIE, BASIC, SIGNED, GUESS];
    seen.secrets.extend(texts.map(str::to_owned));
    seen.secrets.extend([secure_link::SECRET, signed_claims::SECRET].map(str::to_owned));
    let key = std::fs::read_to_string(certificate.key()).expect("a key");
    seen.secrets.extend(key.lines().filter(|line| !line.starts_with('-')).map(str::to_owned));

    let config = config::load(&file, &Metrics::new(), Duration::from_secs(START));
    let config = config.unwrap_or_else(|faults| panic!("{}", faults.lines().join("\n")));
    assert_silent("Debug", &format!("{config:#?}\n{config:?}"), &seen.secrets);
    drop(config);

    let mut edge = Running::start(folder.path());
    let (at, secure) = (edge.address("listening on http://"), edge.address("listening on https://"));
    let admin = edge.address("operators' listener on http://");
    viewers(at, secure, &certificate, &mut seen).await;
    operators(admin, folder.path(), &mut seen).await;
    assert!(seen.secrets.len() > 25, "{}", seen.secrets.len());
    let said = edge.finish();
    assert!(said.lines().count() > 90, "it is at its most talkative: {}", said.lines().count());
    let first: Value = serde_json::from_str(said.lines().next().expect("a line")).expect("JSON");
    assert!(first["level"].is_string());
    assert_silent("diagnostics", &said, &seen.secrets);
    let log = std::fs::read_to_string(folder.path().join("access.log")).expect("a log");
    assert!(log.lines().count() > 200, "{}", log.lines().count());
    assert_silent("access log", &log, &seen.secrets);
    assert!(seen.told.contains("sluicegate_requests_total"), "metrics were asked for");
    assert_silent("operators' answers", &seen.told, &seen.secrets);
}

//! An ACME server: pebble, Let's Encrypt's own for tests, which verifies names by really connecting to the edge.

use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::program::{Running, free_port, is_wanted};
use super::tls::{self, TestCertificate};

/// Ends with the test.
pub struct Pebble {
    /// By which the server's own TLS is known.
    pub certificate: TestCertificate,
    port: u16,
    management: u16,
    running: Option<Running>,
}

impl Pebble {
    /// A server that looks for the edge on these ports of loopback, whatever the name; none where it is knowingly absent.
    /// `keys` are accounts of which one has to be shown (external account binding).
    pub async fn start(http: u16, https: u16, keys: &[(&str, &str)]) -> Option<Self> {
        if !is_wanted("pebble", &["pebble", "-help"]) {
            return None;
        }
        let certificate = TestCertificate::new();
        let (port, management) = (free_port(), free_port());
        let keys: serde_json::Map<_, _> =
            keys.iter().map(|(id, key)| ((*id).to_owned(), json!(key))).collect();
        let config = json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": certificate.certificate(),
            "privateKey": certificate.key(),
            "httpPort": http,
            "tlsPort": https,
            "externalAccountBindingRequired": !keys.is_empty(),
            "externalAccountMACKeys": keys,
        }});
        let path = certificate.folder.path().join("pebble.json");
        std::fs::write(&path, config.to_string()).expect("a file");
        let child = Command::new("pebble")
            .args(["-config", path.to_str().expect("text"), "-dnsserver", &all_names_lead_here()])
            .envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_AUTHZREUSE", "0"), ("PEBBLE_WFE_NONCEREJECT", "0")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("pebble starts");
        let pebble = Self { certificate, port, management, running: Some(Running(child)) };
        let answers = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err()
                || TcpStream::connect(("127.0.0.1", management)).await.is_err()
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), answers).await.expect("pebble answers");
        Some(pebble)
    }

    pub fn directory(&self) -> String {
        self.url("/dir")
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    /// Writes the authority that it issues certificates by.
    pub async fn write_root(&self, path: &Path) {
        let address = ([127, 0, 0, 1], self.management).into();
        let mut stream = tls::connect(address, &self.certificate.authority(), &["http/1.1"]).await;
        let head = "GET /roots/0 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).await.expect("it stands");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).expect("text");
        let begin = answer.find("-----BEGIN").unwrap_or_else(|| panic!("no certificate in {answer}"));
        std::fs::write(path, &answer[begin..]).expect("a file");
    }

    /// As if the authority were down.
    pub fn end(&mut self) {
        self.running = None;
    }
}

/// A name server that says of every name that it is 127.0.0.1, and has no other address. Its thread ends with the process.
fn all_names_lead_here() -> String {
    const A: [u8; 2] = [0, 1];
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((count, asker)) = socket.recv_from(&mut query) {
            let asked = &query[..count];
            // RFC 1035 §4.1: a header of 12 bytes, then the name in labels, the type and the class.
            let Some(end) = asked.iter().skip(12).position(|byte| *byte == 0).map(|zero| 12 + zero + 5)
            else {
                continue;
            };
            let Some(question) = asked.get(12..end) else { continue };
            let is_address = question[question.len() - 4..].starts_with(&A);
            let mut answer = asked[..2].to_vec();
            answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_address), 0, 0, 0, 0]);
            answer.extend(question);
            if is_address {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
            }
            let _ = socket.send_to(&answer, asker);
        }
    });
    address
}

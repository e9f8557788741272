//! A client that sends what it is told, byte for byte, and reads one answer.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::field;

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
    /// The connection ended before the announced body did.
    pub is_cut: bool,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<String> {
        field(&self.head, name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn reason(&self) -> Option<String> {
        self.header("sluicegate-reason")
    }

    /// Lines of a playlist that are URIs.
    pub fn uris(&self) -> Vec<String> {
        self.text()
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(str::to_owned)
            .collect()
    }
}

pub async fn get(address: SocketAddr, target: &str) -> Reply {
    request(address, "GET", target, &[]).await
}

/// One request on a connection of its own. `Host` is added unless given.
pub async fn request(address: SocketAddr, method: &str, target: &str, fields: &[(&str, &str)]) -> Reply {
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    if !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head.push_str(&format!("Host: {address}\r\n"));
    }
    for (name, value) in fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("Connection: close\r\n\r\n");
    send(address, head.as_bytes(), method == "HEAD").await
}

/// Sends these bytes and reads one answer, until the connection ends or the body is whole.
pub async fn send(address: SocketAddr, bytes: &[u8], is_head: bool) -> Reply {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.expect("the edge listens");
        stream.write_all(bytes).await.expect("the edge reads");
        read_reply(&mut stream, is_head).await
    };
    tokio::time::timeout(Duration::from_secs(20), exchange).await.expect("an answer in time")
}

pub async fn read_reply(stream: &mut (impl AsyncRead + Unpin), is_head: bool) -> Reply {
    let mut data = Vec::new();
    let mut chunk = vec![0; 16 << 10];
    let end = loop {
        if let Some(end) = data.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        let read = stream.read(&mut chunk).await.unwrap_or(0);
        if read == 0 {
            return Reply {
                status: 0,
                head: String::from_utf8_lossy(&data).into_owned(),
                body: Vec::new(),
                is_cut: true,
            };
        }
        data.extend_from_slice(&chunk[..read]);
    };
    let head = String::from_utf8_lossy(&data[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let mut reply = Reply { status, head, body: data[end..].to_vec(), is_cut: false };
    if is_head || status == 204 || status == 304 {
        return reply;
    }
    let length: Option<usize> = reply.header("content-length").and_then(|length| length.parse().ok());
    let is_chunked = reply.header("transfer-encoding").is_some_and(|coding| coding.contains("chunked"));
    loop {
        let is_whole = match length {
            Some(length) => reply.body.len() >= length,
            None => is_chunked && reply.body.ends_with(b"0\r\n\r\n"),
        };
        if is_whole {
            break;
        }
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => {
                reply.is_cut = length.is_some() || is_chunked;
                break;
            }
            Ok(read) => reply.body.extend_from_slice(&chunk[..read]),
        }
    }
    if is_chunked {
        reply.body = dechunked(&reply.body);
    }
    reply
}

fn dechunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(line) = body.windows(2).position(|window| window == b"\r\n") {
        let size = std::str::from_utf8(&body[..line])
            .ok()
            .and_then(|size| usize::from_str_radix(size.trim(), 16).ok());
        let Some(size) = size.filter(|size| *size > 0 && body.len() >= line + 2 + size) else { break };
        whole.extend_from_slice(&body[line + 2..line + 2 + size]);
        body = body.get(line + 2 + size + 2..).unwrap_or_default();
    }
    whole
}

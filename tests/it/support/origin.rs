//! An origin that answers as it is told, and remembers what it was asked.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::field;

/// What the origin sends for a path.
#[derive(Clone, Default)]
pub struct Answer {
    head: String,
    body: Vec<u8>,
    /// The body is held back until this is notified.
    gate: Option<Arc<Notify>>,
    /// Close the connection after so many bytes of the body.
    cut_after: Option<usize>,
    /// The header fields of a file, of which parts are sent and which a validator confirms.
    file: Option<Vec<(String, String)>>,
}

/// A request as it reached the origin: the head, byte for byte, and a body that had a length.
#[derive(Clone, Debug)]
pub struct Asked {
    pub head: String,
    pub body: Vec<u8>,
}

/// A raw HTTP/1.1 origin on a free port.
pub struct TestOrigin {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    answers: Mutex<HashMap<String, Answer>>,
    asked: Mutex<Vec<Asked>>,
    closed: Mutex<usize>,
    changed: Notify,
}

impl Answer {
    /// A `200` with this type and body.
    pub fn ok(content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::with("200 OK", &[("content-type", content_type)], body)
    }

    pub fn playlist(body: &str) -> Self {
        Self::ok("application/vnd.apple.mpegurl", body)
    }

    /// Any status and header fields; `Content-Length` is added.
    pub fn with(status: &str, fields: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let mut head = format!("HTTP/1.1 {status}\r\n");
        for (name, value) in fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        Self { head, body, ..Self::default() }
    }

    /// These bytes and no others, then the connection is closed.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        let body: Vec<u8> = bytes.into();
        Self { head: String::new(), cut_after: Some(body.len()), body, ..Self::default() }
    }

    /// A file with these header fields: a single range of it is answered by a 206, its own `ETag` by a 304, and the
    /// demand of another by a 412.
    pub fn file(fields: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Self {
        let fields = fields.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { body: body.into(), file: Some(fields), ..Self::default() }
    }

    /// What a file answers to this request.
    fn to(&self, asked: &Asked) -> Self {
        let Some(file) = &self.file else { return self.clone() };
        let mut fields: Vec<(&str, &str)> =
            file.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let etag = fields.iter().find(|(name, _)| *name == "etag").map(|(_, value)| *value);
        let length = self.body.len();
        let part = |first: usize, last: usize| {
            let last = last.min(length - 1);
            (format!("bytes {first}-{last}/{length}"), self.body[first..=last].to_vec())
        };
        let range = asked.header("range").and_then(|range| {
            let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
            let last_given = last.parse().ok();
            match first.parse() {
                Ok(first) => Some((first, last_given.unwrap_or(length - 1))),
                Err(_) => Some((length.saturating_sub(last_given?), length - 1)),
            }
        });
        let answer = if etag.is_some() && asked.header("if-none-match").as_deref() == etag {
            Self::with("304 Not Modified", &fields, "")
        } else if etag.is_some() && asked.header("if-match").is_some_and(|asked| Some(&*asked) != etag) {
            Self::with("412 Precondition Failed", &fields, "")
        } else if let Some((first, last)) = range {
            if first >= length {
                let all = format!("bytes */{length}");
                Self::with("416 Range Not Satisfiable", &[("content-range", &all)], "")
            } else {
                let (stated, bytes) = part(first, last);
                fields.push(("content-range", &stated));
                Self::with("206 Partial Content", &fields, bytes)
            }
        } else {
            Self::with("200 OK", &fields, self.body.clone())
        };
        Self { gate: self.gate.clone(), cut_after: self.cut_after, ..answer }
    }

    /// The head is sent at once, the body when `gate` is notified.
    pub fn gated(mut self, gate: Arc<Notify>) -> Self {
        self.gate = Some(gate);
        self
    }

    /// The connection is closed after so many bytes of the body.
    pub fn cut_after(mut self, bytes: usize) -> Self {
        self.cut_after = Some(bytes);
        self
    }
}

impl Asked {
    /// Path and query of the request line.
    pub fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    pub fn method(&self) -> &str {
        self.head.split(' ').next().unwrap_or_default()
    }

    /// The values of a header field, joined by a comma.
    pub fn header(&self, name: &str) -> Option<String> {
        field(&self.head, name)
    }
}

impl TestOrigin {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        let for_connections = shared.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = for_connections.clone();
                tokio::spawn(async move {
                    let _ = serve(stream, &shared).await;
                    *shared.closed.lock().expect("not poisoned") += 1;
                    shared.changed.notify_waiters();
                });
            }
        });
        Self { address, shared }
    }

    /// What is answered at this path (without its query); 404 elsewhere.
    pub fn at(&self, path: &str, answer: Answer) -> &Self {
        self.shared.answers.lock().expect("not poisoned").insert(path.to_owned(), answer);
        self
    }

    /// All that was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().expect("not poisoned").clone()
    }

    /// Requests for this path (without query).
    pub fn asked_for(&self, path: &str) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.target().split('?').next() == Some(path)).collect()
    }

    /// Connections that ended.
    pub fn closed(&self) -> usize {
        *self.shared.closed.lock().expect("not poisoned")
    }

    /// Waits until `condition` holds of this origin.
    pub async fn until(&self, condition: impl Fn(&Self) -> bool) {
        let wait = async {
            loop {
                let changed = self.shared.changed.notified();
                if condition(self) {
                    return;
                }
                // A change between the check and the wait is caught by the short timeout.
                let _ = tokio::time::timeout(std::time::Duration::from_millis(20), changed).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(10), wait)
            .await
            .expect("the origin reaches the state");
    }
}

async fn serve(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    // Head and body are written apart; without this the second waits for the first's acknowledgement.
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            let mut chunk = [0; 4096];
            let read = stream.read(&mut chunk).await?;
            if read == 0 {
                return Ok(());
            }
            buffer.extend_from_slice(&chunk[..read]);
        };
        let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
        buffer.drain(..end);
        let mut asked = Asked { head, body: Vec::new() };
        let length: usize =
            asked.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        while buffer.len() < length {
            let mut chunk = [0; 4096];
            let read = stream.read(&mut chunk).await?;
            if read == 0 {
                return Ok(());
            }
            buffer.extend_from_slice(&chunk[..read]);
        }
        asked.body = buffer.drain(..length).collect();
        let path = asked.target().split('?').next().unwrap_or_default().to_owned();
        let is_head = asked.method() == "HEAD";
        let answer = shared.answers.lock().expect("not poisoned").get(&path).map(|answer| answer.to(&asked));
        shared.asked.lock().expect("not poisoned").push(asked);
        shared.changed.notify_waiters();
        let answer = answer.unwrap_or_else(|| {
            Answer::with("404 Not Found", &[("content-type", "text/plain")], "no such thing\n")
        });
        if !send(&mut stream, &answer, is_head).await? {
            return Ok(());
        }
    }
}

/// Whether the connection goes on.
async fn send(stream: &mut TcpStream, answer: &Answer, is_head: bool) -> std::io::Result<bool> {
    stream.write_all(answer.head.as_bytes()).await?;
    stream.flush().await?;
    if let Some(gate) = &answer.gate {
        // A client that leaves while the body is held back is noticed here.
        let mut byte = [0; 1];
        tokio::select! {
            () = gate.notified() => {}
            read = stream.peek(&mut byte) => if read? == 0 { return Ok(false) },
        }
    }
    if is_head && !answer.head.is_empty() {
        return Ok(true);
    }
    if let Some(bytes) = answer.cut_after {
        stream.write_all(&answer.body[..bytes.min(answer.body.len())]).await?;
        stream.shutdown().await?;
        Ok(false)
    } else {
        stream.write_all(&answer.body).await?;
        Ok(true)
    }
}

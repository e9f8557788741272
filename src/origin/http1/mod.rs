//! A client of HTTP/1 for a proxy: no task and no channel between a connection and the request that has it.
//!
//! A request takes an idle connection or makes one, writes its head in one piece, and reads the head of the answer with
//! as much of the body as came with it. The body then owns the connection and reads on when it is polled; with its last
//! byte the connection goes back. It goes back only when nothing is left over: an answer that is longer than it says, or
//! one that nobody asked for, never becomes the answer to the next request.

pub mod body;
mod buffers;
pub mod framing;
pub mod head;
mod idle;
mod line;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, Response, Uri};
use http_body::Body;
use tokio::time::Instant;

use body::Http1Body;
use buffers::Buffers;
use head::{Head, HeadFault, Reader, Sending};
use idle::Idle;
use line::Line;

use super::dial::Dialer;
use super::error::{OriginError, chain};
use super::pool::Failed;
use super::settings::Settings;
use super::upload::Upload;

pub use line::Socket;

/// What of a request's body is gathered before it is written.
const SEND_BYTES: usize = 64 << 10;

/// The connections to one place.
#[derive(Debug)]
pub struct Client {
    dialer: Dialer,
    idle: Arc<Idle>,
    buffers: Arc<Buffers>,
    limits: head::Limits,
    interim_max: usize,
}

/// A request as it goes out.
#[derive(Debug)]
pub struct Outgoing<'a> {
    pub method: &'a Method,
    pub path_and_query: &'a str,
    pub host: &'a HeaderValue,
    pub fields: &'a HeaderMap,
    pub upload: &'a mut Upload,
}

/// Which connection a request may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// An idle one, where there is one.
    Any,
    /// One that the origin cannot have closed yet.
    New,
}

/// Until when the head of the answer has to be there; `patience` is what an error names.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    pub deadline: Instant,
    pub patience: Duration,
}

impl Client {
    pub fn new(dialer: Dialer, settings: &Settings) -> Self {
        let limits = idle::Limits {
            connections_max: settings.fetches_max,
            idle_timeout: settings.idle_timeout,
            age_max: settings.connection_age_max,
        };
        Self {
            dialer,
            idle: Arc::new(Idle::new(limits)),
            buffers: Arc::default(),
            limits: head::Limits { bytes_max: settings.head.bytes_max, fields_max: settings.head.fields_max },
            interim_max: settings.head.interim_max,
        }
    }

    /// Sends a request and waits for the head of its answer. `place` is where to, when the dialer does not know.
    pub async fn send(
        &self,
        place: Option<&Uri>,
        request: Outgoing<'_>,
        choice: Choice,
        wait: Wait,
    ) -> Result<Response<Http1Body>, Failed> {
        if !head::is_target(request.path_and_query) {
            return Err(OriginError::Target.into());
        }
        let idle = if choice == Choice::Any { self.idle.take() } else { None };
        let mut line = match idle {
            Some(line) => line,
            None => self.dial(place, wait).await?,
        };
        let sending = request.upload.sending(request.method);
        head::write(
            &mut line.out,
            request.method,
            request.path_and_query,
            request.host,
            request.fields,
            sending,
        );
        let mut exchange = Exchange {
            line: &mut line,
            upload: request.upload,
            left: Left::from(sending),
            is_sent: false,
            has_failed: false,
            is_bodiless: *request.method == Method::HEAD,
            reader: Reader::default(),
            limits: self.limits,
            interim_left: self.interim_max,
        };
        let head = poll_fn(|context| exchange.poll(context, wait)).await;
        let is_sent = exchange.is_sent && !exchange.has_failed;
        match head {
            Ok(head) => Ok(self.answer(head, line, is_sent)),
            Err(fault) => {
                let was_kept = line.was_kept && line.came.is_empty() && matches!(fault, Fault::Ended(_));
                Err(Failed { error: self.error(fault, wait), was_kept })
            }
        }
    }

    async fn dial(&self, place: Option<&Uri>, wait: Wait) -> Result<Box<Line>, OriginError> {
        match tokio::time::timeout_at(wait.deadline, self.dialer.socket(place)).await {
            Ok(Ok(socket)) => Ok(Box::new(Line::new(socket))),
            Ok(Err(error)) => Err(OriginError::Connect(chain(&*error))),
            Err(_) => Err(OriginError::FirstByte(wait.patience)),
        }
    }

    fn answer(&self, head: Head, line: Box<Line>, is_sent: bool) -> Response<Http1Body> {
        let persists = head.persists && is_sent;
        let home = persists.then(|| self.idle.clone());
        let mut response = Response::new(Http1Body::new(line, head.framing, home, self.buffers.clone()));
        *response.status_mut() = head.status;
        *response.version_mut() = head.version;
        *response.headers_mut() = head.fields;
        response
    }

    fn error(&self, fault: Fault, wait: Wait) -> OriginError {
        match fault {
            Fault::Ended(text) => OriginError::Closed(text),
            Fault::Late => OriginError::FirstByte(wait.patience),
            Fault::Interim => OriginError::Interim(self.interim_max),
            Fault::Upload(text) => OriginError::Upload(text),
            Fault::Head(HeadFault::TwoLengths) => OriginError::TwoLengths,
            Fault::Head(HeadFault::Bytes(max)) => OriginError::HeadTooLarge(format!("{max} bytes")),
            Fault::Head(HeadFault::Fields(max)) => OriginError::HeadTooLarge(format!("{max} fields")),
            Fault::Head(fault) => OriginError::Invalid(fault.to_string()),
        }
    }
}

/// Why there is no head.
#[derive(Debug)]
enum Fault {
    Ended(String),
    Late,
    Interim,
    Head(HeadFault),
    Upload(String),
}

/// A request on its way out, and the head of its answer on its way in.
struct Exchange<'a> {
    line: &'a mut Line,
    upload: &'a mut Upload,
    left: Left,
    is_sent: bool,
    /// It could not be sent whole. An answer may be there all the same: why it was not wanted.
    has_failed: bool,
    is_bodiless: bool,
    reader: Reader,
    limits: head::Limits,
    interim_left: usize,
}

impl Exchange<'_> {
    fn poll(&mut self, context: &mut Context<'_>, wait: Wait) -> Poll<Result<Head, Fault>> {
        if !self.is_sent && !self.has_failed {
            match self.poll_sent(context) {
                Poll::Ready(Ok(())) => self.is_sent = true,
                Poll::Ready(Err(SendFault::Upload(text))) => return Poll::Ready(Err(Fault::Upload(text))),
                Poll::Ready(Err(SendFault::Line(error))) => {
                    tracing::debug!(%error, "a request could not be sent whole");
                    self.has_failed = true;
                }
                Poll::Pending => {}
            }
        }
        match self.poll_head(context) {
            Poll::Ready(head) => Poll::Ready(head),
            Poll::Pending => self.line.patience.poll_until(context, wait.deadline).map(|()| Err(Fault::Late)),
        }
    }

    fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SendFault>> {
        loop {
            if self.left == Left::Nothing || self.line.out.len() >= SEND_BYTES {
                ready!(self.line.poll_send(context)).map_err(SendFault::Line)?;
                if self.left == Left::Nothing {
                    return Poll::Ready(Ok(()));
                }
            }
            match Pin::new(&mut *self.upload).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => self.gather(&frame.into_data().unwrap_or_default())?,
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Err(SendFault::Upload(error.to_string())));
                }
                Poll::Ready(None) => self.end()?,
                Poll::Pending => {
                    // What is there need not wait for what is not.
                    ready!(self.line.poll_send(context)).map_err(SendFault::Line)?;
                    return Poll::Pending;
                }
            }
        }
    }

    fn gather(&mut self, data: &[u8]) -> Result<(), SendFault> {
        match &mut self.left {
            Left::Bytes(left) => {
                *left = left
                    .checked_sub(data.len() as u64)
                    .ok_or_else(|| SendFault::Upload("the body is longer than was said".to_owned()))?;
                self.line.out.extend_from_slice(data);
                if *left == 0 {
                    self.left = Left::Nothing;
                }
            }
            Left::Chunks if !data.is_empty() => {
                let out = &mut self.line.out;
                out.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
                out.extend_from_slice(data);
                out.extend_from_slice(b"\r\n");
            }
            Left::Chunks | Left::Nothing => {}
        }
        Ok(())
    }

    /// The client's body has ended.
    fn end(&mut self) -> Result<(), SendFault> {
        match self.left {
            Left::Bytes(left) => return Err(SendFault::Upload(format!("the last {left} bytes are missing"))),
            Left::Chunks => self.line.out.extend_from_slice(b"0\r\n\r\n"),
            Left::Nothing => {}
        }
        self.left = Left::Nothing;
        Ok(())
    }

    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<Head, Fault>> {
        loop {
            match ready!(self.line.poll_read_head(context)) {
                Ok(0) => return Poll::Ready(Err(Fault::Ended("the connection ended".to_owned()))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(Fault::Ended(error.to_string()))),
            }
            while let Some(head) =
                self.reader.read(&mut self.line.came, self.is_bodiless, self.limits).map_err(Fault::Head)?
            {
                if !head.status.is_informational() {
                    return Poll::Ready(Ok(head));
                }
                self.interim_left = self.interim_left.checked_sub(1).ok_or(Fault::Interim)?;
            }
        }
    }
}

/// What is still to be sent of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Nothing,
    Bytes(u64),
    Chunks,
}

impl From<Sending> for Left {
    fn from(sending: Sending) -> Self {
        match sending {
            Sending::Nothing | Sending::Length(0) => Self::Nothing,
            Sending::Length(length) => Self::Bytes(length),
            Sending::Chunked => Self::Chunks,
        }
    }
}

enum SendFault {
    Line(io::Error),
    Upload(String),
}

//! One connection of HTTP/1 to an origin: a socket with its buffers, polled by the request that has it.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::coop::unconstrained;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;
use tokio_util::io::poll_read_buf;

use super::super::patience::Patience;

/// The first read of an answer: a head, and a small body with it.
const HEAD_READ_BYTES: usize = 8 << 10;

/// One read of a body in chunks, or of the rest of one that is not large.
const BODY_READ_BYTES: usize = 64 << 10;

/// When the buffer has less room than this it is replaced: a read of a few bytes costs as much as one of many.
const ROOM_BYTES_MIN: usize = 16 << 10;

/// The buffer that an idle connection may keep.
const IDLE_BYTES_MAX: usize = 16 << 10;

#[derive(Debug)]
pub enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TokioIo<TokioIo<TcpStream>>>>),
}

pub struct Line {
    socket: Socket,
    /// What came and was not taken.
    pub came: BytesMut,
    /// What is to be sent.
    pub out: Vec<u8>,
    sent: usize,
    pub patience: Patience,
    pub born: Instant,
    pub idle_since: Instant,
    /// Whether it had a request before.
    pub was_kept: bool,
}

impl Line {
    pub fn new(socket: Socket) -> Self {
        let now = Instant::now();
        Self {
            socket,
            came: BytesMut::new(),
            out: Vec::with_capacity(1 << 10),
            sent: 0,
            patience: Patience::default(),
            born: now,
            idle_since: now,
            was_kept: false,
        }
    }

    /// Writes what is in `out`, to its end.
    pub fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.out.len() {
            let rest = &self.out[self.sent..];
            let polled = match &mut self.socket {
                Socket::Plain(socket) => Pin::new(socket).poll_write(context, rest),
                Socket::Tls(socket) => Pin::new(socket.as_mut()).poll_write(context, rest),
            };
            match polled {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => self.sent += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        let flushed = match &mut self.socket {
            Socket::Plain(_) => Poll::Ready(Ok(())),
            Socket::Tls(socket) => Pin::new(socket.as_mut()).poll_flush(context),
        };
        if let Poll::Ready(Ok(())) = flushed {
            self.out.clear();
            self.sent = 0;
        }
        flushed
    }

    /// Reads what there is of a head, and of a body behind it. No bytes are the end of the connection.
    pub fn poll_read_head(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.came.reserve(HEAD_READ_BYTES);
        self.poll_read(context)
    }

    /// Reads what there is of a body, of which `left` bytes are still to come, where that is known.
    pub fn poll_read_body(
        &mut self,
        left: Option<u64>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        // Room for a byte more than there should be: what follows the body has to be seen.
        let left = left.and_then(|left| usize::try_from(left).ok()).unwrap_or(usize::MAX).saturating_add(1);
        let room = self.came.capacity() - self.came.len();
        if room < left.min(ROOM_BYTES_MIN) {
            self.came.reserve(left.min(BODY_READ_BYTES));
        }
        self.poll_read(context)
    }

    /// Reads what there is of a large body straight into `buffer`.
    pub fn poll_read_into(
        &mut self,
        buffer: &mut [u8],
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        let polled = match &mut self.socket {
            Socket::Plain(socket) => Pin::new(socket).poll_read(context, &mut buffer),
            Socket::Tls(socket) => Pin::new(socket.as_mut()).poll_read(context, &mut buffer),
        };
        polled.map_ok(|()| buffer.filled().len())
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match &mut self.socket {
            Socket::Plain(socket) => poll_read_buf(Pin::new(socket), context, &mut self.came),
            Socket::Tls(socket) => poll_read_buf(Pin::new(socket.as_mut()), context, &mut self.came),
        }
    }

    /// Makes it ready for the next request, where nothing is left over of the last.
    pub fn rest(&mut self) -> bool {
        let is_clean = self.came.is_empty() && self.out.is_empty();
        if self.came.capacity() > IDLE_BYTES_MAX {
            self.came = BytesMut::new();
        }
        self.idle_since = Instant::now();
        self.was_kept = true;
        is_clean
    }

    /// Whether the origin has neither closed it nor sent what nobody asked for. It costs no system call while nothing
    /// was heard of the socket.
    pub fn is_quiet(&mut self) -> bool {
        self.came.reserve(HEAD_READ_BYTES);
        // What a task may still do before others have their turn says nothing of the socket.
        let read = pin!(unconstrained(poll_fn(|context| self.poll_read(context))));
        read.poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("born", &self.born).finish_non_exhaustive()
    }
}

//! A client's socket, plain or TLS, as hyper sees it: counted, scanned for heads, closed with care.
//!
//! All bytes of a connection pass here, written ones as slices that hyper was given by the body; those that lie in the
//! memory file go to a plain socket from there.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::memory_file::MemoryFile;

use super::activity::Activity;
use super::head::{Finding, Scanner};
use super::outbox::Outbox;
use super::sending::poll_send;

/// How much of a refused request is thrown away while its answer is on the way.
const LINGER_BYTES_MAX: usize = 1024 * 1024;

#[derive(Debug)]
pub(super) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

#[derive(Debug)]
pub(super) struct Stream {
    transport: Transport,
    memory_file: Option<Arc<MemoryFile>>,
    activity: Arc<Activity>,
    /// `None` in HTTP/2.
    scanner: Option<Scanner>,
    /// `None` in HTTP/1.1, where an answer is written at once.
    outbox: Option<Outbox>,
    first: FirstBytes,
    /// After a cut: what is still to be given to the parser. Nothing comes after it.
    tail: Option<&'static [u8]>,
    is_closed: bool,
    lingered_bytes: usize,
}

/// Bytes that were read to tell the protocol.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FirstBytes {
    bytes: [u8; Self::MAX],
    taken: u8,
    filled: u8,
}

impl FirstBytes {
    pub(super) const MAX: usize = 24;

    pub(super) fn filled(&self) -> &[u8] {
        &self.bytes[usize::from(self.taken)..usize::from(self.filled)]
    }

    pub(super) fn free(&mut self) -> &mut [u8] {
        &mut self.bytes[usize::from(self.filled)..]
    }

    /// `count` bytes were put into [`Self::free`].
    pub(super) fn advance(&mut self, count: usize) {
        self.filled = u8::try_from(usize::from(self.filled) + count).map_or(24, |filled| filled.min(24));
    }

    fn drain_into(&mut self, buf: &mut ReadBuf<'_>) {
        let count = self.filled().len().min(buf.remaining());
        buf.put_slice(&self.filled()[..count]);
        self.taken += u8::try_from(count).expect("there are at most 24 of them");
    }
}

impl Stream {
    pub(super) fn new(
        transport: Transport,
        memory_file: Option<Arc<MemoryFile>>,
        activity: Arc<Activity>,
        first: FirstBytes,
        scanner: Option<Scanner>,
    ) -> Self {
        let outbox = scanner.is_none().then(Outbox::default);
        let (tail, is_closed, lingered_bytes) = (None, false, 0);
        Self { transport, memory_file, activity, scanner, outbox, first, tail, is_closed, lingered_bytes }
    }

    /// Looks at the bytes that were read, of which `before` were there already.
    fn scan(&mut self, buf: &mut ReadBuf<'_>, before: usize) {
        let Some(scanner) = &mut self.scanner else { return };
        let finding = scanner.feed(&buf.filled()[before..]);
        self.activity.head_is_open.store(scanner.is_within_head(), Ordering::Relaxed);
        match finding {
            Finding::Nothing => {}
            Finding::LastHead { number, refusal } => self.activity.set_last_request(number, refusal),
            Finding::Cut { number, refusal, keep, tail } => {
                self.activity.set_last_request(number, Some(refusal));
                self.activity.should_linger.store(true, Ordering::Relaxed);
                buf.set_filled(before + keep);
                self.tail = Some(tail);
                self.put_tail(buf);
            }
        }
    }

    fn put_tail(&mut self, buf: &mut ReadBuf<'_>) {
        if let Some(tail) = &mut self.tail {
            let (now, later) = tail.split_at(tail.len().min(buf.remaining()));
            buf.put_slice(now);
            *tail = later;
        }
    }

    /// Notes what a write or a flush came to.
    fn note<T>(&self, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.activity.write_waits.store(outcome.is_pending(), Ordering::Relaxed);
        outcome
    }

    /// Sends what was gathered.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.activity.has_unsent.store(false, Ordering::Relaxed);
        while let Some(outbox) = self.outbox.as_ref().filter(|outbox| !outbox.rest().is_empty()) {
            let outcome = self.transport.poll_write(cx, outbox.rest());
            let count = ready!(self.note_written(outcome))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            if let Some(outbox) = &mut self.outbox {
                outbox.advance(count);
            }
        }
        Poll::Ready(Ok(()))
    }

    fn note_written(&self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = &outcome {
            self.activity.bytes_written.fetch_add(*count as u64, Ordering::Relaxed);
        }
        self.note(outcome)
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        if let Some(tail) = this.tail {
            if tail.is_empty() {
                // The refusal closes the connection; until then there is nothing to wait for.
                return Poll::Pending;
            }
            this.put_tail(buf);
            return Poll::Ready(Ok(()));
        }
        if let Poll::Ready(sent) = this.poll_drain(cx) {
            sent?;
        }
        this.first.drain_into(buf);
        // What follows the first bytes is read in the same turn: after a short read hyper would double its buffer.
        let outcome =
            if buf.remaining() > 0 { this.transport.poll_read(cx, buf) } else { Poll::Ready(Ok(())) };
        if buf.filled().len() == before {
            ready!(outcome)?;
        }
        let count = buf.filled().len() - before;
        this.activity.bytes_read.fetch_add(count as u64, Ordering::Relaxed);
        this.scan(buf, before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Some(outbox) = &mut this.outbox {
            if let Some(count) = outbox.take(slices) {
                return Poll::Ready(Ok(count));
            }
            ready!(this.poll_drain(cx))?;
            if let Some(count) = this.outbox.as_mut().and_then(|outbox| outbox.take(slices)) {
                return Poll::Ready(Ok(count));
            }
        }
        let outcome = match &mut this.transport {
            Transport::Plain(socket) => poll_send(socket, this.memory_file.as_deref(), cx, slices),
            Transport::Tls(session) => Pin::new(session.as_mut()).poll_write_vectored(cx, slices),
        };
        this.note_written(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(socket) => socket.is_write_vectored(),
            Transport::Tls(session) => session.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.outbox.as_mut().is_some_and(Outbox::puts_off) {
            this.activity.has_unsent.store(true, Ordering::Relaxed);
            return Poll::Ready(Ok(()));
        }
        ready!(this.poll_drain(cx))?;
        let outcome = match &mut this.transport {
            // A socket has nothing to flush.
            Transport::Plain(_) => return Poll::Ready(Ok(())),
            Transport::Tls(session) => Pin::new(session.as_mut()).poll_flush(cx),
        };
        this.note(outcome)
    }

    /// Closes our side. Where the client may still be sending a request that was refused, its bytes are read and thrown
    /// away for a while: to close on unread bytes resets the connection, and a reset takes the answer with it (RFC 9112
    /// §9.6).
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.is_closed {
            ready!(this.poll_drain(cx))?;
            let outcome = this.transport.poll_shutdown(cx);
            ready!(this.note(outcome))?;
            this.is_closed = true;
        }
        let ends_within_request = this.activity.should_linger.load(Ordering::Relaxed)
            || this.activity.head_is_open.load(Ordering::Relaxed);
        if !ends_within_request {
            return Poll::Ready(Ok(()));
        }
        this.activity.is_lingering.store(true, Ordering::Relaxed);
        let mut waste = [0; 2048];
        while this.lingered_bytes < LINGER_BYTES_MAX {
            let mut buf = ReadBuf::new(&mut waste);
            if ready!(this.transport.poll_read(cx, &mut buf)).is_err() || buf.filled().is_empty() {
                break;
            }
            this.lingered_bytes += buf.filled().len();
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.activity.should_reset.load(Ordering::Relaxed) {
            // Without it the socket is closed in the ordinary way, which is right as well, only later.
            let _ = self.transport.socket().set_zero_linger();
        }
    }
}

impl Transport {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(session) => session.get_ref().0,
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Tls(session) => Pin::new(session.as_mut()).poll_read(cx, buf),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Tls(session) => Pin::new(session.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(session) => Pin::new(session.as_mut()).poll_shutdown(cx),
        }
    }
}

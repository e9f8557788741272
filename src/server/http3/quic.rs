//! quinn's connections and streams as h3 wants them.
//!
//! What h3 leaves to its transport is kept here: a request's head is held in memory until it is whole, so that only so many
//! bytes of it are read; and a stream that is dropped before its end is reset, since quinn would end it as if it were whole.

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_util::stream::{self, Stream};
use h3::error::Code;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId, WriteBuf};
use quinn::{ConnectionError, ReadError, VarInt, WriteError};

type Streams<T> = Pin<Box<dyn Stream<Item = Result<T, ConnectionError>> + Send + Sync>>;
type Pair = (quinn::SendStream, quinn::RecvStream);
/// Ends when the client wants no more of a stream, or the connection is over.
pub(super) type Stopped = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// What is known of a connection's streams beside h3.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Bytes that quinn took.
    pub(super) written: AtomicU64,
    pub(super) read: AtomicU64,
    accepted: Mutex<Option<Accepted>>,
}

impl Facts {
    /// What belongs to the stream that h3 accepted last.
    pub(super) fn take_accepted(&self) -> Option<Accepted> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// One stream of a client, beside what h3 has of it.
pub(super) struct Accepted {
    pub(super) stopped: Stopped,
    pub(super) allowance: Arc<Allowance>,
}

impl std::fmt::Debug for Accepted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accepted").field("allowance", &self.allowance).finish_non_exhaustive()
    }
}

/// How many bytes more of a stream may be read.
#[derive(Debug)]
pub(super) struct Allowance(AtomicU64);

impl Allowance {
    fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(bytes)))
    }

    /// For a body, which is not held.
    pub(super) fn lift(&self) {
        self.0.store(u64::MAX, Ordering::Relaxed);
    }

    fn spend(&self, bytes: u64) -> bool {
        let left = self.0.load(Ordering::Relaxed);
        if left != u64::MAX {
            self.0.store(left.saturating_sub(bytes), Ordering::Relaxed);
        }
        bytes <= left
    }
}

/// How many bytes of each kind of stream are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowed {
    /// Of a request up to the end of its head.
    pub(super) head: u64,
    /// Of each of the client's control streams, for the life of the connection.
    pub(super) control: u64,
}

pub(super) struct Connection {
    allowed: Allowed,
    requests: Streams<Pair>,
    controls: Streams<quinn::RecvStream>,
    opener: Opener,
}

impl Connection {
    pub(super) fn new(quic: quinn::Connection, facts: Arc<Facts>, allowed: Allowed) -> Self {
        let requests = stream::unfold(quic.clone(), |quic| async { Some((quic.accept_bi().await, quic)) });
        let controls = stream::unfold(quic.clone(), |quic| async { Some((quic.accept_uni().await, quic)) });
        let opener = Opener::new(quic, facts);
        Self { allowed, requests: Box::pin(requests), controls: Box::pin(controls), opener }
    }
}

impl quic::Connection<Bytes> for Connection {
    type RecvStream = RecvStream;
    type OpenStreams = Opener;

    fn poll_accept_recv(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::RecvStream, ConnectionErrorIncoming>> {
        let stream = ready!(next(&mut self.controls, cx)).map_err(connection_error)?;
        let allowance = Allowance::new(self.allowed.control);
        Poll::Ready(Ok(RecvStream { stream, facts: self.opener.facts.clone(), allowance }))
    }

    fn poll_accept_bidi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::BidiStream, ConnectionErrorIncoming>> {
        let (send, recv) = ready!(next(&mut self.requests, cx)).map_err(connection_error)?;
        let allowance = Allowance::new(self.allowed.head);
        let ended = send.stopped();
        let stopped: Stopped = Box::pin(async move {
            // All that was sent having arrived is not the client's wish to stop.
            if let Ok(None) = ended.await {
                std::future::pending::<()>().await;
            }
        });
        let accepted = Accepted { stopped, allowance: allowance.clone() };
        let facts = &self.opener.facts;
        *facts.accepted.lock().unwrap_or_else(PoisonError::into_inner) = Some(accepted);
        Poll::Ready(Ok(BidiStream {
            send: SendStream::new(send, facts.clone()),
            recv: RecvStream { stream: recv, facts: facts.clone(), allowance },
        }))
    }

    fn opener(&self) -> Self::OpenStreams {
        Opener::new(self.opener.quic.clone(), self.opener.facts.clone())
    }
}

impl quic::OpenStreams<Bytes> for Connection {
    type BidiStream = BidiStream;
    type SendStream = SendStream;

    fn poll_open_bidi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::BidiStream, StreamErrorIncoming>> {
        self.opener.poll_open_bidi(cx)
    }

    fn poll_open_send(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::SendStream, StreamErrorIncoming>> {
        self.opener.poll_open_send(cx)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.opener.close(code, reason);
    }
}

/// Opens our own streams: control and QPACK.
pub(super) struct Opener {
    quic: quinn::Connection,
    facts: Arc<Facts>,
    opening: Option<Streams<quinn::SendStream>>,
}

impl Opener {
    fn new(quic: quinn::Connection, facts: Arc<Facts>) -> Self {
        Self { quic, facts, opening: None }
    }
}

impl quic::OpenStreams<Bytes> for Opener {
    type BidiStream = BidiStream;
    type SendStream = SendStream;

    fn poll_open_bidi(&mut self, _: &mut Context<'_>) -> Poll<Result<Self::BidiStream, StreamErrorIncoming>> {
        // RFC 9114 §6.1: "HTTP/3 does not use server-initiated bidirectional streams".
        Poll::Ready(Err(StreamErrorIncoming::Unknown("a server opens no requests".into())))
    }

    fn poll_open_send(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::SendStream, StreamErrorIncoming>> {
        let quic = &self.quic;
        let opening = self.opening.get_or_insert_with(|| {
            Box::pin(stream::unfold(quic.clone(), |quic| async { Some((quic.open_uni().await, quic)) }))
        });
        let opened = ready!(next(opening, cx));
        Poll::Ready(match opened {
            Ok(stream) => Ok(SendStream::new(stream, self.facts.clone())),
            Err(error) => Err(lost(error)),
        })
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.quic.close(code_of(code.value()), reason);
    }
}

fn next<T>(streams: &mut Streams<T>, cx: &mut Context<'_>) -> Poll<Result<T, ConnectionError>> {
    // These go on until the connection ends, which is an error of theirs.
    streams.as_mut().poll_next(cx).map(|next| next.unwrap_or(Err(ConnectionError::LocallyClosed)))
}

pub(super) struct BidiStream {
    send: SendStream,
    recv: RecvStream,
}

impl quic::BidiStream<Bytes> for BidiStream {
    type SendStream = SendStream;
    type RecvStream = RecvStream;

    fn split(self) -> (Self::SendStream, Self::RecvStream) {
        (self.send, self.recv)
    }
}

impl quic::RecvStream for BidiStream {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        self.recv.poll_data(cx)
    }

    fn stop_sending(&mut self, error_code: u64) {
        self.recv.stop_sending(error_code);
    }

    fn recv_id(&self) -> StreamId {
        self.recv.recv_id()
    }
}

impl quic::SendStream<Bytes> for BidiStream {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_ready(cx)
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.send.send_data(data)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_finish(cx)
    }

    fn reset(&mut self, reset_code: u64) {
        self.send.reset(reset_code);
    }

    fn send_id(&self) -> StreamId {
        self.send.send_id()
    }
}

pub(super) struct RecvStream {
    stream: quinn::RecvStream,
    facts: Arc<Facts>,
    allowance: Arc<Allowance>,
}

impl quic::RecvStream for RecvStream {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        // The future holds nothing between two polls: the waker is kept by the connection.
        let read = ready!(pin!(self.stream.read_chunk(usize::MAX, true)).poll(cx));
        let chunk = match read {
            Ok(chunk) => chunk.map(|chunk| chunk.bytes),
            Err(ReadError::Reset(code)) => {
                return Poll::Ready(Err(StreamErrorIncoming::StreamTerminated {
                    error_code: code.into_inner(),
                }));
            }
            Err(ReadError::ConnectionLost(error)) => return Poll::Ready(Err(lost(error))),
            Err(error) => return Poll::Ready(Err(StreamErrorIncoming::Unknown(Box::new(error)))),
        };
        let count = chunk.as_ref().map_or(0, Bytes::len) as u64;
        self.facts.read.fetch_add(count, Ordering::Relaxed);
        if !self.allowance.spend(count) {
            let _ = self.stream.stop(code_of(Code::H3_EXCESSIVE_LOAD.value()));
            let error_code = Code::H3_EXCESSIVE_LOAD.value();
            return Poll::Ready(Err(StreamErrorIncoming::StreamTerminated { error_code }));
        }
        Poll::Ready(Ok(chunk))
    }

    fn stop_sending(&mut self, error_code: u64) {
        // One that is over cannot be stopped, and need not.
        let _ = self.stream.stop(code_of(error_code));
    }

    fn recv_id(&self) -> StreamId {
        id_of(self.stream.id())
    }
}

pub(super) struct SendStream {
    stream: quinn::SendStream,
    facts: Arc<Facts>,
    writing: Option<WriteBuf<Bytes>>,
    is_over: bool,
}

impl SendStream {
    fn new(stream: quinn::SendStream, facts: Arc<Facts>) -> Self {
        Self { stream, facts, writing: None, is_over: false }
    }
}

impl Drop for SendStream {
    fn drop(&mut self) {
        if !self.is_over {
            quic::SendStream::<Bytes>::reset(self, Code::H3_INTERNAL_ERROR.value());
        }
    }
}

impl quic::SendStream<Bytes> for SendStream {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        if let Some(data) = &mut self.writing {
            while data.has_remaining() {
                let written = ready!(Pin::new(&mut self.stream).poll_write(cx, data.chunk()));
                let written = written.map_err(write_error)?;
                data.advance(written);
                self.facts.written.fetch_add(written as u64, Ordering::Relaxed);
            }
        }
        self.writing = None;
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        if self.writing.is_some() {
            return Err(StreamErrorIncoming::Unknown("the stream is not ready for more".into()));
        }
        self.writing = Some(data.into());
        Ok(())
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.is_over = true;
        Poll::Ready(self.stream.finish().map_err(|error| StreamErrorIncoming::Unknown(Box::new(error))))
    }

    fn reset(&mut self, reset_code: u64) {
        self.is_over = true;
        let _ = self.stream.reset(code_of(reset_code));
    }

    fn send_id(&self) -> StreamId {
        id_of(self.stream.id())
    }
}

fn id_of(id: quinn::StreamId) -> StreamId {
    StreamId::try_from(u64::from(id)).expect("ids of QUIC's streams are below 2^62 everywhere")
}

pub(super) fn code_of(code: u64) -> VarInt {
    VarInt::from_u64(code).unwrap_or(VarInt::MAX)
}

fn write_error(error: WriteError) -> StreamErrorIncoming {
    match error {
        WriteError::Stopped(code) => StreamErrorIncoming::StreamTerminated { error_code: code.into_inner() },
        WriteError::ConnectionLost(error) => lost(error),
        error @ (WriteError::ClosedStream | WriteError::ZeroRttRejected) => {
            StreamErrorIncoming::Unknown(Box::new(error))
        }
    }
}

fn lost(error: ConnectionError) -> StreamErrorIncoming {
    StreamErrorIncoming::ConnectionErrorIncoming { connection_error: connection_error(error) }
}

fn connection_error(error: ConnectionError) -> ConnectionErrorIncoming {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            ConnectionErrorIncoming::ApplicationClose { error_code: close.error_code.into_inner() }
        }
        ConnectionError::TimedOut => ConnectionErrorIncoming::Timeout,
        error @ (ConnectionError::VersionMismatch
        | ConnectionError::TransportError(_)
        | ConnectionError::ConnectionClosed(_)
        | ConnectionError::Reset
        | ConnectionError::LocallyClosed
        | ConnectionError::CidsExhausted) => ConnectionErrorIncoming::Undefined(Arc::new(error)),
    }
}

//! hyper's two servers, with our limits, behind one interface.

use std::pin::Pin;

use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio_util::task::TaskTracker;

use super::head::Scanner;
use super::settings::Limits;
use super::stream::Stream;

pub(super) fn http1_builder(limits: &Limits) -> http1::Builder {
    /// hyper keeps room for so many headers on the stack; more would be allocated for each request.
    const HEADERS_ON_STACK: usize = 100;
    /// How much of a response is gathered for one write; hyper asks for at least 8 KiB.
    const WRITE_BUFFER: usize = 128 * 1024;
    let mut builder = http1::Builder::new();
    let head_bytes_max = Scanner::head_bytes_max(limits);
    // The watch has separate limits for heads and for idling, and needs no timer per request.
    builder.timer(TokioTimer::new()).header_read_timeout(None);
    builder
        .max_header_size(head_bytes_max)
        .max_buf_size(WRITE_BUFFER.max(head_bytes_max))
        .pipeline_flush(false);
    if limits.headers_max > HEADERS_ON_STACK {
        builder.max_headers(limits.headers_max);
    }
    builder
}

pub(super) fn http2_builder(limits: &Limits, streams: Streams) -> http2::Builder<Streams> {
    /// RFC 9113 §6.9.1: "A sender MUST NOT allow a flow-control window to exceed 2^31-1 octets." h2 panics beyond it.
    const WINDOW_MAX: u32 = (1 << 31) - 1;
    let send_buffer = u32::try_from(limits.h2.send_buffer_bytes_max).unwrap_or(u32::MAX);
    let mut builder = http2::Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.h2.streams_max)
        .max_header_list_size(limits.h2.header_list_bytes_max)
        .initial_stream_window_size(limits.h2.stream_window_bytes.min(WINDOW_MAX))
        .initial_connection_window_size(limits.h2.connection_window_bytes.min(WINDOW_MAX))
        .max_pending_accept_reset_streams(limits.h2.pending_resets_max)
        .max_local_error_reset_streams(limits.h2.local_resets_max)
        .max_send_buf_size(send_buffer as usize);
    builder
}

/// Spawns HTTP/2 streams where the drain waits for them.
#[derive(Clone, Debug)]
pub(super) struct Streams(TaskTracker);

impl Streams {
    pub(super) fn new(tasks: TaskTracker) -> Self {
        Self(tasks)
    }
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, stream: F) {
        self.0.spawn(stream);
    }
}

/// A connection of either protocol.
pub(super) trait Driven: Future<Output = hyper::Result<()>> {
    /// Takes no new request, and ends after those that run.
    fn finish(self: Pin<&mut Self>);
}

impl<S, B> Driven for http1::Connection<TokioIo<Stream>, S>
where
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<S, B> Driven for http2::Connection<TokioIo<Stream>, S, Streams>
where
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

//! The body of a request of HTTP/3, on its way in.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h3::server::RequestStream;
use http_body::{Body, Frame, SizeHint};

use super::quic::RecvStream;

/// Read as the handler asks for it: what it does not take, the client's window holds back.
pub struct ReceivedBody {
    /// `None` once it has ended.
    stream: Option<RequestStream<RecvStream, Bytes>>,
    /// What `Content-Length` says is still to come.
    stated: Option<u64>,
}

impl std::fmt::Debug for ReceivedBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReceivedBody").field("stated", &self.stated).finish_non_exhaustive()
    }
}

/// Why a body did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the stream broke: {0}")]
    Stream(String),
    /// RFC 9114 §4.1.2: "A request or response that is defined as having content when it contains a Content-Length header
    /// field [...] is malformed if the value of the Content-Length header field does not equal the sum of the DATA frame
    /// lengths received."
    #[error("the body is not as long as Content-Length says")]
    Length,
}

impl ReceivedBody {
    pub(super) fn new(stream: RequestStream<RecvStream, Bytes>, stated: Option<u64>) -> Self {
        Self { stream: Some(stream), stated }
    }

    pub(super) fn empty() -> Self {
        Self { stream: None, stated: None }
    }
}

impl Body for ReceivedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(None) };
        let received = match ready!(stream.poll_recv_data(cx)) {
            Ok(Some(mut data)) => Ok(Some(data.copy_to_bytes(data.remaining()))),
            Ok(None) => Ok(None),
            Err(error) => Err(BodyError::Stream(error.to_string())),
        };
        let outcome = match (received, self.stated) {
            (Ok(Some(data)), Some(stated)) => match stated.checked_sub(data.len() as u64) {
                Some(left) => {
                    self.stated = Some(left);
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                None => Some(Err(BodyError::Length)),
            },
            (Ok(Some(data)), None) => return Poll::Ready(Some(Ok(Frame::data(data)))),
            (Ok(None), Some(1..)) => Some(Err(BodyError::Length)),
            // Trailers are not passed on.
            (Ok(None), Some(0) | None) => None,
            (Err(error), _) => Some(Err(error)),
        };
        self.stream = None;
        Poll::Ready(outcome)
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.stream, self.stated) {
            (None, _) => SizeHint::with_exact(0),
            (Some(_), Some(left)) => SizeHint::with_exact(left),
            (Some(_), None) => SizeHint::default(),
        }
    }
}

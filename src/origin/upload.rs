//! The body of a request to an origin: none, or one that streams from the client.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::http1::head::Sending;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// What is sent beside the head. A request with a stream is sent once: what was taken of it is gone.
#[derive(Default)]
pub enum Upload {
    #[default]
    Nothing,
    Stream(Pin<Box<dyn Body<Data = Bytes, Error = Error> + Send>>),
}

impl Upload {
    /// A body of any kind; its length, where it knows one, is told to the origin.
    pub fn stream<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Error>,
    {
        use http_body_util::BodyExt;
        Self::Stream(Box::pin(body.map_err(Into::into)))
    }

    pub const fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    /// RFC 9110 §8.6: "A user agent SHOULD send Content-Length in a request when the method defines a meaning for enclosed
    /// content and it is not sending Transfer-Encoding", also for an empty one.
    pub fn sending(&self, method: &http::Method) -> Sending {
        match self {
            Self::Stream(body) => body.size_hint().exact().map_or(Sending::Chunked, Sending::Length),
            Self::Nothing
                if matches!(*method, http::Method::POST | http::Method::PUT | http::Method::PATCH) =>
            {
                Sending::Length(0)
            }
            Self::Nothing => Sending::Nothing,
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.get_mut() {
            Self::Nothing => Poll::Ready(None),
            Self::Stream(body) => body.as_mut().poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Nothing => SizeHint::with_exact(0),
            Self::Stream(body) => body.size_hint(),
        }
    }
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_nothing() { "Nothing" } else { "Stream(..)" })
    }
}

//! Why an origin gave no usable answer.

use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    #[error("the origin cannot be reached: {0}")]
    Connect(String),
    #[error("the origin sent no answer within {0:?}")]
    FirstByte(Duration),
    #[error("{0} requests to the origin are under way and no place became free within {1:?}")]
    Busy(usize, Duration),
    #[error("{0} requests already wait for a place at the origin")]
    Crowded(usize),
    #[error("the origin ended the connection before it answered: {0}")]
    Closed(String),
    #[error("the origin's answer is not valid: {0}")]
    Invalid(String),
    #[error("the head of the origin's answer is over {0}")]
    HeadTooLarge(String),
    #[error("the origin sent more than {0} interim answers")]
    Interim(usize),
    #[error("the origin stated the length of a body twice")]
    TwoLengths,
    #[error("the origin answered with a part of what was asked for whole")]
    UnaskedPart,
    #[error("the origin answered with another part than was asked for: {0}")]
    WrongPart(String),
    #[error("the origin redirected more than {0} times")]
    Redirects(usize),
    #[error("the request's target cannot be sent to the origin")]
    Target,
    #[error("the body of the request cannot be passed on: {0}")]
    Upload(String),
}

/// Whose fault a failed attempt is, and what may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request's own, or nobody's: another attempt would fare no better.
    Request,
    /// The server's state: it counts against the server, and another server may be asked.
    Server,
    /// As `Server`; and since a kept connection may have been closed just as the request went out, the same server may
    /// be asked again. RFC 9110 §9.2.2: "a user agent [...] can retry [an idempotent request] automatically".
    Connection,
    /// The answer's content, which a viewer can influence by what is asked. Another server may be asked, but nothing is
    /// counted: no viewer shall be able to put a server out.
    Answer,
}

impl OriginError {
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Busy(..) | Self::Crowded(_) | Self::Target | Self::Upload(_) => Fault::Request,
            Self::Connect(_) | Self::FirstByte(_) | Self::Invalid(_) => Fault::Server,
            Self::Closed(_) => Fault::Connection,
            Self::HeadTooLarge(_)
            | Self::Interim(_)
            | Self::TwoLengths
            | Self::UnaskedPart
            | Self::WrongPart(_)
            | Self::Redirects(_) => Fault::Answer,
        }
    }
}

/// An error with all its causes on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

//! One request of HTTP/3 and its answer.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use h3::error::Code;
use h3::server::{RequestResolver, RequestStream};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, HeaderMap, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};

use super::super::connection::Shared;
use super::super::door::{self, Refusal};
use super::super::incoming::RequestBody;
use super::super::peer::Peer;
use super::super::service::refuse;
use super::super::slots::AddressStreams;
use super::body::ReceivedBody;
use super::pace::{Pace, Slow};
use super::quic::{self, Accepted, Facts, RecvStream, SendStream, Stopped, code_of};

/// What the requests of one connection share.
pub(super) struct Context<H> {
    pub(super) shared: Arc<Shared<H>>,
    pub(super) quic: quinn::Connection,
    pub(super) peer: Arc<Peer>,
    pub(super) facts: Arc<Facts>,
    pub(super) streams: AddressStreams,
}

impl<H> Context<H> {
    /// Who asks, at the moment. A datagram with a forged sender moves a connection there until the address proves to be
    /// silent; what is bound to an address must not be had that way. A client whose address is another therefore has to
    /// connect anew (`None`), unless that is allowed.
    pub(super) fn peer_now(&self) -> Option<Arc<Peer>> {
        let address = self.quic.remote_address();
        if address == self.peer.address {
            return Some(Arc::clone(&self.peer));
        }
        let may_move = self.shared.settings.limits.h3.migration;
        (may_move || address.ip() == self.peer.address.ip())
            .then(|| Arc::new(Peer { address, ..Peer::clone(&self.peer) }))
    }
}

type Incomplete = RequestResolver<quic::Connection, Bytes>;

/// Answers a request. Whatever ends it early resets its stream.
pub(super) async fn serve<H, F, B>(
    context: Arc<Context<H>>,
    resolver: Incomplete,
    accepted: Accepted,
    peer: Arc<Peer>,
) where
    H: Fn(Request<RequestBody>, Arc<Peer>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let Accepted { mut stopped, allowance } = accepted;
    let (settings, counters) = (&context.shared.settings, &context.shared.counters);
    let deadline = Instant::now() + settings.limits.header_read_timeout;
    let head = async {
        let (request, stream) = match resolver.resolve_request().await {
            Ok(whole) => whole,
            Err(error) => {
                counters.refused_by_protocol.increment();
                tracing::debug!(address = %peer.address, %error, "a request cannot be read");
                return None;
            }
        };
        allowance.lift();
        let (send, recv) = stream.split();
        Some((body_of(request, recv).await?, send))
    };
    let Ok(head) = timeout_at(deadline, Box::pin(head)).await else {
        counters.header_timeouts.increment();
        return;
    };
    let Some((request, mut send)) = head else { return };
    let verdict = check_fields(request.headers())
        .and_then(|()| door::check(&request, request.body().is_end_stream(), &settings.limits))
        .and_then(|()| context.streams.take());
    let mut outgoing = Outgoing {
        pace: Pace::new(&settings.limits, &context.facts),
        is_head: request.method() == Method::HEAD,
        context: &context,
    };
    let _place = match verdict {
        Ok(place) => place,
        Err(refusal) => {
            counters.count_refusal(refusal);
            tracing::debug!(address = %peer.address, %refusal, "refused at the door");
            let response = refuse(refusal, false).map(|()| http_body_util::Empty::<Bytes>::new());
            let _ = outgoing.send(&mut send, response, &mut stopped).await;
            return;
        }
    };
    counters.h3_requests.increment();
    let answered = tokio::select! {
        response = (context.shared.handler)(request, peer) => response,
        // Nobody waits for the answer.
        () = &mut stopped => return,
    };
    let _ = outgoing.send(&mut send, answered, &mut stopped).await;
}

/// The request with what follows its head. Whether a body follows a GET or HEAD is told by the end of its stream, which may
/// come after the head.
async fn body_of(
    request: Request<()>,
    mut recv: RequestStream<RecvStream, Bytes>,
) -> Option<Request<RequestBody>> {
    let takes_no_body = request.method() == Method::GET || request.method() == Method::HEAD;
    let body = if takes_no_body {
        match recv.recv_data().await {
            Ok(None) => ReceivedBody::empty(),
            Ok(Some(_)) => ReceivedBody::new(recv, None),
            Err(_) => return None,
        }
    } else {
        let stated = request.headers().get(CONTENT_LENGTH);
        let stated = stated.and_then(|length| length.to_str().ok()?.parse().ok());
        ReceivedBody::new(recv, stated)
    };
    Some(request.map(|()| RequestBody::Http3(body)))
}

/// RFC 9114 §4.2: "An endpoint MUST NOT generate an HTTP/3 field section containing connection-specific fields; any message
/// containing connection-specific fields MUST be treated as malformed."
fn check_fields(headers: &HeaderMap) -> Result<(), Refusal> {
    let te_is_right = headers.get_all(TE).iter().all(|value| value == "trailers");
    let names_connection = CONNECTION_SPECIFIC.iter().any(|name| headers.contains_key(name));
    if te_is_right && !names_connection { Ok(()) } else { Err(Refusal::ConnectionField) }
}

const CONNECTION_SPECIFIC: [HeaderName; 5] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Why an answer did not come to its end.
#[derive(Debug)]
struct Broken;

/// An answer on its way out.
struct Outgoing<'a, H> {
    pace: Pace,
    is_head: bool,
    context: &'a Context<H>,
}

impl<H> Outgoing<'_, H> {
    async fn send<B>(
        &mut self,
        send: &mut RequestStream<SendStream, Bytes>,
        response: Response<B>,
        stopped: &mut Stopped,
    ) -> Result<(), Broken>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (mut parts, mut body) = response.into_parts();
        let has_body =
            !self.is_head && !matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        complete(&mut parts.headers, has_body.then(|| body.size_hint().exact()).flatten());
        let sending = send.send_response(Response::from_parts(parts, ()));
        self.paced(sending).await?;
        while has_body && !body.is_end_stream() {
            let next = tokio::select! {
                next = next_data(&mut body) => next,
                () = &mut *stopped => return Err(Broken),
            };
            match next {
                Ok(Some(data)) => self.paced(send.send_data(data)).await?,
                Ok(None) => break,
                Err(Broken) => {
                    send.stop_stream(Code::H3_INTERNAL_ERROR);
                    return Err(Broken);
                }
            }
        }
        self.paced(send.finish()).await
    }

    /// Sends, as long as the client takes enough; ends the connection of one that does not.
    async fn paced<E>(&mut self, sending: impl Future<Output = Result<(), E>>) -> Result<(), Broken> {
        let counters = &self.context.shared.counters;
        match self.pace.keep(&self.context.facts, sending).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(_)) => return Err(Broken),
            Err(Slow::Stalled) => counters.stalled_writes.increment(),
            Err(Slow::BelowLeastRate) => counters.too_slow_readers.increment(),
        }
        self.context.quic.close(code_of(Code::H3_EXCESSIVE_LOAD.value()), b"");
        Err(Broken)
    }
}

/// The next bytes of a body. Trailers are not passed on.
async fn next_data<B>(body: &mut B) -> Result<Option<Bytes>, Broken>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(Err(error)) => {
                tracing::debug!(error = error.into(), "a body broke");
                return Err(Broken);
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if !data.is_empty() => return Ok(Some(data)),
                Ok(_) | Err(_) => {}
            },
        }
    }
}

/// What hyper does for the other versions: the date, the length where it is known, and nothing of a connection.
fn complete(headers: &mut HeaderMap, length: Option<u64>) {
    for name in &CONNECTION_SPECIFIC {
        headers.remove(name);
    }
    if let Some(length) = length {
        headers.entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
    if !headers.contains_key(DATE)
        && let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(wall_clock()))
    {
        headers.insert(DATE, date);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "as hyper reads it for the same field; nothing is decided by it"
)]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

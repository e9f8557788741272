//! What stands between a connection's requests and the handler: the door, and the last request's mark.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::header::{ALLOW, ALT_SVC, CACHE_CONTROL, CONNECTION, RETRY_AFTER};
use http::{HeaderValue, Method, Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::activity::{Activity, Standing};
use super::body::{InFlight, ResponseBody};
use super::connection::Shared;
use super::door::{self, Refusal};
use super::incoming::RequestBody;
use super::peer::{Peer, Protocol};
use super::slots::AddressStreams;

/// One connection's.
pub(super) struct Service<H> {
    pub(super) shared: Arc<Shared<H>>,
    pub(super) activity: Arc<Activity>,
    pub(super) peer: Arc<Peer>,
    pub(super) streams: AddressStreams,
}

impl<H> Service<H> {
    /// Over HTTP/3 no certificate of a client is asked for: who showed one here would be turned away there.
    fn may_go_elsewhere(&self) -> bool {
        self.peer.tls.as_ref().is_some_and(|tls| tls.client.is_none())
    }

    pub(super) async fn answer<F, B>(
        &self,
        mut request: Request<RequestBody>,
        number: u32,
        mut in_flight: InFlight,
    ) -> Response<ResponseBody<B>>
    where
        H: Fn(Request<RequestBody>, Arc<Peer>) -> F,
        F: Future<Output = Response<B>>,
    {
        let Shared { settings, handler, counters, .. } = &*self.shared;
        let is_h1 = self.peer.protocol == Protocol::H1;
        let standing = if is_h1 { self.activity.standing(number) } else { Standing::OthersFollow };
        let verdict = match standing {
            Standing::Refused(refusal) => Err(refusal),
            Standing::Last | Standing::OthersFollow => {
                let body_is_empty = is_h1 && request.body().is_end_stream()
                    || !is_h1 && ends_with_its_head(&mut request, settings.limits.header_read_timeout).await;
                door::check(&request, body_is_empty, &settings.limits)
            }
        };
        let verdict = verdict.and_then(|()| self.streams.take()).map(|place| in_flight.keep(place));
        if let Err(refusal) = verdict {
            counters.count_refusal(refusal);
            tracing::debug!(address = %self.peer.address, %refusal, "refused at the door");
            self.activity.should_linger.store(is_h1, Ordering::Relaxed);
            return refuse(refusal, is_h1).map(|()| ResponseBody::new(None, in_flight));
        }
        let is_last = standing == Standing::Last || (is_h1 && number >= settings.limits.requests_max_h1);
        let mut response = handler(request, Arc::clone(&self.peer)).await;
        // The client hears of the drain at the latest with its next answer.
        if is_last || (is_h1 && self.shared.drain.has_begun()) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(advertised) = settings.alt_svc.as_ref().filter(|_| self.may_go_elsewhere()) {
            response.headers_mut().insert(ALT_SVC, advertised.clone());
        }
        response.map(|body| ResponseBody::new(Some(body), in_flight))
    }
}

/// Whether no body follows the head. RFC 9113 §8.1 lets a client end a GET by an empty frame after its head, which is waited
/// for as long as for the head itself; that of another method is the handler's.
async fn ends_with_its_head(request: &mut Request<RequestBody>, patience: Duration) -> bool {
    let takes_no_body = request.method() == Method::GET || request.method() == Method::HEAD;
    if request.body().is_end_stream() || !takes_no_body {
        return request.body().is_end_stream();
    }
    let ended = Box::pin(async {
        while let Some(Ok(frame)) = request.body_mut().frame().await {
            if frame.data_ref().is_some_and(|data| !data.is_empty()) {
                return false;
            }
        }
        request.body().is_end_stream()
    });
    timeout(patience, ended).await.unwrap_or(false)
}

pub(super) fn refuse(refusal: Refusal, is_h1: bool) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = refusal.status();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if refusal == Refusal::Method {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
    }
    if refusal == Refusal::TooManyStreams {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if is_h1 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

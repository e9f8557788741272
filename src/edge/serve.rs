//! One request from its head to its answer, every step on one screen.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, STRICT_TRANSPORT_SECURITY, VIA};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use subtle::ConstantTimeEq;

use crate::domain::cache::cache_status::CacheStatus;
use crate::domain::cache::invalidation::is_safe;
use crate::domain::headers::cors::Cors;
use crate::domain::headers::forwarding::{self, Viewer};
use crate::domain::policy::Admission;
use crate::domain::rate::Rate;
use crate::domain::rule::location::Asked;
use crate::domain::rule::token::TokenResult;
use crate::domain::rule::{Facts, Whereabouts};
use crate::domain::token::presented::Head;
use crate::domain::token::reason::Reason;
use crate::entropy;
use crate::geo::Geo;
use crate::origin::upload::Upload;
use crate::server::peer::Peer;
use crate::server::tls::mutual::Shown;
use crate::telemetry::metrics::Kind;

use super::body::{Body, Content};
use super::error::EdgeError;
use super::guard::{self, Arrival};
use super::host::split_port;
use super::moved;
use super::noting::{count_error, count_outcome, kind_by_name, kind_of, last_segment, note};
use super::obtain::{Object, Obtained};
use super::passage::{Bearings, Bears};
use super::property::Property;
use super::record::{Asker, Record};
use super::ruling::{Course, Ruled, Ruling};
use super::shield;
use super::spans::Traced;
use super::standing::Standing;
use super::target::{Target, origin_query};
use super::wanted::{Place, PurgesThen, Wanted};
use super::{Edge, Terms, answer, sealing};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REASON: HeaderName = HeaderName::from_static("sluicegate-reason");
/// A request header that carries the operators' token, to be told the reason of a refusal.
const DEBUG: HeaderName = HeaderName::from_static("sluicegate-debug");

/// In the log, the path of a request to no property of ours: where a token stands in it, if one does, nobody can tell.
const NOT_TO_BE_READ: &str = "/[redacted]";

const HEX: [u8; 16] = *b"0123456789abcdef";

/// Who asks, and by which name.
#[derive(Debug)]
pub(super) struct Caller<'a> {
    /// Host and port, as they came.
    authority: &'a str,
    host: &'a str,
    port: Option<u16>,
    scheme: &'static str,
    pub(super) client: IpAddr,
    is_trusted: bool,
    pub(super) now: Duration,
    geo: &'a Geo,
    rate: Option<Rate>,
    purges: PurgesThen<'a>,
    /// What the connection's handshake showed, where it was asked for a certificate of the client.
    shown: Option<&'a Shown>,
    traced: Option<Traced>,
}

/// A request whose answer leads to another place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hop<'h, 'a> {
    pub(super) parts: &'a Parts,
    pub(super) caller: &'h Caller<'a>,
    pub(super) target: &'h Target<'h>,
    pub(super) whereabouts: Whereabouts,
}

impl<'a> Caller<'a> {
    fn is_secure(&self) -> bool {
        self.scheme == "https"
    }

    fn asker(&self, peer: &Peer) -> Asker<'a> {
        Asker { client: self.client, scheme: self.scheme, host: self.host, protocol: peer.protocol }
    }

    fn arrival(&self) -> Arrival<'a> {
        Arrival { client: self.client, host: self.host, is_secure: self.is_secure() }
    }
}

impl Edge {
    /// Answers a request. Whatever goes wrong is an answer, too.
    pub async fn serve<B>(self: Arc<Self>, request: Request<B>, peer: Arc<Peer>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        let body = if body.is_end_stream() { Upload::Nothing } else { Upload::stream(body) };
        let mut report = CacheStatus::default();
        // Read before the terms: a playlist that is compiled under terms which are then replaced is not kept.
        let purges = PurgesThen::read(self.objects.tiers().purges());
        let terms = self.terms.load_full();
        let mut caller = caller(&terms, &parts, &peer, purges, self.clock.now());
        let tracer = self.nobody.traces.get();
        caller.traced = tracer.map(|tracer| Traced::begin(tracer, &parts.headers, caller.is_trusted));
        let mut record = Record::begin(&self.log, caller.now, request_id(&parts, &caller), caller.traced);
        let mut response = if let Some(text) = self.challenges.text(parts.uri.path()) {
            record.belongs_to(&"".into(), &self.nobody);
            record.describe(&parts, &caller.asker(&peer), NOT_TO_BE_READ, None);
            report = CacheStatus::made_here("challenge");
            answer::challenge(text)
        } else if let Some(property) = terms.properties.select(caller.host, caller.port) {
            let property = property.clone();
            record.belongs_to(&property.name, &property.metrics);
            let path = property.rules.access.path_for_logs(parts.uri.path());
            let names = &property.rules.token_names;
            record.describe(&parts, &caller.asker(&peer), &path, Some(names));
            let mut course = Course::default();
            let answered =
                self.journey(&property, &parts, body, &caller, &mut record, &mut course, &mut report).await;
            let mut response = answered.unwrap_or_else(|error| {
                report.detail = Some(error.detail());
                refuse(&terms, &property, &parts, &error, &mut record)
            });
            record.ruled(property.ruling.name(&course.hits), course.token);
            property.ruling.change_answer(&course, response.headers_mut());
            if let Some(value) = property.guard.strict_transport.as_ref().filter(|_| caller.is_secure()) {
                response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, value.clone());
            }
            property.cors.decorate(&parts.headers, response.headers_mut());
            if Cors::is_preflight(&parts.headers) && parts.method == Method::OPTIONS {
                let methods = property.methods.allow();
                property.cors.answer_preflight(&parts.headers, response.headers_mut(), methods);
            }
            response
        } else {
            record.belongs_to(&"".into(), &self.nobody);
            record.describe(&parts, &caller.asker(&peer), NOT_TO_BE_READ, None);
            report = CacheStatus::made_here(EdgeError::UnknownHost.detail());
            EdgeError::UnknownHost.answer(terms.statuses)
        };
        report.append_to(response.headers_mut());
        let headers = response.headers_mut();
        headers.append(VIA, HeaderValue::from_static("1.1 sluicegate"));
        headers.insert(REQUEST_ID, in_hex(record.request()));
        record.answered(response.status().as_u16());
        let is_head = parts.method == Method::HEAD;
        response.map(|body| if is_head { body.emptied() } else { body }.with_record(record))
    }

    /// Whether anything at all is answered: the address's rate, and the connection's handshake.
    fn may_ask(&self, property: &Property, caller: &Caller<'_>) -> Result<(), EdgeError> {
        self.rates.judge(caller.client, caller.rate, caller.now)?;
        property.guard.judge_connection(caller.shown, caller.now)
    }

    /// The steps of a request. None of them calls the next.
    #[expect(clippy::too_many_arguments, reason = "a request, who sent it, and what is noted of it")]
    async fn journey(
        &self,
        property: &Arc<Property>,
        parts: &Parts,
        body: Upload,
        caller: &Caller<'_>,
        record: &mut Record,
        course: &mut Course,
        report: &mut CacheStatus<'static>,
    ) -> Result<Response<Body>, EdgeError> {
        self.may_ask(property, caller)?;
        if parts.method == Method::OPTIONS {
            record.kind = Kind::Preflight;
            *report = CacheStatus::made_here("options");
            return Ok(options(property));
        }
        if !property.methods.has(&parts.method) {
            return Err(EdgeError::Method);
        }
        let target = Target::read(&parts.uri, property)?;
        record.path(&target.path);
        record.kind = kind_by_name(&target.path);

        let whereabouts = guard::whereabouts(caller.geo, property, caller.client);
        property.guard.judge(caller.arrival(), &target, whereabouts)?;

        let facts = facts(parts, caller, &target, whereabouts);
        let site = site(caller);
        let link = Asked { site: &site, query: &target.plain_query };
        let request = target.asked(head(parts, caller, shown(parts)), caller.client, whereabouts);
        let Ruled { admission, token, treatment } =
            Ruling::judge(property, &request, &facts, link, course, caller.now)?;
        let Standing { mut admission, viewing } =
            self.stands(property, admission, &request, caller.now).await?;
        let token = standing_result(&admission, token);
        note(property, &admission, record, caller.now);

        if let Some(answered) = sealing::key(property, &target, &admission, caller.scheme, &parts.method) {
            record.kind = Kind::Key;
            return answered;
        }
        let viewers_seal = sealing::viewers_seal(property, &target.path, &admission)?;
        let is_entry = matches!(admission, Admission::Access { .. });
        let whole_only = sealing::whole_only(property, &target.path, &parts.headers);
        let client = whole_only.as_ref().unwrap_or(&parts.headers);
        let query = origin_query(&target.plain_query, property.query_rule(treatment.as_deref()));
        let place = Place { site, path: target.path.clone(), query, treatment, is_moved: false };
        let session =
            shield::session_to_show(property, &place, &admission, viewing, &parts.headers, caller.now);
        let wanted = wanted(parts, client, caller, place, Known { whereabouts, token, session });
        let mut obtained = self.ask(property, &wanted, body, caller.now, record, report).await?;
        self.prefetch(property, &wanted, &target.plain_query, caller.now);
        let mut moved = None;
        if moved::is_followed_here(property, &wanted, &admission, &obtained) {
            let hop = Hop { parts, caller, target: &target, whereabouts };
            let followed = self.follow(property, hop, &wanted, obtained, course, report);
            (moved, obtained) = Box::pin(followed).await?;
        }
        let found_at = moved.as_ref().unwrap_or(&wanted);
        record.cache(report.outcome().as_str());
        count_outcome(property, report.outcome());

        let bearings = Bearings {
            target: &target,
            headers: &parts.headers,
            client: caller.client,
            viewing,
            now: caller.now,
        };
        // What a change is answered with is for its sender, as it is.
        let bears = if is_safe(&wanted.method) { obtained.bears() } else { Bears::Neither };
        if is_entry
            && matches!(bears, Bears::Playlist(_))
            && !property.rules.is_listed(last_segment(&target.path))
        {
            admission = property.rules.object(Reason::PlaylistNotListed)?;
            note(property, &admission, record, caller.now);
        }
        let is_document = matches!(bears, Bears::SideDocument);
        let passage = self.passage(property, admission, bearings, bears, found_at).await?;
        if let Some(session) = &passage.session {
            record.session(session.id(), passage.carrier());
        }

        let is_rewritten = is_document && passage.is_in_body();
        let is_playlist = matches!(obtained, Obtained::Shared(Object::Playlist(_)));
        course.is_for_one =
            is_playlist || viewers_seal.is_some() || passage.session.is_some() || passage.cookie.is_some();
        let mut response = match obtained {
            Obtained::Shared(Object::Playlist(playlist)) => {
                record.kind = kind_of(&playlist);
                answer::playlist(property, &playlist, &passage, &wanted, &parts.headers, caller.now)
            }
            Obtained::Shared(Object::Whole(head, body)) => {
                let origin = Response::from_parts((*head).clone(), Content::Whole(body));
                let origin = sealing::sealed(origin, viewers_seal.as_ref())?;
                answer::relayed(property, origin, &passage, found_at).await?
            }
            Obtained::Stream(origin) => {
                let origin = sealing::sealed(origin, viewers_seal.as_ref())?;
                answer::relayed(property, origin, &passage, found_at).await?
            }
            Obtained::Found(found) => {
                let origin = answer::found(found, found_at, is_rewritten, caller.now);
                let origin = sealing::sealed(origin, viewers_seal.as_ref())?;
                answer::relayed(property, origin, &passage, found_at).await?
            }
        };
        hand_out(&mut response, passage.cookie, passage.header, &property.rules.session_name);
        Ok(response)
    }
}

impl Edge {
    /// Asks the cache and the origin for what is wanted, or has the origin change it.
    async fn ask(
        &self,
        property: &Arc<Property>,
        wanted: &Wanted<'_>,
        body: Upload,
        now: Duration,
        record: &mut Record,
        report: &mut CacheStatus<'static>,
    ) -> Result<Obtained, EdgeError> {
        let asking = record.elapsed();
        let obtained = if is_safe(&wanted.method) {
            self.obtain(property, wanted, now, report).await
        } else {
            Box::pin(self.pass_on(property, wanted, body, now, report)).await
        };
        if report.forward.is_some() {
            record.waited_since(asking);
        }
        obtained
    }
}

/// The result of the token check, once it is known whether what it found still stands.
const fn standing_result(admission: &Admission<'_>, checked: TokenResult) -> TokenResult {
    match admission {
        Admission::Unverified(reason) => TokenResult::Failed(*reason),
        Admission::Open | Admission::Session { .. } | Admission::Access { .. } => checked,
    }
}

fn caller<'a>(
    terms: &'a Terms,
    parts: &'a Parts,
    peer: &'a Peer,
    purges: PurgesThen<'a>,
    now: Duration,
) -> Caller<'a> {
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    let named = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    // The door has seen to it that the two agree where both are given.
    let authority = authority.or(named).unwrap_or_default();
    let (host, port) = split_port(authority).unwrap_or_default();
    let socket = peer.address.ip();
    let client = forwarding::client_address(
        socket,
        &parts.headers,
        &terms.client_address_header,
        &terms.trusted_proxies,
    );
    let is_trusted = terms.trusted_proxies.iter().any(|net| net.contains(&socket.to_canonical()));
    let forwarded_https =
        is_trusted && parts.headers.get(forwarding::X_FORWARDED_PROTO).is_some_and(|proto| proto == "https");
    let scheme = if peer.tls.is_some() || forwarded_https { "https" } else { "http" };
    let (geo, rate) = (&*terms.geo, terms.rate);
    let shown = peer.tls.as_ref().and_then(|tls| tls.client.as_deref());
    let traced = None;
    Caller { authority, host, port, scheme, client, is_trusted, now, geo, rate, purges, shown, traced }
}

/// The answer to a request that failed, noted with its reason. All token failures look alike to a client.
fn refuse(
    terms: &Terms,
    property: &Property,
    parts: &Parts,
    error: &EdgeError,
    record: &mut Record,
) -> Response<Body> {
    let mut response = error.answer(property.statuses);
    count_error(property, error);
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, property.methods.allow().clone());
    }
    let Some(reason) = error.reason() else {
        if matches!(error, EdgeError::Elsewhere { .. }) {
            return response;
        }
        tracing::warn!(property = &*property.name, request = record.request(), "{error}");
        return response;
    };
    property.metrics.count_denial(reason);
    record.reason(reason);
    if property.debug_reasons || is_operator(terms, &parts.headers) {
        response.headers_mut().insert(REASON, HeaderValue::from_static(reason.as_str()));
    }
    response
}

fn is_operator(terms: &Terms, headers: &HeaderMap) -> bool {
    match (&terms.operator_token, headers.get(DEBUG)) {
        (Some(token), Some(shown)) => token.expose().ct_eq(shown.as_bytes()).into(),
        (None, _) | (_, None) => false,
    }
}

/// A trusted proxy's request id is kept, when it is one of ours; anybody else's is not looked at.
fn request_id(parts: &Parts, caller: &Caller<'_>) -> u64 {
    let given = parts.headers.get(REQUEST_ID).filter(|_| caller.is_trusted).and_then(|id| id.to_str().ok());
    given
        .filter(|id| id.len() == 16)
        .and_then(|id| u64::from_str_radix(id, 16).ok())
        .unwrap_or_else(entropy::request_number)
}

/// 16 digits, as the access log has them.
fn in_hex(request: u64) -> HeaderValue {
    let digits =
        request.to_be_bytes().map(|byte| [byte >> 4, byte & 15].map(|digit| HEX[usize::from(digit)]));
    HeaderValue::from_bytes(digits.as_flattened()).expect("hex digits are visible ASCII")
}

/// What was found out about a request before its object is got.
struct Known {
    whereabouts: Whereabouts,
    token: TokenResult,
    session: Option<HeaderValue>,
}

fn wanted<'a>(
    parts: &'a Parts,
    client: &'a HeaderMap,
    caller: &Caller<'a>,
    place: Place,
    known: Known,
) -> Wanted<'a> {
    Wanted {
        kind: kind_by_name(&place.path),
        purges: caller.purges,
        purges_begun: caller.purges.begun_for(&place),
        place,
        method: parts.method.clone(),
        client,
        viewer: Viewer { address: caller.client, scheme: caller.scheme, host: caller.host },
        whereabouts: known.whereabouts,
        token: known.token,
        session: known.session,
        traced: caller.traced,
    }
}

/// What rules are matched against; the result of the token check comes with the check.
pub(super) fn facts<'a>(
    parts: &'a Parts,
    caller: &Caller<'a>,
    target: &'a Target<'_>,
    whereabouts: Whereabouts,
) -> Facts<'a> {
    Facts {
        path: &target.path,
        host: caller.host,
        method: &parts.method,
        headers: &parts.headers,
        client: caller.client,
        whereabouts,
        token: TokenResult::Failed(Reason::NoToken),
    }
}

fn site(caller: &Caller<'_>) -> String {
    let mut site = [caller.scheme, "://", caller.host].concat();
    site.make_ascii_lowercase();
    if let Some(port) = caller.port {
        site.push(':');
        site.push_str(itoa::Buffer::new().format(port));
    }
    site
}

fn options(property: &Property) -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(ALLOW, property.methods.allow().clone());
    response.headers_mut().remove(CONTENT_LENGTH);
    response
}

/// Path and query, as they came.
fn shown(parts: &Parts) -> &str {
    parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str)
}

pub(super) fn head<'a>(parts: &'a Parts, caller: &Caller<'a>, target: &'a str) -> Head<'a> {
    Head {
        method: parts.method.as_str(),
        scheme: caller.scheme,
        authority: caller.authority,
        target,
        headers: &parts.headers,
    }
}

/// Hands the session out beside the body: a cookie, or a header for clients that send it back themselves.
fn hand_out(
    response: &mut Response<Body>,
    cookie: Option<HeaderValue>,
    header: Option<HeaderValue>,
    name: &str,
) {
    if cookie.is_some() || header.is_some() {
        answer::forbid_keeping(response.headers_mut());
    }
    if let Some(cookie) = cookie {
        response.headers_mut().append(http::header::SET_COOKIE, cookie);
    }
    if let (Some(value), Ok(name)) = (header, HeaderName::from_bytes(name.as_bytes())) {
        response.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It is moved some times on its way into a task, for each stream of HTTP/2, and each HTTP/1.1 connection holds room for one.
    #[test]
    fn a_request_under_way_is_small() {
        fn bytes<F>(_: impl Fn(Arc<Edge>, Request<http_body_util::Empty<Bytes>>, Arc<Peer>) -> F) -> usize {
            size_of::<F>()
        }
        let bytes = bytes(Edge::serve);
        assert!(bytes <= 6 << 10, "{bytes} bytes");
    }
}

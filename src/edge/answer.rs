//! Answers: a playlist with its viewer's session in it, a JSON side document, or what the origin sent.

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, ETAG, EXPIRES, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    LAST_MODIFIED, LOCATION, SET_COOKIE, VARY,
};
use http::{Method, Response, StatusCode};

use crate::domain::cache::exchange::age_value;
use crate::domain::cache::precondition::{self, Precondition};
use crate::domain::cache::ranges::{self, Part, Resolved};
use crate::domain::cache::targeted::SURROGATE_CONTROL;
use crate::domain::headers::hop;
use crate::domain::manifest::base::Base;
use crate::domain::manifest::encoding::{self, Coding};
use crate::domain::manifest::placement::Placement;
use crate::domain::manifest::template::Template;
use crate::domain::manifest::{classify, entry, json};
use crate::domain::policy::access::Access;
use crate::store::playlists::Playlist;

use super::body::{Body, Content};
use super::error::EdgeError;
use super::objects::{Found, sent_headers};
use super::passage::{Form, Passage};
use super::property::{Property, Source};
use super::reading::{collect, is_json};
use super::shield;
use super::wanted::{CODINGS, Wanted};

/// Fields of the origin's that speak of other bytes than those that are sent.
const OF_THE_ORIGINS_BYTES: [HeaderName; 10] = [
    ACCEPT_RANGES,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    ETAG,
    SET_COOKIE,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// Fields that allow or describe caching by others (RFC 9111, RFC 9213 and its forerunners).
const OF_KEEPING: [HeaderName; 7] = [
    AGE,
    CACHE_CONTROL,
    EXPIRES,
    HeaderName::from_static("surrogate-control"),
    HeaderName::from_static("cdn-cache-control"),
    HeaderName::from_static("pragma"),
    HeaderName::from_static("surrogate-key"),
];

/// A playlist for one viewer.
pub fn playlist(
    property: &Property,
    playlist: &Playlist,
    passage: &Passage,
    wanted: &Wanted<'_>,
    client: &HeaderMap,
    now: Duration,
) -> Response<Body> {
    let placed = passage.placed();
    let is_entry = passage.is_new && passage.form != Form::Untouched && is_media(playlist);
    let coding = if playlist.was_encoded && playlist.template.source().len() >= property.compress_min {
        encoding::choose(client.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()), &CODINGS)
    } else {
        Coding::Identity
    };
    let etag = playlist.etag(placed.text(), coding.name().unwrap_or_default());

    let mut headers = playlist.headers.clone();
    // A playlist that is the same for everybody keeps the origin's word on who may keep it: so that another edge can stand
    // in front of this one. So does one for an edge that shows its viewers' sessions: nothing of them is in it.
    if matches!(property.rules.access, Access::Open) || shield::is_for_an_edge(client, passage) {
        make_ours(&mut headers);
        headers.insert(AGE, age_value(playlist.age(now)));
    } else {
        make_personal(&mut headers);
    }
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(ETAG, etag);
    }
    if playlist.was_encoded {
        vary_on_encoding(&mut headers);
    }
    property.metrics.playlists_personalised.inc();

    // A session that was made for this answer is younger than any date that the client holds.
    let is_dated = !(passage.is_new && passage.form != Form::Untouched);
    let modified = playlist.headers.get(LAST_MODIFIED).filter(|_| is_dated);
    if is_unmodified(client, &etag, modified) {
        headers.remove(CONTENT_TYPE);
        return response(StatusCode::NOT_MODIFIED, headers, Body::default());
    }
    let body: Bytes = if is_entry {
        entry_for(wanted, &placed.placement())
    } else {
        playlist.template.personalise(&placed.placement()).into()
    };
    let body = match coding.name().map(|name| (name, encoding::encode(coding, &body))) {
        Some((name, Ok(encoded))) => {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(name));
            encoded.into()
        }
        None | Some((_, Err(_))) => body,
    };
    sized(StatusCode::OK, headers, body, &wanted.method)
}

/// Takes back every leave to keep an answer: it hands a session out.
pub fn forbid_keeping(headers: &mut HeaderMap) {
    for name in &OF_KEEPING {
        headers.remove(name);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
}

/// Whatever is no playlist: as the origin sent it, less what is between it and us.
pub async fn relayed(
    property: &Property,
    origin: Response<Content>,
    passage: &Passage,
    wanted: &Wanted<'_>,
) -> Result<Response<Body>, EdgeError> {
    let (mut parts, content) = origin.into_parts();
    hop::strip(&mut parts.headers);
    if parts.status.is_redirection() {
        redirect(&property.upstream(&wanted.place).source, &mut parts.headers);
    }
    let rewrites = passage.is_in_body();
    let fits = length(&parts.headers).is_none_or(|length| length <= property.encoding.coded_bytes_max);
    if rewrites && fits && parts.status == StatusCode::OK && is_json(&parts.headers) {
        if wanted.method == Method::GET {
            return side_document(property, parts.headers, content, passage, wanted).await;
        }
        // RFC 9110 §9.3.2: "a server MAY omit header fields for which a value is determined only while generating the
        // content"; the origin's would be those of other bytes.
        make_personal(&mut parts.headers);
    }
    let body = Body::new(content);
    let body = if wanted.method == Method::HEAD { body.emptied() } else { body };
    Ok(response(parts.status, parts.headers, body))
}

/// A steering manifest or an asset list, with the session in its URIs; any other JSON as it is.
async fn side_document(
    property: &Property,
    mut headers: HeaderMap,
    content: Content,
    passage: &Passage,
    wanted: &Wanted<'_>,
) -> Result<Response<Body>, EdgeError> {
    let raw = collect(content, property.encoding.coded_bytes_max).await?;
    let codings = encoding::content_codings(
        headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default(),
    )?;
    let source: Bytes = if codings.is_empty() {
        raw.clone()
    } else {
        encoding::decode_all(&codings, &raw, &property.encoding)?.into()
    };
    let base = Base::parse(&wanted.place.url())?;
    let Some(mut template) = side_template(property, &source, &base) else {
        return Ok(sized(StatusCode::OK, headers, raw, &wanted.method));
    };
    if wanted.place.is_moved
        && let Some(rooted) = side_template(property, &template.rooted().into(), &base)
    {
        template = rooted;
    }
    let rewritten = template.personalise(&passage.placed().placement());
    make_personal(&mut headers);
    Ok(sized(StatusCode::OK, headers, rewritten.into(), &wanted.method))
}

/// The origin's header fields for an answer with one viewer's session in it: nobody else may keep it.
fn make_personal(headers: &mut HeaderMap) {
    make_ours(headers);
    forbid_keeping(headers);
}

/// The origin's header fields for bytes that were made here of its own.
fn make_ours(headers: &mut HeaderMap) {
    for name in &OF_THE_ORIGINS_BYTES {
        headers.remove(name);
    }
    headers.remove(SURROGATE_CONTROL);
}

/// The template of a steering manifest or of an asset list; `None` for JSON that is neither, or names no URI of ours.
fn side_template(property: &Property, source: &Bytes, base: &Base) -> Option<Template> {
    let name = &property.rules.session_name;
    let (hosts, options) = (&property.hosts, &property.manifest);
    let compiled = match json::recognise(source)? {
        json::Document::Steering => json::compile_steering(source, base, hosts, name, options),
        json::Document::AssetList => json::compile_asset_list(source, base, hosts, name, options),
    };
    compiled.ok()
}

/// A redirect that names the origin itself would send the viewer past the edge: it is made relative to this site. A
/// redirect never carries a token.
fn redirect(source: &Source, headers: &mut HeaderMap) {
    let Some(location) = headers.get(LOCATION).and_then(|value| value.to_str().ok()) else { return };
    let here = source.place_on_site(location);
    if let Some(Ok(value)) = here.map(|here| HeaderValue::from_str(&here)) {
        headers.insert(LOCATION, value);
    }
}

/// The multivariant playlist of one variant that answers for a media playlist as the entry.
fn entry_for(wanted: &Wanted<'_>, placement: &Placement<'_>) -> Bytes {
    match Base::parse(&wanted.place.url()) {
        Ok(base) => entry::entry(&base, placement, entry::BANDWIDTH_BITS_PER_SECOND).into(),
        Err(_) => Bytes::new(),
    }
}

fn is_media(playlist: &Playlist) -> bool {
    matches!(playlist.template.kind(), classify::Kind::Media(_))
}

fn vary_on_encoding(headers: &mut HeaderMap) {
    let names = headers.get_all(VARY).iter().filter_map(|value| value.to_str().ok());
    let is_named = names
        .flat_map(|names| names.split(','))
        .any(|name| name.trim().eq_ignore_ascii_case("accept-encoding"));
    if !is_named {
        headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    }
}

/// The length that a head states.
fn length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()).and_then(|length| length.parse().ok())
}

/// RFC 9110 §13.2.2: `If-None-Match` decides where it stands, and `If-Modified-Since` only where it does not.
fn is_unmodified(client: &HeaderMap, etag: &str, modified: Option<&HeaderValue>) -> bool {
    if client.contains_key(IF_NONE_MATCH) {
        return client.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).any(|value| {
            value
                .split(',')
                .map(str::trim)
                .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
        });
    }
    let date = |value: Option<&HeaderValue>| {
        value.and_then(|value| value.to_str().ok()).and_then(|text| httpdate::parse_http_date(text).ok())
    };
    match (date(client.get(IF_MODIFIED_SINCE)), date(modified)) {
        (Some(since), Some(modified)) => modified <= since,
        (None | Some(_), None) | (None, Some(_)) => false,
    }
}

/// An object from the cache as the origin would have answered: the whole of it, the part that was asked for, or word that
/// the client has it already. A side document that is going to be rewritten is always whole.
pub fn found(found: Found, wanted: &Wanted<'_>, is_rewritten: bool, now: Duration) -> Response<Content> {
    let meta = found.meta();
    let (status, received) = (meta.status, meta.freshness.received);
    let mut headers = sent_headers(meta);
    headers.insert(AGE, age_value(meta.freshness.age(now)));
    let answer = |status, headers, content| {
        let mut response = Response::new(content);
        (*response.status_mut(), *response.headers_mut()) = (status, headers);
        response
    };
    let length = found.length();
    if is_rewritten {
        if let Some(length) = length {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        return answer(status, headers, content(found, None));
    }
    let condition = precondition::evaluate(&wanted.method, wanted.client, status, &headers, received);
    if condition == Precondition::NotModified {
        precondition::not_modified(&mut headers);
        return answer(StatusCode::NOT_MODIFIED, headers, Content::Empty);
    }
    let asked = ranges::read(&wanted.method, wanted.client)
        .filter(|_| status == StatusCode::OK && precondition::range_holds(wanted.client, &headers, received));
    match (asked.zip(length).map(|(asked, length)| asked.resolve(length)), length) {
        (Some(Resolved::Part(part)), Some(length)) => {
            headers.insert(CONTENT_RANGE, part.content_range(length));
            headers.insert(CONTENT_LENGTH, HeaderValue::from(part.bytes()));
            answer(StatusCode::PARTIAL_CONTENT, headers, content(found, Some(part)))
        }
        (Some(Resolved::Unsatisfiable), Some(length)) => {
            headers.insert(CONTENT_RANGE, ranges::unsatisfied(length));
            headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
            answer(StatusCode::RANGE_NOT_SATISFIABLE, headers, Content::Empty)
        }
        (_, Some(length)) => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
            answer(status, headers, content(found, None))
        }
        (_, None) => answer(status, headers, content(found, None)),
    }
}

fn content(found: Found, part: Option<Part>) -> Content {
    match (found, part) {
        (Found::Sliced(sliced), part) => Content::Sliced(Box::new(sliced.body(part))),
        (Found::Stored(object), None) => Content::Kept(object.body()),
        (Found::Stored(object), Some(part)) => Content::Kept(object.range(part.first, part.last + 1)),
        (Found::Growing(growing), None) => Content::Arriving(growing.body()),
        (Found::Growing(growing), Some(part)) => Content::Arriving(growing.range(part.first, part.last + 1)),
    }
}

/// An answer whose length is known. HEAD gets the headers that GET would have (RFC 9110 §9.3.2).
pub fn sized(status: StatusCode, mut headers: HeaderMap, body: Bytes, method: &Method) -> Response<Body> {
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len() as u64));
    let body = Body::whole(body);
    response(status, headers, if *method == Method::HEAD { body.emptied() } else { body })
}

/// The text that an authority asks for, to verify a name (RFC 8555 §8.3).
pub fn challenge(text: Bytes) -> Response<Body> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    sized(StatusCode::OK, headers, text, &Method::GET)
}

fn response(status: StatusCode, headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

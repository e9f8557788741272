//! Reading what an origin sent: whether it is what was asked for, whether it is a playlist, and its body as a whole.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, RANGE,
};
use http::{HeaderMap, Method, Response, StatusCode, response};
use http_body_util::BodyExt;

use crate::domain::cache::{playlist as rules, ranges};
use crate::domain::headers::hop;
use crate::domain::manifest::base::Base;
use crate::domain::manifest::template::Template;
use crate::domain::manifest::{self, classify, encoding};
use crate::store::object::detached;
use crate::store::playlists::Playlist;

use super::body::{Content, SendError};
use super::error::EdgeError;
use super::obtain::Object;
use super::property::Property;
use super::wanted::Place;

/// Bytes that tell whether a body is a playlist: a BOM, a line end and `#EXTM3U`.
const SNIFF_BYTES: usize = 16;

/// Coded bytes that are read to know those: zstd gives nothing before its first block is whole.
const SNIFF_CODED_BYTES: usize = 32 << 10;

/// A part, or word that nothing changed, is an answer only to a request that asked for it.
pub fn refuse_unasked(response: &Response<Content>, asked: &HeaderMap) -> Result<(), EdgeError> {
    let is_conditional = asked.contains_key(IF_NONE_MATCH) || asked.contains_key(IF_MODIFIED_SINCE);
    match response.status() {
        StatusCode::PARTIAL_CONTENT if !asked.contains_key(RANGE) => Err(EdgeError::UnaskedPart),
        StatusCode::PARTIAL_CONTENT if !is_part(asked, response.headers()) => Err(EdgeError::WrongPart),
        StatusCode::NOT_MODIFIED if !is_conditional => Err(EdgeError::UnaskedNotModified),
        _ => Ok(()),
    }
}

/// Whether the head of a 206 says that the part which was asked for follows. Of several parts in one body each says so
/// itself, and a unit that is not known cannot be judged.
fn is_part(asked: &HeaderMap, headers: &HeaderMap) -> bool {
    ranges::read(&Method::GET, asked).is_none_or(|asked| ranges::judge(asked, headers).is_ok())
}

pub async fn read_object(
    property: &Property,
    place: &Place,
    mut parts: response::Parts,
    content: Content,
    now: Duration,
) -> Result<Object, EdgeError> {
    let raw = collect(content, property.encoding.coded_bytes_max).await?;
    let stated =
        parts.headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_ok = parts.status == StatusCode::OK;
    let codings = if is_ok { encoding::content_codings(stated)? } else { Vec::new() };
    let was_encoded = !codings.is_empty();
    let source = if was_encoded {
        encoding::decode_all(&codings, &raw, &property.encoding)?.into()
    } else {
        raw.clone()
    };
    hop::strip(&mut parts.headers);
    parts.headers = detached(&parts.headers);
    if !is_ok || !manifest::is_playlist(&source) {
        // A body that came in chunks has a length now, for HEAD too.
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(raw.len() as u64));
        return Ok(Object::Whole(Arc::new(parts), raw));
    }
    let base = Base::parse(&place.url())?;
    let announced = match property.encryption.as_ref().filter(|encryption| encryption.covers(&place.path)) {
        Some(encryption) => encryption.announce(&source, &base).map_err(EdgeError::Unencryptable)?,
        None => None,
    };
    let source = announced.map_or(source, Bytes::from);
    let name = &property.rules.session_name;
    let compile =
        |source: &Bytes| Template::compile(source, &base, &property.hosts, name, &property.manifest);
    let mut template = compile(&source)?;
    if place.is_moved {
        template = compile(&template.rooted().into())?;
    }
    count_references(property, &template);
    // What is for one viewer names what is for one viewer.
    if let (Some(prefetch), classify::Kind::Media(_)) = (&property.prefetch, template.kind())
        && !rules::is_for_one(&parts.headers)
    {
        prefetch.learn(property, place, &base, &source);
    }
    let forced = place.treatment.as_ref().and_then(|treatment| treatment.cache.lifetime.as_ref());
    let forced = forced.map(|forced| forced.lifetime);
    let (default, stale) = (default_lifetime(property, &template), property.lifetimes.stale_if_error);
    let mut uses = rules::lifetime(&parts.headers, default, forced, stale, now);
    if let classify::Kind::Media(media) = template.kind()
        && let Some(stale_max) = media.stale_max()
    {
        uses.stale_for = uses.stale_for.min(stale_max);
    }
    Ok(Object::Playlist(Arc::new(Playlist::new(&parts.headers, template, was_encoded, now, uses))))
}

fn count_references(property: &Property, template: &Template) {
    let counts = template.counts();
    property.metrics.references_foreign.inc_by(counts.foreign as u64);
    property.metrics.references_unparsable.inc_by(counts.unparsable as u64);
    property.metrics.references_unknown_variable.inc_by(counts.unknown_variables as u64);
}

fn default_lifetime(property: &Property, template: &Template) -> Duration {
    match template.kind() {
        classify::Kind::Media(media) => match media.fresh_for() {
            Some(half_a_target) => property.lifetimes.live_playlist.unwrap_or(half_a_target),
            None => property.lifetimes.playlist,
        },
        classify::Kind::Multivariant | classify::Kind::Json => property.lifetimes.playlist,
    }
}

/// Reads a body to its end, within a limit.
pub async fn collect(content: Content, bytes_max: usize) -> Result<Bytes, EdgeError> {
    if let Content::Whole(bytes) = content {
        return if bytes.len() <= bytes_max {
            Ok(bytes)
        } else {
            Err(EdgeError::PlaylistTooLarge(bytes_max))
        };
    }
    let mut rest = content;
    let mut body = BytesMut::new();
    while let Some(frame) = rest.frame().await {
        if let Ok(data) = frame?.into_data() {
            if body.len() + data.len() > bytes_max {
                return Err(EdgeError::PlaylistTooLarge(bytes_max));
            }
            body.extend_from_slice(&data);
        }
    }
    Ok(body.freeze())
}

/// Reads just so much of a body that it can be told whether it is a playlist; what was read stays in it.
pub async fn starts_a_playlist(headers: &HeaderMap, content: &mut Content) -> Result<bool, EdgeError> {
    let stated = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let coding = encoding::Coding::parse(stated).unwrap_or(encoding::Coding::Identity);
    let needed = if coding == encoding::Coding::Identity { SNIFF_BYTES } else { SNIFF_CODED_BYTES };
    let start = match content {
        // What comes from the cache was looked at when it went in.
        Content::Empty
        | Content::Kept(_)
        | Content::Arriving(_)
        | Content::Sliced(_)
        | Content::Sealed(_) => return Ok(false),
        Content::Whole(bytes) => bytes,
        Content::Stream { read, rest } => {
            while read.len() < needed {
                let Some(frame) = rest.frame().await else { break };
                let Ok(data) = frame.map_err(SendError::Origin)?.into_data() else { break };
                if read.is_empty() {
                    *read = data;
                } else {
                    *read = [&read[..], &data[..]].concat().into();
                }
            }
            read
        }
    };
    Ok(manifest::is_playlist(&encoding::decode_start(coding, start, SNIFF_BYTES)))
}

/// Whether the origin says that it is a playlist (RFC 8216 §4, and the names in use beside it).
pub fn is_playlist_type(headers: &HeaderMap) -> bool {
    const TYPES: [&str; 5] = [
        "application/vnd.apple.mpegurl",
        "application/x-mpegurl",
        "audio/mpegurl",
        "audio/x-mpegurl",
        "application/mpegurl",
    ];
    let Some(stated) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let stated = stated.split(';').next().unwrap_or_default().trim();
    TYPES.iter().any(|known| stated.eq_ignore_ascii_case(known))
}

/// Whether the origin says that it is JSON.
pub fn is_json(headers: &HeaderMap) -> bool {
    let stated = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let stated = stated.split(';').next().unwrap_or_default().trim();
    let suffix = stated.len().checked_sub("+json".len()).and_then(|at| stated.get(at..)).unwrap_or_default();
    stated.eq_ignore_ascii_case("application/json") || suffix.eq_ignore_ascii_case("+json")
}

//! From `[property.access]` as typed to what judges access tokens; one function for each dialect.

mod claims;

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::StatusCode;
use toml::Spanned;

use crate::domain::policy::access::{Access, Action, Checked, Place};
use crate::domain::session::verify::SESSION_ID_BYTES_MAX;
use crate::domain::token::address::AddressMatch;
use crate::domain::token::dialect::Verifier;
use crate::domain::token::edgeauth::{self, Delimiters};
use crate::domain::token::key::Secret;
use crate::domain::token::keys::{Keys, Named};
use crate::domain::token::media_cdn;
use crate::domain::token::presented::Location;
use crate::domain::token::secure_link::{self, expression::Expression};

use crate::edge::property::KeyNote;

use super::accept::status;
use super::file::access::{self as file, Dialect, Encoding, KeyKind, MediaCdnAlgorithm};
use super::keys::{Reader, described};

/// The name of the key from which sessions are derived, where it is one of its own.
pub const SESSION_KEY: &str = "session";

/// What a property asks for, and what else follows from it.
pub struct Accepted {
    pub access: Access,
    /// All names of the access token, its own first.
    pub names: Vec<String>,
    /// The keys from which those of sessions are derived; none where the dialect has public keys alone.
    pub keys: Keys<Secret>,
    pub salt: Option<Secret>,
    pub address_match: AddressMatch,
    pub expired: StatusCode,
    /// Names and fingerprints of the keys, for people.
    pub fingerprints: Vec<KeyNote>,
}

impl Accepted {
    /// The names of the keys that may verify a token of either kind.
    pub fn key_names(&self) -> Vec<Arc<str>> {
        match &self.access {
            Access::Open => Vec::new(),
            Access::Checked(checked) => {
                let mut names = checked.verifier.load().key_names();
                let others = self.keys.names().into_iter().chain([SESSION_KEY.into()]);
                let further: Vec<_> = others.filter(|name| !names.contains(name)).collect();
                names.extend(further);
                names
            }
        }
    }
}

/// A dialect's share of it.
struct Spoken {
    verifier: Verifier,
    keys: Keys<Secret>,
    fingerprints: Vec<KeyNote>,
}

/// `uses_counted`: the fleet counts how often a token is used.
pub fn accept(
    access: &Spanned<file::Access>,
    uses_counted: bool,
    reader: &mut Reader<'_>,
) -> Option<Accepted> {
    let typed = access.get_ref();
    let (default_name, default_locations, default_expired) = defaults(typed);
    let name = match &typed.name {
        Some(name) => token_name(name, "[property.access] name", reader),
        None => default_name.to_owned(),
    };
    let salt = typed.salt.as_ref().and_then(|salt| reader.secret(salt, "salt", Encoding::Text));
    let address_match = address_match(typed, reader);
    let expired = match &typed.expired_status {
        Some(typed) => status(typed, &[403, 410], "expired_status", reader.judge),
        None => default_expired,
    };
    let locations = typed.locations.as_deref().unwrap_or(&default_locations);
    if locations.is_empty() {
        reader.judge.fault(
            0..0,
            "[property.access] locations is empty: no token could ever be shown",
            "list query, cookie, header or path",
        );
    }
    let open = |names: Vec<String>| Accepted {
        access: Access::Open,
        names,
        keys: Keys::new(Vec::new()),
        salt: salt.clone(),
        address_match,
        expired,
        fingerprints: Vec::new(),
    };
    let action = match typed.action {
        file::Action::VerifyOnly => Action::VerifyOnly,
        file::Action::Deny => Action::Deny,
        file::Action::Open => return Some(open(Vec::new())),
    };
    if let Some(preset) = typed.preset.as_ref().filter(|_| typed.dialect != Dialect::Edgeauth) {
        let file::Preset::AuthToken20 = preset.get_ref();
        reader.judge.fault(
            preset.span(),
            "[property.access] preset = \"auth-token-2.0\" is of EdgeAuth tokens",
            "take it out, or write dialect = \"edgeauth\"",
        );
    }
    let spoken = match typed.dialect {
        Dialect::Edgeauth => edgeauth(access, salt.as_ref(), address_match, reader),
        Dialect::SecureLink => secure_link(access, reader),
        Dialect::MediaCdn => media_cdn(access, reader),
        Dialect::Jwt => claims::jwt(access, address_match, uses_counted, reader),
        Dialect::Cat => claims::cat(access, uses_counted, reader),
    }?;
    let (cookie_name, query_name) = further_names(typed, &name, locations, reader);
    let named_at = |location| match location {
        file::Location::Cookie => cookie_name.clone(),
        file::Location::Query => query_name.clone(),
        file::Location::Header | file::Location::Path => name.clone(),
    };
    let mut names = vec![name.clone()];
    for other in [&cookie_name, &query_name] {
        if !names.contains(other) {
            names.push(other.clone());
        }
    }
    names.extend(spoken.verifier.parameters().into_iter().map(str::to_owned));
    let place = |location: &file::Location| Place {
        location: match location {
            file::Location::Query => Location::Query,
            file::Location::Cookie => Location::Cookie,
            file::Location::Header => Location::Header,
            file::Location::Path => Location::Path,
        },
        name: named_at(*location),
    };
    let places = locations.iter().map(place).collect();
    let verifier = ArcSwap::from_pointee(spoken.verifier);
    Some(Accepted {
        access: Access::Checked(Box::new(Checked { verifier, places, action })),
        keys: spoken.keys,
        fingerprints: spoken.fingerprints,
        ..open(names)
    })
}

/// What the token is called in a cookie and in a query, where its dialect has other names for it there.
fn further_names(
    typed: &file::Access,
    name: &str,
    locations: &[file::Location],
    reader: &mut Reader<'_>,
) -> (String, String) {
    let cookie_name = match typed.dialect {
        Dialect::MediaCdn if locations.contains(&file::Location::Cookie) => {
            token_name(&typed.media_cdn.cookie, "media_cdn.cookie", reader)
        }
        Dialect::Edgeauth | Dialect::SecureLink | Dialect::MediaCdn | Dialect::Jwt | Dialect::Cat => {
            name.to_owned()
        }
    };
    let query_name = match typed.dialect {
        Dialect::Cat => token_name(&typed.cat.query_name, "cat.query_name", reader),
        Dialect::Edgeauth | Dialect::SecureLink | Dialect::MediaCdn | Dialect::Jwt => name.to_owned(),
    };
    (cookie_name, query_name)
}

/// "ensure that it's no larger than 36 bytes in size" (Auth Token 2.0 Verification); 64 otherwise.
fn session_id_max(typed: &file::Access) -> usize {
    typed.session_id_max.unwrap_or(if typed.preset.is_some() { 36 } else { SESSION_ID_BYTES_MAX })
}

/// What a dialect calls its token, where it looks for it, and the status of an expired one, where nothing else is said.
fn defaults(typed: &file::Access) -> (&'static str, Vec<file::Location>, StatusCode) {
    use file::Location::{Cookie, Header, Path, Query};
    match typed.dialect {
        Dialect::Edgeauth if typed.preset.is_some() => ("__token__", vec![Cookie], StatusCode::FORBIDDEN),
        Dialect::Edgeauth => ("hdnts", vec![Query, Cookie, Header], StatusCode::FORBIDDEN),
        Dialect::SecureLink if typed.secure_link.path_prefix.get_ref().is_empty() => {
            ("st", vec![Query], StatusCode::GONE)
        }
        Dialect::SecureLink => ("st", vec![Query, Path], StatusCode::GONE),
        Dialect::MediaCdn => ("edge-cache-token", vec![Query, Cookie, Path], StatusCode::FORBIDDEN),
        // RFC 9246 §2: path-style and form-style parameters both.
        Dialect::Jwt => ("URISigningPackage", vec![Query, Path, Cookie], StatusCode::FORBIDDEN),
        Dialect::Cat => ("CTA-Common-Access-Token", vec![Header, Cookie, Query], StatusCode::FORBIDDEN),
    }
}

fn edgeauth(
    access: &Spanned<file::Access>,
    salt: Option<&Secret>,
    address_match: AddressMatch,
    reader: &mut Reader<'_>,
) -> Option<Spoken> {
    let typed = access.get_ref();
    let keys = reader.secrets(access, Encoding::Hex);
    let algorithm = typed.algorithm.get_ref().parse();
    if algorithm.is_err() {
        reader.judge.fault(
            typed.algorithm.span(),
            format!("algorithm = \"{}\" is not known", typed.algorithm.get_ref()),
            "use sha256, sha1 or md5",
        );
    }
    let session_id_max = session_id_max(typed);
    if !(1..=SESSION_ID_BYTES_MAX).contains(&session_id_max) {
        reader.judge.fault(
            0..0,
            format!("[property.access] session_id_max = {session_id_max} cannot be kept"),
            "write a number from 1 to 64, the longest session id that a session carries on",
        );
    }
    if keys.is_empty() {
        return None;
    }
    let settings = edgeauth::Settings {
        keys: keys.clone(),
        salts: salt.cloned().into_iter().collect(),
        algorithm: algorithm.ok()?,
        // The behavior's default is to escape, the SDKs' is not to.
        escape_inputs: typed.escape_inputs.unwrap_or(typed.preset.is_some()),
        ignore_query: typed.ignore_query,
        expiry_skew: typed.clock_skew.0,
        start_skew: typed.start_skew.0,
        expiry_ahead_max: typed.expiry_ahead_max.map(|span| span.0),
        address_match,
        delimiters: Delimiters::default(),
        limits: edgeauth::Limits {
            token_bytes_max: typed.limits.token.bytes(),
            fields_max: typed.limits.fields,
            acl_patterns_max: typed.limits.acl_alternatives,
            acl_bytes_max: typed.limits.acl.bytes(),
            session_id_bytes_max: session_id_max,
        },
    };
    let verifier = Verifier::EdgeAuth(edgeauth::verify::Verifier::new(settings));
    Some(Spoken { verifier, fingerprints: fingerprints(&keys), keys })
}

fn secure_link(access: &Spanned<file::Access>, reader: &mut Reader<'_>) -> Option<Spoken> {
    let typed = access.get_ref();
    let table = &typed.secure_link;
    let keys = reader.secrets(access, Encoding::Text);
    let expires_name = Some(token_name_or_none(&table.expires, "secure_link.expires", reader)).flatten();
    let ends = expires_name.is_some();
    let main = expression(&table.expression, "expression", ends, reader);
    let directory = if table.directory_expression.get_ref().is_empty() {
        main.clone()
    } else {
        expression(&table.directory_expression, "directory_expression", ends, reader)
    };
    let path_prefix = path_prefix(&table.path_prefix, reader);
    let reads_paths = typed.locations.as_ref().is_some_and(|places| places.contains(&file::Location::Path));
    if reads_paths && path_prefix.is_none() {
        reader.judge.fault(
            table.path_prefix.span(),
            "[property.access] locations has \"path\" and secure_link has no path_prefix",
            "add path_prefix = \"/p\" to [property.access.secure_link]",
        );
    }
    if keys.is_empty() {
        return None;
    }
    let settings = secure_link::Settings {
        keys: keys.clone(),
        expression: main?,
        directory_expression: directory?,
        expires_name,
        path_prefix,
        expiry_skew: typed.clock_skew.0,
        expiry_ahead_max: typed.expiry_ahead_max.map(|span| span.0),
        depth_max: table.depth_max,
    };
    let verifier = Verifier::SecureLink(secure_link::Verifier::new(settings));
    Some(Spoken { verifier, fingerprints: fingerprints(&keys), keys })
}

fn media_cdn(access: &Spanned<file::Access>, reader: &mut Reader<'_>) -> Option<Spoken> {
    let typed = access.get_ref();
    let read = reader.keys(access, Encoding::Base64);
    let (mut keys, mut secrets, mut fingerprints) = (Vec::new(), Vec::new(), Vec::new());
    for (kind, named) in read {
        fingerprints.push(described(&named.name, named.key.expose(), named.window));
        let key = match kind {
            KeyKind::Hmac => media_cdn::Key::shared(&named.key),
            KeyKind::Ed25519 => {
                let Some(key) = media_cdn::Key::public(named.key.expose()) else {
                    reader.judge.fault(
                        access.span(),
                        format!("[property.access] {}: it is no Ed25519 public key", named.name),
                        "give its 32 bytes in base64, or the file that openssl pkey -pubout writes",
                    );
                    continue;
                };
                key
            }
        };
        keys.push(Named { name: named.name.clone(), window: named.window, key });
        if kind == KeyKind::Hmac {
            secrets.push(named);
        }
    }
    let allows = |algorithm| typed.media_cdn.algorithms.contains(&algorithm);
    let settings = media_cdn::Settings {
        algorithms: media_cdn::Algorithms {
            ed25519: allows(MediaCdnAlgorithm::Ed25519),
            hmac_sha256: allows(MediaCdnAlgorithm::HmacSha256),
            hmac_sha1: allows(MediaCdnAlgorithm::HmacSha1),
        },
        expiry_skew: typed.clock_skew.0,
        start_skew: typed.start_skew.0,
        expiry_ahead_max: typed.expiry_ahead_max.map(|span| span.0),
        limits: media_cdn::Limits {
            token_bytes_max: typed.limits.token.bytes(),
            fields_max: typed.limits.fields,
            list_max: typed.limits.acl_alternatives,
            session_id_bytes_max: session_id_max(typed),
        },
        keys: Keys::new(keys),
    };
    if typed.media_cdn.algorithms.is_empty() {
        reader.judge.fault(
            0..0,
            "[property.access.media_cdn] algorithms is empty: no token could ever verify",
            "list ed25519, hmac-sha256 or hmac-sha1",
        );
    }
    if settings.keys.is_empty() {
        return None;
    }
    let verifier = Verifier::MediaCdn(media_cdn::Verifier::new(settings));
    Some(Spoken { verifier, keys: Keys::new(secrets), fingerprints })
}

fn expression(typed: &Spanned<String>, key: &str, ends: bool, reader: &mut Reader<'_>) -> Option<Expression> {
    let text = typed.get_ref();
    let parsed = match text.parse::<Expression>() {
        Ok(parsed) => parsed,
        Err(error) => {
            reader.judge.fault(
                typed.span(),
                format!("[property.access.secure_link] {key} = \"{text}\": {error}"),
                "write it as nginx's secure_link_md5 has it, with $secret in the secret's place: \"$expires$uri$remote_addr $secret\"",
            );
            return None;
        }
    };
    if parsed.has_expires() != ends {
        let (problem, cure) = if ends {
            (
                "has no $expires, so that anybody could change the end",
                "add $expires to it, or set expires = \"\"",
            )
        } else {
            ("has $expires, and expires is empty", "name the parameter with the end: expires = \"e\"")
        };
        reader.judge.fault(
            typed.span(),
            format!("[property.access.secure_link] {key} = \"{text}\" {problem}"),
            cure,
        );
    }
    if parsed.is_ambiguous() {
        reader.warnings.push(format!(
            "secure_link.{key} of the property \"{}\" puts $uri and $expires side by side: digits can be moved from one to the other; put something between them (\"$secret $uri $expires\") where you write the signer, or set expiry_ahead_max",
            reader.property
        ));
    }
    Some(parsed)
}

fn path_prefix(typed: &Spanned<String>, reader: &mut Reader<'_>) -> Option<String> {
    let prefix = typed.get_ref();
    if prefix.is_empty() {
        return None;
    }
    let is_path = prefix.starts_with('/')
        && !prefix.ends_with('/')
        && crate::domain::uri::path::normalise(prefix).is_ok_and(|normal| normal == prefix.as_str());
    if !is_path {
        reader.judge.fault(
            typed.span(),
            format!("path_prefix = \"{prefix}\" is no path"),
            "write one or more segments with a slash before each: \"/p\"",
        );
    }
    is_path.then(|| prefix.clone())
}

fn fingerprints(keys: &Keys<Secret>) -> Vec<KeyNote> {
    keys.iter().map(|named| described(&named.name, named.key.expose(), named.window)).collect()
}

fn address_match(typed: &file::Access, reader: &mut Reader<'_>) -> AddressMatch {
    for (prefix, most, key) in
        [(&typed.ipv4_prefix, 32, "ipv4_prefix"), (&typed.ipv6_prefix, 128, "ipv6_prefix")]
    {
        let bits = *prefix.get_ref();
        if bits == 0 || bits > most {
            reader.judge.fault(
                prefix.span(),
                format!("{key} = {bits} is no prefix length"),
                format!("write a number from 1 to {most}; {most} compares the whole address"),
            );
        }
    }
    AddressMatch { v4_bits: *typed.ipv4_prefix.get_ref(), v6_bits: *typed.ipv6_prefix.get_ref() }
}

/// A token's name: a parameter, a cookie, a header and a path component at once.
pub fn token_name(typed: &Spanned<String>, key: &str, reader: &mut Reader<'_>) -> String {
    let name = typed.get_ref();
    let is_name = !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if !is_name {
        reader.judge.fault(
            typed.span(),
            format!("{key} = \"{name}\" is no name"),
            "use 1 to 64 letters, digits, - and _, such as hdnts",
        );
    }
    name.clone()
}

fn token_name_or_none(typed: &Spanned<String>, key: &str, reader: &mut Reader<'_>) -> Option<String> {
    if typed.get_ref().is_empty() { None } else { Some(token_name(typed, key, reader)) }
}

//! Explaining a secure link: what was hashed, how each check comes out, and the cure for common mistakes.

use super::expression::Values;
use super::{Shown, Verifier, digest, number, signature_bytes};
use crate::domain::token::explanation::Explanation;
use crate::domain::token::grant::UnixTime;
use crate::domain::token::presented::{Location, Presented};
use crate::domain::token::reason::Reason;
use crate::domain::uri::escape;

pub(super) fn explain(verifier: &Verifier, presented: &Presented<'_>, now: UnixTime) -> Explanation {
    let mut explanation = Explanation::default();
    match verifier.shown(presented) {
        Ok(shown) => judge(verifier, &shown, presented, now, &mut explanation),
        Err(reason) => {
            explanation.failed("parts", reason, "a signature of 22 base64url digits and an end".to_owned());
            explanation.cures.extend(cures_for_parts(verifier, presented));
        }
    }
    explanation.concluded()
}

fn judge(
    verifier: &Verifier,
    shown: &Shown,
    presented: &Presented<'_>,
    now: UnixTime,
    explanation: &mut Explanation,
) {
    const MILLISECONDS: u64 = 100_000_000_000;
    explanation.passed("parts", "a signature and an end".to_owned());
    let matched = verifier.matching(shown, presented, now);
    let uri = matched.as_ref().map_or(presented.path, |matched| &matched.uri);
    explanation.string_to_sign = Some(verifier.expression(presented).shown(&values(uri, shown, presented)));
    if let Some(matched) = &matched {
        explanation.key = Some(matched.key_name.to_string());
        explanation.passed("signature", format!("signed with {} for {:?}", matched.key_name, matched.uri));
    } else {
        let detail = "no key gives this signature for the string to sign".to_owned();
        explanation.failed("signature", Reason::BadSignature, detail);
        explanation.cures.extend(cures_by_trial(verifier, shown, presented, now));
    }
    let detail = format!("ends at {}, now {}", shown.expires_text, now.as_secs());
    match verifier.check_end(shown, now) {
        Ok(()) => explanation.passed("expiry", detail),
        Err(reason) => explanation.failed("expiry", reason, detail),
    }
    if shown.expires.is_some_and(|expires| expires >= MILLISECONDS) {
        explanation.cures.push("the end looks like milliseconds: give Unix time in seconds".to_owned());
    }
}

fn values<'a>(uri: &'a str, shown: &'a Shown, presented: &Presented<'a>) -> Values<'a> {
    Values { uri, expires: &shown.expires_text, client: presented.client, head: presented.head }
}

fn cures_for_parts(verifier: &Verifier, presented: &Presented<'_>) -> Vec<String> {
    let mut cures = Vec::new();
    let signature = match presented.location {
        Location::Path => presented.value.split('/').next().unwrap_or_default(),
        Location::Query | Location::Cookie | Location::Header => presented.value,
    };
    let decoded = escape::decode(signature).unwrap_or(signature.into());
    if decoded.len() == 32 && decoded.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        cures.push("the signature is MD5 in hex: encode the 16 bytes in base64url instead".to_owned());
    } else if decoded.contains(['+', '/']) {
        cures.push("the signature is plain base64: write - for +, _ for /, and no padding".to_owned());
    } else if signature_bytes(&decoded).is_some()
        && let Some(name) = verifier.expires_name()
        && presented.location != Location::Path
    {
        cures.push(format!("the end is missing or no number: add {name}=<Unix seconds> to the query"));
    }
    cures
}

/// Another reading under which the signature matches.
fn cures_by_trial(
    verifier: &Verifier,
    shown: &Shown,
    presented: &Presented<'_>,
    now: UnixTime,
) -> Vec<String> {
    let matches = |uri: &str| {
        let values = values(uri, shown, presented);
        let expression = verifier.expression(presented);
        verifier.settings.keys.at(now).any(|named| digest(expression, &named.key, &values) == shown.digest)
    };
    let path = presented.path;
    let mut cures = Vec::new();
    if matches(path.trim_start_matches('/')) {
        cures.push("it was signed for the path without its first slash: sign with the slash".to_owned());
    }
    let directory = &path[..path.rfind('/').unwrap_or_default()];
    if matches(directory) || matches(&format!("{directory}/")) {
        cures.push("it was signed for the directory: put the token into the path (path_prefix), where a directory counts, or sign the whole path".to_owned());
    }
    if !presented.query.is_empty() && matches(&format!("{path}?{}", presented.query)) {
        cures.push("it was signed with the query: sign the path alone".to_owned());
    }
    for scheme in ["http", "https"] {
        if matches(&format!("{scheme}://{}{path}", presented.head.authority)) {
            cures.push("it was signed for the whole URL: sign the path alone".to_owned());
        }
    }
    if cures.is_empty() && number(&shown.expires_text).is_some() {
        cures.push(format!(
            "the signer has to hash {} with the same secret, and to encode the MD5 in base64url without padding",
            verifier.expression(presented)
        ));
    }
    cures
}

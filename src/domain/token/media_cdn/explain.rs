//! Explaining a Media CDN token: what was signed, how each check comes out, and the cure for common mistakes.

use super::fields::{Fields, Opens, Proof};
use super::{Verifier, signed_values};
use crate::domain::token::explanation::Explanation;
use crate::domain::token::grant::UnixTime;
use crate::domain::token::presented::Presented;
use crate::domain::token::reason::Reason;
use crate::domain::uri::escape;

pub(super) fn explain(verifier: &Verifier, presented: &Presented<'_>, now: UnixTime) -> Explanation {
    let mut explanation = Explanation::default();
    match verifier.matching(presented, now) {
        Ok(matched) => {
            explanation.key = Some(matched.key_name.to_string());
            explanation.passed("signature", format!("signed with {}", matched.key_name));
            explanation.string_to_sign = Some(matched.signed.clone());
            match verifier.parsed(&matched.text) {
                Ok(fields) => judge(verifier, &fields, presented, now, &mut explanation),
                Err(reason) => {
                    explanation.failed("fields", reason, "a field cannot be what it is".to_owned());
                }
            }
        }
        Err(reason) => blame(verifier, reason, presented, now, &mut explanation),
    }
    explanation.concluded()
}

fn judge(
    verifier: &Verifier,
    fields: &Fields<'_>,
    presented: &Presented<'_>,
    now: UnixTime,
    explanation: &mut Explanation,
) {
    for (name, check) in Verifier::CHECKS {
        let detail = match name {
            "start" => fields.starts.map_or("no Starts".to_owned(), |starts| format!("Starts={starts}")),
            "expiry" => format!("Expires={}, now {}", fields.expires, now.as_secs()),
            "ip" => match &fields.networks {
                Some(networks) => format!("{networks:?}, client {}", presented.client),
                None => "no IPRanges".to_owned(),
            },
            "path" => match &fields.opens {
                Opens::Globs(globs) => format!("{globs:?} against {:?}", presented.path),
                Opens::Prefix(prefix) => format!("{prefix:?} against {:?}", presented.head.url()),
                Opens::FullPath => "the path that was signed".to_owned(),
                Opens::Component => "what lies under the token's place".to_owned(),
            },
            _ => String::new(),
        };
        match check(verifier, fields, presented, now) {
            Ok(()) => explanation.passed(name, detail),
            Err(reason) => explanation.failed(name, reason, detail),
        }
    }
    explanation.cures.extend(cures_for(fields));
}

fn blame(
    verifier: &Verifier,
    reason: Reason,
    presented: &Presented<'_>,
    now: UnixTime,
    explanation: &mut Explanation,
) {
    let decoded = escape::decode(presented.value).unwrap_or(presented.value.into());
    let fields = match Fields::parse(&decoded, &verifier.settings.limits) {
        Ok(fields) => fields,
        Err(error) => {
            explanation.failed("fields", reason, error.to_string());
            return;
        }
    };
    let signed = signed_values(&fields, &decoded, presented);
    explanation.string_to_sign = signed.first().cloned();
    if !verifier.allows(&fields.proof) {
        let detail = "this kind of signature is not among the algorithms".to_owned();
        explanation.failed("signature", reason, detail);
        let kind = match fields.proof {
            Proof::Signature(_) => "ed25519",
            Proof::Hmac(crate::domain::token::key::Algorithm::Sha1, _) => "hmac-sha1",
            Proof::Hmac(..) => "hmac-sha256",
        };
        explanation.cures.push(format!("add \"{kind}\" to algorithms, or sign with one that is there"));
        return;
    }
    explanation.failed("signature", reason, "no key gives this proof for the string to sign".to_owned());
    if signed.is_empty() && fields.headers.is_some() {
        explanation.cures.push("a header that was signed was not sent: give it with --header".to_owned());
    }
    if let Some(meant) = fields.key_name
        && !verifier.settings.keys.at(now).any(|named| &*named.name == meant)
    {
        explanation.cures.push("its KeyName is none of the keys that count now: name the key so".to_owned());
    }
    if matches!(fields.opens, Opens::FullPath) {
        explanation.cures.push(
            "FullPath was signed for one path: ask for that one, or sign PathGlobs for what a playlist names"
                .to_owned(),
        );
    }
    explanation.cures.extend(cures_for(&fields));
}

fn cures_for(fields: &Fields<'_>) -> Vec<String> {
    const MILLISECONDS: u64 = 100_000_000_000;
    let times = [("Starts", fields.starts), ("Expires", Some(fields.expires))];
    let late = times.into_iter().filter(|(_, time)| time.is_some_and(|time| time >= MILLISECONDS));
    late.map(|(name, _)| format!("{name} looks like milliseconds: give Unix time in seconds")).collect()
}

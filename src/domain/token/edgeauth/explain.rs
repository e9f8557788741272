//! Explaining: what was signed, how each check came out, and the cure for common mistakes.

use super::Settings;
use super::cures::{directory, for_fields};
use super::fields::{Fields, split_hmac};
use super::verify::{Form, Verifier};
use crate::domain::token::explanation::Explanation;
use crate::domain::token::grant::UnixTime;
use crate::domain::token::key::{Algorithm, Secret};
use crate::domain::token::keys::{Keys, Named};
use crate::domain::token::presented::Presented;
use crate::domain::token::reason::Reason;
use crate::domain::uri::escape;

impl Verifier {
    /// Judges as [`Verifier::verify`] does, and tells the whole story.
    pub fn explain(&self, presented: &Presented<'_>, now: UnixTime) -> Explanation {
        let mut explanation = Explanation::default();
        match self.matching(presented, now) {
            Ok(matched) => {
                explanation.form = Some(described(matched.form).to_owned());
                explanation.key = Some(matched.key_name.to_string());
                explanation.string_to_sign = Some(self.hashed(matched.signed(), matched.url.as_deref()));
                explanation.passed("signature", format!("signed with {}", matched.key_name));
                match Fields::parse(matched.signed(), self.writing()) {
                    Ok(fields) => self.judge(&mut explanation, &fields, presented, now),
                    Err(error) => explanation.failed("fields", Reason::Malformed, error.to_string()),
                }
            }
            Err(reason) => self.blame_signature(&mut explanation, reason, presented, now),
        }
        explanation.concluded()
    }

    fn judge(
        &self,
        explanation: &mut Explanation,
        fields: &Fields<'_>,
        presented: &Presented<'_>,
        now: UnixTime,
    ) {
        explanation.passed("fields", "known, in order, each once".to_owned());
        for (name, check) in Self::CHECKS {
            let detail = detail(name, fields, presented, now);
            match check(self, fields, presented, now) {
                Ok(()) => explanation.passed(name, detail),
                Err(reason) => explanation.failed(name, reason, detail),
            }
        }
        explanation.cures.extend(for_fields(fields, presented, now));
    }

    /// Tries the usual mistakes, one at a time, until the signature matches.
    fn blame_signature(
        &self,
        explanation: &mut Explanation,
        reason: Reason,
        presented: &Presented<'_>,
        now: UnixTime,
    ) {
        let decoded = escape::decode(presented.value).unwrap_or(presented.value.into());
        let delimiter = self.settings.delimiters.field;
        let shape = Algorithm::ALL
            .into_iter()
            .find_map(|algorithm| Some((algorithm, split_hmac(&decoded, delimiter, algorithm)?.0)));
        let Some((algorithm, signed)) = shape else {
            explanation.failed(
                "signature",
                reason,
                "no hmac of 64, 40 or 32 lower-case hex digits stands at the end".to_owned(),
            );
            explanation.cures.extend(self.cures_by_trial(presented, now));
            return;
        };
        let is_acl = super::fields::has_acl(signed, delimiter);
        let url = if self.settings.ignore_query || presented.query.is_empty() {
            presented.path.to_owned()
        } else {
            format!("{}?{}", presented.path, presented.query)
        };
        explanation.string_to_sign = Some(self.hashed(signed, (!is_acl).then_some(&url)));
        explanation.failed(
            "signature",
            reason,
            "no key and salt give this hmac for the string to sign".to_owned(),
        );
        if algorithm != self.settings.algorithm {
            explanation.cures.push(format!(
                "the hmac has {} digits, as {} makes; this property expects {}",
                algorithm.hex_digits(),
                algorithm.as_str(),
                self.settings.algorithm.as_str()
            ));
        }
        explanation.cures.extend(self.cures_by_trial(presented, now));
        if let Ok(fields) = Fields::parse(signed, self.writing()) {
            explanation.cures.extend(for_fields(&fields, presented, now));
        }
    }

    fn hashed(&self, signed: &str, url: Option<&str>) -> String {
        let delimiter = self.settings.delimiters.field;
        let mut hashed = signed.to_owned();
        if let Some(url) = url {
            hashed.push(delimiter);
            hashed.push_str("url=");
            hashed.push_str(url);
        }
        if !self.settings.salts.is_empty() {
            hashed.push(delimiter);
            hashed.push_str("salt=<salt>");
        }
        hashed
    }

    /// Other settings, or another reading of the request, under which the signature matches.
    fn cures_by_trial(&self, presented: &Presented<'_>, now: UnixTime) -> Vec<String> {
        let settings = &self.settings;
        let matches = |settings: Settings, presented: &Presented<'_>| {
            Self::new(settings).matching(presented, now).is_ok()
        };
        let mut cures = Vec::new();
        let trials: [(&str, Settings); 4] = [
            (
                "it was signed without the salt: give the signer this property's salt",
                Settings { salts: Vec::new(), ..settings.clone() },
            ),
            (
                "it was signed with the other choice of escaping: set escape_inputs as the signer has it (--escape-early)",
                Settings { escape_inputs: !settings.escape_inputs, ..settings.clone() },
            ),
            (
                "it was signed with the other choice about the query: set ignore_query as the signer has it",
                Settings { ignore_query: !settings.ignore_query, ..settings.clone() },
            ),
            (
                "the key was used as text, not as hex digits: decode it from hex before signing",
                Settings { keys: textual_keys(settings), ..settings.clone() },
            ),
        ];
        for (cure, changed) in trials {
            if matches(changed, presented) {
                cures.push(cure.to_owned());
            }
        }
        for algorithm in Algorithm::ALL {
            if algorithm != settings.algorithm
                && matches(Settings { algorithm, ..settings.clone() }, presented)
            {
                cures.push(format!(
                    "it was signed with {}: configure that algorithm or sign with {}",
                    algorithm.as_str(),
                    settings.algorithm.as_str()
                ));
            }
        }
        if let Some(once) = escape::decode(presented.value)
            && once.contains('%')
            && self.matching(&Presented { value: &once, ..*presented }, now).is_ok()
        {
            cures.push("it is percent-encoded twice: encode it once, or not at all".to_owned());
        }
        for pattern in ["/*", "*", directory(presented.path).as_str()] {
            let as_url = Presented { path: pattern, raw_path: pattern, query: "", ..*presented };
            if self.matching(&as_url, now).is_ok_and(|matched| matched.url.is_some())
                && pattern != presented.path
            {
                cures.push(format!("it was signed for the URL {pattern:?}: use the signer's ACL call (generate_acl_token, -a), not its URL call"));
            }
        }
        cures
    }
}

const fn described(form: Form) -> &'static str {
    match form {
        Form::AsPresented => "as presented",
        Form::Decoded => "percent-decoded",
        Form::LowerCased => "with its escapes in lower case",
        Form::EscapedAgain(_) => "with its values escaped again",
    }
}

/// The keys as a signer would have used them that took their hex digits for the key, with and without `0x`.
fn textual_keys(settings: &Settings) -> Keys<Secret> {
    let mut keys = Vec::new();
    for named in settings.keys.iter() {
        let lower = named.key.to_hex();
        let upper = lower.to_uppercase();
        for text in [format!("0x{lower}"), format!("0x{upper}"), lower, upper] {
            keys.extend(Secret::from_text(&text).map(|key| Named { key, ..named.clone() }));
        }
    }
    Keys::new(keys)
}

fn detail(check: &str, fields: &Fields<'_>, presented: &Presented<'_>, now: UnixTime) -> String {
    let now = now.as_secs();
    match check {
        "start" => fields.start.map_or("no start".to_owned(), |start| format!("st={start}, now {now}")),
        "expiry" => match fields.expires.checked_sub(now) {
            Some(left) => format!("exp={}, now {now}: {left} s left", fields.expires),
            None => format!("exp={}, now {now}: over since {} s", fields.expires, now - fields.expires),
        },
        "ip" => fields
            .ip
            .map_or("no ip".to_owned(), |ip| format!("token for {ip:?}, client {}", presented.client)),
        "acl" => match fields.acl {
            Some(acl) => format!("{acl:?} against {:?}", presented.path),
            None => "a URL token".to_owned(),
        },
        "times" => "st is before exp".to_owned(),
        "limits" => "sizes of id and acl".to_owned(),
        _ => String::new(),
    }
}

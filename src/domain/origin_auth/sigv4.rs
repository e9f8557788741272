//! AWS Signature Version 4 in the `Authorization` header, with S3's rules for the canonical path.
//!
//! As "Signature Calculations for the Authorization Header: Transferring Payload in a Single Chunk" of the Amazon S3 API
//! reference has it:
//!
//! ```text
//! canonical request = method \n canonical path \n canonical query \n headers \n signed headers \n payload hash
//! string to sign    = AWS4-HMAC-SHA256 \n time \n scope \n hex(SHA256(canonical request))
//! signing key       = HMAC(HMAC(HMAC(HMAC("AWS4" + secret, date), region), service), "aws4_request")
//! ```
//!
//! For S3 "you do not normalize URI paths": `/a/../b` and `//` stay, and a path is escaped once. S3 undoes the escapes
//! of what it receives and escapes it anew before it compares, so the same is done here. Since every request is a GET or
//! HEAD, the payload is the empty one, or is stated as not signed. The time is part of what is signed: a request that was
//! overheard is refused by S3 a quarter of an hour later.

use std::borrow::Cow;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::domain::token::key::{Algorithm, Secret, Signer};
use crate::domain::uri::escape::{escaped_byte, push_upper_escape};
use crate::domain::uri::hex::hex;

/// The SHA-256 of nothing.
pub const EMPTY_PAYLOAD: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
pub const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// Who asks, and of which service in which region.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: Secret,
    pub region: String,
    /// `s3` for a bucket.
    pub service: String,
}

/// What is signed of a request.
#[derive(Clone, Copy, Debug)]
pub struct Signable<'a> {
    pub method: &'a str,
    pub path: &'a str,
    /// Without its `?`.
    pub query: &'a str,
    /// Names in lower case, in any order. `host`, and all that begin with `x-amz-`, have to be among them.
    pub fields: &'a [(&'a str, &'a str)],
    pub payload_hash: &'a str,
}

impl Credentials {
    /// The value of `Authorization` for a request at `now`, which has to carry [`timestamp`] as `x-amz-date`.
    pub fn authorization(&self, request: &Signable<'_>, now: Duration) -> String {
        let time = timestamp(now);
        let date = &time[..8];
        let scope = format!("{date}/{}/{}/aws4_request", self.region, self.service);
        let (canonical, signed_names) = canonical(request);
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
        let mut signature = String::with_capacity(64);
        self.signing_key(date).sign(&[to_sign.as_bytes()]).write_hex(&mut signature);
        format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={signed_names}, Signature={signature}",
            self.access_key_id
        )
    }

    fn signing_key(&self, date: &str) -> Signer {
        const NEVER_EMPTY: &str = "it begins with AWS4, or is an HMAC";
        let secret = [b"AWS4", self.secret_access_key.expose()].concat();
        let mut key = Secret::from_bytes(secret).expect(NEVER_EMPTY);
        for part in [date, &self.region, &self.service, "aws4_request"] {
            let next = Signer::new(&key, Algorithm::Sha256).sign(&[part.as_bytes()]);
            key = Secret::from_bytes(next.as_bytes().to_vec()).expect(NEVER_EMPTY);
        }
        Signer::new(&key, Algorithm::Sha256)
    }
}

/// The canonical request, and the names of the fields that are signed.
fn canonical(request: &Signable<'_>) -> (String, String) {
    let mut fields: Vec<(&str, String)> =
        request.fields.iter().map(|&(name, value)| (name, single_spaced(value))).collect();
    fields.sort_by_key(|&(name, _)| name);
    let names: Vec<&str> = fields.iter().map(|&(name, _)| name).collect();
    let names = names.join(";");
    let mut text = format!("{}\n", request.method);
    push_escaped(&mut text, &unescaped(request.path), b"/");
    text.push('\n');
    text.push_str(&canonical_query(request.query));
    text.push('\n');
    for (name, value) in &fields {
        text.push_str(name);
        text.push(':');
        text.push_str(value);
        text.push('\n');
    }
    text.push('\n');
    text.push_str(&names);
    text.push('\n');
    text.push_str(request.payload_hash);
    (text, names)
}

/// A `+` in a query is read as a space by S3, as forms have it: a plus sign has to come escaped.
fn canonical_query(query: &str) -> String {
    let escaped = |text: &str| {
        let mut out = String::with_capacity(text.len());
        push_escaped(&mut out, &unescaped(&text.replace('+', " ")), b"");
        out
    };
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (escaped(name), escaped(value)))
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

/// "Remove leading and trailing spaces; convert sequential spaces to a single space."
fn single_spaced(value: &str) -> String {
    value.split([' ', '\t']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

fn unescaped(text: &str) -> Cow<'_, [u8]> {
    if !text.contains('%') {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut rest = text.as_bytes();
    let mut bytes = Vec::with_capacity(rest.len());
    while let Some((&first, after)) = rest.split_first() {
        let escaped = after.get(..2).filter(|_| first == b'%').and_then(escaped_byte);
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    Cow::Owned(bytes)
}

/// Escapes all but the unreserved characters of RFC 3986 and those of `kept`, with upper-case digits.
fn push_escaped(out: &mut String, bytes: &[u8], kept: &[u8]) {
    for &byte in bytes {
        let is_unreserved = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        if is_unreserved || kept.contains(&byte) {
            out.push(char::from(byte));
        } else {
            push_upper_escape(out, byte);
        }
    }
}

/// A time as AWS writes it: `20130524T000000Z`.
pub fn timestamp(now: Duration) -> String {
    let seconds = now.as_secs();
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date_of(days);
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", of_day / 3_600, of_day / 60 % 60, of_day % 60)
}

/// Year, month and day of a day since 1970-01-01, counted in eras of 400 years that begin on the first of March, so
/// that the leap day is the last of its year (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms",
/// `civil_from_days`).
const fn date_of(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let is_next_year = month <= 2;
    (year_of_era + era * 400 + is_next_year as u64, month, day)
}

#[cfg(test)]
mod tests;

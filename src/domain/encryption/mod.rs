//! Media encryption at the edge: clear TS and fMP4 segments leave as AES-128 (RFC 8216 §4.3.2.4), and their key is served to
//! sessions alone.
//!
//! The scheme. The edge keeps one secret S for each property. Everything else follows from it and from a path, so that every edge
//! of a fleet encrypts a segment to the same bytes, and nothing has to be stored or agreed upon:
//!
//! ```text
//! key = HMAC-SHA256(S, "sluicegate media key 1" LF property LF asset LF period LF session)[..16]
//! iv  = HMAC-SHA256(S, "sluicegate media iv 1"  LF property LF path)[..16]
//! ```
//!
//! * *asset*: the first directories of the segment's path, as many as configured; all its renditions share them.
//! * *period*: with rotation, the number at the end of the segment's name divided by the segments of one period; else 0. It needs
//!   no state, and a reload of a live playlist never changes the key of a segment that was listed before.
//! * *session*: the HMAC of the viewer's session token where keys are made for each session, else nothing.
//!
//! A playlist gets an `EXT-X-KEY` in front of every segment and of every initialisation section ([`playlist`]): each resource
//! has an IV of its own, stated there. The key's URI names a reserved file in the segment's own directory, with the period; so it
//! resolves, and carries the session token, as the segment does.
//!
//! What it answers: a segment that was copied or cached along the way is useless without a session, a key that was passed
//! on opens one asset (or one session's bytes) for one period. It is no DRM: a viewer with a session has the key. Two
//! versions of one path are encrypted with one IV, so that equal beginnings of theirs look equal.

pub mod cipher;
pub mod playlist;

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use zeroize::Zeroize;

use crate::domain::token::acl;
use crate::domain::token::key::{Algorithm, Secret, Signer};
use crate::domain::uri::hex::hex;

const KEY_LABEL: &[u8] = b"sluicegate media key 1\n";
const IV_LABEL: &[u8] = b"sluicegate media iv 1\n";

/// The parameter of a key's URI that names the period.
pub const PERIOD: &str = "period";

/// For whom a key is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPer {
    /// One key for all viewers of an asset: segments are encrypted once, and cached so.
    Asset,
    /// A key for each session: segments are cached clear, and encrypted for each viewer.
    Session,
}

/// How the segments of one property are encrypted.
#[derive(Clone)]
pub struct Encryption {
    signer: Signer,
    property: Arc<str>,
    pub settings: Settings,
}

/// What an operator chooses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub key_per: KeyPer,
    /// Directories of a path that name the asset: 1 for `/movie/`.
    pub asset_depth: usize,
    /// Segments of one key's period; 0 for one key without end.
    pub rotate_every: u64,
    /// The file name under which keys are served, in every directory with segments.
    pub key_name: String,
    /// Patterns (as in an ACL) of the paths whose segments are encrypted.
    pub paths: Vec<String>,
    /// Extensions, in lower case, of what is encrypted.
    pub extensions: Vec<String>,
    /// Extensions of what a media playlist may list beside them, and stays clear: subtitles.
    pub clear_extensions: Vec<String>,
    /// Keys are served over HTTPS only.
    pub require_https: bool,
}

/// Key and IV for one resource, wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Seal {
    pub key: [u8; 16],
    pub iv: [u8; 16],
}

impl Seal {
    /// Tells this key from another without showing it.
    pub fn id(&self) -> String {
        let digest = Sha256::digest([b"sluicegate seal ".as_slice(), &self.key].concat());
        hex(&digest[..4])
    }
}

impl Drop for Seal {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(..)")
    }
}

impl fmt::Debug for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encryption").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// What a path is to the encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    Encrypted,
    Clear,
    /// Neither extension list has it: whether it is media cannot be told.
    Unknown,
}

impl Encryption {
    pub fn new(secret: &Secret, property: Arc<str>, settings: Settings) -> Self {
        Self { signer: Signer::new(secret, Algorithm::Sha256), property, settings }
    }

    /// Whether the playlists and segments at this normal path are subject to encryption at all.
    pub fn covers(&self, path: &str) -> bool {
        self.settings.paths.iter().any(|pattern| acl::covers(pattern, path))
    }

    /// Whether a request for this path asks for a key.
    pub fn is_key(&self, path: &str) -> bool {
        file_name(path) == self.settings.key_name && self.covers(path)
    }

    /// What becomes of the segment at this path.
    pub fn treatment(&self, path: &str) -> Treatment {
        let extension =
            file_name(path).rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase();
        if !self.covers(path) || self.settings.clear_extensions.contains(&extension) {
            Treatment::Clear
        } else if self.settings.extensions.contains(&extension) {
            Treatment::Encrypted
        } else {
            Treatment::Unknown
        }
    }

    /// Key and IV of the segment at this path. `session` is the HMAC of the viewer's session token, where keys are made for
    /// each session.
    pub fn seal(&self, path: &str, session: &str) -> Seal {
        let digest = self.signer.sign(&[IV_LABEL, self.property.as_bytes(), b"\n", path.as_bytes()]);
        Seal { key: self.key(path, self.period(path), session), iv: first_half(digest.as_bytes()) }
    }

    /// The key of a period of the asset that a path belongs to.
    pub fn key(&self, path: &str, period: u64, session: &str) -> [u8; 16] {
        let session = match self.settings.key_per {
            KeyPer::Asset => "",
            KeyPer::Session => session,
        };
        let period = period.to_string();
        let digest = self.signer.sign(&[
            KEY_LABEL,
            self.property.as_bytes(),
            b"\n",
            self.asset(path).as_bytes(),
            b"\n",
            period.as_bytes(),
            b"\n",
            session.as_bytes(),
        ]);
        first_half(digest.as_bytes())
    }

    /// The period of the segment at this path.
    pub fn period(&self, path: &str) -> u64 {
        match self.settings.rotate_every {
            0 => 0,
            every => number(file_name(path)).unwrap_or(0) / every,
        }
    }

    /// The first directories of a path; all of them where it has fewer.
    fn asset<'a>(&self, path: &'a str) -> &'a str {
        let mut slashes = path.match_indices('/').map(|(at, _)| at);
        let directory = path.rfind('/').unwrap_or(0);
        let end = slashes.nth(self.settings.asset_depth).unwrap_or(directory);
        &path[..=end.min(directory)]
    }
}

fn first_half(digest: &[u8]) -> [u8; 16] {
    digest[..16].try_into().expect("SHA-256 has 32 bytes")
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// The last number in a name before its extension: 17 in `seg_00017.ts`. `None` where there is none, or none of 64 bits.
fn number(name: &str) -> Option<u64> {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let end = stem.rfind(|letter: char| letter.is_ascii_digit())? + 1;
    let start = stem[..end]
        .rfind(|letter: char| !letter.is_ascii_digit())
        .map_or(0, |at| at + stem[at..].chars().next().map_or(1, char::len_utf8));
    stem[start..end].parse().ok()
}

#[cfg(test)]
mod tests;

//! A media playlist with an `EXT-X-KEY` for every segment: done before the template is compiled, once for all viewers.

use std::ops::Range;

use memchr::memmem;
use url::Url;

use super::{Encryption, PERIOD, Treatment};
use crate::domain::manifest::attributes::Attributes;
use crate::domain::manifest::base::Base;
use crate::domain::manifest::lines::Lines;
use crate::domain::uri::path;

/// Why the segments of a playlist cannot be encrypted. Nothing of it is served then: it would go out clear.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsuitable {
    #[error(
        "line {0}: segments that are byte ranges of a file cannot be encrypted each by itself; serve them as files, or take the path out of [property.encryption]"
    )]
    ByteRange(usize),
    #[error(
        "line {0}: the parts of a low-latency playlist cannot be encrypted; take the path out of [property.encryption]"
    )]
    Part(usize),
    #[error("line {0}: the origin encrypts this playlist itself; take the path out of [property.encryption]")]
    Encrypted(usize),
    #[error("line {0}: the segment's reference is no URI that can be resolved")]
    Reference(usize),
    #[error(
        "line {line}: the extension {extension:?} stands neither in extensions nor in clear_extensions of [property.encryption]"
    )]
    Extension { line: usize, extension: String },
    #[error("the origin sent a segment with a content coding, which players undo before they decrypt")]
    Encoded,
}

impl Encryption {
    /// The playlist with its keys announced; a multivariant playlist, which has none, is `None`.
    pub fn announce(&self, source: &[u8], base: &Base) -> Result<Option<Vec<u8>>, Unsuitable> {
        let mut announcer = Announcer {
            encryption: self,
            base,
            source,
            copied: 0,
            out: Vec::new(),
            is_on: false,
            states_version: memmem::find(source, b"#EXT-X-VERSION:").is_some(),
        };
        let mut lines = Lines::new(source);
        let mut extinf = None;
        let mut is_media = false;
        while let Some(line) = lines.next() {
            let number = lines.number();
            let text = &source[line.clone()];
            if text[0] != b'#' {
                if !is_media {
                    return Ok(None);
                }
                // Before its duration, unless something was announced between the two.
                let at = extinf.take().filter(|at| *at >= announcer.copied).unwrap_or(line.start);
                announcer.put_key(at, text, number)?;
                continue;
            }
            if tag(text) != b"#EXTM3U" {
                announcer.state_version(line.start);
            }
            match tag(text) {
                b"#EXTINF" => {
                    is_media = true;
                    extinf = extinf.or(Some(line.start));
                }
                b"#EXT-X-TARGETDURATION" => is_media = true,
                b"#EXT-X-STREAM-INF" => return Ok(None),
                b"#EXT-X-BYTERANGE" | b"#EXT-X-I-FRAMES-ONLY" => return Err(Unsuitable::ByteRange(number)),
                b"#EXT-X-PART" | b"#EXT-X-PRELOAD-HINT" => return Err(Unsuitable::Part(number)),
                b"#EXT-X-KEY" if !is_none(source, &line) => return Err(Unsuitable::Encrypted(number)),
                b"#EXT-X-VERSION" => announcer.raise_version(&line),
                b"#EXT-X-MAP" => {
                    let (mut uri, mut is_range) = (None, false);
                    for attribute in
                        Attributes::new(source, line.start + text.len().min(11)..line.end).flatten()
                    {
                        match &source[attribute.name] {
                            b"URI" => uri = Some(attribute.value),
                            b"BYTERANGE" => is_range = true,
                            _ => {}
                        }
                    }
                    if is_range {
                        return Err(Unsuitable::ByteRange(number));
                    }
                    let uri = uri.ok_or(Unsuitable::Reference(number))?;
                    announcer.put_key(line.start, &source[uri], number)?;
                }
                _ => {}
            }
        }
        Ok(is_media.then(|| announcer.finish()))
    }
}

/// A copy of the playlist as it grows.
struct Announcer<'a> {
    encryption: &'a Encryption,
    base: &'a Base,
    source: &'a [u8],
    /// So much of the source is in `out`.
    copied: usize,
    out: Vec<u8>,
    /// The last key that was announced encrypts.
    is_on: bool,
    states_version: bool,
}

impl Announcer<'_> {
    /// Announces in front of `at` how the resource with this reference is encrypted.
    fn put_key(&mut self, at: usize, reference: &[u8], line: usize) -> Result<(), Unsuitable> {
        let unresolved = || Unsuitable::Reference(line);
        let reference = std::str::from_utf8(reference).map_err(|_| unresolved())?;
        if reference.contains("{$") {
            return Err(unresolved());
        }
        let url = self.base.url().join(reference).map_err(|_| unresolved())?;
        let path = path::normalise(url.path()).map_err(|_| unresolved())?;
        let treatment = if self.is_here(&url) { self.encryption.treatment(&path) } else { Treatment::Clear };
        match treatment {
            Treatment::Encrypted => {
                let seal = self.encryption.seal(&path, "");
                let iv = u128::from_be_bytes(seal.iv);
                let key = key_reference(reference, &self.encryption.settings.key_name);
                let period = match self.encryption.period(&path) {
                    0 => String::new(),
                    period => format!("?{PERIOD}={period}"),
                };
                let tag = format!("#EXT-X-KEY:METHOD=AES-128,URI=\"{key}{period}\",IV=0x{iv:032x}\n");
                self.insert(at, tag.as_bytes());
                self.is_on = true;
            }
            Treatment::Clear if self.is_on => {
                self.insert(at, b"#EXT-X-KEY:METHOD=NONE\n");
                self.is_on = false;
            }
            Treatment::Clear => {}
            Treatment::Unknown => {
                let name = path.rsplit('/').next().unwrap_or_default();
                let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension).to_owned();
                return Err(Unsuitable::Extension { line, extension });
            }
        }
        Ok(())
    }

    /// Whether a URL is on the playlist's own site: what is elsewhere is not ours to encrypt.
    fn is_here(&self, url: &Url) -> bool {
        url.origin() == self.base.url().origin()
    }

    fn insert(&mut self, at: usize, text: &[u8]) {
        self.out.extend_from_slice(&self.source[self.copied..at]);
        self.copied = at;
        self.out.extend_from_slice(text);
    }

    /// RFC 8216 §7: the IV attribute of `EXT-X-KEY` needs version 2, and a playlist that states none has version 1.
    fn state_version(&mut self, at: usize) {
        if !self.states_version {
            self.states_version = true;
            self.insert(at, b"#EXT-X-VERSION:2\n");
        }
    }

    /// As [`Self::state_version`], where the playlist states the first.
    fn raise_version(&mut self, line: &Range<usize>) {
        if self.source[line.clone()].strip_prefix(b"#EXT-X-VERSION:").map(<[u8]>::trim_ascii) == Some(b"1") {
            self.insert(line.start, b"#EXT-X-VERSION:2");
            self.copied = line.end;
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.out.extend_from_slice(&self.source[self.copied..]);
        self.out
    }
}

fn tag(line: &[u8]) -> &[u8] {
    &line[..memchr::memchr(b':', line).unwrap_or(line.len())]
}

fn is_none(source: &[u8], line: &Range<usize>) -> bool {
    let list = line.start + "#EXT-X-KEY:".len()..line.end;
    Attributes::new(source, list)
        .flatten()
        .any(|attribute| source[attribute.name] == *b"METHOD" && source[attribute.value] == *b"NONE")
}

/// The reference of a file beside the one that is referred to.
fn key_reference(reference: &str, key_name: &str) -> String {
    let path_end = reference.find(['?', '#']).unwrap_or(reference.len());
    let directory = reference[..path_end].rfind('/').map_or(0, |slash| slash + 1);
    format!("{}{key_name}", &reference[..directory])
}

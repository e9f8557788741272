//! The synthetic origin: what stands at each of its paths, as a function of the time given.
//!
//! `/{vod|live}/{ts|fmp4|aes}/master.m3u8` and, beside it, `{track}/index.m3u8` with its segments. A VOD segment is named by its place
//! in the clip, a live one by its media sequence number, so that no name ever means two things to a cache.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode};
use sha2::{Digest as _, Sha256};

use crate::lab::answer::{Resource, answer, plain};
use crate::lab::live::{self, Window};
use crate::lab::media::{File, Ladder, MADE_AT, Packaging, SEGMENTS, Track};
use crate::lab::playlists;
use crate::lab::subtitles::{self, Subtitles};

/// A stream to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    pub id: &'static str,
    pub name: &'static str,
    pub description: &'static str,
    /// The path of its multivariant playlist.
    pub path: &'static str,
    pub is_live: bool,
}

const STREAMS: [Stream; 5] = [
    Stream {
        id: "vod-ts",
        name: "VOD, MPEG-TS",
        description: "32 seconds, three renditions, two languages, subtitles",
        path: "/vod/ts/master.m3u8",
        is_live: false,
    },
    Stream {
        id: "vod-fmp4",
        name: "VOD, fMP4",
        description: "The same as CMAF, with I-frame playlists",
        path: "/vod/fmp4/master.m3u8",
        is_live: false,
    },
    Stream {
        id: "vod-aes",
        name: "VOD, AES-128",
        description: "MPEG-TS segments encrypted; the key is behind the gate too",
        path: "/vod/aes/master.m3u8",
        is_live: false,
    },
    Stream {
        id: "live-ts",
        name: "Live, MPEG-TS",
        description: "A sliding window of 12 seconds that loops for ever",
        path: "/live/ts/master.m3u8",
        is_live: true,
    },
    Stream {
        id: "live-fmp4",
        name: "Live, fMP4",
        description: "The same as CMAF",
        path: "/live/fmp4/master.m3u8",
        is_live: true,
    },
];

const PLAYLIST: &str = "application/vnd.apple.mpegurl";
/// For what never changes under its name.
const FOR_LONG: &str = "public, max-age=86400";
/// For a live segment: it is gone from the origin soon after.
const WHILE_LISTED: &str = "public, max-age=60";
/// For a live playlist: half a target duration, as a player reloads it.
const BRIEFLY: &str = "public, max-age=1";
/// For a content key.
const NEVER: &str = "no-store";

/// The streams of the lab. Built once; answers any number of requests.
#[derive(Clone, Debug)]
pub struct Streams {
    ladders: Vec<Ladder>,
    /// When the live streams' first segment began.
    epoch: Duration,
}

/// VOD at any time, or live at this window.
#[derive(Clone, Copy)]
enum Mode {
    Vod,
    Live(Window),
}

impl Streams {
    /// `now` is Unix time: the live streams start from it. The times given to [`Streams::respond`] must not lie before it.
    pub fn new(now: Duration) -> Self {
        Self { ladders: Packaging::ALL.into_iter().map(Ladder::embedded).collect(), epoch: live::epoch(now) }
    }

    /// What there is to play.
    pub const fn streams() -> &'static [Stream] {
        &STREAMS
    }

    /// The origin's answer. `path` is as in the request line, without the query, which the origin does not look at; `now` is Unix time.
    pub fn respond(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        now: Duration,
    ) -> Response<Bytes> {
        match self.resource(path, now) {
            Some(resource) => answer(method, headers, &resource),
            None => plain(StatusCode::NOT_FOUND, "There is no such stream, playlist or segment here.\n"),
        }
    }

    fn resource(&self, path: &str, now: Duration) -> Option<Resource> {
        let mut parts = path.strip_prefix('/')?.splitn(3, '/');
        let (mode, packaging, rest) = (parts.next()?, parts.next()?, parts.next()?);
        let ladder = self.ladders.iter().find(|ladder| ladder.packaging.folder() == packaging)?;
        let mode = match mode {
            "vod" => Mode::Vod,
            "live" if ladder.packaging != Packaging::Aes => Mode::Live(Window::at(self.epoch, now)?),
            _ => return None,
        };
        match rest.split_once('/') {
            None => at_top(ladder, mode, rest),
            Some((track, name)) => {
                match (ladder.track(track), subtitles::ALL.iter().find(|s| s.track == track)) {
                    (Some(track), _) => in_track(ladder, mode, track, name),
                    (None, Some(subtitles)) => in_subtitles(ladder, mode, subtitles, name),
                    (None, None) => None,
                }
            }
        }
    }
}

fn at_top(ladder: &Ladder, mode: Mode, name: &str) -> Option<Resource> {
    match (name, mode) {
        ("master.m3u8", Mode::Vod) => Some(text(playlists::multivariant(ladder, false), PLAYLIST)),
        ("master.m3u8", Mode::Live(_)) => Some(text(playlists::multivariant(ladder, true), PLAYLIST)),
        ("key.bin", Mode::Vod) => {
            Some(stored(ladder.key.as_ref()?, "application/octet-stream", NEVER, MADE_AT))
        }
        _ => None,
    }
}

fn in_track(ladder: &Ladder, mode: Mode, track: &Track, name: &str) -> Option<Resource> {
    match (name, mode) {
        ("index.m3u8", Mode::Vod) => return Some(text(playlists::vod(ladder, track), PLAYLIST)),
        ("index.m3u8", Mode::Live(window)) => {
            return Some(reloaded(playlists::live(ladder, track, window), window));
        }
        ("iframes.m3u8", Mode::Vod) => return Some(text(playlists::iframes(ladder, track)?, PLAYLIST)),
        ("init.mp4", _) => return Some(stored(ladder.init(track.name)?, "video/mp4", FOR_LONG, MADE_AT)),
        _ => {}
    }
    let found = segment(mode, name, ladder.packaging.extension())?;
    let content_type = match ladder.packaging {
        Packaging::Ts => "video/mp2t",
        Packaging::Fmp4 => "video/mp4",
        Packaging::Aes => "application/octet-stream",
    };
    let file = track.looped(ladder.packaging, found.place, found.loops)?;
    Some(stored(&file, content_type, found.cache_control, found.born))
}

fn in_subtitles(ladder: &Ladder, mode: Mode, subtitles: &Subtitles, name: &str) -> Option<Resource> {
    match (name, mode) {
        ("index.m3u8", Mode::Vod) => return Some(text(playlists::vod_subtitles(), PLAYLIST)),
        ("index.m3u8", Mode::Live(window)) => {
            return Some(reloaded(playlists::live_subtitles(window), window));
        }
        _ => {}
    }
    let Found { place, loops, cache_control, born } = segment(mode, name, "vtt")?;
    let cues = text(subtitles::segment(subtitles, ladder.packaging, place, loops), "text/vtt; charset=utf-8");
    Some(Resource { cache_control, last_modified: born, ..cues })
}

/// A segment that a name stands for.
struct Found {
    place: usize,
    loops: u64,
    cache_control: &'static str,
    born: Duration,
}

/// The segment of this name, while it exists.
fn segment(mode: Mode, name: &str, extension: &str) -> Option<Found> {
    let digits = name.strip_suffix(extension)?.strip_suffix('.')?;
    let number: u64 = digits.parse().ok()?;
    // One name for one segment: no sign, no leading zero.
    if number.to_string() != digits {
        return None;
    }
    match mode {
        Mode::Vod => {
            let place = usize::try_from(number).ok().filter(|place| *place < SEGMENTS)?;
            Some(Found { place, loops: 0, cache_control: FOR_LONG, born: MADE_AT })
        }
        Mode::Live(window) => window.serves(number).then(|| Found {
            place: live::place(number),
            loops: live::loops(number),
            cache_control: WHILE_LISTED,
            born: window.completed_at(number),
        }),
    }
}

fn stored(
    file: &File,
    content_type: &'static str,
    cache_control: &'static str,
    last_modified: Duration,
) -> Resource {
    Resource { body: file.bytes.clone(), content_type, cache_control, etag: file.etag.clone(), last_modified }
}

fn text(body: String, content_type: &'static str) -> Resource {
    let hash = Sha256::digest(body.as_bytes());
    let etag = format!("\"{:016x}\"", u64::from_be_bytes(std::array::from_fn(|i| hash[i])));
    Resource { body: Bytes::from(body), content_type, cache_control: FOR_LONG, etag, last_modified: MADE_AT }
}

/// A live playlist: it changed when its last segment was complete.
fn reloaded(body: String, window: Window) -> Resource {
    let last_modified = window.completed_at(window.last);
    Resource { cache_control: BRIEFLY, last_modified, ..text(body, PLAYLIST) }
}

#[cfg(test)]
mod tests;

//! The cache of a property, from what was typed.

use std::num::NonZeroU64;
use std::sync::Arc;

use crate::domain::cache::rules;
use crate::edge::change::Bodies;
use crate::edge::methods::{self, Methods};
use crate::edge::prefetch::{Budget, Prefetch};
use crate::edge::property::{Caching, Lifetimes, ObjectLifetimes, Trust};
use crate::edge::slices::Slicing;

use super::fault::Judge;
use super::file;
use super::file::cache::{PropertyCache, SetCookie};
use super::units::AutoSpan;

pub fn lifetimes(typed: &PropertyCache) -> Lifetimes {
    Lifetimes {
        live_playlist: match typed.live_playlist_ttl {
            AutoSpan::Auto => None,
            AutoSpan::Fixed(ttl) => Some(ttl),
        },
        playlist: typed.playlist_ttl.0,
        stale_if_error: typed.stale_if_error.0,
    }
}

pub fn caching(typed: &PropertyCache) -> Caching {
    let lifetimes = ObjectLifetimes {
        segment: typed.segment_ttl.0,
        heuristic_max: typed.heuristic_ttl_max.0,
        negative: typed.negative_ttl.0,
        stale_while_revalidate: typed.stale_while_revalidate.0,
        stale_if_error: typed.stale_if_error.0,
    };
    let trust = Trust {
        client_directives: typed.client_directives,
        origin_clock: typed.origin_clock,
        post: typed.keep_post,
        set_cookie: match typed.set_cookie {
            SetCookie::Refuse => rules::SetCookie::Refused,
            SetCookie::Drop => rules::SetCookie::Dropped,
            SetCookie::Keep => rules::SetCookie::Kept,
        },
    };
    Caching::new(typed.objects, lifetimes, trust)
}

/// Slices below this would be many and small: each is an object with a head of its own.
const SLICE_BYTES_MIN: u64 = 64 << 10;

pub fn slicing(typed: &PropertyCache, judge: &mut Judge) -> Option<Slicing> {
    let slice_bytes = NonZeroU64::new(typed.slice.get_ref().0)?;
    if slice_bytes.get() < SLICE_BYTES_MIN {
        judge.fault(
            typed.slice.span(),
            format!("slice = \"{slice_bytes}B\" is below 64KiB"),
            "write a size from \"64KiB\" on; \"0B\" turns slices off",
        );
    }
    Some(Slicing { slice_bytes, above_bytes: typed.slice_above.0 })
}

pub fn prefetch(typed: &PropertyCache, judge: &mut Judge) -> Option<Arc<Prefetch>> {
    let budget = Budget {
        segments: *typed.prefetch.get_ref(),
        parallel: typed.prefetch_parallel,
        bytes_max: typed.prefetch_bytes.0,
        remembered_max: typed.prefetch_remembered,
    };
    if budget.segments == 0 {
        return None;
    }
    let (lacking, cure) = if !typed.objects {
        ("objects = false: nothing is kept", "write objects = true")
    } else if budget.parallel == 0 {
        ("prefetch_parallel = 0", "write 1 or more")
    } else if budget.bytes_max == 0 {
        ("prefetch_bytes = \"0B\"", "write a size that holds some segments")
    } else if budget.remembered_max <= budget.segments {
        ("a prefetch_remembered that is no larger", "write at least the segments of the playlists in use")
    } else {
        return Some(Prefetch::new(budget));
    };
    let segments = budget.segments;
    let message = format!("prefetch = {segments} fetches nothing with {lacking}");
    judge.fault(typed.prefetch.span(), message, format!("{cure}; prefetch = 0 turns it off"));
    None
}

pub fn bodies(typed: &file::Property) -> Bodies {
    Bodies { bytes_max: typed.request_body_max.0, timeout: typed.request_body_timeout.0 }
}

pub fn methods(typed: &file::Property, judge: &mut Judge) -> Methods {
    for name in &typed.methods {
        if let Err(error) = methods::parse(name.get_ref()) {
            judge.fault(
                name.span(),
                format!("methods: \"{}\" {error}", name.get_ref()),
                "list methods by their names, such as GET, HEAD, OPTIONS, POST, PUT, DELETE",
            );
        }
    }
    let methods = Methods::new(typed.methods.iter().map(|name| name.get_ref().as_str()));
    if !methods.has(&http::Method::GET) {
        let place = typed.methods.first().map(toml::Spanned::span).unwrap_or_default();
        judge.fault(place, "methods lists no GET: nothing could be watched", "add \"GET\"");
    }
    methods
}

//! Redirects that name the origin itself: where they lead on the site that stands in front of it.

use http::uri::{Authority, Scheme};

use super::settings::Base;

/// The place on this site that a `Location` of the origin's means; `None` when it names another host, or is relative to
/// the request's own path and so right as it is.
///
/// An origin behind a path prefix says its own paths, which a viewer has to ask for without the prefix.
pub fn place_on_site(location: &str, bases: &[&Base]) -> Option<String> {
    let (scheme, rest) = match location.split_once(':') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Some(Scheme::HTTP), rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Some(Scheme::HTTPS), rest),
        Some(_) | None => (None, location),
    };
    if let Some(named) = rest.strip_prefix("//") {
        let end = named.find(['/', '?', '#']).unwrap_or(named.len());
        let (authority, place) = named.split_at(end);
        let own: Vec<&Base> =
            bases.iter().copied().filter(|base| is_own(authority, scheme.as_ref(), base)).collect();
        return (!own.is_empty()).then(|| rooted(without_prefix(place, own.into_iter())));
    }
    let is_path = scheme.is_none() && rest.starts_with('/');
    is_path.then(|| rooted(without_prefix(rest, bases.iter().copied())))
}

fn is_own(authority: &str, scheme: Option<&Scheme>, base: &Base) -> bool {
    if base.authority.as_str().eq_ignore_ascii_case(authority) {
        return true;
    }
    let port_of = |authority: &Authority, scheme: &Scheme| {
        authority.port_u16().unwrap_or(if *scheme == Scheme::HTTPS { 443 } else { 80 })
    };
    authority.parse::<Authority>().is_ok_and(|named| {
        named.host().eq_ignore_ascii_case(base.authority.host())
            && port_of(&named, scheme.unwrap_or(&base.scheme)) == port_of(&base.authority, &base.scheme)
    })
}

fn without_prefix<'a>(place: &'a str, mut bases: impl Iterator<Item = &'a Base>) -> &'a str {
    let stripped = bases.find_map(|base| {
        let rest = place.strip_prefix(base.prefix.as_str()).filter(|_| !base.prefix.is_empty())?;
        (rest.is_empty() || rest.starts_with(['/', '?', '#'])).then_some(rest)
    });
    stripped.unwrap_or(place)
}

/// With one slash in front: two, or a backslash, would name another host.
fn rooted(place: &str) -> String {
    format!("/{}", place.trim_start_matches(['/', '\\']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bases(urls: &[(&str, &str)]) -> Vec<Base> {
        let base = |&(authority, prefix): &(&str, &str)| Base {
            scheme: Scheme::HTTP,
            authority: authority.parse().expect("an authority"),
            prefix: prefix.to_owned(),
        };
        urls.iter().map(base).collect()
    }

    fn refs(bases: &[Base]) -> Vec<&Base> {
        bases.iter().collect()
    }

    #[test]
    fn an_absolute_place_on_the_origin_is_a_path_here() {
        let own = bases(&[("origin:9000", "")]);
        for (location, place) in [
            ("http://origin:9000/a?b#c", "/a?b#c"),
            ("HTTPS://Origin:9000/a", "/a"),
            ("//origin:9000", "/"),
            ("http://origin:9000?x", "/?x"),
            ("http://origin:9000//evil/", "/evil/"),
            ("http://origin:9000/\\evil/", "/evil/"),
        ] {
            assert_eq!(place_on_site(location, &refs(&own)).as_deref(), Some(place), "{location}");
        }
    }

    #[test]
    fn a_port_that_the_scheme_implies_may_be_said_or_not() {
        assert_eq!(
            place_on_site("http://origin:80/a", &refs(&bases(&[("origin", "")]))).as_deref(),
            Some("/a")
        );
        assert_eq!(
            place_on_site("http://origin/a", &refs(&bases(&[("origin:80", "")]))).as_deref(),
            Some("/a")
        );
        assert_eq!(place_on_site("http://origin/a", &refs(&bases(&[("origin:9000", "")]))), None);
    }

    #[test]
    fn another_host_and_a_relative_place_are_left_alone() {
        let own = bases(&[("origin", "")]);
        for location in [
            "https://other/a",
            "http://origin@other/a",
            "http://origin.other/a",
            "//other/a",
            "a/b",
            "../a",
            "?x",
            "",
            "mailto:x",
            "http:a",
            "a:b/c",
        ] {
            assert_eq!(place_on_site(location, &refs(&own)), None, "{location}");
        }
    }

    #[test]
    fn the_origins_prefix_is_not_part_of_a_place_here() {
        let own = bases(&[("one", "/live"), ("two", "/vod")]);
        for (location, place) in [
            ("http://one/live/a", "/a"),
            ("/live/a", "/a"),
            ("/vod?x", "/?x"),
            ("/vod", "/"),
            ("/lively/a", "/lively/a"),
            ("http://two/live/a", "/live/a"),
        ] {
            assert_eq!(place_on_site(location, &refs(&own)).as_deref(), Some(place), "{location}");
        }
    }
}

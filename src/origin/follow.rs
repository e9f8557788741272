//! Where a redirect of the origin leads, and whether it may be followed there.

use http::header::LOCATION;
use http::uri::Scheme;
use http::{HeaderMap, StatusCode, Uri};
use url::Url;

use super::settings::RedirectSettings;

/// Where to ask next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// The same server, at this path and query.
    Same(String),
    /// A host of the list.
    Foreign(Uri),
}

/// The next place, when the answer is a redirect that may be followed. `current` is the URL that was asked; `own` are
/// the authorities under which the server knows itself. Everything else is passed on as it came.
pub fn next(
    status: StatusCode,
    fields: &HeaderMap,
    current: &Uri,
    own: &[&str],
    settings: &RedirectSettings,
) -> Option<Next> {
    let is_redirect = matches!(
        status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let mut locations = fields.get_all(LOCATION).iter();
    let location = locations.next().filter(|_| is_redirect && settings.hops_max > 0)?;
    if locations.next().is_some() {
        return None;
    }
    let current = Url::parse(&current.to_string()).ok()?;
    let target = current.join(location.to_str().ok()?).ok()?;
    let is_web = matches!(target.scheme(), "http" | "https");
    let is_downgrade = current.scheme() == "https" && target.scheme() == "http";
    if !is_web || is_downgrade || !target.username().is_empty() || target.password().is_some() {
        return None;
    }
    let path_and_query = match target.query() {
        Some(query) => format!("{}?{query}", target.path()),
        None => target.path().to_owned(),
    };
    let is_own = own.iter().any(|own| is_at(&target, own));
    if is_own && target.scheme() == current.scheme() {
        return Some(Next::Same(path_and_query));
    }
    if !settings.hosts.iter().any(|host| is_at(&target, host)) {
        return None;
    }
    let scheme = if target.scheme() == "https" { Scheme::HTTPS } else { Scheme::HTTP };
    let uri = Uri::builder().scheme(scheme).authority(target.authority()).path_and_query(path_and_query);
    uri.build().ok().map(Next::Foreign)
}

/// Whether a URL's host and port are those of `authority`, whose port is the scheme's where it has none.
fn is_at(target: &Url, authority: &str) -> bool {
    let Ok(listed) = Url::parse(&format!("{}://{authority}/", target.scheme())) else { return false };
    listed.host() == target.host() && listed.port_or_known_default() == target.port_or_known_default()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn to(location: &str, current: &str) -> Option<Next> {
        let settings = RedirectSettings {
            hops_max: 2,
            hosts: vec!["store.example".to_owned(), "alt.example:8443".to_owned()],
        };
        let mut fields = HeaderMap::new();
        fields.insert(LOCATION, HeaderValue::from_str(location).unwrap());
        let own = ["origin.example:9000", "www.example"];
        next(StatusCode::FOUND, &fields, &current.parse().unwrap(), &own, &settings)
    }

    fn same(path: &str) -> Next {
        Next::Same(path.to_owned())
    }

    #[test]
    fn a_redirect_on_the_same_server_is_followed_there() {
        const CURRENT: &str = "http://origin.example:9000/live/a.m3u8";
        assert_eq!(to("b.m3u8?x=1#frag", CURRENT), Some(same("/live/b.m3u8?x=1")));
        assert_eq!(to("/c", CURRENT), Some(same("/c")));
        assert_eq!(to("http://ORIGIN.example:9000/d", CURRENT), Some(same("/d")));
        assert_eq!(to("http://www.example/e", CURRENT), Some(same("/e")), "the Host that it is asked under");
    }

    #[test]
    fn a_redirect_goes_to_listed_hosts_only() {
        const CURRENT: &str = "http://origin.example:9000/a";
        let foreign = |uri: &str| Some(Next::Foreign(uri.parse().unwrap()));
        assert_eq!(to("https://store.example/b?c", CURRENT), foreign("https://store.example/b?c"));
        assert_eq!(to("//store.example/b", CURRENT), foreign("http://store.example/b"));
        assert_eq!(to("https://alt.example:8443/b", CURRENT), foreign("https://alt.example:8443/b"));
        for refused in [
            "https://store.example:444/b",
            "https://alt.example/b",
            "https://evil.example/store.example",
            "https://store.example@evil.example/",
            "https://user@store.example/",
            "http://127.0.0.1/latest/meta-data",
            "http://169.254.169.254/latest/meta-data",
            "http://[::1]/",
            "http://origin.example/another-port",
            "ftp://store.example/",
            "file:///etc/passwd",
            "http://2130706433/",
        ] {
            assert_eq!(to(refused, CURRENT), None, "{refused}");
        }
    }

    #[test]
    fn a_redirect_never_leaves_tls() {
        assert_eq!(to("http://store.example/b", "https://origin.example:9000/a"), None);
        assert_eq!(to("http://origin.example:9000/b", "https://origin.example:9000/a"), None);
    }

    #[test]
    fn zero_hops_pass_everything_on() {
        let mut fields = HeaderMap::new();
        fields.insert(LOCATION, HeaderValue::from_static("/b"));
        let current: Uri = "http://o.example/a".parse().unwrap();
        let settings = RedirectSettings::default();
        assert_eq!(next(StatusCode::FOUND, &fields, &current, &["o.example"], &settings), None);
        let settings = RedirectSettings { hops_max: 1, ..settings };
        assert_eq!(next(StatusCode::OK, &fields, &current, &["o.example"], &settings), None);
        fields.append(LOCATION, HeaderValue::from_static("/c"));
        assert_eq!(next(StatusCode::FOUND, &fields, &current, &["o.example"], &settings), None, "two places");
    }
}

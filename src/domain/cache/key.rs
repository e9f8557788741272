//! What tells one stored object from another: property, site, path, and the query as far as it matters (RFC
//! 9111 §2).

use std::borrow::Cow;

/// Parameters that are no part of the key: `utm_*`, `session`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Excluded {
    Name(Box<str>),
    /// All names that begin so.
    Prefix(Box<str>),
}

/// CTA-5004 §3.2: media players say in this parameter how they are doing. It differs with every request.
const CMCD: &str = "CMCD";

impl Excluded {
    /// A name, or with a star at its end a prefix.
    pub fn parse(text: &str) -> Self {
        match text.strip_suffix('*') {
            Some(prefix) => Self::Prefix(prefix.into()),
            None => Self::Name(text.into()),
        }
    }

    fn covers(&self, name: &str) -> bool {
        match self {
            Self::Name(excluded) => **excluded == *name,
            Self::Prefix(prefix) => name.starts_with(&**prefix),
        }
    }
}

/// The query without what is excluded; borrowed where nothing is. The others keep their bytes and their
/// order, which an origin may read a meaning in. Token parameters have gone before.
pub fn query<'a>(query: &'a str, excluded: &[Excluded]) -> Cow<'a, str> {
    let is_kept = |parameter: &&str| {
        let name = parameter.split_once('=').map_or(*parameter, |(name, _)| name);
        name != CMCD && !excluded.iter().any(|excluded| excluded.covers(name))
    };
    if query.split('&').all(|parameter| is_kept(&parameter)) {
        return Cow::Borrowed(query);
    }
    Cow::Owned(query.split('&').filter(is_kept).collect::<Vec<_>>().join("&"))
}

/// The text of a key. `site` is scheme and host, so that no host can be given another's object, and no part
/// may hold a line end, which keeps the parts apart. HEAD has the key of GET; other methods have none.
pub fn primary(property: &str, site: &str, path: &str, query: &str) -> String {
    debug_assert!(!property.contains('\n') && !site.contains('\n') && !path.contains('\n'));
    let mut key = String::with_capacity(property.len() + site.len() + path.len() + query.len() + 3);
    for (text, separator) in
        [(property, "\n"), (site, "\n"), (path, if query.is_empty() { "" } else { "?" }), (query, "")]
    {
        key.push_str(text);
        key.push_str(separator);
    }
    key
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn excluding(names: &[&str]) -> Vec<Excluded> {
        names.iter().map(|name| Excluded::parse(name)).collect()
    }

    #[test]
    fn what_players_report_is_no_part_of_the_key() {
        assert_eq!(query("a=1&CMCD=bl%3D2&b", &[]), "a=1&b");
        assert_eq!(query("CMCD=x", &[]), "");
        assert_eq!(query("cmcd=x&CMCDx=1", &[]), "cmcd=x&CMCDx=1");
    }

    #[test]
    fn what_the_property_excludes_is_no_part_of_the_key() {
        let excluded = excluding(&["utm_*", "session"]);
        assert_eq!(query("utm_source=a&b=2&session&sessions=1&utm_", &excluded), "b=2&sessions=1");
    }

    #[test]
    fn ll_hls_directives_are_part_of_the_key() {
        assert_eq!(query("_HLS_msn=7&_HLS_part=1", &excluding(&["x"])), "_HLS_msn=7&_HLS_part=1");
    }

    #[test]
    fn other_queries_sites_and_properties_are_other_keys() {
        let keys = [
            primary("p", "https://a", "/x", ""),
            primary("p", "https://a", "/x", "y"),
            primary("p", "https://b", "/x", ""),
            primary("p", "http://a", "/x", ""),
            primary("q", "https://a", "/x", ""),
        ];
        assert!((1..keys.len()).all(|index| !keys[..index].contains(&keys[index])));
        assert_eq!(keys[1], "p\nhttps://a\n/x?y");
    }

    proptest! {
        #[test]
        fn what_is_kept_keeps_its_bytes(text in "[a-c=&%*]{0,30}") {
            let excluded = excluding(&["a", "b*"]);
            let kept = query(&text, &excluded);
            let was_there = |pair| text.split('&').any(|before| before == pair);
            prop_assert!(kept.is_empty() || kept.split('&').all(was_there));
            prop_assert_eq!(query(&kept, &excluded), kept.clone());
            prop_assert!(matches!(query(&text, &[]), Cow::Borrowed(_)));
        }
    }
}

//! Reading and removing query parameters without touching the bytes of the others.

use std::borrow::Cow;

/// The values of the parameter `name`, still escaped. Names are exact: case-sensitive, not decoded, separated by `&` alone.
pub fn values<'q, 'n>(query: &'q str, name: &'n str) -> impl Iterator<Item = &'q str> + use<'q, 'n> {
    query.split('&').filter_map(move |parameter| {
        let (found, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        (found == name).then_some(value)
    })
}

/// The parameters called `names` alone, as they stand in the query.
pub fn only(query: &str, names: &[impl AsRef<str>]) -> String {
    let is_named = |parameter: &&str| {
        let name = parameter.split_once('=').map_or(*parameter, |(name, _)| name);
        names.iter().any(|known| known.as_ref() == name)
    };
    query.split('&').filter(is_named).collect::<Vec<_>>().join("&")
}

/// The query without the parameters called `names`. All others keep their bytes and their order; what is left of a removed
/// parameter is not even its `&`. Borrowed when one run of parameters remains.
pub fn without<'a>(query: &'a str, names: &[impl AsRef<str>]) -> Cow<'a, str> {
    if query.is_empty() {
        return Cow::Borrowed(query);
    }
    let is_kept = |parameter: &str| {
        let name = parameter.split_once('=').map_or(parameter, |(name, _)| name);
        !names.iter().any(|known| known.as_ref() == name)
    };
    let mut run: Option<(usize, usize)> = None;
    let mut joined: Option<String> = None;
    let mut start = 0;
    for parameter in query.split('&') {
        let end = start + parameter.len();
        if is_kept(parameter) {
            match (&mut joined, run) {
                (Some(text), _) => {
                    text.push('&');
                    text.push_str(parameter);
                }
                (None, None) => run = Some((start, end)),
                (None, Some((first, last))) if last + 1 == start => run = Some((first, end)),
                (None, Some((first, last))) => joined = Some(format!("{}&{parameter}", &query[first..last])),
            }
        }
        start = end + 1;
    }
    match (joined, run) {
        (Some(text), _) => Cow::Owned(text),
        (None, Some((first, last))) => Cow::Borrowed(&query[first..last]),
        (None, None) => Cow::Borrowed(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_is_exact() {
        let query = "%68dnts=1&xhdnts=2&a;hdnts=3&Hdnts=4&hdntsx=5&hdnts[]=6&a=%26hdnts=7";
        assert_eq!(values(query, "hdnts").count(), 0);
        assert_eq!(without(query, &["hdnts"]), query);
        assert_eq!(values("a&hdnts=x=y&hdnts&hdnts=", "hdnts").collect::<Vec<_>>(), ["x=y", "", ""]);
    }

    #[test]
    fn nothing_dangles_when_a_parameter_goes() {
        for (query, left) in [
            ("hdnts=1", ""),
            ("hdnts=1&a=1", "a=1"),
            ("a=1&hdnts=1", "a=1"),
            ("a=1&hdnts=1&b=%2F+;", "a=1&b=%2F+;"),
            ("hdnts=1&hdntl=2", ""),
            ("a&hdntl=2&&b=&hdnts=1&c", "a&&b=&c"),
            ("", ""),
        ] {
            assert_eq!(without(query, &["hdnts", "hdntl"]), left, "{query}");
        }
    }

    #[test]
    fn one_remaining_run_is_borrowed() {
        assert!(matches!(without("a=1&b=2&hdnts=1", &["hdnts"]), Cow::Borrowed("a=1&b=2")));
        assert!(matches!(without("hdnts=1&a=1&b=2", &["hdnts"]), Cow::Borrowed("a=1&b=2")));
    }

    proptest! {
        #[test]
        fn removing_equals_filtering(parameters in proptest::collection::vec("(hdnts|hdntl|a|b|hdnts2)?(=[a-z%=]{0,3})?", 0..8)) {
            let query = parameters.join("&");
            let naive = query
                .split('&')
                .filter(|parameter| !["hdnts", "hdntl"].contains(&parameter.split('=').next().unwrap_or_default()))
                .collect::<Vec<_>>()
                .join("&");
            let left = without(&query, &["hdnts", "hdntl"]);
            prop_assert_eq!(left.as_ref(), naive.as_str());
            prop_assert_eq!(values(&left, "hdnts").count(), 0);
        }

        #[test]
        fn a_query_without_the_name_stays_whole(query in any::<String>()) {
            prop_assume!(!query.contains("hdnts"));
            let left = without(&query, &["hdnts"]);
            prop_assert_eq!(left.as_ref(), query.as_str());
        }
    }
}

use http::header::HeaderName;
use http::{HeaderValue, Method};

use crate::domain::network::{self, Networks};
use crate::domain::token::acl;
use crate::domain::token::reason::Reason;

use super::condition::{HostName, Value};
use super::location::{Asked, LocationError};
use super::token::TokenResults;
use super::*;

struct Request {
    path: &'static str,
    host: &'static str,
    method: Method,
    headers: HeaderMap,
    client: &'static str,
    country: Option<&'static str>,
    asn: Option<u32>,
    token: TokenResult,
}

impl Request {
    fn new(path: &'static str) -> Self {
        Self {
            path,
            host: "edge.example",
            method: Method::GET,
            headers: HeaderMap::new(),
            client: "203.0.113.7",
            country: None,
            asn: None,
            token: TokenResult::Failed(Reason::NoToken),
        }
    }

    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.append(name, HeaderValue::from_static(value));
        self
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            path: self.path,
            host: self.host,
            method: &self.method,
            headers: &self.headers,
            client: self.client.parse().expect("an address"),
            whereabouts: Whereabouts { country: self.country.and_then(Country::parse), asn: self.asn },
            token: self.token,
        }
    }

    fn meets(&self, condition: &Condition) -> bool {
        condition.holds(&self.facts())
    }
}

fn rule(name: &str, when: Vec<Condition>, verdict: Verdict) -> Rule {
    Rule { name: name.into(), when, unless: Vec::new(), verdict }
}

fn path(patterns: &str) -> Condition {
    Condition::Path(acl::normalise(patterns).into_owned())
}

fn results(words: &[&str]) -> Condition {
    let mut set = TokenResults::default();
    for word in words {
        assert!(set.add(word), "{word}");
    }
    Condition::Token(set)
}

fn held(rules: &Rules, request: &Request) -> Vec<String> {
    let hits = rules.decide(&request.facts());
    hits.iter().map(|index| rules.iter().nth(index).expect("a rule").name.to_string()).collect()
}

#[test]
fn the_first_rule_that_holds_decides_and_no_later_one_is_looked_at() {
    let rules = Rules::new(vec![
        rule("keys", vec![path("*.key")], Verdict::Deny(StatusCode::FORBIDDEN)),
        rule("open", vec![path("/open/*")], Verdict::Allow),
        rule("all", vec![], Verdict::RequireToken),
    ]);
    assert_eq!(held(&rules, &Request::new("/open/a.key")), ["keys"]);
    assert_eq!(held(&rules, &Request::new("/open/a.ts")), ["open"]);
    assert_eq!(held(&rules, &Request::new("/a.ts")), ["all"]);
}

#[test]
fn a_rule_that_continues_adds_to_what_a_later_one_decides() {
    let rules = Rules::new(vec![
        rule("a", vec![path("/v/*")], Verdict::Continue),
        rule("b", vec![path("*.ts")], Verdict::Continue),
        rule("c", vec![path("/v/open/*")], Verdict::Allow),
        rule("d", vec![], Verdict::Continue),
    ]);
    assert_eq!(held(&rules, &Request::new("/v/open/a.ts")), ["a", "b", "c"]);
    let hits = rules.decide(&Request::new("/v/a.ts").facts());
    assert_eq!(hits.iter().collect::<Vec<_>>(), [0, 1, 3]);
    assert!(rules.decider(&hits).is_none(), "nobody decided");
}

#[test]
fn a_property_without_rules_decides_nothing() {
    let rules = Rules::default();
    assert!(rules.decide(&Request::new("/").facts()).is_empty());
    assert!(!rules.asks_for_token() && !rules.asks_for_whereabouts());
}

#[test]
fn a_path_is_matched_from_end_to_end_in_its_normal_form() {
    for (pattern, path_text, fits) in [
        ("/v/*", "/v/a/b.ts", true),
        ("/v/*", "/V/a", false),
        ("/v/*", "/vv/a", false),
        ("/v", "/v/a", false),
        ("/a?c", "/abc", true),
        ("/a%2fb", "/a/b", true),
        ("/a/*!/b/*", "/b/x", true),
        ("/a b", "/a%20b", true),
        ("/%7euser", "/~user", true),
        ("/[a-z]*", "/abc", false),
    ] {
        assert_eq!(Request::new(path_text).meets(&path(pattern)), fits, "{pattern} {path_text}");
    }
}

#[test]
fn an_extension_is_what_follows_the_last_dot_of_the_last_segment() {
    let condition = Condition::Extension(vec!["ts".to_owned(), "m4s".to_owned()]);
    for (path, fits) in
        [("/a.ts", true), ("/a.TS", true), ("/a.ts/b", false), ("/a.ts.key", false), ("/ts", false)]
    {
        assert_eq!(Request::new(path).meets(&condition), fits, "{path}");
    }
}

#[test]
fn a_host_is_a_name_or_all_below_one() {
    for (name, host, fits) in [
        ("edge.example", "EDGE.example", true),
        ("edge.example", "edge.example.", true),
        ("*.example", "edge.example", true),
        ("*.example", "example", false),
        ("*.example", "badexample", false),
        ("edge.example", "edge.example.evil", false),
    ] {
        let condition = Condition::Host(vec![HostName::parse(name).expect("a name")]);
        let request = Request { host, ..Request::new("/") };
        assert_eq!(request.meets(&condition), fits, "{name} {host}");
    }
    for text in ["", "*", "*x", "a b", "a:80", "*.", "[::g]", "a/b"] {
        assert_eq!(HostName::parse(text), None, "{text}");
    }
}

#[test]
fn a_header_is_present_absent_equal_or_like_a_pattern_in_any_of_its_values() {
    let name = HeaderName::from_static("x-device");
    let of = |value| Condition::Header(name.clone(), value);
    let request = Request::new("/").with("x-device", "tv").with("x-device", "phone-7");
    assert!(request.meets(&of(Value::Present)) && !request.meets(&of(Value::Absent)));
    assert!(request.meets(&of(Value::Equals(HeaderValue::from_static("tv")))));
    assert!(!request.meets(&of(Value::Equals(HeaderValue::from_static("TV")))));
    assert!(request.meets(&of(Value::Matches("phone-?".to_owned()))));
    assert!(!request.meets(&of(Value::Matches("phone".to_owned()))));
    assert!(Request::new("/").meets(&of(Value::Absent)));
}

#[test]
fn clients_countries_networks_methods_and_tokens_are_asked_for() {
    let networks = Networks::new(network::network("203.0.113.0/24"));
    let mut request = Request { country: Some("DE"), asn: Some(64500), ..Request::new("/") };
    request.token = TokenResult::Failed(Reason::Expired);
    for (condition, fits) in [
        (Condition::Client(networks, String::new()), true),
        (Condition::Country(vec![Country::parse("de"), Country::parse("at")]), true),
        (Condition::Country(vec![None]), false),
        (Condition::Asn(vec![Some(64500)]), true),
        (Condition::Asn(vec![None]), false),
        (Condition::Method(vec![Method::HEAD]), false),
        (results(&["expired"]), true),
        (results(&["invalid"]), true),
        (results(&["valid", "none"]), false),
    ] {
        assert_eq!(request.meets(&condition), fits, "{condition}");
    }
    let rules = Rules::new(vec![rule("r", vec![results(&["expired"])], Verdict::Allow)]);
    assert!(rules.asks_for_token() && !rules.asks_for_whereabouts());
    assert!(Request::new("/").meets(&Condition::Country(vec![None])), "what is not known can be named");
}

#[test]
fn a_rule_does_not_hold_where_its_exception_does() {
    let mut with = rule("r", vec![path("/v/*")], Verdict::Deny(StatusCode::FORBIDDEN));
    with.unless = vec![Condition::Country(vec![Country::parse("DE")]), path("*.ts")];
    let rules = Rules::new(vec![with]);
    let at = |path, country| Request { country, ..Request::new(path) };
    assert_eq!(held(&rules, &at("/v/a.ts", Some("DE"))), Vec::<String>::new());
    assert_eq!(held(&rules, &at("/v/a.key", Some("DE"))), ["r"], "all of the exception has to hold");
    assert_eq!(held(&rules, &at("/v/a.ts", None)), ["r"]);
}

fn rendered(template: &str, request: &Request, query: &str) -> Option<String> {
    let location = Location::parse(template).expect("a location");
    let value = location.render(&request.facts(), Asked { site: "https://edge.example:8443", query })?;
    Some(value.to_str().expect("text").to_owned())
}

#[test]
fn a_location_is_made_of_pieces_that_cannot_change_its_host() {
    let request = Request { country: Some("DE"), ..Request::new("/v/a.m3u8") };
    for (template, query, location) in [
        ("https://other.example{path}{query}", "a=1", "https://other.example/v/a.m3u8?a=1"),
        ("https://other.example{path}{query}", "", "https://other.example/v/a.m3u8"),
        ("https://{host}:444{path}", "", "https://edge.example:444/v/a.m3u8"),
        ("/blocked/{country}/{token}", "", "/blocked/DE/no_token"),
        (
            "https://login.example/?back={url}",
            "a=1&b=%2F",
            "https://login.example/?back=https%3a%2f%2fedge.example%3a8443%2fv%2fa.m3u8%3fa%3d1%26b%3d%252F",
        ),
    ] {
        assert_eq!(rendered(template, &request, query).as_deref(), Some(location), "{template}");
    }
    let odd = Request::new("//evil.example/x");
    assert_eq!(rendered("{path}", &odd, "").as_deref(), Some("/evil.example/x"), "no other host");
    let odd = Request { host: "evil.example/", ..Request::new("/") };
    assert_eq!(rendered("https://{host}/x", &odd, ""), None, "a host that ends early");
}

#[test]
fn a_location_that_could_mean_something_else_is_refused() {
    for (template, error) in [
        ("", LocationError::NoBeginning),
        ("//evil.example/", LocationError::NoBeginning),
        ("evil.example/x", LocationError::NoBeginning),
        ("javascript:alert(1)", LocationError::NoBeginning),
        ("https://", LocationError::NoBeginning),
        ("https://user@evil.example/", LocationError::NoBeginning),
        ("https://{host}.evil.example/", LocationError::NoBeginning),
        ("{query}", LocationError::NoBeginning),
        ("https://a.example/{host}", LocationError::MisplacedHost),
        ("https://x{host}/", LocationError::MisplacedHost),
        ("https://{country}.example/", LocationError::PieceInHost),
        ("/a\r\nSet-Cookie: x", LocationError::Byte('\r')),
        ("/a b", LocationError::Byte(' ')),
        ("/{cookie}", LocationError::UnknownPiece("cookie".to_owned())),
        ("/{path", LocationError::OpenBrace),
        ("/path}", LocationError::OpenBrace),
    ] {
        assert_eq!(Location::parse(template), Err(error), "{template:?}");
    }
}

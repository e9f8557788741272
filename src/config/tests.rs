use super::*;

const PROPERTY: &str =
    "[[property]]\nname = \"p\"\nhosts = [\"a.example\"]\norigin = { urls = [\"http://127.0.0.1:1\"] }\n";
const KEY: &str = "access = { key = { hex = \"abcd\" } }\n";

fn judged(text: &str) -> Result<Config, Vec<String>> {
    parse(text, "t.toml", Path::new("/nonexistent"), &Metrics::new(), Duration::ZERO)
        .map_err(|faults| faults.lines())
}

fn fault(text: &str) -> String {
    judged(text).expect_err("a fault").join("\n")
}

#[test]
fn a_short_configuration_is_enough() {
    let config = judged(&format!("{PROPERTY}{KEY}")).expect("it is good");
    assert!(config.properties.select("a.example", None).is_some());
    assert_eq!(config.warnings.len(), 1, "a key in the file is warned of");
    assert!(!format!("{config:?}").contains("abcd"), "no key is ever printed");
}

#[test]
fn an_unknown_key_is_pointed_at_with_what_would_be_right() {
    let line = fault(&format!("[server]\nhttps_ = []\n{PROPERTY}{KEY}"));
    assert!(
        line.starts_with("t.toml:2:1: unknown field `https_`") && line.ends_with("did you mean `https`?"),
        "{line}"
    );
}

#[test]
fn a_property_without_a_key_is_refused_with_the_cure() {
    let line = fault(&format!("{PROPERTY}access = {{}}\n"));
    assert!(
        line.contains("t.toml:5:10: the property \"p\" has no key") && line.contains("openssl rand"),
        "{line}"
    );
    let line = fault(PROPERTY);
    assert!(line.contains("has no [property.access]") && line.contains("action = \"open\""), "{line}");
}

#[test]
fn a_key_that_is_no_key_is_refused_and_not_shown() {
    for (key, problem) in
        [("abc", "odd number"), ("zz11", "no hex digit"), ("", "is empty"), ("0x", "is empty")]
    {
        let line = fault(&format!("{PROPERTY}access = {{ key = {{ hex = \"{key}\" }} }}\n"));
        assert!(line.contains("t.toml:5:") && line.contains(problem), "{key}: {line}");
        assert!(key.is_empty() || key == "0x" || !line.contains(key), "{line}");
    }
    let line = fault(&format!("{PROPERTY}access = {{ key = {{ env = \"SLUICEGATE_TEST_UNSET\" }} }}\n"));
    assert!(line.contains("SLUICEGATE_TEST_UNSET is not set"), "{line}");
}

#[test]
fn one_host_has_one_property() {
    let second = PROPERTY.replace("\"p\"", "\"q\"");
    let line = fault(&format!("{PROPERTY}{KEY}{second}{KEY}"));
    assert!(
        line.contains("t.toml:8:")
            && line.contains("\"a.example\" stands in two properties, \"p\" and \"q\""),
        "{line}"
    );
}

#[test]
fn a_missing_certificate_is_refused_with_the_cure() {
    let certificate = "[[tls.certificate]]\ncert = \"no.pem\"\nkey = \"no.key\"\n";
    let line = fault(&format!("server.https = [\"127.0.0.1:0\"]\n{certificate}{PROPERTY}{KEY}"));
    assert!(
        line.starts_with("t.toml:3:8: ") && line.contains("no.pem") && line.contains("sluicegate cert"),
        "{line}"
    );
    let line = fault(&format!("[server]\nhttps = [\"127.0.0.1:0\"]\n{PROPERTY}{KEY}"));
    assert!(line.contains("there is no certificate"), "{line}");
    let config = judged(&format!("{certificate}{PROPERTY}{KEY}")).expect("nothing uses it");
    assert!(config.warnings.iter().any(|warning| warning.contains("no.pem")), "{:?}", config.warnings);
}

#[test]
fn values_of_the_wrong_kind_say_what_was_expected() {
    for (text, expected) in [
        ("[server.limits]\nuri = 8192\n", "a size with its unit"),
        ("[server.limits]\nuri = \"8192\"\n", "has no unit"),
        ("[server]\ndrain_timeout = \"30\"\n", "is not a duration"),
        ("[log]\nformat = \"xml\"\n", "unknown variant `xml`"),
        ("[server]\nhttp = [\"localhost\"]\n", "invalid socket address"),
        ("[server]\ntrusted_proxies = [\"10.0.0.0/99\"]\n", "neither an address nor a network"),
    ] {
        let line = fault(&format!("{text}{PROPERTY}{KEY}"));
        assert!(line.contains(expected) && line.starts_with("t.toml:2:"), "{text}: {line}");
    }
}

#[test]
fn an_admin_listener_beyond_loopback_needs_a_token() {
    let line = fault(&format!("[admin]\nlisten = \"0.0.0.0:9090\"\n{PROPERTY}{KEY}"));
    assert!(line.contains("listens beyond loopback and has no token"), "{line}");
}

#[test]
fn all_faults_are_told_at_once() {
    let text = PROPERTY.replace("http://127.0.0.1:1", "ftp://x").replace("a.example", "a b");
    let lines = judged(&format!("{text}access = {{ key = {{ hex = \"abc\" }}, algorithm = \"sha512\" }}\n"))
        .expect_err("faults");
    assert!(lines.len() >= 3, "{lines:?}");
}

#[test]
fn a_cookie_that_browsers_drop_is_refused() {
    let line = fault(&format!("{PROPERTY}{KEY}session = {{ cookie = {{ secure = false }} }}\n"));
    assert!(line.contains("needs secure = true"), "{line}");
}

/// The reference with what differs on a machine without its environment.
fn reference() -> String {
    include_str!("../../config.toml").replace("{ env = \"SLUICEGATE_KEY\" }", "{ hex = \"abcd\" }")
}

#[test]
fn the_reference_configuration_loads_with_its_defaults() {
    let admin = "[admin]\nlisten = \"127.0.0.1:9090\"\ntoken = { env = \"SLUICEGATE_ADMIN_TOKEN\" }\n";
    let property = PROPERTY
        .replace("\"p\"", "\"example\"")
        .replace("\"a.example\"", "\"localhost\", \"127.0.0.1\"")
        .replace(":1\"", ":9000\"");
    let shown = |text: &str| {
        without_places(&format!("{:#?}", toml::from_str::<file::File>(text).expect("it is good")))
    };
    let (stated, default) = (shown(&reference()), shown(&format!("{admin}{property}{KEY}")));
    for (stated, default) in stated.lines().zip(default.lines()) {
        assert_eq!(stated, default, "the reference states another default");
    }
    assert_eq!(stated.lines().count(), default.lines().count());
    assert!(judged(&reference()).is_ok());
}

#[test]
fn the_reference_configuration_names_every_key() {
    let text = include_str!("../../config.toml");
    let typed = format!("{:#?}", toml::from_str::<file::File>(&reference()).expect("the reference is good"));
    for line in typed.lines() {
        let Some((key, _)) = line.trim().split_once(": ") else { continue };
        let is_key =
            key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        let is_plumbing = ["start", "end", "value", "span"].contains(&key);
        let stands = text.lines().any(|line| {
            let line = line.trim_start_matches(['#', ' ']);
            line.starts_with(&format!("{key} ")) || line.starts_with(&format!("{key}="))
        });
        let is_table = text.contains(&format!("[{key}]"))
            || text.contains(&format!(".{key}]"))
            || text.contains(&format!("[{key}."));
        assert!(!is_key || is_plumbing || stands || is_table, "config.toml does not name `{key}`");
    }
}

/// A debug text without the byte offsets of `Spanned`.
fn without_places(text: &str) -> String {
    let mut kept = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("span: ") {
            continue;
        }
        kept.push_str(line);
        kept.push('\n');
    }
    kept
}

#[test]
fn a_token_is_no_cookie_for_the_origin() {
    for name in ["hdnts", "hdntl"] {
        let origin = format!("origin = {{ cookies = [\"lang\", \"{name}\"],");
        let line = fault(&format!("{PROPERTY}{KEY}").replace("origin = {", &origin));
        assert!(
            line.contains(&format!("cookies lists \"{name}\"")) && line.contains("take it out"),
            "{line}"
        );
    }
}

#[test]
fn a_session_id_has_the_bound_of_what_sessions_carry() {
    for number in ["0", "65", "1000"] {
        let access = format!("access = {{ key = {{ hex = \"abcd\" }}, session_id_max = {number} }}\n");
        let line = fault(&format!("{PROPERTY}{access}"));
        assert!(line.contains(&format!("session_id_max = {number} cannot be kept")), "{line}");
    }
}

use super::*;
use crate::store::disk::Settings;

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
        ("[server]\ndrain_timeout = \"500000000000y\"\n", "is longer than a hundred years"),
        ("[log]\nformat = \"xml\"\n", "unknown variant `xml`"),
        ("[server]\nhttp = [\"localhost\"]\n", "invalid socket address"),
        ("[server]\nproxy_protocol = [\"127.0.0.1:8080\"]\n", "nobody is trusted to announce clients"),
        (
            "[server]\nproxy_protocol = [\"127.0.0.1:1\"]\nproxy_protocol_from = [\"::1\"]\n",
            "nothing listens on",
        ),
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

#[test]
fn the_reference_states_every_key_of_a_disk_with_its_default() {
    let text = include_str!("../../config.toml");
    let begin = text.find("# [cache.disk]").expect("the section");
    let section = text[begin..].split("\n\n").next().expect("its end");
    let stated: String =
        section.lines().map(|line| line.trim_start_matches("# ").to_owned() + "\n").collect();
    let disk = |section: &str| {
        let config = judged(&format!("{section}{PROPERTY}{KEY}")).expect("it is good");
        config.disk.expect("a disk")
    };
    let stated = disk(&stated);
    let short = "[cache.disk]\nfolder = \"/var/cache/sluicegate\"\nmax = \"20GiB\"\n";
    assert_eq!(stated, disk(short));
    let Settings { object_bytes_max, .. } = stated.settings;
    assert_eq!(object_bytes_max, 64 << 20);
    assert_eq!(section.lines().count(), 11, "one line for each key");
}

#[test]
fn a_disk_without_a_folder_or_room_is_refused() {
    for (keys, told) in [
        ("max = \"1GiB\"", "folder"),
        ("folder = \"\"\nmax = \"1GiB\"", "folder is empty"),
        ("folder = \"d\"", "max"),
        ("folder = \"d\"\nmax = \"0B\"", "max is zero"),
        ("folder = \"d\"\nmax = \"1GiB\"\nadmission = \"never\"", "second-hit"),
    ] {
        let line = fault(&format!("[cache.disk]\n{keys}\n{PROPERTY}{KEY}"));
        assert!(line.contains(told), "{line}");
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

fn with_origin(origin: &str) -> String {
    format!("[[property]]\nname = \"p\"\nhosts = [\"a.example\"]\norigin = {{ {origin} }}\n{KEY}")
}

#[test]
fn an_origin_may_have_weighed_servers_beside_or_instead_of_urls() {
    for origin in [
        "urls = [\"http://a:1\", \"https://b/prefix\"]",
        "servers = [{ url = \"http://a:1\", weight = 3 }, { url = \"http://b:1\", backup = true }]",
        "urls = [\"http://a:1\"], servers = [{ url = \"http://b:1\" }]",
    ] {
        assert!(judged(&with_origin(origin)).is_ok(), "{origin}");
    }
    let config = judged(&with_origin("servers = [{ url = \"http://b:1\" }]")).expect("it is good");
    assert!(config.summary[0].contains("http://b:1"), "{:?}", config.summary);
}

#[test]
fn an_origin_that_cannot_work_is_pointed_at() {
    const URL: &str = "urls = [\"http://a:1\"], ";
    for (origin, problem) in [
        ("balance = \"round_robin\"", "urls is empty"),
        ("servers = [{ url = \"http://a:1\", weight = 0 }]", "weight = 0 is no share"),
        ("servers = [{ url = \"a\" }]", "the origin \"a\" has no scheme"),
        ("urls = [\"lab:\"], servers = [{ url = \"http://a:1\" }]", "stands beside other origins"),
        (&format!("{URL}host = \"a b\""), "is no host"),
        (&format!("{URL}http2 = \"on\""), "unknown variant `on`"),
        (&format!("{URL}http2_connections = 0"), "is no number of connections"),
        (&format!("{URL}retry_percent = 200"), "more than one retry"),
        (&format!("{URL}retry_statuses = [99]"), "99 is no status"),
        (&format!("{URL}health = {{ path = \"healthz\" }}"), "is no path"),
        (&format!("{URL}health = {{ statuses = [] }}"), "no server could ever be healthy"),
        (&format!("{URL}health = {{ interval = \"0s\" }}"), "longer than nothing"),
        (&format!("{URL}redirect_hosts = [\"http://x\"]"), "is no host"),
        (&format!("{URL}server_name = \"a b\""), "is no name"),
        (&format!("{URL}client_cert = \"a.pem\""), "go together"),
        (&format!("{URL}ca = \"no.pem\""), "cannot read"),
        (&format!("{URL}auth = {{ bearer = {{ text = \"a\\nb\" }} }}"), "no header field can have"),
        (&format!("{URL}auth = {{ bearer = {{ env = \"SLUICEGATE_TEST_UNSET\" }} }}"), "is not set"),
        (
            &format!("{URL}auth = {{ header = {{ name = \"a b\", value = {{ text = \"x\" }} }} }}"),
            "is no header name",
        ),
        (
            &format!("{URL}auth = {{ g2o = {{ version = 2, nonce = \"n\", key = {{ text = \"k\" }} }} }}"),
            "no G2O version 2",
        ),
        (
            &format!(
                "{URL}auth = {{ sigv4 = {{ access_key_id = {{ text = \"A\" }}, secret_access_key = {{ text = \"s\" }}, region = \"\" }} }}"
            ),
            "region is empty",
        ),
    ] {
        let line = fault(&with_origin(origin));
        assert!(line.contains(problem), "{origin}: {line}");
    }
}

#[test]
fn the_secrets_of_an_origin_are_not_printed() {
    for auth in [
        "{ bearer = { text = \"hunter22\" } }",
        "{ header = { name = \"X-Key\", value = { text = \"hunter22\" } } }",
        "{ sigv4 = { access_key_id = { text = \"A\" }, secret_access_key = { text = \"hunter22\" }, session_token = { text = \"hunter22\" }, region = \"r\" } }",
        "{ g2o = { version = 5, nonce = \"n\", key = { text = \"hunter22\" } } }",
    ] {
        let config =
            judged(&with_origin(&format!("urls = [\"http://a:1\"], auth = {auth}"))).expect("it is good");
        assert!(!format!("{config:?}").contains("hunter22"), "{auth}");
        assert!(config.warnings.iter().any(|warning| warning.contains("a secret for an origin")), "{auth}");
    }
}

fn with_rules(rules: &str) -> String {
    format!("{PROPERTY}{KEY}{rules}\n")
}

#[test]
fn a_rule_that_cannot_work_is_pointed_at() {
    for (rule, place, problem) in [
        ("name = \"r\"", "t.toml:6:9", "the rule \"r\" does nothing"),
        ("name = \"a b\", allow = true", "t.toml:6:18", "is no name for a rule"),
        ("name = \"r\", allow = false", "t.toml:6:31", "allow = false says nothing"),
        ("name = \"r\", allow = true, deny = 403", "t.toml:6:44", "a rule decides one thing"),
        ("name = \"r\", deny = 200", "t.toml:6:30", "deny = 200 is no status of a refusal"),
        ("name = \"r\", redirect = { to = \"//evil\" }", "t.toml:6:41", "neither absolute"),
        ("name = \"r\", redirect = { to = \"/{cookie}\" }", "t.toml:6:41", "\"{cookie}\" is no piece"),
        ("name = \"r\", redirect = { to = \"/x\", status = 200 }", "t.toml:6:", "200 is no redirect"),
        ("name = \"r\", require = \"cookie\"", "t.toml:6:", "unknown variant `cookie`"),
        ("name = \"r\", origin = \"nowhere\"", "t.toml:6:32", "no origin has the name \"nowhere\""),
        ("name = \"r\", deny = 403, origin = \"x\"", "t.toml:6:", "no origin is asked"),
        ("name = \"r\", when = { path = [\"vod/*\"] }, allow = true", "t.toml:6:40", "no path could match"),
        ("name = \"r\", when = { path = [] }, allow = true", "t.toml", "path = [] never holds"),
        ("name = \"r\", when = { extension = [\".ts\"] }, allow = true", "t.toml:6:", "is no extension"),
        ("name = \"r\", when = { host = [\"a:80\"] }, allow = true", "t.toml:6:", "without a port"),
        ("name = \"r\", when = { method = [\"get\"] }, allow = true", "t.toml:6:", "\"get\" is no method"),
        (
            "name = \"r\", when = { client = [\"10.0.0.0/99\"] }, allow = true",
            "t.toml:6:",
            "neither an address",
        ),
        ("name = \"r\", when = { asn = [\"AS1\"] }, allow = true", "t.toml:6:", "is no autonomous system"),
        (
            "name = \"r\", when = { token = [\"expird\"] }, deny = 410",
            "t.toml:6:41",
            "no result of a token check",
        ),
        ("name = \"r\", when = { header = [{ name = \"a\" }] }, deny = 410", "t.toml:6:", "one question"),
        (
            "name = \"r\", when = { header = [{ name = \"hdntl\", present = true }] }, deny = 410",
            "t.toml:6:",
            "carries a token",
        ),
        ("name = \"r\", when = { paths = [\"/\"] }, deny = 410", "t.toml:6:", "did you mean `path`?"),
        ("name = \"r\", unless = {}, deny = 410", "t.toml:6:", "unless names no condition"),
        (
            "name = \"r\", response = { set = { Connection = \"close\" } }",
            "t.toml:6:",
            "may not change the header connection",
        ),
        (
            "name = \"r\", response = { set = { Access-Control-Allow-Origin = \"*\" } }",
            "t.toml:6:",
            "[property.cors]",
        ),
        ("name = \"r\", response = { remove = [\"Set-Cookie\"] }", "t.toml:6:", "header set-cookie"),
        (
            "name = \"r\", response = { set = { X-A = \"a\\r\\nB: c\" } }",
            "t.toml:6:",
            "cannot have this value",
        ),
        (
            "name = \"r\", request = { set = { Sluicegate-Token = \"valid\" } }",
            "t.toml:6:",
            "header sluicegate-token",
        ),
        ("name = \"r\", request = { set = { Cookie = \"a=b\" } }", "t.toml:6:", "header cookie"),
        ("name = \"r\", request = { remove = [\"hdnts\"] }", "t.toml:6:", "header hdnts"),
        ("name = \"r\", request = { set = { \"a b\" = \"1\" } }", "t.toml:6:", "is no header name"),
    ] {
        let line = fault(&with_rules(&format!("rule = [{{ {rule} }}]")));
        assert!(line.contains(place) && line.contains(problem), "{rule}: {line}");
    }
}

#[test]
fn rules_of_one_property_are_told_apart_and_few_continue() {
    let line = fault(&with_rules("rule = [{ name = \"r\", allow = true }, { name = \"r\", deny = 403 }]"));
    assert!(line.contains("two rules have the name \"r\""), "{line}");
    let rules = |count: usize| {
        let one =
            |n| format!("{{ name = \"r{n}\", response = {{ remove = [\"server\"] }}, continue = true }}");
        with_rules(&format!("rule = [{}]", (0..count).map(one).collect::<Vec<_>>().join(", ")))
    };
    assert!(judged(&rules(15)).is_ok());
    assert!(fault(&rules(16)).contains("let at most 15 do so"));
}

#[test]
fn an_open_property_cannot_require_a_token() {
    let access = "access = { action = \"open\" }\nrule = [{ name = \"r\", require = \"token\" }]\n";
    assert!(fault(&format!("{PROPERTY}{access}")).contains("there is no key to verify with"));
}

#[test]
fn the_header_for_the_result_means_nothing_else() {
    for name in ["hdnts", "Cookie", "X-Forwarded-For", "Host", "a b", "Sluicegate-Debug"] {
        let access = format!("access = {{ key = {{ hex = \"abcd\" }}, result_header = \"{name}\" }}\n");
        let line = fault(&format!("{PROPERTY}{access}"));
        assert!(line.contains("another meaning") || line.contains("is no header name"), "{name}: {line}");
    }
    let access = "access = { key = { hex = \"abcd\" }, result_header = \"\" }\n";
    assert!(judged(&format!("{PROPERTY}{access}")).is_ok());
}

#[test]
fn a_named_origin_has_the_keys_of_the_first() {
    let origins = "origins = { archive = { urls = [\"ftp://x\"] } }\n";
    assert!(fault(&with_rules(origins)).contains("neither http nor https"));
    let origins = "origins = { archive = { urls = [\"http://x\"], cookies = [\"hdntl\"] } }\n";
    assert!(fault(&with_rules(origins)).contains("cookies lists \"hdntl\""));
}

#[test]
fn a_certificate_of_clients_that_nobody_could_show_is_a_fault() {
    let tls = |tls: &str| fault(&format!("{PROPERTY}{KEY}tls = {{ {tls} }}\n"));
    let line = tls("client_certificates = \"required\"");
    assert!(line.contains("trusts no authority") && line.contains("add client_ca"), "{line}");
    let line = tls("client_ca = [\"ca.pem\"]");
    assert!(line.contains("asks no client for a certificate"), "{line}");
    let line = tls("client_certificates = \"required\", client_ca = [\"none.pem\"]");
    assert!(line.contains("no https listener stands") && line.contains("none.pem"), "{line}");
}

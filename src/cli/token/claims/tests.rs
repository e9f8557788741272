//! JWTs and Common Access Tokens on the command line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use serde_json::Value;

use super::super::args::TokenArgs;
use super::super::{BadInput, Report, report};
use super::UnixTime;

const NOW: UnixTime = Duration::from_secs(1_700_000_000);
const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const URL: &str = "https://media.example/live/a.m3u8";

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    token: TokenArgs,
}

fn token(arguments: &[&str]) -> Result<Report, BadInput> {
    let all = ["token"].iter().chain(arguments);
    report(&Cli::try_parse_from(all).unwrap_or_else(|error| panic!("{error}")).token, NOW)
}

/// Mints for a minute, without the name.
fn minted(dialect: &str, arguments: &[&str]) -> String {
    let all = [&["mint", "--dialect", dialect, "-w", "60", "--value"], arguments].concat();
    token(&all).unwrap_or_else(|error| panic!("{arguments:?}: {error}")).out.trim_end().to_owned()
}

/// What is said of a token that was minted by `mint` and is presented for `url`.
fn judged(dialect: &str, mint: &[&str], url: &str, judge: &[&str]) -> String {
    let value = minted(dialect, &[&["-k", KEY], mint].concat());
    let all = [&["verify", &value, "--path", url, "-k", KEY, "--dialect", dialect], judge].concat();
    token(&all).unwrap_or_else(|error| panic!("{mint:?} {judge:?}: {error}")).out
}

fn assert_valid(said: &str, context: &str) {
    assert!(said.starts_with("valid access token, until Tue, 14 Nov 2023 22:14:20 GMT"), "{context}: {said}");
}

#[test]
fn a_package_opens_what_it_was_minted_for() {
    for mint in [
        &["-u", URL][..],
        &["--url-prefix", "https://media.example/live/"],
        &["--url-regex", r"https://media\.example/[^/]*/.*"],
        &["--claims", r#"{"cdniuc": "regex:https://.*"}"#],
    ] {
        assert_valid(&judged("jwt", mint, URL, &[]), &format!("{mint:?}"));
        let other = judged("jwt", mint, "http://media.example/live/a.m3u8", &[]);
        assert_eq!(other, "refused access token: url_mismatch\n", "{mint:?}");
    }
    let said = judged("jwt", &["--url-prefix", "https://media.example/l.ve/"], URL, &[]);
    assert_eq!(said, "refused access token: url_mismatch\n", "a dot in a prefix is a dot");
}

#[test]
fn a_package_is_found_wherever_it_may_stand() {
    let value = minted("jwt", &["-k", KEY, "-u", "https://h/live/a.m3u8"]);
    let name = "URISigningPackage";
    for url in [
        format!("https://h/live/a.m3u8?{name}={value}"),
        format!("https://h/live/a.m3u8;{name}={value}"),
        format!("https://h/{name}={value}/live/a.m3u8"),
    ] {
        let report = token(&["verify", &url, "-k", KEY, "--dialect", "jwt"]).unwrap();
        assert_valid(&report.out, &url);
        let shown = token(&["inspect", &url, "--dialect", "jwt"]).unwrap().out;
        assert!(
            shown.contains("\"alg\":\"HS256\"") && shown.contains("exp       1700000060  Tue"),
            "{shown}"
        );
    }
}

#[test]
fn issuer_audience_and_times_are_judged() {
    let from = ["-u", URL, "--issuer", "a", "--audience", "us", "--audience", "them"];
    assert_valid(
        &judged("jwt", &from, URL, &["--issuer", "b", "--issuer", "a", "--audience", "us"]),
        "named",
    );
    assert_eq!(judged("jwt", &from, URL, &["--audience", "us"]), "refused access token: bad_signature\n");
    assert_eq!(judged("jwt", &from, URL, &["--issuer", "a"]), "refused access token: acl_mismatch\n");
    let at = |now: &str| judged("jwt", &["-u", URL, "-s", "1700000010"], URL, &["--now", now]);
    assert_eq!(at("1700000009"), "refused access token: not_yet_valid\n");
    assert!(at("1700000010").starts_with("valid"));
    assert_eq!(at("1700000070"), "refused access token: expired\n");
}

#[test]
fn an_id_of_its_own_needs_somebody_who_counts() {
    for (dialect, mint) in [
        ("jwt", &["-u", URL, "--jti", "one"][..]),
        ("cat", &["-u", URL, "--cti", "0b71", "--catreplay", "1"]),
    ] {
        assert_eq!(judged(dialect, mint, URL, &[]), "refused access token: malformed\n");
        assert_valid(&judged(dialect, mint, URL, &["--one-time"]), dialect);
        let value = minted(dialect, &[&["-k", KEY], mint].concat());
        let told = token(&["explain", &value, "--path", URL, "-k", KEY, "--dialect", dialect]).unwrap();
        assert_eq!(told.code, 1);
        assert!(told.out.contains("set one_time in [property.limits]"), "{}", told.out);
    }
}

#[test]
fn plain_claims_have_the_names_that_are_given() {
    let mint =
        ["--profile", "plain", "--paths-claim", "acl", "-a", "/live/*", "-a", "/vod/*", "-i", "10.0.0.1"];
    let mint = [&mint[..], &["--address-claim", "addr", "-I", "anna", "--session-id-claim", "sid"]].concat();
    let judge = ["--profile", "plain", "--paths-claim", "acl", "--address-claim", "addr", "--client"];
    let from = |client: &'static str| [&judge[..], &[client]].concat();
    assert_valid(&judged("jwt", &mint, "/vod/b", &from("10.0.0.1")), "as minted");
    assert_eq!(judged("jwt", &mint, "/x", &from("10.0.0.1")), "refused access token: acl_mismatch\n");
    assert_eq!(judged("jwt", &mint, "/vod/b", &from("10.0.0.2")), "refused access token: ip_mismatch\n");
    let shown = token(&[
        "inspect",
        "--json",
        "--dialect",
        "jwt",
        &minted("jwt", &[&["-k", KEY], &mint[..]].concat()),
    ]);
    let shown: Value = serde_json::from_str(&shown.unwrap().out).unwrap();
    assert_eq!((&shown["claims"]["sid"], &shown["claims"]["acl"][1]), (&"anna".into(), &"/vod/*".into()));
}

#[test]
fn the_conditions_of_a_cat_are_those_of_the_flags() {
    let browser = ["--request-header", "user-agent=Player/2"];
    for (mint, judge, refused) in [
        (&["-u", URL][..], &[][..], None),
        (&["-u", "/live/a.m3u8"], &[], None),
        (&["-a", "/live/*"], &[], None),
        (&["-a", "/vod/*"], &[], Some("acl_mismatch")),
        (&["--url-prefix", "https://media.example/live/"], &[], None),
        (&["--url-prefix", "https://other.example/live/"], &[], Some("acl_mismatch")),
        (&["--catu", "extension=exact-match:.m3u8", "--catu", "path=regex-match:/l.*"], &[], None),
        (&["--catu", "port=exact-match:443"], &[], None),
        (&["--catu", "filename=suffix-match:.ts"], &[], Some("acl_mismatch")),
        (&["--catm", "GET, HEAD"], &["--method", "HEAD"], None),
        (&["--catm", "GET"], &["--method", "HEAD"], Some("method")),
        (&["--cath", "User-Agent=prefix-match:Player/"], &browser, None),
        (&["--cath", "User-Agent=prefix-match:Player/"], &[], Some("acl_mismatch")),
        (&["-i", "127.0.0.1"], &[], None),
        (&["--ip-ranges", "10.0.0.0/8,64500"], &[], Some("ip_mismatch")),
        (&["--ip-ranges", "10.0.0.0/8,64500"], &["--asn", "64500"], None),
        (&["--catgeoiso3166", "DE,AT"], &["--country", "at"], None),
        (&["--catgeoiso3166", "DE,AT"], &["--country", "FR"], Some("geo_blocked")),
        (&["--catgeoiso3166", "DE,AT"], &[], Some("geo_blocked")),
        (&["--claims", r#"{"catpor": [50]}"#], &[], Some("malformed")),
        (&["--claims", r#"{"catpor": [50]}"#], &["--ignore-claim", "catpor"], None),
        (&["--issuer", "a"], &["--issuer", "a"], None),
    ] {
        let said = judged("cat", mint, URL, judge);
        match refused {
            None => assert_valid(&said, &format!("{mint:?}")),
            Some(reason) => assert_eq!(said, format!("refused access token: {reason}\n"), "{mint:?}"),
        }
    }
    let shown =
        token(&["inspect", "--dialect", "cat", &minted("cat", &["-k", KEY, "-a", "/*", "--cti", "0b71"])]);
    let shown = shown.unwrap().out;
    assert!(shown.contains("COSE_Mac0") && shown.contains("cti       \"0b71\""), "{shown}");
}

#[test]
fn a_cat_has_its_names_in_query_and_header() {
    let all = ["mint", "--dialect", "cat", "-k", KEY, "-w", "60", "-a", "/*"];
    let query = token(&all).unwrap().out;
    assert!(query.starts_with("CAT="), "{query}");
    let header = token(&[&all[..], &["--header"]].concat()).unwrap().out;
    assert!(header.starts_with("CTA-Common-Access-Token: "), "{header}");
    for input in [format!("/a?{}", query.trim_end()), header] {
        let report = token(&["verify", &input, "--path", "/a", "-k", KEY, "--dialect", "cat"]).unwrap();
        assert_valid(&report.out, &input);
    }
}

fn written(folder: &Path, name: &str, text: &str) -> String {
    let path: PathBuf = folder.join(name);
    std::fs::write(&path, text).expect("written");
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// RFC 7515, appendix A.3.1.
const P256: &str = r#"{"kty":"EC","kid":"ec","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"PRIVATE}"#;
const P256_D: &str = r#","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI""#;
/// RFC 8037, appendix A.1.
const ED25519: &str =
    r#"{"kty":"OKP","kid":"ed","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"PRIVATE}"#;
const ED25519_D: &str = r#","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A""#;

#[test]
fn private_keys_of_jwk_files_sign_and_public_ones_verify() {
    let folder = tempfile::tempdir().unwrap();
    for (name, key, private) in [("ec", P256, P256_D), ("ed", ED25519, ED25519_D)] {
        let signs = written(folder.path(), &format!("{name}.json"), &key.replace("PRIVATE", private));
        let set =
            format!(r#"{{"keys":[{},{}]}}"#, P256.replace("PRIVATE", ""), ED25519.replace("PRIVATE", ""));
        let verifies = written(folder.path(), "set.json", &set);
        for (dialect, target) in [("jwt", ["-u", URL]), ("cat", ["-a", "/live/*"])] {
            let value = minted(dialect, &[&["--key-file", &signs], &target[..]].concat());
            for file in [&verifies, &signs] {
                let all = ["verify", &value, "--path", URL, "--dialect", dialect, "--key-file", file];
                assert_valid(&token(&all).unwrap().out, &format!("{name} {dialect}"));
            }
            let told =
                token(&["explain", &value, "--path", URL, "--dialect", dialect, "--key-file", &verifies]);
            assert!(told.unwrap().out.contains(&format!("with {name}\n")) || dialect == "jwt");
        }
        let line = token(&["mint", "--dialect", "jwt", "-w", "1", "-u", URL, "--key-file", &verifies]);
        assert!(line.expect_err("a public key signs nothing").to_string().contains("no key in it signs"));
    }
}

#[test]
fn keys_in_pem_sign_and_verify_by_each_algorithm() {
    let folder = tempfile::tempdir().unwrap();
    for (algorithms, kind) in [
        (&["ES256"][..], &rcgen::PKCS_ECDSA_P256_SHA256),
        (&["EdDSA", "eddsa"], &rcgen::PKCS_ED25519),
        (&["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"], &rcgen::PKCS_RSA_SHA256),
    ] {
        let pair = rcgen::KeyPair::generate_for(kind).expect("a pair of keys");
        let signs = written(folder.path(), "private.pem", &pair.serialize_pem());
        let verifies = written(folder.path(), "public.pem", &pair.public_key_pem());
        let mint = |more: &[&str]| minted("jwt", &[&["--key-file", &signs, "-u", URL], more].concat());
        for algorithm in algorithms {
            let value = mint(&["-A", algorithm]);
            for file in [&verifies, &signs] {
                let all = [
                    "verify",
                    &value,
                    "--path",
                    URL,
                    "--dialect",
                    "jwt",
                    "--key-file",
                    file,
                    "-A",
                    algorithm,
                ];
                assert_valid(&token(&all).unwrap().out, algorithm);
            }
        }
        let all = ["verify", &mint(&[]), "--path", URL, "--dialect", "jwt", "--key-file", &verifies];
        assert_valid(&token(&all).unwrap().out, "the usual algorithm of the key");
        let line =
            token(&["mint", "--dialect", "jwt", "-w", "1", "-u", URL, "--key-file", &signs, "-A", "HS256"]);
        assert!(line.expect_err("no secret").to_string().starts_with("algo: HS256 does not work"));
    }
}

#[test]
fn personal_claims_are_encrypted_or_agreed_on() {
    let folder = tempfile::tempdir().unwrap();
    let oct = r#"{"keys":[{"kty":"oct","kid":"s","k":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"},
        {"kty":"oct","kid":"e","alg":"A256GCM","use":"enc","k":"8AECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"}]}"#;
    let file = written(folder.path(), "oct.json", oct);
    let named = ["-u", URL, "-I", "anna", "-i", "203.0.113.7"];
    let value = minted("jwt", &[&["--key-file", &file], &named[..]].concat());
    let shown = token(&["inspect", "--dialect", "jwt", &value]).unwrap().out;
    assert!(!shown.contains("anna") && !shown.contains("203.0.113.7"), "{shown}");
    let from = |client| {
        let all =
            ["verify", &value, "--path", URL, "--dialect", "jwt", "--key-file", &file, "--client", client];
        token(&all).unwrap().out
    };
    assert_valid(&from("203.0.113.7"), "encrypted");
    assert_eq!(from("203.0.113.8"), "refused access token: ip_mismatch\n");
    let clear = [&named[..], &["--clear-personal-data"]].concat();
    let client = ["--client", "203.0.113.7"];
    assert_eq!(judged("jwt", &clear, URL, &client), "refused access token: malformed\n");
    assert_valid(&judged("jwt", &clear, URL, &[&client[..], &["--clear-personal-data"]].concat()), "clear");
    let line = token(&[&["mint", "--dialect", "jwt", "-w", "1", "-k", KEY], &named[..]].concat());
    assert!(line.expect_err("not agreed on").to_string().starts_with("session id: RFC 9246"));
}

#[test]
fn secrets_are_read_in_every_writing() {
    let hex = minted("jwt", &["-k", KEY, "-u", URL]);
    let base64 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    assert_eq!(hex, minted("jwt", &["-k", base64, "--key-encoding", "base64", "-u", URL]));
    let text = "a secret of thirty-two bytes, ok";
    let text = minted("jwt", &["-k", text, "--key-encoding", "text", "-u", URL]);
    assert_ne!(hex, text);
    for algorithm in ["HS384", "HS512"] {
        let long = KEY.repeat(2);
        let value = minted("jwt", &["-k", &long, "-A", algorithm, "-u", URL]);
        let judge = ["verify", &value, "--path", URL, "-k", &long, "--dialect", "jwt"];
        assert_valid(&token(&[&judge[..], &["-A", algorithm]].concat()).unwrap().out, algorithm);
        assert_eq!(token(&judge).unwrap().out, "refused access token: bad_signature\n", "{algorithm}");
    }
}

#[test]
fn bad_input_is_one_line_that_names_the_field() {
    let jwt = ["--dialect", "jwt", "-k", KEY, "-w", "60"];
    let cat = ["--dialect", "cat", "-k", KEY, "-w", "60"];
    for (dialect, arguments, field) in [
        (jwt, &[][..], "url"),
        (jwt, &["-u", "/live/a.m3u8"], "url"),
        (jwt, &["-u", URL, "--url-regex", ".*"], "url"),
        (jwt, &["--url-regex", "("], "url regex"),
        (jwt, &["-a", "/*"], "acl"),
        (jwt, &["-u", URL, "-p", "x"], "payload"),
        (jwt, &["-u", URL, "--catm", "GET"], "catm"),
        (jwt, &["-u", URL, "-A", "none"], "algo"),
        (jwt, &["-u", URL, "-A", "ES256"], "key"),
        (jwt, &["-u", URL, "-s", "1700000000", "-e", "1700000000"], "end time"),
        (jwt, &["-u", URL, "--claims", "[]"], "claims"),
        (jwt, &["-u", URL, "--issuer", "a", "--issuer", "b"], "issuer"),
        (jwt, &["-u", URL, "--key-file", "/nowhere/at/all"], "key file"),
        (jwt, &["--profile", "plain"], "acl"),
        (jwt, &["--profile", "plain", "-a", "/*", "-i", "10.0.0.1"], "ip"),
        (cat, &["--catu", "path"], "catu"),
        (cat, &["--catu", "part=exact-match:x"], "claims"),
        (cat, &["--catu", "path=looks-like:x"], "claims"),
        (cat, &["--cti", "xyz"], "claims"),
        (cat, &["--jti", "x"], "jti"),
        (cat, &["-a", "/a/*/b*"], "acl"),
        (cat, &["-a", "/a", "-A", "HS512"], "key"),
        (cat, &["--ip-ranges", "home"], "claims"),
        (cat, &["--catreplay", "often"], "catreplay"),
    ] {
        let all = [&["mint"], &dialect[..], arguments].concat();
        let line = token(&all).expect_err(&format!("{arguments:?}")).to_string();
        assert!(line.starts_with(&format!("{field}: ")) && !line.contains('\n'), "{arguments:?}: {line}");
        assert!(!line.contains(KEY), "{line}");
    }
    let short = token(&["mint", "--dialect", "jwt", "-w", "1", "-u", URL, "-k", "00ff"]).expect_err("short");
    assert!(short.to_string().starts_with("key: the secret has 2 bytes"), "{short}");
    let country = token(&["verify", "x", "--path", "/a", "--dialect", "cat", "-k", KEY, "--country", "Mars"]);
    assert!(country.expect_err("no country").to_string().starts_with("country: "));
    let session =
        token(&["verify", "/a?hdntl=x", "--dialect", "jwt", "--key-file", "/nowhere", "--property", "p"]);
    assert!(session.expect_err("no file").to_string().starts_with("key file: "));
}

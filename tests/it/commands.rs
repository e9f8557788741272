//! The program itself, as a process: what it prints, where, and with which exit code.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::KEY;

/// Runs `sluicegate` with these arguments in `folder`, and an environment of its own.
fn sluicegate(folder: &Path, environment: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluicegate"));
    command.args(arguments).current_dir(folder).env_clear().envs(environment.iter().copied());
    command.output().expect("it starts")
}

fn said(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

const EXAMPLE: &str = include_str!("../golden/config.example.toml");

#[test]
fn the_example_loads_as_it_is_with_the_key_in_the_environment() {
    let folder = folder();
    std::fs::write(folder.path().join("config.toml"), EXAMPLE).expect("written");
    let (code, out, err) = said(&sluicegate(folder.path(), &[("SLUICEGATE_KEY", KEY)], &["check"]));
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.starts_with("config.toml is good.\n") && out.contains("example: localhost"), "{out}");
    assert!(!out.contains(KEY), "a key is never printed");
}

#[test]
fn the_example_is_refused_without_its_key() {
    let folder = folder();
    std::fs::write(folder.path().join("config.toml"), EXAMPLE).expect("written");
    let (code, out, err) = said(&sluicegate(folder.path(), &[], &["check"]));
    assert_eq!((code, out.as_str()), (2, ""));
    let line = EXAMPLE.lines().position(|line| line.starts_with("key       =")).expect("the key") + 1;
    assert!(err.starts_with(&format!("config.toml:{line}:")), "{err}");
    assert!(err.contains("SLUICEGATE_KEY is not set") && err.contains("openssl rand"), "{err}");
}

#[test]
fn faults_are_told_with_place_and_cure_and_all_at_once() {
    let folder = folder();
    let text = EXAMPLE.replace("carrier  = \"path\"", "carier  = \"path\"");
    std::fs::write(folder.path().join("bad.toml"), text).expect("written");
    let environment = [("SLUICEGATE_KEY", KEY)];
    let (code, out, err) = said(&sluicegate(folder.path(), &environment, &["check", "-c", "bad.toml"]));
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.starts_with("bad.toml:") && err.contains("did you mean `carrier`?"), "{err}");

    let text = "[[property]]\nname = \"p\"\nhosts = [\"a b\"]\norigin = { urls = [\"ftp://x\"] }\n\
        access = { key = { hex = \"abc\" } }\n[[property]]\nname = \"q\"\nhosts = [\"a\"]\n\
        origin = { urls = [\"http://x\"] }\naccess = {}\n";
    std::fs::write(folder.path().join("worse.toml"), text).expect("written");
    let (code, _, err) = said(&sluicegate(folder.path(), &[], &["check", "-c", "worse.toml"]));
    assert_eq!(code, 2);
    for place in ["worse.toml:3:", "worse.toml:4:", "worse.toml:5:", "worse.toml:10:"] {
        assert!(err.lines().any(|line| line.starts_with(place)), "{place}\n{err}");
    }
}

#[test]
fn a_configuration_that_is_not_there_is_bad_input() {
    let folder = folder();
    for arguments in [["check"], ["serve"]] {
        let (code, out, err) = said(&sluicegate(folder.path(), &[], &arguments));
        assert_eq!((code, out.as_str()), (2, ""));
        assert!(err.contains("config.toml: cannot read it") && err.contains("--config"), "{err}");
    }
}

#[test]
fn serve_refuses_what_check_refuses() {
    let folder = folder();
    std::fs::write(folder.path().join("config.toml"), EXAMPLE).expect("written");
    let (code, out, err) = said(&sluicegate(folder.path(), &[("SLUICEGATE_KEY", "xyz")], &["serve"]));
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("key") && !err.contains("xyz"), "{err}");
}

#[test]
fn an_https_listener_needs_its_certificate_and_cert_makes_it() {
    let folder = folder();
    let text = EXAMPLE.replace("https = []", "https = [\"127.0.0.1:0\"]");
    std::fs::write(folder.path().join("config.toml"), text).expect("written");
    let environment = [("SLUICEGATE_KEY", KEY)];
    let (code, _, err) = said(&sluicegate(folder.path(), &environment, &["check"]));
    assert_eq!(code, 2);
    assert!(err.contains("certs/dev.pem") && err.contains("sluicegate cert"), "{err}");
    let (code, out, err) = said(&sluicegate(folder.path(), &environment, &["cert"]));
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("certs/ca.pem"), "{out}");
    assert_eq!(said(&sluicegate(folder.path(), &environment, &["check"])).0, 0);
    let (code, _, err) = said(&sluicegate(folder.path(), &environment, &["cert"]));
    assert_eq!(code, 2, "nothing is overwritten unasked");
    assert!(err.contains("--force"), "{err}");
    assert_eq!(said(&sluicegate(folder.path(), &environment, &["cert", "--force"])).0, 0);
}

/// The token of the SDKs' documentation: same key, same times, same bytes.
const MINT: [&str; 10] =
    ["token", "mint", "-s", "1700000000", "-w", "300", "-a", "/*", "--now", "1700000000"];

#[test]
fn mint_prints_the_token_and_nothing_else() {
    let folder = folder();
    let environment = [("SLUICEGATE_KEY", KEY)];
    let (code, out, err) = said(&sluicegate(folder.path(), &environment, &MINT));
    assert_eq!((code, err.as_str()), (0, ""));
    let pattern = "hdnts=st=1700000000~exp=1700000300~acl=/*~hmac=";
    assert!(out.starts_with(pattern) && out.ends_with('\n') && out.len() == pattern.len() + 65, "{out}");
    let header = said(&sluicegate(folder.path(), &environment, &[&MINT[..], &["--header"]].concat())).1;
    assert_eq!(header, out.replacen('=', ": ", 1));
    let value = said(&sluicegate(folder.path(), &environment, &[&MINT[..], &["--value"]].concat())).1;
    assert_eq!(value, out.replacen("hdnts=", "", 1));
    let named =
        said(&sluicegate(folder.path(), &environment, &[&MINT[..], &["--token_name", "t"]].concat())).1;
    assert!(named.starts_with("t=st="), "{named}");
}

#[test]
fn bad_input_to_mint_is_one_line_that_names_the_field() {
    let folder = folder();
    for (arguments, field) in [
        (vec!["token", "mint", "-a", "/*", "-w", "300"], "key:"),
        (vec!["token", "mint", "-k", "abc", "-a", "/*", "-w", "300"], "key:"),
        (vec!["token", "mint", "-k", KEY, "-a", "/*", "-w", "soon"], "window:"),
        (vec!["token", "mint", "-k", KEY, "-w", "300"], "acl:"),
        (vec!["token", "mint", "-k", KEY, "-a", "/*", "-u", "/x", "-w", "300"], "url:"),
        (vec!["token", "mint", "-k", KEY, "-a", "/*", "-w", "300", "-i", "nowhere"], "ip:"),
        (vec!["token", "mint", "-k", KEY, "-a", "/*", "-w", "300", "-A", "sha512"], "algo:"),
    ] {
        let (code, out, err) = said(&sluicegate(folder.path(), &[], &arguments));
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}");
        assert_eq!(err.lines().count(), 1, "{err}");
        assert!(err.starts_with(field) && !err.contains(KEY), "{err}");
    }
}

#[test]
fn verify_and_explain_say_yes_with_0_and_no_with_1() {
    let folder = folder();
    let environment = [("SLUICEGATE_KEY", KEY)];
    let token = said(&sluicegate(folder.path(), &environment, &MINT)).1;
    let url = format!("https://edge.example/live/m.m3u8?a=1&{}", token.trim());
    for command in ["verify", "explain"] {
        let judge = |now: &str, more: &[&str]| {
            let arguments = [&["token", command, url.as_str(), "--now", now], more].concat();
            said(&sluicegate(folder.path(), &environment, &arguments))
        };
        assert_eq!(judge("1700000100", &[]).0, 0, "{command}");
        let (code, out, _) = judge("1700000301", &[]);
        assert_eq!(code, 1);
        assert!(out.contains("expired"), "{out}");
        let (code, out, _) = judge("1700000301", &["--json"]);
        assert_eq!(code, 1);
        let json: serde_json::Value = serde_json::from_str(&out).expect("JSON and nothing else");
        assert!(json.is_object());
        assert_eq!(judge("1700000100", &["--key", "00ff"]).0, 1, "another key");
        assert_eq!(judge("1700000100", &["--key", "0"]).0, 2, "no key at all");
    }
    let alone =
        [&["token", "verify", token.trim(), "--path", "/live/x.ts", "--now", "1700000100"][..]].concat();
    assert_eq!(said(&sluicegate(folder.path(), &environment, &alone)).0, 0);
    let junk = ["token", "verify", "junk", "--path", "/x"];
    assert_eq!(said(&sluicegate(folder.path(), &environment, &junk)).0, 2);
}

#[test]
fn what_is_no_command_is_bad_input() {
    let folder = folder();
    for arguments in [&["nonsense"][..], &["serve", "--nonsense"], &[], &["token"]] {
        let (code, out, _) = said(&sluicegate(folder.path(), &[], arguments));
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}");
    }
    let (code, out, _) = said(&sluicegate(folder.path(), &[], &["--version"]));
    assert_eq!((code, out), (0, format!("sluicegate {}\n", env!("CARGO_PKG_VERSION"))));
}

/// A served process ends with 0 when it is asked to, and says nothing secret on the way.
#[cfg(unix)]
#[test]
fn serve_ends_cleanly_when_it_is_told_to() {
    use std::io::{BufRead, BufReader, Read};
    let folder = folder();
    let text = format!(
        "[server]\nhttp = [\"127.0.0.1:0\"]\n[log]\naccess = \"stdout\"\n[[property]]\nname = \"p\"\nhosts = [\"*\"]\n\
         origin = {{ urls = [\"http://127.0.0.1:1\"] }}\naccess = {{ key = {{ hex = \"{KEY}\" }} }}\n"
    );
    std::fs::write(folder.path().join("config.toml"), text).expect("written");
    let mut child = Command::new(env!("CARGO_BIN_EXE_sluicegate"))
        .arg("serve")
        .current_dir(folder.path())
        .env_clear()
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut told = BufReader::new(child.stderr.take().expect("its diagnostics"));
    let mut diagnostics = String::new();
    let address = loop {
        let mut line = String::new();
        assert!(told.read_line(&mut line).expect("text") > 0, "{diagnostics}");
        diagnostics.push_str(&line);
        if let Some((_, address)) = line.trim().split_once("listening on http://") {
            break address.to_owned();
        }
    };
    let mut socket = std::net::TcpStream::connect(&address).expect("it listens");
    std::io::Write::write_all(
        &mut socket,
        b"GET /s.ts?hdnts=exp=1~hmac=00 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    )
    .expect("written");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    let ended = Command::new("kill").arg(child.id().to_string()).status().expect("kill");
    assert!(ended.success());
    let output = child.wait_with_output().expect("it ends");
    told.read_to_string(&mut diagnostics).expect("text");
    assert_eq!(output.status.code(), Some(0), "{diagnostics}");
    let log = String::from_utf8_lossy(&output.stdout);
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(log.contains(" 403 ") && !log.contains("hmac"), "{log}");
    assert!(!diagnostics.contains(KEY), "{diagnostics}");
}

const RULED: &str = r#"
[[property]]
name = "p"
hosts = ["edge.example"]
origin = { urls = ["http://127.0.0.1:1"] }
origins = { archive = { urls = ["http://127.0.0.1:2"] } }
access = { key = { hex = "eee7e9157f81b2f6d471bf2c" } }
https = { only = "redirect" }
ip = { block = ["203.0.113.66"] }

[[property.rule]]
name = "posters"
when = { path = ["/posters/*"], extension = ["jpg"] }
unless = { header = [{ name = "X-Device", equals = "tv" }] }
allow = true

[[property.rule]]
name = "old"
when = { path = ["/old/*"] }
origin = "archive"
cache = { ttl = "10s", query = "drop" }
request = { set = { X-Old = "1" } }
continue = true

[[property.rule]]
name = "login"
when = { token = ["none"] }
redirect = { to = "https://login.example/?back={url}" }

[[property.rule]]
name = "expired"
when = { token = ["expired"], client = ["10.0.0.0/8"] }
deny = 410
"#;

/// What `check --explain` says of a request, a line each.
fn explained(arguments: &[&str]) -> String {
    let folder = folder();
    std::fs::write(folder.path().join("config.toml"), RULED).expect("written");
    let whole = [&["check", "--explain"][..], arguments].concat();
    let (code, out, err) = said(&sluicegate(folder.path(), &[], &whole));
    assert_eq!(code, 0, "{err}");
    out
}

#[test]
fn explain_tells_which_rules_hold_and_why() {
    let told = explained(&["https://edge.example/posters/a.jpg"]);
    for line in [
        "property \"p\", path /posters/a.jpg",
        "client 127.0.0.1, country unknown, asn unknown",
        "token: no_token",
        "rule \"posters\" holds: extension is jpg: yes; path matches /posters/*: yes; unless header x-device is \"tv\": no",
        "rule \"old\" is not looked at",
        "outcome: served without a token (rule \"posters\")",
    ] {
        assert!(told.lines().any(|said| said == line), "{line}\n{told}");
    }
    let told = explained(&["https://edge.example/posters/a.jpg", "--header", "X-Device: tv"]);
    for line in [
        "rule \"posters\" does not hold: extension is jpg: yes; path matches /posters/*: yes; unless header x-device is \"tv\": yes",
        "rule \"login\" holds: token is no_token: yes",
        "outcome: redirected with 302 to https://login.example/?back=https%3a%2f%2fedge.example%2fposters%2fa.jpg (rule \"login\")",
    ] {
        assert!(told.lines().any(|said| said == line), "{line}\n{told}");
    }
}

#[test]
fn explain_takes_a_result_and_an_address_in_place_of_the_true_ones() {
    let told = explained(&[
        "https://edge.example/old/./a.ts?x=1",
        "--token-result",
        "expired",
        "--client",
        "::ffff:10.1.2.3",
        "--method",
        "HEAD",
    ]);
    for line in [
        "rule \"old\" holds: path matches /old/*: yes",
        "rule \"login\" does not hold: token is no_token: no",
        "outcome: refused with 410 (rule \"expired\")",
        "origin: archive",
        "asked of the origin: /old/a.ts",
        "request header set: x-old",
        "kept for: 10s",
    ] {
        assert!(told.lines().any(|said| said == line), "{line}\n{told}");
    }
    let told = explained(&["https://edge.example/a.ts", "--token-result", "bad_signature"]);
    assert!(told.ends_with("outcome: refused with 403: bad_signature\n"), "{told}");
    let told = explained(&["https://edge.example/a.ts", "--token-result", "valid"]);
    assert!(told.ends_with("outcome: served, the token is good\n"), "{told}");
}

#[test]
fn explain_tells_what_is_refused_before_any_rule() {
    let told = explained(&["http://edge.example/posters/a.jpg"]);
    assert!(told.ends_with("outcome: redirected with 308 to https://edge.example/posters/a.jpg\n"), "{told}");
    let told = explained(&["https://edge.example/posters/a.jpg", "--client", "203.0.113.66"]);
    assert!(told.ends_with("outcome: refused with 403: ip_blocked\n"), "{told}");
    let told = explained(&["https://edge.example/a%2f..%2fb"]);
    assert!(told.contains("outcome: refused: the path is refused"), "{told}");
}

#[test]
fn explain_verifies_the_token_that_the_url_shows() {
    let url = format!("https://edge.example/a.ts?hdnts=exp=1~acl=/*~hmac={}", "0".repeat(64));
    assert!(explained(&[&url]).contains("token: bad_signature\n"));
}

#[test]
fn explain_refuses_what_it_cannot_read() {
    let folder = folder();
    std::fs::write(folder.path().join("config.toml"), RULED).expect("written");
    for (arguments, problem) in [
        (&["/a.ts"][..], "takes a whole URL"),
        (&["https://other.example/"][..], "no property answers for the host other.example"),
        (&["https://edge.example/", "--token-result", "expird"][..], "expird is no result"),
        (&["https://edge.example/", "--country", "Germany"][..], "Germany is no country"),
        (&["https://edge.example/", "--header", "nothing"][..], "is no header field"),
    ] {
        let whole = [&["check", "--explain"][..], arguments].concat();
        let (code, out, err) = said(&sluicegate(folder.path(), &[], &whole));
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}");
        assert!(err.contains(problem), "{arguments:?}: {err}");
    }
}

#[test]
fn a_running_edge_tells_its_status_reloads_and_drains() {
    let folder = folder();
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let admin = free.local_addr().expect("bound").to_string();
    drop(free);
    let text = format!(
        "[server]\nhttp = [\"127.0.0.1:0\"]\n[admin]\nlisten = \"{admin}\"\n[log]\naccess = \"off\"\n\
         [[property]]\nname = \"p\"\nhosts = [\"*\"]\norigin = {{ urls = [\"lab:\"] }}\naccess = {{ action = \"open\" }}\n"
    );
    let file = folder.path().join("config.toml");
    std::fs::write(&file, &text).expect("written");
    let url = format!("http://{admin}");
    let ask = |arguments: &[&str]| {
        said(&sluicegate(folder.path(), &[("SLUICEGATE_ADMIN", url.as_str())], arguments))
    };
    let (code, _, err) = ask(&["status"]);
    assert_eq!(code, 1, "nobody is there: {err}");

    let mut edge = Command::new(env!("CARGO_BIN_EXE_sluicegate"));
    edge.arg("serve").current_dir(folder.path()).stderr(std::process::Stdio::null());
    let mut edge = edge.spawn().expect("it starts");
    while std::net::TcpStream::connect(&admin).is_err() {
        assert!(edge.try_wait().expect("a child").is_none(), "it ended");
        std::thread::yield_now();
    }
    let (code, out, err) = ask(&["status"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.starts_with("state          serving\n") && out.contains(&admin), "{out}");
    let (code, out, _) = ask(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, status["configuration"]["generation"].as_u64()), (0, Some(1)));

    std::fs::write(&file, text.replace("hosts", "hots")).expect("written");
    let (code, _, err) = ask(&["reload"]);
    assert_eq!(code, 2);
    assert!(err.contains("  9:1: unknown field `hots`") && err.contains("did you mean `hosts`?"), "{err}");
    assert_eq!(ask(&["status"]).0, 0, "a fault in the file changes nothing");
    assert_eq!(ask(&["status", "--strict"]).0, 1);
    std::fs::write(&file, &text).expect("written");
    let (code, out, _) = ask(&["reload"]);
    assert!(code == 0 && out.starts_with("reloaded: generation "), "{out}");

    let (code, out, _) = ask(&["drain"]);
    assert_eq!((code, out.as_str()), (0, "draining\n"));
    assert!(edge.wait().expect("it ends").success());
}

/// Connections wait while no file can be opened for them; the process goes on.
#[test]
fn an_edge_without_files_to_open_serves_again_once_there_are_some() {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::TcpStream;

    let folder = folder();
    let port = crate::support::program::free_port();
    let text = format!(
        "[server]\nhttp = [\"127.0.0.1:{port}\"]\n[server.limits]\nconnections_max = 1000\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [log]\naccess = \"off\"\n[[property]]\nname = \"p\"\nhosts = [\"*\"]\norigin = {{ urls = [\"lab:\"] }}\naccess = {{ action = \"open\" }}\n"
    );
    std::fs::write(folder.path().join("config.toml"), text).expect("written");
    let mut edge = Command::new("sh");
    edge.args(["-c", "ulimit -n 64; exec \"$0\" serve", env!("CARGO_BIN_EXE_sluicegate")]);
    let mut edge = edge
        .current_dir(folder.path())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .map(crate::support::program::Running)
        .expect("it starts");
    let connect = || TcpStream::connect(("127.0.0.1", port));
    let mut lines = BufReader::new(edge.0.stderr.take().expect("piped")).lines();
    let mut until = |said: &str| lines.by_ref().any(|line| line.is_ok_and(|line| line.contains(said)));
    assert!(until("listening on"));
    let many: Vec<TcpStream> = (0..100).filter_map(|_| connect().ok()).collect();
    assert!(until("cannot accept connections"));
    drop(many);
    let mut socket = connect().expect("it listens");
    socket.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
}

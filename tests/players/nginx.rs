//! nginx as the judge of secure links: what it lets pass, refuses and calls expired, the edge does as well.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sluicegate::domain::token::key::Secret;
use sluicegate::domain::token::presented::{Head, Location, Presented};
use sluicegate::domain::token::reason::Reason;
use sluicegate::domain::token::secure_link::expression::{Expression, Values};
use sluicegate::domain::token::secure_link::{Settings, Verifier};
use tempfile::TempDir;

use crate::tool::Tool;

const SECRET: &str = "mysecret";
const CLIENT: std::net::IpAddr = std::net::IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Long ago, and far ahead: the same for nginx's clock and for the one that is set here.
const PAST: &str = "1470055000";
const FUTURE: &str = "2147483647";
const NOW: Duration = Duration::from_secs(1_700_000_000);
/// How long nginx may take to listen.
const DEADLINE: Duration = Duration::from_secs(10);

/// A running nginx; it ends with the test.
struct Nginx {
    address: SocketAddr,
    child: Child,
    _folder: TempDir,
}

impl Nginx {
    fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.expect("a free port");
        let folder = tempfile::tempdir().expect("a folder");
        let judge = "if ($secure_link = \"\") { return 403; } if ($secure_link = \"0\") { return 410; } return 200 \"ok\";";
        let text = format!(
            "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr error;\nevents {{ worker_connections 64; }}\nhttp {{\n\
             access_log off; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;\n\
             server {{ listen {address};\n\
             location /azion/ {{ secure_link $arg_st,$arg_e; secure_link_md5 \"{SECRET}$uri$secure_link_expires\"; {judge} }}\n\
             location /nginx/ {{ secure_link $arg_md5,$arg_expires; secure_link_md5 \"$secure_link_expires$uri$remote_addr {SECRET}\"; {judge} }}\n\
             location ~ \"^/p/(?<sig>[^/]+)/(?<end>[0-9]+)(?<dir>/vod/film/).*$\" {{ secure_link $sig,$end; secure_link_md5 \"{SECRET}$dir$secure_link_expires\"; {judge} }}\n\
             }} }}\n"
        );
        std::fs::write(folder.path().join("nginx.conf"), text).expect("a configuration");
        let child = Command::new("/usr/sbin/nginx")
            .args(["-e", "stderr", "-c", "nginx.conf", "-p"])
            .arg(folder.path())
            .stdin(Stdio::null())
            .spawn()
            .expect("nginx");
        let nginx = Self { address, child, _folder: folder };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(began.elapsed() < DEADLINE, "nginx does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        nginx
    }

    fn status(&self, target: &str) -> u16 {
        let mut stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_read_timeout(Some(DEADLINE)).expect("a limit");
        write!(stream, "GET {target} HTTP/1.0\r\nHost: localhost\r\n\r\n").expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn verifier(expression: &str, expires: &str) -> Verifier {
    let expression: Expression = expression.parse().expect("an expression");
    let settings = Settings::with_key(Secret::from_text(SECRET).expect("a key"));
    Verifier::new(Settings {
        directory_expression: expression.clone(),
        expression,
        expires_name: Some(expires.to_owned()),
        path_prefix: Some("/p".to_owned()),
        ..settings
    })
}

fn signature(verifier: &Verifier, location: Location, uri: &str, expires: &str) -> String {
    let head = Presented::for_path("", uri, CLIENT).head;
    verifier.sign(location, &Values { uri, expires, client: CLIENT, head }, NOW)
}

/// The status of our own judgement of a link, with the signature under `name`.
fn our_status(verifier: &Verifier, name: &str, target: &str) -> u16 {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let base = Presented::for_path("", path, CLIENT);
    let head = Head { target, ..base.head };
    let judged = match verifier.leading_token(path) {
        Ok(Some(leading)) => verifier.verify(
            &Presented {
                value: leading.value,
                location: Location::Path,
                path: &path[leading.bytes..],
                head,
                ..base
            },
            NOW,
        ),
        Ok(None) => {
            let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            verifier.verify(&Presented { value: value.unwrap_or_default(), head, ..base }, NOW)
        }
        Err(reason) => Err(reason),
    };
    match judged {
        Ok(_) => 200,
        Err(Reason::Expired) => 410,
        Err(_) => 403,
    }
}

#[test]
fn nginx_and_the_edge_agree_on_every_link() {
    if !Tool::Nginx.is_wanted() {
        return;
    }
    let nginx = Nginx::start();
    let azion = verifier("$secret$uri$expires", "e");
    let documented = verifier("$secure_link_expires$uri$remote_addr $secret", "expires");
    let mut judged = Vec::new();
    for end in [FUTURE, PAST] {
        for uri in
            ["/azion/a.m3u8", "/azion/a/b/c.ts", "/azion/a%20b.ts", "/azion/%C3%A9.ts", "/azion/a+b.ts"]
        {
            let decoded = uri.replace("%20", " ").replace("%C3%A9", "\u{e9}");
            let good = signature(&azion, Location::Query, &decoded, end);
            let other = signature(&azion, Location::Query, "/azion/other.ts", end);
            for query in [
                format!("st={good}&e={end}"),
                format!("e={end}&x=1&st={good}"),
                format!("st={other}&e={end}"),
                format!("st={good}&e=1800000000"),
                format!("st={}&e={end}", &good[1..]),
                format!("st={good}"),
                format!("e={end}"),
                String::new(),
            ] {
                judged.push(("st", &azion, format!("{uri}?{query}")));
            }
        }
        for uri in ["/nginx/a.m3u8", "/nginx/s/link"] {
            let good = signature(&documented, Location::Query, uri, end);
            judged.push(("md5", &documented, format!("{uri}?md5={good}&expires={end}")));
            judged.push(("md5", &documented, format!("{uri}x?md5={good}&expires={end}")));
        }
        let directory = signature(&azion, Location::Path, "/vod/film/", end);
        let other = signature(&azion, Location::Path, "/vod/", end);
        for file in ["master.m3u8", "360p/level.m3u8", "360p/1.ts"] {
            judged.push(("st", &azion, format!("/p/{directory}/{end}/vod/film/{file}")));
        }
        judged.push(("st", &azion, format!("/p/{directory}x/{end}/vod/film/a.ts")));
        // nginx has this one directory configured; the edge takes a directory above it as well, if that was signed.
        assert_eq!(nginx.status(&format!("/p/{other}/{end}/vod/film/a.ts")), 403);
    }
    let mut seen = std::collections::BTreeMap::new();
    for (name, verifier, target) in &judged {
        let status = nginx.status(target);
        assert_eq!(our_status(verifier, name, target), status, "nginx answers {status} to {target}");
        *seen.entry(status).or_insert(0) += 1;
    }
    assert!(seen.len() == 3 && seen.values().all(|count| *count >= 10), "{seen:?}");
}

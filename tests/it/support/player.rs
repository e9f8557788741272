//! A player: follows every reference of the playlists that it is given, and keeps cookies as browsers do.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use url::Url;

use super::{Reply, TestEdge, request};

/// One viewer. What the edge hands out beside bodies is sent back when `keeps_cookies` or `keeps_header` say so.
#[derive(Debug)]
pub struct Player {
    edge: SocketAddr,
    pub keeps_cookies: bool,
    pub keeps_header: bool,
    pub cookies: BTreeMap<String, String>,
    pub fields: Vec<(String, String)>,
}

impl Player {
    pub fn new(edge: &TestEdge) -> Self {
        Self::at(edge.address)
    }

    pub fn at(edge: SocketAddr) -> Self {
        Self { edge, keeps_cookies: true, keeps_header: false, cookies: BTreeMap::new(), fields: Vec::new() }
    }

    pub async fn get(&mut self, target: &str) -> Reply {
        let mut fields = self.fields.clone();
        if !self.cookies.is_empty() {
            let pairs: Vec<String> =
                self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            fields.push(("cookie".to_owned(), pairs.join("; ")));
        }
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
        let reply = request(self.edge, "GET", target, &fields).await;
        if let Some(cookie) = reply.header("set-cookie").filter(|_| self.keeps_cookies) {
            let pair = cookie.split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=').expect("a cookie");
            if cookie.contains("Expires=Thu, 01 Jan 1970") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        if let Some(session) = reply.header("hdntl").filter(|_| self.keeps_header) {
            self.fields.retain(|(name, _)| name != "hdntl");
            self.fields.push(("hdntl".to_owned(), session));
        }
        reply
    }

    /// Fetches `entry` and everything that is named from there, each target once, in order.
    pub async fn play(&mut self, entry: &str) -> Vec<(String, Reply)> {
        let mut wanted = vec![entry.to_owned()];
        let mut got = Vec::new();
        while let Some(target) = wanted.get(got.len()).cloned() {
            let reply = self.get(&target).await;
            for reference in reply.references() {
                let found = self.resolved(&target, &reference);
                if !wanted.contains(&found) {
                    wanted.push(found);
                }
            }
            got.push((target, reply));
            assert!(got.len() < 100, "{wanted:#?}");
        }
        got
    }

    /// What a browser asks for when a playlist at `target` names `reference`.
    pub fn resolved(&self, target: &str, reference: &str) -> String {
        let base = Url::parse(&format!("http://{}{target}", self.edge)).expect("a URL");
        let url = base.join(reference).expect("a reference");
        match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        }
    }
}

impl Reply {
    /// All that a playlist names: URI lines and `URI` attributes.
    pub fn references(&self) -> Vec<String> {
        let text = self.text();
        if !text.starts_with("#EXTM3U") {
            return Vec::new();
        }
        let mut found = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if !line.starts_with('#') {
                found.push(line.to_owned());
            } else if let Some((_, rest)) = line.split_once("URI=\"") {
                found.push(rest.split('"').next().unwrap_or_default().to_owned());
            }
        }
        found
    }
}

//! `[property.encryption]` as typed.

use serde::Deserialize;
use toml::Spanned;

use super::super::secret::Source;
use super::bare;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encryption {
    pub secret: Spanned<Source>,
    #[serde(default = "key_per")]
    pub key_per: Spanned<KeyPer>,
    #[serde(default = "asset_depth")]
    pub asset_depth: usize,
    #[serde(default)]
    pub rotate_every: u64,
    #[serde(default = "key_name")]
    pub key_name: Spanned<String>,
    #[serde(default = "paths")]
    pub paths: Vec<Spanned<String>>,
    #[serde(default = "extensions")]
    pub extensions: Vec<Spanned<String>>,
    #[serde(default = "clear_extensions")]
    pub clear_extensions: Vec<Spanned<String>>,
    #[serde(default = "require_https")]
    pub require_https: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyPer {
    Asset,
    Session,
}

fn key_per() -> Spanned<KeyPer> {
    bare(KeyPer::Asset)
}

const fn asset_depth() -> usize {
    1
}

fn key_name() -> Spanned<String> {
    bare("sluicegate.key".to_owned())
}

fn paths() -> Vec<Spanned<String>> {
    words(&["/*"])
}

fn extensions() -> Vec<Spanned<String>> {
    words(&["ts", "m4s", "mp4", "m4v", "m4a", "cmfv", "cmfa", "aac", "ac3", "ec3", "mp3"])
}

fn clear_extensions() -> Vec<Spanned<String>> {
    words(&["vtt", "webvtt"])
}

const fn require_https() -> bool {
    true
}

fn words(words: &[&str]) -> Vec<Spanned<String>> {
    words.iter().map(|word| bare((*word).to_owned())).collect()
}

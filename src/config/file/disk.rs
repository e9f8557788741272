//! `[cache.disk]` as typed.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::super::units::{Size, Span};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    pub folder: Spanned<PathBuf>,
    pub max: Spanned<Size>,
    pub object_max: Option<Size>,
    #[serde(default)]
    pub admission: Admission,
    #[serde(default = "default::admission_window")]
    pub admission_window: Span,
    #[serde(default = "default::reads_max")]
    pub reads_max: usize,
    #[serde(default = "default::loading_max")]
    pub loading_max: Size,
    #[serde(default = "default::unwritten_max")]
    pub unwritten_max: Size,
    #[serde(default = "default::read_timeout")]
    pub read_timeout: Span,
    #[serde(default = "default::pause")]
    pub pause: Span,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Admission {
    Always,
    #[default]
    SecondHit,
}

mod default {
    use super::{Size, Span};

    pub(super) const fn admission_window() -> Span {
        Span::seconds(600)
    }

    pub(super) const fn reads_max() -> usize {
        32
    }

    pub(super) const fn loading_max() -> Size {
        Size::mib(64)
    }

    pub(super) const fn unwritten_max() -> Size {
        Size::mib(64)
    }

    pub(super) const fn read_timeout() -> Span {
        Span::seconds(2)
    }

    pub(super) const fn pause() -> Span {
        Span::seconds(10)
    }
}

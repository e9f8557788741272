//! From `[traces]` as typed to where spans go.

use std::path::Path;

use http::{HeaderName, HeaderValue, Uri};

use crate::domain::token::key::Secret;
use crate::telemetry::traces::Settings;

use super::fault::Judge;
use super::file::traces as typed;

/// Judges `[traces]`; none where there is no collector.
pub fn traces(typed: &typed::Traces, folder: &Path, judge: &mut Judge) -> Option<Settings> {
    let sample_ratio = *typed.sample_ratio.get_ref();
    if !(0.0..=1.0).contains(&sample_ratio) {
        judge.fault(
            typed.sample_ratio.span(),
            format!("[traces] sample_ratio = {sample_ratio} is no part of the whole"),
            "write a number from 0.0 to 1.0",
        );
    }
    let headers = typed.headers.iter().filter_map(|header| self::header(header, folder, judge)).collect();
    let place = typed.endpoint.as_ref()?;
    let endpoint: Option<Uri> = place.get_ref().parse().ok().filter(|uri: &Uri| {
        let is_plain = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        is_plain && matches!(uri.scheme_str(), Some("http" | "https")) && uri.query().is_none()
    });
    if endpoint.is_none() {
        judge.fault(
            place.span(),
            "[traces] endpoint is no URL of a collector",
            "write for example \"http://127.0.0.1:4318/v1/traces\"; what proves who sends is a header",
        );
    }
    Some(Settings {
        endpoint: endpoint?,
        sample_ratio,
        service_name: typed.service_name.clone(),
        headers,
        queue_max: typed.queue.max(1),
        batch_max: typed.batch.max(1),
        interval: typed.interval.0,
        timeout: typed.timeout.0,
    })
}

fn header(typed: &typed::Header, folder: &Path, judge: &mut Judge) -> Option<(HeaderName, Secret)> {
    let name = typed.name.get_ref().parse::<HeaderName>();
    if name.is_err() {
        judge.fault(
            typed.name.span(),
            format!("[traces] \"{}\" is no header field", typed.name.get_ref()),
            "write for example \"Authorization\"",
        );
    }
    let value = match typed.value.get_ref().read(folder) {
        Ok(read) if HeaderValue::from_str(&read.text).is_ok() => Secret::from_text(&read.text).ok(),
        Ok(_) => {
            let message = "[traces] the value of a header has characters that no header has";
            judge.fault(typed.value.span(), message, "use printable ASCII");
            None
        }
        Err(error) => {
            judge.fault(typed.value.span(), format!("[traces] {error}"), "");
            None
        }
    };
    Some((name.ok()?, value?))
}

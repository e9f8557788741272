//! What operators learn of certificates: metrics, and the status.

use std::sync::Arc;

use crate::acme::{self, Acme};
use crate::admin::control::Certificate;
use crate::telemetry::metrics::{Labels, Metrics};

/// The certificates in use and how they are obtained, into the metrics.
pub(super) fn export(metrics: &mut Metrics, acme: Option<&Arc<Acme>>) {
    let Some(acme) = acme else { return };
    let all = acme.clone();
    metrics.export_labelled(
        "certificate_expires_seconds",
        "Unix time at which a certificate of the listeners expires",
        true,
        Box::new(move || {
            let labelled = |of: Certificate| Some((expiry_labels(&of), of.expires_at?));
            certificates(&all).into_iter().filter_map(labelled).collect()
        }),
    );
    let obtaining = acme.clone();
    metrics.export_labelled(
        "acme_attempts",
        "Attempts to obtain a certificate",
        false,
        Box::new(move || {
            let of = |report: acme::Report| {
                let labels =
                    |result: &str| vec![("name", report.name.clone()), ("result", result.to_owned())];
                [(labels("obtained"), report.obtained), (labels("failed"), report.failed)]
            };
            obtaining.report().into_iter().flat_map(of).collect()
        }),
    );
    let waiting = acme.clone();
    metrics.export_labelled(
        "acme_next_attempt_seconds",
        "Unix time at which a certificate is asked for next",
        true,
        Box::new(move || {
            let of = |report: acme::Report| (vec![("name", report.name)], report.due.as_secs());
            waiting.report().into_iter().map(of).collect()
        }),
    );
}

fn expiry_labels(certificate: &Certificate) -> Labels {
    let name = certificate.names.first().cloned().unwrap_or_default();
    vec![("name", name), ("source", certificate.source.to_owned())]
}

/// Those of files and those that are obtained, whether they are there or not.
pub(super) fn certificates(acme: &Acme) -> Vec<Certificate> {
    let given = acme.certificates().given();
    let given = given.iter().map(|certificate| Certificate {
        names: certificate.names().to_vec(),
        source: "file",
        expires_at: Some(certificate.not_after().as_secs()),
        next_attempt_at: None,
        last_error: None,
    });
    let obtained = acme.report().into_iter().map(|report| Certificate {
        names: vec![report.name],
        source: "acme",
        expires_at: report.expires.map(|expires| expires.as_secs()),
        next_attempt_at: Some(report.due.as_secs()),
        last_error: report.last_error,
    });
    given.chain(obtained).collect()
}

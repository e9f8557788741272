//! What operators may see and change of the process, handed to their listener.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::acme::Acme;
use crate::admin::control::{
    Configuration, Connections, Fault, Listeners, Refused, Reload, Reloaded, Report,
};
use crate::config::fault::Faults;
use crate::server::counters::ConnectionCounters;
use crate::server::listen::Bound;

use super::certificates::certificates;
use super::reload::{Counts, Reloader};

/// What replaces the configuration.
pub(super) fn reload(reloader: &Arc<Reloader>) -> Reload {
    let reloader = reloader.clone();
    Arc::new(move || {
        let done = reloader.reload().map_err(|faults| refused(&faults))?;
        Ok(Reloaded { generation: done.generation, warnings: done.warnings })
    })
}

fn refused(faults: &Faults) -> Refused {
    let fault = |told: crate::config::fault::Told| Fault {
        message: told.message,
        line: told.line_and_column.map(|(line, _)| line),
        column: told.line_and_column.map(|(_, column)| column),
        cure: told.cure,
    };
    Refused { file: faults.file().to_owned(), faults: faults.told().map(fault).collect() }
}

/// What tells of the process at any moment.
pub(super) fn report(
    public: &Bound,
    operators: &Bound,
    counters: &Arc<ConnectionCounters>,
    counts: &Arc<Counts>,
    acme: Option<Arc<Acme>>,
) -> Box<dyn Fn() -> Report + Send + Sync> {
    let listeners = listeners(public.local_addresses(), operators.local_addresses());
    let (counters, counts) = (counters.clone(), counts.clone());
    Box::new(move || Report {
        configuration: Configuration {
            generation: counts.generation.load(Ordering::Relaxed),
            loaded_at: counts.loaded.load(Ordering::Relaxed),
            reloads_refused: counts.failures.load(Ordering::Relaxed),
            is_outdated: counts.is_outdated.load(Ordering::Relaxed),
        },
        listeners: listeners.clone(),
        certificates: acme.as_deref().map(certificates).unwrap_or_default(),
        connections: Connections { open: counters.open.value(), accepted: counters.accepted.value() },
    })
}

type Addresses = io::Result<(Vec<SocketAddr>, Vec<SocketAddr>)>;

fn listeners(public: Addresses, operators: Addresses) -> Listeners {
    let texts = |addresses: Vec<SocketAddr>| addresses.iter().map(ToString::to_string).collect();
    let (http, https) = public.unwrap_or_default();
    let (admin, _) = operators.unwrap_or_default();
    Listeners { http: texts(http), https: texts(https), admin: texts(admin) }
}

//! Certificates by ACME (RFC 8555): obtained, kept on disk, renewed in time, while the listeners run.
//!
//! One task looks after all names, each of which has a certificate of its own. A name is due when it has none, when the
//! authority says so (RFC 9773), else when two thirds of its certificate's life are over; after a failure it waits, longer
//! each time. Only a certificate that was judged as those of files are takes another's place: a failure changes nothing of
//! what is in use. What is kept is for the owner's eyes: keys and certificates lie in one file for each name, replaced whole.

mod client;
mod due;
mod folder;
pub mod settings;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::server::tls::{Certificate, Certificates, Managed};

use client::{AcmeError, Authority};
use due::Due;
use folder::Folder;
use settings::Settings;

/// The longest wait without a look at the clock, which can be set while we sleep.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// How often the authority is asked whether to renew sooner, where it names no time.
const LOOK_INTERVAL: Duration = Duration::from_hours(6);

/// How soon after a certificate the next is asked for: where clocks differ, one that is new can look old.
const LEAST_LIFE: Duration = Duration::from_hours(1);

/// What obtains and renews the certificates of a process.
#[derive(Debug)]
pub struct Acme {
    certificates: Arc<Certificates>,
    clock: Clock,
    state: Mutex<State>,
    /// The settings have changed, or the clock has.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    settings: Option<Arc<Settings>>,
    names: BTreeMap<String, Kept>,
}

/// What is known of a name.
#[derive(Clone, Debug, Default)]
struct Kept {
    certificate: Option<Certificate>,
    due: Due,
    obtained: u64,
    failed: u64,
    last_error: Option<String>,
}

/// What operators may know of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub name: String,
    /// When its certificate expires, since the Unix epoch; none where there is none yet.
    pub expires: Option<Duration>,
    /// When the next is asked for.
    pub due: Duration,
    pub obtained: u64,
    pub failed: u64,
    pub last_error: Option<String>,
}

impl Acme {
    /// Takes up what the folder keeps. Reads files: not for a thread that must not wait.
    pub fn start(settings: Option<Arc<Settings>>, certificates: Arc<Certificates>, clock: Clock) -> Self {
        let acme = Self { certificates, clock, state: Mutex::default(), changed: Notify::new() };
        acme.adopt(settings);
        acme
    }

    /// The certificates of the listeners.
    pub fn certificates(&self) -> &Arc<Certificates> {
        &self.certificates
    }

    /// Goes by these settings from now on. Names that stay keep what is known of them. Reads files.
    pub fn adopt(&self, settings: Option<Arc<Settings>>) {
        let now = self.clock.now();
        let mut state = self.state();
        let before = std::mem::take(&mut state.names);
        let is_elsewhere = match (&state.settings, &settings) {
            (Some(old), Some(new)) => old.directory != new.directory || old.folder != new.folder,
            (None, None) => false,
            (Some(_), None) | (None, Some(_)) => true,
        };
        for name in settings.iter().flat_map(|settings| &settings.names) {
            let known = before.get(name).filter(|_| !is_elsewhere).cloned();
            let kept = known.unwrap_or_else(|| {
                let folder = settings.as_ref().map(|settings| Folder::new(settings));
                let certificate = folder.and_then(|folder| folder.certificate(name, now));
                let due = certificate.as_ref().map_or_else(Due::default, |found| {
                    Due::of(found, spread()).looking(now + LOOK_INTERVAL / 1000 * spread())
                });
                Kept { certificate, due, ..Kept::default() }
            });
            state.names.insert(name.clone(), kept);
        }
        state.settings = settings;
        self.show(&state);
        drop(state);
        self.changed.notify_one();
    }

    /// Obtains and renews until `shutdown`.
    pub async fn run(&self, shutdown: CancellationToken) {
        let mut authority: Option<(Arc<Settings>, Authority)> = None;
        loop {
            let next = self.next();
            let wait = match &next {
                None => LOOK_AGAIN,
                Some((_, due, _)) => due.saturating_sub(self.clock.now()).min(LOOK_AGAIN),
            };
            let is_due = next.as_ref().is_some_and(|(_, due, _)| *due <= self.clock.now());
            if !is_due {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = self.changed.notified() => {}
                    () = tokio::time::sleep(wait) => {}
                }
                continue;
            }
            let Some((name, _, settings)) = next else { continue };
            let step = Box::pin(self.step(&settings, &name, &mut authority));
            if shutdown.run_until_cancelled(step).await.is_none() {
                return;
            }
        }
    }

    /// One attempt for one name, or a look at when it is due.
    async fn step(
        &self,
        settings: &Arc<Settings>,
        name: &str,
        known: &mut Option<(Arc<Settings>, Authority)>,
    ) {
        let attempt = tokio::time::timeout(settings.order_timeout, async {
            if !known.as_ref().is_some_and(|(of, _)| Arc::ptr_eq(of, settings)) {
                *known = Some((settings.clone(), Authority::meet(settings).await?));
            }
            let Some((_, authority)) = known else { return Err(AcmeError::Late) };
            let kept = self.state().names.get(name).cloned().unwrap_or_default();
            let (before, now) = (kept.certificate, self.clock.now());
            if let Some(certificate) = &before {
                let told = authority.due(certificate, now).await;
                let due =
                    told.map_or_else(|| kept.due.looking(now + LOOK_INTERVAL), |told| kept.due.told(told));
                if due.at() > now {
                    return Ok((None, due));
                }
                // What fails from here on is a failure to renew.
                if let Some(kept) = self.state().names.get_mut(name) {
                    kept.due = due;
                }
            }
            let pem = authority.obtain(name, before.as_ref(), self.certificates.challenges()).await?;
            let certificate = Folder::new(settings).keep(name, &pem, now)?;
            let due = match authority.due(&certificate, now).await {
                Some(due) => due,
                None => Due::of(&certificate, spread()).looking(now + LOOK_INTERVAL),
            };
            Ok((Some(certificate), due))
        });
        let outcome = attempt.await.unwrap_or(Err(AcmeError::Late));
        if outcome.is_err() {
            // Its account may be gone, or its connection.
            *known = None;
        }
        self.note(name, outcome);
    }

    fn note(&self, name: &str, outcome: Result<(Option<Certificate>, Due), AcmeError>) {
        let now = self.clock.now();
        let mut state = self.state();
        // A reload may have taken it out meanwhile.
        let Some(kept) = state.names.get_mut(name) else { return };
        match outcome {
            Ok((obtained, due)) => {
                kept.due = due;
                if let Some(certificate) = obtained {
                    kept.due = due.not_before(now + LEAST_LIFE);
                    tracing::info!(name, "a certificate was obtained");
                    kept.certificate = Some(certificate);
                    kept.obtained += 1;
                    kept.last_error = None;
                }
            }
            // It was only about whether to renew sooner.
            Err(error) if kept.due.at() > now => {
                tracing::debug!(name, "the authority was not asked when to renew: {error}");
                kept.due = kept.due.looking(now + LOOK_INTERVAL);
            }
            Err(error) => {
                kept.failed += 1;
                kept.due = kept.due.after_failure(now, error.is_rate_limit(), spread());
                let next = kept.due.at().saturating_sub(now).as_secs();
                tracing::error!(name, next_attempt_in_seconds = next, "no certificate was obtained: {error}");
                kept.last_error = Some(error.to_string());
            }
        }
        self.show(&state);
    }

    /// The name that is due first.
    fn next(&self) -> Option<(String, Duration, Arc<Settings>)> {
        let state = self.state();
        let (name, kept) = state.names.iter().min_by_key(|(_, kept)| kept.due.next())?;
        Some((name.clone(), kept.due.next(), state.settings.clone()?))
    }

    /// Has the listeners use what there is.
    fn show(&self, state: &State) {
        let of = |(name, kept): (&String, &Kept)| {
            kept.certificate.clone().map(|certificate| certificate.only_for(std::slice::from_ref(name)))
        };
        let certificates = state.names.iter().filter_map(of).collect();
        let names: HashSet<String> = state.names.keys().cloned().collect();
        self.certificates.manage(Managed { certificates, names });
    }

    /// What is known of each name.
    pub fn report(&self) -> Vec<Report> {
        let of = |(name, kept): (&String, &Kept)| Report {
            name: name.clone(),
            expires: kept.certificate.as_ref().map(Certificate::not_after),
            due: kept.due.at(),
            obtained: kept.obtained,
            failed: kept.failed,
            last_error: kept.last_error.clone(),
        };
        self.state().names.iter().map(of).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A random share of what may be spread, so that many edges do not come at once: 0 to 1000 thousandths.
fn spread() -> u32 {
    u32::try_from(crate::entropy::number() % 1001).unwrap_or(0)
}

/// Takes the secret out of what is written in a debug form.
struct Hidden;

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

//! Active health checks: every server is asked for a page of its own, at an interval.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, Method, Request};
use http_body_util::Empty;
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior};

use super::authorize::Authorizer;
use super::error::OriginError;
use super::server::Server;
use super::settings::{HealthSettings, ServerSettings};
use super::target;

/// The checks of one origin. They end when this is dropped.
#[derive(Debug)]
pub struct Checks(AbortHandle);

/// What the checks need, apart from the origin whose end ends them.
#[derive(Clone, Debug)]
pub struct Checker {
    pub settings: HealthSettings,
    pub servers: Vec<Arc<Server>>,
    pub host: Option<http::HeaderValue>,
    pub authorizer: Arc<Authorizer>,
}

impl Checks {
    /// Starts checking; `now` is the time at this moment, for origins that have it signed.
    pub fn start(checker: Checker, now: Duration) -> Self {
        let started = Instant::now();
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(checker.settings.interval);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let now = now + started.elapsed();
                join_all(checker.servers.iter().map(|server| checker.check(server, now))).await;
            }
        });
        Self(task.abort_handle())
    }
}

impl Drop for Checks {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Checker {
    async fn check(&self, server: &Server, now: Duration) {
        let timeout = self.settings.timeout;
        let answer = match self.request(&server.settings, now) {
            Ok(request) => {
                let sent = server.pool.send(request, Instant::now() + timeout, timeout).await;
                sent.map_err(|failed| failed.error)
            }
            Err(error) => Err(error),
        };
        let is_healthy = match answer {
            Ok(answer) => self.settings.statuses.contains(&answer.status()),
            Err(error) => {
                tracing::debug!(%error, "a health check failed");
                false
            }
        };
        server.checked(is_healthy, &self.settings);
    }

    fn request(&self, server: &ServerSettings, now: Duration) -> Result<Request<Empty<Bytes>>, OriginError> {
        let uri = target::uri(&server.base, self.host.as_ref(), &self.settings.path)?;
        let mut fields = HeaderMap::new();
        fields.insert(http::header::HOST, target::host(&uri)?);
        fields.insert(http::header::USER_AGENT, http::HeaderValue::from_static("sluicegate health check"));
        self.authorizer.authorize(&Method::GET, &self.settings.path, &mut fields, now)?;
        Ok(target::request(&Method::GET, uri, fields))
    }
}

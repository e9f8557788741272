//! Active health checks: every server is asked for a page of its own, at an interval.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use http::header::{HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Response};
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior};

use super::authorize::Authorizer;
use super::body::Arriving;
use super::error::OriginError;
use super::http1::{Choice, Outgoing, Wait};
use super::server::Server;
use super::settings::HealthSettings;
use super::upload::Upload;

/// The checks of one origin. They end when this is dropped.
#[derive(Debug)]
pub struct Checks(AbortHandle);

/// What the checks need, apart from the origin whose end ends them.
#[derive(Clone, Debug)]
pub struct Checker {
    pub settings: HealthSettings,
    pub servers: Vec<Arc<Server>>,
    pub host: Option<HeaderValue>,
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
        let answer = self.answer(server, now).await;
        let is_healthy = match answer {
            Ok(answer) => self.settings.statuses.contains(&answer.status()),
            Err(error) => {
                tracing::debug!(%error, "a health check failed");
                false
            }
        };
        server.checked(is_healthy, &self.settings);
    }

    async fn answer(&self, server: &Server, now: Duration) -> Result<Response<Arriving>, OriginError> {
        let host = self.host.as_ref().unwrap_or(&server.host);
        let mut fields = HeaderMap::new();
        fields.insert(HOST, host.clone());
        fields.insert(USER_AGENT, HeaderValue::from_static("sluicegate health check"));
        self.authorizer.authorize(&Method::GET, &self.settings.path, &mut fields, now)?;
        let timeout = self.settings.timeout;
        let wait = Wait { deadline: Instant::now() + timeout, patience: timeout };
        let send = async |choice| {
            let request = Outgoing {
                method: &Method::GET,
                path_and_query: &self.settings.path,
                host,
                fields: &fields,
                upload: &mut Upload::Nothing,
            };
            server.pool.send(request, choice, wait).await
        };
        let answer = match send(Choice::Any).await {
            // A kept connection that the server closed says nothing of its health.
            Err(failed) if failed.was_kept => send(Choice::New).await,
            answer => answer,
        };
        answer.map_err(|failed| failed.error)
    }
}

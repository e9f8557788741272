//! The hosts that redirects lead to, each with connections of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::uri::{Authority, Scheme};
use http::{Response, Uri};

use super::body::Arriving;
use super::dial::Dialer;
use super::error::OriginError;
use super::http1::{Choice, Client, Outgoing, Wait};
use super::pool::Failed;
use super::settings::Settings;

/// Only hosts of the configuration's list come here: there are no more of them than it has.
#[derive(Debug)]
pub struct Foreign {
    dialer: Dialer,
    settings: Settings,
    clients: Mutex<HashMap<(Scheme, Authority), Arc<Client>>>,
}

impl Foreign {
    pub fn new(dialer: Dialer, settings: &Settings) -> Self {
        Self { dialer, settings: settings.clone(), clients: Mutex::default() }
    }

    pub async fn send(
        &self,
        place: &Uri,
        request: Outgoing<'_>,
        choice: Choice,
        wait: Wait,
    ) -> Result<Response<Arriving>, Failed> {
        let client = self.client(place).ok_or(OriginError::Target)?;
        Ok(client.send(Some(place), request, choice, wait).await?.map(Arriving::Http1))
    }

    fn client(&self, place: &Uri) -> Option<Arc<Client>> {
        let key = (place.scheme()?.clone(), place.authority()?.clone());
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || Arc::new(Client::new(self.dialer.clone(), &self.settings));
        Some(clients.entry(key).or_insert_with(made).clone())
    }
}

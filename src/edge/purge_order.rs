//! Purges over the fleet: what an operator orders at one edge is carried out at all.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::fleet;

use super::Edge;
use super::purging::{PurgeError, Purged, What};

/// A purge in the words in which edges tell it each other: those of `POST /purge`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Order {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    #[serde(default)]
    all: bool,
    #[serde(default)]
    soft: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    property: Option<String>,
}

impl Order {
    fn new(what: &What, property: Option<&str>, soft: bool) -> Self {
        let order = Self { soft, property: property.map(str::to_owned), ..Self::default() };
        match what.clone() {
            What::Url(url) => Self { url: Some(url), ..order },
            What::Prefix(prefix) => Self { prefix: Some(prefix), ..order },
            What::Tag(tag) => Self { tag: Some(tag), ..order },
            What::All => Self { all: true, ..order },
        }
    }

    fn what(&self) -> What {
        let named = self.url.clone().map(What::Url);
        let named = named.or_else(|| self.prefix.clone().map(What::Prefix));
        named.or_else(|| self.tag.clone().map(What::Tag)).unwrap_or(What::All)
    }
}

impl Edge {
    /// Purges here, and has the fleet do the same. Whether the fleet knows of it yet: if not, it is told when it is back.
    pub async fn purge_everywhere(
        &self,
        what: &What,
        property: Option<&str>,
        soft: bool,
    ) -> Result<(Purged, bool), PurgeError> {
        let purged = self.purge(what, property, soft).await?;
        let order = serde_json::to_string(&Order::new(what, property, soft)).unwrap_or_default();
        Ok((purged, self.fleet.pass_on_purge(&order).await))
    }

    /// Carries out what the fleet orders. What is not understood, being of a newer edge, is taken as an order to purge everything.
    pub fn carry_out(self: &Arc<Self>, purged: fleet::Purged<'_>) {
        let order = match purged {
            fleet::Purged::Order(text) => serde_json::from_str(text).unwrap_or_else(|_| Order::default()),
            fleet::Purged::Everything => Order::default(),
        };
        let edge = self.clone();
        tokio::spawn(async move {
            let done = edge.purge(&order.what(), order.property.as_deref(), order.soft).await;
            if let Err(error) = done {
                tracing::info!("a purge of the fleet does not concern this edge: {error}");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_as_it_was_told() {
        for what in
            [What::Url("https://a/b".into()), What::Prefix("/v/".into()), What::Tag("film".into()), What::All]
        {
            let order = Order::new(&what, Some("p"), true);
            let text = serde_json::to_string(&order).unwrap();
            let read: Order = serde_json::from_str(&text).unwrap();
            assert_eq!((read.what(), read.soft, read.property.as_deref()), (what, true, Some("p")));
        }
    }
}

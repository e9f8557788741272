//! A connection to Redis or Valkey: one server, the master that sentinels name, or a cluster.

use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::{MultiplexedConnection, PubSub, PubSubStream};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, FromRedisValue,
    IntoConnectionInfo, RedisConnectionInfo, RedisError, Script, TlsCertificates, TlsMode,
};
use tokio::time::timeout;

use super::settings::{Node, Place, RedisSettings};

#[derive(Clone, Debug, thiserror::Error)]
pub enum LinkError {
    #[error("Redis did not answer in {0:?}")]
    Late(Duration),
    #[error("Redis: {0}")]
    Redis(std::sync::Arc<RedisError>),
    #[error("the subscription ended")]
    Unsubscribed,
    #[error("Redis lost data, or is another")]
    Reset,
    #[error("Redis answered with what is not understood")]
    Answer,
}

impl From<RedisError> for LinkError {
    fn from(error: RedisError) -> Self {
        Self::Redis(std::sync::Arc::new(error))
    }
}

/// Cheap to clone: the clones share one connection, and requests do not wait for each other.
#[derive(Clone)]
pub(super) struct Link {
    connection: Connection,
    timeout: Duration,
}

#[derive(Clone)]
enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Link(..)")
    }
}

impl Link {
    /// A connection, and the messages of a channel.
    pub(super) async fn open(
        settings: &RedisSettings,
        channel: &str,
    ) -> Result<(Self, PubSubStream), LinkError> {
        // A sentinel, then its master, then a connection and its greeting.
        let patience = settings.timeout * 4;
        let opening = async {
            match &settings.place {
                Place::Single { .. } | Place::Socket { .. } => {
                    Self::of_client(&client(settings)?, settings, channel).await
                }
                Place::Sentinel { nodes, service, is_tls, database } => {
                    let client = master(settings, nodes, service, *is_tls, *database).await?;
                    Self::of_client(&client, settings, channel).await
                }
                Place::Cluster { nodes, is_tls } => Self::of_cluster(settings, nodes, *is_tls, channel).await,
            }
        };
        timeout(patience, opening).await.map_err(|_| LinkError::Late(patience))?
    }

    /// Runs a script; it is sent whole where the server does not know it yet.
    pub(super) async fn call<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[&str],
        arguments: &[&[u8]],
    ) -> Result<T, LinkError> {
        let mut invocation = script.prepare_invoke();
        for key in keys {
            invocation.key(*key);
        }
        for argument in arguments {
            invocation.arg(*argument);
        }
        let answer = async {
            match self.connection.clone() {
                Connection::One(mut one) => invocation.invoke_async(&mut one).await,
                Connection::Cluster(mut cluster) => invocation.invoke_async(&mut cluster).await,
            }
        };
        Ok(timeout(self.timeout, answer).await.map_err(|_| LinkError::Late(self.timeout))??)
    }

    async fn of_client(
        client: &Client,
        settings: &RedisSettings,
        channel: &str,
    ) -> Result<(Self, PubSubStream), LinkError> {
        let messages = subscribed(client.get_async_pubsub().await?, channel).await?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(settings.timeout))
            .set_response_timeout(Some(settings.timeout));
        let one = client.get_multiplexed_async_connection_with_config(&config).await?;
        Ok((Self { connection: Connection::One(one), timeout: settings.timeout }, messages))
    }

    async fn of_cluster(
        settings: &RedisSettings,
        nodes: &[Node],
        is_tls: bool,
        channel: &str,
    ) -> Result<(Self, PubSubStream), LinkError> {
        let all: Vec<ConnectionInfo> =
            nodes.iter().map(|node| information(settings, node, is_tls, 0)).collect::<Result<_, _>>()?;
        let mut builder = ClusterClient::builder(all)
            .connection_timeout(settings.timeout)
            .response_timeout(settings.timeout)
            .overall_response_timeout(Some(settings.timeout))
            .retries(1);
        if is_tls {
            builder = builder.certs(certificates(settings));
        }
        let cluster = builder.build()?.get_async_connection().await?;
        // A message that is published anywhere in a cluster reaches every node.
        let mut failed = LinkError::Unsubscribed;
        for node in nodes {
            let client = of_information(settings, information(settings, node, is_tls, 0)?, is_tls)?;
            let Ok(attempt) = timeout(settings.timeout, client.get_async_pubsub()).await else {
                failed = LinkError::Late(settings.timeout);
                continue;
            };
            match attempt {
                Ok(pubsub) => {
                    let messages = subscribed(pubsub, channel).await?;
                    let link = Self { connection: Connection::Cluster(cluster), timeout: settings.timeout };
                    return Ok((link, messages));
                }
                Err(error) => failed = error.into(),
            }
        }
        Err(failed)
    }
}

async fn subscribed(mut pubsub: PubSub, channel: &str) -> Result<PubSubStream, LinkError> {
    pubsub.subscribe(channel).await?;
    Ok(pubsub.into_on_message())
}

/// Waits for a message; what it says does not matter.
pub(super) async fn message(messages: &mut PubSubStream) -> Result<(), LinkError> {
    messages.next().await.map(|_| ()).ok_or(LinkError::Unsubscribed)
}

/// The client of one server, checked before anything runs.
pub(super) fn client(settings: &RedisSettings) -> Result<Client, RedisError> {
    match &settings.place {
        Place::Single { node, is_tls, database } => {
            of_information(settings, information(settings, node, *is_tls, *database)?, *is_tls)
        }
        Place::Socket { path, database } => {
            let address = ConnectionAddr::Unix(path.clone());
            let whole = address.into_connection_info()?.set_redis_settings(login(settings, *database));
            Client::open(whole)
        }
        Place::Sentinel { nodes, is_tls, .. } | Place::Cluster { nodes, is_tls } => {
            let node = nodes.first().cloned().unwrap_or_default();
            of_information(settings, information(settings, &node, *is_tls, 0)?, *is_tls)
        }
    }
}

async fn master(
    settings: &RedisSettings,
    nodes: &[Node],
    service: &str,
    is_tls: bool,
    database: i64,
) -> Result<Client, RedisError> {
    let addresses = nodes.iter().map(|node| address(node, is_tls));
    let mut builder = SentinelClientBuilder::new(addresses, service, SentinelServerType::Master)?
        .set_client_to_redis_db(database);
    if is_tls {
        builder = builder
            .set_client_to_redis_tls_mode(TlsMode::Secure)
            .set_client_to_redis_certificates(certificates(settings))
            .set_client_to_sentinel_certificates(certificates(settings));
    }
    if let Some(username) = &settings.username {
        builder = builder.set_client_to_redis_username(username);
    }
    if let Some(password) = text_of_password(settings) {
        builder = builder.set_client_to_redis_password(password);
    }
    builder.build()?.async_get_client().await
}

fn information(
    settings: &RedisSettings,
    node: &Node,
    is_tls: bool,
    database: i64,
) -> Result<ConnectionInfo, RedisError> {
    Ok(address(node, is_tls).into_connection_info()?.set_redis_settings(login(settings, database)))
}

fn of_information(
    settings: &RedisSettings,
    information: ConnectionInfo,
    is_tls: bool,
) -> Result<Client, RedisError> {
    if is_tls {
        Client::build_with_tls(information, certificates(settings))
    } else {
        Client::open(information)
    }
}

fn address((host, port): &Node, is_tls: bool) -> ConnectionAddr {
    if is_tls {
        ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host.clone(), *port)
    }
}

fn login(settings: &RedisSettings, database: i64) -> RedisConnectionInfo {
    let mut login = RedisConnectionInfo::default().set_db(database);
    if let Some(username) = &settings.username {
        login = login.set_username(username);
    }
    if let Some(password) = text_of_password(settings) {
        login = login.set_password(password);
    }
    login
}

fn text_of_password(settings: &RedisSettings) -> Option<&str> {
    settings.password.as_ref().and_then(|password| std::str::from_utf8(password.expose()).ok())
}

fn certificates(settings: &RedisSettings) -> TlsCertificates {
    TlsCertificates {
        client_tls: settings.client.as_ref().map(|client| ClientTlsConfig {
            client_cert: client.certificate.clone(),
            client_key: client.key.expose().to_vec(),
        }),
        root_cert: settings.ca.clone(),
    }
}

//! A client of a running edge's operators' listener, for the commands that need one.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use crate::config::secret::{self, SecretError};

/// Where the token is looked for; a flag for it would show it to everybody who lists processes.
const TOKEN: &str = "SLUICEGATE_ADMIN_TOKEN";
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Which edge is meant.
#[derive(Debug, clap::Args)]
pub struct AdminArgs {
    /// The edge's operators' listener; its token is taken from the environment variable `SLUICEGATE_ADMIN_TOKEN`, or from a file
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9090", env = "SLUICEGATE_ADMIN")]
    pub admin: String,
    /// A file with the operators' token, where it is in none of the environment's variables
    #[arg(long, value_name = "FILE", env = "SLUICEGATE_ADMIN_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// Seconds to wait for an answer
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub timeout: u64,
}

/// Why there is no good answer.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error("--admin: \"{0}\" is no URL of an operators' listener; write http://host:port")]
    Url(String),
    #[error("{0}")]
    Token(#[from] SecretError),
    #[error("{TOKEN} holds bytes that no header can carry")]
    TokenBytes,
    #[error("{admin} cannot be reached: {error}")]
    Unreachable { admin: String, error: String },
    #[error("{admin} did not answer within {0:?}", .timeout)]
    Late { admin: String, timeout: Duration },
    /// A problem that the edge told.
    #[error("{detail}")]
    Refused { status: u16, detail: String },
    #[error("{0} does not answer as an operators' listener does")]
    Strange(String),
}

impl AdminError {
    /// 2 where the input is at fault, 1 where the edge or the way to it is.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Url(_) | Self::Token(_) | Self::TokenBytes | Self::Refused { status: 400 | 422, .. } => {
                ExitCode::from(2)
            }
            Self::Unreachable { .. } | Self::Late { .. } | Self::Refused { .. } | Self::Strange(_) => {
                ExitCode::from(1)
            }
        }
    }
}

impl AdminArgs {
    /// Asks the edge, and gives the JSON of its answer; `null` for an answer without a body.
    pub fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, AdminError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| self.unreachable(&error))?;
        let timeout = Duration::from_secs(self.timeout);
        let asked = async { tokio::time::timeout(timeout, self.exchange(method, path, body)).await };
        runtime.block_on(asked).unwrap_or(Err(AdminError::Late { admin: self.admin.clone(), timeout }))
    }

    async fn exchange(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, AdminError> {
        let form = || AdminError::Url(self.admin.clone());
        let uri: Uri = self.admin.parse().map_err(|_| form())?;
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http")).ok_or_else(form)?;
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() || authority.as_str().contains('@') {
            return Err(form());
        }
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, authority.as_str())
            .header(ACCEPT, "application/json");
        if let Some(token) = self.token()? {
            let mut value =
                HeaderValue::from_str(&format!("Bearer {}", *token)).map_err(|_| AdminError::TokenBytes)?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(body))).map_err(|_| form())?;

        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let socket = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await;
        let socket = socket.map_err(|error| self.unreachable(&error))?;
        let opened = http1::handshake(TokioIo::new(socket)).await;
        let (mut sender, connection) = opened.map_err(|error| self.unreachable(&error))?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(|error| self.unreachable(&error))?;
            let status = response.status();
            let collected = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            let bytes = collected.map_err(|error| self.unreachable(&error))?.to_bytes();
            Ok::<_, AdminError>((status, bytes))
        };
        let (status, bytes) = tokio::select! {
            done = exchange => done?,
            Err(error) = connection => return Err(self.unreachable(&error)),
        };
        self.judge(status.as_u16(), &bytes)
    }

    fn token(&self) -> Result<Option<Zeroizing<String>>, SecretError> {
        match (secret::from_environment(TOKEN)?, &self.token_file) {
            (None, Some(file)) => secret::from_file(file).map(Some),
            (token, _) => Ok(token),
        }
    }

    fn judge(&self, status: u16, bytes: &[u8]) -> Result<Value, AdminError> {
        let strange = || AdminError::Strange(self.admin.clone());
        let is_good = (200..300).contains(&status);
        if is_good && bytes.is_empty() {
            return Ok(Value::Null);
        }
        let value: Value = serde_json::from_slice(bytes).map_err(|_| strange())?;
        if is_good {
            return Ok(value);
        }
        let detail = value.get("detail").and_then(Value::as_str).ok_or_else(strange)?;
        let faults = value.get("faults").and_then(Value::as_array).into_iter().flatten().map(fault);
        let detail = std::iter::once(detail.to_owned()).chain(faults).collect::<Vec<_>>().join("\n");
        Err(AdminError::Refused { status, detail })
    }

    fn unreachable(&self, error: &dyn std::fmt::Display) -> AdminError {
        AdminError::Unreachable { admin: self.admin.clone(), error: error.to_string() }
    }
}

/// A fault of a configuration on a line: `12:8: what is wrong; what would be right`.
fn fault(fault: &Value) -> String {
    let text = |name: &str| fault.get(name).and_then(Value::as_str);
    let number = |name: &str| fault.get(name).and_then(Value::as_u64);
    let place = match (number("line"), number("column")) {
        (Some(line), Some(column)) => format!("{line}:{column}: "),
        (Some(line), None) => format!("{line}: "),
        (None, _) => String::new(),
    };
    let cure = text("cure").map(|cure| format!("; {cure}")).unwrap_or_default();
    format!("  {place}{}{cure}", text("message").unwrap_or("?"))
}

//! How a command reaches a node: by its address, through the node that holds the data folder, or
//! through a node it starts for the occasion.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use clap::Args;
use http_body_util::BodyExt as _;
use hyper::{Method, Request, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tower::ServiceExt as _;

use super::Failed;
use crate::accounts::{Role, SigningKey, long_token};
use crate::clock::Clock;
use crate::config::Settings;
use crate::embedded;
use crate::node::{Node, Plan};

/// How long a single call of a command may take.
const CALL_LIMIT: Duration = Duration::from_secs(60);
/// The longest answer a command reads.
const ANSWER_LIMIT: usize = 64 << 20;

/// Which node a command talks to.
#[derive(Args, Clone, Debug, Default)]
pub struct Reach {
    /// The data folder of a node of the embedded default.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["config", "url"])]
    pub data: Option<PathBuf>,
    /// The settings of a node.
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    pub config: Option<PathBuf>,
    /// The address of a running node.
    #[arg(long, value_name = "URL", requires = "token")]
    pub url: Option<String>,
    /// An access token for it.
    #[arg(
        long,
        value_name = "TOKEN",
        requires = "url",
        env = "GLOBALSHOP_TOKEN",
        hide_env_values = true
    )]
    pub token: Option<String>,
}

impl Reach {
    /// The data folder meant.
    pub fn folder(&self) -> Result<PathBuf, Failed> {
        match &self.data {
            Some(folder) => Ok(folder.clone()),
            None => Ok(embedded::default_data_dir()?),
        }
    }

    /// The settings meant.
    pub fn settings(&self) -> Result<Settings, Failed> {
        Ok(Settings::load(self.config.as_deref())?)
    }

    /// Opens the door, for somebody with `role`.
    pub async fn open(&self, role: Role) -> Result<Door, Failed> {
        self.reach(role, None).await
    }

    /// Opens a door that also has an address, if need be on a free port of this machine.
    pub async fn open_listening(&self, role: Role) -> Result<Door, Failed> {
        self.reach(role, Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))))
            .await
    }

    async fn reach(&self, role: Role, listen: Option<SocketAddr>) -> Result<Door, Failed> {
        if let (Some(url), Some(token)) = (&self.url, &self.token) {
            return Door::remote(url.clone(), token.clone());
        }
        let folder = self.folder()?;
        let clock = Clock::system();
        if let Some(running) = Running::find(&folder).await {
            let token = long_token(&SigningKey::load_or_create(&folder, &clock)?, &clock, role, None)?;
            return Door::remote(running.url, token.expose().to_owned());
        }
        let plan = Plan {
            settings: self.settings()?,
            data: folder.clone(),
            listen,
        };
        let node = Node::start(plan, clock.clone()).await?;
        let token = long_token(&SigningKey::load_or_create(&folder, &clock)?, &clock, role, None)?;
        Ok(Door::Here {
            router: node.router(),
            node: Box::new(node),
            token: token.expose().to_owned(),
        })
    }
}

/// What a running node leaves in its data folder so that commands find it.
#[derive(Debug, Deserialize, Serialize)]
pub struct Running {
    /// Where it listens.
    pub url: String,
    /// Its process.
    pub pid: u32,
}

impl Running {
    const FILE: &'static str = "node.json";

    /// Leaves the note.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn leave(&self, folder: &Path) -> std::io::Result<()> {
        let text = serde_json::to_vec(self).map_err(std::io::Error::other)?;
        let fresh = folder.join(format!("{}.new", Self::FILE));
        std::fs::write(&fresh, text)?;
        std::fs::rename(fresh, folder.join(Self::FILE))
    }

    /// Takes the note away.
    pub fn remove(folder: &Path) {
        // A note that stays behind is recognised: nobody answers at its address.
        drop(std::fs::remove_file(folder.join(Self::FILE)));
    }

    /// The node that runs on a data folder, if one answers.
    pub(super) async fn find(folder: &Path) -> Option<Self> {
        let note: Self = serde_json::from_slice(&std::fs::read(folder.join(Self::FILE)).ok()?).ok()?;
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(2))
            .build()
            .ok()?;
        let answer = client.get(format!("{}/healthz", note.url)).send().await.ok()?;
        answer.status().is_success().then_some(note)
    }
}

/// An open door to a node.
pub enum Door {
    /// A running node.
    Remote {
        /// The client.
        client: reqwest::Client,
        /// Its address.
        url: String,
        /// Who we are.
        token: String,
    },
    /// A node started for this command.
    Here {
        /// Its router.
        router: Router,
        /// The node.
        node: Box<Node>,
        /// Who we are.
        token: String,
    },
}

/// An answer through the door.
#[derive(Debug)]
pub struct Answered {
    /// Its status.
    pub status: StatusCode,
    /// Its body; `Null` if it had none.
    pub body: Value,
}

impl Door {
    fn remote(url: String, token: String) -> Result<Self, Failed> {
        let client = reqwest::Client::builder().timeout(CALL_LIMIT).build()?;
        Ok(Self::Remote {
            client,
            url: url.trim_end_matches('/').to_owned(),
            token,
        })
    }

    /// The address of the node and who we are there.
    ///
    /// # Errors
    /// When the node does not listen.
    pub fn address(&self) -> Result<(String, String), Failed> {
        match self {
            Self::Remote { url, token, .. } => Ok((url.clone(), token.clone())),
            Self::Here { node, token, .. } => {
                let address = node
                    .address()
                    .ok_or_else(|| Failed::new("the node does not listen"))?;
                Ok((format!("http://{address}"), token.clone()))
            }
        }
    }

    /// Calls the API. A body is sent as it is, with its media type.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, Vec<u8>)>,
        key: Option<&str>,
    ) -> Result<Answered, Failed> {
        let (status, bytes) = match self {
            Self::Remote { client, url, token } => {
                let mut request = client.request(method, format!("{url}{path}")).bearer_auth(token);
                if let Some(key) = key {
                    request = request.header("idempotency-key", key);
                }
                if let Some((media, bytes)) = body {
                    request = request.header("content-type", media).body(bytes);
                }
                let answer = request.send().await?;
                (answer.status(), answer.bytes().await?)
            }
            Self::Here { router, token, .. } => {
                let mut request = Request::builder()
                    .method(method)
                    .uri(path)
                    .header("authorization", format!("Bearer {token}"));
                if let Some(key) = key {
                    request = request.header("idempotency-key", key);
                }
                let body = match body {
                    Some((media, bytes)) => {
                        request = request.header("content-type", media);
                        Body::from(bytes)
                    }
                    None => Body::empty(),
                };
                let answer = router.clone().oneshot(request.body(body)?);
                let answer = match tokio::time::timeout(CALL_LIMIT, answer).await {
                    Ok(Ok(answer)) => answer,
                    Ok(Err(never)) => match never {},
                    Err(_) => {
                        return Err(Failed::new(format!(
                            "{path} was not answered within {CALL_LIMIT:?}"
                        )));
                    }
                };
                let status = answer.status();
                let body = http_body_util::Limited::new(answer.into_body(), ANSWER_LIMIT);
                let bytes = body
                    .collect()
                    .await
                    .map_err(|error| Failed::new(error.to_string()))?
                    .to_bytes();
                (status, bytes)
            }
        };
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes)?
        };
        Ok(Answered { status, body })
    }

    /// Calls the API and expects a success.
    ///
    /// # Errors
    /// The problem's own words otherwise.
    pub async fn get(&self, path: &str) -> Result<Value, Failed> {
        self.call(Method::GET, path, None, None).await?.success()
    }

    /// Posts JSON with an idempotency key and expects a success.
    ///
    /// # Errors
    /// The problem's own words otherwise.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Failed> {
        let key = Clock::system().new_id().to_string();
        let body = Some(("application/json", serde_json::to_vec(body)?));
        self.call(Method::POST, path, body, Some(&key)).await?.success()
    }

    /// Closes the door: stops the node if it was started for this command.
    pub async fn close(self) {
        if let Self::Here { node, .. } = self {
            node.stop().await;
        }
    }
}

impl Answered {
    /// The body of a success.
    ///
    /// # Errors
    /// The problem's own words otherwise.
    pub fn success(self) -> Result<Value, Failed> {
        if self.status.is_success() {
            return Ok(self.body);
        }
        let said = |name: &str| {
            self.body
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let (title, detail) = (said("title"), said("detail"));
        Err(Failed::new(format!("{}: {title}. {detail}", self.status)))
    }
}

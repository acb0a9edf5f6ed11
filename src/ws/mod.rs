//! The live feed: `live.1.json` over WebSocket and server-sent events.
//!
//! Reading order: [`protocol`] (the frames), [`hub`] (the one place that follows the journal and tells
//! who watches), the topics by noun (`product`, `cart`, `order`), [`outbox`] (what waits on one
//! connection), [`session`] (who is there and what they follow), [`connection`] and [`sse`] (the two
//! transports), [`socket`] (the upgrade). [`Live`] is all of it, as the node holds it.
//!
//! ```text
//! tails ──> hub ──(one encoded frame, shared)──> outbox ──> connection ──> socket
//!            └── asks owners, once a channel     outbox ──> connection ──> socket
//! ```
//!
//! **Invariants**
//! - I6: a subscriber of a stream sees each event once and in order, or an explicit gap.
//! - Nothing is shown that is not committed, and nothing to whom it is not for: each subscription is
//!   judged for itself, and again when rights change.
//! - A publisher waits for nobody. What waits for a reader is bounded in bytes; a reader too slow for a
//!   stream is told so and resumes.
//!
//! **Must never** decide anything about the shop, or send an entity a command.

pub mod asyncapi;
mod cart;
pub mod channel;
pub mod connection;
pub mod figures;
#[cfg(test)]
mod fixture;
#[doc(hidden)]
pub mod fuzz;
pub mod hub;
mod moment;
mod order;
pub mod outbox;
pub mod problem;
mod product;
pub mod protocol;
pub mod registry;
pub mod session;
mod socket;
pub mod source;
mod sse;
mod topic;
pub mod viewer;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::sync::broadcast;
use tokio_util::task::AbortOnDropHandle;

use self::figures::Figures;
use self::hub::actor::{HubArguments, HubDoor, Supervisor, SupervisorArguments};
use self::protocol::{Close, CloseCode};
pub use self::registry::ConnectionLimits;
use self::registry::Registry;
use self::viewer::Doorkeeper;
use crate::actors::heart::Heart;
use crate::actors::supervise::Failure;
use crate::clock::Clock;
use crate::domain::ShardCount;
use crate::domain::id::CustomerId;
use crate::relay::Tails;

pub use self::socket::PeerAddress;
pub use self::source::{Faces, Sources};
pub use self::topic::Answer;

/// What can be set of the live feed.
#[derive(Clone, Debug)]
pub struct LiveSettings {
    /// How often somebody should say something; silent for three times that is gone.
    pub ping: Duration,
    /// How many connections there may be.
    pub connections: ConnectionLimits,
    /// The origin of the shop as browsers see it, if it is not simply the `Host` they name.
    pub public_origin: Option<String>,
}

impl Default for LiveSettings {
    fn default() -> Self {
        Self {
            ping: Duration::from_secs(20),
            connections: ConnectionLimits::default(),
            public_origin: None,
        }
    }
}

/// What the live feed stands on.
pub struct LiveArguments<'a> {
    /// The node's tree.
    pub heart: &'a Heart,
    /// The node's name.
    pub node: Arc<str>,
    /// The committed events.
    pub tails: Tails,
    /// How many shards there are.
    pub shards: ShardCount,
    /// Where what is shown comes from.
    pub sources: Sources,
    /// Who is who.
    pub doorkeeper: Arc<dyn Doorkeeper>,
    /// Customers whose sessions or roles have just changed.
    pub changes: broadcast::Receiver<CustomerId>,
    /// What can be set.
    pub settings: LiveSettings,
}

/// The live feed of a node. Cheap to clone.
#[derive(Clone)]
pub struct Live(Arc<Inner>);

struct Inner {
    node: Arc<str>,
    clock: Clock,
    settings: LiveSettings,
    figures: Figures,
    doorkeeper: Arc<dyn Doorkeeper>,
    registry: Arc<Registry>,
    door: HubDoor,
}

impl Live {
    /// Starts the hub in the node's tree.
    ///
    /// # Errors
    /// When its supervisor does not start.
    pub async fn start(arguments: LiveArguments<'_>) -> Result<Self, Failure> {
        let LiveArguments {
            heart,
            node,
            tails,
            shards,
            sources,
            doorkeeper,
            changes,
            settings,
        } = arguments;
        let spawner = heart.spawner().clone();
        let clock = spawner.clock().clone();
        let figures = Figures::new();
        let registry = Arc::new(Registry::new(
            settings.connections,
            clock.clone(),
            figures.clone(),
        ));
        let door = HubDoor::default();
        let place = heart.place().child("live", "0");
        let rights = tokio::spawn(follow_rights(changes, Arc::clone(&registry)));
        let supervisor = SupervisorArguments {
            hub: HubArguments {
                sources,
                tails,
                shards,
                figures: figures.clone(),
            },
            door: door.clone(),
            registry: Arc::clone(&registry),
            spawner: spawner.clone(),
            place: place.clone(),
            _rights: AbortOnDropHandle::new(rights),
        };
        spawner
            .spawn(
                place,
                Supervisor::MAILBOX,
                Supervisor,
                supervisor,
                Some(&heart.root()),
            )
            .await?;
        Ok(Self(Arc::new(Inner {
            node,
            clock,
            settings,
            figures,
            doorkeeper,
            registry,
            door,
        })))
    }

    /// `/live/ws`, `/live/sse` and `/asyncapi.json`, to be merged into the node's routes. Whoever
    /// accepts connections puts a [`PeerAddress`] beside each request.
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        Router::new()
            .route("/live/ws", get(socket::upgrade))
            .route("/live/sse", get(sse::stream))
            .route("/asyncapi.json", get(asyncapi::serve))
            .with_state(self.clone())
    }

    /// Lets nobody in any more and sends everybody away, each with its own moment to come back within
    /// `spread`; returns when all are gone, or after `limit`.
    pub async fn drain(&self, spread: Duration, limit: Duration) {
        let close = Close::new(CloseCode::Drain, "the node goes down; come back and resume");
        self.0.registry.drain(close, spread, limit).await;
    }

    /// How many connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.0.registry.len()
    }

    /// A client of the feed that came from `address`, for a transport of its own.
    ///
    /// # Errors
    /// When there are too many.
    pub fn session(&self, address: std::net::IpAddr) -> Result<session::Session, registry::Full> {
        let entry = self.0.registry.enter(address)?;
        Ok(session::Session::new(self.clone(), entry))
    }

    fn node(&self) -> &str {
        &self.0.node
    }

    fn clock(&self) -> &Clock {
        &self.0.clock
    }

    fn settings(&self) -> &LiveSettings {
        &self.0.settings
    }

    fn figures(&self) -> &Figures {
        &self.0.figures
    }

    fn doorkeeper(&self) -> &Arc<dyn Doorkeeper> {
        &self.0.doorkeeper
    }

    fn registry(&self) -> &Arc<Registry> {
        &self.0.registry
    }

    fn door(&self) -> &HubDoor {
        &self.0.door
    }

    fn new_trace(&self) -> String {
        self.0.clock.new_id().simple().to_string()
    }
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the live feed of {}", self.0.node)
    }
}

/// Has connections look again at who is there when somebody's sessions or roles have changed.
async fn follow_rights(mut changes: broadcast::Receiver<CustomerId>, registry: Arc<Registry>) {
    loop {
        match changes.recv().await {
            Ok(customer) => registry.recheck(Some(customer)),
            Err(broadcast::error::RecvError::Lagged(_)) => registry.recheck(None),
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

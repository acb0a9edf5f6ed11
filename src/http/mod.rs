//! The edge: routes, authorisation, limits, problem details and the storefront pages.
//!
//! Reading order: [`front`] (what happens to every request), [`problem`] (how we say no), [`auth`],
//! [`body`] and [`query`] (what comes in), [`idempotency`] and [`etag`] (saying it twice, saying it
//! late), then one file per noun. [`serve`] accepts the connections, [`openapi`] writes the contract.
//!
//! A handler parses, asks an entity or a view, and translates. **Invariants:**
//! - No SQL and no rule of the shop is here.
//! - Every answer of 400 and above is a problem, or a page that says so in words.
//! - Nothing is acknowledged that an entity has not committed.
//! - Who is refused for load is refused before a byte of the body is read.

pub mod account;
pub mod action;
pub mod art;
pub mod asset;
pub mod auth;
pub mod body;
pub mod cart;
pub mod category;
pub mod checkout;
pub mod consumer;
pub mod dead_letter;
pub mod etag;
pub mod exchange;
pub mod front;
#[doc(hidden)]
pub mod fuzz;
pub mod headers;
pub mod idempotency;
pub mod import;
pub mod limit;
pub mod money;
pub mod openapi;
pub mod ops;
pub mod order;
pub mod overload;
pub mod pages;
pub mod position;
pub mod probe;
pub mod problem;
pub mod product;
pub mod query;
pub mod serve;
pub mod session;
pub mod shape;
pub mod sockets;
mod stall;
pub mod stock;
pub mod trace;
pub mod webhook;

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use metrics_exporter_prometheus::PrometheusHandle;
use utoipa_axum::router::OpenApiRouter;

use self::idempotency::InFlight;
use self::limit::{LimitSettings, Limits};
use self::overload::{Room, RoomSettings};
use self::probe::{Readiness, Storage};
use self::trace::Figures;
use self::webhook::Seen;
use crate::accounts::Accounts;
use crate::actors::stats::Tree;
use crate::clock::Clock;
use crate::cluster::Region;
use crate::config::ShopSettings;
use crate::domain::quote::Tariff;
use crate::import::Imports;
use crate::inspect::Auditor;
use crate::journal::Journal;
use crate::provider::Webhooks;
use crate::relay::Relay;
use crate::views::Views;
use crate::workers::mail::{Mailbox, ResetMails};

/// What can be set at the edge.
#[derive(Clone, Debug, Default)]
pub struct EdgeSettings {
    /// How fast anybody may go.
    pub limits: LimitSettings,
    /// How many requests are worked on at once, and how many wait.
    pub room: RoomSettings,
    /// The origin of the shop as browsers see it, if it is not simply the `Host` they name.
    pub public_origin: Option<String>,
    /// Whether the shop is reached over TLS only, by a proxy before us.
    pub https: bool,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// Whether `/metrics` is open to others than loopback.
    pub open_metrics: bool,
    /// What shipping and tax cost.
    pub tariff: Tariff,
}

/// What the edge stands on.
#[derive(Debug)]
pub struct EdgeArguments {
    /// The door to the entities.
    pub region: Region,
    /// The journal, for remembered answers.
    pub journal: Arc<dyn Journal>,
    /// The delivery of what was committed, and its dead letters.
    pub relay: Relay,
    /// Who is who.
    pub accounts: Arc<Accounts>,
    /// The read models.
    pub views: Views,
    /// Time and chance.
    pub clock: Clock,
    /// What can be set.
    pub settings: EdgeSettings,
    /// What the node still waits for.
    pub readiness: Readiness,
    /// Whether the disk has room.
    pub storage: Storage,
    /// The metrics, where they are collected.
    pub metrics: Option<PrometheusHandle>,
    /// Who is told what payment providers tell us.
    pub webhooks: Webhooks,
    /// Who sends mails with reset links.
    pub resets: ResetMails,
    /// The local mailbox, where mail goes nowhere else.
    pub mailbox: Option<Arc<Mailbox>>,
    /// Catalogue files at work.
    pub imports: Imports,
    /// Who checks the invariants.
    pub auditor: Auditor,
    /// Every actor of the node.
    pub tree: Arc<Tree>,
    /// What the shop says of itself.
    pub shop: ShopSettings,
}

/// The edge. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Edge(Arc<Within>);

/// What every handler can reach.
#[derive(Debug)]
pub struct Within {
    /// What the edge was given.
    arguments: EdgeArguments,
    /// How fast anybody may go.
    pub limits: Limits,
    /// How much is worked on.
    pub room: Room,
    /// How often, how well and how fast each route has answered.
    pub(crate) figures: Figures,
    /// Keyed requests that are being worked on.
    pub in_flight: InFlight,
    /// Webhooks that were acted on lately.
    pub webhooks_seen: Seen,
}

impl Deref for Edge {
    type Target = Within;

    fn deref(&self) -> &Within {
        &self.0
    }
}

impl Deref for Within {
    type Target = EdgeArguments;

    fn deref(&self) -> &EdgeArguments {
        &self.arguments
    }
}

impl Edge {
    /// An edge over the rooms of a node.
    #[must_use]
    pub fn new(arguments: EdgeArguments) -> Self {
        Self(Arc::new(Within {
            limits: Limits::new(&arguments.settings.limits),
            room: Room::new(arguments.settings.room, arguments.clock.clone()),
            figures: Figures::default(),
            in_flight: InFlight::default(),
            webhooks_seen: Seen::default(),
            arguments,
        }))
    }

    /// Every route of the API, with what the OpenAPI document says of it.
    fn api() -> OpenApiRouter<Self> {
        OpenApiRouter::with_openapi(openapi::base())
            .merge(session::routes())
            .merge(account::routes())
            .merge(product::routes())
            .merge(category::routes())
            .merge(stock::routes())
            .merge(cart::routes())
            .merge(checkout::routes())
            .merge(order::routes())
            .merge(webhook::routes())
            .merge(import::routes())
            .merge(ops::routes())
            .merge(dead_letter::routes())
            .merge(consumer::routes())
            .merge(action::routes())
            .merge(probe::routes())
            .merge(openapi::routes())
    }

    /// The router of the JSON API; `more` are the routes of other rooms (pages, the live feed), which
    /// get the same front door.
    pub fn router(&self, more: Router<Self>) -> Router {
        let (api, _) = Self::api().split_for_parts();
        api.merge(more)
            .layer(axum::middleware::from_fn_with_state(self.clone(), front::front))
            .with_state(self.clone())
    }
}

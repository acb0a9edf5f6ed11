//! The one place where a node is put together, started, drained and stopped.
//!
//! `main`, the commands and the tests all start a node through [`Node::start`]; there is no second
//! way. The order is the order of trust: the database, the journal, what is derived from it, the
//! tree, and at last the edge.

mod pen;
mod settings;
mod sweep;
mod watch;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, PgPool};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::pen::Pen;
use self::watch::Watch;
use crate::accounts::{AccountSettings, Accounts, SigningKey};
use crate::actors::heart::{self, Heart, HeartArguments};
use crate::clock::Clock;
use crate::cluster::{Membership, MembershipArguments, Region};
use crate::config::Settings;
use crate::embedded::Embedded;
use crate::http::exchange::Exchange;
use crate::http::overload::Room;
use crate::http::pages;
use crate::http::probe::{Readiness, Storage};
use crate::http::serve::serve;
use crate::http::sockets;
use crate::http::{Edge, EdgeArguments};
use crate::import::book::ImportBook;
use crate::import::{Imports, category};
use crate::inspect::Auditor;
use crate::journal::Journal;
use crate::journal::migrate::migrate;
use crate::journal::postgres::{PostgresJournal, PostgresSettings};
use crate::provider::{PaymentProvider, PostgresBooks, Providers, Sandbox, WebhookKey, Webhooks};
use crate::relay::postgres::PostgresBook;
use crate::relay::{Consumer, Relay, RelayArguments, Tails};
use crate::views::{Tree as Categories, Views};
use crate::workers::mail::{Letterhead, Mailbox, Post, ResetMails, SmtpPost};
use crate::workers::{CheckoutWorker, MailWorker, PaymentNotices, PaymentWorker, StockWorker};
use crate::ws::{Live, LiveArguments, PeerAddress, Sources};

/// How long the shards may take to open.
const OPEN_LIMIT: Duration = Duration::from_secs(60);
/// How long a stop may take in all, before what still runs is cut.
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// Connections of everything but the journal.
const POOL: u32 = 12;
/// A connection that was used so lately is not asked whether it still stands: under load that would be a
/// question for every transaction.
const FRESH: Duration = Duration::from_secs(1);
/// How long a statement of a view, an account or the relay may take.
const STATEMENT_LIMIT: &str = "30s";
/// Over how long those who watch the live feed are asked to come back.
const RECONNECT_SPREAD: Duration = Duration::from_secs(5);

/// What to start.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The settings.
    pub settings: Settings,
    /// The data folder: the signing key, and the embedded database if there is no other.
    pub data: PathBuf,
    /// Where to listen; `None` for a node without listeners.
    pub listen: Option<SocketAddr>,
}

/// A node cannot start, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum NodeFault {
    /// The address is taken.
    #[error("{address} cannot be listened on: {source}; choose another with --listen")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A part of it did not start.
    #[error("{part} did not start: {reason}")]
    Part {
        /// Which.
        part: &'static str,
        /// The whole chain of causes.
        reason: String,
    },
    /// The shards did not open in time.
    #[error("not every shard opened within {0:?}")]
    NotReady(Duration),
}

/// A failed start of `part`, with the whole chain of causes.
fn part<E: std::error::Error>(part: &'static str) -> impl FnOnce(E) -> NodeFault {
    move |error| {
        let mut reason = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            reason = format!("{reason}: {cause}");
            source = cause.source();
        }
        NodeFault::Part { part, reason }
    }
}

/// A running node.
pub struct Node {
    embedded: Option<Embedded>,
    heart: Heart,
    membership: Membership,
    relay: Relay,
    live: Live,
    edge: Edge,
    accounts: Arc<Accounts>,
    router: Router,
    readiness: Readiness,
    address: Option<SocketAddr>,
    stop: CancellationToken,
    serving: Option<JoinHandle<()>>,
    sweeping: JoinHandle<()>,
    watching: JoinHandle<()>,
    importing: JoinHandle<()>,
}

impl Node {
    /// Starts a node and waits until every shard answers.
    ///
    /// # Errors
    /// [`NodeFault`] names the part and the remedy; whatever had started is stopped.
    pub async fn start(plan: Plan, clock: Clock) -> Result<Self, NodeFault> {
        Self::start_with(plan, clock, None).await
    }

    /// Starts a node that keeps its events in `journal` instead of its database, which holds the
    /// rest: what durability costs is measured with a journal that has none.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub async fn start_on(plan: Plan, clock: Clock, journal: Arc<dyn Journal>) -> Result<Self, NodeFault> {
        Self::start_with(plan, clock, Some(journal)).await
    }

    async fn start_with(
        plan: Plan,
        clock: Clock,
        journal: Option<Arc<dyn Journal>>,
    ) -> Result<Self, NodeFault> {
        // First of all, so that a taken address costs nothing.
        let listener = match plan.listen {
            Some(address) => {
                Some(sockets::listen(address).map_err(|source| NodeFault::Listen { address, source })?)
            }
            None => None,
        };
        let (embedded, database) = match &plan.settings.journal.database {
            Some(url) => {
                // With a database elsewhere it holds the signing key, and nobody else makes it.
                std::fs::create_dir_all(&plan.data).map_err(part("the data folder"))?;
                let options = PgConnectOptions::from_str(url).map_err(part("the database address"))?;
                (None, options)
            }
            None => {
                let embedded = Embedded::start(&plan.data)
                    .await
                    .map_err(part("the embedded PostgreSQL"))?;
                let options = embedded.connect_options();
                (Some(embedded), options)
            }
        };
        // Boxed: it builds every room, and whoever starts a node would carry all of that.
        match Box::pin(Self::build(&plan, clock, database, journal, listener)).await {
            Ok(node) => Ok(Self { embedded, ..node }),
            Err(fault) => {
                if let Some(embedded) = embedded {
                    embedded.stop().await;
                }
                Err(fault)
            }
        }
    }

    async fn build(
        plan: &Plan,
        clock: Clock,
        database: PgConnectOptions,
        journal: Option<Arc<dyn Journal>>,
        listener: Option<TcpListener>,
    ) -> Result<Self, NodeFault> {
        let settings = &plan.settings;
        migrate(&database).await.map_err(part("the schema"))?;
        let pool = pool(&database);
        let node: Arc<str> = settings.node.name.as_str().into();

        let owner: Arc<str> = format!("{node}/{:08x}", clock.random_u64() >> 32).into();
        let journal: Arc<dyn Journal> = match journal {
            Some(journal) => journal,
            None => {
                let settings = PostgresSettings {
                    shards: settings.shards(),
                    ..PostgresSettings::new(owner.as_ref())
                };
                let opened = PostgresJournal::open(database, settings, clock.clone()).await;
                Arc::new(opened.map_err(part("the journal"))?)
            }
        };
        let tails = Tails::new(journal.shards());
        let directories = heart::directories(&journal, &clock);
        let region = Region::new(Arc::clone(&directories));

        let key = SigningKey::load_or_create(&plan.data, &clock).map_err(part("the signing key"))?;
        let links = key.order_links();
        let accounts = Accounts::start(pool.clone(), clock.clone(), key, AccountSettings::default());
        let accounts = Arc::new(accounts.await.map_err(part("accounts"))?);
        let views = Views::open(
            pool.clone(),
            clock.clone(),
            journal.shards(),
            categories(),
            |_| (),
        );
        let views = views.await.map_err(part("the views"))?;

        let notices = Arc::new(PaymentNotices::new(region.clone()));
        let webhooks = Webhooks::new(
            vec![("sandbox", WebhookKey::fresh(&clock))],
            notices,
            clock.clone(),
        );
        let books = Arc::new(PostgresBooks::new(pool.clone()));
        let sandbox = Arc::new(Sandbox::open(books, Some(webhooks.clone()), clock.clone()));
        let providers = Providers::new(vec![Arc::clone(&sandbox) as Arc<dyn PaymentProvider>]);

        let mailbox = settings
            .mail
            .smtp
            .is_none()
            .then(|| Arc::new(Mailbox::new(pool.clone())));
        let post: Arc<dyn Post> = match (&mailbox, &settings.mail.smtp) {
            (Some(mailbox), _) => Arc::clone(mailbox) as _,
            (None, smtp) => {
                Arc::new(SmtpPost::new(smtp.as_deref().unwrap_or_default()).map_err(part("mail"))?)
            }
        };
        let letterhead = Arc::new(Letterhead::new(settings, links));
        let resets = ResetMails::open(Arc::clone(&letterhead), Arc::clone(&post), clock.clone());

        let consumers: Vec<Arc<dyn Consumer>> = vec![
            Arc::new(CheckoutWorker::new(region.clone())),
            Arc::new(StockWorker::new(region.clone())),
            Arc::new(PaymentWorker::new(region.clone(), providers, clock.clone())),
            Arc::new(MailWorker::new(region.clone(), letterhead, post)),
        ];
        let relay = Relay::new(RelayArguments {
            book: Arc::new(PostgresBook::new(pool.clone())),
            journal: Arc::clone(&journal),
            tails: tails.clone(),
            clock: clock.clone(),
            views: views.all(),
            consumers,
        });

        let heart = Heart::start(HeartArguments {
            node,
            owner: Arc::clone(&owner),
            takeover: settings.membership().takeover,
            tenure: None,
            journal: Arc::clone(&journal),
            clock: clock.clone(),
            tails: tails.clone(),
            directories,
            residents: relay.residents(),
        });
        let heart = heart.await.map_err(|error| NodeFault::Part {
            part: "the tree",
            reason: error.to_string(),
        })?;
        let membership = Membership::start(MembershipArguments {
            owner,
            journal: Arc::clone(&journal),
            gates: Arc::clone(heart.gates()),
            clock: clock.clone(),
            settings: settings.membership(),
            // Until nodes can reach one another, one works and the others stand by.
            placement: None,
        });
        if !heart.ready(OPEN_LIMIT).await {
            return Err(NodeFault::NotReady(OPEN_LIMIT));
        }

        let live = Live::start(LiveArguments {
            heart: &heart,
            node: settings.node.name.as_str().into(),
            tails: tails.clone(),
            shards: journal.shards(),
            sources: Sources {
                owners: Arc::new(region.clone()),
                shelf: Arc::clone(&views.catalogue) as _,
                faces: Arc::new(Pen {
                    catalogue: Arc::clone(&views.catalogue),
                    currency: settings.shop.currency,
                }),
            },
            doorkeeper: Arc::clone(&accounts) as _,
            changes: accounts.changes(),
            settings: settings::live(settings),
        });
        let live = live.await.map_err(|error| NodeFault::Part {
            part: "the live feed",
            reason: error.to_string(),
        })?;
        let imports = Imports::start(
            ImportBook::new(pool),
            heart.bulk().clone(),
            clock.clone(),
            &plan.data,
        );
        let (imports, importing) = imports.await.map_err(part("imports"))?;
        let (readiness, storage) = (Readiness::default(), Storage::default());
        let auditor = Auditor::new(&region, &journal, &views, &relay, &sandbox, &clock);
        let edge = Edge::new(EdgeArguments {
            region,
            journal,
            relay: relay.clone(),
            accounts: Arc::clone(&accounts),
            views,
            clock: clock.clone(),
            settings: settings::edge(settings),
            readiness: readiness.clone(),
            storage: storage.clone(),
            metrics: metrics_handle(),
            webhooks,
            resets,
            mailbox,
            imports,
            auditor,
            tree: Arc::clone(heart.spawner().tree()),
            shop: settings.shop.clone(),
        });
        let more = live.router::<Edge>().layer(axum::middleware::from_fn(show_peer));
        let router = edge.router(more.merge(pages::routes(&edge)));

        let stop = CancellationToken::new();
        let address = listener.as_ref().and_then(|listener| listener.local_addr().ok());
        let serving = listener.map(|listener| {
            let serving = serve(
                listener,
                router.clone(),
                settings::serve(settings),
                clock.clone(),
                stop.clone(),
            );
            tokio::spawn(serving)
        });
        let sweeping = tokio::spawn(sweep::run(
            clock.clone(),
            Arc::clone(&accounts),
            Arc::clone(&edge.journal),
            edge.metrics.clone(),
            stop.clone(),
        ));
        let watching = tokio::spawn(watch::run(
            Watch {
                clock,
                journal: Arc::clone(&edge.journal),
                readiness: readiness.clone(),
                storage,
                disk: settings.journal.database.is_none().then(|| plan.data.clone()),
                reserve: settings.journal.reserve_mb << 20,
            },
            stop.clone(),
        ));
        Ok(Self {
            embedded: None,
            heart,
            membership,
            relay,
            live,
            edge,
            accounts,
            router,
            readiness,
            address,
            stop,
            serving,
            sweeping,
            watching,
            importing,
        })
    }

    /// The router: the whole edge, without a socket.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The door to every entity.
    #[must_use]
    pub fn region(&self) -> &Region {
        &self.edge.region
    }

    /// Who is who.
    #[must_use]
    pub const fn accounts(&self) -> &Arc<Accounts> {
        &self.accounts
    }

    /// Catalogue files at work.
    #[must_use]
    pub fn imports(&self) -> &Imports {
        &self.edge.imports
    }

    /// How many are let in at the edge.
    #[must_use]
    pub fn room(&self) -> &Room {
        &self.edge.room
    }

    /// The tree.
    #[must_use]
    pub const fn heart(&self) -> &Heart {
        &self.heart
    }

    /// Waits until the node cannot go on; says why.
    pub async fn failed(&self) -> String {
        let mut fatal = self.heart.fatal();
        let tree = async {
            match fatal.wait_for(Option::is_some).await {
                Ok(reason) => reason.clone().unwrap_or_default(),
                Err(_) => "the tree is gone".to_owned(),
            }
        };
        match &self.embedded {
            Some(embedded) => tokio::select! {
                reason = tree => reason,
                fault = embedded.given_up() => fault.to_string(),
            },
            None => tree.await,
        }
    }

    /// Drains and stops everything this node started: no new work, answers and deliveries in progress
    /// end, sockets are told when to come back, and the database stops last.
    pub async fn stop(self) {
        self.readiness.miss("the node is draining");
        self.live.drain(RECONNECT_SPREAD, Duration::from_secs(2)).await;
        self.stop.cancel();
        if let Some(serving) = self.serving {
            finish("the edge", serving).await;
        }
        finish("the sweeper", self.sweeping).await;
        finish("the watch", self.watching).await;
        // What an import has not written yet it writes after the next start.
        self.importing.abort();
        self.relay.drain(Duration::from_secs(3)).await;
        self.heart.settle(Duration::from_secs(3)).await;
        self.membership.leave().await;
        self.heart.stop(Duration::from_secs(3)).await;
        if let Some(embedded) = self.embedded {
            embedded.stop().await;
        }
        tracing::info!("the node has stopped");
    }
}

async fn finish(what: &'static str, task: JoinHandle<()>) {
    let abort = task.abort_handle();
    match tokio::time::timeout(STOP_LIMIT, task).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "{what} failed"),
        Err(_) => {
            abort.abort();
            tracing::warn!("{what} did not stop in time and was cut");
        }
    }
}

fn pool(database: &PgConnectOptions) -> PgPool {
    let options = database.clone().options([
        ("statement_timeout", STATEMENT_LIMIT),
        ("lock_timeout", "5s"),
        // Who stops in the middle of a transaction must not hold its rows for ever.
        ("idle_in_transaction_session_timeout", STATEMENT_LIMIT),
    ]);
    PgPoolOptions::new()
        .max_connections(POOL)
        .acquire_timeout(Duration::from_secs(5))
        .test_before_acquire(false)
        .before_acquire(|connection, known| {
            Box::pin(async move {
                if known.idle_for > FRESH {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options)
}

/// Tells the live feed who is at the other end of a connection.
async fn show_peer(mut request: Request, next: Next) -> Response {
    // Behind a trusted proxy that is whoever the proxy speaks for.
    if let Some(address) = Exchange::of(request.extensions()).map(Exchange::address) {
        request.extensions_mut().insert(PeerAddress(address));
    }
    next.run(request).await
}

/// The categories of the shop, as the catalogue shows them.
fn categories() -> Categories {
    Categories::new(category::tree().iter().map(|category| {
        (
            category.slug.as_str(),
            category.name.as_str(),
            category.parent.as_deref(),
        )
    }))
}

/// Where metrics are collected; one for the process, whoever asks first.
fn metrics_handle() -> Option<PrometheusHandle> {
    static HANDLE: std::sync::OnceLock<Option<PrometheusHandle>> = std::sync::OnceLock::new();
    HANDLE
        .get_or_init(|| PrometheusBuilder::new().install_recorder().ok())
        .clone()
}

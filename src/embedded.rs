//! The private PostgreSQL of the embedded default.
//!
//! A node that is given no database starts one for itself: the system's own binaries, a cluster
//! inside the node's data folder, reachable through a socket that only its owner may open. It is a
//! direct child of the node, is restarted when it dies, and is stopped with the node, whichever
//! way the node ends.
//!
//! It must never trade durability for speed, never touch a server that somebody else runs, and
//! never open a data folder that another node holds.

mod binaries;
mod fault;
mod folder;
mod leftovers;
mod postmaster;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

pub use fault::EmbeddedFault;
use fault::speaks_of_a_full_disk;
use folder::Folder;
use postmaster::Postmaster;

/// The pauses before the second, third and fourth try. The first failures after a crash are
/// usually the old server's shared memory, which its last backends still hold.
const RETRY_PAUSES: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_millis(1600),
];
/// How long a start may take. Most of it is left to crash recovery, which reads the log again.
const READY_WITHIN: Duration = Duration::from_secs(300);
/// How long the creation of an empty database may take.
const CREATE_WITHIN: Duration = Duration::from_secs(60);
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const READY_POLL: Duration = Duration::from_millis(20);
/// How often a full disk is looked at.
const ROOM_POLL: Duration = Duration::from_secs(1);
/// How long a clean stop may take; it writes a checkpoint.
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// How long PostgreSQL must have served for its earlier deaths to be forgotten.
const FORGIVEN_AFTER: Duration = Duration::from_secs(60);
/// How many deaths in a row are answered with a restart.
const DEATHS_FORGIVEN: u32 = 5;

/// The database that the shop lives in.
const DATABASE: &str = "globalshop";
/// The only role of the private cluster.
const ROLE: &str = "postgres";
/// Part of the socket's file name; nothing listens on TCP.
const PORT: u16 = 5432;

/// A running private PostgreSQL. Dropping it asks the server to stop; [`Embedded::stop`] also
/// waits until it has.
#[derive(Debug)]
pub struct Embedded {
    folder: Arc<Folder>,
    state: watch::Receiver<State>,
    stop: watch::Sender<bool>,
    keeper: JoinHandle<()>,
}

/// What the keeper says about the server.
#[derive(Debug, Clone)]
enum State {
    Serving(u32),
    Restarting,
    Stopped,
    GivenUp(Arc<EmbeddedFault>),
}

impl Embedded {
    /// Starts PostgreSQL in `data_dir`, which is created if missing, and waits until it serves
    /// the database of the shop.
    ///
    /// Whatever an earlier node left running on this folder is ended first. The folder stays
    /// locked until the server has stopped.
    ///
    /// # Errors
    /// When the folder, the installed PostgreSQL or its settings do not permit a safe start; the
    /// fault says what to do.
    pub async fn start(data_dir: &Path) -> Result<Self, EmbeddedFault> {
        let folder = Arc::new(Folder::claim(data_dir).await?);
        let postmaster = start_postmaster(&folder).await?;
        let created = timeout(CREATE_WITHIN, create_database(&folder)).await;
        if let Err(fault) = created.unwrap_or_else(|_| Err(not_ready(&folder, CREATE_WITHIN, &postmaster))) {
            postmaster.stop(STOP_WITHIN).await;
            return Err(fault);
        }

        let (state_tx, state) = watch::channel(State::Serving(postmaster.pid()));
        let (stop, stop_rx) = watch::channel(false);
        let keeper = tokio::spawn(keep_running(Arc::clone(&folder), postmaster, state_tx, stop_rx));
        Ok(Self {
            folder,
            state,
            stop,
            keeper,
        })
    }

    /// How to connect to the database of the shop.
    #[must_use]
    pub fn connect_options(&self) -> PgConnectOptions {
        connect_options(&self.folder, DATABASE)
    }

    /// The folder that holds the cluster and everything else this node keeps.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.folder.root()
    }

    /// The process id of the server, while it serves.
    #[must_use]
    pub fn server_pid(&self) -> Option<u32> {
        match *self.state.borrow() {
            State::Serving(pid) => Some(pid),
            State::Restarting | State::Stopped | State::GivenUp(_) => None,
        }
    }

    /// Waits until PostgreSQL could not be kept running; the node has no truth left to serve from
    /// and must end. Never returns while PostgreSQL runs or is being restarted.
    pub async fn given_up(&self) -> Arc<EmbeddedFault> {
        let mut state = self.state.clone();
        loop {
            if let State::GivenUp(fault) = &*state.borrow_and_update() {
                return Arc::clone(fault);
            }
            if state.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Stops PostgreSQL: clients are disconnected and a checkpoint is written; after a bounded
    /// wait it is ended without one, which costs time at the next start and nothing else.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        if let Err(fault) = (&mut self.keeper).await {
            tracing::error!(%fault, "the keeper of the embedded PostgreSQL failed");
        }
    }
}

/// Where a node keeps its data unless told otherwise: `/var/lib/globalshop` for root, whose home
/// PostgreSQL's own user could not enter; else the user's data home.
///
/// # Errors
/// When the environment names no home.
pub fn default_data_dir() -> Result<PathBuf, EmbeddedFault> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/globalshop"));
    }
    let named = |variable| {
        std::env::var_os(variable)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    named("XDG_DATA_HOME")
        .or_else(|| named("HOME").map(|home| home.join(".local/share")))
        .map(|data_home| data_home.join("globalshop"))
        .ok_or(EmbeddedFault::NoHome)
}

/// Refuses a connection whose acknowledged commits a power failure could take back.
///
/// # Errors
/// When a setting is unsafe, or could not be read.
pub async fn refuse_unsafe_settings(connection: &mut PgConnection) -> Result<(), EmbeddedFault> {
    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        let value: String = sqlx::query_scalar("SELECT current_setting($1)")
            .bind(setting)
            .fetch_one(&mut *connection)
            .await
            .map_err(|source| EmbeddedFault::Database {
                doing: "read its settings",
                source,
            })?;
        if value == "off" {
            return Err(EmbeddedFault::UnsafeSetting { setting });
        }
    }
    Ok(())
}

/// Watches over the server until it is told to stop or cannot be kept running.
async fn keep_running(
    folder: Arc<Folder>,
    mut postmaster: Postmaster,
    state: watch::Sender<State>,
    mut stop: watch::Receiver<bool>,
) {
    let mut deaths = 0;
    loop {
        let served_well = tokio::select! {
            () = told(&mut stop) => {
                postmaster.stop(STOP_WITHIN).await;
                drop(folder);
                state.send_replace(State::Stopped);
                return;
            }
            outcome = timeout(FORGIVEN_AFTER, postmaster.ended()) => outcome.is_err(),
        };
        if served_well {
            deaths = 0;
            tokio::select! {
                () = told(&mut stop) => continue,
                _ = postmaster.ended() => {}
            }
        }

        let end = postmaster.ended().await;
        // A full disk is not the server's fault, and is not mended by giving up.
        if !folder.is_full() && !speaks_of_a_full_disk(&postmaster.last_words()) {
            deaths += 1;
        }
        tracing::error!(%end, deaths, folder = %folder.root().display(), "the embedded PostgreSQL died");
        state.send_replace(State::Restarting);
        let restarted = if deaths > DEATHS_FORGIVEN {
            Err(EmbeddedFault::KeepsDying {
                folder: folder.root().into(),
                deaths,
                last_words: postmaster.last_words(),
            })
        } else {
            tokio::select! {
                () = told(&mut stop) => break,
                outcome = start_when_there_is_room(&folder) => outcome,
            }
        };
        match restarted {
            Ok(successor) => {
                state.send_replace(State::Serving(successor.pid()));
                postmaster = successor;
            }
            Err(fault) => {
                tracing::error!(%fault, "the embedded PostgreSQL stays down");
                state.send_replace(State::GivenUp(Arc::new(fault)));
                return;
            }
        }
    }
    // Told to stop in the middle of a restart: whatever it has started shall not stay.
    if let Err(fault) = leftovers::end(&folder).await {
        tracing::error!(%fault, "the embedded PostgreSQL could not be stopped");
    }
    state.send_replace(State::Stopped);
}

/// Waits for the word to stop, or for the [`Embedded`] to be dropped, which is the same.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _dropped = stop.wait_for(|stop| *stop).await.is_err();
}

/// Starts the server as [`start_postmaster`] does, once the disk has room for it: however long that takes,
/// the shop is there and shows what it remembers.
async fn start_when_there_is_room(folder: &Arc<Folder>) -> Result<Postmaster, EmbeddedFault> {
    let mut told = false;
    loop {
        if !folder.is_full() {
            match start_postmaster(folder).await {
                Err(fault) if fault.is_out_of_room() => tracing::warn!(%fault, "PostgreSQL found no room"),
                outcome => return outcome,
            }
        }
        if !std::mem::replace(&mut told, true) {
            tracing::error!(folder = %folder.root().display(),
                "ALARM: the disk is full; PostgreSQL is started when there is room");
        }
        sleep(ROOM_POLL).await;
    }
}

/// Starts the server and waits until it answers, within the retries.
async fn start_postmaster(folder: &Arc<Folder>) -> Result<Postmaster, EmbeddedFault> {
    let mut pauses = RETRY_PAUSES.iter();
    loop {
        leftovers::end(folder).await?;
        let fault = match try_start(folder).await {
            Ok(postmaster) => return Ok(postmaster),
            Err(fault) => fault,
        };
        match pauses.next() {
            Some(pause) if fault.may_pass() => {
                tracing::warn!(%fault, "trying to start PostgreSQL again");
                sleep(*pause).await;
            }
            _ => return Err(fault),
        }
    }
}

async fn try_start(folder: &Arc<Folder>) -> Result<Postmaster, EmbeddedFault> {
    let postmaster = Postmaster::spawn(folder).await?;
    let ready = tokio::select! {
        end = postmaster.ended() => {
            return Err(EmbeddedFault::DidNotStart {
                folder: folder.root().into(),
                end,
                last_words: postmaster.last_words(),
            });
        }
        ready = timeout(READY_WITHIN, wait_until_ready(folder)) => ready,
    };
    let checked = ready.unwrap_or_else(|_| Err(not_ready(folder, READY_WITHIN, &postmaster)));
    if let Err(fault) = checked {
        postmaster.stop(STOP_WITHIN).await;
        return Err(fault);
    }
    Ok(postmaster)
}

fn not_ready(folder: &Folder, waited: Duration, postmaster: &Postmaster) -> EmbeddedFault {
    EmbeddedFault::NotReady {
        folder: folder.root().into(),
        seconds: waited.as_secs(),
        last_words: postmaster.last_words(),
    }
}

/// Connects until a connection is accepted, then checks what it promises.
async fn wait_until_ready(folder: &Folder) -> Result<(), EmbeddedFault> {
    let doing = "connect to it";
    loop {
        match timeout(CONNECT_WITHIN, connect_options(folder, ROLE).connect()).await {
            Ok(Ok(mut connection)) => {
                let safe = refuse_unsafe_settings(&mut connection).await;
                close(connection).await;
                return safe;
            }
            Ok(Err(sqlx::Error::Database(refusal))) if !may_pass(refusal.code().as_deref()) => {
                return Err(EmbeddedFault::Database {
                    doing,
                    source: sqlx::Error::Database(refusal),
                });
            }
            // No socket yet, not ready yet, or too busy to answer.
            Ok(Err(_)) | Err(_) => sleep(READY_POLL).await,
        }
    }
}

/// Whether a server that refuses a connection with this SQLSTATE may take one a moment later: it is
/// starting, or stops after a crash (57P01 to 57P03), or whoever lost a connection took all places (53300).
fn may_pass(code: Option<&str>) -> bool {
    matches!(code, Some("57P01" | "57P02" | "57P03" | "53300"))
}

async fn create_database(folder: &Folder) -> Result<(), EmbeddedFault> {
    let fault = |source| EmbeddedFault::Database {
        doing: "create its database",
        source,
    };
    let mut connection = connect_options(folder, ROLE).connect().await.map_err(fault)?;
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(DATABASE)
        .fetch_one(&mut connection)
        .await
        .map_err(fault)?;
    if !exists {
        sqlx::query("CREATE DATABASE globalshop")
            .execute(&mut connection)
            .await
            .map_err(fault)?;
    }
    close(connection).await;
    Ok(())
}

/// Says goodbye. The answer was already read, so a failure here concerns nobody.
async fn close(connection: PgConnection) {
    if let Err(fault) = connection.close().await {
        tracing::debug!(%fault, "a connection to the embedded PostgreSQL did not close cleanly");
    }
}

fn connect_options(folder: &Folder, database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(folder.sockets())
        .port(PORT)
        .username(ROLE)
        .ssl_mode(PgSslMode::Disable)
        .application_name("globalshop")
        .database(database)
}

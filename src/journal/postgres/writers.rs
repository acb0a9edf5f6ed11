//! The connections that append. Not a pool of sqlx's: that one asks every connection that comes back
//! whether it still works, which would double the round trips of an append.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use super::{PostgresSettings, server};
use crate::clock::Clock;
use crate::journal::{JournalFault, OpenFault};

/// How long the server works on one append before it gives up, with nothing written.
const STATEMENT_LIMIT: &str = "5s";
/// How long an append waits for a shard that somebody is claiming.
const LOCK_LIMIT: &str = "2s";
/// How long a transaction may stand open with nobody talking. An append has none; this is for a
/// mistake, which must not keep a shard from changing hands.
const IDLE_IN_TRANSACTION_LIMIT: &str = "500ms";
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// A connection that has rested longer is asked whether it still works before it is trusted with an
/// append: losing it then would leave the append's outcome unknown.
const TRUSTED_FOR: Duration = Duration::from_secs(1);
const PING_LIMIT: Duration = Duration::from_secs(1);
/// How long an append waits for a writer that is at work: longer than that work can last.
const TAKE_LIMIT: Duration = Duration::from_secs(10);
const CONNECT: &str = "connect a writer";
const TAKE: &str = "spare a writer";

/// `PostgreSQL` cuts application names off after this many bytes.
const NAME_LIMIT: usize = 63;
const NAME_PREFIX: &str = "globalshop writer ";

/// The application name of an owner's writers, by which a taker finds them.
pub fn application_name(owner: &str) -> String {
    format!("{NAME_PREFIX}{owner}")
}

/// The connections, at rest or at work.
#[derive(Debug)]
pub struct Writers {
    options: PgConnectOptions,
    clock: Clock,
    permits: Semaphore,
    resting: Mutex<Vec<Resting>>,
    full: AtomicBool,
}

#[derive(Debug)]
struct Resting {
    connection: PgConnection,
    since: Instant,
}

impl Writers {
    /// Connects every writer, and refuses a server that could lose what it acknowledges.
    pub async fn open(
        options: &PgConnectOptions,
        settings: &PostgresSettings,
        clock: Clock,
    ) -> Result<Self, OpenFault> {
        let name = application_name(&settings.owner);
        if name.len() > NAME_LIMIT {
            return Err(OpenFault::LongOwner {
                owner: settings.owner.clone(),
                limit: NAME_LIMIT - NAME_PREFIX.len(),
            });
        }
        let options = options
            .clone()
            .application_name(&name)
            .options([
                ("statement_timeout", STATEMENT_LIMIT),
                ("lock_timeout", LOCK_LIMIT),
                ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_LIMIT),
                // The append has one good plan; looking at the values for a better one costs more
                // than a small append does.
                ("plan_cache_mode", "force_generic_plan"),
                // Nor may that plan be one for tables that were still empty when it was made.
                ("enable_seqscan", "off"),
            ])
            .disable_statement_logging();
        let count = settings.writers.max(1);
        let writers = Self {
            options,
            clock,
            permits: Semaphore::new(usize::try_from(count).unwrap_or(1)),
            resting: Mutex::default(),
            full: AtomicBool::new(false),
        };
        for _ in 0..count {
            let connection = writers.connect().await?;
            writers.rest(connection);
        }
        Ok(writers)
    }

    /// A connection to append with; waits while all are at work. Nothing has been sent when this
    /// fails.
    pub async fn take(&self) -> Result<Writer<'_>, OpenFault> {
        let permit = timeout(TAKE_LIMIT, self.permits.acquire())
            .await
            .map_err(|_| JournalFault::Late {
                action: TAKE,
                limit: TAKE_LIMIT,
            })?
            .map_err(|_| JournalFault::Database {
                action: TAKE,
                source: sqlx::Error::PoolClosed,
            })?;
        loop {
            let rested = self.resting.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = match rested {
                None => self.connect().await?,
                Some(Resting {
                    mut connection,
                    since,
                }) => {
                    let trusted = self.clock.instant().duration_since(since) <= TRUSTED_FOR
                        || matches!(timeout(PING_LIMIT, connection.ping()).await, Ok(Ok(())));
                    if !trusted {
                        continue;
                    }
                    connection
                }
            };
            return Ok(Writer {
                writers: self,
                connection,
                _permit: permit,
            });
        }
    }

    /// Notes whether the newest append found room.
    pub fn note_room(&self, found: bool) {
        self.full.store(!found, Relaxed);
    }

    /// Whether the newest append found no room.
    pub fn are_out_of_room(&self) -> bool {
        self.full.load(Relaxed)
    }

    async fn connect(&self) -> Result<PgConnection, OpenFault> {
        let mut connection = timeout(CONNECT_LIMIT, self.options.connect())
            .await
            .map_err(|_| JournalFault::Late {
                action: CONNECT,
                limit: CONNECT_LIMIT,
            })?
            .map_err(|source| JournalFault::Database {
                action: CONNECT,
                source,
            })?;
        server::refuse_unless_durable(&mut connection).await?;
        Ok(connection)
    }

    fn rest(&self, connection: PgConnection) {
        let since = self.clock.instant();
        self.resting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Resting { connection, since });
    }
}

/// A connection at work. Dropped, it is closed: only [`Writer::rest`] keeps it, after an answer that
/// was read to its end.
pub struct Writer<'a> {
    writers: &'a Writers,
    connection: PgConnection,
    _permit: SemaphorePermit<'a>,
}

impl Writer<'_> {
    /// What to talk to.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// Gives the connection back.
    pub fn rest(self) {
        self.writers.rest(self.connection);
    }
}

//! The connections that read, claim and tidy up: a small pool.

use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, PgConnection, PgPool, Postgres};
use tokio::time::timeout;

use crate::journal::JournalFault;

/// How long a question may take, waiting for a connection included.
pub const READ_LIMIT: Duration = Duration::from_secs(5);
/// How long the server works on one before it gives up: less, so that mostly it is the server that
/// ends a question and the connection stays good.
const STATEMENT_LIMIT: &str = "4s";
/// How long a question waits for a row that somebody else has locked.
pub const LOCK_LIMIT: Duration = Duration::from_millis(250);
const ACQUIRE_LIMIT: Duration = Duration::from_secs(2);
/// A connection that has rested longer is asked whether it still works before it is used.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// The pool, and the one way to use it.
#[derive(Debug)]
pub struct Readers {
    pool: PgPool,
}

impl Readers {
    /// A pool that connects when it is first asked.
    pub fn open(options: &PgConnectOptions, connections: u32) -> Self {
        let lock_limit = format!("{}ms", LOCK_LIMIT.as_millis());
        let options = options
            .clone()
            .application_name("globalshop reader")
            .options([
                ("statement_timeout", STATEMENT_LIMIT),
                ("lock_timeout", lock_limit.as_str()),
                ("idle_in_transaction_session_timeout", "500ms"),
                // Every question here goes through an index. Without this a statement that was
                // planned while the journal was empty would scan it for as long as it lives.
                ("enable_seqscan", "off"),
            ])
            .disable_statement_logging();
        let pool = PgPoolOptions::new()
            .max_connections(connections.max(1))
            .acquire_timeout(ACQUIRE_LIMIT)
            .test_before_acquire(false)
            .before_acquire(|connection, resting| {
                Box::pin(async move {
                    if resting.idle_for > TRUSTED_FOR {
                        sqlx::Connection::ping(connection).await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(options);
        Self { pool }
    }

    /// Asks one question within [`READ_LIMIT`].
    pub async fn ask<T, Q>(&self, action: &'static str, question: Q) -> Result<T, JournalFault>
    where
        Q: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, sqlx::Error>> + Send,
        T: Send,
    {
        let answer = async {
            let mut connection = OnLoan(Some(self.pool.acquire().await?));
            let answer = question(connection.get()?).await;
            if matches!(
                &answer,
                Ok(_) | Err(sqlx::Error::Database(_) | sqlx::Error::RowNotFound)
            ) {
                connection.give_back();
            }
            answer
        };
        match timeout(READ_LIMIT, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(source)) => Err(JournalFault::Database { action, source }),
            Err(_) => Err(JournalFault::Late {
                action,
                limit: READ_LIMIT,
            }),
        }
    }
}

/// A connection that is closed unless it was given back: one whose question was dropped half-way
/// still has an answer to another question in it.
struct OnLoan(Option<PoolConnection<Postgres>>);

impl OnLoan {
    fn get(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        self.0.as_deref_mut().ok_or(sqlx::Error::PoolClosed)
    }

    fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for OnLoan {
    fn drop(&mut self) {
        if let Some(connection) = &mut self.0 {
            connection.close_on_drop();
        }
    }
}

//! Brings a database to the shape this build expects: forward only, one migration a file.
//!
//! The migrations of every room stand in one folder and run in the order of their numbers, under an
//! advisory lock, so that nodes that start together do it once.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::time::timeout;

use super::{JournalFault, OpenFault};

/// Another node's migration, or a busy table, is waited for this long.
const LOCK_LIMIT: &str = "30s";
/// All of it together, an index on a large journal included.
const MIGRATE_LIMIT: Duration = Duration::from_secs(30 * 60);
const ACTION: &str = "migrate";

/// Applies every migration that the database does not have yet; says how many there are in all.
///
/// # Errors
/// When the database cannot be reached, holds migrations this build does not know, or one fails:
/// that one then leaves nothing behind.
pub async fn migrate(options: &PgConnectOptions) -> Result<usize, OpenFault> {
    let migrator = sqlx::migrate!("./migrations");
    let options = options.clone().options([("lock_timeout", LOCK_LIMIT)]);
    let work = async {
        let mut connection = options.connect().await.map_err(|source| JournalFault::Database {
            action: ACTION,
            source,
        })?;
        migrator.run(&mut connection).await?;
        // The work is done; a connection that does not close properly is the server's to find.
        let _ = connection.close().await;
        Ok(migrator.iter().count())
    };
    timeout(MIGRATE_LIMIT, work)
        .await
        .unwrap_or(Err(OpenFault::Journal(JournalFault::Late {
            action: ACTION,
            limit: MIGRATE_LIMIT,
        })))
}

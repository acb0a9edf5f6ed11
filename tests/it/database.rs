//! A PostgreSQL database for each test: fresh, migrated, its own.
//!
//! The server is the one that `GLOBALSHOP_TEST_DATABASE` names (a URL of a role that may create
//! databases), or else a private one, started by the first test that needs it and stopped with the
//! process. Its folder is kept, so the next run does not wait for `initdb`.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use globalshop::embedded::{Embedded, EmbeddedFault};
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, PgPool};
use tokio::sync::{OnceCell, oneshot};

/// What every database of these tests is called, before the process and a number.
const NAME: &str = "globalshop_it";

/// A pool on a database of its own, with every migration applied.
pub async fn fresh() -> PgPool {
    let database = fresh_options().await;
    // As many tests run at once as there are cores, and the private server has a hundred places,
    // of which a node takes about twenty.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let share = u32::try_from(32 / cores).unwrap_or(0).clamp(2, 8);
    PgPoolOptions::new()
        .max_connections(share)
        .acquire_timeout(Duration::from_secs(30))
        .connect_with(database)
        .await
        .unwrap()
}

/// How to connect to a database of its own, with every migration applied: for a node that makes its
/// own pools.
pub async fn fresh_options() -> PgConnectOptions {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let server = server().await;
    let name = format!(
        "{NAME}_{}_{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    );
    // A copy of a migrated database costs a tenth of the migrations.
    let template = &server.template;
    let mut admin = server.admin.connect().await.unwrap();
    run(&mut admin, format!("create database {name} template {template}")).await;
    admin.close().await.unwrap();
    server.admin.clone().database(&name)
}

struct Server {
    /// Connects to a database that always exists.
    admin: PgConnectOptions,
    template: String,
}

async fn server() -> &'static Server {
    static SERVER: OnceCell<Server> = OnceCell::const_new();
    SERVER
        .get_or_init(|| async {
            let admin = match std::env::var("GLOBALSHOP_TEST_DATABASE") {
                Ok(url) => PgConnectOptions::from_str(&url).unwrap(),
                Err(_) => private_server().await,
            };
            let admin = admin.disable_statement_logging();
            let mut connection = admin.connect().await.unwrap();
            drop_leftovers(&mut connection).await;
            let template = format!("{NAME}_{}_template", std::process::id());
            run(&mut connection, format!("create database {template}")).await;
            connection.close().await.unwrap();
            migrate(&admin.clone().database(&template)).await;
            Server { admin, template }
        })
        .await
}

/// Reads the migrations as they are now, not as they were when this file was compiled.
async fn migrate(database: &PgConnectOptions) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let migrator = Migrator::new(folder).await.unwrap();
    let mut connection = database.connect().await.unwrap();
    migrator.run(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// Removes the databases of test processes that are gone.
async fn drop_leftovers(connection: &mut PgConnection) {
    let names: Vec<String> = sqlx::query_scalar("select datname from pg_database where datname like $1")
        .bind(format!("{NAME}\\_%"))
        .fetch_all(&mut *connection)
        .await
        .unwrap();
    for name in names {
        let owner = name[NAME.len() + 1..].split('_').next().unwrap_or_default();
        let gone = owner == std::process::id().to_string() || !Path::new("/proc").join(owner).exists();
        if gone {
            run(connection, format!("drop database if exists {name} with (force)")).await;
        }
    }
}

async fn run(connection: &mut PgConnection, statement: String) {
    sqlx::query(AssertSqlSafe(statement))
        .execute(connection)
        .await
        .unwrap();
}

/// Starts the private server on a thread of its own, which outlives every test and its runtime.
/// The server ends with that thread, that is, with the process.
async fn private_server() -> PgConnectOptions {
    let (tell, told) = oneshot::channel();
    std::thread::Builder::new()
        .name("private-postgres".to_owned())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let embedded = start_in_a_free_folder().await;
                // The database beside the shop's own, for creating others.
                tell.send(embedded.connect_options().database("postgres"))
                    .unwrap();
                let fault = embedded.given_up().await;
                panic!("the private PostgreSQL of the tests ended: {fault}");
            });
        })
        .unwrap();
    told.await
        .expect("the private PostgreSQL of the tests did not start")
}

/// Two test processes at once each get a folder; usually the first is free.
async fn start_in_a_free_folder() -> Embedded {
    for number in 0..16 {
        match Embedded::start(&folder(number)).await {
            Err(EmbeddedFault::InUse { .. }) => {}
            started => return started.unwrap(),
        }
    }
    panic!("sixteen test processes hold a PostgreSQL already");
}

/// Outside the source tree, which PostgreSQL's own user may not be able to enter, and short enough
/// for a socket.
fn folder(number: u32) -> PathBuf {
    let user = rustix::process::getuid().as_raw();
    PathBuf::from(format!("/var/tmp/globalshop-it-{user}/{number}"))
}

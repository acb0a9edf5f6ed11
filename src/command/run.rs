//! `globalshop run`, `serve` and `migrate`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr as _;

use clap::Args;
use sqlx::postgres::PgConnectOptions;
use tokio::signal::unix::{SignalKind, signal};

use super::door::Running;
use super::{Failed, Reach};
use crate::accounts::DemoAccount;
use crate::clock::Clock;
use crate::config::Settings;
use crate::embedded::{self, Embedded};
use crate::journal::migrate::migrate as migrate_schema;
use crate::machine::allow_open_files;
use crate::node::{Node, Plan};

/// Files that a node has open besides its clients': its database's connections, its log, what it watches.
const FILES_OF_ITS_OWN: u64 = 256;

/// Run one node on the embedded default.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// Where to listen [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// The data folder.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Fill an empty shop with a demo catalogue and accounts.
    #[arg(long)]
    demo: bool,
}

/// Run a node of a cluster.
#[derive(Args, Debug)]
pub struct ServeArgs {
    /// The settings.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The node's name.
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// The folder of the signing key.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

pub(super) async fn run(args: RunArgs) -> Result<ExitCode, Failed> {
    let mut settings = Settings::load(None)?;
    // `run` is the embedded default, whatever the environment says of other databases.
    settings.journal.database = None;
    if let Some(listen) = args.listen {
        settings.node.listen = listen;
        settings.node.public_url = format!("http://{}", local_name(listen));
    }
    let data = match args.data {
        Some(folder) => folder,
        None => embedded::default_data_dir()?,
    };
    Box::pin(open(settings, data, args.demo)).await
}

pub(super) async fn serve(args: ServeArgs) -> Result<ExitCode, Failed> {
    let mut settings = Settings::load(Some(&args.config))?;
    if let Some(node) = args.node {
        settings.node.name = node;
    }
    let data = match args.data {
        Some(folder) => folder,
        None => embedded::default_data_dir()?,
    };
    Box::pin(open(settings, data, false)).await
}

async fn open(settings: Settings, data: PathBuf, demo: bool) -> Result<ExitCode, Failed> {
    eprintln!("Opening the shop in {} …", data.display());
    allow_connections(&settings);
    let clock = Clock::system();
    let plan = Plan {
        listen: Some(settings.node.listen),
        settings,
        data: data.clone(),
    };
    let node = Node::start(plan, clock).await?;
    let address = node
        .address()
        .ok_or_else(|| Failed::new("the node does not listen"))?;
    let url = format!("http://{}", local_name(address));
    let opened = if demo { fill(&node).await } else { Ok(vec![]) };
    let result = match opened {
        Ok(accounts) => {
            Running {
                url: url.clone(),
                pid: std::process::id(),
            }
            .leave(&data)?;
            greet(&url, &accounts);
            wait(&node).await
        }
        Err(failed) => Err(failed),
    };
    Running::remove(&data);
    eprintln!("Closing the shop …");
    node.stop().await;
    result
}

/// Says so when the machine allows fewer connections than the settings do: those beyond would wait unanswered.
fn allow_connections(settings: &Settings) {
    let wanted = settings.limits.connections as u64 + FILES_OF_ITS_OWN;
    if let Some(allowed) = allow_open_files().filter(|allowed| *allowed < wanted) {
        eprintln!(
            "Only {allowed} files may be open here, and limits.connections = {} needs {wanted}: raise the hard limit (ulimit -Hn), or lower the setting.",
            settings.limits.connections
        );
    }
}

/// Waits for a signal, or for the node to fail.
async fn wait(node: &Node) -> Result<ExitCode, Failed> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => Ok(ExitCode::SUCCESS),
        _ = interrupt.recv() => Ok(ExitCode::SUCCESS),
        reason = node.failed() => Err(Failed::new(format!("the node cannot go on: {reason}"))),
    }
}

/// Fills an empty shop.
async fn fill(node: &Node) -> Result<Vec<DemoAccount>, Failed> {
    node.imports().fill_demo().await?;
    Ok(node.accounts().ensure_demo_accounts().await?)
}

fn greet(url: &str, accounts: &[DemoAccount]) {
    println!("The shop is open at {url}");
    println!("  mailbox     {url}/dev/mail");
    println!("  API         {url}/docs");
    for account in accounts {
        let password = account
            .password
            .as_ref()
            .map_or("(changed)", |password| password.expose());
        println!("  {:<11} {}  {}", account.role.name(), account.email, password);
    }
    println!("Stop it with Ctrl-C.");
}

/// An address as people on this machine type it.
fn local_name(address: SocketAddr) -> String {
    if address.ip().is_loopback() || address.ip().is_unspecified() {
        format!("localhost:{}", address.port())
    } else {
        address.to_string()
    }
}

pub(super) async fn migrate(reach: Reach) -> Result<ExitCode, Failed> {
    let settings = reach.settings()?;
    let count = match &settings.journal.database {
        Some(url) => migrate_schema(&PgConnectOptions::from_str(url)?).await?,
        None => migrate_embedded(&reach.folder()?).await?,
    };
    println!("The schema is up to date: {count} migrations.");
    Ok(ExitCode::SUCCESS)
}

async fn migrate_embedded(folder: &Path) -> Result<usize, Failed> {
    let embedded = Embedded::start(folder).await?;
    let result = migrate_schema(&embedded.connect_options()).await;
    embedded.stop().await;
    Ok(result?)
}

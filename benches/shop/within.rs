//! The shop as a library, in a process of its own: the same node as the binary's, with the journal of
//! the caller's choice, and beside its routes some that lead straight to the stock of a SKU. The shop
//! has no route that holds stock: orders do that. These have no front door: no login, no log line.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path as Named, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use globalshop::clock::Clock;
use globalshop::cluster::{Ask, AskError, Region};
use globalshop::config::Settings;
use globalshop::domain::id::{OrderId, Sku};
use globalshop::domain::stock::{Command as StockCommand, HoldKey, Refusal, Stock};
use globalshop::domain::{Millis, ShardCount};
use globalshop::http::serve::{ServeSettings, serve};
use globalshop::journal::{Journal, MemoryJournal};
use globalshop::node::{Node, Plan};
use hyper::Method;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use crate::client::{Call, Connection, Worker, call, drive};
use crate::effort::{Effort, effort};
use crate::node::folder;

/// The argument that makes this binary the shop; a folder and a journal follow.
pub const ARGUMENT: &str = "open-shop";

/// Where the shop keeps its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// In PostgreSQL, as always.
    Postgres,
    /// In memory: everything else is the same, and nothing is durable.
    Memory,
}

impl Keeping {
    const fn word(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Memory => "memory",
        }
    }
}

/// A running one.
pub struct Within {
    pub address: String,
    folder: PathBuf,
    process: Child,
}

impl Within {
    pub async fn open(name: &str, keeping: Keeping) -> Self {
        let folder = folder(&format!("{name}-{}", keeping.word()));
        let mut process = Command::new(std::env::current_exe().unwrap())
            .arg(ARGUMENT)
            .arg(&folder)
            .arg(keeping.word())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut address = String::new();
        let mut said = BufReader::new(process.stdout.take().unwrap());
        said.read_line(&mut address).await.unwrap();
        Self {
            address: address.trim_end().to_owned(),
            folder,
            process,
        }
    }

    pub fn effort(&self) -> Effort {
        effort(self.process.id().expect("the shop still runs"))
    }

    /// Has the process stop its node, and removes the folder.
    pub async fn close(mut self) {
        drop(self.process.stdin.take());
        assert!(self.process.wait().await.unwrap().success());
        std::fs::remove_dir_all(&self.folder).unwrap();
    }

    /// Holds one unit of a SKU; each call for another order.
    pub fn hold(&self, sku: &str) -> Call {
        call(
            Method::POST,
            &self.address,
            &format!("/bench/hold/{sku}"),
            None,
            "",
        )
    }

    /// Brings units of a SKU.
    pub async fn stock(&self, sku: &str, units: u64) {
        self.ask(Method::POST, &format!("/bench/stock/{sku}/{units}"))
            .await;
    }

    /// Units of a SKU that are held, and that can still be.
    pub async fn levels(&self, sku: &str) -> (usize, usize) {
        let said = self.ask(Method::GET, &format!("/bench/levels/{sku}")).await;
        let (held, available) = said.split_once(' ').unwrap();
        (held.parse().unwrap(), available.parse().unwrap())
    }

    /// Has `callers` within the process hold units for a turn; answers with holds a second.
    pub async fn drive(&self, sku: &str, callers: usize, turn: Duration) -> f64 {
        let path = format!("/bench/turn/{sku}/{callers}/{}", turn.as_millis());
        self.ask(Method::POST, &path).await.parse().unwrap()
    }

    async fn ask(&self, method: Method, path: &str) -> String {
        let mut connection = Connection::open(&self.address).await;
        let (status, _, body) = connection
            .send(&call(method, &self.address, path, None, ""))
            .await;
        assert_eq!(status, StatusCode::OK, "{path} {body:?}");
        String::from_utf8(body.to_vec()).unwrap()
    }
}

#[derive(Clone)]
struct Door {
    region: Region,
    clock: Clock,
}

/// What the process of its own does, until its standard input ends.
pub async fn serve_it(folder: &Path, keeping: &str) {
    let clock = Clock::system();
    let plan = Plan {
        settings: Settings::load(None).unwrap(),
        data: folder.to_owned(),
        listen: None,
    };
    let node = if keeping == Keeping::Memory.word() {
        let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new(ShardCount::DEFAULT, clock.clone()));
        Node::start_on(plan, clock.clone(), journal).await
    } else {
        Node::start(plan, clock.clone()).await
    };
    let node = node.unwrap();
    node.imports().fill_demo().await.unwrap();
    let door = Door {
        region: node.region().clone(),
        clock: clock.clone(),
    };
    let router = Router::new()
        .route("/bench/hold/{sku}", post(hold))
        .route("/bench/stock/{sku}/{units}", post(stock))
        .route("/bench/levels/{sku}", get(levels))
        .route("/bench/turn/{sku}/{callers}/{millis}", post(turn))
        .with_state(door)
        .merge(node.router());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let serving = tokio::spawn(serve(
        listener,
        router,
        ServeSettings::default(),
        clock,
        stop.clone(),
    ));
    let mut nothing = String::new();
    BufReader::new(tokio::io::stdin())
        .read_line(&mut nothing)
        .await
        .unwrap();
    stop.cancel();
    serving.await.unwrap();
    node.stop().await;
}

/// Holds a unit for a line of an order that nobody has seen before.
async fn take(door: &Door, sku: &Sku) -> Result<(), AskError<Refusal>> {
    let command = StockCommand::Hold {
        key: HoldKey {
            order: OrderId(door.clock.new_id()),
            line: 0,
        },
        quantity: 1,
        lapses_at: Millis(door.clock.now().0 + 20 * 60_000),
    };
    door.region
        .ask::<Stock>(&sku.stock(), Ask::new(command))
        .await
        .map(drop)
}

async fn hold(State(door): State<Door>, Named(sku): Named<Sku>) -> Result<(), StatusCode> {
    match take(&door, &sku).await {
        Ok(()) => Ok(()),
        Err(AskError::Refused(Refusal::OutOfStock { .. })) => Err(StatusCode::CONFLICT),
        Err(_) => Err(StatusCode::SERVICE_UNAVAILABLE),
    }
}

async fn stock(State(door): State<Door>, Named((sku, delta)): Named<(Sku, i64)>) -> Result<(), StatusCode> {
    let command = StockCommand::Adjust {
        delta,
        reason: "for the bench".to_owned(),
    };
    let asked = door.region.ask::<Stock>(&sku.stock(), Ask::new(command)).await;
    asked.map(drop).map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
}

async fn levels(State(door): State<Door>, Named(sku): Named<Sku>) -> Result<String, StatusCode> {
    let read = door.region.read::<Stock>(&sku.stock()).await;
    let levels = read.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?.view;
    Ok(format!("{} {}", levels.held, levels.available()))
}

/// Somebody within the process who wants one unit after the other.
struct Caller {
    door: Door,
    sku: Sku,
}

impl Worker for Caller {
    async fn work(&mut self) -> usize {
        take(&self.door, &self.sku).await.unwrap();
        1
    }
}

async fn turn(
    State(door): State<Door>,
    Named((sku, callers, millis)): Named<(Sku, usize, u64)>,
) -> Result<String, StatusCode> {
    let mut callers: Vec<Caller> = (0..callers)
        .map(|_| Caller {
            door: door.clone(),
            sku: sku.clone(),
        })
        .collect();
    let rate = drive(&door.clock, Duration::from_millis(millis), &mut callers).await;
    Ok(rate.to_string())
}

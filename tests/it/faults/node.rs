//! A shop in a process of its own: the real binary, its folder, its port, its PostgreSQL.

use std::fs::File;
use std::io::Read as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use globalshop::clock::Clock;
use reqwest::{Client, Method, Response};
use rustix::process::Signal;
use serde_json::{Value, json};
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::sync::Mutex;

use super::tools::signal;
use crate::eventually::eventually;
use crate::scratch::Scratch;

/// The binary under test.
const BINARY: &str = env!("CARGO_BIN_EXE_globalshop");
/// How long one call may take: longer than any of the shop's own limits.
const CALL_LIMIT: Duration = Duration::from_secs(30);
/// How much of the node's log a failed test shows.
const LAST_WORDS: usize = 6_000;

/// A command of the binary, without what the shop would read from our environment.
pub fn binary() -> Command {
    let mut command = Command::new(BINARY);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GLOBALSHOP_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// A node and everything that belongs to it. Dropped, nothing of it stays.
pub struct Node {
    scratch: Scratch,
    port: u16,
    settings: Vec<(String, String)>,
    /// `serve` on a database of the test's own instead of `run`.
    external: bool,
    child: Option<Child>,
    client: Client,
    /// What its folder was copied from stays as long as somebody may copy it.
    _demo: Option<Arc<Node>>,
}

impl Node {
    /// Opens the demo shop, with these settings on top of the defaults.
    pub async fn open(settings: &[(&str, &str)]) -> Self {
        let mut node = Self::closed(settings).await;
        node.start().await;
        node
    }

    /// A filled shop that is not running.
    pub async fn closed(settings: &[(&str, &str)]) -> Self {
        let demo = demo().await;
        let mut node = Self::empty(settings);
        copy(&demo.data(), &node.data());
        node._demo = Some(demo);
        node
    }

    /// A shop whose data folder lies where the test says, for instance on a small disk.
    pub async fn closed_in(folder: &Path, settings: &[(&str, &str)]) -> Self {
        let demo = demo().await;
        let mut node = Self::empty(settings);
        copy(&demo.data(), folder);
        std::os::unix::fs::symlink(folder, node.data()).unwrap();
        node._demo = Some(demo);
        node
    }

    /// A node without anything yet: for one whose database is elsewhere.
    pub fn bare() -> Self {
        Self::empty(&[])
    }

    fn empty(settings: &[(&str, &str)]) -> Self {
        let settings = settings.iter().map(|(key, value)| {
            let key = key.to_uppercase().replace('.', "__");
            (format!("GLOBALSHOP_{key}"), (*value).to_owned())
        });
        Self {
            scratch: Scratch::new(),
            port: free_port(),
            settings: settings.collect(),
            external: false,
            child: None,
            client: Client::builder().timeout(CALL_LIMIT).build().unwrap(),
            _demo: None,
        }
    }

    /// Sets one more variable of its environment, as it is, for the next start.
    pub fn environment(&mut self, name: &str, value: &str) {
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    /// Has it use a database that the test runs.
    pub fn use_database(&mut self, url: &str) {
        self.environment("GLOBALSHOP_JOURNAL__DATABASE", url);
        self.external = true;
    }

    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    pub fn data(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    // Its life.

    /// Starts it and waits until it is ready.
    pub async fn start(&mut self) {
        self.launch();
        self.ready().await;
    }

    /// Starts it.
    pub fn launch(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .unwrap();
        let mut command = binary();
        let listen = format!("127.0.0.1:{}", self.port);
        if self.external {
            let settings = self.scratch.path().join("cluster.toml");
            std::fs::write(&settings, format!("[node]\nlisten = \"{listen}\"\n")).unwrap();
            command.arg("serve").arg("--config").arg(settings);
        } else {
            command.args(["run", "--demo", "--listen", &listen]);
        }
        command.arg("--data").arg(self.data());
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    /// Waits until it has left its note, which it does when it is filled, and says that it is ready.
    pub async fn ready(&mut self) {
        let note = self.data().join("node.json");
        let (client, url) = (self.client.clone(), self.url());
        let child = self.child.as_mut().unwrap();
        eventually("the node is ready", async || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the node ended with {status} instead of becoming ready");
            }
            let told: Value = std::fs::read(&note)
                .map_err(|fault| fault.to_string())
                .and_then(|note| serde_json::from_slice(&note).map_err(|fault| fault.to_string()))?;
            if told["pid"] != child.id() {
                return Err("the note is an old one".to_owned());
            }
            let answer = client.get(format!("{url}/readyz")).send().await;
            match answer {
                Ok(answer) if answer.status() == 200 => Ok(()),
                Ok(answer) => Err(answer.status().to_string()),
                Err(fault) => Err(fault.to_string()),
            }
        })
        .await;
    }

    pub fn is_running(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// `kill -9` of the node alone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Ends it as an operator would; it ends well and leaves no PostgreSQL behind.
    pub async fn stop(&mut self) {
        let mut child = self.child.take().unwrap();
        signal(child.id(), Signal::TERM);
        let status = eventually("the node stops", async || {
            child.try_wait().unwrap().ok_or("still running")
        })
        .await;
        assert!(
            status.success(),
            "the node ended with {status}\n{}",
            self.last_words()
        );
        assert_eq!(
            self.database_processes(),
            Vec::<u32>::new(),
            "PostgreSQL was left behind"
        );
    }

    // Its PostgreSQL.

    /// The server's own process.
    pub fn postmaster(&self) -> u32 {
        let noted = std::fs::read_to_string(self.data().join("postgres/postmaster.pid")).unwrap();
        noted.lines().next().unwrap().parse().unwrap()
    }

    /// Every process of its PostgreSQL, known by the folder they live in.
    pub fn database_processes(&self) -> Vec<u32> {
        let Ok(cluster) = self.data().join("postgres").canonicalize() else {
            return vec![];
        };
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter(|entry| std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == cluster))
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect()
    }

    /// A connection to its database, as an administrator has one.
    pub async fn database(&self) -> PgConnection {
        self.database_options().connect().await.unwrap()
    }

    pub fn database_options(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(self.data().join("socket"))
            .username("postgres")
            .database("globalshop")
            .application_name("a test")
            .disable_statement_logging()
    }

    // Asking it.

    /// A token of a role, signed with the key in its folder.
    pub fn token(&self, role: &str) -> String {
        let mut command = binary();
        command.args(["token", "--role", role, "--data"]).arg(self.data());
        let printed = command.output().unwrap();
        assert!(
            printed.status.success(),
            "{}",
            String::from_utf8_lossy(&printed.stderr)
        );
        let text = String::from_utf8(printed.stdout).unwrap();
        text.split_whitespace().last().unwrap().to_owned()
    }

    /// One call. `None`: there was no answer.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Option<Response> {
        let mut request = self
            .client
            .request(method.clone(), format!("{}{path}", self.url()));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if method == Method::POST {
            request = request.header("idempotency-key", Clock::system().new_id().to_string());
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.ok()?;
        assert_ne!(answer.status(), 500, "{method} {path}\n{}", self.last_words());
        if answer.status() == 503 {
            assert!(
                answer.headers().contains_key("retry-after"),
                "{method} {path}: 503 without Retry-After"
            );
        }
        Some(answer)
    }

    /// A call that must succeed; its JSON.
    pub async fn ask(&self, method: Method, path: &str, token: Option<&str>, body: Option<&Value>) -> Value {
        let answer = self.call(method, path, token, body).await.expect("an answer");
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(
            status.is_success(),
            "{path}: {status} {text}\n{}",
            self.last_words()
        );
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// A fresh guest's token.
    pub async fn guest(&self) -> String {
        let guest = self.ask(Method::POST, "/v1/guests", None, None).await;
        guest["access_token"].as_str().unwrap().to_owned()
    }

    /// Whether the catalogue is served.
    pub async fn shows_products(&self) -> bool {
        let page = self.ask(Method::GET, "/v1/products?limit=50", None, None).await;
        page["items"].as_array().is_some_and(|items| items.len() == 50)
    }

    /// A SKU there is plenty of.
    pub async fn sku(&self) -> String {
        let page = self.ask(Method::GET, "/v1/products?limit=50", None, None).await;
        let in_stock = page["items"]
            .as_array()
            .unwrap()
            .iter()
            .find(|product| product["availability"] == "in_stock");
        let sku = in_stock.unwrap()["sku"].as_str().unwrap().to_owned();
        // More than all the shoppers of a test buy of it meanwhile.
        let body = json!({"delta": 10_000, "reason": "delivery"});
        let path = format!("/v1/stock/{sku}/adjustments");
        let seller = self.token("seller");
        self.ask(Method::POST, &path, Some(&seller), Some(&body)).await;
        sku
    }

    /// The readiness probe: the status, and what the node waits for.
    pub async fn readiness(&self) -> (u16, Value) {
        let answer = self.call(Method::GET, "/readyz", None, None).await.unwrap();
        let status = answer.status().as_u16();
        let told: Value = answer.json().await.unwrap();
        (status, told["missing"].clone())
    }

    /// Puts one unit into the cart; the status, if there was an answer.
    pub async fn put(&self, guest: &str, sku: &str) -> Option<u16> {
        let body = json!({"quantity": 1});
        let path = format!("/v1/cart/lines/{sku}");
        let answer = self.call(Method::PUT, &path, Some(guest), Some(&body)).await?;
        Some(answer.status().as_u16())
    }

    /// Waits until a cart can be written again, by itself; says how long that took.
    pub async fn writes_again(&self, guest: &str, sku: &str) -> Duration {
        let clock = Clock::system();
        let from = clock.instant();
        eventually("a cart can be written", async || {
            match self.put(guest, sku).await {
                Some(200) => Ok(()),
                other => Err(other),
            }
        })
        .await;
        clock.instant() - from
    }

    /// Checks a cart of one unit out; the order's id.
    pub async fn check_out(&self, guest: &str, sku: &str, payment: &str) -> String {
        assert_eq!(self.put(guest, sku).await, Some(200));
        let body = json!({
            "email": "ada@faults.example",
            "shipping_address": {"name": "Ada", "line1": "Invalidenstr. 1", "city": "Berlin",
                                 "postal_code": "10115", "country": "DE"},
            "shipping_method": "standard",
            "payment": {"provider": "sandbox", "token": payment},
        });
        let accepted = self
            .ask(Method::POST, "/v1/cart/checkout", Some(guest), Some(&body))
            .await;
        accepted["order_id"].as_str().unwrap().to_owned()
    }

    /// What the shop says of an order.
    pub async fn order(&self, guest: &str, order: &str) -> Value {
        self.ask(Method::GET, &format!("/v1/orders/{order}"), Some(guest), None)
            .await
    }

    /// Waits until an order has this status.
    pub async fn order_is(&self, guest: &str, order: &str, status: &str) {
        eventually(status, async || {
            let now = self.order(guest, order).await;
            if now["status"] == status {
                Ok(())
            } else {
                Err(now["status"].to_string())
            }
        })
        .await;
    }

    // Judging it.

    /// Every order has ended, every invariant holds, and what `acks` says was acknowledged is there.
    pub async fn audit(&self, acks: Option<&Path>) -> Value {
        let seller = self.token("seller");
        eventually("every order has ended", async || {
            let path = "/v1/seller/orders?status=pending&limit=100";
            let page = self.ask(Method::GET, path, Some(&seller), None).await;
            match page["items"].as_array().unwrap() {
                none if none.is_empty() => Ok(()),
                pending => Err(format!("{pending:?}")),
            }
        })
        .await;
        let operator = self.token("operator");
        eventually("every consumer has caught up", async || {
            let found = self
                .ask(Method::GET, "/ops/v1/invariants", Some(&operator), None)
                .await;
            let relay = found["items"]
                .as_array()
                .unwrap()
                .iter()
                .find(|item| item["id"] == "I7")
                .unwrap();
            match relay["figures"]["in_flight"].as_u64() {
                Some(0) => Ok(()),
                other => Err(other),
            }
        })
        .await;
        let mut command = tokio::process::Command::from(binary());
        command.args(["audit", "--json", "--data"]).arg(self.data());
        if let Some(acks) = acks {
            command.arg("--acks").arg(acks);
        }
        let ended = command.output().await.unwrap();
        let told = String::from_utf8_lossy(&ended.stdout);
        assert!(
            ended.status.success(),
            "the audit is not clean: {told}{}\n{}",
            String::from_utf8_lossy(&ended.stderr),
            self.last_words()
        );
        let report: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
        for item in report["items"].as_array().unwrap() {
            // I6 is checked by those who subscribe.
            assert!(
                item["holds"] == true || item["id"] == "I6",
                "{} was not checked: {}",
                item["id"],
                item["reason"]
            );
        }
        report
    }

    fn log(&self) -> PathBuf {
        self.scratch.path().join("node.log")
    }

    /// What it has written to its log.
    pub fn told(&self) -> String {
        let mut told = Vec::new();
        File::open(self.log()).unwrap().read_to_end(&mut told).unwrap();
        String::from_utf8_lossy(&told).into_owned()
    }

    /// The end of its log, without the requests that went well.
    pub fn last_words(&self) -> String {
        let told = self.told();
        let lines: Vec<&str> = told
            .lines()
            .filter(|line| !line.contains("\"level\":\"INFO\"") || !line.contains("http::trace"))
            .filter(|line| !line.contains("FATAL:  "))
            .collect();
        let text = lines.join("\n");
        let from = text.len().saturating_sub(LAST_WORDS);
        let from = (from..=text.len())
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0);
        format!("--- the last words of the node\n{}\n---", &text[from..])
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() && self.log().exists() {
            println!("{}", self.last_words());
        }
        self.kill();
        // Its PostgreSQL is asked to stop when the node ends; what the test had stopped is killed.
        for pid in self.database_processes() {
            signal(pid, Signal::KILL);
        }
    }
}

/// A shop that was opened once, filled, and closed: what every test begins with a copy of. It goes with
/// the last test that holds it.
async fn demo() -> Arc<Node> {
    static DEMO: Mutex<Weak<Node>> = Mutex::const_new(Weak::new());
    let mut kept = DEMO.lock().await;
    if let Some(demo) = kept.upgrade() {
        return demo;
    }
    let mut node = Node::empty(&[]);
    node.start().await;
    // What it holds must not depend on how far it had come when it was closed.
    node.audit(None).await;
    node.stop().await;
    let demo = Arc::new(node);
    *kept = Arc::downgrade(&demo);
    demo
}

fn copy(from: &Path, to: &Path) {
    let mut command = Command::new("cp");
    command.arg("-a").arg("-T").arg(from).arg(to);
    assert!(
        command.status().unwrap().success(),
        "the demo shop was not copied"
    );
    // Or the first crash of the copy would wait for it: PostgreSQL's recovery begins with a sync.
    let written = Command::new("sync").arg("-f").arg(to).status();
    assert!(written.unwrap().success(), "the demo shop was not written");
}

/// A free port below the range that outgoing connections use: while the node is down, a client that
/// dials it again and again must not end up with the node's own port.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(std::process::id() % 1_000).unwrap() * 16;
    for _ in 0..1_000 {
        let port = 15_000 + (own + NEXT.fetch_add(1, Ordering::Relaxed)) % 17_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}

//! A shop of its own: the binary that ships, in a folder of its own, on a free port.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use crate::effort::{Effort, effort};

const BINARY: &str = env!("CARGO_BIN_EXE_globalshop");

pub struct Node {
    /// Where it answers.
    pub address: String,
    /// Its data, and room for the files of the bench.
    pub folder: PathBuf,
    process: Child,
    /// Kept open: the node may say more.
    _said: BufReader<ChildStdout>,
}

impl Node {
    /// Opens an empty shop.
    pub async fn open(name: &str) -> Self {
        let folder = folder(name);
        let log = File::create(folder.with_extension("log")).unwrap();
        let mut process = command()
            .args(["run", "--listen", "127.0.0.1:0", "--data"])
            .arg(&folder)
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap());
        let mut greeting = String::new();
        said.read_line(&mut greeting).await.unwrap();
        let (_, address) = greeting
            .trim_end()
            .split_once("http://")
            .expect("the shop does not open: its log lies beside its folder in /var/tmp");
        Self {
            address: address.replace("localhost", "127.0.0.1"),
            folder,
            process,
            _said: said,
        }
    }

    /// How to look into its database.
    pub fn database(&self) -> PgConnectOptions {
        database(&self.folder)
    }

    /// What it and its PostgreSQL have worked since they started.
    pub fn effort(&self) -> Effort {
        effort(self.pid().as_raw_nonzero().get().unsigned_abs())
    }

    /// Checks every invariant as an operator does.
    pub async fn audit(&self) {
        let output = command()
            .args(["audit", "--data"])
            .arg(&self.folder)
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// Imports a file as people do and answers with what the command said.
    pub async fn import(&self, file: &Path) -> String {
        let output = command()
            .arg("import")
            .arg(file)
            .args(["--format", "jsonl", "--data"])
            .arg(&self.folder)
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The resident memory of the node in bytes; its PostgreSQL is not in it.
    pub fn memory(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid().as_raw_nonzero())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        line.trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1_024
    }

    /// Closes the shop as an operator does and removes its folder.
    pub async fn close(mut self) {
        kill_process(self.pid(), Signal::TERM).unwrap();
        assert!(self.process.wait().await.unwrap().success());
        std::fs::remove_dir_all(&self.folder).unwrap();
        std::fs::remove_file(self.folder.with_extension("log")).unwrap();
    }

    fn pid(&self) -> Pid {
        let id = self.process.id().expect("the shop still runs");
        Pid::from_raw(i32::try_from(id).unwrap()).unwrap()
    }
}

/// The binary, with the documented settings whatever the environment says.
fn command() -> Command {
    let mut command = Command::new(BINARY);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("GLOBALSHOP_")) {
        command.env_remove(name);
    }
    command
}

/// A folder of this run. It lies in /var/tmp, which is a disk where /tmp may be memory.
pub fn folder(name: &str) -> PathBuf {
    PathBuf::from(format!("/var/tmp/globalshop-bench-{name}-{}", std::process::id()))
}

/// The embedded database of the shop in a data folder.
pub fn database(folder: &Path) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(folder.join("socket"))
        .username("postgres")
        .ssl_mode(PgSslMode::Disable)
        .database("globalshop")
}

//! The floor: an axum server that says hello and nothing else, in a process of its own like the shop.

use std::process::Stdio;

use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

/// The argument that makes this binary the server.
pub const ARGUMENT: &str = "say-hello";

pub struct Hello {
    pub address: String,
    process: Child,
}

impl Hello {
    pub async fn open() -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .arg(ARGUMENT)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut address = String::new();
        let mut said = BufReader::new(process.stdout.take().unwrap());
        said.read_line(&mut address).await.unwrap();
        Self {
            address: address.trim_end().to_owned(),
            process,
        }
    }

    pub async fn close(mut self) {
        self.process.kill().await.unwrap();
    }
}

/// What the process of its own does, until it is killed.
pub async fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let app = Router::new().route("/", get(async || "hello"));
    axum::serve(listener, app).await.unwrap();
}

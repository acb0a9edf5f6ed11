//! The generator: connections that always have one request on its way. It shares the cores with what
//! it measures, so requests are made beforehand and answers are read but not parsed.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use globalshop::clock::Clock;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, RETRY_AFTER};
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::interval;

/// How often somebody who was turned away comes back while the shop is prepared for a bench.
const MOST_TRIES: u32 = 200;

pub type Call = Request<Full<Bytes>>;

/// A request, ready to be sent any number of times.
pub fn call(method: Method, address: &str, path: &str, token: Option<&str>, body: &str) -> Call {
    let mut call = Request::builder().method(method).uri(path).header(HOST, address);
    if let Some(token) = token {
        call = call.header("authorization", format!("Bearer {token}"));
    }
    if !body.is_empty() {
        call = call.header("content-type", "application/json");
    }
    call.body(Full::from(body.to_owned())).unwrap()
}

pub struct Connection {
    address: String,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    pub async fn open(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            sender: Self::connect(address).await,
        }
    }

    async fn connect(address: &str) -> SendRequest<Full<Bytes>> {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    /// As [`Self::send`], and once more after a moment as long as the shop says that it is too busy: for
    /// what is prepared, not for what is measured.
    pub async fn send_patiently(&mut self, call: &Call) -> (StatusCode, HeaderMap, Bytes) {
        let mut pause = interval(Duration::from_millis(50));
        for _ in 0..MOST_TRIES {
            pause.tick().await;
            let answer = self.send(call).await;
            if answer.0 != StatusCode::SERVICE_UNAVAILABLE {
                return answer;
            }
        }
        panic!("too busy for every one of {MOST_TRIES} tries")
    }

    /// Sends a call. The server may have closed a connection on which nothing was asked for a while, at the
    /// latest while the call was on its way: a fresh one is opened then.
    pub async fn send(&mut self, call: &Call) -> (StatusCode, HeaderMap, Bytes) {
        let answer = match self.try_send(call).await {
            Err(error) if error.is_closed() || error.is_canceled() || error.is_incomplete_message() => {
                self.sender = Self::connect(&self.address).await;
                self.try_send(call).await
            }
            answer => answer,
        };
        let answer = answer.unwrap();
        let (parts, body) = answer.into_parts();
        (
            parts.status,
            parts.headers,
            body.collect().await.unwrap().to_bytes(),
        )
    }

    async fn try_send(&mut self, call: &Call) -> hyper::Result<hyper::Response<hyper::body::Incoming>> {
        self.sender.ready().await?;
        self.sender.send_request(call.clone()).await
    }
}

/// Somebody who is kept busy for a turn.
pub trait Worker: Send + 'static {
    /// Does one thing; answers with how many operations that were.
    fn work(&mut self) -> impl Future<Output = usize> + Send;
}

/// One connection and what it asks, in turn.
pub struct Asker {
    connection: Connection,
    calls: Vec<Call>,
    next: usize,
    /// Whether every answer must name the position of what was written.
    writes: bool,
}

impl Asker {
    pub async fn new(address: &str, calls: Vec<Call>, writes: bool) -> Self {
        Self {
            connection: Connection::open(address).await,
            calls,
            next: 0,
            writes,
        }
    }

    /// How many calls were answered.
    pub const fn asked(&self) -> usize {
        self.next
    }
}

impl Worker for Asker {
    async fn work(&mut self) -> usize {
        let call = &self.calls[self.next % self.calls.len()];
        let (status, headers, body) = self.connection.send(call).await;
        let told = !self.writes || headers.contains_key("position");
        if status == StatusCode::SERVICE_UNAVAILABLE && headers.contains_key(RETRY_AFTER) {
            // Turned away: nothing was done, and nothing is counted.
            return 0;
        }
        assert!(status == StatusCode::OK && told, "{status} {headers:?} {body:?}");
        self.next += 1;
        1
    }
}

/// Keeps all workers busy for a turn; answers with operations a second.
#[allow(clippy::cast_precision_loss, reason = "a bench's figures have three digits")]
pub async fn drive<W: Worker>(clock: &Clock, turn: Duration, workers: &mut Vec<W>) -> f64 {
    let began = clock.instant();
    // Tasks, not one future: the generator may use both cores as the servers may.
    let turns = workers.drain(..).map(|mut worker| {
        let clock = clock.clone();
        tokio::spawn(async move {
            let mut done = 0;
            while clock.instant().duration_since(began) < turn {
                done += worker.work().await;
            }
            (worker, done)
        })
    });
    let mut done = 0;
    for ended in join_all(turns).await {
        let (worker, of_it) = ended.unwrap();
        workers.push(worker);
        done += of_it;
    }
    done as f64 / clock.instant().duration_since(began).as_secs_f64()
}

/// How long one operation of a lone worker takes in the middle, in microseconds.
#[allow(clippy::cast_precision_loss, reason = "a bench's figures have three digits")]
pub async fn middle<W: Worker>(clock: &Clock, turn: Duration, worker: &mut W) -> f64 {
    let began = clock.instant();
    let mut took = Vec::new();
    let mut before = began;
    while before.duration_since(began) < turn {
        worker.work().await;
        let now = clock.instant();
        took.push(now.duration_since(before).as_nanos());
        before = now;
    }
    took.sort_unstable();
    took[took.len() / 2] as f64 / 1_000.0
}

//! The accept loop: every connection has limits and every wait a deadline.
//!
//! `axum::serve` gives a silent client all the time in the world, so connections are accepted and
//! driven here: a bound in all and per address, no delay on small writes, a deadline for the first
//! byte, for the head of each request and for what is written to be read, and a drain that lets answers in progress end.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use dashmap::DashMap;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::exchange::Peer;
use super::limit::network;
use super::stall::Impatient;
use crate::clock::Clock;

/// What can be set of the accept loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeSettings {
    /// Connections in all.
    pub connections: usize,
    /// Connections of one address; a trusted proxy's are not counted, and loopback only if it says so.
    pub connections_per_address: usize,
    /// Whether loopback addresses count as addresses.
    pub count_loopback: bool,
    /// Proxies that speak for many.
    pub trusted_proxies: Vec<IpAddr>,
    /// How long the head of a request may take, and how long a connection may be silent before it.
    pub head_timeout: Duration,
    /// How long what is written may wait without the other side reading a byte of it.
    pub write_stall: Duration,
    /// How long answers in progress may take once the node stops.
    pub drain: Duration,
}

impl Default for ServeSettings {
    fn default() -> Self {
        Self {
            connections: 20_000,
            connections_per_address: 512,
            count_loopback: false,
            trusted_proxies: Vec::new(),
            head_timeout: Duration::from_secs(5),
            write_stall: Duration::from_secs(30),
            drain: Duration::from_secs(10),
        }
    }
}

/// Above what [`super::front`] allows: what is larger than that gets a problem, what is larger than
/// this gets hyper's bare 431.
const HEAD_BUFFER: usize = 64 * 1024;
const HEAD_FIELDS: usize = 256;

/// Serves `router` on `listener` until `stop`; then lets answers in progress end.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    settings: ServeSettings,
    clock: Clock,
    stop: CancellationToken,
) {
    let admission = Admission::new(&settings);
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Some(place) = admission.admit(peer.ip()) else {
                    metrics::counter!("http_connections_refused_total").increment(1);
                    continue;
                };
                let connection = drive(stream, peer, router.clone(), &settings, stop.clone());
                connections.spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, %peer, "a connection ended early");
                    }
                    drop(place);
                });
            }
            Err(error) => pause_after(&error, &clock).await,
        }
    }
    connections.close();
    if tokio::time::timeout(settings.drain, connections.wait())
        .await
        .is_err()
    {
        tracing::warn!(
            left = connections.len(),
            "connections were cut at the end of the drain"
        );
    }
}

/// The peer gave up before we looked, or there is no file descriptor left: then wait for one, or the
/// loop would spin.
async fn pause_after(error: &io::Error, clock: &Clock) {
    let gone = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    );
    if !gone {
        tracing::error!(%error, "a connection could not be accepted");
        clock.sleep(Duration::from_millis(100)).await;
    }
}

fn drive(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    settings: &ServeSettings,
    stop: CancellationToken,
) -> impl Future<Output = Result<(), hyper::Error>> + use<> {
    let (head_timeout, write_stall) = (settings.head_timeout, settings.write_stall);
    // Without it the second small write of an answer waits for the first one's acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let address = Peer(peer.ip().to_canonical());
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request: Request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(address);
        router.clone().oneshot(request)
    });
    let stream = Impatient::new(stream, write_stall);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(HEAD_BUFFER)
        .max_headers(HEAD_FIELDS)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    async move {
        let mut connection = pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    }
}

/// Who may connect.
#[derive(Clone, Debug)]
struct Admission {
    all: Arc<Semaphore>,
    per_address: usize,
    count_loopback: bool,
    trusted_proxies: Arc<[IpAddr]>,
    addresses: Arc<DashMap<IpAddr, usize>>,
}

impl Admission {
    fn new(settings: &ServeSettings) -> Self {
        Self {
            all: Arc::new(Semaphore::new(settings.connections)),
            per_address: settings.connections_per_address,
            count_loopback: settings.count_loopback,
            trusted_proxies: settings.trusted_proxies.as_slice().into(),
            addresses: Arc::default(),
        }
    }

    fn admit(&self, address: IpAddr) -> Option<Place> {
        let permit = Arc::clone(&self.all).try_acquire_owned().ok()?;
        let proxy = self.trusted_proxies.contains(&address.to_canonical());
        let address = network(address);
        if proxy || (address.is_loopback() && !self.count_loopback) {
            return Some(Place {
                _permit: permit,
                counted: None,
            });
        }
        let mut count = self.addresses.entry(address).or_insert(0);
        if *count >= self.per_address {
            return None;
        }
        *count += 1;
        let counted = Some((Arc::clone(&self.addresses), address));
        Some(Place {
            _permit: permit,
            counted,
        })
    }
}

/// A connection's place until it is dropped.
#[derive(Debug)]
struct Place {
    _permit: OwnedSemaphorePermit,
    counted: Option<(Arc<DashMap<IpAddr, usize>>, IpAddr)>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((addresses, address)) = &self.counted {
            if let Some(mut count) = addresses.get_mut(address) {
                *count = count.saturating_sub(1);
            }
            addresses.remove_if(address, |_, count| *count == 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    struct Served {
        address: SocketAddr,
        stop: CancellationToken,
        task: tokio::task::JoinHandle<()>,
    }

    impl Served {
        async fn start(settings: ServeSettings) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let stop = CancellationToken::new();
            let router = Router::new().route("/", get(|| async { "here" }));
            let task = tokio::spawn(serve(listener, router, settings, Clock::system(), stop.clone()));
            Self { address, stop, task }
        }

        async fn send(&self, bytes: &[u8]) -> TcpStream {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(bytes).await.unwrap();
            stream
        }
    }

    async fn read_all(mut stream: TcpStream) -> String {
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text).await;
        String::from_utf8_lossy(&text).into_owned()
    }

    #[tokio::test]
    async fn silence_and_half_a_head_are_cut() {
        let head_timeout = Duration::from_millis(100);
        let served = Served::start(ServeSettings {
            head_timeout,
            ..ServeSettings::default()
        })
        .await;
        for bytes in [&b""[..], b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "] {
            assert_eq!(read_all(served.send(bytes).await).await, "");
        }
        let whole = served
            .send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await;
        assert!(read_all(whole).await.ends_with("here"));
        served.stop.cancel();
        served.task.await.unwrap();
    }

    #[tokio::test]
    async fn a_monstrous_head_is_refused() {
        let served = Served::start(ServeSettings::default()).await;
        let fields = "X-A: b\r\n".repeat(300);
        let many = served
            .send(format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n").as_bytes())
            .await;
        assert!(read_all(many).await.starts_with("HTTP/1.1 431"));
    }

    #[tokio::test]
    async fn too_many_connections_are_turned_away() {
        let served = Served::start(ServeSettings {
            connections: 1,
            ..ServeSettings::default()
        })
        .await;
        let mut first = served.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let mut byte = [0];
        first.read_exact(&mut byte).await.unwrap();
        assert_eq!(read_all(served.send(b"").await).await, "");
    }

    #[test]
    fn an_address_has_so_many_connections() {
        let settings = ServeSettings {
            connections_per_address: 2,
            ..ServeSettings::default()
        };
        let admission = Admission::new(&settings);
        let far: IpAddr = "192.0.2.1".parse().unwrap();
        let places = (admission.admit(far).unwrap(), admission.admit(far).unwrap());
        assert!(admission.admit(far).is_none());
        assert!(admission.admit("192.0.2.2".parse().unwrap()).is_some());
        drop(places);
        assert!(admission.addresses.is_empty());
        assert!(admission.admit(far).is_some());
    }

    #[test]
    fn loopback_counts_if_told_so_and_a_trusted_proxy_never() {
        let here: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
        let mut settings = ServeSettings {
            connections_per_address: 1,
            ..ServeSettings::default()
        };
        let both = |settings: &ServeSettings| {
            let admission = Admission::new(settings);
            let first = admission.admit(here);
            first.is_some() && admission.admit(here).is_some()
        };
        assert!(both(&settings));
        settings.count_loopback = true;
        assert!(!both(&settings));
        settings.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
        assert!(both(&settings));
    }

    #[tokio::test]
    async fn who_never_reads_is_cut_and_who_reads_slowly_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let endless = || async {
            let chunk = axum::body::Bytes::from_static(&[b'x'; 16 * 1024]);
            let chunks = futures_util::stream::repeat(Ok::<_, std::convert::Infallible>(chunk));
            axum::body::Body::from_stream(chunks)
        };
        let write_stall = Duration::from_millis(300);
        let settings = ServeSettings {
            connections: 1,
            write_stall,
            ..ServeSettings::default()
        };
        let router = Router::new().route("/", get(endless));
        let task = tokio::spawn(serve(listener, router, settings, Clock::system(), stop.clone()));
        let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(request).await.unwrap();
        let mut buffer = vec![0; 8 << 20];
        let mut beat = tokio::time::interval(write_stall / 3);
        for _ in 0..6 {
            beat.tick().await;
            assert!(slow.read(&mut buffer).await.unwrap() > 0, "a slow reader was cut");
        }
        // It reads no more, and its place, the only one, is another's in the end.
        let next = async {
            loop {
                let mut next = TcpStream::connect(address).await.unwrap();
                let asked = next.write_all(request).await;
                if asked.is_ok() && matches!(next.read(&mut buffer).await, Ok(1..)) {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), next).await.unwrap();
        stop.cancel();
        task.abort();
    }
}

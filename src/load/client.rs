//! One shopper's HTTP/1.1 connection: keep-alive, no delay, a deadline on everything.
//!
//! It shares two cores with the server it measures, so it is built directly on hyper's connection:
//! no pool, no redirects, no cookies, no TLS. It never repeats a write that may have been seen by the
//! server; whoever wants that decides it with the same key in hand (see [`super::shopper`]).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::wire::Problem;

/// The largest answer a shopper reads.
const ANSWER_LIMIT: usize = 8 * 1024 * 1024;

/// Where the shop is: resolved once, so that a call never waits for a name.
#[derive(Clone, Debug)]
pub struct Target {
    authority: Arc<str>,
    addresses: Arc<[SocketAddr]>,
}

/// Why a URL cannot be the target of a run.
#[derive(Debug, thiserror::Error)]
pub enum TargetFault {
    /// It does not parse, or has a scheme, a path or a query we do not serve.
    #[error("not a plain http address such as http://127.0.0.1:8080: {0}")]
    NotPlainHttp(String),
    /// Its host has no address.
    #[error("no address for {host}")]
    Unknown {
        /// The host as written.
        host: String,
        /// What the resolver said.
        #[source]
        source: io::Error,
    },
}

impl Target {
    /// Understands `http://host:port` and resolves the host.
    pub async fn resolve(url: &str) -> Result<Self, TargetFault> {
        let not_plain = || TargetFault::NotPlainHttp(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| not_plain())?;
        let plain =
            uri.scheme_str() == Some("http") && matches!(uri.path(), "" | "/") && uri.query().is_none();
        let host = uri.host().filter(|_| plain).ok_or_else(not_plain)?;
        let port = uri.port_u16().unwrap_or(80);
        let unbracketed = host.trim_start_matches('[').trim_end_matches(']');
        let unknown = |source| TargetFault::Unknown {
            host: host.to_owned(),
            source,
        };
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host((unbracketed, port))
            .await
            .map_err(unknown)?
            .collect();
        if addresses.is_empty() {
            return Err(unknown(io::ErrorKind::AddrNotAvailable.into()));
        }
        Ok(Self {
            authority: format!("{host}:{port}").into(),
            addresses: addresses.into(),
        })
    }

    /// `host:port`, as it stands in the `Host` header.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Opens a TCP connection to the first address that answers.
    pub async fn connect(&self, limit: Duration) -> io::Result<TcpStream> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in self.addresses.iter() {
            match timeout(limit, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(last)
    }
}

/// What is asked. Cheap to clone, so that exactly the same bytes can be sent again.
#[derive(Clone, Debug)]
pub struct Call {
    method: Method,
    path: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
    fault: Option<String>,
}

impl Call {
    /// A call without a body.
    #[must_use]
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: Vec::new(),
            body: Bytes::new(),
            fault: None,
        }
    }

    /// `GET path`.
    #[must_use]
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// `POST path`.
    #[must_use]
    pub fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path)
    }

    /// `PUT path`.
    #[must_use]
    pub fn put(path: impl Into<String>) -> Self {
        Self::new(Method::PUT, path)
    }

    /// `DELETE path`.
    #[must_use]
    pub fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path)
    }

    /// Adds a JSON body.
    #[must_use]
    pub fn json(mut self, body: &impl Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(bytes) => self.body = bytes.into(),
            Err(error) => self.fault = Some(error.to_string()),
        }
        self.headers
            .push((CONTENT_TYPE, HeaderValue::from_static("application/json")));
        self
    }

    /// Adds a header; a value that cannot be one makes the call fail when it is sent.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        match HeaderValue::from_str(value) {
            Ok(value) => self.headers.push((name, value)),
            Err(_) => self.fault = Some(format!("{name} cannot carry this value")),
        }
        self
    }

    /// Says who calls.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header(AUTHORIZATION, &format!("Bearer {token}"))
    }

    /// Adds the `Idempotency-Key`.
    #[must_use]
    pub fn key(self, key: &str) -> Self {
        self.header(HeaderName::from_static("idempotency-key"), key)
    }

    /// The bytes of the body.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The path with its query.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    fn request(&self, target: &Target) -> Result<Request<Full<Bytes>>, CallFault> {
        if let Some(fault) = &self.fault {
            return Err(CallFault::Unsendable(fault.clone()));
        }
        let mut request = Request::builder()
            .method(&self.method)
            .uri(&self.path)
            .header(HOST, target.authority())
            .body(Full::new(self.body.clone()))
            .map_err(|error| CallFault::Unsendable(error.to_string()))?;
        request.headers_mut().extend(self.headers.iter().cloned());
        Ok(request)
    }
}

/// What came back: read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Answer {
    /// A header as text; `None` when it is missing or not text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }

    /// The problem, when the answer is a well-formed one.
    #[must_use]
    pub fn problem(&self) -> Option<Problem> {
        let media = self.header("content-type")?;
        media
            .starts_with("application/problem+json")
            .then(|| self.json().ok())
            .flatten()
    }

    /// How long the server asks us to stay away.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.header("retry-after")?.parse().ok().map(Duration::from_secs)
    }
}

/// Why there is no answer. Only [`CallFault::Unreachable`] and [`CallFault::Unsendable`] say that
/// nothing happened; after the others the outcome is unknown.
#[derive(Debug, thiserror::Error)]
pub enum CallFault {
    /// No connection could be made.
    #[error("no connection")]
    Unreachable(#[source] io::Error),
    /// The deadline of the call passed.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The connection ended in between.
    #[error("the connection broke")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The request cannot be written down.
    #[error("not a request: {0}")]
    Unsendable(String),
}

impl CallFault {
    /// The word under which it is counted.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::TimedOut(_) => "timed_out",
            Self::Broken(_) => "broken",
            Self::Unsendable(_) => "unsendable",
        }
    }
}

/// A connection that comes back when it was lost. One call at a time, as a browser's tab would.
#[derive(Debug)]
pub struct Client {
    target: Target,
    limit: Duration,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    /// A client that has not connected yet; `limit` bounds each call, connecting included.
    #[must_use]
    pub fn new(target: Target, limit: Duration) -> Self {
        Self {
            target,
            limit,
            sender: None,
        }
    }

    /// Sends one call and reads its whole answer.
    pub async fn send(&mut self, call: &Call) -> Result<Answer, CallFault> {
        let limit = self.limit;
        let outcome = timeout(limit, self.attempt(call))
            .await
            .unwrap_or(Err(CallFault::TimedOut(limit)));
        if outcome.is_err() {
            self.sender = None;
        }
        outcome
    }

    /// A kept connection may have been closed while it was idle: a request that provably never left, or
    /// that only reads (RFC 9110 §9.2.2), goes out once more, on a fresh one.
    async fn attempt(&mut self, call: &Call) -> Result<Answer, CallFault> {
        let mut request = call.request(&self.target)?;
        if let Some(sender) = self.sender.as_mut()
            && sender.ready().await.is_ok()
        {
            match sender.try_send_request(request).await {
                Ok(response) => return read(response).await,
                Err(mut fault) => match fault.take_message() {
                    Some(unsent) => request = unsent,
                    None if call.method.is_safe() => request = call.request(&self.target)?,
                    None => return Err(CallFault::Broken(fault.into_error().into())),
                },
            }
        }
        let sender = self.sender.insert(self.connect().await?);
        let response = sender
            .send_request(request)
            .await
            .map_err(|fault| CallFault::Broken(fault.into()))?;
        read(response).await
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, CallFault> {
        let stream = self
            .target
            .connect(self.limit)
            .await
            .map_err(CallFault::Unreachable)?;
        let (sender, connection) = http1::Builder::new()
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|fault| CallFault::Broken(fault.into()))?;
        // Ends by itself once the sender is dropped or the peer closes; its error reaches the call.
        tokio::spawn(connection);
        Ok(sender)
    }
}

async fn read(response: Response<hyper::body::Incoming>) -> Result<Answer, CallFault> {
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, ANSWER_LIMIT)
        .collect()
        .await
        .map_err(CallFault::Broken)?;
    Ok(Answer {
        status: parts.status,
        headers: parts.headers,
        body: body.to_bytes(),
    })
}

/// Percent-encodes everything but RFC 3986's unreserved characters: safe in a path segment and in a query.
#[must_use]
pub fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            for nibble in [byte >> 4, byte & 0xf] {
                encoded.push(
                    char::from_digit(u32::from(nibble), 16)
                        .unwrap_or('0')
                        .to_ascii_uppercase(),
                );
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn only_plain_http_addresses_are_targets() {
        for url in [
            "https://127.0.0.1",
            "127.0.0.1:80",
            "http://127.0.0.1/shop",
            "http://127.0.0.1/?a=1",
            "",
        ] {
            assert!(
                matches!(Target::resolve(url).await, Err(TargetFault::NotPlainHttp(_))),
                "{url}"
            );
        }
        let target = Target::resolve("http://127.0.0.1:8081/").await.unwrap();
        assert_eq!(target.authority(), "127.0.0.1:8081");
        assert_eq!(
            Target::resolve("http://[::1]:9").await.unwrap().authority(),
            "[::1]:9"
        );
    }

    #[tokio::test]
    async fn a_connection_closed_while_idle_is_replaced() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            for _ in 0..3 {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut asked = [0; 1024];
                let read = socket.read(&mut asked).await.unwrap();
                assert!(asked[..read].starts_with(b"GET /v1/cart HTTP/1.1\r\n"));
                // Says keep-alive, then closes.
                socket
                    .write_all(b"HTTP/1.1 503 x\r\nretry-after: 2\r\ncontent-length: 2\r\n\r\n{}")
                    .await
                    .unwrap();
            }
        });
        let mut client = Client::new(Target::resolve(&url).await.unwrap(), Duration::from_secs(5));
        for _ in 0..3 {
            let answer = client.send(&Call::get("/v1/cart").bearer("x")).await.unwrap();
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(answer.retry_after(), Some(Duration::from_secs(2)));
            assert!(answer.problem().is_none());
            // The close has been seen once the sender says so.
            if let Some(sender) = client.sender.as_mut() {
                assert!(sender.ready().await.is_err());
            }
        }
        server.await.unwrap();
        let gone = client.send(&Call::get("/v1/cart")).await.unwrap_err();
        assert_eq!(gone.word(), "unreachable");
        let unsendable = client.send(&Call::get("/").bearer("a\nb")).await.unwrap_err();
        assert_eq!(unsendable.word(), "unsendable");
    }

    #[tokio::test]
    async fn a_connection_that_closes_upon_a_question_is_replaced_for_those_who_only_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let mut asked = [0; 1024];
            // Answers the first question on each connection and hangs up on the second.
            for _ in 0..2 {
                let (mut socket, _) = listener.accept().await.unwrap();
                assert_ne!(socket.read(&mut asked).await.unwrap(), 0);
                socket
                    .write_all(b"HTTP/1.1 200 x\r\ncontent-length: 2\r\n\r\n{}")
                    .await
                    .unwrap();
                assert_ne!(socket.read(&mut asked).await.unwrap(), 0);
            }
        });
        let mut client = Client::new(Target::resolve(&url).await.unwrap(), Duration::from_secs(5));
        for _ in 0..2 {
            client.send(&Call::get("/")).await.unwrap();
        }
        let broken = client.send(&Call::put("/")).await.unwrap_err();
        assert_eq!(broken.word(), "broken");
        server.await.unwrap();
    }

    #[test]
    fn encoding_leaves_only_unreserved_characters() {
        assert_eq!(encoded("a-Z_0.~"), "a-Z_0.~");
        assert_eq!(encoded("55\" & ü/"), "55%22%20%26%20%C3%BC%2F");
    }
}

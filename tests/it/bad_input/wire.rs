//! HTTP/1.1 as bytes on a socket: framing, heads and targets that two readers could read in two ways.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::edge::shop;

/// More than any deadline of the node.
const PATIENCE: Duration = Duration::from_secs(30);

/// Everything the node says to these bytes until it closes the connection. What cannot be sent,
/// because the node has closed already, was answered or not worth an answer. Who hangs up after them
/// need not be answered.
async fn say(address: SocketAddr, bytes: &[u8], hang_up: bool) -> String {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let bytes = bytes.to_vec();
    let sending = tokio::spawn(async move {
        let _ = writer.write_all(&bytes).await;
        if hang_up {
            let _ = writer.shutdown().await;
        }
        writer
    });
    let mut said = Vec::new();
    let heard = timeout(PATIENCE, reader.read_to_end(&mut said)).await;
    // A reset instead of an end: what was said before it counts.
    let _ = heard.expect("the node ends it, not our patience");
    drop(sending.await.unwrap());
    String::from_utf8_lossy(&said).into_owned()
}

/// The statuses of all answers.
fn statuses(said: &str) -> Vec<u16> {
    said.split("HTTP/1.1 ")
        .skip(1)
        .filter_map(|answer| answer.get(..3)?.parse().ok())
        .collect()
}

/// Bytes, and the statuses of every answer they may have; `&[]` is a connection that is just closed.
struct Row {
    bytes: Vec<u8>,
    statuses: &'static [&'static [u16]],
}

fn row(bytes: impl Into<Vec<u8>>, statuses: &'static [&'static [u16]]) -> Row {
    Row {
        bytes: bytes.into(),
        statuses,
    }
}

/// A request with this head after its Host, and this body.
fn with(head: &str, body: &str) -> String {
    format!("POST /v1/guests HTTP/1.1\r\nHost: shop\r\n{head}\r\n{body}")
}

/// A request for this target.
fn target(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")
}

async fn check(rows: Vec<Row>) {
    let address = shop().await.socket().await;
    for Row { bytes, statuses: due } in rows {
        let what = bytes[..bytes.len().min(200)].escape_ascii().to_string();
        let said = say(address, &bytes, bytes.len() < 10).await;
        let seen = statuses(&said);
        assert!(
            due.contains(&&seen[..]),
            "{what}: {seen:?} instead of {due:?}: {said:.600}"
        );
        assert!(!said.contains("panicked"), "{what}: {said}");
        let next = say(address, target("/healthz").as_bytes(), false).await;
        assert_eq!(statuses(&next), [200], "the request after {what}");
    }
}

#[tokio::test]
async fn framing_has_one_meaning_or_none() {
    let smuggled = "GET /healthz HTTP/1.1\r\nHost: shop\r\n\r\n";
    let both = format!("0\r\n\r\n{smuggled}");
    let length = both.len();
    check(vec![
        // Whoever is before us may believe either length: the connection ends with the one answer.
        row(
            with(
                &format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
                &both,
            ),
            &[&[201]],
        ),
        row(
            with(
                &format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
                &both,
            ),
            &[&[201]],
        ),
        row(with("Transfer-Encoding: chunked\r\n", &both), &[&[201]]),
        row(
            with("Content-Length: 0\r\nContent-Length: 44\r\n", smuggled),
            &[&[400]],
        ),
        row(with("Content-Length: 0, 44\r\n", smuggled), &[&[400]]),
        row(with("Content-Length: +0\r\n", ""), &[&[400]]),
        row(with("Content-Length: -1\r\n", ""), &[&[400]]),
        row(with("Content-Length: 0x0\r\n", ""), &[&[400]]),
        row(with("Content-Length:\r\n", ""), &[&[400]]),
        row(with("Content-Length: 18446744073709551616\r\n", ""), &[&[400]]),
        row(
            with("Content-Length: 9999999999\r\n", "x"),
            &[&[413], &[201], &[400]],
        ),
        row(with("Transfer-Encoding: xchunked\r\n", &both), &[&[400]]),
        row(with("Transfer-Encoding: chunked, identity\r\n", &both), &[&[400]]),
        row(with("Transfer-Encoding: identity\r\n", smuggled), &[&[400]]),
        row(with("Transfer-Encoding: \x0bchunked\r\n", &both), &[&[400]]),
        row(with("Transfer-Encoding : chunked\r\n", &both), &[&[400]]),
        row(with("Transfer-Encoding:\r\n chunked\r\n", &both), &[&[400]]),
        row(
            with("Transfer-Encoding: chunked\r\n", "zz\r\n\r\n"),
            &[&[400], &[201]],
        ),
        row(
            with("Transfer-Encoding: chunked\r\n", "-1\r\n\r\n"),
            &[&[400], &[201]],
        ),
        row(
            with("Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\n"),
            &[&[400], &[201]],
        ),
        row(
            with(
                "Transfer-Encoding: chunked\r\n",
                &format!("1;{}\r\nx\r\n0\r\n\r\n", "x".repeat(1 << 20)),
            ),
            &[&[400], &[201]],
        ),
    ])
    .await;
}

#[tokio::test]
async fn heads_that_are_none_are_refused() {
    let many = |count: usize| (0..count).map(|n| format!("X-{n}: 1\r\n")).collect::<String>();
    check(vec![
        row(with("X-Fold: a\r\n b\r\n", ""), &[&[400]]),
        row(with("X-Nul: a\0b\r\n", ""), &[&[400]]),
        row(with("X-N\0ul: a\r\n", ""), &[&[400]]),
        row(with("X Blank: a\r\n", ""), &[&[400]]),
        row(with(": nameless\r\n", ""), &[&[400]]),
        row(with("no colon\r\n", ""), &[&[400]]),
        row(with("X-Return: a\rb\r\n", ""), &[&[400]]),
        row(with("Connection: close\r\nHost: other\r\n", ""), &[&[400]]),
        row("GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n", &[&[400]]),
        row(
            with(
                &format!("Connection: close\r\nX-Large: {}\r\n", "a".repeat(20_000)),
                "",
            ),
            &[&[431]],
        ),
        row(
            with(&format!("X-Monster: {}\r\n", "a".repeat(1 << 20)), ""),
            &[&[431]],
        ),
        row(
            with(&format!("Connection: close\r\n{}", many(150)), ""),
            &[&[431]],
        ),
        row(with(&many(10_000), ""), &[&[431]]),
        row("GET /healthz\r\n\r\n", &[&[400]]),
        row("GET /healthz HTTP/3.0\r\nHost: shop\r\n\r\n", &[&[400]]),
        row("GET  /healthz HTTP/1.1\r\nHost: shop\r\n\r\n", &[&[400]]),
        row("G\0T /healthz HTTP/1.1\r\nHost: shop\r\n\r\n", &[&[400]]),
        row("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[&[400], &[]]),
        row(
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
            &[&[400], &[]],
        ),
        row("", &[&[]]),
        row("\r\n\r\n\r\n", &[&[], &[400]]),
        // A line may end with a bare LF (RFC 9112 §2.2); nobody can read that in two ways.
        row(
            "GET /healthz HTTP/1.1\nHost: shop\nConnection: close\n\n",
            &[&[200]],
        ),
    ])
    .await;
}

#[tokio::test]
async fn targets_are_addresses_of_the_shop() {
    check(vec![
        row(target("http://evil.example/healthz"), &[&[200], &[400], &[404]]),
        row(target("*"), &[&[400], &[404]]),
        row(target("healthz"), &[&[400], &[404]]),
        row(target("//healthz"), &[&[404]]),
        row(target("/../../etc/passwd"), &[&[404]]),
        row(target("/assets/../Cargo.toml"), &[&[404]]),
        row(target("/assets/%2e%2e/%2e%2e/Cargo.toml"), &[&[404]]),
        row(target("/assets/..%2f..%2fCargo.toml"), &[&[404]]),
        row(target("/v1/products/%00"), &[&[404]]),
        row(target("/v1/products/%c0%ae%c0%ae"), &[&[400]]),
        row(target("/v1/products/%ff"), &[&[400]]),
        row(target("/v1/products/%zz"), &[&[404], &[400]]),
        row(target("/v1/products/\u{fc}"), &[&[400], &[404]]),
        row(target(&format!("/{}", "a".repeat(9_000))), &[&[414]]),
        row(target(&format!("/{}", "a".repeat(1 << 20))), &[&[414], &[431]]),
        row(
            "OPTIONS * HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n",
            &[&[404], &[405]],
        ),
        row(
            "CONNECT shop:443 HTTP/1.1\r\nHost: shop\r\n\r\n",
            &[&[400], &[404], &[405]],
        ),
        row(
            "TRACE /healthz HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n",
            &[&[405]],
        ),
        row(
            "BREW /healthz HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n",
            &[&[405]],
        ),
    ])
    .await;
}

#[tokio::test]
async fn requests_in_one_breath_are_answered_one_by_one() {
    let address = shop().await.socket().await;
    let one = "GET /healthz HTTP/1.1\r\nHost: shop\r\n\r\n";
    let said = say(
        address,
        format!("{}{}", one.repeat(999), target("/healthz")).as_bytes(),
        false,
    )
    .await;
    assert_eq!(statuses(&said), vec![200; 1_000]);
    // The last of them is broken: those before it are answered all the same.
    let said = say(address, format!("{}GET\r\n\r\n", one.repeat(9)).as_bytes(), false).await;
    assert_eq!(statuses(&said), [vec![200; 9], vec![400]].concat());
}

#[tokio::test]
async fn a_request_may_end_at_any_byte() {
    let address = shop().await.socket().await;
    let whole = with("Content-Type: application/json\r\nContent-Length: 2\r\n", "{}");
    let whole = whole.replace("/v1/guests", "/v1/sessions");
    for end in 0..whole.len() {
        let said = say(address, &whole.as_bytes()[..end], true).await;
        let seen = statuses(&said);
        assert!(
            seen.iter().all(|status| (400..500).contains(status)),
            "cut at {end}: {said}"
        );
    }
    let said = say(address, target("/healthz").as_bytes(), false).await;
    assert_eq!(statuses(&said), [200]);
}

//! Clients that misuse their connections: requests that never end, answers that are never read, and far
//! too many connections.

use std::net::SocketAddr;
use std::time::Duration;

use globalshop::clock::Clock;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{interval, timeout};

use super::node::Node;
use super::tools::holds_for;
use crate::eventually::eventually;

/// Longer than any of the limits that are waited for here.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a well-behaved client waits at most, on a machine that is busy with other tests.
const PROMPT: Duration = Duration::from_secs(5);
/// Where the flood comes from: another address of this machine.
const FLOODER: &str = "127.0.0.2:0";

fn address(node: &Node) -> SocketAddr {
    node.url().trim_start_matches("http://").parse().unwrap()
}

async fn connect(node: &Node) -> TcpStream {
    TcpStream::connect(address(node)).await.unwrap()
}

/// A connection that takes as little as there is into its own buffer.
async fn connect_narrow(node: &Node) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(address(node)).await.unwrap()
}

/// Checks that somebody else is served, and promptly.
async fn is_served(node: &Node, guest: &str, sku: &str) -> bool {
    let clock = Clock::system();
    let asked = clock.instant();
    let status = node.put(guest, sku).await;
    let took = clock.instant() - asked;
    if status != Some(200) || took > PROMPT {
        println!("a well-behaved client was answered {status:?} after {took:?}");
        return false;
    }
    true
}

/// Asks `/metrics` for the sum of a counter.
async fn counted(node: &Node, counter: &str) -> u64 {
    let answer = node.call(Method::GET, "/metrics", None, None).await.unwrap();
    let text = answer.text().await.unwrap();
    let lines = text.lines().filter(|line| line.starts_with(counter));
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

/// A silent connection, half a head, a head byte by byte and half a body: each is ended by the shop, and
/// costs nobody else anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_never_ends_is_ended() {
    let clock = Clock::system();
    let mut node = Node::open(&[]).await;
    let (guest, sku) = (node.guest().await, node.sku().await);
    let half_a_body = format!(
        "PUT /v1/cart/lines/{sku} HTTP/1.1\r\nHost: shop\r\nAuthorization: Bearer {guest}\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{\"quan"
    );
    let mut slow = Vec::new();
    for begin in ["", "GET /v1/products HTTP/1.1\r\nHost: sh", &half_a_body] {
        for _ in 0..100 {
            let mut stream = connect(&node).await;
            stream.write_all(begin.as_bytes()).await.unwrap();
            slow.push(stream);
        }
    }
    let mut drip = connect(&node).await;
    let dripping = tokio::spawn(async move {
        let mut beat = interval(Duration::from_millis(100));
        let head = b"GET /v1/products HTTP/1.1\r\nX-Slow: ";
        for byte in head.iter().chain(&[b'x'; 600]) {
            beat.tick().await;
            if drip.write_all(&[*byte]).await.is_err() {
                return true;
            }
        }
        false
    });
    let begun = clock.instant();
    let ended = async {
        for mut stream in slow {
            let mut answer = Vec::new();
            // It may end with a reset as well as in good order.
            let end = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
            assert!(end.is_ok(), "a slow request is borne for ever");
        }
    };
    let served = holds_for("others are served", Duration::from_secs(3), async || {
        is_served(&node, &guest, &sku).await
    });
    tokio::join!(ended, served);
    println!(
        "300 slow requests were ended within {:?}",
        clock.instant() - begun
    );
    assert!(
        timeout(PATIENCE, dripping).await.unwrap().unwrap(),
        "a dripping head was borne"
    );
    node.audit(None).await;
    node.stop().await;
}

/// Somebody asks for a lot and reads none of it, listens to a cart over server-sent events and over the
/// WebSocket and does not: each connection is cut, and nobody else waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_never_reads_is_cut() {
    const COUNTER: &str = "http_connections_stalled_total";
    const EACH: usize = 10;
    let clock = Clock::system();
    let mut node = Node::open(&[("limits.write_stall_ms", "2000")]).await;
    let (guest, sku) = (node.guest().await, node.sku().await);
    // A cart worth telling of.
    let page = node.ask(Method::GET, "/v1/products?limit=100", None, None).await;
    let products = page["items"].as_array().unwrap();
    for product in products
        .iter()
        .filter(|product| product["availability"] == "in_stock")
        .take(60)
    {
        let sku = product["sku"].as_str().unwrap();
        assert_eq!(node.put(&guest, sku).await, Some(200));
    }
    let plain = "GET /v1/products?limit=100 HTTP/1.1\r\nHost: shop\r\n\r\n".repeat(500);
    let events =
        format!("GET /live/sse?ch=cart HTTP/1.1\r\nHost: shop\r\nAuthorization: Bearer {guest}\r\n\r\n");
    let upgrade = String::from(
        "GET /live/ws HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: live.1.json\r\n\r\n",
    );
    let mut listen = frame(&json!({"hello": {"token": &guest}}));
    listen.extend(frame(
        &json!({"sub": [{"id": 1, "ch": "cart", "from": "snapshot"}]}),
    ));
    let mut deaf = Vec::new();
    for _ in 0..EACH {
        for (ask, more) in [(&plain, &[][..]), (&events, &[][..]), (&upgrade, &listen[..])] {
            let mut stream = connect_narrow(&node).await;
            stream.write_all(ask.as_bytes()).await.unwrap();
            stream.write_all(more).await.unwrap();
            deaf.push(stream);
        }
    }
    let begun = clock.instant();
    // What is listened to changes, until everybody who does not listen is cut.
    let mut quantity = 1;
    eventually("every deaf connection is cut", async || {
        quantity = quantity % 9 + 1;
        let path = format!("/v1/cart/lines/{sku}");
        let body = json!({ "quantity": quantity });
        let changed = node.call(Method::PUT, &path, Some(&guest), Some(&body)).await;
        assert_eq!(changed.unwrap().status(), 200);
        let cut = counted(&node, COUNTER).await;
        if cut == 3 * EACH as u64 { Ok(()) } else { Err(cut) }
    })
    .await;
    println!(
        "{} deaf connections were cut within {:?}",
        deaf.len(),
        clock.instant() - begun
    );
    for mut stream in deaf {
        // Whatever had arrived, and then its end.
        let mut rest = Vec::new();
        let end = timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(end.is_ok(), "a deaf connection is still there");
    }
    assert!(is_served(&node, &guest, &sku).await);
    node.audit(None).await;
    node.stop().await;
}

/// A text frame of a client, masked with zeros.
fn frame(content: &Value) -> Vec<u8> {
    let text = content.to_string();
    let mut frame = vec![0x81, 0x80 | 126];
    frame.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
    frame.extend([0; 4]);
    frame.extend_from_slice(text.as_bytes());
    frame
}

/// One address opens as many connections as it can, again and again: it gets as many as one address may
/// have, and the shop goes on for everybody else.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_connections_of_one_address_is_capped() {
    const CAP: usize = 64;
    let mut node = Node::open(&[
        ("limits.count_loopback", "true"),
        ("limits.connections_per_address", &CAP.to_string()),
        // Only connections are in question here.
        ("limits.per_address", "100000"),
        ("limits.per_address_burst", "100000"),
    ])
    .await;
    let (guest, sku) = (node.guest().await, node.sku().await);
    let flood = async || {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(FLOODER.parse().unwrap()).unwrap();
        let mut stream = socket.connect(address(&node)).await.unwrap();
        // Half a request, so that whoever is let in stays for a while.
        let _refused = stream.write_all(b"GET / HTTP/1.1\r\nHost: sh").await;
        stream
    };
    let mut kept = Vec::new();
    for _ in 0..10 * CAP {
        kept.push(flood().await);
    }
    holds_for("others are served", Duration::from_secs(3), async || {
        drop(flood().await);
        is_served(&node, &guest, &sku).await
    })
    .await;
    let refused = counted(&node, "http_connections_refused_total").await;
    println!(
        "of {} connections of one address {refused} were refused",
        kept.len()
    );
    assert!(refused >= 9 * CAP as u64, "{refused} were refused");
    for mut stream in kept {
        let mut rest = Vec::new();
        let end = timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(end.is_ok(), "a connection of the flood is still there");
    }
    // The address is not held against anyone once its connections are gone.
    eventually("its address is let in again", async || {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(FLOODER.parse().unwrap()).unwrap();
        let mut stream = socket.connect(address(&node)).await.unwrap();
        let request = b"GET /healthz HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n";
        stream
            .write_all(request)
            .await
            .map_err(|fault| fault.to_string())?;
        let mut answer = String::new();
        match stream.read_to_string(&mut answer).await {
            Ok(_) if answer.starts_with("HTTP/1.1 200") => Ok(()),
            other => Err(format!("{other:?}: {answer}")),
        }
    })
    .await;
    node.audit(None).await;
    node.stop().await;
}

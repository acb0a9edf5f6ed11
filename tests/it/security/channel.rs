//! The live feed: every channel of `/asyncapi.json`, over both transports, by everybody.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use globalshop::accounts::Role;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::caller::{Caller, People, Person};
use super::policy::{CHANNELS, Door};
use super::route::order_of;
use super::{compare, table};
use crate::edge::{Call, Shop, shop};

const PATIENCE: Duration = Duration::from_secs(20);

/// What somebody gets who asks for a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// A snapshot, and what follows.
    In,
    /// A problem with this status, for the one channel.
    No(u16),
    /// The connection is not begun, or ended with this code.
    Out(u16),
}

impl Verdict {
    fn cell(self) -> String {
        match self {
            Self::In => "in".to_owned(),
            Self::No(status) => status.to_string(),
            Self::Out(code @ 4000..) => format!("bye {code}"),
            Self::Out(status) => format!("{status} refused"),
        }
    }
}

/// How a client connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Socket,
    EventStream,
}

fn verdict(door: Door, caller: Caller, transport: Transport) -> Verdict {
    match caller {
        Caller::Foreign => return Verdict::Out(403),
        // A bad token ends the conversation, whatever is asked for.
        Caller::Expired | Caller::Ended | Caller::Forged if transport == Transport::EventStream => {
            return Verdict::Out(401);
        }
        Caller::Expired | Caller::Ended => return Verdict::Out(4001),
        Caller::Forged => return Verdict::Out(4003),
        _ => {}
    }
    let no = |status| match transport {
        Transport::Socket => Verdict::No(status),
        Transport::EventStream => Verdict::Out(status),
    };
    match (door, caller.role()) {
        (Door::Anyone, _) => Verdict::In,
        // A cookie is believed only beside the Origin of a page of ours.
        (_, None) if matches!(caller, Caller::Nobody) => no(401),
        (_, None) if caller == Caller::Tokenless && transport == Transport::Socket => no(401),
        (_, None) => Verdict::In,
        (Door::Shopper, Some(Role::Shopper)) => Verdict::In,
        (Door::Shopper, Some(_)) => no(403),
        (_, _) if caller == Caller::Other => no(404),
        _ => Verdict::In,
    }
}

/// What a browser shows; `Tokenless` is here a program that has got hold of a cookie.
async fn cookie_headers(caller: Caller, shop: &'static Shop, right: &Person) -> Vec<(&'static str, String)> {
    if !caller.is_browser() {
        return vec![];
    }
    let cookie = ("cookie", right.cookie(shop, false).await.header);
    match caller {
        Caller::Page => vec![cookie, ("origin", format!("http://{}", shop.socket().await))],
        Caller::Foreign => vec![cookie, ("origin", "https://evil.example".to_owned())],
        _ => vec![cookie],
    }
}

/// Asks over a WebSocket.
async fn over_socket(
    shop: &'static Shop,
    channel: &str,
    token: Option<String>,
    headers: &[(&'static str, String)],
) -> Verdict {
    let mut request = format!("ws://{}/live/ws", shop.socket().await)
        .into_client_request()
        .unwrap();
    let protocol = ("sec-websocket-protocol", "live.1.json".to_owned());
    for (name, value) in headers.iter().chain([&protocol]) {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let mut socket = match timeout(PATIENCE, connect_async(request)).await.unwrap() {
        Ok((socket, _)) => socket,
        Err(Error::Http(answer)) => return Verdict::Out(answer.status().as_u16()),
        Err(error) => panic!("{error}"),
    };
    let hello = match token {
        Some(token) => json!({"hello": {"token": token}}),
        None => json!({"hello": {}}),
    };
    for frame in [
        hello,
        json!({"sub": [{"id": 1, "ch": channel, "from": "snapshot"}]}),
    ] {
        // A connection that was ended in between says so below.
        if socket.send(Message::text(frame.to_string())).await.is_err() {
            break;
        }
    }
    loop {
        let message = timeout(PATIENCE, socket.next()).await.expect("a frame in time");
        let Message::Text(text) = message.expect("a verdict before the end").unwrap() else {
            continue;
        };
        let frame: Value = serde_json::from_str(&text).unwrap();
        if !frame["snap"].is_null() {
            return Verdict::In;
        } else if let Some(status) = frame["err"]["status"].as_u64() {
            return Verdict::No(u16::try_from(status).unwrap());
        } else if let Some(code) = frame["bye"]["code"].as_u64() {
            return Verdict::Out(u16::try_from(code).unwrap());
        }
    }
}

/// Asks for an event stream.
async fn over_events(
    shop: &'static Shop,
    channel: &str,
    token: Option<String>,
    headers: &[(&'static str, String)],
) -> Verdict {
    let address = shop.socket().await;
    let mut head = format!("GET /live/sse?ch={channel} HTTP/1.1\r\nHost: {address}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(token) = token {
        head.push_str(&format!("authorization: Bearer {token}\r\n"));
    }
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    let mut text = String::new();
    loop {
        let mut bytes = [0; 4_096];
        let count = timeout(PATIENCE, stream.read(&mut bytes))
            .await
            .expect("in time")
            .unwrap();
        assert!(count > 0, "a verdict before the end: {text}");
        text.push_str(&String::from_utf8_lossy(&bytes[..count]));
        if text.contains("event: snap\n") {
            return Verdict::In;
        }
        if text.contains("trace_id") {
            assert!(text.contains("application/problem+json"), "{text}");
            let status: u16 = text.split(' ').nth(1).unwrap().parse().unwrap();
            assert_eq!(status == 401, text.contains("www-authenticate: Bearer"), "{text}");
            return Verdict::Out(status);
        }
    }
}

#[tokio::test]
async fn every_channel_refuses_whom_it_is_not_for() {
    let shop = shop().await;
    let document = shop.ask(Call::get("/asyncapi.json")).await.expect(200);
    let served: BTreeSet<&str> = document["x-channels"]
        .as_array()
        .unwrap()
        .iter()
        .map(|channel| channel["name"].as_str().unwrap())
        .collect();
    let known: BTreeSet<&str> = CHANNELS.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        served, known,
        "each channel has a line in tests/it/security/policy.rs"
    );

    let people = People::gather(shop).await;
    let order = order_of(shop, &people.shopper).await;
    let sku = shop.product(1_000, 5).await;
    let mut rows = Vec::new();
    for (name, door) in CHANNELS {
        let thing = if name.starts_with("order:") { &order } else { &sku };
        let channel = name.replace("{id}", thing);
        for transport in [Transport::Socket, Transport::EventStream] {
            let over = if transport == Transport::Socket {
                "WebSocket"
            } else {
                "events"
            };
            let mut row = vec![format!("`{name}`, {over}")];
            for caller in Caller::ALL {
                let right = people.with(Role::Shopper);
                let token = caller.token(shop, &people, right).await;
                let headers = cookie_headers(caller, shop, right).await;
                let seen = match transport {
                    Transport::Socket => over_socket(shop, &channel, token, &headers).await,
                    Transport::EventStream => over_events(shop, &channel, token, &headers).await,
                };
                let due = verdict(*door, caller, transport);
                assert_eq!(seen, due, "{name} over {over} by {}", caller.name());
                row.push(seen.cell());
            }
            rows.push(row);
        }
    }
    let mut head = vec!["Channel"];
    head.extend(Caller::ALL.map(|caller| match caller {
        Caller::Tokenless => "cookie, no Origin",
        caller => caller.name(),
    }));
    compare("channels", &table(&head, &rows));
}

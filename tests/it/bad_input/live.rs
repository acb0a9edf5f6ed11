//! Frames that are frames and ask for what cannot be, on the node's own socket.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::edge::shop;

const PATIENCE: Duration = Duration::from_secs(20);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect() -> Socket {
    let address = shop().await.socket().await;
    let mut request = format!("ws://{address}/live/ws").into_client_request().unwrap();
    let protocol = "live.1.json".parse().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", protocol);
    connect_async(request).await.unwrap().0
}

/// The next frame that is not one of `without`; `None` when the connection is over.
async fn hear(socket: &mut Socket, without: &[&str]) -> Option<(String, Value)> {
    loop {
        let message = timeout(PATIENCE, socket.next()).await.expect("a frame in time");
        match message {
            Some(Ok(Message::Text(text))) => {
                let frame: Value = serde_json::from_str(&text).unwrap();
                let (name, body) = frame.as_object().unwrap().iter().next().unwrap();
                if !without.contains(&name.as_str()) {
                    return Some((name.clone(), body.clone()));
                }
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            _ => return None,
        }
    }
}

#[tokio::test]
async fn what_cannot_be_followed_is_said_for_each_item() {
    let sku = shop().await.product(1_000, 5).await;
    let order = "order:0197f0a4-0000-7000-8000-000000000001";
    let product = format!("product:{sku}");
    let at = |offset: Value| json!({"e": "1", "o": offset});
    let mut socket = connect().await;
    socket
        .send(Message::text(json!({"hello": {}}).to_string()))
        .await
        .unwrap();
    for (channel, from, due) in [
        ("", json!("live"), 404),
        ("product:", json!("live"), 404),
        ("product:\u{0}", json!("live"), 404),
        ("product:*", json!("live"), 404),
        ("product:../x", json!("live"), 404),
        ("PRODUCT:X", json!("live"), 404),
        ("cart ", json!("live"), 404),
        ("order:*", json!("live"), 404),
        (order, json!("snapshot"), 401),
        (order, at(json!(u64::MAX)), 401),
        ("cart", json!("snapshot"), 401),
        (&product, json!("SNAPSHOT"), 422),
        (&product, json!(null), 0),
        (&product, at(json!(-1)), 422),
        (&product, at(json!(1.5)), 422),
        (&product, at(json!(9_223_372_036_854_775_808_u64)), 0),
        (&product, at(json!(u64::MAX)), 0),
        (&product, json!({"e": "x".repeat(10_000), "o": 1}), 0),
        (&product, json!([]), 422),
        (&"x".repeat(60_000), json!("live"), 404),
    ] {
        let sub = json!({"sub": [{"id": "one", "ch": channel, "from": from}]});
        socket.send(Message::text(sub.to_string())).await.unwrap();
        let (name, body) = hear(&mut socket, &["welcome", "pub", "live", "gap", "pos"])
            .await
            .unwrap_or_else(|| panic!("the connection goes on after {channel:.60} {from}"));
        let status = body["status"].as_u64().unwrap_or(0);
        assert_eq!(status, due, "{channel:.60} {from}: {name} {body}");
        assert_eq!(if due == 0 { "snap" } else { "err" }, name);
    }
}

#[tokio::test]
async fn a_socket_follows_so_many_and_no_more() {
    let mut socket = connect().await;
    let items: Vec<Value> = (0..200)
        .map(|n| json!({"id": n, "ch": format!("product:LIMIT-{n}"), "from": "live"}))
        .collect();
    let sub = json!({ "sub": items }).to_string();
    socket.send(Message::text(sub)).await.unwrap();
    let mut refused = 0;
    let mut answered = 0;
    while answered < 200 {
        match hear(&mut socket, &["welcome", "snap", "pub"])
            .await
            .expect("a connection that goes on")
        {
            (name, body) if name == "err" => {
                answered += 1;
                refused += u64::from(body["status"] == 429);
            }
            (name, _) if name == "live" => answered += 1,
            (name, body) => panic!("{name} {body}"),
        }
    }
    assert!(refused >= 72, "{refused} of 200 are too many");
    // As many again, all at once, and it is the protocol that is broken.
    let many: Vec<Value> = (0..10_000).map(|n| json!({"id": n, "ch": "cart"})).collect();
    let many = json!({ "sub": many }).to_string();
    socket.send(Message::text(many)).await.unwrap();
    loop {
        match hear(&mut socket, &[]).await {
            Some((name, body)) if name == "bye" => {
                assert_eq!(body["code"], 4010);
                break;
            }
            Some(_) => {}
            None => panic!("a bye before the end"),
        }
    }
}

#[tokio::test]
async fn a_flood_of_pings_is_answered_or_cut_and_costs_nobody_else_anything() {
    let mut flood = connect().await;
    for n in 0..2_000 {
        let ping = json!({"ping": {"t0": n}}).to_string();
        if flood.send(Message::text(ping)).await.is_err() {
            break;
        }
    }
    let mut other = connect().await;
    let sku = shop().await.product(1_000, 5).await;
    let sub = json!({"sub": [{"id": 1, "ch": format!("product:{sku}")}]}).to_string();
    other.send(Message::text(sub)).await.unwrap();
    let (name, _) = hear(&mut other, &["welcome"]).await.unwrap();
    assert_eq!(name, "snap");
    let last = hear(&mut flood, &["welcome"]).await;
    assert!(last.is_none_or(|(name, _)| ["pong", "bye"].contains(&name.as_str())));
}

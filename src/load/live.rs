//! The live feed as a shopper uses it: one WebSocket, one order at a time.
//!
//! What is checked here is the promise of a stream channel: every event once, in order, or an
//! explicit gap (invariant I6).

use std::io;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use hyper::header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::client::Target;
use crate::clock::Clock;

const PROTOCOL: &str = "live.1.json";
/// The default of tungstenite is 128 KiB a socket, and there are hundreds.
const BUFFER: usize = 4_096;

/// Why the feed cannot be followed any further on this socket.
#[derive(Debug, thiserror::Error)]
pub enum LiveFault {
    /// The upgrade was answered with this status.
    #[error("the upgrade was answered with {0}")]
    NotOffered(u16),
    /// No connection could be made.
    #[error("no connection to the live feed")]
    Unreachable(#[source] io::Error),
    /// The socket broke or was closed without a goodbye.
    #[error("the socket broke")]
    Broken(#[source] Box<tungstenite::Error>),
    /// It was closed without a goodbye.
    #[error("the socket was closed without bye")]
    Closed,
    /// It was closed with one.
    #[error("bye {code}")]
    Bye {
        /// Why.
        code: u16,
        /// When to come back.
        after: Duration,
    },
    /// The subscription did not happen.
    #[error("the subscription was refused: {told}")]
    Refused {
        /// The status of the problem; 503 asks to come back.
        status: u64,
        /// The whole frame.
        told: String,
    },
    /// The feed broke its promise or its format.
    #[error("{0}")]
    Wrong(String),
    /// Nothing came in time.
    #[error("nothing came in time")]
    Silent,
}

/// What one frame told about the watched order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Nothing new about its end.
    Nothing,
    /// It is no longer pending.
    Ended,
    /// The feed is ahead of us: subscribe again.
    Behind,
}

/// A watch on `order:{id}`, which outlives the socket it began on.
#[derive(Debug)]
pub struct OrderWatch {
    channel: String,
    position: Option<(Value, u64)>,
}

impl OrderWatch {
    /// Watches from a snapshot on.
    #[must_use]
    pub fn new(channel: impl Into<String>) -> Self {
        Self {
            channel: channel.into(),
            position: None,
        }
    }

    /// Starts over with a snapshot.
    pub fn forget(&mut self) {
        self.position = None;
    }

    fn subscription(&self, id: u64) -> Value {
        let from = match &self.position {
            Some((epoch, offset)) => json!({"e": epoch, "o": offset}),
            None => json!("snapshot"),
        };
        json!({"sub": [{"id": id, "ch": self.channel, "from": from}]})
    }

    /// Takes in one frame. An error is a broken promise.
    pub fn take(&mut self, name: &str, frame: &Value) -> Result<Told, String> {
        match name {
            "snap" if self.is_about(frame) => {
                let offset = offset_of(frame)?;
                let epoch = frame.get("e").cloned().ok_or("a snap without e")?;
                self.position = Some((epoch, offset));
                let data = frame.get("data").ok_or("a snap without data")?;
                Ok(ended(status_in(data)))
            }
            "pub" => {
                let mut told = Told::Nothing;
                for event in frame.as_array().ok_or("pub is no array")? {
                    if self.is_about(event) && self.event(event)? == Told::Ended {
                        told = Told::Ended;
                    }
                }
                Ok(told)
            }
            "gap" if self.is_about(frame) => {
                self.position = None;
                Ok(Told::Nothing)
            }
            "pos" => {
                let positions = frame.as_array().ok_or("pos is no array")?;
                let ahead = positions.iter().any(|position| {
                    let offset = position.get(1).and_then(Value::as_u64);
                    position.get(0).and_then(Value::as_str) == Some(&self.channel)
                        && offset > self.position.as_ref().map(|(_, offset)| *offset)
                });
                Ok(if ahead { Told::Behind } else { Told::Nothing })
            }
            _ => Ok(Told::Nothing),
        }
    }

    fn is_about(&self, value: &Value) -> bool {
        value.get("ch").and_then(Value::as_str) == Some(&self.channel)
    }

    fn event(&mut self, event: &Value) -> Result<Told, String> {
        let offset = offset_of(event)?;
        let Some((_, last)) = &mut self.position else {
            return Err(format!("{}: event {offset} before any snapshot", self.channel));
        };
        if offset != *last + 1 {
            return Err(format!("{}: event {offset} after {last}", self.channel));
        }
        *last = offset;
        Ok(ended(event.get("d").and_then(status_in)))
    }
}

fn offset_of(value: &Value) -> Result<u64, String> {
    value
        .get("o")
        .and_then(Value::as_u64)
        .ok_or_else(|| format!("no offset in {value}"))
}

/// The status an event or a snapshot speaks of: its own, or that of the newest entry of its history.
fn status_in(data: &Value) -> Option<&str> {
    let newest = |list: &'_ Value| -> Option<usize> { list.as_array()?.len().checked_sub(1) };
    let history = data.get("history").unwrap_or(data);
    data.get("status")
        .or_else(|| history.get(newest(history)?)?.get("status"))?
        .as_str()
}

fn ended(status: Option<&str>) -> Told {
    if status.is_some_and(|status| status != "pending") {
        Told::Ended
    } else {
        Told::Nothing
    }
}

fn refused(frame: &Value) -> LiveFault {
    LiveFault::Refused {
        status: frame.get("status").and_then(Value::as_u64).unwrap_or_default(),
        told: frame.to_string(),
    }
}

/// A socket that has said hello.
#[derive(Debug)]
pub struct Live {
    socket: WebSocketStream<TcpStream>,
    subscriptions: u64,
}

impl Live {
    /// Connects and says who we are.
    pub async fn open(target: &Target, token: &str, limit: Duration) -> Result<Self, LiveFault> {
        timeout(limit, Self::greet(target, token, limit))
            .await
            .unwrap_or(Err(LiveFault::Silent))
    }

    async fn greet(target: &Target, token: &str, limit: Duration) -> Result<Self, LiveFault> {
        let stream = target.connect(limit).await.map_err(LiveFault::Unreachable)?;
        let mut request = format!("ws://{}/live/ws", target.authority())
            .into_client_request()
            .map_err(broken)?;
        request
            .headers_mut()
            .insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER)
            .write_buffer_size(BUFFER);
        let (socket, _) = client_async_with_config(request, stream, Some(config))
            .await
            .map_err(|fault| match fault {
                tungstenite::Error::Http(answer) => LiveFault::NotOffered(answer.status().as_u16()),
                // A server that answers without choosing our protocol does not speak it.
                fault => broken(fault),
            })?;
        let mut live = Self {
            socket,
            subscriptions: 0,
        };
        live.say(&json!({"hello": {"token": token, "client": "globalshop-load"}}))
            .await?;
        loop {
            let (name, frame) = live.hear().await?;
            match name.as_str() {
                "welcome" => return Ok(live),
                "err" => return Err(refused(&frame)),
                "bye" => return Err(bye(&frame)),
                _ => {}
            }
        }
    }

    /// Returns when the order is no longer pending.
    pub async fn follow(
        &mut self,
        watch: &mut OrderWatch,
        clock: &Clock,
        until: Instant,
    ) -> Result<(), LiveFault> {
        timeout_at(until, self.follow_on(watch, clock))
            .await
            .unwrap_or(Err(LiveFault::Silent))
    }

    async fn follow_on(&mut self, watch: &mut OrderWatch, clock: &Clock) -> Result<(), LiveFault> {
        self.subscribe(watch).await?;
        loop {
            let (name, frame) = self.hear().await?;
            match name.as_str() {
                "ping" => {
                    let answer = json!({"pong": {"t0": frame.get("t0"), "t1": clock.now()}});
                    self.say(&answer).await?;
                }
                "bye" => return Err(bye(&frame)),
                "err" => return Err(refused(&frame)),
                _ => match watch.take(&name, &frame).map_err(LiveFault::Wrong)? {
                    Told::Nothing => {}
                    Told::Behind => self.subscribe(watch).await?,
                    Told::Ended => {
                        let id = self.subscriptions;
                        return self
                            .say(&json!({"unsub": [{"id": id, "ch": watch.channel}]}))
                            .await;
                    }
                },
            }
        }
    }

    async fn subscribe(&mut self, watch: &OrderWatch) -> Result<(), LiveFault> {
        self.subscriptions += 1;
        self.say(&watch.subscription(self.subscriptions)).await
    }

    /// Follows a state channel from a snapshot on.
    pub(super) async fn watch(&mut self, channel: &str) -> Result<(), LiveFault> {
        self.subscriptions += 1;
        let id = self.subscriptions;
        self.say(&json!({"sub": [{"id": id, "ch": channel, "from": "snapshot"}]}))
            .await
    }

    /// Says one frame.
    pub(super) async fn say(&mut self, frame: &Value) -> Result<(), LiveFault> {
        self.socket
            .send(Message::text(frame.to_string()))
            .await
            .map_err(broken)
    }

    async fn hear(&mut self) -> Result<(String, Value), LiveFault> {
        let text = self.hear_text().await?;
        frame(&text).ok_or_else(|| LiveFault::Wrong(format!("not a frame: {text:.200}")))
    }

    /// The next frame as it came. Safe to give up on: what was not heard is heard next time.
    pub(super) async fn hear_text(&mut self) -> Result<Utf8Bytes, LiveFault> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return Ok(text),
                Some(Ok(Message::Binary(_))) => return Err(LiveFault::Wrong("a binary frame".to_owned())),
                Some(Ok(Message::Close(_))) | None => return Err(LiveFault::Closed),
                Some(Ok(_)) => {}
                Some(Err(fault)) => return Err(broken(fault)),
            }
        }
    }
}

/// A frame is one object with one key, its name.
fn frame(text: &str) -> Option<(String, Value)> {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) if object.len() == 1 => object.into_iter().next(),
        _ => None,
    }
}

fn bye(frame: &Value) -> LiveFault {
    let number = |name| frame.get(name).and_then(Value::as_u64);
    LiveFault::Bye {
        code: number("code")
            .and_then(|code| u16::try_from(code).ok())
            .unwrap_or(0),
        after: Duration::from_millis(number("after_ms").unwrap_or(0)),
    }
}

fn broken(fault: tungstenite::Error) -> LiveFault {
    LiveFault::Broken(Box::new(fault))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(watch: &mut OrderWatch, text: &str) -> Result<Told, String> {
        let (name, frame) = frame(text).unwrap();
        watch.take(&name, &frame)
    }

    #[test]
    fn an_order_is_followed_from_its_snapshot_to_its_end() {
        let mut watch = OrderWatch::new("order:9");
        assert_eq!(watch.subscription(1)["sub"][0]["from"], "snapshot");
        let snap =
            r#"{"snap": {"ch": "order:9", "e": "x", "o": 1, "data": {"status": "pending", "history": []}}}"#;
        assert_eq!(told(&mut watch, snap), Ok(Told::Nothing));
        assert_eq!(
            told(
                &mut watch,
                r#"{"live": {"id": 1, "ch": "order:9", "e": "x", "o": 1}}"#
            ),
            Ok(Told::Nothing)
        );
        let events = r#"{"pub": [{"ch": "product:1", "o": 70, "d": {}},
                                 {"ch": "order:9", "o": 2, "d": {"at": "…", "status": "pending"}},
                                 {"ch": "order:9", "o": 3, "d": {"at": "…", "status": "confirmed"}}]}"#;
        assert_eq!(told(&mut watch, events), Ok(Told::Ended));
        assert_eq!(watch.subscription(2)["sub"][0]["from"], json!({"e": "x", "o": 3}));
    }

    #[test]
    fn holes_repeats_and_events_without_a_snapshot_are_told() {
        let mut watch = OrderWatch::new("order:9");
        let event = |offset: u64| format!(r#"{{"pub": [{{"ch": "order:9", "o": {offset}, "d": {{}}}}]}}"#);
        assert!(
            told(&mut watch, &event(1))
                .unwrap_err()
                .contains("before any snapshot")
        );
        told(
            &mut watch,
            r#"{"snap": {"ch": "order:9", "e": 1, "o": 4, "data": []}}"#,
        )
        .unwrap();
        assert!(
            told(&mut watch, &event(6))
                .unwrap_err()
                .contains("event 6 after 4")
        );
        assert!(
            told(&mut watch, &event(4))
                .unwrap_err()
                .contains("event 4 after 4")
        );
        assert_eq!(told(&mut watch, &event(5)), Ok(Told::Nothing));
        assert_eq!(
            told(&mut watch, r#"{"pos": [["order:9", 5]]}"#),
            Ok(Told::Nothing)
        );
        assert_eq!(told(&mut watch, r#"{"pos": [["order:9", 7]]}"#), Ok(Told::Behind));
        told(&mut watch, r#"{"gap": {"ch": "order:9", "reason": "epoch"}}"#).unwrap();
        assert_eq!(watch.subscription(1)["sub"][0]["from"], "snapshot");
    }

    #[test]
    fn a_snapshot_may_be_the_order_or_its_history() {
        assert_eq!(status_in(&json!({"status": "confirmed"})), Some("confirmed"));
        let history = json!([{"status": "pending"}, {"status": "cancelled"}]);
        assert_eq!(status_in(&history), Some("cancelled"));
        assert_eq!(status_in(&json!({"history": history})), Some("cancelled"));
        assert_eq!(status_in(&json!([])), None);
        assert!(frame("[]").is_none() && frame(r#"{"a": 1, "b": 2}"#).is_none());
    }
}

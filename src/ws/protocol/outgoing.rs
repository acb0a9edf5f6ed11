//! What the server says. A frame is encoded once and its bytes are shared by every socket.

use axum::extract::ws::Utf8Bytes;
use serde::Serialize;
use serde_json::{Number, Value};

use super::super::moment::moment;
use super::super::problem::Problem;
use super::close::Close;
use super::incoming::SubscriptionId;
use super::{FRAME_BYTES_MAX, SUBSCRIPTIONS_MAX};
use crate::domain::Millis;

/// An encoded frame. A clone shares the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    name: &'static str,
    text: Utf8Bytes,
}

/// What a client is told first.
#[derive(Clone, Debug, Serialize)]
pub struct Welcome<'a> {
    /// The connection's id; also the trace id of its problems.
    pub session: &'a str,
    /// The node it is connected to.
    pub node: &'a str,
    /// How often somebody should say something.
    pub ping_ms: u64,
    /// The server's clock.
    pub server_now: String,
    /// What may be asked of one connection.
    pub limits: Limits,
    /// For how many seconds back every stream can be resumed, at least.
    pub resume_window: u64,
}

/// What may be asked of one connection.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Limits {
    /// Bytes a frame from the client may have.
    pub frame_bytes: usize,
    /// Channels it may follow.
    pub subscriptions: usize,
}

impl Limits {
    /// The limits of this protocol.
    pub const OF_PROTOCOL: Self = Self {
        frame_bytes: FRAME_BYTES_MAX,
        subscriptions: SUBSCRIPTIONS_MAX,
    };
}

/// One event of a channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Publication {
    /// Its offset.
    pub offset: u64,
    /// When it happened.
    pub at: Millis,
    /// Its name.
    pub event: &'static str,
    /// The event of a stream, the whole value of a state.
    pub data: Value,
}

#[derive(Serialize)]
struct WrittenPublication<'a> {
    ch: &'a str,
    o: u64,
    t: String,
    ev: &'a str,
    d: &'a Value,
}

#[derive(Serialize)]
struct Snap<'a> {
    ch: &'a str,
    e: &'a str,
    o: u64,
    data: &'a Value,
}

#[derive(Serialize)]
struct Live<'a> {
    id: &'a SubscriptionId,
    ch: &'a str,
    e: &'a str,
    o: u64,
    recovered: bool,
}

#[derive(Serialize)]
struct Gap<'a> {
    ch: &'a str,
    reason: &'a str,
}

/// The body is the problem itself, with the subscription's id beside it, and once more in one piece.
#[derive(Serialize)]
struct Err<'a> {
    id: &'a SubscriptionId,
    #[serde(flatten)]
    members: &'a Problem,
    problem: &'a Problem,
}

#[derive(Serialize)]
struct Ping {
    t0: i64,
}

#[derive(Serialize)]
struct Pong<'a> {
    t0: &'a Number,
    t1: i64,
}

#[derive(Serialize)]
struct Bye<'a> {
    code: u16,
    reason: &'a str,
    retry: bool,
    after_ms: u64,
}

impl Frame {
    /// `{"name": body}`. The bodies are ours and always are JSON.
    fn encode(name: &'static str, body: &impl Serialize) -> Self {
        let mut text = Vec::with_capacity(256);
        text.extend_from_slice(b"{\"");
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(b"\":");
        let text = match serde_json::to_writer(&mut text, body) {
            Ok(()) => {
                text.push(b'}');
                Utf8Bytes::try_from(text).unwrap_or_default()
            }
            Err(error) => {
                tracing::error!(%error, name, "a frame could not be encoded");
                Utf8Bytes::default()
            }
        };
        Self { name, text }
    }

    /// The first frame.
    #[must_use]
    pub fn welcome(welcome: &Welcome<'_>) -> Self {
        Self::encode("welcome", welcome)
    }

    /// The state of a channel at an offset.
    #[must_use]
    pub fn snap(channel: &str, epoch: &str, offset: u64, data: &Value) -> Self {
        let body = Snap {
            ch: channel,
            e: epoch,
            o: offset,
            data,
        };
        Self::encode("snap", &body)
    }

    /// From here in real time.
    #[must_use]
    pub fn live(id: &SubscriptionId, channel: &str, epoch: &str, offset: u64, recovered: bool) -> Self {
        let body = Live {
            id,
            ch: channel,
            e: epoch,
            o: offset,
            recovered,
        };
        Self::encode("live", &body)
    }

    /// Events of one channel, in order.
    #[must_use]
    pub fn publish<'a>(channel: &str, publications: impl IntoIterator<Item = &'a Publication>) -> Self {
        let body: Vec<_> = publications
            .into_iter()
            .map(|publication| WrittenPublication {
                ch: channel,
                o: publication.offset,
                t: moment(publication.at),
                ev: publication.event,
                d: &publication.data,
            })
            .collect();
        Self::encode("pub", &body)
    }

    /// The position cannot be resumed; a snap follows.
    #[must_use]
    pub fn gap(channel: &str, reason: &str) -> Self {
        Self::encode("gap", &Gap { ch: channel, reason })
    }

    /// Where the channels stand.
    #[must_use]
    pub fn positions<C: AsRef<str>>(positions: &[(C, u64)]) -> Self {
        let body: Vec<_> = positions
            .iter()
            .map(|(channel, offset)| (channel.as_ref(), offset))
            .collect();
        Self::encode("pos", &body)
    }

    /// The subscription did not happen, or ended.
    #[must_use]
    pub fn refused(id: &SubscriptionId, problem: &Problem) -> Self {
        let body = Err {
            id,
            members: problem,
            problem,
        };
        Self::encode("err", &body)
    }

    /// Are you there?
    #[must_use]
    pub fn ping(now: Millis) -> Self {
        Self::encode("ping", &Ping { t0: now.0 })
    }

    /// We are.
    #[must_use]
    pub fn pong(t0: &Number, now: Millis) -> Self {
        Self::encode("pong", &Pong { t0, t1: now.0 })
    }

    /// The last frame.
    #[must_use]
    pub fn bye(close: &Close) -> Self {
        let body = Bye {
            code: close.code.number(),
            reason: close.reason,
            retry: close.code.retry(),
            after_ms: u64::try_from(close.after.as_millis()).unwrap_or(u64::MAX),
        };
        Self::encode("bye", &body)
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The whole of it, as JSON.
    #[must_use]
    pub fn text(&self) -> &str {
        self.text.as_str()
    }

    /// The shared bytes.
    #[must_use]
    pub fn into_text(self) -> Utf8Bytes {
        self.text
    }

    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.text.as_str().len()
    }

    /// Whether it has none; no frame of ours.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ws::problem::ProblemKind;
    use crate::ws::protocol::CloseCode;
    use serde_json::json;
    use std::time::Duration;

    #[track_caller]
    fn check(frame: &Frame, expected: &Value) {
        let read: Value = serde_json::from_str(frame.text()).unwrap();
        assert_eq!(read, *expected);
        assert_eq!(read.as_object().unwrap().keys().next().unwrap(), frame.name());
    }

    #[test]
    fn frames_are_written_as_the_contract_says() {
        let id = SubscriptionId::Number(7);
        check(
            &Frame::snap("order:9", "a1", 2, &json!({"status": "pending"})),
            &json!({"snap": {"ch": "order:9", "e": "a1", "o": 2, "data": {"status": "pending"}}}),
        );
        check(
            &Frame::live(&id, "order:9", "a1", 2, true),
            &json!({"live": {"id": 7, "ch": "order:9", "e": "a1", "o": 2, "recovered": true}}),
        );
        let publication = Publication {
            offset: 3,
            at: Millis(1_790_000_000_120),
            event: "confirmed",
            data: json!({"status": "confirmed"}),
        };
        check(
            &Frame::publish("order:9", [&publication]),
            &json!({"pub": [{
                "ch": "order:9", "o": 3, "t": "2026-09-21T14:13:20.120Z", "ev": "confirmed",
                "d": {"status": "confirmed"}
            }]}),
        );
        check(
            &Frame::gap("order:9", "epoch"),
            &json!({"gap": {"ch": "order:9", "reason": "epoch"}}),
        );
        check(
            &Frame::positions(&[("order:9", 3), ("cart", 90)]),
            &json!({"pos": [["order:9", 3], ["cart", 90]]}),
        );
        check(&Frame::ping(Millis(5)), &json!({"ping": {"t0": 5}}));
        check(
            &Frame::pong(&Number::from(3), Millis(5)),
            &json!({"pong": {"t0": 3, "t1": 5}}),
        );
        let close = Close::new(CloseCode::Drain, "going down").after(Duration::from_millis(1_500));
        check(
            &Frame::bye(&close),
            &json!({"bye": {"code": 4000, "reason": "going down", "retry": true, "after_ms": 1500}}),
        );
    }

    #[test]
    fn a_refusal_is_a_problem_with_an_id() {
        let problem = Problem::new(ProblemKind::NotFound, "0af7651916cd43dd8448eb211c80319c");
        let frame = Frame::refused(&SubscriptionId::Number(7), &problem);
        let read: Value = serde_json::from_str(frame.text()).unwrap();
        assert_eq!(read["err"]["id"], 7);
        assert_eq!(read["err"]["type"], "/problems/not-found");
        assert_eq!(read["err"]["problem"]["status"], 404);
    }
}

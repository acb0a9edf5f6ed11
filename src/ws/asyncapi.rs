//! `GET /asyncapi.json`: the live feed as an AsyncAPI 3.0 document.
//!
//! Names, limits, close codes and examples come from the code that speaks them; the schemas stand here,
//! and a test holds every example against them and against the parser.

use std::sync::LazyLock;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Number, Value, json};

use super::Live;
use super::problem::{Problem, ProblemKind};
use super::protocol::{
    Close, CloseCode, FRAME_BYTES_MAX, Frame, Limits, Publication, SSE_STREAMS_MAX, SUBPROTOCOL,
    SUBSCRIPTIONS_MAX, SubscriptionId, Welcome,
};
use crate::domain::Millis;

static DOCUMENT: LazyLock<String> = LazyLock::new(|| document().to_string());

pub(super) async fn serve(State(_): State<Live>) -> Response {
    let mut answer = DOCUMENT.as_str().into_response();
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=300"),
    );
    answer
}

/// One frame of the protocol.
struct Message {
    name: &'static str,
    /// Whether the client says it; otherwise the server does.
    from_client: bool,
    summary: &'static str,
    schema: Value,
    example: Value,
}

/// The whole document.
#[must_use]
pub fn document() -> Value {
    let messages = messages();
    let key = |message: &Message| {
        let side = if message.from_client { "client" } else { "server" };
        format!("{side}_{}", message.name)
    };
    let in_channel: Map<String, Value> = messages
        .iter()
        .map(|message| {
            let key = key(message);
            let reference = json!({"$ref": format!("#/components/messages/{key}")});
            (key, reference)
        })
        .collect();
    let of_side = |from_client: bool| -> Vec<Value> {
        messages
            .iter()
            .filter(|message| message.from_client == from_client)
            .map(|message| json!({"$ref": format!("#/channels/live/messages/{}", key(message))}))
            .collect()
    };
    let components: Map<String, Value> = messages
        .iter()
        .map(|message| {
            let payload = json!({
                "type": "object",
                "properties": {message.name: message.schema},
                "required": [message.name],
                "additionalProperties": false,
            });
            let described = json!({
                "name": message.name,
                "summary": message.summary,
                "contentType": "application/json",
                "payload": payload,
                "examples": [{"payload": message.example}],
            });
            (key(message), described)
        })
        .collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "GlobalShop live feed",
            "version": "1",
            "description": description(),
        },
        "defaultContentType": "application/json",
        "channels": {
            "live": {
                "address": "/live/ws",
                "title": "The live feed",
                "description": format!(
                    "WebSocket, subprotocol `{SUBPROTOCOL}`. The same frames as server-sent events, \
                     `event: snap|pub|gap|live|bye`, at `/live/sse?ch=…&ch=…` (at most {SSE_STREAMS_MAX} \
                     orders); `Last-Event-ID` resumes."
                ),
                "messages": in_channel,
                "bindings": {"ws": {"method": "GET"}},
            }
        },
        "operations": {
            "say": {
                "action": "receive",
                "channel": {"$ref": "#/channels/live"},
                "summary": "What a client may say.",
                "messages": of_side(true),
            },
            "hear": {
                "action": "send",
                "channel": {"$ref": "#/channels/live"},
                "summary": "What the server says.",
                "messages": of_side(false),
            },
        },
        "components": {"messages": components},
        "x-channels": [
            {"name": "product:{id}", "class": "state", "who": "anyone", "content": "price, availability, version"},
            {"name": "cart", "class": "state", "who": "the caller", "content": "the cart as in the HTTP API"},
            {
                "name": "order:{id}", "class": "stream", "who": "its owner, sellers, operators",
                "content": "a snapshot is the order as in the HTTP API, an event is an entry of its history",
            },
        ],
        "x-close-codes": CloseCode::ALL.map(|code| json!({
            "code": code.number(), "meaning": code.meaning(), "retry": code.retry(),
        })),
        "x-problems": ProblemKind::ALL.map(|kind| json!({"type": kind.uri(), "status": kind.status()})),
    })
}

fn description() -> String {
    format!(
        "A frame is one JSON object with one key, its name. Stream channels have gapless offsets from 1 \
         and can be resumed from a position `{{\"e\", \"o\"}}`; state channels tell their newest value at \
         an offset that only rises, and always begin with a `snap`. A client sends at most \
         {FRAME_BYTES_MAX} bytes a frame and follows at most {SUBSCRIPTIONS_MAX} channels a connection; \
         subscribing again to a channel replaces the subscription. Every connection gets one `welcome`: \
         after its `hello`, or before the first answer to anything else. Unknown members may be added to \
         what the server says; what a client says is read strictly."
    )
}

fn object(properties: Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": properties, "required": required})
}

/// What a client says has no other members.
fn strict(properties: Value, required: &[&str]) -> Value {
    let mut schema = object(properties, required);
    schema["additionalProperties"] = false.into();
    schema
}

fn messages() -> Vec<Message> {
    let id = || json!({"oneOf": [{"type": "integer", "minimum": 0}, {"type": "string", "maxLength": 64}]});
    let text = || json!({"type": "string"});
    let moment = || json!({"type": "string", "format": "date-time"});
    let offset = || json!({"type": "integer", "minimum": 0});
    let epoch = || json!({"type": ["string", "integer"]});
    let number = || json!({"type": "number"});
    let position = strict(json!({"e": epoch(), "o": offset()}), &["e", "o"]);
    let from = json!({"oneOf": [{"enum": ["snapshot", "live"]}, position], "default": "snapshot"});
    let list = |item: Value| json!({"type": "array", "items": item});

    let client = |name, summary, schema, example| Message {
        name,
        from_client: true,
        summary,
        schema,
        example,
    };
    let server = |frame: Frame, summary, schema| Message {
        name: frame.name(),
        from_client: false,
        summary,
        schema,
        example: serde_json::from_str(frame.text()).unwrap_or_default(),
    };

    let order = "order:6f1f8c8e-4f3c-5d0a-9a51-0c9d3f7a2b10";
    let session = "0af7651916cd43dd8448eb211c80319c";
    let at = Millis(1_795_770_000_000);
    let first = SubscriptionId::Number(1);
    let entry = json!({"at": "2026-11-27T09:00:00.000Z", "status": "confirmed"});
    let confirmed = Publication {
        offset: 2,
        at,
        event: "confirmed",
        data: entry,
    };
    let welcome = Welcome {
        session,
        node: "node-1",
        ping_ms: 20_000,
        server_now: super::moment::moment(at),
        limits: Limits::OF_PROTOCOL,
        resume_window: 31_536_000,
    };
    let drain = Close::new(CloseCode::Drain, "the node goes down").after(Duration::from_millis(1_250));
    vec![
        client(
            "hello",
            "The first word. Needed only to show a token, or to be welcomed at once.",
            strict(json!({"token": text(), "client": {}}), &[]),
            json!({"hello": {"token": "eyJ0eXAi…", "client": "storefront"}}),
        ),
        client(
            "sub",
            "Follow channels. Each item is answered for itself, with `live` or `err`.",
            list(strict(
                json!({"id": id(), "ch": text(), "from": from}),
                &["id", "ch"],
            )),
            json!({"sub": [
                {"id": 1, "ch": order, "from": "snapshot"},
                {"id": 2, "ch": "cart", "from": "snapshot"},
                {"id": 3, "ch": order, "from": {"e": "6f1f8c8e", "o": 1}},
            ]}),
        ),
        client(
            "unsub",
            "Follow channels no longer.",
            list(strict(json!({"id": id(), "ch": text(), "from": {}}), &["ch"])),
            json!({"unsub": [{"id": 1, "ch": order}]}),
        ),
        client(
            "auth",
            "A fresh token of the same customer, so that the connection can go on.",
            strict(json!({"token": text()}), &["token"]),
            json!({"auth": {"token": "eyJ0eXAi…"}}),
        ),
        client(
            "ping",
            "Are you there, and what time is it?",
            strict(json!({"t0": number()}), &["t0"]),
            json!({"ping": {"t0": 1_795_770_000_000_i64}}),
        ),
        client(
            "pong",
            "The answer to a ping.",
            strict(json!({"t0": number(), "t1": number()}), &["t0"]),
            json!({"pong": {"t0": 1_795_770_000_000_i64, "t1": 1_795_770_000_020_i64}}),
        ),
        server(
            Frame::welcome(&welcome),
            "Once on every connection. `resume_window`: seconds back for which every stream can be resumed.",
            object(
                json!({
                    "session": text(), "node": text(), "ping_ms": offset(), "server_now": moment(),
                    "limits": object(json!({"frame_bytes": offset(), "subscriptions": offset()}), &[]),
                    "resume_window": offset(),
                }),
                &[
                    "session",
                    "node",
                    "ping_ms",
                    "server_now",
                    "limits",
                    "resume_window",
                ],
            ),
        ),
        server(
            Frame::snap(
                order,
                "6f1f8c8e",
                1,
                &json!({"order_id": "6f1f8c8e-…", "status": "pending"}),
            ),
            "The state of a channel at offset `o`.",
            object(
                json!({"ch": text(), "e": epoch(), "o": offset(), "data": {}}),
                &["ch", "e", "o", "data"],
            ),
        ),
        server(
            Frame::live(&first, order, "6f1f8c8e", 1, false),
            "The subscription happened; from here in real time. `recovered`: nothing was missed since the position asked for.",
            object(
                json!({
                    "id": id(), "ch": text(), "e": epoch(), "o": offset(), "recovered": {"type": "boolean"},
                }),
                &["id", "ch", "e", "o", "recovered"],
            ),
        ),
        server(
            Frame::publish(order, [&confirmed]),
            "Events, in order: `d` is an event of a stream or the whole value of a state.",
            list(object(
                json!({
                    "ch": text(), "o": offset(), "t": moment(), "ev": text(), "d": {},
                    "p": {"description": "Reserved: a JSON Merge Patch against the last frame sent here."},
                }),
                &["ch", "o", "t", "ev"],
            )),
        ),
        server(
            Frame::gap(order, "epoch"),
            "The position cannot be resumed; a `snap` follows.",
            object(json!({"ch": text(), "reason": text()}), &["ch", "reason"]),
        ),
        server(
            Frame::positions(&[(order, 2)]),
            "Where the channels stand, after 15 s of quiet: a client that is behind subscribes again.",
            list(json!({"type": "array", "prefixItems": [text(), offset()], "minItems": 2, "maxItems": 2})),
        ),
        server(
            Frame::refused(&first, &Problem::new(ProblemKind::NotFound, session)),
            "The subscription did not happen, or is over: a problem (RFC 9457) with the subscription's id; `problem` is the same in one piece.",
            object(
                json!({
                    "id": id(), "type": text(), "title": text(), "status": {"type": "integer"},
                    "detail": text(), "trace_id": text(), "problem": {"type": "object"},
                }),
                &["id", "type", "title", "status", "detail", "trace_id", "problem"],
            ),
        ),
        server(
            Frame::ping(at),
            "Are you there? Answer with `pong`.",
            object(json!({"t0": number()}), &["t0"]),
        ),
        server(
            Frame::pong(&Number::from(at.0), at),
            "The answer to a ping: `t0` as it came, `t1` by the server's clock.",
            object(json!({"t0": number(), "t1": number()}), &["t0", "t1"]),
        ),
        server(
            Frame::bye(&drain),
            "The last frame; then a close with the same code. `retry`: whether coming back helps, `after_ms`: when.",
            object(
                json!({
                    "code": {"enum": CloseCode::ALL.map(CloseCode::number)}, "reason": text(),
                    "retry": {"type": "boolean"}, "after_ms": offset(),
                }),
                &["code", "reason", "retry", "after_ms"],
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ws::protocol::ClientFrame;

    #[test]
    fn every_example_is_a_frame() {
        for message in messages() {
            let example = message.example.as_object().unwrap();
            assert_eq!(example.len(), 1);
            let body = &example[message.name];
            if message.from_client {
                ClientFrame::parse(&message.example.to_string()).unwrap();
            }
            let items = body.as_array().filter(|_| message.schema["type"] == "array");
            let (bodies, schema) = match items {
                Some(items) => (items.iter().collect(), &message.schema["items"]),
                None => (vec![body], &message.schema),
            };
            for body in bodies {
                for member in schema["required"].as_array().into_iter().flatten() {
                    assert!(
                        body.get(member.as_str().unwrap()).is_some(),
                        "{}: {member}",
                        message.name
                    );
                }
                for member in body.as_object().into_iter().flat_map(|body| body.keys()) {
                    assert!(
                        schema["properties"].get(member).is_some(),
                        "{}: {member}",
                        message.name
                    );
                }
            }
        }
    }

    #[test]
    fn every_frame_of_the_contract_is_described() {
        let document = document();
        let described = document["components"]["messages"].as_object().unwrap();
        for name in [
            "client_hello",
            "server_welcome",
            "client_sub",
            "client_unsub",
            "server_snap",
            "server_live",
            "server_pub",
            "server_gap",
            "server_pos",
            "server_err",
            "client_auth",
            "client_ping",
            "server_ping",
            "client_pong",
            "server_pong",
            "server_bye",
        ] {
            assert!(described.contains_key(name), "{name}");
        }
        assert_eq!(described.len(), 16);
    }
}

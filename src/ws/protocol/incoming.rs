//! What a client may say.

use std::fmt;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

use super::FRAME_BYTES_MAX;

/// The longest name a client may give a subscription.
const ID_BYTES_MAX: usize = 64;

/// A frame from a client.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientFrame {
    /// The first word, with a token unless the cookie says who is there.
    Hello {
        /// An access token.
        token: Option<String>,
    },
    /// Channels to follow from now on.
    Subscribe(Vec<SubscribeItem>),
    /// Channels to follow no longer.
    Unsubscribe(Vec<UnsubscribeItem>),
    /// A fresh token, so that the connection can go on.
    Auth {
        /// An access token.
        token: String,
    },
    /// Are you there, and what time is it?
    Ping {
        /// The client's clock; comes back as it is.
        t0: Number,
    },
    /// The answer to a ping of ours.
    Pong,
}

/// One channel to follow.
#[derive(Clone, Debug, PartialEq)]
pub struct SubscribeItem {
    /// The client's name for the subscription.
    pub id: SubscriptionId,
    /// The channel as the client calls it.
    pub channel: String,
    /// Where to begin; `Err` says what is wrong with it.
    pub from: Result<From, &'static str>,
}

/// One channel to follow no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsubscribeItem {
    /// The channel as the client calls it.
    pub channel: String,
}

/// Where a subscription begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// With the state now.
    Snapshot,
    /// With what happens next.
    Live,
    /// Right after a position.
    Position {
        /// The epoch of the position.
        epoch: String,
        /// Its offset.
        offset: u64,
    },
}

/// A client's name for a subscription: a number, or a short text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SubscriptionId {
    /// A number.
    Number(u64),
    /// A text of at most 64 bytes.
    Text(String),
}

impl fmt::Display for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// What came is no frame of this protocol; says why in a few words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Format {
    /// More than [`FRAME_BYTES_MAX`].
    #[error("a frame has at most 64 KiB")]
    TooLarge,
    /// Not JSON, not one object with one known key, or with fields of the wrong kind.
    #[error("not a frame of live.1.json")]
    NotAFrame,
    /// Bytes instead of text.
    #[error("frames are text")]
    Binary,
}

impl Format {
    /// The same in words that live as long as the program.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::TooLarge => "a frame has at most 64 KiB",
            Self::NotAFrame => "not a frame of live.1.json",
            Self::Binary => "frames are text",
        }
    }
}

/// The frames as they are written: serde's external tag is "one object with one key".
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Written {
    Hello(Hello),
    Sub(Vec<Sub>),
    Unsub(Vec<Unsub>),
    Auth(Auth),
    Ping(Ping),
    Pong(#[expect(dead_code, reason = "read for its shape only")] Pong),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hello {
    #[serde(default)]
    token: Option<String>,
    /// Whatever a client says of itself; kept nowhere.
    #[serde(default, rename = "client")]
    _client: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sub {
    id: SubscriptionId,
    ch: String,
    #[serde(default)]
    from: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unsub {
    #[serde(default, rename = "id")]
    _id: Option<SubscriptionId>,
    ch: String,
    #[serde(default, rename = "from")]
    _from: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Auth {
    token: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ping {
    t0: Number,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pong {
    #[serde(rename = "t0")]
    _t0: Number,
    #[serde(default, rename = "t1")]
    _t1: Option<Number>,
}

impl ClientFrame {
    /// Reads one frame.
    ///
    /// # Errors
    /// [`Format`], when it is none.
    pub fn parse(text: &str) -> Result<Self, Format> {
        if text.len() > FRAME_BYTES_MAX {
            return Err(Format::TooLarge);
        }
        let written: Written = serde_json::from_str(text).map_err(|_| Format::NotAFrame)?;
        Ok(match written {
            Written::Hello(Hello { token, .. }) => Self::Hello { token },
            Written::Sub(items) => {
                Self::Subscribe(items.into_iter().map(Sub::read).collect::<Result<_, _>>()?)
            }
            Written::Unsub(items) => Self::Unsubscribe(
                items
                    .into_iter()
                    .map(|item| UnsubscribeItem { channel: item.ch })
                    .collect(),
            ),
            Written::Auth(Auth { token }) => Self::Auth { token },
            Written::Ping(Ping { t0 }) => Self::Ping { t0 },
            Written::Pong(_) => Self::Pong,
        })
    }
}

impl Sub {
    fn read(self) -> Result<SubscribeItem, Format> {
        if matches!(&self.id, SubscriptionId::Text(text) if text.len() > ID_BYTES_MAX) {
            return Err(Format::NotAFrame);
        }
        Ok(SubscribeItem {
            id: self.id,
            channel: self.ch,
            from: self.from.map_or(Ok(From::Snapshot), |from| From::read(&from)),
        })
    }
}

impl From {
    /// A position that cannot be is the client's fault in this one item, not in the frame.
    fn read(value: &Value) -> Result<Self, &'static str> {
        const EXPECTED: &str = "is \"snapshot\", \"live\" or a position {\"e\", \"o\"}";
        match value {
            Value::String(word) if word == "snapshot" => Ok(Self::Snapshot),
            Value::String(word) if word == "live" => Ok(Self::Live),
            Value::Object(position) if position.len() == 2 => {
                let epoch = match position.get("e") {
                    Some(Value::String(epoch)) => epoch.clone(),
                    Some(Value::Number(epoch)) => epoch.to_string(),
                    _ => return Err(EXPECTED),
                };
                let offset = position
                    .get("o")
                    .and_then(Value::as_u64)
                    .ok_or("has an offset that is a whole number from 0 on")?;
                Ok(Self::Position { epoch, offset })
            }
            _ => Err(EXPECTED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn position(epoch: &str, offset: u64) -> Result<From, &'static str> {
        Ok(From::Position {
            epoch: epoch.to_owned(),
            offset,
        })
    }

    #[test]
    fn every_frame_of_the_contract_is_read() {
        let read = |text| ClientFrame::parse(text).unwrap();
        assert_eq!(
            read(r#"{"hello": {"token": "t", "client": "storefront"}}"#),
            ClientFrame::Hello {
                token: Some("t".to_owned())
            }
        );
        assert_eq!(read(r#"{"hello": {}}"#), ClientFrame::Hello { token: None });
        assert_eq!(
            read(r#"{"unsub": [{"id": 1, "ch": "cart"}]}"#),
            ClientFrame::Unsubscribe(vec![UnsubscribeItem {
                channel: "cart".to_owned()
            }])
        );
        assert_eq!(
            read(r#"{"auth": {"token": "t"}}"#),
            ClientFrame::Auth {
                token: "t".to_owned()
            }
        );
        assert!(
            matches!(read(r#"{"ping": {"t0": 1.5}}"#), ClientFrame::Ping { t0 } if t0.to_string() == "1.5")
        );
        assert_eq!(read(r#"{"pong": {"t0": 1, "t1": 2}}"#), ClientFrame::Pong);
    }

    #[test]
    fn a_subscription_begins_where_it_says() {
        let from = |json: &str| {
            let text = format!(r#"{{"sub": [{{"id": 7, "ch": "order:9", "from": {json}}}]}}"#);
            match ClientFrame::parse(&text).unwrap() {
                ClientFrame::Subscribe(items) => items[0].from.clone(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(from(r#""snapshot""#), Ok(From::Snapshot));
        assert_eq!(from(r#""live""#), Ok(From::Live));
        assert_eq!(from(r#"{"e": "a1", "o": 3}"#), position("a1", 3));
        assert_eq!(from(r#"{"e": 5, "o": 0}"#), position("5", 0));
        assert_eq!(
            from(r#"{"e": "a", "o": 9223372036854775808}"#),
            position("a", 1 << 63)
        );
        for bad in [
            r#""""#,
            r#""SNAPSHOT""#,
            "3",
            "[]",
            r#"{"o": 3}"#,
            r#"{"e": "a"}"#,
            r#"{"e": "a", "o": -1}"#,
            r#"{"e": "a", "o": 1.5}"#,
            r#"{"e": "a", "o": 1e300}"#,
            r#"{"e": "a", "o": "3"}"#,
            r#"{"e": null, "o": 3}"#,
            r#"{"e": "a", "o": 3, "x": 1}"#,
        ] {
            assert!(from(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        for bad in [
            "",
            "null",
            "1",
            "[]",
            "{}",
            "hello",
            r#""hello""#,
            r#"{"hello": {}, "sub": []}"#,
            r#"{"hello": {}, "hello": {}}"#,
            r#"{"hello": {"token": 5}}"#,
            r#"{"hello": {"password": "x"}}"#,
            r#"{"hello": {}} x"#,
            r#"{"subscribe": []}"#,
            r#"{"welcome": {}}"#,
            r#"{"sub": {}}"#,
            r#"{"sub": [{}]}"#,
            r#"{"sub": [{"ch": "cart"}]}"#,
            r#"{"sub": [{"id": -1, "ch": "cart"}]}"#,
            r#"{"sub": [{"id": 1.5, "ch": "cart"}]}"#,
            r#"{"sub": [{"id": 1, "ch": 5}]}"#,
            r#"{"ping": {}}"#,
            r#"{"ping": {"t0": "now"}}"#,
            r#"{"auth": {}}"#,
        ] {
            assert_eq!(ClientFrame::parse(bad), Err(Format::NotAFrame), "{bad}");
        }
        let deep = format!("{{\"sub\": {}{}}}", "[".repeat(20_000), "]".repeat(20_000));
        assert_eq!(ClientFrame::parse(&deep), Err(Format::NotAFrame));
        let large = format!(r#"{{"auth": {{"token": "{}"}}}}"#, "x".repeat(FRAME_BYTES_MAX));
        assert_eq!(ClientFrame::parse(&large), Err(Format::TooLarge));
        let long = format!(r#"{{"sub": [{{"id": "{}", "ch": "cart"}}]}}"#, "x".repeat(65));
        assert_eq!(ClientFrame::parse(&long), Err(Format::NotAFrame));
    }

    proptest! {
        #[test]
        fn nothing_a_client_sends_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = ClientFrame::parse(&String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn nothing_that_looks_like_a_frame_panics(
            name in "hello|sub|unsub|auth|ping|pong|[a-z]{1,6}",
            body in r#"[\[\]{}":,0-9a-z.\-]{0,80}"#,
        ) {
            let _ = ClientFrame::parse(&format!(r#"{{"{name}": {body}}}"#));
            let _ = ClientFrame::parse(&format!(r#"{{"{name}": [{{"id": 1, "ch": "cart", "from": {body}}}]}}"#));
        }
    }
}

//! What may come in with a request, and what must hold whatever comes.
//!
//! Run by `make fuzz` without end and by `tests/it/fuzz.rs` over the corpus; part of no other path.

use axum::http::{HeaderMap, HeaderValue};
use serde_json::Value;

use super::body::{strict, typed};
use super::cart::{Quantity, QuoteRequest};
use super::checkout::CheckoutRequest;
use super::problem::Problem;
use super::product::NewProduct;
use super::session::SignIn;
use super::stock::Adjustment;
use super::{idempotency, query};
use crate::cluster::PositionToken;

/// The `Idempotency-Key` headers of a request, one a line: exactly one of 1 to 255 printable
/// characters is a key, and is taken as it is.
///
/// # Panics
/// When that does not hold.
pub fn idempotency_key(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n').take(8) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(idempotency::KEY, value);
        }
    }
    let given: Vec<&[u8]> = headers
        .get_all(idempotency::KEY)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    let good = matches!(given[..], [key] if (1..=255).contains(&key.len())
        && key.iter().all(|byte| (0x20..=0x7e).contains(byte)));
    match idempotency::read_key(&headers) {
        Ok(key) => assert!(good && given[0] == key.as_bytes(), "{given:?}"),
        Err(problem) => {
            assert!(!good, "{given:?}");
            assert_eq!(problem.status(), 400);
        }
    }
}

/// A JSON body: it is read or refused; what is read is what others read, has one digest however it is
/// written, and any call it is for takes it or says what is wrong.
///
/// # Panics
/// When that does not hold.
pub fn json_body(bytes: &[u8]) {
    let Ok(json) = strict::parse(bytes) else {
        // Refusing is right only for what is ambiguous or deep; the reader of everybody else may read
        // it. What it may not be is JSON that it itself would write.
        if let Ok(lax) = serde_json::from_slice::<Value>(bytes) {
            let plain = lax.to_string();
            assert!(plain.as_bytes() != bytes || depth(&lax) > 32, "{plain}");
        }
        return;
    };
    assert_eq!(serde_json::from_slice::<Value>(bytes).ok().as_ref(), Some(&json));
    assert!(depth(&json) <= 32, "nested too deeply: {json}");
    let again = strict::parse(json.to_string().as_bytes());
    assert_eq!(again.as_ref().ok(), Some(&json), "JSON means what it meant");
    let pretty = serde_json::to_vec_pretty(&json).unwrap_or_default();
    let pretty = strict::parse(&pretty).map(|json| strict::digest(&json));
    assert_eq!(pretty.ok(), Some(strict::digest(&json)), "blanks have no meaning");
    let calls: [fn(Value) -> Result<(), Problem>; 6] = [
        |json| typed::<Quantity>(json).map(drop),
        |json| typed::<QuoteRequest>(json).map(drop),
        |json| typed::<CheckoutRequest>(json).map(drop),
        |json| typed::<NewProduct>(json).map(drop),
        |json| typed::<Adjustment>(json).map(drop),
        |json| typed::<SignIn>(json).map(drop),
    ];
    for call in calls {
        if let Err(problem) = call(json.clone()) {
            assert_eq!(problem.status(), 422, "{json}");
        }
    }
}

fn depth(json: &Value) -> usize {
    match json {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// A query string, and the same as a `Position` header: decoded strictly or refused; encoded again it
/// says the same.
///
/// # Panics
/// When that does not hold.
pub fn query_string(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(pairs) = query::pairs(text) {
        let encode = |text: &str| {
            text.bytes()
                .map(|byte| format!("%{byte:02X}"))
                .collect::<String>()
        };
        let again: Vec<String> = pairs
            .iter()
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
            .collect();
        assert_eq!(query::pairs(&again.join("&")).ok(), Some(pairs));
    }
    if let Ok(token) = text.parse::<PositionToken>() {
        assert!(token.position.0 >= 0, "{token}");
        assert_eq!(token.to_string().parse(), Ok(token));
    }
}

//! What may come in as a webhook, and what must hold whatever comes.
//!
//! Run by `make fuzz` without end and by `tests/it/fuzz.rs` over the corpus; part of no other path.

use super::webhook::{Notice, WebhookHeaders, WebhookKey};
use crate::domain::Millis;

const NOW: Millis = Millis(1_800_000_000_000);
const BODY: &[u8] = br#"{"type":"refund.done"}"#;

/// A webhook: id, timestamp and signature on a line each, the rest its body. It is believed only if
/// it is one that the provider signed; a body that is read means the same when written again.
///
/// # Panics
/// When that does not hold.
pub fn webhook(bytes: &[u8]) {
    let Ok(key) = WebhookKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw") else {
        unreachable!("the key is one");
    };
    let genuine = key.sign("msg_1", NOW, BODY);
    let mut lines = bytes.splitn(4, |byte| *byte == b'\n');
    let mut line = || String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let headers = WebhookHeaders {
        id: line(),
        timestamp: line(),
        signature: line(),
    };
    let body = lines.next().unwrap_or_default();
    if key.verify(&headers, NOW, body) {
        let same = (headers.id.as_str(), body) == (genuine.id.as_str(), BODY);
        // `id.timestamp.body` is what is signed: an id without a dot cannot be moved into it.
        assert!(same && headers.timestamp == genuine.timestamp, "{headers:?}");
        let signed = headers.signature.split(' ').any(|one| one == genuine.signature);
        assert!(signed, "{headers:?}");
    }
    assert!(key.verify(&genuine, NOW, BODY), "what was signed is believed");
    if let Ok(notice) = serde_json::from_slice::<Notice>(body) {
        match serde_json::to_vec(&notice) {
            Ok(again) => assert_eq!(serde_json::from_slice::<Notice>(&again).ok(), Some(notice)),
            Err(error) => panic!("{error}: a notice can be written: {notice:?}"),
        }
    }
}

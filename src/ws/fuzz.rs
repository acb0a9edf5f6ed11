//! What a fuzzer may say to the live feed, and what must hold whatever it says.
//!
//! Run by `make fuzz` without end and by `tests/it/fuzz.rs` over the corpus; part of no other path.

use serde_json::{Value, json};

use super::channel::ChannelName;
use super::protocol::{ClientFrame, FRAME_BYTES_MAX, Format, From, SubscribeItem};
use crate::domain::id::CustomerId;

/// A frame from a client: it is read or refused; what was read means the same when it is written
/// again; what names a channel is its only name.
///
/// # Panics
/// When that does not hold.
pub fn live_frame(bytes: &[u8]) {
    // A text frame that is not UTF-8 never gets here: the socket ends the connection.
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let frame = match ClientFrame::parse(text) {
        Ok(frame) => frame,
        Err(Format::TooLarge) => {
            assert!(text.len() > FRAME_BYTES_MAX, "a frame within the limit is read");
            return;
        }
        Err(Format::NotAFrame) => return,
        Err(Format::Binary) => unreachable!("a text is not binary"),
    };
    assert!(text.len() <= FRAME_BYTES_MAX, "nothing over the limit is read");
    let again = write(&frame).to_string();
    // Escapes can make it longer than what came.
    if again.len() <= FRAME_BYTES_MAX {
        assert_eq!(ClientFrame::parse(&again), Ok(frame.clone()), "{again}");
    }
    if let ClientFrame::Subscribe(items) = &frame {
        for SubscribeItem { id, channel, .. } in items {
            assert!(id.to_string().len() <= 64, "names of subscriptions are short");
            if let Some(channel_name) = ChannelName::parse(channel) {
                let named = channel_name.of(Some(CustomerId::default()));
                assert_eq!(named.map(|named| named.to_string()).as_ref(), Some(channel));
            }
        }
    }
}

/// A frame as its client would write it.
fn write(frame: &ClientFrame) -> Value {
    match frame {
        ClientFrame::Hello { token } => json!({"hello": {"token": token}}),
        ClientFrame::Subscribe(items) => {
            json!({"sub": items.iter().map(write_item).collect::<Vec<_>>()})
        }
        ClientFrame::Unsubscribe(items) => {
            let channels = items.iter().map(|item| json!({"ch": item.channel}));
            json!({"unsub": channels.collect::<Vec<_>>()})
        }
        ClientFrame::Auth { token } => json!({"auth": {"token": token}}),
        ClientFrame::Ping { t0 } => json!({"ping": {"t0": t0}}),
        ClientFrame::Pong => json!({"pong": {"t0": 0}}),
    }
}

fn write_item(item: &SubscribeItem) -> Value {
    let from = match &item.from {
        Ok(From::Snapshot) => json!("snapshot"),
        Ok(From::Live) => json!("live"),
        Ok(From::Position { epoch, offset }) => json!({"e": epoch, "o": offset}),
        // Each refusal by something that is refused for the same reason.
        Err(reason) if reason.starts_with("has an offset") => json!({"e": "", "o": -1}),
        Err(_) => json!(0),
    };
    json!({"id": item.id, "ch": item.channel, "from": from})
}

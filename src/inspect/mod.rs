//! The supervision tree and the invariants, as data; and what of the data operators may see ([`mask`]).
//!
//! Reading the tree sends no message to any actor: it costs whoever looks, and nobody who shops.

pub mod invariant;
pub mod mask;
pub mod process;
pub mod tree;

pub use invariant::{Auditor, Finding};
pub use mask::{masked, masked_words};
pub use tree::{Census, Page, TreeQuery};

/// A moment as RFC 3339 with milliseconds, for serde.
fn as_time<S: serde::Serializer>(at: &crate::domain::Millis, serializer: S) -> Result<S::Ok, S::Error> {
    let nanos = i128::from(at.0) * 1_000_000;
    let text = time::OffsetDateTime::from_unix_timestamp_nanos(nanos)
        .ok()
        .and_then(|moment| {
            let format = time::macros::format_description!(
                "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
            );
            moment.format(&format).ok()
        })
        .unwrap_or_default();
    serializer.serialize_str(&text)
}

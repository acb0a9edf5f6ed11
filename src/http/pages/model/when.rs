//! Instants as people read them.

use std::fmt;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use crate::domain::Millis;

/// An instant for a `<time>` element: exact for machines, short for people (UTC until the browser
/// puts it into local time).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct When {
    /// RFC 3339, for the `datetime` attribute.
    pub iso: String,
    /// `22 Nov 2026, 06:52 UTC`.
    pub text: String,
}

impl From<OffsetDateTime> for When {
    fn from(at: OffsetDateTime) -> Self {
        let short = format_description!("[day padding:none] [month repr:short] [year], [hour]:[minute] UTC");
        let at = at.to_offset(time::UtcOffset::UTC);
        Self {
            iso: at.format(&Rfc3339).unwrap_or_default(),
            text: at.format(short).unwrap_or_default(),
        }
    }
}

impl From<Millis> for When {
    fn from(at: Millis) -> Self {
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.0) * 1_000_000);
        Self::from(at.unwrap_or(OffsetDateTime::UNIX_EPOCH))
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

//! Money and moments on the wire.

use serde::{Deserialize, Serialize};
use time::format_description::StaticFormatDescription;
use time::macros::format_description;
use utoipa::ToSchema;

use crate::domain::{self, Millis};

/// An amount in minor units of a currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// Minor units: cents for EUR.
    #[schema(example = 1999, minimum = -100_000_000_000_000_i64, maximum = 100_000_000_000_000_i64)]
    pub amount: i64,
    /// ISO 4217.
    #[schema(example = "EUR", pattern = "^[A-Z]{3}$")]
    pub currency: String,
}

impl From<domain::Money> for Money {
    fn from(money: domain::Money) -> Self {
        Self {
            amount: money.amount,
            currency: money.currency.code().to_owned(),
        }
    }
}

impl Money {
    /// As the domain has it. The currency was checked by the schema.
    #[must_use]
    pub fn to_domain(&self) -> domain::Money {
        domain::Money::new(self.amount, self.currency.parse().unwrap_or_default())
    }
}

const MOMENT: StaticFormatDescription =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// A moment as RFC 3339 in UTC with milliseconds.
#[must_use]
pub fn moment(at: Millis) -> String {
    time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.0) * 1_000_000)
        .ok()
        .and_then(|at| at.format(&MOMENT).ok())
        .unwrap_or_else(|| "1970-01-01T00:00:00.000Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_have_milliseconds() {
        assert_eq!(moment(Millis(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(moment(Millis(1_790_000_000_120)), "2026-09-21T14:13:20.120Z");
    }
}

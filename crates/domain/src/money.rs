//! Amounts of money: integer minor units and an ISO 4217 currency. No floats, ever.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A currency by its ISO 4217 code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

impl Currency {
    /// The euro.
    pub const EUR: Self = Self(*b"EUR");

    /// The three letters.
    #[must_use]
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }

    /// How many decimals the minor unit stands for (ISO 4217 "exponent").
    #[must_use]
    pub fn exponent(self) -> u32 {
        match &self.0 {
            b"JPY" | b"KRW" | b"VND" | b"CLP" | b"ISK" | b"UGX" | b"XAF" | b"XOF" | b"XPF" | b"PYG" => 0,
            b"BHD" | b"IQD" | b"JOD" | b"KWD" | b"LYD" | b"OMR" | b"TND" => 3,
            _ => 2,
        }
    }
}

impl Default for Currency {
    fn default() -> Self {
        Self::EUR
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for Currency {
    type Err = BadCurrency;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.as_bytes() {
            &[a, b, c] if [a, b, c].iter().all(u8::is_ascii_uppercase) => Ok(Self([a, b, c])),
            _ => Err(BadCurrency),
        }
    }
}

impl TryFrom<String> for Currency {
    type Error = BadCurrency;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.code().to_owned()
    }
}

/// A text that is no currency code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a currency is three capital letters, as in ISO 4217")]
pub struct BadCurrency;

/// An amount in minor units of one currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// Minor units: cents for EUR.
    pub amount: i64,
    /// The currency.
    pub currency: Currency,
}

impl Money {
    /// The largest amount a price may have: enough for any good, and safe to multiply and add.
    pub const LIMIT: i64 = 100_000_000_000;

    /// `amount` minor units of `currency`.
    #[must_use]
    pub const fn new(amount: i64, currency: Currency) -> Self {
        Self { amount, currency }
    }

    /// `amount` cents.
    #[must_use]
    pub const fn eur(amount: i64) -> Self {
        Self::new(amount, Currency::EUR)
    }

    /// `quantity` times this amount, saturating (prices are bounded by [`Money::LIMIT`]).
    #[must_use]
    pub const fn times(self, quantity: u32) -> Self {
        Self::new(self.amount.saturating_mul(quantity as i64), self.currency)
    }

    /// This amount with another number of minor units.
    #[must_use]
    pub const fn with_amount(self, amount: i64) -> Self {
        Self::new(amount, self.currency)
    }
}

impl fmt::Display for Money {
    /// `19.99 EUR`, with as many decimals as the currency has.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exponent = self.currency.exponent();
        let unit = 10_u64.pow(exponent);
        let sign = if self.amount < 0 { "-" } else { "" };
        let amount = self.amount.unsigned_abs();
        match exponent {
            0 => write!(f, "{sign}{amount} {}", self.currency),
            _ => write!(
                f,
                "{sign}{}.{:0width$} {}",
                amount / unit,
                amount % unit,
                self.currency,
                width = usize::try_from(exponent).unwrap_or(2),
            ),
        }
    }
}

/// Splits `total` in proportion to `weights`, so that the parts add up to it exactly: each part is
/// rounded down and the units left over go to the largest remainders first, ties to the earlier
/// part (the largest-remainder method). All weights zero: everything goes to the first part.
#[must_use]
pub fn allocate(total: i64, weights: &[i64]) -> Vec<i64> {
    let sum: i128 = weights.iter().map(|&weight| i128::from(weight.max(0))).sum();
    if sum == 0 {
        let mut parts = vec![0; weights.len()];
        if let Some(first) = parts.first_mut() {
            *first = total;
        }
        return parts;
    }
    let sign = total.signum();
    let total_abs = i128::from(total.unsigned_abs());
    let mut parts = Vec::with_capacity(weights.len());
    let mut remainders = Vec::with_capacity(weights.len());
    let mut given = 0_i128;
    for (index, &weight) in weights.iter().enumerate() {
        let exact = total_abs * i128::from(weight.max(0));
        let part = exact / sum;
        given += part;
        remainders.push((std::cmp::Reverse(exact % sum), index));
        parts.push(i64::try_from(part).unwrap_or(i64::MAX));
    }
    remainders.sort_unstable();
    let left = usize::try_from(total_abs - given).unwrap_or(0);
    for (_, index) in remainders.into_iter().take(left) {
        parts[index] += 1;
    }
    for part in &mut parts {
        *part *= sign;
    }
    parts
}

/// The tax contained in a gross amount at `rate` hundredths of a percent, rounded half up.
#[must_use]
pub fn contained_tax(gross: i64, rate: u32) -> i64 {
    let divisor = 10_000 + i128::from(rate);
    let scaled = i128::from(gross) * i128::from(rate);
    i64::try_from((2 * scaled + divisor).div_euclid(2 * divisor)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_read_as_people_write_them() {
        assert_eq!(Money::eur(1_999).to_string(), "19.99 EUR");
        assert_eq!(Money::eur(-5).to_string(), "-0.05 EUR");
        let yen = Money::new(500, "JPY".parse().unwrap());
        assert_eq!(yen.to_string(), "500 JPY");
        let dinar = Money::new(1_234, "KWD".parse().unwrap());
        assert_eq!(dinar.to_string(), "1.234 KWD");
        assert!("eur".parse::<Currency>().is_err());
    }

    #[test]
    fn the_tax_in_a_gross_amount_is_rounded_half_up() {
        assert_eq!(contained_tax(11_900, 1_900), 1_900);
        assert_eq!(contained_tax(1_999, 1_900), 319);
        assert_eq!(contained_tax(0, 1_900), 0);
    }

    proptest! {
        #[test]
        fn parts_add_up_and_stay_fair(
            total in -1_000_000_i64..1_000_000,
            weights in proptest::collection::vec(0_i64..10_000, 1..12),
        ) {
            let parts = allocate(total, &weights);
            prop_assert_eq!(parts.iter().sum::<i64>(), total);
            let sum: i64 = weights.iter().sum();
            if sum > 0 {
                for (part, weight) in parts.iter().zip(&weights) {
                    let exact = i128::from(total) * i128::from(*weight);
                    let off = (i128::from(*part) * i128::from(sum) - exact).abs();
                    prop_assert!(off < i128::from(sum));
                }
            }
        }
    }
}

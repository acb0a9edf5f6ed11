//! Amounts as people read them.

use std::fmt;

use crate::domain;

/// An amount in minor units with its ISO 4217 currency; shown as `€19.99`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Money {
    /// Minor units, negative for what flows back.
    pub amount: i64,
    /// ISO 4217 code.
    pub currency: String,
}

impl Money {
    /// An amount of a currency.
    pub fn new(amount: i64, currency: impl Into<String>) -> Self {
        Self {
            amount,
            currency: currency.into(),
        }
    }

    /// The amount without a sign of the currency, as a form field takes it: `19.99`.
    pub fn plain(&self) -> String {
        let exponent = exponent(&self.currency);
        let sign = if self.amount < 0 { "-" } else { "" };
        let units = self.amount.unsigned_abs();
        if exponent == 0 {
            return format!("{sign}{units}");
        }
        let scale = 10_u64.pow(exponent);
        let width = exponent as usize;
        format!("{sign}{}.{:0width$}", units / scale, units % scale)
    }

    /// Whether this is nothing at all.
    pub fn is_zero(&self) -> bool {
        self.amount == 0
    }
}

impl From<domain::Money> for Money {
    fn from(money: domain::Money) -> Self {
        Self::new(money.amount, money.currency.code())
    }
}

/// `€19.99`, `¥1,200`, `CHF 19.99`; thousands are grouped, a minus stands in front.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = self.plain();
        let (sign, digits) = plain
            .strip_prefix('-')
            .map_or(("", plain.as_str()), |rest| ("−", rest));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        f.write_str(sign)?;
        match symbol(&self.currency) {
            Some(symbol) => f.write_str(symbol)?,
            None => write!(f, "{}\u{a0}", self.currency)?,
        }
        for (place, digit) in whole.chars().enumerate() {
            if place > 0 && (whole.len() - place).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        if !fraction.is_empty() {
            write!(f, ".{fraction}")?;
        }
        Ok(())
    }
}

/// Digits after the point, by ISO 4217.
fn exponent(currency: &str) -> u32 {
    match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "VND"
        | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        _ => 2,
    }
}

fn symbol(currency: &str) -> Option<&'static str> {
    Some(match currency {
        "EUR" => "€",
        "USD" => "$",
        "GBP" => "£",
        "JPY" => "¥",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::Money;

    /// Proves the shapes a price can take: cents, thousands, other exponents, negative amounts.
    #[test]
    fn reads_as_people_write_it() {
        let check = |amount, currency: &str, shown: &str| {
            assert_eq!(Money::new(amount, currency).to_string(), shown);
        };
        check(1999, "EUR", "€19.99");
        check(5, "EUR", "€0.05");
        check(123_456_789, "EUR", "€1,234,567.89");
        check(-490, "EUR", "−€4.90");
        check(1200, "JPY", "¥1,200");
        check(1_999, "CHF", "CHF\u{a0}19.99");
        check(1_234_567, "KWD", "KWD\u{a0}1,234.567");
        check(100_000, "USD", "$1,000.00");
    }

    /// Proves that a form field gets digits and a point, nothing else.
    #[test]
    fn fills_a_form_field() {
        assert_eq!(Money::new(123_456, "EUR").plain(), "1234.56");
        assert_eq!(Money::new(0, "EUR").plain(), "0.00");
        assert_eq!(Money::new(700, "JPY").plain(), "700");
    }
}

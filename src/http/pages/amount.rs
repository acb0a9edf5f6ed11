//! Amounts as people type them: in major units.

use crate::domain::money::Currency;

/// No amount anybody means is larger.
const LIMIT: i64 = 100_000_000_000_000;

/// Minor units of `19.99`, `19,99`, `1,299.00` or `7`; nothing for what is no amount, is negative, or
/// is finer than the currency.
pub(super) fn minor_units(text: &str, currency: Currency) -> Option<i64> {
    let text = text.trim().trim_start_matches(['€', '$', '£', '¥']).trim();
    let (whole, fraction) = match text.rfind(['.', ',']) {
        // Three digits behind a separator are thousands, unless the currency has that many decimals.
        Some(at) if text.len() - at - 1 != 3 || currency.exponent() == 3 => (&text[..at], &text[at + 1..]),
        _ => (text, ""),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let whole: String = whole.chars().filter(|c| !matches!(c, '.' | ',' | ' ')).collect();
    let exponent = usize::try_from(currency.exponent()).ok()?;
    if whole.is_empty() || !digits(&whole) || !digits(fraction) || fraction.len() > exponent {
        return None;
    }
    let minor = format!("{whole}{fraction:0<exponent$}");
    minor.parse().ok().filter(|amount| *amount <= LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_people_type_them() {
        let eur = |text| minor_units(text, Currency::EUR);
        for (text, amount) in [
            ("19.99", 1_999),
            (" 19,99 ", 1_999),
            ("7", 700),
            ("7.5", 750),
            ("€1,299.00", 129_900),
            ("1.299,00", 129_900),
            ("1,299", 129_900),
            ("0", 0),
        ] {
            assert_eq!(eur(text), Some(amount), "{text}");
        }
        for bad in ["", "-1", "1.2345", "1e3", "ten", "99999999999999999999", ".", "€"] {
            assert_eq!(eur(bad), None, "{bad}");
        }
        let yen = "JPY".parse().unwrap();
        assert_eq!(minor_units("1,200", yen), Some(1_200));
        assert_eq!(minor_units("12.5", yen), None);
        let dinar = "KWD".parse().unwrap();
        assert_eq!(minor_units("1.234", dinar), Some(1_234));
    }
}

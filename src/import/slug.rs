//! Names in URLs: short, lower case, readable, and nothing but letters, digits and hyphens.

use crate::domain::id::Sku;

/// The product's name in a URL: the beginning of its name and its SKU in lower case. Unique where
/// SKUs are unique without regard to case; where they are not, the caller appends to it.
#[must_use]
pub fn slug(name: &str, sku: &Sku) -> String {
    let sku = sku.as_str().to_ascii_lowercase();
    match folded(name, 80).as_str() {
        "" => sku,
        name => format!("{name}-{sku}"),
    }
}

/// `text` in `[a-z0-9-]`, at most `limit` bytes, cut between words where possible.
pub(super) fn folded(text: &str, limit: usize) -> String {
    let mut out = String::with_capacity(limit + 1);
    let mut gap = false;
    for c in text.chars().flat_map(char::to_lowercase) {
        let letters = letters(c);
        if letters.is_empty() && !c.is_ascii_alphanumeric() {
            gap = true;
            continue;
        }
        if gap && !out.is_empty() {
            out.push('-');
        }
        gap = false;
        if letters.is_empty() {
            out.push(c);
        } else {
            out.push_str(letters);
        }
        if out.len() > limit {
            let cut = out.rfind('-').filter(|&at| at >= limit / 2).unwrap_or(limit);
            out.truncate(cut.min(limit));
            break;
        }
    }
    out.truncate(out.trim_end_matches('-').len());
    out
}

/// The ASCII letters for a Latin letter with marks.
const fn letters(c: char) -> &'static str {
    match c {
        'à' | 'á' | 'â' | 'ã' | 'å' | 'ā' | 'ă' | 'ą' => "a",
        'ä' | 'æ' => "ae",
        'ç' | 'ć' | 'č' => "c",
        'ď' | 'đ' | 'ð' => "d",
        'è' | 'é' | 'ê' | 'ë' | 'ē' | 'ė' | 'ę' | 'ě' => "e",
        'ğ' => "g",
        'ì' | 'í' | 'î' | 'ï' | 'ī' | 'ı' => "i",
        'ł' => "l",
        'ñ' | 'ń' | 'ň' => "n",
        'ò' | 'ó' | 'ô' | 'õ' | 'ø' | 'ő' => "o",
        'ö' | 'œ' => "oe",
        'ř' => "r",
        'ś' | 'š' | 'ş' => "s",
        'ß' => "ss",
        'ť' | 'ţ' => "t",
        'ù' | 'ú' | 'û' | 'ū' | 'ů' | 'ű' => "u",
        'ü' => "ue",
        'ý' | 'ÿ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        'µ' | 'μ' => "u",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn slugs_read_well_and_stay_short() {
        let sku: Sku = "AB_1.x".parse().unwrap();
        assert_eq!(
            slug("Café Größe 27\" — Łódź!", &sku),
            "cafe-groesse-27-lodz-ab_1.x"
        );
        assert_eq!(slug("高效能", &sku), "ab_1.x");
        let long = slug(&"word ".repeat(60), &sku);
        assert!(long.len() <= 80 + 7 && long.ends_with("word-ab_1.x"), "{long}");
    }

    proptest! {
        #[test]
        fn slugs_are_addresses(name in any::<String>(), sku in "[A-Za-z0-9._-]{1,64}") {
            let slug = slug(&name, &sku.parse().unwrap());
            prop_assert!((1..=80 + 65).contains(&slug.len()));
            prop_assert!(slug.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-')));
        }
    }
}

//! What schemas call `pattern` and `format`, as functions: no regular expression is run on input.

use crate::accounts::Email;

/// A rule for a text.
#[derive(Debug)]
pub(super) struct Rule {
    /// As the schema writes it.
    pattern: &'static str,
    /// Whether a text keeps it.
    pub(super) holds: fn(&str) -> bool,
    /// What is asked.
    pub(super) sentence: &'static str,
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.pattern == other.pattern
    }
}

impl Rule {
    /// The rule a schema writes so.
    pub(super) fn find(pattern: &str) -> Option<&'static Self> {
        RULES.iter().find(|rule| rule.pattern == pattern)
    }
}

static RULES: [Rule; 12] = [
    Rule {
        pattern: "^[A-Za-z0-9._-]{1,64}$",
        holds: |text| text.parse::<crate::domain::id::Sku>().is_ok(),
        sentence: "must have 1 to 64 of the characters A-Z a-z 0-9 . _ -",
    },
    Rule {
        pattern: "^[A-Z]{2}$",
        holds: |text| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase()),
        sentence: "must be a country as in ISO 3166-1: two capital letters",
    },
    Rule {
        pattern: "^[A-Z]{3}$",
        holds: |text| text.parse::<crate::domain::Currency>().is_ok(),
        sentence: "must be a currency as in ISO 4217: three capital letters",
    },
    Rule {
        pattern: r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$",
        holds: |text| !text.chars().any(is_control) && text.chars().any(|c| !c.is_whitespace()),
        sentence: "must be one line and not blank",
    },
    Rule {
        pattern: r"^[^\x00-\x1f\x7f]*$",
        holds: |text| !text.chars().any(is_control),
        sentence: "must be one line",
    },
    Rule {
        pattern: r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$",
        holds: |text| {
            !text
                .chars()
                .any(|c| is_control(c) && !matches!(c, '\t' | '\n' | '\r'))
        },
        sentence: "must not contain control characters",
    },
    Rule {
        pattern: "^[a-z0-9]+(-[a-z0-9]+)*$",
        holds: |text| {
            text.split('-').all(|word| {
                !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            })
        },
        sentence: "must be lower-case words of a-z and 0-9, joined by single hyphens",
    },
    Rule {
        pattern: "^[0-9]{8,14}$",
        holds: |text| (8..=14).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()),
        sentence: "must have 8 to 14 digits",
    },
    Rule {
        pattern: r"^https://[^\s\x00-\x1f\x7f]+$",
        holds: |text| {
            text.strip_prefix("https://").is_some_and(|rest| {
                !rest.is_empty() && !rest.chars().any(|c| c.is_whitespace() || is_control(c))
            })
        },
        sentence: "must be an https address",
    },
    Rule {
        pattern: "email",
        holds: |text| Email::parse(text).is_ok(),
        sentence: "must be an e-mail",
    },
    // Passwords are judged by the accounts; numbers have their bounds.
    Rule {
        pattern: "password",
        holds: |_| true,
        sentence: "",
    },
    Rule {
        pattern: "date-time",
        holds: |text| {
            time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).is_ok()
        },
        sentence: "must be a time as in RFC 3339",
    },
];

/// As the patterns say it: ASCII control characters.
const fn is_control(letter: char) -> bool {
    letter.is_ascii_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_hold_what_their_patterns_say() {
        let check = |pattern: &str, good: &[&str], bad: &[&str]| {
            let rule = Rule::find(pattern).unwrap();
            for text in good {
                assert!((rule.holds)(text), "{text:?} keeps {pattern}");
            }
            for text in bad {
                assert!(!(rule.holds)(text), "{text:?} breaks {pattern}");
            }
        };
        check("^[A-Z]{2}$", &["DE"], &["de", "D", "DEU", "Ä", "D\n"]);
        check(
            "^[a-z0-9]+(-[a-z0-9]+)*$",
            &["a", "a-1-b"],
            &["", "-a", "a-", "a--b", "A", "ü"],
        );
        check(
            r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$",
            &["Ada", " x ", "李"],
            &["", "  ", "a\nb", "\u{7f}a"],
        );
        check(
            r"^https://[^\s\x00-\x1f\x7f]+$",
            &["https://x/y.png"],
            &["http://x", "https://", "https://a b"],
        );
        check(
            "^[0-9]{8,14}$",
            &["12345678"],
            &["1234567", "123456789012345", "1234567a"],
        );
    }
}

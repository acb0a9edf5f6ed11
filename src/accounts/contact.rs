//! What a person writes about themselves: an e-mail and a name, checked once, at the door.

use std::str::FromStr as _;

/// An e-mail a mail can be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    written: String,
    key: String,
}

impl Email {
    /// RFC 5321 §4.5.3.1.3: a path has at most 256 octets, two of them brackets.
    const MAX_BYTES: usize = 254;

    /// Reads an e-mail as a person writes it.
    ///
    /// # Errors
    /// A sentence for the person who wrote it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let written = text.trim();
        if written.is_empty() {
            return Err("an e-mail is needed");
        }
        if written.len() > Self::MAX_BYTES {
            return Err("an e-mail has at most 254 characters");
        }
        // A quoted local part may hold blanks and worse; no shop's mail needs one.
        if written
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || is_invisible(c))
        {
            return Err("an e-mail has no blanks");
        }
        if lettre::Address::from_str(written).is_err() {
            return Err("this is not an e-mail");
        }
        Ok(Self {
            key: written.to_lowercase(),
            written: written.to_owned(),
        })
    }

    /// As it was written: where mail goes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// Folded: what makes an account unique. Nobody tells mailboxes apart by case any more, and
    /// two accounts that differ by case only would be a trap.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// Reads a person's name: trimmed, 1 to 100 characters, none of them invisible.
///
/// # Errors
/// A sentence for the person who wrote it.
pub fn parse_name(text: &str) -> Result<String, &'static str> {
    let name = text.trim();
    if name.is_empty() {
        return Err("a name is needed");
    }
    if name.chars().count() > 100 {
        return Err("a name has at most 100 characters");
    }
    if name.chars().any(|c| c.is_control() || is_invisible(c)) {
        return Err("a name has no control characters");
    }
    Ok(name.to_owned())
}

/// Characters that turn the text around them or hide it. The joiners (U+200C, U+200D) stay:
/// Persian and Indic names need them.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mailbox_has_one_key() {
        let email = Email::parse("  Ada.Lovelace@Example.ORG ").unwrap();
        assert_eq!(email.as_str(), "Ada.Lovelace@Example.ORG");
        assert_eq!(email.key(), "ada.lovelace@example.org");
    }

    #[test]
    fn bad_emails_are_refused() {
        let long = format!("{}@example.org", "a".repeat(250));
        let bad = [
            "",
            " ",
            "ada",
            "@example.org",
            "ada@",
            "a@b@c",
            "a da@example.org",
            "ada@exa mple.org",
            "ada\0@example.org",
            "ada@example.org\nbcc: eve@example.org",
            "ada@example..org",
            "\u{202e}ada@example.org",
            &long,
        ];
        for text in bad {
            assert!(Email::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn names_are_trimmed_and_visible() {
        assert_eq!(parse_name("  Grace Hopper\t").as_deref(), Ok("Grace Hopper"));
        assert_eq!(parse_name("李小龍").as_deref(), Ok("李小龍"));
        for bad in ["", "  ", "a\0b", "a\u{202e}b", "a\nb", &"x".repeat(101)] {
            assert!(parse_name(bad).is_err(), "{bad:?}");
        }
    }
}

//! Addresses within the shop.

use std::fmt::Write as _;

/// A text as one part of a path or of a query (RFC 3986 §2.3).
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// A path with a query.
pub(super) fn with_query<'a>(path: &str, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut address = path.to_owned();
    for (place, (name, value)) in pairs.into_iter().enumerate() {
        address.push(if place == 0 { '?' } else { '&' });
        let _ = write!(address, "{}={}", encode(name), encode(value));
    }
    address
}

/// Where to go next, if that is in this shop; home otherwise. A browser reads `//` and `/\` as the
/// beginning of another host.
pub(super) fn safe_next(text: &str) -> String {
    let is_ours = text.starts_with('/')
        && !text[1..].starts_with(['/', '\\'])
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_ours { text.to_owned() } else { "/".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_encoded() {
        assert_eq!(encode("a b/ü&=?"), "a%20b%2F%C3%BC%26%3D%3F");
        let address = with_query("/search", [("q", "4k tv"), ("attr.brand", "A&B")]);
        assert_eq!(address, "/search?q=4k%20tv&attr.brand=A%26B");
        assert_eq!(with_query("/", []), "/");
    }

    #[test]
    fn nobody_is_sent_to_another_shop() {
        assert_eq!(safe_next("/checkout?a=1"), "/checkout?a=1");
        for bad in [
            "",
            "checkout",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example/",
            "/a\r\nSet-Cookie: x",
            "/a\\b",
            "/ä",
        ] {
            assert_eq!(safe_next(bad), "/", "{bad}");
        }
    }
}

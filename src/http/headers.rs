//! What every answer says besides its content, whatever its status.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// For pages: everything from this origin, nothing inline, framed by nobody.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    font-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'";

/// For everything else: nothing at all.
const DATA_POLICY: &str = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'";

/// Names the parts of an answer that a shared cache can forget one by one.
pub const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");

/// `SameSite` does not help a browser that was told to send no referrer: then forms come with
/// `Origin: null`. So referrers stay within the origin instead of vanishing.
const ALWAYS: [(HeaderName, &str); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
];

/// Adds what is missing. `https` says that the shop is reached over TLS only.
pub fn secure(headers: &mut HeaderMap, https: bool) {
    let is_page = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    let policy = if is_page { PAGE_POLICY } else { DATA_POLICY };
    let mut add = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    for (name, value) in ALWAYS {
        add(name, value);
    }
    add(header::CONTENT_SECURITY_POLICY, policy);
    // What nobody said may be kept, nobody keeps.
    add(header::CACHE_CONTROL, "no-store");
    if https {
        add(
            header::STRICT_TRANSPORT_SECURITY,
            "max-age=31536000; includeSubDomains",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_inline_and_no_frames() {
        for kind in ["text/html; charset=utf-8", "application/json"] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
            secure(&mut headers, false);
            let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.contains("frame-ancestors 'none'") && policy.contains("default-src 'none'"));
            assert!(!policy.contains("unsafe"), "{policy}");
            assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
            assert!(!headers.contains_key(header::STRICT_TRANSPORT_SECURITY));
        }
    }

    #[test]
    fn what_an_answer_says_itself_stays() {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CACHE_CONTROL,
            HeaderValue::from_static("public, max-age=5"),
        );
        secure(&mut headers, true);
        assert_eq!(headers[header::CACHE_CONTROL], "public, max-age=5");
        assert!(headers.contains_key(header::STRICT_TRANSPORT_SECURITY));
    }
}

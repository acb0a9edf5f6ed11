//! The built front end, embedded in the binary and served under `/assets/`.
//!
//! File names carry a hash of their content, so an answer may be kept for ever. What is not in the
//! manifest of the build is not served; before `npm run build` there is nothing here, and pages
//! come without style rather than not at all.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

/// The route of [`serve`], with its path parameter.
pub const ROUTE: &str = "/assets/{*path}";

/// Where a page looks for an asset the build does not know; answered with 404.
const UNKNOWN: &str = "/assets/unknown";

#[derive(RustEmbed)]
#[folder = "web/dist"]
struct Dist;

/// Logical name (`app.css`) to address (`/assets/app-2F4C….css`).
static MANIFEST: LazyLock<HashMap<String, String>> = LazyLock::new(|| {
    let Some(file) = Dist::get("manifest.json") else {
        tracing::warn!("no web assets in this build: run `npm ci && npm run build` in web/");
        return HashMap::new();
    };
    let names: HashMap<String, String> = serde_json::from_slice(&file.data).unwrap_or_default();
    names
        .into_iter()
        .map(|(name, hashed)| (name, format!("/assets/{hashed}")))
        .collect()
});

/// The address of an asset by its logical name.
pub fn url(name: &str) -> &'static str {
    MANIFEST.get(name).map_or(UNKNOWN, String::as_str)
}

/// Serves one embedded file, compressed as the build left it where the client accepts gzip.
pub async fn serve(Path(path): Path<String>, headers: HeaderMap) -> Response {
    let known = MANIFEST
        .values()
        .any(|address| address.strip_prefix("/assets/") == Some(&path));
    let Some(plain) = known.then(|| Dist::get(&path)).flatten() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let kind = plain.metadata.mimetype().to_owned();
    let zipped = accepts_gzip(&headers)
        .then(|| Dist::get(&format!("{path}.gz")))
        .flatten();
    let is_zipped = zipped.is_some();
    let mut answer = Response::new(body(zipped.unwrap_or(plain)));
    let set = answer.headers_mut();
    if let Ok(kind) = kind.parse() {
        set.insert(header::CONTENT_TYPE, kind);
    }
    if is_zipped {
        set.insert(header::CONTENT_ENCODING, header::HeaderValue::from_static("gzip"));
    }
    set.insert(header::VARY, header::HeaderValue::from_static("accept-encoding"));
    set.insert(
        header::CACHE_CONTROL,
        header::HeaderValue::from_static("public, max-age=31536000, immutable"),
    );
    answer
}

fn body(file: EmbeddedFile) -> Body {
    match file.data {
        Cow::Borrowed(data) => Body::from(Bytes::from_static(data)),
        Cow::Owned(data) => Body::from(data),
    }
}

/// Whether the client takes gzip; `gzip;q=0` is a no.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| {
            value.split(',').map(str::trim).any(|coding| {
                let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
                name.trim().eq_ignore_ascii_case("gzip")
                    && !matches!(quality.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that gzip is chosen only for clients that name it and do not refuse it.
    #[test]
    fn compresses_for_those_who_ask() {
        let check = |sent: &str, expected| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, sent.parse().expect("a header value"));
            assert_eq!(accepts_gzip(&headers), expected, "{sent}");
        };
        check("gzip, deflate, br", true);
        check("br;q=1.0, GZIP;q=0.8", true);
        check("identity", false);
        check("gzip;q=0", false);
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    /// Proves that an unknown name costs a 404, not a page.
    #[tokio::test]
    async fn unknown_assets_are_not_found() {
        assert_eq!(url("no-such-thing.css"), UNKNOWN);
        let answer = serve(Path("../Cargo.toml".to_owned()), HeaderMap::new()).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    }
}

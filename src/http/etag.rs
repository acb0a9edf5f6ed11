//! Entity tags: of bytes for what is public, of versions for what is edited.
//!
//! A public representation has a strong tag that is a hash of its bytes; `If-None-Match` with it is
//! answered 304. An edit names the version it saw in `If-Match: "v3"`; without it is 428, with an
//! old one 412.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::Edge;
use super::headers::SURROGATE_KEY;
use super::problem::{Problem, kind};

/// How long a shared cache may keep a public representation without asking; browsers always ask.
const PUBLIC: HeaderValue =
    HeaderValue::from_static("public, max-age=0, s-maxage=5, stale-while-revalidate=30");

/// An answer that anybody may see, with the tag of its bytes; 304 when the caller has them.
///
/// `keys` name what it is made of, so that a shared cache can forget it when one of them changes.
///
/// # Errors
/// 500 for a body that is not JSON.
pub fn public(asked: &HeaderMap, body: &impl Serialize, keys: &str) -> Result<Response, Problem> {
    let bytes = serde_json::to_vec(body).map_err(|error| Problem::internal(error.to_string()))?;
    Ok(public_bytes(
        asked,
        bytes,
        HeaderValue::from_static("application/json"),
        keys,
    ))
}

/// As [`public`], for bytes of any type.
#[must_use]
pub fn public_bytes(asked: &HeaderMap, bytes: Vec<u8>, media: HeaderValue, keys: &str) -> Response {
    let tag = of_bytes(&bytes);
    let mut answer = if none_match(asked, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut answer = bytes.into_response();
        answer.headers_mut().insert(header::CONTENT_TYPE, media);
        answer
    };
    let headers = answer.headers_mut();
    let mut set = |name: HeaderName, value: Option<HeaderValue>| {
        if let Some(value) = value {
            headers.insert(name, value);
        }
    };
    set(header::ETAG, HeaderValue::from_str(&tag).ok());
    set(header::CACHE_CONTROL, Some(PUBLIC));
    set(SURROGATE_KEY, HeaderValue::from_str(keys).ok());
    answer
}

/// The strong tag of bytes.
#[must_use]
pub fn of_bytes(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    format!("\"{}\"", URL_SAFE_NO_PAD.encode(&hash[..16]))
}

/// The tag of a version.
#[must_use]
pub fn of_version(version: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"v{version}\"")).unwrap_or(HeaderValue::from_static("\"v0\""))
}

/// Whether `If-None-Match` names `tag`; weakness does not matter here (RFC 9110 §13.1.2).
fn none_match(asked: &HeaderMap, tag: &str) -> bool {
    asked
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| {
            value.trim() == "*"
                || value
                    .split(',')
                    .any(|one| one.trim().strip_prefix("W/").unwrap_or(one.trim()) == tag)
        })
}

/// The versions an edit accepts to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// Whatever is there.
    Any,
    /// One of these.
    Versions(Vec<u64>),
}

impl FromRequestParts<Edge> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Edge) -> Result<Self, Problem> {
        Self::read(&parts.headers)
    }
}

impl IfMatch {
    fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        let malformed =
            || Problem::new(&kind::MALFORMED).detail("If-Match is a version in quotes, such as \"v3\".");
        let mut versions = Vec::new();
        let mut given = headers.get_all(header::IF_MATCH).iter().peekable();
        if given.peek().is_none() {
            return Err(Problem::new(&kind::VERSION_REQUIRED));
        }
        for value in given {
            let value = value.to_str().map_err(|_| malformed())?.trim();
            if value == "*" {
                return Ok(Self::Any);
            }
            for tag in value.split(',').map(str::trim) {
                let strong = tag.strip_prefix("W/").is_none();
                let opaque = tag.strip_prefix("W/").unwrap_or(tag);
                let opaque = opaque.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
                let opaque = opaque.filter(|tag| !tag.contains('"')).ok_or_else(malformed)?;
                // A weak tag, or one that is no version, matches nothing (RFC 9110 §13.1.1).
                let version = opaque
                    .strip_prefix('v')
                    .and_then(|version| version.parse::<u64>().ok());
                versions.extend(version.filter(|_| strong));
            }
        }
        Ok(Self::Versions(versions))
    }

    /// The version to change, given the current one.
    ///
    /// # Errors
    /// 412 with the current version.
    pub fn check(&self, current: u64) -> Result<u64, Problem> {
        match self {
            Self::Any => Ok(current),
            Self::Versions(versions) if versions.contains(&current) => Ok(current),
            Self::Versions(_) => Err(stale(current)),
        }
    }
}

/// Somebody was quicker.
#[must_use]
pub fn stale(current: u64) -> Problem {
    Problem::new(&kind::STALE)
        .member("version", current)
        .header(header::ETAG, of_version(current))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: HeaderName, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        headers
    }

    #[test]
    fn the_same_bytes_are_not_sent_twice() {
        let body = serde_json::json!({"a": 1});
        let first = public(&HeaderMap::new(), &body, "product-1").unwrap();
        assert_eq!(first.status(), 200);
        let tag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
        for sent in [
            tag.clone(),
            format!("W/{tag}"),
            format!("\"x\", {tag}"),
            "*".to_owned(),
        ] {
            let again = public(&with(header::IF_NONE_MATCH, &sent), &body, "product-1").unwrap();
            assert_eq!(again.status(), 304, "{sent}");
            assert_eq!(again.headers()[header::ETAG], tag.as_str());
            assert_eq!(again.headers()["surrogate-key"], "product-1");
        }
        let other = public(&with(header::IF_NONE_MATCH, "\"x\""), &body, "product-1").unwrap();
        assert_eq!(other.status(), 200);
    }

    #[test]
    fn an_edit_names_the_version_it_saw() {
        let check = |sent: &str, current| {
            let read = IfMatch::read(&with(header::IF_MATCH, sent)).and_then(|it| it.check(current));
            read.map_err(|problem| problem.status().as_u16())
        };
        assert_eq!(check("\"v3\"", 3), Ok(3));
        assert_eq!(check("\"v2\", \"v3\"", 3), Ok(3));
        assert_eq!(check("*", 3), Ok(3));
        assert_eq!(check("\"v2\"", 3), Err(412));
        assert_eq!(check("W/\"v3\"", 3), Err(412));
        assert_eq!(check("\"other\"", 3), Err(412));
        assert_eq!(check("v3", 3), Err(400));
        assert_eq!(check("\"v3", 3), Err(400));
        assert_eq!(IfMatch::read(&HeaderMap::new()).unwrap_err().status(), 428);
        let stale = stale(7);
        assert_eq!(stale.to_json("t")["version"], 7);
    }
}

//! Bodies: read within a limit and a deadline, parsed strictly, checked against their schema.

pub mod strict;

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderValue, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::Value;
use utoipa::ToSchema;

use super::Edge;
use super::overload::{Aside, Seat};
use super::problem::{Fault, Problem, kind};
use super::shape;

/// The largest body of a JSON call.
pub const BODY_LIMIT: usize = 256 * 1024;
/// How long a body may take to arrive.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(10);

/// The media types a call takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// `application/json`
    Json,
    /// `application/merge-patch+json` (RFC 7396)
    MergePatch,
}

impl Media {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::MergePatch => "application/merge-patch+json",
        }
    }
}

/// A JSON body that has the shape of `T`'s schema.
#[derive(Clone, Debug)]
pub struct Json<T> {
    /// What it says.
    pub value: T,
    /// SHA-256 of what it means; see [`strict::digest`].
    pub digest: [u8; 32],
}

impl<T: DeserializeOwned + ToSchema + 'static> FromRequest<Edge> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Edge) -> Result<Self, Problem> {
        let (headers, bytes) = read(request, BODY_LIMIT).await?;
        if bytes.is_empty() {
            return Err(Problem::new(&kind::MALFORMED).detail("This call needs a JSON body."));
        }
        check_media(&headers, Media::Json)?;
        let json = parse(&bytes)?;
        Ok(Self {
            digest: strict::digest(&json),
            value: typed(json)?,
        })
    }
}

/// A JSON body that may be left out: then it is `{}`.
#[derive(Clone, Debug)]
pub struct MaybeJson<T> {
    /// What it says.
    pub value: T,
    /// SHA-256 of what it means.
    pub digest: [u8; 32],
}

impl<T: DeserializeOwned + ToSchema + 'static> FromRequest<Edge> for MaybeJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Edge) -> Result<Self, Problem> {
        let (headers, bytes) = read(request, BODY_LIMIT).await?;
        let json = if bytes.is_empty() {
            Value::Object(serde_json::Map::new())
        } else {
            check_media(&headers, Media::Json)?;
            parse(&bytes)?
        };
        Ok(Self {
            digest: strict::digest(&json),
            value: typed(json)?,
        })
    }
}

/// A JSON Merge Patch: an object, not yet applied.
#[derive(Clone, Debug)]
pub struct MergePatch(pub Value);

impl FromRequest<Edge> for MergePatch {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Edge) -> Result<Self, Problem> {
        let (headers, bytes) = read(request, BODY_LIMIT).await?;
        if bytes.is_empty() {
            return Err(Problem::new(&kind::MALFORMED).detail("This call needs a JSON Merge Patch."));
        }
        check_media(&headers, Media::MergePatch)?;
        let json = parse(&bytes)?;
        if json.is_object() {
            Ok(Self(json))
        } else {
            Err(Problem::invalid_at("", "must be an object"))
        }
    }
}

impl MergePatch {
    /// What `target` is after the patch (RFC 7396 §2).
    #[must_use]
    pub fn apply(&self, mut target: Value) -> Value {
        merge(&mut target, &self.0);
        target
    }
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    if let Value::Object(members) = target {
        for (name, change) in changes {
            if change.is_null() {
                members.shift_remove(name);
            } else {
                merge(members.entry(name.clone()).or_insert(Value::Null), change);
            }
        }
    }
}

/// Reads a body that is not longer than `limit`.
///
/// # Errors
/// 413, 415 for a compressed one, 408 for a slow one, 400 for a broken one.
pub async fn read(request: Request, limit: usize) -> Result<(HeaderMap, Bytes), Problem> {
    let (parts, body) = request.into_parts();
    let encoding = parts.headers.get(header::CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Problem::new(&kind::WRONG_MEDIA_TYPE)
            .detail("Bodies must not be compressed.")
            .header(header::ACCEPT_ENCODING, HeaderValue::from_static("identity")));
    }
    let too_large = || {
        Problem::new(&kind::TOO_LARGE)
            .detail(format!("This call takes at most {} KiB.", limit / 1024))
            .header(header::CONNECTION, HeaderValue::from_static("close"))
    };
    let announced = parts.headers.get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        drain(body).await;
        return Err(too_large());
    }
    let arrival =
        async {
            match tokio::time::timeout(ARRIVAL_LIMIT, collect(body, limit)).await {
                Ok(Ok(bytes)) => Ok(bytes),
                Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
                Ok(Err(error)) => Err(Problem::new(&kind::MALFORMED)
                    .detail("The body could not be read.")
                    .cause(error.to_string())),
                Err(_) => Err(Problem::new(&kind::TOO_SLOW)
                    .header(header::CONNECTION, HeaderValue::from_static("close"))),
            }
        };
    // Who waits for a slow client takes nobody's place.
    let arrived = match parts.extensions.get::<Seat>() {
        Some(seat) => seat.aside(arrival).await.map_err(|aside| match aside {
            Aside::Failed(problem) => problem,
            Aside::Shed(shed) => shed.problem(),
        }),
        None => arrival.await,
    };
    Ok((parts.headers, arrived?))
}

async fn collect(body: Body, limit: usize) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    Ok(Limited::new(body, limit).collect().await?.to_bytes())
}

/// Lets a body that is not wanted pass by for a while: a client that is still sending when we close
/// would lose the answer that says why.
async fn drain(mut body: Body) {
    const PASS_MAX: usize = 4 * 1024 * 1024;
    const PASS_TIME: Duration = Duration::from_secs(2);
    let pass = async {
        let mut passed = 0;
        while let Some(Ok(frame)) = body.frame().await {
            passed += frame.data_ref().map_or(0, Bytes::len);
            if passed > PASS_MAX {
                break;
            }
        }
    };
    // Either way the connection closes behind the answer.
    let _ = tokio::time::timeout(PASS_TIME, pass).await;
}

/// Refuses a media type that is not `media` in UTF-8.
fn check_media(headers: &HeaderMap, media: Media) -> Result<(), Problem> {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let only = match (types.next(), types.next()) {
        (Some(only), None) => only.to_str().unwrap_or_default(),
        _ => "",
    };
    let (name, parameters) = only.split_once(';').unwrap_or((only, ""));
    let utf8 = parameters
        .split(';')
        .map(str::trim)
        .filter(|parameter| !parameter.is_empty())
        .all(|parameter| {
            parameter.split_once('=').is_some_and(|(key, value)| {
                !key.eq_ignore_ascii_case("charset") || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
            })
        });
    if name.trim().eq_ignore_ascii_case(media.name()) && utf8 {
        return Ok(());
    }
    let accepted = if media == Media::MergePatch {
        "accept-patch"
    } else {
        "accept-post"
    };
    Err(Problem::new(&kind::WRONG_MEDIA_TYPE)
        .detail(format!("This call takes {} in UTF-8.", media.name()))
        .header(
            header::HeaderName::from_static(accepted),
            HeaderValue::from_static(media.name()),
        ))
}

/// Reads JSON.
///
/// # Errors
/// 400, saying where it stops being JSON.
pub fn parse(bytes: &[u8]) -> Result<Value, Problem> {
    strict::parse(bytes).map_err(|error| {
        Problem::new(&kind::MALFORMED).detail(format!("The body is not the JSON we read: {error}."))
    })
}

/// Checks JSON against the schema of `T` and converts it.
///
/// # Errors
/// 422 with every fault.
pub fn typed<T: DeserializeOwned + ToSchema + 'static>(json: Value) -> Result<T, Problem> {
    let faults = faults::<T>(&json)?;
    if faults.is_empty() {
        convert(json)
    } else {
        Err(Problem::invalid(faults))
    }
}

/// As [`typed`], for what `before` became: fields that are as they were are not judged. They may come
/// from a catalogue file, whose rules are wider, and are not the caller's to mend.
///
/// # Errors
/// 422 with every fault of what changed.
pub fn edited<T: DeserializeOwned + ToSchema + 'static>(before: &Value, after: Value) -> Result<T, Problem> {
    let is_unchanged = |name: &str| {
        after
            .get(name)
            .is_some_and(|value| before.get(name) == Some(value))
    };
    let changed = match &after {
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| !is_unchanged(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        _ => serde_json::Map::new(),
    };
    let mut faults = faults::<T>(&Value::Object(changed))?;
    // What is unchanged is not missing.
    faults.retain(|fault| !is_unchanged(fault.pointer.trim_start_matches('/')));
    if faults.is_empty() {
        convert(after)
    } else {
        Err(Problem::invalid(faults))
    }
}

fn faults<T: ToSchema + 'static>(json: &Value) -> Result<Vec<Fault>, Problem> {
    match &*shape::of::<T>() {
        Ok(shape) => Ok(shape.faults(json)),
        Err(unknown) => Err(Problem::internal(unknown.to_string())),
    }
}

fn convert<T: DeserializeOwned>(json: Value) -> Result<T, Problem> {
    // Whatever has the shape converts; a type that does not is stricter than its schema.
    serde_json::from_value(json).map_err(|error| Problem::invalid_at("", error.to_string()))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use serde_json::json;

    use super::*;

    #[test]
    fn merge_patches_follow_the_rfc() {
        // RFC 7396, appendix A.
        for (target, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (
                json!({}),
                json!({"a": {"bb": {"ccc": null}}}),
                json!({"a": {"bb": {}}}),
            ),
        ] {
            assert_eq!(MergePatch(patch).apply(target), result);
        }
    }

    #[test]
    fn only_the_right_media_type_in_utf8_is_read() {
        let check = |sent: &str, media, good: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(sent).unwrap());
            assert_eq!(check_media(&headers, media).is_ok(), good, "{sent}");
        };
        check("application/json", Media::Json, true);
        check("Application/JSON; charset=UTF-8", Media::Json, true);
        check("application/json;", Media::Json, true);
        check("application/json; charset=latin1", Media::Json, false);
        check("application/jsonp", Media::Json, false);
        check("text/plain", Media::Json, false);
        check("application/x-www-form-urlencoded", Media::Json, false);
        check("application/json", Media::MergePatch, false);
        check("application/merge-patch+json", Media::MergePatch, true);
        assert!(check_media(&HeaderMap::new(), Media::Json).is_err());
    }
}

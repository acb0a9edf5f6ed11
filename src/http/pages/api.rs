//! The API as the pages use it: asked within the process, in the words of a program.
//!
//! What a form means is said once more as a call of the API, for a caller who is known already. So
//! the rules of input, keys, versions and refusals stand in one place, and a page cannot do more
//! than a program can.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderName, HeaderValue, Method, Request, header};
use serde_json::Value;
use tower::ServiceExt as _;

use super::visit::Visit;
use crate::accounts::Caller;
use crate::http::auth::vouch;
use crate::http::body::Media;
use crate::http::etag::of_version;
use crate::http::idempotency::KEY;
use crate::http::position::POSITION;
use crate::http::problem::{Problem, kind};

/// No answer to a write is longer.
const ANSWER_LIMIT: usize = 4 * 1024 * 1024;

/// A call of the API.
#[derive(Debug)]
pub(super) struct Call {
    method: Method,
    path: String,
    headers: Vec<(HeaderName, Result<HeaderValue, Problem>)>,
    body: Option<Value>,
}

/// What the API said.
#[derive(Debug)]
pub(super) struct Said {
    /// Its body.
    pub(super) body: Value,
    /// Where the write is.
    pub(super) position: Option<String>,
}

impl Call {
    /// A call without a body.
    pub(super) const fn new(method: Method, path: String) -> Self {
        Self {
            method,
            path,
            headers: Vec::new(),
            body: None,
        }
    }

    /// With a body. A `PATCH` is a merge patch.
    pub(super) fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// With an idempotency key, from the hidden field of a form.
    pub(super) fn key(mut self, key: &str) -> Self {
        let value = HeaderValue::from_str(key).map_err(|_| Problem::new(&kind::KEY_MISSING));
        self.headers.push((KEY, value));
        self
    }

    /// For this version only.
    pub(super) fn version(mut self, version: u64) -> Self {
        self.headers.push((header::IF_MATCH, Ok(of_version(version))));
        self
    }

    /// For whatever version there is.
    pub(super) fn any_version(mut self) -> Self {
        self.headers
            .push((header::IF_MATCH, Ok(HeaderValue::from_static("*"))));
        self
    }

    fn into_request(self) -> Result<Request<Body>, Problem> {
        let is_patch = self.method == Method::PATCH;
        let mut request = Request::builder().method(self.method).uri(self.path);
        for (name, value) in self.headers {
            request = request.header(name, value?);
        }
        let body = match self.body {
            Some(body) => {
                let media = if is_patch { Media::MergePatch } else { Media::Json };
                request = request.header(header::CONTENT_TYPE, media.name());
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        request
            .body(body)
            .map_err(|error| Problem::internal(error.to_string()))
    }
}

impl Visit {
    /// Asks the API as `caller`.
    ///
    /// # Errors
    /// What the API refuses.
    pub(super) async fn call(&self, caller: &Arc<Caller>, call: Call) -> Result<Said, Problem> {
        let mut request = call.into_request()?;
        let extensions = request.extensions_mut();
        vouch(extensions, Arc::clone(caller));
        if let Some(exchange) = self.exchange() {
            extensions.insert(exchange.clone());
        }
        let Ok(mut answer) = self.storefront.api.clone().oneshot(request).await;
        if let Some(problem) = answer.extensions_mut().remove::<Problem>() {
            return Err(problem);
        }
        if !answer.status().is_success() {
            return Err(Problem::internal(format!("the API answered {}", answer.status())));
        }
        let position = answer.headers().get(POSITION);
        let position = position.and_then(|token| Some(token.to_str().ok()?.to_owned()));
        let internal = |error: &dyn std::error::Error| Problem::internal(error.to_string());
        let bytes = to_bytes(answer.into_body(), ANSWER_LIMIT)
            .await
            .map_err(|error| internal(&error))?;
        let body = match bytes.as_ref() {
            [] => Value::Null,
            json => serde_json::from_slice(json).map_err(|error| internal(&error))?,
        };
        Ok(Said { body, position })
    }
}

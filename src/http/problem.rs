//! Problem details (RFC 9457): the one shape in which the shop says no.
//!
//! A handler returns a [`Problem`]; [`super::front`] writes it down, because only that knows the
//! trace. What the caller reads and what the log reads are different fields, so nothing leaks.
//!
//! **Invariant:** every kind of problem is in [`kind::ALL`], which the pages under `/problems/` and
//! the OpenAPI document list.

pub mod kind;

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

pub use kind::Kind;

use super::limit::Allowance;

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// What went wrong with one request.
///
/// Boxed: nearly every function of the edge can return one and nearly none does, so the way that
/// goes well should not carry it.
#[derive(Clone, Debug)]
pub struct Problem(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    kind: &'static Kind,
    detail: Cow<'static, str>,
    errors: Vec<Fault>,
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
    cause: Option<String>,
}

/// A fault of one field of the input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = InputFault)]
pub struct Fault {
    /// Where: a JSON pointer (RFC 6901) into the body, or into the query as an object.
    #[schema(example = "/lines/0/quantity")]
    pub pointer: String,
    /// What is wrong, fit for a person.
    #[schema(example = "at most 99")]
    pub detail: String,
}

impl Fault {
    /// A fault at `pointer`.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            detail: detail.into(),
        }
    }
}

impl Problem {
    /// A problem of `kind` that says what its kind says.
    #[must_use]
    pub fn new(kind: &'static Kind) -> Self {
        Self(Box::new(Parts {
            kind,
            detail: Cow::Borrowed(kind.explanation),
            errors: Vec::new(),
            members: Map::new(),
            headers: Vec::new(),
            cause: None,
        }))
    }

    /// Input that was understood and breaks rules.
    #[must_use]
    pub fn invalid(errors: Vec<Fault>) -> Self {
        let mut problem = Self::new(&kind::INVALID_INPUT);
        problem.0.errors = errors;
        problem
    }

    /// Input that breaks one rule.
    pub fn invalid_at(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::invalid(vec![Fault::new(pointer, detail)])
    }

    /// Something failed that should not; the caller learns nothing of it.
    pub fn internal(cause: impl Into<String>) -> Self {
        Self::new(&kind::INTERNAL).cause(cause)
    }

    /// There is nothing here, or nothing for this caller.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(&kind::NOT_FOUND)
    }

    /// With a sentence of its own.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.0.detail = detail.into();
        self
    }

    /// With a member of its own, beside those every problem has.
    #[must_use]
    pub fn member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.members.insert(name.to_owned(), value.into());
        self
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// With the moment at which it is worth trying again, in whole seconds and at least one.
    #[must_use]
    pub fn retry_after(self, pause: Duration) -> Self {
        let seconds = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
        self.header(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)))
    }

    /// With the limit that is used up.
    #[must_use]
    pub fn spent(mut self, allowance: &Allowance) -> Self {
        let mut headers = HeaderMap::new();
        allowance.write(&mut headers);
        self.0.headers.extend(
            headers
                .into_iter()
                .filter_map(|(name, value)| Some((name?, value))),
        );
        self
    }

    /// With the reason that only the log reads.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> &'static Kind {
        self.0.kind
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.kind.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The same for another reason: what it says is what that kind says.
    #[must_use]
    pub fn because(mut self, kind: &'static Kind) -> Self {
        self.0.kind = kind;
        self.0.detail = Cow::Borrowed(kind.explanation);
        self
    }

    /// The sentence for the caller.
    #[must_use]
    pub fn sentence(&self) -> &str {
        &self.0.detail
    }

    /// The faults of single fields.
    #[must_use]
    pub fn errors(&self) -> &[Fault] {
        &self.0.errors
    }

    /// The reason for the log.
    #[must_use]
    pub fn logged_cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// The problem as JSON, as both HTTP and the live feed write it.
    #[must_use]
    pub fn to_json(&self, trace_id: &str) -> Value {
        let mut body = Map::new();
        body.insert("type".to_owned(), self.0.kind.uri().into());
        body.insert("title".to_owned(), self.0.kind.title.into());
        body.insert("status".to_owned(), self.0.kind.status.into());
        body.insert("detail".to_owned(), self.0.detail.as_ref().into());
        body.insert("trace_id".to_owned(), trace_id.into());
        if !self.0.errors.is_empty() {
            let errors = self
                .0
                .errors
                .iter()
                .map(|fault| serde_json::json!({"pointer": fault.pointer, "detail": fault.detail}));
            body.insert("errors".to_owned(), Value::Array(errors.collect()));
        }
        for (name, value) in &self.0.members {
            body.insert(name.clone(), value.clone());
        }
        Value::Object(body)
    }

    /// Writes the problem into the answer that carries it; what the answer's headers say stays.
    pub(super) fn write(&self, trace_id: &str, answer: &mut Response) {
        *answer.status_mut() = self.status();
        *answer.body_mut() = Body::from(self.to_json(trace_id).to_string());
        let headers = answer.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

/// Puts the problem beside an empty answer; [`super::front`] writes it down.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut answer = self.status().into_response();
        for (name, value) in &self.0.headers {
            answer.headers_mut().insert(name, value.clone());
        }
        answer.extensions_mut().insert(self);
        answer
    }
}

/// The shape of a problem, for the OpenAPI document.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemShape {
    /// A stable relative reference; the shop serves a page there.
    #[serde(rename = "type")]
    #[schema(example = "/problems/not-found", pattern = "^/problems/[a-z0-9-]+$")]
    kind: String,
    /// The kind in words.
    #[schema(example = "Not found")]
    title: String,
    /// The status of the answer.
    #[schema(example = 404, minimum = 400, maximum = 599)]
    status: u16,
    /// This case in words.
    #[schema(example = "There is nothing here, or nothing for you.")]
    detail: String,
    /// Finds the request in the log.
    #[schema(example = "4bf92f3577b34da6a3ce929d0e0e4736", pattern = "^[0-9a-f]{32}$")]
    trace_id: String,
    /// What is wrong with the input, field by field.
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<Vec<Fault>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_what_the_caller_may_know() {
        let problem = Problem::invalid_at("/quantity", "at most 99")
            .cause("secret: host db-3 refused")
            .member("total", 7);
        let body = problem.to_json("abc");
        assert_eq!(body["type"], "/problems/invalid-input");
        assert_eq!(body["status"], 422);
        assert_eq!(body["trace_id"], "abc");
        assert_eq!(body["errors"][0]["pointer"], "/quantity");
        assert_eq!(body["total"], 7);
        assert!(!body.to_string().contains("db-3"));
    }

    #[test]
    fn pauses_are_whole_seconds() {
        for (pause, expected) in [(0, "1"), (999, "1"), (1_000, "1"), (1_001, "2")] {
            let answer = Problem::new(&kind::OVERLOADED)
                .retry_after(Duration::from_millis(pause))
                .into_response();
            assert_eq!(answer.headers()[header::RETRY_AFTER], expected);
        }
    }
}

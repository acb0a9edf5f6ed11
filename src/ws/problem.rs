//! How the feed says no: the problem details (RFC 9457) of the HTTP API, under the same names.
//!
//! In an `err` frame they tell why a subscription did not happen; before the upgrade they are the body
//! of the answer. The pages behind their names are served by the HTTP edge.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProblemKind {
    /// The upgrade cannot be read.
    Malformed,
    /// Nobody is signed in.
    Unauthenticated,
    /// The token or the session is not accepted.
    BadToken,
    /// The caller lacks the role.
    Forbidden,
    /// Another site's page.
    Forged,
    /// Nothing here, or nothing for this caller.
    NotFound,
    /// Understood, but breaks a rule.
    InvalidInput,
    /// More than one may have.
    TooMany,
    /// More than there is room for.
    Overloaded,
    /// Recovering.
    Unavailable,
}

impl ProblemKind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Malformed,
        Self::Unauthenticated,
        Self::BadToken,
        Self::Forbidden,
        Self::Forged,
        Self::NotFound,
        Self::InvalidInput,
        Self::TooMany,
        Self::Overloaded,
        Self::Unavailable,
    ];

    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::Unauthenticated | Self::BadToken => 401,
            Self::Forbidden | Self::Forged => 403,
            Self::NotFound => 404,
            Self::InvalidInput => 422,
            Self::TooMany => 429,
            Self::Overloaded | Self::Unavailable => 503,
        }
    }

    /// The stable reference.
    #[must_use]
    pub const fn uri(self) -> &'static str {
        match self {
            Self::Malformed => "/problems/malformed-request",
            Self::Unauthenticated => "/problems/unauthenticated",
            Self::BadToken => "/problems/invalid-token",
            Self::Forbidden => "/problems/forbidden",
            Self::Forged => "/problems/cross-site-request",
            Self::NotFound => "/problems/not-found",
            Self::InvalidInput => "/problems/invalid-input",
            Self::TooMany => "/problems/too-many-requests",
            Self::Overloaded => "/problems/overloaded",
            Self::Unavailable => "/problems/unavailable",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Malformed => "Malformed request",
            Self::Unauthenticated => "Not signed in",
            Self::BadToken => "Token not accepted",
            Self::Forbidden => "Not for this role",
            Self::Forged => "Cross-site request",
            Self::NotFound => "Not found",
            Self::InvalidInput => "Input not valid",
            Self::TooMany => "Too many requests",
            Self::Overloaded => "Too busy",
            Self::Unavailable => "Not available for a moment",
        }
    }

    const fn explanation(self) -> &'static str {
        match self {
            Self::Malformed => "This is no request for the live feed.",
            Self::Unauthenticated => "This channel needs an access token or a session.",
            Self::BadToken => "The access token is expired, ended or not one of this shop.",
            Self::Forbidden => "You are known, but you do not have the role this channel needs.",
            Self::Forged => "Pages of other sites may not open the live feed.",
            Self::NotFound => "There is no such channel, or none for you.",
            Self::InvalidInput => "The subscription was understood, but breaks a rule.",
            Self::TooMany => "You have as many as one may have.",
            Self::Overloaded => "The shop has more to do than it can take on. Try again after a moment.",
            Self::Unavailable => "A part of the shop is recovering. Try again after a moment.",
        }
    }
}

/// A problem, as its reader gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    #[serde(rename = "type")]
    uri: &'static str,
    title: &'static str,
    status: u16,
    detail: &'static str,
    trace_id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Fault>,
    #[serde(skip)]
    kind: ProblemKind,
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Fault {
    pointer: &'static str,
    detail: &'static str,
}

impl Problem {
    /// A problem of `kind`; `trace_id` finds the connection in the log.
    #[must_use]
    pub fn new(kind: ProblemKind, trace_id: &str) -> Self {
        Self {
            uri: kind.uri(),
            title: kind.title(),
            status: kind.status(),
            detail: kind.explanation(),
            trace_id: trace_id.to_owned(),
            errors: Vec::new(),
            kind,
        }
    }

    /// With a sentence of its own.
    #[must_use]
    pub const fn detail(mut self, detail: &'static str) -> Self {
        self.detail = detail;
        self
    }

    /// With the field that is wrong.
    #[must_use]
    pub fn at(mut self, pointer: &'static str, detail: &'static str) -> Self {
        self.errors.push(Fault { pointer, detail });
        self
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> ProblemKind {
        self.kind
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_string(&self).unwrap_or_default();
        let mut answer = (status, body).into_response();
        let headers = answer.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self.kind {
            ProblemKind::Unauthenticated | ProblemKind::BadToken => {
                headers.insert(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static("Bearer realm=\"globalshop\""),
                );
            }
            ProblemKind::TooMany | ProblemKind::Overloaded | ProblemKind::Unavailable => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            _ => {}
        }
        answer
    }
}

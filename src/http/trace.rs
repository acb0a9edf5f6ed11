//! Traces: which request a log line, a problem and a metric belong to.
//!
//! W3C Trace Context: a valid `traceparent` that comes in is continued, otherwise a trace begins
//! here. Every answer says its own `traceparent`, and every problem the trace's id.

use std::fmt::Write as _;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::exchange::Exchange;
use super::problem::Problem;
use crate::clock::Clock;

/// The header of W3C Trace Context.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A place in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    id: u128,
    span: u64,
    flags: u8,
}

impl Trace {
    /// Continues the trace of the caller, or begins one.
    #[must_use]
    pub fn of(headers: &HeaderMap, clock: &Clock) -> Self {
        let mut random = [0; 24];
        clock.fill_random(&mut random);
        let (id, span) = random.split_at(16);
        let number = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0_u128, |sum, byte| sum << 8 | u128::from(*byte))
        };
        let span = u64::try_from(number(span)).unwrap_or(1).max(1);
        let received = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok());
        match received.and_then(parse) {
            Some((id, flags)) => Self { id, span, flags },
            None => Self {
                id: number(id).max(1),
                span,
                flags: 1,
            },
        }
    }

    /// The trace's id: 32 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{:032x}", self.id)
    }

    /// As the header says it, for the answer and for calls that follow from this one.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        let mut text = String::with_capacity(55);
        let _ = write!(text, "00-{:032x}-{:016x}-{:02x}", self.id, self.span, self.flags);
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
    }
}

/// Reads `00-<trace>-<span>-<flags>`; later versions may add fields behind.
fn parse(text: &str) -> Option<(u128, u8)> {
    let lower_hex = |part: &str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let mut parts = text.split('-');
    let mut part = |length: usize| {
        parts
            .next()
            .filter(|part| part.len() == length && lower_hex(part))
    };
    let (version, id, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
    if version == "ff" || (version == "00" && parts.next().is_some()) {
        return None;
    }
    let id = u128::from_str_radix(id, 16).ok().filter(|id| *id != 0)?;
    u64::from_str_radix(span, 16).ok().filter(|span| *span != 0)?;
    Some((id, u8::from_str_radix(flags, 16).ok()? & 1))
}

/// What is said about a request once it is answered.
pub(super) struct Answered<'a> {
    pub method: &'a Method,
    pub path: &'a str,
    /// The route's pattern; nothing for an unknown address.
    pub route: Option<&'a str>,
    pub status: StatusCode,
    pub latency: Duration,
    pub problem: Option<&'a Problem>,
}

/// Answers that take longer are worth a warning.
const SLOW: Duration = Duration::from_secs(1);

impl Answered<'_> {
    /// Counts the request and writes its log line: once, here.
    pub(super) fn note(&self, exchange: &Exchange) {
        self.count();
        let trace_id = exchange.trace().id();
        let customer = exchange.caller().map(|id| id.to_string());
        let latency_ms = u64::try_from(self.latency.as_micros()).unwrap_or(u64::MAX) as f64 / 1_000.0;
        let problem = self.problem.map(|problem| problem.kind().slug);
        let cause = self.problem.and_then(Problem::logged_cause);
        macro_rules! say {
            ($level:ident, $message:literal) => {
                tracing::$level!(
                    trace_id,
                    method = %self.method,
                    path = self.path,
                    status = self.status.as_u16(),
                    latency_ms,
                    customer.id = customer,
                    problem,
                    cause,
                    $message
                )
            };
        }
        if self.status == StatusCode::INTERNAL_SERVER_ERROR {
            say!(error, "a request failed");
        } else if self.status.is_server_error() {
            say!(warn, "a request could not be served now");
        } else if self.latency > SLOW {
            say!(warn, "a request was slow");
        } else if self.status.is_client_error() || !self.method.is_safe() {
            say!(info, "a request was answered");
        } else {
            say!(debug, "a request was answered");
        }
    }

    /// Rate, errors and duration by route.
    fn count(&self) {
        let route = self.route.unwrap_or("unknown").to_owned();
        let method = match *self.method {
            Method::GET => "GET",
            Method::HEAD => "HEAD",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::PATCH => "PATCH",
            Method::DELETE => "DELETE",
            // Whoever invents methods must not invent time series.
            _ => "other",
        };
        let status = self.status.as_str().to_owned();
        metrics::counter!("http_requests_total", "method" => method, "route" => route.clone(), "status" => status)
            .increment(1);
        metrics::histogram!("http_request_duration_seconds", "method" => method, "route" => route)
            .record(self.latency.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_goes_on_or_begins() {
        let clock = Clock::system();
        let mut headers = HeaderMap::new();
        let begun = Trace::of(&headers, &clock);
        assert_eq!(begun.id().len(), 32);
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let sent = format!("00-{id}-00f067aa0ba902b7-01");
        headers.insert(TRACEPARENT, sent.parse().unwrap());
        let continued = Trace::of(&headers, &clock);
        assert_eq!(continued.id(), id);
        let said = continued.header();
        assert!(said.to_str().unwrap().starts_with(&format!("00-{id}-")));
        assert_ne!(said, sent.as_str(), "the span is ours");
    }

    #[test]
    fn bad_traces_are_ignored() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let span = "00f067aa0ba902b7";
        for bad in [
            String::new(),
            format!("00-{id}-{span}"),
            format!("00-{id}-{span}-01-extra"),
            format!("ff-{id}-{span}-01"),
            format!("00-{}-{span}-01", "0".repeat(32)),
            format!("00-{id}-{}-01", "0".repeat(16)),
            format!("00-{}-{span}-01", id.to_uppercase()),
            format!("00-+{}-{span}-01", &id[1..]),
        ] {
            assert_eq!(parse(&bad), None, "{bad}");
        }
        assert!(parse(&format!("01-{id}-{span}-01-later")).is_some());
    }
}

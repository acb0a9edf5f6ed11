//! Traces: which request a log line, a problem and a metric belong to.
//!
//! W3C Trace Context: a valid `traceparent` that comes in is continued, otherwise a trace begins
//! here. Every answer says its own `traceparent`, and every problem the trace's id.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use dashmap::DashMap;
use metrics::{Counter, Histogram};
use uuid::Uuid;

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
        clock.fill_unique(&mut random);
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
        let mut digits = [0; 32];
        hex(self.id, &mut digits).to_owned()
    }

    /// As the header says it, for the answer and for calls that follow from this one.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        let (mut id, mut span) = ([0; 32], [0; 32]);
        let mut text = String::with_capacity(55);
        text.push_str("00-");
        text.push_str(hex(self.id, &mut id));
        text.push('-');
        text.push_str(&hex(u128::from(self.span), &mut span)[16..]);
        text.push_str(if self.flags == 0 { "-00" } else { "-01" });
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
    }
}

/// 32 hexadecimal digits, which a UUID writes from a table: a request writes some of them, and the
/// formatter needs several times as long.
fn hex(number: u128, digits: &mut [u8; 32]) -> &str {
    Uuid::from_u128(number).simple().encode_lower(digits)
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
    /// Counts the request and writes its log line: once, here. What went well is not news: the journal
    /// has it, and a line for each write took a fifteenth of the node's time.
    pub(super) fn note(&self, figures: &Figures, exchange: &Exchange) {
        figures.count(self);
        macro_rules! say {
            ($level:ident, $message:literal) => {
                tracing::$level!(
                    trace_id = exchange.trace().id(),
                    method = %self.method,
                    path = self.path,
                    status = self.status.as_u16(),
                    latency_ms = u64::try_from(self.latency.as_micros()).unwrap_or(u64::MAX) as f64 / 1_000.0,
                    customer.id = exchange.caller().map(|id| id.to_string()),
                    problem = self.problem.map(|problem| problem.kind().slug),
                    cause = self.problem.and_then(Problem::logged_cause),
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
        } else if self.status.is_client_error() {
            say!(info, "a request was answered");
        } else {
            say!(debug, "a request was answered");
        }
    }
}

/// Rate, errors and duration by route. A series is looked up in the recorder once and kept, for the
/// recorder's own look-up costs as much as routing.
///
/// Bounded: routes, methods and statuses are few, and whoever invents some must not invent time series.
#[derive(Debug, Default)]
pub struct Figures(DashMap<Box<str>, Vec<Series>>);

#[derive(Debug)]
struct Series {
    method: &'static str,
    status: StatusCode,
    requests: Counter,
    duration: Histogram,
}

impl Figures {
    fn count(&self, answered: &Answered<'_>) {
        let route = answered.route.unwrap_or("unknown");
        let method = match *answered.method {
            Method::GET => "GET",
            Method::HEAD => "HEAD",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::PATCH => "PATCH",
            Method::DELETE => "DELETE",
            _ => "other",
        };
        let is_it = |series: &Series| series.method == method && series.status == answered.status;
        if let Some(known) = self.0.get(route)
            && let Some(series) = known.iter().find(|series| is_it(series))
        {
            return series.note(answered.latency);
        }
        let mut known = self.0.entry(route.into()).or_default();
        if !known.iter().any(is_it) {
            known.push(Series::new(route, method, answered.status));
        }
        if let Some(series) = known.iter().find(|series| is_it(series)) {
            series.note(answered.latency);
        }
    }
}

impl Series {
    fn new(route: &str, method: &'static str, status: StatusCode) -> Self {
        let (route, code) = (route.to_owned(), status.as_str().to_owned());
        Self {
            method,
            status,
            requests: metrics::counter!("http_requests_total", "method" => method, "route" => route.clone(), "status" => code),
            duration: metrics::histogram!("http_request_duration_seconds", "method" => method, "route" => route),
        }
    }

    fn note(&self, latency: Duration) {
        self.requests.increment(1);
        self.duration.record(latency.as_secs_f64());
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

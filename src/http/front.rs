//! The front door: what happens to every request, whatever it asks for.
//!
//! In: its class is let in or not, its head is judged, a trace begins or goes on, its address is let in
//! or not, all before a byte of the body is read. Out: a problem is written down, security headers are
//! added, and one line and two metrics say what happened. Who is turned away because there is too much
//! to do is told so before any of that, and counted only.

use std::net::{IpAddr, Ipv4Addr};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;

use super::Edge;
use super::exchange::{Exchange, Peer};
use super::headers;
use super::overload::{Class, Seat, Shed};
use super::pages;
use super::problem::{self, Problem, kind};
use super::trace::{Answered, TRACEPARENT, Trace};

/// The longest address, in bytes.
const URI_MAX: usize = 8 * 1024;
/// The largest head, in bytes of names and values.
const HEAD_MAX: usize = 16 * 1024;
/// When it is worth asking whether the disk has room again.
const FULL_PAUSE: Duration = Duration::from_secs(10);
/// The most header fields.
const FIELDS_MAX: usize = 100;
/// About as many fields are added to every answer: room for them is made once.
const FIELDS_ADDED: usize = 12;

/// The one middleware; see the module.
pub async fn front(State(edge): State<Edge>, mut request: Request, next: Next) -> Response {
    let class = Class::of(request.method(), request.uri().path(), request.uri().query());
    let seat = match Seat::take(&edge.room, class).await {
        Ok(seat) => seat,
        Err(shed) => return turn_away(&edge, request.uri().path(), request.headers(), shed),
    };
    let address = address(&edge, &request);
    let exchange = Exchange::begin(
        Trace::of(request.headers(), &edge.clock),
        address,
        is_near(address, request.headers()),
        edge.clock.instant(),
    );
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let wants_page = pages::is_page_request(&path, request.headers());
    let is_chunked = request.headers().contains_key(header::TRANSFER_ENCODING);
    request.extensions_mut().insert(exchange.clone());
    request.extensions_mut().insert(seat.clone());

    let mut answer = match admit(&edge, class, &request, &exchange) {
        Ok(()) => match AssertUnwindSafe(next.run(request)).catch_unwind().await {
            Ok(answer) => answer,
            Err(_) => Problem::internal("a handler panicked").into_response(),
        },
        Err(problem) => problem.into_response(),
    };

    if let Some(problem) = implied_problem(&method, &answer) {
        answer.extensions_mut().insert(problem);
    }
    let mut problem = answer.extensions_mut().remove::<Problem>();
    if let Some(met) = problem.take_if(|met| met.kind() == &kind::UNAVAILABLE && edge.journal.is_full()) {
        problem = Some(met.because(&kind::DISK_FULL));
    }
    seat.answered(answer.status(), problem.as_ref());
    if let Some(problem) = problem.as_ref().filter(|_| !is_page(&answer)) {
        let trace = exchange.trace().id();
        if wants_page {
            pages::write_early(problem, &trace, &mut answer);
        } else {
            problem.write(&trace, &mut answer);
        }
    }
    let said = answer.headers_mut();
    said.reserve(FIELDS_ADDED);
    said.insert(TRACEPARENT, exchange.trace().header());
    if let Some(allowance) = exchange.allowance() {
        allowance.write(said);
    }
    if is_chunked {
        // RFC 9112 §6.1: there may have been a Content-Length too, which is not shown to us, and
        // whoever is before us may have believed that one. So nothing more is read.
        said.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    headers::secure(said, edge.settings.https);
    Answered {
        method: &method,
        path: &path,
        route: route.as_ref().map(MatchedPath::as_str),
        status: answer.status(),
        latency: edge.clock.instant() - exchange.started(),
        problem: problem.as_ref(),
    }
    .note(&edge.figures, &exchange);
    answer
}

/// The answer to somebody for whom there is no place. It is made thousands of times a second when it is
/// made at all, so it is put together from parts that are ready.
fn turn_away(edge: &Edge, path: &str, headers: &HeaderMap, shed: Shed) -> Response {
    let problem = shed.problem();
    let trace = Trace::of(headers, &edge.clock);
    let mut answer = if pages::is_page_request(path, headers) {
        let mut answer = problem.clone().into_response();
        pages::write_early(&problem, &trace.id(), &mut answer);
        answer.extensions_mut().remove::<Problem>();
        answer
    } else {
        shed.answer(&trace.id())
    };
    let said = answer.headers_mut();
    said.insert(TRACEPARENT, trace.header());
    if headers.contains_key(header::TRANSFER_ENCODING) {
        // As for every chunked request; see `front`.
        said.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    headers::secure(said, edge.settings.https);
    answer
}

fn admit(edge: &Edge, class: Class, request: &Request, exchange: &Exchange) -> Result<(), Problem> {
    judge_head(request)?;
    // What is left of the disk is for the orders that are under way, and for those who mend it.
    if edge.storage.is_full() && class != Class::Operate && !request.method().is_safe() {
        return Err(Problem::new(&kind::DISK_FULL).retry_after(FULL_PAUSE));
    }
    match edge.limits.address(exchange.address()) {
        Ok(Some(allowance)) => exchange.note_allowance(allowance),
        Ok(None) => {}
        Err(refused) => {
            exchange.note_allowance(refused.allowance);
            return Err(*refused.problem);
        }
    }
    Ok(())
}

fn judge_head(request: &Request) -> Result<(), Problem> {
    let uri = request.uri();
    let length = uri.path().len() + uri.query().map_or(0, str::len);
    if length > URI_MAX {
        return Err(Problem::new(&kind::URI_TOO_LONG));
    }
    let fields = request.headers();
    let size: usize = fields
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if size > HEAD_MAX || fields.len() > FIELDS_MAX {
        return Err(Problem::new(&kind::HEAD_TOO_LARGE));
    }
    // RFC 9112 §3.2.
    let hosts = fields.get_all(header::HOST).iter().count();
    if hosts > 1
        || (hosts == 0 && request.version() == Version::HTTP_11 && uri.host().is_none() && has_peer(request))
    {
        return Err(Problem::new(&kind::MALFORMED).detail("A request names one Host."));
    }
    Ok(())
}

/// Whether the request came over a connection, and not from a test within the program.
fn has_peer(request: &Request) -> bool {
    request.extensions().get::<Peer>().is_some()
}

/// Where a request comes from: the peer, or what a proxy we trust says.
fn address(edge: &Edge, request: &Request) -> IpAddr {
    let peer = request
        .extensions()
        .get::<Peer>()
        .map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.0);
    if !edge.settings.trusted_proxies.contains(&peer) {
        return peer;
    }
    forwarded_for(request.headers()).unwrap_or(peer)
}

/// Whether whoever sent the request sits at this machine. What a proxy of this machine passes on does
/// not: it comes from loopback, and from anywhere.
fn is_near(address: IpAddr, headers: &HeaderMap) -> bool {
    let passed_on = [
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-real-ip",
        "via",
    ];
    address.to_canonical().is_loopback() && !passed_on.iter().any(|name| headers.contains_key(*name))
}

/// The last address of `X-Forwarded-For`: the one the proxy itself saw.
fn forwarded_for(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all("x-forwarded-for").iter().next_back()?;
    last.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()
}

fn is_page(answer: &Response) -> bool {
    let media = answer.headers().get(header::CONTENT_TYPE);
    media.is_some_and(|media| media.as_bytes().starts_with(b"text/html"))
}

/// The problem of an answer that says no without a reason: of the router, mostly.
fn implied_problem(method: &Method, answer: &Response) -> Option<Problem> {
    let status = answer.status();
    if !(status.is_client_error() || status.is_server_error())
        || answer.extensions().get::<Problem>().is_some()
    {
        return None;
    }
    let media = answer.headers().get(header::CONTENT_TYPE);
    // Pages say no in their own words.
    if is_page(answer) || media.is_some_and(|media| media == problem::MEDIA_TYPE) {
        return None;
    }
    Some(match status {
        StatusCode::NOT_FOUND => Problem::not_found(),
        StatusCode::METHOD_NOT_ALLOWED => {
            Problem::new(&kind::METHOD_NOT_ALLOWED).detail(format!("{method} is not known here."))
        }
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(&kind::TOO_LARGE),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Problem::new(&kind::WRONG_MEDIA_TYPE),
        status if status.is_client_error() => Problem::new(&kind::MALFORMED),
        _ => Problem::internal(format!("answered {status} without a problem")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_proxy_passes_on_is_not_near() {
        let (here, there): (IpAddr, IpAddr) = ([127, 0, 0, 1].into(), [192, 0, 2, 7].into());
        let mut headers = HeaderMap::new();
        assert!(is_near(here, &headers) && !is_near(there, &headers));
        headers.append("x-forwarded-for", "127.0.0.1".parse().unwrap());
        assert!(!is_near(here, &headers));
    }

    #[test]
    fn only_the_last_address_is_the_proxys_own_word() {
        let mut headers = HeaderMap::new();
        assert_eq!(forwarded_for(&headers), None);
        headers.append("x-forwarded-for", "10.9.9.9, 192.0.2.7".parse().unwrap());
        assert_eq!(forwarded_for(&headers), Some("192.0.2.7".parse().unwrap()));
        headers.append("x-forwarded-for", "nonsense".parse().unwrap());
        assert_eq!(forwarded_for(&headers), None);
    }
}

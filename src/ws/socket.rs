//! `GET /live/ws`: the upgrade.

use std::net::IpAddr;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum_extra::extract::cookie::CookieJar;

use super::problem::{Problem, ProblemKind};
use super::protocol::{FRAME_BYTES_MAX, SUBPROTOCOL};
use super::registry::{Entry, Full};
use super::session::Session;
use super::viewer::{Credential, Turned};
use super::{Live, connection};
use crate::accounts::Secret;

/// The cookie of a browser's session.
const SESSION_COOKIE: &str = "session";
/// The buffers a socket begins with. The default of 128 KiB is touched eagerly, for each of thousands.
const BUFFER: usize = 4_096;
/// What may wait in a socket's own buffer; the outbox bounds the rest.
const WRITE_BUFFER_MAX: usize = 1 << 20;
/// A frame a little too large is read and told so in good order; a larger one breaks the connection.
const READ_MAX: usize = 2 * FRAME_BYTES_MAX;

/// Where a request comes from; put beside it by whoever accepts connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub IpAddr);

pub(super) async fn upgrade(
    State(live): State<Live>,
    peer: Option<Extension<PeerAddress>>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let trace = live.new_trace();
    let problem = |kind| Problem::new(kind, &trace);
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade.protocols([SUBPROTOCOL]),
        Err(_) => {
            let mut answer = problem(ProblemKind::Malformed)
                .detail("This address speaks WebSocket, subprotocol live.1.json.")
                .into_response();
            if !headers.contains_key(header::UPGRADE) {
                *answer.status_mut() = StatusCode::UPGRADE_REQUIRED;
                let upgrade = header::HeaderValue::from_static("websocket");
                answer.headers_mut().insert(header::UPGRADE, upgrade);
            }
            return answer;
        }
    };
    if upgrade.selected_protocol().is_none() {
        let detail = "The subprotocol live.1.json has to be asked for.";
        return problem(ProblemKind::Malformed).detail(detail).into_response();
    }
    let origin = Origin::of(&headers, live.settings().public_origin.as_deref());
    if origin == Origin::Foreign {
        return problem(ProblemKind::Forged).into_response();
    }
    let entry = match enter(&live, peer) {
        Ok(entry) => entry,
        Err(kind) => return problem(kind).into_response(),
    };
    let mut session = Session::new(live, entry);
    // A page of ours says so; whoever does not is no browser, and its cookie no proof of intent.
    if origin == Origin::Ours
        && let Some(cookie) = cookie(&headers)
        && let Err(kind) = recognise(&mut session, cookie).await
    {
        return problem(kind).into_response();
    }
    upgrade
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_write_buffer_size(WRITE_BUFFER_MAX)
        .max_message_size(READ_MAX)
        .max_frame_size(READ_MAX)
        .on_upgrade(move |socket| Box::pin(connection::serve(socket, session)))
}

/// Lets a connection in.
pub(super) fn enter(live: &Live, peer: Option<Extension<PeerAddress>>) -> Result<Entry, ProblemKind> {
    let address = peer.map_or(IpAddr::from([127, 0, 0, 1]), |Extension(PeerAddress(address))| {
        address
    });
    live.registry().enter(address).map_err(|full| match full {
        Full::Draining => ProblemKind::Unavailable,
        Full::Node => ProblemKind::Overloaded,
        Full::Address => ProblemKind::TooMany,
    })
}

/// The value of the session cookie.
pub(super) fn cookie(headers: &HeaderMap) -> Option<Secret> {
    let jar = CookieJar::from_headers(headers);
    jar.get(SESSION_COOKIE).map(|cookie| Secret::new(cookie.value()))
}

/// Takes a cookie in. One of a session that has ended is nobody's, as on the pages.
pub(super) async fn recognise(session: &mut Session, cookie: Secret) -> Result<(), ProblemKind> {
    let credential = Credential::Cookie(cookie);
    match session.live().doorkeeper().admit(&credential).await {
        Ok(_) => session
            .admit(credential)
            .await
            .map_err(|_| ProblemKind::Unavailable),
        Err(Turned::Ended | Turned::Refused) => Ok(()),
        Err(Turned::Unavailable) => Err(ProblemKind::Unavailable),
    }
}

/// Where a page that opens a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// From us.
    Ours,
    /// From somebody else.
    Foreign,
    /// It is no page.
    None,
}

impl Origin {
    /// Reads the header. The scheme a proxy spoke is not known here; the host is.
    pub(super) fn of(headers: &HeaderMap, public: Option<&str>) -> Self {
        let mut given = headers.get_all(header::ORIGIN).iter();
        let Some(origin) = given.next() else {
            return Self::None;
        };
        if given.next().is_some() {
            return Self::Foreign;
        }
        let Ok(origin) = origin.to_str() else {
            return Self::Foreign;
        };
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let authority = origin
            .strip_prefix("https://")
            .or_else(|| origin.strip_prefix("http://"));
        if public == Some(origin) || (authority.is_some() && authority == host) {
            Self::Ours
        } else {
            Self::Foreign
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_pages_are_ours() {
        let origin = |origins: &[&str], public| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "shop.example:8080".parse().unwrap());
            for origin in origins {
                headers.append(header::ORIGIN, origin.parse().unwrap());
            }
            Origin::of(&headers, public)
        };
        assert_eq!(origin(&[], None), Origin::None);
        assert_eq!(origin(&["http://shop.example:8080"], None), Origin::Ours);
        assert_eq!(
            origin(&["https://shop.example"], Some("https://shop.example")),
            Origin::Ours
        );
        for foreign in [
            &["http://shop.example"][..],
            &["http://shop.example:8080.evil.example"],
            &["https://evil.example"],
            &["null"],
            &[""],
            &["shop.example:8080"],
            &["http://shop.example:8080", "https://evil.example"],
        ] {
            assert_eq!(origin(foreign, None), Origin::Foreign, "{foreign:?}");
        }
    }
}

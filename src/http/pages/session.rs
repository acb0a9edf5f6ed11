//! The session of a browser: an opaque cookie, and the token its forms carry.
//!
//! Most visitors only look; who sends a first form gets a guest's session with the answer.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};

use super::visit::{POSITION_COOKIE, Visit};
use crate::accounts::{BrowserGrant, Caller, Secret};
use crate::http::Edge;
use crate::http::auth::{SESSION_COOKIE, account_problem, greet};
use crate::http::problem::Problem;

/// How long a write is waited for by the lists that follow it.
const POSITION_SECONDS: i64 = 60;

/// A session that was found.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// Whose it is.
    pub(super) caller: Arc<Caller>,
    /// What its forms carry.
    pub(super) csrf_token: String,
    cookie: Secret,
}

impl Session {
    /// The session of a request, if its cookie is good.
    ///
    /// # Errors
    /// 429, 503.
    pub(super) async fn find(edge: &Edge, parts: &Parts) -> Result<Option<Self>, Problem> {
        let jar = CookieJar::from_headers(&parts.headers);
        let Some(cookie) = jar.get(SESSION_COOKIE).map(|cookie| cookie.value()) else {
            return Ok(None);
        };
        let found = edge
            .accounts
            .find_browser(cookie)
            .await
            .map_err(account_problem)?;
        let Some(caller) = found else {
            return Ok(None);
        };
        greet(edge, &parts.extensions, &caller).map_err(|problem| *problem)?;
        Ok(Some(Self {
            caller,
            csrf_token: edge.accounts.csrf_token(cookie),
            cookie: Secret::new(cookie),
        }))
    }

    /// Whether a form carried this session's token.
    pub(super) fn matches(&self, edge: &Edge, csrf_token: &str) -> bool {
        edge.accounts.csrf_matches(self.cookie.expose(), csrf_token)
    }
}

/// Whoever sent a form: of the session, or a guest who begins with it.
pub(super) struct Sender {
    /// Who.
    pub(super) caller: Arc<Caller>,
    opened: Option<BrowserGrant>,
}

impl Visit {
    /// Who sent this form; a visitor without a session becomes a guest.
    ///
    /// # Errors
    /// 429, 503.
    pub(super) async fn sender(&self) -> Result<Sender, Problem> {
        if let Some(caller) = self.caller() {
            return Ok(Sender {
                caller: Arc::clone(caller),
                opened: None,
            });
        }
        self.check_sensitive()?;
        let accounts = &self.edge().accounts;
        let grant = accounts.open_guest_browser().await.map_err(account_problem)?;
        let found = accounts.find_browser(grant.cookie.expose()).await;
        let caller = found
            .map_err(account_problem)?
            .ok_or_else(|| Problem::internal("a guest's session was opened and is not there"))?;
        Ok(Sender {
            caller,
            opened: Some(grant),
        })
    }

    /// Gives the browser its new session.
    pub(super) fn open_session(&self, grant: &BrowserGrant, answer: &mut Response) {
        let mut cookie = Cookie::new(SESSION_COOKIE, grant.cookie.expose().to_owned());
        cookie.set_max_age(time::Duration::seconds(grant.max_age_seconds));
        self.set_cookie(cookie, answer);
    }

    /// Takes the browser's session away.
    pub(super) fn close_session(&self, answer: &mut Response) {
        let mut cookie = Cookie::new(SESSION_COOKIE, "");
        cookie.set_max_age(time::Duration::ZERO);
        self.set_cookie(cookie, answer);
    }

    /// Lets the lists that the browser asks for next wait for a write.
    pub(super) fn remember_position(&self, token: &str, answer: &mut Response) {
        let mut cookie = Cookie::new(POSITION_COOKIE, token.to_owned());
        cookie.set_max_age(time::Duration::seconds(POSITION_SECONDS));
        self.set_cookie(cookie, answer);
    }

    fn set_cookie(&self, mut cookie: Cookie<'static>, answer: &mut Response) {
        cookie.set_path("/");
        cookie.set_http_only(true);
        cookie.set_same_site(SameSite::Lax);
        cookie.set_secure(self.edge().settings.https || !is_loopback(&self.headers));
        if let Ok(value) = HeaderValue::from_str(&cookie.to_string()) {
            answer.headers_mut().append(header::SET_COOKIE, value);
        }
    }
}

impl Sender {
    /// Adds the session of a guest who has just begun.
    pub(super) fn settle(&self, visit: &Visit, mut answer: Response) -> Response {
        if let Some(grant) = &self.opened {
            visit.open_session(grant, &mut answer);
        }
        answer
    }
}

/// Whether the browser reached us under a name of its own machine, where there need not be TLS.
fn is_loopback(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else {
        return false;
    };
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_need_tls_unless_the_shop_is_on_this_machine() {
        for (host, expected) in [
            ("localhost:8080", true),
            ("shop.localhost", true),
            ("127.0.0.1:8080", true),
            ("[::1]:8080", true),
            ("localhost.example.org", false),
            ("192.168.0.7:8080", false),
            ("shop.example.org", false),
            ("[::1", true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            assert_eq!(is_loopback(&headers), expected, "{host}");
        }
        assert!(!is_loopback(&HeaderMap::new()));
    }
}

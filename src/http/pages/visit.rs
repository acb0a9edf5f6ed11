//! One request of a browser: what every page handler is given.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum_extra::extract::cookie::CookieJar;
use tokio::sync::OnceCell;

use super::fault::{self, Repeat};
use super::home::Window;
use super::session::Session;
use crate::accounts::{Caller, Role};
use crate::domain::cart::Cart;
use crate::http::Edge;
use crate::http::exchange::Exchange;
use crate::http::position::Position;
use crate::http::problem::{Problem, kind};

/// The cookie that names the visitor's last write, so that lists wait for it.
pub(super) const POSITION_COOKIE: &str = "position";

/// What all visits share.
#[derive(Debug)]
pub(super) struct Storefront {
    pub(super) edge: Edge,
    /// The API, to be asked within the process.
    pub(super) api: Router,
    /// What the home page shows.
    pub(super) window: Window,
}

impl Storefront {
    pub(super) fn new(edge: Edge) -> Self {
        let (api, _) = Edge::api().split_for_parts();
        Self {
            api: api.with_state(edge.clone()),
            edge,
            window: Window::default(),
        }
    }
}

/// One request of a browser. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Visit(Arc<Within>);

#[derive(Debug)]
pub(super) struct Within {
    pub(super) storefront: Arc<Storefront>,
    pub(super) session: Option<Session>,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    /// Path without the query.
    pub(super) path: String,
    /// The query as it came; empty if there is none.
    pub(super) query: String,
    /// Whether it is answered with a page even if it does not say that it wants one.
    is_page: bool,
    exchange: Option<Exchange>,
    /// The form that was sent, once it is known to be from one of our pages.
    sent: OnceLock<Repeat>,
    cart: OnceCell<Option<Cart>>,
    /// What of the page was left out because there is too much to do: facets, suggestions.
    left_out: (AtomicBool, AtomicBool),
}

impl std::ops::Deref for Visit {
    type Target = Within;

    fn deref(&self) -> &Within {
        &self.0
    }
}

/// Around every page: finds out who visits, and turns a problem into a page.
pub(super) async fn receive(
    State(storefront): State<Arc<Storefront>>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let visit = match Visit::begin(storefront, &parts).await {
        Ok(visit) => visit,
        Err(problem) => return problem.into_response(),
    };
    parts.extensions.insert(visit.clone());
    let answer = next.run(Request::from_parts(parts, body)).await;
    fault::dress(&visit, answer).await
}

impl FromRequestParts<Edge> for Visit {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Edge) -> Result<Self, Problem> {
        Self::of(&parts.extensions)
    }
}

impl Visit {
    async fn begin(storefront: Arc<Storefront>, parts: &Parts) -> Result<Self, Problem> {
        let session = Session::find(&storefront.edge, parts).await?;
        let path = parts.uri.path().to_owned();
        let known = parts.extensions.get::<MatchedPath>().is_some() && !path.ends_with(".json");
        Ok(Self(Arc::new(Within {
            session,
            method: parts.method.clone(),
            is_page: known || fault::is_page_request(&path, &parts.headers),
            headers: parts.headers.clone(),
            path,
            query: parts.uri.query().unwrap_or_default().to_owned(),
            exchange: Exchange::of(&parts.extensions).cloned(),
            sent: OnceLock::new(),
            cart: OnceCell::new(),
            left_out: Default::default(),
            storefront,
        })))
    }

    /// Notes what the page lacks because there is too much to do.
    pub(super) fn leave_out(&self, facets: bool, suggestions: bool) {
        self.left_out.0.fetch_or(facets, Relaxed);
        self.left_out.1.fetch_or(suggestions, Relaxed);
    }

    /// What the page lacks: facets, suggestions.
    pub(super) fn left_out(&self) -> (bool, bool) {
        (self.left_out.0.load(Relaxed), self.left_out.1.load(Relaxed))
    }

    /// The visit that [`receive`] put beside the request.
    ///
    /// # Errors
    /// 500 for a handler outside of it.
    pub(super) fn of(extensions: &axum::http::Extensions) -> Result<Self, Problem> {
        extensions
            .get()
            .cloned()
            .ok_or_else(|| Problem::internal("a page was asked for past the pages' door"))
    }

    /// The edge.
    pub(super) fn edge(&self) -> &Edge {
        &self.storefront.edge
    }

    /// Who visits, if that is known.
    pub(super) fn caller(&self) -> Option<&Arc<Caller>> {
        self.session.as_ref().map(|session| &session.caller)
    }

    /// Who visits, guests included.
    ///
    /// # Errors
    /// 401, which becomes the way to sign in.
    pub(super) fn known(&self) -> Result<&Arc<Caller>, Problem> {
        self.caller().ok_or_else(|| Problem::new(&kind::UNAUTHENTICATED))
    }

    /// Who visits, if it is somebody with an account.
    ///
    /// # Errors
    /// 401 for guests too.
    pub(super) fn member(&self) -> Result<&Arc<Caller>, Problem> {
        let caller = self.known()?;
        if caller.guest {
            Err(Problem::new(&kind::UNAUTHENTICATED))
        } else {
            Ok(caller)
        }
    }

    /// Who visits, if it is a seller.
    ///
    /// # Errors
    /// 401, or 403 for somebody else who has signed in.
    pub(super) fn seller(&self) -> Result<&Arc<Caller>, Problem> {
        let caller = self.member()?;
        if caller.has(Role::Seller) {
            Ok(caller)
        } else {
            Err(Problem::new(&kind::FORBIDDEN))
        }
    }

    /// The visitor's cart, read once a visit; nothing if there is none or it cannot be had.
    pub(super) async fn cart(&self) -> Option<&Cart> {
        let read = || async {
            let shopper = self.caller().filter(|caller| caller.has(Role::Shopper))?;
            match crate::http::cart::find(self.edge(), shopper.customer_id).await {
                Ok(cart) => Some(cart),
                Err(problem) => {
                    tracing::debug!(cause = problem.logged_cause(), "a page is shown without its cart");
                    None
                }
            }
        };
        self.cart.get_or_init(read).await.as_ref()
    }

    /// Path and query.
    pub(super) fn address(&self) -> String {
        if self.query.is_empty() {
            self.path.clone()
        } else {
            format!("{}?{}", self.path, self.query)
        }
    }

    /// The fields of the query; none if it cannot be read.
    pub(super) fn asked(&self) -> Vec<(String, String)> {
        crate::http::query::pairs(&self.query).unwrap_or_default()
    }

    /// The first field of the query with this name; empty without one.
    pub(super) fn asked_for(&self, name: &str) -> String {
        let found = self.asked().into_iter().find(|(field, _)| field == name);
        found.map(|(_, value)| value).unwrap_or_default()
    }

    /// The path of the page of ours that the visitor came from.
    pub(super) fn came_from(&self) -> Option<String> {
        let text = |name| self.headers.get(name).and_then(|value| value.to_str().ok());
        let referrer = text(header::REFERER)?;
        let (_, rest) = referrer.split_once("://")?;
        let (host, path) = rest.split_at(rest.find('/')?);
        (Some(host) == text(header::HOST)).then(|| super::link::safe_next(path))
    }

    /// Waits until the order lists include the visitor's last write.
    pub(super) async fn wait_for_orders(&self) {
        let jar = CookieJar::from_headers(&self.headers);
        let token = jar
            .get(POSITION_COOKIE)
            .and_then(|cookie| cookie.value().parse().ok());
        // The page says nothing of its age: it shows what there is.
        let _ = Position(token).wait_for_orders(self.edge()).await;
    }

    /// Whether problems are answered with a page.
    pub(super) fn wants_page(&self) -> bool {
        self.is_page
    }

    /// Finds the request in the log.
    pub(super) fn trace_id(&self) -> String {
        self.exchange
            .as_ref()
            .map(|exchange| exchange.trace().id())
            .unwrap_or_default()
    }

    /// The exchange, for calls that follow from this one.
    pub(super) fn exchange(&self) -> Option<&Exchange> {
        self.exchange.as_ref()
    }

    /// Whether the visitor sits at this machine.
    pub(super) fn is_local(&self) -> bool {
        self.exchange.as_ref().is_some_and(Exchange::is_near)
    }

    /// Takes one sensitive call of the visitor's address: signing in, making a guest.
    ///
    /// # Errors
    /// 429.
    pub(super) fn check_sensitive(&self) -> Result<(), Problem> {
        let Some(exchange) = &self.exchange else {
            return Ok(());
        };
        match self.edge().limits.sensitive(exchange.address()) {
            Ok(Some(allowance)) => exchange.note_allowance(allowance),
            Ok(None) => {}
            Err(refused) => {
                exchange.note_allowance(refused.allowance);
                return Err(*refused.problem);
            }
        }
        Ok(())
    }

    /// Notes the form that was sent, so that a fault can offer to send it again.
    pub(super) fn note_sent(&self, sent: Repeat) {
        let _ = self.sent.set(sent);
    }

    /// The form that was sent.
    pub(super) fn sent(&self) -> Option<&Repeat> {
        self.sent.get()
    }
}

//! The pages: every one of `src/http/pages/mod.rs`, opened and sent by everybody.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use axum::body::Body;
use axum::http::{Method, Request};
use globalshop::accounts::Role;

use super::caller::{Cookie, HOST, People};
use super::policy::{Gate, PAGES};
use super::route::order_of;
use super::{compare, table};
use crate::edge::{Answer, Shop, shop};

/// Who comes to a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Visitor {
    Nobody,
    /// A cookie that the shop never gave.
    Forged,
    /// A cookie whose session has ended.
    Ended,
    Shopper,
    Other,
    Seller,
    Operator,
    /// Whoever is right, with a form that lacks the session's token.
    Tokenless,
    /// Whoever is right, with a form of another site.
    Foreign,
}

impl Visitor {
    const ALL: [Self; 9] = [
        Self::Nobody,
        Self::Forged,
        Self::Ended,
        Self::Shopper,
        Self::Other,
        Self::Seller,
        Self::Operator,
        Self::Tokenless,
        Self::Foreign,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Forged => "forged cookie",
            Self::Ended => "ended session",
            Self::Shopper => "shopper",
            Self::Other => "other shopper",
            Self::Seller => "seller",
            Self::Operator => "operator",
            Self::Tokenless => "no CSRF token",
            Self::Foreign => "other origin",
        }
    }

    const fn role(self) -> Option<Role> {
        match self {
            Self::Shopper | Self::Other => Some(Role::Shopper),
            Self::Seller => Some(Role::Seller),
            Self::Operator => Some(Role::Operator),
            _ => None,
        }
    }

    async fn cookie(self, shop: &'static Shop, people: &People, gate: Gate) -> Option<Cookie> {
        let right = people.with(gate.right());
        Some(match self {
            Self::Nobody => return None,
            Self::Forged => {
                let mut cookie = right.cookie(shop, false).await;
                let last = cookie.header.pop().unwrap();
                cookie.header.push(if last == 'A' { 'B' } else { 'A' });
                cookie
            }
            Self::Ended => right.cookie(shop, true).await,
            Self::Shopper => people.shopper.cookie(shop, false).await,
            Self::Other => people.other.cookie(shop, false).await,
            Self::Seller => people.seller.cookie(shop, false).await,
            Self::Operator => people.operator.cookie(shop, false).await,
            Self::Tokenless | Self::Foreign => right.cookie(shop, false).await,
        })
    }
}

/// What somebody gets at a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    In,
    /// The way to sign in.
    SignIn,
    No(u16),
}

impl Gate {
    const fn right(self) -> Role {
        match self {
            Self::Staff => Role::Seller,
            _ => Role::Shopper,
        }
    }

    fn verdict(self, visitor: Visitor, is_form: bool) -> Verdict {
        if is_form && matches!(visitor, Visitor::Tokenless | Visitor::Foreign) {
            return Verdict::No(403);
        }
        let is_stranger = matches!(visitor, Visitor::Nobody | Visitor::Forged | Visitor::Ended);
        match (self, visitor.role()) {
            (Self::Open, _) => Verdict::In,
            (Self::Form, None | Some(Role::Shopper)) => Verdict::In,
            (Self::Form, Some(_)) => Verdict::No(403),
            _ if is_stranger => Verdict::SignIn,
            (Self::Member, _) => Verdict::In,
            (Self::Customer, None | Some(Role::Shopper)) => Verdict::In,
            (Self::Staff, None | Some(Role::Seller)) => Verdict::In,
            (Self::Customer | Self::Staff, Some(_)) => Verdict::No(403),
            (Self::Party | Self::Owner, _) if visitor == Visitor::Other => Verdict::No(404),
            (Self::Party, _) | (Self::Owner, None | Some(Role::Shopper)) => Verdict::In,
            (Self::Owner, Some(_)) => Verdict::No(404),
        }
    }
}

impl Verdict {
    fn cell(self) -> String {
        match self {
            Self::In => "in".to_owned(),
            Self::SignIn => "sign in".to_owned(),
            Self::No(status) => status.to_string(),
        }
    }

    fn of(answer: &Answer) -> Self {
        match (answer.status, answer.header("location")) {
            (303, Some(to)) if to.starts_with("/sign-in") => Self::SignIn,
            (status @ (401 | 403), _) => Self::No(status),
            _ => Self::In,
        }
    }

    fn check(self, answer: &Answer, owned: bool, what: &str) {
        let said = String::from_utf8_lossy(&answer.bytes);
        match self {
            Self::No(404) => assert_eq!(answer.status, 404, "{what}: {said}"),
            verdict => assert_eq!(Self::of(answer), verdict, "{what}: {} {said}", answer.status),
        }
        assert!(answer.status < 500 && answer.status != 429, "{what}: {said}");
        if owned && self == Self::In {
            assert_ne!(answer.status, 404, "{what}: it is there for them");
        }
    }
}

/// The addresses in the routers of the pages, with whether each is read and whether it takes a form.
fn served() -> BTreeSet<(String, bool, bool)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/pages/mod.rs");
    let source = fs::read_to_string(path).unwrap();
    let routes = source.split(".route(").skip(1).filter_map(|rest| {
        let rest = rest.split(".route(").next().unwrap();
        let (_, after) = rest.split_once('"')?;
        let (path, handlers) = after.split_once('"')?;
        let handlers = handlers.split(".fallback(").next().unwrap();
        Some((
            path.to_owned(),
            handlers.contains("get("),
            handlers.contains("post("),
        ))
    });
    routes.collect()
}

async fn visit(
    shop: &Shop,
    method: &Method,
    (path, sku): (&str, &str),
    visitor: Visitor,
    cookie: Option<Cookie>,
) -> Answer {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", HOST)
        .header("accept", "text/html");
    // Nobody twice: guesses are counted by address.
    let email = format!("{}@example.org", shop.fresh("visitor"));
    let mut form = format!("quantity=1&sku={sku}&email={email}");
    if let Some(cookie) = cookie {
        request = request.header("cookie", &cookie.header);
        if visitor != Visitor::Tokenless {
            form.push_str(&format!("&csrf_token={}", cookie.csrf_token));
        }
    }
    if method == Method::POST {
        let origin = match visitor {
            Visitor::Foreign => "https://evil.example".to_owned(),
            _ => format!("http://{HOST}"),
        };
        request = request
            .header("origin", origin)
            .header("content-type", "application/x-www-form-urlencoded");
    } else {
        form.clear();
    }
    shop.send(request.body(Body::from(form)).unwrap()).await
}

#[tokio::test]
async fn every_page_refuses_whom_it_is_not_for() {
    let shop = shop().await;
    let known: BTreeSet<_> = PAGES
        .iter()
        .map(|(path, get, post)| ((*path).to_owned(), get.is_some(), post.is_some()))
        .collect();
    assert_eq!(
        served(),
        known,
        "each page has a line in tests/it/security/policy.rs"
    );

    let people = People::gather(shop).await;
    let order = order_of(shop, &people.shopper).await;
    let sku = shop.product(1_000, 5).await;
    let mut rows = Vec::new();
    for (path, get, post) in PAGES {
        let address = path
            .replace("{id}", &order)
            .replace("{step}", "pack")
            .replace("{number}", "1")
            .replace("{file}", "TV.svg")
            .replace("{slug}", "other")
            .replace("{token}", "gsp_x");
        for (method, gate) in [(Method::GET, get), (Method::POST, post)] {
            let Some(gate) = *gate else { continue };
            let mut row = vec![format!("`{method} {path}`")];
            for visitor in Visitor::ALL {
                let cookie = visitor.cookie(shop, &people, gate).await;
                let answer = visit(shop, &method, (&address, &sku), visitor, cookie).await;
                let verdict = gate.verdict(visitor, method == Method::POST);
                let owned = matches!(gate, Gate::Owner | Gate::Party);
                verdict.check(&answer, owned, &format!("{method} {path} by {}", visitor.name()));
                row.push(verdict.cell());
            }
            rows.push(row);
        }
    }
    let mut head = vec!["Page"];
    head.extend(Visitor::ALL.map(Visitor::name));
    compare("pages", &table(&head, &rows));
}

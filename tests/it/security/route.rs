//! The API: every route of `/openapi.json`, called as its document says, by everybody.

use std::collections::BTreeSet;

use axum::http::Method;
use globalshop::accounts::Role;
use serde_json::{Value, json};

use super::caller::{Caller, People, Person};
use super::policy::{Door, ROUTES};
use super::{compare, table};
use crate::edge::{Answer, Call, Shop, shop};

/// What somebody gets at a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// In: the answer is that of the call itself.
    In,
    /// This problem.
    No(u16, &'static str),
}

const NOBODY: Verdict = Verdict::No(401, "unauthenticated");
const BAD_TOKEN: Verdict = Verdict::No(401, "invalid-token");
const FORBIDDEN: Verdict = Verdict::No(403, "forbidden");
const FORGED: Verdict = Verdict::No(403, "cross-site-request");
const ABSENT: Verdict = Verdict::No(404, "not-found");

impl Door {
    /// Who is let in, if only some are.
    const fn right(self) -> Role {
        match self {
            Self::Seller => Role::Seller,
            Self::Operator => Role::Operator,
            _ => Role::Shopper,
        }
    }

    fn verdict(self, caller: Caller, safe: bool) -> Verdict {
        let for_strangers = match self {
            Self::Anyone => return Verdict::In,
            Self::Proof(slug) => return Verdict::No(401, slug),
            Self::AnyoneOrKnown => true,
            _ => false,
        };
        match caller {
            Caller::Nobody | Caller::Expired | Caller::Ended if for_strangers => Verdict::In,
            Caller::Nobody => NOBODY,
            Caller::Expired | Caller::Ended | Caller::Forged => BAD_TOKEN,
            // Reading needs no token: another site cannot see what came of it.
            Caller::Tokenless | Caller::Foreign if !safe => FORGED,
            Caller::Page | Caller::Tokenless | Caller::Foreign => Verdict::In,
            Caller::Shopper | Caller::Other | Caller::Seller | Caller::Operator => self.of_role(caller),
        }
    }

    fn of_role(self, caller: Caller) -> Verdict {
        match (self, caller.role()) {
            (Self::Owner | Self::Party, Some(Role::Shopper)) if caller == Caller::Other => ABSENT,
            (Self::Shopper | Self::Owner, Some(Role::Shopper)) => Verdict::In,
            (Self::Seller, Some(Role::Seller)) | (Self::Operator, Some(Role::Operator)) => Verdict::In,
            (Self::Known | Self::AnyoneOrKnown | Self::Party, _) => Verdict::In,
            _ => FORBIDDEN,
        }
    }
}

impl Verdict {
    fn cell(self) -> String {
        match self {
            Self::In => "in".to_owned(),
            FORGED => "403 forged".to_owned(),
            Self::No(status, _) => status.to_string(),
        }
    }

    /// That the answer is this verdict.
    fn check(self, answer: &Answer, owned: bool, what: &str) {
        match self {
            Self::No(status, slug) => {
                assert_eq!(
                    answer.status,
                    status,
                    "{what}: {}",
                    String::from_utf8_lossy(&answer.bytes)
                );
                let problem = answer.expect_problem(status, slug);
                assert!(problem["detail"].is_string(), "{what}");
                if self == BAD_TOKEN {
                    let challenge = answer.header("www-authenticate").unwrap();
                    assert!(
                        challenge.contains("error=\"invalid_token\""),
                        "{what}: {challenge}"
                    );
                }
            }
            Self::In => {
                let said = String::from_utf8_lossy(&answer.bytes);
                let refused = [400, 401, 403, 405, 415, 429, 503].contains(&answer.status);
                assert!(
                    !refused && answer.status < 500,
                    "{what}: {} {said}",
                    answer.status
                );
                assert!(!owned || answer.status != 404, "{what}: it is there for them");
            }
        }
    }
}

/// A route as its document describes it.
struct Route<'a> {
    name: String,
    method: Method,
    path: &'a str,
    operation: &'a Value,
}

fn routes(document: &Value) -> Vec<Route<'_>> {
    let mut routes = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let method: Method = method.to_uppercase().parse().unwrap();
            routes.push(Route {
                name: format!("{method} {path}"),
                method,
                path,
                operation,
            });
        }
    }
    routes
}

impl Route<'_> {
    /// The call that the document shows, about `order` where it is about one.
    fn call(&self, order: &str, key: &str, by: &Person) -> Call {
        let mut path = self.path.to_owned();
        let mut headers = Vec::new();
        for parameter in self.operation["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            let example = match &parameter["example"] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            match parameter["in"].as_str().unwrap() {
                "path" if path.contains("/orders/{id}") => path = path.replace("{id}", order),
                "path" => path = path.replace(&format!("{{{name}}}"), &example),
                "header" if name == "Idempotency-Key" => headers.push((name, key.to_owned())),
                "header" if parameter["required"] == true => headers.push((name, example)),
                _ => {}
            }
        }
        assert!(!path.contains('{'), "{} names every part of its path", self.name);
        let mut call = Call::new(self.method.clone(), path);
        for (name, value) in headers {
            call = call.header(name, value);
        }
        let content = self.operation["requestBody"]["content"].as_object();
        let Some((media, body)) = content.and_then(|content| content.iter().next()) else {
            return call;
        };
        let body = match self.name.as_str() {
            "POST /v1/sessions" => by.credentials(),
            "PUT /v1/me/password" => {
                let password = &by.credentials()["password"];
                json!({"current_password": password, "new_password": password})
            }
            "POST /v1/customers" => {
                json!({"email": format!("{key}@example.org"), "password": "correct horse battery", "name": "A"})
            }
            // Nobody's role is to change while others are looking at it.
            "PUT /ops/v1/roles" => json!({"email": by.email, "role": "operator"}),
            _ => body["example"].clone(),
        };
        call.raw(media, body.to_string())
    }
}

/// An order of the shopper's.
pub async fn order_of(shop: &'static Shop, person: &Person) -> String {
    let token = person.token(shop).await;
    let sku = shop.product(1_000, 5).await;
    shop.put(&token, &sku, 1).await.expect(200);
    let placed = shop
        .ask(shop.checkout(&token, &shop.fresh("order"), "tok_approve"))
        .await
        .expect(202);
    let order = placed["order_id"].as_str().unwrap().to_owned();
    shop.order_in(&token, &order, "confirmed").await;
    order
}

#[tokio::test]
async fn every_route_refuses_whom_it_is_not_for() {
    let shop = shop().await;
    let document = shop.ask(Call::get("/openapi.json")).await.expect(200);
    let routes = routes(&document);
    let served: BTreeSet<&str> = routes.iter().map(|route| route.name.as_str()).collect();
    let known: BTreeSet<&str> = ROUTES.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        served, known,
        "each route has a line in tests/it/security/policy.rs"
    );

    let people = People::gather(shop).await;
    let order = order_of(shop, &people.shopper).await;
    let mut rows = Vec::new();
    for (name, door) in ROUTES {
        let route = routes.iter().find(|route| route.name == *name).unwrap();
        let mut row = vec![format!("`{name}`")];
        for caller in Caller::ALL {
            let right = match caller.role() {
                Some(_) if caller == Caller::Other => &people.other,
                Some(role) => people.with(role),
                None => people.with(door.right()),
            };
            let call = route.call(&order, &shop.fresh("matrix"), right);
            let call = caller.show(call, shop, &people, right).await;
            let answer = shop.ask(call).await;
            let verdict = door.verdict(caller, route.method.is_safe());
            let owned = matches!(door, Door::Owner | Door::Party);
            verdict.check(&answer, owned, &format!("{name} by {}", caller.name()));
            row.push(verdict.cell());
        }
        rows.push(row);
    }
    let mut head = vec!["Route"];
    head.extend(Caller::ALL.map(Caller::name));
    compare("routes", &table(&head, &rows));
}

#[tokio::test]
async fn a_token_of_the_test_is_good_but_for_what_is_wrong_with_it() {
    let shop = shop().await;
    let people = People::gather(shop).await;
    let me = |token: String| Call::get("/v1/me").by(&token);
    let good = people.shopper.signed_token(shop).await;
    shop.ask(me(good)).await.expect(200);
    let opened = people.shopper.token(shop).await;
    shop.ask(me(opened)).await.expect(200);
    let expired = people.shopper.expired_token(shop).await;
    shop.ask(me(expired)).await.expect_problem(401, "invalid-token");
}

#[tokio::test]
async fn what_is_for_this_machine_is_not_for_who_comes_through_a_proxy_of_it() {
    let shop = shop().await;
    for path in ["/metrics", "/dev/mail.json?to=ada@example.org"] {
        assert_eq!(shop.ask(Call::get(path)).await.status, 200, "{path}");
        for header in ["x-forwarded-for", "forwarded", "x-real-ip", "via"] {
            let passed_on = Call::get(path).header(header, "127.0.0.1");
            shop.ask(passed_on).await.expect_problem(404, "not-found");
        }
    }
}

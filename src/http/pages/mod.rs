//! The storefront: pages rendered by the server, which work without JavaScript.
//!
//! [`model`] says what each page shows; the templates in `templates/` say how. A page never holds
//! a rule of the shop: to show something its handler asks an actor or a view and fills the model,
//! and what a form changes it changes through the API ([`api`]), in the words of a program, so both
//! have the same rules, the same keys and the same refusals.
//!
//! Reading order: [`visit`] (one request of a browser), [`session`] (whose it is), [`post`] (a form
//! that was sent), [`fault`] (how a page says no), [`shell`] (around every page); then one file per
//! noun.
//!
//! **Invariants:**
//! - A GET changes nothing; a POST answers with 303, or with its form and what was wrong with it.
//! - A page for somebody without a session is the same for everybody, so it may be cached.
//! - A form counts only if it came from our own origin, and with the session's token if there is one.

pub mod model;

mod account;
mod amount;
mod answer;
mod api;
mod attribute;
mod cart;
mod category;
mod checkout;
mod country;
mod fault;
mod home;
mod link;
mod listing;
mod mail;
mod order;
mod password;
mod picture;
mod post;
mod product;
mod search;
mod seller_order;
mod seller_product;
mod seller_stock;
mod session;
mod shell;
mod sign_in;
mod text;
mod visit;

#[cfg(test)]
mod preview;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

use super::problem::Problem;
use super::{Edge, asset};

pub(super) use fault::{is_page_request, write_early};
use visit::{Storefront, receive};

/// Every page, and the page for addresses that nobody has. For [`Edge::router`].
pub fn routes(edge: &Edge) -> Router<Edge> {
    let storefront = Arc::new(Storefront::new(edge.clone()));
    Router::new()
        .route("/", get(home::show))
        .route("/c/{slug}", get(category::show))
        .route("/search", get(search::show))
        .route("/p/{slug}", get(product::show))
        .route("/cart", get(cart::show))
        .route("/cart/add", post(cart::add))
        .route("/cart/update", post(cart::update))
        .route("/cart/remove", post(cart::remove))
        .route("/checkout", get(checkout::show).post(checkout::send))
        .route("/orders/{id}", get(order::show))
        .route("/orders/{id}/cancel", post(order::cancel))
        .route("/orders/{id}/confirm-payment", post(order::confirm_payment))
        .route("/sign-in", get(sign_in::show).post(sign_in::sign_in))
        .route("/register", post(sign_in::register))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/password-reset", get(password::ask).post(password::request))
        .route(
            "/password-reset/{token}",
            get(password::choose).post(password::reset),
        )
        .route("/account", get(account::show))
        .route("/account/orders", get(account::orders))
        .route("/account/password", post(password::change))
        .route("/seller/orders", get(seller_order::list))
        .route("/seller/orders/{id}", get(seller_order::show))
        .route("/seller/orders/{id}/slip", get(seller_order::slip))
        .route("/seller/orders/{id}/{step}", post(seller_order::step))
        .route(
            "/seller/products",
            get(seller_product::list).post(seller_product::create),
        )
        .route("/seller/products/new", get(seller_product::draft))
        .route(
            "/seller/products/{id}",
            get(seller_product::show).post(seller_product::edit),
        )
        .route("/seller/products/{id}/price", post(seller_product::set_price))
        .route("/seller/products/{id}/published", post(seller_product::publish))
        .route(
            "/seller/stock",
            get(seller_stock::show).post(seller_stock::adjust),
        )
        .route("/imprint", get(text::imprint))
        .route("/privacy", get(text::privacy))
        .route("/returns", get(text::returns))
        .route("/problems/{slug}", get(text::problem))
        .route("/docs", get(text::docs))
        .route("/dev/mail", get(mail::list))
        .route("/dev/mail.json", get(mail::list_json))
        .route("/dev/mail/{number}", get(mail::show))
        .fallback(nowhere)
        .layer(from_fn_with_state(storefront, receive))
        .route("/art/{file}", get(picture::draw))
        .route(asset::ROUTE, get(asset::serve))
}

async fn nowhere() -> Problem {
    Problem::not_found()
}

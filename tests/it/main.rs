//! The shop from outside and its rooms against the real thing: real nodes, real PostgreSQL.
//!
//! One binary, a module per noun. Tests wait for states, never for time to pass.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::large_futures,
    reason = "a test that cannot go on says so by panicking, and runs once"
)]

mod account;
mod bad_input;
mod browser;
mod clinic;
mod database;
mod dead_letter;
mod edge;
mod embedded;
mod eventually;
mod faults;
mod fuzz;
mod history;
mod http_cart;
mod http_catalogue;
mod http_checkout;
mod http_identity;
mod http_input;
mod http_order;
mod journal;
mod live;
mod mail_server;
mod overload;
mod page_safety;
mod page_seller;
mod page_shopper;
mod refused_row;
mod saga;
mod scratch;
mod security;
#[path = "../shop/mod.rs"]
mod shop;
mod tidy;
mod view_catalogue;
mod view_group;
mod view_order;
mod view_relevance;
mod view_search;

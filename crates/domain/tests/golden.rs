//! Every stored shape ever shipped still decodes, to the same meaning.
//!
//! `golden/` holds one file per entity and version: histories as they lie in journals out there. A
//! file is never changed; a new shape gets a new file.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::path::PathBuf;

use globalshop_domain::entity::{Entity, replay};
use globalshop_domain::{cart::Cart, order::Order, product::Product, stock::Stock};

fn decodes<E: Entity>(name: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    let stored: serde_json::Value = serde_json::from_str(&text).unwrap();
    let events: Vec<E::Event> = serde_json::from_value(stored["events"].clone()).unwrap();
    assert!(!events.is_empty());
    let state = serde_json::to_value(replay::<E>(&events)).unwrap();
    assert_eq!(state, stored["state"], "{name} means what it always meant");
}

#[test]
fn carts_of_version_1_decode() {
    decodes::<Cart>("cart_v1.json");
}

#[test]
fn orders_of_version_1_decode() {
    for life in ["order", "order_cancelled", "order_declined", "order_voided"] {
        decodes::<Order>(&format!("{life}_v1.json"));
    }
}

#[test]
fn products_of_version_1_decode() {
    decodes::<Product>("product_v1.json");
}

#[test]
fn stocks_of_version_1_decode() {
    decodes::<Stock>("stock_v1.json");
}

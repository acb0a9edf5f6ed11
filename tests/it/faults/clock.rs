//! The wall clock jumps under a running node.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use super::node::Node;
use super::shoppers::Shoppers;
use super::tools::{holds_for, missing};
use crate::eventually::eventually;

/// What puts the clock of a process on, if it is here: where Debian and Ubuntu put it.
fn faketime() -> Option<PathBuf> {
    let library = format!(
        "/usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1",
        std::env::consts::ARCH
    );
    Some(PathBuf::from(library)).filter(|library| library.exists())
}

/// An hour forward, back again, and two hours back: no hold ends early, nobody is signed out, no
/// deadline is forgotten, and nothing fails.
#[tokio::test(flavor = "multi_thread")]
async fn a_wall_clock_that_jumps_ends_no_hold_and_signs_nobody_out() {
    let what = "a jump of the wall clock";
    let Some(faketime) = faketime() else {
        missing(what, "faketime");
        return;
    };
    let mut node = Node::closed(&[]).await;
    let offset = node.folder().join("offset");
    set(&offset, "+0");
    node.environment("LD_PRELOAD", faketime.to_str().unwrap());
    node.environment("FAKETIME_TIMESTAMP_FILE", offset.to_str().unwrap());
    node.environment("FAKETIME_CACHE_DURATION", "1");
    node.environment("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    node.start().await;

    let (guest, sku) = (node.guest().await, node.sku().await);
    let mut shoppers = Shoppers::enter(&node);
    for (jumps, jump) in ["+3600", "+0", "-7200"].into_iter().enumerate() {
        // A shopper who is about to confirm a payment: a quarter of an hour is left for it.
        let order = node.check_out(&guest, &sku, "tok_3ds").await;
        eventually("the payment wants an action", async || {
            let now = node.order(&guest, &order).await;
            match now["payment"]["status"].as_str() {
                Some("requires_action") => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        set(&offset, jump);
        // The first jump and the last take the machine away from the shop, the one between back to it.
        let (noticed, times) = match jumps {
            0 => ("the machine's clock was set", 1),
            1 => ("has caught up with the machine's clock", 1),
            _ => ("the machine's clock was set", 2),
        };
        eventually("the jump is noticed", async || {
            let told = node.told().matches(noticed).count();
            if told == times { Ok(()) } else { Err(told) }
        })
        .await;
        shoppers.buy(10).await;
        // Timers look at the clock every five seconds at least.
        holds_for("the hold is kept", Duration::from_secs(7), async || {
            node.order(&guest, &order).await["status"] == "pending"
        })
        .await;
        let path = format!("/v1/orders/{order}/confirm-payment");
        let confirm = json!({"outcome": "succeed"});
        node.ask(Method::POST, &path, Some(&guest), Some(&confirm)).await;
        node.order_is(&guest, &order, "confirmed").await;
        // The old token and a new one are both good.
        assert_eq!(node.put(&guest, &sku).await, Some(200));
        assert_eq!(node.put(&node.guest().await, &sku).await, Some(200));
    }
    let report = shoppers.leave().await;
    assert_eq!(report["outages"]["calls"], 0, "a jump of the clock is no outage");
    node.audit(Some(shoppers.acks())).await;
    node.stop().await;
}

/// Puts the node's wall clock on; at once or not at all, for it is being read.
fn set(offset: &Path, to: &str) {
    let fresh = offset.with_extension("fresh");
    std::fs::write(&fresh, format!("{to}\n")).unwrap();
    std::fs::rename(fresh, offset).unwrap();
}

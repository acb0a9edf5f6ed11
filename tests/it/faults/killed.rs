//! The node itself: killed, and stopped in the middle of everything.

use std::time::Duration;

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::node::Node;
use super::shoppers::{Shoppers, outages};
use super::tools::{holds_for, signal};
use crate::eventually::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_node_comes_back_with_everything_it_acknowledged() {
    let mut node = Node::open(&[]).await;
    let mut shoppers = Shoppers::enter(&node);
    shoppers.buy(30).await;
    node.kill();
    node.start().await;
    shoppers.buy(30).await;
    // And once while it is still recovering from the last time.
    node.kill();
    node.launch();
    eventually("its PostgreSQL is coming back", async || {
        (!node.database_processes().is_empty())
            .then_some(())
            .ok_or("not yet")
    })
    .await;
    node.kill();
    node.start().await;
    shoppers.buy(30).await;
    let report = shoppers.leave().await;
    assert!(outages(&report) > 0, "no call met the outage");
    node.audit(Some(shoppers.acks())).await;
    node.stop().await;
}

/// A stopped node answers late or not at all; nothing it says afterwards is wrong, and nothing that it
/// measures time by has run away.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_stopped_for_a_while_goes_on_as_if_nothing_had_been() {
    let mut node = Node::open(&[]).await;
    let mut shoppers = Shoppers::enter(&node);
    for pause in [200, 1_500, 8_000] {
        shoppers.buy(20).await;
        signal(node.pid(), Signal::STOP);
        // What was on its way when it stopped arrives; then nobody is answered.
        let mut last = (shoppers.acknowledged(), 0);
        eventually("it stands still", async || {
            let now = shoppers.acknowledged();
            last = if now == last.0 {
                (now, last.1 + 1)
            } else {
                (now, 0)
            };
            if last.1 == 3 { Ok(()) } else { Err(now) }
        })
        .await;
        holds_for(
            "a stopped node answers nobody",
            Duration::from_millis(pause),
            async || shoppers.acknowledged() == last.0,
        )
        .await;
        signal(node.pid(), Signal::CONT);
        shoppers.buy(20).await;
        assert!(node.is_running(), "the node ended after {pause} ms");
    }
    shoppers.leave().await;
    node.audit(Some(shoppers.acks())).await;
    node.stop().await;
}

/// PostgreSQL is there and answers nobody: the node lives, is not ready, and says what it waits for.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_database_does_not_answer_is_not_ready() {
    let mut node = Node::open(&[]).await;
    let (guest, sku) = (node.guest().await, node.sku().await);
    assert_eq!(node.put(&guest, &sku).await, Some(200));
    assert_eq!(node.readiness().await, (200, Value::Null));
    let database = node.database_processes();
    for pid in &database {
        signal(*pid, Signal::STOP);
    }
    eventually("it is not ready", async || match node.readiness().await {
        (503, missing) if missing == json!(["the database"]) => Ok(()),
        other => Err(other),
    })
    .await;
    holds_for(
        "it stays alive and not ready",
        Duration::from_secs(3),
        async || {
            let health = node.call(Method::GET, "/healthz", None, None).await;
            health.unwrap().status() == 200 && node.readiness().await.0 == 503
        },
    )
    .await;
    for pid in &database {
        signal(*pid, Signal::CONT);
    }
    eventually("it is ready again", async || match node.readiness().await {
        (200, _) => Ok(()),
        other => Err(other),
    })
    .await;
    node.writes_again(&guest, &sku).await;
    node.audit(None).await;
    node.stop().await;
}

//! The disk under PostgreSQL: slow, failing.

use globalshop::clock::Clock;

use super::node::Node;
use super::shoppers::Shoppers;
use super::tools::{Traced, has};
use crate::eventually::eventually;

/// A commit takes fifty times as long: batches grow, orders go on, nothing times out.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_disk_makes_batches_larger_and_nothing_fail() {
    if !has("a slow disk", "strace", "strace") {
        return;
    }
    let mut node = Node::open(&[]).await;
    let mut shoppers = Shoppers::enter(&node);
    shoppers.buy(30).await;
    let slow = Traced::inject(&node.database_processes(), "fsync,fdatasync", "delay_exit=50000").await;
    let clock = Clock::system();
    let begun = clock.instant();
    shoppers.buy(60).await;
    println!(
        "60 acknowledged in {:?} with 50 ms a sync",
        clock.instant() - begun
    );
    drop(slow);
    shoppers.buy(30).await;
    let report = shoppers.leave().await;
    assert_eq!(report["outages"]["calls"], 0, "a slow disk is no outage");
    node.audit(Some(shoppers.acks())).await;
    node.stop().await;
}

/// PostgreSQL does not go on after a sync that failed: it ends every connection and recovers from its
/// log. For the node that is a server that was killed.
#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_fails_is_a_crash_of_postgres_and_nothing_more() {
    if !has("a failing disk", "strace", "strace") {
        return;
    }
    let mut node = Node::open(&[]).await;
    let (guest, sku) = (node.guest().await, node.sku().await);
    let mut shoppers = Shoppers::enter(&node);
    shoppers.buy(30).await;
    let postmaster = node.postmaster();
    // Those at work, and nobody who comes after them.
    let mut backends = node.database_processes();
    backends.retain(|pid| *pid != postmaster);
    let failing = Traced::inject(&backends, "fsync,fdatasync", "error=EIO").await;
    eventually("PostgreSQL panics", async || {
        node.told().contains("PANIC").then_some(()).ok_or("not yet")
    })
    .await;
    drop(failing);
    let back = node.writes_again(&guest, &sku).await;
    println!("a failing sync: written again {back:?} after PostgreSQL gave up");
    shoppers.buy(30).await;
    shoppers.leave().await;
    node.audit(Some(shoppers.acks())).await;
    node.stop().await;
}

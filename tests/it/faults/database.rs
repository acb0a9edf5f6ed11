//! PostgreSQL: killed, told to end a connection, restarted, out of connections.

use std::time::Duration;

use globalshop::embedded::Embedded;
use reqwest::Method;
use rustix::process::Signal;
use sqlx::{ConnectOptions as _, PgConnection};

use super::node::Node;
use super::shoppers::{Shoppers, outages};
use super::tools::{holds_for, signal};
use crate::eventually::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_postgres_is_brought_back_by_the_node() {
    let mut node = Node::open(&[]).await;
    let (guest, sku) = (node.guest().await, node.sku().await);
    let mut shoppers = Shoppers::enter(&node);
    for _ in 0..2 {
        shoppers.buy(30).await;
        let killed = node.postmaster();
        signal(killed, Signal::KILL);
        eventually("another server", async || {
            let noted = std::fs::read_to_string(node.data().join("postgres/postmaster.pid"));
            match noted {
                Ok(noted) if !noted.starts_with(&format!("{killed}\n")) => Ok(()),
                _ => Err("not yet"),
            }
        })
        .await;
        let back = node.writes_again(&guest, &sku).await;
        println!("PostgreSQL killed: written again {back:?} after its successor began");
    }
    let report = shoppers.leave().await;
    assert!(outages(&report) > 0, "no call met the outage");
    node.audit(Some(shoppers.acks())).await;
    node.stop().await;
}

/// The connection of an append in flight is ended: its outcome is unknown, and only the journal knows.
#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_is_ended_in_the_middle_of_an_append_costs_nothing() {
    let mut node = Node::open(&[]).await;
    let mut shoppers = Shoppers::enter_with(&node, &["--shoppers", "12"]);
    let mut admin = node.database().await;
    let mut ended = 0;
    for _ in 0..12 {
        shoppers.buy(10).await;
        // As soon as one is at work.
        ended += eventually("an append in flight", async || {
            match end_writers(&mut admin).await {
                0 => Err("none"),
                some => Ok(some),
            }
        })
        .await;
    }
    assert!(ended >= 12);
    let recoveries = node.told().matches("the shard recovers").count();
    assert!(recoveries > 0, "no shard recovered: no append was in flight");
    println!("{ended} writers ended, {recoveries} recoveries of shards");
    drop(admin);
    shoppers.leave().await;
    node.audit(Some(shoppers.acks())).await;
    node.stop().await;
}

/// Views commit before they are durable, so a crash takes their last rows back, also in a shard where
/// nothing happens afterwards. Here the same is done by hand.
#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_was_thrown_back_catches_up_where_nothing_happens_any_more() {
    let mut node = Node::open(&[]).await;
    let (guest, sku) = (node.guest().await, node.sku().await);
    let order = node.check_out(&guest, &sku, "tok_approve").await;
    node.order_is(&guest, &order, "confirmed").await;
    let listed = async || {
        let page = node.ask(Method::GET, "/v1/orders", Some(&guest), None).await;
        page["items"][0]["status"].as_str().map(str::to_owned)
    };
    eventually("the order is listed", async || match listed().await.as_deref() {
        Some("confirmed") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let mut admin = node.database().await;
    sqlx::raw_sql(
        "begin; delete from order_summary;
         update view_position set position = 0 where view = 'orders'; commit",
    )
    .execute(&mut admin)
    .await
    .unwrap();
    assert_eq!(listed().await, None);
    eventually("the order is listed again", async || {
        match listed().await.as_deref() {
            Some("confirmed") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    drop(admin);
    node.audit(None).await;
    node.stop().await;
}

/// Ends the writers that are at work.
async fn end_writers(admin: &mut PgConnection) -> i64 {
    sqlx::query_scalar(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity
         where application_name like 'globalshop writer%' and state = 'active'",
    )
    .fetch_one(admin)
    .await
    .unwrap()
}

/// A database of the test's own, as an operator has one elsewhere: restarted in good order, and away
/// for a while.
#[tokio::test(flavor = "multi_thread")]
async fn an_external_postgres_may_restart_under_the_node() {
    // A filled shop, whose database the test runs from here on.
    let filled = Node::closed(&[]).await;
    let server = Embedded::start(&filled.data()).await.unwrap();
    let socket = filled.data().join("socket");
    let mut node = Node::bare();
    node.use_database(&format!(
        "postgres://postgres@localhost/globalshop?host={}",
        socket.display()
    ));
    node.start().await;
    let (guest, sku) = (node.guest().await, node.sku().await);
    let mut shoppers = Shoppers::enter(&node);
    shoppers.buy(30).await;
    server.stop().await;
    eventually("the node says that it cannot write", async || {
        match node.put(&guest, &sku).await {
            Some(503) => Ok(()),
            other => Err(other),
        }
    })
    .await;
    // Long enough for everything that gives up after a number of tries to have tried often.
    holds_for(
        "the node lives and says 503",
        Duration::from_secs(8),
        async || node.put(&guest, &sku).await == Some(503),
    )
    .await;
    assert!(node.is_running(), "the node gave up");
    let server = Embedded::start(&filled.data()).await.unwrap();
    let back = node.writes_again(&guest, &sku).await;
    println!("PostgreSQL away for 8 s: written again {back:?} after it was back");
    assert!(back < Duration::from_secs(10), "{back:?}");
    shoppers.buy(30).await;
    let report = shoppers.leave().await;
    assert!(outages(&report) > 0, "no call met the outage");
    node.audit(Some(shoppers.acks())).await;
    node.stop().await;
    server.stop().await;
}

/// Others have taken every connection and the node has lost its own.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_others_have_taken_are_waited_for() {
    let mut node = Node::open(&[]).await;
    let (guest, sku) = (node.guest().await, node.sku().await);
    let mut shoppers = Shoppers::enter(&node);
    shoppers.buy(30).await;
    let mut admin = node.database().await;
    // The node's connections go, and are taken before it has new ones: again until that is so.
    let mut others: Vec<PgConnection> = Vec::new();
    eventually("no connection is left", async || {
        let ended: i64 = sqlx::query_scalar(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity
             where application_name like 'globalshop%' and pid <> pg_backend_pid()",
        )
        .fetch_one(&mut admin)
        .await
        .unwrap();
        while let Ok(other) = node.database_options().connect().await {
            others.push(other);
        }
        if ended == 0 { Ok(()) } else { Err(ended) }
    })
    .await;
    eventually("the node says that it cannot write", async || {
        match node.put(&guest, &sku).await {
            Some(503) => Ok(()),
            other => Err(other),
        }
    })
    .await;
    // What is in memory is served all the same.
    assert!(node.shows_products().await);
    println!("{} connections taken by others", others.len());
    drop(others);
    let back = node.writes_again(&guest, &sku).await;
    println!("connections given back: written again after {back:?}");
    drop(admin);
    shoppers.buy(30).await;
    shoppers.leave().await;
    node.audit(Some(shoppers.acks())).await;
    node.stop().await;
}

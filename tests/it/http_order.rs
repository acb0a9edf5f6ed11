//! Orders over HTTP: who sees them, and each step after the checkout.

use serde_json::{Value, json};

use crate::edge::{Answer, Call, Shop, eur, shop};
use crate::eventually::eventually;

/// A guest with an order of two units; its token, the order, the SKU.
async fn ordered(shop: &Shop, payment: &str) -> (String, String, String) {
    let (token, sku) = (shop.guest().await, shop.product(3_000, 10).await);
    shop.put(&token, &sku, 2).await.expect(200);
    let placed = shop.ask(shop.checkout(&token, "k", payment)).await.expect(202);
    (token, placed["order_id"].as_str().unwrap().to_owned(), sku)
}

async fn step(shop: &Shop, order: &str, step: &str, key: &str, body: Option<Value>) -> Answer {
    let call = Call::post(format!("/v1/seller/orders/{order}/{step}"))
        .by(&shop.seller)
        .key(key);
    shop.ask(match body {
        Some(body) => call.json(&body),
        None => call,
    })
    .await
}

#[tokio::test]
async fn only_its_owner_and_staff_see_an_order() {
    let shop = shop().await;
    let (token, id, _) = ordered(shop, "tok_approve").await;
    let read = Call::get(format!("/v1/orders/{id}"));
    for who in [&token, &shop.seller, &shop.operator] {
        assert_eq!(
            shop.ask(read.clone().by(who)).await.expect(200)["order_id"],
            id.as_str()
        );
    }
    let stranger = shop.guest().await;
    let theirs = shop
        .ask(read.clone().by(&stranger))
        .await
        .expect_problem(404, "not-found");
    let absent = Call::get("/v1/orders/6f1f8c8e-4f3c-5d0a-9a51-0c9d3f7a2b10").by(&stranger);
    let nobodys = shop.ask(absent).await.expect_problem(404, "not-found");
    assert_eq!(
        (&theirs["detail"], &theirs["title"]),
        (&nobodys["detail"], &nobodys["title"])
    );
    shop.ask(read.clone())
        .await
        .expect_problem(401, "unauthenticated");
    for id in ["x", "%00", &id.to_uppercase(), &format!("{{{id}}}")] {
        let call = Call::get(format!("/v1/orders/{id}")).by(&token);
        assert!(matches!(shop.ask(call).await.status, 404), "{id}");
    }
    let cancel = Call::post(format!("/v1/orders/{id}/cancel")).key("c");
    shop.ask(cancel.clone().by(&stranger))
        .await
        .expect_problem(404, "not-found");
    shop.ask(cancel.by(&shop.seller))
        .await
        .expect_problem(403, "forbidden");
}

#[tokio::test]
async fn lists_include_the_write_they_are_told_of() {
    let shop = shop().await;
    let (token, sku) = (shop.guest().await, shop.product(3_000, 10).await);
    let mut ids = Vec::new();
    for key in ["1", "2", "3"] {
        shop.put(&token, &sku, 1).await.expect(200);
        let placed = shop.ask(shop.checkout(&token, key, "tok_approve")).await;
        let position = placed.header("position").unwrap().to_owned();
        ids.insert(0, placed.expect(202)["order_id"].clone());
        let list = shop
            .ask(Call::get("/v1/orders").by(&token).header("position", position))
            .await;
        if list.header("age").is_none() {
            assert_eq!(list.expect(200)["items"][0]["order_id"], ids[0]);
        }
    }
    let all = eventually("the list has all orders", async || {
        let list = shop
            .ask(Call::get("/v1/orders?limit=2").by(&token))
            .await
            .expect(200);
        if list["next_cursor"].is_string() {
            Ok(list)
        } else {
            Err(list)
        }
    })
    .await;
    let cursor = all["next_cursor"].as_str().unwrap();
    let rest = shop
        .ask(Call::get(format!("/v1/orders?limit=2&cursor={cursor}")).by(&token))
        .await
        .expect(200);
    let items = all["items"]
        .as_array()
        .unwrap()
        .iter()
        .chain(rest["items"].as_array().unwrap());
    assert_eq!(
        items.map(|item| item["order_id"].clone()).collect::<Vec<_>>(),
        ids
    );
    assert_eq!(rest["next_cursor"], Value::Null);
    // A cursor is good for the list it came from.
    let stranger = shop.guest().await;
    let foreign = Call::get(format!("/v1/orders?cursor={cursor}")).by(&stranger);
    shop.ask(foreign).await.expect_problem(400, "malformed-request");

    let sellers = shop
        .ask(Call::get("/v1/seller/orders?status=pending&limit=1").by(&shop.seller))
        .await
        .expect(200);
    assert!(sellers["items"].is_array());
    let list = |query: &str| Call::get(format!("/v1/seller/orders{query}"));
    shop.ask(list("?status=lost").by(&shop.seller))
        .await
        .expect_problem(422, "invalid-input");
    shop.ask(list("").by(&token))
        .await
        .expect_problem(403, "forbidden");
    shop.ask(list("")).await.expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn an_order_is_packed_shipped_and_delivered() {
    let shop = shop().await;
    let (token, id, sku) = ordered(shop, "tok_approve").await;
    shop.order_in(&token, &id, "confirmed").await;
    let parcel = json!({"carrier": "DHL", "tracking_number": "0034"});
    step(shop, &id, "ship", "early", Some(parcel.clone()))
        .await
        .expect_problem(409, "wrong-order-status");
    let packed = step(shop, &id, "pack", "p", None).await;
    assert_eq!(packed.expect(200)["status"], "packed");
    let again = step(shop, &id, "pack", "p", Some(json!({}))).await;
    assert_eq!(
        (again.status, &again.bytes),
        (200, &packed.bytes),
        "no body and {{}} are the same"
    );
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let cancel = Call::post(format!("/v1/orders/{id}/cancel"))
        .by(&token)
        .key("late");
    let refused = shop.ask(cancel).await.expect_problem(409, "wrong-order-status");
    assert_eq!(refused["order_status"], "packed");
    let shipped = step(shop, &id, "ship", "s", Some(parcel)).await.expect(200);
    assert_eq!(shipped["status"], "shipped");
    assert_eq!(shipped["shipments"][0]["tracking_number"], "0034");
    let delivered = step(shop, &id, "deliver", "d", None).await.expect(200);
    assert_eq!(delivered["status"], "delivered");
    assert_eq!(
        step(shop, &id, "pack", "p", None).await.bytes,
        packed.bytes,
        "as it was then"
    );
    eventually("the units have left the house", async || {
        let stock = shop
            .ask(Call::get(format!("/v1/stock/{sku}")).by(&shop.seller))
            .await
            .expect(200);
        if stock["on_hand"] == 8 && stock["sold"] == 0 {
            Ok(())
        } else {
            Err(stock)
        }
    })
    .await;

    for (name, body) in [
        ("pack", json!({"x": 1})),
        ("ship", json!({})),
        ("ship", json!({"carrier": "", "tracking_number": "1"})),
        ("cancel", json!({})),
    ] {
        step(shop, &id, name, "bad", Some(body))
            .await
            .expect_problem(422, "invalid-input");
    }
    step(shop, "6f1f8c8e-4f3c-5d0a-9a51-0c9d3f7a2b10", "pack", "x", None)
        .await
        .expect_problem(404, "not-found");
    let shopper = Call::post(format!("/v1/seller/orders/{id}/deliver"))
        .by(&token)
        .key("x");
    shop.ask(shopper).await.expect_problem(403, "forbidden");
}

#[tokio::test]
async fn refunds_never_exceed_what_was_captured() {
    let shop = shop().await;
    let (token, id, _) = ordered(shop, "tok_approve").await;
    shop.order_in(&token, &id, "confirmed").await;
    step(shop, &id, "pack", "p", None).await.expect(200);
    let refund = |amount: Value, key: &'static str| {
        let body = json!({"amount": amount, "reason": "scratched"});
        let id = id.clone();
        async move { step(shop, &id, "refunds", key, Some(body)).await }
    };
    refund(eur(2_000), "r1").await.expect(200);
    refund(eur(2_000), "r1").await.expect(200);
    let partly = eventually("the first refund is done", async || {
        let order = shop
            .ask(Call::get(format!("/v1/orders/{id}")).by(&token))
            .await
            .expect(200);
        if order["payment"]["status"] == "partially_refunded" {
            Ok(order)
        } else {
            Err(order)
        }
    });
    assert_eq!(partly.await["payment"]["refunded"], eur(2_000));
    let refused = refund(eur(4_001), "r2")
        .await
        .expect_problem(409, "refund-too-large");
    assert_eq!(refused["refundable"], eur(4_000));
    for bad in [eur(0), eur(-5), json!({"amount": 5, "currency": "USD"})] {
        refund(bad, "r3").await.expect_problem(422, "invalid-input");
    }
    refund(eur(4_000), "r4").await.expect(200);
    let refunded = shop.order_in(&token, &id, "refunded").await;
    assert_eq!(refunded["payment"]["status"], "refunded");
}

#[tokio::test]
async fn a_confirmed_order_can_be_cancelled_and_everything_returns() {
    let shop = shop().await;
    for by_seller in [false, true] {
        let (token, id, sku) = ordered(shop, "tok_approve").await;
        shop.order_in(&token, &id, "confirmed").await;
        if by_seller {
            step(shop, &id, "cancel", "c", Some(json!({"reason": "damaged"})))
                .await
                .expect(200);
        } else {
            let cancel = Call::post(format!("/v1/orders/{id}/cancel")).by(&token).key("c");
            let first = shop.ask(cancel.clone()).await;
            first.expect(202);
            let again = shop.ask(cancel).await;
            assert_eq!((again.status, &again.bytes), (202, &first.bytes));
        }
        eventually("the money and the units return", async || {
            let order = shop
                .ask(Call::get(format!("/v1/orders/{id}")).by(&token))
                .await
                .expect(200);
            let stock = shop
                .ask(Call::get(format!("/v1/stock/{sku}")).by(&shop.seller))
                .await
                .expect(200);
            let whole = order["payment"]["status"] == "refunded" && stock["available"] == 10;
            if whole && order["status"] == "cancelled" {
                Ok(())
            } else {
                Err((order, stock))
            }
        })
        .await;
        let order = shop
            .ask(Call::get(format!("/v1/orders/{id}")).by(&token))
            .await
            .expect(200);
        let reason = if by_seller { "by_seller" } else { "by_shopper" };
        assert_eq!(
            order["history"].as_array().unwrap().last().unwrap()["detail"],
            reason
        );
    }
}

#[tokio::test]
async fn a_declined_payment_leaves_nothing_behind() {
    let shop = shop().await;
    let (token, id, sku) = ordered(shop, "tok_decline").await;
    let order = shop.order_in(&token, &id, "cancelled").await;
    assert_eq!(order["payment"]["status"], "declined");
    assert_eq!(
        order["history"].as_array().unwrap().last().unwrap()["detail"],
        "payment_declined"
    );
    eventually("the units return", async || {
        let stock = shop
            .ask(Call::get(format!("/v1/stock/{sku}")).by(&shop.seller))
            .await
            .expect(200);
        if stock["available"] == 10 {
            Ok(())
        } else {
            Err(stock)
        }
    })
    .await;
}

#[tokio::test]
async fn a_confirm_step_is_gone_through_once() {
    let shop = shop().await;
    for (outcome, status) in [("succeed", "confirmed"), ("fail", "cancelled")] {
        let (token, id, _) = ordered(shop, "tok_3ds").await;
        let confirm = |key: &str, outcome: &str| {
            Call::post(format!("/v1/orders/{id}/confirm-payment"))
                .by(&token)
                .key(key)
                .json(&json!({"outcome": outcome}))
        };
        eventually("a confirmation is awaited", async || {
            let order = shop
                .ask(Call::get(format!("/v1/orders/{id}")).by(&token))
                .await
                .expect(200);
            if order["payment"]["status"] == "requires_action" {
                Ok(())
            } else {
                Err(order)
            }
        })
        .await;
        shop.ask(confirm("c", "maybe"))
            .await
            .expect_problem(422, "invalid-input");
        let first = shop.ask(confirm("c", outcome)).await;
        first.expect(202);
        assert_eq!(shop.ask(confirm("c", outcome)).await.bytes, first.bytes);
        shop.order_in(&token, &id, status).await;
        shop.ask(confirm("d", outcome))
            .await
            .expect_problem(409, "nothing-to-confirm");
    }
}

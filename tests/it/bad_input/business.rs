//! What is well formed and cannot be: quantities, ids, pages, positions, searches, steps out of order.

use axum::http::Method;
use serde_json::{Value, json};

use crate::browser::{Browser, encode};
use crate::edge::{Call, Shop, eur, shop};

/// Calls, and what they are answered.
async fn check(shop: &Shop, rows: Vec<(Call, u16, &str)>) {
    for (call, status, slug) in rows {
        let what = format!("{call:?}");
        let answer = shop.ask(call).await;
        let said = String::from_utf8_lossy(&answer.bytes);
        assert_eq!(answer.status, status, "{what}: {said}");
        if !slug.is_empty() {
            answer.expect_problem(status, slug);
        }
    }
}

#[tokio::test]
async fn quantities_and_amounts_stay_within_what_can_be() {
    let shop = shop().await;
    let token = shop.guest().await;
    let sku = shop.product(1_000, 5).await;
    let line = |quantity: Value| {
        Call::put(format!("/v1/cart/lines/{sku}"))
            .by(&token)
            .json(&json!({ "quantity": quantity }))
    };
    let adjust = |delta: Value| {
        Call::post(format!("/v1/stock/{sku}/adjustments"))
            .by(&shop.seller)
            .key(&shop.fresh("delta"))
            .json(&json!({"delta": delta, "reason": "a count"}))
    };
    let price = |amount: Value, currency: &str| {
        let sku = shop.fresh("PRICE");
        let price = json!({"amount": amount, "currency": currency});
        Call::post("/v1/products")
            .by(&shop.seller)
            .key(&sku)
            .json(&json!({"sku": sku, "name": "A thing", "price": price}))
    };
    check(
        shop,
        vec![
            (line(json!(0)), 200, ""),
            (line(json!(-1)), 422, "invalid-input"),
            (line(json!(100)), 422, "invalid-input"),
            (line(json!(2_147_483_648_i64)), 422, "invalid-input"),
            (line(json!(u64::MAX)), 422, "invalid-input"),
            (line(json!("1")), 422, "invalid-input"),
            (adjust(json!(0)), 422, "invalid-input"),
            (adjust(json!(-6)), 409, ""),
            (adjust(json!(i64::MAX)), 422, "invalid-input"),
            (adjust(json!(i64::MIN)), 422, "invalid-input"),
            (adjust(json!(1_000_000_000_001_i64)), 422, "invalid-input"),
            (price(json!(-1), "EUR"), 422, "invalid-input"),
            (price(json!(100_000_000_001_i64), "EUR"), 422, "invalid-input"),
            (price(json!(19.99), "EUR"), 422, "invalid-input"),
            (price(json!(1), "USD"), 422, "invalid-input"),
            (price(json!(1), "JPY"), 422, "invalid-input"),
            (price(json!(1), "EURO"), 422, "invalid-input"),
            (price(json!(1), "eur"), 422, "invalid-input"),
        ],
    )
    .await;
}

#[tokio::test]
async fn the_dearest_cart_there_can_be_has_a_sum() {
    let shop = shop().await;
    let token = shop.guest().await;
    for _ in 0..3 {
        let sku = shop.product(100_000_000_000, 99).await;
        shop.put(&token, &sku, 99).await.expect(200);
    }
    let quote = Call::post("/v1/cart/quote")
        .by(&token)
        .json(&json!({"country": "DE"}));
    let quote = shop.ask(quote).await.expect(200);
    assert_eq!(quote["subtotal"], eur(3 * 99 * 100_000_000_000));
    let order = shop
        .ask(shop.checkout(&token, &shop.fresh("dear"), "tok_approve"))
        .await;
    let order = order.expect(202)["order_id"].as_str().unwrap().to_owned();
    shop.order_in(&token, &order, "confirmed").await;
}

#[tokio::test]
async fn ids_have_one_spelling() {
    let shop = shop().await;
    let token = shop.guest().await;
    let own = "0197f0a4-0000-7000-8000-00000000000a";
    for id in [
        "0",
        "-1",
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        &own.to_uppercase(),
        &own.replace('-', ""),
        &format!("%7B{own}%7D"),
        &format!("urn:uuid:{own}"),
        &format!("{own}%00"),
        &format!("{own}%20"),
        "%27%20or%201=1--",
        "..%2F..%2Fetc%2Fpasswd",
        &"9".repeat(1_000),
    ] {
        for path in [
            format!("/v1/orders/{id}"),
            format!("/v1/orders/{id}/cancel"),
            format!("/v1/cart/lines/{id}x%20"),
            format!("/v1/products/{id}x%20"),
            format!("/v1/password-resets/{id}"),
        ] {
            let method = match path.as_str() {
                path if path.ends_with("/cancel") => Method::POST,
                path if path.contains("lines") || path.contains("resets") => Method::PUT,
                _ => Method::GET,
            };
            let mut call = Call::new(method.clone(), &path).by(&token).key(&shop.fresh("id"));
            if method == Method::PUT {
                let body = if path.contains("lines") {
                    json!({"quantity": 1})
                } else {
                    json!({"password": "correct horse battery"})
                };
                call = call.json(&body);
            }
            let answer = shop.ask(call).await;
            assert!(
                [404, 422].contains(&answer.status),
                "{method} {path}: {}",
                answer.status
            );
        }
        for path in [
            format!("/v1/seller/orders/{id}/pack"),
            format!("/v1/imports/{id}"),
            format!("/v1/stock/{id}x%20"),
        ] {
            let method = if path.ends_with("pack") {
                Method::POST
            } else {
                Method::GET
            };
            let call = Call::new(method, &path).by(&shop.seller).key(&shop.fresh("id"));
            let answer = shop.ask(call).await;
            assert!([404, 422].contains(&answer.status), "{path}: {}", answer.status);
        }
    }
}

#[tokio::test]
async fn forms_about_strange_ids_are_refused_as_pages() {
    let seller = Browser::seller().await;
    let page = seller.get("/account").await;
    let token = page.form("/sign-out");
    for id in [
        "a b",
        "\u{0}",
        "a/b",
        "\"><script>",
        "\u{202e}",
        "a?b#c",
        "%",
        "..",
        "é",
    ] {
        let id = encode(id);
        for path in [
            format!("/seller/orders/{id}/pack"),
            format!("/seller/orders/x/{id}"),
            format!("/seller/products/{id}/price"),
            format!("/seller/products/{id}/published"),
            format!("/seller/products/{id}"),
            format!("/orders/{id}/cancel"),
        ] {
            let answer = seller.post(&path, &token).await.answer;
            assert!((400..500).contains(&answer.status), "{path}: {}", answer.status);
        }
        for path in [
            format!("/seller/orders/{id}"),
            format!("/seller/orders/{id}/slip"),
            format!("/seller/products/{id}"),
            format!("/seller/stock?sku={id}"),
            format!("/orders/{id}?key={id}"),
            format!("/p/{id}"),
            format!("/art/{id}.svg"),
        ] {
            let answer = seller.get(&path).await.answer;
            assert!(answer.status < 500, "{path}: {}", answer.status);
        }
    }
}

#[tokio::test]
async fn pages_and_positions_are_those_that_were_given_out() {
    let shop = shop().await;
    let token = shop.guest().await;
    let get = |path: &str| Call::get(path).by(&shop.seller);
    let position = |position: &str| get("/v1/seller/orders").header("position", position);
    for _ in 0..3 {
        shop.product(1_000, 0).await;
    }
    let page = shop
        .ask(get("/v1/products?limit=1&sort=newest"))
        .await
        .expect(200);
    let cursor = page["next_cursor"].as_str().unwrap().to_owned();
    let flipped = format!(
        "{}{}",
        if cursor.starts_with('B') { 'C' } else { 'B' },
        &cursor[1..]
    );
    check(
        shop,
        vec![
            (
                get(&format!("/v1/products?limit=1&sort=newest&cursor={cursor}")),
                200,
                "",
            ),
            (
                get(&format!("/v1/products?limit=1&sort=price&cursor={cursor}")),
                400,
                "",
            ),
            (
                get(&format!("/v1/products?limit=1&sort=newest&cursor={flipped}")),
                400,
                "",
            ),
            (
                get(&format!("/v1/products?limit=1&sort=newest&cursor={cursor}=")),
                400,
                "",
            ),
            (get(&format!("/v1/seller/orders?cursor={cursor}")), 400, ""),
            (get("/v1/products?cursor=%00"), 422, "invalid-input"),
            (get("/v1/seller/orders?limit=0"), 422, "invalid-input"),
            (get("/v1/seller/orders?limit=-1"), 422, "invalid-input"),
            (get("/v1/seller/orders?limit=1000000000"), 422, "invalid-input"),
            (
                get("/v1/seller/orders?limit=99999999999999999999"),
                400,
                "malformed-request",
            ),
            (get("/v1/seller/orders?limit=1&limit=1"), 422, "invalid-input"),
            (get("/v1/seller/orders?status=lost"), 422, "invalid-input"),
            (get("/v1/seller/orders?order=1"), 422, "invalid-input"),
            (get("/v1/products?sort=secret_column"), 422, "invalid-input"),
            (get("/v1/products?min_price=-1"), 422, "invalid-input"),
            (
                get("/v1/products?min_price=9223372036854775808"),
                400,
                "malformed-request",
            ),
            (position("0-0"), 200, ""),
            (position("65535-1"), 200, ""),
            (position("65536-1"), 400, "malformed-request"),
            (position("0-9223372036854775807"), 200, ""),
            (position("0-9223372036854775808"), 400, "malformed-request"),
            (position("1--1"), 400, "malformed-request"),
            (position(""), 400, "malformed-request"),
            (
                Call::get("/v1/orders").by(&token).header("position", "0-1"),
                200,
                "",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn versions_are_named_as_they_were_told() {
    let shop = shop().await;
    let sku = shop.product(1_000, 0).await;
    let edit = || Call::patch(format!("/v1/products/{sku}"), &json!({"brand": "Acme"})).by(&shop.seller);
    let with = |tag: &str| edit().header("if-match", tag);
    check(
        shop,
        vec![
            (edit(), 428, ""),
            (with(""), 400, "malformed-request"),
            (with("v1"), 400, "malformed-request"),
            // No version of ours, so none that could match (RFC 9110 §13.1.1).
            (with("\"v-1\""), 412, ""),
            (with("\"v18446744073709551616\""), 412, ""),
            (with("\"v1\", \"v2"), 400, "malformed-request"),
            (with("\"v999\""), 412, ""),
            (with("\"v1\""), 200, ""),
        ],
    )
    .await;
}

#[tokio::test]
async fn no_search_is_more_than_words() {
    let shop = shop().await;
    let words = vec!["tv"; 3_000].join("+");
    for q in [
        "%27",
        "%22",
        "%5C",
        "%25",
        "_",
        "%2A",
        "%28",
        "%29%29%29",
        "a%26%26b",
        "a%7C",
        "%21%21",
        "a%3C-%3Eb",
        "%3A%2A",
        "%27%3B+drop+table+customer%3B--",
        "%24%24",
        "%7B1%2C2%7D",
        "%5B%5D",
        "a%00b",
        "%F0%9F%98%80",
        "%E2%80%AE",
        "%CC%81",
        "%EF%BF%BD",
        "to_tsquery%28%29",
        "and+or+not",
        "-",
        "the",
        words.as_str(),
        "%C3%9F%C4%B0%C4%B1%C7%85",
        "%D9%A3",
        "a%0D%0Ab",
    ] {
        for path in [
            format!("/v1/products?q={q}"),
            format!("/v1/products?category={q}"),
            format!("/v1/products?attr.colour={q}"),
            format!("/v1/products?attr.{q}=1"),
            format!("/search?q={q}"),
        ] {
            let answer = shop.ask(Call::get(&path)).await;
            assert!(
                [200, 404, 414, 422].contains(&answer.status),
                "{path:.200}: {}",
                answer.status
            );
        }
    }
    // A range in an attribute that no machine can count.
    for range in [
        "1e308..1e309",
        "..",
        "nan",
        "inf..",
        "1..0",
        "-0..0",
        "0x1",
        "١..٢",
    ] {
        let path = format!("/v1/products?attr.display_diagonal={}", encode(range));
        let answer = shop.ask(Call::get(path)).await;
        assert!([200, 422].contains(&answer.status), "{range}: {}", answer.status);
    }
}

#[tokio::test]
async fn steps_come_in_their_order_and_money_goes_back_once() {
    let shop = shop().await;
    let token = shop.guest().await;
    let key = || shop.fresh("step");
    let empty = shop.checkout(&token, &key(), "tok_approve");
    check(shop, vec![(empty, 409, "")]).await;
    let sku = shop.product(1_000, 5).await;
    shop.put(&token, &sku, 1).await.expect(200);
    let placed = shop
        .ask(shop.checkout(&token, &key(), "tok_approve"))
        .await
        .expect(202);
    let order = placed["order_id"].as_str().unwrap().to_owned();
    shop.order_in(&token, &order, "confirmed").await;
    let step = |step: &str, body: Value| {
        Call::post(format!("/v1/seller/orders/{order}/{step}"))
            .by(&shop.seller)
            .key(&key())
            .json(&body)
    };
    let ship = json!({"carrier": "DHL", "tracking_number": "1"});
    let refund = |amount: i64| json!({"amount": eur(amount), "reason": "late"});
    let dollars = json!({"amount": {"amount": 1, "currency": "USD"}, "reason": "late"});
    check(
        shop,
        vec![
            (step("deliver", json!({})), 409, ""),
            (step("ship", ship.clone()), 409, ""),
            (step("refunds", refund(0)), 422, "invalid-input"),
            (step("refunds", refund(-1)), 422, "invalid-input"),
            (step("refunds", refund(i64::MAX)), 422, "invalid-input"),
            (step("refunds", refund(1_491)), 409, ""),
            (step("refunds", dollars), 422, ""),
            (step("pack", json!({})), 200, ""),
            (step("pack", json!({"now": true})), 422, "invalid-input"),
            (step("cancel", json!({"reason": "x"})), 409, ""),
            (step("ship", ship), 200, ""),
            (step("refunds", refund(1_490)), 200, ""),
            (step("refunds", refund(1)), 409, ""),
        ],
    )
    .await;
}

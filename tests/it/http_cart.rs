//! The cart over HTTP.

use serde_json::json;

use crate::edge::{Call, eur, shop};

#[tokio::test]
async fn lines_are_set_not_added() {
    let shop = shop().await;
    let (token, sku) = (shop.guest().await, shop.product(1_999, 10).await);
    let empty = shop.ask(Call::get("/v1/cart").by(&token)).await.expect(200);
    assert_eq!((&empty["lines"], &empty["version"]), (&json!([]), &json!(0)));
    assert_eq!((&empty["subtotal"], &empty["currency"]), (&eur(0), &json!("EUR")));

    let answer = shop.put(&token, &sku, 3).await;
    assert!(answer.header("position").is_some());
    let cart = answer.expect(200);
    let line = &cart["lines"][0];
    assert_eq!(
        (&line["quantity"], &line["unit_price"], &line["line_total"]),
        (&json!(3), &eur(1_999), &eur(5_997))
    );
    assert_eq!(
        (&line["availability"], line.get("notice")),
        (&json!("in_stock"), None)
    );
    assert_eq!(cart["subtotal"], eur(5_997));
    assert_eq!(
        shop.put(&token, &sku, 3).await.expect(200),
        cart,
        "said twice, done once"
    );
    assert_eq!(shop.ask(Call::get("/v1/cart").by(&token)).await.expect(200), cart);

    assert_eq!(shop.put(&token, &sku, 0).await.expect(200)["lines"], json!([]));
    shop.put(&token, &sku, 99).await.expect(200);
    let removed = shop
        .ask(Call::delete(format!("/v1/cart/lines/{sku}")).by(&token))
        .await;
    assert_eq!(removed.expect(200)["lines"], json!([]));
    shop.ask(Call::delete(format!("/v1/cart/lines/{sku}")).by(&token))
        .await
        .expect(200);
    shop.put(&token, &sku, 1).await.expect(200);
    let cleared = shop.ask(Call::delete("/v1/cart").by(&token)).await.expect(200);
    assert_eq!(cleared["lines"], json!([]));
    shop.ask(Call::delete("/v1/cart").by(&token)).await.expect(200);
}

#[tokio::test]
async fn what_cannot_be_in_a_cart_is_refused() {
    let shop = shop().await;
    let (token, sku) = (shop.guest().await, shop.product(1_000, 1).await);
    for quantity in [
        json!(100),
        json!(-1),
        json!(1.5),
        json!("1"),
        json!(null),
        json!(4_294_967_296_i64),
    ] {
        let call = Call::put(format!("/v1/cart/lines/{sku}"))
            .by(&token)
            .json(&json!({"quantity": quantity}));
        let problem = shop.ask(call).await.expect_problem(422, "invalid-input");
        assert_eq!(problem["errors"][0]["pointer"], "/quantity");
    }
    for unknown in ["no-such-sku", "%20", "%00", "a%2Fb"] {
        shop.put(&token, unknown, 1)
            .await
            .expect_problem(404, "not-found");
    }
    shop.ask(Call::delete("/v1/cart/lines/no-such-sku").by(&token))
        .await
        .expect_problem(404, "not-found");
    shop.put(&shop.seller, &sku, 1)
        .await
        .expect_problem(403, "forbidden");
    shop.ask(Call::get("/v1/cart"))
        .await
        .expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn more_than_there_is_can_be_wanted() {
    let shop = shop().await;
    let (token, sku) = (shop.guest().await, shop.product(1_000, 0).await);
    let line = shop.put(&token, &sku, 5).await.expect(200)["lines"][0].clone();
    assert_eq!(line["availability"], "out_of_stock");
    assert!(line["notice"].as_str().unwrap().contains("sold out"));
    shop.stock(&sku, 2).await;
    let line = shop.ask(Call::get("/v1/cart").by(&token)).await.expect(200)["lines"][0].clone();
    assert_eq!((&line["availability"], line.get("notice")), (&json!("low"), None));
}

#[tokio::test]
async fn a_changed_price_is_shown() {
    let shop = shop().await;
    let (token, sku) = (shop.guest().await, shop.product(1_000, 9).await);
    shop.put(&token, &sku, 2).await.expect(200);
    let price = Call::put(format!("/v1/products/{sku}/price"))
        .by(&shop.seller)
        .version(&json!(1))
        .json(&eur(1_200));
    shop.ask(price).await.expect(200);
    let cart = shop.ask(Call::get("/v1/cart").by(&token)).await.expect(200);
    assert_eq!(
        (&cart["lines"][0]["unit_price"], &cart["subtotal"]),
        (&eur(1_200), &eur(2_400))
    );
    assert!(cart["lines"][0]["notice"].as_str().unwrap().contains("10.00 EUR"));
    let seen = shop.put(&token, &sku, 2).await.expect(200);
    assert_eq!(
        seen["lines"][0].get("notice"),
        None,
        "the shopper has set the line again"
    );
}

#[tokio::test]
async fn a_quote_follows_the_tariff() {
    let shop = shop().await;
    let token = shop.guest().await;
    let quote = |body: serde_json::Value| Call::post("/v1/cart/quote").by(&token).json(&body);
    let nothing = shop.ask(quote(json!({"country": "DE"}))).await.expect(200);
    assert_eq!(nothing["total"], eur(0));
    let sku = shop.product(4_999, 9).await;
    shop.put(&token, &sku, 1).await.expect(200);
    let standard = shop
        .ask(quote(json!({"country": "DE", "postal_code": "10117"})))
        .await
        .expect(200);
    assert_eq!(
        (&standard["shipping"], &standard["total"]),
        (&eur(490), &eur(5_489))
    );
    assert_eq!(
        (&standard["tax"], &standard["tax_included"]),
        (&eur(876), &json!(true))
    );
    let express = shop
        .ask(quote(json!({"country": "DE", "shipping_method": "express"})))
        .await
        .expect(200);
    assert_eq!(express["shipping"], eur(990));
    shop.put(&token, &sku, 2).await.expect(200);
    let free = shop.ask(quote(json!({"country": "DE"}))).await.expect(200);
    assert_eq!((&free["subtotal"], &free["shipping"]), (&eur(9_998), &eur(0)));
    for bad in [
        json!({}),
        json!({"country": "Germany"}),
        json!({"country": "DE", "shipping_method": "drone"}),
    ] {
        shop.ask(quote(bad)).await.expect_problem(422, "invalid-input");
    }
}

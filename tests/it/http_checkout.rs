//! Checking out over HTTP: one key, one order, whatever happens in between.

use serde_json::{Value, json};

use crate::edge::{Call, eur, shop};

#[tokio::test]
async fn a_cart_becomes_an_order_once() {
    let shop = shop().await;
    let (token, sku) = (shop.guest().await, shop.product(2_500, 10).await);
    shop.put(&token, &sku, 2).await.expect(200);
    let first = shop.ask(shop.checkout(&token, "k", "tok_approve")).await;
    let placed = first.expect(202);
    let id = placed["order_id"].as_str().unwrap();
    assert_eq!(
        (&placed["status"], &placed["total"]),
        (&json!("pending"), &eur(5_000))
    );
    assert_eq!(placed["status_url"], format!("/v1/orders/{id}"));
    assert_eq!(placed["channel"], format!("order:{id}"));
    assert!(placed["number"].as_str().unwrap().starts_with("GS-"));

    // Its address is never 404, not even at once.
    let order = shop
        .ask(Call::get(format!("/v1/orders/{id}")).by(&token))
        .await
        .expect(200);
    assert_eq!(
        (&order["total"], &order["subtotal"], &order["shipping"]),
        (&eur(5_000), &eur(5_000), &eur(0))
    );
    assert_eq!(
        (&order["lines"][0]["sku"], &order["lines"][0]["quantity"]),
        (&json!(sku), &json!(2))
    );
    let cart = shop.ask(Call::get("/v1/cart").by(&token)).await.expect(200);
    assert_eq!(cart["lines"], json!([]));

    let again = shop.ask(shop.checkout(&token, "k", "tok_approve")).await;
    assert_eq!((again.status, &again.bytes), (202, &first.bytes));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    shop.ask(shop.checkout(&token, "k", "tok_decline"))
        .await
        .expect_problem(422, "idempotency-key-reused");
    shop.ask(shop.checkout(&token, "l", "tok_approve"))
        .await
        .expect_problem(409, "cart-empty");
    // The same key of another caller is another request.
    let other = shop.guest().await;
    shop.ask(shop.checkout(&other, "k", "tok_approve"))
        .await
        .expect_problem(409, "cart-empty");

    let confirmed = shop.order_in(&token, id, "confirmed").await;
    assert_eq!(confirmed["payment"]["status"], "captured");
    assert_eq!(confirmed["payment"]["amount"], eur(5_000));
    let statuses: Vec<_> = confirmed["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["status"])
        .collect();
    assert_eq!(statuses, ["pending", "confirmed"]);
    let again = shop.ask(shop.checkout(&token, "k", "tok_approve")).await;
    assert_eq!(again.bytes, first.bytes, "the first answer, not today's");
}

#[tokio::test]
async fn the_same_request_at_once_makes_one_order() {
    let shop = shop().await;
    let (token, sku) = (shop.guest().await, shop.product(1_000, 50).await);
    shop.put(&token, &sku, 1).await.expect(200);
    let call = shop.checkout(&token, "race", "tok_approve");
    let answers = futures_util::future::join_all((0..16).map(|_| shop.ask(call.clone()))).await;
    let mut orders: Vec<String> = Vec::new();
    for answer in &answers {
        match answer.status {
            202 => orders.push(answer.json()["order_id"].as_str().unwrap().to_owned()),
            409 => {
                answer.expect_problem(409, "request-in-flight");
                assert!(answer.header("retry-after").is_some());
            }
            status => panic!("{status}"),
        }
    }
    orders.dedup();
    assert_eq!(orders.len(), 1);
}

#[tokio::test]
async fn the_last_units_are_sold_once() {
    let shop = shop().await;
    let sku = shop.product(1_000, 3).await;
    let mut tokens = Vec::new();
    for _ in 0..8 {
        let token = shop.guest().await;
        shop.put(&token, &sku, 1).await.expect(200);
        tokens.push(token);
    }
    let placed = futures_util::future::join_all(
        tokens
            .iter()
            .map(|token| shop.ask(shop.checkout(token, "k", "tok_approve"))),
    )
    .await;
    let mut ends = Vec::new();
    for (token, answer) in tokens.iter().zip(placed) {
        let id = answer.expect(202)["order_id"].as_str().unwrap().to_owned();
        let ended = crate::eventually::eventually("the order ends", async || {
            let order = shop
                .ask(Call::get(format!("/v1/orders/{id}")).by(token))
                .await
                .expect(200);
            if order["status"] == "pending" {
                Err(order)
            } else {
                Ok(order)
            }
        });
        ends.push(ended.await);
    }
    let (confirmed, cancelled): (Vec<_>, Vec<_>) =
        ends.iter().partition(|order| order["status"] == "confirmed");
    assert_eq!((confirmed.len(), cancelled.len()), (3, 5));
    for order in cancelled {
        assert_eq!(
            order["history"].as_array().unwrap().last().unwrap()["detail"],
            "out_of_stock"
        );
    }
    let stock = shop
        .ask(Call::get(format!("/v1/stock/{sku}")).by(&shop.seller))
        .await
        .expect(200);
    assert_eq!(
        (&stock["available"], &stock["sold"], &stock["on_hand"]),
        (&json!(0), &json!(3), &json!(3))
    );
}

#[tokio::test]
async fn a_total_that_was_not_agreed_to_is_refused() {
    let shop = shop().await;
    let (token, sku) = (shop.guest().await, shop.product(1_000, 5).await);
    shop.put(&token, &sku, 1).await.expect(200);
    let expecting = |amount: i64, key: &str| {
        let mut body = request();
        body["expected_total"] = eur(amount);
        Call::post("/v1/cart/checkout").by(&token).key(key).json(&body)
    };
    let problem = shop
        .ask(expecting(1_000, "a"))
        .await
        .expect_problem(409, "total-changed");
    assert_eq!(problem["total"], eur(1_490));
    let cart = shop.ask(Call::get("/v1/cart").by(&token)).await.expect(200);
    assert_eq!(cart["lines"].as_array().unwrap().len(), 1);
    shop.ask(expecting(1_490, "b")).await.expect(202);
}

fn request() -> Value {
    json!({
        "email": "ada@example.org",
        "shipping_address": {
            "name": "Ada", "line1": "Street 1", "city": "Berlin", "postal_code": "10117", "country": "DE",
        },
        "payment": {"provider": "sandbox", "token": "tok_approve"},
    })
}

#[tokio::test]
async fn what_is_wrong_with_a_checkout_is_said() {
    let shop = shop().await;
    let (token, sku) = (shop.guest().await, shop.product(1_000, 5).await);
    shop.put(&token, &sku, 1).await.expect(200);
    let changed = |path: &[&str], value: Value| {
        let mut body = request();
        let (last, parents) = path.split_last().unwrap();
        let parent = parents.iter().fold(&mut body, |body, name| &mut body[*name]);
        parent[*last] = value;
        body
    };
    for (path, value) in [
        (&["email"][..], json!("no")),
        (&["payment", "token"], json!("tok_unknown")),
        (&["payment", "provider"], json!("stripe")),
        (&["payment", "card"], json!("4242")),
        (&["shipping_address", "country"], json!("Germany")),
        (&["shipping_address", "name"], json!("  ")),
        (&["shipping_address", "line1"], json!("a\u{0}b")),
        (&["shipping_address", "postal_code"], json!(10_117)),
        (&["shipping_method"], json!("drone")),
        (&["expected_total"], json!({"amount": 1.5, "currency": "EUR"})),
        (&["coupon"], json!("X")),
    ] {
        let call = Call::post("/v1/cart/checkout")
            .by(&token)
            .key("bad")
            .json(&changed(path, value));
        let problem = shop.ask(call).await.expect_problem(422, "invalid-input");
        let pointer = problem["errors"][0]["pointer"].as_str().unwrap();
        assert!(
            pointer.starts_with(&format!("/{}", path.join("/"))),
            "{pointer} {path:?}"
        );
    }
    let keyless = Call::post("/v1/cart/checkout").by(&token).json(&request());
    shop.ask(keyless)
        .await
        .expect_problem(400, "idempotency-key-missing");
    let nobody = Call::post("/v1/cart/checkout").key("k").json(&request());
    shop.ask(nobody).await.expect_problem(401, "unauthenticated");
    let seller = Call::post("/v1/cart/checkout")
        .by(&shop.seller)
        .key("k")
        .json(&request());
    shop.ask(seller).await.expect_problem(403, "forbidden");
}

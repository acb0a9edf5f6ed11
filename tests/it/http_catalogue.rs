//! The catalogue and the stock over HTTP: kept by sellers, seen by anybody.

use serde_json::{Value, json};

use crate::edge::{Call, eur, shop};
use crate::eventually::eventually;

#[tokio::test]
async fn a_product_is_created_once() {
    let shop = shop().await;
    let sku = shop.fresh("C");
    let body = json!({
        "sku": sku, "name": "Sharp 55″ OLED", "brand": "Sharp", "category": "televisions",
        "price": eur(199_900), "attributes": {"display_diagonal": 55, "smart": true, "colour": "black", "ports": ["HDMI", "USB"]},
    });
    let create = |body: &Value, key: &str| Call::post("/v1/products").by(&shop.seller).key(key).json(body);
    let first = shop.ask(create(&body, &sku)).await;
    let made = first.expect(201);
    assert_eq!(
        (made["id"].as_str(), made["version"].as_u64()),
        (Some(sku.as_str()), Some(1))
    );
    assert_eq!(first.header("etag"), Some("\"v1\""));
    assert!(first.header("position").is_some() && first.header("idempotent-replayed").is_none());

    let again = shop.ask(create(&body, &sku)).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!((again.status, &again.bytes), (201, &first.bytes));
    let mut other = body.clone();
    other["name"] = json!("Another");
    shop.ask(create(&other, &sku))
        .await
        .expect_problem(422, "idempotency-key-reused");
    shop.ask(create(&body, &shop.fresh("key")))
        .await
        .expect_problem(409, "already-exists");

    let keyless = Call::post("/v1/products").by(&shop.seller).json(&body);
    shop.ask(keyless)
        .await
        .expect_problem(400, "idempotency-key-missing");
    let guest = shop.guest().await;
    let by = |token: &str| Call::post("/v1/products").by(token).key(&sku).json(&body);
    shop.ask(by(&guest)).await.expect_problem(403, "forbidden");
    shop.ask(by(&shop.operator))
        .await
        .expect_problem(403, "forbidden");
    let nobody = Call::post("/v1/products").key(&sku).json(&body);
    shop.ask(nobody).await.expect_problem(401, "unauthenticated");

    let page = shop.ask(Call::get(format!("/v1/products/{sku}"))).await;
    let seen = page.expect(200);
    assert_eq!(seen["price"], eur(199_900));
    assert_eq!(seen["availability"], "out_of_stock");
    assert_eq!(seen["attributes"]["ports"], json!(["HDMI", "USB"]));
    let slug = seen["slug"].as_str().unwrap();
    assert_eq!(
        shop.ask(Call::get(format!("/v1/products/{slug}"))).await.bytes,
        page.bytes
    );
    let tag = page.header("etag").unwrap();
    let unchanged = Call::get(format!("/v1/products/{sku}")).header("if-none-match", tag);
    assert_eq!(shop.ask(unchanged).await.status, 304);
    shop.ask(Call::get("/v1/products/no-such-thing"))
        .await
        .expect_problem(404, "not-found");
}

#[tokio::test]
async fn what_is_wrong_with_a_product_is_said() {
    let shop = shop().await;
    let create = |body: Value| {
        Call::post("/v1/products")
            .by(&shop.seller)
            .key(&shop.fresh("k"))
            .json(&body)
    };
    let sku = shop.fresh("W");
    for (body, pointer) in [
        (json!({"name": "x", "price": eur(1)}), "/sku"),
        (json!({"sku": "no space", "name": "x", "price": eur(1)}), "/sku"),
        (json!({"sku": sku, "name": " ", "price": eur(1)}), "/name"),
        (json!({"sku": sku, "name": "x\u{0}", "price": eur(1)}), "/name"),
        (
            json!({"sku": sku, "name": "x", "price": eur(-1)}),
            "/price/amount",
        ),
        (json!({"sku": sku, "name": "x", "price": 5}), "/price"),
        (
            json!({"sku": sku, "name": "x", "price": {"amount": 1.5, "currency": "EUR"}}),
            "/price/amount",
        ),
        (
            json!({"sku": sku, "name": "x", "price": {"amount": "1", "currency": "EUR"}}),
            "/price/amount",
        ),
        (
            json!({"sku": sku, "name": "x", "price": {"amount": 1, "currency": "USD"}}),
            "/price/currency",
        ),
        (
            json!({"sku": sku, "name": "x", "price": eur(1), "colour": "red"}),
            "/colour",
        ),
        (
            json!({"sku": sku, "name": "x", "price": eur(1), "attributes": {"a": {"b": 1}}}),
            "/attributes/a",
        ),
        (
            json!({"sku": sku, "name": "x", "price": eur(1), "variants": [{"sku": sku}]}),
            "/variants/0/sku",
        ),
        (json!([]), ""),
    ] {
        let problem = shop
            .ask(create(body.clone()))
            .await
            .expect_problem(422, "invalid-input");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{body} {problem}");
    }
}

#[tokio::test]
async fn an_edit_names_the_version_it_saw() {
    let shop = shop().await;
    let sku = shop.product(1_000, 0).await;
    let path = format!("/v1/products/{sku}");
    let patch = |body: Value| Call::patch(path.clone(), &body).by(&shop.seller);
    shop.ask(patch(json!({"name": "x"})))
        .await
        .expect_problem(428, "version-required");
    shop.ask(patch(json!({"name": "x"})).header("if-match", "v1"))
        .await
        .expect_problem(400, "malformed-request");
    let edited = shop
        .ask(patch(json!({"name": "Better", "brand": "B", "attributes": {"a": 1}})).version(&json!(1)))
        .await;
    assert_eq!(edited.expect(200)["version"], 2);
    assert_eq!(edited.header("etag"), Some("\"v2\""));
    let stale = shop
        .ask(patch(json!({"name": "Late"})).version(&json!(1)))
        .await
        .expect_problem(412, "version-mismatch");
    assert_eq!(stale["version"], 2);
    let taken = patch(json!({"brand": null, "attributes": {"a": null, "b": true}})).version(&json!(2));
    let after = shop.ask(taken).await.expect(200);
    assert_eq!(
        (&after["brand"], &after["attributes"]),
        (&json!(""), &json!({"b": true}))
    );
    for (bad, pointer) in [
        (json!({"name": null}), "/name"),
        (json!({"sku": "x"}), "/sku"),
        (json!({"price": {"amount": -1}}), "/price/amount"),
    ] {
        let problem = shop
            .ask(patch(bad).version(&json!(3)))
            .await
            .expect_problem(422, "invalid-input");
        assert_eq!(problem["errors"][0]["pointer"], pointer);
    }
    let plain = Call::new(axum::http::Method::PATCH, path.clone())
        .by(&shop.seller)
        .version(&json!(3))
        .json(&json!({}));
    let refused = shop.ask(plain).await;
    refused.expect_problem(415, "unsupported-media-type");
    assert_eq!(
        refused.header("accept-patch"),
        Some("application/merge-patch+json")
    );
    let absent = Call::patch("/v1/products/absent", &json!({}))
        .by(&shop.seller)
        .version(&json!(1));
    shop.ask(absent).await.expect_problem(404, "not-found");

    let price = |body: Value| Call::put(format!("{path}/price")).by(&shop.seller).json(&body);
    shop.ask(price(eur(5)))
        .await
        .expect_problem(428, "version-required");
    shop.ask(price(eur(5)).version(&json!(1)))
        .await
        .expect_problem(412, "version-mismatch");
    let cheaper = shop.ask(price(eur(500)).version(&json!(3))).await.expect(200);
    assert_eq!((&cheaper["price"], &cheaper["version"]), (&eur(500), &json!(4)));
    let seen = shop.ask(Call::get(path.clone())).await.expect(200);
    assert_eq!((&seen["price"], &seen["version"]), (&eur(500), &json!(4)));
    let named = shop
        .ask(price(json!({"price": eur(501)})).version(&json!(4)))
        .await
        .expect(200);
    assert_eq!(named["price"], eur(501));
}

#[tokio::test]
async fn a_hidden_product_leaves_the_lists_and_stays_with_its_seller() {
    let shop = shop().await;
    let sku = shop.product(1_000, 3).await;
    let token = shop.guest().await;
    shop.put(&token, &sku, 1).await.expect(200);
    let hide = Call::patch(format!("/v1/products/{sku}"), &json!({"published": false}))
        .by(&shop.seller)
        .version(&json!(1));
    let hidden = shop.ask(hide).await;
    assert_eq!(hidden.expect(200)["published"], false);
    shop.ask(Call::get(format!("/v1/products/{sku}")))
        .await
        .expect_problem(404, "not-found");
    let kept = shop
        .ask(Call::get(format!("/v1/seller/products/{sku}")).by(&shop.seller))
        .await;
    assert_eq!(kept.expect(200)["published"], false);
    assert_eq!(kept.header("etag"), Some("\"v2\""));
    let found = shop
        .ask(
            Call::get(format!("/v1/products?q={sku}")).header("position", hidden.header("position").unwrap()),
        )
        .await;
    assert!(
        found.expect(200)["items"]
            .as_array()
            .unwrap()
            .iter()
            .all(|item| item["id"] != sku.as_str())
    );
    let cart = shop.ask(Call::get("/v1/cart").by(&token)).await.expect(200);
    assert!(
        cart["lines"][0]["notice"]
            .as_str()
            .unwrap()
            .contains("no longer sold")
    );
    let refused = shop.ask(shop.checkout(&token, "hidden", "tok_approve")).await;
    assert_eq!(refused.expect_problem(409, "not-for-sale")["skus"], json!([sku]));
    let other = shop.guest().await;
    shop.put(&other, &sku, 1).await.expect_problem(404, "not-found");
}

#[tokio::test]
async fn lists_are_pages_in_order() {
    let shop = shop().await;
    let category = shop.fresh("cat");
    let mut last = String::new();
    for amount in [300, 100, 200] {
        let sku = shop.fresh("L");
        let body = json!({"sku": sku, "name": "Listed", "category": category, "price": eur(amount), "attributes": {"size": amount}});
        let made = shop
            .ask(Call::post("/v1/products").by(&shop.seller).key(&sku).json(&body))
            .await;
        made.expect(201);
        last = made.header("position").unwrap().to_owned();
    }
    let list = |query: String| {
        Call::get(format!("/v1/products?category={category}{query}")).header("position", last.clone())
    };
    let amounts = |page: &Value| -> Vec<i64> {
        page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["price"]["amount"].as_i64().unwrap())
            .collect()
    };
    let all = shop.ask(list(String::new())).await;
    assert!(all.header("etag").is_some() && all.header("age").is_none());
    assert!(all.header("surrogate-key").is_some());
    let all = all.expect(200);
    assert_eq!(all["items"].as_array().unwrap().len(), 3);
    assert!(all["facets"].is_object() && all["next_cursor"].is_null());
    let first = shop.ask(list("&sort=price&limit=2".to_owned())).await.expect(200);
    assert_eq!(amounts(&first), [100, 200]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = shop
        .ask(list(format!("&sort=price&limit=2&cursor={cursor}")))
        .await
        .expect(200);
    assert_eq!(
        (amounts(&second), &second["next_cursor"]),
        (vec![300], &Value::Null)
    );
    let narrow = shop
        .ask(list("&attr.size=150..400&sort=-price".to_owned()))
        .await
        .expect(200);
    assert_eq!(amounts(&narrow), [300, 200]);
    shop.ask(list("&cursor=nonsense".to_owned()))
        .await
        .expect_problem(400, "malformed-request");
    shop.ask(list(format!("&cursor={cursor}")))
        .await
        .expect_problem(400, "malformed-request");
    for (query, status) in [
        ("&limit=0", 422),
        ("&limit=101", 422),
        ("&limit=x", 400),
        ("&nope=1", 422),
        ("&sort=up", 422),
    ] {
        assert_eq!(shop.ask(list(query.to_owned())).await.status, status, "{query}");
    }
    let tree = shop
        .ask(Call::get("/v1/categories").header("position", last.clone()))
        .await
        .expect(200);
    let node = tree["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|node| node["slug"] == category.as_str())
        .unwrap();
    assert_eq!(node["count"], 3);
    // Nobody has written that far: the list answers what it has, and how old that is.
    let position = last
        .split_once('-')
        .map(|(shard, _)| format!("{shard}-999999999"))
        .unwrap();
    let old = shop
        .ask(Call::get("/v1/products?limit=1").header("position", position))
        .await;
    assert_eq!(old.status, 200);
    assert!(old.header("age").is_some());
    shop.ask(Call::get("/v1/products").header("position", "x"))
        .await
        .expect_problem(400, "malformed-request");
}

#[tokio::test]
async fn stock_is_adjusted_once_and_never_below_zero() {
    let shop = shop().await;
    let sku = shop.product(1_000, 0).await;
    let path = format!("/v1/stock/{sku}");
    let read = Call::get(path.clone());
    let empty = shop.ask(read.clone().by(&shop.seller)).await.expect(200);
    assert_eq!((&empty["on_hand"], &empty["available"]), (&json!(0), &json!(0)));
    let guest = shop.guest().await;
    shop.ask(read.clone().by(&guest))
        .await
        .expect_problem(403, "forbidden");
    shop.ask(read.clone())
        .await
        .expect_problem(401, "unauthenticated");
    shop.ask(Call::get("/v1/stock/nobody-has-this").by(&shop.seller))
        .await
        .expect_problem(404, "not-found");

    let adjust = |delta: i64, key: &str| {
        let body = json!({"delta": delta, "reason": "delivery"});
        Call::post(format!("{path}/adjustments"))
            .by(&shop.seller)
            .key(key)
            .json(&body)
    };
    let first = shop.ask(adjust(25, "one")).await;
    let figures = first.expect(200);
    assert_eq!(figures["on_hand"], 25);
    assert_eq!(
        (&figures["held"], &figures["sold"], &figures["available"]),
        (&json!(0), &json!(0), &json!(25))
    );
    shop.ask(adjust(5, "two")).await.expect(200);
    let again = shop.ask(adjust(25, "one")).await;
    assert_eq!(
        (again.status, &again.bytes),
        (200, &first.bytes),
        "as it was then"
    );
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    shop.ask(adjust(26, "one"))
        .await
        .expect_problem(422, "idempotency-key-reused");
    let refused = shop
        .ask(adjust(-31, "three"))
        .await
        .expect_problem(409, "units-taken");
    assert_eq!(refused["available"], 30);
    shop.ask(adjust(1, "six")).await.expect(200);
    // A refusal is not remembered: decided anew, the same request goes through.
    assert_eq!(shop.ask(adjust(-31, "three")).await.expect(200)["on_hand"], 0);
    for body in [
        json!({"delta": 0, "reason": "x"}),
        json!({"delta": 1, "reason": ""}),
        json!({"delta": 1}),
        json!({"delta": 1.5, "reason": "x"}),
    ] {
        let call = Call::post(format!("{path}/adjustments"))
            .by(&shop.seller)
            .key("bad")
            .json(&body);
        shop.ask(call).await.expect_problem(422, "invalid-input");
    }
    let absent = Call::post("/v1/stock/nobody-has-this/adjustments")
        .by(&shop.seller)
        .key("x");
    shop.ask(absent.json(&json!({"delta": 1, "reason": "x"})))
        .await
        .expect_problem(404, "not-found");
    let seen = shop
        .ask(Call::get(format!("/v1/products/{sku}")))
        .await
        .expect(200);
    assert_eq!(seen["availability"], "out_of_stock");
}

/// A catalogue file may hold what the API would not take; that must not keep a seller from editing the
/// rest of it.
#[tokio::test]
async fn what_a_file_brought_can_be_edited() {
    let shop = shop().await;
    let sku = shop.fresh("F_1.x");
    let line = json!({
        "sku": sku, "name": "From a file", "price": eur(1_000), "brand": "B".repeat(200),
        "images": ["http://pictures.example/1.jpg"],
    });
    let import = Call::post("/v1/imports?format=jsonl")
        .by(&shop.seller)
        .key(&sku)
        .raw("application/octet-stream", format!("{line}\n"));
    shop.ask(import).await.expect(202);
    let read = Call::get(format!("/v1/seller/products/{sku}")).by(&shop.seller);
    let product = eventually("the product is imported", async || {
        let answer = shop.ask(read.clone()).await;
        if answer.status == 200 {
            Ok(answer.json())
        } else {
            Err(answer.status)
        }
    })
    .await;
    let edit = |patch: Value| {
        Call::patch(format!("/v1/products/{sku}"), &patch)
            .by(&shop.seller)
            .version(&product["version"])
    };
    for (patch, pointer) in [
        (json!({"images": ["http://pictures.example/2.jpg"]}), "/images/0"),
        (json!({"slug": "A.B"}), "/slug"),
        (json!({"name": null}), "/name"),
        (json!({"colour": "red"}), "/colour"),
        (json!({"brand": "C".repeat(200)}), "/brand"),
    ] {
        let problem = shop.ask(edit(patch)).await.expect_problem(422, "invalid-input");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
        assert_eq!(problem["errors"].as_array().unwrap().len(), 1, "{problem}");
    }
    let edited = shop.ask(edit(json!({"published": false}))).await.expect(200);
    assert_eq!(edited["published"], false);
    assert_eq!(edited["images"], product["images"]);
}

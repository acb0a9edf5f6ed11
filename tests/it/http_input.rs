//! Bad input over HTTP: every kind gets its own no, and nobody gets a 5xx.

use axum::http::Method;
use serde_json::json;

use crate::edge::{Call, eur, shop};

#[tokio::test]
async fn what_cannot_be_read_is_400_and_what_breaks_rules_is_422() {
    let shop = shop().await;
    let (token, sku) = (shop.guest().await, shop.product(1_000, 1).await);
    let put = |media: &str, body: &[u8]| {
        Call::put(format!("/v1/cart/lines/{sku}"))
            .by(&token)
            .raw(media, body)
    };
    let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    let long = format!("{{\"quantity\": 1, \"x\": \"{}\"}}", "a".repeat(300_000));
    for (media, body, status) in [
        ("application/json", &b"{\"quantity\": 1}"[..], 200),
        ("application/json; charset=utf-8", b"{\"quantity\": 1}", 200),
        ("application/json", b"", 400),
        ("application/json", b"{", 400),
        ("application/json", b"{\"quantity\": 1} x", 400),
        ("application/json", b"{\"quantity\": 1, \"quantity\": 2}", 400),
        ("application/json", b"\xff", 400),
        ("application/json", b"{\"quantity\": 1e999}", 400),
        ("application/json", deep.as_bytes(), 400),
        ("application/json", b"[]", 422),
        ("application/json", b"null", 422),
        ("application/json", b"{\"quantity\": true}", 422),
        ("application/json", b"{\"quantity\": 99999999999999999999}", 422),
        ("application/json", long.as_bytes(), 413),
        ("application/json; charset=latin1", b"{\"quantity\": 1}", 415),
        ("text/plain", b"{\"quantity\": 1}", 415),
        ("application/x-www-form-urlencoded", b"quantity=1", 415),
        ("multipart/form-data; boundary=x", b"--x--", 415),
    ] {
        let answer = shop.ask(put(media, body)).await;
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]);
        assert_eq!(answer.status, status, "{media} {shown}");
        if status >= 400 {
            assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        }
    }
    let zipped = put("application/json", b"{\"quantity\": 1}").header("content-encoding", "gzip");
    shop.ask(zipped)
        .await
        .expect_problem(415, "unsupported-media-type");
}

#[tokio::test]
async fn an_unknown_address_is_404_and_an_unknown_method_405() {
    let shop = shop().await;
    for path in [
        "/v1",
        "/v1/nothing",
        "/v1/sales",
        "/v2/cart",
        "/v1/cart/",
        "//v1/cart",
        "/v1/orders/a/b/c",
    ] {
        shop.ask(Call::get(path)).await.expect_problem(404, "not-found");
    }
    for (method, path, allow) in [
        (Method::POST, "/v1/cart", &["GET", "DELETE"][..]),
        (Method::PATCH, "/v1/cart", &["GET", "DELETE"]),
        (Method::DELETE, "/v1/products", &["GET", "POST"]),
        (Method::GET, "/v1/guests", &["POST"]),
        (Method::TRACE, "/v1/guests", &["POST"]),
        (Method::OPTIONS, "/v1/me", &["GET"]),
    ] {
        let answer = shop.ask(Call::new(method.clone(), path)).await;
        answer.expect_problem(405, "method-not-allowed");
        let said = answer.header("allow").unwrap();
        assert!(
            allow.iter().all(|known| said.contains(known)),
            "{method} {path}: {said}"
        );
    }
}

#[tokio::test]
async fn a_monstrous_head_is_refused_with_a_reason() {
    let shop = shop().await;
    let long = format!("/v1/products?q={}", "a".repeat(9_000));
    shop.ask(Call::get(long))
        .await
        .expect_problem(414, "uri-too-long");
    let big = Call::get("/v1/products").header("x-big", "a".repeat(17_000));
    shop.ask(big).await.expect_problem(431, "header-fields-too-large");
    let many = (0..101).fold(Call::get("/v1/products"), |call, n| {
        call.header(&format!("x-{n}"), "1")
    });
    shop.ask(many)
        .await
        .expect_problem(431, "header-fields-too-large");
    let token = "a".repeat(9_000);
    shop.ask(Call::get("/v1/me").by(&token))
        .await
        .expect_problem(401, "invalid-token");
}

#[tokio::test]
async fn keys_are_judged() {
    let shop = shop().await;
    let sku = shop.product(1_000, 1).await;
    let body = json!({"delta": 1, "reason": "x"});
    let adjust = || {
        Call::post(format!("/v1/stock/{sku}/adjustments"))
            .by(&shop.seller)
            .json(&body)
    };
    shop.ask(adjust())
        .await
        .expect_problem(400, "idempotency-key-missing");
    shop.ask(adjust().key(&"k".repeat(256)))
        .await
        .expect_problem(400, "malformed-request");
    shop.ask(adjust().key(""))
        .await
        .expect_problem(400, "malformed-request");
    shop.ask(adjust().key("a").key("b"))
        .await
        .expect_problem(400, "malformed-request");
    shop.ask(adjust().key(&"k".repeat(255))).await.expect(200);
    shop.ask(adjust().key("with blanks ~!")).await.expect(200);
    // Order and blanks of the body do not matter, nor how a number is spelled.
    let respelled = Call::post(format!("/v1/stock/{sku}/adjustments"))
        .by(&shop.seller)
        .key("with blanks ~!")
        .raw("application/json", "{ \"reason\" : \"\\u0078\", \"delta\":1 }");
    assert_eq!(
        shop.ask(respelled).await.header("idempotent-replayed"),
        Some("true")
    );
}

#[tokio::test]
async fn a_trace_goes_through() {
    let shop = shop().await;
    let id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let call = Call::get("/v1/nothing").header("traceparent", format!("00-{id}-00f067aa0ba902b7-01"));
    let problem = shop.ask(call).await.expect_problem(404, "not-found");
    assert_eq!(problem["trace_id"], id);
}

#[tokio::test]
async fn a_principal_is_told_its_limit() {
    let shop = shop().await;
    let token = shop.guest().await;
    let cart = shop.ask(Call::get("/v1/cart").by(&token)).await;
    assert!(
        cart.header("ratelimit-policy")
            .unwrap()
            .starts_with("\"principal\";q=")
    );
    assert!(cart.header("ratelimit").unwrap().contains(";r="));
}

#[tokio::test]
async fn probes_and_the_document_are_there() {
    let shop = shop().await;
    shop.ask(Call::get("/healthz")).await.expect(200);
    shop.ask(Call::get("/readyz")).await.expect(200);
    let document = shop.ask(Call::get("/openapi.json")).await;
    assert!(document.header("etag").is_some());
    let document = document.expect(200);
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["x-problem-types"].as_array().unwrap().len() > 20);
    let figures = shop.ask(Call::get("/metrics")).await;
    assert_eq!(figures.status, 200);
    let figures = String::from_utf8(figures.bytes).unwrap();
    for name in ["process_cpu_seconds_total", "process_resident_memory_bytes"] {
        assert!(figures.contains(&format!("\n{name} ")), "{figures}");
    }
    let sku = shop.product(1_000, 0).await;
    let seen = shop
        .ask(Call::get(format!("/v1/products/{sku}")))
        .await
        .expect(200);
    assert_eq!(seen["price"], eur(1_000));
}

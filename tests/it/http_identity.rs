//! Identity over HTTP: guests, accounts, sessions, and what a guest takes along.

use serde_json::{Value, json};

use crate::edge::{Call, shop};

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn registration(email: &str) -> Value {
    json!({"email": email, "password": "correct horse battery", "name": "Ada Lovelace"})
}

#[tokio::test]
async fn a_guest_is_somebody_and_nobody_is_not() {
    let shop = shop().await;
    let tokens = shop.ask(Call::post("/v1/guests")).await.expect(201);
    assert_eq!(tokens["expires_in"], 900);
    let me = shop
        .ask(Call::get("/v1/me").by(text(&tokens["access_token"])))
        .await
        .expect(200);
    assert_eq!(me["customer_id"], tokens["customer_id"]);
    assert_eq!(me["roles"], json!(["shopper"]));
    assert_eq!(me["email"], Value::Null);

    shop.ask(Call::get("/v1/me"))
        .await
        .expect_problem(401, "unauthenticated");
    for bad in ["x", "a.b.c", text(&tokens["refresh_token"])] {
        shop.ask(Call::get("/v1/me").by(bad))
            .await
            .expect_problem(401, "invalid-token");
    }
    let basic = Call::get("/v1/me").header("authorization", "Basic YTpi");
    shop.ask(basic).await.expect_problem(401, "invalid-token");
}

#[tokio::test]
async fn an_account_is_made_once_and_says_what_is_wrong() {
    let shop = shop().await;
    let email = format!("{}@example.org", shop.fresh("ada"));
    let register = |body: &Value| Call::post("/v1/customers").json(body);
    let tokens = shop.ask(register(&registration(&email))).await.expect(201);
    let me = shop
        .ask(Call::get("/v1/me").by(text(&tokens["access_token"])))
        .await
        .expect(200);
    assert_eq!(
        (text(&me["email"]), text(&me["name"])),
        (email.as_str(), "Ada Lovelace")
    );
    let again = registration(&email.to_uppercase());
    shop.ask(register(&again))
        .await
        .expect_problem(409, "email-taken");

    let bad = json!({"email": "no", "password": "short", "nickname": "x"});
    let problem = shop
        .ask(register(&bad))
        .await
        .expect_problem(422, "invalid-input");
    let pointers: Vec<_> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| text(&e["pointer"]))
        .collect();
    assert_eq!(pointers, ["/email", "/password", "/name", "/nickname"]);
    let common = json!({"email": email, "password": "password1", "name": "x"});
    let problem = shop
        .ask(register(&common))
        .await
        .expect_problem(422, "invalid-input");
    assert_eq!(problem["errors"][0]["pointer"], "/password");
}

#[tokio::test]
async fn an_unknown_address_and_a_wrong_password_look_the_same() {
    let shop = shop().await;
    let email = format!("{}@example.org", shop.fresh("grace"));
    shop.ask(Call::post("/v1/customers").json(&registration(&email)))
        .await
        .expect(201);
    let sign_in = |email: &str, password: &str| {
        Call::post("/v1/sessions").json(&json!({"email": email, "password": password}))
    };
    let wrong = shop
        .ask(sign_in(&email, "wrong"))
        .await
        .expect_problem(401, "wrong-credentials");
    let unknown = shop
        .ask(sign_in(&shop.fresh("x"), "wrong"))
        .await
        .expect_problem(401, "wrong-credentials");
    assert_eq!(wrong["detail"], unknown["detail"]);
    shop.ask(sign_in(&email, "correct horse battery"))
        .await
        .expect(200);

    // Five guesses a minute; then the limit speaks, with everything a limit says.
    let mut answer = shop.ask(sign_in(&email, "wrong")).await;
    for _ in 0..5 {
        answer = shop.ask(sign_in(&email, "wrong")).await;
    }
    answer.expect_problem(429, "too-many-requests");
    for needed in ["retry-after", "ratelimit", "ratelimit-policy"] {
        assert!(answer.header(needed).is_some(), "{needed}");
    }
}

#[tokio::test]
async fn a_refresh_token_works_once_and_takes_its_family_with_it() {
    let shop = shop().await;
    let first = shop.ask(Call::post("/v1/guests")).await.expect(201);
    let refresh = |token: &Value| Call::post("/v1/sessions/refresh").json(&json!({"refresh_token": token}));
    let second = shop.ask(refresh(&first["refresh_token"])).await.expect(200);
    assert_eq!(first["customer_id"], second["customer_id"]);
    let me = Call::get("/v1/me").by(text(&second["access_token"]));
    shop.ask(me.clone()).await.expect(200);
    shop.ask(refresh(&first["refresh_token"]))
        .await
        .expect_problem(401, "invalid-refresh-token");
    shop.ask(refresh(&second["refresh_token"]))
        .await
        .expect_problem(401, "invalid-refresh-token");
    shop.ask(me).await.expect_problem(401, "invalid-token");
}

#[tokio::test]
async fn signing_out_ends_the_token_at_once() {
    let shop = shop().await;
    let token = shop.guest().await;
    shop.ask(Call::delete("/v1/sessions/current").by(&token))
        .await
        .expect(204);
    shop.ask(Call::get("/v1/me").by(&token))
        .await
        .expect_problem(401, "invalid-token");
}

#[tokio::test]
async fn a_guest_who_registers_keeps_its_cart() {
    let shop = shop().await;
    let (guest, sku) = (shop.guest().await, shop.product(1_000, 5).await);
    let cart = shop.put(&guest, &sku, 3).await.expect(200);
    let email = format!("{}@example.org", shop.fresh("reg"));
    let tokens = shop
        .ask(Call::post("/v1/customers").by(&guest).json(&registration(&email)))
        .await
        .expect(201);
    let kept = shop
        .ask(Call::get("/v1/cart").by(text(&tokens["access_token"])))
        .await
        .expect(200);
    assert_eq!(kept, cart);
    shop.ask(Call::get("/v1/cart").by(&guest))
        .await
        .expect_problem(401, "invalid-token");
}

#[tokio::test]
async fn a_guest_who_signs_in_brings_its_cart_once() {
    let shop = shop().await;
    let (one, two) = (shop.product(1_000, 5).await, shop.product(2_000, 5).await);
    let email = format!("{}@example.org", shop.fresh("merge"));
    let tokens = shop
        .ask(Call::post("/v1/customers").json(&registration(&email)))
        .await
        .expect(201);
    shop.put(text(&tokens["access_token"]), &one, 60)
        .await
        .expect(200);
    let guest = shop.guest().await;
    shop.put(&guest, &one, 50).await.expect(200);
    shop.put(&guest, &two, 1).await.expect(200);
    let sign_in = Call::post("/v1/sessions")
        .json(&json!({"email": email, "password": "correct horse battery"}))
        .by(&guest);
    for _ in 0..2 {
        let tokens = shop.ask(sign_in.clone()).await.expect(200);
        let cart = shop
            .ask(Call::get("/v1/cart").by(text(&tokens["access_token"])))
            .await
            .expect(200);
        let lines: Vec<_> = cart["lines"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| (&line["sku"], &line["quantity"]))
            .collect();
        assert_eq!(lines, [(&json!(one), &json!(99)), (&json!(two), &json!(1))]);
    }
}

#[tokio::test]
async fn a_password_is_changed_for_the_old_one_and_reset_without_telling() {
    let shop = shop().await;
    let email = format!("{}@example.org", shop.fresh("pw"));
    let tokens = shop
        .ask(Call::post("/v1/customers").json(&registration(&email)))
        .await
        .expect(201);
    let token = text(&tokens["access_token"]);
    let change = |from: &str, to: &str| {
        Call::put("/v1/me/password").json(&json!({"current_password": from, "new_password": to}))
    };
    let new = "staple of correct horses";
    shop.ask(change("wrong", new).by(token))
        .await
        .expect_problem(403, "forbidden");
    shop.ask(change("correct horse battery", "short").by(token))
        .await
        .expect_problem(422, "invalid-input");
    shop.ask(change("correct horse battery", new).by(token))
        .await
        .expect(204);
    shop.ask(Call::get("/v1/me").by(token)).await.expect(200);
    let sign_in = Call::post("/v1/sessions").json(&json!({"email": email, "password": new}));
    shop.ask(sign_in).await.expect(200);
    let guest = shop.guest().await;
    shop.ask(change("x", new).by(&guest))
        .await
        .expect_problem(403, "forbidden");

    let reset = |email: &str| Call::post("/v1/password-resets").json(&json!({"email": email}));
    let known = shop.ask(reset(&email)).await;
    let unknown = shop.ask(reset("nobody@example.org")).await;
    assert_eq!((known.status, unknown.status), (202, 202));
    assert_eq!(known.bytes, unknown.bytes);
    let forged = Call::put("/v1/password-resets/gsp_x").json(&json!({"password": new}));
    shop.ask(forged).await.expect_problem(404, "not-found");
}

#[tokio::test]
async fn the_keys_are_public_and_cached_by_their_bytes() {
    let shop = shop().await;
    let keys = shop.ask(Call::get("/.well-known/jwks.json")).await;
    assert_eq!(keys.expect(200)["keys"][0]["crv"], "Ed25519");
    let tag = keys.header("etag").unwrap();
    let again = shop
        .ask(Call::get("/.well-known/jwks.json").header("if-none-match", tag))
        .await;
    assert_eq!((again.status, again.bytes.len()), (304, 0));
    assert_eq!(again.header("etag"), Some(tag));
}

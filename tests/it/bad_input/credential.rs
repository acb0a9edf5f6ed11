//! Access tokens as an attacker would write them (RFC 8725), and other things in their place.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::edge::{Call, Shop, shop};

/// Signs with the key that the node signs with: so only what is signed is wrong.
struct Forge {
    pair: Ed25519KeyPair,
    header: Value,
    claims: Value,
}

impl Forge {
    async fn open(shop: &Shop) -> Self {
        let keys = shop.ask(Call::get("/.well-known/jwks.json")).await.expect(200);
        let tokens = shop.ask(Call::post("/v1/guests")).await.expect(201);
        let now = shop.now().0 / 1_000;
        Self {
            pair: Ed25519KeyPair::from_pkcs8_maybe_unchecked(&shop.signing_key).unwrap(),
            header: json!({"typ": "at+jwt", "alg": "EdDSA", "kid": keys["keys"][0]["kid"]}),
            claims: json!({
                "iss": "globalshop", "aud": "globalshop", "sub": tokens["customer_id"], "exp": now + 900,
                "nbf": now, "iat": now, "jti": "0197f0a4-0000-7000-8000-000000000001", "roles": ["operator"],
            }),
        }
    }

    fn message(header: &Value, claims: &Value) -> String {
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        format!("{}.{}", part(header), part(claims))
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = Self::message(header, claims);
        let signature = self.pair.sign(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn with_header(&self, name: &str, value: Value) -> String {
        let mut header = self.header.clone();
        header[name] = value;
        self.sign(&header, &self.claims)
    }

    fn with_claim(&self, name: &str, value: Value) -> String {
        let mut claims = self.claims.clone();
        if value.is_null() {
            claims.as_object_mut().unwrap().shift_remove(name);
        } else {
            claims[name] = value;
        }
        self.sign(&self.header, &claims)
    }
}

#[tokio::test]
async fn only_a_token_of_ours_is_a_token() {
    let shop = shop().await;
    let forge = Forge::open(shop).await;
    let good = forge.sign(&forge.header, &forge.claims);
    let tree = |token: &str| Call::get("/ops/v1/tree?limit=1").by(token);
    shop.ask(tree(&good)).await.expect(200);
    let now = shop.now().0 / 1_000;
    let (message, signature) = good.rsplit_once('.').unwrap();
    let public = forge.pair.public_key().as_ref().to_vec();
    let mut confused = forge.header.clone();
    confused["alg"] = json!("HS256");
    let confused = Forge::message(&confused, &forge.claims);
    let tag = |secret: &[u8]| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let tag = hmac::sign(&key, confused.as_bytes());
        format!("{confused}.{}", URL_SAFE_NO_PAD.encode(tag))
    };
    let mut unsigned = forge.header.clone();
    unsigned["alg"] = json!("none");
    let unsigned = Forge::message(&unsigned, &forge.claims);
    let bad = [
        format!("{unsigned}."),
        format!("{unsigned}.{signature}"),
        unsigned,
        tag(&public),
        tag(URL_SAFE_NO_PAD.encode(&public).as_bytes()),
        tag(b""),
        format!("{message}."),
        format!("{message}.AA"),
        format!("{message}.{}", URL_SAFE_NO_PAD.encode([0; 64])),
        format!("{message}.{signature}=="),
        format!("{good}.a.b"),
        format!("{good}{}", "A".repeat(9_000)),
        forge.with_header("alg", json!("None")),
        forge.with_header("alg", json!("ES256")),
        forge.with_header("alg", json!("RS256")),
        forge.with_header("alg", json!(["EdDSA"])),
        forge.with_header("typ", json!("JWT")),
        forge.with_header("typ", json!("application/at+jwt")),
        forge.with_header("kid", json!("../../../../dev/null")),
        forge.with_header("kid", json!("' union select 'key' --")),
        forge.with_header("kid", json!("")),
        forge.with_header("kid", json!("k".repeat(3_000))),
        forge.with_header("jku", json!("http://169.254.169.254/jwks.json")),
        forge.with_header("x5u", json!("file:///etc/passwd")),
        forge.with_header(
            "jwk",
            json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(&public)}),
        ),
        forge.with_header("crit", json!(["exp"])),
        forge.with_header("b64", json!(false)),
        forge.with_header("zip", json!("DEF")),
        forge.with_claim("iss", json!("https://elsewhere.example")),
        forge.with_claim("aud", json!("elsewhere")),
        forge.with_claim("aud", json!(["globalshop", "elsewhere"])),
        forge.with_claim("sub", Value::Null),
        forge.with_claim("sub", json!("operator")),
        forge.with_claim("exp", Value::Null),
        forge.with_claim("exp", json!((now + 900).to_string())),
        forge.with_claim("exp", json!(now - 1)),
        forge.with_claim("exp", json!(i64::MAX)),
        forge.with_claim("exp", json!(1e300)),
        forge.with_claim("nbf", Value::Null),
        forge.with_claim("nbf", json!(now + 3_600)),
        forge.with_claim("iat", json!(now - 86_400)),
        forge.with_claim("roles", json!(["root"])),
        forge.with_claim("roles", json!("operator")),
        forge.with_claim("sid", json!("0197f0a4-0000-7000-8000-00000000dead")),
    ];
    for token in bad {
        let answer = shop.ask(tree(&token)).await;
        assert_eq!(answer.status, 401, "{token:.300}");
        answer.expect_problem(401, "invalid-token");
        shop.ask(tree(&good)).await.expect(200);
    }
}

#[tokio::test]
async fn what_is_no_bearer_token_is_none() {
    let shop = shop().await;
    let tokens = shop.ask(Call::post("/v1/guests")).await.expect(201);
    let text = |name: &str| tokens[name].as_str().unwrap().to_owned();
    for value in [
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        "Bearer null".to_owned(),
        format!("Bearer {}", text("refresh_token")),
        format!("Bearer {},{}", text("access_token"), text("access_token")),
        format!("Basic {}", text("access_token")),
        text("access_token"),
        "Digest username=\"x\"".to_owned(),
        "\u{ff}".to_owned(),
    ] {
        let call = Call::get("/v1/me").header("authorization", value);
        shop.ask(call).await.expect_problem(401, "invalid-token");
    }
    let twice = Call::get("/v1/me")
        .by(&text("access_token"))
        .by(&text("access_token"));
    shop.ask(twice).await.expect_problem(401, "invalid-token");
    // A good token in the wrong place is nowhere.
    let access = text("access_token");
    for call in [
        Call::get(format!("/v1/me?access_token={access}")),
        Call::get("/v1/me").header("cookie", format!("session={access}")),
        Call::get("/v1/me").header("x-access-token", access.clone()),
    ] {
        shop.ask(call).await.expect_problem(401, "unauthenticated");
    }
    let refresh = |token: String| Call::post("/v1/sessions/refresh").json(&json!({ "refresh_token": token }));
    for token in [access, String::new(), "gsr_".to_owned(), "x".repeat(1_000)] {
        shop.ask(refresh(token))
            .await
            .expect_problem(401, "invalid-refresh-token");
    }
}

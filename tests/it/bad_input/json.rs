//! Bodies: every value of every body of `/openapi.json`, replaced by everything it must not be.

use globalshop::accounts::Role;
use serde_json::{Value, json};

use crate::edge::{Call, Shop, shop};
use crate::security::Person;

/// What stands in the place of a value: written as it comes over the wire, for some of it no JSON
/// reader would write.
const INSTEAD: &[&str] = &[
    "null",
    "true",
    "{}",
    "[]",
    "[[]]",
    "\"\"",
    "\" \"",
    "\"\\u0000\"",
    "\"a\\u0000b\"",
    "\"\\ud800\"",
    "\"\\ud83d\\ude00\"",
    "\"\\u202ecod.exe\"",
    "\"\\r\\nSet-Cookie: a=b\"",
    "\"'; drop table customer; --\"",
    "\"{1,2}\"",
    "\"-1\"",
    "-1",
    "0",
    "-0",
    "0.5",
    "1e309",
    "-1e309",
    "1e-400",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "18446744073709551616",
    "2147483648",
    "{\"amount\": 1, \"amount\": 2}",
    "{\"__proto__\": {}}",
];

/// Paths to every value of `json`, itself included.
fn places(json: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match json {
        Value::Object(members) => {
            for (name, value) in members {
                places(
                    value,
                    &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")),
                    found,
                );
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                places(item, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// The body with `text` in the place of a value, whatever it is.
fn replaced(body: &Value, at: &str, text: &str) -> String {
    const MARK: &str = "\u{1}here\u{1}";
    let mut body = body.clone();
    *body.pointer_mut(at).unwrap() = json!(MARK);
    body.to_string().replace(&json!(MARK).to_string(), text)
}

struct Body {
    call: Call,
    /// Who may, if not everybody.
    role: Option<Role>,
    name: String,
    media: String,
    example: Value,
}

impl Body {
    /// The call by somebody new, whose limits nobody has used.
    async fn by_somebody(&self, shop: &Shop) -> Call {
        match self.role {
            Some(role) => self
                .call
                .clone()
                .by(&Person::passing(shop, role).signed_token(shop).await),
            None => self.call.clone(),
        }
    }
}

/// Every call with a JSON body, as the document shows it.
async fn bodies(shop: &Shop) -> Vec<Body> {
    let document = shop.ask(Call::get("/openapi.json")).await.expect(200);
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let content = operation["requestBody"]["content"].as_object();
            let Some((media, body)) = content.and_then(|content| content.iter().next()) else {
                continue;
            };
            if !media.ends_with("json") {
                continue;
            }
            let mut address = path.clone();
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                if parameter["in"] == "path" {
                    let name = format!("{{{}}}", parameter["name"].as_str().unwrap());
                    address = address.replace(&name, parameter["example"].as_str().unwrap());
                }
            }
            let role = if path.starts_with("/ops") {
                Role::Operator
            } else if path.contains("cart") || path.starts_with("/v1/orders") {
                Role::Shopper
            } else {
                Role::Seller
            };
            let call = Call::new(method.to_uppercase().parse().unwrap(), address);
            let call = call.header("if-match", "\"v1\"");
            let is_for_role = !["/v1/sessions", "/v1/customers", "/v1/password-resets"]
                .iter()
                .any(|open| path.starts_with(open));
            found.push(Body {
                call,
                role: is_for_role.then_some(role),
                name: format!("{method} {path}"),
                media: media.clone(),
                example: body["example"].clone(),
            });
        }
    }
    assert!(found.len() > 15, "{} bodies", found.len());
    found
}

#[tokio::test]
async fn no_value_of_any_body_is_too_strange() {
    let shop = shop().await;
    for body in bodies(shop).await {
        let Body {
            name, media, example, ..
        } = &body;
        // Roles and passwords of the accounts of other tests stay as they are.
        if *name == "put /v1/me/password" {
            continue;
        }
        let mut found = Vec::new();
        places(example, "", &mut found);
        for place in found {
            let call = body.by_somebody(shop).await;
            let mut texts: Vec<String> = INSTEAD.iter().map(|text| (*text).to_owned()).collect();
            texts.push(format!("\"{}\"", "\u{1F600}".repeat(5_000)));
            texts.push(format!("{}{}", "[".repeat(40), "]".repeat(40)));
            for text in texts {
                let text_of_body = replaced(example, &place, &text);
                let call = call
                    .clone()
                    .key(&shop.fresh("bad"))
                    .raw(media, text_of_body.clone());
                let answer = shop.ask(call).await;
                let what = format!("{name} {place}: {text_of_body:.200}");
                // 5xx would have failed in `ask`; what is refused is refused with a reason.
                assert_ne!(answer.status, 503, "{what}");
                if answer.status >= 400 {
                    assert_eq!(
                        answer.header("content-type"),
                        Some("application/problem+json"),
                        "{what}"
                    );
                    let problem = answer.json();
                    let errors = problem["errors"].as_array().map_or(0, Vec::len);
                    let is_input = problem["type"] == "/problems/invalid-input";
                    assert_eq!(is_input, errors > 0, "{what}: {problem}");
                }
                let strange =
                    text.contains("e309") || text.contains("ud800") || text.contains("\"amount\": 2");
                if strange && ![401, 404].contains(&answer.status) {
                    assert_eq!(answer.status, 400, "{what} is no JSON that we read");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_field_more_is_named_and_one_missing_too() {
    let shop = shop().await;
    for body in bodies(shop).await {
        let Body {
            name, media, example, ..
        } = &body;
        // Its caller proves itself first.
        if name.contains("webhooks") || !example.is_object() {
            continue;
        }
        let mut more = example.clone();
        for field in ["price_override", "role", "is_admin"] {
            more[field] = json!("operator");
        }
        let call = body
            .by_somebody(shop)
            .await
            .key(&shop.fresh("bad"))
            .raw(media, more.to_string());
        let answer = shop.ask(call).await;
        // What the example is about may not be there, and that is found out first.
        if answer.status == 404 {
            continue;
        }
        let problem = answer.expect_problem(422, "invalid-input");
        let errors = problem["errors"].to_string();
        assert!(errors.contains("/is_admin"), "{name}: {errors}");
    }
}

#[tokio::test]
async fn bodies_come_plain_and_whole() {
    let shop = shop().await;
    let token = shop.guest().await;
    let sku = shop.product(1_000, 1).await;
    let put = || Call::put(format!("/v1/cart/lines/{sku}")).by(&token);
    for coding in ["gzip", "br", "deflate", "zstd", "identity, gzip"] {
        let call = put().header("content-encoding", coding);
        shop.ask(call.raw("application/json", vec![0x1f, 0x8b, 8, 0]))
            .await
            .expect_problem(415, "unsupported-media-type");
    }
    for (bytes, status) in [
        (&b"\xef\xbb\xbf{\"quantity\": 1}"[..], 400),
        (b"\xff\xfe{\0", 400),
        (b"{\"quantity\": 1}\0", 400),
        (b"{\"quantity\": 1}{}", 400),
        (b"{\"quantity\": 1,}", 400),
        (b"{quantity: 1}", 400),
        (b"{\"quantity\": 01}", 400),
        (b"{\"quantity\": 1.}", 400),
        (b"{\"quantity\": NaN}", 400),
        (b"{\"quantity\": 1.0}", 422),
        (b"{\"quantity\": 1e1}", 422),
        (b"{\"quantity\": 1.5}", 422),
    ] {
        let answer = shop.ask(put().raw("application/json", bytes)).await;
        assert_eq!(answer.status, status, "{}", bytes.escape_ascii());
    }
}

//! The contract as a document: OpenAPI 3.1, generated from the routes.
//!
//! A route says what is particular about it; [`complete`](complete::complete) adds what every route
//! has (which statuses its inputs can lead to, an example of every body), so that nothing a caller
//! can be answered is missing.

mod complete;
mod example;

use std::sync::LazyLock;

use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use serde_json::{Value, json};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder, tag::TagBuilder};
use utoipa::{IntoParams, ToSchema as _};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Edge;
use super::etag;
use super::problem::{ProblemShape, kind};

/// The media type of the document.
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/json");

pub(super) fn routes() -> OpenApiRouter<Edge> {
    OpenApiRouter::new().routes(routes!(document))
}

/// What the document says before any route.
pub(super) fn base() -> OpenApi {
    let mut named = Vec::new();
    ProblemShape::schemas(&mut named);
    let components = ComponentsBuilder::new()
        .schema(
            ProblemShape::name(),
            <ProblemShape as utoipa::PartialSchema>::schema(),
        )
        .schemas_from_iter(named)
        .security_scheme(
            "bearer",
            SecurityScheme::Http(
                HttpBuilder::new()
                    .scheme(HttpAuthScheme::Bearer)
                    .bearer_format("JWT")
                    .description(Some(
                        "An access token. A route that names a role needs that role.",
                    ))
                    .build(),
            ),
        )
        .security_scheme(
            "session",
            SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
                "session",
                "The cookie of the pages. Unsafe methods also need a same-origin Origin and X-CSRF-Token.",
            ))),
        )
        .build();
    let tag = |name: &str, about: &str| TagBuilder::new().name(name).description(Some(about)).build();
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("GlobalShop")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(include_str!("openapi/conventions.md")))
                .license(Some(
                    utoipa::openapi::info::LicenseBuilder::new()
                        .name("MIT OR Apache-2.0")
                        .identifier(Some("MIT OR Apache-2.0"))
                        .build(),
                ))
                .build(),
        )
        .tags(Some([
            tag("Identity", "Guests, customers, sessions, passwords."),
            tag("Catalogue", "Products, categories, prices."),
            tag("Stock", "What there is of a SKU."),
            tag("Cart", "What a shopper means to buy, and buying it."),
            tag("Orders", "What was bought, and each step after it."),
            tag("Webhooks", "What payment providers tell us."),
            tag("Operations", "Whether the node lives, and its figures."),
        ]))
        .components(Some(components))
        .build()
}

/// The whole document.
pub static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let (_, api) = Edge::api().split_for_parts();
    let mut document = serde_json::to_value(api).unwrap_or_default();
    document["x-problem-types"] = kind::ALL
        .iter()
        .map(|kind| {
            json!({
                "type": kind.uri(), "title": kind.title, "status": kind.status,
                "description": kind.explanation,
            })
        })
        .collect();
    complete::complete(&mut document);
    document
});

static DOCUMENT_BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| DOCUMENT.to_string().into_bytes());

/// This document
#[utoipa::path(
    get, path = "/openapi.json", tag = "Operations",
    responses((
        status = 200, description = "OpenAPI 3.1.", body = serde_json::Value,
        example = json!({"openapi": "3.1.0", "info": {"title": "GlobalShop", "version": "0.1.0"}, "paths": {}})
    ))
)]
async fn document(headers: HeaderMap) -> Response {
    etag::public_bytes(&headers, DOCUMENT_BYTES.clone(), MEDIA_TYPE, "openapi")
}

/// The header of a keyed call.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes what `idempotency::Once` reads")]
pub struct KeyHeader {
    /// 1 to 255 printable characters of your own making. The same key with the same body gives the
    /// first answer again, with `Idempotent-Replayed: true`.
    #[param(
        rename = "Idempotency-Key",
        example = "0197f0a4-checkout-1",
        min_length = 1,
        max_length = 255,
        pattern = r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$"
    )]
    idempotency_key: String,
}

/// The header of an edit.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes what `etag::IfMatch` reads")]
pub struct VersionHeader {
    /// The version you saw.
    #[param(
        rename = "If-Match",
        example = "\"v3\"",
        max_length = 20,
        pattern = r#"^"v[0-9]{1,17}"$"#
    )]
    if_match: String,
}

/// The header of a read that wants to see a write.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes what `position::Position` reads")]
pub struct PositionHeader {
    /// The `Position` of your write: the list waits up to 500 ms until it includes it, else it
    /// answers with its `Age`.
    #[param(rename = "Position", example = "12-345", pattern = "^[0-9]{1,4}-[0-9]{1,17}$")]
    position: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::shape;

    fn operations() -> impl Iterator<Item = (String, &'static Value)> {
        DOCUMENT["paths"]
            .as_object()
            .into_iter()
            .flatten()
            .flat_map(|(path, item)| {
                item.as_object()
                    .into_iter()
                    .flatten()
                    .map(move |(method, operation)| (format!("{method} {path}"), operation))
            })
    }

    /// Resolves references, so that a schema stands for itself.
    fn inlined(schema: &Value) -> Value {
        match schema {
            Value::Object(members) => match members.get("$ref").and_then(Value::as_str) {
                Some(name) => {
                    let name = name.rsplit('/').next().unwrap();
                    inlined(&DOCUMENT["components"]["schemas"][name])
                }
                None => members
                    .iter()
                    .map(|(name, value)| (name.clone(), inlined(value)))
                    .collect(),
            },
            Value::Array(items) => items.iter().map(inlined).collect(),
            plain => plain.clone(),
        }
    }

    #[test]
    fn it_is_openapi_3_1_with_every_reference_explained() {
        assert_eq!(DOCUMENT["openapi"], "3.1.0");
        let text = DOCUMENT.to_string();
        for piece in text.split("\"#/components/schemas/").skip(1) {
            let name = piece.split('"').next().unwrap();
            assert!(!DOCUMENT["components"]["schemas"][name].is_null(), "{name}");
        }
    }

    /// Every input is checked by its own schema, so every schema must be one that can be enforced,
    /// and its example must pass.
    #[test]
    fn every_input_has_a_shape_and_an_example_that_has_it() {
        for (name, operation) in operations() {
            if let Some(body) = operation.get("requestBody") {
                assert!(body["content"].is_object(), "{name}: a body of no kind");
            }
            for (media, content) in operation["requestBody"]["content"]
                .as_object()
                .into_iter()
                .flatten()
            {
                let example = &content["example"];
                assert!(!example.is_null(), "{name} has no example");
                if media != "application/json" || name.contains("/webhooks/") {
                    continue;
                }
                let shape =
                    shape::of_schema(&inlined(&content["schema"])).unwrap_or_else(|e| panic!("{name}: {e}"));
                assert_eq!(shape.faults(example), [], "{name}: {example}");
            }
        }
    }

    #[test]
    fn every_answer_is_described_with_an_example() {
        let mut ids = std::collections::BTreeSet::new();
        for (name, operation) in operations() {
            let id = operation["operationId"]
                .as_str()
                .unwrap_or_else(|| panic!("{name} has no id"));
            assert!(ids.insert(id), "{id} twice");
            let answers = operation["responses"].as_object().unwrap();
            for needed in ["429", "431", "503", "500"] {
                assert!(answers.contains_key(needed), "{name} {needed}");
            }
            for (status, answer) in answers {
                let number: u16 = status.parse().unwrap();
                if matches!(number, 204 | 304) {
                    continue;
                }
                let content = answer["content"]
                    .as_object()
                    .unwrap_or_else(|| panic!("{name} {status}"));
                for (media, content) in content {
                    assert!(!content["example"].is_null(), "{name} {status} {media}");
                    assert_eq!(
                        number >= 400,
                        media == "application/problem+json",
                        "{name} {status}"
                    );
                }
            }
        }
    }
}

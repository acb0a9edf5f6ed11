//! What every operation has in common, added where it applies.

use serde_json::{Map, Value, json};

use super::example::example;
use crate::http::problem::kind;

/// Adds to each operation the answers its inputs can lead to, and an example to each body.
pub(super) fn complete(document: &mut Value) {
    open_parts(&mut document["components"]["schemas"]);
    let schemas = document["components"]["schemas"].clone();
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    for (path, item) in paths {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            let statuses = implied_statuses(method, path, operation);
            let answers = &mut operation["responses"];
            for status in statuses {
                add_problem(answers, status);
            }
            for (status, answer) in answers.as_object_mut().into_iter().flatten() {
                match status.parse::<u16>() {
                    Ok(number) if number >= 400 => fill_problem(answer, number),
                    _ => add_examples(answer, &schemas),
                }
            }
            if let Some(body) = operation.get_mut("requestBody") {
                add_examples(body, &schemas);
            }
            sort_answers(&mut operation["responses"]);
        }
    }
}

/// A schema that refuses unknown fields cannot be one part of another, which has more: there its
/// fields are written out, and the refusal is left out.
fn open_parts(schemas: &mut Value) {
    let closed = schemas.clone();
    let wholes = schemas.as_object_mut().into_iter().flatten();
    let parts = wholes.filter_map(|(_, whole)| whole.get_mut("allOf")?.as_array_mut());
    for part in parts.flatten() {
        let named = part.get("$ref").and_then(Value::as_str);
        let named = named.and_then(|path| path.strip_prefix("#/components/schemas/"));
        let Some(Value::Object(fields)) = named.and_then(|name| closed.get(name)) else {
            continue;
        };
        let mut fields = fields.clone();
        if fields.remove("additionalProperties") == Some(Value::Bool(false)) {
            *part = Value::Object(fields);
        }
    }
}

/// The statuses that follow from what an operation takes.
fn implied_statuses(method: &str, path: &str, operation: &Value) -> Vec<u16> {
    let parameters = || operation["parameters"].as_array().into_iter().flatten();
    let takes = |place: &str| parameters().any(|parameter| parameter["in"] == place);
    let header =
        |name: &str| parameters().any(|parameter| parameter["in"] == "header" && parameter["name"] == name);
    let mut statuses = vec![400, 414, 429, 431, 500, 503];
    let security = operation["security"].as_array().into_iter().flatten();
    if security.clone().next().is_some() {
        statuses.extend([401, 403]);
    }
    if takes("path") {
        statuses.push(404);
    }
    if !operation["requestBody"].is_null() {
        statuses.extend([408, 413, 415, 422]);
    }
    if takes("query") {
        statuses.push(422);
    }
    if header("Idempotency-Key") {
        statuses.extend([409, 422]);
    }
    if header("If-Match") {
        statuses.extend([412, 428]);
    }
    if path == "/v1/sessions" {
        statuses.push(401);
    }
    // What anybody may see has a tag.
    if method == "get"
        && operation["security"].is_null()
        && !matches!(path, "/healthz" | "/readyz" | "/metrics")
    {
        statuses.push(304);
    }
    statuses
}

fn add_problem(answers: &mut Value, status: u16) {
    if let Some(answers) = answers.as_object_mut() {
        answers.entry(status.to_string()).or_insert_with(|| {
            let description = match status {
                304 => "You have these bytes already.".to_owned(),
                _ => titles(status),
            };
            json!({ "description": description })
        });
    }
}

fn titles(status: u16) -> String {
    let kinds = kind::ALL.iter().filter(|kind| kind.status == status);
    let titles: Vec<_> = kinds.map(|kind| kind.title).collect();
    format!("{}.", titles.join(", or "))
}

fn fill_problem(answer: &mut Value, status: u16) {
    let kind = kind::ALL.iter().find(|kind| kind.status == status);
    let mut example = json!({
        "type": kind.map(|kind| kind.uri()),
        "title": kind.map(|kind| kind.title),
        "status": status,
        "detail": kind.map(|kind| kind.explanation),
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    });
    if status == 422 {
        example = json!({
            "type": kind::INVALID_INPUT.uri(),
            "title": kind::INVALID_INPUT.title,
            "status": status,
            "detail": kind::INVALID_INPUT.explanation,
            "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
            "errors": [{"pointer": "/lines/0/quantity", "detail": "must be at most 99"}],
        });
    }
    answer["content"] = json!({
        "application/problem+json": {
            "schema": {"$ref": "#/components/schemas/Problem"},
            "example": example,
        }
    });
    let mut headers = Map::new();
    let mut header = |name: &str, about: &str| {
        headers.insert(
            name.to_owned(),
            json!({"description": about, "schema": {"type": "string"}}),
        );
    };
    match status {
        401 => header("WWW-Authenticate", "Which credentials are spoken."),
        429 => {
            header("RateLimit", "What is left of the limit.");
            header("RateLimit-Policy", "The limit.");
            header("Retry-After", "Seconds until it is worth trying again.");
        }
        503 => header("Retry-After", "Seconds until it is worth trying again."),
        _ => {}
    }
    if !headers.is_empty() {
        answer["headers"] = Value::Object(headers);
    }
}

/// Gives every body of a request or an answer an example, made of those of its fields.
fn add_examples(body: &mut Value, schemas: &Value) {
    for (_, content) in body["content"].as_object_mut().into_iter().flatten() {
        if content["example"].is_null() && content["examples"].is_null() {
            let made = example(&content["schema"], schemas, 0);
            content["example"] = made;
        }
    }
    // Looking must not leave nulls behind.
    if let Some(members) = body.as_object_mut() {
        members.retain(|_, value| !value.is_null());
        for (_, content) in members
            .get_mut("content")
            .and_then(Value::as_object_mut)
            .into_iter()
            .flatten()
        {
            if let Some(content) = content.as_object_mut() {
                content.retain(|_, value| !value.is_null());
            }
        }
    }
}

fn sort_answers(answers: &mut Value) {
    if let Some(answers) = answers.as_object_mut() {
        answers.sort_keys();
    }
}

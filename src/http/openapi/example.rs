//! An example of a schema, made of the examples of its fields.

use serde_json::{Map, Value, json};

/// An example of `schema`; `schemas` explain its references.
pub(super) fn example(schema: &Value, schemas: &Value, depth: u8) -> Value {
    if depth > 12 {
        return Value::Null;
    }
    let inner = |schema: &Value| example(schema, schemas, depth + 1);
    if let Some(given) = schema.get("example").or_else(|| schema["examples"].get(0)) {
        return given.clone();
    }
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap_or(name);
        return inner(&schemas[name]);
    }
    if let Some(choice) = schema["enum"].get(0) {
        return choice.clone();
    }
    for key in ["oneOf", "anyOf"] {
        let choices = schema[key].as_array().into_iter().flatten();
        if let Some(choice) = choices.into_iter().find(|choice| choice["type"] != "null") {
            return inner(choice);
        }
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let mut whole = Map::new();
        for part in parts {
            if let Value::Object(members) = inner(part) {
                whole.extend(members);
            }
        }
        return Value::Object(whole);
    }
    let kinds = match &schema["type"] {
        Value::Array(kinds) => kinds
            .iter()
            .find(|kind| *kind != "null")
            .cloned()
            .unwrap_or_default(),
        kind => kind.clone(),
    };
    match kinds.as_str() {
        Some("object") => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            Value::Object(
                properties
                    .map(|(name, schema)| (name.clone(), inner(schema)))
                    .collect(),
            )
        }
        Some("array") => json!([inner(&schema["items"])]),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or(json!(1)),
        Some("boolean") => json!(true),
        Some("string") => json!("text"),
        _ => json!({}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_is_made_of_its_fields() {
        let schemas = json!({"Money": {"type": "object", "properties": {
            "amount": {"type": "integer", "example": 1999}, "currency": {"type": "string", "example": "EUR"},
        }}});
        let schema = json!({"type": "object", "properties": {
            "price": {"$ref": "#/components/schemas/Money"},
            "sale": {"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/Money"}]},
            "tags": {"type": "array", "items": {"type": "string", "enum": ["new", "old"]}},
            "note": {"type": ["string", "null"]},
        }});
        let money = json!({"amount": 1999, "currency": "EUR"});
        assert_eq!(
            example(&schema, &schemas, 0),
            json!({"price": money, "sale": money, "tags": ["new"], "note": "text"})
        );
    }
}

//! The shape of input, taken from the OpenAPI schema of its type.
//!
//! The document that promises what is accepted is the program that accepts it, so the two cannot
//! drift apart. A shape finds every fault at once, each with its JSON pointer.
//!
//! Only the keywords our schemas use are known; `every_input_has_a_shape` in [`super::openapi`]
//! fails when a schema says something this file would not enforce.

mod rule;

use std::any::TypeId;
use std::sync::{Arc, LazyLock};

use dashmap::DashMap;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::problem::Fault;
use rule::Rule;

/// Faults found after this many are not worth reading.
const FAULTS_MAX: usize = 32;

/// What a value must look like.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// Any JSON at all.
    Anything,
    /// Null.
    Null,
    /// True or false.
    Flag,
    /// A number without fraction.
    Integer {
        /// The least.
        min: Option<i64>,
        /// The most.
        max: Option<i64>,
    },
    /// A number.
    Number,
    /// A text.
    Text(Text),
    /// A list.
    List {
        /// What each entry looks like.
        of: Box<Self>,
        /// The fewest entries.
        min: Option<u64>,
        /// The most entries.
        max: Option<u64>,
    },
    /// An object.
    Object {
        /// The fields that are named.
        fields: Vec<Field>,
        /// What becomes of others.
        others: Others,
        /// The most fields.
        max: Option<u64>,
    },
    /// Any one of several.
    Either(Vec<Self>),
}

/// What a text must look like.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Text {
    min: Option<u64>,
    max: Option<u64>,
    rules: Vec<&'static Rule>,
    choices: Vec<String>,
}

/// A field of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    name: String,
    shape: Shape,
    required: bool,
}

/// What becomes of fields that are not named.
#[derive(Clone, Debug, PartialEq)]
pub enum Others {
    /// They are refused.
    Refused,
    /// Each looks like this.
    Each(Box<Shape>),
}

/// A schema says something that a [`Shape`] cannot enforce.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the schema cannot be enforced: {0}")]
pub struct Unknown(String);

type Known = DashMap<TypeId, Arc<Result<Shape, Unknown>>>;
static KNOWN: LazyLock<Known> = LazyLock::new(DashMap::new);

/// The shape of a type's schema; made once.
#[must_use]
pub fn of<T: ToSchema + 'static>() -> Arc<Result<Shape, Unknown>> {
    if let Some(known) = KNOWN.get(&TypeId::of::<T>()) {
        return Arc::clone(&known);
    }
    let mut named = Vec::new();
    T::schemas(&mut named);
    let named: Map<String, Value> = named
        .into_iter()
        .filter_map(|(name, schema)| Some((name, serde_json::to_value(schema).ok()?)))
        .collect();
    let shape = serde_json::to_value(T::schema())
        .map_err(|error| Unknown(error.to_string()))
        .and_then(|schema| Reader { named: &named }.read(&schema, 0));
    let shape = Arc::new(shape);
    KNOWN.insert(TypeId::of::<T>(), Arc::clone(&shape));
    shape
}

/// The shape of a schema that names no other.
///
/// # Errors
/// [`Unknown`].
pub fn of_schema(schema: &Value) -> Result<Shape, Unknown> {
    Reader { named: &Map::new() }.read(schema, 0)
}

struct Reader<'a> {
    named: &'a Map<String, Value>,
}

impl Reader<'_> {
    fn read(&self, schema: &Value, depth: u8) -> Result<Shape, Unknown> {
        let unknown = |what: &str| Err(Unknown(format!("{what} in {schema}")));
        if depth > 16 {
            return unknown("a type within itself");
        }
        let read = |schema: &Value| self.read(schema, depth + 1);
        if let Some(name) = schema["$ref"].as_str() {
            let name = name.rsplit('/').next().unwrap_or(name);
            return match self.named.get(name) {
                Some(schema) => read(schema),
                None => unknown("a name nobody explains"),
            };
        }
        if let Some(choices) = schema["oneOf"].as_array().or(schema["anyOf"].as_array()) {
            return Ok(Shape::Either(choices.iter().map(read).collect::<Result<_, _>>()?));
        }
        match &schema["type"] {
            Value::Null if schema.as_object().is_some_and(|s| !s.contains_key("enum")) => Ok(Shape::Anything),
            Value::String(kind) => self.typed(kind, schema, depth),
            Value::Array(kinds) => {
                let kinds = kinds.iter().filter_map(Value::as_str);
                let shapes = kinds.map(|kind| self.typed(kind, schema, depth));
                Ok(Shape::Either(shapes.collect::<Result<_, _>>()?))
            }
            _ => unknown("no type"),
        }
    }

    fn typed(&self, kind: &str, schema: &Value, depth: u8) -> Result<Shape, Unknown> {
        let read = |schema: &Value| self.read(schema, depth + 1);
        let number = |key: &str| {
            let value = &schema[key];
            value.as_i64().or_else(|| value.as_f64().and_then(exact))
        };
        let count = |key: &str| schema[key].as_u64();
        Ok(match kind {
            "null" => Shape::Null,
            "boolean" => Shape::Flag,
            "integer" => Shape::Integer {
                min: number("minimum"),
                max: number("maximum"),
            },
            "number" => Shape::Number,
            "string" => {
                let mut rules = Vec::new();
                for key in ["pattern", "format"] {
                    if let Some(text) = schema[key].as_str() {
                        let rule = Rule::find(text).ok_or_else(|| Unknown(format!("{key} {text}")))?;
                        rules.push(rule);
                    }
                }
                let choices = schema["enum"].as_array().into_iter().flatten();
                Shape::Text(Text {
                    min: count("minLength"),
                    max: count("maxLength"),
                    rules,
                    choices: choices.filter_map(Value::as_str).map(str::to_owned).collect(),
                })
            }
            "array" => Shape::List {
                of: Box::new(read(&schema["items"])?),
                min: count("minItems"),
                max: count("maxItems"),
            },
            "object" => {
                let required = |name: &str| {
                    let names = schema["required"].as_array().into_iter().flatten();
                    names.filter_map(Value::as_str).any(|required| required == name)
                };
                let mut fields = Vec::new();
                for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
                    fields.push(Field {
                        name: name.clone(),
                        shape: read(schema)?,
                        required: required(name),
                    });
                }
                let others = match &schema["additionalProperties"] {
                    Value::Bool(false) => Others::Refused,
                    Value::Object(_) => Others::Each(Box::new(read(&schema["additionalProperties"])?)),
                    _ => return Err(Unknown(format!("fields nobody named in {schema}"))),
                };
                Shape::Object {
                    fields,
                    others,
                    max: count("maxProperties"),
                }
            }
            _ => return Err(Unknown(format!("type {kind}"))),
        })
    }
}

/// A bound that a schema writes as a float.
#[expect(
    clippy::cast_possible_truncation,
    reason = "only whole numbers that fit come out"
)]
fn exact(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 9.0e15).then_some(number as i64)
}

impl Shape {
    /// Every fault of `value`; none when it has this shape.
    #[must_use]
    pub fn faults(&self, value: &Value) -> Vec<Fault> {
        let mut found = Found {
            pointer: String::new(),
            faults: Vec::new(),
        };
        self.check(value, &mut found);
        found.faults
    }

    fn check(&self, value: &Value, found: &mut Found) {
        match (self, value) {
            (Self::Anything, value) => check_anything(value, found),
            (Self::Null, Value::Null) | (Self::Flag, Value::Bool(_)) | (Self::Number, Value::Number(_)) => {}
            (Self::Null, _) => found.fault("must be null"),
            (Self::Flag, _) => found.fault("must be true or false"),
            (Self::Number, _) => found.fault("must be a number"),
            (Self::Integer { min, max }, value) => match value.as_i64() {
                None => found.fault("must be an integer"),
                Some(number) => {
                    if let Some(min) = min.filter(|min| number < *min) {
                        found.fault(format!("must be at least {min}"));
                    }
                    if let Some(max) = max.filter(|max| number > *max) {
                        found.fault(format!("must be at most {max}"));
                    }
                }
            },
            (Self::Text(text), Value::String(value)) => text.check(value, found),
            (Self::Text(_), _) => found.fault("must be a text"),
            (Self::List { of, min, max }, Value::Array(items)) => {
                check_count(items.len(), *min, *max, "entries", found);
                for (index, item) in items.iter().enumerate() {
                    found.at(&index.to_string(), |found| of.check(item, found));
                }
            }
            (Self::List { .. }, _) => found.fault("must be a list"),
            (Self::Object { fields, others, max }, Value::Object(members)) => {
                check_count(members.len(), None, *max, "fields", found);
                check_object(fields, others, members, found);
            }
            (Self::Object { .. }, _) => found.fault("must be an object"),
            (Self::Either(shapes), value) => check_either(shapes, value, found),
        }
    }

    /// Whether `value` is of this shape's type, whatever its faults.
    fn fits_type(&self, value: &Value) -> bool {
        match self {
            Self::Anything | Self::Either(_) => true,
            Self::Null => value.is_null(),
            Self::Flag => value.is_boolean(),
            Self::Integer { .. } | Self::Number => value.is_number(),
            Self::Text(_) => value.is_string(),
            Self::List { .. } => value.is_array(),
            Self::Object { .. } => value.is_object(),
        }
    }
}

fn check_count(count: usize, min: Option<u64>, max: Option<u64>, what: &str, found: &mut Found) {
    let count = count as u64;
    if let Some(min) = min.filter(|min| count < *min) {
        found.fault(format!("must have at least {min} {what}"));
    }
    if let Some(max) = max.filter(|max| count > *max) {
        found.fault(format!("must have at most {max} {what}"));
    }
}

fn check_object(fields: &[Field], others: &Others, members: &Map<String, Value>, found: &mut Found) {
    for field in fields {
        match members.get(&field.name) {
            Some(value) => found.at(&field.name, |found| field.shape.check(value, found)),
            None if field.required => found.at(&field.name, |found| found.fault("is required")),
            None => {}
        }
    }
    for (name, value) in members {
        if fields.iter().any(|field| field.name == *name) {
            continue;
        }
        found.at(name, |found| match others {
            Others::Refused => found.fault("is not a field of this"),
            Others::Each(_) if name.contains('\0') => found.fault("has U+0000 in its name"),
            Others::Each(shape) => shape.check(value, found),
        });
    }
}

/// Of several shapes, the faults of the one whose type the value has say most.
fn check_either(shapes: &[Shape], value: &Value, found: &mut Found) {
    let faults_of = |shape: &Shape| {
        let mut tried = Found {
            pointer: found.pointer.clone(),
            faults: Vec::new(),
        };
        shape.check(value, &mut tried);
        tried.faults
    };
    let mut closest: Option<Vec<Fault>> = None;
    for shape in shapes {
        let faults = faults_of(shape);
        if faults.is_empty() {
            return;
        }
        if closest.is_none() || (shape.fits_type(value) && !matches!(shape, Shape::Null)) {
            closest = Some(faults);
        }
    }
    found.faults.extend(closest.unwrap_or_default());
}

/// Free JSON: nothing is asked of it but that PostgreSQL can keep it.
fn check_anything(value: &Value, found: &mut Found) {
    match value {
        Value::String(text) if text.contains('\0') => found.fault("must not contain U+0000"),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                found.at(&index.to_string(), |found| check_anything(item, found));
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                found.at(name, |found| {
                    if name.contains('\0') {
                        found.fault("has U+0000 in its name");
                    }
                    check_anything(member, found);
                });
            }
        }
        _ => {}
    }
}

impl Text {
    fn check(&self, value: &str, found: &mut Found) {
        if value.contains('\0') {
            return found.fault("must not contain U+0000");
        }
        if !self.choices.is_empty() {
            if !self.choices.iter().any(|choice| choice == value) {
                found.fault(format!("must be one of {}", self.choices.join(", ")));
            }
            return;
        }
        let length = value.chars().count() as u64;
        if let Some(min) = self.min.filter(|min| length < *min) {
            found.fault(format!("must have at least {min} characters"));
        }
        if let Some(max) = self.max.filter(|max| length > *max) {
            // The rules below may be costly on long texts.
            return found.fault(format!("must have at most {max} characters"));
        }
        for rule in &self.rules {
            if !(rule.holds)(value) {
                found.fault(rule.sentence);
            }
        }
    }
}

/// Faults so far, and where the eye is.
struct Found {
    pointer: String,
    faults: Vec<Fault>,
}

impl Found {
    fn at(&mut self, name: &str, look: impl FnOnce(&mut Self)) {
        let before = self.pointer.len();
        self.pointer.push('/');
        // RFC 6901 §3.
        for letter in name.chars() {
            match letter {
                '~' => self.pointer.push_str("~0"),
                '/' => self.pointer.push_str("~1"),
                plain => self.pointer.push(plain),
            }
        }
        look(self);
        self.pointer.truncate(before);
    }

    fn fault(&mut self, detail: impl Into<String>) {
        if self.faults.len() < FAULTS_MAX {
            // A name somebody made up may be long.
            let pointer = self.pointer.chars().take(256).collect::<String>();
            self.faults.push(Fault::new(pointer, detail));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shape(schema: &Value) -> Shape {
        of_schema(schema).unwrap()
    }

    #[test]
    fn every_fault_is_named_with_its_pointer() {
        let shape = shape(&json!({
            "type": "object",
            "required": ["lines", "email"],
            "additionalProperties": false,
            "properties": {
                "email": {"type": "string", "format": "email"},
                "lines": {"type": "array", "maxItems": 2, "items": {
                    "type": "object",
                    "required": ["quantity"],
                    "additionalProperties": false,
                    "properties": {"quantity": {"type": "integer", "minimum": 0, "maximum": 99}},
                }},
                "note": {"type": ["string", "null"], "maxLength": 3},
            },
        }));
        let faults = shape.faults(&json!({
            "lines": [{"quantity": 100}, {"quantity": 1.0}, {}],
            "note": "long", "a/b~c": 1,
        }));
        let pointers: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(
            pointers,
            [
                "/email",
                "/lines",
                "/lines/0/quantity",
                "/lines/1/quantity",
                "/lines/2/quantity",
                "/note",
                "/a~1b~0c"
            ]
        );
        assert_eq!(faults[5].detail, "must have at most 3 characters");
        assert!(
            shape
                .faults(&json!({"email": "a@example.org", "lines": [], "note": null}))
                .is_empty()
        );
    }

    #[test]
    fn u0000_is_refused_everywhere() {
        let free = shape(&json!({"type": "object", "additionalProperties": {"type": "string"}}));
        assert_eq!(free.faults(&json!({"a": "x\0"}))[0].pointer, "/a");
        assert_eq!(free.faults(&json!({"\0": "x"})).len(), 1);
        assert_eq!(Shape::Anything.faults(&json!({"a": ["\0"]}))[0].pointer, "/a/0");
    }

    #[test]
    fn a_schema_that_cannot_be_enforced_is_known() {
        for schema in [
            json!({"type": "string", "pattern": "^no such rule$"}),
            json!({"type": "object", "properties": {}}),
            json!({"$ref": "#/components/schemas/Nothing"}),
        ] {
            assert!(of_schema(&schema).is_err(), "{schema}");
        }
    }

    #[test]
    fn many_faults_are_not_all_told() {
        let shape = shape(&json!({"type": "array", "items": {"type": "integer"}}));
        let faults = shape.faults(&Value::Array(vec![Value::Null; 10_000]));
        assert_eq!(faults.len(), FAULTS_MAX);
    }
}

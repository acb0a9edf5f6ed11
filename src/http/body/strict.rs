//! JSON as we read it: RFC 8259 without its ambiguities.
//!
//! An object that names a field twice means two things to two readers, so it means nothing to us
//! (RFC 8259 §4 leaves it open; RFC 7493 forbids it). Depth is bounded, so that nobody's stack is.

use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use sha2::{Digest as _, Sha256};

/// The deepest nesting that is read.
pub const DEPTH_MAX: u8 = 32;

/// Reads one JSON value and nothing behind it.
///
/// # Errors
/// When it is not JSON, names a field twice or nests too deeply.
pub fn parse(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { left: DEPTH_MAX }.deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// SHA-256 of what the JSON means: the order of fields, blanks and the spelling of numbers do not
/// matter.
#[must_use]
pub fn digest(value: &Value) -> [u8; 32] {
    let mut canonical = String::new();
    write_canonical(value, &mut canonical);
    Sha256::digest(canonical.as_bytes()).into()
}

fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            let mut names: Vec<_> = members.keys().collect();
            names.sort_unstable();
            out.push('{');
            for name in names {
                out.push_str(&Value::String(name.clone()).to_string());
                out.push(':');
                write_canonical(&members[name], out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                write_canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 1e15 => {
                out.push_str(&format!("{float:.0}"));
            }
            _ => out.push_str(&number.to_string()),
        },
        plain => out.push_str(&plain.to_string()),
    }
}

#[derive(Clone, Copy)]
struct Strict {
    left: u8,
}

impl Strict {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        match self.left.checked_sub(1) {
            Some(left) => Ok(Self { left }),
            None => Err(E::custom(format_args!("nested more than {DEPTH_MAX} deep"))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        match Number::from_f64(number) {
            Some(number) => Ok(Value::Number(number)),
            None => Err(E::custom("a number that is not finite")),
        }
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = from.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut members = Map::new();
        while let Some(name) = from.next_key::<String>()? {
            let value = from.next_value_seed(inner)?;
            if members.contains_key(&name) {
                return Err(A::Error::custom("an object names a field twice"));
            }
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ambiguous_json_is_refused() {
        let deep = format!("{}{}", "[".repeat(33), "]".repeat(33));
        let deepest = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let bad: [&[u8]; 12] = [
            b"",
            b"{",
            b"{} {}",
            br#"{"a":1,"a":1}"#,
            b"1e999",
            b"\xff",
            b"\xef\xbb\xbf{}",
            br#""\ud800""#,
            b"NaN",
            b"{'a':1}",
            deep.as_bytes(),
            deepest.as_bytes(),
        ];
        for bytes in bad {
            assert!(
                parse(bytes).is_err(),
                "{}",
                String::from_utf8_lossy(&bytes[..bytes.len().min(40)])
            );
        }
        assert!(parse(format!("{}{}", "[".repeat(32), "]".repeat(32)).as_bytes()).is_ok());
        assert!(parse(br#" {"a": {"a": "\u0000"}, "n": -0, "x": 9007199254740993} "#).is_ok());
    }

    #[test]
    fn the_digest_is_of_what_the_json_means() {
        let same = |one: &str, other: &str| {
            digest(&parse(one.as_bytes()).unwrap()) == digest(&parse(other.as_bytes()).unwrap())
        };
        assert!(same(r#"{"a":1,"b":[true]}"#, r#"{ "b" : [ true ], "a" : 1.0 }"#));
        assert!(same(r#""é""#, r#""\u00e9""#));
        assert!(!same(r#"{"a":1}"#, r#"{"a":"1"}"#));
        assert!(!same("[1,2]", "[2,1]"));
        assert!(!same("9007199254740993", "9007199254740992"));
        assert!(!same(r#"{"a":[]}"#, r#"{"a":{}}"#));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(value) = parse(&bytes) {
                prop_assert_eq!(digest(&value), digest(&parse(value.to_string().as_bytes()).unwrap()));
            }
        }
    }
}

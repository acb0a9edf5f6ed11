//! Queries: decoded strictly, every field known, each at most once, checked against its schema.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Edge;
use super::body::typed;
use super::problem::{Fault, Problem, kind};

/// The fields of a query, with the shape of `T`'s schema: texts and integers.
#[derive(Clone, Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned + ToSchema + 'static> FromRequestParts<Edge> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Edge) -> Result<Self, Problem> {
        read::<T>(pairs(parts.uri.query().unwrap_or_default())?).map(Self)
    }
}

/// Converts the fields of a query.
///
/// # Errors
/// 400 for what is no integer where one is due, 422 for everything else.
pub fn read<T: DeserializeOwned + ToSchema + 'static>(pairs: Vec<(String, String)>) -> Result<T, Problem> {
    let schema = serde_json::to_value(T::schema()).unwrap_or_default();
    let mut fields = Map::new();
    let mut twice = Vec::new();
    for (name, text) in pairs {
        let is_integer = {
            let kind = &schema["properties"][&name]["type"];
            let named = |kind: &Value| kind == "integer";
            named(kind) || kind.as_array().is_some_and(|kinds| kinds.iter().any(named))
        };
        let value = if is_integer {
            let number: i64 = text.parse().map_err(|_| {
                Problem::new(&kind::MALFORMED).detail(format!("The field {name} of the query is no integer."))
            })?;
            number.into()
        } else {
            Value::String(text)
        };
        let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        if fields.insert(name, value).is_some() {
            twice.push(Fault::new(pointer, "is there twice"));
        }
    }
    if twice.is_empty() {
        typed(Value::Object(fields))
    } else {
        Err(Problem::invalid(twice))
    }
}

/// The fields of a query in order, decoded (`application/x-www-form-urlencoded`).
///
/// # Errors
/// 400 for a broken escape or what is not UTF-8.
pub fn pairs(query: &str) -> Result<Vec<(String, String)>, Problem> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        })
        .collect()
}

fn decode(text: &str) -> Result<String, Problem> {
    let bad = || Problem::new(&kind::MALFORMED).detail("The query is not encoded as UTF-8 with %XX escapes.");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
                let (high, low) = (digit().ok_or_else(bad)?, digit().ok_or_else(bad)?);
                u8::try_from(high << 4 | low).map_err(|_| bad())?
            }
            plain => plain,
        });
    }
    String::from_utf8(bytes).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize, ToSchema)]
    #[serde(deny_unknown_fields)]
    struct Page {
        #[schema(minimum = 1, maximum = 100)]
        limit: Option<u32>,
        #[schema(max_length = 10)]
        cursor: Option<String>,
    }

    fn check(query: &str) -> Result<Page, u16> {
        pairs(query)
            .and_then(read)
            .map_err(|problem| problem.status().as_u16())
    }

    #[test]
    fn a_query_is_known_field_by_field() {
        let page = check("limit=5&cursor=a%2Bb+c").unwrap();
        assert_eq!((page.limit, page.cursor.as_deref()), (Some(5), Some("a+b c")));
        assert_eq!(check("").unwrap().limit, None);
        for (query, status) in [
            ("limit=five", 400),
            ("limit=", 400),
            ("limit=1e3", 400),
            ("cursor=%zz", 400),
            ("cursor=%f", 400),
            ("cursor=%ff", 400),
            ("limit=0", 422),
            ("limit=101", 422),
            ("limit=5&limit=6", 422),
            ("page=2", 422),
            ("cursor=%00", 422),
            ("cursor=12345678901", 422),
        ] {
            assert_eq!(check(query), Err(status), "{query}");
        }
    }
}

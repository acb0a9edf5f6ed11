//! What a fuzzer may ask of a list, and what must hold whatever it asks.
//!
//! Run by `make fuzz` without end and by `tests/it/fuzz.rs` over the corpus; part of no other path.

use super::cursor::{Cursor, Scope};
use super::query::ProductQuery;
use super::search;

/// A page token: it is a place in the one list it was given out for, or no token at all; and each
/// place has one token.
///
/// # Panics
/// When that does not hold.
pub fn cursor(bytes: &[u8]) {
    let scope = Scope::of("orders of everybody");
    let other = Scope::of("orders of somebody else");
    if let Ok(token) = std::str::from_utf8(bytes)
        && let Ok(cursor) = Cursor::decode(token, scope)
    {
        assert_eq!(cursor.encode(scope), token, "a place has one token");
        assert!(Cursor::decode(token, other).is_err(), "a token is for one list");
    }
    // The bytes as a place: a sort key and an id.
    let Some((key, id)) = bytes.split_first_chunk::<8>() else {
        return;
    };
    let Ok(id) = std::str::from_utf8(id) else { return };
    let cursor = Cursor {
        key: i64::from_be_bytes(*key),
        id: id.chars().take(64).collect(),
    };
    let token = cursor.encode(scope);
    match Cursor::decode(&token, scope) {
        Ok(read) => assert_eq!(read, cursor, "{token}"),
        Err(_) => assert!(
            cursor.id.len() > 64,
            "the token of any SKU or id is read: {token}"
        ),
    }
    assert!(Cursor::decode(&token, other).is_err(), "a token is for one list");
}

/// Two queries of `GET /v1/products`, already decoded, a field on each line and a blank line between
/// the two: each is read or refused; what was read keeps its limits; two that ask for different lists
/// have no page token, and no place in the memory of lists, in common; what PostgreSQL is given has
/// no sign that it would read as anything but words.
///
/// # Panics
/// When that does not hold.
pub fn product_query(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (one, other) = text.split_once("\n\n").unwrap_or((&text, ""));
    let (one, other) = (read(one), read(other));
    if let (Some(one), Some(other)) = (&one, &other) {
        assert_eq!(
            one.scope() == other.scope(),
            list_of(one) == list_of(other),
            "{one:?} {other:?}"
        );
    }
    for query in one.iter().chain(&other) {
        assert!((1..=100).contains(&query.page_size()));
        assert!(
            query.q.as_ref().is_none_or(|q| q.len() <= 256),
            "a search is short"
        );
        let values = query.attributes.iter().flat_map(|filter| &filter.values);
        for text in query.q.iter().chain(&query.category).chain(values) {
            let words = search::fold(text);
            assert!(
                words.chars().all(|c| c == ' ' || c.is_alphanumeric()),
                "only words are searched: {words:?}"
            );
            assert!(!search::printable(text).contains('\0'), "PostgreSQL holds no NUL");
        }
    }
}

fn read(fields: &str) -> Option<ProductQuery> {
    let pairs = fields
        .split('\n')
        .map(|line| line.split_once('=').unwrap_or((line, "")));
    ProductQuery::parse(pairs).ok()
}

/// A query without its page, and with what has no order in one order.
fn list_of(query: &ProductQuery) -> ProductQuery {
    let mut list = ProductQuery {
        cursor: None,
        limit: None,
        ..query.clone()
    };
    for filter in &mut list.attributes {
        filter.values.sort();
        filter.values.dedup();
    }
    list.attributes.sort_by(|one, other| one.name.cmp(&other.name));
    list
}

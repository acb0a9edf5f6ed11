//! Personal data, taken out of what operators look at.
//!
//! What may be seen is named here; everything else is masked. So a field that somebody adds to an
//! event tomorrow is hidden until somebody says that it tells nothing about a person.

use serde_json::Value;

use crate::domain::Kind;

/// What stands where something was masked.
pub const MASK: &str = "[masked]";

/// Fields whose texts are names of things, ids, states and codes.
const OPEN: [&str; 15] = [
    "cart",
    "code",
    "currency",
    "customer",
    "decline_code",
    "event",
    "from",
    "id",
    "order",
    "provider",
    "refund",
    "shipping_method",
    "sku",
    "stage",
    "status",
];

/// Why an order was cancelled, where nobody wrote the reason in words of their own.
const REASONS: [&str; 4] = [
    "out_of_stock",
    "payment_declined",
    "payment_expired",
    "by_shopper",
];

/// What a stored event of an entity of `kind` says, without anything about a person: no name, no
/// address, no e-mail, no token, nothing anybody wrote in their own words. Numbers, yes and no, and
/// the structure stay. The catalogue is about goods and is shown as it is.
#[must_use]
pub fn masked(kind: Kind, event: &Value) -> Value {
    match kind {
        Kind::Product => event.clone(),
        Kind::Cart | Kind::Order | Kind::Stock | Kind::Unknown => masked_under("", event),
    }
}

fn masked_under(field: &str, value: &Value) -> Value {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        Value::String(text) => {
            let open = OPEN.contains(&field) || (field == "reason" && REASONS.contains(&text.as_str()));
            Value::String(if open { text.clone() } else { MASK.to_owned() })
        }
        Value::Array(items) => items.iter().map(|item| masked_under(field, item)).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), masked_under(name, value)))
            .collect(),
    }
}

/// The words of a fault without what they may quote of somebody's data: whatever stands in quotation
/// marks (but for the name of a constraint) or is written like an e-mail address.
#[must_use]
pub fn masked_words(story: &str) -> String {
    let mut said = String::with_capacity(story.len());
    let mut rest = story;
    while let Some(at) = rest.find(['"', '`']) {
        let quote = &rest[at..=at];
        said.push_str(&rest[..at]);
        let inside = &rest[at + 1..];
        // What is quoted and never ends is masked to the end.
        let end = inside.find(quote).unwrap_or(inside.len());
        let keep = said.ends_with("constraint ");
        said.push_str(quote);
        said.push_str(if keep { &inside[..end] } else { MASK });
        said.push_str(quote);
        rest = inside.get(end + 1..).unwrap_or_default();
    }
    said.push_str(rest);
    let words = said.split_inclusive(char::is_whitespace).map(|word| {
        let blank = word.len() - word.trim_end().len();
        let (text, blank) = word.split_at(word.len() - blank);
        if text.contains('@') {
            format!("{MASK}{blank}")
        } else {
            word.to_owned()
        }
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Every event of an order there is, from the golden file; none may say who ordered what where.
    #[test]
    fn an_order_says_nothing_about_a_person() {
        let golden = include_str!("../../crates/domain/tests/golden/order_v1.json");
        let golden: Value = serde_json::from_str(golden).unwrap();
        let events = golden["events"].as_array().unwrap();
        assert!(events.len() > 10);
        let seen: Vec<Value> = events.iter().map(|event| masked(Kind::Order, event)).collect();
        let text = json!(seen).to_string();
        for personal in [
            "Ada",
            "ada@",
            "Main Street",
            "Berlin",
            "10115",
            "tok_",
            "television",
            "00340434",
            "scratch",
        ] {
            assert!(!text.contains(personal), "{personal} in {text}");
        }
        let draft = &seen[0]["draft"];
        assert_eq!(seen[0]["event"], "placed");
        assert_eq!(
            draft["totals"]["total"],
            json!({"amount": 40988, "currency": "EUR"})
        );
        assert_eq!(draft["lines"][0]["sku"], "TV-1");
        assert_eq!(draft["email"], MASK);
        assert_eq!(draft["shipping_address"]["line1"], MASK);
        assert_eq!(draft["payment"], json!({"provider": "sandbox", "token": MASK}));
    }

    #[test]
    fn what_is_new_is_hidden_and_what_is_about_goods_is_shown() {
        let event =
            json!({"event": "placed", "phone": "0301234567", "notes": ["ring twice", {"id": "x", "n": 1}]});
        assert_eq!(
            masked(Kind::Order, &event),
            json!({"event": "placed", "phone": MASK, "notes": [MASK, {"id": "x", "n": 1}]})
        );
        let goods = json!({"name": "A mug", "description": "For tea"});
        assert_eq!(masked(Kind::Product, &goods), goods);
        let cancelled = |reason: Value| masked(Kind::Order, &json!({"event": "cancelled", "reason": reason}));
        assert_eq!(cancelled(json!("out_of_stock"))["reason"], "out_of_stock");
        let told = json!({"by_seller": {"reason": "Ada asked on the phone"}});
        assert_eq!(cancelled(told)["reason"]["by_seller"]["reason"], MASK);
    }

    #[test]
    fn a_fault_quotes_nobody() {
        for (story, said) in [
            ("not done within 30s", "not done within 30s"),
            (
                "a mail was refused: 550 no such user <ada@example.org> here",
                "a mail was refused: 550 no such user [masked] here",
            ),
            (
                "invalid type: string \"Ada Lovelace\", expected u64 at line 1",
                "invalid type: string \"[masked]\", expected u64 at line 1",
            ),
            (
                "unknown variant `Ada`, expected x",
                "unknown variant `[masked]`, expected x",
            ),
            (
                "violates check constraint \"stock_level_held\"",
                "violates check constraint \"stock_level_held\"",
            ),
            ("it ends \"in the middle", "it ends \"[masked]\""),
        ] {
            assert_eq!(masked_words(story), said);
        }
    }
}

//! Attributes in words, and as sellers type them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::model::{AttributeGroup, AttributeRow};
use crate::domain::product::{Attribute, Details};
use crate::views::attribute_name;

/// Words of names that are written in capitals.
const CAPITALS: [&str; 26] = [
    "hd", "tv", "lcd", "led", "oled", "cpu", "ram", "rom", "usb", "hdmi", "vga", "dvi", "lan", "wlan", "wan",
    "ip", "pc", "dvd", "cd", "ean", "fm", "am", "rj", "sd", "ssd", "hdd",
];
/// From how many attributes that begin alike on they make a group of their own.
const GROUP_MIN: usize = 3;

/// `attr_n_display_diagonal` as `Display diagonal`.
pub(super) fn label(name: &str) -> String {
    let words = attribute_name(name)
        .split(['_', '-', ' '])
        .filter(|word| !word.is_empty());
    let mut text = String::new();
    for word in words {
        if CAPITALS.contains(&word.to_ascii_lowercase().as_str()) {
            push_word(&mut text, &word.to_ascii_uppercase());
        } else if text.is_empty() {
            let mut letters = word.chars();
            let first = letters.next().into_iter().flat_map(char::to_uppercase);
            text = first.chain(letters).collect();
        } else {
            push_word(&mut text, word);
        }
    }
    text
}

fn push_word(text: &mut String, word: &str) {
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(word);
}

/// A value as it stands in a filter, in words.
pub(super) fn value_label(value: &str) -> String {
    match value {
        "true" => "Yes".to_owned(),
        "false" => "No".to_owned(),
        text => text.to_owned(),
    }
}

/// A value in words.
fn in_words(attribute: &Attribute) -> String {
    match attribute {
        Attribute::Flag(flag) => value_label(&flag.to_string()),
        Attribute::Number(number) => number.to_string(),
        Attribute::Text(text) => text.clone(),
        Attribute::Texts(texts) => texts.join(", "),
    }
}

/// The attributes of a product in groups: those whose names begin alike, then the rest.
pub(super) fn groups(attributes: &BTreeMap<String, Attribute>) -> Vec<AttributeGroup> {
    let mut by_topic: BTreeMap<&str, Vec<(&str, AttributeRow)>> = BTreeMap::new();
    for (name, value) in attributes {
        let name = attribute_name(name);
        let topic = name.split('_').next().unwrap_or_default();
        let row = AttributeRow {
            label: label(name),
            value: in_words(value),
        };
        if !row.value.is_empty() {
            by_topic.entry(topic).or_default().push((name, row));
        }
    }
    let (topics, rest): (Vec<_>, Vec<_>) = by_topic
        .into_iter()
        .partition(|(_, rows)| rows.len() >= GROUP_MIN);
    let rows = |rows: Vec<(&str, AttributeRow)>| rows.into_iter().map(|(_, row)| row).collect();
    let mut groups: Vec<AttributeGroup> = topics
        .into_iter()
        .map(|(topic, named)| AttributeGroup {
            title: label(topic),
            rows: rows(named),
        })
        .collect();
    let rest: Vec<_> = rest.into_iter().flat_map(|(_, rows)| rows).collect();
    if !rest.is_empty() {
        let title = if groups.is_empty() { "Details" } else { "More" };
        groups.push(AttributeGroup {
            title: title.to_owned(),
            rows: rows(rest),
        });
    }
    groups
}

/// What tells a product from all others, besides its SKU.
pub(super) fn identifiers(details: &Details) -> Vec<AttributeRow> {
    let row = |label: &str, value: String| AttributeRow {
        label: label.to_owned(),
        value,
    };
    let part_number = details.part_number.clone();
    let mut rows: Vec<_> = part_number
        .map(|number| row("Part number", number))
        .into_iter()
        .collect();
    if !details.gtins.is_empty() {
        rows.push(row("GTIN", details.gtins.join(", ")));
    }
    rows
}

/// Attributes as a seller types them: one `name: value` a line. A value that is JSON is that;
/// everything else is a text.
pub(super) fn to_lines(attributes: &BTreeMap<String, Attribute>) -> String {
    let line = |(name, attribute): (&String, &Attribute)| {
        let value = match attribute {
            Attribute::Text(text) if reads_as_itself(text) => text.clone(),
            Attribute::Number(number) => number.to_string(),
            other => serde_json::to_string(other).unwrap_or_default(),
        };
        format!("{name}: {value}\n")
    };
    attributes.iter().map(line).collect()
}

/// Reads what [`to_lines`] writes.
///
/// # Errors
/// A sentence that names the line.
pub(super) fn from_lines(text: &str) -> Result<Map<String, Value>, String> {
    let mut attributes = Map::new();
    for (line, number) in text.lines().zip(1..) {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| format!("Line {number} needs a colon between name and value."))?;
        let name = name.trim();
        if name.is_empty() {
            return Err(format!("Line {number} needs a name before the colon."));
        }
        if attributes.insert(name.to_owned(), read_value(value)).is_some() {
            return Err(format!("Line {number} names {name} a second time."));
        }
    }
    Ok(attributes)
}

fn reads_as_itself(text: &str) -> bool {
    !text.contains(['\n', '\r']) && read_value(text) == Value::String(text.to_owned())
}

fn read_value(text: &str) -> Value {
    let text = text.trim();
    match serde_json::from_str(text) {
        Ok(json @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_))) => json,
        _ => Value::String(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_read_like_words() {
        assert_eq!(label("attr_n_display_diagonal"), "Display diagonal");
        assert_eq!(label("hd_type"), "HD type");
        assert_eq!(label("number_of_usb_ports"), "Number of USB ports");
        assert_eq!(label(""), "");
    }

    #[test]
    fn attributes_that_begin_alike_stand_together() {
        let text = |text: &str| Attribute::Text(text.to_owned());
        let attributes = BTreeMap::from([
            ("display_type".to_owned(), text("LCD")),
            ("display_diagonal".to_owned(), Attribute::Number(32.0)),
            ("display_touch".to_owned(), Attribute::Flag(false)),
            (
                "colour".to_owned(),
                Attribute::Texts(vec!["Black".to_owned(), "Grey".to_owned()]),
            ),
        ]);
        let groups = groups(&attributes);
        let titles: Vec<_> = groups.iter().map(|group| group.title.as_str()).collect();
        assert_eq!(titles, ["Display", "More"]);
        let values: Vec<_> = groups[0].rows.iter().map(|row| row.value.as_str()).collect();
        assert_eq!(values, ["32", "No", "LCD"]);
        assert_eq!(groups[1].rows[0].value, "Black, Grey");
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        assert_eq!(from_lines("a: 1\n\nb: x\n").unwrap().len(), 2);
        assert!(from_lines("a: 1\nb").unwrap_err().starts_with("Line 2"));
        assert!(from_lines(": 1").is_err());
        assert!(from_lines("a: 1\na: 2").is_err());
    }

    fn attribute() -> impl Strategy<Value = Attribute> {
        prop_oneof![
            any::<bool>().prop_map(Attribute::Flag),
            any::<i32>().prop_map(|n| Attribute::Number(f64::from(n) / 4.0)),
            ".{0,20}".prop_map(Attribute::Text),
            "(true|7|\\[\"a\"\\]|\"a\"|a\nb| a )".prop_map(Attribute::Text),
            proptest::collection::vec(".{0,9}", 0..3).prop_map(Attribute::Texts),
        ]
    }

    proptest! {
        /// What is shown in the form and sent back unchanged changes nothing.
        #[test]
        fn a_form_that_is_sent_back_changes_nothing(
            attributes in proptest::collection::btree_map("[a-z_]{1,9}", attribute(), 0..6)
        ) {
            let read = from_lines(&to_lines(&attributes)).unwrap();
            let back: BTreeMap<String, Attribute> =
                serde_json::from_value(Value::Object(read)).unwrap();
            prop_assert_eq!(back, attributes);
        }
    }
}

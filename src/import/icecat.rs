//! Icecat product lists: JSON arrays of products, bare, in a zip, or a directory of either.
//!
//! Streams: one product is in memory at a time. The lists name no category, so the rules of
//! [`super::category`] find one. What else is odd about them, and what becomes of it:
//!
//! * attributes carry their type in the name (`attr_t_`, `attr_n_`, `attr_b_`): the prefix goes, the
//!   type stays. Where one name comes with several types, the number wins over the text and the text
//!   over the flag, because that is the order in which they can be searched;
//! * several values packed into one text are taken apart at commas, if that is safe ([`unpacked`]);
//! * prices are minor units without a currency: the caller names it;
//! * one trade item number is listed several times with different padding: it is kept once;
//! * the four picture addresses are four sizes of one picture: the largest is kept.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::Path;

use serde_json::{Map, Value};

use super::elements::{Elements, Next};
use super::format::{ImportFault, Source};
use super::parts::Parts;
use super::product::{Draft, Flaw, ImportedProduct, Rejection};
use crate::domain::Currency;
use crate::domain::product::Attribute;

/// The files that hold such lists.
pub const ENDINGS: [&str; 1] = [".json"];

/// Keys whose texts are lists even where a digit stands on both sides of a comma.
const LISTS: [&str; 4] = [
    "screen_format_adjustments",
    "aspect_ratios_supported",
    "ethernet_lan_data_rates",
    "usb_versions_supported",
];

/// Reads Icecat lists.
pub struct Icecat {
    parts: Parts,
    open: Option<(String, Elements<Box<dyn BufRead + Send>>)>,
    buffer: Vec<u8>,
    currency: Currency,
    row: u64,
    fault: Option<ImportFault>,
}

impl Icecat {
    /// Reads the lists under `path`, their prices being in `currency`.
    ///
    /// # Errors
    /// If there are none, or they cannot be opened.
    pub fn open(path: &Path, currency: Currency) -> Result<Self, ImportFault> {
        let parts = Parts::find(path, &ENDINGS)?;
        Ok(Self {
            parts,
            open: None,
            buffer: Vec::new(),
            currency,
            row: 0,
            fault: None,
        })
    }

    fn stop(&mut self, fault: ImportFault) {
        self.fault.get_or_insert(fault);
        self.open = None;
    }
}

impl Source for Icecat {
    fn next(&mut self) -> Option<Result<ImportedProduct, Rejection>> {
        while self.fault.is_none() {
            let Some((name, elements)) = &mut self.open else {
                match self.parts.next()? {
                    Ok(part) => self.open = Some((part.name, Elements::new(part.text))),
                    Err(fault) => self.stop(fault),
                }
                continue;
            };
            let next = elements.next(&mut self.buffer);
            let flaw = match next {
                Ok(Next::Element) => {
                    self.row += 1;
                    match product(&self.buffer, self.currency).and_then(|draft| draft.finish(self.row)) {
                        Ok(product) => return Some(Ok(product)),
                        Err(flaw) => flaw,
                    }
                }
                Ok(Next::Oversized(reason)) => {
                    self.row += 1;
                    Flaw::new("", reason, "split the product, or leave parts of it out")
                }
                Ok(Next::End) => {
                    self.open = None;
                    continue;
                }
                Ok(Next::Broken(reason)) => {
                    let fault = ImportFault::Broken {
                        part: name.clone(),
                        reason: reason.to_owned(),
                    };
                    self.stop(fault);
                    continue;
                }
                Err(error) => {
                    let fault = ImportFault::Broken {
                        part: name.clone(),
                        reason: error.to_string(),
                    };
                    self.stop(fault);
                    continue;
                }
            };
            return Some(Err(flaw.of_row(
                self.row,
                name,
                &String::from_utf8_lossy(&self.buffer),
            )));
        }
        None
    }

    fn progress(&self) -> (u64, u64) {
        self.parts.progress()
    }

    fn row(&self) -> u64 {
        self.row
    }

    fn fault(&self) -> Option<&ImportFault> {
        self.fault.as_ref()
    }
}

fn product(bytes: &[u8], currency: Currency) -> Result<Draft, Flaw> {
    let mut fields: Map<String, Value> = serde_json::from_slice(bytes)
        .map_err(|error| Flaw::new("", error.to_string(), "export the product again"))?;
    let draft = Draft {
        sku: text(&mut fields, "id")?.unwrap_or_default(),
        part_number: text(&mut fields, "name")?,
        name: text(&mut fields, "title")?.unwrap_or_default(),
        brand: text(&mut fields, "supplier")?.unwrap_or_default(),
        description: text(&mut fields, "short_description")?.unwrap_or_default(),
        released: text(&mut fields, "date_released")?,
        price_minor: price(&fields)?,
        currency,
        gtins: trade_numbers(fields.get("ean")),
        images: picture(&mut fields)?.into_iter().collect(),
        attributes: attributes(fields),
        ..Draft::default()
    };
    Ok(draft)
}

fn text(fields: &mut Map<String, Value>, field: &str) -> Result<Option<String>, Flaw> {
    match fields.get_mut(field).map(Value::take) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(_) => Err(Flaw::new(field, "it is no text", "write it as a JSON string")),
    }
}

fn price(fields: &Map<String, Value>) -> Result<i64, Flaw> {
    match fields.get("price") {
        None | Some(Value::Null) => Err(Flaw::new("price", "it is missing", "give the product a price")),
        Some(value) => value.as_i64().ok_or_else(|| {
            Flaw::new(
                "price",
                "it is no whole number",
                "write minor units: 1999 for 19.99",
            )
        }),
    }
}

fn trade_numbers(field: Option<&Value>) -> Vec<String> {
    let listed = match field {
        Some(Value::Array(listed)) => listed.as_slice(),
        Some(one) => std::slice::from_ref(one),
        None => &[],
    };
    listed
        .iter()
        .filter_map(|value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        })
        .collect()
}

fn picture(fields: &mut Map<String, Value>) -> Result<Option<String>, Flaw> {
    for field in ["img_high", "img_500x500", "img_low", "img_thumb"] {
        if let Some(url) = text(fields, field)?.filter(|url| !url.is_empty()) {
            return Ok(Some(url));
        }
    }
    Ok(None)
}

fn attributes(fields: Map<String, Value>) -> BTreeMap<String, Attribute> {
    let mut attributes: BTreeMap<String, Attribute> = BTreeMap::new();
    for (field, value) in fields {
        let Some(key) = ["attr_t_", "attr_n_", "attr_b_"]
            .iter()
            .find_map(|prefix| field.strip_prefix(prefix))
        else {
            continue;
        };
        let value = match value {
            Value::String(text) => unpacked(key, text),
            Value::Number(number) => match number.as_f64() {
                Some(number) => Attribute::Number(number),
                None => continue,
            },
            Value::Bool(flag) => Attribute::Flag(flag),
            Value::Null | Value::Array(_) | Value::Object(_) => continue,
        };
        let weaker = attributes
            .get(key)
            .is_none_or(|known| telling(known) < telling(&value));
        if !key.is_empty() && weaker {
            attributes.insert(key.to_owned(), value);
        }
    }
    attributes
}

const fn telling(value: &Attribute) -> u8 {
    match value {
        Attribute::Flag(_) => 0,
        Attribute::Text(_) | Attribute::Texts(_) => 1,
        Attribute::Number(_) => 2,
    }
}

/// The values packed into `text`, if it can be told that they are several.
///
/// A machine packs without blanks (`Black,Silver`), a person writes `a, b`. So a text is taken apart
/// at its commas only if no blank follows any of them, none stands between two digits (`1,000`) or
/// inside brackets, and every part is short. Keys known to be lists are taken apart between digits too.
fn unpacked(key: &str, text: String) -> Attribute {
    const PART_LIMIT: usize = 60;
    let bytes = text.as_bytes();
    let mut depth = 0_i32;
    let mut packed = false;
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b',' => {
                let before = at.checked_sub(1).and_then(|at| bytes.get(at));
                let after = bytes.get(at + 1);
                let number = before.is_some_and(u8::is_ascii_digit) && after.is_some_and(u8::is_ascii_digit);
                let loose = after.is_none_or(u8::is_ascii_whitespace);
                if depth != 0 || loose || (number && !LISTS.contains(&key)) {
                    return Attribute::Text(text);
                }
                packed = true;
            }
            _ => {}
        }
    }
    if !packed || text.split(',').any(|part| part.len() > PART_LIMIT) {
        return Attribute::Text(text);
    }
    Attribute::Texts(text.split(',').map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_values_are_taken_apart_where_it_is_safe() {
        let list = |texts: &[&str]| Attribute::Texts(texts.iter().map(|&text| text.to_owned()).collect());
        let same = |text: &str| Attribute::Text(text.to_owned());
        let check = |text: &str, value: Attribute| assert_eq!(unpacked("colour", text.to_owned()), value);
        check("Black,Silver", list(&["Black", "Silver"]));
        check("Windows 10,Windows 7 x64", list(&["Windows 10", "Windows 7 x64"]));
        check("HSPA+,UMTS", list(&["HSPA+", "UMTS"]));
        for whole in [
            "Black",
            "CE, FCC",
            "up to 10,000 ft",
            "a,b, c",
            "f(x,y)",
            "a,",
            ",a b, c",
            "",
        ] {
            check(whole, same(whole));
        }
        assert_eq!(
            unpacked("screen_format_adjustments", "4:3,16:9".into()),
            list(&["4:3", "16:9"])
        );
        let sentence = format!("{},b", "word ".repeat(20));
        check(&sentence, same(&sentence));
    }

    #[test]
    fn the_more_telling_type_wins_whatever_comes_first() {
        for json in [
            r#"{"attr_b_height": true, "attr_n_height": 100.0, "attr_t_height": "yes"}"#,
            r#"{"attr_n_height": 100.0, "attr_t_height": "yes", "attr_b_height": true}"#,
        ] {
            let fields: Map<String, Value> = serde_json::from_str(json).unwrap();
            assert_eq!(
                attributes(fields),
                BTreeMap::from([("height".into(), Attribute::Number(100.0))])
            );
        }
    }
}

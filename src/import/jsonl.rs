//! JSON lines in the shop's own shape: one line is the body of `POST /v1/products`, plus what only
//! an import brings (units on hand, trade item numbers, pictures, variants). Plain or gzipped.
//!
//! Unknown fields are refused by name, as the API does: a misspelt field must not vanish silently.

use std::collections::BTreeMap;
use std::io::{self, BufRead};
use std::path::Path;

use serde::Deserialize;

use super::format::{ImportFault, Source};
use super::parts::Parts;
use super::product::{self, Draft, Flaw, ImportedProduct, Rejection};
use crate::domain::product::{Attribute, Variant};
use crate::domain::{Currency, Money};

/// The files that hold such lines.
pub const ENDINGS: [&str; 2] = [".jsonl", ".ndjson"];
/// The longest line, as long as the longest body of the API.
pub const LINE_LIMIT: usize = 256 * 1024;

/// A line.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    sku: String,
    name: String,
    price: Money,
    #[serde(default)]
    brand: String,
    category: Option<String>,
    part_number: Option<String>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    attributes: BTreeMap<String, Attribute>,
    #[serde(default)]
    images: Vec<String>,
    #[serde(default)]
    gtins: Vec<String>,
    #[serde(default)]
    variants: Vec<BodyVariant>,
    stock: Option<u32>,
    published: Option<bool>,
    released_on: Option<String>,
}

/// A variant in a line.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BodyVariant {
    sku: String,
    #[serde(default)]
    options: BTreeMap<String, String>,
    price: Option<Money>,
    stock: Option<u32>,
}

/// Reads JSON lines.
pub struct JsonLines {
    parts: Parts,
    open: Option<(String, Box<dyn BufRead + Send>)>,
    buffer: Vec<u8>,
    currency: Currency,
    row: u64,
    fault: Option<ImportFault>,
}

impl JsonLines {
    /// Reads the lines of `path` for a shop that sells in `currency`.
    ///
    /// # Errors
    /// If it cannot be opened.
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
}

impl Source for JsonLines {
    fn next(&mut self) -> Option<Result<ImportedProduct, Rejection>> {
        while self.fault.is_none() {
            let Some((name, text)) = &mut self.open else {
                match self.parts.next()? {
                    Ok(part) => self.open = Some((part.name, part.text)),
                    Err(fault) => self.fault = Some(fault),
                }
                continue;
            };
            let within = match bounded_line(text, &mut self.buffer, LINE_LIMIT) {
                Ok(Some(within)) => within,
                Ok(None) => {
                    self.open = None;
                    continue;
                }
                Err(error) => {
                    let fault = ImportFault::Broken {
                        part: name.clone(),
                        reason: error.to_string(),
                    };
                    self.fault = Some(fault);
                    continue;
                }
            };
            self.row += 1;
            if within && self.buffer.trim_ascii().is_empty() {
                continue;
            }
            let product = if within {
                read(&self.buffer, self.currency).and_then(|draft| draft.finish(self.row))
            } else {
                Err(Flaw::new(
                    "",
                    "the line is longer than 256 KiB",
                    "shorten the description",
                ))
            };
            let excerpt = String::from_utf8_lossy(&self.buffer);
            return Some(product.map_err(|flaw| flaw.of_row(self.row, name, &excerpt)));
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

/// Reads a line without its end into `buffer`: `Some(false)` if it is longer than `limit` (then only
/// its beginning is kept), `None` at the end of the text.
fn bounded_line(text: &mut impl BufRead, buffer: &mut Vec<u8>, limit: usize) -> io::Result<Option<bool>> {
    buffer.clear();
    let mut within = true;
    let mut any = false;
    loop {
        let chunk = text.fill_buf()?;
        if chunk.is_empty() {
            return Ok(any.then_some(within));
        }
        any = true;
        let end = chunk.iter().position(|&byte| byte == b'\n');
        let piece = &chunk[..end.unwrap_or(chunk.len())];
        let room = limit.saturating_sub(buffer.len());
        within &= piece.len() <= room;
        buffer.extend_from_slice(&piece[..piece.len().min(room)]);
        let taken = piece.len() + usize::from(end.is_some());
        text.consume(taken);
        if end.is_some() {
            return Ok(Some(within));
        }
    }
}

/// The product a line describes.
pub(super) fn read(line: &[u8], currency: Currency) -> Result<Draft, Flaw> {
    let body: Body = serde_json::from_slice(line).map_err(|error| {
        Flaw::new(
            "",
            error.to_string(),
            "compare the line with the body of POST /v1/products",
        )
    })?;
    same_currency("price", body.price, currency)?;
    let mut draft = Draft {
        sku: body.sku,
        name: body.name,
        brand: body.brand,
        category: body.category,
        part_number: body.part_number,
        description: body.description,
        attributes: body.attributes,
        images: body.images,
        gtins: body.gtins,
        price_minor: body.price.amount,
        currency,
        hidden: body.published == Some(false),
        released: body.released_on,
        ..Draft::default()
    };
    if let Some(units) = body.stock {
        draft.stock.insert(product::sku(&draft.sku)?, units);
    }
    for (index, variant) in body.variants.into_iter().enumerate() {
        let place = format!("variants/{index}");
        let sku = product::sku(&variant.sku).map_err(|flaw| Flaw {
            place: format!("{place}/sku"),
            ..flaw
        })?;
        if let Some(price) = variant.price {
            same_currency(&format!("{place}/price"), price, currency)?;
            product::price(price.amount, currency).map_err(|flaw| Flaw {
                place: format!("{place}/price"),
                ..flaw
            })?;
        }
        if let Some(units) = variant.stock {
            draft.stock.insert(sku.clone(), units);
        }
        draft.variants.push(Variant {
            sku,
            options: variant.options,
            price: variant.price,
        });
    }
    Ok(draft)
}

fn same_currency(place: &str, price: Money, currency: Currency) -> Result<(), Flaw> {
    if price.currency == currency {
        return Ok(());
    }
    let reason = format!("it is in {}, the shop sells in {currency}", price.currency);
    Err(Flaw::new(
        place,
        reason,
        "convert it, or import with the other --currency",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str) -> Result<ImportedProduct, Flaw> {
        read(line.as_bytes(), Currency::EUR)?.finish(1)
    }

    #[test]
    fn the_body_of_the_api_is_a_line() {
        let product = check(
            r#"{"sku":"L-1","name":"Desk lamp","brand":"Lumora","category":"lighting",
                "price":{"amount":4990,"currency":"EUR"},"description":"Warm <b>light</b>.",
                "attributes":{"dimmable":true,"power":9.5,"product_colour":["Black","White"],"fitting":"E14"},
                "variants":[{"sku":"L-1-W","options":{"colour":"White"},"stock":3}],"stock":12,
                "gtins":["4006381333931"],"images":["https://example.org/l.jpg"],"released_on":"2026-03-01"}"#,
        )
        .unwrap();
        assert_eq!(product.details.category, "lighting");
        assert_eq!(product.details.description, "Warm light.");
        assert_eq!(product.details.attributes["dimmable"], Attribute::Flag(true));
        assert_eq!(product.details.attributes["power"], Attribute::Number(9.5));
        assert_eq!(product.units(), Some(12));
        assert_eq!(product.stock.len(), 2);
        assert_eq!(
            product.skus().map(ToString::to_string).collect::<Vec<_>>(),
            ["L-1", "L-1-W"]
        );
        assert!(product.published);
    }

    #[test]
    fn faulty_lines_say_what_is_wrong() {
        let fault = |line: &str| check(line).unwrap_err();
        let price = r#""price":{"amount":1,"currency":"EUR"}"#;
        assert!(
            fault(&format!(r#"{{"sku":"a","name":"b",{price},"colour":1}}"#))
                .reason
                .contains("`colour`")
        );
        assert!(fault(r#"{"sku":"a","name":"b"}"#).reason.contains("`price`"));
        assert!(fault("{").reason.contains("EOF"));
        let dollars = fault(r#"{"sku":"a","name":"b","price":{"amount":1,"currency":"USD"}}"#);
        assert_eq!(dollars.place, "price");
        let negative = fault(r#"{"sku":"a","name":"b","price":{"amount":-1,"currency":"EUR"}}"#);
        assert_eq!(negative.reason, "it is negative");
        let variant = fault(&format!(
            r#"{{"sku":"a","name":"b",{price},"variants":[{{"sku":"x y"}}]}}"#
        ));
        assert_eq!(variant.place, "variants/0/sku");
        let nested = fault(&format!(
            r#"{{"sku":"a","name":"b",{price},"attributes":{{"k":{{}}}}}}"#
        ));
        assert!(!nested.reason.is_empty());
    }

    #[test]
    fn a_line_without_end_costs_no_more_than_its_limit() {
        let text = [b"x".repeat(1_000), b"\nshort".to_vec()].concat();
        let mut text = io::BufReader::with_capacity(7, &text[..]);
        let mut buffer = Vec::new();
        assert_eq!(bounded_line(&mut text, &mut buffer, 100).unwrap(), Some(false));
        assert_eq!(buffer.len(), 100);
        assert_eq!(bounded_line(&mut text, &mut buffer, 100).unwrap(), Some(true));
        assert_eq!(buffer, b"short");
        assert_eq!(bounded_line(&mut text, &mut buffer, 100).unwrap(), None);
    }
}

//! Shopify product CSV, with the column names of both the present template and the older exports.
//!
//! A product is one or more rows with the same handle that stand together: the first row names the
//! product, each row with a price is a variant, each row with a picture adds it. Decided where the
//! format leaves it open:
//!
//! * a product needs a title and at least one variant with a price; a faulty variant is refused and
//!   the others stay; a variant without a SKU gets one made from the handle and its number;
//! * prices are digits with a decimal point: `1,5` is refused, for guessing whether the comma is a
//!   decimal or a thousands sign would be wrong by a factor of a thousand;
//! * of columns with the same name the first counts; rows may be short (the rest is empty), not long;
//! * cells that begin like a formula are text; nothing is ever evaluated;
//! * cells hold 8 KiB, descriptions as much as a row does; draft and archived products are hidden;
//! * a type or product category that is a category of the shop is taken, else the rules decide;
//! * options and metafields become attributes, tags the list `tags`.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::path::Path;

use super::category;
use super::format::{ImportFault, Source, digest};
use super::parts::Parts;
use super::product::{self, Draft, Flaw, ImportedProduct, Rejection};
use super::records::Record;
use super::table::{Column, Row, Table, key_of};
use crate::domain::id::Sku;
use crate::domain::product::{Attribute, Variant};
use crate::domain::{Currency, Money};

/// The files that hold such tables.
pub const ENDINGS: [&str; 1] = [".csv"];

/// Reads Shopify tables.
pub struct Shopify {
    parts: Parts,
    open: Option<Table>,
    /// The row that began the next product while the last one was read.
    ahead: Option<Row>,
    ready: VecDeque<Result<ImportedProduct, Rejection>>,
    handles: HashSet<u64>,
    currency: Currency,
    row: u64,
    fault: Option<ImportFault>,
}

impl Shopify {
    /// Reads the tables at `path`, their prices being in `currency`.
    ///
    /// # Errors
    /// If there are none, or they cannot be opened.
    pub fn open(path: &Path, currency: Currency) -> Result<Self, ImportFault> {
        Ok(Self {
            parts: Parts::find(path, &ENDINGS)?,
            open: None,
            ahead: None,
            ready: VecDeque::new(),
            handles: HashSet::new(),
            currency,
            row: 0,
            fault: None,
        })
    }

    /// Reads the rows of one product and judges them. `false` at the end of everything.
    fn read_product(&mut self) -> Result<bool, ImportFault> {
        let first = match self.ahead.take() {
            Some(row) => row,
            None => match self.read_row()? {
                Some(row) => row,
                None => return Ok(false),
            },
        };
        let mut rows = vec![first];
        let mut dropped = false;
        while let Some(row) = self.read_row()? {
            if row.handle() != rows[0].handle() {
                self.ahead = Some(row);
                break;
            }
            if rows.len() <= product::LIST_LIMIT {
                rows.push(row);
            } else if !dropped {
                dropped = true;
                let flaw = Flaw::new(
                    "Handle",
                    "the product has more than 200 rows; the rest is left out",
                    "split the product",
                );
                self.reject(flaw, &row);
            }
        }
        self.judge(rows);
        // What was refused while reading ahead stands behind what was judged just now.
        self.ready.make_contiguous().sort_by_key(|next| match next {
            Ok(product) => product.row,
            Err(rejection) => rejection.row,
        });
        Ok(true)
    }

    /// The next row with a handle; faulty ones are refused on the way.
    fn read_row(&mut self) -> Result<Option<Row>, ImportFault> {
        loop {
            let Some(table) = &mut self.open else {
                match self.parts.next() {
                    None => return Ok(None),
                    Some(part) => {
                        let part = part?;
                        self.open = Some(Table::new(part.name, part.text)?);
                        continue;
                    }
                }
            };
            let record = table.records.next().map_err(|error| ImportFault::Broken {
                part: table.name.clone(),
                reason: error.to_string(),
            })?;
            let line = table.records.line();
            let Some(record) = record else {
                self.open = None;
                continue;
            };
            self.row = line;
            let rejection = match record {
                Record::Faulty {
                    reason,
                    remedy,
                    excerpt,
                } => Flaw::new("", reason, remedy).of_row(line, &table.name, &excerpt),
                Record::Fields(fields) => match table.row(line, &fields) {
                    Ok(row) => return Ok(Some(row)),
                    Err(flaw) => flaw.of_row(line, &table.name, &fields.join(",")),
                },
            };
            self.ready.push_back(Err(rejection));
            if self.ready.len() > product::LIST_LIMIT {
                // Let the caller have them before more come.
                return Ok(None);
            }
        }
    }

    fn reject(&mut self, flaw: Flaw, row: &Row) {
        let file = self.open.as_ref().map_or("", |table| table.name.as_str());
        self.ready
            .push_back(Err(flaw.of_row(row.line, file, &row.source())));
    }

    fn judge(&mut self, rows: Vec<Row>) {
        let first = &rows[0];
        if !self.handles.insert(digest(first.handle())) {
            let reason = format!("the rows of {:?} do not stand together", first.handle());
            self.reject(Flaw::new("Handle", reason, "sort the table by handle"), first);
            return;
        }
        let mut variants = Vec::new();
        for (index, row) in rows.iter().filter(|row| row.is_variant()).enumerate() {
            match variant(row, first, index, self.currency) {
                Ok(variant) => variants.push(variant),
                Err(flaw) => self.reject(flaw, row),
            }
        }
        if variants.is_empty() {
            if !rows.iter().any(Row::is_variant) {
                self.reject(
                    Flaw::new("Variant Price", "it is missing", "give the product a price"),
                    first,
                );
            }
            return;
        }
        match draft(&rows, variants, self.currency).finish(first.line) {
            Ok(product) => self.ready.push_back(Ok(product)),
            Err(flaw) => self.reject(flaw, first),
        }
    }
}

impl Source for Shopify {
    fn next(&mut self) -> Option<Result<ImportedProduct, Rejection>> {
        loop {
            if let Some(next) = self.ready.pop_front() {
                return Some(next);
            }
            if self.fault.is_some() {
                return None;
            }
            match self.read_product() {
                Ok(false) if self.ready.is_empty() => return None,
                Ok(_) => {}
                Err(fault) => self.fault = Some(fault),
            }
        }
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

/// A variant as its row tells it.
struct Judged {
    sku: Sku,
    options: BTreeMap<String, String>,
    price: Money,
    units: Option<u32>,
}

fn variant(row: &Row, first: &Row, index: usize, currency: Currency) -> Result<Judged, Flaw> {
    let sku = match row.cell(&Column::Sku) {
        "" if index == 0 => product::sku(first.handle()),
        "" => product::sku(&format!("{}-{}", first.handle(), index + 1)),
        // Spreadsheets protect a number from being rounded by a leading apostrophe.
        given => product::sku(given.trim_start_matches('\'')),
    }
    .map_err(|flaw| Flaw {
        place: "Variant SKU".to_owned(),
        ..flaw
    })?;
    let mut options = BTreeMap::new();
    for number in 1..=3 {
        let name = first.cell(&Column::OptionName(number));
        let value = row.cell(&Column::OptionValue(number));
        // A product without options has one called "Title" that says "Default Title".
        if !name.is_empty() && !value.is_empty() && value != "Default Title" {
            options.insert(key_of(name), super::text::line(value));
        }
    }
    Ok(Judged {
        sku,
        options,
        price: price(row, currency)?,
        units: units(row)?,
    })
}

fn price(row: &Row, currency: Currency) -> Result<Money, Flaw> {
    let flaw = |reason: String, remedy| Flaw::new("Variant Price", reason, remedy);
    let text = row.cell(&Column::Price);
    if text.is_empty() {
        return Err(flaw("it is missing".to_owned(), "give the variant a price"));
    }
    let minor = minor_units(text, currency).ok_or_else(|| {
        flaw(
            format!("{text:?} is no price"),
            "write digits and a decimal point: 1.50, not 1,50 or €1.50",
        )
    })?;
    product::price(minor, currency).map_err(|found| flaw(found.reason, found.remedy))
}

/// `19.9` as minor units: digits, at most one point, no more decimals than the currency has
/// (zeros excepted).
fn minor_units(text: &str, currency: Currency) -> Option<i64> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let exponent = usize::try_from(currency.exponent()).ok()?;
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let kept = decimals.trim_end_matches('0');
    if whole.is_empty() || !all_digits(whole) || !all_digits(decimals) || kept.len() > exponent {
        return None;
    }
    format!("{whole}{kept:0<exponent$}")
        .parse::<i64>()
        .ok()
        .map(|minor| sign * minor)
}

/// Units on hand. Shopify lets a shop sell what it does not have; here that is nothing on hand.
fn units(row: &Row) -> Result<Option<u32>, Flaw> {
    let text = row.cell(&Column::Quantity);
    if text.is_empty() {
        return Ok(None);
    }
    let units: i64 = text.parse().map_err(|_| {
        Flaw::new(
            "Variant Inventory Qty",
            format!("{text:?} is no number of units"),
            "write a whole number",
        )
    })?;
    Ok(Some(u32::try_from(units.max(0)).unwrap_or(u32::MAX)))
}

fn draft(rows: &[Row], judged: Vec<Judged>, currency: Currency) -> Draft {
    let first = &rows[0];
    let cell = |column: Column| first.cell(&column).to_owned();
    let mut draft = Draft {
        name: cell(Column::Title),
        brand: cell(Column::Vendor),
        description: cell(Column::Body),
        category: Some(category_of(first)),
        attributes: attributes(first, &judged),
        currency,
        hidden: is_hidden(first),
        ..Draft::default()
    };
    for row in rows {
        for column in [Column::Image, Column::VariantImage] {
            draft.images.push(row.cell(&column).to_owned());
        }
        draft
            .gtins
            .push(row.cell(&Column::Barcode).trim_start_matches('\'').to_owned());
    }
    for (index, variant) in judged.into_iter().enumerate() {
        if let Some(units) = variant.units {
            draft.stock.insert(variant.sku.clone(), units);
        }
        if index == 0 {
            draft.sku = variant.sku.to_string();
            draft.price_minor = variant.price.amount;
        } else {
            let differs = variant.price.amount != draft.price_minor;
            draft.variants.push(Variant {
                sku: variant.sku,
                options: variant.options,
                price: differs.then_some(variant.price),
            });
        }
    }
    draft
}

fn attributes(first: &Row, judged: &[Judged]) -> BTreeMap<String, Attribute> {
    let mut attributes = BTreeMap::new();
    for (column, cell) in &first.cells {
        if let Column::Metafield(key) = column {
            attributes.insert(key.clone(), value_of(cell));
        }
    }
    let mut options: BTreeMap<&String, Vec<String>> = BTreeMap::new();
    for (key, value) in judged.iter().flat_map(|variant| &variant.options) {
        let values = options.entry(key).or_default();
        if !values.contains(value) {
            values.push(value.clone());
        }
    }
    for (key, mut values) in options {
        let one = if values.len() == 1 { values.pop() } else { None };
        attributes.insert(key.clone(), one.map_or(Attribute::Texts(values), Attribute::Text));
    }
    let tags: Vec<String> = first
        .cell(&Column::Tags)
        .split(',')
        .map(|tag| tag.trim().to_owned())
        .collect();
    if tags.iter().any(|tag| !tag.is_empty()) {
        attributes.insert("tags".to_owned(), Attribute::Texts(tags));
    }
    if let Ok(grams) = first.cell(&Column::Grams).parse::<f64>()
        && grams > 0.0
    {
        attributes.insert("weight_grams".to_owned(), Attribute::Number(grams));
    }
    attributes
}

fn value_of(cell: &str) -> Attribute {
    match cell {
        "true" | "TRUE" => Attribute::Flag(true),
        "false" | "FALSE" => Attribute::Flag(false),
        _ => match cell.parse::<f64>() {
            Ok(number) if number.is_finite() => Attribute::Number(number),
            _ if cell.contains("; ") => Attribute::Texts(cell.split("; ").map(str::to_owned).collect()),
            _ => Attribute::Text(cell.to_owned()),
        },
    }
}

fn category_of(first: &Row) -> String {
    let category = first.cell(&Column::ProductCategory);
    let last = category.rsplit('>').next().unwrap_or_default().trim();
    let kind = first.cell(&Column::Type);
    if let Some(known) = [kind, last].into_iter().find_map(category::find) {
        return known.slug.clone();
    }
    let words = format!("{kind} {last} {}", first.cell(&Column::Title));
    category::classify(&words, first.cell(&Column::Vendor), &BTreeMap::new()).to_owned()
}

fn is_hidden(first: &Row) -> bool {
    let status = first.cell(&Column::Status).to_lowercase();
    let published = first.cell(&Column::Published).to_lowercase();
    matches!(status.as_str(), "draft" | "archived") || published == "false"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_is_no_decimal_point() {
        let check = |text, minor| assert_eq!(minor_units(text, Currency::EUR), minor, "{text}");
        check("19.99", Some(1_999));
        check("19.9", Some(1_990));
        check("19", Some(1_900));
        check("0.00", Some(0));
        check("19.9900", Some(1_999));
        check("-5.00", Some(-500));
        for text in ["1,5", "1,234.00", "1.234", "$5", ".5", "", "-", "1e3", "5 ", "٣"] {
            check(text, None);
        }
        assert_eq!(minor_units("500", "JPY".parse().unwrap()), Some(500));
        assert_eq!(minor_units("500.5", "JPY".parse().unwrap()), None);
    }
}

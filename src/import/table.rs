//! The table of a Shopify export: which column is which, and its rows as cells by column.

use std::collections::{BTreeMap, HashSet};
use std::io::BufRead;

use super::format::ImportFault;
use super::product::Flaw;
use super::records::{Record, Records};

/// The longest cell, in bytes, other than a description.
pub const CELL_LIMIT: usize = 8 * 1024;

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Column {
    Handle,
    Title,
    Body,
    Vendor,
    ProductCategory,
    Type,
    Tags,
    Published,
    Status,
    OptionName(u8),
    OptionValue(u8),
    Sku,
    Grams,
    Quantity,
    Price,
    Barcode,
    Image,
    VariantImage,
    Metafield(String),
}

impl Column {
    fn named(header: &str) -> Option<Self> {
        let header = header.trim().to_lowercase();
        if let Some(at) = header.rfind("(product.metafields.") {
            let key = header[at..]
                .trim_end_matches(')')
                .rsplit('.')
                .next()
                .unwrap_or_default();
            return Some(Self::Metafield(key_of(key)))
                .filter(|column| *column != Self::Metafield(String::new()));
        }
        Some(match header.as_str() {
            "handle" | "url handle" => Self::Handle,
            "title" => Self::Title,
            "body (html)" | "body html" | "description" => Self::Body,
            "vendor" => Self::Vendor,
            "product category" => Self::ProductCategory,
            "type" => Self::Type,
            "tags" => Self::Tags,
            "published" | "published on online store" => Self::Published,
            "status" => Self::Status,
            "option1 name" => Self::OptionName(1),
            "option2 name" => Self::OptionName(2),
            "option3 name" => Self::OptionName(3),
            "option1 value" => Self::OptionValue(1),
            "option2 value" => Self::OptionValue(2),
            "option3 value" => Self::OptionValue(3),
            "variant sku" | "sku" => Self::Sku,
            "variant grams" | "weight value (grams)" => Self::Grams,
            "variant inventory qty" | "inventory quantity" => Self::Quantity,
            "variant price" | "price" => Self::Price,
            "variant barcode" | "barcode" => Self::Barcode,
            "image src" | "product image url" => Self::Image,
            "variant image" | "variant image url" => Self::VariantImage,
            _ => return None,
        })
    }
}

/// A row of the table.
#[derive(Debug)]
pub(super) struct Row {
    /// Where it starts.
    pub line: u64,
    /// What its cells say; empty ones are not there.
    pub cells: BTreeMap<Column, String>,
}

impl Row {
    pub fn cell(&self, column: &Column) -> &str {
        self.cells.get(column).map_or("", String::as_str)
    }

    pub fn handle(&self) -> &str {
        self.cell(&Column::Handle)
    }

    pub fn is_variant(&self) -> bool {
        [Column::Price, Column::Sku, Column::OptionValue(1)]
            .iter()
            .any(|column| !self.cell(column).is_empty())
    }

    pub fn source(&self) -> String {
        self.cells
            .values()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(",")
    }
}

/// An open table, past its header.
pub(super) struct Table {
    /// What to call it where there are several.
    pub name: String,
    pub records: Records<Box<dyn BufRead + Send>>,
    columns: Vec<Option<Column>>,
}

impl Table {
    pub fn new(name: String, text: Box<dyn BufRead + Send>) -> Result<Self, ImportFault> {
        let mut records = Records::new(text);
        let header = records.next().map_err(|error| ImportFault::Broken {
            part: name.clone(),
            reason: error.to_string(),
        })?;
        let header = match header {
            Some(Record::Fields(fields)) => fields,
            Some(Record::Faulty { reason, .. }) => {
                return Err(ImportFault::Broken {
                    part: name,
                    reason: format!("its header: {reason}"),
                });
            }
            None => Vec::new(),
        };
        let mut known = HashSet::new();
        let columns: Vec<_> = header
            .iter()
            .map(|header| Column::named(header).filter(|column| known.insert(column.clone())))
            .collect();
        let needed = [
            (Column::Handle, "Handle"),
            (Column::Title, "Title"),
            (Column::Price, "Variant Price"),
        ];
        let missing: Vec<_> = needed
            .iter()
            .filter(|(column, _)| !known.contains(column))
            .map(|(_, name)| *name)
            .collect();
        if missing.is_empty() {
            Ok(Self {
                name,
                records,
                columns,
            })
        } else {
            Err(ImportFault::MissingColumns {
                missing: missing.join(", "),
            })
        }
    }

    pub fn row(&self, line: u64, fields: &[String]) -> Result<Row, Flaw> {
        if fields.len() > self.columns.len() {
            let reason = format!(
                "the row has {} cells, the table {} columns",
                fields.len(),
                self.columns.len()
            );
            return Err(Flaw::new("", reason, "put cells that hold commas in quotes"));
        }
        let mut cells = BTreeMap::new();
        for (column, field) in self.columns.iter().zip(fields) {
            let Some(column) = column else { continue };
            if field.len() > CELL_LIMIT && *column != Column::Body {
                return Err(Flaw::new(
                    format!("{column:?}"),
                    "the cell is longer than 8 KiB",
                    "shorten it",
                ));
            }
            let cell = field.trim();
            if !cell.is_empty() {
                cells.insert(column.clone(), cell.to_owned());
            }
        }
        let row = Row { line, cells };
        if row.handle().is_empty() {
            return Err(Flaw::new(
                "Handle",
                "it is missing",
                "give every row the handle of its product",
            ));
        }
        Ok(row)
    }
}

/// A name as the key of an attribute: `Colour of frame` is `colour_of_frame`.
pub(super) fn key_of(name: &str) -> String {
    let mut key = String::new();
    for c in name.trim().chars().flat_map(char::to_lowercase) {
        if c.is_alphanumeric() {
            key.push(c);
        } else if !key.ends_with('_') && !key.is_empty() {
            key.push('_');
        }
    }
    key.truncate(key.trim_end_matches('_').len());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_known_by_both_their_names() {
        assert_eq!(Column::named(" Variant SKU "), Some(Column::Sku));
        assert_eq!(Column::named("SKU"), Some(Column::Sku));
        let metafield = Column::named("Colour (product.metafields.shopify.color-pattern)");
        assert_eq!(metafield, Some(Column::Metafield("color_pattern".into())));
        assert_eq!(Column::named("SEO Title"), None);
        assert_eq!(key_of("Colour of frame!"), "colour_of_frame");
    }
}

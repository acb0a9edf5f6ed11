//! What every catalogue format is read into, and what is said about a row that cannot be.
//!
//! A [`Draft`] is a row as its source wrote it; [`Draft::finish`] is the one place where a row is
//! judged, so that every format is held to the same rules. Nothing here reads a file.

use std::collections::BTreeMap;

use time::Date;

use super::slug::{folded, slug};
use super::{category, text};
use crate::domain::id::Sku;
use crate::domain::product::{Attribute, Details, Variant};
use crate::domain::{Currency, Money};

/// The longest name, in characters.
pub const NAME_LIMIT: usize = 300;
/// The longest description, in bytes.
pub const DESCRIPTION_LIMIT: usize = 64 * 1024;
/// The longest text of one attribute, in bytes.
pub const ATTRIBUTE_LIMIT: usize = 8 * 1024;
/// How many attributes a product may have.
pub const ATTRIBUTES_LIMIT: usize = 500;
/// How many images, variants or trade item numbers are kept.
pub const LIST_LIMIT: usize = 200;
/// How much of a faulty row is shown.
pub const EXCERPT_LIMIT: usize = 160;

/// A product as a catalogue describes it, valid as far as one row can tell.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportedProduct {
    /// What it is, ready for [`crate::domain::product::Command::Import`].
    pub details: Box<Details>,
    /// What it costs, tax included.
    pub price: Money,
    /// Whether the source offers it for sale.
    pub published: bool,
    /// Units on hand by SKU, where the source knows.
    pub stock: BTreeMap<Sku, u32>,
    /// When its maker released it.
    pub released_on: Option<Date>,
    /// Where it stood: the line of a text file, the place in a list.
    pub row: u64,
}

impl ImportedProduct {
    /// Units on hand of the main SKU, if the source says.
    #[must_use]
    pub fn units(&self) -> Option<u32> {
        self.stock.get(&self.details.sku).copied()
    }

    /// Every SKU it brings: its own, then those of its variants.
    pub fn skus(&self) -> impl Iterator<Item = &Sku> {
        std::iter::once(&self.details.sku).chain(self.details.variants.iter().map(|variant| &variant.sku))
    }
}

/// A row that did not become a product, told so that a person can mend it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Rejection {
    /// The row, counted as [`ImportedProduct::row`].
    pub row: u64,
    /// The file where there are several, and the column or field.
    pub place: String,
    /// What is wrong.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
    /// The beginning of the row as it was found.
    pub excerpt: String,
}

/// What is wrong with one field of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The column or field.
    pub place: String,
    /// What is wrong.
    pub reason: String,
    /// What to do about it.
    pub remedy: &'static str,
}

impl Flaw {
    /// A flaw of the field `place`.
    pub fn new(place: impl Into<String>, reason: impl Into<String>, remedy: &'static str) -> Self {
        Self {
            place: place.into(),
            reason: reason.into(),
            remedy,
        }
    }

    /// The rejection of row `row` for this flaw; `file` is empty where there is only one.
    #[must_use]
    pub fn of_row(self, row: u64, file: &str, source: &str) -> Rejection {
        let place = match (file, self.place.as_str()) {
            ("", place) => place.to_owned(),
            (file, "") => file.to_owned(),
            (file, place) => format!("{file}: {place}"),
        };
        Rejection {
            row,
            place,
            reason: self.reason,
            remedy: self.remedy.to_owned(),
            excerpt: text::excerpt(source, EXCERPT_LIMIT),
        }
    }
}

/// A row as its source wrote it.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// The SKU.
    pub sku: String,
    /// The name; may hold markup.
    pub name: String,
    /// Who makes it.
    pub brand: String,
    /// The slug or name of a category of the shop; without one the rules decide.
    pub category: Option<String>,
    /// The maker's part number.
    pub part_number: Option<String>,
    /// The description; may hold markup.
    pub description: String,
    /// Attributes by key.
    pub attributes: BTreeMap<String, Attribute>,
    /// Other SKUs.
    pub variants: Vec<Variant>,
    /// Picture addresses.
    pub images: Vec<String>,
    /// Trade item numbers in any length; what is none is left out.
    pub gtins: Vec<String>,
    /// Minor units.
    pub price_minor: i64,
    /// Their currency.
    pub currency: Currency,
    /// Whether it is hidden.
    pub hidden: bool,
    /// Units on hand by SKU.
    pub stock: BTreeMap<Sku, u32>,
    /// When it was released, as RFC 3339.
    pub released: Option<String>,
}

impl Draft {
    /// The product, if everything about it can be.
    ///
    /// # Errors
    /// The first flaw found.
    pub fn finish(self, row: u64) -> Result<ImportedProduct, Flaw> {
        let sku = sku(&self.sku)?;
        let name = name(&self.name)?;
        let price = price(self.price_minor, self.currency)?;
        let description = text::plain(&self.description);
        if description.len() > DESCRIPTION_LIMIT {
            return Err(Flaw::new("description", "it is longer than 64 KiB", "shorten it"));
        }
        let attributes = attributes(self.attributes)?;
        if self.variants.len() > LIST_LIMIT {
            return Err(Flaw::new(
                "variants",
                "there are more than 200",
                "split the product",
            ));
        }
        let variants = self.variants.into_iter().map(variant);
        let variants = variants.collect::<Result<Vec<_>, _>>()?;
        let brand = text::line(&self.brand);
        let category = match self
            .category
            .as_deref()
            .map(str::trim)
            .filter(|given| !given.is_empty())
        {
            Some(given) => given_category(given)?,
            None => category::classify(&name, &brand, &attributes).to_owned(),
        };
        let released_on = self.released.as_deref().and_then(date);
        let details = Details {
            slug: slug(&name, &sku),
            sku,
            name,
            brand,
            category,
            part_number: self
                .part_number
                .map(|part| text::line(&part))
                .filter(|part| !part.is_empty()),
            description,
            attributes,
            variants,
            images: images(self.images),
            gtins: gtins(&self.gtins),
        };
        Ok(ImportedProduct {
            details: Box::new(details),
            price,
            published: !self.hidden,
            stock: self.stock,
            released_on,
            row,
        })
    }
}

/// The SKU `text` is.
///
/// # Errors
/// If it is none.
pub fn sku(text: &str) -> Result<Sku, Flaw> {
    let trimmed = text.trim();
    trimmed.parse().map_err(|_| {
        let reason = match trimmed.len() {
            0 => "it is missing".to_owned(),
            1..=64 => format!("{trimmed:?} has characters other than letters, digits, '.', '_' and '-'"),
            _ => "it is longer than 64 characters".to_owned(),
        };
        Flaw::new("sku", reason, "give each product 1 to 64 of A-Z a-z 0-9 . _ -")
    })
}

fn name(source: &str) -> Result<String, Flaw> {
    let name = text::line(source);
    if name.is_empty() {
        return Err(Flaw::new("name", "it is missing", "give the product a name"));
    }
    if name.chars().count() > NAME_LIMIT {
        return Err(Flaw::new(
            "name",
            "it is longer than 300 characters",
            "move the rest to the description",
        ));
    }
    Ok(name)
}

/// The price of `minor` units, if the shop can ask it.
///
/// # Errors
/// If it is negative or too large.
pub fn price(minor: i64, currency: Currency) -> Result<Money, Flaw> {
    if (0..=Money::LIMIT).contains(&minor) {
        return Ok(Money::new(minor, currency));
    }
    let reason = if minor < 0 {
        "it is negative"
    } else {
        "it is larger than any price"
    };
    Err(Flaw::new(
        "price",
        reason,
        "write the price customers pay, tax included",
    ))
}

fn attributes(source: BTreeMap<String, Attribute>) -> Result<BTreeMap<String, Attribute>, Flaw> {
    if source.len() > ATTRIBUTES_LIMIT {
        return Err(Flaw::new(
            "attributes",
            "there are more than 500",
            "leave out what nobody looks for",
        ));
    }
    let mut kept = BTreeMap::new();
    for (key, value) in source {
        let key = text::line(&key);
        let Some(value) = attribute(value).filter(|_| !key.is_empty()) else {
            continue;
        };
        let size = match &value {
            Attribute::Text(text) => text.len(),
            Attribute::Texts(texts) => texts.iter().map(String::len).sum(),
            Attribute::Flag(_) | Attribute::Number(_) => 0,
        };
        if key.len() > 100 || size > ATTRIBUTE_LIMIT {
            let place = format!("attributes/{}", text::excerpt(&key, 100));
            return Err(Flaw::new(
                place,
                "it is longer than 8 KiB",
                "move it to the description",
            ));
        }
        kept.entry(key).or_insert(value);
    }
    Ok(kept)
}

/// The variant with the names and values of its options made plain.
fn variant(source: Variant) -> Result<Variant, Flaw> {
    let mut options = BTreeMap::new();
    for (name, value) in source.options {
        let (name, value) = (text::line(&name), text::line(&value));
        if name.len() > 100 || value.len() > ATTRIBUTE_LIMIT {
            let place = format!("variants/{}", source.sku);
            return Err(Flaw::new(place, "an option is longer than 8 KiB", "shorten it"));
        }
        if !name.is_empty() && !value.is_empty() {
            options.entry(name).or_insert(value);
        }
    }
    Ok(Variant { options, ..source })
}

/// The value with its texts made plain; `None` if nothing is left of it.
fn attribute(value: Attribute) -> Option<Attribute> {
    match value {
        Attribute::Text(source) => Some(text::plain(&source))
            .filter(|text| !text.is_empty())
            .map(Attribute::Text),
        Attribute::Texts(sources) => {
            let mut texts: Vec<String> = Vec::with_capacity(sources.len());
            for text in sources.iter().map(|source| text::line(source)) {
                if !text.is_empty() && !texts.contains(&text) && texts.len() < LIST_LIMIT {
                    texts.push(text);
                }
            }
            Some(texts)
                .filter(|texts| !texts.is_empty())
                .map(Attribute::Texts)
        }
        Attribute::Number(number) => number.is_finite().then_some(Attribute::Number(number)),
        Attribute::Flag(_) => Some(value),
    }
}

fn given_category(given: &str) -> Result<String, Flaw> {
    if let Some(known) = category::find(given) {
        return Ok(known.slug.clone());
    }
    let slug = folded(given, 64);
    if slug.is_empty() {
        return Err(Flaw::new(
            "category",
            "it has no letter",
            "name a category, or leave the field out",
        ));
    }
    Ok(slug)
}

/// Addresses a browser could fetch over the web, each once. What cannot be shown is left out:
/// a missing picture is no reason to lose a product, and nothing here fetches anything.
fn images(sources: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for source in sources {
        let url = source.trim();
        let web = url.starts_with("https://") || url.starts_with("http://");
        let clean = url.len() <= 2_048 && !url.contains(|c: char| c.is_control() || c.is_whitespace());
        if web && clean && kept.len() < LIST_LIMIT && !kept.iter().any(|known| known == url) {
            kept.push(url.to_owned());
        }
    }
    kept
}

/// Trade item numbers with 14 digits, each once, in the order of the source. One number is often
/// listed twice with different zero padding; what fails its check digit is left out.
#[must_use]
pub fn gtins(sources: &[String]) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for source in sources {
        if let Some(gtin) = gtin(source)
            && kept.len() < LIST_LIMIT
            && !kept.contains(&gtin)
        {
            kept.push(gtin);
        }
    }
    kept
}

/// `source` as a GTIN of 14 digits, if it is one of 8 to 14 digits with a right check digit.
#[must_use]
pub fn gtin(source: &str) -> Option<String> {
    let digits: String = source.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    if !(8..=14).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let padded = format!("{digits:0>14}");
    let mut sum = 0;
    for (at, byte) in padded.bytes().enumerate() {
        let weight = if at % 2 == 0 { 3 } else { 1 };
        sum += u32::from(byte - b'0') * weight;
    }
    (sum > 0 && sum % 10 == 0).then_some(padded)
}

/// The day of an RFC 3339 time or date; anything else is no day.
fn date(source: &str) -> Option<Date> {
    let day = source.get(..10)?;
    Date::parse(day, time::macros::format_description!("[year]-[month]-[day]")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn draft() -> Draft {
        Draft {
            sku: "A-1".into(),
            name: "Lamp".into(),
            price_minor: 1_999,
            ..Draft::default()
        }
    }

    #[test]
    fn one_number_with_other_padding_is_one_number() {
        let listed = [
            "4006381333931",
            "04006381333931",
            " 4006381-333931 ",
            "4006381333932",
            "12",
            "0000000000000",
        ];
        let listed: Vec<String> = listed.into_iter().map(str::to_owned).collect();
        assert_eq!(gtins(&listed), ["04006381333931"]);
        assert_eq!(gtin("96385074").as_deref(), Some("00000096385074"));
        assert_eq!(gtin("036000291452").as_deref(), Some("00036000291452"));
        assert_eq!(gtin("３６０００２９１４５２"), None);
    }

    #[test]
    fn a_flaw_names_the_field_and_the_remedy() {
        let flaw = |change: fn(&mut Draft)| {
            let mut draft = draft();
            change(&mut draft);
            draft.finish(7).unwrap_err().place
        };
        assert_eq!(flaw(|draft| draft.sku = "a b".into()), "sku");
        assert_eq!(flaw(|draft| draft.sku = String::new()), "sku");
        assert_eq!(flaw(|draft| draft.name = "<b> </b>".into()), "name");
        assert_eq!(flaw(|draft| draft.name = "x".repeat(301)), "name");
        assert_eq!(flaw(|draft| draft.price_minor = -1), "price");
        assert_eq!(flaw(|draft| draft.price_minor = i64::MAX), "price");
        assert_eq!(flaw(|draft| draft.category = Some("!!".into())), "category");
        let key = |draft: &mut Draft| {
            draft
                .attributes
                .insert("k".into(), Attribute::Text("x".repeat(9_000)));
        };
        assert_eq!(flaw(key), "attributes/k");
        let rejection =
            Flaw::new("price", "it is negative", "mend it").of_row(3, "a.json", "{\"id\": \u{7}}");
        assert_eq!(rejection.place, "a.json: price");
        assert_eq!(rejection.excerpt, "{\"id\":  }");
    }

    #[test]
    fn names_of_attributes_and_options_are_as_plain_as_their_values() {
        let mut draft = draft();
        let text = |text: &str| Attribute::Text(text.to_owned());
        draft.attributes = BTreeMap::from([
            ("co\0lo\u{202e}ur".to_owned(), text("black")),
            ("\0".to_owned(), text("nothing")),
        ]);
        draft.variants = vec![Variant {
            sku: "A-2".parse().unwrap(),
            options: BTreeMap::from([("<b>size</b>\0".to_owned(), "\0L".to_owned())]),
            price: None,
        }];
        let details = draft.finish(1).unwrap().details;
        assert_eq!(
            details.attributes,
            BTreeMap::from([("co lour".to_owned(), text("black"))])
        );
        let size = BTreeMap::from([("size".to_owned(), "L".to_owned())]);
        assert_eq!(details.variants[0].options, size);
    }

    #[test]
    fn pictures_that_cannot_be_shown_are_left_out() {
        let mut draft = draft();
        draft.images = [
            "http://a/b.jpg",
            "file:///etc/passwd",
            "javascript:x",
            "http://a/b.jpg",
            "https://c d",
        ]
        .map(str::to_owned)
        .to_vec();
        assert_eq!(draft.finish(1).unwrap().details.images, ["http://a/b.jpg"]);
    }

    #[test]
    fn a_category_is_a_known_one_or_becomes_a_slug() {
        let category = |given: &str| {
            let draft = Draft {
                category: Some(given.into()),
                ..draft()
            };
            draft.finish(1).unwrap().details.category
        };
        assert_eq!(category("televisions"), "televisions");
        assert_eq!(category("Blank discs and tapes"), "blank-media");
        assert_eq!(category("Garden Gnomes"), "garden-gnomes");
        assert_eq!(category(" "), category::classify("Lamp", "", &BTreeMap::new()));
    }

    #[test]
    fn a_release_is_a_day() {
        let day = |text: &str| {
            Draft {
                released: Some(text.into()),
                ..draft()
            }
            .finish(1)
            .unwrap()
            .released_on
        };
        assert_eq!(
            day("2009-12-10T00:00:00Z"),
            Some(time::macros::date!(2009 - 12 - 10))
        );
        assert_eq!(day("soon"), None);
        assert_eq!(day("2009-13-45"), None);
    }

    proptest! {
        #[test]
        fn any_draft_ends_in_a_product_or_a_flaw(
            sku in "[a-z ]{0,4}", name in any::<String>(), price_minor in any::<i64>(),
            text in any::<String>(), number in any::<f64>(),
        ) {
            let attributes = BTreeMap::from([
                ("text".to_owned(), Attribute::Text(text.clone())),
                ("number".to_owned(), Attribute::Number(number)),
            ]);
            let draft = Draft { sku, name, price_minor, attributes, description: text.clone(),
                images: vec![text.clone()], gtins: vec![text], ..Draft::default() };
            let _ = draft.finish(1);
        }
    }
}

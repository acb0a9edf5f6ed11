//! Products nobody sells: a small catalogue written by hand for the demo, and as many more as
//! wanted, made up for measuring.
//!
//! Deterministic: the same numbers give the same products, on any machine, in any build. The
//! randomness is a formula seeded by the caller, so this is data and not chance. Made-up products
//! go through [`Draft::finish`] like those of any file.

use std::collections::BTreeMap;

use super::families::{BRANDS, FAMILIES, Feature, LINES, PRAISE, Values};
use super::jsonl;
use super::product::{Draft, ImportedProduct};
use crate::domain::Currency;
use crate::domain::product::Attribute;

/// The demo catalogue: a few dozen products of invented brands over many categories, some of them
/// nearly or quite sold out.
#[must_use]
pub fn demo() -> Vec<ImportedProduct> {
    include_bytes!("demo.jsonl")
        .split(|&byte| byte == b'\n')
        .zip(1..)
        .filter(|(line, _)| !line.is_empty())
        .filter_map(|(line, row)| jsonl::read(line, Currency::EUR).ok()?.finish(row).ok())
        .collect()
}

/// `count` made-up products; another `seed` makes up others under the same SKUs. Each is made when
/// it is asked for, so memory does not grow with `count`.
pub fn generate(count: u64, seed: u64) -> impl Iterator<Item = ImportedProduct> {
    (1..=count).filter_map(move |number| {
        let mut dice = Dice(seed ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93));
        made_up(number, &mut dice).finish(number).ok()
    })
}

/// SplitMix64 (Steele, Lea, Flood 2014): well mixed, tiny, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `below` - 1.
    fn below(&mut self, below: u64) -> u64 {
        // The bias of the remainder is far below anything a catalogue shows.
        self.roll() % below.max(1)
    }

    fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let index = self.below(choices.len() as u64);
        &choices[usize::try_from(index).unwrap_or(0)]
    }
}

fn made_up(number: u64, dice: &mut Dice) -> Draft {
    let family = dice.pick(FAMILIES);
    let brand = *dice.pick(BRANDS);
    let line = *dice.pick(LINES);
    let letter = char::from(*dice.pick(b"ABCDEFGHKLMNPRSTVX"));
    let model = format!("{letter}{}", 100 + dice.below(900));
    let mut name = format!("{brand} {line} {model} {}", family.noun);
    let mut attributes = BTreeMap::new();
    let mut told = Vec::new();
    for feature in family.features {
        let (value, text) = feature.value(dice);
        if !feature.mention.is_empty() {
            name.push(' ');
            name.push_str(&feature.mention.replace('#', &text));
        }
        told.push(format!("{}: {text}", feature.key.replace('_', " ")));
        attributes.insert(feature.key.to_owned(), value);
    }
    let sku = format!("GS-{number:08}");
    let stock = match dice.below(20) {
        0 => 0,
        1 | 2 => 1 + dice.below(5),
        _ => 6 + dice.below(495),
    };
    let stock = sku
        .parse()
        .ok()
        .zip(u32::try_from(stock).ok())
        .into_iter()
        .collect();
    Draft {
        name,
        brand: brand.to_owned(),
        category: Some(family.category.to_owned()),
        part_number: Some(format!("{model}-{:05}", dice.below(100_000))),
        description: format!("{}\n\n{}.", dice.pick(PRAISE), told.join(", ")),
        attributes,
        gtins: vec![trade_number(number)],
        price_minor: price(family.price, dice),
        stock,
        sku,
        ..Draft::default()
    }
}

impl Feature {
    fn value(&self, dice: &mut Dice) -> (Attribute, String) {
        match self.values {
            Values::Texts(values) => {
                let text = *dice.pick(values);
                (Attribute::Text(text.to_owned()), text.to_owned())
            }
            Values::Numbers(values) => {
                let number = *dice.pick(values);
                (Attribute::Number(number), number.to_string())
            }
            Values::Flag => {
                let yes = dice.below(2) == 1;
                (Attribute::Flag(yes), if yes { "yes" } else { "no" }.to_owned())
            }
        }
    }
}

/// A price in the range that ends the way prices end. Cheap ones are more common than dear ones.
fn price((from, to): (u64, u64), dice: &mut Dice) -> i64 {
    let span = to - from;
    let whole = from + dice.below(span + 1).min(dice.below(span + 1));
    let minor = match whole {
        0..50 => whole * 100 + 99,
        50..500 => whole / 5 * 500 + 490,
        _ => whole / 50 * 5_000 + 4_900,
    };
    i64::try_from(minor).unwrap_or(i64::MAX)
}

/// A number of the range that shops may use for themselves (prefix 20), with its check digit.
fn trade_number(number: u64) -> String {
    let digits = format!("20{:010}", number % 10_000_000_000);
    let mut sum = 0;
    for (at, byte) in digits.bytes().enumerate() {
        sum += u32::from(byte - b'0') * if at % 2 == 0 { 1 } else { 3 };
    }
    format!("{digits}{}", (10 - sum % 10) % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::category;
    use std::collections::BTreeSet;

    #[test]
    fn the_demo_is_whole() {
        let lines = include_str!("demo.jsonl").lines().count();
        let products = demo();
        assert_eq!(products.len(), lines, "a line of the demo is no product");
        assert!((60..=120).contains(&lines));
        let skus: BTreeSet<_> = products.iter().flat_map(ImportedProduct::skus).collect();
        assert_eq!(
            skus.len(),
            products.iter().flat_map(ImportedProduct::skus).count()
        );
        let categories: BTreeSet<_> = products
            .iter()
            .map(|product| product.details.category.as_str())
            .collect();
        assert!(categories.len() >= 25);
        for product in &products {
            let details = &product.details;
            assert!(
                category::find(&details.category).is_some(),
                "{}",
                details.category
            );
            assert!(
                details.description.len() > 20 && !details.attributes.is_empty(),
                "{}",
                details.sku
            );
        }
        assert!(
            products
                .iter()
                .filter(|product| product.units() == Some(0))
                .count()
                >= 4
        );
        assert!(
            products
                .iter()
                .filter(|product| matches!(product.units(), Some(1..=5)))
                .count()
                >= 4
        );
    }

    #[test]
    fn the_same_numbers_give_the_same_products() {
        let some: Vec<_> = generate(50, 7).collect();
        assert_eq!(some, generate(50, 7).collect::<Vec<_>>());
        assert_eq!(some[..20], generate(20, 7).collect::<Vec<_>>());
        assert_ne!(some, generate(50, 8).collect::<Vec<_>>());
    }

    #[test]
    fn made_up_products_are_varied_and_valid() {
        let products: Vec<_> = generate(3_000, 1).collect();
        assert_eq!(products.len(), 3_000);
        let distinct =
            |of: fn(&ImportedProduct) -> String| products.iter().map(of).collect::<BTreeSet<_>>().len();
        assert_eq!(distinct(|product| product.details.slug.clone()), 3_000);
        assert!(distinct(|product| product.details.name.clone()) > 2_950);
        assert_eq!(
            distinct(|product| product.details.category.clone()),
            FAMILIES.len()
        );
        for product in &products {
            assert!(category::find(&product.details.category).is_some());
            assert_eq!(product.details.gtins.len(), 1, "{}", product.details.sku);
            assert!(product.units().is_some() && product.price.amount > 0);
        }
    }
}

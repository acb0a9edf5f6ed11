//! Facets: what the products of a list have in common, and how many have it.
//!
//! What a list is already narrowed by is counted as if it were not: otherwise whoever ticks "black"
//! could not see how many more "silver" would bring.

use std::collections::HashMap;
use std::sync::Arc;

use super::card::Card;
use super::category::Tree;
use super::filter::Choice;
use super::vocabulary::{Value, Vocabulary};
use crate::domain::money::Currency;

/// How many products of a list are looked at; the counts of a longer list are of its first ones.
pub const COUNTED_LIMIT: usize = 20_000;
/// How many attributes are shown.
const ATTRIBUTE_LIMIT: usize = 16;
/// How many values of one are shown.
const VALUE_LIMIT: usize = 20;

/// What a list can be narrowed by.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Facets {
    /// Makers, most products first.
    pub brands: Vec<ValueCount>,
    /// Categories, most products first.
    pub categories: Vec<CategoryCount>,
    /// From the cheapest to the dearest.
    pub price: Option<PriceRange>,
    /// Attributes, those that most products have first.
    pub attributes: Vec<AttributeFacet>,
    /// How many products were counted.
    pub counted: u64,
    /// Whether that is all of them.
    pub complete: bool,
}

/// A value and how many products have it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ValueCount {
    /// As it is sent in a filter.
    pub value: String,
    /// Products.
    pub count: u64,
}

/// A category and how many products are directly in it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct CategoryCount {
    /// As it is sent in a filter.
    pub slug: String,
    /// The name people read.
    pub name: String,
    /// Products.
    pub count: u64,
}

/// Prices of a list, minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PriceRange {
    /// The lowest.
    pub min: i64,
    /// The highest.
    pub max: i64,
    /// Of both.
    pub currency: Currency,
}

/// One attribute.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct AttributeFacet {
    /// As it is sent in a filter, after `attr.`.
    pub name: String,
    /// Products that have it.
    pub count: u64,
    /// Texts and flags, most products first; empty if all values are numbers.
    pub values: Vec<ValueCount>,
    /// The smallest and the largest number, if there are any.
    pub range: Option<NumberRange>,
}

/// The numbers of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct NumberRange {
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

/// A choice that narrows a list, with the products that only this choice keeps out.
pub(super) struct Narrowing {
    pub(super) choice: Choice,
    pub(super) others: Vec<Arc<Card>>,
}

/// Counts the facets of a list. `cards` are its first products, `all` is how many it has.
pub(super) fn count(
    cards: &[Arc<Card>],
    all: usize,
    narrowings: &[Narrowing],
    vocabulary: &Vocabulary,
    tree: &Tree,
) -> Facets {
    let mut categories = vec![0_u64; vocabulary.categories.len()];
    let mut coverage = vec![0_u64; vocabulary.names.len()];
    let mut price: Option<PriceRange> = None;
    for card in cards {
        add(&mut categories, card.category_id);
        let mut last = None;
        for fact in card.facts.iter() {
            if last.replace(fact.name) != Some(fact.name) {
                add(&mut coverage, fact.name);
            }
        }
        let (amount, currency) = (card.price.amount, card.price.currency);
        let range = price.get_or_insert(PriceRange {
            min: amount,
            max: amount,
            currency,
        });
        range.min = range.min.min(amount);
        range.max = range.max.max(amount);
    }
    let categories = top(categories, |id| vocabulary.categories.word(id).to_owned()).into_iter();
    let mut facets = Facets {
        brands: brands(cards.iter(), vocabulary),
        categories: categories
            .map(|ValueCount { value, count }| CategoryCount {
                name: tree.name(&value),
                slug: value,
                count,
            })
            .collect(),
        price,
        attributes: attributes(cards, &coverage, vocabulary),
        counted: cards.len() as u64,
        complete: all <= COUNTED_LIMIT,
    };
    for Narrowing { choice, others } in narrowings {
        let wider = cards.iter().chain(others);
        match choice {
            Choice::Brand => facets.brands = brands(wider, vocabulary),
            Choice::Attribute(None) => {}
            Choice::Attribute(Some(name)) => {
                let facet = attribute(*name, wider, vocabulary);
                facets.attributes.retain(|known| known.name != facet.name);
                facets.attributes.insert(0, facet);
            }
        }
    }
    facets
}

fn brands<'a>(cards: impl Iterator<Item = &'a Arc<Card>>, vocabulary: &Vocabulary) -> Vec<ValueCount> {
    let mut brands = vec![0_u64; vocabulary.brands.len()];
    for card in cards.filter(|card| !card.brand.is_empty()) {
        add(&mut brands, card.brand_id);
    }
    top(brands, |id| vocabulary.brands.word(id).to_owned())
}

/// One attribute with its values.
fn attribute<'a>(
    name: u32,
    cards: impl Iterator<Item = &'a Arc<Card>>,
    vocabulary: &Vocabulary,
) -> AttributeFacet {
    let (mut tally, mut count) = (Tally::default(), 0);
    for card in cards {
        let facts = card.facts_of(name);
        count += u64::from(!facts.is_empty());
        facts.iter().for_each(|fact| tally.add(fact.value(), vocabulary));
    }
    tally.facet(vocabulary.names.word(name), count, vocabulary)
}

/// The attributes that most products have, with their values.
fn attributes(cards: &[Arc<Card>], coverage: &[u64], vocabulary: &Vocabulary) -> Vec<AttributeFacet> {
    let mut names: Vec<(u64, u32)> = coverage
        .iter()
        .copied()
        .zip(0..)
        .filter(|(count, _)| *count > 0)
        .collect();
    names.sort_unstable_by(|(one, one_id), (other, other_id)| other.cmp(one).then(one_id.cmp(other_id)));
    names.truncate(ATTRIBUTE_LIMIT);
    let mut place = vec![u8::MAX; coverage.len()];
    for (at, (_, name)) in (0_u8..).zip(&names) {
        if let Some(place) = place.get_mut(*name as usize) {
            *place = at;
        }
    }
    let mut tallies: Vec<Tally> = names.iter().map(|_| Tally::default()).collect();
    for fact in cards.iter().flat_map(|card| card.facts.iter()) {
        let at = place.get(fact.name as usize).copied().unwrap_or(u8::MAX);
        if let Some(tally) = tallies.get_mut(usize::from(at)) {
            tally.add(fact.value(), vocabulary);
        }
    }
    let facets = names.into_iter().zip(tallies);
    facets
        .map(|((count, name), tally)| tally.facet(vocabulary.names.word(name), count, vocabulary))
        .collect()
}

/// The values of one attribute while they are counted.
#[derive(Default)]
struct Tally {
    texts: HashMap<u32, u64>,
    flags: [u64; 2],
    range: Option<NumberRange>,
}

impl Tally {
    fn add(&mut self, value: Value, vocabulary: &Vocabulary) {
        match value {
            Value::Text(id) => *self.texts.entry(id).or_default() += 1,
            Value::Flag(yes) => self.flags[usize::from(yes)] += 1,
            Value::Number(id) => {
                let number = vocabulary.number_of(id);
                let range = self.range.get_or_insert(NumberRange {
                    min: number,
                    max: number,
                });
                range.min = range.min.min(number);
                range.max = range.max.max(number);
            }
        }
    }

    fn facet(self, name: &str, count: u64, vocabulary: &Vocabulary) -> AttributeFacet {
        let texts = self.texts.into_iter();
        let mut values: Vec<ValueCount> = texts
            .map(|(id, count)| ValueCount {
                value: vocabulary.texts.word(id).to_owned(),
                count,
            })
            .collect();
        for (value, count) in ["false", "true"].into_iter().zip(self.flags) {
            if count > 0 {
                values.push(ValueCount {
                    value: value.to_owned(),
                    count,
                });
            }
        }
        AttributeFacet {
            name: name.to_owned(),
            count,
            values: most(values),
            range: self.range,
        }
    }
}

fn add(counts: &mut [u64], id: u32) {
    if let Some(count) = counts.get_mut(id as usize) {
        *count += 1;
    }
}

fn top(counts: Vec<u64>, word: impl Fn(u32) -> String) -> Vec<ValueCount> {
    let counted = counts.into_iter().zip(0_u32..).filter(|(count, _)| *count > 0);
    most(
        counted
            .map(|(count, id)| ValueCount {
                value: word(id),
                count,
            })
            .collect(),
    )
}

fn most(mut values: Vec<ValueCount>) -> Vec<ValueCount> {
    values.sort_unstable_by(|one, other| {
        other
            .count
            .cmp(&one.count)
            .then_with(|| one.value.cmp(&other.value))
    });
    values.truncate(VALUE_LIMIT);
    values
}

//! Whether a card is among those a list was asked for, or would be but for one choice.

use super::card::Card;
use super::category::Tree;
use super::query::{AttributeFilter, ProductQuery, number_range};
use super::vocabulary::{Value, Vocabulary};

/// A [`ProductQuery`] in the numbers of the [`Vocabulary`].
pub(super) struct Filter {
    /// By category id; `None` takes all.
    categories: Option<Vec<bool>>,
    brands: Option<Vec<u32>>,
    min_price: i64,
    max_price: i64,
    attributes: Vec<Wanted>,
}

/// An attribute and what it may be.
struct Wanted {
    /// `None`: no product has such an attribute.
    name: Option<u32>,
    texts: Vec<u32>,
    ranges: Vec<(f64, f64)>,
    flags: Vec<bool>,
}

impl Filter {
    pub(super) fn new(query: &ProductQuery, vocabulary: &Vocabulary, tree: &Tree) -> Self {
        let categories = query.category.as_deref().map(|category| {
            let mut wanted = vec![false; vocabulary.categories.len()];
            for slug in tree.below(category) {
                if let Some(place) = vocabulary
                    .categories
                    .find(slug)
                    .and_then(|id| wanted.get_mut(id as usize))
                {
                    *place = true;
                }
            }
            wanted
        });
        let (brands, attributes): (Vec<_>, Vec<_>) =
            query.attributes.iter().partition(|filter| filter.name == "brand");
        let brands = (!brands.is_empty()).then(|| {
            let names = brands.iter().flat_map(|filter| &filter.values);
            names.filter_map(|name| vocabulary.brands.find(name)).collect()
        });
        Self {
            categories,
            brands,
            min_price: query.min_price.unwrap_or(0),
            max_price: query.max_price.unwrap_or(i64::MAX),
            attributes: attributes
                .into_iter()
                .map(|filter| Wanted::new(filter, vocabulary))
                .collect(),
        }
    }

    /// How a card fits.
    pub(super) fn fit(&self, card: &Card, vocabulary: &Vocabulary) -> Fit {
        let in_category =
            |wanted: &Vec<bool>| wanted.get(card.category_id as usize).copied().unwrap_or(false);
        let fits = card.published
            && (self.min_price..=self.max_price).contains(&card.price.amount)
            && self.categories.as_ref().is_none_or(in_category);
        if !fits {
            return Fit::No;
        }
        let brand = self.brands.iter().map(|brands| brands.contains(&card.brand_id));
        let attributes = self
            .attributes
            .iter()
            .map(|wanted| wanted.is_met(card, vocabulary));
        let mut missed = (0..).zip(brand.chain(attributes)).filter(|(_, is_met)| !is_met);
        match (missed.next(), missed.next()) {
            (None, _) => Fit::All,
            (Some((choice, _)), None) => Fit::AllBut(choice),
            (Some(_), Some(_)) => Fit::No,
        }
    }

    /// The choices in force, as [`Fit::AllBut`] counts them.
    pub(super) fn choices(&self) -> Vec<Choice> {
        let brand = self.brands.iter().map(|_| Choice::Brand);
        brand
            .chain(
                self.attributes
                    .iter()
                    .map(|wanted| Choice::Attribute(wanted.name)),
            )
            .collect()
    }
}

/// How a card fits a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It is in the list.
    All,
    /// It would be but for the choice with this number: what else that choice could have been.
    AllBut(usize),
    /// It is not in the list.
    No,
}

/// What a list is narrowed by, where another value could be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// The maker.
    Brand,
    /// An attribute; `None` if no product has it.
    Attribute(Option<u32>),
}

impl Wanted {
    fn new(filter: &AttributeFilter, vocabulary: &Vocabulary) -> Self {
        let values = || filter.values.iter();
        let text = |value: &str| vocabulary.texts.find(value.trim());
        // "Black,Silver" is one text if a product says so, otherwise two.
        let texts = values().flat_map(|value| match text(value) {
            Some(id) => vec![id],
            None => value.split(',').filter_map(text).collect(),
        });
        let flag = |value: &String| match value.as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        };
        Self {
            name: vocabulary.names.find(&filter.name),
            texts: texts.collect(),
            ranges: values().filter_map(|value| number_range(value)).collect(),
            flags: values().filter_map(flag).collect(),
        }
    }

    fn is_met(&self, card: &Card, vocabulary: &Vocabulary) -> bool {
        let Some(name) = self.name else {
            return false;
        };
        card.facts_of(name).iter().any(|fact| match fact.value() {
            Value::Text(id) => self.texts.contains(&id),
            Value::Flag(yes) => self.flags.contains(&yes),
            Value::Number(id) => {
                let number = vocabulary.number_of(id);
                self.ranges
                    .iter()
                    .any(|(min, max)| (*min..=*max).contains(&number))
            }
        })
    }
}

//! Whether a card is among those a list was asked for.

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

    pub(super) fn takes(&self, card: &Card, vocabulary: &Vocabulary) -> bool {
        let in_category =
            |wanted: &Vec<bool>| wanted.get(card.category_id as usize).copied().unwrap_or(false);
        card.published
            && (self.min_price..=self.max_price).contains(&card.price.amount)
            && self.categories.as_ref().is_none_or(in_category)
            && self
                .brands
                .as_ref()
                .is_none_or(|brands| brands.contains(&card.brand_id))
            && self
                .attributes
                .iter()
                .all(|wanted| wanted.is_met(card, vocabulary))
    }
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
        let start = card.facts.partition_point(|fact| fact.name < name);
        let of_name = card.facts.iter().skip(start).take_while(|fact| fact.name == name);
        of_name.into_iter().any(|fact| match fact.value() {
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

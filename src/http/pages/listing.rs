//! Lists of products with facets, for categories and for searches.
//!
//! What a browser asks is taken leniently: a number that is none, or an order nobody knows, narrows
//! nothing.

use super::amount::minor_units;
use super::attribute;
use super::link::with_query;
use super::model::{Facet, FacetRange, FacetValue, FilterChip, Listing, Money, ProductCard, Sort};
use super::visit::Visit;
use crate::domain::money::Currency;
use crate::http::problem::Problem;
use crate::http::product::view_problem;
use crate::views::{
    self, AttributeFacet, AttributeFilter, Extras, Facets, ProductPage, ProductQuery, ViewFault,
};

/// How many facets are shown, besides those in force.
const FACETS: usize = 8;
/// How many values of one, besides those ticked.
const VALUES: usize = 10;
/// How many attributes can be in force at once, and how many values of each.
const FILTERS: usize = 16;
/// The longest search.
const QUERY: usize = 200;

/// What a browser asks of a list.
#[derive(Debug)]
pub(super) struct Asked {
    /// The fields that mean something, in order, but for the page.
    pairs: Vec<(String, String)>,
    /// The same for the view.
    query: ProductQuery,
    currency: Currency,
}

impl Asked {
    /// Reads the fields of a query; only a search takes `q`.
    pub(super) fn read(pairs: Vec<(String, String)>, category: Option<&str>, currency: Currency) -> Self {
        let mut asked = Self {
            pairs: Vec::new(),
            query: ProductQuery {
                category: category.map(str::to_owned),
                ..ProductQuery::default()
            },
            currency,
        };
        for (name, value) in pairs {
            let value = value.trim();
            if !value.is_empty() && asked.take(&name, value, category.is_none()) {
                asked.pairs.push((name, value.to_owned()));
            }
        }
        asked
    }

    /// Takes one field; says whether it means something.
    fn take(&mut self, name: &str, value: &str, is_search: bool) -> bool {
        let query = &mut self.query;
        match name {
            "q" if is_search => query.q = Some(value.chars().take(QUERY).collect()),
            "sort" => match views::Sort::ALL.into_iter().find(|sort| sort.as_str() == value) {
                Some(sort) => query.sort = sort,
                None => return false,
            },
            "price_from" => query.min_price = minor_units(value, self.currency),
            "price_to" => query.max_price = minor_units(value, self.currency),
            "cursor" => {
                query.cursor = Some(value.to_owned());
                return false;
            }
            _ => match name.strip_prefix("attr.") {
                Some(attribute) if !attribute.is_empty() => return self.narrow(attribute, value),
                _ => return false,
            },
        }
        true
    }

    fn narrow(&mut self, attribute: &str, value: &str) -> bool {
        let (name, value) = if let Some(name) = attribute.strip_suffix(".from") {
            (name, number(value).map(|from| format!("{from}..")))
        } else if let Some(name) = attribute.strip_suffix(".to") {
            (name, number(value).map(|to| format!("..{to}")))
        } else {
            (attribute, Some(value.to_owned()))
        };
        let Some(value) = value else {
            return false;
        };
        let filters = &mut self.query.attributes;
        if let Some(filter) = filters.iter_mut().find(|filter| filter.name == name) {
            // Both ends of one range are one value.
            let other = filter.values.iter().position(|known| is_other_end(known, &value));
            match other {
                Some(place) => filter.values[place] = joined(&filter.values[place], &value),
                None if filter.values.len() < FILTERS => filter.values.push(value),
                None => return false,
            }
        } else if filters.len() < FILTERS {
            filters.push(AttributeFilter {
                name: name.to_owned(),
                values: vec![value],
            });
        } else {
            return false;
        }
        true
    }

    /// What was searched for.
    pub(super) fn words(&self) -> &str {
        self.query.q.as_deref().unwrap_or_default()
    }

    fn value(&self, name: &str) -> &str {
        let found = self.pairs.iter().find(|(field, _)| field == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// The list without some fields.
    fn without(&self, action: &str, dropped: impl Fn(&str, &str) -> bool) -> String {
        let kept = self
            .pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        with_query(action, kept.filter(|(name, value)| !dropped(name, value)))
    }

    /// The list of the view; a page that is no more is the first one.
    async fn find(&self, visit: &Visit, extras: Extras) -> Result<ProductPage, Problem> {
        let catalogue = &visit.edge().views.catalogue;
        match catalogue.list_with(&self.query, extras).await {
            Err(ViewFault::BadCursor) => {
                let first = ProductQuery {
                    cursor: None,
                    ..self.query.clone()
                };
                catalogue.list_with(&first, extras).await.map_err(view_problem)
            }
            found => found.map_err(view_problem),
        }
    }

    /// The facets to show: the maker, those in force, then those that most products have.
    fn facets(&self, found: &Facets) -> Vec<Facet> {
        let is_in_force = |name: &str| self.query.attributes.iter().any(|filter| filter.name == name);
        let mut shown = Vec::new();
        if found.brands.len() > 1 || is_in_force(BRAND) {
            shown.push(self.facet(BRAND, found));
        }
        // In force, though no product has it.
        let known = |name: &str| found.attributes.iter().any(|attribute| attribute.name == name);
        let unknown = self.query.attributes.iter().map(|filter| filter.name.as_str());
        shown.extend(
            unknown
                .filter(|name| *name != BRAND && !known(name))
                .map(|name| self.facet(name, found)),
        );
        for attribute in &found.attributes {
            let has_room = shown.len() < FACETS && is_useful(attribute);
            if has_room || is_in_force(&attribute.name) {
                shown.push(self.facet(&attribute.name, found));
            }
        }
        shown
    }

    fn facet(&self, name: &str, facets: &Facets) -> Facet {
        let attribute = facets.attributes.iter().find(|attribute| attribute.name == name);
        let counts = match attribute {
            _ if name == BRAND => facets.brands.as_slice(),
            Some(attribute) => attribute.values.as_slice(),
            None => &[],
        };
        let field = format!("attr.{name}");
        let is_ticked = |value: &str| self.pairs.iter().any(|(f, v)| *f == field && v == value);
        let mut values: Vec<FacetValue> = counts
            .iter()
            .map(|count| (count.value.as_str(), count.count))
            .enumerate()
            .filter(|(place, (value, _))| *place < VALUES || is_ticked(value))
            .map(|(_, (value, count))| facet_value(value, count, is_ticked(value)))
            .collect();
        let ticked = self.pairs.iter().filter(|(f, _)| *f == field);
        for (_, value) in ticked {
            if !values.iter().any(|known| known.value == *value) {
                values.push(facet_value(value, 0, true));
            }
        }
        let from = self.value(&format!("{field}.from")).to_owned();
        let to = self.value(&format!("{field}.to")).to_owned();
        let bounds = attribute.and_then(|attribute| attribute.range);
        let is_asked = !from.is_empty() || !to.is_empty();
        Facet {
            name: name.to_owned(),
            label: attribute::label(name),
            values,
            range: (is_asked || bounds.is_some()).then(|| FacetRange {
                min: bounds.map_or_else(String::new, |bounds| bounds.min.to_string()),
                max: bounds.map_or_else(String::new, |bounds| bounds.max.to_string()),
                from,
                to,
            }),
        }
    }

    fn chips(&self, action: &str) -> Vec<FilterChip> {
        let chip = |(name, value): &(String, String)| {
            let price = |text: &str| {
                let amount = minor_units(text, self.currency)?;
                Some(Money::new(amount, self.currency.code()))
            };
            let text = match name.as_str() {
                "price_from" => format!("From {}", price(value)?),
                "price_to" => format!("Up to {}", price(value)?),
                _ => {
                    let attribute = name.strip_prefix("attr.")?;
                    if let Some(name) = attribute.strip_suffix(".from") {
                        format!("{}: from {value}", attribute::label(name))
                    } else if let Some(name) = attribute.strip_suffix(".to") {
                        format!("{}: up to {value}", attribute::label(name))
                    } else {
                        format!(
                            "{}: {}",
                            attribute::label(attribute),
                            attribute::value_label(value)
                        )
                    }
                }
            };
            Some(FilterChip {
                text,
                remove_href: self.without(action, |n, v| n == name && v == value),
            })
        };
        self.pairs.iter().filter_map(chip).collect()
    }

    /// One page of the list with everything that narrows it.
    ///
    /// # Errors
    /// 503.
    pub(super) async fn listing(&self, visit: &Visit, action: &str) -> Result<Listing, Problem> {
        let found = self.find(visit, visit.edge().room.brown_out().extras()).await?;
        visit.leave_out(found.facets.is_none(), found.unlike);
        let next = found.next_cursor.as_deref().map(|cursor| {
            let mut pairs: Vec<_> = self.pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            pairs.push(("cursor", cursor));
            with_query(action, pairs)
        });
        Ok(Listing {
            action: action.to_owned(),
            cards: found
                .items
                .iter()
                .map(|card| ProductCard::from(card.as_ref()))
                .collect(),
            sort: sort(self.query.sort),
            price_from: self.value("price_from").to_owned(),
            price_to: self.value("price_to").to_owned(),
            facets: found
                .facets
                .as_deref()
                .map_or_else(Vec::new, |found| self.facets(found)),
            chips: self.chips(action),
            clear_href: self.without(action, |name, _| name != "q"),
            next_href: next,
            first_href: self
                .query
                .cursor
                .is_some()
                .then(|| self.without(action, |_, _| false)),
        })
    }
}

/// The maker of a product is an attribute too.
const BRAND: &str = "brand";

fn facet_value(value: &str, count: u64, selected: bool) -> FacetValue {
    FacetValue {
        value: value.to_owned(),
        label: attribute::value_label(value),
        count,
        selected,
    }
}

/// An attribute that all products share narrows nothing.
fn is_useful(attribute: &AttributeFacet) -> bool {
    attribute.values.len() > 1 || attribute.range.is_some_and(|range| range.min < range.max)
}

const fn sort(sort: views::Sort) -> Sort {
    match sort {
        views::Sort::Relevance => Sort::Relevance,
        views::Sort::Price => Sort::PriceUp,
        views::Sort::PriceDown => Sort::PriceDown,
        views::Sort::Newest => Sort::Newest,
    }
}

/// A number as people type it.
fn number(text: &str) -> Option<f64> {
    let number: f64 = text.replace(',', ".").parse().ok()?;
    number.is_finite().then_some(number)
}

/// Whether one is `from..` and the other `..to`.
fn is_other_end(one: &str, other: &str) -> bool {
    (one.ends_with("..") && other.starts_with("..")) || (one.starts_with("..") && other.ends_with(".."))
}

fn joined(one: &str, other: &str) -> String {
    let from = if one.ends_with("..") { one } else { other };
    let to = if one.ends_with("..") { other } else { one };
    format!("{}..{}", from.trim_end_matches('.'), to.trim_start_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::query::pairs;

    fn asked(query: &str) -> Asked {
        Asked::read(pairs(query).unwrap(), None, Currency::EUR)
    }

    #[test]
    fn forms_are_read_leniently() {
        let asked = asked(
            "q=+tv+&sort=best&price_from=19.99&price_to=&attr.colour=Black&attr.colour=Grey\
             &attr.size.from=32&attr.size.to=55,5&attr.weight.from=x&utm=1&attr.=1",
        );
        assert_eq!(asked.words(), "tv");
        assert_eq!(asked.query.sort, views::Sort::Relevance);
        assert_eq!(
            (asked.query.min_price, asked.query.max_price),
            (Some(1_999), None)
        );
        let filters: Vec<_> = asked
            .query
            .attributes
            .iter()
            .map(|f| (f.name.as_str(), f.values.clone()))
            .collect();
        assert_eq!(
            filters,
            [
                ("colour", vec!["Black".to_owned(), "Grey".to_owned()]),
                ("size", vec!["32..55.5".to_owned()]),
            ]
        );
        let chips: Vec<_> = asked.chips("/search").into_iter().map(|chip| chip.text).collect();
        assert_eq!(
            chips,
            [
                "From €19.99",
                "Colour: Black",
                "Colour: Grey",
                "Size: from 32",
                "Size: up to 55,5"
            ]
        );
    }

    #[test]
    fn a_chip_takes_off_itself_and_nothing_else() {
        let asked = asked("q=tv&attr.colour=Black&attr.colour=Grey&cursor=x");
        let chips = asked.chips("/search");
        assert_eq!(chips[0].remove_href, "/search?q=tv&attr.colour=Grey");
        assert_eq!(asked.without("/search", |name, _| name != "q"), "/search?q=tv");
    }

    #[test]
    fn a_category_searches_nothing() {
        let asked = Asked::read(pairs("q=tv").unwrap(), Some("displays"), Currency::EUR);
        assert_eq!(asked.words(), "");
        assert_eq!(asked.query.category.as_deref(), Some("displays"));
    }
}

//! What a list of products is asked for, as it stands in the query of `GET /v1/products`.

use std::fmt::Write as _;

use super::cursor::Scope;
use super::vocabulary::attribute_name;

/// The most words of a search that are looked at, and the longest text.
pub(super) const QUERY_BYTES: usize = 256;
/// The most attributes a list can be narrowed by, and the most values of one.
const FILTER_LIMIT: usize = 32;
/// Items of a page unless the caller says otherwise.
pub const PAGE_DEFAULT: u32 = 24;
/// The most items of a page.
pub const PAGE_LIMIT: u32 = 100;

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Sort {
    /// Best match first; without a search, newest first.
    #[default]
    Relevance,
    /// Cheapest first.
    Price,
    /// Dearest first.
    PriceDown,
    /// Newest first.
    Newest,
}

impl Sort {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Relevance, Self::Price, Self::PriceDown, Self::Newest];

    /// As it stands in a query.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Relevance => "relevance",
            Self::Price => "price",
            Self::PriceDown => "-price",
            Self::Newest => "newest",
        }
    }
}

/// Products to list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProductQuery {
    /// Words to search for.
    pub q: Option<String>,
    /// The slug of a category; those below it are included.
    pub category: Option<String>,
    /// The order.
    pub sort: Sort,
    /// Minor units, included.
    pub min_price: Option<i64>,
    /// Minor units, included.
    pub max_price: Option<i64>,
    /// Attributes that must be so. `brand` is one too.
    pub attributes: Vec<AttributeFilter>,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// Items of the page; `None` is [`PAGE_DEFAULT`].
    pub limit: Option<u32>,
}

/// One attribute with the values it may have: any of them will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeFilter {
    /// Its name without a type prefix.
    pub name: String,
    /// As written: a text, `true`, a number, or `min..max` with either end open.
    pub values: Vec<String>,
}

/// A parameter that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{parameter}: {reason}")]
pub struct BadParameter {
    /// Which.
    pub parameter: String,
    /// Why, in words a client's developer can act on.
    pub reason: &'static str,
}

impl ProductQuery {
    /// Reads decoded pairs of a query string. Empty values mean nothing, as forms send them; unknown
    /// names are left alone.
    ///
    /// # Errors
    /// The first parameter that cannot be.
    pub fn parse<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, BadParameter> {
        let mut query = Self::default();
        for (name, value) in pairs {
            if value.is_empty() {
                continue;
            }
            let bad = |reason| BadParameter {
                parameter: name.to_owned(),
                reason,
            };
            match name {
                "q" => query.q = Some(clip(value.trim(), QUERY_BYTES).to_owned()).filter(|q| !q.is_empty()),
                "category" => query.category = Some(value.to_owned()),
                "sort" => {
                    query.sort = Sort::ALL
                        .into_iter()
                        .find(|sort| sort.as_str() == value)
                        .ok_or_else(|| bad("the orders are relevance, price, -price and newest"))?;
                }
                "min_price" => query.min_price = Some(amount(value).ok_or_else(|| bad(NOT_AN_AMOUNT))?),
                "max_price" => query.max_price = Some(amount(value).ok_or_else(|| bad(NOT_AN_AMOUNT))?),
                "cursor" => query.cursor = Some(value.to_owned()),
                "limit" => {
                    let limit = value
                        .parse()
                        .ok()
                        .filter(|limit| (1..=PAGE_LIMIT).contains(limit));
                    query.limit = Some(limit.ok_or_else(|| bad("a page has 1 to 100 items"))?);
                }
                _ => {
                    if let Some(attribute) = name.strip_prefix("attr.").filter(|name| !name.is_empty()) {
                        query.narrow(attribute_name(attribute), value).map_err(bad)?;
                    }
                }
            }
        }
        Ok(query)
    }

    fn narrow(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        if !self.attributes.iter().any(|filter| filter.name == name) {
            self.attributes.push(AttributeFilter {
                name: name.to_owned(),
                values: vec![],
            });
        }
        let too_many = self.attributes.len() > FILTER_LIMIT;
        let filter = self.attributes.iter_mut().find(|filter| filter.name == name);
        match filter {
            Some(filter) if !too_many && filter.values.len() < FILTER_LIMIT => {
                filter.values.push(value.to_owned());
                Ok(())
            }
            _ => Err("a list is narrowed by at most 32 attributes, with 32 values each"),
        }
    }

    /// How many items the page has.
    #[must_use]
    pub fn page_size(&self) -> usize {
        self.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_LIMIT) as usize
    }

    /// Everything but the page, in one spelling.
    pub(super) fn scope(&self) -> Scope {
        let mut text = String::with_capacity(128);
        let mut say = |name: &str, value: &str| {
            // Lengths keep one field from running into the next.
            let _ = write!(text, "{}:{name}{}:{value}", name.len(), value.len());
        };
        say("q", self.q.as_deref().unwrap_or_default());
        say("category", self.category.as_deref().unwrap_or_default());
        say("sort", self.sort.as_str());
        for (name, bound) in [("min", self.min_price), ("max", self.max_price)] {
            if let Some(bound) = bound {
                say(name, &bound.to_string());
            }
        }
        let mut filters: Vec<(&str, Vec<&str>)> = self
            .attributes
            .iter()
            .map(|filter| {
                let mut values: Vec<&str> = filter.values.iter().map(String::as_str).collect();
                values.sort_unstable();
                values.dedup();
                (filter.name.as_str(), values)
            })
            .collect();
        filters.sort_unstable();
        for (name, values) in filters {
            // As in the query: an attribute may be called `min`.
            let name = format!("attr.{name}");
            for value in values {
                say(&name, value);
            }
        }
        Scope::of(&text)
    }
}

const NOT_AN_AMOUNT: &str = "a price is a whole number of minor units, 0 or more";

fn amount(text: &str) -> Option<i64> {
    text.parse().ok().filter(|amount| *amount >= 0)
}

/// The start of a text, at most `bytes` long, cut between characters.
pub(super) fn clip(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or_default()
}

/// A closed range of numbers: `40..55`, `40..`, `..55`, or a single number.
pub(super) fn number_range(text: &str) -> Option<(f64, f64)> {
    let number = |text: &str| {
        text.trim()
            .parse::<f64>()
            .ok()
            .filter(|number| number.is_finite())
    };
    match text.split_once("..") {
        None => number(text).map(|number| (number, number)),
        Some(("", "")) => None,
        Some((min, "")) => Some((number(min)?, f64::INFINITY)),
        Some(("", max)) => Some((f64::NEG_INFINITY, number(max)?)),
        Some((min, max)) => Some((number(min)?, number(max)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_query_reads_as_the_contract_says() {
        let query = ProductQuery::parse([
            ("q", " 4k tv "),
            ("category", "televisions"),
            ("sort", "-price"),
            ("min_price", "100"),
            ("attr.attr_n_display_diagonal", "40..55"),
            ("attr.colour", "Black"),
            ("attr.colour", "Silver"),
            ("limit", "7"),
            ("max_price", ""),
            ("utm_source", "mail"),
        ])
        .unwrap();
        assert_eq!(query.q.as_deref(), Some("4k tv"));
        assert_eq!(query.sort, Sort::PriceDown);
        assert_eq!((query.min_price, query.max_price), (Some(100), None));
        assert_eq!(query.attributes[0].name, "display_diagonal");
        assert_eq!(query.attributes[1].values, ["Black", "Silver"]);
        assert_eq!(query.page_size(), 7);
        for bad in [
            ("limit", "0"),
            ("limit", "101"),
            ("sort", "best"),
            ("min_price", "-1"),
            ("max_price", "x"),
        ] {
            assert_eq!(ProductQuery::parse([bad]).unwrap_err().parameter, bad.0);
        }
    }

    #[test]
    fn ranges_are_closed_and_may_be_open_ended() {
        assert_eq!(number_range("40..55"), Some((40.0, 55.0)));
        assert_eq!(number_range("40.5.."), Some((40.5, f64::INFINITY)));
        assert_eq!(number_range("..55"), Some((f64::NEG_INFINITY, 55.0)));
        assert_eq!(number_range("42"), Some((42.0, 42.0)));
        for bad in ["..", "", "a..b", "NaN", "inf", "1..x"] {
            assert_eq!(number_range(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_page_does_not_change_the_scope_and_the_order_of_filters_does_not_either() {
        let one = ProductQuery::parse([("attr.a", "1"), ("attr.b", "2"), ("limit", "3")]).unwrap();
        let two = ProductQuery::parse([("attr.b", "2"), ("attr.a", "1"), ("cursor", "x")]).unwrap();
        let three = ProductQuery::parse([("attr.a", "2"), ("attr.b", "1")]).unwrap();
        assert_eq!(one.scope(), two.scope());
        assert_ne!(one.scope(), three.scope());
    }

    #[test]
    fn an_attribute_is_not_mistaken_for_a_price() {
        for (price, attribute) in [("min_price", "attr.min"), ("max_price", "attr.max")] {
            let price = ProductQuery::parse([(price, "5")]).unwrap();
            let attribute = ProductQuery::parse([(attribute, "5")]).unwrap();
            assert_ne!(price.scope(), attribute.scope());
        }
    }

    proptest! {
        #[test]
        fn no_query_is_too_strange(pairs in proptest::collection::vec((".{0,20}", ".{0,300}"), 0..40)) {
            let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            if let Ok(query) = ProductQuery::parse(pairs) {
                let _ = query.scope();
            }
        }

        #[test]
        fn no_attribute_value_is_too_strange(value in ".*", name in "attr\\.[a-z_]{0,9}") {
            let _ = number_range(&value);
            let _ = ProductQuery::parse([(name.as_str(), value.as_str())]);
        }
    }
}

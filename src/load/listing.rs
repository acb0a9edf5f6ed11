//! What a list of products must keep to: its filter, its order, its pages.
//!
//! Pure. A walk sees page after page of one list and says every broken rule.

use std::collections::HashSet;
use std::fmt::Write as _;

use serde_json::Value;

use super::catalogue::Categories;
use super::client::encoded;
use super::wire::{Page, Product};

/// The orders a list can be asked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// By how well it fits.
    Relevance,
    /// The cheapest first.
    Price,
    /// The dearest first.
    PriceDown,
    /// The newest first.
    Newest,
}

impl Sort {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Relevance, Self::Price, Self::PriceDown, Self::Newest];

    const fn name(self) -> &'static str {
        match self {
            Self::Relevance => "relevance",
            Self::Price => "price",
            Self::PriceDown => "-price",
            Self::Newest => "newest",
        }
    }
}

/// What is asked of `GET /v1/products`.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Words.
    pub q: Option<String>,
    /// A category's slug.
    pub category: Option<String>,
    /// In which order.
    pub sort: Option<Sort>,
    /// From this price, minor units.
    pub min_price: Option<i64>,
    /// To this price, minor units.
    pub max_price: Option<i64>,
    /// One attribute and its value.
    pub attribute: Option<(String, String)>,
    /// Items a page.
    pub limit: usize,
}

impl Filter {
    /// The address of a page of it.
    #[must_use]
    pub fn path(&self, cursor: Option<&str>) -> String {
        let mut path = format!("/v1/products?limit={}", self.limit);
        let mut add = |name: &str, value: &str| {
            // Writing to a string cannot fail.
            let _ = write!(path, "&{name}={}", encoded(value));
        };
        if let Some(q) = &self.q {
            add("q", q);
        }
        if let Some(category) = &self.category {
            add("category", category);
        }
        if let Some(sort) = self.sort {
            add("sort", sort.name());
        }
        if let Some(price) = self.min_price {
            add("min_price", &price.to_string());
        }
        if let Some(price) = self.max_price {
            add("max_price", &price.to_string());
        }
        if let Some((name, value)) = &self.attribute {
            add(&format!("attr.{}", encoded(name)), value);
        }
        if let Some(cursor) = cursor {
            add("cursor", cursor);
        }
        path
    }
}

/// A walk through the pages of one list.
#[derive(Debug, Default)]
pub struct Walk {
    seen: HashSet<String>,
    last: Option<(i64, i64)>,
}

impl Walk {
    /// Says what is wrong with the next page.
    pub fn page(&mut self, filter: &Filter, page: &Page<Product>, categories: &Categories) -> Vec<String> {
        let mut wrong = Vec::new();
        if page.items.len() > filter.limit {
            wrong.push(format!("{} items, limit {}", page.items.len(), filter.limit));
        }
        for product in &page.items {
            if !self.seen.insert(product.id.clone()) {
                wrong.push(format!("{} twice", product.id));
            }
            if let Some(fault) = item_fault(filter, product, categories) {
                wrong.push(fault);
            }
            // By the listed price or by what is to be paid now: either is an order by price.
            let prices = (product.price.amount, product.payable());
            let previous = self.last.replace(prices);
            if let Some(fault) = previous.and_then(|previous| order_fault(filter, previous, prices)) {
                wrong.push(format!("{}: {fault}", product.id));
            }
        }
        wrong
    }

    /// How many products were seen.
    #[must_use]
    pub fn seen(&self) -> usize {
        self.seen.len()
    }
}

fn item_fault(filter: &Filter, product: &Product, categories: &Categories) -> Option<String> {
    let id = &product.id;
    if !matches!(product.availability.as_str(), "in_stock" | "low" | "out_of_stock") {
        return Some(format!("{id}: availability {}", product.availability));
    }
    if let Some(asked) = &filter.category
        && !categories.holds(asked, &product.category)
    {
        return Some(format!("{id}: of {}, asked for {asked}", product.category));
    }
    let (price, payable) = (product.price.amount, product.payable());
    if filter.min_price.is_some_and(|min| price < min && payable < min)
        || filter.max_price.is_some_and(|max| price > max && payable > max)
    {
        return Some(format!(
            "{id}: costs {price}, asked for {:?} to {:?}",
            filter.min_price, filter.max_price
        ));
    }
    None
}

fn order_fault(filter: &Filter, before: (i64, i64), after: (i64, i64)) -> Option<String> {
    let holds = match filter.sort {
        Some(Sort::Price) => before.0 <= after.0 || before.1 <= after.1,
        Some(Sort::PriceDown) => before.0 >= after.0 || before.1 >= after.1,
        _ => true,
    };
    (!holds).then(|| format!("price {} after {}", after.1, before.1))
}

/// The choices facets offer: attribute, value, and how many products there are (0: not said).
///
/// Reads `{"attributes": [{"name", "count", "values": [{"value", "count"}], "range": {"min", "max"}}]}`,
/// or that list alone.
#[must_use]
pub fn choices(facets: &Value) -> Vec<(String, String, u64)> {
    let mut choices = Vec::new();
    let list = facets.get("attributes").unwrap_or(facets).as_array();
    for facet in list.into_iter().flatten() {
        let Some(name) = facet.get("name").and_then(Value::as_str) else {
            continue;
        };
        for entry in facet
            .get("values")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            if let Some(value) = entry.get("value").and_then(text) {
                choices.push((name.to_owned(), value, count_of(entry)));
            }
        }
        let bound = |side| facet.get("range")?.get(side)?.as_f64();
        if let (Some(min), Some(max)) = (bound("min"), bound("max")) {
            choices.push((name.to_owned(), format!("{min}..{max}"), 0));
        }
    }
    choices
}

fn count_of(entry: &Value) -> u64 {
    entry.get("count").and_then(Value::as_u64).unwrap_or(0)
}

/// Whether the attributes of a product include this value of this attribute: a text, a number, or a
/// range `min..max`. Icecat's names carry a prefix `attr_x_` that filters drop.
#[must_use]
pub fn has_attribute(attributes: &serde_json::Map<String, Value>, name: &str, value: &str) -> bool {
    let found = attributes
        .get(name)
        .or_else(|| attributes.get(&format!("attr_x_{name}")));
    match found {
        Some(Value::Array(list)) => list.iter().any(|entry| matches(entry, value)),
        Some(found) => matches(found, value),
        None => false,
    }
}

fn matches(found: &Value, asked: &str) -> bool {
    if text(found).as_deref() == Some(asked) {
        return true;
    }
    let Some(found) = text(found).and_then(|found| found.trim().parse::<f64>().ok()) else {
        return false;
    };
    let (min, max) = asked.split_once("..").unwrap_or((asked, asked));
    let bound = |text: &str| text.parse::<f64>().ok();
    bound(min)
        .zip(bound(max))
        .is_some_and(|(min, max)| (min..=max).contains(&found))
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn product(id: &str, price: i64, category: &str) -> Value {
        json!({"id": id, "slug": id, "sku": id, "name": id, "category": category,
               "price": {"amount": price, "currency": "EUR"}, "availability": "in_stock"})
    }

    fn page(items: &[Value]) -> Page<Product> {
        serde_json::from_value(json!({"items": items, "next_cursor": null})).unwrap()
    }

    #[test]
    fn an_address_carries_the_whole_filter() {
        let filter = Filter {
            q: Some("tv 55\"".to_owned()),
            category: Some("tv".to_owned()),
            sort: Some(Sort::PriceDown),
            min_price: Some(100),
            attribute: Some(("hd type".to_owned(), "4K".to_owned())),
            limit: 24,
            ..Filter::default()
        };
        assert_eq!(
            filter.path(Some("a=/")),
            "/v1/products?limit=24&q=tv%2055%22&category=tv&sort=-price&min_price=100&attr.hd%20type=4K&cursor=a%3D%2F"
        );
    }

    #[test]
    fn pages_that_keep_the_rules_are_fine() {
        let filter = Filter {
            sort: Some(Sort::Price),
            limit: 2,
            ..Filter::default()
        };
        let (mut walk, categories) = (Walk::default(), Categories::default());
        let first = page(&[product("a", 100, "tv"), product("b", 100, "tv")]);
        let second = page(&[product("c", 250, "tv")]);
        assert!(walk.page(&filter, &first, &categories).is_empty());
        assert!(walk.page(&filter, &second, &categories).is_empty());
        assert_eq!(walk.seen(), 3);
    }

    #[test]
    fn repeats_wrong_order_and_strangers_are_told_across_pages() {
        let filter = Filter {
            category: Some("tv".to_owned()),
            sort: Some(Sort::Price),
            max_price: Some(300),
            limit: 2,
            ..Filter::default()
        };
        let (mut walk, categories) = (Walk::default(), Categories::default());
        assert!(
            walk.page(
                &filter,
                &page(&[product("a", 100, "tv"), product("b", 200, "tv")]),
                &categories
            )
            .is_empty()
        );
        let wrong = walk.page(
            &filter,
            &page(&[
                product("a", 150, "tv"),
                product("c", 400, "tv"),
                product("d", 400, "pc"),
            ]),
            &categories,
        );
        assert_eq!(wrong.len(), 5, "{wrong:?}");
        assert!(
            wrong[0].contains("3 items")
                && wrong[1].contains("a twice")
                && wrong[2].contains("price 150 after 200")
        );
        assert!(wrong[3].contains("costs 400") && wrong[4].contains("of pc"));
    }

    #[test]
    fn facets_offer_values_and_ranges() {
        let listed = json!([
            {"name": "colour", "count": 3, "values": [{"value": "red", "count": 3}]},
            {"name": "diagonal", "count": 9, "values": [], "range": {"min": 24.0, "max": 65.5}}]);
        let found = choices(&json!({"brands": [{"value": "b", "count": 1}], "attributes": listed}));
        assert_eq!(found, choices(&listed));
        assert_eq!(found[0], ("colour".to_owned(), "red".to_owned(), 3));
        assert_eq!(found[1], ("diagonal".to_owned(), "24..65.5".to_owned(), 0));
        assert!(choices(&Value::Null).is_empty());
    }

    #[test]
    fn a_product_has_what_the_facet_said() {
        let attributes = json!({"attr_x_diagonal": 55, "ports": ["hdmi", "usb"], "weight": "7.50"});
        let attributes = attributes.as_object().unwrap();
        for (name, value) in [
            ("diagonal", "55"),
            ("diagonal", "24..65.5"),
            ("ports", "usb"),
            ("weight", "7.5"),
            ("weight", "7.50"),
        ] {
            assert!(has_attribute(attributes, name, value), "{name} {value}");
        }
        for (name, value) in [
            ("diagonal", "60..65"),
            ("ports", "vga"),
            ("x", "1"),
            ("ports", "1..2"),
        ] {
            assert!(!has_attribute(attributes, name, value), "{name} {value}");
        }
    }
}

//! A look around before the run: which products and categories there are to ask for.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::LoadFault;
use super::client::{Answer, Call, Client};
use super::shopper::{chain, described};
use super::wire::{Page, Product};

/// How many products are looked at, at most.
const LOOKED_AT: usize = 500;
/// The longest page the contract allows.
const LONGEST_PAGE: usize = 100;

/// What the shoppers know of the shop before they come in.
#[derive(Debug, Default)]
pub struct Catalogue {
    /// The first products of the list.
    pub products: Vec<Product>,
    /// The categories that hold something.
    pub categories: Categories,
    /// Words from product names.
    pub words: Vec<String>,
}

impl Catalogue {
    /// Reads the first pages of the list and the tree.
    pub async fn look(client: &mut Client) -> Result<Self, LoadFault> {
        let mut products: Vec<Product> = Vec::new();
        let mut cursor: Option<String> = None;
        while products.len() < LOOKED_AT {
            let path = match &cursor {
                None => format!("/v1/products?limit={LONGEST_PAGE}"),
                Some(cursor) => {
                    format!(
                        "/v1/products?limit={LONGEST_PAGE}&cursor={}",
                        super::client::encoded(cursor)
                    )
                }
            };
            let page: Page<Product> = read(&path, &fetch(client, &path).await?)?;
            products.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        if products.is_empty() {
            return Err(LoadFault::NothingToBuy);
        }
        let tree: Value = read("/v1/categories", &fetch(client, "/v1/categories").await?)?;
        let mut words: Vec<String> = words(&products).into_iter().collect();
        words.truncate(LOOKED_AT);
        Ok(Self {
            categories: Categories::read(&tree),
            products,
            words,
        })
    }

    /// The SKUs the shop says it can send, or all of them if it is sold out.
    #[must_use]
    pub fn to_buy(&self) -> Vec<String> {
        let available: Vec<_> = self
            .products
            .iter()
            .filter(|product| product.available())
            .map(|product| product.sku.clone())
            .collect();
        if available.is_empty() {
            return self.products.iter().map(|product| product.sku.clone()).collect();
        }
        available
    }
}

async fn fetch(client: &mut Client, path: &str) -> Result<Answer, LoadFault> {
    let answer = client
        .send(&Call::get(path))
        .await
        .map_err(LoadFault::Unreachable)?;
    if answer.status.as_u16() != 200 {
        return Err(LoadFault::Unprepared(format!(
            "GET {path}: {}",
            described(&answer)
        )));
    }
    Ok(answer)
}

fn read<T: serde::de::DeserializeOwned>(path: &str, answer: &Answer) -> Result<T, LoadFault> {
    answer
        .json()
        .map_err(|fault| LoadFault::Unprepared(format!("GET {path}: {}", chain(&fault))))
}

fn words(products: &[Product]) -> BTreeSet<String> {
    let names = products
        .iter()
        .flat_map(|product| product.name.split(|c: char| !c.is_alphanumeric()));
    names
        .filter(|word| word.chars().count() > 3)
        .map(str::to_lowercase)
        .collect()
}

/// The tree of categories: which slugs lie under which.
#[derive(Debug, Default)]
pub struct Categories {
    under: BTreeMap<String, BTreeSet<String>>,
    filled: Vec<String>,
}

impl Categories {
    /// Reads the tree: objects with a `slug`, a `count` and their `children`, at any depth.
    #[must_use]
    pub fn read(tree: &Value) -> Self {
        let mut categories = Self::default();
        categories.walk(tree, &mut Vec::new());
        categories
    }

    /// The slugs that hold at least one product.
    #[must_use]
    pub fn filled(&self) -> &[String] {
        &self.filled
    }

    /// Whether a product of category `found` belongs into the list of category `asked`.
    #[must_use]
    pub fn holds(&self, asked: &str, found: &str) -> bool {
        asked == found || self.under.get(asked).is_some_and(|under| under.contains(found))
    }

    fn walk(&mut self, value: &Value, above: &mut Vec<String>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.walk(item, above)),
            Value::Object(object) => {
                let slug = object.get("slug").and_then(Value::as_str);
                if let Some(slug) = slug {
                    for ancestor in &*above {
                        self.under
                            .entry(ancestor.clone())
                            .or_default()
                            .insert(slug.to_owned());
                    }
                    if object
                        .get("count")
                        .and_then(Value::as_u64)
                        .is_some_and(|count| count > 0)
                    {
                        self.filled.push(slug.to_owned());
                    }
                    above.push(slug.to_owned());
                }
                object.values().for_each(|child| self.walk(child, above));
                if slug.is_some() {
                    above.pop();
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_tree_knows_what_lies_under_what_and_where_something_is() {
        let tree = json!({"items": [
            {"slug": "home", "name": "Home", "count": 3, "children": [
                {"slug": "lamps", "name": "Lamps", "count": 3, "children": [
                    {"slug": "desk-lamps", "name": "Desk lamps", "count": 0, "children": []}]}]},
            {"slug": "other", "name": "Other", "count": 1}]});
        let categories = Categories::read(&tree);
        assert_eq!(categories.filled(), ["home", "lamps", "other"]);
        assert!(categories.holds("home", "desk-lamps") && categories.holds("lamps", "lamps"));
        assert!(!categories.holds("lamps", "home") && !categories.holds("other", "lamps"));
    }
}

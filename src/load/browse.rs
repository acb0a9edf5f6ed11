//! The scenario `browse`: people who look around.
//!
//! Lists by category, search, price and facet, walked page by page; products, with revalidation;
//! the tree; and the pages a browser would load.

use std::sync::Arc;

use async_trait::async_trait;
use hyper::header::IF_NONE_MATCH;
use serde_json::Value;

use super::catalogue::Catalogue;
use super::client::{Call, Client, encoded};
use super::listing::{Filter, Sort, Walk, choices, has_attribute};
use super::report::Report;
use super::run::Run;
use super::shopper::{Lost, Reply, Shopper};
use super::tally::Kind;
use super::wire::{Page, Product, ProductDetail};
use super::{LoadFault, Script};

/// How many pages of a list a shopper looks at.
const PAGES: u64 = 3;
/// How often, in percent, a representation is asked for again by its tag.
const REVALIDATED: u64 = 20;
/// The items of a page, unless said otherwise.
const DEFAULT_LIMIT: usize = 24;

/// What all browsing shoppers know.
#[derive(Debug)]
pub struct Browse {
    catalogue: Catalogue,
}

impl Browse {
    /// Looks around once.
    pub async fn prepare(client: &mut Client) -> Result<Arc<dyn Script>, LoadFault> {
        Ok(Arc::new(Self {
            catalogue: Catalogue::look(client).await?,
        }))
    }

    async fn step(&self, shopper: &mut Shopper) -> Result<(), Lost> {
        match shopper.dice.random_below(100) {
            0..20 => self.category(shopper).await,
            20..35 => self.search(shopper).await,
            35..45 => self.price_range(shopper).await,
            45..55 => self.facet(shopper).await,
            55..80 => self.product(shopper).await,
            80..85 => self.tree(shopper).await,
            _ => self.page(shopper).await,
        }
    }

    async fn category(&self, shopper: &mut Shopper) -> Result<(), Lost> {
        let filter = Filter {
            category: shopper.pick(self.catalogue.categories.filled()).cloned(),
            sort: shopper.pick(&Sort::ALL).copied(),
            limit: DEFAULT_LIMIT,
            ..Filter::default()
        };
        self.walk(shopper, "GET category list", &filter).await
    }

    async fn search(&self, shopper: &mut Shopper) -> Result<(), Lost> {
        let Some(word) = shopper.pick(&self.catalogue.words).cloned() else {
            return Ok(());
        };
        let filter = Filter {
            q: Some(word),
            limit: DEFAULT_LIMIT,
            ..Filter::default()
        };
        self.walk(shopper, "GET search list", &filter).await
    }

    async fn price_range(&self, shopper: &mut Shopper) -> Result<(), Lost> {
        let prices: Vec<i64> = (0..2)
            .filter_map(|_| shopper.pick(&self.catalogue.products))
            .map(Product::payable)
            .collect();
        let filter = Filter {
            min_price: prices.iter().min().copied(),
            max_price: prices.iter().max().copied(),
            sort: Some(if shopper.chance(50) {
                Sort::Price
            } else {
                Sort::PriceDown
            }),
            limit: 12,
            ..Filter::default()
        };
        self.walk(shopper, "GET price list", &filter).await
    }

    /// Reads a list page by page and checks every item.
    async fn walk(&self, shopper: &mut Shopper, kind: &'static str, filter: &Filter) -> Result<(), Lost> {
        let mut walk = Walk::default();
        let mut cursor = None;
        for _ in 0..=shopper.dice.random_below(PAGES) {
            let path = filter.path(cursor.as_deref());
            let reply = cached(shopper, kind, &path).await?;
            let page: Page<Product> = shopper.read(kind, &reply)?;
            let wrong = walk.page(filter, &page, &self.catalogue.categories);
            shopper.check("list", wrong.is_empty(), || {
                format!("{path}: {}", wrong.join("; "))
            });
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Takes a choice the facets offer, and checks that there is what they promise.
    async fn facet(&self, shopper: &mut Shopper) -> Result<(), Lost> {
        const KIND: &str = "GET facet list";
        let category = shopper.pick(self.catalogue.categories.filled()).cloned();
        let all = Filter {
            category,
            limit: 1,
            ..Filter::default()
        };
        let reply = cached(shopper, KIND, &all.path(None)).await?;
        let page: Page<Product> = shopper.read(KIND, &reply)?;
        shopper.check("facets", !page.facets.is_null(), || {
            format!("{}: no facets", all.path(None))
        });
        let choices = choices(&page.facets);
        let Some((name, value, count)) = shopper.pick(&choices).cloned() else {
            return Ok(());
        };
        let chosen = Filter {
            attribute: Some((name.clone(), value.clone())),
            limit: DEFAULT_LIMIT,
            ..all
        };
        let path = chosen.path(None);
        let reply = cached(shopper, KIND, &path).await?;
        let page: Page<Product> = shopper.read(KIND, &reply)?;
        let wrong = Walk::default().page(&chosen, &page, &self.catalogue.categories);
        shopper.check("list", wrong.is_empty(), || {
            format!("{path}: {}", wrong.join("; "))
        });
        shopper.check("facets", !page.items.is_empty(), || {
            format!("{path}: {} items, the facet said {count}", page.items.len())
        });
        let Some(product) = shopper.pick(&page.items).cloned() else {
            return Ok(());
        };
        let detail = detail(shopper, &product.id).await?;
        let variants = detail.variants.iter().map(|variant| &variant.options);
        let found = std::iter::once(&detail.attributes)
            .chain(variants)
            .any(|attributes| has_attribute(attributes, &name, &value));
        shopper.check("facets", found, || {
            format!(
                "{path}: {} has {name} {:?}",
                product.id,
                detail.attributes.get(&name)
            )
        });
        Ok(())
    }

    async fn product(&self, shopper: &mut Shopper) -> Result<(), Lost> {
        let Some(product) = shopper.pick(&self.catalogue.products).cloned() else {
            return Ok(());
        };
        let address = if shopper.chance(50) {
            &product.id
        } else {
            &product.slug
        };
        let found = detail(shopper, address).await?;
        shopper.check(
            "product",
            found.product.id == product.id && found.product.sku == product.sku,
            || format!("{address}: found {} ({})", found.product.id, found.product.sku),
        );
        Ok(())
    }

    async fn tree(&self, shopper: &mut Shopper) -> Result<(), Lost> {
        const KIND: &str = "GET categories";
        let reply = cached(shopper, KIND, "/v1/categories").await?;
        let tree: Value = shopper.read(KIND, &reply)?;
        let known = super::catalogue::Categories::read(&tree);
        shopper.check(
            "tree",
            known.filled().is_empty() == self.catalogue.categories.filled().is_empty(),
            || format!("{} categories hold something", known.filled().len()),
        );
        Ok(())
    }

    /// What a browser would load.
    async fn page(&self, shopper: &mut Shopper) -> Result<(), Lost> {
        let (variant, path, mentions) = match shopper.dice.random_below(4) {
            0 => ("home", "/".to_owned(), None),
            1 => match shopper.pick(self.catalogue.categories.filled()) {
                Some(slug) => ("category", format!("/c/{}", encoded(slug)), None),
                None => return Ok(()),
            },
            2 => match shopper.pick(&self.catalogue.words) {
                Some(word) => ("search", format!("/search?q={}", encoded(word)), None),
                None => return Ok(()),
            },
            _ => match shopper.pick(&self.catalogue.products) {
                Some(product) => (
                    "product",
                    format!("/p/{}", encoded(&product.slug)),
                    Some(longest_word(&product.name)),
                ),
                None => return Ok(()),
            },
        };
        let kind = Kind {
            name: "GET page",
            variant,
        };
        let reply = shopper.call(kind, &Call::get(&path)).await?;
        shopper.expect(kind, &reply, 200)?;
        let wrong = page_fault(&reply, mentions);
        shopper.check("page", wrong.is_none(), || {
            format!("{path}: {}", wrong.unwrap_or_default())
        });
        Ok(())
    }
}

#[async_trait]
impl Script for Browse {
    async fn visit(&self, shopper: &mut Shopper) {
        while shopper.in_the_mood() && shopper.run.open() {
            let step = self.step(shopper).await;
            shopper.breathe(step).await;
        }
    }

    async fn close(&self, _run: &Run, _report: &mut Report) {}
}

async fn detail(shopper: &mut Shopper, address: &str) -> Result<ProductDetail, Lost> {
    const KIND: &str = "GET product";
    let reply = cached(shopper, KIND, &format!("/v1/products/{}", encoded(address))).await?;
    let detail: ProductDetail = shopper.read(KIND, &reply)?;
    shopper.check("product", detail.version > 0, || format!("{address}: version 0"));
    Ok(detail)
}

/// Reads a public representation: it must carry a tag, and for that tag be 304 or another one.
async fn cached(shopper: &mut Shopper, kind: &'static str, path: &str) -> Result<Reply, Lost> {
    let call = Call::get(path);
    let reply = shopper.call(kind, &call).await?;
    shopper.expect(kind, &reply, 200)?;
    let tag = reply.answer.header("etag").map(str::to_owned);
    shopper.check("etag", tag.is_some(), || format!("{path}: no ETag"));
    if let Some(tag) = tag.filter(|_| shopper.chance(REVALIDATED)) {
        let kind = Kind {
            name: kind,
            variant: "revalidated",
        };
        let again = shopper.call(kind, &call.header(IF_NONE_MATCH, &tag)).await?;
        let new_tag = again.answer.header("etag");
        // Somebody may have changed it in between; then the tag is another.
        let holds = match again.answer.status.as_u16() {
            304 => again.answer.body.is_empty() && new_tag.is_none_or(|new| new == tag),
            200 => new_tag.is_some_and(|new| new != tag),
            _ => false,
        };
        shopper.check("revalidation", holds, || {
            format!("{path}: {} with {new_tag:?} for {tag}", again.answer.status)
        });
    }
    Ok(reply)
}

fn page_fault(reply: &Reply, mentions: Option<&str>) -> Option<String> {
    let media = reply.answer.header("content-type").unwrap_or_default();
    if !media.starts_with("text/html") {
        return Some(format!("content-type {media}"));
    }
    let Ok(page) = std::str::from_utf8(&reply.answer.body) else {
        return Some("not UTF-8".to_owned());
    };
    for part in ["<html", "<title>", "</html>"] {
        if !page.contains(part) {
            return Some(format!("no {part}"));
        }
    }
    mentions
        .filter(|word| !page.contains(word))
        .map(|word| format!("does not mention {word}"))
}

/// A part of a name that reads the same in HTML.
fn longest_word(name: &str) -> &str {
    name.split(|c: char| !c.is_ascii_alphanumeric())
        .max_by_key(|word| word.len())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_word_needs_no_escaping() {
        assert_eq!(longest_word("Müller & Söhne: \"Television\" 55\""), "Television");
        assert_eq!(longest_word("—"), "");
    }
}

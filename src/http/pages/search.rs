//! `/search?q=`: products by words.

use axum::response::Response;

use super::link::{encode, with_query};
use super::listing::Asked;
use super::model::{Link, SearchPage};
use super::visit::Visit;
use crate::http::problem::Problem;

/// How many things to try instead are named.
const SUGGESTIONS: usize = 6;

/// Shows what was found.
pub(super) async fn show(visit: Visit) -> Result<Response, Problem> {
    let asked = Asked::read(visit.asked(), None, visit.edge().settings.tariff.currency);
    let listing = asked.listing(&visit, "/search").await?;
    let words = asked.words();
    let title = if words.is_empty() {
        "All products".to_owned()
    } else {
        format!("Results for {words}")
    };
    let mut shell = visit.shell(title).await;
    words.clone_into(&mut shell.query);
    let suggestions = if listing.cards.is_empty() {
        suggestions(&visit, words)
    } else {
        Vec::new()
    };
    let page = SearchPage {
        shell,
        listing,
        suggestions,
    };
    visit.public(&page, "products")
}

/// Each word alone, then the largest categories.
fn suggestions(visit: &Visit, words: &str) -> Vec<Link> {
    let single = words
        .split_whitespace()
        .filter(|_| words.contains(char::is_whitespace));
    let single = single.map(|word| Link {
        href: with_query("/search", [("q", word)]),
        text: word.to_owned(),
    });
    let categories = visit.edge().views.catalogue.categories();
    let mut filled: Vec<_> = categories.iter().filter(|category| category.count > 0).collect();
    filled.sort_by_key(|category| std::cmp::Reverse(category.count));
    let categories = filled.into_iter().map(|category| Link {
        href: format!("/c/{}", encode(&category.slug)),
        text: category.name.clone(),
    });
    single
        .take(SUGGESTIONS / 2)
        .chain(categories)
        .take(SUGGESTIONS)
        .collect()
}

//! `/`: what the shop shows to somebody who has just come in.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::response::Response;
use tokio::time::Instant;

use super::link::{encode, with_query};
use super::model::{CategoryTile, HomePage, Link, Money, ProductCard, Shelf};
use super::visit::Visit;
use crate::domain::id::Sku;
use crate::http::problem::Problem;
use crate::http::product::view_problem;
use crate::views::{Availability, Card, ProductQuery, Sort};

/// Products on the live board.
const BOARD: usize = 6;
/// Products among which the board is chosen.
const BOARD_CHOICE: u32 = 60;
/// Category tiles.
const TILES: usize = 12;
/// Products on a shelf.
const SHELF: u32 = 8;
/// Below which price something is a small pleasure, minor units.
const SMALL: i64 = 4_999;
/// How long a choice stands. What it shows of a product is always of this moment.
const CHOICE_STANDS: Duration = Duration::from_secs(3);

/// What is chosen for the home page: which products, not what they cost.
#[derive(Debug, Default)]
struct Choice {
    board: Vec<Sku>,
    tiles: Vec<(String, Sku)>,
    shelves: Vec<(String, Link, Vec<Sku>)>,
}

/// The choice of lately, so that a busy home page does not ask for a dozen lists each time.
#[derive(Debug, Default)]
pub(super) struct Window(Mutex<Option<(Instant, Arc<Choice>)>>);

impl Window {
    async fn choice(&self, visit: &Visit) -> Result<Arc<Choice>, Problem> {
        let now = visit.edge().clock.instant();
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((chosen_at, choice)) = known
            && now.duration_since(chosen_at) < CHOICE_STANDS
        {
            return Ok(choice);
        }
        let choice = Arc::new(choose(visit).await?);
        // An empty shop may be filled any moment.
        if !choice.tiles.is_empty() {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, Arc::clone(&choice)));
        }
        Ok(choice)
    }
}

/// Shows the home page.
pub(super) async fn show(visit: Visit) -> Result<Response, Problem> {
    let choice = visit.storefront.window.choice(&visit).await?;
    let catalogue = &visit.edge().views.catalogue;
    let cards = |skus: &[Sku]| -> Vec<ProductCard> {
        let cards = skus.iter().filter_map(|sku| catalogue.card(sku));
        let shown = cards.filter(|card| card.published);
        shown.map(|card| ProductCard::from(card.as_ref())).collect()
    };
    let categories = catalogue.categories();
    let tiles = choice.tiles.iter().filter_map(|(slug, sku)| {
        let category = categories.iter().find(|category| category.slug == *slug)?;
        Some(CategoryTile {
            slug: slug.clone(),
            name: category.name.clone(),
            count: category.count,
            product_id: sku.to_string(),
        })
    });
    let shelves = choice.shelves.iter().map(|(title, more, skus)| Shelf {
        title: title.clone(),
        more: Some(more.clone()),
        cards: cards(skus),
    });
    let mut shell = visit.shell("").await;
    shell.description = Some("A shop that is live: prices and stock as they are this moment.".to_owned());
    let page = HomePage {
        shell,
        board: cards(&choice.board),
        categories: tiles.collect(),
        shelves: shelves.filter(|shelf| !shelf.cards.is_empty()).collect(),
    };
    visit.public(&page, "home products")
}

async fn choose(visit: &Visit) -> Result<Choice, Problem> {
    let mut choice = Choice::default();
    let newest = ProductQuery {
        sort: Sort::Newest,
        limit: Some(BOARD_CHOICE),
        ..ProductQuery::default()
    };
    let newest = list(visit, &newest).await?;
    choice.board = board(&newest);
    let categories = visit.edge().views.catalogue.categories();
    for category in categories
        .iter()
        .filter(|category| category.count > 0)
        .take(TILES)
    {
        let of_category = ProductQuery {
            category: Some(category.slug.clone()),
            limit: Some(SHELF),
            ..ProductQuery::default()
        };
        let found = list(visit, &of_category).await?;
        if let Some(first) = found.first() {
            choice.tiles.push((category.slug.clone(), first.sku.clone()));
        }
    }
    choice.shelves.push((
        "New in".to_owned(),
        link(with_query("/search", [("sort", "newest")]), "All that is new"),
        skus(newest.iter().take(SHELF as usize)),
    ));
    let currency = visit.edge().settings.tariff.currency;
    let small = ProductQuery {
        sort: Sort::PriceDown,
        max_price: Some(SMALL),
        limit: Some(SHELF),
        ..ProductQuery::default()
    };
    let limit = Money::new(SMALL + 1, currency.code());
    let most = Money::new(SMALL, currency.code()).plain();
    choice.shelves.push((
        format!("Under {limit}"),
        link(
            with_query("/search", [("price_to", most.as_str()), ("sort", "-price")]),
            "All of them",
        ),
        skus(list(visit, &small).await?.iter()),
    ));
    let mut largest: Vec<_> = categories.iter().filter(|category| category.count >= 4).collect();
    largest.sort_by_key(|category| std::cmp::Reverse(category.count));
    for category in largest.into_iter().take(2) {
        let of_category = ProductQuery {
            category: Some(category.slug.clone()),
            limit: Some(SHELF),
            ..ProductQuery::default()
        };
        choice.shelves.push((
            category.name.clone(),
            link(format!("/c/{}", encode(&category.slug)), "All of them"),
            skus(list(visit, &of_category).await?.iter()),
        ));
    }
    Ok(choice)
}

async fn list(visit: &Visit, query: &ProductQuery) -> Result<Vec<Arc<Card>>, Problem> {
    let found = visit.edge().views.catalogue.list(query).await;
    Ok(found.map_err(view_problem)?.items)
}

fn skus<'a>(cards: impl Iterator<Item = &'a Arc<Card>>) -> Vec<Sku> {
    cards.map(|card| card.sku.clone()).collect()
}

fn link(href: String, text: &str) -> Link {
    Link {
        href,
        text: text.to_owned(),
    }
}

/// What moves soonest: little left first, then in stock; of as many categories as there are.
fn board(cards: &[Arc<Card>]) -> Vec<Sku> {
    let mut chosen: Vec<&Arc<Card>> = Vec::new();
    let of = |availability| {
        cards
            .iter()
            .filter(move |card| card.product_availability == availability)
    };
    for card in of(Availability::Low).chain(of(Availability::InStock)) {
        let is_new = !chosen.iter().any(|other| other.category == card.category);
        if is_new && chosen.len() < BOARD {
            chosen.push(card);
        }
    }
    for card in of(Availability::Low).chain(of(Availability::InStock)) {
        if chosen.len() < BOARD && !chosen.iter().any(|other| other.sku == card.sku) {
            chosen.push(card);
        }
    }
    skus(chosen.into_iter())
}

//! `/p/{slug}`: one product.

use std::sync::Arc;

use axum::extract::Path;
use axum::response::Response;

use super::answer::go;
use super::attribute;
use super::category::trail;
use super::link::{encode, with_query};
use super::model::{Availability, Link, Money, ProductCard, ProductPage, VariantChoice};
use super::visit::Visit;
use crate::accounts::Role;
use crate::domain::id::Sku;
use crate::domain::product::Details;
use crate::domain::quote::Tariff;
use crate::http::problem::Problem;
use crate::http::product::view_problem;
use crate::views::{self, Card, ProductQuery};

/// How many other products of its category are shown below it.
const RELATED: usize = 6;

/// Shows a product. One that is hidden is shown to sellers only, and says so.
pub(super) async fn show(visit: Visit, Path(slug): Path<String>) -> Result<Response, Problem> {
    let catalogue = &visit.edge().views.catalogue;
    let is_seller = visit.caller().is_some_and(|caller| caller.has(Role::Seller));
    let card = catalogue
        .product(&slug)
        .filter(|card| card.published || is_seller)
        .ok_or_else(Problem::not_found)?;
    if *card.slug != *slug {
        // One product has one address; its id leads there too.
        return Ok(go(&format!("/p/{}", encode(&card.slug))));
    }
    let row = catalogue.row(&card.sku).await.map_err(view_problem)?;
    let row = row.ok_or_else(Problem::not_found)?;
    let details = &row.listing.details;
    let trail = trail(&visit, &card.category);
    let mut shell = visit.shell(card.name.as_ref()).await;
    shell.description = Some(format!(
        "{} for {}, tax included.",
        card.name,
        Money::from(card.price)
    ));
    shell.enter(trail.root.as_deref().unwrap_or(&card.category));
    let in_cart = visit.cart().await.map_or(0, |cart| {
        let skus = card.variants().iter().chain([&card.sku]);
        skus.filter_map(|sku| cart.line(sku))
            .map(|line| line.quantity)
            .sum()
    });
    let brand = (!card.brand.is_empty()).then(|| Link {
        href: with_query("/search", [("attr.brand", card.brand.as_ref())]),
        text: card.brand.to_string(),
    });
    let category = trail.here.text.clone();
    let page = ProductPage {
        shell,
        trail: trail.above.into_iter().chain([trail.here]).collect(),
        id: card.sku.to_string(),
        sku: card.sku.to_string(),
        name: card.name.to_string(),
        brand,
        category,
        price: card.price.into(),
        sale_price: None,
        availability: if card.published {
            card.product_availability.into()
        } else {
            Availability::OutOfStock
        },
        variants: variants(&visit, &card, details),
        in_cart,
        delivery: delivery(&visit.edge().settings.tariff),
        notice: (!card.published).then(|| "This product is hidden: only sellers see this page.".to_owned()),
        description: paragraphs(&details.description),
        attributes: attribute::groups(&details.attributes),
        identifiers: attribute::identifiers(details),
        related: related(&visit, &card).await?,
    };
    visit.public(&page, &format!("product-{}", card.sku))
}

/// The SKUs of a product that has several.
fn variants(visit: &Visit, card: &Card, details: &Details) -> Vec<VariantChoice> {
    let catalogue = &visit.edge().views.catalogue;
    let choice = |sku: &Sku, what: &str| {
        let card = catalogue.card(sku)?;
        let sold_out = match card.availability {
            views::Availability::OutOfStock => ", sold out",
            _ => "",
        };
        Some(VariantChoice {
            sku: sku.to_string(),
            label: format!("{what}, {}{sold_out}", Money::from(card.price)),
        })
    };
    let others = details.variants.iter().filter(|variant| variant.sku != card.sku);
    let mut others: Vec<_> = others
        .filter_map(|variant| {
            let options: Vec<_> = variant.options.values().map(String::as_str).collect();
            choice(&variant.sku, &options.join(", "))
        })
        .collect();
    if !others.is_empty() {
        let own = details.variants.iter().find(|variant| variant.sku == card.sku);
        let options = own.map(|own| {
            own.options
                .values()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(", ")
        });
        let what = options.filter(|what| !what.is_empty());
        let own = choice(&card.sku, what.as_deref().unwrap_or("As described"));
        others.splice(0..0, own);
    }
    others
}

/// Text with blank lines between its paragraphs.
pub(super) fn paragraphs(text: &str) -> Vec<String> {
    let mut paragraphs = vec![String::new()];
    for line in text.lines().map(str::trim) {
        match paragraphs.last_mut() {
            Some(last) if !line.is_empty() => {
                if !last.is_empty() {
                    last.push('\n');
                }
                last.push_str(line);
            }
            _ => paragraphs.push(String::new()),
        }
    }
    paragraphs.retain(|paragraph| !paragraph.is_empty());
    paragraphs
}

/// What shipping costs.
fn delivery(tariff: &Tariff) -> String {
    let money = |amount| Money::new(amount, tariff.currency.code());
    format!(
        "Standard {}, free from {}. Express {}.",
        money(tariff.standard),
        money(tariff.free_from),
        money(tariff.express)
    )
}

async fn related(visit: &Visit, card: &Arc<Card>) -> Result<Vec<ProductCard>, Problem> {
    if visit.edge().room.brown_out().leaves_out_suggestions() {
        visit.leave_out(false, true);
        return Ok(Vec::new());
    }
    let query = ProductQuery {
        category: Some(card.category.to_string()),
        limit: u32::try_from(RELATED + 1).ok(),
        ..ProductQuery::default()
    };
    let found = visit
        .edge()
        .views
        .catalogue
        .list(&query)
        .await
        .map_err(view_problem)?;
    let others = found.items.iter().filter(|other| other.sku != card.sku);
    Ok(others
        .take(RELATED)
        .map(|card| ProductCard::from(card.as_ref()))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_lines_part_paragraphs() {
        assert_eq!(paragraphs("a\nb\n\n\n c \n \nd"), ["a\nb", "c", "d"]);
        assert!(paragraphs(" \n\n").is_empty());
    }

    #[test]
    fn delivery_says_what_it_costs() {
        assert_eq!(
            delivery(&Tariff::default()),
            "Standard €4.90, free from €50.00. Express €9.90."
        );
    }
}

//! `/seller/stock`: the figures of one SKU, and how to change them.

use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde_json::json;

use super::answer::{private, refused};
use super::api::Call;
use super::link::{encode, with_query};
use super::model::{FieldErrors, SellerStockPage, StockFigures};
use super::post::{Fields, Post, field_error, field_errors, last_part};
use super::visit::Visit;
use crate::domain::id::Sku;
use crate::domain::stock::Stock;
use crate::http::idempotency::ask_problem;
use crate::http::problem::{Problem, kind};
use crate::journal::Sequence;

/// Shows the figures of a SKU, if one is asked for.
pub(super) async fn show(visit: Visit) -> Result<Response, Problem> {
    visit.seller()?;
    let asked = visit.asked_for("sku");
    let key = visit.edge().clock.new_id().to_string();
    private(&page(&visit, asked.trim(), &key).await?)
}

/// Adjusts the stock.
pub(super) async fn adjust(post: Post) -> Result<Response, Problem> {
    let Post { visit, fields } = post;
    let seller = visit.seller()?;
    let sku = fields.text("sku");
    let delta: Option<i64> = fields.text("delta").trim_start_matches('+').parse().ok();
    let mut errors = fields.check_filled(&["delta", "reason"]);
    if errors.of("delta").is_none() && delta.is_none() {
        errors
            .0
            .push(field_error("delta", "Write a whole number, such as 25 or -3."));
    }
    let Some(delta) = delta.filter(|_| errors.is_empty()) else {
        return again(&visit, &fields, errors, StatusCode::UNPROCESSABLE_ENTITY).await;
    };
    let call = Call::new(Method::POST, format!("/v1/stock/{}/adjustments", encode(sku)))
        .key(fields.text("idempotency_key"))
        .body(json!({"delta": delta, "reason": fields.text("reason")}));
    let problem = match visit.call(seller, call).await {
        Ok(said) => {
            let next = with_query("/seller/stock", [("sku", sku), ("done", "stock")]);
            return Ok(visit.go_after(&said, &next));
        }
        Err(problem) => problem,
    };
    let slug = problem.kind().slug;
    let errors = if slug == kind::INVALID_INPUT.slug {
        field_errors(problem.errors(), last_part)
    } else if slug == kind::UNITS_TAKEN.slug {
        FieldErrors(vec![field_error("delta", problem.sentence())])
    } else {
        return Err(problem);
    };
    again(&visit, &fields, errors, problem.status()).await
}

async fn again(
    visit: &Visit,
    fields: &Fields,
    errors: FieldErrors,
    status: StatusCode,
) -> Result<Response, Problem> {
    let page = SellerStockPage {
        delta: fields.text("delta").to_owned(),
        reason: fields.text("reason").to_owned(),
        errors,
        ..page(visit, fields.text("sku"), fields.text("idempotency_key")).await?
    };
    refused(status, &page)
}

async fn page(visit: &Visit, asked: &str, key: &str) -> Result<SellerStockPage, Problem> {
    let figures = match asked.parse::<Sku>() {
        Ok(sku) => figures(visit, &sku).await?,
        Err(_) => None,
    };
    let mut errors = FieldErrors::default();
    if figures.is_none() && !asked.is_empty() {
        let unknown = format!("There is no item with the SKU “{asked}”.");
        errors.0.push(field_error("sku", unknown));
    }
    Ok(SellerStockPage {
        shell: visit.shell("Stock").await,
        sku: asked.to_owned(),
        figures,
        delta: String::new(),
        reason: String::new(),
        errors,
        idempotency_key: key.to_owned(),
    })
}

/// The figures of a SKU that a product has or that was counted before.
async fn figures(visit: &Visit, sku: &Sku) -> Result<Option<StockFigures>, Problem> {
    let problem = |error| ask_problem(error, |refusal| Problem::internal(format!("{refusal}")));
    let stock = visit
        .edge()
        .region
        .read::<Stock>(&sku.stock())
        .await
        .map_err(problem)?;
    let card = visit.edge().views.catalogue.card(sku);
    if card.is_none() && stock.sequence == Sequence(0) {
        return Ok(None);
    }
    let levels = stock.view;
    Ok(Some(StockFigures {
        sku: sku.to_string(),
        name: card.map_or_else(String::new, |card| card.name.to_string()),
        on_hand: levels.on_hand,
        held: levels.held,
        sold: levels.sold,
        available: levels.available(),
    }))
}

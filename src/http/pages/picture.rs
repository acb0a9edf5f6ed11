//! `/art/{product id}.svg`: the drawing of a product.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;

use crate::domain::id::Sku;
use crate::http::Edge;
use crate::http::art::product_art;
use crate::http::etag::public_bytes;
use crate::http::problem::Problem;

/// A drawing changes only when its product moves to another category or maker.
const KEPT: HeaderValue = HeaderValue::from_static("public, max-age=86400, stale-while-revalidate=604800");

/// Draws a product. One that is not in the catalogue any more, though it is in somebody's order, is
/// drawn too: as a thing of no kind.
pub(super) async fn draw(
    State(edge): State<Edge>,
    Path(file): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let sku: Option<Sku> = file.strip_suffix(".svg").and_then(|id| id.parse().ok());
    let sku = sku.ok_or_else(Problem::not_found)?;
    let card = edge.views.catalogue.card(&sku);
    let (category, brand) = card
        .as_ref()
        .map_or(("", ""), |card| (card.category.as_ref(), card.brand.as_ref()));
    let svg = product_art(sku.as_str(), category, brand);
    let media = HeaderValue::from_static("image/svg+xml");
    let mut answer = public_bytes(&headers, svg.into_bytes(), media, &format!("product-{sku}"));
    answer.headers_mut().insert(header::CACHE_CONTROL, KEPT);
    Ok(answer)
}

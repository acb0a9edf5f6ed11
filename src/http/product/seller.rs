//! The catalogue as sellers keep it: created, edited, priced, hidden.

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::input::{NewProduct, Price, ProductEdit, ProductPatch, editable};
use crate::cluster::Ask;
use crate::domain::id::Sku;
use crate::domain::product::{self, Command, Details, Listing, Product};
use crate::domain::{self, Currency};
use crate::http::Edge;
use crate::http::auth::Seller;
use crate::http::body::{Json, MergePatch, edited};
use crate::http::etag::{IfMatch, of_version, stale};
use crate::http::idempotency::{Once, Reply, ask_problem, decide};
use crate::http::money::moment;
use crate::http::openapi::{KeyHeader, VersionHeader};
use crate::http::position::settle_in_catalogue;
use crate::http::problem::{Fault, Problem, kind};

pub(super) fn routes() -> OpenApiRouter<Edge> {
    OpenApiRouter::new()
        .routes(routes!(create))
        .routes(routes!(edit))
        .routes(routes!(set_price))
        .routes(routes!(read))
}

/// A product as its sellers see it: everything, published or not.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SellerProduct {
    /// The id: its main SKU.
    #[schema(example = "TV-55-OLED")]
    id: String,
    /// The same.
    #[schema(example = "TV-55-OLED")]
    sku: String,
    /// What can be edited.
    #[serde(flatten)]
    edit: ProductEdit,
    /// When it was created.
    #[schema(example = "2026-11-27T09:00:00.000Z", format = "date-time")]
    created_at: String,
    /// When it last changed.
    #[schema(example = "2026-11-27T09:00:00.000Z", format = "date-time")]
    changed_at: String,
    /// Rises with every change; what `If-Match` names.
    #[schema(example = 1, minimum = 1)]
    version: u64,
}

/// A product as its sellers see it, as JSON shows it.
#[must_use]
pub fn render_for_seller(listing: &Listing, version: u64) -> SellerProduct {
    SellerProduct {
        id: listing.details.sku.to_string(),
        sku: listing.details.sku.to_string(),
        edit: editable(listing),
        created_at: moment(listing.created_at),
        changed_at: moment(listing.changed_at),
        version,
    }
}

/// An answer with a product and the version that the next edit names.
fn reply(status: StatusCode, product: &Product) -> Result<Reply, Problem> {
    let listing = product
        .listing
        .as_ref()
        .ok_or_else(|| Problem::internal("a product was written and is not there"))?;
    let body = render_for_seller(listing, product.version);
    Ok(Reply::json(status, &body)?.header(header::ETAG, of_version(product.version)))
}

/// Create a product
#[utoipa::path(
    post, path = "/v1/products", tag = "Catalogue", request_body = NewProduct,
    operation_id = "create_product",
    params(KeyHeader),
    security(("bearer" = ["seller"]), ("session" = ["seller"])),
    responses(
        (status = 201, description = "Created and published.", body = SellerProduct),
        (status = 409, description = "The SKU or the slug is taken."),
    )
)]
async fn create(
    State(edge): State<Edge>,
    _: Seller,
    once: Once,
    body: Json<NewProduct>,
) -> Result<Response, Problem> {
    let new = body.value;
    let sku = new.sku.clone();
    let slug = match &new.slug {
        Some(slug) => slug.clone(),
        None => slug_of(&edge, &new.name, &sku),
    };
    let details = new.to_details(&sku, slug);
    let price = new.price.to_domain();
    check(&edge, &details, price)?;
    let command = Command::Create {
        details: Box::new(details),
        price,
    };
    let location = HeaderValue::from_str(&format!("/v1/products/{sku}")).ok();
    let created = decide::<Product>(
        edge.clone(),
        once,
        body.digest,
        sku.product(),
        command,
        refused,
        |product, _| reply(StatusCode::CREATED, product),
    );
    let mut answer = created.await?;
    if let Some(location) = location {
        answer.headers_mut().insert(header::LOCATION, location);
    }
    Ok(settle_in_catalogue(&edge, answer).await)
}

/// A slug for a name: its words in ASCII, or the SKU's. Another's slug is not taken.
fn slug_of(edge: &Edge, name: &str, sku: &Sku) -> String {
    let words = slugify(name);
    let own = slugify(sku.as_str());
    let free = |slug: &str| {
        edge.views
            .catalogue
            .slug_owner(slug)
            .is_none_or(|owner| owner == *sku)
    };
    match words {
        words if words.is_empty() => own,
        words if free(&words) => words,
        words => format!("{words}-{own}").trim_end_matches('-').to_owned(),
    }
}

/// Lower-case words of a-z and 0-9, joined by hyphens, at most 100 characters.
fn slugify(text: &str) -> String {
    let mut slug = String::new();
    for letter in text.chars().flat_map(char::to_lowercase) {
        if slug.len() >= 100 {
            break;
        }
        match letter {
            'a'..='z' | '0'..='9' => slug.push(letter),
            'ä' => slug.push_str("ae"),
            'ö' => slug.push_str("oe"),
            'ü' => slug.push_str("ue"),
            'ß' => slug.push_str("ss"),
            _ if slug.is_empty() || slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
    }
    slug.trim_end_matches('-').to_owned()
}

/// What a schema cannot say about a product.
fn check(edge: &Edge, details: &Details, price: domain::Money) -> Result<(), Problem> {
    let mut faults = Vec::new();
    let currency = edge.settings.tariff.currency;
    let mut check_currency = |pointer: String, other: Currency| {
        if other != currency {
            faults.push(Fault::new(
                pointer,
                format!("must be {currency}, the currency of the shop"),
            ));
        }
    };
    check_currency("/price/currency".to_owned(), price.currency);
    for (index, variant) in details.variants.iter().enumerate() {
        if let Some(price) = variant.price {
            check_currency(format!("/variants/{index}/price/currency"), price.currency);
        }
    }
    for (index, variant) in details.variants.iter().enumerate() {
        let before = details.variants.iter().take(index);
        if variant.sku == details.sku || before.into_iter().any(|other| other.sku == variant.sku) {
            faults.push(Fault::new(format!("/variants/{index}/sku"), "is there twice"));
        }
    }
    for name in details.attributes.keys() {
        if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
            faults.push(Fault::new(
                "/attributes",
                "a name has 1 to 100 characters, none of them control characters",
            ));
        }
    }
    if !faults.is_empty() {
        return Err(Problem::invalid(faults));
    }
    let catalogue = &edge.views.catalogue;
    let taken = |what: &str| {
        Err(Problem::new(&kind::ALREADY_EXISTS).detail(format!("{what} belongs to another product.")))
    };
    if catalogue
        .slug_owner(&details.slug)
        .is_some_and(|owner| owner != details.sku)
    {
        return taken(&format!("The slug {}", details.slug));
    }
    for sku in details
        .variants
        .iter()
        .map(|variant| &variant.sku)
        .chain([&details.sku])
    {
        if catalogue
            .card(sku)
            .is_some_and(|card| card.product != details.sku)
        {
            return taken(&format!("The SKU {sku}"));
        }
    }
    Ok(())
}

/// The product of a path as its entity has it.
async fn find(edge: &Edge, id: &str) -> Result<(Sku, Product, Listing), Problem> {
    let sku: Sku = id.parse().map_err(|_| Problem::not_found())?;
    let answer = edge.region.read::<Product>(&sku.product()).await;
    let product = answer.map_err(|error| ask_problem(error, refused))?.view;
    let listing = product.listing.clone().ok_or_else(Problem::not_found)?;
    Ok((sku, product, listing))
}

/// Asks a product to change and answers with what it is then.
async fn change(edge: &Edge, sku: &Sku, command: Command) -> Result<Response, Problem> {
    let asked = edge
        .region
        .ask::<Product>(&sku.product(), Ask::new(command))
        .await;
    let answer = asked.map_err(|error| ask_problem(error, refused))?;
    let reply = reply(StatusCode::OK, &answer.view)?.into_answer(answer.token, false);
    Ok(settle_in_catalogue(edge, reply).await)
}

/// Read a product as its seller
///
/// Everything that can be edited, published or not, as it is this moment.
#[utoipa::path(
    get, path = "/v1/seller/products/{id}", tag = "Catalogue",
    operation_id = "read_product_as_seller",
    params(("id" = String, Path, description = "The id.", example = "TV-55-OLED")),
    security(("bearer" = ["seller"]), ("session" = ["seller"])),
    responses((status = 200, description = "The product.", body = SellerProduct))
)]
async fn read(State(edge): State<Edge>, _: Seller, Path(id): Path<String>) -> Result<Response, Problem> {
    let (_, product, listing) = find(&edge, &id).await?;
    let body = axum::Json(render_for_seller(&listing, product.version));
    Ok(([(header::ETAG, of_version(product.version))], body).into_response())
}

/// Edit a product
///
/// A JSON Merge Patch (RFC 7396). `"published": false` takes the product out of the lists: carts
/// show a notice, and checking out is 409.
#[utoipa::path(
    patch, path = "/v1/products/{id}", tag = "Catalogue",
    operation_id = "edit_product",
    request_body(content = ProductPatch, content_type = "application/merge-patch+json"),
    params(("id" = String, Path, description = "The id.", example = "TV-55-OLED"), VersionHeader),
    security(("bearer" = ["seller"]), ("session" = ["seller"])),
    responses(
        (status = 200, description = "The product afterwards.", body = SellerProduct),
        (status = 409, description = "The slug or a SKU is taken."),
    )
)]
async fn edit(
    State(edge): State<Edge>,
    _: Seller,
    Path(id): Path<String>,
    if_match: IfMatch,
    patch: MergePatch,
) -> Result<Response, Problem> {
    let (sku, product, listing) = find(&edge, &id).await?;
    let version = if_match.check(product.version)?;
    let before =
        serde_json::to_value(editable(&listing)).map_err(|error| Problem::internal(error.to_string()))?;
    let after: ProductEdit = edited(&before, patch.apply(before.clone()))?;
    let slug = after
        .slug
        .clone()
        .unwrap_or_else(|| slug_of(&edge, &after.name, &sku));
    let details = after.to_details(&sku, slug);
    let price = after.price.to_domain();
    check(&edge, &details, price)?;
    let command = Command::Edit {
        version,
        details: Box::new(details),
        price,
        published: after.published,
    };
    change(&edge, &sku, command).await
}

/// A price, bare or named.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum PriceInput {
    /// The price.
    Bare(Price),
    /// The price under its name.
    Named(NamedPrice),
}

/// A price under its name.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NamedPrice {
    /// What it costs.
    price: Price,
}

/// Change the price of a product
#[utoipa::path(
    put, path = "/v1/products/{id}/price", tag = "Catalogue", request_body = PriceInput,
    operation_id = "set_price",
    params(("id" = String, Path, description = "The id.", example = "TV-55-OLED"), VersionHeader),
    security(("bearer" = ["seller"]), ("session" = ["seller"])),
    responses((status = 200, description = "The product afterwards.", body = SellerProduct))
)]
async fn set_price(
    State(edge): State<Edge>,
    _: Seller,
    Path(id): Path<String>,
    if_match: IfMatch,
    body: Json<PriceInput>,
) -> Result<Response, Problem> {
    let (sku, product, _) = find(&edge, &id).await?;
    let version = if_match.check(product.version)?;
    let (PriceInput::Bare(price) | PriceInput::Named(NamedPrice { price })) = &body.value;
    let price = price.to_domain();
    if price.currency != edge.settings.tariff.currency {
        let detail = format!(
            "must be {}, the currency of the shop",
            edge.settings.tariff.currency
        );
        return Err(Problem::invalid_at("/currency", detail));
    }
    change(&edge, &sku, Command::SetPrice { version, price }).await
}

fn refused(refusal: product::Refusal) -> Problem {
    match refusal {
        product::Refusal::AlreadyExists => {
            Problem::new(&kind::ALREADY_EXISTS).detail("There is already a product with this SKU.")
        }
        product::Refusal::Unknown => Problem::not_found(),
        product::Refusal::Changed { version } => stale(version),
        product::Refusal::BadPrice => Problem::invalid_at("/price/amount", format!("{refusal}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_words() {
        assert_eq!(slugify("Sharp 55″ OLED – weiß!"), "sharp-55-oled-weiss");
        assert_eq!(slugify("  --A.b_C  "), "a-b-c");
        assert_eq!(slugify("電視"), "");
        assert!(slugify(&"ab ".repeat(100)).len() <= 100);
    }
}

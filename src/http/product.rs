//! The catalogue: lists of products and single ones, as anybody sees them.

mod input;
mod seller;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Edge;
use super::auth::chain;
use super::etag;
use super::money::Money;
use super::openapi::PositionHeader;
use super::overload;
use super::position::Position;
use super::problem::{Fault, Problem, kind};
use super::query;
use crate::domain::id::Sku;
use crate::domain::product::{Attribute, Details, Variant};
use crate::views::{Card, Facets, ProductQuery, ViewFault};

pub use self::input::NewProduct;

pub(super) fn routes() -> OpenApiRouter<Edge> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(read))
        .merge(seller::routes())
}

/// A product in a list.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ProductCard {
    /// The id.
    #[schema(example = "TV-55-OLED")]
    id: String,
    /// Its name in addresses.
    #[schema(example = "sharp-55-oled")]
    slug: String,
    /// What is put into carts.
    #[schema(example = "TV-55-OLED")]
    sku: String,
    /// Its name for people.
    #[schema(example = "Sharp 55″ OLED")]
    name: String,
    /// Who makes it; may be empty.
    #[schema(example = "Sharp")]
    brand: String,
    /// The slug of its category.
    #[schema(example = "televisions")]
    category: String,
    /// What it costs, tax included.
    price: Money,
    /// What it costs for the moment, if less.
    #[serde(skip_serializing_if = "Option::is_none")]
    sale_price: Option<Money>,
    /// `in_stock`, `low` or `out_of_stock`.
    #[schema(example = "in_stock")]
    availability: &'static str,
    /// A picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "https://images.example.org/tv.jpg")]
    image: Option<String>,
}

/// A product of a list as JSON shows it.
#[must_use]
pub fn render_card(card: &Card) -> ProductCard {
    ProductCard {
        id: card.product.to_string(),
        slug: card.slug.as_ref().to_owned(),
        sku: card.sku.to_string(),
        name: card.name.as_ref().to_owned(),
        brand: card.brand.as_ref().to_owned(),
        category: card.category.as_ref().to_owned(),
        price: card.price.into(),
        sale_price: None,
        availability: card.product_availability.as_str(),
        image: card.image.as_deref().map(str::to_owned),
    }
}

/// A product in full.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Product)]
pub struct ProductBody {
    #[serde(flatten)]
    card: ProductCard,
    /// Plain text; blank lines separate paragraphs.
    #[schema(example = "Deep blacks.\n\nThin as a book.")]
    description: String,
    /// Typed by category.
    attributes: BTreeMap<String, AttributeBody>,
    /// Other SKUs of the same product.
    variants: Vec<VariantBody>,
    /// Pictures.
    #[schema(example = json!(["https://images.example.org/tv.jpg"]))]
    images: Vec<String>,
    /// Rises with every change.
    #[schema(example = 3, minimum = 1)]
    version: u64,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Attribute)]
#[serde(untagged)]
pub enum AttributeBody {
    /// Yes or no.
    Flag(bool),
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
    /// Several texts.
    Texts(Vec<String>),
}

impl From<&Attribute> for AttributeBody {
    fn from(attribute: &Attribute) -> Self {
        match attribute {
            Attribute::Flag(flag) => Self::Flag(*flag),
            Attribute::Number(number) => Self::Number(*number),
            Attribute::Text(text) => Self::Text(text.clone()),
            Attribute::Texts(texts) => Self::Texts(texts.clone()),
        }
    }
}

impl From<AttributeBody> for Attribute {
    fn from(body: AttributeBody) -> Self {
        match body {
            AttributeBody::Flag(flag) => Self::Flag(flag),
            AttributeBody::Number(number) => Self::Number(number),
            AttributeBody::Text(text) => Self::Text(text),
            AttributeBody::Texts(texts) => Self::Texts(texts),
        }
    }
}

/// Another SKU of a product.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Variant)]
pub struct VariantBody {
    /// Its SKU.
    #[schema(example = "TV-55-OLED-W")]
    sku: String,
    /// What tells it from the others.
    #[schema(example = json!({"colour": "white"}))]
    options: BTreeMap<String, String>,
    /// What it costs.
    price: Money,
    /// `in_stock`, `low` or `out_of_stock`.
    #[schema(example = "low")]
    availability: &'static str,
}

/// A product in full as JSON shows it. `variant_card` finds the card of a variant.
#[must_use]
pub fn render(
    card: &Card,
    details: &Details,
    version: u64,
    variant_card: impl Fn(&Sku) -> Option<Arc<Card>>,
) -> ProductBody {
    let variant = |variant: &Variant| VariantBody {
        sku: variant.sku.to_string(),
        options: variant.options.clone(),
        price: variant.price.unwrap_or(card.price).into(),
        availability: variant_card(&variant.sku).map_or("out_of_stock", |card| card.availability.as_str()),
    };
    ProductBody {
        card: render_card(card),
        description: details.description.clone(),
        attributes: details
            .attributes
            .iter()
            .map(|(name, value)| (name.clone(), value.into()))
            .collect(),
        variants: details.variants.iter().map(variant).collect(),
        images: details.images.clone(),
        version,
    }
}

/// One page of products.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = ProductPage)]
pub struct ProductPageBody {
    /// The products.
    items: Vec<ProductCard>,
    /// Where the next page starts; null at the end.
    #[schema(required, example = json!(null))]
    next_cursor: Option<String>,
    /// What the whole list can be narrowed by: brands, categories, prices, attributes, with counts.
    #[schema(
        value_type = Object,
        example = json!({
            "brands": [{"value": "Sharp", "count": 12}],
            "categories": [{"slug": "televisions", "name": "Televisions", "count": 12}],
            "price": {"min": 19900, "max": 249900, "currency": "EUR"},
            "attributes": [{"name": "display_diagonal", "count": 12, "values": [], "range": {"min": 32.0, "max": 77.0}}],
            "counted": 12, "complete": true
        })
    )]
    facets: Arc<FacetsBody>,
}

/// Facets, written as the view has them.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct FacetsBody(Facets);

/// What a list of products can be asked for, besides `attr.<name>=value` for any attribute: a text,
/// `true` or `false`, a number, or a range of numbers such as `40..55`.
#[derive(Debug, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "the view reads the same fields once they have this shape"
)]
pub struct ProductListQuery {
    /// Words to search for.
    #[schema(max_length = 200)]
    #[param(max_length = 200, example = "oled tv")]
    q: Option<String>,
    /// The slug of a category; those below it are included.
    #[schema(max_length = 200)]
    #[param(max_length = 200, example = "televisions")]
    category: Option<String>,
    /// The order; `relevance` unless you say otherwise.
    #[param(inline, example = "price")]
    sort: Option<SortBody>,
    /// The lowest price, minor units.
    #[schema(minimum = 0, maximum = 100_000_000_000_i64)]
    #[param(minimum = 0, maximum = 100_000_000_000_i64, example = 10000)]
    min_price: Option<i64>,
    /// The highest price, minor units.
    #[schema(minimum = 0, maximum = 100_000_000_000_i64)]
    #[param(minimum = 0, maximum = 100_000_000_000_i64, example = 99900)]
    max_price: Option<i64>,
    /// How many at most; 24 unless you say otherwise.
    #[schema(minimum = 1, maximum = 100)]
    #[param(minimum = 1, maximum = 100, example = 24)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    #[schema(max_length = 512)]
    #[param(max_length = 512)]
    cursor: Option<String>,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[schema(as = Sort)]
pub enum SortBody {
    /// Best match first.
    #[serde(rename = "relevance")]
    Relevance,
    /// Cheapest first.
    #[serde(rename = "price")]
    Price,
    /// Dearest first.
    #[serde(rename = "-price")]
    PriceDown,
    /// Newest first.
    #[serde(rename = "newest")]
    Newest,
}

/// List products
///
/// Narrowed further by `attr.<name>=<value>` for any attribute, and `attr.brand`: a text, `true` or
/// `false`, a number, or a range of numbers such as `40..55`, `40..` or `..55`; repeated, any of the
/// values will do.
#[utoipa::path(
    get, path = "/v1/products", tag = "Catalogue",
    operation_id = "list_products",
    params(ProductListQuery, PositionHeader),
    responses((
        status = 200, description = "One page, and what the whole list can be narrowed by.", body = ProductPageBody,
        headers(("Brown-Out" = String, description = "Only when there is too much to do: what was left out, \
            `facets` (then none are counted, and `complete` is false) or `suggestions` (of words spelled alike)."))
    ))
)]
async fn list(
    State(edge): State<Edge>,
    position: Position,
    RawQuery(asked): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wanted = read_query(asked.as_deref().unwrap_or_default())?;
    let age = position.wait_for_catalogue(&edge).await;
    let extras = edge.room.brown_out().extras();
    let page = edge.views.catalogue.list_with(&wanted, extras).await;
    let page = page.map_err(view_problem)?;
    let (facets, unlike) = (page.facets.clone(), page.unlike);
    let body = ProductPageBody {
        items: page.items.iter().map(|card| render_card(card)).collect(),
        next_cursor: page.next_cursor,
        facets: Arc::new(FacetsBody(facets.as_deref().cloned().unwrap_or_default())),
    };
    let mut answer = age.on(etag::public(&headers, &body, "products")?);
    overload::mark(&mut answer, facets.is_none(), unlike);
    Ok(answer)
}

/// What a list is asked for. Fields the schema knows are checked by it; attributes are free.
fn read_query(asked: &str) -> Result<ProductQuery, Problem> {
    let pairs = query::pairs(asked)?;
    let (attributes, fields): (Vec<_>, Vec<_>) = pairs
        .iter()
        .cloned()
        .partition(|(name, _)| name.len() > 5 && name.starts_with("attr."));
    for (name, value) in &attributes {
        if name.contains('\0') || value.contains('\0') {
            return Err(Problem::invalid_at("/attr", "must not contain U+0000"));
        }
    }
    query::read::<ProductListQuery>(fields)?;
    let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    ProductQuery::parse(pairs)
        .map_err(|bad| Problem::invalid(vec![Fault::new(format!("/{}", bad.parameter), bad.reason)]))
}

/// Read a product
///
/// By its id or by its slug. What is not published is not here.
#[utoipa::path(
    get, path = "/v1/products/{id}", tag = "Catalogue",
    operation_id = "read_product",
    params(("id" = String, Path, description = "The id or the slug.", example = "TV-55-OLED"), PositionHeader),
    responses((status = 200, description = "The product.", body = ProductBody))
)]
async fn read(
    State(edge): State<Edge>,
    position: Position,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let age = position.wait_for_catalogue(&edge).await;
    let catalogue = &edge.views.catalogue;
    let card = catalogue
        .product(&id)
        .filter(|card| card.published)
        .ok_or_else(Problem::not_found)?;
    let row = catalogue
        .row(&card.sku)
        .await
        .map_err(view_problem)?
        .ok_or_else(Problem::not_found)?;
    let body = render(&card, &row.listing.details, card.version, |sku| {
        catalogue.card(sku)
    });
    Ok(age.on(etag::public(&headers, &body, &format!("product-{}", card.sku))?))
}

/// What a caller is told when a view does not answer.
#[must_use]
pub fn view_problem(fault: ViewFault) -> Problem {
    let cause = chain(&fault);
    match fault {
        ViewFault::BadCursor => {
            Problem::new(&kind::MALFORMED).detail("The cursor is not one that this list has given.")
        }
        ViewFault::Unreadable { .. } => Problem::internal(cause),
        _ => Problem::new(&kind::UNAVAILABLE)
            .retry_after(std::time::Duration::from_secs(1))
            .cause(cause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_asked_for_as_the_contract_says() {
        let good = read_query("q=tv&sort=-price&attr.colour=Black&attr.display_diagonal=40..55&min_price=1")
            .unwrap();
        assert_eq!(good.attributes.len(), 2);
        for (asked, status) in [
            ("sort=best", 422),
            ("min_price=-1", 422),
            ("min_price=x", 400),
            ("limit=0", 422),
            ("limit=101", 422),
            ("page=1", 422),
            ("attr.=x", 422),
            ("attr.colour=%00", 422),
            ("q=a&q=b", 422),
        ] {
            let problem = read_query(asked).unwrap_err();
            assert_eq!(problem.status().as_u16(), status, "{asked}");
        }
    }
}

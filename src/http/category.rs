//! The tree of categories.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Edge;
use super::etag;
use super::position::Position;
use super::problem::Problem;
use crate::views::CategoryNode;

pub(super) fn routes() -> OpenApiRouter<Edge> {
    OpenApiRouter::new().routes(routes!(list))
}

/// A category with how many products are in it and below it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Category)]
pub struct CategoryBody {
    /// Its name in addresses.
    #[schema(example = "televisions")]
    slug: String,
    /// Its name for people.
    #[schema(example = "Televisions")]
    name: String,
    /// Published products in it and below it.
    #[schema(example = 214, minimum = 0)]
    count: u64,
    /// What lies below it.
    #[schema(no_recursion, example = json!([]))]
    children: Vec<Self>,
}

impl From<&CategoryNode> for CategoryBody {
    fn from(node: &CategoryNode) -> Self {
        Self {
            slug: node.slug.clone(),
            name: node.name.clone(),
            count: node.count,
            children: node.children.iter().map(Self::from).collect(),
        }
    }
}

/// The whole tree.
#[derive(Debug, Serialize, ToSchema)]
pub struct Categories {
    /// The roots.
    items: Vec<CategoryBody>,
    /// Always null: the tree is one page.
    #[schema(required, example = json!(null))]
    next_cursor: Option<String>,
}

/// List the categories
#[utoipa::path(
    get, path = "/v1/categories", tag = "Catalogue",
    operation_id = "list_categories",
    params(super::openapi::PositionHeader),
    responses((status = 200, description = "The tree, with counts.", body = Categories))
)]
async fn list(State(edge): State<Edge>, position: Position, headers: HeaderMap) -> Result<Response, Problem> {
    let age = position.wait_for_catalogue(&edge).await;
    let nodes: Arc<[CategoryNode]> = edge.views.catalogue.categories();
    let body = Categories {
        items: nodes.iter().map(CategoryBody::from).collect(),
        next_cursor: None,
    };
    Ok(age.on(etag::public(&headers, &body, "categories")?))
}

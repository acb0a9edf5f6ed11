//! What operators see and do: the tree, the invariants, roles.

use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Edge;
use super::auth::{Operator, account_problem};
use super::body::Json;
use super::problem::Problem;
use super::query::Query;
use crate::accounts::Role;
use crate::inspect::tree::{self, Cursor, Sort, TreeQuery};

/// How many actors a page shows unless asked.
const PAGE: usize = 24;

pub(super) fn routes() -> OpenApiRouter<Edge> {
    OpenApiRouter::new()
        .routes(routes!(actors))
        .routes(routes!(invariants))
        .routes(routes!(grant))
}

/// What to show of the tree.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ActorQuery {
    /// Only actors of this kind.
    #[schema(example = "shard", max_length = 64)]
    kind: Option<String>,
    /// Only actors of this node.
    #[schema(example = "node-1", max_length = 64)]
    node: Option<String>,
    /// In which order.
    sort: Option<TreeOrder>,
    /// How many.
    #[schema(example = 24, minimum = 1, maximum = 100)]
    limit: Option<usize>,
    /// Where the page begins.
    #[schema(example = "0~node-1/shard/7", max_length = 512)]
    cursor: Option<String>,
    /// `kind`: sums by kind instead of actors.
    aggregate: Option<Aggregate>,
}

/// In which order actors are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TreeOrder {
    /// By path: parents before children.
    Path,
    /// The fullest mailbox first.
    Mailbox,
    /// The most messages handled first.
    Handled,
    /// The most often restarted first.
    Restarts,
    /// The longest waiting first.
    Oldest,
}

/// By what figures are summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Aggregate {
    /// By kind of actor.
    Kind,
}

/// A role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoleName {
    /// Fills carts and places orders.
    Shopper,
    /// Keeps the catalogue and the stock, and sees orders to the door.
    Seller,
    /// Watches and steers the machine.
    Operator,
}

/// The supervision tree
///
/// Every actor of this node with its mailbox, its figures and its restarts; or sums by kind.
#[utoipa::path(
    get, path = "/ops/v1/tree", tag = "Operations",
    params(
        ("kind" = Option<String>, Query, description = "Only this kind.", example = "shard"),
        ("node" = Option<String>, Query, description = "Only this node.", example = "node-1"),
        ("sort" = inline(Option<TreeOrder>), Query, description = "path, mailbox, handled, restarts or oldest.", example = "mailbox"),
        ("limit" = Option<u8>, Query, description = "1 to 100.", example = 24),
        ("cursor" = Option<String>, Query, description = "Where the page begins.", example = "0~node-1/shard/7"),
        ("aggregate" = inline(Option<Aggregate>), Query, description = "kind: sums by kind.", example = "kind"),
    ),
    security(("bearer" = ["operator"]), ("session" = ["operator"])),
    responses((status = 200, description = "Actors, or sums.", body = Object,
        example = json!({"items": [{"path": "node-1/shard/7", "kind": "shard", "key": "7", "node": "node-1",
            "state": "running", "supervisor": "node-1", "children": 12, "mailbox": 0, "oldest_ms": 0,
            "handled": 42, "rate": 1.5, "p99_us": 64, "restarts": 0}], "next_cursor": null})))
)]
async fn actors(
    State(edge): State<Edge>,
    _: Operator,
    Query(query): Query<ActorQuery>,
) -> Result<Answer<Value>, Problem> {
    let now = edge.clock.instant();
    if query.aggregate.is_some() {
        return Ok(Answer(
            json!({ "items": tree::census(&edge.tree, now), "next_cursor": null }),
        ));
    }
    let sort = match query.sort {
        None | Some(TreeOrder::Path) => Sort::Path,
        Some(TreeOrder::Mailbox) => Sort::Mailbox,
        Some(TreeOrder::Handled) => Sort::Handled,
        Some(TreeOrder::Restarts) => Sort::Restarts,
        Some(TreeOrder::Oldest) => Sort::Oldest,
    };
    let after = match query.cursor.as_deref() {
        None => None,
        Some(text) => Some(
            Cursor::from_text(text)
                .ok_or_else(|| Problem::invalid_at("/cursor", "is no cursor of this list"))?,
        ),
    };
    let wanted = TreeQuery {
        kind: query.kind,
        node: query.node,
        sort,
        limit: query.limit.unwrap_or(PAGE),
        after,
    };
    Ok(Answer(json!(tree::page(&edge.tree, &wanted, now))))
}

/// The invariants
///
/// I1 to I9, checked for this request. `holds` is null where this build cannot check.
#[utoipa::path(
    get, path = "/ops/v1/invariants", tag = "Operations",
    security(("bearer" = ["operator"]), ("session" = ["operator"])),
    responses((status = 200, description = "Nine findings.", body = Object,
        example = json!({"items": [{"id": "I3", "holds": true, "checked_at": "2026-11-22T09:00:00.000Z",
            "figures": {"skus": 120, "on_hand": 4000, "held": 3, "sold": 10}}], "next_cursor": null})))
)]
async fn invariants(State(edge): State<Edge>, _: Operator) -> Answer<Value> {
    let items = edge.auditor.check().await;
    Answer(json!({ "items": items, "next_cursor": null }))
}

/// A role for an account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The account's e-mail address.
    #[schema(example = "ada@example.org", format = "email", max_length = 254)]
    email: String,
    /// The role.
    role: RoleName,
}

/// The roles of an account.
#[derive(Debug, Serialize, ToSchema)]
pub struct Granted {
    /// The account's e-mail address.
    #[schema(example = "ada@example.org", format = "email")]
    email: String,
    /// What it may do now.
    #[schema(example = json!(["shopper", "seller"]))]
    roles: Vec<&'static str>,
}

/// Give a role to an account
#[utoipa::path(
    put, path = "/ops/v1/roles", tag = "Operations", request_body = Grant,
    security(("bearer" = ["operator"]), ("session" = ["operator"])),
    responses(
        (status = 200, description = "The account's roles now.", body = Granted),
        (status = 404, description = "There is no such account."),
    )
)]
async fn grant(State(edge): State<Edge>, _: Operator, body: Json<Grant>) -> Result<Answer<Granted>, Problem> {
    let Grant { email, role } = body.value;
    let role = match role {
        RoleName::Shopper => Role::Shopper,
        RoleName::Seller => Role::Seller,
        RoleName::Operator => Role::Operator,
    };
    let roles = edge.accounts.grant(&email, role).await.map_err(account_problem)?;
    Ok(Answer(Granted {
        email,
        roles: roles.iter().map(|role| role.name()).collect(),
    }))
}

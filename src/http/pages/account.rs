//! `/account` and `/account/orders`.

use axum::response::Response;

use super::answer::private;
use super::link::with_query;
use super::model::{AccountOrdersPage, AccountPage, FieldErrors};
use super::order::summaries;
use super::visit::Visit;
use crate::accounts::{Caller, Role};
use crate::http::auth::account_problem;
use crate::http::problem::{Problem, kind};
use crate::http::product::view_problem;
use crate::views::{OrderPage, ViewFault};

/// How many orders the account page shows.
const RECENT: usize = 3;
/// How many a page of orders shows.
const ORDERS: usize = 12;

/// Shows the account.
pub(super) async fn show(visit: Visit) -> Result<Response, Problem> {
    private(&page(&visit, FieldErrors::default()).await?)
}

/// The page of an account.
///
/// # Errors
/// 401 without one, 503.
pub(super) async fn page(visit: &Visit, errors: FieldErrors) -> Result<AccountPage, Problem> {
    let member = visit.member()?;
    let recent = orders_of(visit, member, None, RECENT).await?;
    Ok(AccountPage {
        shell: visit.shell("Your account").await,
        recent: summaries(visit, &recent.items).await,
        errors,
    })
}

/// Shows the orders of the visitor; a guest has some too.
pub(super) async fn orders(visit: Visit) -> Result<Response, Problem> {
    let shopper = visit.known()?;
    if !shopper.has(Role::Shopper) {
        return Err(Problem::new(&kind::FORBIDDEN));
    }
    let cursor = visit.asked_for("cursor");
    let cursor = (!cursor.is_empty()).then_some(cursor.as_str());
    let found = orders_of(&visit, shopper, cursor, ORDERS).await?;
    let page = AccountOrdersPage {
        shell: visit.shell("Your orders").await,
        orders: summaries(&visit, &found.items).await,
        next_href: found
            .next_cursor
            .map(|cursor| with_query("/account/orders", [("cursor", cursor.as_str())])),
    };
    private(&page)
}

async fn orders_of(
    visit: &Visit,
    caller: &Caller,
    cursor: Option<&str>,
    limit: usize,
) -> Result<OrderPage, Problem> {
    let edge = visit.edge();
    let identities = edge.accounts.identities(caller.customer_id).await;
    let identities = identities.map_err(account_problem)?;
    visit.wait_for_orders().await;
    match edge.views.orders.orders_of(&identities, cursor, limit).await {
        // A page that is no more is the first one.
        Err(ViewFault::BadCursor) => edge.views.orders.orders_of(&identities, None, limit).await,
        found => found,
    }
    .map_err(view_problem)
}

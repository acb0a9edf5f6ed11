//! Whether the node lives, whether it can serve, and its figures.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json as Answer;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Edge;
use super::exchange::Exchange;
use super::problem::{Problem, kind};
use crate::inspect::process;

pub(super) fn routes() -> OpenApiRouter<Edge> {
    OpenApiRouter::new()
        .routes(routes!(health))
        .routes(routes!(readiness))
        .routes(routes!(figures))
}

/// What the node waits for before it can serve, and again when it drains. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeSet<&'static str>>>);

impl Readiness {
    /// Notes that `what` is missing.
    pub fn miss(&self, what: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(what);
    }

    /// Notes that `what` is there.
    pub fn have(&self, what: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(what);
    }

    /// What is missing.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .copied()
            .collect()
    }
}

/// Whether the disk of the database has room for what is to be kept. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Storage(Arc<AtomicBool>);

impl Storage {
    /// Notes how it is.
    pub fn set_full(&self, full: bool) {
        self.0.store(full, Relaxed);
    }

    /// Whether there is no room.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// How the node is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// Is the node alive
#[utoipa::path(
    get, path = "/healthz", tag = "Operations",
    responses((status = 200, description = "It answers.", body = Health))
)]
async fn health() -> Answer<Health> {
    Answer(Health { status: "ok" })
}

/// Can the node serve
#[utoipa::path(
    get, path = "/readyz", tag = "Operations",
    responses(
        (status = 200, description = "It can.", body = Health),
        (status = 503, description = "It cannot yet, or not any more; `missing` says what it waits for."),
    )
)]
async fn readiness(State(edge): State<Edge>) -> Result<Answer<Health>, Problem> {
    let missing = edge.readiness.missing();
    if missing.is_empty() {
        Ok(Answer(Health { status: "ok" }))
    } else {
        Err(Problem::new(&kind::NOT_READY)
            .detail(format!("The node waits for: {}.", missing.join(", ")))
            .member("missing", missing)
            .retry_after(Duration::from_secs(1)))
    }
}

/// The node's figures
///
/// Prometheus text. Open on loopback only, unless configured.
#[utoipa::path(
    get, path = "/metrics", tag = "Operations",
    responses(
        (status = 200, description = "The figures.", body = String, content_type = "text/plain", example = "http_requests_total{route=\"/v1/cart\"} 1"),
        (status = 404, description = "Not for this address."),
    )
)]
async fn figures(State(edge): State<Edge>, request: Request) -> Result<Response, Problem> {
    let exchange = Exchange::of(request.extensions());
    let near = exchange.is_some_and(Exchange::is_near);
    match &edge.metrics {
        Some(metrics) if near || edge.settings.open_metrics => {
            edge.room.gauge();
            let text = metrics.render() + &process::figures();
            Ok((
                [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
                text,
            )
                .into_response())
        }
        _ => Err(Problem::not_found()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_ready_when_nothing_is_missing() {
        let readiness = Readiness::default();
        readiness.miss("shards");
        readiness.miss("catalogue");
        assert_eq!(readiness.missing(), ["catalogue", "shards"]);
        readiness.have("shards");
        readiness.have("catalogue");
        assert!(readiness.missing().is_empty());
    }
}

//! What a node does now and then: removes what has expired, sums up what was measured.

use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::sync::CancellationToken;

use crate::accounts::Accounts;
use crate::clock::Clock;
use crate::journal::Journal;

/// How often what has expired is removed.
const SWEEP: Duration = Duration::from_secs(300);
/// How often the samples of metrics are summed up.
const SUM_UP: Duration = Duration::from_secs(5);
/// How long an idempotency key is remembered: the contract says 24 hours at least.
const REMEMBER_MS: i64 = 48 * 3_600_000;

/// Removes what has expired, now and then.
///
/// The recorder keeps every sample of a histogram until somebody looks or it is told to sum up; so it is
/// told to, whether anybody looks or not.
pub(super) async fn run(
    clock: Clock,
    accounts: Arc<Accounts>,
    journal: Arc<dyn Journal>,
    metrics: Option<PrometheusHandle>,
    stop: CancellationToken,
) {
    let mut due = clock.instant() + SWEEP;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.sleep(SUM_UP) => {}
        }
        if let Some(metrics) = &metrics {
            metrics.run_upkeep();
        }
        if clock.instant() < due {
            continue;
        }
        due = clock.instant() + SWEEP;
        if let Err(error) = accounts.sweep().await {
            tracing::warn!(%error, "expired accounts and sessions could not be removed; trying again later");
        }
        let before = crate::domain::Millis(clock.now().0 - REMEMBER_MS);
        match journal.forget(before, 10_000).await {
            Ok(0) => {}
            Ok(forgotten) => tracing::debug!(forgotten, "old idempotency keys were forgotten"),
            Err(fault) => {
                tracing::warn!(%fault, "old idempotency keys could not be forgotten; trying again later");
            }
        }
    }
}

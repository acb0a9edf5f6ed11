//! After the shopping: what the shop says about its own invariants.

use serde::{Deserialize, Serialize};

use super::LoadFault;
use super::client::{Call, Client};
use super::shopper::described;
use super::tally::Tally;

/// One invariant, as `GET /ops/v1/invariants` tells it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Invariant {
    /// `I1` to `I9`.
    pub id: String,
    /// `None`: this build cannot check it.
    pub holds: Option<bool>,
    /// What was counted.
    #[serde(default)]
    pub figures: serde_json::Value,
    /// Why it is broken or unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Deserialize)]
struct Invariants {
    items: Vec<Invariant>,
}

/// Asks for the invariants and counts each as a check.
pub async fn invariants(
    client: &mut Client,
    token: &str,
    tally: &Tally,
) -> Result<Vec<Invariant>, LoadFault> {
    const PATH: &str = "/ops/v1/invariants";
    let answer = client
        .send(&Call::get(PATH).bearer(token))
        .await
        .map_err(LoadFault::Unreachable)?;
    if answer.status.as_u16() != 200 {
        return Err(LoadFault::Unaudited(described(&answer)));
    }
    let found: Invariants = answer
        .json()
        .map_err(|fault| LoadFault::Unaudited(fault.to_string()))?;
    for invariant in &found.items {
        tally.check("invariant", invariant.holds != Some(false), || {
            let reason = invariant.reason.as_deref().unwrap_or("no reason given");
            format!("{}: {reason} {}", invariant.id, invariant.figures)
        });
    }
    Ok(found.items)
}

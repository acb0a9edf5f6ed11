//! Where the sandbox keeps its intents: PostgreSQL, or memory for simulations.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;

use super::intent::Intent;
use crate::domain::payment::IntentId;
use crate::domain::{Currency, Millis};

/// The books could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BooksFault {
    /// The database said no.
    #[error("the sandbox's books failed")]
    Database(#[source] sqlx::Error),
    /// The database did not answer in time.
    #[error("the sandbox's books did not answer within {0:?}")]
    Late(Duration),
    /// A row cannot be read.
    #[error("a row of the sandbox's books cannot be read: {0}")]
    Unreadable(String),
}

/// What went through the sandbox, in one currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SandboxFigures {
    /// The currency.
    pub currency: Currency,
    /// Intents from which money was taken.
    pub captures: u64,
    /// What was taken, minor units.
    pub captured: i64,
    /// Refunds.
    pub refunds: u64,
    /// What was given back, minor units.
    pub refunded: i64,
}

/// The sandbox's books.
#[async_trait]
pub trait SandboxBooks: Send + Sync + std::fmt::Debug + 'static {
    /// The entries of these intents; those never heard of are missing.
    async fn read(&self, intents: &[IntentId]) -> Result<Vec<Intent>, BooksFault>;

    /// Writes entries whose version was raised by one. Those that somebody else has changed since
    /// they were read are not written; the others are named.
    async fn write(&self, intents: &[Intent], now: Millis) -> Result<Vec<IntentId>, BooksFault>;

    /// What went through, by currency.
    async fn figures(&self) -> Result<Vec<SandboxFigures>, BooksFault>;
}

/// Books in memory.
#[derive(Debug, Default)]
pub struct MemoryBooks(Mutex<BTreeMap<IntentId, Intent>>);

impl MemoryBooks {
    /// Every intent, in the order of their ids: for whoever audits a simulation.
    #[must_use]
    pub fn all(&self) -> Vec<Intent> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.values().cloned().collect()
    }
}

#[async_trait]
impl SandboxBooks for MemoryBooks {
    async fn read(&self, intents: &[IntentId]) -> Result<Vec<Intent>, BooksFault> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(intents.iter().filter_map(|id| known.get(id).cloned()).collect())
    }

    async fn write(&self, intents: &[Intent], _: Millis) -> Result<Vec<IntentId>, BooksFault> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut written = Vec::with_capacity(intents.len());
        for intent in intents {
            if known.get(&intent.id).map_or(0, |old| old.version) + 1 == intent.version {
                known.insert(intent.id, intent.clone());
                written.push(intent.id);
            }
        }
        Ok(written)
    }

    async fn figures(&self) -> Result<Vec<SandboxFigures>, BooksFault> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut by_currency: Vec<SandboxFigures> = Vec::new();
        for intent in known.values().filter(|intent| intent.captured > 0) {
            let currency = intent.amount.currency;
            let index = by_currency
                .iter()
                .position(|figures| figures.currency == currency)
                .unwrap_or_else(|| {
                    by_currency.push(SandboxFigures {
                        currency,
                        captures: 0,
                        captured: 0,
                        refunds: 0,
                        refunded: 0,
                    });
                    by_currency.len() - 1
                });
            let figures = &mut by_currency[index];
            figures.captures += 1;
            figures.captured += intent.captured;
            figures.refunds += u64::try_from(intent.refunds.len()).unwrap_or(u64::MAX);
            figures.refunded += intent.refunds.iter().map(|(_, amount)| amount).sum::<i64>();
        }
        Ok(by_currency)
    }
}

//! Moves the units of an order: holds, commits, sells, releases and ships each of its lines, and
//! asks the order about holds whose time is up.
//!
//! | The order says | asked of each line | reported |
//! |---|---|---|
//! | placed | hold | every line held, or not |
//! | commit asked | commit | every hold committed, or not |
//! | confirmed | sell | |
//! | cancelled | release | |
//! | shipped | ship | |
//!
//! Events of one order come one after the other, so a release never runs beside its hold; should it
//! overtake it all the same (a redriven dead letter), it leaves a tombstone and the hold is refused.

use async_trait::async_trait;
use futures_util::future::join_all;

use super::errand::{Errands, fault, is_any, read};
use crate::cluster::{AskError, Region};
use crate::domain::order::{self, Draft, HOLD_SECONDS, Order};
use crate::domain::planted::{self, Bug};
use crate::domain::stock::{Change, Command, HoldKey, Levels, Refusal, Stock};
use crate::domain::{Kind, Millis};
use crate::journal::Recorded;
use crate::relay::{Consumer, ReadFault};

/// How long after it was asked a hold may still be committed. The order has long given up by then.
const COMMIT_SECONDS: i64 = 3_600;

/// The worker.
#[derive(Debug)]
pub struct StockWorker {
    errands: Errands,
}

/// What became of one line.
type LineResult = Result<Levels, AskError<Refusal>>;

impl StockWorker {
    /// A worker that asks the stocks in `region`.
    #[must_use]
    pub const fn new(region: Region) -> Self {
        Self {
            errands: Errands::new(region, "stock"),
        }
    }

    /// Asks the same of every line at once.
    async fn each(
        &self,
        cause: &Recorded,
        draft: &Draft,
        not_after: Option<Millis>,
        command: impl Fn(HoldKey, u32) -> Command,
    ) -> Vec<LineResult> {
        let order = draft.order();
        let lines = draft.lines.iter().zip(0_u16..).map(|(line, number)| {
            let key = HoldKey { order, line: number };
            let command = command(key, line.quantity);
            let stock = line.sku.stock();
            async move {
                self.errands
                    .send::<Stock>(cause, number, &stock, command, not_after)
                    .await
                    .map(|answer| answer.view)
            }
        });
        join_all(lines).await
    }

    async fn hold(&self, cause: &Recorded, draft: &Draft, at: Millis) -> Result<(), ReadFault> {
        let lapses_at = at.plus_seconds(HOLD_SECONDS);
        let results = self
            .each(cause, draft, Some(lapses_at), |key, quantity| Command::Hold {
                key,
                quantity,
                lapses_at,
            })
            .await;
        // Sold out; ended, because the order was cancelled meanwhile; or so late that it was.
        let no = |refusal: &Refusal| matches!(refusal, Refusal::OutOfStock { .. } | Refusal::Ended);
        let held = verdict(results, no, "a line could not be held")?;
        self.errands
            .report(cause, &cause.entity, order::Command::RecordHolds { held })
            .await
    }

    async fn commit(&self, cause: &Recorded, draft: &Draft, at: Millis) -> Result<(), ReadFault> {
        let not_after = Some(at.plus_seconds(COMMIT_SECONDS));
        let results = self
            .each(cause, draft, not_after, |key, _| Command::Commit(key))
            .await;
        let no = |refusal: &Refusal| matches!(refusal, Refusal::Ended | Refusal::UnknownHold);
        let committed = verdict(results, no, "a hold could not be committed")?;
        self.errands
            .report(cause, &cause.entity, order::Command::RecordCommit { committed })
            .await
    }

    /// Asks of every line what has to happen in the end; `done` names the refusals that say it has.
    async fn finish(
        &self,
        cause: &Recorded,
        command: impl Fn(HoldKey) -> Command,
        done: impl Fn(&Refusal) -> bool,
        what: &str,
    ) -> Result<(), ReadFault> {
        let placed = self.errands.order(&cause.entity).await?;
        for result in self.each(cause, &placed.draft, None, |key, _| command(key)).await {
            match result {
                Err(AskError::Refused(refusal)) if done(&refusal) => {}
                Err(error) => return Err(fault(what, error)),
                Ok(_) => {}
            }
        }
        Ok(())
    }

    /// A hold's time is up: only the order knows whether it still wants it.
    async fn lapsed(&self, event: &Recorded, key: HoldKey) -> Result<(), ReadFault> {
        let order = self.errands.find_order(&key.order.entity()).await?;
        let wanted = order.placed().is_some_and(order::Placed::wants_holds);
        if wanted && !planted::is(Bug::HoldLapsesDuringCapture) {
            return Ok(());
        }
        tracing::info!(stock = %event.entity, order = %key.order, line = key.line, "a hold nobody wants any more is released");
        match self
            .errands
            .send::<Stock>(event, "release", &event.entity, Command::Release(key), None)
            .await
        {
            Ok(_) | Err(AskError::Refused(Refusal::Ended)) => Ok(()),
            Err(error) => Err(fault("a lapsed hold could not be released", error)),
        }
    }
}

/// Whether every line went well. One clear no decides for all, whatever else is still unknown: the
/// order is then cancelled, and every line released, held or not.
fn verdict(results: Vec<LineResult>, no: impl Fn(&Refusal) -> bool, what: &str) -> Result<bool, ReadFault> {
    let mut trouble = None;
    for result in results {
        match result {
            Ok(_) => {}
            Err(AskError::Expired) => return Ok(false),
            Err(AskError::Refused(refusal)) if no(&refusal) => return Ok(false),
            Err(error) => trouble = Some(fault(what, error)),
        }
    }
    trouble.map_or(Ok(true), Err)
}

#[async_trait]
impl Consumer for StockWorker {
    fn name(&self) -> &'static str {
        "stock"
    }

    fn wants(&self, kind: Kind) -> bool {
        matches!(kind, Kind::Order | Kind::Stock)
    }

    fn concerns(&self, event: &Recorded) -> bool {
        match event.entity.kind() {
            Kind::Stock => is_any(event, &["lapsed"]),
            _ => is_any(
                event,
                &["placed", "commit_asked", "confirmed", "cancelled", "shipped"],
            ),
        }
    }

    async fn handle(&self, event: &Recorded) -> Result<(), ReadFault> {
        if event.entity.kind() == Kind::Stock {
            return match read::<Stock>(event)?.change {
                Change::Lapsed { key, .. } => self.lapsed(event, key).await,
                _ => Ok(()),
            };
        }
        match read::<Order>(event)? {
            order::Event::Placed { at, draft } => self.hold(event, &draft, at).await,
            order::Event::CommitAsked { at } => {
                let placed = self.errands.order(&event.entity).await?;
                self.commit(event, &placed.draft, at).await
            }
            order::Event::Confirmed { .. } => {
                // Ended: the order was cancelled since, and this is a repetition.
                let done = |refusal: &Refusal| *refusal == Refusal::Ended;
                self.finish(event, Command::Sell, done, "a line could not be sold")
                    .await
            }
            order::Event::Cancelled {
                reason: order::CancelReason::PaymentDeclined,
                ..
            } if planted::is(Bug::HoldKeptOnDecline) => Ok(()),
            order::Event::Cancelled { .. } => {
                // Nothing that was shipped is ever cancelled: no refusal is expected.
                self.finish(event, Command::Release, |_| false, "a line could not be released")
                    .await
            }
            order::Event::Shipped { .. } => {
                self.finish(event, Command::Ship, |_| false, "a line could not be shipped")
                    .await
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Shard;

    #[test]
    fn one_clear_no_decides_for_all() {
        let out = || Err(AskError::Refused(Refusal::OutOfStock { available: 0 }));
        let lost = || {
            Err(AskError::Unavailable {
                shard: Shard(0),
                reason: "it recovers".to_owned(),
            })
        };
        let odd = || Err(AskError::Refused(Refusal::NothingToHold));
        let no = |refusal: &Refusal| matches!(refusal, Refusal::OutOfStock { .. });
        let verdict = |results| verdict(results, no, "a line could not be held");
        let ok = || Ok(Levels::default());
        assert!(matches!(verdict(vec![ok(), ok()]), Ok(true)));
        assert!(matches!(verdict(vec![lost(), out()]), Ok(false)));
        assert!(matches!(verdict(vec![ok(), Err(AskError::Expired)]), Ok(false)));
        assert!(matches!(
            verdict(vec![ok(), lost()]),
            Err(ReadFault::Temporary { .. })
        ));
        assert!(matches!(
            verdict(vec![ok(), odd()]),
            Err(ReadFault::Lasting { .. })
        ));
    }
}

//! The invariants I1 to I9, checked on the live system for whoever asks.
//!
//! A *cut* is taken first: the committed head of every shard. What is newer than the cut, or on its
//! way at the cut, is no violation; it is counted. The views have their own snapshot; what they have
//! not seen yet is in flight too.
//!
//! Cheap enough to run always: positions are checked from where the last check ended (the journal
//! never changes behind that), and replay looks at a rotating sample.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::{Value, json};

use crate::actors::Hosted;
use crate::clock::Clock;
use crate::cluster::Region;
use crate::domain::cart::Cart;
use crate::domain::id::{CartId, OrderId};
use crate::domain::order::Order;
use crate::domain::product::Product;
use crate::domain::stock::Stock;
use crate::domain::{Entity, EntityId, Kind, Millis, Shard};
use crate::journal::{Journal, Position, Sequence, Survey, stored};
use crate::provider::Sandbox;
use crate::relay::Relay;
use crate::views::Views;

/// How many entities are replayed each time.
const SAMPLE: usize = 24;
/// Entities with more events than this are replayed from their first events only.
const REPLAY_LIMIT: i64 = 20_000;

/// One invariant and what was found.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// `I1` to `I9`.
    pub id: &'static str,
    /// Whether it holds; `null` if this build cannot check it.
    pub holds: Option<bool>,
    /// When it was checked.
    #[serde(serialize_with = "crate::inspect::as_time")]
    pub checked_at: Millis,
    /// What was counted.
    pub figures: Value,
    /// Why it does not hold or was not checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Checks the invariants.
#[derive(Debug)]
pub struct Auditor {
    region: Region,
    journal: Arc<dyn Journal>,
    views: Views,
    relay: Relay,
    sandbox: Arc<Sandbox>,
    clock: Clock,
    /// How far each shard's positions were found gapless.
    checked: Mutex<BTreeMap<Shard, Position>>,
}

/// What the sample showed.
#[derive(Clone, Debug, Default, Serialize)]
struct Sampled {
    replayed: u64,
    events: u64,
    differing: Vec<String>,
    stale: Vec<String>,
    carts: u64,
    orders: u64,
    checkouts: u64,
    checkouts_in_flight: u64,
    misplaced: Vec<String>,
    skipped: u64,
    /// Entities with an event that cannot be read: they serve nobody, and every reader has it among its
    /// dead letters, which I7 counts.
    unreadable: Vec<String>,
}

type Failed = String;

impl Auditor {
    /// An auditor of this node.
    #[must_use]
    pub fn new(
        region: &Region,
        journal: &Arc<dyn Journal>,
        views: &Views,
        relay: &Relay,
        sandbox: &Arc<Sandbox>,
        clock: &Clock,
    ) -> Self {
        Self {
            region: region.clone(),
            journal: Arc::clone(journal),
            views: views.clone(),
            relay: relay.clone(),
            sandbox: Arc::clone(sandbox),
            clock: clock.clone(),
            checked: Mutex::default(),
        }
    }

    /// Checks all nine now.
    pub async fn check(&self) -> Vec<Finding> {
        let was_quiet = self.is_quiet();
        let survey = self.survey().await;
        let orphans = self.journal.orphans().await.map_err(|fault| fault.to_string());
        let sampled = self.sample(survey.as_ref().ok()).await;
        let views = self.views.audit().await.map_err(|fault| fault.to_string());
        let provider = self.sandbox.figures().await.map_err(|fault| fault.to_string());
        let relay = self.relay.figures().await.map_err(|fault| fault.to_string());
        // Only while nothing moves can books that are kept apart be compared to the cent.
        let quiet = was_quiet && self.is_quiet();

        vec![
            self.finding("I1", orphans, |figures| {
                let broken = (figures.orphans > 0)
                    .then(|| format!("{} remembered answers point at no committed event", figures.orphans));
                (json!(figures), broken)
            }),
            self.finding("I2", both(&views, provider), |(views, provider)| {
                let money = views.money;
                let net: i64 = provider.iter().map(|books| books.captured - books.refunded).sum();
                let drift = net - money.ledger_net;
                let broken = if !money.holds() {
                    Some("captures, refunds and the ledger disagree".to_owned())
                } else if drift != 0 && money.in_flight == 0 && quiet {
                    Some(format!("the provider's books and the ledger differ by {drift} minor units"))
                } else {
                    None
                };
                (json!({ "orders": money, "provider": provider, "drift": drift }), broken)
            }),
            self.finding("I3", views.clone(), |views| {
                let broken = (!views.stock.holds()).then(|| "stock levels that cannot be".to_owned());
                (json!(views.stock), broken)
            }),
            self.finding("I4", sampled.clone(), |sampled| {
                let broken = (!sampled.misplaced.is_empty())
                    .then(|| format!("orders that are not their cart's: {}", sampled.misplaced.join(", ")));
                let figures = json!({
                    "carts": sampled.carts,
                    "orders": sampled.orders,
                    "checkouts": sampled.checkouts,
                    "in_flight": sampled.checkouts_in_flight,
                });
                (figures, broken)
            }),
            self.finding("I5", both(&survey, sampled.clone()), |(survey, sampled)| {
                let broken = if survey.gaps > 0 {
                    Some(format!("{} gaps in positions", survey.gaps))
                } else if survey.regressions > 0 {
                    Some(format!("{} events written under an older epoch than their predecessor", survey.regressions))
                } else if !sampled.differing.is_empty() {
                    Some(format!("replay differs from what is served: {}", sampled.differing.join(", ")))
                } else {
                    None
                };
                let figures = json!({
                    "events": survey.events,
                    "checked_now": survey.checked,
                    "gaps": survey.gaps,
                    "epoch_regressions": survey.regressions,
                    "replayed_entities": sampled.replayed,
                    "replayed_events": sampled.events,
                    "too_long_to_replay": sampled.skipped,
                    "unreadable": sampled.unreadable,
                });
                (figures, broken)
            }),
            self.unchecked("I6", "each subscriber's offsets are checked by the clients of `load` and in the tests"),
            self.finding("I7", both(&relay, survey.clone()), |(relay, _)| {
                let ahead: Vec<&str> = self.ahead();
                let broken = (!ahead.is_empty()).then(|| format!("readers ahead of the journal: {}", ahead.join(", ")));
                let in_flight: u64 = relay.readers.iter().map(|reader| reader.lag).sum();
                (json!({ "readers": relay.readers, "dead_letters": relay.dead_letters, "in_flight": in_flight }), broken)
            }),
            self.finding("I8", sampled, |sampled| {
                let broken = (!sampled.stale.is_empty())
                    .then(|| format!("entities that served less than was committed: {}", sampled.stale.join(", ")));
                (json!({ "entities": sampled.replayed }), broken)
            }),
            self.finding("I9", views, |views| {
                let broken = (!views.books.holds()).then(|| "the books do not add up".to_owned());
                (json!(views.books), broken)
            }),
        ]
    }

    fn finding<T>(
        &self,
        id: &'static str,
        found: Result<T, Failed>,
        judge: impl FnOnce(T) -> (Value, Option<String>),
    ) -> Finding {
        let checked_at = self.clock.now();
        match found {
            Ok(found) => {
                let (figures, broken) = judge(found);
                metrics::gauge!("globalshop_invariant_holds", "id" => id).set(if broken.is_none() {
                    1.0
                } else {
                    0.0
                });
                Finding {
                    id,
                    holds: Some(broken.is_none()),
                    checked_at,
                    figures,
                    reason: broken,
                }
            }
            Err(failed) => Finding {
                id,
                holds: None,
                checked_at,
                figures: json!({}),
                reason: Some(failed),
            },
        }
    }

    fn unchecked(&self, id: &'static str, why: &str) -> Finding {
        Finding {
            id,
            holds: None,
            checked_at: self.clock.now(),
            figures: json!({}),
            reason: Some(why.to_owned()),
        }
    }

    /// Whether no reader of the relay has anything to do.
    fn is_quiet(&self) -> bool {
        self.relay
            .readers()
            .iter()
            .all(|reader| reader.lag == 0 && reader.in_flight == 0)
    }

    /// Readers that claim to have handled more than there is.
    fn ahead(&self) -> Vec<&'static str> {
        self.relay
            .readers()
            .iter()
            .filter(|reader| reader.ahead)
            .map(|reader| reader.name)
            .collect()
    }

    /// Checks every position that was not checked before.
    async fn survey(&self) -> Result<Survey, Failed> {
        let from: Vec<(Shard, Position)> = {
            let checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
            let start = |shard| (shard, checked.get(&shard).copied().unwrap_or_default());
            self.journal.shards().all().map(start).collect()
        };
        let survey = self
            .journal
            .survey(&from)
            .await
            .map_err(|fault| fault.to_string())?;
        if survey.gaps == 0 && survey.regressions == 0 {
            let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
            checked.extend(survey.heads.iter().copied());
        }
        Ok(survey)
    }

    /// Replays entities drawn at random positions, and compares with what is served.
    async fn sample(&self, survey: Option<&Survey>) -> Result<Sampled, Failed> {
        let mut sampled = Sampled::default();
        let heads: Vec<(Shard, Position)> = survey
            .map(|survey| {
                survey
                    .heads
                    .iter()
                    .copied()
                    .filter(|(_, head)| head.0 > 0)
                    .collect()
            })
            .unwrap_or_default();
        let mut drawn = std::collections::BTreeSet::new();
        for _ in 0..SAMPLE.min(heads.len() * 4) {
            let index = usize::try_from(self.clock.random_below(heads.len() as u64)).unwrap_or(0);
            let (shard, head) = heads[index];
            let before =
                i64::try_from(self.clock.random_below(u64::try_from(head.0).unwrap_or(1))).unwrap_or(0);
            let events = self
                .journal
                .read(shard, Position(before), 1)
                .await
                .map_err(|fault| fault.to_string())?;
            drawn.extend(events.into_iter().map(|event| event.entity));
        }
        for entity in drawn {
            match entity.kind() {
                Kind::Cart => self.replay_cart(&entity, &mut sampled).await?,
                Kind::Order => self.replay_order(&entity, &mut sampled).await?,
                Kind::Product => drop(self.replay::<Product>(&entity, &mut sampled).await?),
                Kind::Stock => drop(self.replay::<Stock>(&entity, &mut sampled).await?),
                Kind::Unknown => sampled.unreadable.push(entity.to_string()),
            }
        }
        Ok(sampled)
    }

    /// Replays one entity to the sequence it serves and compares; `None` if it was not possible now.
    async fn replay<E: Hosted>(&self, entity: &EntityId, sampled: &mut Sampled) -> Result<Option<E>, Failed> {
        // What is committed before the read must be in the read: that is I8.
        let before = self
            .journal
            .events(entity, Sequence(REPLAY_LIMIT))
            .await
            .map_err(|fault| fault.to_string())?;
        let committed = before.last().map_or(Sequence(0), |event| event.sequence);
        if committed.0 >= REPLAY_LIMIT {
            sampled.skipped += 1;
            return Ok(None);
        }
        if before.iter().any(|event| stored::decode::<E>(event).is_err()) {
            sampled.unreadable.push(entity.to_string());
            return Ok(None);
        }
        let served = self
            .region
            .read::<E>(entity)
            .await
            .map_err(|error| format!("{entity}: {error}"))?;
        if served.sequence < committed {
            sampled.stale.push(entity.to_string());
        }
        let events = self
            .journal
            .events(entity, served.sequence)
            .await
            .map_err(|fault| fault.to_string())?;
        let mut state = E::default();
        for (recorded, expected) in events.iter().zip(1..) {
            if recorded.sequence != Sequence(expected) {
                sampled.differing.push(format!("{entity} lacks event {expected}"));
                return Ok(None);
            }
            let event = stored::decode::<E>(recorded).map_err(|fault| fault.to_string())?;
            Entity::apply(&mut state, &event);
        }
        let replayed = serde_json::to_value(state.view()).map_err(|error| error.to_string())?;
        let shown = serde_json::to_value(&served.view).map_err(|error| error.to_string())?;
        if replayed != shown {
            sampled.differing.push(entity.to_string());
        }
        sampled.replayed += 1;
        sampled.events += events.len() as u64;
        Ok(Some(state))
    }

    /// Each checkout of a cart made its one order, or is about to.
    async fn replay_cart(&self, entity: &EntityId, sampled: &mut Sampled) -> Result<(), Failed> {
        let Some(cart) = self.replay::<Cart>(entity, sampled).await? else {
            return Ok(());
        };
        sampled.carts += 1;
        let Ok(id) = entity.key().parse::<CartId>() else {
            return Err(format!("{entity} has no cart id"));
        };
        for number in 1..=cart.checkouts.min(20) {
            let order = OrderId::derive(id, number).entity();
            let placed = self
                .region
                .read::<Order>(&order)
                .await
                .map_err(|error| format!("{order}: {error}"))?;
            sampled.checkouts += 1;
            sampled.checkouts_in_flight += u64::from(placed.view.placed().is_none());
        }
        Ok(())
    }

    /// An order is the order of the cart and checkout it says.
    async fn replay_order(&self, entity: &EntityId, sampled: &mut Sampled) -> Result<(), Failed> {
        let Some(order) = self.replay::<Order>(entity, sampled).await? else {
            return Ok(());
        };
        sampled.orders += 1;
        let own = order.placed().map(|placed| placed.draft.order().entity());
        if own.is_some_and(|own| own != *entity) {
            sampled.misplaced.push(entity.to_string());
        }
        Ok(())
    }
}

fn both<A: Clone, B>(one: &Result<A, Failed>, other: Result<B, Failed>) -> Result<(A, B), Failed> {
    Ok((one.clone()?, other?))
}

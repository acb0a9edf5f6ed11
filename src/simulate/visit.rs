//! What else a shopper does: as a guest who signs in, as somebody with too much in the cart, in a hurry,
//! under an idempotency key; and what the seller does meanwhile.

use std::time::Duration;

use super::plan::Sale;
use super::shopper::{No, QUANTITY_LIMIT, Shopper};
use crate::actors::Hosted;
use crate::cluster::{Answer, Ask};
use crate::domain::Money;
use crate::domain::cart::{self, Cart};
use crate::domain::id::Sku;
use crate::domain::order::{self, Canceller, Order};
use crate::domain::payment::RefundId;
use crate::domain::product::{self, Details, Product};
use crate::domain::{EntityId, Millis};
use crate::journal::{Journal as _, Remember, RequestKey};

/// What everybody asks for under a key; what is in it does not matter here.
const BODY: [u8; 32] = [7; 32];
/// The product the seller changes.
pub(super) const PRODUCT: &str = "PLENTY-1";
/// The most SKUs a cart takes.
const LINES: u32 = 100;
const FULL: usize = LINES as usize;
/// How often, and how far apart, somebody looks whether an order has been paid.
const PAYMENT_LOOKS: u32 = 12;
const LOOK_PAUSE: Duration = Duration::from_millis(400);
/// How soon somebody in a hurry must have an answer, in milliseconds.
const HURRY: u64 = 40;

impl Shopper {
    /// A command as it is asked: one in six under an idempotency key, one in twelve only if it is done soon.
    pub fn question<E: Hosted>(&mut self, command: E::Command, twice: bool) -> Ask<E::Command> {
        let operation = self.operation();
        let mut ask = Ask::new(command).operation(operation);
        if self.world.clock.random_below(6) == 0 {
            let mut key = [0; 32];
            key[..16].copy_from_slice(operation.0.as_bytes());
            ask.remember = Some(Remember {
                key: RequestKey(key),
                body: BODY,
            });
        }
        // Of two that were asked at once, one may be late and the other not.
        if !twice && self.world.clock.random_below(12) == 0 {
            let soon = i64::try_from(self.world.clock.random_below(HURRY)).unwrap_or(0);
            ask.not_after = Some(Millis(self.world.clock.now().0 + soon));
        }
        ask
    }

    /// Whether the journal remembers that a question was answered.
    pub async fn is_remembered<C: Sync>(&self, question: &Ask<C>) -> bool {
        match question.remember {
            Some(remember) => matches!(self.world.journal.remembered(remember.key).await, Ok(Some(_))),
            None => false,
        }
    }

    /// What was answered under a key is remembered: by whom, and at which version.
    pub async fn check_remembered<E: Hosted>(
        &self,
        entity: &EntityId,
        question: &Ask<E::Command>,
        answer: &Answer<E::View>,
    ) {
        let (Some(remember), Some(operation)) = (question.remember, question.operation) else {
            return;
        };
        let led_to = self.world.auditor.led_to(operation);
        let fits = match self.world.journal.remembered(remember.key).await {
            Ok(Some(kept)) => {
                kept.body == remember.body
                    && kept.entity == *entity
                    && led_to.map_or(kept.sequence <= answer.sequence, |at| kept.sequence == at)
            }
            _ => false,
        };
        if !fits {
            self.accuse(
                "I4",
                format!("{entity} answered under a key, and the journal does not remember it like that"),
            );
        }
    }

    /// Nobody may be told that it is too late before it is, as long as clocks go right.
    pub fn expect_late(&self, entity: &EntityId, not_after: Option<Millis>) {
        let now = self.world.clock.now();
        let right = self.world.plan.clocks_off() == Duration::ZERO;
        if right && not_after.is_none_or(|limit| now <= limit) {
            self.accuse(
                "I4",
                format!("{entity} says at {now:?} that it is after {not_after:?}"),
            );
        }
    }

    pub async fn set_guest_line(&mut self, guest: usize, sku: &str, quantity: u32, price: i64) -> bool {
        let Ok(sku) = sku.parse::<Sku>() else {
            return false;
        };
        let command = cart::Command::SetLine {
            sku: sku.clone(),
            quantity,
            quoted: Money::eur(price),
        };
        let answer = self
            .ask::<Cart>(&self.guest_cart(guest).entity(), command, false)
            .await;
        if answer.is_ok() {
            self.guests[guest].lines.insert(sku, (quantity, price));
        }
        answer.is_ok()
    }

    /// The edge's way: read the guest's cart, take it over, give it up. `again`: it stopped before the last
    /// step, and begins anew; the other guest may have signed in meanwhile.
    pub async fn sign_in(&mut self, of: usize, again: bool) {
        let guest = self.guest_cart(of);
        for begun in 0..=u32::from(again) {
            let Some(left) = self.read::<Cart>(&guest.entity()).await else {
                return;
            };
            let version = left.view.version;
            if left.view.lines.is_empty() {
                return;
            }
            let absorb = cart::Command::Absorb {
                from: guest,
                version,
                lines: left.view.lines,
            };
            let Ok(answer) = self.ask::<Cart>(&self.cart().entity(), absorb, again).await else {
                return;
            };
            if begun == 0 {
                for (sku, (quantity, price)) in self.guests[of].lines.clone() {
                    if self.basket.lines.len() >= FULL && !self.basket.lines.contains_key(&sku) {
                        continue;
                    }
                    let line = self.basket.lines.entry(sku).or_insert((0, price));
                    line.0 = QUANTITY_LIMIT.min(line.0 + quantity);
                }
            }
            self.check_cart(&answer.view);
            if again && begun == 0 {
                match self.world.clock.random_below(4) {
                    0 | 1 => Box::pin(self.sign_in(1 - of, false)).await,
                    2 => self.check_out("tok_approve", false).await,
                    _ => {}
                }
                continue;
            }
            let mut changed = self.world.clock.random_below(4) == 0;
            if changed {
                // In another tab, meanwhile: what was not taken over must not be given up.
                let price = 500 + i64::try_from(version).unwrap_or(0);
                changed = self.set_guest_line(of, PRODUCT, 1, price).await;
            }
            let give_up = cart::Command::GiveUp { version };
            match self.ask::<Cart>(&guest.entity(), give_up, false).await {
                Ok(answer) => {
                    if answer.view.version == version + 1 && !changed {
                        self.guests[of].lines.clear();
                    }
                    if answer.view.lines.len() != self.guests[of].lines.len() {
                        self.accuse(
                            "I8",
                            format!("a guest's cart was given up: {:?}", answer.view.lines),
                        );
                    }
                }
                // The edge would try again at the next sign-in, and find that it was taken over.
                Err(_) => while !self.clear(Some(of)).await {},
            }
        }
    }

    /// Empties the cart, or a guest's.
    pub async fn clear(&mut self, of: Option<usize>) -> bool {
        let cart = of.map_or(self.cart(), |guest| self.guest_cart(guest));
        let cleared = self
            .ask::<Cart>(&cart.entity(), cart::Command::Clear, false)
            .await;
        if let Ok(answer) = &cleared {
            if let Some(guest) = of {
                self.guests[guest].lines.clear();
            } else {
                self.basket.lines.clear();
                self.check_cart(&answer.view);
            }
        }
        cleared.is_ok()
    }

    /// Puts one thing after the other into the cart until it takes no more.
    pub async fn fill(&mut self) {
        for n in 0..=LINES {
            let Ok(sku) = format!("THING-{n}").parse::<Sku>() else {
                return;
            };
            let command = cart::Command::SetLine {
                sku: sku.clone(),
                quantity: 1,
                quoted: Money::eur(100),
            };
            let full = self.basket.lines.len() >= FULL;
            match self.ask::<Cart>(&self.cart().entity(), command, false).await {
                Ok(answer) if !full => {
                    self.basket.lines.insert(sku, (1, 100));
                    self.check_cart(&answer.view);
                }
                Err(No::Refused(cart::Refusal::TooManyLines)) if full => break,
                Err(No::Expired) => {}
                ended => {
                    let ended = ended.map(|answer| answer.sequence);
                    self.accuse(
                        "I8",
                        format!("a line after {} was answered {ended:?}", self.basket.lines.len()),
                    );
                }
            }
        }
        // Into a full cart: what it has grows, and there is no room for more.
        let guest = usize::from(self.every(2));
        Box::pin(self.sign_in(guest, false)).await;
        while !self.clear(None).await {}
    }

    /// The seller's hands: what was done may be said again, by another click.
    pub async fn fulfil(&mut self) {
        for step in [order::Command::Pack, self.parcel(), order::Command::Deliver] {
            for _ in 0..=self.world.clock.random_below(3) / 2 {
                self.order(step.clone(), false).await;
            }
        }
    }

    /// Who cancels.
    pub fn canceller(&self) -> Canceller {
        if self.every(3) {
            let reason = "the kiln has burst".to_owned();
            Canceller::Seller { reason }
        } else {
            Canceller::Shopper
        }
    }

    /// How the last order is shipped.
    pub fn parcel(&self) -> order::Command {
        let number = if self.every(4) { "00341" } else { "00340" };
        order::Command::Ship {
            carrier: if self.every(5) { "UPS" } else { "DHL" }.to_owned(),
            tracking_number: number.to_owned(),
        }
    }

    /// Has money given back; every third time that is said again, by another click, and now and then more of it
    /// while that is under way.
    pub async fn refund(&mut self, amount: i64, twice: bool) {
        let Some(order) = self.last_order() else { return };
        let mut seen = self.read::<Order>(&order.entity()).await;
        // Two in three look first whether there is anything to give back.
        let patience = if self.every(3) { 0 } else { PAYMENT_LOOKS };
        for _ in 0..patience {
            let placed = seen.as_ref().and_then(|seen| seen.view.placed());
            if placed.is_none_or(|order| order.payment.refundable() > 0 || order.cancel_reason().is_some()) {
                break;
            }
            self.world.clock.sleep(LOOK_PAUSE).await;
            seen = self.read::<Order>(&order.entity()).await;
        }
        let left = seen.as_ref().and_then(|seen| seen.view.placed());
        let amount = match (amount, left) {
            (0, Some(order)) => order.payment.refundable().max(1),
            (amount, _) => amount.max(1),
        };
        // Often the same, so that only its id tells one refund from another; now and then of money that was never paid.
        let amount = if self.every(3) { 500 } else { amount };
        let mut amount = Money::eur(amount);
        if self.every(8)
            && let Ok(other) = "USD".parse()
        {
            amount.currency = other;
        }
        for part in 0..=self.world.clock.random_below(2) {
            let more = if self.every(2) { part } else { 0 };
            let refund = order::Command::Refund {
                refund: RefundId(self.operation().0),
                amount: Money {
                    amount: amount.amount + i64::try_from(more).unwrap_or(0),
                    ..amount
                },
                reason: format!("a scratch of {amount}"),
            };
            for _ in 0..=self.world.clock.random_below(3) / 2 {
                self.order(refund.clone(), twice).await;
            }
        }
    }

    /// The seller's way: read the product, change what was seen.
    pub async fn sell(&mut self, how: Sale, price: i64) {
        let Ok(sku) = PRODUCT.parse::<Sku>() else { return };
        let entity = sku.product();
        let Some(seen) = self.read::<Product>(&entity).await else {
            return;
        };
        let price = match &seen.view.listing {
            // Nothing but whether it is for sale is another.
            Some(listing) if self.every(3) => listing.price,
            _ => Money::eur(price),
        };
        // Some have not looked for a while.
        let old = seen.view.version > 1 && self.world.clock.random_below(4) == 0;
        let version = seen.view.version - u64::from(old);
        let details = match &seen.view.listing {
            // Nothing but the price is another.
            Some(listing) if self.every(2) => listing.details.clone(),
            _ => Details {
                slug: format!("thing-{}", price.amount),
                name: format!("Thing {}", price.amount),
                description: format!("It costs {}.", price.amount),
                ..details(sku)
            },
        };
        let details = Box::new(details);
        let command = match (how, &seen.view.listing) {
            (Sale::Import, _) => product::Command::Import { details, price },
            (_, None) => product::Command::Create { details, price },
            (Sale::Price, _) => product::Command::SetPrice { version, price },
            (Sale::Edit(published), _) => product::Command::Edit {
                version,
                details,
                price,
                published,
            },
        };
        // Refused when another seller was quicker: the auditor knows.
        let done = self.ask::<Product>(&entity, command, false).await;
        if let (Sale::Import, Some(listing), Ok(now)) = (how, &seen.view.listing, &done)
            && now.view.version == seen.view.version + 1
            // And not by another seller, who left nothing to do.
            && self.world.auditor.led_to(self.last_operation()) == Some(now.sequence)
            && !now.view.listing.as_ref().is_some_and(|now| {
                (&now.details.slug, now.published) == (&listing.details.slug, listing.published)
            })
        {
            self.accuse("I4", format!("an import moved {entity}, or put it on sale"));
        }
        if done.is_ok() && old && how != Sale::Import {
            self.accuse("I4", format!("{entity} was changed by who had not seen it"));
        }
    }
}

/// What little there is to say of a thing.
pub(super) fn details(sku: Sku) -> Details {
    Details {
        sku,
        slug: String::new(),
        name: String::new(),
        brand: String::new(),
        category: "things".to_owned(),
        part_number: None,
        description: String::new(),
        attributes: Default::default(),
        variants: vec![],
        images: vec![],
        gtins: vec![],
    }
}

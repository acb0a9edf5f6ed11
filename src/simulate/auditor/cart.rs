//! The auditor's book of carts: a list of lines each, as it was at every version.

use std::collections::BTreeMap;

use super::{Checked, broken};
use crate::domain::cart::{Cart, Checkout, Command, Event};
use crate::domain::id::{CartId, Sku};
use crate::domain::order::Draft;
use crate::domain::quote::ShippingMethod;
use crate::domain::{EntityId, Millis, Money};
use crate::journal::Recorded;

/// The most of one SKU, and the most SKUs.
const MOST: u32 = 99;
const LINES: usize = 100;

type Lines = Vec<(Sku, u32, Money)>;

#[derive(Default)]
struct Entry {
    /// The lines after each event; the first is before them all.
    versions: Vec<Lines>,
    checkouts: u64,
    last_checkout: Option<Checkout>,
    absorbed: Vec<(CartId, u64)>,
}

#[derive(Default)]
pub(super) struct CartBook(BTreeMap<EntityId, Entry>);

impl CartBook {
    /// Enters an event, and sees whether the cart could have done that, and looks so now.
    pub fn enter(&mut self, recorded: &Recorded, event: &Event, now: &Cart) -> Checked {
        let cart = &recorded.entity;
        let taken_over = match event {
            Event::Absorbed { from, version, .. } => self.lines(*from, *version),
            _ => vec![],
        };
        let entry = self.0.entry(cart.clone()).or_default();
        if entry.versions.is_empty() {
            entry.versions.push(vec![]);
        }
        let mut lines = entry.versions.last().cloned().unwrap_or_default();
        match event {
            Event::LineSet {
                sku,
                quantity,
                quoted,
            } => {
                let known = lines.iter_mut().find(|(what, ..)| what == sku);
                match known {
                    _ if *quantity == 0 => lines.retain(|(what, ..)| what != sku),
                    Some(line) => (line.1, line.2) = (*quantity, *quoted),
                    None => lines.push((sku.clone(), *quantity, *quoted)),
                }
            }
            Event::Cleared => lines.clear(),
            Event::Absorbed { from, version, .. } => {
                if entry.absorbed.contains(&(*from, *version)) {
                    return broken("I4", format!("{cart} took over the same cart twice"));
                }
                entry.absorbed.push((*from, *version));
                for (sku, quantity, quoted) in taken_over {
                    let room = lines.len() < LINES;
                    match lines.iter_mut().find(|(what, ..)| *what == sku) {
                        Some(line) => line.1 = MOST.min(line.1 + quantity),
                        None if room => lines.push((sku, quantity, quoted)),
                        None => {}
                    }
                }
            }
            Event::CheckedOut { draft } => {
                entry.checkouts += 1;
                let sealed = draft.lines.iter().map(|line| (&line.sku, line.quantity));
                if !sealed.eq(lines.iter().map(|(sku, quantity, _)| (sku, *quantity))) {
                    return broken(
                        "I4",
                        format!("{cart} was checked out with other lines than it had"),
                    );
                }
                lines.clear();
                sums(draft).or_else(|what| broken("I9", format!("{cart} was sealed, and {what}")))?;
                let sealed = (draft.checkout, draft.placed_at, draft.cart.entity());
                if sealed != (entry.checkouts, recorded.recorded_at, cart.clone()) {
                    return broken("I4", format!("{cart} was sealed as something else than it is"));
                }
                entry.last_checkout = Some(Checkout {
                    number: entry.checkouts,
                    order: draft.order(),
                    placed_at: recorded.recorded_at,
                    total: draft.totals.total,
                });
            }
        }
        let shown: Lines = now
            .lines
            .iter()
            .map(|line| (line.sku.clone(), line.quantity, line.quoted))
            .collect();
        entry.versions.push(lines);
        let count = u64::try_from(entry.versions.len() - 1).unwrap_or(0);
        if entry.versions.last() != Some(&shown)
            || (now.version, now.checkouts) != (count, entry.checkouts)
            || now.last_checkout != entry.last_checkout
        {
            return broken("I5", format!("{cart} is not what happened to it: {shown:?}"));
        }
        if shown.len() > LINES
            || shown
                .iter()
                .any(|(_, quantity, _)| !(1..=MOST).contains(quantity))
        {
            return broken("I4", format!("{cart} has more than a cart takes"));
        }
        Ok(())
    }

    /// Whether a cart that looks so may refuse a command.
    pub fn may_refuse(command: &Command, cart: &Cart) -> bool {
        match command {
            Command::SetLine { sku, quantity, .. } => {
                let is_new = !cart.lines.iter().any(|line| line.sku == *sku);
                *quantity > MOST || *quantity > 0 && is_new && cart.lines.len() >= LINES
            }
            Command::CheckOut { version, .. } => cart.lines.is_empty() || *version != cart.version,
            Command::Clear | Command::Absorb { .. } | Command::GiveUp { .. } => false,
        }
    }

    /// Whether a cart that looks so may change nothing about a command, because it is so already.
    pub fn may_ignore(&self, entity: &EntityId, command: &Command, cart: &Cart) -> bool {
        match command {
            Command::SetLine {
                sku,
                quantity,
                quoted,
            } => {
                let line = cart.lines.iter().find(|line| line.sku == *sku);
                line.map_or(*quantity == 0, |line| {
                    (line.quantity, line.quoted) == (*quantity, *quoted)
                })
            }
            Command::Clear => cart.lines.is_empty(),
            Command::Absorb { from, version, lines } => {
                let known = self.0.get(entity).map(|entry| &entry.absorbed);
                lines.is_empty() || known.is_some_and(|known| known.contains(&(*from, *version)))
            }
            Command::GiveUp { version } => *version != cart.version || cart.lines.is_empty(),
            Command::CheckOut { .. } => false,
        }
    }

    fn lines(&self, cart: CartId, version: u64) -> Lines {
        let version = usize::try_from(version).unwrap_or(usize::MAX);
        let entry = self.0.get(&cart.entity());
        entry
            .and_then(|entry| entry.versions.get(version))
            .cloned()
            .unwrap_or_default()
    }
}

/// What an order must cost, by the tariff as people read it: 19 % within, 4.90 up to 50.00, 9.90 in haste.
fn sums(draft: &Draft) -> Result<(), &'static str> {
    let must = |holds: bool, what: &'static str| if holds { Ok(()) } else { Err(what) };
    let of_line = |amount: i64, quantity: u32| amount * i64::from(quantity);
    let lines = draft.lines.iter();
    let each = lines.clone().all(|line| {
        line.line_total.amount == of_line(line.unit_price.amount, line.quantity) && line.quantity > 0
    });
    must(each, "a line costs something else than its units")?;
    let subtotal: i64 = lines
        .map(|line| of_line(line.unit_price.amount, line.quantity))
        .sum();
    let totals = &draft.totals;
    must(totals.subtotal.amount == subtotal, "its lines do not add up")?;
    let shipping = match draft.shipping_method {
        ShippingMethod::Express => 990,
        ShippingMethod::Standard if subtotal < 5_000 => 490,
        ShippingMethod::Standard => 0,
    };
    must(
        totals.shipping.amount == shipping,
        "its shipping costs something else",
    )?;
    let total = subtotal + shipping;
    must(totals.total.amount == total, "its total does not add up")?;
    let tax = (38 * total + 119) / 238;
    must(totals.tax.amount == tax, "its tax is another")?;
    must(draft.placed_at > Millis(0), "it has no time")
}

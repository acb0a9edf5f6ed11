//! The book of a run's orders: how many ended how, and whether that adds up with the stock.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::LoadFault;
use super::client::{Call, Client, encoded};
use super::payment::{End, Wallet};
use super::run::Run;
use super::shopper::described;
use super::wire::Stock;

/// How long after the last order the stock may take to come to rest.
const AT_REST_WITHIN: Duration = Duration::from_secs(10);

/// Counts while the shoppers shop.
#[derive(Debug, Default)]
pub struct OrderBook {
    counts: Mutex<Counts>,
    watched: Option<Watched>,
}

#[derive(Clone, Debug, Default)]
struct Counts {
    placed: u64,
    confirmed: u64,
    cancelled: BTreeMap<&'static str, u64>,
    wrong: u64,
    unended: u64,
}

/// The one SKU everybody wants.
#[derive(Debug)]
struct Watched {
    sku: String,
    token: Option<String>,
    before: Option<Stock>,
}

/// The orders of a run, for the report.
#[derive(Clone, Debug, Serialize)]
pub struct Orders {
    /// Accepted with 202.
    pub placed: u64,
    /// Ended confirmed.
    pub confirmed: u64,
    /// Ended cancelled, by reason.
    pub cancelled: BTreeMap<&'static str, u64>,
    /// Ended as they must not.
    pub wrong: u64,
    /// Did not end in time, or got lost on the way.
    pub unended: u64,
    /// Confirmed orders a second.
    pub confirmed_per_second: f64,
    /// How the end was learnt: `live` or `poll`.
    pub followed: &'static str,
    /// With `--sku` and a token that may read it: its stock before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stock_before: Option<Stock>,
    /// And afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stock_after: Option<Stock>,
}

impl OrderBook {
    /// A book about one SKU, whose stock is counted first.
    pub async fn of(client: &mut Client, sku: &str, token: Option<&str>) -> Result<Self, LoadFault> {
        let before = match token {
            Some(token) => stock(client, sku, token).await?,
            None => None,
        };
        let watched = Watched {
            sku: sku.to_owned(),
            token: token.map(str::to_owned),
            before,
        };
        Ok(Self {
            counts: Mutex::default(),
            watched: Some(watched),
        })
    }

    /// An order was accepted.
    pub fn placed(&self) {
        self.lock().placed += 1;
    }

    /// An order ended; `None` if in a way it must not.
    pub fn ended(&self, end: Option<End>) {
        let mut counts = self.lock();
        match end {
            Some(End::Confirmed) => counts.confirmed += 1,
            Some(End::Cancelled(reason)) => *counts.cancelled.entry(reason).or_default() += 1,
            None => counts.wrong += 1,
        }
    }

    /// An accepted order was not seen to end.
    pub fn unended(&self) {
        self.lock().unended += 1;
    }

    /// Checks what only the whole run can show, and closes the book.
    pub async fn close(&self, run: &Run, wallet: &Wallet, live: bool) -> Orders {
        let counts = self.lock().clone();
        let mut orders = Orders {
            placed: counts.placed,
            confirmed: counts.confirmed,
            cancelled: counts.cancelled,
            wrong: counts.wrong,
            unended: counts.unended,
            confirmed_per_second: 0.0,
            followed: if live { "live" } else { "poll" },
            stock_before: None,
            stock_after: None,
        };
        if let Some(watched) = &self.watched {
            orders.stock_before.clone_from(&watched.before);
            orders.stock_after = after(run, watched, orders.confirmed).await;
            for (what, wrong) in scarcity_faults(&orders, wallet.always_approves()) {
                run.tally
                    .check(what, wrong.is_none(), || wrong.unwrap_or_default());
            }
        }
        if let Some(expected) = run.args.expect_confirmed {
            run.tally.check("confirmed", orders.confirmed == expected, || {
                format!("{} orders confirmed, expected {expected}", orders.confirmed)
            });
        }
        orders
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What must hold between the orders and the stock of the one SKU: named, with what is wrong.
fn scarcity_faults(orders: &Orders, always_approves: bool) -> Vec<(&'static str, Option<String>)> {
    let (Some(before), Some(after)) = (&orders.stock_before, &orders.stock_after) else {
        return Vec::new();
    };
    let confirmed = i64::try_from(orders.confirmed).unwrap_or(i64::MAX);
    let told = |holds: bool| (!holds).then(|| format!("{confirmed} confirmed, {before:?}, then {after:?}"));
    let whole = after.available >= 0
        && after.held >= 0
        && after.sold >= 0
        && after.on_hand == after.available + after.held + after.sold;
    let mut faults = vec![
        ("stock adds up", told(whole)),
        ("never oversold", told(confirmed <= before.available)),
        // A confirmed order may be shipped meanwhile: then it is no longer sold, nor on hand.
        (
            "stock moved by what was confirmed",
            told(before.available - after.available == confirmed),
        ),
        ("no hold is left", told(after.held <= before.held)),
    ];
    if always_approves && orders.unended == 0 && orders.wrong == 0 {
        let placed = i64::try_from(orders.placed).unwrap_or(i64::MAX);
        faults.push((
            "exactly as many as there are",
            told(confirmed == placed.min(before.available)),
        ));
    }
    faults
}

/// The stock once it has come to rest: compensations run for a moment after the orders ended.
async fn after(run: &Run, watched: &Watched, confirmed: u64) -> Option<Stock> {
    let (before, token) = (watched.before.as_ref()?, watched.token.as_deref()?);
    let mut client = Client::new(run.target.clone(), Duration::from_secs(run.args.timeout));
    let until = run.clock.instant() + AT_REST_WITHIN;
    loop {
        let found = stock(&mut client, &watched.sku, token).await.ok().flatten();
        let at_rest = found.as_ref().is_some_and(|found| {
            found.held <= before.held
                && u64::try_from(before.available - found.available).is_ok_and(|sold| sold == confirmed)
        });
        if at_rest || run.clock.instant() > until {
            return found;
        }
        run.clock.sleep(Duration::from_millis(100)).await;
    }
}

/// `None` when the token may not read stock.
async fn stock(client: &mut Client, sku: &str, token: &str) -> Result<Option<Stock>, LoadFault> {
    let call = Call::get(format!("/v1/stock/{}", encoded(sku))).bearer(token);
    let answer = client.send(&call).await.map_err(LoadFault::Unreachable)?;
    match answer.status.as_u16() {
        200 => answer
            .json()
            .map(Some)
            .map_err(|fault| LoadFault::Unprepared(format!("GET stock: {fault}"))),
        403 => Ok(None),
        _ => Err(LoadFault::Unprepared(format!(
            "GET stock of {sku}: {}",
            described(&answer)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders(confirmed: u64, before: i64, after: (i64, i64, i64)) -> Orders {
        let stock = |(available, held, sold)| Stock {
            on_hand: available + held + sold,
            held,
            sold,
            available,
        };
        Orders {
            placed: 400,
            confirmed,
            cancelled: BTreeMap::from([("out_of_stock", 400 - confirmed)]),
            wrong: 0,
            unended: 0,
            confirmed_per_second: 0.0,
            followed: "live",
            stock_before: Some(stock((before, 0, 7))),
            stock_after: Some(stock(after)),
        }
    }

    fn broken(orders: &Orders) -> Vec<&'static str> {
        let faults = scarcity_faults(orders, true).into_iter();
        faults
            .filter(|(_, wrong)| wrong.is_some())
            .map(|(what, _)| what)
            .collect()
    }

    #[test]
    fn a_hundred_units_make_exactly_a_hundred_orders() {
        assert!(broken(&orders(100, 100, (0, 0, 107))).is_empty());
        assert_eq!(
            broken(&orders(99, 100, (1, 0, 106))),
            ["exactly as many as there are"]
        );
        assert_eq!(
            broken(&orders(101, 100, (0, 0, 108))),
            [
                "never oversold",
                "stock moved by what was confirmed",
                "exactly as many as there are"
            ]
        );
        assert_eq!(broken(&orders(100, 100, (0, 1, 107))), ["no hold is left"]);
        let unknown = Orders {
            stock_before: None,
            ..orders(3, 1, (0, 0, 0))
        };
        assert!(broken(&unknown).is_empty());
    }
}

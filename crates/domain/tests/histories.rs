//! Whole histories of the pure state machines, thousands a second: carts, stocks and orders together,
//! with everything between them lost, doubled, late, half done and out of order.
//!
//! A seed draws a history, a list of numbers that say what happens next; after every step a second,
//! simpler [`model`](histories::model) says whether it may be so. A history that fails is printed with
//! its seed and made short. `GLOBALSHOP_SEEDS` says how many seeds are tried; `GLOBALSHOP_SEED` says
//! with which they begin.
//!
//! Each machine by itself, with commands that make no sense: `properties.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on says so by panicking, and is told from outside how much to try"
)]

mod histories {
    pub mod lived;
    pub mod model;
    pub mod shop;
}

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

use globalshop_domain::Money;
use globalshop_domain::cart;
use globalshop_domain::id::CartId;
use uuid::Uuid;

use histories::shop::{Fate, SKUS, Shop, adjust};

/// How long a history is.
const STEPS: usize = 120;
/// How many are tried when nobody says.
const SEEDS: u64 = 20_000;

/// What must happen in one of a thousand histories at the least.
#[cfg(not(feature = "planted"))]
#[rustfmt::skip]
const EVENTS: [&str; 28] = [
    "line_set", "cleared", "absorbed", "checked_out",
    "adjusted", "held", "committed", "sold", "shipped", "released", "tombstone", "lapsed",
    "placed", "authorised", "declined", "action_required", "action_taken", "commit_asked", "capture_asked",
    "captured", "confirmed", "cancel_wanted", "cancelled", "voided", "refund_asked", "refunded",
    "packed", "delivered",
];

/// Numbers from a seed (SplitMix64: Steele, Lea, Flood 2014).
struct Dice(u64);

impl Dice {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn history(seed: u64) -> Vec<u64> {
    let mut dice = Dice(seed);
    (0..STEPS).map(|_| dice.draw()).collect()
}

/// Does what a number says.
fn step(shop: &mut Shop, number: u64) {
    let [a, b, c, d] = [8, 20, 32, 44].map(|bits| (number >> bits) & 0xfff);
    let index = |value: u64| usize::try_from(value).unwrap();
    let sku = SKUS[index(b % 2)];
    let line = |quantity| cart::Line {
        sku: sku.parse().unwrap(),
        quantity,
        quoted: Money::eur(100 + i64::try_from(d % 900).unwrap()),
    };
    match (number & 0xff) % 100 {
        0..13 => {
            let cart::Line {
                sku,
                quantity,
                quoted,
            } = line(u32::try_from(c % 4).unwrap());
            let set = cart::Command::SetLine {
                sku,
                quantity,
                quoted,
            };
            shop.cart(a % 2, &set);
        }
        13 => shop.cart(a % 2, &cart::Command::Clear),
        14 | 15 => {
            let absorb = cart::Command::Absorb {
                from: CartId(Uuid::from_u128(900 + u128::from(a / 2 % 2))),
                version: c % 4,
                lines: vec![line(1 + u32::try_from(c % 3).unwrap())],
            };
            shop.cart(a % 2, &absorb);
        }
        16 => {
            let version = shop.carts[&(a % 2)].state.version.saturating_sub(c % 2);
            shop.cart(a % 2, &cart::Command::GiveUp { version });
        }
        17..25 => {
            let token = ["approve", "approve", "approve", "confirm", "decline"][index(b % 5)];
            shop.check_out(a % 2, token, u64::from(c % 8 == 0));
        }
        25..29 => shop.place(a),
        29..70 => {
            let late = if b % 10 == 0 { index(c % 3) } else { 0 };
            let fate = match d % 8 {
                0 => Fate::Half(index(d / 8 % 4)),
                1 => Fate::Twice,
                _ => Fate::Done,
            };
            shop.deliver(a, late, fate);
        }
        70..74 => shop.deliver_again(a),
        74..77 => shop.ask_about_lapsed(),
        77..81 => shop.notice(a),
        81..88 => shop.interfere(a, b, i64::try_from(c).unwrap() - 100),
        88..93 => shop.pass([1, 30, 300, 900, 1_500, 200_000][index(a % 6)], index(b % 3)),
        93..97 => shop.replay(a),
        // More than is free is refused.
        _ => drop(shop.stock(sku, &adjust(i64::try_from(c % 7).unwrap() - 3))),
    }
}

/// How often each event happened.
type Tally = BTreeMap<String, u64>;

/// Whether a history goes well; otherwise what was seen.
fn play(history: &[u64]) -> Result<Tally, String> {
    let played = catch_unwind(AssertUnwindSafe(|| {
        let mut shop = Shop::open();
        for number in history {
            step(&mut shop, *number);
        }
        shop.end()
    }));
    played.map_err(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        said.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned()))
            .unwrap_or_default()
    })
}

/// The shortest failing history found by leaving parts out.
fn shrink(mut history: Vec<u64>) -> Vec<u64> {
    let mut chunk = history.len().div_ceil(2);
    while chunk > 0 {
        let mut from = 0;
        let mut shorter = false;
        while from < history.len() {
            let mut candidate = history.clone();
            candidate.drain(from..(from + chunk).min(history.len()));
            if play(&candidate).is_err() {
                history = candidate;
                shorter = true;
            } else {
                from += chunk;
            }
        }
        if chunk > 1 || !shorter {
            chunk /= 2;
        }
    }
    history
}

/// The first seed that fails, with what it was shrunk to and what was seen.
fn first_failure(seeds: std::ops::Range<u64>, tally: &mut Tally) -> Option<(u64, Vec<u64>, String)> {
    let loud = take_hook();
    set_hook(Box::new(|_| {}));
    let found = seeds.into_iter().find_map(|seed| {
        if let Ok(happened) = play(&history(seed)) {
            for (event, count) in happened {
                *tally.entry(event).or_default() += count;
            }
            return None;
        }
        let short = shrink(history(seed));
        let what = play(&short).err().unwrap_or_default();
        Some((seed, short, what))
    });
    set_hook(loud);
    found
}

fn number(name: &str, otherwise: u64) -> u64 {
    let asked = std::env::var(name).ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[cfg(not(feature = "planted"))]
#[test]
fn the_pure_machines_keep_their_promises_in_every_history() {
    let (from, count) = (number("GLOBALSHOP_SEED", 0), number("GLOBALSHOP_SEEDS", SEEDS));
    let mut tally = Tally::new();
    let found = first_failure(from..from + count, &mut tally);
    println!("{count} histories of {STEPS} steps: {tally:?}");
    if let Some((seed, short, what)) = found {
        panic!(
            "seed {seed} fails: {what}\nits shortest history, {} steps: {short:?}",
            short.len()
        );
    }
    // Histories in which little happens prove little.
    for event in EVENTS.into_iter().filter(|_| count >= SEEDS) {
        let happened = tally.get(event).copied().unwrap_or(0);
        assert!(happened > count / 1_000, "{event} happened {happened} times");
    }
}

/// Each bug in a state machine is found; with `--features planted`, and then only that.
#[cfg(feature = "planted")]
#[test]
fn bugs_planted_in_the_machines_are_found() {
    use globalshop_domain::planted::{Bug, plant};
    let mut missed = Vec::new();
    for bug in [
        Bug::NoTombstone,
        Bug::RefundBeyondCapture,
        Bug::OversoldByOne,
        Bug::CancelledAndKept,
        Bug::CaptureBeforeCommit,
    ] {
        plant(Some(bug));
        let found = first_failure(0..number("GLOBALSHOP_SEEDS", SEEDS), &mut Tally::new());
        plant(None);
        match found {
            Some((seed, short, what)) => println!("{bug:?}: seed {seed}, {} steps: {what}", short.len()),
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}

//! What a simulation is going to do: drawn from its seed before it begins, so that it can be
//! printed, replayed, and shrunk by leaving parts out.

use std::fmt;
use std::time::Duration;

use crate::clock::Clock;
use crate::domain::Millis;
use crate::journal::memory::Fault;

/// The SKU that runs out.
pub const SCARCE: &str = "SCARCE";
/// SKUs that never do.
pub const PLENTY: [&str; 2] = ["PLENTY-1", "PLENTY-2"];
/// The tokens of the sandbox, each as often as it is worth.
const TOKENS: [&str; 12] = [
    "tok_approve",
    "tok_approve",
    "tok_approve",
    "tok_slow_5s",
    "tok_error_twice",
    "tok_duplicate_webhook",
    "tok_timeout_charged",
    "tok_timeout_not_charged",
    "tok_decline",
    "tok_insufficient_funds",
    "tok_3ds",
    "tok_3ds",
];

/// Everything that is going to happen.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What it was drawn from; also the chance of the run itself.
    pub seed: u64,
    /// How many nodes.
    pub nodes: usize,
    /// How many shards.
    pub shards: u16,
    /// Units of [`SCARCE`].
    pub units: i64,
    /// Whether the provider refuses some captures and refunds for good.
    pub strict: bool,
    /// After how many events an entity is snapshotted.
    pub snapshot_every: i64,
    /// What each shopper does, in turn.
    pub shoppers: Vec<Vec<Step>>,
    /// What goes wrong, and when, counted from the opening.
    pub mishaps: Vec<(Duration, Mishap)>,
}

/// One thing a shopper (or the seller about the shopper's order) does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Has so many of a SKU, quoted at this price, minor units.
    SetLine(&'static str, u32, i64),
    /// Puts so many of a SKU, quoted at this price, into the cart of the guest the shopper also is.
    SetGuestLine(&'static str, u32, i64),
    /// Signs in: what the guest has in the cart moves into the shopper's. Perhaps it stops half way and is
    /// done again.
    SignIn(bool),
    /// Fills the cart until it takes no more, and empties it.
    Fill,
    /// The seller has a product, or changes it, at this price and in this way.
    Sell(Sale, i64),
    /// The seller has a whole catalogue appended at about this price.
    Import(i64),
    /// Empties the cart.
    Clear,
    /// Looks at the cart.
    Look,
    /// Checks out with this token.
    CheckOut(&'static str),
    /// Answers the confirm step of the last order.
    Confirm(bool),
    /// Cancels the last order.
    Cancel,
    /// Has the last order packed.
    Pack,
    /// Has the last order shipped.
    Ship,
    /// Has the last order delivered.
    Deliver,
    /// Has the last order packed, shipped and delivered, some of it said again.
    Fulfil,
    /// Has an amount of the last order refunded, minor units; 0 for all that is left.
    Refund(i64),
    /// Looks at the last order.
    LookAtOrder,
    /// Counts a delivery (or a loss) of [`SCARCE`].
    Adjust(i64),
    /// Does nothing for a while.
    Wait(Duration),
    /// Does the step twice at the same moment, as a double click does.
    Twice(Box<Step>),
}

/// How a seller changes a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sale {
    /// Another price.
    Price,
    /// Another name, and for sale or not.
    Edit(bool),
    /// As a catalogue says.
    Import,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// Befalls the next fitting call of a node to the journal.
    Journal(usize, Fault),
    /// A node dies and comes back after a while.
    Crash(usize, Duration),
    /// One actor of a node dies; which one is drawn when it happens.
    Kill(usize),
    /// A node's next writes are slow, and its entities die one after the other meanwhile.
    KillWhileWriting(usize, Duration),
    /// A node cannot reach the journal for a while.
    CutOff(usize, Duration),
    /// Two nodes cannot reach each other for a while. (One node can always reach itself.)
    Part(usize, usize, Duration),
    /// Messages between nodes are lost, doubled and late for a while.
    RoughLink(Duration),
    /// A node stands still for a while, as one that gets no processor does, and then goes on.
    Freeze(usize, Duration),
    /// A node gives back its shards, leaves, and comes back after a while.
    Leave(usize, Duration),
    /// A stranger takes a shard's lease and does nothing with it.
    Thief(u16),
    /// A node's wall clock jumps by so many milliseconds.
    ClockJump(usize, i64),
    /// A node's wall clock jumps as soon as the node has written the next event of this name, and back after
    /// a while: what is under way then is done by a clock that is wrong.
    Glitch(usize, &'static str, i64, Duration),
    /// The provider loses requests and answers, answers late, twice, or with what it knew before.
    RoughProvider(Duration),
    /// The provider is as rough as soon as a node has written the next event of this name, for a while.
    RoughWhen(usize, &'static str, Duration),
    /// The provider answers nothing.
    ProviderDown(Duration),
    /// No mail goes out.
    MailDown(Duration),
    /// Every mail is refused for good.
    MailRefused(Duration),
    /// An operator redrives the dead letters, whatever is still wrong.
    Redrive(usize),
    /// Two operators redrive the dead letters at the same time.
    RedriveTogether(usize, usize),
    /// A node loses its place and joins again; it hears so late that it has, and of nothing else for a while.
    JoinLate(usize, Duration),
    /// A node gives back its shards, leaves, and comes back while the others do not hear that they have them.
    ClaimsLost(usize, Duration),
    /// The relay's book cannot be reached.
    BookDown(Duration),
}

impl Mishap {
    /// Whether orders may end otherwise than their payment says because of it: a deadline may pass
    /// meanwhile.
    #[must_use]
    pub fn may_cost_orders(&self) -> bool {
        match self {
            Self::ClockJump(..) | Self::Glitch(..) => true,
            Self::ProviderDown(long) | Self::CutOff(_, long) => *long > Duration::from_secs(60),
            _ => false,
        }
    }
}

impl Plan {
    /// The plan of a seed, with so many shopper steps in all. `nodes`: how many, or drawn.
    #[must_use]
    pub fn draw(seed: u64, steps: u32, nodes: Option<usize>) -> Self {
        let dice = Clock::simulated(seed, Millis(0));
        let below = |bound: u64| dice.random_below(bound);
        // Drawn apart, so that a seed is the same run whether its nodes were drawn or asked for.
        let nodes = nodes.unwrap_or_else(|| {
            let crowd = Clock::simulated(seed ^ 0xc1a5_7e12, Millis(0));
            [1, 1, 1, 2, 2, 3][index(crowd.random_below(6))]
        });
        let shards = [1, 2, 4, 8][index(below(4))];
        let crowd = 2 + index(below(6));
        let mut shoppers = vec![Vec::new(); crowd];
        for n in 0..steps {
            let shopper = &mut shoppers[index(below(crowd as u64))];
            shopper.push(draw_step(&dice, n));
        }
        let span = Duration::from_millis(200 + u64::from(steps) * 40);
        let mishaps = match below(8) {
            // One in eight has nothing but the journal's and the network's own pace.
            0 => 0,
            few @ 1..5 => few,
            _ => 4 + below(12),
        };
        let mut mishaps: Vec<(Duration, Mishap)> = (0..mishaps)
            .map(|_| {
                let at = Duration::from_micros(below(micros(span)));
                if below(12) == 0 {
                    // When time is up for orders and holds.
                    let at = Duration::from_millis(880_000 + below(360_000));
                    return (at, draw_mishap_late(&dice, nodes));
                }
                let mishap = if nodes > 1 && below(2) == 0 {
                    draw_mishap_between(&dice, nodes)
                } else {
                    draw_mishap(&dice, nodes, shards)
                };
                (at, mishap)
            })
            .collect();
        mishaps.sort_by_key(|(at, _)| *at);
        Self {
            seed,
            nodes,
            shards,
            units: 1 + i64::try_from(below(12)).unwrap_or(0),
            strict: Clock::simulated(seed ^ 0x5721_c700, Millis(0)).random_below(4) == 0,
            snapshot_every: [2, 3, 5, 10, 1_000][index(below(5))],
            shoppers,
            mishaps,
        }
    }

    /// How many parts it has: what shrinking makes fewer.
    #[must_use]
    pub fn size(&self) -> usize {
        self.shoppers.iter().map(Vec::len).sum::<usize>() + self.mishaps.len()
    }

    /// How far the clocks are wrong at the most: deadlines may come that much later.
    #[must_use]
    pub fn clocks_off(&self) -> Duration {
        let jumps = self.mishaps.iter().filter_map(|(_, mishap)| match mishap {
            Mishap::ClockJump(_, by_ms) | Mishap::Glitch(_, _, by_ms, _) => {
                Some(Duration::from_millis(by_ms.unsigned_abs()))
            }
            _ => None,
        });
        jumps.sum()
    }

    /// Whether every order must end as its payment says.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        !self.mishaps.iter().any(|(_, mishap)| mishap.may_cost_orders())
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(0)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn draw_step(dice: &Clock, n: u32) -> Step {
    let below = |bound: u64| dice.random_below(bound);
    let sku = || match below(5) {
        0 => PLENTY[1],
        1 | 2 => PLENTY[0],
        _ => SCARCE,
    };
    // Unlike every other, so that each one changes the cart.
    let price = 1_000 + i64::from(n) * 10 + i64::try_from(below(10)).unwrap_or(0);
    // Two of these are just what is sent for nothing.
    let price = if below(10) == 0 { 2_500 } else { price };
    match below(34) {
        0..9 => {
            let quantity = match below(60) {
                0 => 99,
                1 => 100,
                few => u32::try_from(few % 4).unwrap_or(0),
            };
            let step = Step::SetLine(sku(), quantity, price);
            if below(5) == 0 {
                Step::Twice(Box::new(step))
            } else {
                step
            }
        }
        30 => match sku() {
            SCARCE => Step::SetGuestLine(SCARCE, 1, price),
            plenty => Step::SetGuestLine(plenty, [1, 21, 60][index(below(3))], price),
        },
        31 => Step::SignIn(below(3) == 0),
        32 if below(20) == 0 => Step::Fill,
        32 => Step::SignIn(false),
        33 => {
            let how = [Sale::Price, Sale::Price, Sale::Edit(below(2) == 0), Sale::Import][index(below(4))];
            Step::Sell(how, price)
        }
        9 => Step::Clear,
        10 | 11 => Step::Look,
        12..17 => {
            let step = Step::CheckOut(TOKENS[index(below(12))]);
            if below(4) == 0 {
                Step::Twice(Box::new(step))
            } else {
                step
            }
        }
        17 | 18 => Step::Confirm(below(3) > 0),
        19 => Step::Cancel,
        20 => Step::Pack,
        21 => Step::Ship,
        22 if below(2) == 0 => Step::Fulfil,
        22 => Step::Deliver,
        23 => {
            let step = Step::Refund(match below(4) {
                0 => 0,
                _ => 1 + i64::try_from(below(2_500)).unwrap_or(0),
            });
            if below(3) == 0 {
                Step::Twice(Box::new(step))
            } else {
                step
            }
        }
        24 | 25 => Step::LookAtOrder,
        26 => Step::Adjust([3, 1, -1, -2][index(below(4))]),
        27 => Step::Wait(Duration::from_secs(below(240))),
        28 if below(2) == 0 => Step::Import(price),
        _ => Step::Wait(Duration::from_millis(below(2_500))),
    }
}

fn draw_mishap(dice: &Clock, nodes: usize, shards: u16) -> Mishap {
    let below = |bound: u64| dice.random_below(bound);
    let node = || index(below(nodes as u64));
    let millis = |most: u64| Duration::from_millis(below(most));
    let slow = || Duration::from_micros(below(80_000));
    match below(40) {
        37 => Mishap::MailRefused(millis(5_000)),
        38 => Mishap::Redrive(node()),
        39 => Mishap::RedriveTogether(node(), node()),
        34..37 => {
            let event = [
                "commit_asked",
                "commit_asked",
                "commit_asked",
                "placed",
                "capture_asked",
            ][index(below(5))];
            let by_ms = [7_200_000, 7_200_000, 7_200_000, -1_500_000][index(below(4))];
            Mishap::Glitch(node(), event, by_ms, millis(1_500))
        }
        0..3 => Mishap::Journal(node(), Fault::AnswerLost),
        3 | 4 => Mishap::Journal(node(), Fault::RequestLost),
        5 | 6 => Mishap::Journal(node(), Fault::RequestLate(slow())),
        7 => Mishap::Journal(node(), [Fault::WriteRefused, Fault::RowRefused][index(below(2))]),
        8 => Mishap::Journal(node(), Fault::WriteSlow(slow() * 8)),
        9 => Mishap::Journal(node(), Fault::AnswerSlow(slow() * 8)),
        10 => Mishap::Journal(node(), Fault::ClaimFails),
        11 => Mishap::Journal(node(), Fault::ClaimLost),
        12 => Mishap::Journal(node(), Fault::ReadFails),
        13 => Mishap::Journal(node(), Fault::ReadSlow(slow())),
        14..17 => Mishap::Crash(node(), millis(4_000)),
        17 => Mishap::Kill(node()),
        18 | 19 => Mishap::KillWhileWriting(node(), slow() * 8),
        20..22 => Mishap::CutOff(node(), millis(6_000)),
        22 => Mishap::CutOff(node(), Duration::from_secs(below(120))),
        23 | 24 => Mishap::Part(node(), node(), millis(5_000)),
        25 => Mishap::RoughLink(millis(30_000)),
        // Among members a stranger would break what the others rely on: they wait for one another.
        26 | 27 if nodes > 1 => Mishap::Freeze(node(), millis(9_000)),
        26 | 27 => Mishap::Thief(u16::try_from(below(u64::from(shards))).unwrap_or(0)),
        28 => Mishap::ClockJump(node(), [3_600_000, 60_000, -60_000, -3_600_000][index(below(4))]),
        29 => Mishap::RoughProvider(millis(20_000)),
        30 => {
            let event = ["refund_asked", "refund_asked", "refund_asked", "cancelled"][index(below(4))];
            Mishap::RoughWhen(node(), event, millis(20_000))
        }
        31 => Mishap::ProviderDown(Duration::from_secs([5, 30, 1_500][index(below(3))])),
        32 if below(3) == 0 => Mishap::MailDown(Duration::from_secs(900)),
        32 => Mishap::MailDown(millis(20_000)),
        _ => Mishap::BookDown(millis(5_000)),
    }
}

/// What goes wrong when those are woken whose time is up.
fn draw_mishap_late(dice: &Clock, nodes: usize) -> Mishap {
    let below = |bound: u64| dice.random_below(bound);
    let node = index(below(nodes as u64));
    let slow = Duration::from_micros(below(80_000));
    match below(12) {
        0..3 => Mishap::Journal(node, Fault::ReadFails),
        3 => Mishap::Journal(node, Fault::RowRefused),
        4 => Mishap::Journal(node, Fault::WriteRefused),
        5 => Mishap::Journal(node, Fault::AnswerLost),
        6 => Mishap::Journal(node, Fault::RequestLate(slow)),
        7 => Mishap::KillWhileWriting(node, slow * 8),
        8 => Mishap::Crash(node, slow * 50),
        9 => Mishap::CutOff(node, Duration::from_secs(below(120))),
        10 => Mishap::BookDown(slow * 60),
        _ => Mishap::Redrive(node),
    }
}

/// What can only go wrong where there are several nodes.
fn draw_mishap_between(dice: &Clock, nodes: usize) -> Mishap {
    let below = |bound: u64| dice.random_below(bound);
    let node = || index(below(nodes as u64));
    let millis = |least: u64, most: u64| Duration::from_millis(least + below(most - least));
    match below(22) {
        20 => Mishap::JoinLate(node(), millis(500, 2_900)),
        21 => Mishap::ClaimsLost(node(), millis(0, 1_500)),
        0..5 => Mishap::Freeze(node(), millis(200, 9_000)),
        5..8 => {
            let one = node();
            let other = (one + 1 + index(below(nodes as u64 - 1))) % nodes;
            Mishap::Part(one, other, millis(500, 12_000))
        }
        8..12 => Mishap::RoughLink(millis(1_000, 40_000)),
        12..15 => Mishap::Leave(node(), millis(0, 4_000)),
        15 => Mishap::Journal(node(), Fault::BeatFails),
        16 => Mishap::Journal(node(), Fault::BeatLost),
        17 => Mishap::Journal(node(), Fault::BeatSlow(millis(100, 5_000))),
        _ => Mishap::CutOff(node(), millis(2_000, 10_000)),
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {}: {} nodes, {} shards, {} units of {SCARCE}, a snapshot every {} events{}",
            self.seed,
            self.nodes,
            self.shards,
            self.units,
            self.snapshot_every,
            if self.strict { ", a strict provider" } else { "" }
        )?;
        for (shopper, steps) in self.shoppers.iter().enumerate() {
            if !steps.is_empty() {
                writeln!(f, "  shopper {shopper}: {steps:?}")?;
            }
        }
        for (at, mishap) in &self.mishaps {
            writeln!(f, "  at {at:?}: {mishap:?}")?;
        }
        Ok(())
    }
}

//! Two sides of a comparison, in turn: floor, ours, floor. Only the ratio of a round whose two floors
//! agree says something; a machine that was busy with something else gets its round again.

use std::fmt;

/// A round is settled if its slower floor is at least this part of its faster one.
const AGREE: f64 = 0.75;
/// Settled rounds a claim needs.
const WANTED: usize = 3;
/// Rounds that are tried for them.
const MOST: usize = 7;

/// One side after the other, in operations a second.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    floors: [f64; 2],
    ours: f64,
}

impl Round {
    fn floor(&self) -> f64 {
        self.floors.iter().sum::<f64>() / 2.0
    }

    fn ratio(&self) -> f64 {
        self.ours / self.floor()
    }

    fn settled(&self) -> bool {
        let [a, b] = self.floors;
        a.min(b) >= AGREE * a.max(b)
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [before, after] = self.floors;
        let ratio = self.ratio();
        write!(
            f,
            "floor {before:.0}, ours {:.0}, floor {after:.0}: {ratio:.2}",
            self.ours
        )?;
        if self.settled() {
            Ok(())
        } else {
            f.write_str(" (the floors disagree)")
        }
    }
}

/// Compares until enough rounds are settled, or patience is; `quick` plays one round.
pub async fn compare(
    quick: bool,
    mut floor: impl AsyncFnMut() -> f64,
    mut ours: impl AsyncFnMut() -> f64,
) -> Verdict {
    let mut rounds: Vec<Round> = Vec::new();
    let mut before = floor().await;
    loop {
        let ours = ours().await;
        let after = floor().await;
        let round = Round {
            floors: [before, after],
            ours,
        };
        println!("  {round}");
        rounds.push(round);
        before = after;
        let settled = rounds.iter().filter(|round| round.settled()).count();
        if quick || settled == WANTED || rounds.len() == MOST {
            return Verdict::of(rounds);
        }
    }
}

/// What the rounds say together.
#[derive(Debug)]
pub struct Verdict {
    middle: Round,
    settled: bool,
    lowest: f64,
    highest: f64,
}

impl Verdict {
    fn of(mut rounds: Vec<Round>) -> Self {
        let settled = rounds.iter().filter(|round| round.settled()).count() >= WANTED;
        if settled {
            rounds.retain(Round::settled);
        }
        rounds.sort_by(|a, b| a.ratio().total_cmp(&b.ratio()));
        Self {
            middle: rounds[rounds.len() / 2],
            settled,
            lowest: rounds[0].ratio(),
            highest: rounds[rounds.len() - 1].ratio(),
        }
    }

    /// A row of the table: what, against what, both rates and the ratio of the middle round, the goal.
    pub fn row(&self, what: &str, against: &str, goal: &str) -> String {
        let Self {
            middle,
            lowest,
            highest,
            ..
        } = self;
        let unsettled = if self.settled { "" } else { ", unsettled" };
        format!(
            "| {what} | {against} | {:.0}/s | {:.0}/s | {:.2} ({lowest:.2}–{highest:.2}{unsettled}) | {goal} |",
            middle.ours,
            middle.floor(),
            middle.ratio(),
        )
    }
}

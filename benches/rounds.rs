//! Two sides of a comparison, in turn: floor, ours, floor. Only the ratio of a round whose two floors
//! agree says something; a machine that was busy with something else gets its round again.

use std::fmt;

/// A round is settled if its lower floor is at least this part of its higher one.
const AGREE: f64 = 0.75;
/// Settled rounds a claim needs.
const WANTED: usize = 3;
/// Rounds that are tried for them.
const MOST: usize = 7;

/// What both sides are measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// How many a second: more is better.
    PerSecond,
    /// How long one takes, in microseconds: less is better.
    Micros,
}

impl Unit {
    fn show(self, figure: f64) -> String {
        match self {
            Self::PerSecond if figure < 100.0 => format!("{figure:.1}/s"),
            Self::PerSecond => format!("{figure:.0}/s"),
            Self::Micros if figure < 10_000.0 => format!("{figure:.0} µs"),
            Self::Micros => format!("{:.1} ms", figure / 1_000.0),
        }
    }
}

/// One side after the other, in the unit of the comparison.
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
            "floor {before:.0}, ours {:.0}, floor {after:.0}: {}",
            self.ours,
            digits(ratio)
        )?;
        if self.settled() {
            Ok(())
        } else {
            f.write_str(" (the floors disagree)")
        }
    }
}

/// A ratio with as many digits as say something.
fn digits(ratio: f64) -> String {
    if ratio < 0.1 {
        format!("{ratio:.4}")
    } else if ratio < 10.0 {
        format!("{ratio:.2}")
    } else {
        format!("{ratio:.1}")
    }
}

/// Compares until enough rounds are settled, or patience is; `quick` plays one round.
pub async fn compare(
    quick: bool,
    mut floor: impl AsyncFnMut() -> f64,
    mut ours: impl AsyncFnMut() -> f64,
) -> Verdict {
    let mut rounds: Vec<Round> = Vec::new();
    // Boxed: a round may hold a whole client.
    let mut before = Box::pin(floor()).await;
    loop {
        let ours = Box::pin(ours()).await;
        let after = Box::pin(floor()).await;
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
        self.row_in(Unit::PerSecond, what, against, goal)
    }

    /// A row as [`Verdict::row`] makes it, of figures in another unit.
    pub fn row_in(&self, unit: Unit, what: &str, against: &str, goal: &str) -> String {
        let Self {
            middle,
            lowest,
            highest,
            ..
        } = self;
        let span = format!("{}–{}", digits(*lowest), digits(*highest));
        let ratio = if self.settled {
            format!("{} ({span})", digits(middle.ratio()))
        } else {
            format!("unsettled ({span})")
        };
        format!(
            "| {what} | {against} | {} | {} | {ratio} | {goal} |",
            unit.show(middle.ours),
            unit.show(middle.floor()),
        )
    }
}

/// A row for what stands alone: nothing below it was measured.
#[must_use]
pub fn plain_row(what: &str, figure: &str, goal: &str) -> String {
    format!("| {what} | – | {figure} | – | – | {goal} |")
}

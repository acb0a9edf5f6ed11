//! What a run says at its end: one JSON object, or a table for people.

use std::fmt;

use serde::Serialize;

use super::audit::Invariant;
use super::fanout::Delivered;
use super::flash_sale::Sale;
use super::orders::Orders;
use super::overload::Overloaded;
use super::run::Outages;
use super::tally::{Checks, KindFigures, Quantiles};

/// How waiting was counted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "loop", rename_all = "snake_case")]
pub enum Loop {
    /// Each shopper asks again when it has its answer.
    Closed,
    /// Calls are due by a schedule.
    Open {
        /// Calls a second.
        rate: f64,
        /// Calls that were due.
        due: u64,
        /// Calls that were due and made.
        made: u64,
    },
}

impl Loop {
    /// Says how coordinated omission was dealt with.
    #[must_use]
    pub const fn correction(self) -> &'static str {
        match self {
            Self::Closed => {
                "closed loop: latency_ms from sending to answer; corrected_ms by HDR's expected interval \
                 (a kind's calls spread evenly over the shoppers' time)"
            }
            Self::Open { .. } => {
                "open loop: latency_ms from the moment a call was due, so nothing is omitted"
            }
        }
    }
}

/// The report of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether every check held.
    pub ok: bool,
    /// Which scenario.
    pub scenario: &'static str,
    /// Against what.
    pub url: String,
    /// Makes the same choices again.
    pub seed: u64,
    /// How many at once.
    pub shoppers: u64,
    /// How long they took, in seconds.
    pub seconds: f64,
    /// Open or closed.
    #[serde(flatten)]
    pub pace: Loop,
    /// How coordinated omission was dealt with.
    pub correction: &'static str,
    /// Attempts of calls in all.
    pub calls: u64,
    /// Attempts a second.
    pub calls_per_second: f64,
    /// By kind of call.
    pub kinds: Vec<KindFigures>,
    /// What was checked.
    pub checks: Checks,
    /// The orders of a scenario that buys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orders: Option<Orders>,
    /// What a flash sale came to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sale: Option<Sale>,
    /// What the live feed delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fanout: Option<Delivered>,
    /// What the shop made of more than it can serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overload: Option<Overloaded>,
    /// With `--survive`: how the shop was away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outages: Option<Outages>,
    /// What the shop says of itself, if it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invariants: Option<Vec<Invariant>>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} against {}: {} shoppers, {:.1} s, {} calls ({}/s), seed {}",
            self.scenario,
            self.url,
            self.shoppers,
            self.seconds,
            self.calls,
            self.calls_per_second,
            self.seed
        )?;
        self.fmt_kinds(f)?;
        writeln!(f, "{}", self.correction)?;
        if let Loop::Open { rate, due, made } = self.pace {
            writeln!(f, "schedule: {rate}/s, {made} of {due} due calls made")?;
        }
        if let Some(orders) = &self.orders {
            fmt_orders(orders, f)?;
        }
        if let Some(sale) = &self.sale {
            sale.fmt(f)?;
        }
        if let Some(fanout) = &self.fanout {
            fanout.fmt(f)?;
        }
        if let Some(overload) = &self.overload {
            overload.fmt(f)?;
        }
        if let Some(outages) = &self.outages {
            writeln!(
                f,
                "outages: {} calls waited, the longest {} ms",
                outages.calls, outages.longest_ms
            )?;
        }
        if let Some(invariants) = &self.invariants {
            f.write_str("invariants:")?;
            for invariant in invariants {
                let word = match invariant.holds {
                    Some(true) => "holds",
                    Some(false) => "BROKEN",
                    None => "unknown",
                };
                write!(f, " {} {word}", invariant.id)?;
            }
            writeln!(f)?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        writeln!(
            f,
            "checks: {} made, {} failed",
            self.checks.made, self.checks.failed
        )?;
        for (check, failed) in &self.checks.by_check {
            writeln!(f, "  {failed} x {check}")?;
        }
        for example in &self.checks.examples {
            writeln!(f, "  - {example}")?;
        }
        writeln!(f, "{}", if self.ok { "OK" } else { "FAILED" })
    }
}

impl Report {
    fn fmt_kinds(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = |kind: &KindFigures| match kind.variant {
            "" => kind.kind.to_owned(),
            variant => format!("{} · {variant}", kind.kind),
        };
        let width = self
            .kinds
            .iter()
            .map(|kind| title(kind).chars().count())
            .max()
            .unwrap_or(0)
            .max(4);
        write!(f, "\n{:<width$} {:>8} {:>9}", "call", "count", "/s")?;
        write!(
            f,
            " {:>8} {:>8} {:>8} {:>8} {:>8}",
            "p50 ms", "p90", "p99", "p99.9", "max"
        )?;
        writeln!(f, " {:>9} {:>9}  endings", "p99 corr", "p99.9 corr")?;
        for kind in &self.kinds {
            write!(
                f,
                "{:<width$} {:>8} {:>9.1}",
                title(kind),
                kind.count,
                kind.per_second
            )?;
            let Quantiles {
                p50,
                p90,
                p99,
                p99_9,
                max,
            } = kind.latency_ms;
            write!(f, " {p50:>8.2} {p90:>8.2} {p99:>8.2} {p99_9:>8.2} {max:>8.2}")?;
            match kind.corrected_ms {
                Some(corrected) => write!(f, " {:>9.2} {:>9.2}", corrected.p99, corrected.p99_9)?,
                None => write!(f, " {:>9} {:>9}", "-", "-")?,
            }
            let endings: Vec<_> = kind
                .endings
                .iter()
                .map(|(ending, n)| format!("{ending}: {n}"))
                .collect();
            writeln!(f, "  {}", endings.join(", "))?;
        }
        writeln!(f)
    }
}

fn fmt_orders(orders: &Orders, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(
        f,
        "orders: {} placed, {} confirmed ({}/s)",
        orders.placed, orders.confirmed, orders.confirmed_per_second
    )?;
    for (reason, count) in &orders.cancelled {
        write!(f, ", {count} cancelled {reason}")?;
    }
    writeln!(
        f,
        ", {} wrong, {} unended ({})",
        orders.wrong, orders.unended, orders.followed
    )?;
    if let (Some(before), Some(after)) = (&orders.stock_before, &orders.stock_after) {
        writeln!(
            f,
            "stock: available {} -> {}, held {} -> {}, sold {} -> {}",
            before.available, after.available, before.held, after.held, before.sold, after.sold
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tally::{Ending, Kind, Tally};
    use super::*;

    fn report() -> Report {
        let tally = Tally::default();
        let kind = Kind {
            name: "POST checkout",
            variant: "tok_approve",
        };
        tally.attempt(kind, Ending::Status(202));
        tally.latency(kind, Duration::from_millis(12));
        tally.check("status", false, || {
            "POST checkout: expected 202, found 500".to_owned()
        });
        let pace = Loop::Open {
            rate: 50.0,
            due: 500,
            made: 499,
        };
        Report {
            ok: false,
            scenario: "checkout",
            url: "http://127.0.0.1:8080".to_owned(),
            seed: 7,
            shoppers: 4,
            seconds: 10.0,
            pace,
            correction: pace.correction(),
            calls: 1,
            calls_per_second: 0.1,
            kinds: tally.figures(Duration::from_secs(10), 4, false),
            checks: tally.checks(),
            orders: None,
            sale: None,
            fanout: None,
            overload: None,
            outages: None,
            invariants: None,
            notes: vec!["a note".to_owned()],
        }
    }

    #[test]
    fn people_see_the_table_the_failures_and_the_verdict() {
        let text = report().to_string();
        assert!(text.contains("POST checkout · tok_approve"));
        assert!(text.contains("202: 1"));
        assert!(text.contains("499 of 500 due calls made"));
        assert!(text.contains("1 made, 1 failed\n  1 x status\n  - status: POST checkout: expected 202"));
        assert!(text.ends_with("FAILED\n"));
    }

    #[test]
    fn machines_see_one_object() {
        let json = serde_json::to_value(report()).unwrap();
        assert_eq!(json["loop"], "open");
        assert_eq!(json["due"], 500);
        assert_eq!(json["kinds"][0]["endings"]["202"], 1);
        assert!(json["kinds"][0]["latency_ms"]["p99_9"].as_f64().unwrap() > 11.9);
        assert_eq!(json["checks"]["failed"], 1);
    }
}

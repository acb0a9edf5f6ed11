//! Every saga, whatever fails: three harnesses, and one line for each saga.
//!
//! A saga is played once undisturbed, behind a [`tap`] that sees each of its steps: events given to
//! consumers, calls of the provider, its notices, mails, events committed. Then each harness plays it
//! again for each step it has:
//!
//! 1. [`each_step_fails`]: the step is not done, done unheard, or lost, or the node dies before or
//!    after it, once: the end is the same as if nothing had happened. It never works again: the saga
//!    ends compensated, or a dead letter names the step, and a redrive brings it to its end.
//! 2. [`each_step_fails_and_compensations_run_twice`]: the same, while everything else that runs, the
//!    compensations with it, runs twice.
//! 3. [`every_step_runs_twice`]: in turn, at the same moment, and again in the wrong order after the
//!    end: nothing changes.
//!
//! After each the auditor says whether I1 to I9 hold; money is the same at the provider, in the
//! ledger and in the order; holds ended once; nothing waits.

mod journal;
mod stage;
mod tap;

use std::collections::{BTreeMap, BTreeSet};

use globalshop::domain::Money;
use globalshop::domain::order::{Canceller, Command, Phase};
use globalshop::domain::payment::{RefundId, RefundStage, Status};
use uuid::Uuid;

use stage::{Begin, Outcome, Saga, Stage};
use tap::{Harm, How, Place, Step, Times, When};

const CHECK_OUT: Begin = Begin::CheckOut;
const CONFIRM: Begin = Begin::Ask {
    from: |placed| placed.payment.status == Status::RequiresAction,
    command: || Command::ConfirmPayment { succeed: true },
};
const CANCEL: Begin = Begin::Ask {
    from: |placed| placed.phase == Phase::Confirmed,
    command: || Command::Cancel(Canceller::Shopper),
};
const CANCEL_MEANWHILE: Begin = Begin::Ask {
    from: |placed| placed.phase == Phase::Capturing,
    command: || Command::Cancel(Canceller::Shopper),
};
const CANCEL_UNPAID: Begin = Begin::Ask {
    from: |placed| placed.payment.status == Status::RequiresAction,
    command: || Command::Cancel(Canceller::Shopper),
};
const REFUND: Begin = Begin::Ask {
    from: |placed| placed.phase == Phase::Confirmed,
    command: || Command::Refund {
        refund: RefundId(Uuid::from_u128(1)),
        amount: Money::eur(1_000),
        reason: "a scratch".to_owned(),
    },
};

/// Every saga. Its columns: name, how it is paid, units on the shelf, how it begins, how it ends, why
/// if cancelled, how many different steps it has at least.
#[rustfmt::skip]
const SAGAS: [Saga; 9] = [
    saga("checkout",                "tok_approve",           [5, 5], CHECK_OUT,        (Phase::Confirmed, Status::Captured),          None,                     26),
    saga("checkout, told twice",    "tok_duplicate_webhook", [5, 5], CHECK_OUT,        (Phase::Confirmed, Status::Captured),          None,                     28),
    saga("checkout, with a step",   "tok_3ds",               [5, 5], CONFIRM,          (Phase::Confirmed, Status::Captured),          None,                     16),
    saga("checkout, declined",      "tok_decline",           [5, 5], CHECK_OUT,        (Phase::Cancelled, Status::Declined),          Some("payment_declined"), 19),
    saga("checkout, sold out",      "tok_approve",           [5, 0], CHECK_OUT,        (Phase::Cancelled, Status::Voided),            Some("out_of_stock"),     19),
    saga("cancellation, paid",      "tok_approve",           [5, 5], CANCEL,           (Phase::Cancelled, Status::Refunded),          Some("by_shopper"),       13),
    saga("cancellation, meanwhile", "tok_timeout_charged",   [5, 5], CANCEL_MEANWHILE, (Phase::Cancelled, Status::Refunded),          Some("by_shopper"),       13),
    saga("cancellation, not paid",  "tok_3ds",               [5, 5], CANCEL_UNPAID,    (Phase::Cancelled, Status::Voided),            Some("by_shopper"),        9),
    saga("refund",                  "tok_approve",           [5, 5], REFUND,           (Phase::Confirmed, Status::PartiallyRefunded), None,                      6),
];

const fn saga(
    name: &'static str,
    token: &'static str,
    shelf: [i64; 2],
    begin: Begin,
    end: (Phase, Status),
    reason: Option<&'static str>,
    steps: usize,
) -> Saga {
    Saga {
        name,
        token,
        shelf,
        begin,
        end,
        reason,
        steps,
    }
}

/// Plays on a virtual clock of its own.
fn play<T>(scene: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    // What a shop logs on bad days is no news here.
    let silence = tracing::subscriber::NoSubscriber::new();
    tracing::subscriber::with_default(silence, || runtime.block_on(scene))
}

/// A saga as it goes when nothing fails.
struct Clean {
    outcome: Outcome,
    /// Each step, and how often it is taken.
    steps: BTreeMap<Step, usize>,
}

impl Saga {
    fn clean(&self) -> Clean {
        let (stage, outcome) = play(async {
            let (mut stage, _) = Stage::play(self, &Harm::default()).await;
            assert!(stage.quiet().await);
            let outcome = stage.outcome();
            assert!(stage.outwait().await);
            assert_eq!(stage.end().await, Ok(()), "{}", self.name);
            (stage.tap, outcome)
        });
        assert_eq!(
            (outcome.order, outcome.reason.as_deref()),
            (Some(self.end), self.reason),
            "{}",
            self.name
        );
        let mut steps = BTreeMap::new();
        for step in stage.seen() {
            *steps.entry(step).or_default() += 1;
        }
        // A saga whose steps are not seen would pass everything.
        assert!(
            steps.len() >= self.steps,
            "{} has only {} steps",
            self.name,
            steps.len()
        );
        Clean { outcome, steps }
    }

    /// Lets harm come to the saga that is over before its end: the end must be the same.
    fn bears(&self, clean: &Clean, harm: &Harm) -> Result<(), String> {
        play(async {
            let (mut stage, begun) = Stage::play(self, harm).await;
            let mut quiet = stage.quiet().await;
            if harm.fault.is_none() {
                stage.deliver_again().await;
            }
            let outcome = stage.outcome();
            quiet &= stage.outwait().await;
            if !begun || !quiet {
                return Err(format!("begun: {begun}, at rest: {quiet}"));
            }
            if harm.fault.is_some() && stage.tap.struck() != 1 {
                return Err(format!("the step failed {} times", stage.tap.struck()));
            }
            same(&clean.outcome, &outcome)?;
            same(&clean.outcome, &stage.outcome())?;
            stage.end().await
        })
    }

    /// Lets a step never work again: the saga ends compensated, or a dead letter names the step.
    /// Answers with what ran that does not run when nothing fails.
    fn survives(&self, clean: &Clean, harm: &Harm) -> Result<BTreeSet<Step>, String> {
        play(async {
            let (mut stage, begun) = Stage::play(self, harm).await;
            let quiet = stage.quiet().await && stage.outwait().await;
            let outcome = stage.outcome();
            let letters = stage.letters().await;
            let Some((step, ..)) = &harm.fault else {
                return Err("nothing fails".to_owned());
            };
            if stage.tap.struck() == 0 {
                return Err("the step never failed".to_owned());
            }
            let mut ends = Vec::new();
            if letters.is_empty() && outcome == clean.outcome {
                ends.push("the same end");
            }
            if letters.is_empty() && compensated(&outcome) {
                ends.push("compensated");
            }
            if outcome
                .refunds
                .iter()
                .any(|(_, stage)| *stage == RefundStage::Failed)
            {
                ends.push("a refund says that it failed");
            }
            let named = |about: &Step| about == step || stage.tap.behalf().contains(about);
            if !letters.is_empty() {
                if let Some((letter, about)) = letters.iter().find(|(_, about)| !named(about)) {
                    return Err(format!("a dead letter is about {about}: {}", letter.reason));
                }
                ends.push("dead letters");
            }
            if !begun || !quiet || ends.is_empty() {
                return Err(format!(
                    "begun: {begun}, at rest: {quiet}, without a trace of the failure: {outcome:?}"
                ));
            }
            // While a letter waits the provider may have done what the order has not heard of.
            if letters.is_empty() {
                stage.money()?;
            }
            stage.remedy().await;
            stage.end().await?;
            ended(&stage.outcome())?;
            let seen = stage.tap.seen().into_iter();
            Ok(seen.filter(|step| !clean.steps.contains_key(step)).collect())
        })
    }

    /// How a step can fail once.
    fn hows(place: Place) -> &'static [How] {
        match place {
            Place::Journal => &[
                How::NotDone,
                How::Lost,
                How::Unheard,
                How::DiesBefore,
                How::DiesAfter,
            ],
            _ => &[How::NotDone, How::Unheard, How::DiesBefore, How::DiesAfter],
        }
    }

    /// How a step can fail for good. The journal takes events or is away; it refuses none for good.
    fn for_good(place: Place) -> &'static [How] {
        match place {
            Place::Journal => &[],
            Place::Notice => &[How::NotDone],
            Place::Consumer => &[How::NotDone, How::Unheard, How::Refused],
            Place::Provider | Place::Post => &[How::NotDone, How::Unheard, How::Refused],
        }
    }
}

fn same(clean: &Outcome, outcome: &Outcome) -> Result<(), String> {
    if clean == outcome {
        Ok(())
    } else {
        Err(format!("ends as {outcome:#?}\ninstead of {clean:#?}"))
    }
}

/// Whether an order is over and left nothing behind.
fn compensated(outcome: &Outcome) -> bool {
    let given: i64 = outcome.refunds.iter().map(|(amount, _)| amount).sum();
    outcome.order.is_some_and(|(phase, _)| phase == Phase::Cancelled)
        && outcome.taken == given
        && outcome.shelf.iter().all(|levels| levels.held + levels.sold == 0)
}

/// After every remedy an order is over: paid with its units sold, or cancelled with nothing left.
fn ended(outcome: &Outcome) -> Result<(), String> {
    let given: i64 = outcome
        .refunds
        .iter()
        .filter(|(_, stage)| *stage == RefundStage::Done)
        .map(|(amount, _)| amount)
        .sum();
    let held: u64 = outcome.shelf.iter().map(|levels| levels.held).sum();
    let sold: u64 = outcome.shelf.iter().map(|levels| levels.sold).sum();
    let right = match outcome.order {
        Some((Phase::Confirmed, _)) => outcome.taken > 0 && (held, sold) == (0, 2),
        Some((Phase::Cancelled, _)) => outcome.taken == given && (held, sold) == (0, 0),
        _ => false,
    };
    if right {
        Ok(())
    } else {
        Err(format!("is not over: {outcome:?}"))
    }
}

/// What went wrong, of everything that was played.
#[derive(Default)]
struct Score {
    played: usize,
    wrong: Vec<String>,
}

impl Score {
    fn take<T>(&mut self, saga: &Saga, harm: &Harm, result: Result<T, String>) -> Option<T> {
        self.played += 1;
        result
            .map_err(|what| self.wrong.push(format!("{}: {harm}: {what}", saga.name)))
            .ok()
    }

    fn judge(self) {
        assert!(
            self.wrong.is_empty(),
            "{} of {} went wrong:\n{}",
            self.wrong.len(),
            self.played,
            self.wrong.join("\n")
        );
    }
}

/// Fails each step in each way, with everything else run as often as `times` says; answers with the
/// compensations that ran.
fn fail_each_step(saga: &Saga, times: Times, score: &mut Score) -> BTreeSet<Step> {
    let clean = saga.clean();
    let mut compensations = BTreeSet::new();
    for (step, count) in &clean.steps {
        for how in Saga::hows(step.place) {
            for n in 0..*count {
                let fault = Some((step.clone(), *how, When::Once(n)));
                let harm = Harm { fault, times };
                score.take(saga, &harm, saga.bears(&clean, &harm));
            }
        }
        for how in Saga::for_good(step.place) {
            let fault = Some((step.clone(), *how, When::Always));
            let harm = Harm { fault, times };
            compensations.extend(
                score
                    .take(saga, &harm, saga.survives(&clean, &harm))
                    .unwrap_or_default(),
            );
        }
    }
    compensations
}

#[test]
fn every_saga_has_its_steps() {
    for saga in &SAGAS {
        let clean = saga.clean();
        for (step, count) in &clean.steps {
            println!("{}: {count} × {step}", saga.name);
        }
    }
}

#[test]
fn each_step_fails() {
    let mut score = Score::default();
    for saga in &SAGAS {
        fail_each_step(saga, Times::Once, &mut score);
    }
    println!("{} played", score.played);
    score.judge();
}

#[test]
fn each_step_fails_and_compensations_run_twice() {
    let mut score = Score::default();
    let mut compensations = BTreeSet::new();
    for saga in &SAGAS {
        compensations.extend(fail_each_step(saga, Times::TwiceInTurn, &mut score));
    }
    for step in &compensations {
        println!("compensation: {step}");
    }
    for what in ["stock cancelled", "payment cancelled", "void"] {
        assert!(
            compensations.iter().any(|step| step.what == what),
            "{what} never ran"
        );
    }
    println!("{} played", score.played);
    score.judge();
}

#[test]
fn every_step_runs_twice() {
    let mut score = Score::default();
    for saga in &SAGAS {
        let clean = saga.clean();
        for times in [Times::Once, Times::TwiceInTurn, Times::TwiceAtOnce] {
            let harm = Harm { fault: None, times };
            score.take(saga, &harm, saga.bears(&clean, &harm));
        }
    }
    println!("{} played", score.played);
    score.judge();
}

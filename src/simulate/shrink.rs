//! A failing plan, made short: parts are left out as long as the same invariant still breaks.

use super::{Plan, Report, run};

/// How many plans are tried at most.
const TRIES: usize = 400;

/// The shortest plan found that breaks the same invariant as `plan` does, with its report and trace.
///
/// # Errors
/// When the machine gives no runtime.
pub fn shrink(plan: &Plan) -> std::io::Result<(Plan, Report)> {
    let mut best = plan.clone();
    let Some(invariant) = run(&best, false)?.violation.map(|violation| violation.invariant) else {
        let report = run(&best, true)?;
        return Ok((best, report));
    };
    let mut tries = 0;
    let mut chunk = best.size().div_ceil(2).max(1);
    loop {
        let mut from = 0;
        let mut shorter = false;
        while from < best.size() && tries < TRIES {
            let candidate = without(&best, from, chunk);
            tries += 1;
            let found = run(&candidate, false)?.violation;
            if found.is_some_and(|violation| violation.invariant == invariant) {
                best = candidate;
                shorter = true;
            } else {
                from += chunk;
            }
        }
        if tries >= TRIES || (chunk == 1 && !shorter) {
            break;
        }
        chunk = (chunk / 2).max(1);
    }
    let report = run(&best, true)?;
    Ok((best, report))
}

/// The plan without `count` of its parts from `from` on: mishaps first, then steps.
fn without(plan: &Plan, from: usize, count: usize) -> Plan {
    let mut index = 0;
    let mut keep = || {
        let kept = !(from..from + count).contains(&index);
        index += 1;
        kept
    };
    let mut shorter = plan.clone();
    shorter.mishaps.retain(|_| keep());
    for steps in &mut shorter.shoppers {
        steps.retain(|_| keep());
    }
    shorter
}

//! Every bug put in on purpose is found within a stated number of seeds.
#![cfg(test)]

use globalshop::domain::planted::{Bug, plant};
use globalshop::simulate::{Plan, run};

/// What shoppers do in each run; as in the runs without a bug.
const STEPS: u32 = 60;

/// Within how many seeds each bug must be found: about five times as many as it took.
const fn within(bug: Bug) -> u64 {
    match bug {
        Bug::OutrunsTheQueue | Bug::RefundTwice => 700,
        _ => 200,
    }
}

/// One test for all: a bug is planted in the whole process.
#[test]
fn every_planted_bug_is_found() {
    let one = Bug::OF_ONE_NODE.into_iter().map(|bug| (bug, [1, 1]));
    let several = Bug::OF_TWO_NODES.into_iter().map(|bug| (bug, [2, 3]));
    let mut missed = Vec::new();
    for (bug, nodes) in one.chain(several) {
        plant(Some(bug));
        let found = (0..within(bug)).find_map(|seed| {
            let nodes = nodes[usize::from(seed % 2 == 1)];
            let report = run(&Plan::draw(seed, STEPS, Some(nodes)), false).expect("a runtime");
            report.violation.map(|violation| (seed, violation))
        });
        plant(None);
        match found {
            Some((seed, violation)) => println!("{bug:?}: seed {seed}: {violation}"),
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}

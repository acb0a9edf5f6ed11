//! `globalshop simulate`: the whole shop on a virtual clock, from a seed.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::Failed;
use crate::simulate::shrink::shrink;
use crate::simulate::{Plan, Report, run};

/// Run the whole shop on a virtual clock, with everything going wrong that can, from a seed.
#[derive(Args, Debug)]
pub struct SimulateArgs {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds, one after the other.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// What shoppers do in each, in all.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    steps: u32,
    /// How many nodes; drawn from the seed otherwise.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=5))]
    nodes: Option<u16>,
    /// Print what happened, line by line.
    #[arg(long)]
    trace: bool,
    /// Print a failing seed as it is, without looking for a shorter history.
    #[arg(long)]
    no_shrink: bool,
    /// One JSON object a seed instead of text.
    #[arg(long)]
    json: bool,
}

/// Runs on a thread of its own: each seed has a runtime of its own, which cannot run inside another.
pub(super) async fn simulate(args: SimulateArgs) -> Result<ExitCode, Failed> {
    tokio::task::spawn_blocking(move || all(&args)).await?
}

fn all(args: &SimulateArgs) -> Result<ExitCode, Failed> {
    let nodes = args.nodes.map(usize::from);
    for seed in args.seed..args.seed.saturating_add(args.seeds) {
        let plan = Plan::draw(seed, args.steps, nodes);
        let report = run(&plan, args.trace)?;
        show(args, &plan, &report);
        if let Some(violation) = &report.violation {
            if !args.no_shrink {
                let (short, report) = shrink(&plan)?;
                println!("the shortest history found:\n{short}");
                report.trace.iter().for_each(|line| println!("{line}"));
            }
            return Err(Failed::new(format!(
                "seed {seed} breaks {violation}; it does so again with: globalshop simulate --seed {seed} --steps {}{}",
                args.steps,
                nodes.map_or(String::new(), |nodes| format!(" --nodes {nodes}")),
            )));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(args: &SimulateArgs, plan: &Plan, report: &Report) {
    if args.json {
        let line = json!({
            "seed": plan.seed,
            "nodes": plan.nodes,
            "mishaps": plan.mishaps.len(),
            "events": report.events,
            "orders": report.orders,
            "virtual_seconds": report.passed.as_secs(),
            "digest": format!("{:016x}", report.digest),
            "violation": report.violation.as_ref().map(ToString::to_string),
        });
        println!("{line}");
        return;
    }
    report.trace.iter().for_each(|line| println!("{line}"));
    println!(
        "seed {}: {} nodes, {} mishaps, {} events, {} orders, {} virtual minutes, digest {:016x}: {}",
        plan.seed,
        plan.nodes,
        plan.mishaps.len(),
        report.events,
        report.orders,
        report.passed.as_secs() / 60,
        report.digest,
        report
            .violation
            .as_ref()
            .map_or("every invariant holds".to_owned(), ToString::to_string),
    );
}

//! `globalshop load`: its options, and the run from the first look around to the report.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use hyper::StatusCode;
use indicatif::{ProgressBar, ProgressStyle};

use super::ack::AckLog;
use super::client::{Call, Client, Target};
use super::payment::Weighted;
use super::report::{Loop, Report};
use super::run::{Run, shop};
use super::shopper::described;
use super::tally::per_second;
use super::{LoadFault, Scenario, audit, prepare};
use crate::clock::Clock;
use crate::machine::allow_open_files;

/// How long a node that answers may take to become ready before a run.
const READY_WITHIN: Duration = Duration::from_secs(15);

/// Send shoppers into a shop and check every answer it gives them.
#[derive(Args, Clone, Debug)]
pub struct LoadArgs {
    /// What the shoppers do.
    #[arg(value_enum)]
    pub scenario: Scenario,
    /// The shop: a plain http address.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// Shoppers at once.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=20_000))]
    pub shoppers: u64,
    /// How long shoppers begin new steps; what they began they finish.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Put only this SKU into carts; with `checkout` and `flash-sale`: one unit each, all at once; with
    /// `fanout`: watch this product and change its price.
    #[arg(long)]
    pub sku: Option<String>,
    /// `flash-sale` without --sku: how many units of its own product are put in stock.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub units: u64,
    /// `fanout`: how many live sockets watch.
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=20_000))]
    pub sockets: u64,
    /// `overload` without --rate: how many times as many calls are due as the shop was just seen to serve.
    #[arg(long, default_value_t = 4.0, value_name = "FACTOR", value_parser = positive)]
    pub times: f64,
    /// The node's process on this machine: its processor time and memory are read in /proc [default: found
    /// in the data folder, else asked in /metrics].
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
    /// How orders are paid: TOKEN, TOKEN=WEIGHT (repeatable) or `mix` [default: tok_approve].
    #[arg(long, value_name = "TOKEN[=WEIGHT]")]
    pub payment_token: Vec<Weighted>,
    /// Append every acknowledged write to this file, on the disk before the shopper goes on.
    #[arg(long, value_name = "FILE")]
    pub acks: Option<PathBuf>,
    /// Open loop: calls a second by a schedule, latencies from the moment they were due.
    #[arg(long, value_parser = positive)]
    pub rate: Option<f64>,
    /// End after this many orders [default with --sku: one a shopper].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub orders: Option<u64>,
    /// Fail unless exactly this many orders are confirmed.
    #[arg(long, value_name = "N")]
    pub expect_confirmed: Option<u64>,
    /// Learn the end of an order by polling instead of from the live feed.
    #[arg(long)]
    pub poll: bool,
    /// Of 100 calls of `cart`, how many only read.
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u64).range(0..=100))]
    pub reads: u64,
    /// Make the same choices again.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Bear a crash: wait for /readyz, then send the same write with the same key again.
    #[arg(long)]
    pub survive: bool,
    /// How long a call bears it, in seconds.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub survive_for: u64,
    /// How long one call may take, in seconds.
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,
    /// How long an order may take to its end, and then to give an authorisation back, in seconds.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub end_within: u64,
    /// An operator's token: asks for the invariants after the run.
    #[arg(long)]
    pub token: Option<String>,
    /// A seller's token: counts the stock of --sku before and after.
    #[arg(long, value_name = "TOKEN")]
    pub seller_token: Option<String>,
    /// The data folder of the node: its key signs the tokens that are not given.
    // The shoppers stand outside the shop and sign nothing: `main` fills in both tokens.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Do not ask for the invariants.
    #[arg(long)]
    pub no_audit: bool,
}

impl LoadArgs {
    /// The token that may read stock: a seller's, or else the one there is.
    #[must_use]
    pub fn stock_token(&self) -> Option<&str> {
        self.seller_token.as_deref().or(self.token.as_deref())
    }
}

fn positive(text: &str) -> Result<f64, String> {
    let rate = text
        .parse()
        .ok()
        .filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| "a number above 0".to_owned())
}

/// Runs, prints the report, and says how the process should end: 0 if every check held, else 1.
pub async fn run(args: LoadArgs, clock: Clock) -> Result<ExitCode, LoadFault> {
    let as_json = args.json;
    let report = play(args, clock).await?;
    let mut out = std::io::stdout().lock();
    let written = if as_json {
        serde_json::to_writer(&mut out, &report)
            .map_err(std::io::Error::from)
            .and_then(|()| writeln!(out))
    } else {
        write!(out, "{report}")
    };
    written.and_then(|()| out.flush()).map_err(LoadFault::Output)?;
    Ok(ExitCode::from(u8::from(!report.ok)))
}

/// Runs and reports, without printing anything but progress on a terminal.
pub async fn play(mut args: LoadArgs, clock: Clock) -> Result<Report, LoadFault> {
    if args.scenario == Scenario::Fanout {
        // There is one seller; the sockets only listen.
        args.shoppers = 1;
    }
    if args.scenario == Scenario::Overload {
        // By a schedule: whoever waits for an answer makes no other call meanwhile.
        args.shoppers = args.shoppers.max(256);
    }
    // Each shopper needs two.
    allow_open_files();
    let target = Target::resolve(&args.url).await?;
    let acks = args.acks.as_deref().map(AckLog::open).transpose()?;
    let mut client = Client::new(target.clone(), Duration::from_secs(args.timeout));
    wait_ready(&mut client, &clock, args.survive).await?;
    let mut run = Run::new(args, clock, target, acks);
    let script = prepare(run.args.scenario, &mut client, &run).await?;
    run.begin();
    let run = Arc::new(run);
    let progress = show_progress(&run);
    let shopped = shop(&run, Arc::clone(&script)).await;
    progress.abort();
    let took = shopped?;
    let mut report = figures(&run, took);
    script.close(&run, &mut report).await;
    if let Some(orders) = &mut report.orders {
        orders.confirmed_per_second = per_second(orders.confirmed, took);
    }
    if let Some(token) = run.args.token.as_deref().filter(|_| !run.args.no_audit) {
        report.invariants = Some(audit::invariants(&mut client, token, &run.tally).await?);
    }
    report.checks = run.tally.checks();
    report.ok = report.checks.failed == 0;
    Ok(report)
}

fn figures(run: &Run, took: Duration) -> Report {
    let pace = match (run.args.rate, run.pace.kept(run.end().min(run.clock.instant()))) {
        (Some(rate), Some((due, made))) => Loop::Open { rate, due, made },
        _ => Loop::Closed,
    };
    let (calls, _) = run.tally.so_far();
    Report {
        ok: false,
        scenario: run.args.scenario.name(),
        url: run.args.url.clone(),
        seed: run.seed,
        shoppers: run.args.shoppers,
        seconds: (took.as_secs_f64() * 1_000.0).round() / 1_000.0,
        pace,
        correction: pace.correction(),
        calls,
        calls_per_second: per_second(calls, took),
        kinds: run.tally.figures(took, run.args.shoppers, pace == Loop::Closed),
        checks: run.tally.checks(),
        orders: None,
        sale: None,
        fanout: None,
        overload: None,
        outages: run.args.survive.then(|| run.outages()),
        invariants: None,
        notes: run.notes(),
    }
}

/// A node that does not answer is unreachable at once; one that is starting gets a moment.
async fn wait_ready(client: &mut Client, clock: &Clock, survive: bool) -> Result<(), LoadFault> {
    let until = clock.instant() + READY_WITHIN;
    loop {
        let not_ready = match client.send(&Call::get("/readyz")).await {
            Ok(answer) if answer.status == StatusCode::OK => return Ok(()),
            Ok(answer) => LoadFault::NotReady(described(&answer)),
            Err(fault) if !survive => return Err(LoadFault::Unreachable(fault)),
            Err(fault) => LoadFault::Unreachable(fault),
        };
        if clock.instant() >= until {
            return Err(not_ready);
        }
        clock.sleep(Duration::from_millis(100)).await;
    }
}

/// A line on the terminal while the shoppers are in.
fn show_progress(run: &Arc<Run>) -> tokio::task::JoinHandle<()> {
    let run = Arc::clone(run);
    tokio::spawn(async move {
        if !std::io::stderr().is_terminal() {
            return;
        }
        let bar = ProgressBar::new(run.args.seconds);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {bar:30} {msg}") {
            bar.set_style(style);
        }
        loop {
            run.clock.sleep(Duration::from_millis(250)).await;
            let (calls, failed) = run.tally.so_far();
            bar.set_position(bar.elapsed().as_secs().min(run.args.seconds));
            bar.set_message(format!("{calls} calls, {failed} failed checks"));
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        load: LoadArgs,
    }

    fn parse(line: &str) -> Result<LoadArgs, clap::Error> {
        Cli::try_parse_from(line.split(' ')).map(|cli| cli.load)
    }

    #[test]
    fn the_command_line_is_the_contracts() {
        let args = parse(
            "load checkout --url http://h:1 --shoppers 400 --seconds 3 --json --sku TV-1 \
                          --payment-token mix --payment-token tok_decline=9 --acks a.jsonl",
        )
        .unwrap();
        assert_eq!((args.shoppers, args.seconds, args.json), (400, 3, true));
        assert_eq!((args.sku.as_deref(), args.payment_token.len()), (Some("TV-1"), 2));
        assert_eq!(args.stock_token(), None);
        for wrong in [
            "load",
            "load fly",
            "load cart --shoppers 0",
            "load cart --rate 0",
            "load cart --rate nan",
            "load checkout --payment-token gold",
            "load cart --reads 101",
            "load cart --seconds -1",
        ] {
            assert_eq!(parse(wrong).unwrap_err().exit_code(), 2, "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_shop_that_is_not_there_is_one_sentence_and_exit_code_1() {
        let free = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let args = parse(&format!("load cart --url http://{free} --seconds 1")).unwrap();
        let fault = play(args, Clock::system()).await.unwrap_err();
        assert_eq!(
            (fault.to_string().as_str(), fault.exit_code()),
            ("the shop does not answer", 1)
        );
        let args = parse("load cart --url https://127.0.0.1").unwrap();
        assert_eq!(play(args, Clock::system()).await.unwrap_err().exit_code(), 2);
    }
}

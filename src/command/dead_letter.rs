//! `globalshop dead-letters`: what could not be handled, and trying it again.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::door::Door;
use super::tree::encoded;
use super::{Failed, Reach};
use crate::accounts::Role;

/// List, show and redrive dead letters: events a consumer could not handle within its budget.
#[derive(Args, Debug)]
pub struct DeadLetterArgs {
    #[command(subcommand)]
    command: DeadLetterCommand,
}

#[derive(Debug, Subcommand)]
enum DeadLetterCommand {
    /// List dead letters, oldest first.
    List(ListArgs),
    /// Show one dead letter and its event, without personal data.
    Show(ShowArgs),
    /// Hand events to their consumers once more.
    ///
    /// Ends with 1 if one of them was tried in vain or not reached.
    Redrive(RedriveArgs),
}

/// What may have become of a letter.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    Waiting,
    Parked,
    Done,
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Parked => "parked",
            Self::Done => "done",
        }
    }
}

#[derive(Args, Debug)]
struct ListArgs {
    #[command(flatten)]
    reach: Reach,
    /// Only of this consumer.
    #[arg(long)]
    consumer: Option<String>,
    /// Only of this entity, `kind/key`.
    #[arg(long)]
    entity: Option<String>,
    /// Only in this state.
    #[arg(long, value_enum)]
    state: Option<State>,
    /// How many at most.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct ShowArgs {
    #[command(flatten)]
    reach: Reach,
    /// The letter.
    id: String,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("which").args(["id", "consumer", "entity", "all"]).required(true).multiple(true))]
struct RedriveArgs {
    #[command(flatten)]
    reach: Reach,
    /// These letters, also if they are parked.
    #[arg(conflicts_with_all = ["consumer", "entity", "all"])]
    id: Vec<String>,
    /// Every waiting letter of this consumer.
    #[arg(long, conflicts_with = "all")]
    consumer: Option<String>,
    /// Every waiting letter of this entity, `kind/key`.
    #[arg(long, conflicts_with = "all")]
    entity: Option<String>,
    /// Every waiting letter.
    #[arg(long)]
    all: bool,
    /// Try nothing; say what would be tried.
    #[arg(long)]
    dry_run: bool,
    /// Why, for the audit.
    #[arg(long)]
    reason: Option<String>,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub(super) async fn dead_letters(args: DeadLetterArgs) -> Result<ExitCode, Failed> {
    match args.command {
        DeadLetterCommand::List(args) => list(args).await,
        DeadLetterCommand::Show(args) => show(args).await,
        DeadLetterCommand::Redrive(args) => redrive(args).await,
    }
}

async fn list(args: ListArgs) -> Result<ExitCode, Failed> {
    let door = args.reach.open(Role::Operator).await?;
    let found = letters(&door, &args).await;
    door.close().await;
    let items = found?;
    if args.json {
        println!("{}", json!({ "items": items }));
        return Ok(ExitCode::SUCCESS);
    }
    if items.is_empty() {
        println!("no dead letters");
    }
    for letter in &items {
        println!(
            "{}  {:<8} {:<9} {}#{}  tried {}, redriven {}  {}",
            text(letter, "id"),
            text(letter, "state"),
            text(letter, "consumer"),
            text(letter, "entity"),
            letter["sequence"],
            letter["attempts"],
            letter["redrives"],
            text(letter, "reason"),
        );
    }
    Ok(ExitCode::SUCCESS)
}

async fn letters(door: &Door, args: &ListArgs) -> Result<Vec<Value>, Failed> {
    let limit = usize::try_from(args.limit)?;
    let mut filter = String::new();
    for (name, value) in [
        ("consumer", args.consumer.as_deref()),
        ("entity", args.entity.as_deref()),
        ("state", args.state.map(State::as_str)),
    ] {
        if let Some(value) = value {
            filter.push_str(&format!("&{name}={}", encoded(value)));
        }
    }
    let mut items = Vec::new();
    let mut cursor = String::new();
    while items.len() < limit {
        let size = (limit - items.len()).min(100);
        let page = door
            .get(&format!("/ops/v1/dead-letters?limit={size}{filter}{cursor}"))
            .await?;
        items.extend(page["items"].as_array().cloned().unwrap_or_default());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={}", encoded(next)),
            None => break,
        }
    }
    Ok(items)
}

async fn show(args: ShowArgs) -> Result<ExitCode, Failed> {
    let door = args.reach.open(Role::Operator).await?;
    let found = door
        .get(&format!("/ops/v1/dead-letters/{}", encoded(&args.id)))
        .await;
    door.close().await;
    let letter = found?;
    if args.json {
        println!("{letter}");
        return Ok(ExitCode::SUCCESS);
    }
    let fields = letter.as_object().into_iter().flatten();
    for (name, value) in fields.filter(|(name, _)| *name != "event") {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        println!("{name:<11} {value}");
    }
    println!("event       {}", serde_json::to_string_pretty(&letter["event"])?);
    Ok(ExitCode::SUCCESS)
}

async fn redrive(args: RedriveArgs) -> Result<ExitCode, Failed> {
    let door = args.reach.open(Role::Operator).await?;
    let redriven = redrive_through(&door, &args).await;
    door.close().await;
    let items = redriven?;
    if args.json {
        println!("{}", json!({ "items": items }));
    } else {
        if items.is_empty() {
            println!("no dead letters to redrive");
        }
        for item in &items {
            println!(
                "{}  {:<9} {}",
                text(item, "id"),
                text(item, "outcome"),
                text(item, "reason")
            );
        }
    }
    let went_well = |item: &Value| matches!(text(item, "outcome"), "done" | "would_try" | "skipped");
    Ok(if items.iter().all(went_well) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn redrive_through(door: &Door, args: &RedriveArgs) -> Result<Vec<Value>, Failed> {
    let mut body = json!({ "dry_run": args.dry_run });
    if let Some(reason) = &args.reason {
        body["reason"] = json!(reason);
    }
    if args.id.is_empty() {
        if let Some(consumer) = &args.consumer {
            body["consumer"] = json!(consumer);
        }
        if let Some(entity) = &args.entity {
            body["entity"] = json!(entity);
        }
        let answer = door.post("/ops/v1/dead-letters/redrive", &body).await?;
        return Ok(answer["items"].as_array().cloned().unwrap_or_default());
    }
    let mut items = Vec::with_capacity(args.id.len());
    for id in &args.id {
        let path = format!("/ops/v1/dead-letters/{}/redrive", encoded(id));
        items.push(door.post(&path, &body).await?);
    }
    Ok(items)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

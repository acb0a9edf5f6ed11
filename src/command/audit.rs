//! `globalshop audit`: the invariants, checked on a live or a stopped system.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{Failed, Reach};
use crate::accounts::Role;
use crate::clock::Clock;
use crate::load::client::Target;
use crate::load::recheck::{Question, recheck};

/// Check the invariants I1 to I9; exit 0 only if all hold.
#[derive(Args, Debug)]
pub struct AuditArgs {
    #[command(flatten)]
    reach: Reach,
    /// Also check that every write acknowledged in this file (of `load --acks`) is there.
    #[arg(long, value_name = "FILE")]
    acks: Option<PathBuf>,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub(super) async fn audit(args: AuditArgs) -> Result<ExitCode, Failed> {
    let door = match &args.acks {
        Some(_) => args.reach.open_listening(Role::Operator).await?,
        None => args.reach.open(Role::Operator).await?,
    };
    let result = check(&door, &args).await;
    door.close().await;
    let (report, holds) = result?;
    if args.json {
        println!("{report}");
    } else {
        for item in report["items"].as_array().into_iter().flatten() {
            let verdict = match item["holds"].as_bool() {
                Some(true) => "holds",
                Some(false) => "BROKEN",
                None => "not checked",
            };
            let reason = item["reason"].as_str().unwrap_or_default();
            println!(
                "{:<3} {verdict:<12} {} {reason}",
                item["id"].as_str().unwrap_or_default(),
                item["figures"]
            );
        }
        if !report["acks"].is_null() {
            println!("acknowledged writes: {}", report["acks"]);
        }
    }
    Ok(if holds {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn check(door: &super::door::Door, args: &AuditArgs) -> Result<(serde_json::Value, bool), Failed> {
    let mut report = door.get("/ops/v1/invariants").await?;
    let mut holds = report["items"]
        .as_array()
        .is_some_and(|items| items.iter().all(|item| item["holds"].as_bool() != Some(false)));
    if let Some(file) = &args.acks {
        let (url, token) = door.address()?;
        let question = Question {
            target: Target::resolve(&url).await?,
            token: Some(token),
            replay: false,
            clock: Clock::system(),
        };
        let kept = recheck(file, &question).await?;
        holds &= kept.holds();
        report["acks"] = serde_json::to_value(&kept)?;
    }
    Ok((report, holds))
}

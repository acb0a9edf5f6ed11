//! `globalshop tree`: the supervision tree as text.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::{Failed, Reach};
use crate::accounts::Role;

/// Show the supervision tree.
#[derive(Args, Debug)]
pub struct TreeArgs {
    #[command(flatten)]
    reach: Reach,
    /// Only actors of this kind.
    #[arg(long)]
    kind: Option<String>,
    /// Sums by kind instead of actors.
    #[arg(long, conflicts_with = "kind")]
    aggregate: bool,
    /// How many actors at most.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub(super) async fn tree(args: TreeArgs) -> Result<ExitCode, Failed> {
    let door = args.reach.open(Role::Operator).await?;
    let items = if args.aggregate {
        door.get("/ops/v1/tree?aggregate=kind").await?["items"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    } else {
        actors(&door, &args).await?
    };
    door.close().await;
    if args.json {
        println!("{}", serde_json::json!({ "items": items }));
    } else if args.aggregate {
        println!(
            "{:<14} {:>8} {:>8} {:>12} {:>9} {:>9}",
            "kind", "actors", "mailbox", "handled", "p99 µs", "restarts"
        );
        for sums in &items {
            let figure = |name: &str| sums[name].as_u64().unwrap_or(0);
            println!(
                "{:<14} {:>8} {:>8} {:>12} {:>9} {:>9}",
                sums["kind"].as_str().unwrap_or_default(),
                figure("actors"),
                figure("mailbox"),
                figure("handled"),
                figure("p99_us"),
                figure("restarts"),
            );
        }
    } else {
        for actor in &items {
            line(actor);
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn actors(door: &super::door::Door, args: &TreeArgs) -> Result<Vec<Value>, Failed> {
    let limit = usize::try_from(args.limit)?;
    let mut items = Vec::new();
    let mut cursor = None::<String>;
    while items.len() < limit {
        let mut query = format!("?limit={}", (limit - items.len()).min(100));
        if let Some(kind) = &args.kind {
            query.push_str("&kind=");
            query.push_str(&encoded(kind));
        }
        if let Some(cursor) = &cursor {
            query.push_str("&cursor=");
            query.push_str(&encoded(cursor));
        }
        let page = door.get(&format!("/ops/v1/tree{query}")).await?;
        items.extend(page["items"].as_array().cloned().unwrap_or_default());
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    Ok(items)
}

/// A query value, percent-encoded.
pub(super) fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

fn line(actor: &Value) {
    let path = actor["path"].as_str().unwrap_or_default();
    let depth = path.matches('/').count() / 2;
    let name = path.rsplit('/').take(2).collect::<Vec<_>>();
    let name = name.into_iter().rev().collect::<Vec<_>>().join("/");
    println!(
        "{:indent$}{name}  {}  mailbox {}  handled {}{}",
        "",
        actor["state"].as_str().unwrap_or_default(),
        actor["mailbox"],
        actor["handled"],
        actor["last_error"]
            .as_str()
            .map(|error| format!("  last error: {error}"))
            .unwrap_or_default(),
        indent = depth * 2,
    );
}

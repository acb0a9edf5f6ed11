//! `globalshop import`: a catalogue file into the shop, with a progress bar and a file of refused rows.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use hyper::Method;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::door::Door;
use super::{Failed, Reach};
use crate::accounts::Role;
use crate::clock::Clock;
use crate::import::Format;

/// How often progress is asked for.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// How long an import may stand still before the command gives up waiting for it.
const STILL_LIMIT: Duration = Duration::from_secs(120);

/// Import a catalogue file.
#[derive(Args, Debug)]
pub struct ImportArgs {
    /// The file (plain, zipped or gzipped), or a folder of such files.
    file: PathBuf,
    /// `auto`, `icecat`, `shopify-csv` or `jsonl`.
    #[arg(long, default_value = "auto")]
    format: String,
    /// The currency of prices that name none.
    #[arg(long, default_value = "EUR")]
    currency: String,
    /// Units for new SKUs whose stock the file does not say.
    #[arg(long, value_name = "N")]
    stock: Option<u32>,
    /// Read and judge every row, write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Where refused rows are told [default: FILE.rejected.jsonl].
    #[arg(long, value_name = "FILE")]
    rejected: Option<PathBuf>,
    #[command(flatten)]
    reach: Reach,
}

pub(super) async fn import(args: ImportArgs) -> Result<ExitCode, Failed> {
    if args.format != "auto" {
        args.format.parse::<Format>()?;
    }
    let files = files(&args.file)?;
    let door = args.reach.open(Role::Seller).await?;
    let mut failed = false;
    let mut result = Ok(());
    for file in &files {
        result = one(&door, &args, file).await.map(|done| failed |= !done);
        if result.is_err() {
            break;
        }
    }
    door.close().await;
    result?;
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// The files of a folder in the order of their names; a file is itself.
fn files(path: &Path) -> Result<Vec<PathBuf>, Failed> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(path)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.is_file() && Format::detect(path).is_ok())
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(Failed::new(format!("{} holds no catalogue file", path.display())));
    }
    Ok(files)
}

/// Imports one file; `false` if it failed.
async fn one(door: &Door, args: &ImportArgs, file: &Path) -> Result<bool, Failed> {
    let bytes = std::fs::read(file)
        .map_err(|error| Failed::new(format!("{} cannot be read: {error}", file.display())))?;
    // The same file with the same wishes has the same key within an hour: a command that was
    // interrupted and is run again finds its import.
    let clock = Clock::system();
    let mut key = Sha256::new();
    key.update(&bytes);
    key.update(format!(
        "{}{}{:?}{}{}",
        args.format,
        args.currency,
        args.stock,
        args.dry_run,
        clock.now().0 / 3_600_000
    ));
    let key: String = key.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut path = format!(
        "/v1/imports?format={}&currency={}&dry_run={}",
        args.format, args.currency, args.dry_run
    );
    if let Some(stock) = args.stock {
        path.push_str(&format!("&stock={stock}"));
    }
    let body = Some(("application/octet-stream", bytes));
    let taken = door
        .call(Method::POST, &path, body, Some(&key))
        .await?
        .success()?;
    let id = taken["import_id"]
        .as_str()
        .ok_or_else(|| Failed::new("the shop named no import"))?;
    let done = follow(door, &clock, id, file).await?;
    let rejected = args.rejected.clone().unwrap_or_else(|| {
        let mut name = file.file_name().unwrap_or_default().to_owned();
        name.push(".rejected.jsonl");
        PathBuf::from(name)
    });
    tell(door, id, &done, file, &rejected).await
}

async fn follow(door: &Door, clock: &Clock, id: &str, file: &Path) -> Result<Value, Failed> {
    let bar = if std::io::stderr().is_terminal() {
        ProgressBar::new(0)
    } else {
        ProgressBar::hidden()
    };
    let style = "{prefix} {bar:30} {bytes}/{total_bytes} {msg}";
    bar.set_style(ProgressStyle::with_template(style)?);
    bar.set_prefix(
        file.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
    );
    let mut moved = (clock.instant(), -1);
    loop {
        let now = door.get(&format!("/v1/imports/{id}")).await?;
        let figure = |name: &str| now[name].as_u64().unwrap_or(0);
        bar.set_length(figure("bytes_total"));
        bar.set_position(figure("bytes_read"));
        bar.set_message(format!("{} rows, {} refused", figure("rows"), figure("rejected")));
        if let Some("done" | "failed") = now["status"].as_str() {
            bar.finish_and_clear();
            return Ok(now);
        }
        let rows = now["rows"].as_i64().unwrap_or(0);
        if rows != moved.1 {
            moved = (clock.instant(), rows);
        }
        if clock.instant() - moved.0 > STILL_LIMIT {
            return Err(Failed::new(format!(
                "the import {id} stands still; it goes on in the background"
            )));
        }
        clock.sleep(ASK_EVERY).await;
    }
}

/// Says how it went; writes the refused rows into a file of their own.
async fn tell(door: &Door, id: &str, done: &Value, file: &Path, rejected: &Path) -> Result<bool, Failed> {
    let figure = |name: &str| done[name].as_i64().unwrap_or(0);
    println!(
        "{}: {} rows, {} new, {} changed, {} unchanged, {} refused{}",
        file.display(),
        figure("rows"),
        figure("created"),
        figure("changed"),
        figure("unchanged"),
        figure("rejected"),
        if done["dry_run"] == Value::Bool(true) {
            " (dry run: nothing was written)"
        } else {
            ""
        },
    );
    if figure("rejected") > 0 {
        let mut out = std::io::BufWriter::new(std::fs::File::create(rejected)?);
        let mut after = -1;
        loop {
            let page = door.get(&format!("/v1/imports/{id}?after_row={after}")).await?;
            let rows = page["rejections"].as_array().cloned().unwrap_or_default();
            let Some(last) = rows.last() else {
                break;
            };
            after = last["row"].as_i64().unwrap_or(i64::MAX);
            for row in &rows {
                writeln!(out, "{row}")?;
            }
        }
        out.flush()?;
        println!("Refused rows, with reasons: {}", rejected.display());
    }
    if let Some(error) = done["error"].as_str() {
        eprintln!("globalshop: {}: {error}", file.display());
        return Ok(false);
    }
    Ok(true)
}

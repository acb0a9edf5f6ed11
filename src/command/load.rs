//! `globalshop load`: shoppers that check every answer, and who they are.

use std::process::ExitCode;

use clap::Args;

use super::Failed;
use super::door::Running;
use crate::accounts::{Role, SigningKey, long_token};
use crate::clock::Clock;
use crate::load::cli::{self, LoadArgs};
use crate::load::shopper::chain;

/// Send shoppers into a shop and check every answer.
#[derive(Args, Debug)]
pub struct LoadCommand {
    #[command(flatten)]
    load: LoadArgs,
}

pub(super) async fn load(command: LoadCommand) -> Result<ExitCode, Failed> {
    let clock = Clock::system();
    let mut args = command.load;
    if let Some(folder) = &args.data {
        let key = SigningKey::of_used_folder(folder)?;
        let token = |role| -> Result<String, Failed> {
            Ok(long_token(&key, &clock, role, None)?.expose().to_owned())
        };
        if args.token.is_none() {
            args.token = Some(token(Role::Operator)?);
        }
        if args.pid.is_none() {
            args.pid = Running::find(folder).await.map(|running| running.pid);
        }
        if args.seller_token.is_none() {
            args.seller_token = Some(token(Role::Seller)?);
        }
    }
    match cli::run(args, clock).await {
        Ok(code) => Ok(code),
        Err(fault) => {
            eprintln!("globalshop: {}", chain(&fault));
            Ok(ExitCode::from(fault.exit_code()))
        }
    }
}

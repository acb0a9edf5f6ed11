//! `globalshop token` and `globalshop grant`.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use hyper::Method;

use super::{Failed, Reach};
use crate::accounts::{Role, SigningKey, long_token};
use crate::clock::Clock;
use crate::domain::id::CustomerId;

/// A role, as typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleName {
    Shopper,
    Seller,
    Operator,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Shopper => Self::Shopper,
            RoleName::Seller => Self::Seller,
            RoleName::Operator => Self::Operator,
        }
    }
}

/// Print an access token signed with the node's key (12 hours), on the last line.
#[derive(Args, Debug)]
pub struct TokenArgs {
    /// What it may do.
    #[arg(long, value_enum)]
    role: RoleName,
    /// Whose it is; a fresh id if left out.
    #[arg(long, value_name = "ID")]
    customer: Option<CustomerId>,
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn token(args: &TokenArgs) -> Result<ExitCode, Failed> {
    let clock = Clock::system();
    let key = SigningKey::load_or_create(&args.reach.folder()?, &clock)?;
    let token = long_token(&key, &clock, args.role.into(), args.customer)?;
    println!("{}", token.expose());
    Ok(ExitCode::SUCCESS)
}

/// Give a role to an account.
#[derive(Args, Debug)]
pub struct GrantArgs {
    /// The account's e-mail address.
    #[arg(long)]
    email: String,
    /// The role.
    #[arg(long, value_enum)]
    role: RoleName,
    #[command(flatten)]
    reach: Reach,
}

pub(super) async fn grant(args: GrantArgs) -> Result<ExitCode, Failed> {
    let door = args.reach.open(Role::Operator).await?;
    let role = Role::from(args.role);
    let body = serde_json::json!({ "email": args.email, "role": role.name() });
    let body = Some(("application/json", serde_json::to_vec(&body)?));
    let granted = door.call(Method::PUT, "/ops/v1/roles", body, None).await;
    door.close().await;
    let roles = granted?.success()?;
    println!("{} is now: {}", args.email, roles["roles"]);
    Ok(ExitCode::SUCCESS)
}

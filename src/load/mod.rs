//! The load generator: shoppers that check every answer.
//!
//! It stands outside the shop: it speaks HTTP and the live feed as `API.md` describes them and shares
//! no type with the server, so a change of the contract shows here. It must never be the bottleneck
//! (it shares the machine with what it measures) and must never forgive: an answer that breaks a
//! promise is a failed check, and a failed check is exit code 1.
//!
//! Reading order: [`run`] (what a run is), [`shopper`] (what to do with an answer), a scenario such
//! as [`cart`] with its oracle [`model`], then [`tally`] and [`report`]. [`ack`] is the witness that
//! outlives the shop; [`recheck`] confronts a restarted shop with it.
//!
//! A new scenario is a file with a [`Script`] and a line in [`Scenario`] and [`prepare`].

use std::sync::Arc;

use async_trait::async_trait;
use clap::ValueEnum;

pub mod ack;
pub mod audit;
pub mod browse;
pub mod cart;
pub mod catalogue;
pub mod checkout;
pub mod cli;
pub mod client;
pub mod fanout;
pub mod flash_sale;
pub mod follow;
pub mod listing;
pub mod live;
pub mod model;
pub mod orders;
pub mod overload;
pub mod pace;
pub mod payment;
pub mod process;
pub mod recheck;
pub mod report;
pub mod run;
pub mod seller;
pub mod shopper;
pub mod tally;
pub mod wire;

use client::{CallFault, Client, TargetFault};
use report::Report;
use run::Run;
use shopper::Shopper;

/// What the shoppers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Look around: lists, search, facets, products, pages.
    Browse,
    /// Fill carts and change their minds.
    Cart,
    /// Buy, and see each order through to its end.
    Checkout,
    /// Far more shoppers than units of one product, all at once.
    FlashSale,
    /// Watch one product on many sockets while its price changes.
    Fanout,
    /// Far more calls than the shop can serve, by a schedule, and what it makes of them.
    Overload,
}

impl Scenario {
    /// As it stands on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Browse => "browse",
            Self::Cart => "cart",
            Self::Checkout => "checkout",
            Self::FlashSale => "flash-sale",
            Self::Fanout => "fanout",
            Self::Overload => "overload",
        }
    }
}

/// A scenario, ready to be played by any number of shoppers.
#[async_trait]
pub trait Script: Send + Sync {
    /// One shopper, from entering to leaving.
    async fn visit(&self, shopper: &mut Shopper);

    /// When all have left: checks what only the whole run can show.
    async fn close(&self, run: &Run, report: &mut Report);
}

/// Looks around and sets the scene.
pub async fn prepare(
    scenario: Scenario,
    client: &mut Client,
    run: &Run,
) -> Result<Arc<dyn Script>, LoadFault> {
    match scenario {
        Scenario::Browse => browse::Browse::prepare(client).await,
        Scenario::Cart => cart::Cart::prepare(client, run.args.sku.as_deref()).await,
        Scenario::Checkout => checkout::Checkout::prepare(client, run).await,
        Scenario::FlashSale => flash_sale::FlashSale::prepare(client, run).await,
        Scenario::Fanout => fanout::Fanout::prepare(client, run).await,
        Scenario::Overload => overload::Overload::prepare(client, run).await,
    }
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum LoadFault {
    /// The URL is none we can use.
    #[error(transparent)]
    Target(#[from] TargetFault),
    /// Nobody answers there.
    #[error("the shop does not answer")]
    Unreachable(#[source] CallFault),
    /// It answers, but is not ready.
    #[error("the shop is not ready: {0}")]
    NotReady(String),
    /// What was asked for cannot be done with what was given.
    #[error("{0}")]
    Usage(String),
    /// The look around failed.
    #[error("cannot prepare: {0}")]
    Unprepared(String),
    /// There is no product in the shop.
    #[error("there is nothing to buy: import a catalogue first")]
    NothingToBuy,
    /// The witness cannot be opened.
    #[error("cannot keep acknowledgements")]
    Acks(#[from] ack::AckFault),
    /// The shop does not say whether its invariants hold.
    #[error("cannot audit: {0}")]
    Unaudited(String),
    /// A shopper crashed: a bug of the generator.
    #[error("a shopper crashed")]
    Shopper(#[source] tokio::task::JoinError),
    /// The report cannot be written.
    #[error("cannot write the report")]
    Output(#[source] std::io::Error),
}

impl LoadFault {
    /// The exit code it deserves: 2 for wrong usage, else 1.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Target(TargetFault::NotPlainHttp(_)) | Self::Usage(_) => 2,
            _ => 1,
        }
    }
}

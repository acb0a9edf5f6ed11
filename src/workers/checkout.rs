//! Places the order of every cart that was checked out. The edge does the same at once; this is for
//! the times when it died in between.

use async_trait::async_trait;

use super::errand::{Errands, fault, is_any, read};
use crate::cluster::Region;
use crate::domain::Kind;
use crate::domain::cart::{Cart, Event};
use crate::domain::order::{Command, Order};
use crate::journal::Recorded;
use crate::relay::{Consumer, ReadFault};

/// The worker.
#[derive(Debug)]
pub struct CheckoutWorker {
    errands: Errands,
}

impl CheckoutWorker {
    /// A worker that places orders in `region`.
    #[must_use]
    pub const fn new(region: Region) -> Self {
        Self {
            errands: Errands::new(region, "checkout"),
        }
    }
}

#[async_trait]
impl Consumer for CheckoutWorker {
    fn name(&self) -> &'static str {
        "checkout"
    }

    fn wants(&self, kind: Kind) -> bool {
        kind == Kind::Cart
    }

    fn concerns(&self, event: &Recorded) -> bool {
        is_any(event, &["checked_out"])
    }

    async fn handle(&self, event: &Recorded) -> Result<(), ReadFault> {
        let Event::CheckedOut { draft } = read::<Cart>(event)? else {
            return Ok(());
        };
        let order = draft.order().entity();
        self.errands
            .send::<Order>(event, "place", &order, Command::Place(draft), None)
            .await
            .map_err(|error| fault("the order could not be placed", error))?;
        Ok(())
    }
}

//! What stands outside the nodes and outlives them: the mail server, the ledger's table.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::domain::id::OrderId;
use crate::domain::ledger::{Account, Transfer, transfers};
use crate::domain::order::Order;
use crate::domain::{Kind, Shard};
use crate::journal::{Position, Recorded, stored};
use crate::relay::{ReadFault, View};
use crate::workers::mail::{Mail, Post, PostFault};

/// Takes mail, unless it is down.
#[derive(Debug, Default)]
pub struct MailServer {
    down: AtomicBool,
    /// By Message-ID, as mailboxes do.
    mails: Mutex<BTreeMap<String, Mail>>,
}

impl MailServer {
    /// Takes it down, or up.
    pub fn down(&self, down: bool) {
        self.down.store(down, Relaxed);
    }

    /// How many mails speak of an order.
    #[must_use]
    pub fn about(&self, order: OrderId) -> usize {
        let number = order.number();
        let mails = self.mails.lock().unwrap_or_else(PoisonError::into_inner);
        mails
            .values()
            .filter(|mail| mail.subject.contains(&number))
            .count()
    }
}

#[async_trait]
impl Post for MailServer {
    async fn send(&self, mail: &Mail) -> Result<(), PostFault> {
        if self.down.load(Relaxed) {
            return Err(PostFault::Failed("simulated: the mail server is down".into()));
        }
        let mut mails = self.mails.lock().unwrap_or_else(PoisonError::into_inner);
        mails.insert(mail.message_id.clone(), mail.clone());
        Ok(())
    }
}

/// The ledger, as its table would hold it: unique by shard, position and leg.
#[derive(Clone, Debug, Default)]
pub struct LedgerTable(Arc<Mutex<Rows>>);

#[derive(Debug, Default)]
struct Rows {
    positions: BTreeMap<Shard, Position>,
    transfers: BTreeMap<(Shard, Position, usize), (OrderId, Transfer)>,
}

impl LedgerTable {
    /// What the provider owes us for an order, minor units.
    #[must_use]
    pub fn receivable(&self, order: OrderId) -> i64 {
        let rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = rows.transfers.values().filter(|(of, _)| *of == order);
        of.map(|(_, transfer)| {
            let amount = transfer.amount.amount;
            match (transfer.debit, transfer.credit) {
                (Account::ProviderReceivable, _) => amount,
                (_, Account::ProviderReceivable) => -amount,
                _ => 0,
            }
        })
        .sum()
    }
}

#[async_trait]
impl View for LedgerTable {
    fn name(&self) -> &'static str {
        "ledger"
    }

    fn wants(&self, kind: Kind) -> bool {
        kind == Kind::Order
    }

    async fn position(&self, shard: Shard) -> Result<Position, ReadFault> {
        let rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(rows.positions.get(&shard).copied().unwrap_or_default())
    }

    async fn follow(
        &self,
        shard: Shard,
        events: &[Arc<Recorded>],
        through: Position,
    ) -> Result<(), ReadFault> {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = rows.positions.get(&shard).copied().unwrap_or_default();
        for recorded in events.iter().filter(|recorded| recorded.position > known) {
            let event = stored::decode::<Order>(recorded)
                .map_err(|fault| ReadFault::lasting("an event cannot be read", fault))?;
            let Ok(order) = recorded.entity.key().parse() else {
                continue;
            };
            for (leg, transfer) in transfers(&event).into_iter().enumerate() {
                rows.transfers
                    .insert((shard, recorded.position, leg), (order, transfer));
            }
        }
        rows.positions.insert(shard, known.max(through));
        Ok(())
    }
}

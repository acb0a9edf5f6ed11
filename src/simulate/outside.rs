//! What stands outside the nodes and outlives them: the mail server, the ledger's table.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::accounts::OrderLinks;
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
    /// Takes nothing from us, for good as it says, until somebody has spoken with whoever runs it.
    refusing: AtomicBool,
    /// By Message-ID, as mailboxes do, and how often each came.
    mails: Mutex<BTreeMap<String, (Mail, u32)>>,
}

impl MailServer {
    /// Takes it down, or up.
    pub fn down(&self, down: bool) {
        self.down.store(down, Relaxed);
    }

    /// Has it refuse every mail for good, or take mail again.
    pub fn refuse(&self, refusing: bool) {
        self.refusing.store(refusing, Relaxed);
    }

    /// How many mails speak of an order.
    #[must_use]
    pub fn about(&self, order: OrderId) -> usize {
        self.mails_about(order).len()
    }

    /// The mails that speak of an order, and how often each came.
    #[must_use]
    pub fn mails_about(&self, order: OrderId) -> Vec<(Mail, u32)> {
        let number = number(order);
        let mails = self.mails.lock().unwrap_or_else(PoisonError::into_inner);
        let about = mails.values().filter(|(mail, _)| mail.subject.contains(&number));
        about.cloned().collect()
    }
}

#[async_trait]
impl Post for MailServer {
    async fn send(&self, mail: &Mail) -> Result<(), PostFault> {
        if self.down.load(Relaxed) {
            return Err(PostFault::Failed("simulated: the mail server is down".into()));
        }
        if self.refusing.load(Relaxed) {
            return Err(PostFault::Refused("simulated: this sender is not wanted".into()));
        }
        let mut mails = self.mails.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = mails
            .entry(mail.message_id.clone())
            .or_insert_with(|| (mail.clone(), 0));
        kept.1 += 1;
        Ok(())
    }
}

/// The keys of all links to orders that were made: here each life of a node has one of its own.
#[derive(Clone, Debug, Default)]
pub struct LinkKeys(Arc<Mutex<Vec<OrderLinks>>>);

impl LinkKeys {
    /// A node makes links with these.
    pub fn keep(&self, links: &OrderLinks) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(links.clone());
    }

    /// Whether a key opens an order.
    #[must_use]
    pub fn open(&self, order: OrderId, key: &str) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().any(|links| links.verify(order, key))
    }
}

/// The number people read out: ten symbols of Crockford's base 32 for the low fifty bits of an order's id,
/// lowest first.
#[must_use]
pub fn number(order: OrderId) -> String {
    let symbols: Vec<char> = ('0'..='9')
        .chain(('A'..='Z').filter(|letter| !"ILOU".contains(*letter)))
        .collect();
    let symbol = |place: u32| symbols[usize::try_from(order.0.as_u128() >> (5 * place) & 31).unwrap_or(0)];
    format!("GS-{}", (0..10).map(symbol).collect::<String>())
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
        self.balance(order, Account::ProviderReceivable)
    }

    /// What an account has by an order: debits less credits, minor units.
    #[must_use]
    pub fn balance(&self, order: OrderId, account: Account) -> i64 {
        let rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = rows.transfers.values().filter(|(of, _)| *of == order);
        of.map(|(_, transfer)| {
            let amount = transfer.amount.amount;
            let debit = if transfer.debit == account { amount } else { 0 };
            let credit = if transfer.credit == account { amount } else { 0 };
            debit - credit
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

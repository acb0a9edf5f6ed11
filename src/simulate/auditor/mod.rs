//! The auditor: what may have been answered, and what must be true, seen from outside.
//!
//! It reads what is committed the moment it is, knows nothing of actors, and keeps simpler books of
//! its own: a stock is a table of holds ([`stock`]), an order ([`order`]) a list of what came before what
//! ([`course`]), what it must look like then ([`portrait`]) and what is to be mailed of it ([`news`]), a cart a
//! list of lines ([`cart`]; the shopper keeps another), a product what it was last said to be ([`product`]). What
//! an operation commits must be what was asked ([`asked`]), and what the relay hands out is that, in order
//! ([`delivery`]); what is appended in bulk is judged by what it left ([`bulk`]); what nodes say to one another is looked at while its sender waits, and once ([`message`]). An
//! answer is possible if it shows a committed state that was true at some moment between the question and the
//! answer.

mod answer;
mod asked;
mod books;
mod bulk;
mod cart;
mod course;
pub mod delivery;
pub mod message;
mod news;
mod order;
mod portrait;
mod product;
mod stock;
mod timer;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use self::books::Books;
use self::delivery::DeliveryBook;
use self::message::MessageBook;
pub use self::news::News;
use super::trace::Trace;
use crate::actors::Hosted;
use crate::actors::bulk::{BulkCommand, Done};
use crate::cluster::{Answer, Ask};
use crate::domain::cart::Cart;
use crate::domain::id::{OperationId, OrderId};
use crate::domain::order::{Draft, Order};
use crate::domain::payment::RefundId;
use crate::domain::product::Product;
use crate::domain::stock::Stock;
use crate::domain::{EntityId, Kind, Millis};
use crate::journal::{MemoryJournal, Recorded, Sequence, Snapshot};
use crate::provider::MemoryBooks;

/// What was found broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which invariant, `I1` to `I9`.
    pub invariant: &'static str,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

type Checked = Result<(), Violation>;

/// A violation of `invariant`.
pub(super) fn broken<T>(invariant: &'static str, what: impl Into<String>) -> Result<T, Violation> {
    Err(Violation {
        invariant,
        what: what.into(),
    })
}

/// The auditor. Cheap to clone.
#[derive(Clone)]
pub struct Auditor {
    books: Arc<Mutex<Books>>,
    deliveries: Arc<Mutex<DeliveryBook>>,
    messages: Arc<Mutex<MessageBook>>,
    found: watch::Sender<Option<Violation>>,
    trace: Trace,
}

impl fmt::Debug for Auditor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Auditor")
    }
}

impl Auditor {
    /// An auditor of this journal.
    #[must_use]
    pub fn new(journal: &MemoryJournal, trace: &Trace) -> Self {
        Self {
            books: Arc::new(Mutex::new(Books::new(journal))),
            deliveries: Arc::default(),
            messages: Arc::default(),
            found: watch::Sender::new(None),
            trace: trace.clone(),
        }
    }

    /// What an order says of its money is compared with what the provider has done, the moment it is said.
    #[must_use]
    pub fn beside(self, provider: &Arc<MemoryBooks>) -> Self {
        self.books().provider = Some(Arc::clone(provider));
        self
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn deliveries(&self) -> MutexGuard<'_, DeliveryBook> {
        self.deliveries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn messages(&self) -> MutexGuard<'_, MessageBook> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Raises a violation; the first one counts.
    pub fn accuse(&self, violation: Violation) {
        self.trace.note(format_args!("VIOLATION {violation}"));
        self.found.send_if_modified(|found| {
            let first = found.is_none();
            if first {
                *found = Some(violation);
            }
            first
        });
    }

    /// The first violation, if there was one.
    #[must_use]
    pub fn verdict(&self) -> Option<Violation> {
        self.found.borrow().clone()
    }

    /// Waits for a violation.
    pub async fn alarm(&self) -> Violation {
        let mut found = self.found.subscribe();
        // The sender lives as long as this auditor.
        match found.wait_for(Option::is_some).await.map(|found| found.clone()) {
            Ok(Some(violation)) => violation,
            _ => std::future::pending().await,
        }
    }

    fn judge(&self, checked: Checked) {
        if let Err(violation) = checked {
            self.accuse(violation);
        }
    }

    /// Looks at what was committed since the last time.
    pub fn observe(&self) {
        let checked = self.books().observe();
        self.judge(checked);
    }

    /// How many events are committed.
    #[must_use]
    pub fn events(&self) -> usize {
        self.books().histories.values().map(Vec::len).sum()
    }

    /// The committed sequence of an entity now: no later answer may show less.
    #[must_use]
    pub fn floor(&self, entity: &EntityId) -> Sequence {
        let mut books = self.books();
        let checked = books.observe();
        let floor = books.head(entity);
        drop(books);
        self.judge(checked);
        floor
    }

    /// A question was answered. `floor`: what was committed when it was asked; `done`: the command
    /// and its operation, nothing for a read.
    pub fn answered<E: Hosted>(
        &self,
        entity: &EntityId,
        floor: Sequence,
        done: Option<(&E::Command, OperationId)>,
        answer: &Answer<E::View>,
    ) {
        let mut books = self.books();
        let checked = books
            .observe()
            .and_then(|()| books.answered::<E>(entity, floor, done, answer));
        drop(books);
        self.judge(checked);
    }

    /// A command was refused.
    pub fn refused<E: Hosted>(
        &self,
        entity: &EntityId,
        floor: Sequence,
        command: &E::Command,
        refusal: &E::Refusal,
    ) {
        let mut books = self.books();
        let checked = books
            .observe()
            .and_then(|()| books.refused::<E>(entity, floor, command, refusal));
        drop(books);
        self.judge(checked);
    }

    /// A command of a bulk is done so. `floor`: what was committed when it was asked.
    pub fn appended<E: Hosted>(&self, floor: Sequence, asked: &BulkCommand<E>, done: Done) {
        let mut books = self.books();
        let checked = books
            .observe()
            .and_then(|()| books.done_in_bulk::<E>(floor, asked, done));
        drop(books);
        self.judge(checked);
    }

    /// Whoever asked for this operation has the answer, and asks no more. What it has not changed by now,
    /// it never does: a message that is still under way is not looked at.
    pub fn over(&self, operation: OperationId) {
        let mut books = self.books();
        if !books.operations.contains_key(&operation) {
            books.over.insert(operation);
        }
    }

    /// Somebody was told that nothing was done of an operation that was asked only once so far.
    pub fn not_done(&self, entity: &EntityId, operation: OperationId) {
        let mut books = self.books();
        let checked = books
            .observe()
            .and_then(|()| match books.operations.get(&operation) {
                Some(_) => broken(
                    "I1",
                    format!("{entity}: it was said that nothing was done, and operation {operation} was"),
                ),
                None => Ok(()),
            });
        drop(books);
        self.judge(checked);
    }

    /// A snapshot is about to be kept.
    pub fn snapshotted(&self, snapshot: &Snapshot) {
        let (entity, sequence) = (&snapshot.entity, snapshot.sequence);
        let head = self.floor(entity);
        if sequence > head {
            return self.judge(broken(
                "I5",
                format!("a snapshot of {entity} at {sequence} holds what is not committed (head {head})"),
            ));
        }
        let books = self.books();
        let checked = match entity.kind() {
            Kind::Cart => books.is_true::<Cart>(snapshot),
            Kind::Order => books.is_true::<Order>(snapshot),
            Kind::Product => books.is_true::<Product>(snapshot),
            Kind::Stock => books.is_true::<Stock>(snapshot),
            Kind::Unknown => Ok(()),
        };
        drop(books);
        self.judge(checked);
    }

    /// Somebody is about to ask this: what it commits must be that, and in time.
    pub fn asked<E: Hosted>(&self, operation: OperationId, ask: &Ask<E::Command>) {
        self.books().asked.enter::<E>(operation, ask);
    }

    /// To which version of its entity an operation led, if it changed anything.
    #[must_use]
    pub fn led_to(&self, operation: OperationId) -> Option<Sequence> {
        let mut books = self.books();
        let checked = books.observe();
        let led_to = books.operations.get(&operation).map(|(_, at)| *at);
        drop(books);
        self.judge(checked);
        led_to
    }

    /// These timers are in the journal, and nothing moves.
    pub fn has_timers(&self, timers: &BTreeMap<EntityId, Millis>) {
        let checked = self.books().has_timers(timers);
        self.judge(checked);
    }

    /// Every entity with events, and how many.
    #[must_use]
    pub fn entities(&self) -> Vec<(EntityId, Sequence)> {
        let books = self.books();
        let count = |events: &Vec<Recorded>| Sequence(i64::try_from(events.len()).unwrap_or(i64::MAX));
        let all = books.histories.iter();
        all.map(|(entity, events)| (entity.clone(), count(events)))
            .collect()
    }

    /// What an entity's committed events fold to.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn truth<E: Hosted>(&self, entity: &EntityId) -> Result<E, Violation> {
        let books = self.books();
        books.state::<E>(entity, books.head(entity))
    }

    /// Every order that was placed.
    #[must_use]
    pub fn orders(&self) -> Vec<OrderId> {
        self.books().orders.ids()
    }

    /// What must be true once nothing moves any more. `over`: every deadline has passed too.
    pub fn settled(&self, over: bool) {
        let books = self.books();
        let checked = books.settled(over);
        drop(books);
        self.judge(checked);
    }

    /// What was ordered.
    #[must_use]
    pub fn draft(&self, order: OrderId) -> Option<Arc<Draft>> {
        self.books().orders.draft(order)
    }

    /// Whether an order was cancelled.
    #[must_use]
    pub fn is_cancelled(&self, order: OrderId) -> bool {
        self.books().orders.is_cancelled(order)
    }

    /// How many mails an order's story is worth.
    #[must_use]
    pub fn mails_due(&self, order: OrderId) -> usize {
        self.books().orders.mails_due(order)
    }

    /// What is to be mailed about an order.
    #[must_use]
    pub fn news(&self, order: OrderId) -> Vec<News> {
        self.books().orders.news(order)
    }

    /// What is owed to the tax office for an order, as its payment events say, minor units.
    #[must_use]
    pub fn tax(&self, order: OrderId) -> i64 {
        self.books().orders.tax(order)
    }

    /// Whether an order's payment was said to be authorised, and declined.
    #[must_use]
    pub fn answers(&self, order: OrderId) -> (bool, bool) {
        self.books().orders.answers(order)
    }

    /// Each refund that the order says is done (`true`) or failed.
    #[must_use]
    pub fn refunds(&self, order: OrderId) -> Vec<(RefundId, bool)> {
        self.books().orders.refunds(order)
    }

    /// Net captures, as the committed payment events say, minor units.
    #[must_use]
    pub fn taken(&self, order: OrderId) -> (i64, i64) {
        self.books().orders.taken(order)
    }
}

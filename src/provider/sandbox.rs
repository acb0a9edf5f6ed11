//! The sandbox: a payment provider whose tokens choose the outcome.
//!
//! It behaves as one outside would: it answers late or not at all when a token says so, remembers on
//! its own, and tells us through signed webhooks. Calls are gathered by one task; each batch is one
//! read and one write of its books, and nobody is answered before that write.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use uuid::Uuid;

use super::books::{BooksFault, SandboxBooks, SandboxFigures};
use super::intent::{Call, Happened, Intent, Manner, Outcome};
use super::token::Token;
use super::webhook::{Notice, NoticeKind, WebhookFault, Webhooks};
use super::{AuthoriseRequest, IntentState, PaymentProvider, Reply, Unknown};
use crate::clock::Clock;
use crate::domain::Money;
use crate::domain::payment::{IntentId, RefundId};

/// Its name.
pub const NAME: &str = "sandbox";
/// How many calls may wait.
const QUEUE: usize = 8_192;
/// The most calls in one batch.
const BATCH: usize = 512;
/// How long a call may wait for its place in the queue and for the books.
const LIMIT: Duration = Duration::from_secs(10);
/// How long the slow token takes.
const SLOW: Duration = Duration::from_secs(5);
/// When whoever asked gives up on an answer that is lost.
const LOST: Duration = Duration::from_secs(1);
/// How many webhooks are delivered at once.
const DELIVERIES: usize = 64;
/// How often a webhook is delivered before it is given up.
const DELIVERY_TRIES: u32 = 5;

struct Job {
    intent: IntentId,
    call: Call,
    reply: oneshot::Sender<Result<(Outcome, Intent), Unknown>>,
}

/// The sandbox.
#[derive(Debug)]
pub struct Sandbox {
    jobs: mpsc::Sender<Job>,
    books: Arc<dyn SandboxBooks>,
    webhooks: Option<Webhooks>,
    deliveries: Arc<Semaphore>,
    clock: Clock,
}

impl Sandbox {
    /// Opens the sandbox. Without `webhooks` it tells nothing on its own.
    #[must_use]
    pub fn open(books: Arc<dyn SandboxBooks>, webhooks: Option<Webhooks>, clock: Clock) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE);
        // Ends when the last sender is gone.
        tokio::spawn(keep(Arc::clone(&books), queue, clock.clone()));
        Self {
            jobs,
            books,
            webhooks,
            deliveries: Arc::new(Semaphore::new(DELIVERIES)),
            clock,
        }
    }

    /// The tokens it knows: the edge refuses others.
    #[must_use]
    pub const fn tokens() -> &'static [Token] {
        &Token::ALL
    }

    /// What went through it, by currency: what the audit compares with the ledger.
    ///
    /// # Errors
    /// When its books fail.
    pub async fn figures(&self) -> Result<Vec<SandboxFigures>, BooksFault> {
        self.books.figures().await
    }

    /// What its books say of these intents, in no order; what it has not heard of is missing.
    ///
    /// # Errors
    /// When its books fail.
    pub async fn intents(&self, intents: &[IntentId]) -> Result<Vec<Intent>, BooksFault> {
        self.books.read(intents).await
    }

    async fn call(&self, intent: IntentId, call: Call) -> Result<(Outcome, Intent), Unknown> {
        let (reply, answer) = oneshot::channel();
        let unknown = |reason: &str| Unknown {
            reason: reason.to_owned(),
        };
        let asked = async {
            let job = Job { intent, call, reply };
            self.jobs
                .send(job)
                .await
                .map_err(|_| unknown("the sandbox is closed"))?;
            answer
                .await
                .map_err(|_| unknown("the sandbox stopped before it answered"))?
        };
        timeout(LIMIT, asked)
            .await
            .unwrap_or_else(|_| Err(unknown("no answer in time")))
    }

    /// Makes a call and lets its answer travel as the token says.
    async fn ask(&self, intent: IntentId, call: Call) -> Result<Reply, Unknown> {
        let (outcome, entry) = self.call(intent, call).await?;
        if let Some(happened) = outcome.happened {
            self.tell(&entry, happened);
        }
        match outcome.manner {
            Manner::Prompt => {}
            Manner::Slow => self.clock.sleep(SLOW).await,
            Manner::Broken => {
                return Err(Unknown {
                    reason: "500 Internal Server Error".to_owned(),
                });
            }
            Manner::Lost => {
                self.clock.sleep(LOST).await;
                return Err(Unknown {
                    reason: format!("no answer within {LOST:?}"),
                });
            }
        }
        Ok(outcome.reply)
    }

    /// Tells of a change: twice for the token that asks for it. The others hear of it in the answer.
    fn tell(&self, entry: &Intent, happened: Happened) {
        let (Some(webhooks), Some(order)) = (&self.webhooks, entry.order) else {
            return;
        };
        if Token::parse(&entry.token) != Some(Token::DuplicateWebhook) {
            return;
        }
        let (kind, what, amount, refund) = match happened {
            Happened::Authorised => (
                NoticeKind::Authorised,
                "authorised".to_owned(),
                entry.amount.amount,
                None,
            ),
            Happened::Captured => (NoticeKind::Captured, "captured".to_owned(), entry.captured, None),
            Happened::Refunded(id, amount) => {
                (NoticeKind::Refunded, format!("refund/{}", id.0), amount, Some(id))
            }
        };
        let notice = Notice {
            kind,
            intent: entry.id,
            order,
            amount: entry.amount.with_amount(amount),
            refund,
        };
        let id = format!("msg_{}", Uuid::new_v5(&entry.id.0, what.as_bytes()).simple());
        for _ in 0..2 {
            let Ok(place) = Arc::clone(&self.deliveries).try_acquire_owned() else {
                tracing::warn!(intent = %entry.id, "too many webhooks are under way; one is dropped, as the network would");
                return;
            };
            let (webhooks, notice, id) = (webhooks.clone(), notice.clone(), id.clone());
            let clock = self.clock.clone();
            tokio::spawn(async move {
                deliver(&webhooks, &id, &notice, &clock).await;
                drop(place);
            });
        }
    }
}

async fn deliver(webhooks: &Webhooks, id: &str, notice: &Notice, clock: &Clock) {
    for attempt in 0..DELIVERY_TRIES {
        match webhooks.deliver(NAME, id, notice).await {
            Ok(()) => return,
            Err(WebhookFault::Unavailable(_)) => {
                clock
                    .sleep(clock.backoff(attempt, Duration::from_millis(200), Duration::from_secs(10)))
                    .await;
            }
            Err(fault) => {
                tracing::warn!(intent = %notice.intent, %fault, "a webhook of the sandbox was refused");
                return;
            }
        }
    }
    tracing::warn!(intent = %notice.intent, "a webhook of the sandbox found nobody; it is given up");
}

/// Keeps the books: one batch after the other.
async fn keep(books: Arc<dyn SandboxBooks>, mut queue: mpsc::Receiver<Job>, clock: Clock) {
    let mut jobs = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut jobs, BATCH).await > 0 {
        let ids: Vec<IntentId> = jobs.iter().map(|job| job.intent).collect();
        let result = settle(books.as_ref(), &ids, &jobs, &clock).await;
        match result {
            Ok(outcomes) => {
                for (job, outcome) in jobs.drain(..).zip(outcomes) {
                    // Whoever asked may have given up; the books know.
                    drop(job.reply.send(outcome));
                }
            }
            Err(fault) => {
                tracing::warn!(%fault, calls = jobs.len(), "the sandbox could not keep its books");
                for job in jobs.drain(..) {
                    let unknown = Unknown {
                        reason: fault.to_string(),
                    };
                    drop(job.reply.send(Err(unknown)));
                }
            }
        }
    }
}

type Settled = Result<(Outcome, Intent), Unknown>;

async fn settle(
    books: &dyn SandboxBooks,
    ids: &[IntentId],
    jobs: &[Job],
    clock: &Clock,
) -> Result<Vec<Settled>, BooksFault> {
    let read = books.read(ids).await?;
    let mut entries: HashMap<IntentId, Intent> = read.iter().map(|entry| (entry.id, entry.clone())).collect();
    let mut outcomes = Vec::with_capacity(jobs.len());
    for job in jobs {
        let entry = entries
            .entry(job.intent)
            .or_insert_with(|| Intent::unheard(job.intent));
        let outcome = entry.take(&job.call);
        outcomes.push((outcome, entry.clone()));
    }
    let before: HashMap<IntentId, &Intent> = read.iter().map(|entry| (entry.id, entry)).collect();
    let changed: Vec<Intent> = entries
        .into_values()
        .filter(|entry| match before.get(&entry.id) {
            Some(before) => *before != entry,
            None => *entry != Intent::unheard(entry.id),
        })
        .map(|mut entry| {
            entry.version += 1;
            entry
        })
        .collect();
    let written = if changed.is_empty() {
        vec![]
    } else {
        books.write(&changed, clock.now()).await?
    };
    let overtaken = |id: IntentId| changed.iter().any(|entry| entry.id == id) && !written.contains(&id);
    Ok(jobs
        .iter()
        .zip(outcomes)
        .map(|(job, outcome)| {
            if overtaken(job.intent) {
                return Err(Unknown {
                    reason: "the intent was changed by another call".to_owned(),
                });
            }
            Ok(outcome)
        })
        .collect())
}

#[async_trait]
impl PaymentProvider for Sandbox {
    fn name(&self) -> &'static str {
        NAME
    }

    fn knows(&self, token: &str) -> bool {
        Token::parse(token).is_some()
    }

    async fn authorise(&self, request: &AuthoriseRequest) -> Result<Reply, Unknown> {
        let call = Call::Authorise {
            order: request.order,
            amount: request.amount,
            token: request.token.clone(),
        };
        self.ask(request.intent, call).await
    }

    async fn confirm(&self, intent: IntentId, succeed: bool) -> Result<Reply, Unknown> {
        self.ask(intent, Call::Confirm { succeed }).await
    }

    async fn capture(&self, intent: IntentId, amount: Money) -> Result<Reply, Unknown> {
        self.ask(intent, Call::Capture { amount }).await
    }

    async fn void(&self, intent: IntentId) -> Result<Reply, Unknown> {
        self.ask(intent, Call::Void).await
    }

    async fn refund(&self, intent: IntentId, refund: RefundId, amount: Money) -> Result<Reply, Unknown> {
        self.ask(intent, Call::Refund { refund, amount }).await
    }

    async fn query(&self, intent: IntentId) -> Result<Option<IntentState>, Unknown> {
        let (_, entry) = self.call(intent, Call::Query).await?;
        let currency = entry.amount;
        Ok(entry.stage.map(|stage| IntentState {
            stage,
            captured: currency.with_amount(entry.captured),
            refunds: entry
                .refunds
                .iter()
                .map(|(id, amount)| (*id, currency.with_amount(*amount)))
                .collect(),
            decline_code: entry.decline_code,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MemoryBooks, Stage};
    use super::*;
    use crate::domain::Millis;
    use crate::domain::id::OrderId;

    fn request(clock: &Clock, token: Token) -> AuthoriseRequest {
        let order = OrderId(clock.new_id());
        AuthoriseRequest {
            intent: IntentId::of(order),
            order,
            amount: Money::eur(1_500),
            token: token.as_str().to_owned(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_approval_keeps_nobody_else_waiting() {
        let clock = Clock::simulated(1, Millis(0));
        let sandbox = Sandbox::open(Arc::new(MemoryBooks::default()), None, clock.clone());
        let (slow, quick) = (request(&clock, Token::Slow), request(&clock, Token::Approve));
        let began = clock.now();
        let (slow, quick) = tokio::join!(
            async { (sandbox.authorise(&slow).await, clock.now().since(began)) },
            async { (sandbox.authorise(&quick).await, clock.now().since(began)) },
        );
        assert_eq!(quick, (Ok(Reply::Done), 0));
        assert_eq!(slow, (Ok(Reply::Done), 5_000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_capture_is_found_by_asking() {
        let clock = Clock::simulated(2, Millis(0));
        let books = Arc::new(MemoryBooks::default());
        let sandbox = Sandbox::open(books, None, clock.clone());
        for (token, stage) in [
            (Token::TimeoutCharged, Stage::Captured),
            (Token::TimeoutNotCharged, Stage::Authorised),
        ] {
            let request = request(&clock, token);
            let intent = request.intent;
            sandbox.authorise(&request).await.unwrap();
            assert!(sandbox.capture(intent, request.amount).await.is_err());
            assert_eq!(sandbox.query(intent).await.unwrap().unwrap().stage, stage);
            assert_eq!(
                sandbox.capture(intent, request.amount).await,
                Ok(Reply::Done),
                "the same again is the same"
            );
        }
        let figures = sandbox.figures().await.unwrap();
        assert_eq!((figures[0].captures, figures[0].captured), (2, 3_000));
    }

    #[tokio::test(start_paused = true)]
    async fn calls_of_one_intent_in_one_batch_see_each_other() {
        let clock = Clock::simulated(3, Millis(0));
        let sandbox = Sandbox::open(Arc::new(MemoryBooks::default()), None, clock.clone());
        let request = request(&clock, Token::Approve);
        let intent = request.intent;
        let (authorised, captured, again) = tokio::join!(
            sandbox.authorise(&request),
            sandbox.capture(intent, request.amount),
            sandbox.capture(intent, request.amount),
        );
        assert_eq!(
            (authorised, captured, again),
            (Ok(Reply::Done), Ok(Reply::Done), Ok(Reply::Done))
        );
        assert_eq!(sandbox.figures().await.unwrap()[0].captures, 1);
        assert_eq!(sandbox.query(IntentId(Uuid::nil())).await, Ok(None));
    }
}

//! The tap: everything a saga does goes through it, so that every step is seen, and one can be made
//! to fail.
//!
//! It decorates the real parts (consumers, provider, webhooks, post, journal) and knows nothing of
//! any saga: what passes is a step, named by what it is.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use globalshop::domain::payment::{IntentId, RefundId};
use globalshop::domain::{Kind, Money};
use globalshop::journal::Recorded;
use globalshop::provider::{
    AuthoriseRequest, IntentState, Notice, PaymentProvider, Reply, Unknown, WebhookFault, WebhookSink,
};
use globalshop::relay::{Consumer, Policy, ReadFault};
use globalshop::workers::mail::{Mail, Post, PostFault};
use serde_json::Value;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::shop::Between;

tokio::task_local! {
    /// The delivery on whose behalf something is done.
    static DELIVERY: Step;
}

/// Where a step goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A consumer is given an event.
    Consumer,
    /// The payment provider is asked.
    Provider,
    /// The payment provider tells something.
    Notice,
    /// A mail goes out.
    Post,
    /// An event of an entity is committed.
    Journal,
}

/// One step: where, and what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step {
    pub place: Place,
    pub what: String,
}

impl Step {
    pub fn new(place: Place, what: impl Into<String>) -> Self {
        Self {
            place,
            what: what.into(),
        }
    }

    /// A consumer is given this event.
    pub fn delivery(consumer: &str, event: &Recorded) -> Self {
        Self::new(
            Place::Consumer,
            format!("{consumer} {}", event_name(&event.payload)),
        )
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.place, self.what)
    }
}

/// The name an event is stored under.
pub fn event_name(payload: &[u8]) -> String {
    let event: Value = serde_json::from_slice(payload).unwrap();
    event["event"].as_str().unwrap().to_owned()
}

/// How a step fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It is not done, and whoever wanted it hears so.
    NotDone,
    /// It is done, and whoever wanted it hears nothing of it.
    Unheard,
    /// It is not done, and nobody hears anything.
    Lost,
    /// Its other side says no, for good.
    Refused,
    /// The node dies before it.
    DiesBefore,
    /// The node dies after it.
    DiesAfter,
}

/// How often a step fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The n-th time, from 0; then it works.
    Once(usize),
    /// Always.
    Always,
}

/// How steps that do not fail are run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Times {
    #[default]
    Once,
    /// And again after that.
    TwiceInTurn,
    /// Two of them at the same moment.
    TwiceAtOnce,
}

/// What a run is going to suffer.
#[derive(Clone, Debug, Default)]
pub struct Harm {
    pub fault: Option<(Step, How, When)>,
    pub times: Times,
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fault {
            Some((step, how, when)) => write!(f, "[{step}] {how:?} {when:?}")?,
            None => write!(f, "nothing fails")?,
        }
        match self.times {
            Times::Once => Ok(()),
            times => write!(f, ", everything {times:?}"),
        }
    }
}

#[derive(Default)]
struct State {
    /// Steps count only while this is set.
    harm: Option<Harm>,
    seen: Vec<Step>,
    /// How often the step that fails came by, and how often it failed.
    met: usize,
    struck: usize,
    /// On whose behalf the failing step was wanted, where that is known.
    behalf: Vec<Step>,
    deliveries: Vec<(Arc<dyn Consumer>, Recorded)>,
}

/// The tap. Cheap to clone.
#[derive(Clone, Default)]
pub struct Tap {
    state: Arc<Mutex<State>>,
    dying: Arc<Notify>,
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tap")
    }
}

impl Tap {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on steps are seen, and this befalls them.
    pub fn open(&self, harm: Harm) {
        self.state().harm = Some(harm);
    }

    /// From here on nothing fails any more; steps are still seen.
    pub fn heal(&self) {
        self.state().harm = Some(Harm::default());
    }

    /// Every step so far, in order.
    pub fn seen(&self) -> Vec<Step> {
        self.state().seen.clone()
    }

    /// How often the step that was to fail did.
    pub fn struck(&self) -> usize {
        self.state().struck
    }

    /// On whose behalf the step that failed was wanted: the deliveries a dead letter may be about.
    pub fn behalf(&self) -> Vec<Step> {
        self.state().behalf.clone()
    }

    /// Waits until the node has to die.
    pub async fn dying(&self) {
        self.dying.notified().await;
    }

    /// Every event that was delivered, with its consumer.
    pub fn deliveries(&self) -> Vec<(Arc<dyn Consumer>, Recorded)> {
        self.state().deliveries.clone()
    }

    /// A step comes by: how it fails, if it does, and how often it is run otherwise.
    pub fn pass(&self, step: &Step) -> Result<Times, How> {
        let mut state = self.state();
        let Some(harm) = state.harm.clone() else {
            return Ok(Times::Once);
        };
        state.seen.push(step.clone());
        let Some((_, how, when)) = harm.fault.filter(|(wanted, ..)| wanted == step) else {
            return Ok(harm.times);
        };
        let fails = when == When::Always || when == When::Once(state.met);
        state.met += 1;
        if !fails {
            return Ok(harm.times);
        }
        state.struck += 1;
        if let Ok(delivery) = DELIVERY.try_with(Clone::clone)
            && !state.behalf.contains(&delivery)
        {
            state.behalf.push(delivery);
        }
        Err(how)
    }

    /// The node dies here: whoever called is never answered.
    pub async fn die<T>(&self) -> T {
        self.dying.notify_one();
        std::future::pending().await
    }

    /// Runs a step, or has it fail. `failed`: what a failure looks like, and what a refusal does.
    async fn run<T, E, F: Future<Output = Result<T, E>> + Send>(
        &self,
        step: &Step,
        call: impl Fn() -> F + Send + Sync,
        failed: impl Fn() -> E + Send + Sync,
        refused: impl Fn() -> Result<T, E> + Send + Sync,
    ) -> Result<T, E> {
        match self.pass(step) {
            Ok(Times::Once) => call().await,
            Ok(Times::TwiceInTurn) => {
                call().await?;
                call().await
            }
            Ok(Times::TwiceAtOnce) => {
                let (one, two) = tokio::join!(call(), call());
                one.and(two)
            }
            Err(How::NotDone | How::Lost) => Err(failed()),
            Err(How::Unheard) => {
                call().await?;
                Err(failed())
            }
            Err(How::Refused) => refused(),
            Err(How::DiesBefore) => self.die().await,
            Err(How::DiesAfter) => {
                call().await?;
                self.die().await
            }
        }
    }

    /// Mail goes out through the tap.
    pub fn post(&self, inner: Arc<dyn Post>) -> Arc<dyn Post> {
        Arc::new(Tapped {
            inner,
            tap: self.clone(),
        })
    }
}

/// A part behind the tap.
struct Tapped<P: ?Sized> {
    inner: Arc<P>,
    tap: Tap,
}

impl<P: ?Sized> fmt::Debug for Tapped<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tapped")
    }
}

impl Between for Tap {
    fn consumer(&self, inner: Arc<dyn Consumer>) -> Arc<dyn Consumer> {
        Arc::new(Tapped {
            inner,
            tap: self.clone(),
        })
    }

    fn provider(&self, inner: Arc<dyn PaymentProvider>) -> Arc<dyn PaymentProvider> {
        Arc::new(Tapped {
            inner,
            tap: self.clone(),
        })
    }

    fn notices(&self, inner: Arc<dyn WebhookSink>) -> Arc<dyn WebhookSink> {
        Arc::new(Tapped {
            inner,
            tap: self.clone(),
        })
    }
}

const WHY: &str = "put in on purpose";

#[async_trait]
impl Consumer for Tapped<dyn Consumer> {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn wants(&self, kind: Kind) -> bool {
        self.inner.wants(kind)
    }

    fn concerns(&self, event: &Recorded) -> bool {
        self.inner.concerns(event)
    }

    fn policy(&self) -> Policy {
        self.inner.policy()
    }

    async fn handle(&self, event: &Recorded) -> Result<(), ReadFault> {
        let step = Step::delivery(self.name(), event);
        {
            let mut state = self.tap.state();
            if state.harm.is_some() {
                state.deliveries.push((Arc::clone(&self.inner), event.clone()));
            }
        }
        let run = self.tap.run(
            &step,
            || self.inner.handle(event),
            || ReadFault::temporary(step.to_string(), WHY),
            || Err(ReadFault::lasting(step.to_string(), WHY)),
        );
        DELIVERY.scope(step.clone(), run).await
    }
}

impl Tapped<dyn PaymentProvider> {
    async fn ask<F: Future<Output = Result<Reply, Unknown>> + Send>(
        &self,
        what: &str,
        call: impl Fn() -> F + Send + Sync,
    ) -> Result<Reply, Unknown> {
        let unknown = || Unknown {
            reason: format!("{what}: {WHY}"),
        };
        let declined = || {
            Ok(Reply::Declined {
                code: "put_in_on_purpose".to_owned(),
            })
        };
        let step = Step::new(Place::Provider, what);
        self.tap.run(&step, call, unknown, declined).await
    }
}

#[async_trait]
impl PaymentProvider for Tapped<dyn PaymentProvider> {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn knows(&self, token: &str) -> bool {
        self.inner.knows(token)
    }

    async fn authorise(&self, request: &AuthoriseRequest) -> Result<Reply, Unknown> {
        self.ask("authorise", || self.inner.authorise(request)).await
    }

    async fn confirm(&self, intent: IntentId, succeed: bool) -> Result<Reply, Unknown> {
        self.ask("confirm", || self.inner.confirm(intent, succeed)).await
    }

    async fn capture(&self, intent: IntentId, amount: Money) -> Result<Reply, Unknown> {
        self.ask("capture", || self.inner.capture(intent, amount)).await
    }

    async fn void(&self, intent: IntentId) -> Result<Reply, Unknown> {
        self.ask("void", || self.inner.void(intent)).await
    }

    async fn refund(&self, intent: IntentId, refund: RefundId, amount: Money) -> Result<Reply, Unknown> {
        self.ask("refund", || self.inner.refund(intent, refund, amount))
            .await
    }

    /// Asking changes nothing, so it is no step.
    async fn query(&self, intent: IntentId) -> Result<Option<IntentState>, Unknown> {
        self.inner.query(intent).await
    }
}

#[async_trait]
impl WebhookSink for Tapped<dyn WebhookSink> {
    async fn take(&self, id: Uuid, notice: &Notice) -> Result<(), WebhookFault> {
        let step = Step::new(Place::Notice, format!("{:?}", notice.kind));
        let unavailable = || WebhookFault::Unavailable(WHY.to_owned());
        let take = || self.inner.take(id, notice);
        let refused = || Err(WebhookFault::Unreadable(WHY.to_owned()));
        self.tap.run(&step, take, unavailable, refused).await
    }
}

#[async_trait]
impl Post for Tapped<dyn Post> {
    async fn send(&self, mail: &Mail) -> Result<(), PostFault> {
        // Without the number of the order.
        let words = mail.subject.split(' ');
        let subject: Vec<_> = words
            .filter(|word| !word.contains(|c: char| c.is_ascii_digit()))
            .collect();
        let step = Step::new(Place::Post, subject.join(" "));
        let send = || self.inner.send(mail);
        let failed = || PostFault::Failed(WHY.into());
        let refused = || Err(PostFault::Refused(WHY.into()));
        self.tap.run(&step, send, failed, refused).await
    }
}

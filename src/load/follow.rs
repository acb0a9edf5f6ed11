//! From the 202 to the end of an order: the live feed while it lasts, polling where it must be.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::ack::{Ack, AckKind};
use super::cart::position;
use super::client::{Call, encoded};
use super::live::{Live, LiveFault, OrderWatch};
use super::shopper::{Lost, Shopper, chain};
use super::wire::{Accepted, Order};

const FIRST_POLL: Duration = Duration::from_millis(50);
const SLOWEST_POLL: Duration = Duration::from_millis(500);

/// One shopper's way to learn how its orders end.
#[derive(Debug)]
pub struct Follower<'a> {
    offered: &'a AtomicBool,
    live: Option<Live>,
    /// Sockets lost since an order was last followed to its end.
    lost: u32,
}

impl<'a> Follower<'a> {
    /// Follows on the live feed as long as `offered` says there is one; all shoppers share that.
    #[must_use]
    pub const fn new(offered: &'a AtomicBool) -> Self {
        Self {
            offered,
            live: None,
            lost: 0,
        }
    }

    /// Closes the socket: it speaks for a guest who is no more.
    pub fn leave(&mut self) {
        self.live = None;
    }

    /// Returns whether the order ended in time.
    pub async fn wait_for_end(
        &mut self,
        shopper: &mut Shopper,
        accepted: &Accepted,
        until: Instant,
    ) -> Result<bool, Lost> {
        let run = Arc::clone(&shopper.run);
        let mut watch = OrderWatch::new(&accepted.channel);
        while self.offered.load(Ordering::Relaxed) && run.clock.instant() < until {
            self.connect(shopper).await?;
            let Some(live) = &mut self.live else { break };
            match live.follow(&mut watch, &run.clock, until).await {
                Ok(()) => {
                    self.lost = 0;
                    return Ok(true);
                }
                Err(LiveFault::Silent) => {
                    self.live = None;
                    let ended = poll(shopper, accepted, until, |order| order.status != "pending")
                        .await?
                        .is_some();
                    shopper.check("live", !ended, || {
                        format!("the end of {} was never told", accepted.order_id)
                    });
                    return Ok(ended);
                }
                Err(fault) => self.lost_feed(shopper, &mut watch, fault, until).await?,
            }
        }
        poll(shopper, accepted, until, |order| order.status != "pending")
            .await
            .map(|order| order.is_some())
    }

    /// A goodbye that invites us back and, in a run that survives, any loss is followed by a resume.
    async fn lost_feed(
        &mut self,
        shopper: &mut Shopper,
        watch: &mut OrderWatch,
        fault: LiveFault,
        until: Instant,
    ) -> Result<(), Lost> {
        self.live = None;
        self.lost += 1;
        let run = Arc::clone(&shopper.run);
        match fault {
            LiveFault::Bye {
                code: 4000 | 4001 | 4008,
                after,
            } => run.clock.sleep(after).await,
            LiveFault::Broken(_)
            | LiveFault::Closed
            | LiveFault::Unreachable(_)
            | LiveFault::Refused { status: 503, .. }
                if run.args.survive =>
            {
                if !run.ready_by(until).await {
                    return Err(Lost);
                }
            }
            fault => {
                shopper.check("live", false, || chain(&fault));
                watch.forget();
            }
        }
        let pause = run.clock.backoff(self.lost, FIRST_POLL, Duration::from_secs(1));
        run.clock.sleep(pause).await;
        Ok(())
    }

    /// Makes sure there is a socket, if the shop offers the feed at all.
    pub async fn connect(&mut self, shopper: &mut Shopper) -> Result<(), Lost> {
        if self.live.is_some() || !self.offered.load(Ordering::Relaxed) {
            return Ok(());
        }
        let run = Arc::clone(&shopper.run);
        let limit = Duration::from_secs(run.args.timeout);
        let until = run.clock.instant() + Duration::from_secs(run.args.survive_for);
        let mut attempt = 0;
        loop {
            let token = shopper.token().await?;
            let fault = match Live::open(&run.target, &token, limit).await {
                Ok(live) => {
                    self.live = Some(live);
                    return Ok(());
                }
                Err(fault) => fault,
            };
            match fault {
                LiveFault::NotOffered(404) => {
                    run.note("the live feed is not offered (404): orders were polled");
                    self.offered.store(false, Ordering::Relaxed);
                    return Ok(());
                }
                LiveFault::Bye {
                    code: 4000 | 4029,
                    after,
                } if run.clock.instant() < until => {
                    run.clock.sleep(after.max(FIRST_POLL)).await;
                }
                // Too busy for another socket: as with any call, come back after a moment.
                LiveFault::NotOffered(429 | 503) if !run.args.survive && run.clock.instant() < until => {
                    attempt += 1;
                    let pause =
                        run.clock
                            .backoff(attempt, Duration::from_millis(500), Duration::from_secs(3));
                    run.clock.sleep(pause).await;
                }
                // A node going down answers 503, a dead one nothing.
                _ if run.args.survive && run.clock.instant() < until => {
                    if !run.ready_by(until).await {
                        return Err(Lost);
                    }
                    attempt += 1;
                    let pause = run
                        .clock
                        .backoff(attempt, Duration::from_millis(50), Duration::from_secs(1));
                    run.clock.sleep(pause).await;
                }
                fault => {
                    shopper.check("live", false, || chain(&fault));
                    return Err(Lost);
                }
            }
        }
    }
}

/// The 3-D-Secure step. An order that was cancelled in the meantime (sold out) may refuse it.
pub async fn confirm_payment(
    shopper: &mut Shopper,
    accepted: &Accepted,
    passes: bool,
    until: Instant,
) -> Result<(), Lost> {
    const KIND: &str = "POST confirm-payment";
    let asked = |order: &Order| order.payment.status == "requires_action" || order.status != "pending";
    let order = poll(shopper, accepted, until, asked).await?;
    shopper.check("requires_action", order.is_some(), || {
        format!("{} never asks for it", accepted.order_id)
    });
    let Some(order) = order else { return Err(Lost) };
    if order.status != "pending" {
        return Ok(());
    }
    let outcome = if passes { "succeed" } else { "fail" };
    let key = shopper.run.clock.new_id().to_string();
    let path = format!("/v1/orders/{}/confirm-payment", encoded(&accepted.order_id));
    let call = Call::post(path)
        .bearer(&shopper.token().await?)
        .key(&key)
        .json(&json!({"outcome": outcome}));
    let reply = shopper.call(KIND, &call).await?;
    if reply.answer.status.as_u16() == 409 {
        return Ok(());
    }
    shopper.expect(KIND, &reply, 202)?;
    let ack = shopper.ack(AckKind::ConfirmPayment, shopper.customer_id());
    shopper
        .acknowledge(Ack {
            order_id: Some(accepted.order_id.clone()),
            outcome: Some(outcome.to_owned()),
            position: position(&reply),
            idempotency_key: Some(key),
            ..ack
        })
        .await;
    Ok(())
}

/// Reads the order until it is as wanted; `None` when that takes too long.
async fn poll(
    shopper: &mut Shopper,
    accepted: &Accepted,
    until: Instant,
    wanted: impl Fn(&Order) -> bool + Send,
) -> Result<Option<Order>, Lost> {
    const KIND: &str = "GET order";
    let mut pause = FIRST_POLL;
    loop {
        let call = Call::get(&accepted.status_url).bearer(&shopper.token().await?);
        let reply = shopper.aside(KIND, &call).await?;
        shopper.expect(KIND, &reply, 200)?;
        let order: Order = shopper.read(KIND, &reply)?;
        if wanted(&order) {
            return Ok(Some(order));
        }
        if shopper.run.clock.instant() + pause > until {
            return Ok(None);
        }
        shopper.run.clock.sleep(pause).await;
        pause = (pause * 3 / 2).min(SLOWEST_POLL);
    }
}

/// The ended order, once an authorisation it no longer needs is given back, which may take as long again
/// as the end: the provider may be away just then.
pub async fn settled_order(shopper: &mut Shopper, accepted: &Accepted) -> Result<Order, Lost> {
    let until = shopper.run.clock.instant() + Duration::from_secs(shopper.run.args.end_within);
    let settled = |order: &Order| order.status != "cancelled" || order.payment.status != "authorised";
    if let Some(order) = poll(shopper, accepted, until, settled).await? {
        return Ok(order);
    }
    shopper.check("settled", false, || {
        format!("{} is cancelled and still authorised", accepted.order_id)
    });
    Err(Lost)
}

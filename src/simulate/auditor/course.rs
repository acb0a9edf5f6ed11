//! How one order has come along: what came before what, and what was said of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::news::News;
use super::portrait::{Fits, PAYMENT_DEADLINE, must};
use crate::domain::order::{CancelReason, Draft, Event, Status};
use crate::domain::payment::RefundId;
use crate::domain::{Millis, Money};

/// What is known of one order.
#[derive(Default)]
pub(super) struct Entry {
    pub(super) sealed: Option<Arc<Draft>>,
    pub(super) placed: Option<Arc<Draft>>,
    pub(super) placed_at: Millis,
    pub(super) events: u64,
    pub(super) held: bool,
    pub(super) authorised: bool,
    pub(super) declined: bool,
    pub(super) waits_for_shopper: bool,
    /// How its shopper went through the confirm step.
    pub(super) confirmed_by_shopper: Option<bool>,
    pub(super) commit_asked: bool,
    pub(super) capture_asked: bool,
    pub(super) captured: Option<i64>,
    pub(super) captured_tax: i64,
    pub(super) capture_failed: bool,
    pub(super) confirmed: bool,
    pub(super) packed: bool,
    pub(super) shipped: bool,
    pub(super) delivered: bool,
    pub(super) cancel_wanted: bool,
    pub(super) wanted_because: Option<CancelReason>,
    pub(super) cancelled: bool,
    pub(super) voided: bool,
    /// Each refund: how much, and whether it is done (`Some(true)`), failed, or open.
    pub(super) refunds: BTreeMap<RefundId, (i64, Option<bool>)>,
    pub(super) refund_tax: BTreeMap<RefundId, i64>,
    /// Each refund as it was asked: which, how much, the tax within, and why.
    pub(super) refunds_asked: Vec<(RefundId, Money, Money, String)>,
    /// Why the provider said no, the last time it did.
    pub(super) decline_code: Option<String>,
    /// What left the house: when, with whom, under which number.
    pub(super) shipments: Vec<(Millis, String, String)>,
    /// What the public was told, when, and why.
    pub(super) story: Vec<(Millis, Status, Option<String>)>,
    /// What is to be mailed about it.
    pub(super) news: Vec<News>,
}

impl Entry {
    pub(super) fn refunded(&self, counts: impl Fn(Option<bool>) -> bool) -> i64 {
        let counted = self.refunds.values().filter(|(_, done)| counts(*done));
        counted.map(|(amount, _)| amount).sum()
    }

    fn tell(&mut self, at: Millis, status: Status, why: Option<&str>) {
        self.story.push((at, status, why.map(str::to_owned)));
    }

    fn mail(&mut self, at: Millis, news: News, goods: impl Fn(News, &Draft) -> News) {
        if let Some(draft) = &self.placed {
            let of = (self.events, at);
            self.news.push(News {
                of,
                ..goods(news, draft)
            });
        }
    }

    /// Enters an event, unless it could not come now.
    pub(super) fn take(&mut self, event: &Event) -> Fits {
        self.events += 1;
        let once = |flag: &mut bool, what: &'static str| {
            if std::mem::replace(flag, true) {
                Err(what)
            } else {
                Ok(())
            }
        };
        match event {
            Event::Placed { at, draft } => {
                must(
                    self.sealed.as_ref().is_some_and(|sealed| **sealed == **draft),
                    "is not what its cart sealed",
                )?;
                self.placed = Some(Arc::clone(draft));
                self.placed_at = *at;
                self.tell(*at, Status::Pending, None);
                self.mail(
                    *at,
                    News::new("received your order", ["thank you"]),
                    News::with_sums,
                );
                Ok(())
            }
            Event::Held { .. } => {
                must(!self.cancelled, "was held after it was cancelled")?;
                once(&mut self.held, "was held twice")
            }
            Event::Authorised { .. } => {
                self.waits_for_shopper = false;
                must(
                    self.confirmed_by_shopper != Some(false),
                    "was authorised although its shopper did not confirm it",
                )?;
                must(!self.declined, "was authorised after it was declined")?;
                once(&mut self.authorised, "was authorised twice")
            }
            Event::Declined { code, .. } => {
                self.waits_for_shopper = false;
                self.decline_code = Some(code.clone());
                let failed = code == "authentication_failed";
                must(
                    !failed || self.confirmed_by_shopper == Some(false),
                    "was declined because its shopper had not confirmed it, who had",
                )?;
                must(!self.authorised, "was declined after it was authorised")?;
                once(&mut self.declined, "was declined twice")
            }
            Event::ActionRequired { at } => {
                self.waits_for_shopper = true;
                self.tell(*at, Status::Pending, Some("requires_action"));
                must(
                    !self.authorised && !self.declined && self.confirmed_by_shopper.is_none(),
                    "was to be confirmed by its shopper after it was answered",
                )
            }
            Event::ActionTaken { succeed, .. } => {
                self.confirmed_by_shopper = Some(*succeed);
                must(self.waits_for_shopper, "was confirmed by its shopper unasked")?;
                self.waits_for_shopper = false;
                Ok(())
            }
            Event::CommitAsked { .. } => {
                must(
                    self.held && self.authorised,
                    "commits its holds before it is held and authorised",
                )?;
                once(&mut self.commit_asked, "commits its holds twice")
            }
            Event::CaptureAsked { .. } => {
                must(
                    self.held && self.authorised,
                    "asks for money before it is held and authorised",
                )?;
                must(!self.cancelled, "asks for money after it was cancelled")?;
                once(&mut self.capture_asked, "asks for its capture twice")
            }
            Event::Captured { amount, tax, .. } => {
                must(self.capture_asked, "was captured unasked")?;
                must(self.captured.is_none(), "was captured twice")?;
                let totals = self.placed.as_ref().map(|draft| draft.totals);
                must(
                    totals.is_some_and(|totals| totals.total == *amount && totals.tax == *tax),
                    "was captured with another amount than it costs",
                )?;
                self.captured = Some(amount.amount);
                self.captured_tax = tax.amount;
                Ok(())
            }
            Event::CaptureFailed { code, .. } => {
                self.decline_code = Some(code.clone());
                once(&mut self.capture_failed, "failed its capture twice")
            }
            Event::Confirmed { at } => {
                self.tell(*at, Status::Confirmed, None);
                self.mail(
                    *at,
                    News::new("is confirmed", ["your payment of"]),
                    News::with_sums,
                );
                must(
                    !self.cancel_wanted,
                    "was confirmed although it was to be cancelled",
                )?;
                must(self.captured.is_some(), "was confirmed unpaid")?;
                must(!self.cancelled, "was confirmed after it was cancelled")?;
                once(&mut self.confirmed, "was confirmed twice")
            }
            Event::CancelWanted { reason, .. } => {
                self.wanted_because = Some(reason.clone());
                must(
                    self.capture_asked && self.captured.is_none() && !self.cancelled,
                    "keeps a cancellation for later and has no reason to",
                )?;
                once(&mut self.cancel_wanted, "is to be cancelled twice")
            }
            Event::Cancelled { at, reason } => {
                self.tell(*at, Status::Cancelled, Some(told(reason)));
                let (holds, why) = match reason {
                    CancelReason::OutOfStock => (!self.capture_asked, "is sold out"),
                    CancelReason::PaymentDeclined => {
                        (self.declined || self.capture_failed, "payment was declined")
                    }
                    CancelReason::PaymentExpired => (
                        !self.capture_asked && at.0 - self.placed_at.0 >= PAYMENT_DEADLINE,
                        "did not receive your payment in time",
                    ),
                    CancelReason::ByShopper => (true, "you asked us to"),
                    CancelReason::BySeller { reason } => (true, reason.as_str()),
                };
                self.mail(*at, News::new("is cancelled", [why]), News::with_goods);
                let wanted = self.wanted_because.as_ref();
                must(
                    wanted.map_or(holds, |wanted| wanted == reason),
                    "was cancelled for a reason that it had not",
                )?;
                let resolved = self.captured.is_some() || self.capture_failed;
                must(
                    !self.capture_asked || resolved,
                    "was cancelled while its capture was unresolved",
                )?;
                must(!self.packed, "was cancelled after it was packed")?;
                once(&mut self.cancelled, "was cancelled twice")
            }
            Event::Voided { .. } => {
                must(self.captured.is_none(), "was voided after it was captured")?;
                must(self.cancelled, "was voided and not cancelled")?;
                once(&mut self.voided, "was voided twice")
            }
            Event::RefundAsked {
                refund,
                amount,
                tax,
                reason,
                ..
            } => {
                self.refund_tax.insert(*refund, tax.amount);
                self.refunds_asked.push((*refund, *amount, *tax, reason.clone()));
                must(
                    self.placed
                        .as_ref()
                        .is_some_and(|draft| draft.totals.total.currency == amount.currency),
                    "refunds in another currency than it was captured in",
                )?;
                must(
                    self.refunds.insert(*refund, (amount.amount, None)).is_none(),
                    "asked for the same refund twice",
                )?;
                let left = self.captured.unwrap_or(0) - self.refunded(|done| done != Some(false));
                must(left >= 0, "refunds more than was captured")?;
                self.fair(*refund, amount.amount, left)
            }
            Event::Refunded {
                at,
                refund,
                amount,
                tax,
            } => {
                let asked = self.refund_tax.get(refund).copied();
                match self.refunds.get_mut(refund) {
                    Some((asked_for, done @ None))
                        if *asked_for == amount.amount && asked == Some(tax.amount) =>
                    {
                        *done = Some(true);
                    }
                    _ => return Err("has a refund that was not asked like that"),
                }
                self.mail(
                    *at,
                    News::new("A refund for your order", [amount.to_string().as_str()]),
                    News::with_goods,
                );
                let back = self.refunded(|done| done == Some(true));
                if self.packed && Some(back) == self.captured {
                    self.tell(*at, Status::Refunded, None);
                }
                Ok(())
            }
            Event::RefundFailed { refund, .. } => match self.refunds.get_mut(refund) {
                Some((_, done @ None)) => {
                    *done = Some(false);
                    Ok(())
                }
                _ => Err("has a failed refund that was not asked"),
            },
            Event::Packed { at } => {
                self.tell(*at, Status::Packed, None);
                let left = self.captured.unwrap_or(0) - self.refunded(|done| done != Some(false));
                must(left > 0, "was packed although all of it was refunded")?;
                must(
                    self.confirmed && !self.cancelled,
                    "was packed unpaid or cancelled",
                )?;
                once(&mut self.packed, "was packed twice")
            }
            Event::Shipped {
                at,
                carrier,
                tracking_number,
            } => {
                self.tell(
                    *at,
                    Status::Shipped,
                    Some(&format!("{carrier} {tracking_number}")),
                );
                self.shipments
                    .push((*at, carrier.clone(), tracking_number.clone()));
                self.mail(
                    *at,
                    News::new("is on its way", [carrier.as_str(), tracking_number.as_str()]),
                    News::with_goods,
                );
                must(self.packed, "was shipped unpacked")?;
                once(&mut self.shipped, "was shipped twice")
            }
            Event::Delivered { at } => {
                self.tell(*at, Status::Delivered, None);
                self.mail(*at, News::new("has arrived", ["delivered"]), News::with_goods);
                must(self.shipped, "was delivered unshipped")?;
                once(&mut self.delivered, "was delivered twice")
            }
        }
    }
}

/// What the public is told of a reason.
const fn told(reason: &CancelReason) -> &'static str {
    match reason {
        CancelReason::OutOfStock => "out_of_stock",
        CancelReason::PaymentDeclined => "payment_declined",
        CancelReason::PaymentExpired => "payment_expired",
        CancelReason::ByShopper => "by_shopper",
        CancelReason::BySeller { .. } => "by_seller",
    }
}

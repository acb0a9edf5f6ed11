//! What the sandbox decides about one intent. Pure.
//!
//! Every call is keyed by the intent, so the same call again finds it done and changes nothing; only
//! the misbehaviour a token asks for counts attempts.

use super::token::Token;
use super::{Reply, Stage};
use crate::domain::Money;
use crate::domain::id::OrderId;
use crate::domain::payment::{IntentId, RefundId};

/// How often [`Token::ErrorTwice`] fails.
const ERRORS: u32 = 2;

/// An entry of the sandbox's books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Its key.
    pub id: IntentId,
    /// What it is for; `None` for one that was voided before it was heard of.
    pub order: Option<OrderId>,
    /// The token.
    pub token: String,
    /// How much it is about.
    pub amount: Money,
    /// How far it has come; `None` while nothing is decided.
    pub stage: Option<Stage>,
    /// What was taken, minor units.
    pub captured: i64,
    /// What was given back.
    pub refunds: Vec<(RefundId, i64)>,
    /// Why it was declined.
    pub decline_code: Option<String>,
    /// How often it has failed on purpose.
    pub errors: u32,
    /// How often a capture was lost on purpose.
    pub lost: u32,
    /// Counts the changes; 0 before the first.
    pub version: i64,
}

/// What the sandbox is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Reserve the money.
    Authorise {
        /// What for.
        order: OrderId,
        /// How much.
        amount: Money,
        /// With which token.
        token: String,
    },
    /// The shopper's confirm step.
    Confirm {
        /// Whether it went well.
        succeed: bool,
    },
    /// Take the money.
    Capture {
        /// How much.
        amount: Money,
    },
    /// Give the reservation back.
    Void,
    /// Give money back.
    Refund {
        /// Which refund.
        refund: RefundId,
        /// How much.
        amount: Money,
    },
    /// Nothing but a look.
    Query,
}

/// How an answer travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// At once.
    Prompt,
    /// After five seconds.
    Slow,
    /// Not at all.
    Lost,
    /// As an error of the provider's own.
    Broken,
}

/// What has changed at the provider, for a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// The money is reserved.
    Authorised,
    /// The money is taken.
    Captured,
    /// Money was given back.
    Refunded(RefundId, i64),
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The answer.
    pub reply: Reply,
    /// How it travels.
    pub manner: Manner,
    /// What has changed, if the provider tells of it.
    pub happened: Option<Happened>,
}

impl Outcome {
    const fn prompt(reply: Reply) -> Self {
        Self {
            reply,
            manner: Manner::Prompt,
            happened: None,
        }
    }

    fn declined(code: &str) -> Self {
        Self::prompt(Reply::Declined {
            code: code.to_owned(),
        })
    }

    const fn manner(mut self, manner: Manner) -> Self {
        self.manner = manner;
        self
    }

    const fn tells(mut self, happened: Happened) -> Self {
        self.happened = Some(happened);
        self
    }
}

impl Intent {
    /// An intent nobody has asked about yet.
    #[must_use]
    pub fn unheard(id: IntentId) -> Self {
        Self {
            id,
            order: None,
            token: String::new(),
            amount: Money::default(),
            stage: None,
            captured: 0,
            refunds: vec![],
            decline_code: None,
            errors: 0,
            lost: 0,
            version: 0,
        }
    }

    /// Does what is asked. Changes nothing if it is done already.
    pub fn take(&mut self, call: &Call) -> Outcome {
        match call {
            Call::Authorise { order, amount, token } => self.authorise(*order, *amount, token),
            Call::Confirm { succeed } => self.confirm(*succeed),
            Call::Capture { amount } => self.capture(*amount),
            Call::Void => self.void(),
            Call::Refund { refund, amount } => self.refund(*refund, *amount),
            Call::Query => Outcome::prompt(Reply::Done),
        }
    }

    fn token(&self) -> Option<Token> {
        Token::parse(&self.token)
    }

    fn authorise(&mut self, order: OrderId, amount: Money, token: &str) -> Outcome {
        if self.order.is_some() && (self.amount != amount || self.token != token) {
            return Outcome::declined("intent_exists_differently");
        }
        match self.stage {
            Some(Stage::Authorised | Stage::Captured) => return Outcome::prompt(Reply::Done),
            Some(Stage::RequiresAction) => return Outcome::prompt(Reply::ActionRequired),
            Some(Stage::Voided) => return Outcome::declined("intent_voided"),
            Some(Stage::Declined) => return self.declined_before(),
            None => {}
        }
        self.order = Some(order);
        self.amount = amount;
        token.clone_into(&mut self.token);
        match self.token() {
            None => self.decline("unknown_token"),
            Some(Token::Decline) => self.decline("card_declined"),
            Some(Token::InsufficientFunds) => self.decline("insufficient_funds"),
            Some(Token::ErrorTwice) if self.errors < ERRORS => {
                self.errors += 1;
                Outcome::prompt(Reply::Done).manner(Manner::Broken)
            }
            Some(Token::ThreeDs) => {
                self.stage = Some(Stage::RequiresAction);
                Outcome::prompt(Reply::ActionRequired)
            }
            Some(token) => {
                self.stage = Some(Stage::Authorised);
                let manner = if token == Token::Slow {
                    Manner::Slow
                } else {
                    Manner::Prompt
                };
                Outcome::prompt(Reply::Done)
                    .manner(manner)
                    .tells(Happened::Authorised)
            }
        }
    }

    fn confirm(&mut self, succeed: bool) -> Outcome {
        match self.stage {
            Some(Stage::RequiresAction) if succeed => {
                self.stage = Some(Stage::Authorised);
                Outcome::prompt(Reply::Done).tells(Happened::Authorised)
            }
            Some(Stage::RequiresAction) => self.decline("authentication_failed"),
            Some(Stage::Authorised | Stage::Captured) => Outcome::prompt(Reply::Done),
            Some(Stage::Declined) => self.declined_before(),
            Some(Stage::Voided) => Outcome::declined("intent_voided"),
            None => Outcome::declined("intent_unknown"),
        }
    }

    fn capture(&mut self, amount: Money) -> Outcome {
        match self.stage {
            Some(Stage::Captured) => Outcome::prompt(Reply::Done),
            Some(Stage::Authorised)
                if amount.currency != self.amount.currency || amount.amount > self.amount.amount =>
            {
                Outcome::declined("more_than_authorised")
            }
            Some(Stage::Authorised) if self.token() == Some(Token::TimeoutNotCharged) && self.lost == 0 => {
                self.lost += 1;
                Outcome::prompt(Reply::Done).manner(Manner::Lost)
            }
            Some(Stage::Authorised) => {
                self.stage = Some(Stage::Captured);
                self.captured = amount.amount;
                let manner = if self.token() == Some(Token::TimeoutCharged) {
                    Manner::Lost
                } else {
                    Manner::Prompt
                };
                Outcome::prompt(Reply::Done)
                    .manner(manner)
                    .tells(Happened::Captured)
            }
            Some(Stage::Voided) => Outcome::declined("intent_voided"),
            Some(Stage::Declined) => self.declined_before(),
            Some(Stage::RequiresAction) | None => Outcome::declined("not_authorised"),
        }
    }

    fn void(&mut self) -> Outcome {
        match self.stage {
            Some(Stage::Captured) => Outcome::declined("already_captured"),
            Some(Stage::Declined | Stage::Voided) => Outcome::prompt(Reply::Done),
            // Also when nothing was heard of it: whatever is still on its way finds it void.
            Some(Stage::Authorised | Stage::RequiresAction) | None => {
                self.stage = Some(Stage::Voided);
                Outcome::prompt(Reply::Done)
            }
        }
    }

    fn refund(&mut self, refund: RefundId, amount: Money) -> Outcome {
        if self.refunds.iter().any(|(known, _)| *known == refund) {
            return Outcome::prompt(Reply::Done);
        }
        let back: i64 = self.refunds.iter().map(|(_, amount)| amount).sum();
        if self.stage != Some(Stage::Captured) {
            return Outcome::declined("not_captured");
        }
        if amount.amount <= 0
            || amount.currency != self.amount.currency
            || back.saturating_add(amount.amount) > self.captured
        {
            return Outcome::declined("more_than_captured");
        }
        self.refunds.push((refund, amount.amount));
        Outcome::prompt(Reply::Done).tells(Happened::Refunded(refund, amount.amount))
    }

    fn decline(&mut self, code: &str) -> Outcome {
        self.stage = Some(Stage::Declined);
        self.decline_code = Some(code.to_owned());
        Outcome::declined(code)
    }

    fn declined_before(&self) -> Outcome {
        Outcome::declined(self.decline_code.as_deref().unwrap_or("declined"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const AMOUNT: Money = Money::eur(1_999);

    fn authorise(token: Token) -> Call {
        Call::Authorise {
            order: OrderId(Uuid::nil()),
            amount: AMOUNT,
            token: token.as_str().to_owned(),
        }
    }

    fn fresh() -> Intent {
        Intent::unheard(IntentId(Uuid::nil()))
    }

    const CAPTURE: Call = Call::Capture { amount: AMOUNT };

    #[test]
    fn each_token_does_what_its_row_says() {
        use Manner::{Broken, Lost, Prompt, Slow};
        let done = |manner| (Reply::Done, manner);
        let no = |code: &str| {
            (
                Reply::Declined {
                    code: code.to_owned(),
                },
                Prompt,
            )
        };
        let rows = [
            (
                Token::Approve,
                vec![done(Prompt)],
                vec![done(Prompt), done(Prompt)],
            ),
            (Token::Slow, vec![done(Slow), done(Prompt)], vec![done(Prompt)]),
            (
                Token::ErrorTwice,
                vec![done(Broken), done(Broken), done(Prompt)],
                vec![done(Prompt)],
            ),
            (Token::DuplicateWebhook, vec![done(Prompt)], vec![done(Prompt)]),
            (
                Token::TimeoutCharged,
                vec![done(Prompt)],
                vec![done(Lost), done(Prompt)],
            ),
            (
                Token::TimeoutNotCharged,
                vec![done(Prompt)],
                vec![done(Lost), done(Prompt)],
            ),
            (
                Token::Decline,
                vec![no("card_declined"), no("card_declined")],
                vec![no("card_declined")],
            ),
            (
                Token::InsufficientFunds,
                vec![no("insufficient_funds")],
                vec![no("insufficient_funds")],
            ),
            (
                Token::ThreeDs,
                vec![(Reply::ActionRequired, Prompt)],
                vec![no("not_authorised")],
            ),
        ];
        for (token, authorisations, captures) in rows {
            let mut intent = fresh();
            for expected in authorisations {
                let outcome = intent.take(&authorise(token));
                assert_eq!((outcome.reply, outcome.manner), expected, "{token:?}");
            }
            for expected in captures {
                let outcome = intent.take(&CAPTURE);
                assert_eq!((outcome.reply, outcome.manner), expected, "{token:?}");
            }
            assert!(intent.captured == 0 || intent.captured == AMOUNT.amount);
        }
    }

    #[test]
    fn a_lost_capture_was_either_charged_or_not() {
        for (token, charged) in [(Token::TimeoutCharged, true), (Token::TimeoutNotCharged, false)] {
            let mut intent = fresh();
            intent.take(&authorise(token));
            assert_eq!(intent.take(&CAPTURE).manner, Manner::Lost);
            assert_eq!(intent.stage == Some(Stage::Captured), charged, "{token:?}");
        }
    }

    #[test]
    fn a_void_that_overtakes_its_authorisation_wins() {
        let mut intent = fresh();
        assert_eq!(intent.take(&Call::Void).reply, Reply::Done);
        let outcome = intent.take(&authorise(Token::Approve));
        assert!(matches!(outcome.reply, Reply::Declined { .. }));
        assert_eq!(intent.stage, Some(Stage::Voided));
    }

    #[test]
    fn what_is_captured_is_not_voided_and_never_refunded_beyond() {
        let mut intent = fresh();
        intent.take(&authorise(Token::Approve));
        intent.take(&CAPTURE);
        assert!(matches!(intent.take(&Call::Void).reply, Reply::Declined { .. }));
        let refund = |n: u128, amount| Call::Refund {
            refund: RefundId(Uuid::from_u128(n)),
            amount: Money::eur(amount),
        };
        assert_eq!(intent.take(&refund(1, 1_000)).reply, Reply::Done);
        assert_eq!(intent.take(&refund(1, 1_000)).reply, Reply::Done);
        assert!(matches!(
            intent.take(&refund(2, 1_000)).reply,
            Reply::Declined { .. }
        ));
        assert_eq!(intent.take(&refund(3, 999)).reply, Reply::Done);
        assert_eq!(intent.refunds.len(), 2);
    }

    #[test]
    fn three_d_secure_goes_either_way_once() {
        for succeed in [true, false] {
            let mut intent = fresh();
            intent.take(&authorise(Token::ThreeDs));
            let first = intent.take(&Call::Confirm { succeed }).reply;
            assert_eq!(first == Reply::Done, succeed);
            assert_eq!(intent.take(&Call::Confirm { succeed: true }).reply, first);
        }
    }
}

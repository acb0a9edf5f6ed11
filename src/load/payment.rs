//! The sandbox's test tokens, and how an order paid with one must end.

use std::str::FromStr;

/// A test token of the sandbox provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the table in API.md says what each does")]
pub enum Token {
    Approve,
    Slow5s,
    ErrorTwice,
    DuplicateWebhook,
    TimeoutCharged,
    TimeoutNotCharged,
    Decline,
    InsufficientFunds,
    ThreeDs,
}

impl Token {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Approve,
        Self::Slow5s,
        Self::ErrorTwice,
        Self::DuplicateWebhook,
        Self::TimeoutCharged,
        Self::TimeoutNotCharged,
        Self::Decline,
        Self::InsufficientFunds,
        Self::ThreeDs,
    ];

    /// As it stands in the body of a checkout.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Approve => "tok_approve",
            Self::Slow5s => "tok_slow_5s",
            Self::ErrorTwice => "tok_error_twice",
            Self::DuplicateWebhook => "tok_duplicate_webhook",
            Self::TimeoutCharged => "tok_timeout_charged",
            Self::TimeoutNotCharged => "tok_timeout_not_charged",
            Self::Decline => "tok_decline",
            Self::InsufficientFunds => "tok_insufficient_funds",
            Self::ThreeDs => "tok_3ds",
        }
    }

    /// Whether the provider takes the money in the end, on condition that the shopper passes the
    /// 3-D-Secure step where there is one.
    #[must_use]
    pub const fn approves(self, passes: bool) -> bool {
        match self {
            Self::Decline | Self::InsufficientFunds => false,
            Self::ThreeDs => passes,
            _ => true,
        }
    }
}

impl FromStr for Token {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|token| token.name() == text);
        found.ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|token| token.name()).collect();
            format!("not a token of the sandbox: one of {}, or mix", names.join(", "))
        })
    }
}

/// One `--payment-token`: `TOKEN`, `TOKEN=WEIGHT` or `mix`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weighted(Vec<(Token, u64)>);

impl FromStr for Weighted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "mix" {
            let weight = |token| match token {
                Token::Approve => 60,
                Token::Slow5s => 2,
                Token::ThreeDs => 6,
                Token::Decline | Token::InsufficientFunds => 4,
                _ => 6,
            };
            return Ok(Self(
                Token::ALL
                    .into_iter()
                    .map(|token| (token, weight(token)))
                    .collect(),
            ));
        }
        let (name, weight) = text.split_once('=').unwrap_or((text, "1"));
        let weight = weight
            .parse()
            .ok()
            .filter(|weight| (1..=1_000_000).contains(weight));
        Ok(Self(vec![(
            name.parse()?,
            weight.ok_or("a weight is a number from 1 to 1000000")?,
        )]))
    }
}

/// The tokens of a run, drawn by weight.
#[derive(Clone, Debug)]
pub struct Wallet {
    tokens: Vec<(Token, u64)>,
    total: u64,
}

impl Wallet {
    /// Joins every `--payment-token`; `tok_approve` when there is none.
    #[must_use]
    pub fn new(given: &[Weighted]) -> Self {
        let mut tokens: Vec<_> = given
            .iter()
            .flat_map(|weighted| weighted.0.iter().copied())
            .collect();
        if tokens.is_empty() {
            tokens.push((Token::Approve, 1));
        }
        let total = tokens.iter().map(|(_, weight)| weight).sum();
        Self { tokens, total }
    }

    /// The token for a number drawn at random.
    #[must_use]
    pub fn draw(&self, random: u64) -> Token {
        let mut left = random % self.total;
        for (token, weight) in &self.tokens {
            if left < *weight {
                return *token;
            }
            left -= weight;
        }
        Token::Approve
    }

    /// Whether every order is paid, so that only stock decides who gets one.
    #[must_use]
    pub fn always_approves(&self) -> bool {
        self.tokens
            .iter()
            .all(|(token, _)| *token != Token::ThreeDs && token.approves(true))
    }
}

/// Why a shop may cancel an order.
const REASONS: [&str; 5] = [
    "out_of_stock",
    "payment_declined",
    "payment_expired",
    "by_shopper",
    "by_seller",
];

/// How an order ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// It is confirmed (or further along).
    Confirmed,
    /// It is cancelled, for one of the known reasons.
    Cancelled(&'static str),
}

impl End {
    /// The word under which it is counted.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Cancelled(reason) => reason,
        }
    }
}

/// Judges an order that is no longer pending. `passes` is what the shopper chose in the
/// 3-D-Secure step; `reason` is the `detail` of its `cancelled` entry.
pub fn judge(
    token: Token,
    passes: bool,
    status: &str,
    payment: &str,
    reason: Option<&str>,
) -> Result<End, String> {
    if status != "cancelled" {
        let moved_on = matches!(status, "confirmed" | "packed" | "shipped" | "delivered");
        return match (moved_on, token.approves(passes), payment) {
            (true, true, "captured") => Ok(End::Confirmed),
            (true, false, _) => Err(format!("{} and yet {status}", token.name())),
            _ => Err(format!("{} ended {status}, payment {payment}", token.name())),
        };
    }
    let known = reason.and_then(|reason| REASONS.into_iter().find(|known| reason.contains(known)));
    let Some(known) = known else {
        return Err(format!("cancelled without a known reason: {reason:?}"));
    };
    let allowed = match known {
        // Refused before any capture: at most an authorisation, which is voided.
        "out_of_stock" => !matches!(payment, "captured" | "partially_refunded" | "refunded"),
        "payment_declined" => !token.approves(passes) && payment == "declined",
        _ => false,
    };
    if allowed {
        Ok(End::Cancelled(known))
    } else {
        Err(format!(
            "{} ended cancelled ({known}), payment {payment}",
            token.name()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_drawn_by_weight() {
        let given: Vec<Weighted> = ["tok_approve=3", "tok_decline"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        let wallet = Wallet::new(&given);
        let drawn: Vec<_> = (0..4).map(|n| wallet.draw(n)).collect();
        assert_eq!(
            drawn,
            [Token::Approve, Token::Approve, Token::Approve, Token::Decline]
        );
        assert!(!wallet.always_approves());
        assert!(Wallet::new(&[]).always_approves());
        let mix: Weighted = "mix".parse().unwrap();
        assert_eq!(mix.0.len(), Token::ALL.len());
        for wrong in ["tok_unknown", "tok_approve=0", "tok_approve=x", ""] {
            assert!(wrong.parse::<Weighted>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_token_ends_as_the_contract_says() {
        for token in Token::ALL {
            let confirmed = judge(token, true, "confirmed", "captured", None);
            let declined = judge(token, false, "cancelled", "declined", Some("payment_declined"));
            assert_eq!(confirmed.is_ok(), token.approves(true), "{token:?}");
            assert_eq!(declined.is_ok(), !token.approves(false), "{token:?}");
            assert!(judge(token, true, "confirmed", "authorised", None).is_err());
            assert!(judge(token, true, "cancelled", "voided", None).is_err());
            let sold_out = judge(token, true, "cancelled", "voided", Some("out_of_stock"));
            assert_eq!(sold_out, Ok(End::Cancelled("out_of_stock")));
            assert!(judge(token, true, "cancelled", "captured", Some("out_of_stock")).is_err());
        }
    }
}

//! How an account call can fail: a [`Refusal`] (we say no) or a [`Fault`] (the world failed).
//!
//! A refusal may be shown to the caller as it is; it never says whether an account exists, except
//! to somebody who tries to register its address. A fault is for the log.

use std::time::Duration;

use thiserror::Error;

/// Why a call did not give what was asked for.
#[derive(Debug, Error)]
pub enum AccountError {
    /// The answer is no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There is no answer.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// The answer is no, and why.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The input breaks a rule.
    #[error("the input breaks {} rules", .0.len())]
    Invalid(Vec<InvalidField>),
    /// Somebody has registered this e-mail.
    #[error("this e-mail already has an account")]
    EmailTaken,
    /// Unknown e-mail or wrong password; which of them is not said.
    #[error("unknown e-mail or wrong password")]
    WrongCredentials,
    /// Too many guesses for this account.
    #[error("too many tries for this account")]
    TooManyGuesses {
        /// When the next try is welcome.
        retry_after: Duration,
    },
    /// The access token is not accepted.
    #[error("the access token is not accepted")]
    Token(#[from] TokenRefusal),
    /// The refresh token is unknown, expired or used; a used one has ended its session.
    #[error("the refresh token is not accepted")]
    RefreshToken,
    /// The reset token is unknown, expired or used.
    #[error("the reset link is not valid any more")]
    ResetToken,
    /// No such customer, or a guest where an account is needed.
    #[error("no such account")]
    UnknownCustomer,
}

/// Why an access token is not accepted. The live feed tells expiry from the rest; HTTP does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TokenRefusal {
    /// Not a token of ours: shape, algorithm, header, signature, issuer, audience or claims.
    #[error("not a token of this shop")]
    NotOurs,
    /// It was good once.
    #[error("expired")]
    Expired,
    /// It will be good later.
    #[error("not valid yet")]
    NotYet,
    /// Its session was ended.
    #[error("its session has ended")]
    SessionEnded,
}

/// A field that breaks a rule, as a JSON pointer into the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidField {
    /// Where.
    pub pointer: &'static str,
    /// What is wrong, fit for a person.
    pub detail: &'static str,
}

/// There is no answer, and why.
#[derive(Debug, Error)]
pub enum Fault {
    /// The database failed.
    #[error("the database failed to {doing}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// What it said.
        #[source]
        source: sqlx::Error,
    },
    /// The database took too long; whether it was done is unknown.
    #[error("the database took too long to {doing}")]
    TimedOut {
        /// What was being done.
        doing: &'static str,
    },
    /// More work than there is room for.
    #[error("too busy to {doing}")]
    Overloaded {
        /// What was being done.
        doing: &'static str,
    },
    /// A stored value does not have the shape it was written in.
    #[error("a stored {what} cannot be read")]
    Corrupt {
        /// What cannot be read.
        what: &'static str,
    },
    /// A password or a token could not be made.
    #[error("cannot {doing}: {detail}")]
    Crypto {
        /// What was being done.
        doing: &'static str,
        /// What the library said; holds no secret.
        detail: String,
    },
}

impl Fault {
    /// Whether trying again later can help; otherwise somebody should look.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::TimedOut { .. } | Self::Overloaded { .. } => true,
            Self::Database { source, .. } => {
                !matches!(source, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_))
            }
            Self::Corrupt { .. } | Self::Crypto { .. } => false,
        }
    }
}

/// Why a block of database steps stopped; [`super::Accounts::stored`] adds what it was doing.
pub(super) enum Stop {
    Refused(Refusal),
    Database(sqlx::Error),
    Fault(Fault),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<TokenRefusal> for AccountError {
    fn from(refusal: TokenRefusal) -> Self {
        Self::Refused(Refusal::Token(refusal))
    }
}

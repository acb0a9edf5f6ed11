//! What reacts to committed events. Workers send commands; entities never call each other.
//!
//! Each file is one [`Consumer`](crate::relay::Consumer) of the relay. An event may come more than
//! once, also after its effect was done, so every command carries an operation id derived from the
//! event, every provider call its intent, every mail its Message-ID.
//!
//! **Invariants**
//! - A refusal of the business is an outcome that is reported, not a fault that is retried.
//! - What the outside did not answer is found out by asking, never guessed.
//! - Nothing here waits for anything that an answer to a shopper waits for.

pub mod checkout;
mod errand;
pub mod mail;
pub mod payment;
pub mod stock;
pub mod webhook;

pub use checkout::CheckoutWorker;
pub use mail::MailWorker;
pub use payment::PaymentWorker;
pub use stock::StockWorker;
pub use webhook::PaymentNotices;

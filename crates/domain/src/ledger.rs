//! The double-entry ledger: which transfers a payment event means.
//!
//! One transfer debits one account and credits another by the same amount, so every transfer is
//! balanced by construction and the sum over all accounts is always zero (invariant I9).

use serde::{Deserialize, Serialize};

use crate::Money;
use crate::order::Event;
use crate::planted::{self, Bug};

/// An account of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Account {
    /// What the payment provider owes us.
    ProviderReceivable,
    /// What we have earned, without tax.
    Revenue,
    /// What we owe the tax office.
    TaxPayable,
}

impl Account {
    /// The stable lower-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ProviderReceivable => "provider_receivable",
            Self::Revenue => "revenue",
            Self::TaxPayable => "tax_payable",
        }
    }
}

/// Money moving from the credited account to the debited one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// The account that receives.
    pub debit: Account,
    /// The account that gives.
    pub credit: Account,
    /// How much, above 0.
    pub amount: Money,
}

/// The transfers an order's event means, in a fixed order; their index is the leg.
#[must_use]
pub fn transfers(event: &Event) -> Vec<Transfer> {
    let (amount, tax, captured) = match event {
        Event::Captured { amount, tax, .. } => (amount, tax, true),
        Event::Refunded { amount, tax, .. } => (amount, tax, false),
        _ => return vec![],
    };
    let tax = if planted::is(Bug::TaxKeptOnRefund) && !captured {
        amount.with_amount(0)
    } else {
        *tax
    };
    let net = amount.with_amount(amount.amount - tax.amount);
    [(Account::Revenue, net), (Account::TaxPayable, tax)]
        .into_iter()
        .filter(|(_, amount)| amount.amount > 0)
        .map(|(account, amount)| {
            let (debit, credit) = if captured {
                (Account::ProviderReceivable, account)
            } else {
                (account, Account::ProviderReceivable)
            };
            Transfer {
                debit,
                credit,
                amount,
            }
        })
        .collect()
}

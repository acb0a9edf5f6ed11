//! What a basket costs: subtotal, shipping, tax and total.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Money;
use crate::money::{Currency, contained_tax};

/// How an order travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShippingMethod {
    /// Standard; free from a threshold.
    #[default]
    Standard,
    /// Express.
    Express,
}

impl ShippingMethod {
    /// The stable lower-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Express => "express",
        }
    }
}

impl FromStr for ShippingMethod {
    type Err = UnknownShippingMethod;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "standard" => Ok(Self::Standard),
            "express" => Ok(Self::Express),
            _ => Err(UnknownShippingMethod),
        }
    }
}

/// A text that names no shipping method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("shipping methods are standard and express")]
pub struct UnknownShippingMethod;

/// The rules a shop quotes by. All prices include tax.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tariff {
    /// The one currency of the shop.
    pub currency: Currency,
    /// Tax contained in every price, in hundredths of a percent: 1,900 is 19 %.
    pub tax_rate: u32,
    /// Standard shipping, minor units.
    pub standard: i64,
    /// Standard shipping is free from this subtotal, minor units.
    pub free_from: i64,
    /// Express shipping, minor units.
    pub express: i64,
}

impl Default for Tariff {
    /// EUR, 19 % included, standard 4.90 (free from 50.00), express 9.90.
    fn default() -> Self {
        Self {
            currency: Currency::EUR,
            tax_rate: 1_900,
            standard: 490,
            free_from: 5_000,
            express: 990,
        }
    }
}

/// What a basket costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Sum of the lines.
    pub subtotal: Money,
    /// Shipping.
    pub shipping: Money,
    /// The tax contained in the total.
    pub tax: Money,
    /// What is paid.
    pub total: Money,
}

impl Tariff {
    /// Totals of a basket whose lines add up to `subtotal` minor units. An empty basket ships nothing.
    #[must_use]
    pub fn totals(&self, subtotal: i64, method: ShippingMethod) -> Totals {
        let shipping = match method {
            _ if subtotal == 0 => 0,
            ShippingMethod::Standard if subtotal >= self.free_from => 0,
            ShippingMethod::Standard => self.standard,
            ShippingMethod::Express => self.express,
        };
        let total = subtotal.saturating_add(shipping);
        let money = |amount| Money::new(amount, self.currency);
        Totals {
            subtotal: money(subtotal),
            shipping: money(shipping),
            tax: money(contained_tax(total, self.tax_rate)),
            total: money(total),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_shipping_is_free_from_fifty() {
        let tariff = Tariff::default();
        assert_eq!(
            tariff.totals(4_999, ShippingMethod::Standard).total,
            Money::eur(5_489)
        );
        assert_eq!(
            tariff.totals(5_000, ShippingMethod::Standard).total,
            Money::eur(5_000)
        );
        assert_eq!(
            tariff.totals(5_000, ShippingMethod::Express).total,
            Money::eur(5_990)
        );
        assert_eq!(
            tariff.totals(11_900, ShippingMethod::Standard).tax,
            Money::eur(1_900)
        );
        assert_eq!(tariff.totals(0, ShippingMethod::Express).total, Money::eur(0));
    }
}

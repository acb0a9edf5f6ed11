//! The checkout form.

use askama::Template;

use super::{CartLine, FieldErrors, Money, Shell};

/// `/checkout`
///
/// Posts to `/checkout`: `idempotency_key`, `email`, `name`, `line1`, `line2`, `city`, `region`,
/// `postal_code`, `country`, `shipping_method`, `payment_token`, and for each shipping method
/// `expected_total_{method}` in minor units. The handler takes the expected total of the method
/// that was chosen, so the total beside the button is the one that is agreed to.
#[derive(Debug, Clone, Template)]
#[template(path = "checkout.html")]
pub struct CheckoutPage {
    /// Around it.
    pub shell: Shell,
    /// Made for this visit; the same after a fault, so that a second click is the same order.
    pub idempotency_key: String,
    /// What the fields hold.
    pub values: CheckoutValues,
    /// What was wrong with them.
    pub errors: FieldErrors,
    /// A fault of the whole, for example that the total has changed.
    pub fault: Option<String>,
    /// Where we ship to.
    pub countries: Vec<Country>,
    /// Ways to ship, each with what the order then costs. Exactly one is selected.
    pub shipping: Vec<ShippingChoice>,
    /// Ways to pay. Exactly one is selected.
    pub payment: Vec<PaymentChoice>,
    /// What is ordered.
    pub lines: Vec<CartLine>,
    /// Sum of the lines.
    pub subtotal: Money,
}

/// What the fields of the checkout form hold.
#[derive(Debug, Clone, Default)]
pub struct CheckoutValues {
    /// `email`
    pub email: String,
    /// `name`
    pub name: String,
    /// `line1`
    pub line1: String,
    /// `line2`
    pub line2: String,
    /// `city`
    pub city: String,
    /// `region`
    pub region: String,
    /// `postal_code`
    pub postal_code: String,
    /// `country`, ISO 3166-1 alpha-2.
    pub country: String,
}

/// A country to ship to.
#[derive(Debug, Clone)]
pub struct Country {
    /// ISO 3166-1 alpha-2.
    pub code: String,
    /// English name.
    pub name: String,
}

/// A way to ship and the figures that follow from it.
#[derive(Debug, Clone)]
pub struct ShippingChoice {
    /// `standard` or `express`.
    pub method: String,
    /// In words.
    pub label: String,
    /// When it arrives, in words.
    pub promise: String,
    /// What it costs.
    pub cost: Money,
    /// Tax inside the total.
    pub tax: Money,
    /// What the whole order costs with it.
    pub total: Money,
    /// Whether it is chosen.
    pub selected: bool,
}

/// A token of the sandbox provider.
#[derive(Debug, Clone)]
pub struct PaymentChoice {
    /// `tok_approve` and so on.
    pub token: String,
    /// What the provider will do, in words.
    pub label: String,
    /// How the order ends.
    pub outcome: String,
    /// Whether it is chosen.
    pub selected: bool,
}

impl PaymentChoice {
    /// Every token of the sandbox, the first one chosen unless `chosen` names another.
    pub fn sandbox(chosen: Option<&str>) -> Vec<Self> {
        const TOKENS: [(&str, &str, &str); 9] = [
            ("tok_approve", "Approves", "Confirmed and paid"),
            (
                "tok_3ds",
                "Asks you to confirm",
                "Waits for your confirmation, 15 minutes at most",
            ),
            ("tok_decline", "Declines the card", "Cancelled, nothing charged"),
            (
                "tok_insufficient_funds",
                "Finds too little money",
                "Cancelled, nothing charged",
            ),
            (
                "tok_slow_5s",
                "Takes five seconds",
                "Confirmed and paid, a little later",
            ),
            (
                "tok_error_twice",
                "Fails twice, then approves",
                "Confirmed and paid",
            ),
            (
                "tok_duplicate_webhook",
                "Tells us twice",
                "Confirmed and paid, once",
            ),
            (
                "tok_timeout_charged",
                "Charges, but its answer is lost",
                "Confirmed and paid, once",
            ),
            (
                "tok_timeout_not_charged",
                "Loses our request to charge",
                "Confirmed and paid after another try",
            ),
        ];
        let chosen = chosen.unwrap_or("tok_approve");
        TOKENS
            .iter()
            .map(|&(token, label, outcome)| Self {
                token: token.to_owned(),
                label: label.to_owned(),
                outcome: outcome.to_owned(),
                selected: token == chosen,
            })
            .collect()
    }
}

//! Signing in and the pages of an account.

use askama::Template;

use super::{FieldErrors, Money, OrderStatus, Shell, When};

/// `/sign-in`
///
/// Posts to `/sign-in` (`email`, `password`, `next`) and `/register` (`name`, `email`, `password`,
/// `next`). Either handler renders this page again when it refuses.
#[derive(Debug, Clone, Template)]
#[template(path = "sign-in.html")]
pub struct SignInPage {
    /// Around it.
    pub shell: Shell,
    /// Where to go afterwards: a path of this shop.
    pub next: String,
    /// E-mail in the sign-in form.
    pub email: String,
    /// Why signing in failed (one sentence, the same for an unknown address).
    pub fault: Option<String>,
    /// Name in the registration form.
    pub register_name: String,
    /// E-mail in the registration form.
    pub register_email: String,
    /// What was wrong in the registration form.
    pub register_errors: FieldErrors,
}

/// `/password-reset`; posts `email` to itself.
#[derive(Debug, Clone, Template)]
#[template(path = "password-reset-request.html")]
pub struct PasswordResetRequestPage {
    /// Around it.
    pub shell: Shell,
    /// Whether it was sent: the same answer for every address.
    pub sent: bool,
    /// What the field holds.
    pub email: String,
    /// What was wrong with it.
    pub errors: FieldErrors,
}

/// `/password-reset/{token}`; posts `password` to itself.
#[derive(Debug, Clone, Template)]
#[template(path = "password-reset.html")]
pub struct PasswordResetPage {
    /// Around it.
    pub shell: Shell,
    /// The token of the link.
    pub token: String,
    /// Whether the link is used up or too old.
    pub expired: bool,
    /// What was wrong with the new password.
    pub errors: FieldErrors,
}

/// `/account`
///
/// Posts to `/account/password` (`current_password`, `new_password`) and `/sign-out`.
#[derive(Debug, Clone, Template)]
#[template(path = "account.html")]
pub struct AccountPage {
    /// Around it; `shell.visitor` is the person.
    pub shell: Shell,
    /// The newest few orders.
    pub recent: Vec<OrderSummary>,
    /// What was wrong with a change of password.
    pub errors: FieldErrors,
}

/// `/account/orders`
#[derive(Debug, Clone, Template)]
#[template(path = "account-orders.html")]
pub struct AccountOrdersPage {
    /// Around it.
    pub shell: Shell,
    /// Newest first.
    pub orders: Vec<OrderSummary>,
    /// The next page, while there is one.
    pub next_href: Option<String>,
}

/// An order in a list.
#[derive(Debug, Clone)]
pub struct OrderSummary {
    /// `/orders/{id}`.
    pub id: String,
    /// Number for people.
    pub number: String,
    /// When it was placed.
    pub placed_at: When,
    /// Where it stands.
    pub status: OrderStatus,
    /// Units in it.
    pub units: u32,
    /// Name of its first line.
    pub first_line: String,
    /// Up to four product ids, for their pictures.
    pub product_ids: Vec<String>,
    /// What it costs.
    pub total: Money,
}

//! What stands around every page of a visit. Never fails: a page without its cart count is still a
//! page.

use super::model::{Banner, NavCategory, Shell, Tone, Visitor};
use super::visit::Visit;
use crate::accounts::Role;
use crate::domain::cart::Cart;

/// How many categories the navigation shows.
const CATEGORIES: usize = 10;

impl Visit {
    /// The shell of a page with this title.
    pub(super) async fn shell(&self, title: impl Into<String>) -> Shell {
        let (visitor, cart) = tokio::join!(self.visitor(), self.cart());
        let categories = self.edge().views.catalogue.categories();
        let shown = categories.iter().filter(|category| category.count > 0);
        Shell {
            title: title.into(),
            description: None,
            path: self.address(),
            csrf_token: self
                .session
                .as_ref()
                .map(|session| session.csrf_token.clone())
                .unwrap_or_default(),
            has_session: self.session.is_some(),
            visitor,
            cart_count: cart.map_or(0, units),
            categories: shown
                .take(CATEGORIES)
                .map(|category| NavCategory {
                    slug: category.slug.clone(),
                    name: category.name.clone(),
                    current: false,
                })
                .collect(),
            query: String::new(),
            banner: self.banner(),
            local_mailbox: self.edge().mailbox.is_some() && self.is_local(),
        }
    }

    /// The person behind the visit; nobody for guests.
    async fn visitor(&self) -> Option<Visitor> {
        let caller = self.member().ok()?;
        let profile = match self.edge().accounts.me(caller.customer_id).await {
            Ok(profile) => profile,
            Err(error) => {
                tracing::debug!(%error, "a page is shown without its visitor");
                return None;
            }
        };
        Some(Visitor {
            name: profile.name?,
            email: profile.email?,
            seller: profile.roles.has(Role::Seller),
            operator: profile.roles.has(Role::Operator),
        })
    }

    /// What the form before this page did.
    fn banner(&self) -> Option<Banner> {
        let text = match self.asked_for("done").as_str() {
            "saved" => "Saved.",
            "made" => "The product is made.",
            "price" => "The new price is in force.",
            "shown" => "The product is in the shop.",
            "hidden" => "The product is hidden. Carts that hold it say so.",
            "stock" => "The stock is adjusted.",
            "refund" => "The refund is on its way.",
            "password" => "Your password is changed. You are signed out everywhere else.",
            "reset" => "Your password is changed. Sign in with it.",
            _ => return None,
        };
        Some(Banner {
            tone: Tone::Done,
            text: text.to_owned(),
            link: None,
        })
    }
}

/// Units in all lines.
fn units(cart: &Cart) -> u32 {
    cart.lines
        .iter()
        .map(|line| line.quantity)
        .fold(0, u32::saturating_add)
}

impl Shell {
    /// Marks the category of the navigation that the page belongs to.
    pub(super) fn enter(&mut self, root: &str) {
        for category in &mut self.categories {
            category.current = category.slug == root;
        }
    }
}

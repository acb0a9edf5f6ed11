//! What the mails say, as text and as simple HTML, from the templates in `templates/mail/`.

use askama::Template;
use uuid::Uuid;

use super::post::Mail;
use crate::accounts::{OrderLinks, ResetMail};
use crate::config::Settings;
use crate::domain::order::Draft;
use crate::domain::{Millis, Money};

/// Who writes, and where links lead.
pub struct Letterhead {
    /// The name of the shop.
    pub shop: String,
    /// The sender.
    pub from: String,
    /// The address of the pages, without a slash at the end.
    pub public_url: String,
    /// The maker of signed order links.
    pub links: OrderLinks,
}

impl std::fmt::Debug for Letterhead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Letterhead")
            .field("shop", &self.shop)
            .field("from", &self.from)
            .field("public_url", &self.public_url)
            .finish_non_exhaustive()
    }
}

/// What there is to say about an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// It came in.
    Received,
    /// It is paid.
    Confirmed,
    /// It is over.
    Cancelled {
        /// Why, as a clause.
        why: String,
    },
    /// It is on its way.
    Shipped {
        /// Who carries it.
        carrier: String,
        /// Where to follow it.
        tracking_number: String,
    },
    /// It arrived.
    Delivered,
    /// Money went back.
    Refunded {
        /// How much.
        amount: Money,
    },
}

struct Line {
    quantity: u32,
    name: String,
    total: String,
}

#[derive(Template)]
#[template(path = "mail/order.txt")]
struct OrderText<'a>(&'a OrderLetter);

#[derive(Template)]
#[template(path = "mail/order.html")]
struct OrderHtml<'a>(&'a OrderLetter);

struct OrderLetter {
    shop: String,
    name: String,
    number: String,
    says: Vec<String>,
    lines: Vec<Line>,
    /// Subtotal, shipping, tax and total, in this order; empty where a list of goods adds nothing.
    sums: Vec<(&'static str, String)>,
    link: String,
}

struct ResetLetter {
    shop: String,
    name: String,
    link: String,
}

#[derive(Template)]
#[template(path = "mail/reset.txt")]
struct ResetText<'a>(&'a ResetLetter);

#[derive(Template)]
#[template(path = "mail/reset.html")]
struct ResetHtml<'a>(&'a ResetLetter);

impl Letterhead {
    /// The letterhead of a shop.
    #[must_use]
    pub fn new(settings: &Settings, links: OrderLinks) -> Self {
        Self {
            shop: settings.shop.name.clone(),
            from: settings.mail.from.clone(),
            public_url: settings.node.public_url.trim_end_matches('/').to_owned(),
            links,
        }
    }

    /// The mail about what happened to an order; `sequence` tells its events apart.
    ///
    /// # Errors
    /// When the template fails.
    pub fn about_order(
        &self,
        draft: &Draft,
        news: &News,
        sequence: i64,
        at: Millis,
    ) -> Result<Mail, askama::Error> {
        let order = draft.order();
        let number = order.number();
        let (subject, says) = self.say(&number, news, draft);
        let with_goods = matches!(news, News::Received | News::Confirmed);
        let totals = &draft.totals;
        let letter = OrderLetter {
            shop: self.shop.clone(),
            name: draft.shipping_address.name.clone(),
            says,
            lines: draft
                .lines
                .iter()
                .map(|line| Line {
                    quantity: line.quantity,
                    name: line.name.clone(),
                    total: line.line_total.to_string(),
                })
                .collect(),
            sums: if with_goods {
                vec![
                    ("Subtotal", totals.subtotal.to_string()),
                    ("Shipping", totals.shipping.to_string()),
                    ("Total", totals.total.to_string()),
                    ("Tax included", totals.tax.to_string()),
                ]
            } else {
                vec![]
            },
            link: format!("{}/orders/{order}?key={}", self.public_url, self.links.key(order)),
            number,
        };
        Ok(Mail {
            message_id: format!("<order.{order}.{sequence}@{}>", self.host()),
            from: self.from.clone(),
            to: draft.email.clone(),
            subject,
            text: OrderText(&letter).render()?,
            html: OrderHtml(&letter).render()?,
            at,
        })
    }

    /// The mail with a link to a new password.
    ///
    /// # Errors
    /// When the template fails.
    pub fn about_reset(&self, reset: &ResetMail, id: Uuid, at: Millis) -> Result<Mail, askama::Error> {
        let letter = ResetLetter {
            shop: self.shop.clone(),
            name: reset.name.clone(),
            link: format!("{}/password-reset/{}", self.public_url, reset.token.expose()),
        };
        Ok(Mail {
            message_id: format!("<reset.{id}@{}>", self.host()),
            from: self.from.clone(),
            to: reset.email.clone(),
            subject: format!("A new password for {}", self.shop),
            text: ResetText(&letter).render()?,
            html: ResetHtml(&letter).render()?,
            at,
        })
    }

    fn say(&self, number: &str, news: &News, draft: &Draft) -> (String, Vec<String>) {
        match news {
            News::Received => (
                format!("We have received your order {number}"),
                vec![
                    "thank you for your order. We are putting your things aside and asking for your \
                     payment; we write again as soon as both are done."
                        .to_owned(),
                ],
            ),
            News::Confirmed => (
                format!("Your order {number} is confirmed"),
                vec![format!(
                    "your payment of {} has arrived and your order is confirmed. We are packing it.",
                    draft.totals.total
                )],
            ),
            News::Cancelled { why } => (
                format!("Your order {number} is cancelled"),
                vec![
                    format!("your order is cancelled: {why}."),
                    "What we had taken for it goes back to you; if we had taken nothing, nothing will be \
                     charged."
                        .to_owned(),
                ],
            ),
            News::Shipped {
                carrier,
                tracking_number,
            } => (
                format!("Your order {number} is on its way"),
                vec![
                    "your order has left our house.".to_owned(),
                    format!("It travels with {carrier}; its tracking number is {tracking_number}."),
                ],
            ),
            News::Delivered => (
                format!("Your order {number} has arrived"),
                vec!["your order has been delivered. We hope you enjoy it.".to_owned()],
            ),
            News::Refunded { amount } => (
                format!("A refund for your order {number}"),
                vec![format!("we have sent {amount} back to you.")],
            ),
        }
    }

    /// The right side of a Message-ID: the shop's own name in the network.
    fn host(&self) -> &str {
        let after = self
            .public_url
            .split_once("://")
            .map_or(self.public_url.as_str(), |(_, rest)| rest);
        let host = after.split(['/', ':', '?', '#']).next().unwrap_or_default();
        if host.is_empty() { "localhost" } else { host }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::{Secret, SigningKey};
    use crate::clock::Clock;
    use crate::domain::order::Line;
    use crate::domain::quote::Totals;

    fn letterhead() -> Letterhead {
        Letterhead {
            shop: "Tea & Co".to_owned(),
            from: "Tea <tea@example.org>".to_owned(),
            public_url: "https://tea.example:8443".to_owned(),
            links: SigningKey::ephemeral(&Clock::system()).unwrap().order_links(),
        }
    }

    fn draft() -> Draft {
        let mut draft = Draft {
            email: "ada@example.org".to_owned(),
            totals: Totals {
                total: Money::eur(4_490),
                ..Totals::default()
            },
            lines: vec![Line {
                sku: "POT".parse().unwrap(),
                name: "Pot <1 l> \"blue\"".to_owned(),
                quantity: 2,
                unit_price: Money::eur(2_000),
                line_total: Money::eur(4_000),
            }],
            ..Draft::default()
        };
        draft.shipping_address.name = "Ada".to_owned();
        draft
    }

    #[test]
    fn a_mail_names_the_order_and_links_to_it() {
        let (letterhead, draft) = (letterhead(), draft());
        let order = draft.order();
        let mail = letterhead
            .about_order(&draft, &News::Received, 1, Millis(0))
            .unwrap();
        assert!(mail.subject.contains(&order.number()));
        let link = format!(
            "https://tea.example:8443/orders/{order}?key={}",
            letterhead.links.key(order)
        );
        assert!(mail.text.contains(&link), "{}", mail.text);
        assert!(mail.html.contains(&link), "{}", mail.html);
        assert!(mail.text.contains("2 × Pot <1 l> \"blue\"") && mail.text.contains("44.90 EUR"));
        assert!(!mail.html.contains("<1 l>"), "names are text, not markup");
        assert_eq!(mail.message_id, format!("<order.{order}.1@tea.example>"));
    }

    #[test]
    fn the_same_event_is_the_same_mail_and_another_is_another() {
        let (letterhead, draft) = (letterhead(), draft());
        let about =
            |news: &News, sequence| letterhead.about_order(&draft, news, sequence, Millis(7)).unwrap();
        let shipped = News::Shipped {
            carrier: "DHL".to_owned(),
            tracking_number: "00340".to_owned(),
        };
        assert_eq!(about(&shipped, 9), about(&shipped, 9));
        assert!(about(&shipped, 9).text.contains("00340"));
        let cancelled = News::Cancelled {
            why: "something you ordered is sold out".to_owned(),
        };
        assert!(about(&cancelled, 4).text.contains("sold out"));
        assert_ne!(about(&cancelled, 4).message_id, about(&shipped, 9).message_id);
    }

    #[test]
    fn a_reset_carries_its_token_in_the_link_only() {
        let reset = ResetMail {
            email: "ada@example.org".to_owned(),
            name: "Ada".to_owned(),
            token: Secret::new("gsp_token"),
            expires_at: Millis(0),
        };
        let mail = letterhead().about_reset(&reset, Uuid::nil(), Millis(0)).unwrap();
        assert!(
            mail.text
                .contains("https://tea.example:8443/password-reset/gsp_token")
        );
        assert!(!mail.subject.contains("gsp_token") && !mail.message_id.contains("gsp_token"));
    }
}

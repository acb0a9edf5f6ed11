//! The auditor's book of products: what each was last said to be.

use std::collections::BTreeMap;

use super::{Checked, broken};
use crate::domain::EntityId;
use crate::domain::product::{Command, Event, Listing, Product};
use crate::journal::Recorded;

#[derive(Default)]
struct Entry {
    version: u64,
    listing: Option<Listing>,
}

#[derive(Default)]
pub(super) struct ProductBook(BTreeMap<EntityId, Entry>);

impl ProductBook {
    /// Enters an event, and sees whether the product looks so now.
    pub fn enter(&mut self, recorded: &Recorded, event: &Event, now: &Product) -> Checked {
        let product = &recorded.entity;
        let entry = self.0.entry(product.clone()).or_default();
        entry.version += 1;
        let (Event::Created { at, .. } | Event::Edited { at, .. } | Event::Priced { at, .. }) = event;
        let before = entry.listing.take();
        let created_at = before.as_ref().map_or(*at, |before| before.created_at);
        entry.listing = match (event, before) {
            (Event::Created { .. }, Some(_)) => {
                return broken("I4", format!("{product} was created twice"));
            }
            (Event::Created { details, price, .. }, None) => Some(Listing {
                details: details.as_ref().clone(),
                price: *price,
                published: true,
                created_at,
                changed_at: *at,
            }),
            (
                Event::Edited {
                    details,
                    price,
                    published,
                    ..
                },
                Some(_),
            ) => Some(Listing {
                details: details.as_ref().clone(),
                price: *price,
                published: *published,
                created_at,
                changed_at: *at,
            }),
            (Event::Priced { price, .. }, Some(before)) => Some(Listing {
                price: *price,
                changed_at: *at,
                ..before
            }),
            (_, None) => return broken("I4", format!("{product} changed before it was created")),
        };
        if now.listing != entry.listing || now.version != entry.version || *at != recorded.recorded_at {
            return broken("I5", format!("{product} is not what happened to it"));
        }
        Ok(())
    }

    /// Whether a product that looks so may refuse a command.
    pub fn may_refuse(command: &Command, product: &Product) -> bool {
        match command {
            Command::Create { .. } => product.listing.is_some(),
            Command::Edit { version, .. } | Command::SetPrice { version, .. } => {
                product.listing.is_none() || *version != product.version
            }
            Command::Import { .. } => false,
        }
    }

    /// Whether a product that looks so may change nothing about a command, because it is so already.
    pub fn may_ignore(command: &Command, product: &Product) -> bool {
        let Some(is) = &product.listing else { return false };
        match command {
            Command::Create { .. } => false,
            Command::Edit {
                details,
                price,
                published,
                ..
            } => is.details == **details && (is.price, is.published) == (*price, *published),
            Command::SetPrice { price, .. } => is.price == *price,
            // A catalogue does not say where a page is.
            Command::Import { details, price } => {
                let mut said = details.as_ref().clone();
                said.slug.clone_from(&is.details.slug);
                is.details == said && is.price == *price
            }
        }
    }
}

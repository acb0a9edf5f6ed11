//! The auditor's book of products: what each was last said to be.

use std::collections::BTreeMap;

use super::{Checked, broken};
use crate::domain::product::{Event, Product};
use crate::domain::{EntityId, Money};
use crate::journal::Recorded;

#[derive(Default)]
struct Entry {
    version: u64,
    slug: String,
    name: String,
    price: Money,
    published: bool,
}

#[derive(Default)]
pub(super) struct ProductBook(BTreeMap<EntityId, Entry>);

impl ProductBook {
    /// Enters an event, and sees whether the product looks so now.
    pub fn enter(&mut self, recorded: &Recorded, event: &Event, now: &Product) -> Checked {
        let product = &recorded.entity;
        let entry = self.0.entry(product.clone()).or_default();
        entry.version += 1;
        let at = match event {
            Event::Created { at, details, price } => {
                if entry.version > 1 {
                    return broken("I4", format!("{product} was created twice"));
                }
                entry.slug.clone_from(&details.slug);
                entry.name.clone_from(&details.name);
                (entry.price, entry.published) = (*price, true);
                at
            }
            Event::Edited {
                at,
                details,
                price,
                published,
            } => {
                entry.slug.clone_from(&details.slug);
                entry.name.clone_from(&details.name);
                (entry.price, entry.published) = (*price, *published);
                at
            }
            Event::Priced { at, price } => {
                entry.price = *price;
                at
            }
        };
        let looks = now.listing.as_ref().is_some_and(|listing| {
            listing.details.slug == entry.slug
                && listing.details.name == entry.name
                && (listing.price, listing.published) == (entry.price, entry.published)
                && listing.changed_at == *at
        });
        if !looks || now.version != entry.version || *at != recorded.recorded_at {
            return broken("I5", format!("{product} is not what happened to it"));
        }
        Ok(())
    }
}

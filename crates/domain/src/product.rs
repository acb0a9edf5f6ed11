//! A product: its details and its price. What carts show and orders copy.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{EntityId, Sku};
use crate::{Entity, Kind, Millis, Money};

/// A product, or nothing yet under this id.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Product {
    /// Counts the events; asserted by `If-Match`.
    pub version: u64,
    /// Everything about it; `None` before it is created.
    pub listing: Option<Listing>,
}

/// A product as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listing {
    /// What it is.
    pub details: Details,
    /// What it costs, tax included.
    pub price: Money,
    /// Whether it is in the lists and can be bought.
    pub published: bool,
    /// When it was created.
    pub created_at: Millis,
    /// When it last changed.
    pub changed_at: Millis,
}

/// What a product is. The SKU is its id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Details {
    /// The SKU and product id.
    pub sku: Sku,
    /// The name in a URL, unique in the shop.
    pub slug: String,
    /// The name people read.
    pub name: String,
    /// Who makes it; may be empty.
    #[serde(default)]
    pub brand: String,
    /// The slug of its category.
    pub category: String,
    /// The maker's part number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_number: Option<String>,
    /// Plain text, paragraphs separated by blank lines.
    #[serde(default)]
    pub description: String,
    /// Typed attributes by key.
    #[serde(default)]
    pub attributes: BTreeMap<String, Attribute>,
    /// Other SKUs of the same product.
    #[serde(default)]
    pub variants: Vec<Variant>,
    /// Pictures by URL; the shop shows a generated one when there is none it may serve.
    #[serde(default)]
    pub images: Vec<String>,
    /// Global trade item numbers, 14 digits.
    #[serde(default)]
    pub gtins: Vec<String>,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Attribute {
    /// Yes or no.
    Flag(bool),
    /// A number, finite.
    Number(f64),
    /// A text.
    Text(String),
    /// Several texts.
    Texts(Vec<String>),
}

/// Another SKU of a product.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Variant {
    /// Its SKU.
    pub sku: Sku,
    /// What tells it from the others: colour, size.
    pub options: BTreeMap<String, String>,
    /// Its own price, if it differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Money>,
}

/// What may be asked of a product.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Create it.
    Create {
        /// What it is.
        details: Box<Details>,
        /// What it costs.
        price: Money,
    },
    /// Replace its details.
    Edit {
        /// The version the editor saw.
        version: u64,
        /// What it is now.
        details: Box<Details>,
        /// What it costs now.
        price: Money,
        /// Whether it is for sale.
        published: bool,
    },
    /// Change its price.
    SetPrice {
        /// The version the editor saw.
        version: u64,
        /// What it costs now.
        price: Money,
    },
    /// Create it or bring it up to date, whatever its version: a catalogue import.
    Import {
        /// What it is.
        details: Box<Details>,
        /// What it costs.
        price: Money,
    },
}

/// What has happened to a product.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// It exists.
    Created {
        /// When.
        at: Millis,
        /// What it is.
        details: Box<Details>,
        /// What it costs.
        price: Money,
    },
    /// Its details, price or publication changed.
    Edited {
        /// When.
        at: Millis,
        /// What it is now.
        details: Box<Details>,
        /// What it costs now.
        price: Money,
        /// Whether it is for sale.
        published: bool,
    },
    /// Its price changed.
    Priced {
        /// When.
        at: Millis,
        /// What it costs now.
        price: Money,
    },
}

/// Why a product says no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The id is taken.
    #[error("there is already a product with this SKU")]
    AlreadyExists,
    /// There is no such product.
    #[error("there is no such product")]
    Unknown,
    /// Somebody else has changed it since.
    #[error("the product has changed: it is at version {version}")]
    Changed {
        /// The version it is at.
        version: u64,
    },
    /// A price out of range.
    #[error("a price lies between 0 and {limit} minor units", limit = Money::LIMIT)]
    BadPrice,
}

impl Sku {
    /// The product entity whose main SKU this is.
    #[must_use]
    pub fn product(&self) -> EntityId {
        EntityId::new(Kind::Product, self)
    }
}

impl Product {
    fn listed(&self, version: u64) -> Result<&Listing, Refusal> {
        let listing = self.listing.as_ref().ok_or(Refusal::Unknown)?;
        if version == self.version {
            Ok(listing)
        } else {
            Err(Refusal::Changed {
                version: self.version,
            })
        }
    }
}

impl Entity for Product {
    const KIND: Kind = Kind::Product;
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;
    type View = Self;

    fn view(&self) -> Self {
        self.clone()
    }

    fn decide(&self, command: &Command, now: Millis) -> Result<Vec<Event>, Refusal> {
        let (Command::Create { price, .. }
        | Command::Edit { price, .. }
        | Command::SetPrice { price, .. }
        | Command::Import { price, .. }) = command;
        if !(0..=Money::LIMIT).contains(&price.amount) {
            return Err(Refusal::BadPrice);
        }
        match (command, &self.listing) {
            (Command::Create { .. }, Some(_)) => Err(Refusal::AlreadyExists),
            (Command::Create { details, price } | Command::Import { details, price }, None) => {
                Ok(vec![Event::Created {
                    at: now,
                    details: details.clone(),
                    price: *price,
                }])
            }
            (
                Command::Edit {
                    version,
                    details,
                    price,
                    published,
                },
                _,
            ) => {
                let listing = self.listed(*version)?;
                if listing.details == **details && listing.price == *price && listing.published == *published
                {
                    return Ok(vec![]);
                }
                Ok(vec![Event::Edited {
                    at: now,
                    details: details.clone(),
                    price: *price,
                    published: *published,
                }])
            }
            (Command::SetPrice { version, price }, _) => {
                if self.listed(*version)?.price == *price {
                    return Ok(vec![]);
                }
                Ok(vec![Event::Priced {
                    at: now,
                    price: *price,
                }])
            }
            (Command::Import { details, price }, Some(listing)) => {
                // The address of a page outlives its wording.
                let mut details = details.clone();
                details.slug.clone_from(&listing.details.slug);
                if listing.details == *details && listing.price == *price {
                    return Ok(vec![]);
                }
                Ok(vec![Event::Edited {
                    at: now,
                    details,
                    price: *price,
                    published: listing.published,
                }])
            }
        }
    }

    fn apply(&mut self, event: &Event) {
        self.version += 1;
        match event {
            Event::Created { at, details, price } => {
                self.listing = Some(Listing {
                    details: details.as_ref().clone(),
                    price: *price,
                    published: true,
                    created_at: *at,
                    changed_at: *at,
                });
            }
            Event::Edited {
                at,
                details,
                price,
                published,
            } => {
                if let Some(listing) = &mut self.listing {
                    listing.details = details.as_ref().clone();
                    listing.price = *price;
                    listing.published = *published;
                    listing.changed_at = *at;
                }
            }
            Event::Priced { at, price } => {
                if let Some(listing) = &mut self.listing {
                    listing.price = *price;
                    listing.changed_at = *at;
                }
            }
        }
    }
}

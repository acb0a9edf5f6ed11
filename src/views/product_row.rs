//! Product events to rows of the catalogue.

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::PgConnection;

use super::fault::ViewFault;
use super::search::Texts;
use crate::domain::id::Sku;
use crate::domain::product::{Details, Event, Product};
use crate::domain::{Millis, Money};
use crate::journal::{Recorded, stored};

/// Rows of one statement: about 3 MB at the usual size of a product.
const ROWS: usize = 500;

/// What a batch of events makes of products.
#[derive(Debug, Default)]
pub(super) struct ProductChanges(pub(super) BTreeMap<Sku, ProductChange>);

/// What a batch of events makes of one product.
#[derive(Debug)]
pub(super) struct ProductChange {
    /// Its details; `None` if only its price changed.
    pub(super) details: Option<Box<Details>>,
    pub(super) price: Money,
    pub(super) published: bool,
    pub(super) version: u64,
    /// Of the first event of this batch; a row that exists keeps its own.
    pub(super) created_at: Millis,
    changed_at: Millis,
    /// Given by the catalogue before the row is written.
    pub(super) slug: Arc<str>,
}

impl ProductChanges {
    pub(super) fn read(&mut self, event: &Recorded) -> Result<(), ViewFault> {
        let sku: Sku = event
            .entity
            .key()
            .parse()
            .map_err(|error| ViewFault::unreadable(event, error))?;
        let said = stored::decode::<Product>(event).map_err(|error| ViewFault::unreadable(event, error))?;
        // A product's version counts its events, and so does its sequence.
        let version = u64::try_from(event.sequence.0).unwrap_or(0);
        let (at, details, price, published) = match said {
            Event::Created { at, details, price } => (at, Some(details), price, true),
            Event::Edited {
                at,
                details,
                price,
                published,
            } => (at, Some(details), price, published),
            Event::Priced { at, price } => {
                if let Some(change) = self.0.get_mut(&sku) {
                    (change.price, change.version, change.changed_at) = (price, version, at);
                    return Ok(());
                }
                (at, None, price, true)
            }
        };
        let created_at = self.0.get(&sku).map_or(at, |change| change.created_at);
        // The entity's key is its SKU, whatever its details say.
        let details = details.map(|mut details| {
            details.sku = sku.clone();
            details
        });
        let slug = Arc::from("");
        self.0.insert(
            sku,
            ProductChange {
                details,
                price,
                published,
                version,
                created_at,
                changed_at: at,
                slug,
            },
        );
        Ok(())
    }

    pub(super) async fn write(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let (whole, prices): (Vec<_>, Vec<_>) =
            self.0.iter().partition(|(_, change)| change.details.is_some());
        for rows in whole.chunks(ROWS) {
            write_whole(connection, rows).await?;
        }
        if prices.is_empty() {
            return Ok(());
        }
        let prices = || prices.iter();
        sqlx::query!(
            "update catalogue_product as product
             set price = new.price, currency = new.currency, version = new.version,
                 changed_at_ms = new.changed_at_ms
             from unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[])
                 as new (sku, price, currency, version, changed_at_ms)
             where product.sku = new.sku and product.version < new.version",
            &prices().map(|(sku, _)| sku.to_string()).collect::<Vec<_>>(),
            &prices()
                .map(|(_, change)| change.price.amount)
                .collect::<Vec<_>>(),
            &prices()
                .map(|(_, change)| change.price.currency.to_string())
                .collect::<Vec<_>>(),
            &prices()
                .map(|(_, change)| row_version(change))
                .collect::<Vec<_>>(),
            &prices()
                .map(|(_, change)| change.changed_at.0)
                .collect::<Vec<_>>(),
        )
        .execute(connection)
        .await?;
        Ok(())
    }
}

fn row_version(change: &ProductChange) -> i64 {
    i64::try_from(change.version).unwrap_or(i64::MAX)
}

/// One statement's rows, column by column.
#[derive(Default)]
struct Columns {
    sku: Vec<String>,
    slug: Vec<String>,
    version: Vec<i64>,
    price: Vec<i64>,
    currency: Vec<String>,
    published: Vec<bool>,
    created_at: Vec<i64>,
    changed_at: Vec<i64>,
    details: Vec<String>,
    spelling: Vec<String>,
    name: Vec<String>,
    attributes: Vec<String>,
    description: Vec<String>,
}

async fn write_whole(
    connection: &mut PgConnection,
    rows: &[(&Sku, &ProductChange)],
) -> Result<(), sqlx::Error> {
    let mut new = Columns::default();
    for (sku, change) in rows {
        let Some(details) = &change.details else { continue };
        let texts = Texts::of(details);
        new.sku.push(sku.to_string());
        new.slug.push(change.slug.to_string());
        new.version.push(row_version(change));
        new.price.push(change.price.amount);
        new.currency.push(change.price.currency.to_string());
        new.published.push(change.published);
        new.created_at.push(change.created_at.0);
        new.changed_at.push(change.changed_at.0);
        new.details
            .push(serde_json::to_string(details).map_err(|error| sqlx::Error::Encode(error.into()))?);
        new.spelling.push(texts.spelling);
        new.name.push(texts.name);
        new.attributes.push(texts.attributes);
        new.description.push(texts.description);
    }
    sqlx::query!(
        "insert into catalogue_product as product
             (sku, slug, version, price, currency, published, created_at_ms, changed_at_ms, details,
              folded_name, search)
         select sku, slug, version, price, currency, published, created_at_ms, changed_at_ms,
                details::json, spelling,
                setweight(to_tsvector('english', name), 'A')
                || setweight(to_tsvector('english', attributes), 'B')
                || setweight(to_tsvector('english', description), 'C')
         from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::boolean[],
                     $7::bigint[], $8::bigint[], $9::text[], $10::text[], $11::text[], $12::text[],
                     $13::text[])
             as new (sku, slug, version, price, currency, published, created_at_ms, changed_at_ms,
                     details, spelling, name, attributes, description)
         on conflict (sku) do update
             set slug = excluded.slug, version = excluded.version, price = excluded.price,
                 currency = excluded.currency, published = excluded.published,
                 changed_at_ms = excluded.changed_at_ms, details = excluded.details,
                 folded_name = excluded.folded_name, search = excluded.search
             where product.version < excluded.version",
        &new.sku,
        &new.slug,
        &new.version,
        &new.price,
        &new.currency,
        &new.published,
        &new.created_at,
        &new.changed_at,
        &new.details,
        &new.spelling,
        &new.name,
        &new.attributes,
        &new.description,
    )
    .execute(connection)
    .await?;
    Ok(())
}

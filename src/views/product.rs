//! The catalogue: products and their availability, served from memory, kept current by the journal.
//!
//! Follows products and stock. Rows and position are written in one transaction, for many shards at once
//! where it is about stock; memory changes after its commit, so it never shows what could be taken back;
//! readers who wait for a write are let go after memory has it, so they never see less than they wrote.
//!
//! **Must never** refuse an event for what it says: two products that want one slug get two slugs,
//! stock that cannot be raises an alarm.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures_util::TryStreamExt as _;
use sqlx::{PgConnection, PgPool};
use tokio::sync::{RwLock, watch};

use super::card::{Card, Wording};
use super::category::{CategoryNode, Tree};
use super::course::{Answers, Course};
use super::details::{Kept, read_currency, read_details};
use super::fault::{READ_LIMIT, ViewFault, within};
use super::list::Lists;
use super::memory::{Footprint, Memory};
use super::product_row::{ProductChange, ProductChanges};
use super::query::clip;
use super::rows::{Part, Parts, Rows, follow};
use super::search::printable;
use super::stock::{self, StockChanges};
use super::wait::{self, Missing, Waited};
use crate::clock::Clock;
use crate::domain::id::Sku;
use crate::domain::product::Details;
use crate::domain::{Kind, Millis, Money, Shard, ShardCount};
use crate::journal::{Position, Recorded};

/// How long loading the catalogue into memory may take.
pub(super) const LOAD_LIMIT: Duration = Duration::from_secs(600);
/// Slugs longer than this are cut.
const SLUG_LIMIT: usize = 200;

/// The catalogue. One a node, shared by reference.
#[derive(Debug)]
pub struct Catalogue {
    pool: PgPool,
    clock: Clock,
    course: Course,
    missing: Missing,
    pub(super) tree: Tree,
    pub(super) memory: Memory,
    pub(super) lists: Lists,
    pub(super) kept: Kept,
    categories: ArcSwapOption<(u64, Arc<[CategoryNode]>)>,
    parts: Parts<News>,
    /// Products are given their addresses by what memory has, so whoever writes products writes alone.
    addresses: RwLock<()>,
}

/// How far loading has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadProgress {
    /// Products in memory.
    pub loaded: u64,
    /// Products there are.
    pub total: u64,
}

impl Catalogue {
    /// Loads the catalogue into memory, telling `progress` how far it is.
    ///
    /// # Errors
    /// When the database does not answer, or a row cannot be read.
    pub async fn open(
        pool: PgPool,
        clock: Clock,
        shards: ShardCount,
        tree: Tree,
        progress: impl Fn(LoadProgress),
    ) -> Result<Self, ViewFault> {
        let course = Course::open("catalogue", Answers::FromMemory, pool.clone(), shards).await?;
        let catalogue = Self {
            pool,
            clock,
            course,
            missing: Missing::new(),
            tree,
            memory: Memory::new(),
            lists: Lists::default(),
            kept: Kept::default(),
            categories: ArcSwapOption::empty(),
            parts: Parts::default(),
            addresses: RwLock::new(()),
        };
        let began = catalogue.clock.instant();
        catalogue.load(progress).await?;
        let Footprint {
            products,
            skus,
            cards,
            indexes,
            words,
        } = catalogue.footprint();
        tracing::info!(
            products,
            skus,
            bytes = cards + indexes + words,
            duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            "the catalogue is in memory"
        );
        Ok(catalogue)
    }

    async fn load(&self, progress: impl Fn(LoadProgress)) -> Result<(), ViewFault> {
        let total = within("count products", LOAD_LIMIT, async {
            sqlx::query_scalar!(r#"select count(*) as "count!" from catalogue_product"#)
                .fetch_one(&self.pool)
                .await
        })
        .await?;
        let total = u64::try_from(total).unwrap_or(0);
        let mut change = self.memory.change();
        for (sku, available) in stock::available(&self.pool).await? {
            change.stock(&sku, available);
        }
        let mut rows = sqlx::query!(
            r#"select sku, slug, version, price, currency, published, created_at_ms,
                      details::text as "details!"
               from catalogue_product order by created_at_ms, sku"#
        )
        .fetch(&self.pool);
        let mut loaded = 0;
        while let Some(row) = within("load products", READ_LIMIT, rows.try_next()).await? {
            let details = read_details(&row.sku, &row.details)?;
            change.put(&Wording {
                details: &details,
                slug: row.slug.into(),
                price: Money::new(row.price, read_currency(&row.currency)),
                created_at: Millis(row.created_at_ms),
                version: u64::try_from(row.version).unwrap_or(0),
                published: row.published,
            });
            loaded += 1;
            if loaded % 1_000 == 0 || loaded == total {
                progress(LoadProgress { loaded, total });
            }
        }
        change.show();
        // Every change that an earlier run counted was an event, so the sum of positions is above it.
        let positions = self.course.all_reached().into_iter();
        let events: i64 = positions.map(|position| position.0).sum();
        self.memory.start_revisions(u64::try_from(events).unwrap_or(0));
        Ok(())
    }

    pub(super) const fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// The card of a SKU, variants included, published or not: the way from a cart line to its name,
    /// price and availability. From memory, without waiting.
    #[must_use]
    pub fn card(&self, sku: &Sku) -> Option<Arc<Card>> {
        self.memory.card(sku)
    }

    /// The card of a product by its id (its SKU) or its slug, published or not. From memory.
    #[must_use]
    pub fn product(&self, id_or_slug: &str) -> Option<Arc<Card>> {
        let by_id = id_or_slug
            .parse()
            .ok()
            .and_then(|sku| self.card(&sku))
            .filter(|card| card.is_product());
        by_id.or_else(|| self.card(&self.memory.slug_owner(id_or_slug)?))
    }

    /// Whose page has this address.
    #[must_use]
    pub fn slug_owner(&self, slug: &str) -> Option<Sku> {
        self.memory.slug_owner(slug)
    }

    /// Rises with every change that a list, a card or a category could show; never repeats, also not
    /// after a restart.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.memory.revision()
    }

    /// Tells of every rise of the revision; rises in between are coalesced.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.memory.watch()
    }

    /// The names of categories and what lies below what.
    #[must_use]
    pub const fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The tree of categories with the number of published products in each and below it.
    #[must_use]
    pub fn categories(&self) -> Arc<[CategoryNode]> {
        let revision = self.revision();
        if let Some(known) = self
            .categories
            .load()
            .as_deref()
            .filter(|known| known.0 == revision)
        {
            return Arc::clone(&known.1);
        }
        let shelf = self.memory.shelf();
        let vocabulary = self.memory.vocabulary();
        let mut counts = vec![0_u64; vocabulary.categories.len()];
        for (_, card) in shelf.iter().filter(|(_, card)| card.published) {
            if let Some(count) = counts.get_mut(card.category_id as usize) {
                *count += 1;
            }
        }
        let counted = (0_u32..).zip(counts).filter(|(_, count)| *count > 0);
        let direct = counted
            .map(|(id, count)| (vocabulary.categories.word(id), count))
            .collect();
        let nodes: Arc<[CategoryNode]> = self.tree.counted(direct).into();
        self.categories
            .store(Some(Arc::new((revision, Arc::clone(&nodes)))));
        nodes
    }

    /// How much memory the catalogue takes, roughly. Walks over every card.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        self.memory.footprint()
    }

    /// Waits until the catalogue includes a write, at most `limit`.
    pub async fn wait_for(&self, shard: Shard, position: Position, limit: Duration) -> Waited {
        wait::wait_for(&self.course, &self.missing, &self.clock, shard, position, limit).await
    }

    /// How far the catalogue is in every shard, as readers see it.
    #[must_use]
    pub fn positions(&self) -> Vec<Position> {
        self.course.all_reached()
    }

    /// A slug for every product whose details are new: the one they ask for, unless another product
    /// has it. A product keeps the slug it was given.
    fn give_slugs(&self, products: &mut ProductChanges) {
        let mut given = HashSet::new();
        for (sku, change) in &mut products.0 {
            let Some(details) = &change.details else { continue };
            let wanted = printable(clip(&details.slug, SLUG_LIMIT));
            let own = format!("{wanted}-{}", sku.as_str().to_lowercase());
            let known = self
                .card(sku)
                .filter(|card| card.is_product())
                .map(|card| Arc::clone(&card.slug));
            if let Some(known) = known.filter(|known| **known == *wanted || known.starts_with(&own)) {
                given.insert(Arc::clone(&known));
                change.slug = known;
                continue;
            }
            let is_free = |slug: &str| {
                !slug.is_empty()
                    && !given.contains(slug)
                    && self.slug_owner(slug).is_none_or(|owner| owner == *sku)
            };
            let numbered = (2_u32..).map(|number| format!("{own}-{number}"));
            let mut slugs = [wanted, own.clone()].into_iter().chain(numbered);
            let slug: Arc<str> = slugs.find(|slug| is_free(slug)).unwrap_or(own).into();
            given.insert(Arc::clone(&slug));
            change.slug = slug;
        }
    }

    /// The details of products with variants whose price alone has changed: a variant may follow it.
    async fn fill_in_variants(&self, products: &mut ProductChanges) -> Result<(), ViewFault> {
        for (sku, change) in &mut products.0 {
            let Some(card) = self
                .card(sku)
                .filter(|card| change.details.is_none() && !card.variants().is_empty())
            else {
                continue;
            };
            if let Some(row) = self.row(sku).await? {
                change.details = Some(Box::new(row.listing.details.clone()));
                change.published = card.published;
                change.slug = Arc::clone(&card.slug);
            }
        }
        Ok(())
    }

    /// Lets memory show what the rows now say.
    fn remember<'a>(&self, news: impl Iterator<Item = &'a News>) {
        let mut change = self.memory.change();
        for News { products, stock } in news {
            for (sku, product) in &products.0 {
                match (&product.details, self.card(sku).filter(|card| card.is_product())) {
                    (Some(details), known) => {
                        let created_at = known.map_or(product.created_at, |card| card.created_at);
                        change.put(&product.wording(details, created_at));
                    }
                    (None, Some(card)) => change.reprice(&card, product.price, product.version),
                    // A price of nothing: the journal does not hold such a thing.
                    (None, None) => {}
                }
            }
            for (row, _) in stock.rows.values() {
                change.stock(&row.sku, row.levels.available());
            }
        }
        change.show();
    }
}

/// What events of one shard say of products and stock.
#[derive(Debug, Default)]
pub(super) struct News {
    products: ProductChanges,
    stock: StockChanges,
}

impl ProductChange {
    fn wording<'a>(&self, details: &'a Details, created_at: Millis) -> Wording<'a> {
        Wording {
            details,
            slug: Arc::clone(&self.slug),
            price: self.price,
            created_at,
            version: self.version,
            published: self.published,
        }
    }
}

impl Rows for Catalogue {
    type Changes = News;
    const ACTION: &'static str = "follow products and stock";

    fn wants(kind: Kind) -> bool {
        matches!(kind, Kind::Product | Kind::Stock)
    }

    fn course(&self) -> &Course {
        &self.course
    }

    fn parts(&self) -> &Parts<News> {
        &self.parts
    }

    async fn read(&self, events: &[&Recorded]) -> Result<News, ViewFault> {
        let mut news = News::default();
        for event in events {
            match event.entity.kind() {
                Kind::Product => news.products.read(event)?,
                Kind::Stock => news.stock.read(event)?,
                Kind::Cart | Kind::Order | Kind::Unknown => {}
            }
        }
        self.give_slugs(&mut news.products);
        self.fill_in_variants(&mut news.products).await?;
        Ok(news)
    }

    fn count(news: &News) -> usize {
        news.products.0.len() + news.stock.count()
    }

    async fn write(parts: &[&Part<News>], connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        for part in parts {
            part.changes.products.write(connection).await?;
        }
        let stock: Vec<&StockChanges> = parts.iter().map(|part| &part.changes.stock).collect();
        stock::write(&stock, connection).await
    }

    fn written(&self, parts: &[&Part<News>]) {
        self.remember(parts.iter().map(|part| &part.changes));
    }

    async fn follow_in(
        &self,
        shard: Shard,
        events: &[Arc<Recorded>],
        through: Position,
    ) -> Result<(), ViewFault> {
        let products = |event: &Arc<Recorded>| event.entity.kind() == Kind::Product;
        let (_alone, _beside) = match events.iter().any(products) {
            true => (Some(self.addresses.write().await), None),
            false => (None, Some(self.addresses.read().await)),
        };
        follow(self, shard, events, through).await
    }
}

//! The catalogue on a real database: what lists, pages and carts are shown, also after a restart.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use globalshop::clock::Clock;
use globalshop::domain::id::Sku;
use globalshop::domain::product::{Attribute, Details, Event, Product, Variant};
use globalshop::domain::stock::{self, Change, Levels, Stock};
use globalshop::domain::{Millis, Money, ShardCount};
use globalshop::journal::Position;
use globalshop::relay::View as _;
use globalshop::views::{
    Availability, Catalogue, LoadProgress, ProductPage, ProductQuery, Tree, ViewFault, Views, Waited,
};
use sqlx::PgPool;

use crate::database;
use crate::history::History;

pub fn shards() -> ShardCount {
    ShardCount::new(4).unwrap()
}

fn tree() -> Tree {
    Tree::new([
        ("video", "Video", None),
        ("televisions", "Televisions", Some("video")),
        ("audio", "Audio", None),
    ])
}

pub async fn open(pool: &PgPool) -> Views {
    Views::open(pool.clone(), Clock::system(), shards(), tree(), |_| {})
        .await
        .unwrap()
}

fn sku(text: &str) -> Sku {
    text.parse().unwrap()
}

fn television(id: &str, name: &str, inches: f64) -> Details {
    Details {
        sku: sku(id),
        slug: name.to_lowercase().replace(' ', "-"),
        name: name.to_owned(),
        brand: "Lumora".to_owned(),
        category: "televisions".to_owned(),
        part_number: Some(format!("PN{id}")),
        description: "A picture as bright as day.\u{0} <b>Ultra HD</b>".to_owned(),
        attributes: BTreeMap::from([
            ("display_diagonal".to_owned(), Attribute::Number(inches)),
            (
                "colour".to_owned(),
                Attribute::Texts(vec!["Black".to_owned(), "Silver".to_owned()]),
            ),
            ("smart_tv".to_owned(), Attribute::Flag(true)),
        ]),
        variants: vec![],
        images: vec![],
        gtins: vec![],
    }
}

fn created(details: Details, cents: i64, at: i64) -> Event {
    Event::Created {
        at: Millis(at),
        details: Box::new(details),
        price: Money::eur(cents),
    }
}

/// A stock of `on_hand` units none of which is taken.
fn stocked(on_hand: u64) -> stock::Event {
    stock::Event {
        at: Millis(5),
        change: Change::Adjusted {
            delta: 1,
            reason: "delivery".to_owned(),
        },
        levels: Levels {
            on_hand,
            held: 0,
            sold: 0,
        },
    }
}

pub async fn list(catalogue: &Arc<Catalogue>, pairs: &[(&str, &str)]) -> ProductPage {
    let query = ProductQuery::parse(pairs.iter().copied()).unwrap();
    catalogue.list(&query).await.unwrap()
}

pub fn ids(page: &ProductPage) -> Vec<&str> {
    page.items.iter().map(|card| card.sku.as_str()).collect()
}

/// Three televisions and a radio.
pub async fn shop(history: &mut History) {
    let tvs = [
        ("T1", "Aurora 55", 55.0, 59_900),
        ("T2", "Aurora 43", 43.0, 39_900),
        ("T3", "Dawn 40", 40.0, 29_900),
    ];
    for (at, (id, name, inches, cents)) in (1..).zip(tvs) {
        history
            .tell::<Product>(
                &sku(id).product(),
                &created(television(id, name, inches), cents, at),
            )
            .await;
    }
    let radio = Details {
        category: "audio".to_owned(),
        brand: "Sonaro".to_owned(),
        attributes: BTreeMap::from([("colour".to_owned(), Attribute::Text("black".to_owned()))]),
        ..television("R1", "Kitchen radio", 0.0)
    };
    history
        .tell::<Product>(&sku("R1").product(), &created(radio, 4_990, 4))
        .await;
}

#[tokio::test]
async fn lists_are_filtered_sorted_counted_and_paged() {
    let pool = database::fresh().await;
    let views = open(&pool).await;
    let mut history = History::new(shards());
    shop(&mut history).await;
    history.tell::<Stock>(&sku("T2").stock(), &stocked(3)).await;
    history.lead(views.catalogue.as_ref(), 100).await.unwrap();
    let catalogue = &views.catalogue;

    assert_eq!(ids(&list(catalogue, &[]).await), ["R1", "T3", "T2", "T1"]);
    assert_eq!(
        ids(&list(catalogue, &[("category", "video"), ("sort", "price")]).await),
        ["T3", "T2", "T1"]
    );
    assert_eq!(
        ids(&list(catalogue, &[("sort", "-price"), ("max_price", "39900")]).await),
        ["T2", "T3", "R1"]
    );
    assert_eq!(
        ids(&list(
            catalogue,
            &[("attr.attr_n_display_diagonal", "42..60"), ("sort", "price")]
        )
        .await),
        ["T2", "T1"]
    );
    assert_eq!(
        ids(&list(catalogue, &[("attr.colour", "black"), ("sort", "price")]).await),
        ["R1", "T3", "T2", "T1"]
    );
    assert_eq!(
        ids(&list(
            catalogue,
            &[("attr.smart_tv", "true"), ("attr.display_diagonal", "40")]
        )
        .await),
        ["T3"]
    );
    assert_eq!(ids(&list(catalogue, &[("attr.brand", "SONARO")]).await), ["R1"]);
    assert!(ids(&list(catalogue, &[("attr.no_such_thing", "1")]).await).is_empty());
    assert!(ids(&list(catalogue, &[("category", "no-such-thing")]).await).is_empty());

    let page = list(catalogue, &[("category", "televisions")]).await;
    assert_eq!(page.items[1].availability, Availability::Low);
    assert_eq!(page.items[0].availability, Availability::OutOfStock);
    let facets = page.facets.as_ref().unwrap();
    assert_eq!(
        (facets.brands[0].value.as_str(), facets.brands[0].count),
        ("Lumora", 3)
    );
    assert_eq!(
        (facets.categories[0].name.as_str(), facets.categories[0].count),
        ("Televisions", 3)
    );
    let price = facets.price.unwrap();
    assert_eq!((price.min, price.max), (29_900, 59_900));
    let diagonal = facets
        .attributes
        .iter()
        .find(|facet| facet.name == "display_diagonal")
        .unwrap();
    let range = diagonal.range.unwrap();
    assert_eq!((diagonal.count, range.min, range.max), (3, 40.0, 55.0));
    let colour = facets
        .attributes
        .iter()
        .find(|facet| facet.name == "colour")
        .unwrap();
    assert_eq!((colour.values.len(), colour.values[0].count), (2, 3));

    // What is chosen already is counted as if it were not, and nothing else is.
    let chosen = [("attr.brand", "Lumora"), ("attr.display_diagonal", "43")];
    let facets = list(catalogue, &chosen).await.facets.unwrap();
    assert_eq!((facets.brands.len(), facets.brands[0].count), (1, 1));
    let diagonal = &facets.attributes[0];
    assert_eq!((diagonal.name.as_str(), diagonal.count), ("display_diagonal", 3));
    let facets = list(catalogue, &[("attr.brand", "Lumora")]).await.facets.unwrap();
    let brands: Vec<_> = facets
        .brands
        .iter()
        .map(|brand| (brand.value.as_str(), brand.count))
        .collect();
    assert_eq!(brands, [("Lumora", 3), ("Sonaro", 1)]);

    let tree = catalogue.categories();
    let shown: Vec<_> = tree.iter().map(|node| (node.slug.as_str(), node.count)).collect();
    assert_eq!(shown, [("video", 3), ("audio", 1)]);

    let mut cursor = None;
    let mut seen = vec![];
    loop {
        let query = ProductQuery {
            limit: Some(1),
            cursor,
            ..ProductQuery::default()
        };
        let page = catalogue.list(&query).await.unwrap();
        seen.extend(page.items.iter().map(|card| card.sku.to_string()));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
        let other_list = ProductQuery {
            q: Some("aurora".to_owned()),
            cursor: cursor.clone(),
            ..ProductQuery::default()
        };
        assert!(matches!(
            catalogue.list(&other_list).await,
            Err(ViewFault::BadCursor)
        ));
    }
    assert_eq!(seen, ["R1", "T3", "T2", "T1"]);
}

#[tokio::test]
async fn a_restart_shows_the_same_and_every_event_counts_once() {
    let pool = database::fresh().await;
    let views = open(&pool).await;
    let mut history = History::new(shards());
    shop(&mut history).await;
    history.lead(views.catalogue.as_ref(), 1).await.unwrap();
    let edited = Event::Edited {
        at: Millis(9),
        details: Box::new(Details {
            name: "Dawn 41".to_owned(),
            ..television("T3", "Dawn 40", 41.0)
        }),
        price: Money::eur(28_000),
        published: true,
    };
    history.tell::<Product>(&sku("T3").product(), &edited).await;
    history
        .tell::<Product>(
            &sku("T3").product(),
            &Event::Priced {
                at: Millis(10),
                price: Money::eur(27_000),
            },
        )
        .await;
    history
        .tell::<Product>(
            &sku("T1").product(),
            &Event::Priced {
                at: Millis(10),
                price: Money::eur(1),
            },
        )
        .await;
    let hidden = Event::Edited {
        at: Millis(9),
        details: Box::new(television("T2", "Aurora 43", 43.0)),
        price: Money::eur(1),
        published: false,
    };
    history.tell::<Product>(&sku("T2").product(), &hidden).await;
    history.tell::<Stock>(&sku("T3").stock(), &stocked(100)).await;
    let revision = views.catalogue.revision();
    history.lead(views.catalogue.as_ref(), 100).await.unwrap();
    assert!(views.catalogue.revision() > revision);

    let mut loaded = LoadProgress::default();
    let watched = std::sync::Mutex::new(&mut loaded);
    let again = Views::open(pool.clone(), Clock::system(), shards(), tree(), |progress| {
        **watched.lock().unwrap() = progress;
    })
    .await
    .unwrap();
    assert_eq!(loaded, LoadProgress { loaded: 4, total: 4 });
    assert!(again.catalogue.revision() >= views.catalogue.revision());
    for views in [&views, &again] {
        let catalogue = &views.catalogue;
        assert_eq!(
            ids(&list(catalogue, &[("sort", "price")]).await),
            ["T1", "R1", "T3"]
        );
        let card = catalogue.product("dawn-40").unwrap();
        assert_eq!(
            (card.name.as_ref(), card.price, card.version),
            ("Dawn 41", Money::eur(27_000), 3)
        );
        assert_eq!(card.availability, Availability::InStock);
        assert_eq!(card.created_at, Millis(3));
        let row = catalogue.row(&sku("T3")).await.unwrap().unwrap();
        assert_eq!((row.version, row.listing.price), (3, Money::eur(27_000)));
        assert!(row.listing.details.description.contains("\u{0} <b>Ultra HD"));
        let hidden = catalogue.product("T2").unwrap();
        assert!(!hidden.published);
        assert_eq!(
            catalogue.stock(&sku("T3")).await.unwrap().unwrap().levels.on_hand,
            100
        );
        assert_eq!(catalogue.positions(), views.catalogue.positions());
        for shard in shards().all() {
            let (events, through) = history.after(shard, Position(0)).await;
            catalogue.follow(shard, &events, through).await.unwrap();
        }
        assert_eq!(catalogue.product("dawn-40").unwrap().version, 3);
    }
}

#[tokio::test]
async fn two_products_that_want_one_slug_get_two() {
    let pool = database::fresh().await;
    let views = open(&pool).await;
    let mut history = History::new(shards());
    for id in ["T1", "T2", "T3"] {
        history
            .tell::<Product>(
                &sku(id).product(),
                &created(television(id, "Same name", 1.0), 100, 1),
            )
            .await;
    }
    let slugless = Details {
        slug: String::new(),
        ..television("T4", "No slug", 1.0)
    };
    history
        .tell::<Product>(&sku("T4").product(), &created(slugless, 100, 1))
        .await;
    history.lead(views.catalogue.as_ref(), 1).await.unwrap();
    let slugs = |catalogue: &Catalogue| -> Vec<String> {
        ["T1", "T2", "T3", "T4"]
            .map(|id| catalogue.product(id).unwrap().slug.to_string())
            .to_vec()
    };
    let given = slugs(&views.catalogue);
    assert_eq!(
        given.iter().collect::<std::collections::BTreeSet<_>>().len(),
        4,
        "{given:?}"
    );
    assert!(given.contains(&"same-name".to_owned()));
    for (id, slug) in ["T1", "T2", "T3", "T4"].iter().zip(&given) {
        assert_eq!(views.catalogue.product(slug).unwrap().sku, sku(id));
    }
    // A product that changes keeps the address it was given.
    for id in ["T1", "T2", "T3"] {
        let event = Event::Edited {
            at: Millis(2),
            details: Box::new(television(id, "Same name", 2.0)),
            price: Money::eur(100),
            published: true,
        };
        history.tell::<Product>(&sku(id).product(), &event).await;
    }
    history.lead(views.catalogue.as_ref(), 100).await.unwrap();
    assert_eq!(slugs(&views.catalogue), given);
    assert_eq!(slugs(&open(&pool).await.catalogue), given);
}

#[tokio::test]
async fn variants_have_cards_of_their_own_and_share_availability() {
    let pool = database::fresh().await;
    let views = open(&pool).await;
    let mut history = History::new(shards());
    let variant = |id: &str, size: &str, price: Option<i64>| Variant {
        sku: sku(id),
        options: BTreeMap::from([("size".to_owned(), size.to_owned())]),
        price: price.map(Money::eur),
    };
    let shirt = |variants| Details {
        variants,
        ..television("S", "Shirt", 1.0)
    };
    let both = shirt(vec![variant("S-M", "M", None), variant("S-L", "L", Some(1_500))]);
    history
        .tell::<Product>(&sku("S").product(), &created(both, 1_000, 1))
        .await;
    history.tell::<Stock>(&sku("S-L").stock(), &stocked(2)).await;
    history.lead(views.catalogue.as_ref(), 100).await.unwrap();
    history
        .tell::<Product>(
            &sku("S").product(),
            &Event::Priced {
                at: Millis(3),
                price: Money::eur(900),
            },
        )
        .await;
    history.lead(views.catalogue.as_ref(), 100).await.unwrap();

    for views in [&views, &open(&pool).await] {
        let catalogue = &views.catalogue;
        let medium = catalogue.card(&sku("S-M")).unwrap();
        assert_eq!(
            (medium.name.as_ref(), medium.price),
            ("Shirt (M)", Money::eur(900))
        );
        assert_eq!(medium.availability, Availability::OutOfStock);
        let large = catalogue.card(&sku("S-L")).unwrap();
        assert_eq!(
            (large.price, large.availability),
            (Money::eur(1_500), Availability::Low)
        );
        let page = list(catalogue, &[("attr.size", "l")]).await;
        assert_eq!(ids(&page), ["S"]);
        assert_eq!(page.items[0].product_availability, Availability::Low);
        assert_eq!(page.items[0].availability, Availability::OutOfStock);
        assert!(catalogue.product("S-L").is_none(), "a variant is no product");
    }

    let event = Event::Edited {
        at: Millis(4),
        details: Box::new(shirt(vec![variant("S-M", "M", None)])),
        price: Money::eur(900),
        published: true,
    };
    history.tell::<Product>(&sku("S").product(), &event).await;
    history.lead(views.catalogue.as_ref(), 100).await.unwrap();
    assert!(views.catalogue.card(&sku("S-L")).is_none());
    assert_eq!(
        views.catalogue.product("S").unwrap().product_availability,
        Availability::OutOfStock
    );
}

#[tokio::test]
async fn stock_that_cannot_be_raises_an_alarm_and_stalls_nothing() {
    let pool = database::fresh().await;
    let views = open(&pool).await;
    let mut history = History::new(shards());
    shop(&mut history).await;
    history.tell::<Stock>(&sku("T1").stock(), &stocked(7)).await;
    let mut wrong = stocked(3);
    (wrong.levels.held, wrong.levels.sold) = (2, 2);
    let (shard, position) = history.tell::<Stock>(&sku("T1").stock(), &wrong).await;
    history.tell::<Stock>(&sku("T2").stock(), &stocked(9)).await;
    history.lead(views.catalogue.as_ref(), 100).await.unwrap();
    let alarms = views.catalogue.stock_alarms(10).await.unwrap();
    assert_eq!(alarms.len(), 1);
    assert_eq!(
        (alarms[0].shard, alarms[0].position, alarms[0].levels),
        (shard, position, wrong.levels)
    );
    assert_eq!(
        views
            .catalogue
            .stock(&sku("T1"))
            .await
            .unwrap()
            .unwrap()
            .levels
            .on_hand,
        7
    );
    let (rows, next) = views.catalogue.stocks("T", None, 1).await.unwrap();
    assert_eq!(rows[0].sku, sku("T1"));
    let (rows, next) = views.catalogue.stocks("T", next.as_deref(), 1).await.unwrap();
    assert_eq!((rows[0].sku.clone(), next), (sku("T2"), None));
    let figures = views.audit().await.unwrap();
    assert_eq!(
        (figures.stock.skus, figures.stock.on_hand, figures.stock.alarms),
        (2, 16, 1)
    );
    assert!(!figures.stock.holds());
}

#[tokio::test]
async fn readers_wait_for_their_writes_or_learn_how_old_the_answer_is() {
    let pool = database::fresh().await;
    let views = open(&pool).await;
    let mut history = History::new(shards());
    let (shard, position) = history
        .tell::<Product>(
            &sku("T1").product(),
            &created(television("T1", "Aurora", 1.0), 100, 1),
        )
        .await;
    let catalogue = Arc::clone(&views.catalogue);
    let age = catalogue
        .wait_for(shard, position, Duration::from_millis(5))
        .await;
    assert!(matches!(age, Waited::Behind { age } if age >= Duration::from_millis(5)));
    let reader = tokio::spawn(async move {
        let waited = catalogue.wait_for(shard, position, Duration::from_secs(30)).await;
        (waited, catalogue.product("T1").is_some())
    });
    history.lead(views.catalogue.as_ref(), 100).await.unwrap();
    assert_eq!(reader.await.unwrap(), (Waited::Included, true));
    let elsewhere = views
        .catalogue
        .wait_for(globalshop::domain::Shard(999), position, Duration::from_millis(1))
        .await;
    assert!(matches!(elsewhere, Waited::Behind { .. }));
}

#[tokio::test]
async fn a_view_that_fell_back_says_so_until_it_is_asked_where_it_is() {
    let pool = database::fresh().await;
    let views = open(&pool).await;
    let mut history = History::new(shards());
    shop(&mut history).await;
    history.lead(views.catalogue.as_ref(), 100).await.unwrap();
    // The database lost its last commits, as it may after a crash: views commit asynchronously.
    sqlx::raw_sql("update view_position set position = 0; delete from catalogue_product where sku = 'T1'")
        .execute(&pool)
        .await
        .unwrap();
    let shard = sku("T1").product().shard(shards());
    history
        .tell::<Product>(
            &sku("T1").product(),
            &Event::Priced {
                at: Millis(9),
                price: Money::eur(5),
            },
        )
        .await;
    let (events, through) = history
        .after(shard, views.catalogue.positions()[usize::from(shard.0)])
        .await;
    for _ in 0..3 {
        assert!(views.catalogue.follow(shard, &events, through).await.is_err());
    }
    history.lead(views.catalogue.as_ref(), 100).await.unwrap();
    let again = open(&pool).await;
    for views in [&views, &again] {
        assert_eq!(views.catalogue.product("T1").unwrap().price, Money::eur(5));
    }
}

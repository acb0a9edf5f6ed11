//! Order lists, ledger and audit on a real database, from histories that orders could have.

use std::collections::BTreeMap;
use std::sync::Arc;

use globalshop::clock::Clock;
use globalshop::domain::entity::replay;
use globalshop::domain::id::{CartId, CustomerId, OrderId};
use globalshop::domain::ledger::Account;
use globalshop::domain::order::{CancelReason, Draft, Event, Line, Order, Status};
use globalshop::domain::payment::{self, RefundId};
use globalshop::domain::quote::Tariff;
use globalshop::domain::{Currency, Millis, Money, ShardCount};
use globalshop::journal::Position;
use globalshop::views::{OrderSummary, Orders, Tree, ViewFault, Views};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use sqlx::PgPool;
use uuid::Uuid;

use crate::database;
use crate::history::History;

fn shards() -> ShardCount {
    ShardCount::new(3).unwrap()
}

async fn open(pool: &PgPool) -> Views {
    Views::open(pool.clone(), Clock::system(), shards(), Tree::default(), |_| {})
        .await
        .unwrap()
}

fn customer(number: u128) -> CustomerId {
    CustomerId(Uuid::from_u128(number))
}

fn draft(customer: CustomerId, checkout: u64) -> Draft {
    let line = |sku: &str, quantity: u32, cents: i64| Line {
        sku: sku.parse().unwrap(),
        name: format!("Thing {sku}\u{0}"),
        quantity,
        unit_price: Money::eur(cents),
        line_total: Money::eur(cents).times(quantity),
    };
    let lines = vec![
        line("A", 2, 1_000),
        line("B", 1, 500),
        line("C", 1, 1),
        line("D", 3, 2),
    ];
    let subtotal = lines.iter().map(|line| line.line_total.amount).sum();
    Draft {
        customer,
        cart: CartId::of(customer),
        checkout,
        placed_at: Millis(0),
        email: "ada@example.org".to_owned(),
        totals: Tariff::default().totals(subtotal, Default::default()),
        lines,
        ..Draft::default()
    }
}

fn place(at: i64, draft: &Draft) -> Event {
    Event::Placed {
        at: Millis(at),
        draft: Arc::new(draft.clone()),
    }
}

fn captured(draft: &Draft) -> Event {
    Event::Captured {
        at: Millis(3),
        amount: draft.totals.total,
        tax: draft.totals.tax,
    }
}

/// A refund and how it is asked for.
fn refund(id: u128, cents: i64) -> (Event, Event) {
    let (at, refund) = (Millis(7), RefundId(Uuid::from_u128(id)));
    let (amount, tax) = (Money::eur(cents), Money::eur(cents / 10));
    (
        Event::RefundAsked {
            at,
            refund,
            amount,
            tax,
            reason: "scratched".to_owned(),
        },
        Event::Refunded {
            at,
            refund,
            amount,
            tax,
        },
    )
}

async fn tell(history: &mut History, draft: &Draft, events: &[Event]) -> OrderId {
    for event in events {
        history.tell::<Order>(&draft.order().entity(), event).await;
    }
    draft.order()
}

async fn lead(history: &History, views: &Views, limit: usize) {
    for view in views.all() {
        history.lead(view.as_ref(), limit).await.unwrap();
    }
}

async fn every(orders: &Orders, status: Option<Status>, limit: usize) -> Vec<OrderSummary> {
    let mut all = vec![];
    let mut cursor = None;
    loop {
        let page = orders.orders(status, cursor.as_deref(), limit).await.unwrap();
        assert!(page.items.len() <= limit);
        all.extend(page.items);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return all;
        }
    }
}

#[tokio::test]
async fn lists_show_the_newest_first_page_by_page() {
    let pool = database::fresh().await;
    let views = open(&pool).await;
    let mut history = History::new(shards());
    let mut told = vec![];
    for number in 1..=7_u64 {
        let draft = draft(customer(u128::from(number % 3)), number);
        // Two of them at the same moment.
        let at = i64::try_from(number.min(6)).unwrap();
        told.push((at, tell(&mut history, &draft, &[place(at, &draft)]).await));
    }
    lead(&history, &views, 2).await;
    told.sort_unstable_by(|one, other| other.cmp(one));
    let newest_first: Vec<OrderId> = told.iter().map(|(_, order)| *order).collect();
    let orders = &views.orders;
    for limit in [1, 2, 7, 100] {
        let listed: Vec<OrderId> = every(orders, None, limit)
            .await
            .iter()
            .map(|row| row.order)
            .collect();
        assert_eq!(listed, newest_first);
    }
    assert_eq!(every(orders, Some(Status::Pending), 3).await.len(), 7);
    assert_eq!(every(orders, Some(Status::Shipped), 3).await.len(), 0);
    let mine = orders
        .orders_of(&[customer(1), customer(2)], None, 4)
        .await
        .unwrap();
    assert_eq!(mine.items.len(), 4);
    let rest = orders
        .orders_of(&[customer(1), customer(2)], mine.next_cursor.as_deref(), 4)
        .await
        .unwrap();
    assert_eq!((rest.items.len(), rest.next_cursor), (1, None));
    let theirs = orders
        .orders_of(&[customer(0)], mine.next_cursor.as_deref(), 4)
        .await;
    assert!(matches!(theirs, Err(ViewFault::BadCursor)));
    assert!(orders.orders_of(&[], None, 4).await.unwrap().items.is_empty());
    let first = &mine.items[0];
    assert_eq!((first.item_count, first.names.len()), (7, 3));
    assert_eq!(first.number, first.order.number());
    assert_eq!(first.total, draft(customer(1), 1).totals.total);
}

#[tokio::test]
async fn a_life_of_an_order_is_told_counted_and_booked_once() {
    let pool = database::fresh().await;
    let views = open(&pool).await;
    let mut history = History::new(shards());
    let at = Millis(5);
    let paid = draft(customer(1), 1);
    let total = paid.totals.total.amount;
    let (ask, done) = refund(1, 700);
    let (ask_rest, done_rest) = refund(2, total - 700);
    let story = [
        place(1, &paid),
        Event::Held { at },
        Event::Authorised { at },
        Event::CommitAsked { at },
        Event::CaptureAsked {
            at,
            amount: paid.totals.total,
        },
        captured(&paid),
        Event::Confirmed { at },
        Event::Packed { at },
        ask,
        done,
        ask_rest,
        done_rest,
    ];
    let cancelled = draft(customer(2), 1);
    let reason = CancelReason::OutOfStock;
    tell(
        &mut history,
        &cancelled,
        &[place(2, &cancelled), Event::Cancelled { at, reason }],
    )
    .await;
    let mut statuses = vec![];
    for event in &story {
        let order = tell(&mut history, &paid, std::slice::from_ref(event)).await;
        lead(&history, &views, 100).await;
        let page = views.orders.orders_of(&[customer(1)], None, 1).await.unwrap();
        assert_eq!(page.items[0].order, order);
        statuses.push((page.items[0].status, page.items[0].payment));
        assert!(views.audit().await.unwrap().money.holds());
    }
    assert_eq!(statuses[5], (Status::Pending, payment::Status::Captured));
    assert_eq!(statuses[6], (Status::Confirmed, payment::Status::Captured));
    assert_eq!(statuses[9], (Status::Packed, payment::Status::PartiallyRefunded));
    assert_eq!(statuses[11], (Status::Refunded, payment::Status::Refunded));
    let counts = views.orders.counts().await.unwrap();
    let counted: BTreeMap<Status, u64> = counts.into_iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!(
        counted,
        BTreeMap::from([(Status::Refunded, 1), (Status::Cancelled, 1)])
    );
    let cancelled = views
        .orders
        .orders(Some(Status::Cancelled), None, 9)
        .await
        .unwrap();
    assert_eq!(cancelled.items[0].cancel_reason.as_deref(), Some("out_of_stock"));

    let booked = views.ledger.of_order(paid.order()).await.unwrap();
    assert_eq!(booked.len(), 6);
    assert_eq!(booked[0].debit, Account::ProviderReceivable);
    let balance = views.ledger.balance().await.unwrap();
    assert_eq!(balance[&(Account::ProviderReceivable, Currency::EUR)], 0);
    assert_eq!(balance.values().sum::<i64>(), 0);

    // The same events again, to views that have them and to views of a restart, change nothing.
    for views in [&views, &open(&pool).await] {
        for view in views.all() {
            for shard in shards().all() {
                let (events, through) = history.after(shard, Position(0)).await;
                let wanted: Vec<_> = events
                    .into_iter()
                    .filter(|event| view.wants(event.entity.kind()))
                    .collect();
                view.follow(shard, &wanted, through).await.unwrap();
            }
        }
    }
    assert_eq!(views.ledger.of_order(paid.order()).await.unwrap(), booked);
    assert!(views.ledger.rebuild(&history.journal).await.unwrap().is_equal());
}

#[tokio::test]
async fn the_ledger_can_be_neither_changed_nor_doubled_and_a_rebuild_sees_every_difference() {
    let pool = database::fresh().await;
    let views = open(&pool).await;
    let mut history = History::new(shards());
    for number in 1..=5 {
        let draft = draft(customer(number), 1);
        tell(&mut history, &draft, &[place(1, &draft), captured(&draft)]).await;
    }
    lead(&history, &views, 3).await;
    for forbidden in [
        "update ledger_transfer set amount = amount + 1",
        "delete from ledger_transfer",
        "truncate ledger_transfer",
        "insert into ledger_transfer select * from ledger_transfer",
        "insert into ledger_transfer values (0, 999, 0, gen_random_uuid(), 'revenue', 'revenue', 1, 'EUR', 0)",
        "insert into ledger_transfer values (0, 999, 0, gen_random_uuid(), 'revenue', 'tax_payable', 0, 'EUR', 0)",
    ] {
        assert!(
            sqlx::raw_sql(forbidden).execute(&pool).await.is_err(),
            "{forbidden}"
        );
    }
    let (one, other) = tokio::join!(
        views.ledger.rebuild(&history.journal),
        views.ledger.rebuild(&history.journal)
    );
    let figures = one.unwrap();
    assert_eq!(figures, other.unwrap());
    assert_eq!((figures.equal, figures.is_equal()), (10, true));
    // Only somebody who switches the guards off can spoil it; then it is seen.
    sqlx::raw_sql(
        "alter table ledger_transfer disable trigger user;
         update ledger_transfer set amount = amount + 1 where (shard, position, leg)
             = (select shard, position, leg from ledger_transfer order by 1, 2, 3 limit 1);
         delete from ledger_transfer where (shard, position, leg)
             = (select shard, position, leg from ledger_transfer order by 1 desc, 2 desc, 3 desc limit 1);
         insert into ledger_transfer values (0, 1, 9, gen_random_uuid(), 'revenue', 'tax_payable', 1, 'EUR', 0);",
    )
    .execute(&pool)
    .await
    .unwrap();
    let figures = views.ledger.rebuild(&history.journal).await.unwrap();
    assert_eq!(
        (figures.missing, figures.extra, figures.different, figures.equal),
        (1, 1, 1, 8)
    );
    let money = views.audit().await.unwrap().money;
    assert!(!money.holds());
    assert!(money.drifting > 0);
}

#[tokio::test]
async fn the_audit_knows_wrong_from_under_way() {
    let pool = database::fresh().await;
    let views = open(&pool).await;
    let mut history = History::new(shards());
    let at = Millis(5);
    let paid = draft(customer(1), 1);
    tell(&mut history, &paid, &[place(1, &paid), captured(&paid)]).await;
    history.lead(views.orders.as_ref(), 9).await.unwrap();
    let figures = views.audit().await.unwrap();
    assert!(figures.money.holds() && figures.books.holds());
    assert_eq!(
        (figures.money.in_flight, figures.books.in_flight),
        (1, 1),
        "the ledger has not come that far"
    );
    history.lead(views.ledger.as_ref(), 9).await.unwrap();
    let figures = views.audit().await.unwrap().money;
    assert_eq!((figures.in_flight, figures.net), (0, paid.totals.total.amount));
    assert_eq!(figures.net, figures.ledger_net);

    // Cancelled and not given back: forgotten; given back on its way: not.
    tell(
        &mut history,
        &paid,
        &[Event::Cancelled {
            at,
            reason: CancelReason::ByShopper,
        }],
    )
    .await;
    lead(&history, &views, 9).await;
    assert_eq!(views.audit().await.unwrap().books.forgotten, 1);
    let (ask, done) = refund(1, paid.totals.total.amount);
    tell(&mut history, &paid, &[ask]).await;
    lead(&history, &views, 9).await;
    let books = views.audit().await.unwrap().books;
    assert_eq!((books.forgotten, books.in_flight), (0, 1));
    tell(&mut history, &paid, &[done]).await;
    let unpaid = draft(customer(2), 1);
    tell(
        &mut history,
        &unpaid,
        &[place(1, &unpaid), Event::Confirmed { at }],
    )
    .await;
    let twice = draft(customer(3), 1);
    tell(
        &mut history,
        &twice,
        &[place(1, &twice), captured(&twice), captured(&twice)],
    )
    .await;
    lead(&history, &views, 9).await;
    let figures = views.audit().await.unwrap();
    assert_eq!(
        (
            figures.books.unpaid,
            figures.books.forgotten,
            figures.books.in_flight
        ),
        (1, 0, 1)
    );
    assert_eq!(figures.money.captured_twice, 1);
}

/// Any event of an order, in any order: more than `decide` would ever allow.
fn any_event() -> impl Strategy<Value = Event> {
    let at = Millis(9);
    let code = || "no".to_owned();
    prop_oneof![
        Just(Event::Held { at }),
        Just(Event::Authorised { at }),
        Just(Event::Declined { at, code: code() }),
        Just(Event::ActionRequired { at }),
        Just(Event::ActionTaken { at, succeed: true }),
        Just(Event::CommitAsked { at }),
        Just(Event::CaptureAsked {
            at,
            amount: Money::eur(1)
        }),
        Just(Event::CaptureFailed { at, code: code() }),
        Just(Event::Confirmed { at }),
        Just(Event::Cancelled {
            at,
            reason: CancelReason::PaymentExpired
        }),
        Just(Event::Voided { at }),
        Just(Event::Packed { at }),
        Just(Event::Shipped {
            at,
            carrier: code(),
            tracking_number: code()
        }),
        Just(Event::Delivered { at }),
        Just(captured(&draft(customer(1), 1))),
    ]
}

#[tokio::test]
async fn a_row_says_what_the_entity_says_after_any_history() {
    let pool = database::fresh().await;
    let views = open(&pool).await;
    let mut history = History::new(shards());
    let mut runner = TestRunner::deterministic();
    let stories = proptest::collection::vec(any_event(), 0..12);
    let mut entities = BTreeMap::new();
    for number in 0..150_u64 {
        let draft = draft(customer(u128::from(number)), 1);
        let mut events = vec![place(1, &draft)];
        events.extend(stories.new_tree(&mut runner).unwrap().current());
        let captures = events
            .iter()
            .filter(|event| matches!(event, Event::Captured { .. }))
            .count();
        if captures == 1 {
            let (ask, done) = refund(
                u128::from(number),
                draft.totals.total.amount / (1 + i64::from(number % 2 == 0)),
            );
            events.extend([ask, done]);
        }
        tell(&mut history, &draft, &events).await;
        entities.insert(draft.order(), replay::<Order>(&events));
    }
    lead(&history, &views, 7).await;
    let rows = every(&views.orders, None, 100).await;
    assert_eq!(rows.len(), entities.len());
    let mut counted: BTreeMap<Status, u64> = BTreeMap::new();
    for row in rows {
        let placed = entities[&row.order].placed().unwrap().clone();
        assert_eq!(row.status, placed.status(), "{placed:?}");
        assert_eq!(row.payment, placed.payment.status, "{placed:?}");
        *counted.entry(row.status).or_default() += 1;
    }
    let counts = views.orders.counts().await.unwrap();
    assert_eq!(
        counts
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .collect::<BTreeMap<_, _>>(),
        counted
    );
}

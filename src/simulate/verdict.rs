//! The last look: once everything works again, everything that was begun comes to its end, and all
//! books agree.

use std::collections::BTreeMap;
use std::time::Duration;

use super::auditor::{News, Violation};
use super::delivery::{by_operator, redrive_all};
use super::fleet::Fleet;
use super::plan::SCARCE;
use super::site::{SENDER, World};
use super::ways::Ways;
use crate::actors::Hosted;
use crate::domain::cart::Cart;
use crate::domain::id::OrderId;
use crate::domain::ledger::Account;
use crate::domain::order::{Order, Phase};
use crate::domain::payment::IntentId;
use crate::domain::product::Product;
use crate::domain::stock::Stock;
use crate::domain::{EntityId, Kind};
use crate::journal::Journal as _;
use crate::provider::Stage;
use crate::relay::dead_letter::{DeadLetters, LetterFilter, LetterState, REDRIVE_BATCH, RedriveFault};
use crate::workers::mail::Mail;

/// How long nothing may happen before it is quiet: longer than any retry waits.
const QUIET: Duration = Duration::from_secs(90);
/// How often quiet is waited for.
const PATIENCE: u32 = 40;
/// Longer than the shop's longest deadline, with its retries.
const AFTER_ALL_DEADLINES: Duration = Duration::from_secs(41 * 60);
/// How often a read is tried.
const TRIES: u32 = 60;

/// Judges the end of a run.
pub(super) async fn of(world: &World, fleet: &mut Fleet, ways: &Ways, orders: &[(OrderId, &'static str)]) {
    if !quiet(world, fleet).await {
        return accuse(world, "I7", "the shop does not come to rest".to_owned());
    }
    world.trace.note(format_args!("quiet"));
    world.auditor.settled(false);
    timers(world).await;
    if world.auditor.verdict().is_some() {
        return;
    }
    calm(world, orders);
    world
        .clock
        .sleep(AFTER_ALL_DEADLINES + world.plan.clocks_off())
        .await;
    if !quiet(world, fleet).await {
        return accuse(
            world,
            "I7",
            "the shop does not come to rest after its deadlines".to_owned(),
        );
    }
    world.trace.note(format_args!("over"));
    world.auditor.settled(true);
    for (order, _) in orders {
        if !world.auditor.orders().contains(order) {
            accuse(
                world,
                "I4",
                format!("order {order} was acknowledged and never placed"),
            );
        }
    }
    money(world);
    mails(world);
    timers(world).await;
    untroubled(world, fleet).await;
    served(world, ways).await;
}

fn accuse(world: &World, invariant: &'static str, what: String) {
    world.auditor.accuse(Violation { invariant, what });
}

/// Waits until nothing is committed any more; redrives dead letters as an operator would.
async fn quiet(world: &World, fleet: &Fleet) -> bool {
    let mut before = usize::MAX;
    for _ in 0..PATIENCE {
        world.clock.sleep(QUIET).await;
        let mut waiting = 0;
        for site in fleet.sites() {
            match redrive_twice(world, &site.relay.dead_letters()).await {
                Ok(redriven) => waiting += redriven,
                Err(fault) => {
                    accuse(world, "I7", format!("dead letters cannot be redriven: {fault}"));
                    return false;
                }
            }
        }
        waiting += redrive_parked(world, fleet).await;
        world.auditor.observe();
        let events = world.auditor.events();
        if events == before && waiting == 0 {
            return true;
        }
        before = events;
    }
    false
}

/// Redrives everything, as two operators who do not know of each other do; says how many letters they name. None that
/// waits is left out.
async fn redrive_twice(world: &World, letters: &DeadLetters) -> Result<usize, RedriveFault> {
    let waiting = LetterFilter {
        state: Some(LetterState::Waiting),
        ..LetterFilter::default()
    };
    let before = letters.list(&waiting, None, REDRIVE_BATCH).await?;
    let redrive = || redrive_all(&world.auditor, letters);
    let (one, other) = tokio::join!(redrive(), redrive());
    let redriven = [one?, other?].concat();
    let still = letters.list(&waiting, None, REDRIVE_BATCH).await?;
    let waits = |id| still.iter().any(|letter| letter.id == id);
    for letter in before {
        if waits(letter.id) && !redriven.iter().any(|named| named.id == letter.id) {
            accuse(
                world,
                "I7",
                format!("a redrive says nothing of {}/{}", letter.entity, letter.sequence),
            );
        }
    }
    Ok(redriven.len())
}

/// What was redriven too often is left alone until somebody names it; says how much of that there was.
async fn redrive_parked(world: &World, fleet: &Fleet) -> usize {
    let parked = LetterFilter {
        state: Some(LetterState::Parked),
        ..LetterFilter::default()
    };
    let mut tried = 0;
    for site in fleet.sites() {
        let letters = site.relay.dead_letters();
        for letter in letters.list(&parked, None, 100).await.unwrap_or_default() {
            // What fails again is found at the next look.
            drop(by_operator(&world.auditor, letters.redrive(letter.id, false)).await);
            tried += 1;
        }
    }
    tried
}

/// On calm days an order ends as its payment and the shelf say.
fn calm(world: &World, orders: &[(OrderId, &'static str)]) {
    if !world.plan.is_calm() {
        return;
    }
    let refused = |order: &OrderId| world.moods.has_refused(IntentId::of(*order).0);
    for (order, token) in orders {
        let Ok(Order::Placed(placed)) = world.auditor.truth::<Order>(&order.entity()) else {
            continue;
        };
        let scarce = placed.draft.lines.iter().any(|line| line.sku.as_str() == SCARCE);
        let reason = placed.cancel_reason();
        let fine = match (*token, placed.phase) {
            ("tok_decline" | "tok_insufficient_funds", Phase::Cancelled) => {
                matches!(reason, Some("payment_declined" | "by_shopper" | "by_seller"))
                    || scarce && reason == Some("out_of_stock")
            }
            ("tok_decline" | "tok_insufficient_funds", _) => false,
            (_, Phase::Cancelled) => match reason {
                Some("by_shopper" | "by_seller") => true,
                Some("out_of_stock") => scarce,
                Some("payment_declined") if refused(order) => true,
                Some("payment_declined" | "payment_expired") => *token == "tok_3ds",
                _ => false,
            },
            ("tok_3ds", _) => true,
            (_, phase) => !matches!(phase, Phase::Pending | Phase::Committing | Phase::Capturing),
        };
        if !fine {
            accuse(
                world,
                "I9",
                format!("order {order} with {token} is {:?} ({reason:?})", placed.phase),
            );
        }
    }
}

/// Captures less refunds are the same in the orders, in the ledger and at the provider.
fn money(world: &World) {
    let intents = world.books.all();
    for order in world.auditor.orders() {
        let (captured, refunded) = world.auditor.taken(order);
        let of = || intents.iter().filter(|intent| intent.order == Some(order));
        let captures = of().filter(|intent| intent.captured > 0).count();
        let taken: i64 = of().map(|intent| intent.captured).sum();
        let given: i64 = of()
            .flat_map(|intent| &intent.refunds)
            .map(|(_, amount)| amount)
            .sum();
        let reserved = of().any(|intent| intent.stage == Some(Stage::Authorised));
        if reserved && world.auditor.is_cancelled(order) {
            accuse(
                world,
                "I2",
                format!("order {order} is cancelled, and the provider still reserves its money"),
            );
        }
        if captures > 1 {
            accuse(
                world,
                "I2",
                format!("order {order} was captured {captures} times"),
            );
        }
        if (taken, given) != (captured, refunded) {
            accuse(
                world,
                "I2",
                format!(
                    "order {order}: the provider has {taken} and {given}, the order {captured} and {refunded}"
                ),
            );
        }
        for (refund, done) in world.auditor.refunds(order) {
            if done == world.moods.has_refused(refund.0) {
                accuse(
                    world,
                    "I2",
                    format!("order {order}: a refund is done: {done}, and the provider has said the other"),
                );
            }
        }
        let (authorised, declined) = world.auditor.answers(order);
        let at_provider = of().next().and_then(|intent| intent.stage);
        if authorised && at_provider == Some(Stage::Declined)
            || declined && at_provider == Some(Stage::Captured)
        {
            accuse(
                world,
                "I2",
                format!("order {order} was told another answer than {at_provider:?}"),
            );
        }
        let tax = world.auditor.tax(order);
        let owed = (
            -world.ledger.balance(order, Account::TaxPayable),
            -world.ledger.balance(order, Account::Revenue),
        );
        if owed != (tax, captured - refunded - tax) {
            accuse(
                world,
                "I9",
                format!("order {order}: the ledger has {owed:?} of tax and revenue, and the tax is {tax}"),
            );
        }
        let receivable = world.ledger.receivable(order);
        if receivable != captured - refunded {
            accuse(
                world,
                "I9",
                format!(
                    "order {order}: the ledger has {receivable}, the order {}",
                    captured - refunded
                ),
            );
        }
    }
}

/// The journal has the timers that somebody needs, and no others.
async fn timers(world: &World) {
    let mut all = BTreeMap::new();
    for shard in world.journal.shard_count().all() {
        match world.journal.timers(shard).await {
            Ok(timers) => all.extend(timers.into_iter().map(|timer| (timer.entity, timer.due_at))),
            Err(fault) => return accuse(world, "I7", format!("timers cannot be read: {fault}")),
        }
    }
    world.auditor.has_timers(&all);
}

/// Where nothing went wrong nothing was given up, and nothing was said twice.
async fn untroubled(world: &World, fleet: &Fleet) {
    if !world.plan.mishaps.is_empty() {
        return;
    }
    for site in fleet.sites() {
        let letters = site
            .relay
            .dead_letters()
            .list(&LetterFilter::default(), None, 1)
            .await;
        if !matches!(letters.as_deref(), Ok([])) {
            accuse(
                world,
                "I7",
                format!("nothing went wrong, and there are dead letters: {letters:?}"),
            );
        }
    }
    for order in world.auditor.orders() {
        if let Some((mail, times)) = world
            .mail
            .mails_about(order)
            .into_iter()
            .find(|(_, times)| *times != 1)
        {
            accuse(
                world,
                "I7",
                format!(
                    "nothing went wrong, and \"{}\" was sent {times} times",
                    mail.subject
                ),
            );
        }
    }
}

/// Whether `words` stand in `text`, not only as the end of a longer word: 5.30 is not in 55.30.
fn says(text: &str, words: &str) -> bool {
    text.match_indices(words)
        .any(|(at, _)| !text[..at].ends_with(char::is_alphanumeric))
}

/// Whether a mail says what it must, in both of its forms.
fn tells(mail: &Mail, news: &News) -> bool {
    let both = |words: &String| says(&mail.text, words) && says(&mail.html, words);
    news.says.iter().all(both) && news.lists.iter().all(|words| mail.text.contains(words))
}

/// Whether the link in a mail opens its order.
fn leads(world: &World, order: OrderId, mail: &Mail) -> bool {
    let address = format!("http://localhost:8080/orders/{order}?key=");
    [&mail.text, &mail.html].into_iter().all(|said| {
        let key = said.split_once(&address).map(|(_, rest)| rest);
        let key = key.and_then(|rest| rest.split(['\n', '"']).next());
        key.is_some_and(|key| world.links.open(order, key))
    })
}

fn mails(world: &World) {
    for order in world.auditor.orders() {
        let Some(draft) = world.auditor.draft(order) else {
            continue;
        };
        let mut mails = world.mail.mails_about(order);
        for news in &world.auditor.news(order) {
            let (number, at) = news.of;
            let of_it = mails.iter().position(|(mail, _)| {
                (mail.to == draft.email && mail.at == at)
                    && (mail.subject.contains(news.subject) && tells(mail, news))
            });
            match of_it {
                Some(index) => {
                    let (mail, _) = mails.swap_remove(index);
                    let greets = says(&mail.text, &format!("Hello {},", draft.shipping_address.name));
                    let signed = mail.from == SENDER
                        && mail.message_id == format!("<order.{order}.{number}@localhost>");
                    if !greets || !signed || !leads(world, order, &mail) {
                        accuse(
                            world,
                            "I7",
                            format!(
                                "order {order}: \"{}\" greets somebody else, leads elsewhere, or is another's",
                                mail.subject
                            ),
                        );
                    }
                }
                None => accuse(
                    world,
                    "I7",
                    format!(
                        "order {order}: no mail to {} says that it {} ({})",
                        draft.email,
                        news.subject,
                        news.says.join(", ")
                    ),
                ),
            }
        }
        let (due, sent) = (world.auditor.mails_due(order), world.mail.about(order));
        if due != sent {
            accuse(
                world,
                "I7",
                format!("order {order}: {sent} mails for {due} pieces of news"),
            );
        }
    }
}

/// Every entity serves what its events fold to.
async fn served(world: &World, ways: &Ways) {
    for (entity, _) in world.auditor.entities() {
        match entity.kind() {
            Kind::Cart => read::<Cart>(world, ways, &entity).await,
            Kind::Order => read::<Order>(world, ways, &entity).await,
            Kind::Stock => read::<Stock>(world, ways, &entity).await,
            Kind::Product => read::<Product>(world, ways, &entity).await,
            // The auditor lets none of these in.
            Kind::Unknown => {}
        }
    }
}

async fn read<E: Hosted>(world: &World, ways: &Ways, entity: &EntityId) {
    for _ in 0..TRIES {
        let floor = world.auditor.floor(entity);
        if let Ok(answer) = ways.any(&world.clock).await.read::<E>(entity).await {
            return world.auditor.answered::<E>(entity, floor, None, &answer);
        }
        world.clock.sleep(Duration::from_millis(500)).await;
    }
    accuse(
        world,
        "I7",
        format!("{entity} cannot be read although everything works"),
    );
}

//! Somebody who keeps looking at what one node shows: while it is cut off, and when it goes on after it
//! stood still. What it remembers may be old by then, and it must not tell it.

use std::time::Duration;

use super::site::World;
use super::ways::Way;
use crate::actors::Hosted;
use crate::domain::cart::Cart;
use crate::domain::order::Order;
use crate::domain::product::Product;
use crate::domain::stock::Stock;
use crate::domain::{EntityId, Kind};

/// Between two looks, in milliseconds.
const PACE: u64 = 150;

/// Looks at entities, one and another, through node `index` for `long`.
pub(super) async fn watch(world: World, index: usize, long: Duration) {
    let until = world.clock.instant() + long;
    while world.clock.instant() < until {
        let pause = Duration::from_millis(1 + world.clock.random_below(PACE));
        world.clock.sleep(pause).await;
        let Some(way) = world.ways.through(index) else {
            continue;
        };
        // Who goes on after it stood still is asked for everything at once, before it has looked around.
        let before = world.clock.instant();
        way.clock.thawed().await;
        let entities = world.auditor.entities();
        if world.clock.instant() > before {
            let looks = entities.iter().map(|(entity, _)| look(&world, &way, entity));
            futures_util::future::join_all(looks).await;
        } else if let Some((entity, _)) = drawn(&world, &entities) {
            look(&world, &way, entity).await;
        }
    }
}

fn drawn<'a, T>(world: &World, of: &'a [T]) -> Option<&'a T> {
    let drawn = world.clock.random_below(u64::try_from(of.len()).unwrap_or(0));
    of.get(usize::try_from(drawn).ok()?)
}

async fn look(world: &World, way: &Way, entity: &EntityId) {
    match entity.kind() {
        Kind::Cart => look_as::<Cart>(world, way, entity).await,
        Kind::Order => look_as::<Order>(world, way, entity).await,
        Kind::Stock => look_as::<Stock>(world, way, entity).await,
        Kind::Product => look_as::<Product>(world, way, entity).await,
        // The auditor has complained when it was committed.
        Kind::Unknown => {}
    }
}

/// A node in trouble may well not answer; what it answers must be true.
async fn look_as<E: Hosted>(world: &World, way: &Way, entity: &EntityId) {
    let floor = world.auditor.floor(entity);
    if let Ok(answer) = way.read::<E>(entity).await {
        world.auditor.answered::<E>(entity, floor, None, &answer);
    }
}

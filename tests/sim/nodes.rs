//! Nodes that share one journal, on a virtual clock: who owns what, who may still answer, and what a
//! node that is gone leaves to the others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use globalshop::actors::heart::{Heart, HeartArguments, directories};
use globalshop::clock::Clock;
use globalshop::cluster::placement::{Known, ShardAddress};
use globalshop::cluster::wire::{Outcome, Returned};
use globalshop::cluster::{
    Ask, AskError, LinkFault, Membership, MembershipArguments, MembershipSettings, Placement, Region,
    RegionLink, Routes,
};
use globalshop::domain::cart::{self, Cart};
use globalshop::domain::id::{CartId, Sku};
use globalshop::domain::stock::{self, Levels, Stock};
use globalshop::domain::{EntityId, Millis, ShardCount};
use globalshop::journal::memory::{Fault, MemoryJournal};
use globalshop::journal::{
    Epoch, Journal, Position, Remember, RequestKey, Sequence, TAKEOVER_MARGIN, Takeover,
};
use globalshop::relay::Tails;
use uuid::Uuid;

const SETTINGS: MembershipSettings = MembershipSettings {
    takeover: Takeover::AfterExpiry,
    ttl: Duration::from_millis(1_500),
    renewal: Duration::from_millis(250),
};
/// Until the shards of a node that is gone are open elsewhere: its time, the margin, and a few looks.
const HANDOVER: Duration = Duration::from_secs(3);

fn clock() -> Clock {
    Clock::simulated(11, Millis(1_700_000_000_000))
}

fn journal(clock: &Clock) -> MemoryJournal {
    MemoryJournal::new(ShardCount::new(8).unwrap(), clock.clone())
}

/// Carries every message at once; a node that is not on it cannot be reached.
#[derive(Clone, Debug, Default)]
struct Switchboard(Arc<Mutex<BTreeMap<String, Region>>>);

#[async_trait]
impl RegionLink for Switchboard {
    async fn carry(&self, to: &str, message: Bytes) -> Result<Bytes, LinkFault> {
        let region = self.0.lock().unwrap().get(to).cloned();
        let region = region.ok_or_else(|| LinkFault::NotSent(format!("{to} is not there")))?;
        Ok(region.receive(&message).await)
    }
}

/// A node: a heart, a membership, and the journal as it sees it.
struct SimNode {
    heart: Heart,
    membership: Membership,
    region: Region,
    placement: Option<Arc<Placement>>,
    journal: MemoryJournal,
    clock: Clock,
}

impl SimNode {
    async fn start(name: &str, incarnation: u32, journal: MemoryJournal, clock: &Clock) -> Self {
        Self::start_linked(name, incarnation, journal, clock, None).await
    }

    /// With a switchboard it owns its share of the shards, and reaches those of the others.
    async fn start_linked(
        name: &str,
        incarnation: u32,
        journal: MemoryJournal,
        clock: &Clock,
        board: Option<&Switchboard>,
    ) -> Self {
        let shared: Arc<dyn Journal> = Arc::new(journal.clone());
        let owner: Arc<str> = format!("{name}/{incarnation}").into();
        let doors = directories(&shared, clock);
        let placement = board.map(|_| Arc::new(Placement::new(name.into(), shared.shards())));
        let region = match (board, &placement) {
            (Some(board), Some(placement)) => {
                let link = Arc::new(board.clone());
                let routes = Routes::new(Arc::clone(placement), link, clock.clone());
                let region = Region::linked(Arc::clone(&doors), routes);
                board.0.lock().unwrap().insert(name.to_owned(), region.clone());
                region
            }
            _ => Region::new(Arc::clone(&doors)),
        };
        let heart = Heart::start(HeartArguments {
            node: name.into(),
            owner: Arc::clone(&owner),
            takeover: SETTINGS.takeover,
            tenure: None,
            journal: Arc::clone(&shared),
            clock: clock.clone(),
            tails: Tails::new(shared.shards()),
            directories: doors,
            residents: vec![],
        })
        .await
        .unwrap();
        let membership = Membership::start(MembershipArguments {
            owner,
            journal: shared,
            gates: Arc::clone(heart.gates()),
            clock: clock.clone(),
            settings: SETTINGS,
            placement: placement.clone(),
        });
        Self {
            heart,
            membership,
            region,
            placement,
            journal,
            clock: clock.clone(),
        }
    }

    /// Adds units, however often that must be asked; says the version that was acknowledged.
    async fn add(&self, entity: &EntityId, units: i64) -> Sequence {
        let until = self.clock.instant() + Duration::from_secs(30);
        loop {
            let command = stock::Command::Adjust {
                delta: units,
                reason: "delivery".to_owned(),
            };
            match self.region.ask::<Stock>(entity, Ask::new(command)).await {
                Ok(answer) => return answer.sequence,
                Err(error) => assert!(self.clock.instant() < until, "never answered: {error}"),
            }
            self.clock.sleep(Duration::from_millis(50)).await;
        }
    }

    async fn read(&self, entity: &EntityId) -> Result<Levels, AskError<stock::Refusal>> {
        Ok(self.region.read::<Stock>(entity).await?.view)
    }

    /// Killed: it saves nothing and tells nobody.
    async fn kill(self) {
        self.membership.crash();
        self.heart.stop(Duration::ZERO).await;
    }
}

fn entities() -> Vec<EntityId> {
    (0..24)
        .map(|n| format!("SKU-{n}").parse::<Sku>().unwrap().stock())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_cut_off_answers_nothing_from_memory_and_comes_back_by_itself() {
    let clock = clock();
    let node = SimNode::start("a", 1, journal(&clock), &clock).await;
    assert!(node.heart.ready(HANDOVER).await);
    let entity = &entities()[0];
    node.add(entity, 3).await;

    let cut = clock.instant();
    node.journal.cut_off(true);
    let command = || stock::Command::Adjust {
        delta: -100,
        reason: "a mistake".to_owned(),
    };
    while clock.instant() < cut + SETTINGS.ttl + Duration::from_millis(1) {
        // It still owns the shard for certain, so it still answers: reads and refusals alike.
        if clock.instant() < cut + SETTINGS.ttl - SETTINGS.renewal {
            assert_eq!(node.read(entity).await.unwrap().on_hand, 3);
            let refused = node.region.ask::<Stock>(entity, Ask::new(command())).await;
            assert!(matches!(refused, Err(AskError::Refused(_))), "{refused:?}");
        }
        clock.sleep(Duration::from_millis(10)).await;
    }
    for _ in 0..200 {
        let read = node.read(entity).await;
        assert!(matches!(read, Err(AskError::Unavailable { .. })), "{read:?}");
        let refused = node.region.ask::<Stock>(entity, Ask::new(command())).await;
        assert!(
            matches!(refused, Err(AskError::Unavailable { .. })),
            "{refused:?}"
        );
        clock.sleep(Duration::from_millis(50)).await;
    }

    node.journal.cut_off(false);
    assert!(node.heart.ready(HANDOVER).await, "it joins again");
    assert_eq!(node.read(entity).await.unwrap().on_hand, 3);
    assert_eq!(node.add(entity, 4).await, Sequence(2));
    node.heart.stop(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn heartbeats_that_are_lost_or_slow_for_less_than_the_time_disturb_nobody() {
    let clock = clock();
    let node = SimNode::start("a", 1, journal(&clock), &clock).await;
    assert!(node.heart.ready(HANDOVER).await);
    let entity = &entities()[0];
    node.add(entity, 3).await;
    for fault in [
        Fault::BeatFails,
        Fault::BeatLost,
        Fault::BeatSlow(Duration::from_millis(400)),
        Fault::BeatFails,
        Fault::BeatFails,
        Fault::BeatLost,
    ] {
        node.journal.inject(fault);
    }
    let shard = node.region.shard(entity);
    let epochs = || node.journal.committed(shard).len();
    let before = epochs();
    for _ in 0..400 {
        assert_eq!(node.read(entity).await.unwrap().on_hand, 3);
        clock.sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(node.journal.heal(), 0, "every fault has happened");
    assert_eq!(epochs(), before);
    node.heart.stop(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_node_acknowledged_is_there_at_its_successor() {
    let clock = clock();
    let journal = journal(&clock);
    let first = SimNode::start("a", 1, journal.clone(), &clock).await;
    assert!(first.heart.ready(HANDOVER).await);
    for entity in &entities() {
        first.add(entity, 5).await;
    }
    let second = SimNode::start("b", 1, journal.seen_by_another(), &clock).await;
    clock.sleep(SETTINGS.ttl * 3).await;
    first.kill().await;

    let killed = clock.instant();
    assert!(second.heart.ready(HANDOVER).await, "it takes every shard");
    let took = clock.instant() - killed;
    assert!(
        took > SETTINGS.ttl - SETTINGS.renewal + TAKEOVER_MARGIN,
        "it waits for the time of the other: {took:?}"
    );
    for entity in &entities() {
        assert_eq!(second.read(entity).await.unwrap().on_hand, 5);
        assert_eq!(second.add(entity, 1).await, Sequence(2));
    }
    second.heart.stop(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_leaves_hands_over_without_waiting() {
    let clock = clock();
    let journal = journal(&clock);
    let first = SimNode::start("a", 1, journal.clone(), &clock).await;
    assert!(first.heart.ready(HANDOVER).await);
    for entity in &entities() {
        first.add(entity, 5).await;
    }
    let SimNode {
        heart, membership, ..
    } = first;
    membership.leave().await;
    let left = clock.instant();
    // The same name again, too: nobody is in its way.
    let second = SimNode::start("a", 2, journal.seen_by_another(), &clock).await;
    assert!(second.heart.ready(HANDOVER).await);
    assert!(clock.instant() - left < SETTINGS.renewal, "it did not wait");
    for entity in &entities() {
        assert_eq!(second.read(entity).await.unwrap().on_hand, 5);
    }
    heart.stop(Duration::ZERO).await;
    second.heart.stop(Duration::ZERO).await;
}

/// Waits until every shard answers at one of the nodes, and each of them has what it should own.
async fn settle(nodes: &[&SimNode], clock: &Clock) {
    let until = clock.instant() + HANDOVER * 2;
    let open = |node: &&&SimNode, shard| node.region.epoch(shard).is_some();
    let owners = |shard| nodes.iter().filter(|node| open(node, shard)).count();
    let heard = |node: &SimNode| node.membership.members().borrow().0.len() == nodes.len();
    let settled = || {
        ShardCount::new(8).unwrap().all().all(|shard| owners(shard) == 1)
            && nodes
                .iter()
                .all(|node| heard(node) && node.heart.gates().all_wanted_open())
    };
    while !settled() {
        assert!(clock.instant() < until, "the shards do not settle");
        clock.sleep(Duration::from_millis(5)).await;
    }
}

fn shares(nodes: &[&SimNode]) -> Vec<usize> {
    let shards = || ShardCount::new(8).unwrap().all();
    let share = |node: &&SimNode| {
        shards()
            .filter(|shard| node.region.epoch(*shard).is_some())
            .count()
    };
    nodes.iter().map(share).collect()
}

#[tokio::test(start_paused = true)]
async fn nodes_share_the_shards_and_reach_every_entity_from_each() {
    let (clock, board) = (clock(), Switchboard::default());
    let journal = journal(&clock);
    let first = SimNode::start_linked("a", 1, journal.clone(), &clock, Some(&board)).await;
    settle(&[&first], &clock).await;
    for entity in &entities() {
        first.add(entity, 5).await;
    }
    let second = SimNode::start_linked("b", 1, journal.seen_by_another(), &clock, Some(&board)).await;
    settle(&[&first, &second], &clock).await;
    let shared = shares(&[&first, &second]);
    assert!(shared.iter().all(|share| *share > 0), "{shared:?}");
    for entity in &entities() {
        assert_eq!(first.add(entity, 1).await, Sequence(2));
        assert_eq!(second.add(entity, 1).await, Sequence(3));
        assert_eq!(first.read(entity).await.unwrap().on_hand, 7);
        assert_eq!(second.read(entity).await.unwrap().on_hand, 7);
        let refused = |node: &SimNode| {
            let command = stock::Command::Adjust {
                delta: -100,
                reason: "a mistake".to_owned(),
            };
            let (region, entity) = (node.region.clone(), entity.clone());
            async move { region.ask::<Stock>(&entity, Ask::new(command)).await }
        };
        for node in [&first, &second] {
            let refused = refused(node).await;
            assert!(matches!(refused, Err(AskError::Refused(_))), "{refused:?}");
        }
    }

    // One leaves in order: the other has all of it, and nobody had to wait for a time to run out.
    board.0.lock().unwrap().remove("b");
    let left = clock.instant();
    second.membership.leave().await;
    settle(&[&first], &clock).await;
    assert!(clock.instant() - left < SETTINGS.renewal * 3, "it did not wait");
    for entity in &entities() {
        assert_eq!(first.add(entity, 1).await, Sequence(4));
    }
    first.heart.stop(Duration::ZERO).await;
    second.heart.stop(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_believes_a_shard_to_be_at_itself_finds_it_elsewhere() {
    let (clock, board) = (clock(), Switchboard::default());
    let journal = journal(&clock);
    let first = SimNode::start_linked("a", 1, journal.clone(), &clock, Some(&board)).await;
    let second = SimNode::start_linked("b", 1, journal.seen_by_another(), &clock, Some(&board)).await;
    settle(&[&first, &second], &clock).await;
    let placement = first.placement.as_ref().unwrap();
    let theirs = |entity: &&EntityId| first.region.epoch(first.region.shard(entity)).is_none();
    let entities = entities();
    let theirs: Vec<_> = entities.iter().filter(theirs).collect();
    assert!(!theirs.is_empty());
    for entity in theirs {
        // As another node says it whose knowledge is of the time before the shard moved.
        let shard = first.region.shard(entity);
        let (epoch, _) = journal.committed_after(shard, Position(0));
        let address = ShardAddress {
            node: Arc::clone(placement.me()),
            epoch: Epoch(epoch.0 + 1),
        };
        let known = Known { address, heard: None };
        placement.found(shard, &known);
        assert_eq!(placement.known(shard), Some(known));
        assert_eq!(first.read(entity).await.unwrap().on_hand, 0);
        assert_eq!(first.add(entity, 5).await, Sequence(1));
    }
    first.heart.stop(Duration::ZERO).await;
    second.heart.stop(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_keyed_command_that_changes_nothing_is_known_again_when_its_answer_is_lost() {
    let (clock, board) = (clock(), Switchboard::default());
    let journal = journal(&clock);
    let first = SimNode::start_linked("a", 1, journal.clone(), &clock, Some(&board)).await;
    let second = SimNode::start_linked("b", 1, journal.seen_by_another(), &clock, Some(&board)).await;
    settle(&[&first, &second], &clock).await;
    for n in 1..=8 {
        let cart = CartId(Uuid::from_u128(n)).entity();
        let key = RequestKey([u8::try_from(n).unwrap(); 32]);
        let remember = Remember { key, body: [7; 32] };
        for node in [&first, &second] {
            node.journal.inject(Fault::AnswerLost);
        }
        // The cart is empty already: only the answer is written.
        let ask = Ask::new(cart::Command::Clear).remember(Some(remember));
        let asked = clock.instant();
        let answer = first.region.ask::<Cart>(&cart, ask).await.unwrap();
        assert!(answer.repeated);
        assert_eq!(answer.sequence, Sequence(0));
        assert!(clock.instant() - asked < Duration::from_secs(2));
        assert!(journal.remembered(key).await.unwrap().is_some());
        for node in [&first, &second] {
            node.journal.heal();
        }
    }
    first.heart.stop(Duration::ZERO).await;
    second.heart.stop(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn what_no_region_has_sent_is_refused_by_name() {
    let (clock, board) = (clock(), Switchboard::default());
    let node = SimNode::start_linked("a", 1, journal(&clock), &clock, Some(&board)).await;
    settle(&[&node], &clock).await;
    for bytes in [
        "",
        "{}",
        "[1,2,3]",
        r#"{"version":1}"#,
        r#"{"version":99,"shard":0}"#,
    ] {
        let answer = node.region.receive(bytes.as_bytes()).await;
        let outcome = Returned::decode(&answer).unwrap().outcome;
        assert!(matches!(outcome, Outcome::Unreadable(_)), "{bytes}: {outcome:?}");
    }
    node.heart.stop(Duration::ZERO).await;
}

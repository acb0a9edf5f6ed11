//! Any interleaving of commits, tails, owners and readers shows each reader each event once.

use std::collections::VecDeque;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::Value;

use super::{Effect, Hub, Subscribe};
use crate::accounts::Roles;
use crate::domain::id::OrderId;
use crate::domain::order::{Authorisation, Capture, Command, Order};
use crate::domain::{Entity as _, Millis, Shard, ShardCount};
use crate::journal::{Epoch, Position, Recorded, Sequence, stored};
use crate::relay::Tails;
use crate::ws::channel::Channel;
use crate::ws::figures::Figures;
use crate::ws::fixture::{PlainFaces, Window, customer, draft, viewer};
use crate::ws::outbox::{Followed, Outbox};
use crate::ws::protocol::{From, SubscriptionId};
use crate::ws::source::{Held, Owners, Silent, Sources};
use crate::ws::topic::Answer;

/// The order's life, command by command; not each leaves a trace in its history.
fn story() -> Vec<Command> {
    let draft = Arc::new(draft(customer(1), 1));
    vec![
        Command::Place(draft),
        Command::RecordHolds { held: true },
        Command::RecordAuthorisation(Authorisation::ActionRequired),
        Command::ConfirmPayment { succeed: true },
        Command::RecordAuthorisation(Authorisation::Authorised),
        Command::RecordCommit { committed: true },
        Command::RecordCapture(Capture::Captured),
        Command::Pack,
        Command::Ship {
            carrier: "DHL".to_owned(),
            tracking_number: "1".to_owned(),
        },
        Command::Deliver,
    ]
}

/// The hub asks by effects here, never by itself.
struct NoOwners;

#[async_trait::async_trait]
impl Owners for NoOwners {
    async fn cart(&self, _: crate::domain::id::CartId) -> Result<Held<crate::domain::cart::Cart>, Silent> {
        Err(Silent)
    }

    async fn order(&self, _: OrderId) -> Result<Held<Order>, Silent> {
        Err(Silent)
    }
}

struct Reader {
    outbox: Arc<Outbox>,
    slot: u32,
    /// Where it stands, once it knows.
    position: Option<(String, u64)>,
    settled: bool,
    refused: bool,
}

impl Reader {
    fn read(&mut self, hub_truth: &Order) {
        let mut frames = vec![];
        self.outbox.take(&mut frames, usize::MAX);
        let history = &hub_truth
            .placed()
            .map(|placed| placed.history.clone())
            .unwrap_or_default();
        for frame in frames {
            let read: Value = serde_json::from_str(frame.text()).unwrap();
            let body = &read[frame.name()];
            match frame.name() {
                "snap" => {
                    let offset = body["o"].as_u64().unwrap();
                    let shown = body["data"]["history"].as_array().unwrap().len() as u64;
                    assert_eq!(shown, offset, "a snap is the state at its offset");
                    self.position = Some((body["e"].as_str().unwrap().to_owned(), offset));
                }
                "pub" => {
                    for event in body.as_array().unwrap() {
                        let offset = event["o"].as_u64().unwrap();
                        let (_, position) = self.position.as_mut().expect("events after a beginning");
                        assert_eq!(offset, *position + 1, "no hole and no repetition");
                        *position = offset;
                        let entry = &history[usize::try_from(offset).unwrap() - 1];
                        assert_eq!(event["ev"], entry.status.as_str());
                    }
                }
                "live" => {
                    self.settled = true;
                    let (_, position) = self.position.get_or_insert_with(|| {
                        (
                            body["e"].as_str().unwrap().to_owned(),
                            body["o"].as_u64().unwrap(),
                        )
                    });
                    assert_eq!(body["o"], *position, "live from where the reader is");
                }
                "err" => self.refused = true,
                other => panic!("{other}: positions of this order can always be resumed"),
            }
        }
    }
}

struct World {
    hub: Hub,
    tails: Tails,
    shard: Shard,
    id: OrderId,
    story: VecDeque<Command>,
    journal: Vec<Arc<Recorded>>,
    truth: Order,
    /// Questions under way, and the answer once it was read.
    asked: VecDeque<(u64, Option<Held<Order>>)>,
    readers: Vec<Reader>,
    connections: u64,
}

#[derive(Clone, Debug)]
enum Step {
    Commit { seen_by_tail: bool },
    OtherCommit,
    Moved,
    OwnerReads,
    OwnerAnswers,
    OwnerIsSilent,
    Subscribe { live: bool },
    Resume(usize),
    Leave(usize),
    Read(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Commit { seen_by_tail: true }),
        1 => Just(Step::Commit { seen_by_tail: false }),
        1 => Just(Step::OtherCommit),
        4 => Just(Step::Moved),
        3 => Just(Step::OwnerReads),
        3 => Just(Step::OwnerAnswers),
        1 => Just(Step::OwnerIsSilent),
        2 => any::<bool>().prop_map(|live| Step::Subscribe { live }),
        2 => (0..4_usize).prop_map(Step::Resume),
        1 => (0..4_usize).prop_map(Step::Leave),
        2 => (0..4_usize).prop_map(Step::Read),
    ];
    proptest::collection::vec(step, 0..80)
}

const NOW: Millis = Millis(1_000);

impl World {
    fn new() -> Self {
        let shards = ShardCount::new(2).unwrap();
        let tails = Tails::new(shards);
        let sources = Sources {
            owners: Arc::new(NoOwners),
            shelf: Arc::new(Window::default()),
            faces: Arc::new(PlainFaces::default()),
        };
        let id = draft(customer(1), 1).order();
        let mut world = Self {
            hub: Hub::new(sources, tails.clone(), shards, Figures::new()),
            tails,
            shard: id.entity().shard(shards),
            id,
            story: story().into(),
            journal: vec![],
            truth: Order::default(),
            asked: VecDeque::new(),
            readers: vec![],
            connections: 0,
        };
        world.commit(true);
        world
    }

    fn commit(&mut self, seen_by_tail: bool) {
        let Some(command) = self.story.pop_front() else {
            return;
        };
        let events = self.truth.decide(&command, NOW).unwrap();
        let mut recorded = vec![];
        for event in events {
            let sequence = self
                .journal
                .iter()
                .filter(|event| event.entity == self.id.entity())
                .count() as i64
                + 1;
            let new = stored::encode::<Order>(&event).unwrap();
            self.truth.apply(&event);
            recorded.push(self.record(Sequence(sequence), new.payload));
        }
        if seen_by_tail {
            self.tails.of(self.shard).publish(recorded);
        } else {
            self.lose_tail();
        }
    }

    fn record(&mut self, sequence: Sequence, payload: bytes::Bytes) -> Arc<Recorded> {
        let recorded = Arc::new(Recorded {
            shard: self.shard,
            position: Position(self.journal.len() as i64 + 1),
            entity: self.id.entity(),
            sequence,
            epoch: Epoch(1),
            version: 1,
            operation: None,
            recorded_at: NOW,
            payload,
        });
        self.journal.push(Arc::clone(&recorded));
        recorded
    }

    /// What a takeover does: the head is known, the events before it are only in the journal.
    fn lose_tail(&self) {
        self.tails
            .of(self.shard)
            .start_at(Position(self.journal.len() as i64));
    }

    fn other_commit(&mut self) {
        let mut other = (*self.record(Sequence(1), bytes::Bytes::from_static(b"{}"))).clone();
        other.entity = OrderId::default().entity();
        let other = Arc::new(other);
        *self.journal.last_mut().unwrap() = Arc::clone(&other);
        self.tails.of(self.shard).publish([other]);
    }

    fn subscribe(&mut self, from: From, position: Option<(String, u64)>) {
        self.connections += 1;
        let outbox = Arc::new(Outbox::new(self.connections, "trace".into(), Figures::new()));
        let channel = Channel::Order(self.id);
        let name = channel.to_string().into();
        let slot = outbox.open(SubscriptionId::Number(1), name, channel.clone());
        self.hub.subscribe(
            Subscribe {
                outbox: Arc::clone(&outbox),
                slot,
                channel,
                from,
                viewer: Some(Arc::new(viewer(1, Roles::SHOPPER, &[]))),
            },
            NOW,
        );
        self.readers.push(Reader {
            outbox,
            slot,
            position,
            settled: false,
            refused: false,
        });
    }

    fn leave(&mut self, index: usize) -> Option<Reader> {
        if self.readers.is_empty() {
            return None;
        }
        let mut reader = self.readers.remove(index % self.readers.len());
        reader.read(&self.truth);
        let followed = Followed {
            slot: reader.slot,
            channel: Channel::Order(self.id),
        };
        self.hub.unsubscribe(reader.outbox.number(), &followed);
        Some(reader)
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Commit { seen_by_tail } => self.commit(*seen_by_tail),
            Step::OtherCommit => self.other_commit(),
            Step::Moved => self.hub.moved(self.shard, NOW),
            Step::OwnerReads => {
                let held = self.held();
                if let Some((_, answer)) = self.asked.iter_mut().find(|(_, answer)| answer.is_none()) {
                    *answer = Some(held);
                }
            }
            Step::OwnerAnswers | Step::OwnerIsSilent => {
                let is_silent = matches!(step, Step::OwnerIsSilent);
                let Some((turn, held)) = self.asked.pop_front() else {
                    return;
                };
                let held = held.unwrap_or_else(|| self.held());
                let answer = if is_silent {
                    Err(Silent)
                } else {
                    Ok(Answer::Order(held))
                };
                self.hub.answered(&Channel::Order(self.id), turn, answer, NOW);
            }
            Step::Subscribe { live } => {
                let from = if *live { From::Live } else { From::Snapshot };
                self.subscribe(from, None);
            }
            Step::Resume(index) => {
                if let Some(reader) = self.leave(*index)
                    && let Some((epoch, offset)) = reader.position
                {
                    let from = From::Position {
                        epoch: epoch.clone(),
                        offset,
                    };
                    self.subscribe(from, Some((epoch, offset)));
                }
            }
            Step::Leave(index) => {
                self.leave(*index);
            }
            Step::Read(index) => {
                let count = self.readers.len().max(1);
                if let Some(reader) = self.readers.get_mut(index % count) {
                    reader.read(&self.truth);
                }
            }
        }
        for Effect::Ask { turn, .. } in self.hub.effects() {
            self.asked.push_back((turn, None));
        }
    }

    /// What the owner would say now: everything that is committed.
    fn held(&self) -> Held<Order> {
        let own = self
            .journal
            .iter()
            .filter(|event| event.entity == self.id.entity());
        Held {
            state: self.truth.clone(),
            sequence: Sequence(own.count() as i64),
        }
    }

    fn settle(&mut self) {
        self.step(&Step::Moved);
        while !self.asked.is_empty() {
            self.step(&Step::OwnerAnswers);
        }
        self.step(&Step::Moved);
        while !self.asked.is_empty() {
            self.step(&Step::OwnerAnswers);
        }
        let head = self.truth.placed().unwrap().history.len() as u64;
        for reader in &mut self.readers {
            reader.read(&self.truth);
            if reader.refused {
                continue;
            }
            assert!(reader.settled, "everybody is answered");
            assert_eq!(
                reader.position.as_ref().unwrap().1,
                head,
                "everybody is told everything"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]
    #[test]
    fn every_reader_sees_every_event_once_and_in_order(steps in steps()) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.settle();
        for index in 0..world.readers.len() {
            let _ = world.leave(index);
        }
        while world.leave(0).is_some() {}
        prop_assert_eq!(world.hub.channels(), 0, "nothing is kept of what nobody follows");
    }
}

#[test]
fn events_of_what_nobody_follows_are_not_read() {
    let mut world = World::new();
    world.story.clear();
    // Not even JSON: whoever decoded it would ask the owner.
    let recorded = world.record(Sequence(2), bytes::Bytes::from_static(b"\xff"));
    world.tails.of(world.shard).publish([recorded]);
    world.hub.moved(world.shard, NOW);
    assert_eq!(world.hub.effects(), []);
}

#[test]
fn an_owner_that_stays_silent_is_not_waited_for_ever() {
    let mut world = World::new();
    world.step(&Step::Subscribe { live: false });
    let mut asked = 0;
    while !world.asked.is_empty() && asked < 100 {
        world.step(&Step::OwnerIsSilent);
        asked += 1;
    }
    world.readers[0].read(&world.truth);
    assert!(world.readers[0].refused);
    assert_eq!((asked, world.hub.channels()), (5, 0));
}

#[test]
fn an_order_that_was_never_placed_is_as_if_absent() {
    let mut world = World::new();
    world.step(&Step::Subscribe { live: false });
    let (turn, _) = world.asked.pop_front().unwrap();
    let nothing = Held {
        state: Order::default(),
        sequence: Sequence(0),
    };
    let channel = Channel::Order(world.id);
    world
        .hub
        .answered(&channel, turn, Ok(Answer::Order(nothing)), NOW);
    world.readers[0].read(&world.truth);
    assert!(world.readers[0].refused);
    assert_eq!(world.hub.channels(), 0);
}

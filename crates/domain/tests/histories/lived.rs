//! An entity without an actor: it decides, applies, and can be read again.

use globalshop_domain::Millis;
use globalshop_domain::entity::{Entity, replay};

/// An entity and everything that has happened to it.
pub struct Lived<E: Entity> {
    pub state: E,
    pub events: Vec<E::Event>,
}

impl<E: Entity> Default for Lived<E> {
    fn default() -> Self {
        Self {
            state: E::default(),
            events: vec![],
        }
    }
}

impl<E: Entity> Lived<E> {
    /// Asks, and applies what is decided.
    pub fn ask(&mut self, command: &E::Command, now: Millis) -> Result<Vec<E::Event>, E::Refusal> {
        let events = self.state.decide(command, now)?;
        for event in &events {
            self.state.apply(event);
        }
        self.events.extend(events.iter().cloned());
        Ok(events)
    }

    /// Forgets everything and reads it again.
    pub fn replay(&mut self) {
        let stored = serde_json::to_vec(&self.events).unwrap();
        let events: Vec<E::Event> = serde_json::from_slice(&stored).unwrap();
        let state: E = replay(&events);
        assert_eq!(state, self.state, "a replay gives another state");
        let snapshot: E = serde_json::from_slice(&serde_json::to_vec(&state).unwrap()).unwrap();
        assert_eq!(snapshot, self.state, "a snapshot gives another state");
        self.state = snapshot;
    }
}

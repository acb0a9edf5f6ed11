//! What nodes say to one another: each command is looked at under the epoch it was sent to, while its sender
//! waits, and once.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::{Auditor, broken};
use crate::cluster::wire::{Envelope, Outcome};
use crate::journal::Epoch;

/// Timers and deadlines go by milliseconds, and are rounded up.
const ROUNDED: Duration = Duration::from_millis(2);

/// What has come to which node.
#[derive(Default)]
pub(super) struct MessageBook {
    /// The newest message of each question that the node looked at.
    newest: BTreeMap<(usize, Uuid), u32>,
}

/// A message that has come to a node.
#[derive(Debug)]
pub struct Arrival<'a> {
    /// Which node.
    pub to: usize,
    /// The message.
    pub envelope: &'a Envelope,
    /// Under which epoch the node held its shard.
    held: Option<Epoch>,
    sent: Instant,
    /// Whether its sender waited then.
    in_time: bool,
    /// Whether neither it nor a later one of its question had come.
    first: bool,
}

impl Auditor {
    /// A node sends a message. `before`: the message of the same question before this one, with its number;
    /// `there`: what the boot clock of the receiver shows.
    pub fn sent(&self, envelope: &Envelope, before: Option<(Uuid, u32)>, there: Option<Duration>) {
        let (entity, limit) = (&envelope.entity, envelope.patience() + ROUNDED);
        let checked = match (before, there, envelope.deadline()) {
            (Some((name, _)), ..) if name != envelope.trace => broken(
                "I4",
                format!(
                    "a question to {entity} has another name in its message {}",
                    envelope.attempt
                ),
            ),
            (Some((_, number)), ..) if number >= envelope.attempt => broken(
                "I4",
                format!(
                    "message {} of a question to {entity} follows message {number}",
                    envelope.attempt
                ),
            ),
            (_, Some(there), Some(deadline)) if deadline > there + limit => broken(
                "I4",
                format!(
                    "a message to {entity} may be looked at {:?} after its sender has stopped waiting",
                    deadline.saturating_sub(there + limit)
                ),
            ),
            _ => Ok(()),
        };
        self.judge(checked);
    }

    /// A message that was sent then has come to node `to`, which holds its shard under this epoch and whose
    /// boot clock shows `boot`.
    pub fn arrived<'a>(
        &self,
        to: usize,
        envelope: &'a Envelope,
        sent: Instant,
        held: Option<Epoch>,
        boot: Duration,
    ) -> Arrival<'a> {
        let mut messages = self.messages();
        let question = (to, envelope.trace);
        let newest = messages.newest.get(&question).copied();
        let first = newest.is_none_or(|newest| newest < envelope.attempt);
        // What is not looked at does not keep an earlier message from being looked at.
        let looks = held == Some(envelope.epoch) && envelope.deadline().is_some_and(|until| until > boot);
        if envelope.is_command() && looks && first {
            messages.newest.insert(question, envelope.attempt);
        }
        Arrival {
            to,
            envelope,
            held,
            sent,
            in_time: sent.elapsed() < envelope.patience() + ROUNDED,
            first,
        }
    }

    /// A node has answered a message this moment.
    pub fn returned(&self, arrival: &Arrival<'_>, outcome: &Outcome) {
        let Arrival {
            to, envelope, held, ..
        } = arrival;
        if !outcome.was_decided() {
            return;
        }
        if *held != Some(envelope.epoch) {
            let held = held.map_or(0, |epoch| epoch.0);
            return self.judge(broken(
                "I5",
                format!(
                    "n{to} holds shard {} at epoch {held} and decided for {} what was sent to epoch {}",
                    envelope.shard, envelope.entity, envelope.epoch
                ),
            ));
        }
        if !envelope.is_command() {
            return;
        }
        let wrong = if envelope.deadline().is_none() {
            "a command that does not say how long its sender waits"
        } else if !arrival.in_time {
            "what came after its sender had stopped waiting"
        } else if !arrival.first {
            "what came after it, or a later message of its question, had come"
        } else if arrival.sent.elapsed() > envelope.patience() + ROUNDED {
            "a command after its sender had stopped waiting"
        } else {
            return;
        };
        self.judge(broken(
            "I4",
            format!("n{to} decided for {} {wrong}", envelope.entity),
        ));
    }
}

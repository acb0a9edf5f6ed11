//! How far one reader has come in one shard: what its lane, the saver and the figures share.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering::Relaxed};

use super::book::Move;
use crate::domain::Shard;
use crate::journal::{Epoch, Position};

/// The progress of one reader in one shard.
#[derive(Debug, Default)]
pub(super) struct Course {
    watermark: AtomicI64,
    saved: AtomicI64,
    epoch: AtomicI64,
    open: AtomicUsize,
    fenced: AtomicBool,
}

impl Course {
    /// A lane starts here under `epoch`, at what is kept or what this process knows to be further.
    /// Says where.
    pub fn start(&self, epoch: Epoch, kept: Position) -> Position {
        let start = kept.0.max(self.watermark.load(Relaxed));
        self.epoch.store(epoch.0, Relaxed);
        self.saved.store(kept.0, Relaxed);
        self.watermark.store(start, Relaxed);
        self.open.store(0, Relaxed);
        self.fenced.store(false, Relaxed);
        Position(start)
    }

    /// A view says where it is; nobody knows better.
    pub fn restart(&self, position: Position) {
        self.watermark.store(position.0, Relaxed);
    }

    /// Everything through here is settled, and so many events are not. Says whether that moved.
    pub fn reach(&self, watermark: Position, open: usize) -> bool {
        self.open.store(open, Relaxed);
        self.watermark.swap(watermark.0, Relaxed) < watermark.0
    }

    pub fn watermark(&self) -> Position {
        Position(self.watermark.load(Relaxed))
    }

    pub fn open(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// What is to be saved, if anything.
    pub fn unsaved(&self, consumer: &'static str, shard: Shard) -> Option<Move> {
        let (from, to) = (self.saved.load(Relaxed), self.watermark.load(Relaxed));
        (to > from && !self.is_fenced()).then(|| Move {
            consumer,
            shard,
            epoch: Epoch(self.epoch.load(Relaxed)),
            to: Position(to),
        })
    }

    /// A move is kept.
    pub fn kept(&self, moved: &Move) {
        if self.epoch.load(Relaxed) == moved.epoch.0 {
            self.saved.store(moved.to.0, Relaxed);
        }
    }

    /// Somebody holds the shard under a newer epoch.
    pub fn fence(&self, epoch: Epoch) {
        if self.epoch.load(Relaxed) == epoch.0 {
            self.fenced.store(true, Relaxed);
        }
    }

    pub fn is_fenced(&self) -> bool {
        self.fenced.load(Relaxed)
    }
}

//! All products in one row, for lists: scanned without a lock while the next state is prepared.
//!
//! A persistent vector of two levels: changing a card copies one chunk of pointers and the row of
//! chunks, never the cards.

use std::sync::Arc;

use super::card::Card;

const CHUNK: usize = 256;

/// Product cards by slot. A product keeps its slot as long as the node runs.
#[derive(Clone, Debug, Default)]
pub(super) struct Shelf {
    chunks: Vec<Arc<Vec<Arc<Card>>>>,
}

impl Shelf {
    /// Puts a card into the next free slot.
    pub(super) fn push(&mut self, card: Arc<Card>) -> u32 {
        let slot = self.len();
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK => Arc::make_mut(last).push(card),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(card);
                self.chunks.push(Arc::new(chunk));
            }
        }
        u32::try_from(slot).unwrap_or(u32::MAX)
    }

    /// Replaces the card in a slot.
    pub(super) fn set(&mut self, slot: u32, card: Arc<Card>) {
        let slot = slot as usize;
        if let Some(place) = self
            .chunks
            .get_mut(slot / CHUNK)
            .and_then(|chunk| Arc::make_mut(chunk).get_mut(slot % CHUNK))
        {
            *place = card;
        }
    }

    /// The card in a slot.
    pub(super) fn get(&self, slot: u32) -> Option<&Arc<Card>> {
        let slot = slot as usize;
        self.chunks.get(slot / CHUNK)?.get(slot % CHUNK)
    }

    /// Every card with its slot.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Arc<Card>)> {
        (0_u32..).zip(self.chunks.iter().flat_map(|chunk| chunk.iter()))
    }

    /// How many products there are.
    pub(super) fn len(&self) -> usize {
        match self.chunks.split_last() {
            Some((last, full)) => full.len() * CHUNK + last.len(),
            None => 0,
        }
    }
}

//! The words of the catalogue, each kept once: attribute names, their values, brands, categories.
//!
//! Products say the same few thousand words over and over. A card keeps four bytes a word and eight
//! a fact; spelling differs by case between makers ("black", "Black"), so words that differ only in
//! that are one, shown as it was first seen.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use crate::domain::product::{Attribute, Details};

/// Longer texts are prose: found by searching, not by filtering.
const TEXT_LIMIT: usize = 96;

/// Words, numbered in the order in which they were first seen. Never forgets one: a restart does.
#[derive(Debug, Default)]
pub(super) struct Words {
    letters: String,
    ends: Vec<u32>,
    ids: HashMap<u64, u32>,
    hasher: RandomState,
}

impl Words {
    /// The number of a word, a new one if need be.
    pub(super) fn add(&mut self, word: &str) -> u32 {
        match self.seek(word) {
            Ok(id) => id,
            Err(free) => {
                let id = u32::try_from(self.ends.len()).unwrap_or(u32::MAX);
                self.letters.push_str(word);
                self.ends
                    .push(u32::try_from(self.letters.len()).unwrap_or(u32::MAX));
                self.ids.insert(free, id);
                id
            }
        }
    }

    /// The number of a word that was seen.
    pub(super) fn find(&self, word: &str) -> Option<u32> {
        self.seek(word).ok()
    }

    /// The word with this number; empty if there is none.
    pub(super) fn word(&self, id: u32) -> &str {
        let at = id as usize;
        let start = match at.checked_sub(1) {
            Some(before) => self.ends.get(before).copied().unwrap_or(0),
            None => 0,
        };
        let end = self.ends.get(at).copied().unwrap_or(start);
        self.letters.get(start as usize..end as usize).unwrap_or_default()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes they take, roughly.
    pub(super) fn bytes(&self) -> usize {
        self.letters.capacity() + self.ends.capacity() * 4 + self.ids.capacity() * 18
    }

    /// Where a word is, or under which hash it can be put.
    fn seek(&self, word: &str) -> Result<u32, u64> {
        let mut hasher = self.hasher.build_hasher();
        for letter in folded(word) {
            hasher.write_u32(u32::from(letter));
        }
        let mut hash = hasher.finish();
        while let Some(&id) = self.ids.get(&hash) {
            if folded(self.word(id)).eq(folded(word)) {
                return Ok(id);
            }
            hash = hash.wrapping_add(1);
        }
        Err(hash)
    }
}

fn folded(word: &str) -> impl Iterator<Item = char> + '_ {
    word.chars().flat_map(char::to_lowercase)
}

/// One attribute of a product in eight bytes: which, and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fact {
    pub(super) name: u32,
    value: u32,
}

/// The value of a [`Fact`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    Text(u32),
    Number(u32),
    Flag(bool),
}

const NUMBER: u32 = 1 << 31;
const FLAG: u32 = 1 << 30;
const BITS: u32 = FLAG - 1;

impl Fact {
    const fn new(name: u32, value: Value) -> Self {
        let value = match value {
            Value::Text(id) => id & BITS,
            Value::Number(id) => NUMBER | (id & BITS),
            Value::Flag(yes) => FLAG | yes as u32,
        };
        Self { name, value }
    }

    pub(super) const fn value(self) -> Value {
        let id = self.value & BITS;
        if self.value & NUMBER != 0 {
            Value::Number(id)
        } else if self.value & FLAG != 0 {
            Value::Flag(id != 0)
        } else {
            Value::Text(id)
        }
    }
}

/// Everything that is numbered.
#[derive(Debug, Default)]
pub(super) struct Vocabulary {
    pub(super) names: Words,
    pub(super) texts: Words,
    pub(super) brands: Words,
    pub(super) categories: Words,
    numbers: Vec<f64>,
    number_ids: HashMap<u64, u32>,
}

impl Vocabulary {
    /// The facts of a product and its variants, ordered by attribute.
    pub(super) fn facts(&mut self, details: &Details) -> Vec<Fact> {
        let mut facts = Vec::with_capacity(details.attributes.len());
        for (name, value) in &details.attributes {
            let name = self.names.add(attribute_name(name));
            match value {
                Attribute::Flag(yes) => facts.push(Fact::new(name, Value::Flag(*yes))),
                Attribute::Number(number) => {
                    let number = self.number(*number);
                    facts.push(Fact::new(name, Value::Number(number)));
                }
                Attribute::Text(text) => self.text(name, text, &mut facts),
                Attribute::Texts(texts) => {
                    for text in texts {
                        self.text(name, text, &mut facts);
                    }
                }
            }
        }
        for (name, text) in details.variants.iter().flat_map(|variant| &variant.options) {
            let name = self.names.add(attribute_name(name));
            self.text(name, text, &mut facts);
        }
        facts.sort_unstable();
        facts.dedup();
        facts
    }

    fn text(&mut self, name: u32, text: &str, facts: &mut Vec<Fact>) {
        let text = text.trim();
        if !text.is_empty() && text.len() <= TEXT_LIMIT {
            facts.push(Fact::new(name, Value::Text(self.texts.add(text))));
        }
    }

    fn number(&mut self, number: f64) -> u32 {
        // Zero has two bit patterns.
        let number = if number == 0.0 { 0.0 } else { number };
        let numbers = &mut self.numbers;
        *self.number_ids.entry(number.to_bits()).or_insert_with(|| {
            numbers.push(number);
            u32::try_from(numbers.len() - 1).unwrap_or(u32::MAX)
        })
    }

    /// The number with this id.
    pub(super) fn number_of(&self, id: u32) -> f64 {
        self.numbers.get(id as usize).copied().unwrap_or(f64::NAN)
    }

    /// Bytes the vocabulary takes, roughly.
    pub(super) fn bytes(&self) -> usize {
        let words = [&self.names, &self.texts, &self.brands, &self.categories];
        words.iter().map(|words| words.bytes()).sum::<usize>()
            + self.numbers.capacity() * 8
            + self.number_ids.capacity() * 18
    }
}

/// An attribute's name without the type prefix that Icecat files give it (`attr_n_display_diagonal`).
pub fn attribute_name(name: &str) -> &str {
    let typed = ["attr_t_", "attr_n_", "attr_b_"];
    typed
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_that_differ_in_case_are_one() {
        let mut words = Words::default();
        let black = words.add("Black");
        assert_eq!(words.add("BLACK"), black);
        assert_ne!(words.add("Blue"), black);
        assert_eq!(words.word(black), "Black");
        assert_eq!(words.find("black"), Some(black));
        assert_eq!(words.find("green"), None);
        assert_eq!(words.word(99), "");
    }

    proptest! {
        #[test]
        fn words_and_facts_come_back(texts in proptest::collection::vec(".{0,12}", 1..40), name in 0_u32..99) {
            let mut words = Words::default();
            let ids: Vec<u32> = texts.iter().map(|text| words.add(text)).collect();
            for (text, id) in texts.iter().zip(ids) {
                prop_assert!(folded(words.word(id)).eq(folded(text)));
                for value in [Value::Text(id), Value::Number(id), Value::Flag(id % 2 == 0)] {
                    prop_assert_eq!(Fact::new(name, value).value(), value);
                }
            }
        }
    }
}

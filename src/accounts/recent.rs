//! A bounded map that keeps what was used lately.
//!
//! Two generations: what is looked up moves to the young one, and when that is full it becomes the
//! old one and the old one goes. Every operation is a constant number of hash look-ups, and nothing
//! needs to be swept.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

#[derive(Debug)]
pub(super) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half: usize,
}

impl<K: Hash + Eq, V> Recent<K, V> {
    /// Keeps at most `max` entries, and at least the `max / 2` used last.
    pub(super) fn new(max: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            half: (max / 2).max(1),
        }
    }

    pub(super) fn get<Q>(&mut self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if !self.young.contains_key(key) {
            let (key, value) = self.old.remove_entry(key)?;
            self.insert(key, value);
        }
        self.young.get(key)
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        self.old.remove(&key);
        if self.young.len() >= self.half && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    pub(super) fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.young.remove(key).or_else(|| self.old.remove(key))
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_goes() {
        let mut recent = Recent::new(10);
        recent.insert(0, "kept");
        for key in 1..1_000 {
            recent.insert(key, "passing");
            assert_eq!(recent.get(&0), Some(&"kept"));
            assert!(recent.len() <= 10);
        }
        assert_eq!(recent.get(&1), None);
        assert_eq!(recent.remove(&0), Some("kept"));
        assert_eq!(recent.get(&0), None);
    }

    #[test]
    fn an_entry_has_one_value_across_generations() {
        let mut recent = Recent::new(4);
        recent.insert(1, "before");
        recent.insert(2, "");
        recent.insert(3, "");
        recent.insert(1, "after");
        assert_eq!(recent.remove(&1), Some("after"));
        assert_eq!(recent.get(&1), None);
    }
}

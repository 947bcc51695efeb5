//! Remembers which word a term id came from, within a bound.
//!
//! Two generations: words are learned into the young one, and when that is full it becomes the old
//! one and the old one is forgotten. A word in use is found in the old one and copied back, so it
//! survives. Callers on many threads share one lock, taken twice a batch.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::{PoisonError, RwLock},
};

use super::counter::Counter;
use crate::{id::TermId, sparse::SparseVector};

type Words = HashMap<TermId, Box<str>, BuildHasherDefault<Spread>>;

#[derive(Debug)]
pub(in crate::encode) struct Vocabulary {
    generations: RwLock<Generations>,
    /// Words of one generation; a batch may go over it once.
    limit: usize,
}

#[derive(Debug, Default)]
struct Generations {
    young: Words,
    old: Words,
}

/// Learns the words of one batch; what it learned is known to all when it is dropped.
#[derive(Debug)]
pub(in crate::encode) struct Learner<'a> {
    vocabulary: &'a Vocabulary,
    new: Words,
}

impl Vocabulary {
    /// Remembers about `limit` words, at least the latest batch's.
    pub(in crate::encode) fn with_limit(limit: usize) -> Vocabulary {
        Vocabulary {
            generations: RwLock::default(),
            limit: limit / 2,
        }
    }

    pub(in crate::encode) fn word(&self, term: TermId) -> Option<String> {
        let generations = self
            .generations
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let word = generations
            .young
            .get(&term)
            .or_else(|| generations.old.get(&term));
        word.map(|word| word.to_string())
    }

    pub(in crate::encode) fn learner(&self) -> Learner<'_> {
        Learner {
            vocabulary: self,
            new: Words::default(),
        }
    }

    fn merge(&self, new: Words) {
        // A panic cannot leave the maps in a state that would mislead: a poisoned lock is fine.
        let mut generations = self
            .generations
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if generations.young.len() + new.len() > self.limit {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.extend(new);
    }
}

impl Learner<'_> {
    /// Learns those words of `counter` that are terms of `vector`.
    pub(super) fn learn(&mut self, vector: &SparseVector, counter: &Counter) {
        let generations = &self.vocabulary.generations;
        let known = generations.read().unwrap_or_else(PoisonError::into_inner);
        let mut kept = vector.terms().iter().peekable();
        for (term, word) in counter.words() {
            if kept.peek() != Some(&&term) {
                continue;
            }
            kept.next();
            if !known.young.contains_key(&term) && !self.new.contains_key(&term) {
                self.new.insert(term, word.into());
            }
        }
    }
}

impl Learner<'_> {
    /// Learns one word.
    pub(in crate::encode) fn learn_word(&mut self, term: TermId, word: &str) {
        self.new.entry(term).or_insert_with(|| word.into());
    }
}

impl Drop for Learner<'_> {
    fn drop(&mut self) {
        if !self.new.is_empty() {
            self.vocabulary.merge(std::mem::take(&mut self.new));
        }
    }
}

/// Term ids are hashes already: one multiplication spreads them over the bits that a map looks at.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::counter::term_of, *};

    fn see(vocabulary: &Vocabulary, words: &[String]) {
        let mut counter = Counter::default();
        for word in words {
            counter.add(word, 1.0);
        }
        let vector = counter.vector(|_| 1.0).unwrap();
        vocabulary.learner().learn(&vector, &counter);
    }

    fn batch(range: std::ops::Range<u32>) -> Vec<String> {
        range.map(|number| format!("w{number}")).collect()
    }

    #[test]
    fn the_latest_batch_is_always_known() {
        let vocabulary = Vocabulary::with_limit(100);
        for start in [0, 10, 500, 2000] {
            let words = batch(start..start + start.max(10));
            see(&vocabulary, &words);
            for word in &words {
                assert_eq!(vocabulary.word(term_of(word)).as_ref(), Some(word));
            }
        }
    }

    #[test]
    fn memory_is_bounded_and_words_in_use_stay() {
        let vocabulary = Vocabulary::with_limit(100);
        let kept = "kept".to_owned();
        for start in (0..10_000).step_by(10) {
            let mut words = batch(start..start + 10);
            words.push(kept.clone());
            see(&vocabulary, &words);
            assert_eq!(vocabulary.word(term_of("kept")).as_ref(), Some(&kept));
        }
        let generations = vocabulary.generations.read().unwrap();
        assert!(generations.young.len() + generations.old.len() <= 100);
        drop(generations);
        assert_eq!(vocabulary.word(term_of("w0")), None);
    }

    #[test]
    fn terms_left_out_of_the_vector_are_not_learned() {
        let vocabulary = Vocabulary::with_limit(100);
        let mut counter = Counter::default();
        counter.add("heavy", 2.0);
        counter.add("light", 1.0);
        let vector = counter
            .vector(|count| f32::from(u8::from(count > 1.0)))
            .unwrap();
        vocabulary.learner().learn(&vector, &counter);
        assert!(vocabulary.word(term_of("heavy")).is_some());
        assert!(vocabulary.word(term_of("light")).is_none());
    }
}

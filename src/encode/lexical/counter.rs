//! Counts the words of one text: a small hash table over the ids, cleared and used again.

use std::hash::{BuildHasher, RandomState};

use crate::{error::Result, id::TermId, sparse::SparseVector};

/// Distinct words counted of one text; later ones only add to its length. Bounds memory, and keeps
/// the table in the processor's cache, for a text of 100 MB of noise; an index keeps a quarter as
/// many terms of a document anyway.
const WORDS_MAX: usize = 1 << 18;

/// Slots of an empty table; a power of two.
const SLOTS_MIN: usize = 512;

/// A term, so that a probe past it reads no entry, and its position in the entries.
type Slot = (TermId, u32);

const NOWHERE: u32 = u32::MAX;

/// The id of `word`: FNV-1a of 64 bits, mixed, and scaled to `u32::MAX` values. The same on every
/// machine and for ever: indexes hold these ids.
pub(in crate::encode) fn term_of(word: &str) -> TermId {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in word.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    // FNV leaves the high bits of short words poor; this is the finalizer of MurmurHash3.
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^= hash >> 33;
    // A number of 32 bits times u32::MAX, without its lower 32 bits: fits.
    let id = (((hash >> 32) * u64::from(u32::MAX)) >> 32) as u32;
    TermId::from(id)
}

fn empty() -> Slot {
    (TermId::default(), NOWHERE)
}

#[derive(Debug)]
pub(super) struct Counter {
    entries: Vec<Entry>,
    /// By hash, at [`NOWHERE`] where there is none; a power of two of them.
    slots: Vec<Slot>,
    /// The words of the entries, one after the other.
    words: String,
    length: f64,
    /// Odd and unforeseeable, so that no text can be made to fall into few slots.
    spread: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    term: TermId,
    count: f32,
    word: u32,
    word_len: u32,
}

impl Default for Counter {
    fn default() -> Counter {
        Counter {
            entries: Vec::new(),
            slots: vec![empty(); SLOTS_MIN],
            words: String::new(),
            length: 0.0,
            spread: RandomState::new().hash_one(0) | 1,
        }
    }
}

impl Counter {
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.slots.clear();
        self.slots.resize(SLOTS_MIN, empty());
        self.words.clear();
        self.length = 0.0;
    }

    /// Counts one occurrence of `word` that counts `count`.
    pub(super) fn add(&mut self, word: &str, count: f32) {
        self.length += f64::from(count);
        let term = term_of(word);
        let mut slot = self.slot(term);
        loop {
            match self.slots[slot] {
                (_, NOWHERE) => break,
                (held, at) if held == term => {
                    self.entries[at as usize].count += count;
                    return;
                }
                _ => {}
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        self.insert(slot, term, word, count);
    }

    fn insert(&mut self, slot: usize, term: TermId, word: &str, count: f32) {
        // Words have under 400 bytes, so a full table's stay within u32.
        let (Ok(at), Ok(start), Ok(word_len)) = (
            u32::try_from(self.entries.len()),
            u32::try_from(self.words.len()),
            u32::try_from(word.len()),
        ) else {
            return;
        };
        if self.entries.len() >= WORDS_MAX {
            return;
        }
        self.slots[slot] = (term, at);
        self.words.push_str(word);
        self.entries.push(Entry {
            term,
            count,
            word: start,
            word_len,
        });
        if self.entries.len() * 2 > self.slots.len() {
            self.grow();
        }
    }

    fn grow(&mut self) {
        let slots = self.slots.len() * 4;
        self.slots.clear();
        self.slots.resize(slots, empty());
        for (at, entry) in (0_u32..).zip(&self.entries) {
            let mut slot = self.slot(entry.term);
            while self.slots[slot].1 != NOWHERE {
                slot = (slot + 1) & (slots - 1);
            }
            self.slots[slot] = (entry.term, at);
        }
    }

    fn slot(&self, term: TermId) -> usize {
        let mixed = u64::from(term.get()).wrapping_mul(self.spread) >> 32;
        // 32 bits, which `usize` has.
        let hash = mixed as usize;
        hash & (self.slots.len() - 1)
    }

    /// The sum of all that was counted.
    pub(super) fn length(&self) -> f64 {
        self.length
    }

    /// The counted words as a vector; a word whose weight is 0 is left out. Sorts the entries.
    pub(super) fn vector(&mut self, weigh: impl Fn(f64) -> f32) -> Result<SparseVector> {
        self.entries.sort_unstable_by_key(|entry| entry.term);
        // The slots point at where entries were.
        self.slots.clear();
        let mut terms = Vec::with_capacity(self.entries.len());
        let mut weights = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            let weight = weigh(f64::from(entry.count));
            if weight > 0.0 {
                terms.push(entry.term);
                weights.push(weight);
            }
        }
        SparseVector::from_sorted(terms, weights)
    }

    /// The counted words by rising term, after [`Counter::vector`].
    pub(super) fn words(&self) -> impl Iterator<Item = (TermId, &str)> {
        self.entries.iter().map(|entry| {
            let start = entry.word as usize;
            let word = &self.words[start..start + entry.word_len as usize];
            (entry.term, word)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids live in indexes: they may never change.
    #[test]
    fn ids_are_fixed() {
        let ids = ["", "lock", "東京"].map(|word| term_of(word).get());
        assert_eq!(ids, [4_023_394_143, 1_001_901_643, 3_070_281_064]);
    }

    #[test]
    fn counts_survive_growth() {
        let mut counter = Counter::default();
        for round in 1..=3_u16 {
            counter.clear();
            for _ in 0..round {
                for word in 0..5000 {
                    counter.add(&format!("w{word}"), 1.0);
                }
            }
            #[expect(clippy::cast_possible_truncation, reason = "small counts")]
            let vector = counter.vector(|count| count as f32).unwrap();
            // Ids of 5000 words: at most a few could be shared.
            assert_eq!(vector.len(), 5000);
            assert!(vector.weights().iter().all(|w| *w == f32::from(round)));
            assert_eq!(counter.length(), 5000.0 * f64::from(round));
            assert!(counter.words().all(|(term, word)| term_of(word) == term));
        }
    }

    #[test]
    fn distinct_words_are_bounded() {
        let mut counter = Counter::default();
        for word in 0..WORDS_MAX + 1000 {
            counter.add(&word.to_string(), 1.0);
        }
        assert!(counter.words().count() <= WORDS_MAX);
        assert!(counter.length() > 262_144.0);
    }
}

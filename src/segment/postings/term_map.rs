//! Terms to small numbers, for building: every posting asks, so it must cost a few nanoseconds.

use crate::id::TermId;

/// A map from term to `u32`: a table for small ids, beyond it a hash map with open addressing. Term
/// ids are not chosen by an adversary who gains anything from collisions: the worst they cause is a
/// slow build of their own documents.
#[derive(Debug, Default)]
pub(crate) struct TermMap {
    /// Values of small ids; [`EMPTY`] marks those that were not set.
    low: Vec<u32>,
    /// Terms and values of others, at a power of two of places; [`EMPTY`] marks a free one.
    slots: Vec<(u32, u32)>,
    /// How many of the slots are not free.
    filled: usize,
    len: usize,
}

/// Ids below this are small: what vocabularies of models have, in a table of half a megabyte.
const LOW: u32 = 1 << 17;

/// No value: values are counts and positions below this.
const EMPTY: u32 = u32::MAX;

impl TermMap {
    /// The value of `term`, if it was set.
    #[inline]
    pub(crate) fn get(&self, term: TermId) -> Option<u32> {
        if term.get() < LOW {
            let value = self.low.get(term.get() as usize).copied();
            return value.filter(|&value| value != EMPTY);
        }
        if self.slots.is_empty() {
            return None;
        }
        let (_, value) = self.slots[self.place(term)];
        (value != EMPTY).then_some(value)
    }

    /// The value of `term`, which becomes 0 when it was not set.
    #[inline]
    pub(crate) fn entry(&mut self, term: TermId) -> &mut u32 {
        if term.get() < LOW {
            let at = term.get() as usize;
            if at >= self.low.len() {
                self.low.resize((at + 1).next_power_of_two(), EMPTY);
            }
            if self.low[at] == EMPTY {
                self.low[at] = 0;
                self.len += 1;
            }
            return &mut self.low[at];
        }
        if (self.filled + 1) * 2 > self.slots.len() {
            self.grow();
        }
        let place = self.place(term);
        if self.slots[place].1 == EMPTY {
            self.slots[place] = (term.get(), 0);
            self.filled += 1;
            self.len += 1;
        }
        &mut self.slots[place].1
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// All terms and values, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (TermId, u32)> + '_ {
        let low = (0..).zip(self.low.iter().copied());
        let all = low.chain(self.slots.iter().copied());
        all.filter(|slot| slot.1 != EMPTY)
            .map(|(term, value)| (TermId::from(term), value))
    }

    fn place(&self, term: TermId) -> usize {
        let mask = self.slots.len() - 1;
        let hash = u64::from(term.get()).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let mut place = usize::try_from(hash).unwrap_or(0) & mask;
        while self.slots[place].1 != EMPTY && self.slots[place].0 != term.get() {
            place = (place + 1) & mask;
        }
        place
    }

    fn grow(&mut self) {
        let larger = vec![(0, EMPTY); (self.slots.len() * 2).max(1024)];
        let old = std::mem::replace(&mut self.slots, larger);
        for (term, value) in old.into_iter().filter(|slot| slot.1 != EMPTY) {
            let place = self.place(TermId::from(term));
            self.slots[place] = (term, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_was_put_in() {
        let mut map = TermMap::default();
        assert_eq!(map.get(TermId::from(3)), None);
        for term in (0..5000_u32).map(|at| at.wrapping_mul(2_654_435_761)) {
            *map.entry(TermId::from(term)) += 1;
            *map.entry(TermId::from(term)) += term & 0xFF;
        }
        assert_eq!(map.len(), 5000);
        for term in (0..5000_u32).map(|at| at.wrapping_mul(2_654_435_761)) {
            assert_eq!(map.get(TermId::from(term)), Some(1 + (term & 0xFF)));
        }
        for term in [1, 70_000, LOW - 1, LOW, LOW + 1] {
            assert_eq!(map.get(TermId::from(term)), None);
        }
        assert_eq!(map.iter().count(), 5000);
        assert_eq!(map.get(TermId::from(12)), None);
        for term in (0..300_000_u32).step_by(3) {
            *map.entry(TermId::from(term)) = term;
        }
        assert!((0..300_000).all(|term| {
            map.get(TermId::from(term))
                .filter(|_| term > 0 && term % 3 == 0)
                == (term > 0 && term % 3 == 0).then_some(term)
        }));
        assert_eq!(map.iter().count(), map.len());
    }
}

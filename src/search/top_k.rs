//! The best `k` of a segment, and the threshold below which nothing matters any more.
//!
//! The order of results is total: score falling, then rank (the position of the key among the
//! segment's sorted keys) rising. So the same documents win whatever order a kernel visits them in.

use crate::id::DocId;

/// A result inside one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) doc: DocId,
    pub(crate) score: u32,
    pub(crate) rank: u32,
}

/// Collects the best `k` documents. A binary heap with the worst on top; it grows with what is
/// found, never with `k`.
#[derive(Debug, Default)]
pub(crate) struct TopK {
    k: usize,
    floor: u32,
    heap: Vec<Entry>,
}

/// Ordered so that a larger key is a better result.
#[derive(Clone, Copy, Debug)]
struct Entry {
    key: u64,
    doc: DocId,
}

impl Entry {
    fn new(score: u32, rank: u32, doc: DocId) -> Entry {
        let key = u64::from(score) << 32 | u64::from(!rank);
        Entry { key, doc }
    }

    fn score(self) -> u32 {
        u32::try_from(self.key >> 32).unwrap_or(u32::MAX)
    }

    fn found(self) -> Found {
        Found {
            doc: self.doc,
            score: self.score(),
            rank: !u32::try_from(self.key & u64::from(u32::MAX)).unwrap_or(0),
        }
    }
}

impl TopK {
    /// Collects `k` documents of at least `floor`: the caller's minimum, or the `k`-th best score
    /// of other segments. Documents without any shared term never count.
    #[cfg(test)]
    pub(crate) fn new(k: usize, floor: u32) -> TopK {
        TopK {
            k,
            floor: floor.max(1),
            heap: Vec::new(),
        }
    }

    /// Starts anew and keeps the memory.
    pub(crate) fn reset(&mut self, k: usize, floor: u32) {
        self.k = k;
        self.floor = floor.max(1);
        self.heap.clear();
    }

    pub(crate) fn k(&self) -> usize {
        self.k
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// What a document must reach to matter; one that just reaches it may still win by rank.
    pub(crate) fn threshold(&self) -> u32 {
        match self.heap.first() {
            Some(worst) if self.heap.len() == self.k => worst.score().max(self.floor),
            _ => self.floor,
        }
    }

    /// Offers a document, at most once each.
    pub(crate) fn push(&mut self, score: u32, rank: u32, doc: DocId) {
        let entry = Entry::new(score, rank, doc);
        if score < self.floor || self.k == 0 {
            return;
        }
        if self.heap.len() < self.k {
            self.heap.push(entry);
            self.rise(self.heap.len() - 1);
        } else if entry.key > self.heap[0].key {
            self.heap[0] = entry;
            self.sink();
        }
    }

    /// The results so far, in no order.
    pub(crate) fn found(&self) -> impl Iterator<Item = Found> {
        self.heap.iter().map(|entry| entry.found())
    }

    /// The results, best first.
    #[cfg(test)]
    pub(crate) fn into_sorted(mut self) -> Vec<Found> {
        self.sort();
        self.heap.iter().map(|entry| entry.found()).collect()
    }

    /// The results, best first, into a buffer that is reused.
    pub(crate) fn drain_sorted(&mut self, into: &mut Vec<Found>) {
        self.sort();
        into.extend(self.heap.drain(..).map(Entry::found));
    }

    fn sort(&mut self) {
        self.heap
            .sort_unstable_by_key(|entry| std::cmp::Reverse(entry.key));
    }

    fn rise(&mut self, mut at: usize) {
        while at > 0 {
            let parent = (at - 1) / 2;
            if self.heap[parent].key <= self.heap[at].key {
                break;
            }
            self.heap.swap(parent, at);
            at = parent;
        }
    }

    fn sink(&mut self) {
        let mut at = 0;
        loop {
            let left = 2 * at + 1;
            let Some(mut least) = self.heap.get(left).map(|entry| (entry.key, left)) else {
                break;
            };
            if let Some(right) = self.heap.get(left + 1) {
                least = least.min((right.key, left + 1));
            }
            if self.heap[at].key <= least.0 {
                break;
            }
            self.heap.swap(at, least.1);
            at = least.1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_best_in_a_total_order() {
        for k in [0, 1, 2, 7, 100, 1000] {
            let mut offered: Vec<(u32, u32)> = (0..500_u32)
                .map(|doc| (doc.wrapping_mul(2_654_435_761) >> 28, doc * 7 % 500))
                .collect();
            let mut top = TopK::new(k, 3);
            for (doc, &(score, rank)) in (0..).zip(&offered) {
                top.push(score, rank, DocId(doc));
            }
            offered.retain(|&(score, _)| score >= 3);
            offered.sort_unstable_by_key(|&(score, rank)| (std::cmp::Reverse(score), rank));
            offered.truncate(k);
            let expected_threshold = match offered.last() {
                Some(last) if offered.len() == k => last.0,
                _ => 3,
            };
            assert_eq!(top.threshold(), expected_threshold);
            let got = top.into_sorted();
            let got: Vec<_> = got.iter().map(|found| (found.score, found.rank)).collect();
            assert_eq!(got, offered, "k = {k}");
        }
    }

    #[test]
    fn a_score_of_zero_is_no_result() {
        let mut top = TopK::new(3, 0);
        top.push(0, 0, DocId(0));
        assert_eq!(top.len(), 0);
    }
}

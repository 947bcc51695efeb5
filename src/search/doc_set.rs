//! The documents of a segment that a search may return: what filters let pass and deletes left.

use std::{borrow::Cow, ops::Range};

use crate::id::DocId;

/// A set of documents in the form that suits its size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DocSet<'a> {
    /// Every document of the segment.
    All,
    /// Bit `d % 64` of word `d / 64`, for document `d`. Missing words are zero, bits beyond the
    /// last document are ignored.
    Bits(Cow<'a, [u64]>),
    /// Few documents, by rising id, none twice.
    Few(Cow<'a, [DocId]>),
}

impl DocSet<'_> {
    pub(crate) fn contains(&self, doc: DocId) -> bool {
        match self {
            DocSet::All => true,
            DocSet::Bits(words) => words
                .get(doc.index() / 64)
                .is_some_and(|word| word >> (doc.0 % 64) & 1 == 1),
            DocSet::Few(docs) => docs.binary_search(&doc).is_ok(),
        }
    }

    /// How many of `0..doc_count` are in the set.
    #[cfg(test)]
    pub(crate) fn count(&self, doc_count: u32) -> u32 {
        match self {
            DocSet::All => doc_count,
            DocSet::Bits(_) => {
                let words = (0..doc_count.div_ceil(64)).map(|at| self.word(at, doc_count));
                words.map(u64::count_ones).sum()
            }
            DocSet::Few(docs) => {
                let inside = docs.partition_point(|doc| doc.0 < doc_count);
                u32::try_from(inside).unwrap_or(u32::MAX)
            }
        }
    }

    /// Which of the 64 documents from `first` on, a multiple of 64, are in the set.
    pub(super) fn group(&self, first: u32) -> u64 {
        match self {
            DocSet::All => u64::MAX,
            DocSet::Bits(words) => {
                let word = words.get(DocId(first).index() / 64);
                word.copied().unwrap_or(0)
            }
            DocSet::Few(docs) => {
                let from = docs.partition_point(|doc| doc.0 < first);
                let inside = docs.iter().skip(from).map(|doc| doc.0 - first);
                let inside = inside.take_while(|&place| place < 64);
                inside.fold(0, |group, place| group | 1 << place)
            }
        }
    }

    /// Whether any document of a range is in the set.
    pub(crate) fn any_in(&self, docs: Range<u32>) -> bool {
        match self {
            DocSet::All => !docs.is_empty(),
            DocSet::Bits(_) => {
                let first = docs.start / 64;
                let last = docs.end.div_ceil(64);
                (first..last).any(|at| {
                    let mut word = self.word(at, docs.end);
                    if at == first {
                        word &= u64::MAX << (docs.start % 64);
                    }
                    word != 0
                })
            }
            DocSet::Few(few) => {
                let at = few.partition_point(|doc| doc.0 < docs.start);
                few.get(at).is_some_and(|doc| doc.0 < docs.end)
            }
        }
    }

    /// Word `at` of a set of bits, without the bits from `end` on.
    fn word(&self, at: u32, end: u32) -> u64 {
        let DocSet::Bits(words) = self else {
            return 0;
        };
        let word = words.get(DocId(at).index()).copied().unwrap_or(0);
        match end.saturating_sub(at.saturating_mul(64)) {
            left @ 0..64 => word & !(u64::MAX << left),
            _ => word,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_agree() {
        let docs: Vec<u32> = vec![0, 1, 63, 64, 100, 127, 128, 190];
        let mut words = vec![0_u64; 4];
        for doc in &docs {
            words[DocId(*doc).index() / 64] |= 1 << (doc % 64);
        }
        // Beyond the last document.
        words[3] |= 1 << 60;
        let bits = DocSet::Bits(Cow::Owned(words));
        let few = DocSet::Few(docs.iter().copied().map(DocId).collect());
        for set in [&bits, &few] {
            assert_eq!(set.count(191), 8);
            assert_eq!(set.count(128), 6);
            for doc in 0..191 {
                assert_eq!(set.contains(DocId(doc)), docs.contains(&doc), "{doc}");
            }
            for start in 0..191 {
                for end in start..=191 {
                    let expected = docs.iter().any(|doc| (start..end).contains(doc));
                    assert_eq!(set.any_in(start..end), expected, "{start}..{end}");
                }
            }
        }
        assert_eq!(DocSet::All.count(7), 7);
        assert!(!DocSet::All.any_in(3..3));
    }
}

//! Which terms of a document stand in its own text, and how many documents have each of them.
//!
//! Where every document owns all of its terms the postings say it all and nothing is stored here.
//! Otherwise each document has a mask over the terms of its vector (none where it owns them all),
//! and a table counts the documents of each term.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    lists::Lists,
    part::{Part, index},
};
use crate::{
    error::Result,
    format::{FileView, SectionId},
    id::{DocId, TermId},
};

/// Terms by rising id, then as many counts.
pub(super) const COUNTS: SectionId = SectionId::required(61, "own term counts");
/// Masks, and where each begins.
pub(super) const MASKS: [SectionId; 2] = [
    SectionId::required(62, "own term masks"),
    SectionId::required(63, "own term mask starts"),
];

#[derive(Clone, Debug)]
pub(super) struct OwnTerms {
    counts: Part,
    masks: Lists,
    term_count: u32,
}

impl OwnTerms {
    pub(super) fn open(view: &Arc<FileView>, doc_count: u32) -> Result<Option<OwnTerms>> {
        let [masks, starts] = MASKS;
        let parts = Part::together(view, [COUNTS, masks, starts])?;
        let Some([counts, masks, starts]) = parts else {
            return Ok(None);
        };
        let masks = Lists::of([masks, starts], doc_count)?;
        let term_count = u32::try_from(counts.len() / 8).unwrap_or(u32::MAX);
        counts.check_len(8 * u64::from(term_count))?;
        counts.check(counts.len())?;
        Ok(Some(OwnTerms {
            counts,
            masks,
            term_count,
        }))
    }

    /// How many documents own `term`. In bounds by `open`, so that there is nothing to fail.
    pub(super) fn count(&self, term: TermId) -> u32 {
        let (numbers, _) = self.counts.bytes().as_chunks::<4>();
        let (terms, counts) = numbers.split_at(numbers.len() / 2);
        let at = terms.partition_point(|bytes| u32::from_le_bytes(*bytes) < term.get());
        match terms.get(at) {
            Some(bytes) if u32::from_le_bytes(*bytes) == term.get() => {
                counts.get(at).map_or(0, |bytes| u32::from_le_bytes(*bytes))
            }
            _ => 0,
        }
    }

    /// The mask of a document over `len` terms; `None` where it owns them all.
    pub(super) fn mask(&self, doc: DocId, len: usize) -> Result<Option<&[u8]>> {
        let mask = self.masks.bytes(doc)?;
        if mask.is_empty() {
            return Ok(None);
        }
        if mask.len() != len.div_ceil(8) {
            let reader = self.masks.reader(doc)?;
            let expected = format_args!("a mask over {len} terms");
            return Err(reader.corrupt(expected, format_args!("{} bytes", mask.len())));
        }
        Ok(Some(mask))
    }

    /// Compares the table with what the documents add up to.
    pub(super) fn verify(&self, counted: &BTreeMap<TermId, u32>, doc_count: u32) -> Result<()> {
        self.masks.verify(doc_count)?;
        let wrong = |at, found| {
            let expected = "the counts of the documents' own terms";
            Err(self.counts.corrupt(4 * index(at), expected, found))
        };
        if counted.len() != index(self.term_count) {
            return wrong(0, self.term_count);
        }
        for (at, (term, count)) in (0_u32..).zip(counted) {
            let stored = self.counts.u32(0, at)?;
            let stored_count = self.counts.u32(4 * u64::from(self.term_count), at)?;
            if stored != term.get() || stored_count != *count {
                return wrong(at, stored_count);
            }
        }
        Ok(())
    }
}

/// Which of the terms are the document's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Own {
    All,
    /// Bit `i % 8` of byte `i / 8` for the `i`-th term of the vector.
    Mask(Vec<u8>),
}

impl Own {
    /// Marks those of `terms` that are among `own`, both rising.
    pub(super) fn among(terms: &[TermId], own: &[TermId]) -> Own {
        let mut mask = vec![0_u8; terms.len().div_ceil(8)];
        let mut count = 0;
        for (at, term) in terms.iter().enumerate() {
            if own.binary_search(term).is_ok() {
                mask[at / 8] |= 1 << (at % 8);
                count += 1;
            }
        }
        match count == terms.len() {
            true => Own::All,
            false => Own::Mask(mask),
        }
    }

    /// Whether the `at`-th term is the document's own.
    pub(super) fn has(&self, at: usize) -> bool {
        match self {
            Own::All => true,
            Own::Mask(mask) => mask
                .get(at / 8)
                .is_some_and(|byte| byte >> (at % 8) & 1 == 1),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Own::All => &[],
            Own::Mask(mask) => mask,
        }
    }
}

/// The bytes of section [`COUNTS`].
pub(super) fn count_bytes(counts: &BTreeMap<TermId, u32>) -> Vec<u8> {
    let terms = counts.keys().flat_map(|term| term.get().to_le_bytes());
    let counts = counts.values().flat_map(|count| count.to_le_bytes());
    terms.chain(counts).collect()
}

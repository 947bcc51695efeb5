//! The heaviest terms of every document, as small numbers side by side: what ordering reads over
//! and over.

use crate::{
    error::Result,
    id::DocId,
    progress::Progress,
    quantize::ImpactVector,
    segment::{postings::term_map::TermMap, source::ImpactSource},
};

#[derive(Debug)]
pub(super) struct Copies {
    terms: Vec<u32>,
    starts: Vec<usize>,
    term_count: usize,
}

impl Copies {
    pub(super) fn new(
        source: &dyn ImpactSource,
        kept: usize,
        progress: &mut Progress<'_>,
    ) -> Result<Copies> {
        let mut numbers = TermMap::default();
        let mut copies = Copies {
            terms: Vec::new(),
            starts: vec![0],
            term_count: 0,
        };
        let mut vector = ImpactVector::default();
        let mut heaviest = Vec::new();
        for doc in 0..source.doc_count() {
            if doc.is_multiple_of(8192) {
                let total = u64::from(source.doc_count());
                progress.step("reading documents", u64::from(doc), total)?;
            }
            source.read(DocId(doc), &mut vector)?;
            heaviest.clear();
            heaviest.extend(vector.iter().map(|(term, impact)| (255 - impact, term)));
            if heaviest.len() > kept {
                heaviest.select_nth_unstable(kept);
                heaviest.truncate(kept);
                heaviest.sort_unstable();
            }
            for &(_, term) in &heaviest {
                let next = u32::try_from(numbers.len() + 1).unwrap_or(u32::MAX);
                let number = numbers.entry(term);
                if *number == 0 {
                    *number = next;
                }
                copies.terms.push(*number - 1);
            }
            copies.starts.push(copies.terms.len());
        }
        copies.term_count = numbers.len();
        Ok(copies)
    }

    pub(super) fn term_count(&self) -> usize {
        self.term_count
    }

    /// The terms of a document.
    pub(super) fn terms(&self, doc: u32) -> &[u32] {
        let at = doc as usize;
        &self.terms[self.starts[at]..self.starts[at + 1]]
    }
}

//! Where postings are built from: documents that can be read one by one, again and again.
//!
//! Building reads its source more than once (to count, to order, to write) instead of copying it,
//! so that memory does not grow with the postings.

use crate::{error::Result, id::DocId, quantize::ImpactVector};

/// Documents `0..doc_count` with their impacts.
pub(crate) trait ImpactSource: Sync {
    fn doc_count(&self) -> u32;

    /// Replaces `into` by the vector of `doc`: the same at every call. Terms strictly rise,
    /// impacts are at least 1, and there are at most
    /// [`DOCUMENT_TERMS_MAX`](crate::quantize::DOCUMENT_TERMS_MAX) of them.
    fn read(&self, doc: DocId, into: &mut ImpactVector) -> Result<()>;

    /// A number that all term ids are below.
    fn term_limit(&self) -> u64;

    /// Terms of all documents, or a little more.
    fn posting_estimate(&self) -> u64;
}

/// Vectors in memory.
impl ImpactSource for &[ImpactVector] {
    fn doc_count(&self) -> u32 {
        u32::try_from(self.len()).unwrap_or(u32::MAX)
    }

    fn read(&self, doc: DocId, into: &mut ImpactVector) -> Result<()> {
        into.clear();
        if let Some(vector) = self.get(doc.index()) {
            into.clone_from(vector);
        }
        Ok(())
    }

    fn term_limit(&self) -> u64 {
        let last = self.iter().filter_map(|vector| vector.terms.last());
        last.max().map_or(0, |term| u64::from(term.get()) + 1)
    }

    fn posting_estimate(&self) -> u64 {
        self.iter().map(|vector| vector.len() as u64).sum()
    }
}

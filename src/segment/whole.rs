//! Whole documents, read back as they were handed in: what an export writes.

use super::{
    Segment,
    document::{DocKey, Value},
    own_terms::Own,
    stored::{Record, StoredCursor},
};
use crate::{
    error::Result,
    id::{DocId, TermId},
    quantize::ImpactVector,
    sparse::SparseVector,
};

/// Everything that a segment keeps of a document.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Whole {
    pub(crate) key: DocKey,
    pub(crate) vector: ImpactVector,
    /// The encoder's own weights, where they are kept.
    pub(crate) weights: Option<Vec<f32>>,
    /// The terms that are its own, where they are not all of them.
    pub(crate) own_terms: Option<Vec<TermId>>,
    pub(crate) full_vector: Option<SparseVector>,
    pub(crate) text: Option<String>,
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) fields: Vec<(String, Value)>,
    /// What the segment knows of the meaning of its terms.
    pub(crate) labels: Vec<(TermId, String)>,
}

/// Reads the documents of one segment, fastest in the order of [`WholeReader::order`].
pub(crate) struct WholeReader<'a> {
    segment: &'a Segment,
    stored: Option<StoredCursor<'a>>,
}

impl<'a> WholeReader<'a> {
    pub(crate) fn new(segment: &'a Segment) -> Result<WholeReader<'a>> {
        let stored = segment.stored_records();
        Ok(WholeReader {
            segment,
            stored: stored.map(super::stored::Stored::cursor).transpose()?,
        })
    }

    /// `docs` as their texts lie in the file, so that each block is decompressed once. A damaged
    /// start comes last, for [`WholeReader::read`] to report.
    pub(crate) fn order(&self, docs: impl Iterator<Item = DocId>) -> Vec<DocId> {
        let stored = self.segment.stored_records();
        let start = |doc| match stored.map(|stored| stored.start(doc)) {
            None | Some(Ok(None)) => 0,
            Some(Ok(Some(start))) => start,
            Some(Err(_)) => u64::MAX,
        };
        let mut order: Vec<(u64, DocId)> = docs.map(|doc| (start(doc), doc)).collect();
        order.sort_unstable();
        order.into_iter().map(|(_, doc)| doc).collect()
    }

    pub(crate) fn read(&mut self, doc: DocId) -> Result<Whole> {
        let segment = self.segment;
        let mut vector = ImpactVector::default();
        segment.postings().read(doc, &mut vector)?;
        let mut weights = segment.has_weights().then(Vec::new);
        if let Some(weights) = &mut weights {
            segment.weights(doc, vector.len(), weights)?;
        }
        let full_vector = segment.full_vector(doc)?;
        let record = match &mut self.stored {
            Some(stored) => stored.read(doc)?,
            None => Record::default(),
        };
        let own_terms = match segment.own(doc, vector.len())? {
            Own::All => None,
            own => {
                let terms = vector.terms.iter().enumerate();
                let own = terms.filter(|(at, _)| own.has(*at));
                Some(own.map(|(_, term)| *term).collect())
            }
        };
        let mut terms = vector.terms.clone();
        terms.extend(full_vector.iter().flat_map(SparseVector::terms));
        terms.sort_unstable();
        terms.dedup();
        let mut labels = Vec::new();
        for term in terms {
            labels.extend(segment.label(term)?.map(|label| (term, label.to_owned())));
        }
        Ok(Whole {
            key: segment.key(doc)?,
            vector,
            weights,
            own_terms,
            full_vector,
            text: record.text,
            payload: record.payload,
            fields: segment.fields().values(doc)?,
            labels,
        })
    }
}

//! Fresh documents as a source of a segment.

use std::{borrow::Borrow, collections::BTreeMap};

use super::{
    build::{Documents, VisitKey, VisitStored, VisitValue},
    document::{Document, LABEL_LEN_MAX},
    fields::ValueRef,
    own_terms::Own,
    part::index,
    schema::Schema,
    source::ImpactSource,
    weights,
};
use crate::{
    error::Result,
    id::{DocId, TermId},
    quantize::{ImpactVector, Scale},
    sparse::SparseVector,
};

/// Checked documents of different keys.
pub(super) struct Fresh<'a, D> {
    documents: &'a [D],
    scale: Scale,
    schema: Schema,
}

impl<'a, D: Borrow<Document> + Sync> Fresh<'a, D> {
    pub(super) fn new(documents: &'a [D], scale: Scale) -> Result<Fresh<'a, D>> {
        let mut schema = Schema::new();
        for document in documents {
            schema.learn(document.borrow())?;
        }
        Ok(Fresh {
            documents,
            scale,
            schema,
        })
    }

    fn document(&self, doc: u32) -> &Document {
        self.documents[index(doc)].borrow()
    }

    fn iter(&self) -> impl Iterator<Item = &Document> {
        self.documents.iter().map(Borrow::borrow)
    }
}

impl<D: Borrow<Document> + Sync> ImpactSource for Fresh<'_, D> {
    fn doc_count(&self) -> u32 {
        u32::try_from(self.documents.len()).unwrap_or(u32::MAX)
    }

    fn read(&self, doc: DocId, into: &mut ImpactVector) -> Result<()> {
        into.clear();
        for (term, weight) in self.document(doc.0).vector.iter() {
            into.push(term, self.scale.impact(weight));
        }
        Ok(())
    }

    fn term_limit(&self) -> u64 {
        let last = self
            .iter()
            .filter_map(|document| document.vector.terms().last());
        last.max().map_or(0, |term| u64::from(term.get()) + 1)
    }

    fn posting_estimate(&self) -> u64 {
        self.iter()
            .map(|document| document.vector.len() as u64)
            .sum()
    }
}

impl<D: Borrow<Document> + Sync> Documents for Fresh<'_, D> {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn keys(&self, visit: &mut VisitKey<'_>) -> Result<()> {
        let mut order: Vec<u32> = (0..self.doc_count()).collect();
        order.sort_unstable_by_key(|&doc| self.document(doc).key.as_bytes());
        let mut keys = order.into_iter();
        keys.try_for_each(|doc| visit(self.document(doc).key.as_bytes(), doc))
    }

    fn values(&self, field: &str, visit: &mut VisitValue<'_>) -> Result<()> {
        for (doc, document) in (0..).zip(self.iter()) {
            if let Some(value) = document.value(field) {
                visit(doc, ValueRef::from(value));
            }
        }
        Ok(())
    }

    fn stored(&self, visit: &mut VisitStored<'_>) -> Result<()> {
        for (doc, document) in (0..).zip(self.iter()) {
            if document.text.is_some() || document.payload.is_some() {
                visit(doc, document.text.as_deref(), document.payload.as_deref())?;
            }
        }
        Ok(())
    }

    fn has_stored(&self) -> bool {
        self.iter()
            .any(|document| document.text.is_some() || document.payload.is_some())
    }

    fn full_vector(&self, doc: u32) -> Result<Option<SparseVector>> {
        Ok(self.document(doc).full_vector.clone())
    }

    fn weights(&self, doc: u32, into: &mut Vec<f32>) -> Result<()> {
        into.clear();
        into.extend_from_slice(self.document(doc).vector.weights());
        Ok(())
    }

    fn weight_over(&self) -> f32 {
        let all = self.iter().flat_map(|document| document.vector.weights());
        weights::most_over(all, self.scale)
    }

    fn has_full_vectors(&self) -> bool {
        self.iter().any(|document| document.full_vector.is_some())
    }

    fn own(&self, doc: u32, terms: &[TermId]) -> Result<Own> {
        Ok(match &self.document(doc).own_terms {
            None => Own::All,
            Some(own) => Own::among(terms, own),
        })
    }

    fn has_expansions(&self) -> bool {
        self.iter().any(|document| {
            let own = document.own_terms.as_ref();
            own.is_some_and(|own| Own::among(document.vector.terms(), own) != Own::All)
        })
    }

    fn labels(&self) -> Result<BTreeMap<TermId, String>> {
        let mut labels = BTreeMap::new();
        for (term, label) in self.iter().flat_map(|document| &document.labels) {
            labels.entry(*term).or_insert_with(|| cut(label).to_owned());
        }
        Ok(labels)
    }

    fn posting_count(&self) -> Result<u64> {
        Ok(self
            .iter()
            .map(|document| document.vector.len() as u64)
            .sum())
    }

    fn saturated_count(&self) -> u64 {
        let weights = self.iter().flat_map(|document| document.vector.weights());
        weights
            .filter(|weight| self.scale.saturates(**weight))
            .count() as u64
    }
}

/// A label within its limit, cut between characters.
fn cut(label: &str) -> &str {
    let mut end = label.len().min(LABEL_LEN_MAX);
    while !label.is_char_boundary(end) {
        end -= 1;
    }
    &label[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_cut_between_characters() {
        assert_eq!(cut("lock"), "lock");
        assert_eq!(cut(&"a".repeat(300)).len(), 255);
        assert_eq!(cut(&"é".repeat(300)).len(), 254);
    }
}

//! One commit, to read from for as long as it is held.

use std::sync::Arc;

use super::{Core, config::Config, recovery::Fallback, state::State};
use crate::{
    error::Result,
    id::{CommitId, DocId, TermId},
    quantize::ImpactVector,
    search::{Exhaustive, Explanation, Hits, Query, Scratch, Searcher},
    segment::{DocKey, FieldType, LiveSegment, StoredDocument},
    sparse::SparseVector,
    statistics::Statistics,
};

/// What an index held at one commit: searches, stored documents and statistics. Cheap to clone,
/// never changes, blocks nobody and is blocked by nobody; files that it reads stay readable even
/// when later commits have removed their names.
#[derive(Clone, Debug)]
pub struct Snapshot {
    core: Arc<Core>,
    state: Arc<State>,
}

impl Snapshot {
    pub(super) fn new(core: Arc<Core>, state: Arc<State>) -> Snapshot {
        Snapshot { core, state }
    }

    /// The commit that this is.
    #[must_use]
    pub fn commit_id(&self) -> CommitId {
        self.state.manifest.commit
    }

    /// Moves on to the newest commit and says whether that is another one.
    ///
    /// # Errors
    /// As [`Index::snapshot`](crate::Index::snapshot); this snapshot then stays as it is.
    pub fn refresh(&mut self) -> Result<bool> {
        let newest = self.core.refresh()?;
        let is_other = newest.manifest != self.state.manifest;
        self.state = newest;
        Ok(is_other)
    }

    /// Why this is an older commit than the index's newest, if it is: the newest was damaged when
    /// this snapshot was taken. [`Index::repair`](crate::Index::repair) mends the index.
    #[must_use]
    pub fn fallback(&self) -> Option<&Fallback> {
        self.state.fallback.as_ref()
    }

    /// How many documents there are.
    #[must_use]
    pub fn document_count(&self) -> u64 {
        self.state.collection().document_count()
    }

    /// Everything stored of a document but its vectors; `None` when there is no such key.
    ///
    /// # Errors
    /// When what is read is damaged.
    pub fn document(&self, key: impl Into<DocKey>) -> Result<Option<StoredDocument>> {
        let Some((at, doc)) = self.state.collection().find(key.into().as_bytes())? else {
            return Ok(None);
        };
        self.state.segments[at].segment().stored(doc).map(Some)
    }

    /// Whether there is a document of this key.
    ///
    /// # Errors
    /// When what is read is damaged.
    pub fn contains(&self, key: impl Into<DocKey>) -> Result<bool> {
        let found = self.state.collection().find(key.into().as_bytes())?;
        Ok(found.is_some())
    }

    /// The impacts of a document's terms, as weights on the index's scale: for likenesses between
    /// documents, which no scale changes.
    pub(crate) fn vector(&self, key: &DocKey) -> Result<Option<SparseVector>> {
        let Some((at, doc)) = self.state.collection().find(key.as_bytes())? else {
            return Ok(None);
        };
        let mut impacts = ImpactVector::default();
        self.state.segments[at]
            .segment()
            .postings()
            .read(doc, &mut impacts)?;
        let weights = impacts.impacts.iter().map(|&impact| f32::from(impact));
        SparseVector::from_sorted(impacts.terms, weights.collect()).map(Some)
    }

    /// The keys of all documents, in no order that means anything.
    pub fn keys(&self) -> impl Iterator<Item = Result<DocKey>> + '_ {
        self.live_documents()
            .map(|(live, doc)| live.segment().key(doc))
    }

    /// Everything stored of all documents but their vectors, in no order that means anything.
    pub fn documents(&self) -> impl Iterator<Item = Result<StoredDocument>> + '_ {
        self.live_documents()
            .map(|(live, doc)| live.segment().stored(doc))
    }

    /// The fields that documents have, by name, with their types.
    pub fn fields(&self) -> impl Iterator<Item = (&str, FieldType)> + '_ {
        self.state.schema.iter()
    }

    /// What a term means, where documents brought [labels](crate::Document::labels).
    ///
    /// # Errors
    /// When what is read is damaged.
    pub fn label(&self, term: TermId) -> Result<Option<String>> {
        for live in &self.state.segments {
            if let Some(label) = live.segment().label(term)? {
                return Ok(Some(label.to_owned()));
            }
        }
        Ok(None)
    }

    /// The same documents, searched one by one: what the fast ways must equal.
    #[must_use]
    pub fn exhaustive(&self) -> Exhaustive<'_> {
        Exhaustive::new(self.state.collection(), self)
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    pub(super) fn config(&self) -> &Config {
        &self.core.config
    }

    fn live_documents(&self) -> impl Iterator<Item = (&LiveSegment, DocId)> + '_ {
        self.state.segments.iter().flat_map(|live| {
            let docs = (0..live.segment().doc_count()).map(DocId);
            docs.filter(|doc| live.is_live(*doc))
                .map(move |doc| (live, doc))
        })
    }
}

impl Searcher for Snapshot {
    fn search_with(&self, query: &Query, scratch: &mut Scratch) -> Result<Hits> {
        self.state.collection().search(query, scratch)
    }

    fn search_into(&self, query: &Query, scratch: &mut Scratch, hits: &mut Hits) -> Result<()> {
        let collection = self.state.collection();
        collection.search_into(query, scratch, hits)
    }

    fn explain(&self, query: &Query, key: &DocKey) -> Result<Explanation> {
        self.state.collection().explain(query, key)
    }

    fn statistics(&self) -> &dyn Statistics {
        self
    }
}

impl Statistics for Snapshot {
    fn document_count(&self) -> u64 {
        Snapshot::document_count(self)
    }

    fn document_frequency(&self, term: TermId) -> u64 {
        self.state.collection().document_frequency(term)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_go_between_threads() {
        fn is_shared<T: Send + Sync + Clone>() {}
        is_shared::<Snapshot>();
        is_shared::<crate::index::Index>();
        fn is_sent<T: Send>() {}
        is_sent::<crate::index::Writer>();
    }
}

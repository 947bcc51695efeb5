//! A segment as one commit sees it: the file that never changes, and what was deleted since.

use std::sync::Arc;

use super::{Deletes, Segment};
use crate::{
    error::Result,
    format::Calibration,
    id::{DocId, TermId},
};

/// A segment with its deletes. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct LiveSegment {
    segment: Arc<Segment>,
    deletes: Option<Arc<Deletes>>,
    calibration: Option<Calibration>,
}

impl LiveSegment {
    pub(crate) fn new(segment: Arc<Segment>, deletes: Option<Arc<Deletes>>) -> LiveSegment {
        LiveSegment {
            segment,
            deletes,
            calibration: None,
        }
    }

    /// The same, with what approximate search was measured to reach there.
    pub(crate) fn calibrated(mut self, calibration: Option<Calibration>) -> LiveSegment {
        self.calibration = calibration;
        self
    }

    pub(crate) fn calibration(&self) -> Option<&Calibration> {
        self.calibration.as_ref()
    }

    pub(crate) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    pub(crate) fn deletes(&self) -> Option<&Arc<Deletes>> {
        self.deletes.as_ref()
    }

    /// Documents that are not deleted.
    pub(crate) fn live_count(&self) -> u32 {
        let deleted = self.deletes.as_ref().map_or(0, |deletes| deletes.len());
        self.segment.doc_count().saturating_sub(deleted)
    }

    pub(crate) fn is_live(&self, doc: DocId) -> bool {
        doc.0 < self.segment.doc_count()
            && self
                .deletes
                .as_ref()
                .is_none_or(|deletes| !deletes.contains(doc))
    }

    /// The live document of a key.
    pub(crate) fn find(&self, key: &[u8]) -> Result<Option<DocId>> {
        let found = self.segment.find(key)?;
        Ok(found.filter(|doc| self.is_live(*doc)))
    }

    /// Live documents that have `term` as their own; 0 where statistics are not kept.
    pub(crate) fn document_frequency(&self, term: TermId) -> u64 {
        let all = self.segment.own_count(term);
        let deleted = self
            .deletes
            .as_ref()
            .map_or(0, |deletes| deletes.own_count(term));
        u64::from(all.saturating_sub(deleted))
    }

    /// The bits of live documents, where some are deleted.
    pub(crate) fn live_bits(&self) -> Option<&[u64]> {
        let deletes = self.deletes.as_ref()?;
        Some(deletes.live_bits(self.segment.doc_count()))
    }
}

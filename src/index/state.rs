//! What one commit is, opened: its manifest, its segments, and what they add up to.

use super::{newest::Succeeds, recovery::Fallback};
use crate::{
    error::{Error, Result},
    format::{FileName, Manifest, SegmentRecord},
    id::SegmentId,
    quantize::Scale,
    search::Collection,
    segment::{LiveSegment, Schema},
};

/// A commit with everything open.
#[derive(Debug)]
pub(super) struct State {
    pub(super) manifest: Manifest,
    /// In the order of the manifest.
    pub(super) segments: Vec<LiveSegment>,
    pub(super) schema: Schema,
    pub(super) scale: Scale,
    pub(super) fallback: Option<Fallback>,
}

impl State {
    /// Puts a commit together, and checks that its parts fit each other.
    pub(super) fn new(manifest: Manifest, segments: Vec<LiveSegment>) -> Result<State> {
        // Without a limit there are no segments, and the scale is of no meaning.
        let scale = Scale::new(manifest.config.weight_limit.unwrap_or(1.0))?;
        let mut schema = Schema::default();
        for (record, live) in manifest.segments.iter().zip(&segments) {
            // Two types of one field, or too many fields: no writer lets that come about.
            let absorbed = schema.absorb(live.segment().schema());
            absorbed.map_err(|error| {
                let name = FileName::Segment(record.id).to_string();
                Error::corrupt(&name, "fields", 0, "fields that fit the index's", error)
            })?;
            let found = live.segment().scale();
            if found != scale {
                return Err(disagreement(record, scale.limit(), found.limit()));
            }
            let found = (live.segment().doc_count(), live.live_count());
            let expected = (record.doc_count, record.doc_count - record.deleted_count());
            if found != expected {
                let text = |(all, live)| format!("{all} documents, {live} of them alive");
                return Err(disagreement(record, text(expected), text(found)));
            }
        }
        Ok(State {
            manifest,
            segments,
            schema,
            scale,
            fallback: None,
        })
    }

    pub(super) fn collection(&self) -> Collection<'_> {
        Collection {
            segments: &self.segments,
            schema: &self.schema,
            scale: self.scale,
        }
    }

    /// A segment by its number.
    pub(super) fn find(&self, id: SegmentId) -> Option<(&SegmentRecord, &LiveSegment)> {
        let records = &self.manifest.segments;
        let at = records.binary_search_by_key(&id, |record| record.id).ok()?;
        Some((&records[at], self.segments.get(at)?))
    }
}

impl Succeeds for State {
    /// A later commit of the same index that is whole.
    fn succeeds(&self, other: &State) -> bool {
        let is_later = self.manifest.commit > other.manifest.commit;
        is_later && self.manifest.index == other.manifest.index && self.fallback.is_none()
    }
}

#[cold]
fn disagreement(
    record: &SegmentRecord,
    expected: impl std::fmt::Display,
    found: impl std::fmt::Display,
) -> Error {
    let name = FileName::Segment(record.id).to_string();
    let expected = format!("what the manifest says: {expected}");
    Error::corrupt(&name, "segment info", 0, expected, found)
}

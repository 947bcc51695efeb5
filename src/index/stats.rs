//! Counts of an index, for people who wonder.

use super::{Index, recovery::Fallback};
use crate::{
    error::Result,
    id::{CommitId, SegmentId},
};

/// What [`Index::stats`] counts, as of the newest commit.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// The commit.
    pub commit: CommitId,
    /// Documents alive.
    pub documents: u64,
    /// Documents deleted whose postings are still there.
    pub deleted: u64,
    /// Files that the commit needs, its manifest included.
    pub files: usize,
    /// Bytes of segments and deletes.
    pub bytes: u64,
    /// The segments, by rising number.
    pub segments: Vec<SegmentStats>,
    /// The encoder's fingerprint, if one was named.
    pub encoder: Option<String>,
    /// Term ids are below it, if there is a limit.
    pub term_count: Option<u32>,
    /// The weight that becomes the largest impact, once there are documents.
    pub weight_limit: Option<f32>,
    /// Document weights over the limit that were ever stored as the largest impact.
    pub saturated_weights: u64,
    /// Whether document frequencies are kept.
    pub keeps_statistics: bool,
    /// The field by which documents of large segments lie together, if one was named.
    pub partition_field: Option<String>,
    /// The version of the library that created the index.
    pub created_with: String,
    /// Why this is not the newest commit, if it is not.
    pub fallback: Option<Fallback>,
}

/// Counts of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentStats {
    /// The segment.
    pub id: SegmentId,
    /// Documents alive.
    pub documents: u32,
    /// Documents deleted.
    pub deleted: u32,
    /// Postings, those of deleted documents included.
    pub postings: u64,
    /// Bytes of its file and of its deletes.
    pub bytes: u64,
}

impl Index {
    /// Counts documents, segments and bytes.
    ///
    /// # Errors
    /// As [`Index::snapshot`].
    pub fn stats(&self) -> Result<Stats> {
        self.core.refresh()?;
        let state = self.core.newest();
        let manifest = &state.manifest;
        let segments: Vec<SegmentStats> = manifest
            .segments
            .iter()
            .zip(&state.segments)
            .map(|(record, live)| SegmentStats {
                id: record.id,
                documents: record.doc_count - record.deleted_count(),
                deleted: record.deleted_count(),
                postings: live.segment().posting_count(),
                bytes: record.file.len + record.deletes.map_or(0, |deletes| deletes.file.len),
            })
            .collect();
        let config = &manifest.config;
        let encoder = config.encoder.as_ref();
        Ok(Stats {
            commit: manifest.commit,
            documents: segments.iter().map(|s| u64::from(s.documents)).sum(),
            deleted: segments.iter().map(|s| u64::from(s.deleted)).sum(),
            files: super::commit::files(manifest).count(),
            bytes: segments.iter().map(|segment| segment.bytes).sum(),
            segments,
            encoder: encoder.map(|(name, digest)| format!("{name}:{digest:016x}")),
            term_count: config.term_count,
            weight_limit: config.weight_limit,
            saturated_weights: manifest.saturated_weights,
            keeps_statistics: config.keeps_statistics,
            partition_field: config.partition.clone(),
            created_with: config.created_with.clone(),
            fallback: state.fallback.clone(),
        })
    }
}

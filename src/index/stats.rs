//! Counts of an index, for people who wonder.

use std::collections::BTreeMap;

use super::{Index, commit, recovery::Fallback, state::State};
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
    /// All commits whose manifests are there, newest first: this one, and the one before.
    pub commits: Vec<CommitId>,
    /// Documents alive.
    pub documents: u64,
    /// Documents deleted whose postings are still there.
    pub deleted: u64,
    /// Files that the commit needs, its manifest included.
    pub files: usize,
    /// Bytes of segments and deletes.
    pub bytes: u64,
    /// What the bytes are, largest first; they add up to `bytes`.
    pub parts: Vec<PartStats>,
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

/// Bytes of one part, in all segments together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartStats {
    /// The section, as `docs/format.md` names it; or "deletes", or "frames and checksums".
    pub name: &'static str,
    /// How many bytes it takes.
    pub bytes: u64,
    /// Whether it is there to search postings.
    pub is_postings: bool,
}

impl Stats {
    /// Bytes of postings and their bounds for each posting; none where there is no posting.
    #[must_use]
    pub fn bytes_per_posting(&self) -> Option<f64> {
        let parts = self.parts.iter().filter(|part| part.is_postings);
        let bytes: u64 = parts.map(|part| part.bytes).sum();
        let postings: u64 = self.segments.iter().map(|segment| segment.postings).sum();
        #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
        (postings > 0).then(|| bytes as f64 / postings as f64)
    }
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
        let state = self.core.refresh()?;
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
            commits: commit::commits(&self.core.storage.list()?),
            documents: segments.iter().map(|s| u64::from(s.documents)).sum(),
            deleted: segments.iter().map(|s| u64::from(s.deleted)).sum(),
            files: super::commit::files(manifest).count(),
            bytes: segments.iter().map(|segment| segment.bytes).sum(),
            parts: parts(&state),
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

fn parts(state: &State) -> Vec<PartStats> {
    let mut parts: BTreeMap<(&'static str, bool), u64> = BTreeMap::new();
    let mut add =
        |name, is_postings, bytes| *parts.entry((name, is_postings)).or_default() += bytes;
    for (record, live) in state.manifest.segments.iter().zip(&state.segments) {
        let mut rest = record.file.len;
        for (name, is_postings, bytes) in live.segment().sections() {
            add(name, is_postings, bytes);
            rest = rest.saturating_sub(bytes);
        }
        add("frames and checksums", false, rest);
        if let Some(deletes) = record.deletes {
            add("deletes", false, deletes.file.len);
        }
    }
    let mut parts: Vec<PartStats> = parts
        .into_iter()
        .map(|((name, is_postings), bytes)| PartStats {
            name,
            bytes,
            is_postings,
        })
        .collect();
    parts.sort_by_key(|part| std::cmp::Reverse(part.bytes));
    parts
}

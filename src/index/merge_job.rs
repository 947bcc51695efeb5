//! Merging beside a writer that goes on: on any thread that the caller grants.
//!
//! The job holds what it merges, so nothing that the writer does meanwhile disturbs it; what was
//! deleted meanwhile is deleted from the result when the writer takes it in. If the writer went
//! back on what the job started from, the result is thrown away.

use std::{fmt, sync::Arc};

use super::{
    Core,
    commit::Failure,
    work::{MergeInputs, Part, Target, Work},
};
use crate::{
    error::Result,
    format::{FileName, Manifest},
    id::{DocId, SegmentId},
    progress::Progress,
    segment::LiveSegment,
};

/// A merge that [`Writer::begin_merge`](super::Writer::begin_merge) found due, to be run on
/// whichever thread the caller likes while the writer goes on.
///
/// The index stays locked until the writer and its job are both gone. Dropping a job gives the
/// merge up; what it wrote is removed by the next commit.
///
/// ```
/// use sparsely::{Config, Document, Index, Merging, Progress, SparseVector};
/// let index = Index::in_memory(Config::new().merging(Merging::ByCaller))?;
/// let mut writer = index.writer()?;
/// let document = |at| Document::new(format!("k{at}"), SparseVector::new([(at, 1.0)]).unwrap());
/// for at in 0..4 {
///     writer.upsert(document(at))?;
///     writer.commit()?;
/// }
/// let job = writer.begin_merge()?.expect("four segments of a size are due");
/// let thread = std::thread::spawn(move || job.run(&mut Progress::none()));
/// writer.upsert(document(9))?;
/// writer.commit()?;
/// assert!(writer.finish_merge(thread.join().unwrap()?)?);
/// writer.commit()?;
/// assert_eq!(index.stats()?.segments.len(), 2);
/// # Ok::<(), sparsely::Error>(())
/// ```
pub struct MergeJob {
    core: Arc<Core>,
    manifest: Manifest,
    inputs: MergeInputs,
    id: SegmentId,
    weight_limit: f32,
    claim: Arc<Claim>,
}

/// What a [`MergeJob`] made, for [`Writer::finish_merge`](super::Writer::finish_merge).
pub struct MergedSegment {
    inputs: MergeInputs,
    part: Part,
    /// Held by a job, then by its result: the sign for the writer that there is one.
    claim: Arc<Claim>,
}

/// A writer's lock, held by the writer and by its job.
pub(super) type Claim = Arc<dyn Send + Sync>;

impl MergeJob {
    pub(super) fn new(
        core: Arc<Core>,
        manifest: Manifest,
        work: &mut Work,
        claim: Arc<Claim>,
    ) -> Result<Option<MergeJob>> {
        let Some((inputs, id)) = work.reserve_merge()? else {
            return Ok(None);
        };
        Ok(Some(MergeJob {
            core,
            manifest,
            inputs,
            id,
            weight_limit: work.weight_limit.unwrap_or(1.0),
            claim,
        }))
    }

    /// The segment that the job writes.
    pub(super) fn file(&self) -> FileName {
        FileName::Segment(self.id)
    }

    /// Merges, on the thread that calls.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled) when the callback says so; otherwise
    /// when the device fails or what is read is damaged. The index and its writer are as they
    /// were.
    pub fn run(self, progress: &mut Progress<'_>) -> Result<MergedSegment> {
        let target = Target::new(&*self.core.storage, &self.core.config, &self.manifest);
        let inputs: Vec<LiveSegment> = self.inputs.iter().map(|(_, live)| live.clone()).collect();
        let merged = target
            .merge(self.id, &inputs, self.weight_limit, progress)
            .and_then(|(record, _)| target.open_part(record, progress));
        let part = merged.map_err(|failure| match failure {
            Failure::Abandoned(error) | Failure::Unsynced(error) | Failure::Unknown(error) => error,
        })?;
        Ok(MergedSegment {
            inputs: self.inputs,
            part,
            claim: self.claim,
        })
    }
}

impl MergedSegment {
    pub(super) fn file(&self) -> FileName {
        FileName::Segment(self.part.record.id)
    }

    /// Puts the result in the place of what it was made of, without what was deleted since; false
    /// where the writer has nothing of that any more, or has taken deletes back.
    pub(super) fn take_into(self, work: &mut Work) -> Result<bool> {
        let mut deleted_since: Vec<DocId> = Vec::new();
        let mut is_any_left = false;
        for (id, then) in &self.inputs {
            let part = work.parts.iter().find(|part| part.record.id == *id);
            is_any_left |= part.is_some();
            if part.is_some_and(|part| is_same(then, &part.live)) {
                continue;
            }
            let segment = then.segment();
            for doc in (0..segment.doc_count()).map(DocId) {
                // Of a segment that is gone every document was deleted, rolled back, or merged
                // into another.
                let is_live = part.is_some_and(|part| part.live.is_live(doc));
                match (then.is_live(doc), is_live) {
                    (false, true) => return Ok(false),
                    (true, false) => {
                        deleted_since.extend(self.part.live.find(segment.key(doc)?.as_bytes())?);
                    }
                    _ => {}
                }
            }
        }
        if !is_any_left {
            return Ok(false);
        }
        #[cfg(sparsely_planted)]
        if crate::planted::bug("planted: deletes during a granted merge are lost") {
            deleted_since.clear();
        }
        let mut merged = self.part;
        merged.delete(&deleted_since)?;
        let is_input = |part: &Part| self.inputs.iter().any(|(id, _)| *id == part.record.id);
        work.parts.retain(|part| !is_input(part));
        work.parts.push(merged);
        // Numbers rise: segments may have been written while the job ran.
        work.parts.sort_by_key(|part| part.record.id);
        work.is_changed = true;
        drop(self.claim);
        Ok(true)
    }
}

/// Whether both have the very same deletes.
fn is_same(one: &LiveSegment, other: &LiveSegment) -> bool {
    match (one.deletes(), other.deletes()) {
        (None, None) => true,
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        _ => false,
    }
}

impl fmt::Debug for MergeJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MergeJob")
            .field("segment", &self.id)
            .field("inputs", &self.inputs.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for MergedSegment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MergedSegment")
            .field("segment", &self.part.record.id)
            .field("inputs", &self.inputs.len())
            .finish_non_exhaustive()
    }
}

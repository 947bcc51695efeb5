//! Makes a whole commit of what damage has left.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use super::{
    Index, commit,
    commit::Failure,
    config::Config,
    lock, recovery,
    state::State,
    verify::{Verification, Verify, damage, verify_commit},
    work::{Target, Work},
};
use crate::{
    error::{ErrorKind, Result},
    format::{FileName, Manifest, SegmentRecord},
    id::{CommitId, SegmentId},
    segment::{DocKey, LiveSegment, Segment},
    storage::{Disk, Storage},
};

/// What [`Index::repair`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repair {
    commit: CommitId,
    given_up_commits: Vec<CommitId>,
    dropped_segments: Vec<SegmentId>,
    lost_keys: Vec<DocKey>,
    lost_unnamed: u64,
    revived_segments: Vec<SegmentId>,
    removed_commits: Vec<CommitId>,
}

impl Repair {
    /// The commit that stands now.
    #[must_use]
    pub fn commit(&self) -> CommitId {
        self.commit
    }

    /// Commits whose manifests could not be read; the index went back to one before them.
    #[must_use]
    pub fn given_up_commits(&self) -> &[CommitId] {
        &self.given_up_commits
    }

    /// Segments that are damaged and no longer part of the index.
    #[must_use]
    pub fn dropped_segments(&self) -> &[SegmentId] {
        &self.dropped_segments
    }

    /// Keys of the documents that were lost with them, as far as they can be read.
    #[must_use]
    pub fn lost_keys(&self) -> &[DocKey] {
        &self.lost_keys
    }

    /// How many more were lost whose keys cannot be read.
    #[must_use]
    pub fn lost_unnamed(&self) -> u64 {
        self.lost_unnamed
    }

    /// Segments whose record of deletes was lost: documents deleted from them, and not replaced
    /// since, are back.
    #[must_use]
    pub fn revived_segments(&self) -> &[SegmentId] {
        &self.revived_segments
    }

    /// The commit before the one that stands, where it is damaged: it is no longer kept to fall back
    /// on.
    #[must_use]
    pub fn removed_commits(&self) -> &[CommitId] {
        &self.removed_commits
    }

    /// Whether there was nothing to repair.
    #[must_use]
    pub fn is_unneeded(&self) -> bool {
        self.is_newest_whole() && self.removed_commits.is_empty()
    }

    fn is_newest_whole(&self) -> bool {
        self.given_up_commits.is_empty()
            && self.dropped_segments.is_empty()
            && self.revived_segments.is_empty()
    }
}

impl Index {
    /// Verifies the newest commit in full and, where it is damaged, makes a new one without what
    /// cannot be read: damaged segments go, whole ones stay. What went is listed. Manifests of
    /// damaged commits are removed, so that [`Index::verify`] finds nothing afterwards; their
    /// segments stay in the directory until the next writer.
    ///
    /// # Errors
    /// As [`Index::writer`]; [`ErrorKind::Corrupt`] when no manifest can be read.
    pub fn repair(&self) -> Result<Repair> {
        Index::repair_storage(&*self.core.storage, &self.core.config)
    }

    /// [`Index::repair`] for an index that may be too damaged to open.
    ///
    /// # Errors
    /// As [`Index::repair`].
    pub fn repair_at(path: impl AsRef<Path>, config: &Config) -> Result<Repair> {
        Index::repair_storage(&Disk::open(path), config)
    }

    /// What [`Index::repair_at`] would do; nothing is locked or written. A writer that is at work
    /// may make it out of date.
    ///
    /// # Errors
    /// As [`Index::repair`], but for those of writing.
    pub fn preview_repair_at(path: impl AsRef<Path>) -> Result<Repair> {
        let disk = Disk::open(path);
        let names = disk.list()?;
        survey_all(&disk, &names).map(|(_, _, repair)| repair)
    }

    /// [`Index::repair_at`], wherever the files are.
    ///
    /// # Errors
    /// As [`Index::repair`].
    pub fn repair_storage(storage: &dyn Storage, config: &Config) -> Result<Repair> {
        let names = storage.list()?;
        if commit::commits(&names).is_empty() {
            // Before the lock, which would leave its file behind.
            return Err(recovery::absent(storage));
        }
        let _lock = lock(storage, config.lock_wait)?;
        let names = storage.list()?;
        let (base, survivors, mut repair) = survey_all(storage, &names)?;
        if repair.is_newest_whole() {
            repair.remove_damaged(storage)?;
            return Ok(repair);
        }
        let (records, segments) = survivors.into_iter().unzip();
        let manifest = Manifest {
            segments: records,
            ..base
        };
        let state = State::new(manifest, segments)?;
        let (commit, next_segment) = super::writer::unused_numbers(&names, &state.manifest)?;
        let mut work = Work::after(&state, next_segment);
        for id in &repair.revived_segments {
            work.delete_replaced(*id)?;
        }
        work.drop_empty();
        let failed = |failure| match failure {
            Failure::Abandoned(error) | Failure::Unsynced(error) | Failure::Unknown(error) => error,
        };
        let target = Target::new(storage, config, &state.manifest);
        work.write_deletes(target, commit).map_err(failed)?;
        let repaired = work.next_state(&state.manifest, commit)?;
        commit::publish(storage, config.durability, &repaired.manifest).map_err(failed)?;
        repair.commit = commit;
        // Only now: the commit that takes their place stands.
        repair.remove_damaged(storage)?;
        Ok(repair)
    }
}

impl Repair {
    fn remove_damaged(&self, storage: &dyn Storage) -> Result<()> {
        for commit in self.given_up_commits.iter().chain(&self.removed_commits) {
            storage.remove(&FileName::Manifest(*commit).to_string())?;
        }
        Ok(())
    }

    fn lose(&mut self, record: &SegmentRecord, live: Option<&LiveSegment>) {
        self.dropped_segments.push(record.id);
        let count = u64::from(record.doc_count - record.deleted_count());
        let before = self.lost_keys.len();
        if let Some(live) = live {
            let docs = super::verify::live_documents(live);
            self.lost_keys
                .extend(docs.filter_map(|doc| live.segment().key(doc).ok()));
        }
        self.lost_unnamed += count.saturating_sub((self.lost_keys.len() - before) as u64);
    }
}

type Survivors = Vec<(SegmentRecord, LiveSegment)>;

/// The newest manifest that can be read, what is left of its segments, and what is not.
fn survey_all(storage: &dyn Storage, names: &[String]) -> Result<(Manifest, Survivors, Repair)> {
    let (base, given_up_commits) = newest_manifest(storage, names)?;
    let mut repair = Repair {
        commit: base.commit,
        given_up_commits,
        ..Repair::default()
    };
    let mut survivors = Survivors::new();
    for record in &base.segments {
        match survey(storage, &base, record)? {
            Survey::Whole(live) => survivors.push((*record, live)),
            Survey::WithoutDeletes(segment) => {
                repair.revived_segments.push(record.id);
                let record = SegmentRecord {
                    deletes: None,
                    ..*record
                };
                survivors.push((record, LiveSegment::new(segment, None)));
            }
            Survey::Damaged(live) => repair.lose(record, live.as_ref()),
        }
    }
    if survivors.len() < base.segments.len() || !repair.revived_segments.is_empty() {
        repair.removed_commits.push(base.commit);
    } else if repair.is_newest_whole() && is_damaged(storage, names, base.previous)? {
        repair.removed_commits.push(base.previous);
    }
    Ok((base, survivors, repair))
}

/// Whether an older commit is there, but not whole.
fn is_damaged(storage: &dyn Storage, names: &[String], commit: CommitId) -> Result<bool> {
    if !names.contains(&FileName::Manifest(commit).to_string()) {
        return Ok(false);
    }
    let mut found = Verification::default();
    let verified = recovery::read_manifest(storage, commit).and_then(|manifest| {
        verify_commit(
            storage,
            manifest,
            Verify::Full,
            &mut BTreeSet::new(),
            &mut found,
        )
    });
    match verified {
        Ok(()) => Ok(!found.is_clean()),
        Err(error) => damage(error).map(|_| true),
    }
}

enum Survey {
    Whole(LiveSegment),
    WithoutDeletes(Arc<Segment>),
    /// Open, where that much is possible.
    Damaged(Option<LiveSegment>),
}

fn survey(storage: &dyn Storage, base: &Manifest, record: &SegmentRecord) -> Result<Survey> {
    let open = |record: &SegmentRecord| recovery::open_live(storage, base.index, record, None);
    let bare = SegmentRecord {
        deletes: None,
        ..*record
    };
    let segment = match open(&bare) {
        Ok(live) => live,
        Err(error) => {
            damage(error)?;
            let named = recovery::open_damaged(storage, base.index, record);
            return Ok(Survey::Damaged(named));
        }
    };
    let with_deletes = open(record);
    #[cfg(sparsely_planted)]
    if crate::planted::bug("planted: repair does not look inside segments") {
        return with_deletes.map(Survey::Whole);
    }
    if let Err(error) = segment.segment().verify() {
        damage(error)?;
        let named = recovery::open_damaged(storage, base.index, record);
        return Ok(Survey::Damaged(named));
    }
    match with_deletes {
        Ok(live) => Ok(Survey::Whole(live)),
        Err(error) => damage(error).map(|_| Survey::WithoutDeletes(segment.segment().clone())),
    }
}

/// The newest manifest that can be read, and the commits above it that cannot.
pub(super) fn newest_manifest(
    storage: &dyn Storage,
    names: &[String],
) -> Result<(Manifest, Vec<CommitId>)> {
    let mut given_up = Vec::new();
    let mut newest_error = None;
    for commit in commit::commits(names) {
        match recovery::read_manifest(storage, commit) {
            Ok(manifest) => return Ok((manifest, given_up)),
            Err(error) => {
                let first = newest_error.take();
                let error_kind = error.kind();
                newest_error = Some(first.unwrap_or(error));
                if !matches!(error_kind, ErrorKind::Corrupt | ErrorKind::NotFound) {
                    break;
                }
                given_up.push(commit);
            }
        }
    }
    Err(newest_error.unwrap_or_else(|| recovery::absent(storage)))
}

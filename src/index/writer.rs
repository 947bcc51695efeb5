//! The one writer of an index.

use std::{
    fmt,
    sync::{Arc, Weak},
};

use super::{
    Core, commit,
    commit::Failure,
    merge_job::{Claim, MergeJob, MergedSegment},
    recovery,
    state::State,
    verify::damage,
    work::{self, Target, Work, after},
};
#[cfg(sparsely_planted)]
use crate::planted;
use crate::{
    error::{Error, ErrorKind, Result},
    format::{FileName, Manifest},
    id::{CommitId, SegmentId},
    progress::Progress,
    search::Filter,
    segment::{DocKey, Document},
    storage::Storage,
};

/// Takes documents in and keeps them: the index on disk, one in memory, or a back end that lives
/// elsewhere.
pub trait IndexWriter {
    /// Adds a document, in the place of an older one of its key.
    ///
    /// # Errors
    /// When the document breaks a limit or a rule, and then nothing has changed; when it cannot be
    /// stored.
    fn upsert(&mut self, document: Document) -> Result<()>;

    /// Deletes the document of `key` and says whether there was one.
    ///
    /// # Errors
    /// When what is read is damaged.
    fn delete(&mut self, key: &DocKey) -> Result<bool>;

    /// Makes everything since the last commit visible and durable, all at once.
    ///
    /// # Errors
    /// When it cannot be stored; the commit before then stands. Only
    /// [`ErrorKind::OutcomeUnknown`] leaves open which of the two it is.
    fn commit(&mut self) -> Result<CommitId>;

    /// Forgets everything since the last commit.
    ///
    /// # Errors
    /// When an earlier failure made the writer unusable.
    fn rollback(&mut self) -> Result<()>;
}

/// The writer of an [`Index`](crate::Index): the only one, of all processes, while it lives.
///
/// Documents gather in memory up to [`Config::memory_budget`](crate::Config::memory_budget), then
/// go to disk as a segment; [`Writer::commit`] makes them visible. Dropping a writer forgets what
/// it did not commit.
///
/// When the disk fails, or is full, the writer refuses further work until it is rolled back; after
/// a failed *sync* for good, because a device may call clean what it has dropped. The last
/// commit stands in every case.
pub struct Writer {
    core: Arc<Core>,
    /// The index's lock, which a merge job shares.
    lock: Claim,
    /// The merge job that was handed out, while it or its result is alive, and the file it writes.
    job: Option<(Weak<Claim>, FileName)>,
    /// The last commit.
    base: Arc<State>,
    /// The commit before, whose files stay.
    previous: Option<Manifest>,
    /// No commit number below it is used.
    next_commit: CommitId,
    work: Work,
    health: Health,
}

#[derive(Debug)]
enum Health {
    Sound,
    /// Only a rollback helps; why.
    Failed(String),
    /// Nothing helps; why.
    Lost(String),
}

impl Writer {
    pub(super) fn open(core: Arc<Core>, lock: Box<dyn Send + Sync>) -> Result<Writer> {
        let storage = &*core.storage;
        #[cfg(sparsely_planted)]
        if planted::bug("planted: leftovers are adopted") {
            for name in storage.list()? {
                if let Some(FileName::Unfinished(commit, _)) = FileName::parse(&name) {
                    storage.rename(&name, &FileName::Manifest(commit).to_string())?;
                }
            }
        }
        let state = recovery::load(storage, core.config.checks, Some(&core.newest.get()))?;
        if let Some(fallback) = &state.fallback
            && core.config.durability == super::Durability::Full
        {
            let name = FileName::Manifest(fallback.commit()).to_string();
            let expected = "a whole commit to build on; `repair` makes one of what is left";
            return Err(Error::corrupt(
                &name,
                "file",
                0,
                expected,
                fallback.reason(),
            ));
        }
        let base = Arc::new(state);
        let names = storage.list()?;
        let (next_commit, next_segment) = unused_numbers(&names, &base.manifest)?;
        let previous = previous_of(storage, &names, &base.manifest)?;
        let mut writer = Writer {
            work: Work::after(&base, next_segment),
            core: core.clone(),
            lock: Arc::from(lock),
            job: None,
            base,
            previous,
            next_commit,
            health: Health::Sound,
        };
        writer.core.newest.set(writer.base.clone());
        writer.remove_unneeded();
        Ok(writer)
    }

    /// Adds a document, in the place of an older one of its key, in this batch or committed.
    ///
    /// # Errors
    /// When the document breaks a limit, has a term that the index does not, or a field of another
    /// type than before: then nothing has changed. [`ErrorKind::Poisoned`] after an earlier
    /// failure; otherwise when the memory budget is full and the device fails.
    pub fn upsert(&mut self, mut document: Document) -> Result<()> {
        self.check_health()?;
        document.check()?;
        work::check_terms(&self.base.manifest.config, &document)?;
        if !self.base.manifest.config.keeps_labels {
            document.labels.clear();
        }
        self.work.upsert(document)?;
        if self.work.is_full(&self.core.config) {
            self.attempt(|work, target| work.flush(target))?;
        }
        Ok(())
    }

    /// Deletes the document of `key` and says whether there was one.
    ///
    /// # Errors
    /// When what is read is damaged; [`ErrorKind::Poisoned`] after an earlier failure.
    pub fn delete(&mut self, key: impl Into<DocKey>) -> Result<bool> {
        self.check_health()?;
        self.work.delete(&key.into())
    }

    /// Deletes every document that `filter` matches, committed or not, and says how many there
    /// were.
    ///
    /// # Errors
    /// When the filter names an unknown field or a value of another type; otherwise as
    /// [`Writer::delete`].
    pub fn delete_matching(&mut self, filter: &Filter) -> Result<u64> {
        self.check_health()?;
        self.work.delete_matching(filter)
    }

    /// Makes everything since the last commit visible and durable, all at once, and returns the
    /// commit's number. Without changes there is nothing to do, and the last commit's number is
    /// returned.
    ///
    /// Segments are merged on the way, as [`Merging`](crate::Merging) says.
    ///
    /// # Errors
    /// When the device fails: the last commit then stands, and the writer must be rolled back or
    /// dropped. [`ErrorKind::OutcomeUnknown`] when it failed so late that the commit may stand:
    /// reopening the index shows which.
    pub fn commit(&mut self) -> Result<CommitId> {
        self.commit_with(&mut Progress::none())
    }

    /// As [`Writer::commit`], with a callback that can cancel the merge; everything is then as if
    /// the commit had not been asked for.
    ///
    /// # Errors
    /// As [`Writer::commit`], and [`ErrorKind::Cancelled`].
    pub fn commit_with(&mut self, progress: &mut Progress<'_>) -> Result<CommitId> {
        self.check_health()?;
        self.attempt(|work, target| {
            work.flush(target)?;
            work.drop_empty();
            match target.merges_at_commit() && work.is_changed {
                true => work.merge(target, progress),
                false => Ok(()),
            }
        })?;
        if !self.work.is_changed {
            return Ok(self.base.manifest.commit);
        }
        let commit = self.next_commit;
        let next_commit = CommitId(after(commit.0)?);
        self.attempt(|work, target| work.write_deletes(target, commit))?;
        let state = match self.work.next_state(&self.base.manifest, commit) {
            Ok(state) => state,
            Err(error) => return Err(self.fail(Failure::Abandoned(error))),
        };
        let durability = self.core.config.durability;
        #[cfg(sparsely_planted)]
        if planted::bug("planted: the last commit is removed before the next stands") {
            let _ = commit::sync_directory(&*self.core.storage, durability);
            commit::remove_unneeded(&*self.core.storage, &[&state.manifest], None);
        }
        if let Err(failure) = commit::publish(&*self.core.storage, durability, &state.manifest) {
            return Err(self.fail(failure));
        }
        self.next_commit = next_commit;
        self.previous = Some(self.base.manifest.clone());
        self.base = Arc::new(state);
        self.core.newest.set(self.base.clone());
        self.work = Work::after(&self.base, self.work.next_segment);
        self.remove_unneeded();
        Ok(commit)
    }

    /// Merges segments as a commit would, for [`Merging::ByCaller`](crate::Merging::ByCaller). The
    /// next commit makes it count.
    ///
    /// # Errors
    /// As [`Writer::merge_all`].
    pub fn merge(&mut self, progress: &mut Progress<'_>) -> Result<()> {
        self.check_health()?;
        self.attempt(|work, target| {
            work.flush(target)?;
            work.merge(target, progress)
        })
    }

    /// Merges everything into one segment, without what was deleted: the fastest form to search,
    /// and the end of a bulk build. The next commit makes it count. Where one segment could not hold
    /// everything, which is above 4 billion documents or 1.4 billion terms of documents, nothing is
    /// merged.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] when the callback says so, and then nothing has changed; otherwise
    /// when the device fails or what is read is damaged.
    pub fn merge_all(&mut self, progress: &mut Progress<'_>) -> Result<()> {
        self.check_health()?;
        self.attempt(|work, target| {
            work.flush(target)?;
            work.merge_all(target, progress)
        })
    }

    /// Hands out a merge, where the policy finds one due, to be run on another thread while this
    /// writer goes on: for [`Merging::ByCaller`](crate::Merging::ByCaller). None while an earlier
    /// one is under way. Documents that are still in memory are not part of it.
    ///
    /// # Errors
    /// [`ErrorKind::Poisoned`] after an earlier failure.
    pub fn begin_merge(&mut self) -> Result<Option<MergeJob>> {
        self.check_health()?;
        if self.running_job().is_some() {
            return Ok(None);
        }
        let claim = Arc::new(Arc::clone(&self.lock));
        let running = Arc::downgrade(&claim);
        let manifest = self.base.manifest.clone();
        let job = MergeJob::new(self.core.clone(), manifest, &mut self.work, claim)?;
        self.job = job.as_ref().map(|job| (running, job.file()));
        Ok(job)
    }

    /// Takes in what a job of this writer made; the next commit makes it count. False where this
    /// writer has rolled back or merged what the job was about: the result is then left out.
    ///
    /// # Errors
    /// When what is read is damaged; [`ErrorKind::Poisoned`] after an earlier failure.
    pub fn finish_merge(&mut self, merged: MergedSegment) -> Result<bool> {
        self.check_health()?;
        let is_ours = self.running_job().is_some_and(|file| file == merged.file());
        let is_taken = is_ours && merged.take_into(&mut self.work)?;
        Ok(is_taken)
    }

    /// The file of the job under way.
    fn running_job(&self) -> Option<FileName> {
        let (running, file) = self.job.as_ref()?;
        (running.strong_count() > 0).then_some(*file)
    }

    /// Forgets everything since the last commit. A writer that failed on a full disk, or for want
    /// of permission, works again after this.
    ///
    /// # Errors
    /// [`ErrorKind::Poisoned`] when a sync failed or a commit's outcome is unknown: drop the
    /// writer then.
    pub fn rollback(&mut self) -> Result<()> {
        if let Health::Lost(why) = &self.health {
            return Err(Error::poisoned(why.clone()));
        }
        self.health = Health::Sound;
        #[cfg(sparsely_planted)]
        if planted::bug("planted: a rollback keeps what was done") {
            return Ok(());
        }
        self.work = Work::after(&self.base, self.work.next_segment);
        self.remove_unneeded();
        Ok(())
    }

    /// The last commit.
    #[must_use]
    pub fn commit_id(&self) -> CommitId {
        self.base.manifest.commit
    }

    fn attempt(
        &mut self,
        action: impl FnOnce(&mut Work, Target<'_>) -> Result<(), Failure>,
    ) -> Result<()> {
        let target = Target::new(&*self.core.storage, &self.core.config, &self.base.manifest);
        let result = action(&mut self.work, target);
        result.map_err(|failure| self.fail(failure))
    }

    fn fail(&mut self, failure: Failure) -> Error {
        match failure {
            // The work that was cut off left everything as it was.
            Failure::Abandoned(error) if error.kind() == ErrorKind::Cancelled => error,
            Failure::Abandoned(error) => {
                self.health = Health::Failed(error.to_string());
                error
            }
            #[cfg(sparsely_planted)]
            Failure::Unsynced(error)
                if planted::bug("planted: a failed sync does not end the writer") =>
            {
                error
            }
            Failure::Unsynced(error) | Failure::Unknown(error) => {
                self.health = Health::Lost(error.to_string());
                error
            }
        }
    }

    fn check_health(&self) -> Result<()> {
        match &self.health {
            Health::Sound => Ok(()),
            Health::Failed(why) | Health::Lost(why) => Err(Error::poisoned(why.clone())),
        }
    }

    fn remove_unneeded(&mut self) {
        let kept: Vec<&Manifest> = [&self.base.manifest]
            .into_iter()
            .chain(&self.previous)
            .collect();
        #[cfg(sparsely_planted)]
        let kept = match planted::bug("planted: the commit before the last is not kept") {
            true => vec![&self.base.manifest],
            false => kept,
        };
        commit::remove_unneeded(&*self.core.storage, &kept, self.running_job());
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Files of an unfinished batch; the next writer would remove them too. After a commit
        // whose outcome is unknown, nothing may go.
        if !matches!(self.health, Health::Lost(_)) && self.work.is_changed {
            self.remove_unneeded();
        }
    }
}

impl IndexWriter for Writer {
    fn upsert(&mut self, document: Document) -> Result<()> {
        Writer::upsert(self, document)
    }

    fn delete(&mut self, key: &DocKey) -> Result<bool> {
        Writer::delete(self, key)
    }

    fn commit(&mut self) -> Result<CommitId> {
        Writer::commit(self)
    }

    fn rollback(&mut self) -> Result<()> {
        Writer::rollback(self)
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("place", &self.core.storage.place())
            .field("commit", &self.base.manifest.commit)
            .field("health", &self.health)
            .finish_non_exhaustive()
    }
}

/// The newest commit before `base` whose manifest is whole. A device that cannot be read now is an
/// error: the files of that commit would otherwise be taken for leftovers.
fn previous_of(
    storage: &dyn Storage,
    names: &[String],
    base: &Manifest,
) -> Result<Option<Manifest>> {
    for commit in commit::commits(names) {
        if commit < base.commit {
            match recovery::read_manifest(storage, commit) {
                Ok(previous) => return Ok(Some(previous).filter(|p| p.index == base.index)),
                Err(error) => damage(error)?,
            };
        }
    }
    Ok(None)
}

/// A commit and a segment above all numbers that files or `manifest` have used.
pub(super) fn unused_numbers(
    names: &[String],
    manifest: &Manifest,
) -> Result<(CommitId, SegmentId)> {
    #[cfg(sparsely_planted)]
    if planted::bug("planted: numbers of leftovers are used again") {
        return Ok((CommitId(after(manifest.commit.0)?), manifest.next_segment));
    }
    let mut commit = manifest.commit.0;
    let mut next_segment = manifest.next_segment.0;
    for name in names {
        match FileName::parse(name) {
            Some(FileName::Manifest(used) | FileName::Unfinished(used, _)) => {
                commit = commit.max(used.0);
            }
            Some(FileName::Deletes(_, used)) => commit = commit.max(used.0),
            Some(FileName::Segment(used)) => next_segment = next_segment.max(after(used.0)?),
            None => {}
        }
    }
    Ok((CommitId(after(commit)?), SegmentId(next_segment)))
}

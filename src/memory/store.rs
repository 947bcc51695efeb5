//! The store: episodes in an index, one commit for each record.

use std::{collections::HashMap, path::Path, sync::Arc};

use crate::{
    encode::Encoder,
    error::{Error, ErrorKind, Result},
    id::CommitId,
    index::{Index, Snapshot},
    progress::Progress,
    search::Scratch,
    segment::Document,
    sparse::SparseVector,
    storage::Storage,
};

use super::{
    config::{Fate, Forget, RecordReport, Recorded, StoreConfig, StoreStats},
    find::{self, Finder},
    keys::{KeyKind, KeyPlan},
    layout::{self, Parts},
    recall::Recall,
    record,
    render::Memory,
    select::Usage,
    trajectory::{Outcome, Trajectory},
    write::Batch,
};

/// Experience memory: whole episodes in, the most useful ones back.
///
/// An ExpRAG bank (arXiv 2603.18272) that stays open: recording an episode is one small commit,
/// and the next query finds it. The paper's retriever is dense; this one is whatever [`Encoder`]
/// it is opened with, lexical where no model is at hand.
///
/// ```
/// use std::sync::Arc;
/// use sparsely::{LexicalEncoder, memory::{ExperienceStore, Outcome, Recall, Step, StoreConfig, Trajectory}};
/// let mut store = ExperienceStore::in_memory(Arc::new(LexicalEncoder::text()), StoreConfig::new())?;
/// let episode = Trajectory::new("run-1", "Your task is to boil lead.")
///     .with_step(Step::new("open the stove", "The stove is open."))
///     .with_outcome(Outcome::Success);
/// store.record(episode.clone())?;
/// let memories = store.recall(&Recall::at_start("Your task is to boil tin.").top(1))?;
/// assert_eq!(memories[0].trajectory, episode);
/// # Ok::<(), sparsely::Error>(())
/// ```
///
/// Several processes may have one store open. All of them read, with no lock; one writes at a
/// time, and what another one does when it wants to write say [`StoreConfig::lock_wait`] and
/// [`StoreConfig::queue_when_busy`]. A reader sees the newest commit after
/// [`ExperienceStore::refresh`].
pub struct ExperienceStore {
    index: Index,
    pub(super) snapshot: Snapshot,
    pub(super) encoder: Arc<dyn Encoder>,
    pub(super) config: StoreConfig,
    pub(super) plan: KeyPlan,
}

impl ExperienceStore {
    /// Opens the store in the directory `path`, or creates it.
    ///
    /// # Errors
    /// [`ErrorKind::EncoderMismatch`](crate::ErrorKind::EncoderMismatch) when the store was made
    /// with another encoder; otherwise as [`Index::open_or_create`].
    pub fn open_or_create(
        path: impl AsRef<Path>,
        encoder: Arc<dyn Encoder>,
        config: StoreConfig,
    ) -> Result<ExperienceStore> {
        let index = Index::open_or_create(path, config.index(&*encoder))?;
        ExperienceStore::over(index, encoder, config)
    }

    /// Opens the store in the directory `path`; it creates nothing.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when there is none; otherwise as
    /// [`ExperienceStore::open_or_create`].
    pub fn open(
        path: impl AsRef<Path>,
        encoder: Arc<dyn Encoder>,
        config: StoreConfig,
    ) -> Result<ExperienceStore> {
        let index = Index::open_with(path, config.index(&*encoder))?;
        ExperienceStore::over(index, encoder, config)
    }

    /// A store that lives in memory.
    ///
    /// # Errors
    /// As [`Index::in_memory`].
    pub fn in_memory(encoder: Arc<dyn Encoder>, config: StoreConfig) -> Result<ExperienceStore> {
        let index = Index::in_memory(config.index(&*encoder))?;
        ExperienceStore::over(index, encoder, config)
    }

    /// A store on a storage of the caller's own.
    ///
    /// # Errors
    /// As [`Index::with_storage`].
    pub fn with_storage(
        storage: Arc<dyn Storage>,
        encoder: Arc<dyn Encoder>,
        config: StoreConfig,
    ) -> Result<ExperienceStore> {
        let index = Index::with_storage(storage, config.index(&*encoder))?;
        ExperienceStore::over(index, encoder, config)
    }

    fn over(
        index: Index,
        encoder: Arc<dyn Encoder>,
        config: StoreConfig,
    ) -> Result<ExperienceStore> {
        let snapshot = index.snapshot()?;
        let plan = stored_plan(&snapshot)?.unwrap_or_else(|| config.plan.clone());
        Ok(ExperienceStore {
            index,
            snapshot,
            encoder,
            config,
            plan,
        })
    }

    /// Records an episode: one commit.
    ///
    /// # Errors
    /// As [`ExperienceStore::record_all`].
    pub fn record(&mut self, trajectory: Trajectory) -> Result<Recorded> {
        let mut report = self.record_all([trajectory], &mut Progress::none())?;
        report
            .episodes
            .pop()
            .ok_or_else(|| Error::invalid("record", "one episode", "none"))
    }

    /// Records episodes: one commit for all of them, or none when all of them are duplicates. An
    /// error leaves the store as it was.
    ///
    /// # Errors
    /// [`ErrorKind::Locked`](crate::ErrorKind::Locked) when another process writes for longer than
    /// the store waits; [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) or
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) for an episode that cannot be stored (an id
    /// of none or over 1,024 bytes, an environment, an agent or tags over 60 KiB) or whose id is
    /// taken, see [`StoreConfig::conflict`]; otherwise what encoder or file system make
    /// impossible.
    pub fn record_all(
        &mut self,
        trajectories: impl IntoIterator<Item = Trajectory>,
        progress: &mut Progress<'_>,
    ) -> Result<RecordReport> {
        let mut writer = match self.index.writer() {
            Err(busy) if busy.kind() == ErrorKind::Locked && self.config.queues => {
                return self.enqueue(trajectories, progress);
            }
            result => result?,
        };
        // Another process may have written since: what counts is what stands under the lock.
        self.refresh()?;
        let mut batch = Batch::default();
        let taken = self.take_in(&mut writer, &mut batch, progress)?;
        let mut episodes = Vec::new();
        for trajectory in trajectories {
            progress.step("recording episodes", count(episodes.len()), 0)?;
            episodes.push(self.add(&mut writer, trajectory, &mut batch, self.config.conflict)?);
        }
        if batch.written > 0 {
            if stored_plan(&self.snapshot)?.is_none() {
                let settings = Document::new(layout::settings_key(), SparseVector::default());
                writer.upsert(settings.payload(layout::encode_plan(&self.plan)))?;
            }
            writer.commit_with(progress)?;
        }
        let commit = writer.commit_id();
        // Still under the lock: nobody else may take the same ones in.
        let absorbed = taken.finish(self.index.storage());
        drop(writer);
        self.refresh()?;
        Ok(RecordReport {
            episodes,
            absorbed,
            commit,
        })
    }

    /// The most useful episodes, best first; none when the store has none.
    ///
    /// # Errors
    /// When the request asks for a kind of key that the store has not, or when what is read is
    /// damaged.
    pub fn recall(&self, recall: &Recall) -> Result<Vec<Memory>> {
        self.recall_with(recall, &mut Scratch::new())
    }

    /// As [`ExperienceStore::recall`], with working memory that is kept between calls.
    ///
    /// # Errors
    /// As [`ExperienceStore::recall`].
    pub fn recall_with(&self, recall: &Recall, scratch: &mut Scratch) -> Result<Vec<Memory>> {
        let finder = self.finder();
        let vector = finder.encode(recall)?;
        finder.find(recall, &vector, scratch)
    }

    /// The query of a request as [`ExperienceStore::recall_encoded`] takes it.
    ///
    /// # Errors
    /// As [`ExperienceStore::recall`].
    pub fn encode(&self, recall: &Recall) -> Result<SparseVector> {
        self.finder().encode(recall)
    }

    /// As [`ExperienceStore::recall_with`], with a query that is encoded already.
    ///
    /// # Errors
    /// As [`ExperienceStore::recall`].
    pub fn recall_encoded(
        &self,
        recall: &Recall,
        query: &SparseVector,
        scratch: &mut Scratch,
    ) -> Result<Vec<Memory>> {
        self.finder().find(recall, query, scratch)
    }

    /// An episode by its id.
    ///
    /// # Errors
    /// When what is read is damaged.
    pub fn episode(&self, id: &str) -> Result<Option<Trajectory>> {
        match self.contains(id)? {
            true => read_episode(&self.snapshot, &self.plan, id).map(Some),
            false => Ok(None),
        }
    }

    /// Whether there is an episode of this id.
    ///
    /// # Errors
    /// When what is read is damaged.
    pub fn contains(&self, id: &str) -> Result<bool> {
        self.snapshot.contains(first_document(&self.plan, id))
    }

    /// The ids of all episodes, rising.
    ///
    /// # Errors
    /// When what is read is damaged.
    pub fn ids(&self) -> Result<Vec<String>> {
        let mut ids = Vec::new();
        for key in self.snapshot.keys() {
            let key = key?;
            if let Some((kind, 0, id)) = layout::parse_key(&key)
                && Some(&kind) == self.plan.kinds.first()
            {
                ids.push(id.to_owned());
            }
        }
        ids.sort_unstable();
        Ok(ids)
    }

    /// Counts episodes as retrieved for a task, and as helpful there: one commit. Ids that the
    /// store has not are passed over; how many were counted comes back.
    ///
    /// # Errors
    /// As [`ExperienceStore::record_all`].
    pub fn give_feedback(&mut self, retrieved: &[&str], helped: &[&str]) -> Result<usize> {
        let mut writer = self.index.writer()?;
        self.refresh()?;
        let mut added: HashMap<&str, Usage> = HashMap::new();
        for id in retrieved {
            added.entry(id).or_default().retrieved += 1;
        }
        for id in helped {
            added.entry(id).or_default().helped += 1;
        }
        let mut counted = 0;
        for (id, more) in added {
            if self.contains(id)? {
                let usage = find::read_usage(&self.snapshot, id)?;
                let sum = Usage {
                    retrieved: usage.retrieved.saturating_add(more.retrieved),
                    helped: usage.helped.saturating_add(more.helped),
                };
                writer.upsert(usage_document(id, sum))?;
                counted += 1;
            }
        }
        if counted > 0 {
            writer.commit()?;
        }
        drop(writer);
        self.refresh()?;
        Ok(counted)
    }

    /// The counters of an episode.
    ///
    /// # Errors
    /// When what is read is damaged.
    pub fn usage(&self, id: &str) -> Result<Usage> {
        find::read_usage(&self.snapshot, id)
    }

    /// Forgets episodes with their keys and counters: one commit. What they said is gone from the
    /// store's files when the index has merged the segments that held it. Filters and ages look at
    /// every episode. Says how many were forgotten.
    ///
    /// # Errors
    /// As [`ExperienceStore::record_all`].
    pub fn forget(&mut self, what: &Forget) -> Result<u64> {
        let mut writer = self.index.writer()?;
        self.refresh()?;
        let ids = match what {
            Forget::Ids(ids) => ids.clone(),
            Forget::Matching(_) | Forget::Before(_) => self.ids()?,
        };
        let mut forgotten = 0;
        for id in ids {
            if !self.contains(&id)? {
                continue;
            }
            let goes = match what {
                Forget::Ids(_) => true,
                Forget::Matching(filters) => filters.pass(&self.read(&id)?),
                Forget::Before(time) => self.read(&id)?.time.is_some_and(|ended| ended < *time),
            };
            if goes {
                self.delete(&mut writer, &id)?;
                writer.delete(layout::usage_document(&id))?;
                forgotten += 1;
            }
        }
        if forgotten > 0 {
            writer.commit()?;
        }
        drop(writer);
        self.refresh()?;
        Ok(forgotten)
    }

    /// Takes over the episodes of another store, encoded anew: one commit. Ids that are taken
    /// follow [`StoreConfig::conflict`]. Of counters the larger of both counts, so that merging
    /// twice changes nothing; where episodes were queued, counters wait for the next merging.
    ///
    /// # Errors
    /// As [`ExperienceStore::record_all`].
    pub fn merge(&mut self, other: &ExperienceStore) -> Result<RecordReport> {
        let ids = other.ids()?;
        let mut trajectories = Vec::with_capacity(ids.len());
        for id in &ids {
            trajectories.push(other.read(id)?);
        }
        let report = self.record_all(trajectories, &mut Progress::none())?;
        if report.episodes.iter().any(|one| one.fate == Fate::Queued) {
            return Ok(report);
        }
        let mut writer = self.index.writer()?;
        let mut raised = 0;
        for (theirs, recorded) in ids.iter().zip(&report.episodes) {
            let there = other.usage(theirs)?;
            let here = match &recorded.fate {
                Fate::Duplicate(id) => id,
                Fate::Stored | Fate::Replaced => &recorded.id,
                Fate::Queued => continue,
            };
            let usage = self.usage(here)?;
            let larger = Usage {
                retrieved: usage.retrieved.max(there.retrieved),
                helped: usage.helped.max(there.helped),
            };
            if larger != usage {
                writer.upsert(usage_document(here, larger))?;
                raised += 1;
            }
        }
        if raised > 0 {
            writer.commit()?;
        }
        drop(writer);
        self.refresh()?;
        Ok(report)
    }

    /// What the store holds. It reads every episode.
    ///
    /// # Errors
    /// When what is read is damaged.
    pub fn stats(&self) -> Result<StoreStats> {
        let mut stats = StoreStats::default();
        let mut keys: HashMap<KeyKind, u64> = HashMap::new();
        let mut environments: HashMap<String, u64> = HashMap::new();
        for key in self.snapshot.keys() {
            if let Some((kind, _, _)) = layout::parse_key(&key?) {
                *keys.entry(kind).or_default() += 1;
            }
        }
        for id in self.ids()? {
            let trajectory = self.read(&id)?;
            stats.episodes += 1;
            stats.steps += count(trajectory.steps.len());
            stats.record_bytes += count(record::encode(&trajectory).len());
            for (at, outcome) in Outcome::ALL.into_iter().enumerate() {
                stats.outcomes[at] += u64::from(outcome == trajectory.outcome);
            }
            if let Some(environment) = trajectory.environment {
                *environments.entry(environment).or_default() += 1;
            }
            let usage = self.usage(&id)?;
            stats.usage.retrieved = stats.usage.retrieved.saturating_add(usage.retrieved);
            stats.usage.helped = stats.usage.helped.saturating_add(usage.helped);
        }
        stats.keys = self
            .plan
            .kinds
            .iter()
            .map(|kind| (*kind, keys.get(kind).copied().unwrap_or(0)))
            .collect();
        stats.environments = environments.into_iter().collect();
        stats.environments.sort_unstable();
        Ok(stats)
    }

    /// Moves on to the newest commit and says whether that is another one.
    ///
    /// # Errors
    /// As [`Snapshot::refresh`].
    pub fn refresh(&mut self) -> Result<bool> {
        let moved = self.snapshot.refresh()?;
        if let Some(plan) = stored_plan(&self.snapshot)? {
            self.plan = plan;
        }
        Ok(moved)
    }

    /// The commit that is read from.
    #[must_use]
    pub fn commit_id(&self) -> CommitId {
        self.snapshot.commit_id()
    }

    /// Which keys the store makes.
    #[must_use]
    pub fn plan(&self) -> &KeyPlan {
        &self.plan
    }

    /// The index below, for maintenance: verification, merging, sizes.
    #[must_use]
    pub fn index(&self) -> &Index {
        &self.index
    }

    pub(super) fn finder(&self) -> Finder<'_> {
        Finder {
            snapshot: &self.snapshot,
            plan: &self.plan,
            encoder: &*self.encoder,
        }
    }

    pub(super) fn read(&self, id: &str) -> Result<Trajectory> {
        read_episode(&self.snapshot, &self.plan, id)
    }
}

impl std::fmt::Debug for ExperienceStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExperienceStore")
            .field("place", &self.index.place())
            .field("commit", &self.snapshot.commit_id())
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

/// The document of an episode that always is there and holds its record.
pub(super) fn first_document(plan: &KeyPlan, id: &str) -> crate::segment::DocKey {
    let kind = plan.kinds.first().copied().unwrap_or(KeyKind::Task);
    layout::key_document(kind, 0, id)
}

pub(super) fn read_parts(
    snapshot: &Snapshot,
    plan: &KeyPlan,
    id: &str,
) -> Result<(Parts, Vec<u8>)> {
    let missing = || Error::not_found(format!("episode {id:?}"), "record it first");
    let document = snapshot
        .document(first_document(plan, id))?
        .ok_or_else(missing)?;
    let (parts, record) = Parts::decode(document.payload().unwrap_or_default())?;
    Ok((parts, record.to_vec()))
}

/// An episode, whole.
pub(super) fn read_episode(snapshot: &Snapshot, plan: &KeyPlan, id: &str) -> Result<Trajectory> {
    let (parts, mut bytes) = read_parts(snapshot, plan, id)?;
    for part in 1..=parts.parts {
        let document = snapshot.document(layout::part_document(part, id))?;
        let document = document.ok_or_else(|| {
            Error::corrupt(
                "experience store",
                "parts",
                0,
                format_args!("part {part} of {id:?}"),
                "none",
            )
        })?;
        bytes.extend_from_slice(document.payload().unwrap_or_default());
    }
    record::decode(&bytes)
}

fn stored_plan(snapshot: &Snapshot) -> Result<Option<KeyPlan>> {
    match snapshot.document(layout::settings_key())? {
        Some(document) => layout::decode_plan(document.payload().unwrap_or_default()).map(Some),
        None => Ok(None),
    }
}

fn usage_document(id: &str, usage: Usage) -> Document {
    Document::new(layout::usage_document(id), SparseVector::default())
        .payload(layout::encode_usage(usage))
}

pub(super) fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

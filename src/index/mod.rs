//! The index: create, open, write, commit, read.
//!
//! An [`Index`] is a directory of write-once files. One [`Writer`] at a time, anywhere, turns
//! documents into segments and commits them; any number of [`Snapshot`]s, in any process, read a
//! commit each and never change. What is promised, and how it is tested: `docs/reliability.md`.

mod commit;
mod config;
mod copy;
mod document;
#[cfg(feature = "json")]
mod lines;
mod memory_index;
mod merge_job;
mod merge_policy;
mod newest;
mod recovery;
mod repair;
mod snapshot;
mod state;
mod stats;
mod verify;
mod work;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

pub(crate) use self::commit::random;
#[cfg(feature = "json")]
pub use self::lines::{Export, Import};
use self::{commit::Failure, newest::Newest, state::State};
pub use self::{
    config::{Checks, Config, Durability, Merging},
    memory_index::MemoryIndex,
    merge_job::{MergeJob, MergedSegment},
    recovery::Fallback,
    repair::Repair,
    snapshot::Snapshot,
    stats::{PartStats, SegmentStats, Stats},
    verify::{Damage, Verification, Verify},
    writer::{IndexWriter, Writer},
};
use crate::{
    error::{Error, ErrorKind, Result},
    format::{IndexId, Manifest},
    id::{CommitId, SegmentId},
    storage::{Disk, LockAttempt, Memory, Storage},
};

/// Name of the lock file; never removed, so that nobody locks a name that another is losing.
const LOCK: &str = "writer.lock";

/// How long the creation of an index waits for another process that is creating the same one.
const CREATION_WAIT: Duration = Duration::from_secs(5);
/// How often it looks meanwhile whether the other one is done.
const CREATION_ROUND: Duration = Duration::from_millis(50);

/// An index: where it is, and how it was opened. Cheap to clone; holds no lock.
///
/// ```
/// use sparsely::{Config, Document, Index, Query, Searcher, SparseVector};
/// let index = Index::in_memory(Config::new())?;
/// let mut writer = index.writer()?;
/// writer.upsert(Document::new("first", SparseVector::new([(1, 2.0), (2, 0.5)])?))?;
/// writer.upsert(Document::new("second", SparseVector::new([(2, 1.5)])?))?;
/// writer.commit()?;
///
/// let hits = index.snapshot()?.search(&Query::new(SparseVector::new([(2, 1.0)])?))?;
/// let keys: Vec<String> = hits.iter().map(|hit| hit.key().to_string()).collect();
/// assert_eq!(keys, ["second", "first"]);
/// # Ok::<(), sparsely::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Index {
    core: Arc<Core>,
}

/// What an index's writers and snapshots share.
#[derive(Debug)]
struct Core {
    storage: Arc<dyn Storage>,
    config: Config,
    /// The newest commit that this process has seen: what it has open is not opened again.
    newest: Newest<State>,
}

impl Index {
    /// Creates an empty index in the directory `path`, which is created where it is missing.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] when there is an index already; otherwise when the
    /// configuration breaks a rule or the file system refuses.
    pub fn create(path: impl AsRef<Path>, config: Config) -> Result<Index> {
        // Before there is a directory.
        config.to_stored()?;
        let disk = Disk::create(path)?.reading(config.reading);
        Index::create_in(Arc::new(disk), config)
    }

    /// Opens the index in the directory `path`, with a default [`Config`].
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none, [`ErrorKind::Version`] when it is newer than
    /// this library, [`ErrorKind::Corrupt`] when it is damaged, or when the file system refuses.
    pub fn open(path: impl AsRef<Path>) -> Result<Index> {
        Index::open_with(path, Config::new())
    }

    /// Opens the index in the directory `path`. Of `config`, what is fixed at creation counts only
    /// as far as the encoder must be the index's.
    ///
    /// # Errors
    /// As [`Index::open`], and [`ErrorKind::EncoderMismatch`].
    pub fn open_with(path: impl AsRef<Path>, config: Config) -> Result<Index> {
        let disk = Disk::open(path).reading(config.reading);
        Index::open_in(Arc::new(disk), config)
    }

    /// Opens the index in the directory `path`, or creates it where there is none. Two processes
    /// may do so at once.
    ///
    /// # Errors
    /// As [`Index::open_with`] and [`Index::create`], but for the cases that they exclude.
    pub fn open_or_create(path: impl AsRef<Path>, config: Config) -> Result<Index> {
        match Index::open_with(&path, config.clone()) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            result => return result,
        }
        match Index::create(&path, config.clone()) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Index::open_with(path, config)
            }
            result => result,
        }
    }

    /// An index that lives in memory and ends with its last [`Index`], writer and snapshot.
    ///
    /// # Errors
    /// When the configuration breaks a rule.
    pub fn in_memory(config: Config) -> Result<Index> {
        Index::create_in(Arc::new(Memory::default()), config)
    }

    /// Opens the index in `storage`, or creates it where there is none.
    ///
    /// # Errors
    /// As [`Index::open_or_create`].
    pub fn with_storage(storage: Arc<dyn Storage>, config: Config) -> Result<Index> {
        match Index::open_in(storage.clone(), config.clone()) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            result => return result,
        }
        match Index::create_in(storage.clone(), config.clone()) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Index::open_in(storage, config)
            }
            result => result,
        }
    }

    /// Opens the index in `storage`.
    ///
    /// # Errors
    /// As [`Index::open_with`].
    pub fn open_storage(storage: Arc<dyn Storage>, config: Config) -> Result<Index> {
        Index::open_in(storage, config)
    }

    /// Begins to write. There is one writer at a time, of all processes; it ends when it is
    /// dropped, and with it goes what it did not commit.
    ///
    /// # Errors
    /// [`ErrorKind::Locked`] when there is another, after [`Config::lock_wait`];
    /// [`ErrorKind::ReadOnly`] when the index cannot be written; [`ErrorKind::Corrupt`] when its
    /// newest commit is damaged, so that writing would make the loss final.
    pub fn writer(&self) -> Result<Writer> {
        let lock = lock(&*self.core.storage, self.core.config.lock_wait)?;
        Writer::open(self.core.clone(), lock)
    }

    /// The newest commit, to read from. It takes no lock and creates no file.
    ///
    /// # Errors
    /// As [`Index::open`].
    pub fn snapshot(&self) -> Result<Snapshot> {
        Ok(Snapshot::new(self.core.clone(), self.core.refresh()?))
    }

    /// The newest commit that is whole.
    ///
    /// # Errors
    /// As [`Index::open`].
    pub fn latest_commit(&self) -> Result<CommitId> {
        Ok(self.core.refresh()?.manifest.commit)
    }

    /// The files below.
    pub(crate) fn storage(&self) -> &Arc<dyn Storage> {
        &self.core.storage
    }

    /// The directory, or a word for a storage that is none.
    #[must_use]
    pub fn place(&self) -> PathBuf {
        self.core.storage.place()
    }

    fn open_in(storage: Arc<dyn Storage>, config: Config) -> Result<Index> {
        let state = recovery::load(&*storage, config.checks, None)?;
        config.check_encoder(&state.manifest.config)?;
        Ok(Index::new(storage, config, state))
    }

    fn create_in(storage: Arc<dyn Storage>, config: Config) -> Result<Index> {
        let stored = config.to_stored()?;
        let _lock = lock_vacant(&*storage, config.lock_wait.max(CREATION_WAIT))?;
        commit::check_vacant(&*storage)?;
        let manifest = Manifest {
            index: index_id(),
            commit: CommitId(0),
            previous: CommitId(0),
            config: stored,
            next_segment: SegmentId(1),
            saturated_weights: 0,
            segments: Vec::new(),
        };
        match commit::publish(&*storage, config.durability, &manifest) {
            Ok(()) => {}
            Err(Failure::Abandoned(error) | Failure::Unsynced(error) | Failure::Unknown(error)) => {
                return Err(error);
            }
        }
        let state = State::new(manifest, Vec::new())?;
        Ok(Index::new(storage, config, state))
    }

    fn new(storage: Arc<dyn Storage>, config: Config, state: State) -> Index {
        let core = Core {
            storage,
            config,
            newest: Newest::new(state),
        };
        Index {
            core: Arc::new(core),
        }
    }
}

impl Core {
    /// Looks for a newer commit, of this process or another, and returns the newest.
    fn refresh(&self) -> Result<Arc<State>> {
        #[cfg(sparsely_planted)]
        if crate::planted::bug("planted: refresh stays where it is") {
            return Ok(self.newest.get());
        }
        let stands = |known: &State| -> Result<bool> {
            let commits = commit::commits(&self.storage.list()?);
            Ok(commits.first() == Some(&known.manifest.commit)
                && recovery::read_manifest(&*self.storage, known.manifest.commit)
                    .is_ok_and(|manifest| manifest == known.manifest))
        };
        let load = |known: &State| recovery::load(&*self.storage, self.config.checks, Some(known));
        self.newest.refresh(stands, load)
    }
}

/// Takes the lock for a creation. The wait ends when an index stands, whose writers may hold the
/// lock for as long as they like.
fn lock_vacant(storage: &dyn Storage, wait: Duration) -> Result<Box<dyn Send + Sync>> {
    let start = Instant::now();
    loop {
        commit::check_absent(storage, &storage.list()?)?;
        let left = wait.saturating_sub(start.elapsed());
        match lock(storage, left.min(CREATION_ROUND)) {
            Err(error) if error.kind() == ErrorKind::Locked && left > CREATION_ROUND => {}
            result => return result,
        }
    }
}

/// Takes the writer's lock, waiting at most `wait`.
fn lock(storage: &dyn Storage, wait: Duration) -> Result<Box<dyn Send + Sync>> {
    #[cfg(sparsely_planted)]
    if crate::planted::bug("planted: no lock is taken") {
        return Ok(Box::new(()));
    }
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        let holder = match storage.try_lock(LOCK)? {
            LockAttempt::Acquired(lock) => return Ok(lock),
            LockAttempt::Held(holder) => holder,
        };
        let left = wait.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Err(Error::locked(&storage.place(), holder));
        }
        std::thread::sleep(pause.min(left));
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

fn index_id() -> IndexId {
    let mut id = IndexId::default();
    id[..8].copy_from_slice(&commit::random().to_le_bytes());
    id[8..].copy_from_slice(&commit::random().to_le_bytes());
    id
}

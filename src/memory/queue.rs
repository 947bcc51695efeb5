//! Episodes that wait for a writer: files beside the index, one each, taken in by the next write.
//!
//! An index has one writer at a time. A process that cannot wait for it leaves its episode here,
//! durably, and goes on; whoever writes next takes it in under the lock. A file is removed only
//! when the commit that holds its episode stands, and an episode that is there already is a
//! duplicate: so a crash at any moment loses nothing and stores nothing twice. Names of these files
//! are none of the index's, which leaves them alone. `docs/memory.md` has their layout.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::{
    error::{Error, Result},
    index::{Writer, random},
    progress::Progress,
    storage::Storage,
};

use super::{
    config::{Absorbed, Conflict, Fate, RecordReport, Recorded},
    layout, record,
    store::ExperienceStore,
    trajectory::Trajectory,
    write::Batch,
};

const MAGIC: &[u8; 8] = b"SPRLWAIT";

/// Magic, checksum of the record, length of the record.
const HEAD_LEN: usize = 8 + 4 + 8;

const WAITING: &str = "waiting-";

/// Before its rename: nobody reads it.
const UNFINISHED: &str = "arriving-";

/// A file that was not finished for so long belongs to a process that died.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

impl ExperienceStore {
    /// How many episodes wait to be taken in; see
    /// [`StoreConfig::queue_when_busy`](super::StoreConfig::queue_when_busy).
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn queued(&self) -> Result<usize> {
        Ok(waiting(&**self.index().storage())?.len())
    }

    /// Takes in the episodes that wait, as every recording does first: one commit, or none when
    /// nothing waits. Where another process is writing and this store queues, they go on waiting.
    ///
    /// # Errors
    /// As [`ExperienceStore::record_all`].
    ///
    /// ```
    /// use std::{sync::Arc, time::Duration};
    /// use sparsely::{LexicalEncoder, memory::{ExperienceStore, Fate, StoreConfig, Trajectory}};
    /// let config = StoreConfig::new().queue_when_busy(true).lock_wait(Duration::ZERO);
    /// let encoder = Arc::new(LexicalEncoder::text());
    /// let mut store = ExperienceStore::in_memory(encoder, config)?;
    /// let busy = store.index().writer()?;
    /// assert_eq!(store.record(Trajectory::new("run-1", "boil lead"))?.fate, Fate::Queued);
    /// drop(busy);
    /// assert_eq!(store.absorb()?.episodes[0].fate, Fate::Stored);
    /// assert!(store.contains("run-1")?);
    /// # Ok::<(), sparsely::Error>(())
    /// ```
    pub fn absorb(&mut self) -> Result<Absorbed> {
        let report = self.record_all([], &mut Progress::none())?;
        Ok(report.absorbed)
    }

    /// Leaves episodes for the next writer. Each one is whole and durable, or not there.
    pub(super) fn enqueue(
        &self,
        trajectories: impl IntoIterator<Item = Trajectory>,
        progress: &mut Progress<'_>,
    ) -> Result<RecordReport> {
        let storage = self.index().storage();
        let mut episodes = Vec::new();
        for trajectory in trajectories {
            progress.step("queueing episodes", super::store::count(episodes.len()), 0)?;
            // What could not be taken in must be refused now, to the one who can do something.
            layout::check(&trajectory)?;
            let (texts, windows_left_out) = self.plan.texts(&trajectory);
            self.encode_keys(&texts)?;
            put(&**storage, &record::encode(&trajectory))?;
            episodes.push(Recorded {
                warning: trajectory.contradiction(),
                id: trajectory.id,
                fate: Fate::Queued,
                near_duplicates: Vec::new(),
                windows_left_out,
            });
        }
        if !episodes.is_empty() {
            storage.sync_directory()?;
        }
        Ok(RecordReport {
            episodes,
            absorbed: Absorbed::default(),
            commit: self.commit_id(),
        })
    }

    /// Adds what waits to what `writer` will commit.
    pub(super) fn take_in(
        &self,
        writer: &mut Writer,
        batch: &mut Batch,
        progress: &mut Progress<'_>,
    ) -> Result<TakenIn> {
        let storage = self.index().storage().clone();
        let mut taken = TakenIn::default();
        for name in waiting(&*storage)? {
            progress.step(
                "taking in queued episodes",
                super::store::count(taken.names.len()),
                0,
            )?;
            match read(&*storage, &name) {
                Ok(trajectory) => {
                    // Who queued it is gone, so nobody could be told that its id was refused.
                    let conflict = match self.config.conflict {
                        Conflict::Refuse => Conflict::Rename,
                        other => other,
                    };
                    let recorded = self.add(writer, trajectory, batch, conflict)?;
                    taken.absorbed.episodes.push(recorded);
                    taken.names.push(name);
                }
                Err(error) => taken.absorbed.unreadable.push((name, error.to_string())),
            }
        }
        Ok(taken)
    }
}

/// What a writer took in, and which files held it.
#[derive(Default)]
pub(super) struct TakenIn {
    pub(super) absorbed: Absorbed,
    names: Vec<String>,
}

impl TakenIn {
    /// Removes the files. Only when the commit stands; what stays is a duplicate next time.
    pub(super) fn finish(self, storage: &Arc<dyn Storage>) -> Absorbed {
        for name in &self.names {
            let _ = storage.remove(name);
        }
        remove_abandoned(&**storage, now());
        self.absorbed
    }
}

/// The files that wait, in the order in which they came as far as clocks tell.
fn waiting(storage: &dyn Storage) -> Result<Vec<String>> {
    let mut names = storage.list()?;
    names.retain(|name| arrival(name, WAITING).is_some());
    names.sort_unstable();
    Ok(names)
}

fn put(storage: &dyn Storage, record: &[u8]) -> Result<()> {
    let stem = format!("{:016x}-{:016x}", now(), random());
    let unfinished = format!("{UNFINISHED}{stem}");
    let mut file = storage.create(&unfinished)?;
    let length = u64::try_from(record.len()).unwrap_or(u64::MAX);
    let head = [
        &MAGIC[..],
        &crc32fast::hash(record).to_le_bytes(),
        &length.to_le_bytes(),
    ];
    file.write(&head.concat())?;
    file.write(record)?;
    file.sync()?;
    drop(file);
    storage.rename(&unfinished, &format!("{WAITING}{stem}"))
}

fn read(storage: &dyn Storage, name: &str) -> Result<Trajectory> {
    let bytes = storage.open(name)?;
    let refuse = |offset: u64, expected: &str, found: String| {
        Error::corrupt(
            name,
            "queued episode",
            offset,
            format_args!("{expected}"),
            found,
        )
    };
    let Some((head, record)) = bytes.split_at_checked(HEAD_LEN) else {
        return Err(refuse(
            0,
            "a head of 20 bytes",
            format!("{} bytes", bytes.len()),
        ));
    };
    let (magic, rest) = head.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(refuse(0, "SPRLWAIT", format!("{magic:02x?}")));
    }
    let (crc, length) = rest.split_at(4);
    let found = u64::try_from(record.len()).unwrap_or(u64::MAX);
    if length != found.to_le_bytes() {
        return Err(refuse(
            12,
            "the length of what follows",
            format!("{found} bytes follow"),
        ));
    }
    let sum = crc32fast::hash(record);
    if crc != sum.to_le_bytes() {
        return Err(refuse(
            8,
            "the checksum of the record",
            format!("{sum:08x}"),
        ));
    }
    record::decode(record)
}

/// Microseconds since 1970 in the name of a file of ours.
fn arrival(name: &str, prefix: &str) -> Option<u64> {
    let (time, random) = name.strip_prefix(prefix)?.split_once('-')?;
    let is_number = |text: &str| text.len() == 16 && u64::from_str_radix(text, 16).is_ok();
    (is_number(time) && is_number(random)).then(|| u64::from_str_radix(time, 16).ok())?
}

fn remove_abandoned(storage: &dyn Storage, now: u64) {
    let age = u64::try_from(ABANDONED.as_micros()).unwrap_or(u64::MAX);
    for name in storage.list().unwrap_or_default() {
        if arrival(&name, UNFINISHED).is_some_and(|arrived| arrived.saturating_add(age) < now) {
            let _ = storage.remove(&name);
        }
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        encode::LexicalEncoder,
        memory::{Outcome, StoreConfig},
        storage::Memory,
    };

    fn store(memory: &Memory) -> ExperienceStore {
        let config = StoreConfig::new()
            .queue_when_busy(true)
            .lock_wait(Duration::ZERO);
        let encoder = Arc::new(LexicalEncoder::text());
        ExperienceStore::with_storage(Arc::new(memory.clone()), encoder, config).unwrap()
    }

    fn episode(id: &str) -> Trajectory {
        Trajectory::new(id, format!("boil {id}")).with_outcome(Outcome::Success)
    }

    #[test]
    fn what_was_taken_in_and_not_removed_is_a_duplicate() {
        let memory = Memory::default();
        let mut store = store(&memory);
        store.record(episode("tin")).unwrap();
        let busy = store.index().writer().unwrap();
        let other = Trajectory::new("tin", "freeze mercury");
        let report = store
            .record_all([episode("lead"), other], &mut Progress::none())
            .unwrap();
        assert!(report.episodes.iter().all(|one| one.fate == Fate::Queued));
        drop(busy);
        let files: Vec<(String, crate::storage::FileBytes)> = waiting(&memory)
            .unwrap()
            .into_iter()
            .map(|name| (name.clone(), memory.open(&name).unwrap()))
            .collect();
        assert_eq!(files.len(), 2);
        let absorbed = store.absorb().unwrap();
        assert_eq!(absorbed.episodes.len(), 2);
        assert_eq!(store.queued().unwrap(), 0);
        assert_eq!(store.ids().unwrap(), ["lead", "tin", "tin~2"]);
        // As after a crash between commit and removal.
        for (name, bytes) in files {
            memory.create(&name).unwrap().write(&bytes).unwrap();
        }
        let commit = store.commit_id();
        let again = store.absorb().unwrap();
        let is_duplicate = |one: &Recorded| matches!(one.fate, Fate::Duplicate(_));
        assert!(again.episodes.iter().all(is_duplicate), "{again:?}");
        assert_eq!((store.commit_id(), store.queued().unwrap()), (commit, 0));
    }

    #[test]
    fn every_damaged_byte_is_reported_and_the_file_stays() {
        let memory = Memory::default();
        let mut store = store(&memory);
        put(&memory, &record::encode(&episode("tin"))).unwrap();
        let name = waiting(&memory).unwrap().remove(0);
        let whole = memory.open(&name).unwrap().to_vec();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x40;
            memory.remove(&name).unwrap();
            memory.create(&name).unwrap().write(&damaged).unwrap();
            let absorbed = store.absorb().unwrap();
            assert_eq!(absorbed.unreadable.len(), 1, "byte {at}");
            assert!(absorbed.episodes.is_empty());
        }
        memory.remove(&name).unwrap();
        memory
            .create(&name)
            .unwrap()
            .write(&whole[..whole.len() - 1])
            .unwrap();
        assert_eq!(store.absorb().unwrap().unreadable[0].0, name);
        assert_eq!(store.queued().unwrap(), 1);
    }

    #[test]
    fn only_old_unfinished_files_are_removed() {
        let memory = Memory::default();
        let day = u64::try_from(ABANDONED.as_micros()).unwrap();
        let (old, new) = (
            format!("{UNFINISHED}{:016x}-{:016x}", 1, 2),
            format!("{UNFINISHED}{day:016x}-{:016x}", 2),
        );
        for name in [&old, &new, &"arriving-soon".to_owned()] {
            memory.create(name).unwrap().write(b"").unwrap();
        }
        remove_abandoned(&memory, day + 2);
        let mut left = memory.list().unwrap();
        left.sort_unstable();
        assert_eq!(left, [new, "arriving-soon".to_owned()]);
    }
}

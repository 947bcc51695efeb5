//! A file system that remembers every operation, so that each state a power cut may leave can be
//! put together afterwards, and that can fail any operation in any of eight ways.
//!
//! The model is the weakest that POSIX allows: the bytes of a file stand only after its sync;
//! creations, renames and removals stand only after the directory's sync and until then persist
//! in any subset. An unsynced file may be missing, empty, cut, zeroed or end in garbage.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
};

use sparsely::{
    Error, Result,
    storage::{FileBytes, LockAttempt, Storage, WriteFile},
};

/// Names with their bytes: what is on the medium.
pub(crate) type Files = BTreeMap<String, Arc<Vec<u8>>>;

/// A simulated disk. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Simulated(Arc<Mutex<Disk>>);

#[derive(Debug, Default)]
struct Disk {
    /// Files by number, as they are now. Files only grow, so older lengths give older contents.
    inodes: Vec<Arc<Vec<u8>>>,
    names: BTreeMap<String, usize>,
    log: Vec<Operation>,
    /// Directory and durable lengths that the log starts from.
    first_names: BTreeMap<String, usize>,
    first_lens: Vec<usize>,
    is_locked: bool,
    /// Files whose sync failed: the device has dropped what was not durable, and calls it clean.
    dropped: BTreeSet<usize>,
    calls: usize,
    fault: Option<Fault>,
    fired: usize,
    neglect: Option<Neglect>,
}

#[derive(Clone, Debug, PartialEq)]
enum Operation {
    Create { name: String, inode: usize },
    Write { inode: usize, len: usize },
    Sync { inode: usize },
    Rename { from: String, to: String },
    Remove { name: String },
    SyncDirectory,
}

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    Io,
    Full,
    Quota,
    Denied,
    ReadOnly,
    Interrupted,
    /// A write gets one byte through; other operations fail as by `Io`.
    Short,
    /// The operation is done and reported as failed.
    DoneAndFailed,
}

impl FaultKind {
    pub(crate) const ALL: [FaultKind; 8] = [
        FaultKind::Io,
        FaultKind::Full,
        FaultKind::Quota,
        FaultKind::Denied,
        FaultKind::ReadOnly,
        FaultKind::Interrupted,
        FaultKind::Short,
        FaultKind::DoneAndFailed,
    ];

    fn error(self) -> io::Error {
        match self {
            FaultKind::Io | FaultKind::Short | FaultKind::DoneAndFailed => {
                io::Error::from_raw_os_error(5)
            }
            FaultKind::Full => io::ErrorKind::StorageFull.into(),
            FaultKind::Quota => io::ErrorKind::QuotaExceeded.into(),
            FaultKind::Denied => io::ErrorKind::PermissionDenied.into(),
            FaultKind::ReadOnly => io::ErrorKind::ReadOnlyFilesystem.into(),
            FaultKind::Interrupted => io::ErrorKind::Interrupted.into(),
        }
    }
}

/// Which operations fail.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// The number of the call, from 0.
    pub at: usize,
    pub kind: FaultKind,
    /// All later calls fail too.
    pub lasts: bool,
}

/// What a careless storage leaves out: bugs that the crash tests must notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::enum_variant_names,
    reason = "each names the sync that is left out"
)]
pub(crate) enum Neglect {
    FileSync,
    DirectorySync,
    ManifestSync,
}

impl Simulated {
    /// A disk that holds `files`, all of them durable.
    pub(crate) fn holding(files: &Files) -> Simulated {
        let mut disk = Disk::default();
        for (name, bytes) in files {
            disk.names.insert(name.clone(), disk.inodes.len());
            disk.first_lens.push(bytes.len());
            disk.inodes.push(bytes.clone());
        }
        disk.first_names = disk.names.clone();
        Simulated(Arc::new(Mutex::new(disk)))
    }

    pub(crate) fn inject(&self, fault: Option<Fault>) {
        let mut disk = self.disk();
        disk.fault = fault;
        disk.calls = 0;
        disk.fired = 0;
    }

    pub(crate) fn neglect(&self, neglect: Neglect) {
        self.disk().neglect = Some(neglect);
    }

    /// How many calls failed on purpose.
    pub(crate) fn fired(&self) -> usize {
        self.disk().fired
    }

    /// How many operations the log holds.
    pub(crate) fn logged(&self) -> usize {
        self.disk().log.len()
    }

    /// What is there now, durable or not.
    pub(crate) fn files(&self) -> Files {
        let disk = self.disk();
        let names = disk.names.iter();
        names
            .map(|(name, inode)| (name.clone(), disk.inodes[*inode].clone()))
            .collect()
    }

    /// Hands every state that a power cut after `prefix` operations may leave to `visit`, each
    /// once, and returns how many there were.
    pub(crate) fn power_cuts(
        &self,
        prefix: usize,
        effort: Effort,
        mut visit: impl FnMut(Files),
    ) -> usize {
        let disk = self.disk();
        let cut = Cut::new(&disk, prefix);
        let states = cut.states(effort);
        for state in &states {
            let files = state.iter();
            visit(
                files
                    .map(|(name, (inode, damage))| (name.clone(), cut.content(*inode, *damage)))
                    .collect(),
            );
        }
        states.len()
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Counts a call; the error it must end with, and whether it is done all the same.
    fn call(&self, action: &'static str, name: &str) -> Option<(Error, FaultKind)> {
        let mut disk = self.disk();
        let at = disk.calls;
        disk.calls += 1;
        let fault = disk.fault?;
        if at != fault.at && !(fault.lasts && at > fault.at) {
            return None;
        }
        disk.fired += 1;
        let error = Error::io(action, format!("(simulated)/{name}"), fault.kind.error());
        Some((error, fault.kind))
    }

    /// Runs `operation` unless the call is to fail.
    fn run<T>(
        &self,
        action: &'static str,
        name: &str,
        operation: impl FnOnce(&mut Disk) -> io::Result<T>,
    ) -> Result<T> {
        let fault = self.call(action, name);
        if let Some((error, kind)) = fault {
            if kind == FaultKind::DoneAndFailed {
                // Named, so that a lock is given up after the disk was let go.
                let done = operation(&mut self.disk());
                drop(done);
            }
            return Err(error);
        }
        operation(&mut self.disk())
            .map_err(|error| Error::io(action, format!("(simulated)/{name}"), error))
    }
}

impl Storage for Simulated {
    fn place(&self) -> PathBuf {
        PathBuf::from("(simulated)")
    }

    fn create(&self, name: &str) -> Result<Box<dyn WriteFile>> {
        let inode = self.run("create", name, |disk| {
            if disk.names.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let inode = disk.inodes.len();
            disk.inodes.push(Arc::default());
            disk.names.insert(name.to_owned(), inode);
            let name = name.to_owned();
            disk.log.push(Operation::Create { name, inode });
            Ok(inode)
        })?;
        Ok(Box::new(SimulatedFile {
            disk: self.clone(),
            inode,
            name: name.to_owned(),
        }))
    }

    fn open(&self, name: &str) -> Result<FileBytes> {
        self.run("open", name, |disk| {
            let inode = disk.names.get(name).ok_or(io::ErrorKind::NotFound)?;
            Ok(FileBytes::new(Shared(disk.inodes[*inode].clone())))
        })
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.run("rename", from, |disk| {
            let inode = disk.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
            disk.names.insert(to.to_owned(), inode);
            let (from, to) = (from.to_owned(), to.to_owned());
            disk.log.push(Operation::Rename { from, to });
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.run("remove", name, |disk| {
            disk.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
            let name = name.to_owned();
            disk.log.push(Operation::Remove { name });
            Ok(())
        })
    }

    fn list(&self) -> Result<Vec<String>> {
        self.run("list", "", |disk| Ok(disk.names.keys().cloned().collect()))
    }

    fn sync_directory(&self) -> Result<()> {
        self.run("sync the directory", "", |disk| {
            if disk.neglect != Some(Neglect::DirectorySync) {
                disk.log.push(Operation::SyncDirectory);
            }
            Ok(())
        })
    }

    fn try_lock(&self, name: &str) -> Result<LockAttempt> {
        self.run("lock", name, |disk| {
            if std::mem::replace(&mut disk.is_locked, true) {
                return Ok(LockAttempt::Held("a simulated process".to_owned()));
            }
            Ok(LockAttempt::Acquired(Box::new(Lock(self.clone()))))
        })
    }
}

struct Lock(Simulated);

impl Drop for Lock {
    fn drop(&mut self) {
        self.0.disk().is_locked = false;
    }
}

struct Shared(Arc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

struct SimulatedFile {
    disk: Simulated,
    inode: usize,
    name: String,
}

impl WriteFile for SimulatedFile {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let fault = self.disk.call("write", &self.name);
        let count = match &fault {
            None => bytes.len(),
            Some((_, FaultKind::DoneAndFailed)) => bytes.len(),
            Some((_, FaultKind::Short)) => bytes.len().min(1),
            Some(_) => 0,
        };
        let mut disk = self.disk.disk();
        let content = Arc::make_mut(&mut disk.inodes[self.inode]);
        content.extend_from_slice(&bytes[..count]);
        let len = content.len();
        let inode = self.inode;
        disk.log.push(Operation::Write { inode, len });
        fault.map_or(Ok(()), |(error, _)| Err(error))
    }

    fn sync(&mut self) -> Result<()> {
        let inode = self.inode;
        let is_manifest = self.name.starts_with("unfinished");
        let synced = self.disk.run("sync", &self.name, |disk| {
            let is_neglected = match disk.neglect {
                Some(Neglect::FileSync) => !is_manifest,
                Some(Neglect::ManifestSync) => is_manifest,
                _ => false,
            };
            if !is_neglected && !disk.dropped.contains(&inode) {
                disk.log.push(Operation::Sync { inode });
            }
            Ok(())
        });
        if synced.is_err() {
            self.disk.disk().dropped.insert(inode);
        }
        synced
    }
}

/// How many of the possible states are put together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Up to so many unsynced directory operations, every subset of them.
    pub subsets_of: usize,
    /// Random mixtures of everything.
    pub mixtures: u64,
    /// Files are cut at multiples of this.
    pub sector: usize,
}

impl Effort {
    pub(crate) const QUICK: Effort = Effort {
        subsets_of: 4,
        mixtures: 4,
        sector: 512,
    };
    pub(crate) const SHORT: Effort = Effort {
        subsets_of: 6,
        mixtures: 24,
        sector: 128,
    };
    pub(crate) const NIGHTLY: Effort = Effort {
        subsets_of: 10,
        mixtures: 256,
        sector: 64,
    };
}

/// The moment of a power cut: what is durable, what is not.
struct Cut<'a> {
    disk: &'a Disk,
    names: BTreeMap<String, usize>,
    /// Directory operations since the last sync of the directory.
    pending: Vec<&'a Operation>,
    lens: BTreeMap<usize, usize>,
    synced_lens: BTreeMap<usize, usize>,
    prefix: usize,
}

impl<'a> Cut<'a> {
    fn new(disk: &'a Disk, prefix: usize) -> Cut<'a> {
        let first: BTreeMap<usize, usize> = disk.first_lens.iter().copied().enumerate().collect();
        let mut cut = Cut {
            disk,
            names: disk.first_names.clone(),
            pending: Vec::new(),
            lens: first.clone(),
            synced_lens: first,
            prefix,
        };
        for operation in &disk.log[..prefix] {
            match operation {
                Operation::Write { inode, len } => {
                    cut.lens.insert(*inode, *len);
                }
                Operation::Sync { inode } => {
                    let len = cut.lens.get(inode).copied().unwrap_or(0);
                    cut.synced_lens.insert(*inode, len);
                }
                Operation::SyncDirectory => {
                    cut.names = cut.directory(u64::MAX);
                    cut.pending.clear();
                }
                _ => cut.pending.push(operation),
            }
        }
        cut
    }

    /// The directory when of the pending operations those of `mask` persist.
    fn directory(&self, mask: u64) -> BTreeMap<String, usize> {
        let mut names = self.names.clone();
        // Where a file is, whether or not its creation persists: a rename names the file itself.
        let mut current = self.names.clone();
        for (at, operation) in self.pending.iter().enumerate() {
            let persists = at >= 64 || mask >> at & 1 == 1;
            match operation {
                Operation::Create { name, inode } => {
                    current.insert(name.clone(), *inode);
                    if persists {
                        names.insert(name.clone(), *inode);
                    }
                }
                Operation::Rename { from, to } => {
                    let inode = current.remove(from).expect("the log is in order");
                    current.insert(to.clone(), inode);
                    if persists {
                        names.remove(from);
                        names.insert(to.clone(), inode);
                    }
                }
                Operation::Remove { name } => {
                    current.remove(name);
                    if persists {
                        names.remove(name);
                    }
                }
                _ => {}
            }
        }
        names
    }

    fn content(&self, inode: usize, damage: Damage) -> Arc<Vec<u8>> {
        let all = &self.disk.inodes[inode];
        let (synced, len) = self.lens_of(inode);
        if damage == Damage::None && len == all.len() {
            return all.clone();
        }
        let mut bytes = all[..len].to_vec();
        match damage {
            Damage::None => {}
            Damage::CutAt(at) => bytes.truncate(at),
            Damage::Zeroed => bytes[synced..].fill(0),
            Damage::Garbage => {
                let start = synced.max(len.saturating_sub(512));
                bytes[start..].fill(0xA5);
            }
        }
        Arc::new(bytes)
    }

    /// Durable length and length.
    fn lens_of(&self, inode: usize) -> (usize, usize) {
        let of = |lens: &BTreeMap<usize, usize>| lens.get(&inode).copied().unwrap_or(0);
        (of(&self.synced_lens), of(&self.lens))
    }

    fn state(&self, mask: u64, damage: impl Fn(usize) -> Damage) -> State {
        let names = self.directory(mask).into_iter();
        let states = names.map(|(name, inode)| {
            let (synced, len) = self.lens_of(inode);
            let damage = match damage(inode) {
                _ if synced == len => Damage::None,
                Damage::CutAt(at) if at >= len => Damage::None,
                Damage::CutAt(at) => Damage::CutAt(at.max(synced)),
                other => other,
            };
            (name, (inode, damage))
        });
        states.collect()
    }

    fn states(&self, effort: Effort) -> BTreeSet<State> {
        let lost = |_| Damage::CutAt(0);
        let mut states = BTreeSet::new();
        states.insert(self.state(0, lost));
        states.insert(self.state(u64::MAX, |_| Damage::None));
        let lens = self.lens.keys().copied();
        let unsynced: Vec<usize> = lens
            .filter(|inode| self.lens_of(*inode).0 < self.lens_of(*inode).1)
            .collect();
        for &file in &unsynced {
            let cuts = (0..self.lens[&file].div_ceil(effort.sector))
                .map(|at| Damage::CutAt(at * effort.sector));
            for damage in cuts.chain([Damage::Zeroed, Damage::Garbage]) {
                let only = |inode| if inode == file { damage } else { Damage::None };
                states.insert(self.state(u64::MAX, only));
            }
        }
        // Every subset of the first and of the last pending operations, with the others done or
        // not.
        let width = self.pending.len().min(effort.subsets_of);
        for (shift, mask) in [0, self.pending.len().min(63) - width]
            .into_iter()
            .flat_map(|shift| (0..1_u64 << width).map(move |mask| (shift, mask)))
        {
            let others = !(((1_u64 << width) - 1) << shift);
            for mask in [mask << shift, mask << shift | others] {
                states.insert(self.state(mask, |_| Damage::None));
                states.insert(self.state(mask, lost));
            }
        }
        for seed in 0..effort.mixtures {
            let mut random = Random(seed ^ (self.prefix as u64) << 32);
            let mask = random.next();
            let damages: BTreeMap<usize, Damage> = unsynced
                .iter()
                .map(|&inode| (inode, random.damage(self.lens[&inode])))
                .collect();
            let damage = |inode| damages.get(&inode).copied().unwrap_or(Damage::None);
            states.insert(self.state(mask, damage));
        }
        states
    }
}

/// A state of the medium: names, files and what became of their unsynced part.
type State = BTreeMap<String, (usize, Damage)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Damage {
    None,
    /// The unsynced part is cut there, as far as it reaches.
    CutAt(usize),
    /// The unsynced part is zeros.
    Zeroed,
    /// The last unsynced sector is garbage.
    Garbage,
}

/// SplitMix64: small, and the same everywhere.
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn damage(&mut self, len: usize) -> Damage {
        match self.below(5) {
            0 => Damage::None,
            1 => Damage::CutAt(0),
            2 => Damage::Zeroed,
            3 => Damage::Garbage,
            _ => Damage::CutAt(usize::try_from(self.below(len as u64 + 1)).unwrap()),
        }
    }
}

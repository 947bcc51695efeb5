//! Readers while a writer writes, in threads and in processes, and writers that are killed.

use std::{
    fmt,
    io::{BufRead, BufReader},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use sparsely::{
    Durability, ErrorKind, Index, Result, Snapshot, Verify,
    storage::{FileBytes, LockAttempt, Memory, Storage, WriteFile},
};

use crate::support::{
    model::{Model, check_search, config, content, upsert},
    report::{Tier, report},
    simulated::Random,
};

/// Set for the test binary when it runs as a writer that will be killed.
const CHILD: &str = "SPARSELY_TEST_CHILD";

/// Set for one that does not sync, which a kill does not mind.
const UNSYNCED: &str = "SPARSELY_TEST_UNSYNCED";

/// Every commit writes all of these keys with one version.
const KEYS: usize = 5;

fn write_version(writer: &mut sparsely::Writer, version: u32) {
    let mut model = Model::new();
    for at in 0..KEYS {
        upsert(writer, &mut model, &format!("key {at}"), version);
    }
    upsert(
        writer,
        &mut model,
        &format!("extra {}", version % 30),
        version,
    );
    writer.commit().unwrap();
}

/// All keys have one version: commits are seen whole, or not at all.
fn version_of(snapshot: &Snapshot) -> u32 {
    let model = content(snapshot);
    let mut versions: Vec<u32> = model
        .iter()
        .filter(|(key, _)| key.starts_with("key"))
        .map(|(_, version)| *version)
        .collect();
    versions.dedup();
    match versions[..] {
        [] => 0,
        [version] => version,
        _ => panic!("a commit in part: {model:?}"),
    }
}

#[test]
pub(crate) fn readers_see_whole_commits_while_a_writer_writes() {
    let dir = tempfile::tempdir().unwrap();
    let index = Index::create(dir.path(), config()).unwrap();
    let done = AtomicBool::new(false);
    let done = &done;
    std::thread::scope(|scope| {
        for reader in 0..4 {
            let path = dir.path();
            let shared = index.clone();
            scope.spawn(move || {
                // Two share their handle with the writer, the others have theirs as other processes
                // do.
                let index = match reader {
                    0 | 1 => shared,
                    _ => Index::open(path).unwrap(),
                };
                let mut snapshot = index.snapshot().unwrap();
                let mut last = 0;
                while !done.load(Ordering::Relaxed) {
                    snapshot.refresh().unwrap();
                    assert!(snapshot.fallback().is_none());
                    let version = version_of(&snapshot);
                    assert!(version >= last, "time went back from {last} to {version}");
                    last = version;
                }
                snapshot.refresh().unwrap();
                assert_eq!(version_of(&snapshot), 59, "the last commit is seen");
            });
        }
        let mut writer = index.writer().unwrap();
        for version in 1..60 {
            write_version(&mut writer, version);
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(version_of(&index.snapshot().unwrap()), 59);
}

fn spawn_writer(path: &Path, durability: Durability) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    if durability == Durability::OsCache {
        command.env(UNSYNCED, "");
    }
    command
        .args(["concurrency::writes_until_killed", "--exact", "--nocapture"])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Not a test of its own: what the killed process runs.
#[test]
fn writes_until_killed() {
    let Some(path) = std::env::var_os(CHILD) else {
        return;
    };
    let config = match std::env::var_os(UNSYNCED) {
        Some(_) => config().durability(Durability::OsCache),
        None => config(),
    };
    let index = Index::open_or_create(path, config).unwrap();
    let mut writer = index.writer().unwrap();
    let first = version_of(&index.snapshot().unwrap()) + 1;
    println!("ready");
    for version in first.. {
        write_version(&mut writer, version);
        println!("committed {version}");
    }
}

#[test]
fn a_killed_writer_loses_nothing_it_promised() {
    let dir = tempfile::tempdir().unwrap();
    let index = Index::create(dir.path(), config()).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // A reader in another process than the writers, for all of their lives.
        let reader = scope.spawn(|| {
            let mut snapshot = index.snapshot().unwrap();
            let mut last = 0;
            loop {
                let is_last = done.load(Ordering::Relaxed);
                snapshot.refresh().unwrap();
                let version = version_of(&snapshot);
                assert!(version >= last, "time went back from {last} to {version}");
                last = version;
                if is_last {
                    return last;
                }
                std::thread::sleep(Duration::from_millis(3));
            }
        });
        let killed = catch_unwind(AssertUnwindSafe(|| kill_writers(dir.path())));
        done.store(true, Ordering::Relaxed);
        let seen = reader.join().unwrap();
        let promised = killed.unwrap_or_else(|panic| resume_unwind(panic));
        assert_eq!(seen, promised, "the last commit is seen");
    });
}

/// Starts writers and kills them; what the last of them left.
fn kill_writers(path: &Path) -> u32 {
    let kills = Tier::chosen().pick(6, 100, 2000, 20_000);
    let mut lost = 0;
    let mut random = Random(5);
    let mut promised = 0;
    for kill in 0..kills {
        let durability = match kill % 4 {
            3 => Durability::OsCache,
            _ => Durability::Full,
        };
        let mut child = spawn_writer(path, durability);
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut lines = output.lines().map_while(Result::ok);
        assert!(lines.any(|line| line.ends_with("ready")));
        std::thread::sleep(Duration::from_micros(random.below(50_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines {
            if let Some(version) = line.strip_prefix("committed ") {
                promised = version.parse().unwrap();
            }
        }
        let index = Index::open(path).unwrap();
        let snapshot = index.snapshot().unwrap();
        let found = version_of(&snapshot);
        lost += u64::from(!(promised..=promised + 1).contains(&found));
        promised = found;
        assert!(index.verify(Verify::Full).unwrap().is_clean());
        check_search(&snapshot, &content(&snapshot));
        // The dead process's lock is free at once.
        drop(index.writer().unwrap());
    }
    report(&[("kills", kills), ("lost", lost)]);
    assert_eq!(lost, 0);
    println!("{promised} commits");
    promised
}

/// Files in memory, and something that happens behind the back of whoever has just listed them: the
/// listings are counted from 0.
struct Behind<F> {
    files: Memory,
    listings: AtomicUsize,
    then: F,
}

impl<F: Fn(&Memory, usize)> Behind<F> {
    fn new(then: F) -> Behind<F> {
        Behind {
            files: Memory::default(),
            listings: AtomicUsize::new(0),
            then,
        }
    }
}

impl<F> fmt::Debug for Behind<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.files.fmt(f)
    }
}

impl<F: Fn(&Memory, usize) + Send + Sync> Storage for Behind<F> {
    fn place(&self) -> PathBuf {
        self.files.place()
    }

    fn create(&self, name: &str) -> Result<Box<dyn WriteFile>> {
        self.files.create(name)
    }

    fn open(&self, name: &str) -> Result<FileBytes> {
        self.files.open(name)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.files.rename(from, to)
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.files.remove(name)
    }

    fn list(&self) -> Result<Vec<String>> {
        let names = self.files.list()?;
        (self.then)(&self.files, self.listings.fetch_add(1, Ordering::Relaxed));
        Ok(names)
    }

    fn sync_directory(&self) -> Result<()> {
        self.files.sync_directory()
    }

    fn try_lock(&self, name: &str) -> Result<LockAttempt> {
        self.files.try_lock(name)
    }
}

/// Commits `count` versions, and ends as another process does.
fn commit_elsewhere(files: &Memory, count: u32) {
    let index = Index::with_storage(Arc::new(files.clone()), config()).unwrap();
    let mut writer = index.writer().unwrap();
    (1..=count).for_each(|version| write_version(&mut writer, version));
}

/// Whether it is there by the second look, or by the time that one is to be created.
#[test]
fn an_index_that_appears_meanwhile_is_opened() {
    for appears in [0, 1] {
        let storage = Behind::new(move |files, listing| {
            if listing == appears {
                commit_elsewhere(files, 2);
            }
        });
        let index = Index::with_storage(Arc::new(storage), config()).unwrap();
        assert_eq!(version_of(&index.snapshot().unwrap()), 2, "{appears}");
    }
}

#[test]
fn what_a_writer_removes_meanwhile_is_no_damage() {
    let storage = Behind::new(|files, listing| {
        if listing == 1 {
            commit_elsewhere(files, 3);
        }
    });
    commit_elsewhere(&storage.files, 3);
    storage.list().unwrap();
    let manifests = |files: &Memory| {
        let names = files.list().unwrap().into_iter();
        let manifests = names.filter(|name| name.starts_with("manifest-"));
        manifests.collect::<Vec<_>>()
    };
    assert_eq!(manifests(&storage.files), ["manifest-2", "manifest-3"]);
    let found = Index::verify_storage(&storage, Verify::Full).unwrap();
    assert!(found.is_clean(), "{found:?}");
    assert_eq!(manifests(&storage.files), ["manifest-5", "manifest-6"]);
}

/// Every commit that it sees is gone when it looks.
#[test]
fn a_reader_that_never_catches_up_says_so() {
    let storage = Behind::new(|files, _| {
        for name in files.list().unwrap() {
            if let Some(commit) = name.strip_prefix("manifest-") {
                let next = commit.parse::<u64>().unwrap() + 2;
                files.rename(&name, &format!("manifest-{next}")).unwrap();
            }
        }
    });
    commit_elsewhere(&storage.files, 1);
    let error = Index::open_storage(Arc::new(storage), config()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    let message = error.to_string();
    assert!(
        message.starts_with("(memory): cannot keep up with the writer of"),
        "{message}"
    );
}

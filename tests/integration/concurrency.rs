//! Readers while a writer writes, in threads and in processes, and writers that are killed.

use std::{
    io::{BufRead, BufReader},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use sparsely::{Durability, Index, Snapshot, Verify};

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

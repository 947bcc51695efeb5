//! What surrounds an index and goes wrong: other processes, small disks, tight limits, strange
//! names, directories and permissions that change. What a machine does not allow to try is said.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use sparsely::{
    Config, Document, Durability, ErrorKind, Index, Merging, SparseVector, Verify, Writer,
    storage::Reading,
};

use crate::support::{
    model::{self, Model, config, content, document, upsert},
    report::{Tier, report},
};

/// What the test binary does when it runs as another process, and where.
const ROLE: &str = "SPARSELY_TEST_ROLE";
const PLACE: &str = "SPARSELY_TEST_PLACE";

fn as_process(command: &mut Command, name: &str, place: &Path) -> Output {
    role(command, name, place).output().unwrap()
}

fn role<'a>(command: &'a mut Command, name: &str, place: &Path) -> &'a mut Command {
    command
        .args(["hazards::another_process", "--exact", "--nocapture"])
        .env(ROLE, name)
        .env(PLACE, place)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
}

fn this_binary() -> PathBuf {
    env::current_exe().unwrap()
}

/// The binary under a limit that the shell sets.
fn limited(limit: &str) -> Command {
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("{limit}; exec \"$0\" \"$@\""))
        .arg(this_binary());
    command
}

fn said(output: &Output) -> String {
    let lines = String::from_utf8_lossy(&output.stdout);
    let said = lines.lines().find_map(|line| line.split("said: ").nth(1));
    said.unwrap_or_default().to_owned()
}

/// Not a test of its own.
#[test]
fn another_process() {
    let (Some(role), Some(place)) = (env::var_os(ROLE), env::var_os(PLACE)) else {
        return;
    };
    let place = Path::new(&place);
    let done = match role.to_str().unwrap() {
        "create" => Index::create(place, config()).map(|_| "created".to_owned()),
        "live" => live(place),
        "read" => read(place),
        "hold" => hold(place),
        other => panic!("{other}"),
    };
    match done {
        Ok(done) => println!("said: {done}"),
        Err(error) => println!("said: {:?}: {error}", error.kind()),
    }
}

/// Everything that an index does, with many segments.
fn live(place: &Path) -> sparsely::Result<String> {
    let config = config().merging(Merging::ByCaller).memory_budget(1 << 20);
    let index = Index::open_or_create(place, config)?;
    let mut writer = index.writer()?;
    let mut model = Model::new();
    for at in 0..60 {
        upsert(&mut writer, &mut model, &format!("key {}", at % 50), at);
        writer.commit()?;
    }
    writer.merge_all(&mut sparsely::Progress::none())?;
    writer.commit()?;
    let snapshot = index.snapshot()?;
    assert_eq!(content(&snapshot), model);
    model::check_search(&snapshot, &model);
    assert!(index.verify(Verify::Full)?.is_clean());
    Ok("lived".to_owned())
}

fn read(place: &Path) -> sparsely::Result<String> {
    let mapped = Index::verify_at(place, Verify::Full)?;
    let copied = Index::open_with(place, Config::new().reading(Reading::Copied))?;
    let keys = copied.snapshot()?.keys().count();
    Ok(format!("{} {keys}", mapped.is_clean()))
}

/// Holds the writer's lock until it is killed.
fn hold(place: &Path) -> sparsely::Result<String> {
    let _writer = Index::open(place)?.writer()?;
    println!("said: holding");
    loop {
        std::thread::park();
    }
}

/// The lock's holder in another process is named, is waited for as long as was asked, and gives the
/// lock back however it ends.
#[test]
fn a_holder_in_another_process_is_named_and_gives_the_lock_back_when_killed() {
    let dir = tempfile::tempdir().unwrap();
    let index = Index::create(dir.path(), config()).unwrap();
    let mut holder = role(&mut Command::new(this_binary()), "hold", dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("said: holding")));

    let error = index.writer().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    let name = format!("process {}", holder.id());
    assert!(error.to_string().contains(&name), "{error}");
    // Readers do not care.
    assert_eq!(content(&index.snapshot().unwrap()), Model::new());

    let waits = |wait| {
        let index = Index::open_with(dir.path(), config().lock_wait(wait)).unwrap();
        let start = Instant::now();
        let outcome = index.writer().map(drop);
        (outcome, start.elapsed())
    };
    let (outcome, waited) = waits(Duration::from_millis(200));
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Locked);
    assert!(waited >= Duration::from_millis(200), "{waited:?}");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| waits(Duration::from_secs(100)));
        std::thread::sleep(Duration::from_millis(50));
        holder.kill().unwrap();
        holder.wait().unwrap();
        let (outcome, waited) = waiting.join().unwrap();
        outcome.unwrap();
        assert!(waited < Duration::from_secs(90), "{waited:?}");
    });
}

#[test]
fn processes_that_race_to_create_an_index_have_one_winner() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..Tier::chosen().pick(4, 20, 200, 1000) {
        let place = dir.path().join(format!("index {round}"));
        let racers: Vec<_> = (0..2)
            .map(|_| {
                let place = place.clone();
                std::thread::spawn(move || {
                    said(&as_process(
                        &mut Command::new(this_binary()),
                        "create",
                        &place,
                    ))
                })
            })
            .collect();
        let mut ends: Vec<String> = racers.into_iter().map(|r| r.join().unwrap()).collect();
        ends.sort_unstable();
        assert!(ends[0].starts_with("AlreadyExists"), "{ends:?}");
        assert_eq!(ends[1], "created", "{ends:?}");
        assert!(Index::open(&place).unwrap().writer().is_ok());
    }
}

#[cfg(unix)]
#[test]
fn names_may_hold_any_bytes() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let dir = tempfile::tempdir().unwrap();
    for name in [
        &b"a b"[..],
        b"a\nb",
        b"\xff\xfe.idx",
        b"-",
        b"'\"$(x)`",
        b"\x01",
    ] {
        let place = dir.path().join(OsStr::from_bytes(name));
        if fs::create_dir(&place).is_err() {
            println!("this file system has no name {name:?}");
            continue;
        }
        let output = as_process(&mut Command::new(this_binary()), "live", &place);
        assert_eq!(said(&output), "lived", "{name:?}: {output:?}");
        let error = Index::create(&place, config()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        let missing = place.join("none");
        assert_eq!(
            Index::open(&missing).unwrap_err().kind(),
            ErrorKind::NotFound
        );
    }
}

#[cfg(unix)]
#[test]
fn thirty_two_file_descriptors_are_enough() {
    let dir = tempfile::tempdir().unwrap();
    let output = as_process(&mut limited("ulimit -n 32"), "live", dir.path());
    assert_eq!(said(&output), "lived", "{output:?}");
}

/// With little address space, opening gives an answer or an error; nothing aborts.
#[cfg(target_os = "linux")]
#[test]
fn little_address_space_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::new().durability(Durability::OsCache);
    let index = Index::create(dir.path(), config).unwrap();
    let mut writer = index.writer().unwrap();
    let mut noise = 1_u64;
    for at in 0..30 {
        // Bytes that do not compress.
        let payload: Vec<u8> = std::iter::repeat_with(|| {
            noise = noise
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            noise.to_le_bytes()[7]
        })
        .take(4 << 20)
        .collect();
        let vector = SparseVector::new([(at, 1.0)]).unwrap();
        let document = Document::new(format!("{at}"), vector).payload(payload);
        writer.upsert(document).unwrap();
    }
    writer.commit().unwrap();
    let mut ends = Vec::new();
    let step = Tier::chosen().pick(128, 64, 8, 4);
    for mebibytes in (64..=512).step_by(step) {
        let limit = format!("ulimit -v {}", mebibytes * 1024);
        let output = as_process(&mut limited(&limit), "read", dir.path());
        ends.push((mebibytes, output.status, said(&output)));
    }
    for (mebibytes, status, said) in &ends {
        assert!(status.success(), "{mebibytes} MiB: {ends:#?}");
        let is_told = said == "true 30" || said.starts_with("Io");
        assert!(is_told, "{mebibytes} MiB: {ends:#?}");
    }
    assert!(
        ends.iter().any(|(_, _, said)| said == "true 30"),
        "{ends:#?}"
    );
    assert!(
        ends.iter().any(|(_, _, said)| said != "true 30"),
        "{ends:#?}"
    );
}

/// A file system of a given size, where the machine lets us mount one.
#[cfg(target_os = "linux")]
struct SmallDisk(tempfile::TempDir);

#[cfg(target_os = "linux")]
impl SmallDisk {
    fn mount(kibibytes: usize) -> Option<SmallDisk> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={kibibytes}k"), "tmpfs"])
            .arg(dir.path())
            .stderr(Stdio::null())
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then_some(SmallDisk(dir))
    }
}

#[cfg(target_os = "linux")]
impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_really_full_loses_nothing() {
    let (step, last) = Tier::chosen().pick((128, 512), (16, 1024), (4, 4096), (4, 4096));
    let mut sizes = 0;
    for kibibytes in (64..=last).step_by(step) {
        let Some(disk) = SmallDisk::mount(kibibytes) else {
            println!("no tmpfs can be mounted here: full disks are only simulated");
            return;
        };
        fill(disk.0.path(), u32::try_from(kibibytes).unwrap());
        sizes += 1;
    }
    report(&[("full_disks", sizes)]);
}

/// Fills the disk with commits, larger ones where there is more room, frees some of it, and goes on.
#[cfg(target_os = "linux")]
fn fill(disk: &Path, kibibytes: u32) {
    let ballast = disk.join("ballast");
    fs::write(&ballast, vec![1; 24 * 1024]).unwrap();
    let index = Index::create(disk.join("index"), config()).unwrap();
    let mut writer = index.writer().unwrap();
    let mut committed = Model::new();
    let full = loop {
        let mut model = committed.clone();
        match write_more(&mut writer, &mut model, 20.max(kibibytes / 16)) {
            Ok(()) => committed = model,
            Err(error) => break error,
        }
    };
    assert_eq!(full.kind(), ErrorKind::StorageFull, "{full}");
    let again = writer.commit().unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Poisoned);
    // Readers, new ones too, have the last commit.
    let elsewhere = Index::open(disk.join("index")).unwrap();
    assert_eq!(content(&elsewhere.snapshot().unwrap()), committed);
    assert!(elsewhere.verify(Verify::Full).unwrap().is_clean());
    // Nor is there room for an index of its own, until there is.
    let filler = disk.join("filler");
    fill_up(&filler);
    let error = Index::create(disk.join("another"), config()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
    fs::remove_file(&filler).unwrap();
    fs::remove_file(&ballast).unwrap();
    let another = Index::open_or_create(disk.join("another"), config()).unwrap();
    assert_eq!(content(&another.snapshot().unwrap()), Model::new());
    if writer.rollback().is_err() {
        drop(writer);
        writer = index.writer().unwrap();
    }
    upsert(&mut writer, &mut committed, "after", 1);
    writer.commit().unwrap();
    assert_eq!(content(&elsewhere.snapshot().unwrap()), committed);
    assert!(elsewhere.verify(Verify::Full).unwrap().is_clean());
}

/// Takes every byte that the disk has left.
#[cfg(target_os = "linux")]
fn fill_up(filler: &Path) {
    let mut file = fs::File::create(filler).unwrap();
    while file.write(&[1; 4096]).is_ok_and(|written| written > 0) {}
}

#[cfg(target_os = "linux")]
fn write_more(writer: &mut Writer, model: &mut Model, count: u32) -> sparsely::Result<()> {
    let first = u32::try_from(model.len()).unwrap();
    for at in first..first + count {
        let key = format!("key {at}");
        let noise = (0..60).map(|word| (at * 60 + word).wrapping_mul(2_654_435_761));
        let noise: Vec<u8> = noise.flat_map(u32::to_le_bytes).collect();
        writer.upsert(document(&key, at).payload(noise))?;
        model.insert(key, at);
    }
    writer.commit().map(drop)
}

#[cfg(unix)]
#[test]
fn a_directory_deleted_under_a_reader_stays_readable_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("index");
    let index = Index::create(&place, config()).unwrap();
    let mut writer = index.writer().unwrap();
    let mut model = Model::new();
    for at in 0..8 {
        upsert(&mut writer, &mut model, &format!("k{at}"), at);
        writer.commit().unwrap();
    }
    let mut snapshot = index.snapshot().unwrap();
    fs::remove_dir_all(&place).unwrap();
    assert_eq!(content(&snapshot), model);
    model::check_search(&snapshot, &model);
    // What is gone is said to be gone, and the snapshot stays as it was.
    assert_eq!(snapshot.refresh().unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(content(&snapshot), model);
    writer.upsert(document("more", 1)).unwrap();
    let error = writer.commit().unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Io),
        "{error}"
    );
    drop(writer);
    assert_eq!(Index::open(&place).unwrap_err().kind(), ErrorKind::NotFound);
}

/// As another user, whom permissions bind; the superuser may do anything.
#[cfg(target_os = "linux")]
#[test]
fn permissions_that_change_are_errors() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("index");
    let index = Index::create(&place, config()).unwrap();
    let mut writer = index.writer().unwrap();
    let mut model = Model::new();
    upsert(&mut writer, &mut model, "kept", 1);
    writer.commit().unwrap();
    let chmod = |mode| fs::set_permissions(&place, fs::Permissions::from_mode(mode)).unwrap();
    chmod(0o500);
    if fs::write(place.join("probe"), "").is_ok() {
        chmod(0o700);
        fs::remove_file(place.join("probe")).unwrap();
        println!("permissions do not bind this user: nothing to see");
        return;
    }
    writer.upsert(document("refused", 2)).unwrap();
    let error = writer.commit().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
    assert_eq!(content(&index.snapshot().unwrap()), model);
    chmod(0o000);
    assert_eq!(Index::open(&place).unwrap_err().kind(), ErrorKind::ReadOnly);
    chmod(0o700);
    writer.rollback().unwrap();
    upsert(&mut writer, &mut model, "again", 3);
    writer.commit().unwrap();
    assert_eq!(content(&index.snapshot().unwrap()), model);
    assert!(index.verify(Verify::Full).unwrap().is_clean());
}

/// Tests of permissions once more, as a user whom they bind.
#[cfg(target_os = "linux")]
#[test]
fn permissions_bind_an_ordinary_user() {
    for test in [
        "hazards::permissions_that_change_are_errors",
        "journeys::a_read_only_directory_is_searched_and_not_written",
    ] {
        let run = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(this_binary())
            .args([test, "--exact", "--nocapture"])
            .current_dir("/")
            .output();
        match run {
            Ok(output) if String::from_utf8_lossy(&output.stderr).contains("setpriv:") => {
                println!("no other user can be taken here: nothing to see");
            }
            Err(_) => println!("there is no setpriv here: nothing to see"),
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stdout);
                let passed = output.status.success() && text.contains("1 passed");
                assert!(passed, "{output:?}");
                assert!(!text.contains("do not bind"), "{text}");
            }
        }
    }
}

/// No order of anything in an index depends on a clock that people set: none is read.
#[test]
fn a_clock_that_runs_backwards_does_not_matter() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let parts = ["index", "storage", "format", "segment", "search"];
    let mut folders: Vec<PathBuf> = parts.iter().map(|part| src.join(part)).collect();
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = fs::read_to_string(&path).unwrap();
                assert!(!text.contains("SystemTime"), "{}", path.display());
                files += 1;
            }
        }
    }
    assert!(files > 50);
}

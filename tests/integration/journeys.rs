//! What a user does with an index, and what a user does wrong.

use std::{fs, path::Path, sync::Arc, time::Duration};

use sparsely::{
    Config, DocKey, Document, Durability, ErrorKind, Filter, Index, Merging, Progress, Query,
    Searcher, SparseVector, Step, Verify,
    storage::{Reading, Storage},
};
use std::ops::ControlFlow;

use crate::support::{
    model::{self, Model, config, content, document, upsert, vector},
    simulated::{Fault, FaultKind, Simulated},
};

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// `commits` commits of `each` documents.
fn filled(path: &Path, commits: u32, each: u32, config: Config) -> (Index, Model) {
    let index = Index::create(path, config).unwrap();
    let mut writer = index.writer().unwrap();
    let mut model = Model::new();
    for commit in 0..commits {
        for at in 0..each {
            let version = commit * each + at;
            upsert(&mut writer, &mut model, &format!("key {version}"), version);
        }
        writer.commit().unwrap();
    }
    (index, model)
}

fn kind<T>(result: sparsely::Result<T>) -> ErrorKind {
    match result {
        Ok(_) => panic!("an error was expected"),
        Err(error) => error.kind(),
    }
}

#[test]
fn create_write_reopen_search() {
    let dir = directory();
    let path = dir.path().join("new/demo.idx");
    let (index, model) = filled(&path, 3, 5, config());
    assert_eq!(index.latest_commit().unwrap().get(), 3);
    drop(index);
    for reading in [Reading::Mapped, Reading::Copied] {
        let index = Index::open_with(&path, Config::new().reading(reading)).unwrap();
        let snapshot = index.snapshot().unwrap();
        assert_eq!(content(&snapshot), model);
        model::check_search(&snapshot, &model);
        assert!(index.verify(Verify::Full).unwrap().is_clean());
        let stored = snapshot.document("key 7").unwrap().unwrap();
        assert_eq!(stored.text(), Some("key 7 version 7"));
        assert_eq!(stored.value("version"), Some(&7.into()));
        assert!(snapshot.document("key 77").unwrap().is_none());
        assert!(snapshot.contains("key 0").unwrap());
    }
}

#[test]
fn upsert_replaces_in_the_batch_and_across_commits() {
    let dir = directory();
    let (index, mut model) = filled(dir.path(), 2, 4, config());
    let mut writer = index.writer().unwrap();
    for version in 50..53 {
        upsert(&mut writer, &mut model, "key 1", version);
        upsert(&mut writer, &mut model, "new", version);
    }
    writer.commit().unwrap();
    let snapshot = index.snapshot().unwrap();
    assert_eq!(content(&snapshot), model);
    model::check_search(&snapshot, &model);
}

#[test]
fn deletes_by_key_and_filter_reach_what_is_not_committed_too() {
    let dir = directory();
    let (index, mut model) = filled(dir.path(), 2, 6, config());
    let mut writer = index.writer().unwrap();
    upsert(&mut writer, &mut model, "fresh 20", 20);
    upsert(&mut writer, &mut model, "fresh 21", 21);
    assert!(writer.delete("key 3").unwrap());
    assert!(!writer.delete("key 3").unwrap());
    assert!(writer.delete("fresh 21").unwrap());
    assert!(!writer.delete("unknown").unwrap());
    model.remove("key 3");
    model.remove("fresh 21");
    let even = Filter::equals("even", true);
    let before = model.len();
    let deleted = writer.delete_matching(&even).unwrap();
    model.retain(|_, version| !version.is_multiple_of(2));
    assert_eq!(deleted, (before - model.len()) as u64);
    writer.commit().unwrap();
    let snapshot = index.snapshot().unwrap();
    assert_eq!(content(&snapshot), model);
    model::check_search(&snapshot, &model);
    let query = Query::new(vector(3)).top(100).filter(even);
    assert!(snapshot.search(&query).unwrap().is_empty());
    assert!(index.verify(Verify::Full).unwrap().is_clean());
}

#[test]
pub(crate) fn rollback_and_drop_forget_what_was_not_committed() {
    let dir = directory();
    let tiny = config().memory_budget(1);
    let (index, mut model) = filled(dir.path(), 1, 3, tiny);
    let before = names(dir.path());
    let mut writer = index.writer().unwrap();
    writer.upsert(document("never", 1)).unwrap();
    writer.delete("key 0").unwrap();
    writer.rollback().unwrap();
    upsert(&mut writer, &mut model, "kept", 2);
    writer.commit().unwrap();
    writer.upsert(document("never", 1)).unwrap();
    drop(writer);
    assert_eq!(content(&index.snapshot().unwrap()), model);
    let stray = names(dir.path()).len() - before.len();
    assert!(stray <= 3, "{:?}", names(dir.path()));
}

#[test]
fn a_commit_without_changes_writes_nothing() {
    let dir = directory();
    let (index, _) = filled(dir.path(), 1, 3, config());
    let mut writer = index.writer().unwrap();
    let before = names(dir.path());
    assert_eq!(writer.commit().unwrap().get(), 1);
    assert!(!writer.delete("unknown").unwrap());
    assert_eq!(writer.commit().unwrap().get(), 1);
    assert_eq!(names(dir.path()), before);
}

#[test]
pub(crate) fn snapshots_stay_and_refresh_moves_on() {
    let dir = directory();
    let (index, mut model) = filled(dir.path(), 2, 4, config());
    // Another handle, as another process has.
    let elsewhere = Index::open(dir.path()).unwrap();
    let mut snapshot = elsewhere.snapshot().unwrap();
    assert!(!snapshot.refresh().unwrap());
    let old = model.clone();
    let mut writer = index.writer().unwrap();
    for version in 100..110 {
        upsert(&mut writer, &mut model, &format!("v{version}"), version);
        writer.delete_matching(&Filter::key_prefix("key")).unwrap();
        model.retain(|key, _| !key.starts_with("key"));
        writer.commit().unwrap();
        assert_eq!(content(&snapshot), old);
    }
    model::check_search(&snapshot, &old);
    assert!(snapshot.refresh().unwrap());
    assert_eq!(content(&snapshot), model);
    assert_eq!(snapshot.commit_id(), elsewhere.latest_commit().unwrap());
}

#[test]
fn many_small_commits_stay_few_files_and_few_bytes() {
    let commits = match std::env::var("SPARSELY_TIER") {
        Ok(_) => 10_000,
        Err(_) => 400,
    };
    let dir = directory();
    let config = config().durability(Durability::OsCache);
    let (index, model) = filled(&dir.path().join("small"), commits, 1, config.clone());
    let files = names(&dir.path().join("small")).len();
    let snapshot = index.snapshot().unwrap();
    assert_eq!(content(&snapshot), model);
    model::check_search(&snapshot, &model);
    let stats = index.stats().unwrap();
    assert_eq!((stats.documents, stats.deleted), (u64::from(commits), 0));

    let (bulk, _) = filled(&dir.path().join("bulk"), 1, commits, config);
    let bulk = bulk.stats().unwrap();
    let ratio = stats.bytes as f64 / bulk.bytes as f64;
    println!("{commits} commits: {files} files, {ratio:.2} times the bytes of one commit");
    assert!(files <= 64 && ratio <= 2.0, "{stats:?}, {bulk:?}");
}

#[test]
pub(crate) fn merging_changes_no_answer_and_reclaims_deletes() {
    let dir = directory();
    let config = config().merging(Merging::ByCaller);
    let (index, mut model) = filled(dir.path(), 6, 10, config);
    let mut writer = index.writer().unwrap();
    writer
        .delete_matching(&Filter::equals("even", true))
        .unwrap();
    model.retain(|_, version| !version.is_multiple_of(2));
    writer.commit().unwrap();
    assert_eq!(index.stats().unwrap().segments.len(), 6);
    let before = index.snapshot().unwrap();

    let mut stop = |_: Step| ControlFlow::Break(());
    let cancelled = writer.merge_all(&mut Progress::new(&mut stop));
    assert_eq!(kind(cancelled), ErrorKind::Cancelled);
    writer.merge_all(&mut Progress::none()).unwrap();
    writer.commit().unwrap();

    let after = index.snapshot().unwrap();
    assert_eq!(content(&after), model);
    let stats = index.stats().unwrap();
    assert_eq!((stats.segments.len(), stats.deleted), (1, 0));
    for seed in 0..10 {
        let query = Query::new(vector(seed)).top(7);
        assert_eq!(
            before.search(&query).unwrap(),
            after.search(&query).unwrap()
        );
    }
    assert!(index.verify(Verify::Full).unwrap().is_clean());
}

#[test]
pub(crate) fn one_writer_at_a_time() {
    let dir = directory();
    let (index, _) = filled(dir.path(), 1, 1, config());
    let writer = index.writer().unwrap();
    let error = index.writer().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    let holder = format!("process {}", std::process::id());
    assert!(error.to_string().contains(&holder), "{error}");

    let patient = Config::new().lock_wait(Duration::from_secs(20));
    let patient = Index::open_with(dir.path(), patient).unwrap();
    let waiting = std::thread::spawn(move || patient.writer().map(drop));
    std::thread::sleep(Duration::from_millis(30));
    drop(writer);
    waiting.join().unwrap().unwrap();
}

/// Whoever comes second does not wait for a lock that the first one's writer keeps.
#[test]
fn an_index_that_appears_is_opened_while_it_is_locked() {
    let dir = directory();
    let made = dir.path().join("made");
    Index::create(&made, config()).unwrap();
    let place = dir.path().join("place");
    fs::create_dir(&place).unwrap();
    let lock = fs::File::create(place.join("writer.lock")).unwrap();
    lock.try_lock().unwrap();
    let second = std::thread::spawn({
        let place = place.clone();
        move || Index::open_or_create(place, config().lock_wait(Duration::ZERO)).map(drop)
    });
    std::thread::sleep(Duration::from_millis(200));
    assert!(!second.is_finished(), "it waits for an index");
    fs::copy(made.join("manifest-0"), place.join("copied")).unwrap();
    fs::rename(place.join("copied"), place.join("manifest-0")).unwrap();
    second.join().unwrap().unwrap();
    assert_eq!(
        kind(Index::create(&place, config())),
        ErrorKind::AlreadyExists
    );
    lock.unlock().unwrap();
}

#[test]
fn one_of_many_creators_wins() {
    let dir = directory();
    let path = dir.path().join("raced");
    let creators: Vec<_> = (0..8)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || Index::open_or_create(path, config()).map(drop))
        })
        .collect();
    for creator in creators {
        creator.join().unwrap().unwrap();
    }
    assert_eq!(
        kind(Index::create(&path, config())),
        ErrorKind::AlreadyExists
    );
    assert_eq!(
        Index::open(&path).unwrap().latest_commit().unwrap().get(),
        0
    );
}

#[test]
fn another_encoder_is_refused_unless_allowed() {
    use sparsely::{Encoder, Fingerprint, TermId};
    use std::borrow::Cow;
    struct Named(&'static str);
    impl Encoder for Named {
        fn fingerprint(&self) -> Fingerprint {
            Fingerprint::new(self.0, &[])
        }
        fn term_count(&self) -> u32 {
            10
        }
        fn encode_documents(&self, texts: &[&str]) -> sparsely::Result<Vec<SparseVector>> {
            texts
                .iter()
                .map(|text| SparseVector::new([(u32::try_from(text.len()).unwrap(), 1.0)]))
                .collect()
        }
        fn encode_queries(&self, texts: &[&str]) -> sparsely::Result<Vec<SparseVector>> {
            self.encode_documents(texts)
        }
        fn term(&self, _: TermId) -> Option<Cow<'_, str>> {
            None
        }
    }
    let dir = directory();
    let first = Named("first");
    let index = Index::create(dir.path(), Config::for_encoder(&first)).unwrap();
    let mut writer = index.writer().unwrap();
    writer
        .upsert(Document::from_text(&first, "k", "text").unwrap())
        .unwrap();
    let too_wide = Document::from_text(&first, "w", "a text of eleven").unwrap();
    assert_eq!(kind(writer.upsert(too_wide)), ErrorKind::InvalidInput);
    writer.commit().unwrap();

    let second = Config::for_encoder(&Named("second"));
    let error = Index::open_with(dir.path(), second.clone()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::EncoderMismatch);
    assert!(error.to_string().contains("first:"), "{error}");
    Index::open_with(dir.path(), second.allow_other_encoder()).unwrap();
    Index::open(dir.path()).unwrap();
}

#[test]
fn the_weight_limit_comes_from_the_first_commit() {
    let dir = directory();
    let index = Index::create(dir.path(), Config::new()).unwrap();
    let mut writer = index.writer().unwrap();
    let weighing =
        |key: &str, weight| Document::new(key, SparseVector::new([(1, weight)]).unwrap());
    writer.upsert(weighing("a", 2.0)).unwrap();
    writer.commit().unwrap();
    assert_eq!(index.stats().unwrap().weight_limit, Some(4.0));
    writer.upsert(weighing("b", 5.0)).unwrap();
    writer.upsert(weighing("c", 3.0)).unwrap();
    writer.commit().unwrap();
    let stats = index.stats().unwrap();
    assert_eq!(
        (stats.weight_limit, stats.saturated_weights),
        (Some(4.0), 1)
    );
    let query = Query::new(SparseVector::new([(1, 1.0)]).unwrap());
    let hits = index.snapshot().unwrap().search(&query).unwrap();
    let keys: Vec<String> = hits.iter().map(|hit| hit.key().to_string()).collect();
    assert_eq!(keys, ["b", "c", "a"]);
}

#[test]
fn bad_documents_change_nothing() {
    let dir = directory();
    let (index, model) = filled(dir.path(), 1, 3, config());
    let mut writer = index.writer().unwrap();
    let empty = SparseVector::default();
    let refused = [
        (Document::new("", empty.clone()), ErrorKind::InvalidInput),
        (
            Document::new("k".repeat(5000), empty.clone()),
            ErrorKind::Limit,
        ),
        (
            Document::new("key 0", SparseVector::new([(1000, 1.0)]).unwrap()),
            ErrorKind::InvalidInput,
        ),
        (
            Document::new("key 0", empty.clone()).field("version", "text"),
            ErrorKind::InvalidInput,
        ),
    ];
    for (document, expected) in refused {
        assert_eq!(kind(writer.upsert(document)), expected);
    }
    assert_eq!(writer.commit().unwrap().get(), 1);
    assert_eq!(content(&index.snapshot().unwrap()), model);

    // A vector of no terms is stored, and never found; a key need not be UTF-8.
    writer.upsert(Document::new(&b"\xFF\0"[..], empty)).unwrap();
    writer.commit().unwrap();
    let snapshot = index.snapshot().unwrap();
    assert!(snapshot.contains(&b"\xFF\0"[..]).unwrap());
    let all = Query::new(vector(3)).top(1000);
    let key = DocKey::from(&b"\xFF\0"[..]);
    assert!(
        snapshot
            .search(&all)
            .unwrap()
            .iter()
            .all(|hit| *hit.key() != key)
    );
}

#[test]
fn texts_of_no_byte_and_of_a_hundred_megabytes_are_stored() {
    let dir = directory();
    let index = Index::create(dir.path(), config()).unwrap();
    let mut writer = index.writer().unwrap();
    let huge: String = "line of text\n".repeat(100_000_000 / 13);
    for (key, text) in [("none", ""), ("huge", &huge)] {
        writer
            .upsert(Document::new(key, vector(1)).text(text))
            .unwrap();
    }
    writer.commit().unwrap();
    let snapshot = index.snapshot().unwrap();
    for (key, text) in [("none", ""), ("huge", &huge)] {
        let stored = snapshot.document(key).unwrap().unwrap();
        assert!(stored.text() == Some(text), "text of `{key}`");
    }
    let beyond = Document::new("beyond", vector(1)).text("x".repeat((256 << 20) + 1));
    assert_eq!(kind(writer.upsert(beyond)), ErrorKind::Limit);
}

#[test]
fn odd_queries_have_documented_answers() {
    let dir = directory();
    let (index, model) = filled(dir.path(), 2, 60, config());
    let snapshot = index.snapshot().unwrap();
    let ask = |query: Query| snapshot.search(&query);
    let base = || Query::new(vector(3));
    assert!(ask(base().top(0)).unwrap().is_empty());
    let most = usize::try_from(u32::MAX).unwrap();
    let all = ask(base().top(most)).unwrap();
    assert!(!all.is_empty() && all.len() <= model.len());
    assert_eq!(ask(base().top(usize::MAX)).unwrap(), all);
    assert!(ask(base().offset(usize::MAX)).unwrap().is_empty());
    assert_eq!(
        ask(base().offset(2).top(3)).unwrap().as_slice(),
        &all.as_slice()[2..5]
    );
    let least = all.as_slice()[3].score();
    let enough = ask(base().top(most).least_score(least)).unwrap();
    assert!(enough.len() >= 4 && enough.iter().all(|hit| hit.score() >= least));
    assert!(ask(Query::new(SparseVector::default())).unwrap().is_empty());
    let foreign = SparseVector::new([(u32::MAX, 1.0), (999_999, 2.0)]).unwrap();
    assert!(ask(Query::new(foreign)).unwrap().is_empty());
    let huge = SparseVector::new((0..100_000).map(|term| (term, 1.0))).unwrap();
    assert_eq!(kind(ask(Query::new(huge.clone()))), ErrorKind::Limit);
    assert!(!ask(Query::new(huge).keep(4000)).unwrap().is_empty());
    assert_eq!(
        kind(ask(base().filter(Filter::equals("nothing", 1)))),
        ErrorKind::NotFound
    );
    assert_eq!(
        kind(ask(base().filter(Filter::equals("even", "yes")))),
        ErrorKind::InvalidInput
    );
    for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1.0, f32::MAX] {
        let _ = ask(base().least_score(odd));
    }
}

#[test]
fn an_empty_index_answers() {
    let index = Index::in_memory(Config::new()).unwrap();
    let snapshot = index.snapshot().unwrap();
    assert!(snapshot.search(&Query::new(vector(1))).unwrap().is_empty());
    assert_eq!(snapshot.document_count(), 0);
    assert_eq!(snapshot.keys().count(), 0);
    assert!(index.verify(Verify::Full).unwrap().is_clean());
}

#[test]
fn what_is_no_index_is_refused_with_a_reason() {
    let dir = directory();
    let missing = dir.path().join("missing");
    let error = Index::open(&missing).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("missing"), "{error}");
    assert!(!missing.exists(), "opening created something");
    assert_eq!(kind(Index::open(dir.path())), ErrorKind::NotFound);

    let file = dir.path().join("file");
    fs::write(&file, "text").unwrap();
    assert!(Index::open(&file).is_err());
    assert!(Index::create(&file, config()).is_err());

    let foreign = dir.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    for content in [&b""[..], b"text", &[0; 4096]] {
        fs::write(foreign.join("manifest-5"), content).unwrap();
        assert_eq!(kind(Index::open(&foreign)), ErrorKind::Corrupt);
        assert_eq!(
            kind(Index::create(&foreign, config())),
            ErrorKind::AlreadyExists
        );
    }
}

#[test]
fn a_newer_version_is_named_and_not_passed_over() {
    let dir = directory();
    let (_, _) = filled(dir.path(), 2, 1, config());
    let path = dir.path().join("manifest-2");
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 9;
    fs::write(&path, bytes).unwrap();
    let error = Index::open(dir.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Version);
    assert!(error.to_string().contains("9.0"), "{error}");
}

#[test]
pub(crate) fn missing_and_truncated_files_are_never_no_hits() {
    let dir = directory();
    let (index, model) = filled(dir.path(), 2, 3, config());
    drop(index);
    let ours: Vec<String> = names(dir.path())
        .into_iter()
        .filter(|name| name.starts_with("segment") || name.starts_with("manifest"))
        .collect();
    for name in ours {
        let path = dir.path().join(&name);
        let good = fs::read(&path).unwrap();
        let mut damaged: Vec<Option<Vec<u8>>> = vec![None, Some(Vec::new())];
        damaged.push(Some(good[..good.len() - 1].to_vec()));
        damaged.push(Some(good[..good.len() / 2].to_vec()));
        for bytes in damaged {
            match &bytes {
                None => fs::remove_file(&path).unwrap(),
                Some(bytes) => fs::write(&path, bytes).unwrap(),
            }
            check_damaged(dir.path(), &model, &name);
            fs::write(&path, &good).unwrap();
        }
    }
    assert_eq!(
        content(&Index::open(dir.path()).unwrap().snapshot().unwrap()),
        model
    );
}

/// Either an error, or everything, or an older commit that says so and takes no writer.
fn check_damaged(path: &Path, model: &Model, name: &str) {
    let snapshot = match Index::open(path) {
        Ok(index) => {
            let clean = index.verify(Verify::Full).unwrap().is_clean();
            // A commit without its manifest is as if it had never been asked for.
            let has_no_manifest = name.starts_with("manifest") && !path.join(name).exists();
            assert_eq!(clean, has_no_manifest, "{name}");
            let snapshot = index.snapshot().unwrap();
            if has_no_manifest {
                return;
            }
            if snapshot.fallback().is_some() {
                assert_eq!(kind(index.writer()), ErrorKind::Corrupt);
            }
            snapshot
        }
        Err(error) => {
            let kind = error.kind();
            assert!(
                matches!(kind, ErrorKind::Corrupt | ErrorKind::NotFound),
                "{error}"
            );
            return;
        }
    };
    let found = content(&snapshot);
    assert!(snapshot.fallback().is_some() || found == *model, "{name}");
}

#[test]
pub(crate) fn repair_keeps_what_is_whole_and_names_what_is_lost() {
    let dir = directory();
    let config = config().merging(Merging::ByCaller);
    let (index, mut model) = filled(dir.path(), 3, 4, config);
    assert!(index.repair().unwrap().is_unneeded());
    drop(index);
    let path = dir.path().join("segment-2");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(&path, bytes).unwrap();

    assert_eq!(kind(Index::open(dir.path())), ErrorKind::Corrupt);
    let found = Index::verify_at(dir.path(), Verify::Full).unwrap();
    assert_eq!(found.damage()[0].file, "segment-2");
    let repair = Index::repair_at(dir.path(), &Config::new()).unwrap();
    let index = Index::open(dir.path()).unwrap();
    let lost: Vec<String> = repair.lost_keys().iter().map(ToString::to_string).collect();
    assert_eq!(lost.len() as u64 + repair.lost_unnamed(), 4, "{repair:?}");
    model.retain(|_, version| !(4..8).contains(version));
    let snapshot = index.snapshot().unwrap();
    assert_eq!(content(&snapshot), model);
    // The damaged commit is none to fall back on, so nothing is left to find.
    assert!(index.verify(Verify::Full).unwrap().is_clean());
    assert_eq!(repair.removed_commits().len(), 1);
    assert!(path.exists(), "until the next writer");
    assert!(index.repair().unwrap().is_unneeded());
    let mut writer = index.writer().unwrap();
    writer.upsert(document("more", 1)).unwrap();
    writer.commit().unwrap();
    assert!(!path.exists());
    assert!(index.verify(Verify::Full).unwrap().is_clean());
}

#[test]
fn repair_gives_up_a_commit_before_that_is_damaged() {
    let dir = directory();
    let config = config().merging(Merging::ByCaller);
    let (index, mut model) = filled(dir.path(), 2, 4, config);
    let mut writer = index.writer().unwrap();
    writer.merge_all(&mut Progress::none()).unwrap();
    upsert(&mut writer, &mut model, "more", 1);
    let commit = writer.commit().unwrap();
    drop(writer);
    // A segment that only the commit before has.
    let path = dir.path().join("segment-1");
    let mut bytes = fs::read(&path).unwrap();
    bytes[200] ^= 4;
    fs::write(&path, bytes).unwrap();
    let found = index.verify(Verify::Full).unwrap();
    assert_eq!(found.damage()[0].file, "segment-1");
    assert_eq!(
        Index::preview_repair_at(dir.path())
            .unwrap()
            .removed_commits()
            .len(),
        1
    );
    let repair = index.repair().unwrap();
    assert_eq!(
        (repair.commit(), repair.removed_commits().len()),
        (commit, 1)
    );
    assert!(repair.lost_keys().is_empty() && repair.dropped_segments().is_empty());
    assert_eq!(content(&index.snapshot().unwrap()), model);
    assert!(index.verify(Verify::Full).unwrap().is_clean());
    assert!(index.repair().unwrap().is_unneeded());
}

#[test]
pub(crate) fn repair_goes_back_from_a_manifest_that_cannot_be_read() {
    let dir = directory();
    let (index, _) = filled(dir.path(), 3, 4, config());
    let before = index.latest_commit().unwrap();
    drop(index);
    fs::write(dir.path().join(format!("manifest-{before}")), "damaged").unwrap();
    let index = Index::open(dir.path()).unwrap();
    let snapshot = index.snapshot().unwrap();
    assert_eq!(snapshot.fallback().unwrap().commit(), before);
    assert_eq!(snapshot.commit_id().get() + 1, before.get());
    let older = content(&snapshot);
    assert_eq!(kind(index.writer()), ErrorKind::Corrupt);

    let repair = index.repair().unwrap();
    assert_eq!(repair.given_up_commits(), [before]);
    assert_eq!(repair.commit().get(), before.get() + 1);
    let snapshot = index.snapshot().unwrap();
    assert!(snapshot.fallback().is_none());
    assert_eq!(content(&snapshot), older);
    assert!(index.verify(Verify::Full).unwrap().is_clean());
    index.writer().unwrap();
    assert!(index.verify(Verify::Full).unwrap().is_clean());
}

#[cfg(unix)]
#[test]
fn a_read_only_directory_is_searched_and_not_written() {
    use std::os::unix::fs::PermissionsExt;
    let dir = directory();
    let path = dir.path().join("index");
    let (_, model) = filled(&path, 2, 3, config());
    let before = names(&path);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(path.join("probe"), "").is_ok() {
        // See `hazards::permissions_bind_an_ordinary_user`.
        println!("permissions do not bind this user: nothing to see");
        return;
    }
    let index = Index::open(&path).unwrap();
    assert_eq!(content(&index.snapshot().unwrap()), model);
    fs::set_permissions(path.join("writer.lock"), fs::Permissions::from_mode(0o444)).unwrap();
    assert_eq!(kind(index.writer()), ErrorKind::ReadOnly);
    assert_eq!(names(&path), before);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_full_disk_loses_nothing_and_the_writer_recovers() {
    let disk = Simulated::default();
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let index = Index::with_storage(storage, config()).unwrap();
    let mut writer = index.writer().unwrap();
    let mut model = Model::new();
    upsert(&mut writer, &mut model, "first", 1);
    writer.commit().unwrap();

    disk.inject(Some(Fault {
        at: 0,
        kind: FaultKind::Full,
        lasts: true,
    }));
    writer.upsert(document("second", 2)).unwrap();
    assert_eq!(kind(writer.commit()), ErrorKind::StorageFull);
    let error = writer.upsert(document("third", 3)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Poisoned);
    assert_eq!(kind(writer.commit()), ErrorKind::Poisoned);
    disk.inject(None);
    assert_eq!(content(&index.snapshot().unwrap()), model);

    writer.rollback().unwrap();
    upsert(&mut writer, &mut model, "fourth", 4);
    writer.commit().unwrap();
    assert_eq!(content(&index.snapshot().unwrap()), model);
}

#[test]
fn a_moved_and_a_copied_index_are_the_index() {
    let dir = directory();
    let (first, second) = (dir.path().join("first"), dir.path().join("a b\nc"));
    let (index, model) = filled(&first, 2, 3, config());
    drop(index);
    fs::rename(&first, &second).unwrap();
    let index = Index::open(&second).unwrap();
    assert_eq!(content(&index.snapshot().unwrap()), model);
    index.writer().unwrap();
}

#[test]
fn a_backup_is_made_while_a_writer_writes() {
    let dir = directory();
    let (index, model) = filled(&dir.path().join("index"), 3, 5, config());
    let mut writer = index.writer().unwrap();
    writer.delete("key 3").unwrap();
    writer.commit().unwrap();
    let snapshot = index.snapshot().unwrap();
    // The files of the snapshot lose their names before they are copied.
    for version in 50..60 {
        writer.delete_matching(&Filter::key_prefix("key")).unwrap();
        writer.upsert(document("new", version)).unwrap();
        writer.commit().unwrap();
    }
    let backup = dir.path().join("backup");
    snapshot.copy_to(&backup).unwrap();
    let copy = Index::open(&backup).unwrap();
    let mut expected = model;
    expected.remove("key 3");
    assert_eq!(content(&copy.snapshot().unwrap()), expected);
    assert_eq!(copy.latest_commit().unwrap(), snapshot.commit_id());
    assert!(copy.verify(Verify::Full).unwrap().is_clean());
    assert_eq!(kind(snapshot.copy_to(&backup)), ErrorKind::AlreadyExists);
    upsert(&mut copy.writer().unwrap(), &mut expected, "later", 1);
}

#[test]
fn damage_is_not_backed_up() {
    let dir = directory();
    let path = dir.path().join("index");
    let (index, _) = filled(&path, 1, 200, config());
    drop(index);
    let file = path.join("segment-1");
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    // In a large file the damage may lie where opening does not look.
    let copied = Index::open(&path)
        .and_then(|index| index.snapshot())
        .and_then(|snapshot| snapshot.copy_to(dir.path().join("backup")));
    assert_eq!(kind(copied), ErrorKind::Corrupt);
}

#[test]
fn identical_documents_have_identical_answers_in_every_layout() {
    let dir = directory();
    let plain = filled(&dir.path().join("plain"), 5, 40, config()).0;
    let (ordered, _) = filled(&dir.path().join("ordered"), 5, 40, config().ordered_from(0));
    let mut writer = ordered.writer().unwrap();
    writer.merge_all(&mut Progress::none()).unwrap();
    writer.commit().unwrap();
    for seed in 0..30 {
        let query = Query::new(vector(seed)).top(9);
        let plain = plain.snapshot().unwrap().search(&query).unwrap();
        assert_eq!(plain, ordered.snapshot().unwrap().search(&query).unwrap());
    }
}

fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    names
}

//! What an index refuses: each time with a kind for programs and words for people, and nothing is
//! changed.

use std::{
    fs,
    io::{self, Read},
    ops::{ControlFlow, Range},
    sync::Arc,
};

use sparsely::{
    CommitId, Config, DocKey, Document, Error, ErrorKind, Filter, Import, Index, IndexWriter,
    MemoryIndex, Merging, Mode, Progress, Query, Result, Searcher, SparseVector, Verify,
    storage::Storage,
};

use crate::support::{
    model::{Model, config, content, document, upsert, vector},
    mutants::{forge, sections},
    simulated::{Fault, FaultKind, Files, Simulated},
};

#[track_caller]
fn refused<T>(result: Result<T>, kind: ErrorKind, says: &str) {
    let Err(error) = result else {
        panic!("an error of kind {kind:?} was expected: {says}");
    };
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(says), "{error}");
}

#[test]
fn a_configuration_that_breaks_a_rule_creates_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index");
    let limit = "weight limit: expected a finite number above zero";
    let name = "partition field: expected a name of 1 to 255 bytes, found ";
    for (config, says) in [
        (config().term_count(0), "term count: expected at least 1"),
        (config().weight_limit(0.0), limit),
        (config().weight_limit(-1.0), limit),
        (config().weight_limit(f32::NAN), limit),
        (config().weight_limit(f32::INFINITY), limit),
        (config().partition_by(""), name),
        (config().partition_by("x".repeat(256)), name),
    ] {
        let kind = ErrorKind::InvalidInput;
        refused(Index::create(&path, config.clone()), kind, says);
        refused(Index::open_or_create(&path, config.clone()), kind, says);
        refused(Index::in_memory(config.clone()), kind, says);
        refused(MemoryIndex::new(config), kind, says);
        assert!(!path.exists(), "{says}");
    }
    let longest = config().partition_by("x".repeat(255));
    Index::create(&path, longest).unwrap();
}

/// After a failure that is not of a sync.
#[test]
fn a_writer_that_failed_takes_a_rollback_and_nothing_else() {
    let disk = Simulated::default();
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let index = Index::with_storage(storage, config().merging(Merging::ByCaller)).unwrap();
    let mut writer = index.writer().unwrap();
    let mut model = Model::new();
    for at in 0..4 {
        upsert(&mut writer, &mut model, &format!("key {at}"), at);
        writer.commit().unwrap();
    }
    let merged = writer.begin_merge().unwrap().unwrap();
    let merged = merged.run(&mut Progress::none()).unwrap();
    disk.inject(Some(Fault {
        at: 0,
        kind: FaultKind::Full,
        lasts: true,
    }));
    writer.upsert(document("more", 1)).unwrap();
    refused(writer.commit(), ErrorKind::StorageFull, "cannot create");
    disk.inject(None);
    let before = disk.files();

    let none = &mut Progress::none();
    let poisoned = ErrorKind::Poisoned;
    let why = "this writer failed earlier ((simulated)/segment-";
    refused(writer.upsert(document("more", 2)), poisoned, why);
    refused(writer.delete("key 1"), poisoned, why);
    let all = Filter::key_prefix("");
    refused(writer.delete_matching(&all), poisoned, why);
    refused(writer.commit(), poisoned, why);
    refused(writer.merge(none), poisoned, why);
    refused(writer.merge_all(none), poisoned, why);
    refused(writer.begin_merge(), poisoned, why);
    refused(writer.finish_merge(merged), poisoned, why);
    assert_eq!(disk.files(), before);
    assert_eq!(content(&index.snapshot().unwrap()), model);

    writer.rollback().unwrap();
    assert!(writer.begin_merge().unwrap().is_some());
    upsert(&mut writer, &mut model, "again", 3);
    writer.commit().unwrap();
    assert_eq!(content(&index.snapshot().unwrap()), model);
}

fn by_caller() -> Config {
    config().merging(Merging::ByCaller)
}

/// An index on what `files` hold, with a commit of each of `documents` more.
fn grown(files: &Files, documents: &[Document]) -> Files {
    let disk = Simulated::holding(files);
    let index = Index::with_storage(Arc::new(disk.clone()), by_caller()).unwrap();
    let mut writer = index.writer().unwrap();
    for document in documents {
        writer.upsert(document.clone()).unwrap();
        writer.commit().unwrap();
    }
    drop(writer);
    disk.files()
}

/// Opening and verifying say that a segment does not fit the rest of its index.
#[track_caller]
fn contradicts(files: &Files, section: &str, says: &str) {
    let disk = Simulated::holding(files);
    let opened = Index::open_storage(Arc::new(disk.clone()), by_caller());
    refused(opened, ErrorKind::Corrupt, says);
    let found = Index::verify_storage(&disk, Verify::Quick).unwrap();
    let damage = &found.damage()[0];
    assert_eq!((&*damage.file, &*damage.section), ("segment-3", section));
    assert!(damage.to_string().contains(says), "{damage}");
}

/// Files that are whole, each with the others that it was written with: of two indexes that were
/// one once.
#[test]
fn segments_that_contradict_each_other_are_damage() {
    let first = grown(&Files::new(), &[document("first", 1)]);
    let with = |key: &str, field: &str| document(key, 2).field("other", field);
    let number = |key: &str| document(key, 2).field("other", 5);
    let one = grown(&first, &[number("second"), number("third")]);
    let files = |segment: &Files| forge(&one, "segment-3", segment["segment-3"].to_vec());
    let same = grown(&first, &[document("second", 2), number("third")]);
    let disk = Simulated::holding(&files(&same));
    let index = Index::open_storage(Arc::new(disk), by_caller()).unwrap();
    assert!(index.verify(Verify::Full).unwrap().is_clean());

    let text = grown(&first, &[document("second", 2), with("third", "text")]);
    let says = "field `other`: expected a value of its type, integer, found string";
    contradicts(&files(&text), "fields", says);

    // The head of a segment: its weight limit and, in the manifest, how many documents it has.
    let good = one["segment-3"].to_vec();
    let place = |file: &[u8], section: u32| -> Range<usize> {
        let found = sections(file).into_iter().find(|(id, _)| *id == section);
        found.unwrap().1
    };
    let mut other = good.clone();
    let limit = place(&good, 1).start + 8;
    assert_eq!(other[limit..limit + 4], 4.0_f32.to_le_bytes());
    other[limit..limit + 4].copy_from_slice(&8.0_f32.to_le_bytes());
    let says = "what the manifest says: 4, found 8";
    contradicts(&forge(&one, "segment-3", other), "segment info", says);

    let mut miscounted = one.clone();
    let manifest = Arc::make_mut(miscounted.get_mut("manifest-3").unwrap());
    let record = place(manifest, 82).start + 2 * 48;
    assert_eq!(manifest[record + 20..record + 24], 1_u32.to_le_bytes());
    manifest[record + 20] = 2;
    let miscounted = forge(&miscounted, "segment-3", good);
    let says = "2 documents, 2 of them alive, found 1 documents, 1 of them alive";
    contradicts(&miscounted, "segment info", says);
}

/// Whoever writes must use numbers that no file has used.
#[test]
fn a_directory_that_has_used_up_its_numbers_takes_no_writer() {
    let last = (1_u64 << 62) - 1;
    for name in [
        format!("segment-{last}"),
        format!("deletes-1-{last}"),
        format!("unfinished-{last}-0123456789abcdef"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::create(dir.path(), config()).unwrap();
        let mut writer = index.writer().unwrap();
        let mut model = Model::new();
        upsert(&mut writer, &mut model, "key", 1);
        writer.commit().unwrap();
        drop(writer);
        fs::write(dir.path().join(&name), "").unwrap();
        refused(index.writer(), ErrorKind::Corrupt, "a number below 2^62");
        let again = Index::open(dir.path()).unwrap();
        assert_eq!(content(&again.snapshot().unwrap()), model);
        assert!(dir.path().join(&name).exists());
    }
}

#[test]
fn a_backup_is_made_over_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let index = Index::in_memory(config()).unwrap();
    let mut writer = index.writer().unwrap();
    writer.upsert(document("key", 1)).unwrap();
    writer.commit().unwrap();
    let snapshot = index.snapshot().unwrap();

    let file = dir.path().join("file");
    fs::write(&file, "text").unwrap();
    refused(snapshot.copy_to(&file), ErrorKind::Io, "cannot create");
    assert_eq!(fs::read(&file).unwrap(), b"text");

    let left = dir.path().join("left");
    fs::create_dir(&left).unwrap();
    fs::write(left.join("segment-1"), "text").unwrap();
    let says = "segment-1: file at byte 0: expected a manifest beside it";
    refused(snapshot.copy_to(&left), ErrorKind::Corrupt, says);
    assert_eq!(fs::read(left.join("segment-1")).unwrap(), b"text");

    let locked = dir.path().join("locked");
    fs::create_dir(&locked).unwrap();
    let lock = fs::File::create(locked.join("writer.lock")).unwrap();
    lock.try_lock().unwrap();
    let says = "another writer holds the index";
    refused(snapshot.copy_to(&locked), ErrorKind::Locked, says);
    lock.unlock().unwrap();
    snapshot.copy_to(&locked).unwrap();
    let copy = Index::open(&locked).unwrap();
    assert_eq!(content(&copy.snapshot().unwrap()).len(), 1);
}

/// The index in memory, the model of it and the exhaustive searcher say the same.
#[test]
fn every_searcher_refuses_the_same_queries() {
    let index = Index::in_memory(config()).unwrap();
    let mut writer = index.writer().unwrap();
    let mut model = MemoryIndex::new(config()).unwrap();
    for side in [&mut writer as &mut dyn IndexWriter, &mut model] {
        side.upsert(document("key", 1)).unwrap();
        side.commit().unwrap();
    }
    let snapshot = index.snapshot().unwrap();
    let exhaustive = snapshot.exhaustive();
    let base = || Query::new(vector(1));
    let long = SparseVector::new((0..5000).map(|term| (term, 1.0))).unwrap();
    let unknown = "field `colour` not found: the fields are even, version";
    for searcher in [&snapshot as &dyn Searcher, &exhaustive, &model] {
        let ask = |query: Query, kind, says| {
            refused(searcher.search(&query), kind, says);
            refused(searcher.explain(&query, &DocKey::from("key")), kind, says);
        };
        ask(
            base().filter(Filter::equals("colour", 1)),
            ErrorKind::NotFound,
            unknown,
        );
        ask(base().fields(["colour"]), ErrorKind::NotFound, unknown);
        ask(
            base().filter(Filter::equals("version", "1")),
            ErrorKind::InvalidInput,
            "expected a value of its type, integer",
        );
        ask(
            base().least_score(f32::NAN),
            ErrorKind::InvalidInput,
            "least score: expected a number, found NaN",
        );
        ask(Query::new(long.clone()), ErrorKind::Limit, "over the limit");
        assert_eq!(searcher.search(&base()).unwrap().len(), 1);
        let absent = searcher.explain(&base(), &DocKey::from("absent"));
        refused(absent, ErrorKind::NotFound, "document `absent` not found");
    }
    // The exhaustive searcher scores by impacts, whatever the mode.
    let floats = base().mode(Mode::FloatExact);
    assert_eq!(exhaustive.search(&floats).unwrap().len(), 1);
    for searcher in [&snapshot as &dyn Searcher, &model] {
        let says = "float-exact search";
        refused(searcher.search(&floats), ErrorKind::Unsupported, says);
    }
    let rescored = model.search(&base().rescore(10));
    refused(rescored, ErrorKind::Unsupported, "leave `rescore` out");
    let wrong = Filter::equals("colour", 1);
    refused(model.delete_matching(&wrong), ErrorKind::NotFound, unknown);
    refused(writer.delete_matching(&wrong), ErrorKind::NotFound, unknown);
}

/// A reader that fails, a caller that calls off, a writer whose disk is full: none of them is the
/// fault of a line.
#[test]
fn an_import_that_is_cut_short_says_why() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
    struct Full;
    impl IndexWriter for Full {
        fn upsert(&mut self, _: Document) -> Result<()> {
            let error = io::ErrorKind::StorageFull.into();
            Err(Error::io("write", "elsewhere", error))
        }
        fn delete(&mut self, _: &DocKey) -> Result<bool> {
            Ok(false)
        }
        fn commit(&mut self) -> Result<CommitId> {
            unreachable!("an import commits nothing")
        }
        fn rollback(&mut self) -> Result<()> {
            unreachable!("an import rolls nothing back")
        }
    }
    let index = Index::in_memory(config()).unwrap();
    let mut writer = index.writer().unwrap();
    let mut model = Model::new();
    for at in 0..3 {
        upsert(&mut writer, &mut model, &format!("key {at}"), at);
    }
    writer.commit().unwrap();
    let mut lines = Vec::new();
    index.export(&mut lines, &mut Progress::none()).unwrap();
    let none = &mut Progress::none();

    let import = Import::open("lines", &lines[..]).unwrap();
    assert_eq!(import.documents(), 3);
    let mut stop = |_| ControlFlow::Break(());
    let stopped = import.read_into(&mut writer, &mut Progress::new(&mut stop));
    refused(stopped, ErrorKind::Cancelled, "during importing");
    let import = Import::open("lines", &lines[..]).unwrap();
    let says = "elsewhere: cannot write";
    refused(
        import.read_into(&mut Full, none),
        ErrorKind::StorageFull,
        says,
    );

    let says = "lines: cannot read";
    let broken = |len: usize| io::BufReader::new(lines[..len].chain(Broken));
    refused(Import::open("lines", broken(0)), ErrorKind::Io, says);
    let first = lines.iter().position(|byte| *byte == b'\n').unwrap();
    for len in [first + 1, first + 10, lines.len()] {
        let import = Import::open("lines", broken(len)).unwrap();
        refused(import.read_into(&mut writer, none), ErrorKind::Io, says);
    }
    writer.rollback().unwrap();
    writer.commit().unwrap();
    assert_eq!(content(&index.snapshot().unwrap()), model);
}

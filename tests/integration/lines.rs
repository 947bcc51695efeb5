//! An index written as lines and read back is the same index; a damaged one loses what is damaged
//! and nothing else; bad lines are refused by their number.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;
use sparsely::{
    Config, DocKey, Document, Encoder, ErrorKind, Export, Filter, Hits, Import, Index,
    LexicalEncoder, Progress, Query, Searcher, SparseVector, TermId, storage::Storage,
};

use crate::support::simulated::{Files, Random, Simulated};

const TERMS: u32 = 400;

fn vector(random: &mut Random, most: u64) -> SparseVector {
    let mut pairs = std::collections::BTreeMap::new();
    for _ in 0..random.below(most) {
        let term = u32::try_from(random.below(TERMS.into())).unwrap();
        // Weights that no short decimal is.
        let bits = u32::try_from(random.below(1 << 23)).unwrap();
        pairs.insert(term, f32::from_bits(0x3F80_0000 | bits));
    }
    SparseVector::new(pairs).unwrap()
}

/// A document of every part that there is, or of few.
fn document(random: &mut Random, key: Vec<u8>) -> Document {
    let vector = vector(random, 30);
    let terms = vector.terms().to_vec();
    let mut document = Document::new(key, vector);
    if random.below(2) == 0 {
        let own = terms.iter().copied().filter(|term| term.get() % 3 != 0);
        document = document.own_terms(own);
    }
    if random.below(3) > 0 {
        let text = format!("text \"{}\"\n\u{1F980}\0", random.next());
        document = document.text(text.repeat(usize::try_from(random.below(9)).unwrap()));
    }
    if random.below(3) == 0 {
        document = document.payload(random.next().to_le_bytes());
    }
    if random.below(2) == 0 {
        document = document.field("name", format!("n{}", random.below(9)));
        document = document.field("count", i64::MIN + i64::try_from(random.below(9)).unwrap());
        document = document.field("even", random.below(2) == 0);
    }
    if random.below(3) == 0 {
        document = document.full_vector(self::vector(random, 60));
    }
    let labels = terms.iter().map(|term| (*term, format!("label {term}")));
    document.labels(labels)
}

fn index_of(documents: u32, config: Config) -> (Index, Simulated) {
    let disk = Simulated::default();
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let index = Index::with_storage(storage, config).unwrap();
    let mut random = Random(21);
    let mut writer = index.writer().unwrap();
    for at in 0..documents {
        let key = match at % 5 {
            0 => vec![0xFF, 0xFE, 0x22, at.to_le_bytes()[0], at.to_le_bytes()[1]],
            _ => format!("key {at} \u{e9}\n").into_bytes(),
        };
        writer.upsert(document(&mut random, key)).unwrap();
        if at % 97 == 0 {
            writer.commit().unwrap();
        }
    }
    for at in (0..documents).step_by(7) {
        writer.delete(format!("key {at} \u{e9}\n")).unwrap();
    }
    writer.commit().unwrap();
    drop(writer);
    (index, disk)
}

fn config() -> Config {
    Config::new()
        .term_count(TERMS)
        .weight_limit(1.7)
        .keep_statistics()
        .keep_labels()
}

fn export(index: &Index) -> (Vec<u8>, Export) {
    let mut lines = Vec::new();
    let export = index.export(&mut lines, &mut Progress::none()).unwrap();
    (lines, export)
}

fn import(lines: &[u8], index: Option<Index>) -> sparsely::Result<Index> {
    let import = Import::open("lines", lines)?;
    let index = match index {
        Some(index) => index,
        None => Index::in_memory(import.configure(Config::new()))?,
    };
    let mut writer = index.writer()?;
    import.read_into(&mut writer, &mut Progress::none())?;
    writer.commit()?;
    drop(writer);
    Ok(index)
}

fn answers(index: &Index) -> Vec<Hits> {
    let snapshot = index.snapshot().unwrap();
    let mut random = Random(4);
    let ask = |at: u64| {
        let mut query = Query::new(vector(&mut random, 12))
            .top(40)
            .fields(["count"]);
        if at.is_multiple_of(3) {
            query = query.filter(Filter::equals("even", true));
        }
        if at.is_multiple_of(4) {
            query = query.rescore(30);
        }
        snapshot.search(&query).unwrap()
    };
    (0..40).map(ask).collect()
}

#[test]
fn an_index_comes_back_bit_for_bit() {
    let (index, _) = index_of(700, config());
    let (lines, report) = export(&index);
    assert!(report.is_complete());
    let copy = import(&lines, None).unwrap();
    let [one, other] = [&index, &copy].map(|index| index.snapshot().unwrap());
    assert_eq!(report.documents(), one.document_count());
    let keys = |snapshot: &sparsely::Snapshot| {
        let mut keys: Vec<DocKey> = snapshot.keys().map(Result::unwrap).collect();
        keys.sort_unstable();
        keys
    };
    assert_eq!(keys(&one), keys(&other));
    let query = Query::new(SparseVector::new((0..TERMS).map(|term| (term, 1.0))).unwrap());
    for key in keys(&one) {
        assert_eq!(one.document(&key).unwrap(), other.document(&key).unwrap());
        let explained = [&one, &other].map(|snapshot| snapshot.explain(&query, &key).unwrap());
        assert_eq!(explained[0], explained[1]);
    }
    assert!(one.fields().eq(other.fields()));
    for term in (0..TERMS).map(TermId::from) {
        let counts = [&one, &other].map(|s| s.statistics().document_frequency(term));
        assert_eq!(counts[0], counts[1]);
    }
    assert_eq!(answers(&index), answers(&copy));
    // The lines of the copy are the same, but for their order, and for labels: a segment tells
    // all that it knows of a document's terms.
    let sorted = |lines: &[u8]| {
        let mut lines: Vec<String> = String::from_utf8(lines.to_vec())
            .unwrap()
            .lines()
            .filter(|line| line.contains("\"vector\""))
            .map(|line| line.split(",\"labels\"").next().unwrap().to_owned())
            .collect();
        lines.sort_unstable();
        lines
    };
    let (one, other) = (sorted(&lines), sorted(&export(&copy).0));
    let differs = one.iter().zip(&other).find(|(one, other)| one != other);
    assert_eq!(differs, None);
    assert_eq!(one.len(), other.len());
}

#[test]
fn lines_go_into_an_index_that_exists_and_replace_what_they_name() {
    let (index, _) = index_of(60, config());
    let (lines, _) = export(&index);
    let (other, _) = index_of(3, config().memory_budget(1));
    let mut writer = other.writer().unwrap();
    writer
        .upsert(Document::new(
            "kept",
            SparseVector::new([(1, 1.0)]).unwrap(),
        ))
        .unwrap();
    writer.commit().unwrap();
    drop(writer);
    let other = import(&lines, Some(other)).unwrap();
    let expected = index.snapshot().unwrap().document_count() + 1;
    let snapshot = other.snapshot().unwrap();
    // The three that were there have keys of the lines.
    assert_eq!(snapshot.document_count(), expected);
    assert!(snapshot.contains("kept").unwrap());
}

#[test]
fn an_empty_index_is_two_lines() {
    let index = Index::in_memory(Config::new()).unwrap();
    let (lines, report) = export(&index);
    assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), 2);
    assert!(report.is_complete());
    let copy = import(&lines, None).unwrap();
    assert_eq!(copy.snapshot().unwrap().document_count(), 0);
}

/// Every kind of damage: what is written is what was committed, and what is not is counted.
#[test]
fn damage_costs_what_is_damaged_and_is_named() {
    let (index, disk) = index_of(6000, config());
    let mut writer = index.writer().unwrap();
    writer.merge_all(&mut Progress::none()).unwrap();
    writer.commit().unwrap();
    drop(writer);
    let (lines, _) = export(&index);
    let good: std::collections::BTreeSet<String> = String::from_utf8(lines)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    let all = index.snapshot().unwrap().document_count();
    let files: Files = disk.files();
    let (name, bytes) = files
        .iter()
        .filter(|(name, _)| name.starts_with("segment-"))
        .max_by_key(|(_, bytes)| bytes.len())
        .unwrap();
    assert!(bytes.len() > 10 * 65536, "several blocks: {}", bytes.len());
    let stored = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let key = line.get("key").or(line.get("key_hex"))?.to_string();
        let parts = ["text", "payload_hex", "fields"].map(|part| line.get(part).cloned());
        Some((key, parts))
    };
    let all_stored: BTreeMap<_, _> = good.iter().filter_map(|line| stored(line)).collect();
    let (mut partly, mut without_vector) = (0, 0);
    for at in (0..bytes.len()).step_by(24 * 1024) {
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 0x10;
        let mut files = files.clone();
        files.insert(name.clone(), Arc::new(damaged));
        let mut lines = Vec::new();
        let disk = Simulated::holding(&files);
        let report = Index::export_storage(&disk, &mut lines, &mut Progress::none()).unwrap();
        // What is only there to be searched is not needed here.
        assert_eq!(report.is_complete(), report.documents() == all, "{at}");
        assert!(report.damage().iter().all(|damage| damage.file == *name));
        let lost = report.lost_keys().len() as u64 + report.lost_unnamed();
        assert_eq!(report.documents() + lost, all, "{at}");
        let lines = String::from_utf8(lines).unwrap();
        let documents = lines.lines().filter(|line| line.contains("\"vector\""));
        assert!(documents.clone().all(|line| good.contains(line)), "{at}");
        assert_eq!(documents.count() as u64, report.documents());
        // Of what is lost, what is stored beside the vectors is there, each part whole or not at all.
        let rest = lines.lines().filter(|line| !line.contains("\"vector\""));
        let rest: Vec<_> = rest.filter_map(stored).collect();
        assert_eq!(rest.len() as u64, report.remains(), "{at}");
        assert!(report.remains() <= lost, "{at}");
        for (key, parts) in rest {
            let whole = &all_stored[&key];
            let mut parts = parts.iter().zip(whole);
            assert!(parts.all(|(part, whole)| part.is_none() || part == whole));
            without_vector += 1;
        }
        partly += usize::from(report.documents() > 0 && lost > 0);
        // What was saved is an index again.
        if report.documents() > 0 {
            let copy = import(lines.as_bytes(), None).unwrap();
            assert_eq!(
                copy.snapshot().unwrap().document_count(),
                report.documents()
            );
        }
    }
    assert!(partly > 0, "some damage leaves documents");
    assert!(without_vector > 100, "some leaves texts: {without_vector}");
}

/// Texts outlive their vectors: encoded again, they answer as before.
#[test]
fn what_is_left_of_documents_is_encoded_again() {
    const COUNT: u32 = 3000;
    let encoder = LexicalEncoder::text();
    let disk = Simulated::default();
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let index = Index::with_storage(storage, Config::for_encoder(&encoder)).unwrap();
    let mut writer = index.writer().unwrap();
    // Checksums are those of 64 KiB: vectors and texts should lie in pieces of their own.
    for at in 0..COUNT {
        let text = format!("passage {at} of chapter {} on page {}", at % 17, at % 40);
        let document = Document::from_text(&encoder, format!("{at}"), text).unwrap();
        let document = document
            .payload(vec![7; usize::try_from(at % 300).unwrap()])
            .field("chapter", i64::from(at % 17));
        writer.upsert(document).unwrap();
    }
    writer.commit().unwrap();
    drop(writer);
    let files = disk.files();
    let (name, bytes) = files
        .iter()
        .find(|(name, _)| name.starts_with("segment-"))
        .unwrap();
    let snapshot = index.snapshot().unwrap();
    let query = encoder.encode_query_for("chapter 5 page 12", &snapshot);
    let query = Query::new(query.unwrap()).top(100).fields(["chapter"]);
    let answer = snapshot.search(&query).unwrap();
    let mut healed = 0;
    for at in (0..bytes.len()).step_by(16 * 1024) {
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 1;
        let mut files = files.clone();
        files.insert(name.clone(), Arc::new(damaged));
        let mut lines = Vec::new();
        let disk = Simulated::holding(&files);
        let report = Index::export_storage(&disk, &mut lines, &mut Progress::none()).unwrap();
        if report.remains() < u64::from(COUNT) {
            continue;
        }
        let import = Import::open("lines", &lines[..]).unwrap();
        let other = LexicalEncoder::code();
        let copy = Index::in_memory(import.configure(Config::new())).unwrap();
        let mut writer = copy.writer().unwrap();
        let none = &mut Progress::none();
        let refused = import.read_into_encoding(&other, &mut writer, none);
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::EncoderMismatch);
        let import = Import::open("lines", &lines[..]).unwrap();
        let count = import
            .read_into_encoding(&encoder, &mut writer, none)
            .unwrap();
        writer.commit().unwrap();
        // Where the damage was in fields, answers lack them; where it was in texts, documents are missing.
        let snapshot = copy.snapshot().unwrap();
        let is_whole = |key: u32| {
            let found = snapshot.document(key.to_string()).unwrap();
            found.is_some_and(|found| found.value("chapter").is_some())
        };
        if count != u64::from(COUNT) || !(0..COUNT).all(is_whole) {
            continue;
        }
        assert_eq!(snapshot.search(&query).unwrap(), answer, "{at}");
        healed += 1;
    }
    assert!(healed > 5, "damage to vectors alone: {healed}");
}

#[test]
fn a_lost_manifest_and_lost_deletes_are_told() {
    let (index, disk) = index_of(200, config());
    let commit = index.latest_commit().unwrap();
    let alive = index.snapshot().unwrap().document_count();
    let files = disk.files();
    for name in files.keys() {
        let mut left = files.clone();
        left.insert(name.clone(), Arc::new(b"nothing".to_vec()));
        let disk = Simulated::holding(&left);
        let mut lines = Vec::new();
        let report = Index::export_storage(&disk, &mut lines, &mut Progress::none()).unwrap();
        match name.split('-').next().unwrap() {
            "manifest" if *name == format!("manifest-{commit}") => {
                assert_eq!(report.given_up_commits(), [commit]);
            }
            "deletes" if report.commit() == commit && !report.is_complete() => {
                assert_eq!(report.revived_segments().len(), 1);
                assert!(report.documents() >= alive);
            }
            "segment" if !report.is_complete() => assert!(report.documents() < alive),
            _ => assert_eq!(report.documents(), alive, "{name}"),
        }
    }
}

#[test]
fn bad_lines_are_refused_by_number() {
    let (index, _) = index_of(20, config());
    let (lines, _) = export(&index);
    let lines: Vec<String> = String::from_utf8(lines)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    let with = |at: usize, line: &str| {
        let mut lines = lines.clone();
        lines[at] = line.to_owned();
        lines.join("\n").into_bytes()
    };
    let deep = "[".repeat(100_000);
    let cases: &[(usize, &str, &str)] = &[
        (0, "", "first line"),
        (0, "{}", "first line"),
        (
            0,
            &lines[0].replace("\"sparsely_export\":1", "\"sparsely_export\":2"),
            "version 2",
        ),
        (3, "{", "lines:4"),
        (3, &deep, "lines:4"),
        (3, "[1, 2]", "lines:4"),
        (3, r#"{"key": "a"}"#, "vector"),
        (3, r#"{"vector": {"terms": [], "weights": []}}"#, "one key"),
        (
            3,
            r#"{"key": "", "vector": {"terms": [], "weights": []}}"#,
            "1 to 4096 bytes",
        ),
        (
            3,
            r#"{"key": "a", "key_hex": "00", "vector": {"terms": [], "weights": []}}"#,
            "one key",
        ),
        (
            3,
            r#"{"key_hex": "0", "vector": {"terms": [], "weights": []}}"#,
            "hexadecimal",
        ),
        (3, r#"{"key": "a", "vector": {"terms": [1]}}"#, "either"),
        (
            3,
            r#"{"key": "a", "vector": {"terms": [1], "impacts": [0]}}"#,
            "at least 1",
        ),
        (
            3,
            r#"{"key": "a", "vector": {"terms": [1], "impacts": [256]}}"#,
            "lines:4",
        ),
        (
            3,
            r#"{"key": "a", "vector": {"terms": [2, 1], "weights": [1, 1]}}"#,
            "lines:4",
        ),
        (
            3,
            r#"{"key": "a", "vector": {"terms": [1], "weights": [-1]}}"#,
            "lines:4",
        ),
        (
            3,
            r#"{"key": "a", "vector": {"terms": [1], "weights": [1e99]}}"#,
            "lines:4",
        ),
        (
            3,
            r#"{"key": "a", "vector": {"terms": [1], "weights": ["1"]}}"#,
            "number",
        ),
        (
            3,
            r#"{"key": "a", "vector": {"terms": [1], "weights": [1, 2]}}"#,
            "lines:4",
        ),
        (
            3,
            r#"{"key": "a", "vector": {"terms": [4000], "weights": [1]}}"#,
            "term count",
        ),
        (
            3,
            r#"{"key": "a", "vector": {"terms": [], "weights": []}, "fields": {"a": 1.5}}"#,
            "lines:4",
        ),
        (
            3,
            r#"{"key": "a", "vector": {"terms": [], "weights": []}, "colour": 1}"#,
            "colour",
        ),
    ];
    for (at, line, part) in cases {
        let error = import(&with(*at, line), None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
    let cut = lines[..lines.len() - 1].join("\n");
    let error = import(cut.as_bytes(), None).unwrap_err();
    assert!(error.to_string().contains("end of the file"), "{error}");
    let one_missing: Vec<String> = [&lines[..3], &lines[4..]].concat();
    let error = import(one_missing.join("\n").as_bytes(), None).unwrap_err();
    assert!(error.to_string().contains("documents before"), "{error}");
    let more = [lines.join("\n"), lines[0].clone()].join("\n");
    assert!(import(more.as_bytes(), None).is_err());
    assert!(import(&[0xFF, b'\n'], None).is_err());
    let cancelled = index.export(
        std::io::sink(),
        &mut Progress::new(&mut |_| std::ops::ControlFlow::Break(())),
    );
    assert_eq!(cancelled.unwrap_err().kind(), ErrorKind::Cancelled);
}

#[test]
fn first_lines_are_read_with_care() {
    let refused = |lines: &str, why: &str| {
        let error = import(lines.as_bytes(), None).map(drop).unwrap_err();
        assert!(error.to_string().contains(why), "{lines}: {error}");
    };
    let (index, _) = index_of(5, config());
    let (lines, _) = export(&index);
    let lines = String::from_utf8(lines).unwrap();
    let (first, rest) = lines.split_once('\n').unwrap();
    let with = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut first: serde_json::Value = serde_json::from_str(first).unwrap();
        change(&mut first);
        format!("{first}\n{rest}")
    };
    import(with(&|_| ()).as_bytes(), None).unwrap();
    refused("", "the end of the file");
    refused(
        &with(&|first| first["weight_limit"] = (-1.0).into()),
        "weight",
    );
    refused(
        &with(&|first| first["weight_limit"] = serde_json::Value::Null),
        "`weight_limit`",
    );
    let encoder = serde_json::json!({"name": "e", "digest": "no number"});
    refused(
        &with(&|first| first["encoder"] = encoder.clone()),
        "hexadecimal",
    );
}

/// Wherever it fails.
#[test]
fn an_export_that_cannot_be_written_is_an_error() {
    struct Short(usize);
    impl std::io::Write for Short {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let count = bytes.len().min(self.0);
            self.0 -= count;
            match count {
                0 => Err(std::io::ErrorKind::StorageFull.into()),
                count => Ok(count),
            }
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (index, _) = index_of(5, config());
    let (lines, _) = export(&index);
    for room in (0..lines.len()).step_by(37).chain([lines.len() - 1]) {
        let error = index
            .export(Short(room), &mut Progress::none())
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull, "{room}: {error}");
    }
}

#[test]
fn another_encoder_is_refused() {
    let encoder = sparsely::LexicalEncoder::text();
    let index = Index::in_memory(Config::for_encoder(&encoder)).unwrap();
    let mut writer = index.writer().unwrap();
    let document = Document::from_text(&encoder, "a", "boil the water").unwrap();
    writer.upsert(document).unwrap();
    writer.commit().unwrap();
    drop(writer);
    let (lines, _) = export(&index);
    let dir = tempfile::tempdir().unwrap();
    let import = Import::open("lines", &lines[..]).unwrap();
    Index::create(dir.path().join("a"), import.configure(Config::new())).unwrap();
    let other = Config::for_encoder(&sparsely::LexicalEncoder::code());
    Index::create(dir.path().join("b"), other).unwrap();
    let config = import.configure(Config::new());
    assert!(Index::open_with(dir.path().join("a"), config.clone()).is_ok());
    let error = Index::open_with(dir.path().join("b"), config).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::EncoderMismatch);
}

/// Files that a writer removes meanwhile are not damage.
#[test]
fn an_export_beside_a_writer_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let index = Index::create(dir.path(), config()).unwrap();
    let mut writer = index.writer().unwrap();
    let mut random = Random(4);
    let mut commit = move |version: u32| {
        for at in 0..4 {
            let document = Document::new(format!("{at}"), vector(&mut random, 9));
            let document = document.payload(version.to_le_bytes());
            writer.upsert(document).unwrap();
        }
        writer.commit().unwrap();
    };
    commit(0);
    let done = std::sync::atomic::AtomicBool::new(false);
    let relaxed = std::sync::atomic::Ordering::Relaxed;
    let exports = std::thread::scope(|scope| {
        let exports = scope.spawn(|| {
            let (mut last, mut count) = (0, 0);
            while !done.load(relaxed) {
                let mut lines = Vec::new();
                let export = Index::export_at(dir.path(), &mut lines, &mut Progress::none());
                let export = export.unwrap();
                assert!(export.is_complete(), "{export:?}");
                assert_eq!(export.documents(), 4);
                assert!(export.commit().get() >= last, "time went back");
                last = export.commit().get();
                count += 1;
            }
            count
        });
        (1..80).for_each(commit);
        done.store(true, relaxed);
        exports.join().unwrap()
    });
    assert!(exports > 0);
}

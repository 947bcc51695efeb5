//! Indexes of every released version of the format, kept for ever: they open, verify and answer as
//! they did on the day they were written. `tests/fixtures/golden/README.md` says how they were
//! made.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use sparsely::{
    Config, Document, Durability, Filter, Import, Index, Merging, Progress, Query, Searcher,
    Snapshot, SparseVector, TermId, Verify,
};

/// Set to `write`, the test writes the files anew instead of reading them.
const SWITCH: &str = "SPARSELY_GOLDEN";

const VERSION: &str = "v1";

const TERMS: u32 = 50;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/golden")
        .join(VERSION)
}

/// One index for each layout of postings.
fn configs() -> [(&'static str, Config); 2] {
    let config = || {
        Config::new()
            .term_count(TERMS)
            .weight_limit(2.5)
            .keep_statistics()
            .keep_labels()
            .durability(Durability::OsCache)
            .merging(Merging::ByCaller)
    };
    [("windows", config()), ("blocks", config().ordered_from(0))]
}

fn vector(seed: u32, len: u32) -> SparseVector {
    let pairs = (0..len).map(|at| {
        let term = (seed * 7 + at * at * 3 + at) % TERMS;
        let weight = 1 + (seed * 13 + at * 29) % 24;
        (term, f32::from(u16::try_from(weight).unwrap()) / 10.0)
    });
    SparseVector::new(pairs.collect::<BTreeMap<u32, f32>>()).unwrap()
}

/// Every part that a document may have, in some document.
fn document(at: u32) -> Document {
    let vector = vector(at, 3 + at % 7);
    let own = vector
        .terms()
        .iter()
        .copied()
        .filter(|term| term.get() % 4 != at % 4);
    let own: Vec<TermId> = own.collect();
    let key = match at % 6 {
        5 => vec![0xFF, 0x00, at.to_le_bytes()[0]],
        _ => format!("key {at}").into_bytes(),
    };
    let labels = [(vector.terms()[0], format!("label of {}", vector.terms()[0]))];
    let mut document = Document::new(key, vector)
        .text(format!("text {at} \u{e9}"))
        .field("number", i64::from(at) - 10)
        .field("even", at.is_multiple_of(2))
        .field("colour", ["red", "green", "blue"][(at % 3) as usize])
        .labels(labels);
    if at.is_multiple_of(3) {
        document = document.own_terms(own);
    }
    if at.is_multiple_of(4) {
        document = document.full_vector(self::vector(at + 1, 12));
    }
    if at.is_multiple_of(5) {
        document = document.payload(at.to_le_bytes());
    }
    document
}

/// Three segments, one of them merged, with deletes and an upsert.
fn write(path: &Path, config: Config) {
    let index = Index::create(path, config).unwrap();
    let mut writer = index.writer().unwrap();
    for at in 0..24 {
        writer.upsert(document(at)).unwrap();
        if at == 11 {
            writer.commit().unwrap();
        }
    }
    writer.merge_all(&mut Progress::none()).unwrap();
    writer.commit().unwrap();
    for range in [24..32, 32..40] {
        for at in range {
            writer.upsert(document(at)).unwrap();
        }
        writer.commit().unwrap();
    }
    writer.delete("key 3").unwrap();
    writer
        .upsert(Document::new("key 8", vector(99, 5)))
        .unwrap();
    writer.commit().unwrap();
}

/// Everything that an index has to say, as text.
fn told(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    let mut documents: Vec<_> = snapshot.documents().map(Result::unwrap).collect();
    documents.sort_by(|a, b| a.key().cmp(b.key()));
    for document in documents {
        writeln!(text, "{document:?}").unwrap();
    }
    for (name, field_type) in snapshot.fields() {
        writeln!(text, "field {name}: {field_type}").unwrap();
    }
    for term in (0..TERMS).map(TermId::from) {
        let count = snapshot.statistics().document_frequency(term);
        writeln!(text, "term {term}: {count}").unwrap();
    }
    let queries = [
        Query::new(vector(1, 8)),
        Query::new(vector(2, 4)).filter(Filter::equals("colour", "red")),
        Query::new(vector(3, 9)).filter(Filter::range("number", -5..15)),
        Query::new(vector(4, 6)).rescore(20),
        Query::new(vector(5, 2)).filter(Filter::key_prefix("key 1")),
    ];
    for (at, query) in queries.into_iter().enumerate() {
        let query = query.top(12).fields(["number"]);
        let hits = snapshot.search(&query).unwrap();
        assert_eq!(hits, snapshot.exhaustive().search(&query).unwrap());
        for hit in hits.iter() {
            let score = hit.score().to_bits();
            writeln!(text, "query {at}: {:?} {score:08x}", hit.key()).unwrap();
        }
        let best = hits.iter().next().unwrap().key().clone();
        writeln!(text, "{:?}", snapshot.explain(&query, &best).unwrap()).unwrap();
    }
    text
}

fn names(path: &Path) -> Vec<String> {
    let names = fs::read_dir(path).unwrap();
    let mut names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    names
}

#[test]
fn indexes_of_the_first_format_open_verify_and_answer() {
    if std::env::var_os(SWITCH).is_some_and(|value| value == "write") {
        return regenerate();
    }
    for (name, _) in configs() {
        let path = folder().join(name);
        let remedy = "see tests/fixtures/golden/README.md";
        let index = Index::open(&path).unwrap_or_else(|error| panic!("{error}; {remedy}"));
        let before = names(&path);
        let report = index.verify(Verify::Full).unwrap();
        assert!(report.is_clean(), "{:?}; {remedy}", report.damage());
        let expected = fs::read_to_string(folder().join(format!("{name}.txt"))).unwrap();
        let found = told(&index.snapshot().unwrap());
        let differs = found.lines().zip(expected.lines()).find(|(a, b)| a != b);
        assert_eq!(differs, None, "{name}: {remedy}");
        assert_eq!(found, expected, "{name}: {remedy}");
        assert_eq!(names(&path), before, "reading changes nothing");

        // The lines of the first version, too.
        let lines = fs::read(folder().join(format!("{name}.jsonl"))).unwrap();
        let import = Import::open(name, &lines[..]).unwrap();
        let copy = Index::in_memory(import.configure(Config::new())).unwrap();
        let mut writer = copy.writer().unwrap();
        import
            .read_into(&mut writer, &mut Progress::none())
            .unwrap();
        writer.commit().unwrap();
        assert_eq!(
            told(&copy.snapshot().unwrap()),
            expected,
            "{name}: {remedy}"
        );
    }
}

/// A writer goes on from them, in a copy.
#[test]
fn indexes_of_the_first_format_take_new_documents() {
    for (name, config) in configs() {
        let dir = tempfile::tempdir().unwrap();
        let Ok(old) = Index::open(folder().join(name)) else {
            // The test above says what is wrong.
            continue;
        };
        old.snapshot().unwrap().copy_to(dir.path()).unwrap();
        let index = Index::open_with(dir.path(), config).unwrap();
        let mut writer = index.writer().unwrap();
        let count = index.snapshot().unwrap().document_count();
        writer.upsert(document(100)).unwrap();
        writer.merge_all(&mut Progress::none()).unwrap();
        writer.commit().unwrap();
        assert_eq!(index.snapshot().unwrap().document_count(), count + 1);
        assert!(index.verify(Verify::Full).unwrap().is_clean());
    }
}

fn regenerate() {
    let folder = folder();
    for (name, config) in configs() {
        let path = folder.join(name);
        if path.exists() {
            fs::remove_dir_all(&path).unwrap();
        }
        write(&path, config);
        // What a checkout would not keep anyway.
        for left in ["writer.lock", ".gitignore"] {
            fs::remove_file(path.join(left)).unwrap();
        }
        let index = Index::open(&path).unwrap();
        fs::write(
            folder.join(format!("{name}.txt")),
            told(&index.snapshot().unwrap()),
        )
        .unwrap();
        let lines = fs::File::create(folder.join(format!("{name}.jsonl"))).unwrap();
        index.export(lines, &mut Progress::none()).unwrap();
    }
}

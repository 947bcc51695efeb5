//! Build, open and search, by regime. Each benchmark checks its answers before it is timed.
//!
//! The corpus is made here: document frequencies of two bands (topical terms of one cluster, and a
//! plateau of expansion terms that a tenth of the collection has), because a Zipf curve hides what
//! learned vectors cost.

use std::{hint::black_box, path::Path};

use criterion::{Criterion, criterion_group, criterion_main};
use sparsely::{
    Config, Document, Filter, Index, Mode, Progress, Query, Scratch, Searcher, SparseVector,
};

const DOCUMENTS: u32 = 20_000;
const CLUSTERS: u32 = 200;

fn build(c: &mut Criterion) {
    let mut group = c.benchmark_group("build");
    group.sample_size(10);
    group.bench_function("2000 documents, two commits, merged", |b| {
        b.iter(|| {
            let index = Index::in_memory(config()).expect("an index in memory");
            fill(&index, 2000);
            assert_eq!(index.snapshot().expect("a snapshot").document_count(), 2000);
        });
    });
    group.finish();
}

fn open(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("index");
    fill(
        &Index::create(&path, config()).expect("an index"),
        DOCUMENTS,
    );
    let open = |path: &Path| Index::open(path).and_then(|index| index.snapshot());
    assert_eq!(
        open(&path).expect("opens").document_count(),
        u64::from(DOCUMENTS)
    );
    c.bench_function("open", |b| {
        b.iter(|| open(black_box(&path)).expect("opens"))
    });
}

fn search(c: &mut Criterion) {
    for (layout, ordered_from) in [("windows", u64::MAX), ("blocks", 1)] {
        let index = Index::in_memory(config().ordered_from(ordered_from)).expect("an index");
        fill(&index, DOCUMENTS);
        let snapshot = index.snapshot().expect("a snapshot");
        let mut group = c.benchmark_group(format!("search/{layout}"));
        for (name, query) in regimes() {
            let fast = snapshot.search(&query).expect("searches");
            let oracle = query.clone().mode(Mode::Exhaustive);
            assert_eq!(fast, snapshot.search(&oracle).expect("searches"), "{name}");
            let mut scratch = Scratch::new();
            group.bench_function(name, |b| {
                b.iter(|| snapshot.search_with(black_box(&query), &mut scratch));
            });
        }
        group.finish();
    }
}

/// Queries by what makes them hard.
fn regimes() -> Vec<(&'static str, Query)> {
    let long = || Query::new(vector(7, 40));
    vec![
        ("short, k = 10", Query::new(vector(7, 5)).top(10)),
        ("long, k = 10", long().top(10)),
        ("long, k = 100", long().top(100)),
        ("long, k = 1000", long().top(1000)),
        ("flat, 100 terms", flat().top(10)),
        (
            "half the documents",
            long().filter(Filter::equals("parity", 0_i64)),
        ),
        (
            "one document in a thousand",
            long().filter(Filter::equals("thousandth", 5_i64)),
        ),
    ]
}

fn config() -> Config {
    Config::new().weight_limit(4.0)
}

fn fill(index: &Index, count: u32) {
    let mut writer = index.writer().expect("the only writer");
    for number in 0..count {
        let document = Document::new(format!("{number:06}"), vector(number, 60))
            .field("parity", i64::from(number % 2))
            .field("thousandth", i64::from(number % 1000));
        writer.upsert(document).expect("a sound document");
        if number == count / 2 {
            writer.commit().expect("commits");
        }
    }
    writer.merge_all(&mut Progress::none()).expect("merges");
    writer.commit().expect("commits");
}

/// Two thirds of the terms from the document's cluster, one third from the plateau.
fn vector(number: u32, terms: u32) -> SparseVector {
    let cluster = number % CLUSTERS;
    let mut random = Random(u64::from(number) + 1);
    let mut pairs = std::collections::BTreeMap::new();
    for at in 0..terms {
        let term = match at % 3 {
            0 => 20_000 + random.below(600),
            _ => cluster * 100 + random.below(100),
        };
        pairs.insert(term, 0.1 + random.below(300) as f32 / 100.0);
    }
    SparseVector::new(pairs).expect("sound pairs")
}

/// A hundred terms of nearly one weight, as unpruned decoders make them: bounds say little.
fn flat() -> Query {
    let terms = (0..100).map(|at| (20_000 + at * 6, 2.3 + at as f32 / 1000.0));
    Query::new(SparseVector::new(terms).expect("sound pairs"))
}

/// SplitMix64 (Steele, Lea and Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        u32::try_from((mixed >> 32) % u64::from(bound)).expect("below a u32")
    }
}

criterion_group!(benches, build, open, search);
criterion_main!(benches);

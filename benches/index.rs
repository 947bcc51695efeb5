//! Build, open and search, by regime. Each benchmark checks its answers before it is timed.
//!
//! `cargo bench --bench index` measures on 60,000 generated documents in some minutes;
//! `SPARSELY_BENCH=quick cargo bench --bench index` goes once over everything on 20,000, in less than
//! two. A name after `--` picks benchmarks, as with every criterion program.

mod generate;

use std::{env, hint::black_box, path::Path, sync::LazyLock, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use generate::{Generator, Shape};
use sparsely::{
    Approximation, Config, Document, Filter, Hits, Index, Merging, Mode, Progress, Query, Scratch,
    Searcher, Snapshot, SparseVector,
};

/// Once over everything, or as long as criterion thinks right.
static IS_QUICK: LazyLock<bool> =
    LazyLock::new(|| env::var("SPARSELY_BENCH").is_ok_and(|tier| tier == "quick"));

const VECTORS: Generator = Generator::new(Shape::SPLADE, 1);

fn document_count() -> u64 {
    if *IS_QUICK { 20_000 } else { 60_000 }
}

fn build(c: &mut Criterion) {
    let mut group = c.benchmark_group("build");
    group.sample_size(10);
    for (name, ordered_from) in LAYOUTS {
        for threads in [1, 2] {
            let config = config().ordered_from(ordered_from).threads(threads);
            let name = format!("4000 documents, merged to {name}, {threads} threads");
            group.bench_function(name, |b| {
                b.iter(|| {
                    let index = Index::in_memory(config.clone()).expect("an index");
                    fill(&index, 4000);
                    let snapshot = index.snapshot().expect("a snapshot");
                    assert_eq!(snapshot.document_count(), 4000);
                });
            });
        }
    }
    group.finish();
}

fn open(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("index");
    let index = Index::create(&path, config().ordered_from(1)).expect("an index");
    fill(&index, 5000);
    let open = |path: &Path| Index::open(path).and_then(|index| index.snapshot());
    assert_eq!(open(&path).expect("opens").document_count(), 5000);
    c.bench_function("open", |b| {
        b.iter(|| open(black_box(&path)).expect("opens"));
    });
}

/// One thread, one query at a time, on the layout of fresh segments and on that of large ones.
fn search(c: &mut Criterion) {
    for (layout, ordered_from) in LAYOUTS {
        let snapshot = filled(document_count(), ordered_from);
        measure(c, &format!("search/{layout}"), &snapshot);
    }
}

/// Every regime of queries, its answers checked before.
fn measure(c: &mut Criterion, name: &str, snapshot: &Snapshot) {
    let mut group = c.benchmark_group(name);
    for (name, queries) in regimes() {
        check(snapshot, &queries, name);
        let mut scratch = Scratch::new();
        let mut next = queries.iter().cycle();
        group.bench_function(name, |b| {
            b.iter(|| {
                let query = next.next().expect("a cycle has no end");
                snapshot.search_with(black_box(query), &mut scratch)
            });
        });
    }
    group.finish();
}

/// A large segment and the fresh ones that commits have left beside it.
fn fresh(c: &mut Criterion) {
    let config = config().ordered_from(1).merging(Merging::ByCaller);
    let index = Index::in_memory(config).expect("an index");
    fill(&index, document_count());
    let mut writer = index.writer().expect("the only writer");
    for commit in 0..FRESH_SEGMENTS {
        for at in 0..FRESH_LEN {
            let number = document_count() + commit * FRESH_LEN + at;
            writer.upsert(document(number)).expect("a sound document");
        }
        writer.commit().expect("commits");
    }
    let stats = index.stats().expect("statistics");
    assert_eq!(stats.segments.len() as u64, 1 + FRESH_SEGMENTS);
    let snapshot = index.snapshot().expect("a snapshot");
    measure(c, "search/blocks and fresh segments", &snapshot);
}

const FRESH_SEGMENTS: u64 = 3;
const FRESH_LEN: u64 = 500;

/// Filters by how many documents they admit, anywhere or side by side, beside no filter.
fn filters(c: &mut Criterion) {
    let all = i64::try_from(document_count()).expect("few documents");
    for (layout, ordered_from) in LAYOUTS {
        let snapshot = filled(document_count(), ordered_from);
        let mut group = c.benchmark_group(format!("filters/{layout}"));
        let mut bench = |name: String, filter: Option<Filter>| {
            let queries: Vec<Query> = (0..20)
                .map(|at| Query::new(VECTORS.query(3000 + at)))
                .map(|query| match &filter {
                    None => query,
                    Some(filter) => query.filter(filter.clone()),
                })
                .collect();
            for query in &queries {
                let oracle = snapshot.exhaustive().search(query).expect("searches");
                assert_eq!(snapshot.search(query).expect("searches"), oracle, "{name}");
            }
            let mut scratch = Scratch::new();
            let mut next = queries.iter().cycle();
            group.bench_function(name, |b| {
                b.iter(|| {
                    let query = next.next().expect("a cycle has no end");
                    snapshot.search_with(black_box(query), &mut scratch)
                });
            });
        };
        bench("none".to_owned(), None);
        for one_in in [2, 20, 200, 10_000] {
            let anywhere = Filter::range("shuffled", 0..SHUFFLED / one_in);
            bench(format!("1 in {one_in}, anywhere"), Some(anywhere));
            let together = Filter::range("number", all / 3..all / 3 + all / one_in);
            bench(format!("1 in {one_in}, side by side"), Some(together));
        }
        group.finish();
    }
}

/// Numbers below this, each as often as any other, that have nothing to do with a document's.
const SHUFFLED: i64 = 10_000;

fn shuffled(number: i64) -> i64 {
    number * 7_919 % SHUFFLED
}

/// Many queries at once; the time is that of all.
fn batch(c: &mut Criterion) {
    let queries: Vec<Query> = (0..200)
        .map(|at| Query::new(VECTORS.query(1000 + at)).top(10))
        .collect();
    for (layout, ordered_from) in LAYOUTS {
        let snapshot = filled(document_count(), ordered_from);
        let alone: Vec<_> = queries
            .iter()
            .map(|query| snapshot.search(query).expect("searches"))
            .collect();
        let mut group = c.benchmark_group(format!("batch of 200/{layout}"));
        group.sample_size(10);
        for threads in [1, 2] {
            let together = snapshot.search_batch(&queries, threads);
            assert_eq!(together.expect("searches"), alone, "{threads} threads");
            group.bench_function(format!("{threads} threads"), |b| {
                b.iter(|| snapshot.search_batch(black_box(&queries), threads));
            });
        }
        group.finish();
    }
}

/// Searches of one tenant in fifty, with and without its documents lying together.
fn partition(c: &mut Criterion) {
    let plain = config().ordered_from(1);
    let mut group = c.benchmark_group("one tenant of fifty");
    let mut answers: Vec<Vec<Hits>> = Vec::new();
    for (name, config) in [
        ("scattered", plain.clone()),
        ("together", plain.partition_by("tenant")),
    ] {
        let index = Index::in_memory(config).expect("an index");
        fill(&index, document_count());
        let snapshot = index.snapshot().expect("a snapshot");
        let filter = Filter::equals("tenant", 7_i64);
        let ask = |at| Query::new(VECTORS.query(at)).filter(filter.clone());
        let queries: Vec<Query> = (0..20).map(ask).collect();
        check(&snapshot, &queries, name);
        let found = queries.iter().map(|query| snapshot.search(query));
        answers.push(found.collect::<Result<_, _>>().expect("searches"));
        let mut scratch = Scratch::new();
        let mut next = queries.iter().cycle();
        group.bench_function(name, |b| {
            b.iter(|| {
                let query = next.next().expect("a cycle has no end");
                snapshot.search_with(black_box(query), &mut scratch)
            });
        });
    }
    assert_eq!(answers[0], answers[1]);
    group.finish();
}

const LAYOUTS: [(&str, u64); 2] = [("windows", u64::MAX), ("blocks", 1)];

/// Queries by what makes them hard.
fn regimes() -> Vec<(&'static str, Vec<Query>)> {
    let of = |shape: fn(SparseVector) -> Query| -> Vec<Query> {
        (0..20).map(|at| shape(VECTORS.query(at))).collect()
    };
    vec![
        ("short, 5 terms", of(|vector| Query::new(vector.keep(5)))),
        (
            "short, k = 1000",
            of(|vector| Query::new(vector.keep(5)).top(1000)),
        ),
        ("long, k = 10", of(|vector| Query::new(vector).top(10))),
        ("long, k = 100", of(|vector| Query::new(vector).top(100))),
        ("long, k = 1000", of(|vector| Query::new(vector).top(1000))),
        (
            "hot terms",
            (0..20).map(|at| Query::new(banded(at, true))).collect(),
        ),
        (
            "rare terms",
            (0..20).map(|at| Query::new(banded(at, false))).collect(),
        ),
        (
            "flat, 100 terms",
            (0..20).map(|at| Query::new(flat(at))).collect(),
        ),
        (
            "kept 10, 100 rescored",
            of(|vector| Query::new(vector).keep(10).rescore(100)),
        ),
        (
            "approximate, 0.99",
            of(|vector| Query::new(vector).mode(Mode::Approximate(Approximation::Recall(0.99)))),
        ),
        (
            "half the documents",
            of(|vector| Query::new(vector).filter(Filter::equals("parity", 0_i64))),
        ),
        (
            "one document in a thousand",
            of(|vector| Query::new(vector).filter(Filter::equals("thousandth", 5_i64))),
        ),
    ]
}

/// Exact answers equal exhaustive ones; approximate ones that call themselves exact do too.
fn check(snapshot: &Snapshot, queries: &[Query], name: &str) {
    let checked = if *IS_QUICK { 2 } else { 5 };
    for query in &queries[..checked] {
        let fast = snapshot.search(query).expect("searches");
        assert!(!fast.is_empty(), "{name} finds nothing");
        let oracle = query.clone().mode(Mode::Exhaustive);
        let oracle = snapshot.search(&oracle).expect("searches");
        let is_two_steps = name.contains("rescored");
        if fast.proven_exact() || is_two_steps {
            assert_eq!(fast.as_slice(), oracle.as_slice(), "{name}");
        } else {
            assert!(
                name.starts_with("approximate"),
                "{name} is not proven exact"
            );
        }
    }
}

/// Twenty terms of the collection's most frequent, or of its rarest, by what documents have.
fn banded(number: u64, hot: bool) -> SparseVector {
    static BY_FREQUENCY: LazyLock<Vec<u32>> = LazyLock::new(|| {
        let mut counts = std::collections::BTreeMap::new();
        for at in 0..5000 {
            for term in VECTORS.document(at).terms() {
                *counts.entry(term.get()).or_insert(0_u32) += 1;
            }
        }
        let mut terms: Vec<(u32, u32)> = counts.into_iter().map(|(term, n)| (n, term)).collect();
        terms.sort_unstable();
        terms.into_iter().map(|(_, term)| term).collect()
    });
    let mut random = generate::Random::new([7, number]);
    let terms = BY_FREQUENCY.len() as u64;
    let picked: std::collections::BTreeSet<u32> = (0..20)
        .map(|_| {
            let at = random.next() % 500;
            let at = if hot { terms - 1 - at } else { terms / 8 + at };
            BY_FREQUENCY[usize::try_from(at).expect("a place in memory")]
        })
        .collect();
    let pairs = picked
        .into_iter()
        .map(|term| (term, 0.2 + random.unit() as f32));
    SparseVector::new(pairs).expect("sound pairs")
}

/// A hundred terms of nearly one weight, as unpruned decoders make them: bounds say little.
fn flat(number: u64) -> SparseVector {
    let document = VECTORS.document(1_000_000 + number);
    let other = VECTORS.document(2_000_000 + number);
    let terms = document.terms().iter().chain(other.terms());
    let terms: std::collections::BTreeSet<u32> = terms.map(|term| term.get()).collect();
    let pairs = (0_u16..100)
        .zip(terms)
        .map(|(at, term)| (term, 2.3 + f32::from(at) / 1000.0));
    SparseVector::new(pairs).expect("sound pairs")
}

fn config() -> Config {
    Config::new().weight_limit(4.5)
}

fn filled(count: u64, ordered_from: u64) -> Snapshot {
    let index = Index::in_memory(config().ordered_from(ordered_from)).expect("an index");
    fill(&index, count);
    index.snapshot().expect("a snapshot")
}

fn fill(index: &Index, count: u64) {
    let mut writer = index.writer().expect("the only writer");
    for number in 0..count {
        writer.upsert(document(number)).expect("a sound document");
        if number == count / 2 {
            writer.commit().expect("commits");
        }
    }
    writer.merge_all(&mut Progress::none()).expect("merges");
    writer.commit().expect("commits");
}

fn document(number: u64) -> Document {
    let whole = i64::try_from(number).expect("a few thousand");
    Document::new(format!("{number:06}"), VECTORS.document(number))
        .field("parity", whole % 2)
        .field("thousandth", whole % 1000)
        .field("number", whole)
        .field("shuffled", shuffled(whole))
        .field("tenant", whole * 31 % 50)
}

fn criterion() -> Criterion {
    if *IS_QUICK {
        Criterion::default()
            .sample_size(10)
            .warm_up_time(Duration::from_millis(100))
            .measurement_time(Duration::from_millis(400))
    } else {
        Criterion::default()
    }
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = build, open, search, fresh, filters, batch, partition
}
criterion_main!(benches);

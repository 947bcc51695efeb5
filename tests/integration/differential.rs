//! Random operations on an index and on the map that is its model: every search, count and stored
//! document must be equal, bit for bit, whatever was flushed, merged, reopened or rolled back.

use sparsely::{
    Config, DocKey, Document, Durability, Filter, Index, IndexWriter, MemoryIndex, Merging,
    Progress, Query, Searcher, SparseVector, TermId, Writer,
};

use crate::support::{
    report::{Tier, in_parallel},
    simulated::Random,
};

const TERMS: u32 = 60;

fn vector(random: &mut Random) -> SparseVector {
    let mut pairs = std::collections::BTreeMap::new();
    for _ in 0..random.below(9) {
        // Few terms and few weights, so that documents share terms and scores tie.
        let term = random.below(8) * random.below(8);
        let weight = u16::try_from(1 + random.below(12)).unwrap();
        pairs.insert(u32::try_from(term).unwrap(), f32::from(weight) / 4.0);
    }
    SparseVector::new(pairs).unwrap()
}

fn document(random: &mut Random, key: &str) -> Document {
    let vector = vector(random);
    let own = vector
        .terms()
        .iter()
        .copied()
        .filter(|term| term.get() % 3 != 0);
    let own: Vec<TermId> = own.collect();
    let mut document = Document::new(key, vector);
    if random.below(2) == 0 {
        document = document.own_terms(own);
    }
    if random.below(4) > 0 {
        document = document.text(format!("text {}", random.next()));
    }
    if random.below(4) > 0 {
        document = document.field("number", i64::try_from(random.below(10)).unwrap());
    }
    if random.below(4) > 0 {
        document = document.field(
            "name",
            ["red", "green", "blue"][usize::try_from(random.below(3)).unwrap()],
        );
    }
    if random.below(8) == 0 {
        document = document.payload(random.next().to_le_bytes());
    }
    document
}

fn filter(random: &mut Random) -> Filter {
    match random.below(7) {
        0 => Filter::equals("name", "red"),
        1 => Filter::range("number", 3..7),
        2 => Filter::not(Filter::is_in("name", ["red", "blue"])),
        3 => Filter::key_prefix("k1"),
        4 => Filter::or([Filter::equals("number", 5), Filter::key_prefix("k2")]),
        5 => Filter::and([
            Filter::range("number", ..8),
            Filter::not(Filter::key_prefix("k3")),
        ]),
        _ => Filter::equals("name", "none of them"),
    }
}

fn query(random: &mut Random) -> Query {
    let mut query = Query::new(vector(random))
        .top(usize::try_from(random.below(30)).unwrap())
        .fields(["number"]);
    if random.below(3) == 0 {
        query = query.filter(filter(random));
    }
    if random.below(4) == 0 {
        query = query.offset(usize::try_from(random.below(10)).unwrap());
    }
    if random.below(4) == 0 {
        query = query.keep(usize::try_from(random.below(4)).unwrap());
    }
    if random.below(4) == 0 {
        query = query.least_score(f32::from(u8::try_from(random.below(20)).unwrap()));
    }
    query
}

/// Both hold a document of every field, so that filters are always understood.
fn sentinel() -> Document {
    Document::new("sentinel", SparseVector::new([(TERMS - 1, 1.0)]).unwrap())
        .field("number", 0)
        .field("name", "sentinel")
}

fn compare(index: &Index, model: &MemoryIndex, random: &mut Random) {
    let snapshot = index.snapshot().unwrap();
    let mut keys: Vec<DocKey> = snapshot.keys().map(Result::unwrap).collect();
    keys.sort_unstable();
    assert!(keys.iter().eq(model.keys()), "{keys:?}");
    for key in &keys {
        assert_eq!(snapshot.document(key).unwrap(), model.document(key));
    }
    for _ in 0..8 {
        let query = query(random);
        let expected = model.search(&query).unwrap();
        assert_eq!(snapshot.search(&query).unwrap(), expected, "{query:?}");
        assert_eq!(
            snapshot.exhaustive().search(&query).unwrap(),
            expected,
            "{query:?}"
        );
        if let Some(hit) = expected.iter().next() {
            let explained = snapshot.explain(&query, hit.key()).unwrap();
            assert_eq!(explained, model.explain(&query, hit.key()).unwrap());
        }
    }
    let (counts, expected) = (snapshot.statistics(), model.statistics());
    assert_eq!(counts.document_count(), expected.document_count());
    for term in (0..TERMS).map(TermId::from) {
        let found = counts.document_frequency(term);
        assert_eq!(found, expected.document_frequency(term), "term {term}");
    }
}

fn history(seed: u64, config: Config) {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random(seed);
    let config = config.weight_limit(3.0).term_count(TERMS).keep_statistics();
    let index = Index::create(dir.path(), config.clone()).unwrap();
    let mut index = index;
    let mut writer: Writer = index.writer().unwrap();
    let mut model = MemoryIndex::new(config.clone()).unwrap();
    for side in [&mut writer as &mut dyn IndexWriter, &mut model] {
        side.upsert(sentinel()).unwrap();
        side.commit().unwrap();
    }
    let mut job = None;
    for _ in 0..120 {
        match random.below(18) {
            16 if job.is_none() => {
                job = writer.begin_merge().unwrap();
            }
            17 => {
                if let Some(job) = job.take() {
                    let merged = job.run(&mut Progress::none()).unwrap();
                    writer.finish_merge(merged).unwrap();
                }
            }
            0 => {
                writer.rollback().unwrap();
                model.rollback().unwrap();
            }
            1 => {
                job = None;
                drop(writer);
                index = Index::open_with(dir.path(), config.clone()).unwrap();
                writer = index.writer().unwrap();
                model.rollback().unwrap();
            }
            2 => {
                let filter =
                    Filter::and([filter(&mut random), Filter::not(Filter::key_prefix("s"))]);
                let deleted = writer.delete_matching(&filter).unwrap();
                assert_eq!(deleted, model.delete_matching(&filter).unwrap());
            }
            3 => writer.merge_all(&mut Progress::none()).unwrap(),
            4 => writer.merge(&mut Progress::none()).unwrap(),
            5 | 6 => {
                let key = DocKey::from(format!("k{}", random.below(40)));
                let was_there = writer.delete(&key).unwrap();
                assert_eq!(was_there, model.delete(&key).unwrap());
            }
            7..10 => {
                writer.commit().unwrap();
                model.commit().unwrap();
                compare(&index, &model, &mut random);
            }
            _ => {
                for _ in 0..=random.below(12) {
                    let key = format!("k{}", random.below(40));
                    let document = document(&mut random, &key);
                    writer.upsert(document.clone()).unwrap();
                    model.upsert(document).unwrap();
                }
            }
        }
    }
    writer.commit().unwrap();
    model.commit().unwrap();
    compare(&index, &model, &mut random);
}

fn histories() -> usize {
    Tier::chosen().pick(4, 60, 1000, 10_000)
}

#[test]
pub(crate) fn an_index_equals_its_model() {
    let fast = || Config::new().durability(Durability::OsCache);
    in_parallel(histories(), |seed| {
        let seed = seed as u64;
        let config = match seed % 4 {
            0 => fast(),
            1 => fast().memory_budget(1),
            2 => fast().memory_budget(20_000).merging(Merging::ByCaller),
            _ => fast()
                .memory_budget(5_000)
                .ordered_from(0)
                .partition_by("name"),
        };
        history(seed, config);
    });
}

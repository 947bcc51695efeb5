//! A partition field changes where documents lie and no answer.

use sparsely::{
    Config, Document, ErrorKind, Filter, Index, Mode, Progress, Query, Searcher, SparseVector,
};

use crate::generate::{Generator, Shape};

const VECTORS: Generator = Generator::new(Shape::SPLADE, 11);
const TENANTS: u64 = 13;

/// Every fourth document belongs to no tenant.
fn document(number: u64) -> Document {
    let document = Document::new(format!("{number:05}"), VECTORS.document(number));
    match number % 4 {
        0 => document,
        _ => document.field("tenant", format!("t{:02}", number * 7 % TENANTS)),
    }
}

fn filled(config: Config, count: u64) -> Index {
    let index = Index::in_memory(config.weight_limit(4.5).ordered_from(0)).unwrap();
    let mut writer = index.writer().unwrap();
    for number in 0..count {
        writer.upsert(document(number)).unwrap();
        if number % 200 == 0 {
            writer.commit().unwrap();
        }
    }
    writer.delete("00007").unwrap();
    writer.merge_all(&mut Progress::none()).unwrap();
    writer.commit().unwrap();
    drop(writer);
    index
}

#[test]
fn answers_are_those_of_an_index_without_it() {
    let plain = filled(Config::new(), 500);
    let parted = filled(Config::new().partition_by("tenant").threads(2), 500);
    let stats = parted.stats().unwrap();
    assert_eq!(stats.partition_field.as_deref(), Some("tenant"));
    assert_eq!(plain.stats().unwrap().partition_field, None);
    let (plain, parted) = (plain.snapshot().unwrap(), parted.snapshot().unwrap());
    for number in 0..10 {
        let query = Query::new(VECTORS.query(number)).top(15);
        let tenant = format!("t{:02}", number % TENANTS);
        let filtered = query.clone().filter(Filter::equals("tenant", tenant));
        let without = query
            .clone()
            .filter(Filter::not(Filter::equals("tenant", "t01")));
        for query in [query, filtered, without] {
            let found = parted.search(&query).unwrap();
            assert!(found.proven_exact() && !found.is_empty());
            assert_eq!(found, plain.search(&query).unwrap());
            let oracle = parted
                .search(&query.clone().mode(Mode::Exhaustive))
                .unwrap();
            assert_eq!(found, oracle);
        }
    }
}

#[test]
fn the_field_is_kept_with_the_index_and_follows_later_merges() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    let config = Config::new().partition_by("tenant").ordered_from(0);
    drop(Index::create(&path, config.weight_limit(4.5)).unwrap());
    let index = Index::open_with(&path, Config::new().ordered_from(0)).unwrap();
    let mut writer = index.writer().unwrap();
    for number in 0..200 {
        writer.upsert(document(number)).unwrap();
    }
    writer.merge_all(&mut Progress::none()).unwrap();
    writer.commit().unwrap();
    assert_eq!(
        index.stats().unwrap().partition_field.as_deref(),
        Some("tenant")
    );
    // Documents come in the order in which they lie: by tenant, those without one first.
    let snapshot = index.snapshot().unwrap();
    let tenants: Vec<_> = snapshot
        .documents()
        .map(|document| document.unwrap().value("tenant").cloned())
        .collect();
    assert!(tenants.is_sorted(), "{tenants:?}");
}

#[test]
fn a_field_needs_a_name() {
    for name in [String::new(), "x".repeat(256)] {
        let refused = Index::in_memory(Config::new().partition_by(name));
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    let vector = SparseVector::new([(1, 1.0)]).unwrap();
    let index = Index::in_memory(Config::new().partition_by("nobody has it")).unwrap();
    let mut writer = index.writer().unwrap();
    writer.upsert(Document::new("k", vector)).unwrap();
    writer.merge_all(&mut Progress::none()).unwrap();
    writer.commit().unwrap();
}

//! Long documents as passages: grouped answers against grouping everything.

use std::{collections::BTreeMap, num::NonZero};

use sparsely::{
    Config, DocKey, Document, ErrorKind, Filter, GroupName, GroupScore, Grouping, Hit, Index,
    IndexWriter, MemoryIndex, Mode, Query, Searcher, SparseVector,
};

/// Numbers that repeat from run to run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % n
    }
}

fn vector(random: &mut Random, terms: u64) -> SparseVector {
    let mut pairs = BTreeMap::new();
    for _ in 0..terms {
        // Few terms and few weights, so that many scores are equal.
        let term = u32::try_from(random.below(12)).unwrap();
        pairs.insert(
            term,
            [1.0, 2.0, 3.0][usize::try_from(random.below(3)).unwrap()],
        );
    }
    SparseVector::new(pairs).unwrap()
}

fn documents(random: &mut Random, count: u64) -> Vec<Document> {
    let documents = (0..count).map(|at| {
        let terms = 1 + random.below(6);
        let document = Document::new(format!("p{at}"), vector(random, terms));
        let document = document.field("even", at % 2 == 0);
        match random.below(45) {
            // Some belong to nothing, some documents are long.
            0..5 => document,
            of => document.field("of", format!("d{}", of.min(30))),
        }
    });
    documents.collect()
}

/// Everything, grouped.
fn model(
    searcher: &dyn Searcher,
    query: &Query,
    score: GroupScore,
) -> Vec<(GroupName, f64, Vec<DocKey>)> {
    let all = query
        .clone()
        .mode(Mode::Exhaustive)
        .top(usize::MAX)
        .offset(0)
        .fields(["of"]);
    let mut groups: BTreeMap<GroupName, Vec<Hit>> = BTreeMap::new();
    for hit in searcher.search(&all).unwrap() {
        let name = match hit.value("of") {
            Some(value) => GroupName::Value(value.clone()),
            None => GroupName::Passage(hit.key().clone()),
        };
        groups.entry(name).or_default().push(hit);
    }
    let counted = match score {
        GroupScore::SumOfBest(count) => count.get(),
        _ => 1,
    };
    let mut model: Vec<_> = groups
        .into_iter()
        .map(|(name, mut hits)| {
            hits.truncate(counted);
            let sum = hits.iter().map(|hit| f64::from(hit.score())).sum();
            (name, sum, hits.into_iter().map(Hit::into_key).collect())
        })
        .collect();
    model.sort_by(|a: &(_, f64, _), b| b.1.total_cmp(&a.1));
    model
}

fn check(searcher: &dyn Searcher, random: &mut Random) {
    let sum = |count| GroupScore::SumOfBest(NonZero::new(count).unwrap());
    for score in [GroupScore::Best, sum(1), sum(2), sum(7), sum(1000)] {
        for (top, offset) in [(0, 0), (1, 0), (5, 0), (3, 4), (10, 30), (usize::MAX, 0)] {
            let terms = 1 + random.below(5);
            let mut query = Query::new(vector(random, terms)).top(top).offset(offset);
            match random.below(4) {
                0 => query = query.filter(Filter::equals("even", true)),
                1 => query = query.least_score(4.0),
                _ => {}
            }
            let groups = Grouping::by("of")
                .score(score)
                .search(searcher, &query)
                .unwrap();
            assert!(groups.proven_exact());
            let found: Vec<_> = groups
                .into_iter()
                .map(|group| {
                    let keys: Vec<DocKey> = group.passages.into_iter().map(Hit::into_key).collect();
                    (group.name, group.score, keys)
                })
                .collect();
            let model = model(searcher, &query, score);
            let expected: Vec<_> = model.into_iter().skip(offset).take(top).collect();
            assert_eq!(found, expected, "{score:?} {top} {offset} {query:?}");
        }
    }
}

#[test]
fn grouped_answers_equal_grouping_everything() {
    let mut random = Random(3);
    for count in [1, 40, 400, 3000] {
        let documents = documents(&mut random, count);
        let mut memory = MemoryIndex::new(Config::new().weight_limit(4.0)).unwrap();
        let index = Index::in_memory(Config::new().weight_limit(4.0)).unwrap();
        let mut writer = index.writer().unwrap();
        // The fields are known whatever the documents have.
        let known = Document::new("none", SparseVector::default()).field("of", "x");
        memory.upsert(known.clone()).unwrap();
        writer.upsert(known).unwrap();
        for (at, document) in documents.into_iter().enumerate() {
            memory.upsert(document.clone()).unwrap();
            writer.upsert(document).unwrap();
            if at % 500 == 499 {
                writer.commit().unwrap();
            }
        }
        memory.commit().unwrap();
        writer.commit().unwrap();
        check(&memory, &mut random);
        check(&index.snapshot().unwrap(), &mut random);
    }
}

#[test]
fn what_cannot_be_grouped_is_refused() {
    let index = Index::in_memory(Config::new()).unwrap();
    let mut writer = index.writer().unwrap();
    let one = SparseVector::new([(1, 1.0)]).unwrap();
    writer
        .upsert(Document::new("k", one.clone()).field("n", 3))
        .unwrap();
    writer.commit().unwrap();
    let snapshot = index.snapshot().unwrap();
    let query = Query::new(one);
    let error = Grouping::by("of").search(&snapshot, &query).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("field `of`"), "{error}");
    let rescored = query.clone().rescore(10);
    let error = Grouping::by("n").search(&snapshot, &rescored).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let groups = Grouping::by("n").search(&snapshot, &query).unwrap();
    assert_eq!(groups.as_slice()[0].name.to_string(), "3");
}

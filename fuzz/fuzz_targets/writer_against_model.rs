//! A random life of a writer, on a disk that may be any of both layouts: upserts, deletes, commits,
//! rollbacks, merges in and beside the writer, reopening. What the index then holds and answers is
//! what a map holds and a loop over it answers.
#![no_main]

use std::{collections::BTreeMap, sync::Arc};

use sparsely::{
    Config, Document, Filter, Index, Merging, Mode, Progress, Query, Searcher, SparseVector, Verify,
    storage::Memory,
};

const LIMIT: f32 = 8.0;

type Model = BTreeMap<String, SparseVector>;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((&[kind, budget], mut rest)) = data.split_first_chunk::<2>() else {
        return;
    };
    let config = || {
        let config = Config::new().term_count(256).weight_limit(LIMIT).keep_weights();
        let config = if kind & 1 == 0 { config } else { config.ordered_from(0) };
        let config = if kind & 2 == 0 { config } else { config.merging(Merging::ByCaller) };
        let config = if kind & 4 == 0 { config } else { config.keep_lists() };
        config.memory_budget(1 + usize::from(budget) * 64)
    };
    let memory = Memory::default();
    let mut index = Index::with_storage(Arc::new(memory.clone()), config()).expect("a new index");
    let mut writer = Some(index.writer().expect("the only writer"));
    let (mut committed, mut model) = (Model::new(), Model::new());
    while let Some((&[operation, len], tail)) = rest.split_first_chunk::<2>() {
        let (body, tail) = tail.split_at(tail.len().min(usize::from(len % 24) * 2));
        rest = tail;
        let pairs = body.chunks_exact(2).map(|pair| (u32::from(pair[0]), f32::from(pair[1].max(1)) / 32.0));
        let vector = SparseVector::new(pairs.collect::<BTreeMap<_, _>>()).expect("sound pairs");
        let key = format!("{:03}", operation / 16);
        let now = writer.as_mut().expect("a writer");
        match operation % 16 {
            0..=6 => {
                let document = Document::new(key.as_str(), vector.clone())
                    .text(&*key)
                    .field("parity", i64::from(operation / 16 % 2));
                now.upsert(document).expect("a sound document");
                model.insert(key, vector);
            }
            7 | 8 => {
                let was_there = now.delete(key.as_str()).expect("delete");
                assert_eq!(was_there, model.remove(&key).is_some());
            }
            9 => {
                let count = now.delete_matching(&Filter::key_prefix(&key[..2])).expect("delete");
                let before = model.len();
                model.retain(|other, _| !other.starts_with(&key[..2]));
                assert_eq!(count, (before - model.len()) as u64);
            }
            10 | 11 => {
                now.commit().expect("commit");
                committed.clone_from(&model);
            }
            12 => {
                now.rollback().expect("rollback");
                model.clone_from(&committed);
            }
            13 => now.merge_all(&mut Progress::none()).expect("merge"),
            14 => {
                if let Some(job) = now.begin_merge().expect("a job or none") {
                    // What is done beside the merge is not lost in it.
                    let was_there = now.delete(key.as_str()).expect("delete");
                    assert_eq!(was_there, model.remove(&key).is_some());
                    let merged = job.run(&mut Progress::none()).expect("merge");
                    now.finish_merge(merged).expect("merge");
                }
            }
            _ => {
                drop(writer.take());
                index = Index::open_storage(Arc::new(memory.clone()), config()).expect("reopen");
                writer = Some(index.writer().expect("the only writer"));
                model.clone_from(&committed);
            }
        }
    }
    writer.as_mut().expect("a writer").commit().expect("commit");
    check(&index, &model);
    let again = Index::open_storage(Arc::new(memory), config()).expect("reopen");
    let report = again.verify(Verify::Full).expect("verify");
    assert!(report.is_clean(), "{:?}", report.damage());
    check(&again, &model);
});

fn check(index: &Index, model: &Model) {
    let snapshot = index.snapshot().expect("snapshot");
    let keys: Vec<String> = snapshot.keys().map(|key| key.expect("a key").to_string()).collect();
    let mut sorted = keys.clone();
    sorted.sort();
    assert_eq!(sorted, model.keys().cloned().collect::<Vec<_>>());
    let all = SparseVector::new((0..256).map(|term| (term, 1.0))).expect("sound");
    let one = model.values().next().cloned().unwrap_or_default();
    for asked in [all, one] {
        let query = Query::new(asked.clone()).top(5);
        let fast = snapshot.search(&query).expect("search");
        let slow = snapshot.search(&query.clone().mode(Mode::Exhaustive)).expect("search");
        assert_eq!(fast, slow);
        // By the encoder's own weights a loop over the map gives the same, bit for bit.
        let mut expected: Vec<(f32, &String)> = model
            .iter()
            .filter_map(|(key, vector)| {
                let shared = vector.iter().any(|(term, _)| asked.weight(term).is_some());
                shared.then(|| (dot(vector, &asked), key))
            })
            .collect();
        expected.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
        expected.truncate(5);
        let exact = snapshot.search(&query.clone().mode(Mode::FloatExact)).expect("search");
        let found: Vec<(f32, String)> =
            exact.iter().map(|hit| (hit.score(), hit.key().to_string())).collect();
        let expected: Vec<(f32, String)> =
            expected.into_iter().map(|(score, key)| (score, key.clone())).collect();
        assert_eq!(found, expected);
    }
}

/// As `Mode::FloatExact` says: products added in 64 bits by rising term, rounded once.
fn dot(vector: &SparseVector, asked: &SparseVector) -> f32 {
    let products = vector.iter().filter_map(|(term, weight)| {
        asked.weight(term).map(|other| f64::from(weight) * f64::from(other))
    });
    products.sum::<f64>() as f32
}

//! Random documents, deletes, commits and queries: the fast answer is the exhaustive one.
#![no_main]

use std::collections::BTreeMap;

use sparsely::{Config, Document, Index, Mode, Query, Searcher, SparseVector};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let index = Index::in_memory(Config::new().weight_limit(8.0)).expect("an index in memory");
    let mut writer = index.writer().expect("the only writer");
    let mut queries = Vec::new();
    let mut rest = data;
    while let Some((&[operation, len], tail)) = rest.split_first_chunk::<2>() {
        let (body, tail) = tail.split_at(tail.len().min(usize::from(len) * 2));
        rest = tail;
        let pairs = body.chunks_exact(2).map(|pair| (u32::from(pair[0]), f32::from(pair[1]) / 32.0));
        let vector = SparseVector::new(pairs.collect::<BTreeMap<_, _>>()).expect("sound pairs");
        match operation % 8 {
            0..=3 => {
                let document = Document::new(format!("{}", operation / 8), vector)
                    .field("parity", i64::from(operation / 8 % 2));
                writer.upsert(document).expect("a sound document");
            }
            4 => {
                writer.delete(format!("{}", operation / 8)).expect("delete");
            }
            5 => {
                writer.commit().expect("commit");
            }
            _ => queries.push((vector, usize::from(operation / 8))),
        }
    }
    writer.commit().expect("commit");
    let snapshot = index.snapshot().expect("snapshot");
    for (vector, top) in queries {
        let query = Query::new(vector).top(top);
        let fast = snapshot.search(&query).expect("search");
        let slow = snapshot.search(&query.mode(Mode::Exhaustive)).expect("search");
        assert_eq!(fast, slow);
    }
});

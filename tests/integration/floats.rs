//! Results in the order of the encoder's own weights, through an index that commits and merges.

use std::collections::BTreeMap;

use sparsely::{
    Config, Document, ErrorKind, Index, MemoryIndex, Mode, Progress, Query, Searcher, SparseVector,
};

use crate::support::simulated::Random;

fn vector(random: &mut Random) -> SparseVector {
    let pairs: BTreeMap<u32, f32> = (0..25)
        .map(|_| {
            let term = u32::try_from(random.below(120)).unwrap();
            let weight = u16::try_from(1 + random.below(60_000)).unwrap();
            (term, f32::from(weight) / 10_007.0)
        })
        .collect();
    SparseVector::new(pairs).unwrap()
}

fn score(query: &SparseVector, document: &SparseVector) -> f32 {
    let products = query.iter().filter_map(|(term, weight)| {
        let own = document.weight(term)?;
        Some(f64::from(weight) * f64::from(own))
    });
    products.sum::<f64>() as f32
}

#[test]
fn an_index_that_keeps_weights_ranks_by_them() {
    // Weights reach 6: most segments have some over the limit.
    for (limit, ordered_from) in [(6.0, u64::MAX), (6.0, 0), (2.0, 0)] {
        let mut random = Random(5);
        let config = Config::new().weight_limit(limit).ordered_from(ordered_from);
        let index = Index::in_memory(config.keep_weights()).unwrap();
        let mut writer = index.writer().unwrap();
        let mut documents = BTreeMap::new();
        for number in 0..900_u32 {
            let key = format!("{:03}", number % 800);
            let vector = vector(&mut random);
            writer.upsert(Document::new(&*key, vector.clone())).unwrap();
            documents.insert(key, vector);
            if number == 500 {
                writer.merge_all(&mut Progress::none()).unwrap();
                writer.commit().unwrap();
            }
        }
        writer.commit().unwrap();
        let snapshot = index.snapshot().unwrap();
        for k in [1, 10, 100, 1000] {
            let query = Query::new(vector(&mut random))
                .top(k)
                .mode(Mode::FloatExact);
            let mut expected: Vec<(&str, f32)> = documents
                .iter()
                .map(|(key, vector)| (key.as_str(), score(query.vector(), vector)))
                .filter(|(_, score)| *score > 0.0)
                .collect();
            // Stable, so equal scores stay in the order of their keys.
            expected.sort_by(|a, b| b.1.total_cmp(&a.1));
            expected.truncate(k);
            let hits = snapshot.search(&query).unwrap();
            assert!(hits.proven_exact());
            let hits: Vec<_> = hits
                .iter()
                .map(|hit| (hit.key().to_text(), hit.score()))
                .collect();
            let hits: Vec<_> = hits.iter().map(|(key, score)| (&**key, *score)).collect();
            assert_eq!(hits, expected);
        }
    }
}

#[test]
fn an_index_without_weights_says_how_to_get_them() {
    let index = Index::in_memory(Config::new()).unwrap();
    let mut writer = index.writer().unwrap();
    let vector = vector(&mut Random(9));
    writer.upsert(Document::new("a", vector.clone())).unwrap();
    writer.commit().unwrap();
    let query = Query::new(vector).mode(Mode::FloatExact);
    let searchers: [&dyn Searcher; 2] = [
        &index.snapshot().unwrap(),
        &MemoryIndex::new(Config::new()).unwrap(),
    ];
    for searcher in searchers {
        let refused = searcher.search(&query).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unsupported);
        assert!(refused.to_string().contains("keep_weights"), "{refused}");
    }
}

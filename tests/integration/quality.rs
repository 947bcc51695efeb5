//! How well the encoders without a model find: nDCG@10 on public collections must not fall.
//!
//! Needs collections in BEIR's layout under `eval/` in the folder that `SPARSELY_DATA` names, or in
//! `../shared`; says so and passes where they are absent. Impacts and query weights are integers
//! here, as in an index.

use std::{
    collections::HashMap,
    env,
    path::{Path, PathBuf},
};

use sparsely::{
    Encoder, LexicalEncoder, SparseVector, StaticEncoder, Statistics, TermId,
    evaluate::{Collection, Measure, Ranking, Run, Text},
};

#[test]
fn code_is_found_by_questions() {
    check("cosqa", "test", &LexicalEncoder::code(), 0.39);
    check("cosqa", "test", &LexicalEncoder::auto(), 0.39);
    check("humaneval_x", "all", &LexicalEncoder::code(), 0.58);
    check("humaneval_x", "all", &LexicalEncoder::auto(), 0.58);
}

#[test]
fn prose_is_found_by_questions() {
    check("cranfield", "test", &LexicalEncoder::text(), 0.35);
    check("cranfield", "test", &LexicalEncoder::auto(), 0.35);
}

#[test]
fn abstracts_are_found_by_claims() {
    check("scifact", "test", &LexicalEncoder::text(), 0.68);
    check("scifact", "test", &LexicalEncoder::auto(), 0.68);
}

#[test]
fn the_shipped_table_finds_more_code() {
    let encoder = StaticEncoder::embedded().unwrap();
    check("cosqa", "test", &encoder, 0.47);
    check("humaneval_x", "all", &encoder, 0.70);
    check("odex", "en", &encoder, 0.70);
}

#[test]
fn the_shipped_table_leaves_prose_alone() {
    let encoder = StaticEncoder::embedded().unwrap();
    check("cranfield", "test", &encoder, 0.35);
    check("scifact", "test", &encoder, 0.69);
}

fn check(name: &str, split: &str, encoder: &dyn Encoder, least: f64) {
    let Some(dir) = data().map(|data| data.join("eval").join(name)) else {
        println!("skipped: no collections; set SPARSELY_DATA to the folder of `eval/{name}`");
        return;
    };
    let collection = Collection::open(&dir).unwrap();
    let small = Small::index(&collection, encoder);
    let judgments = collection.judgments(split).unwrap();
    let mut run = Run::default();
    for query in collection.queries().unwrap() {
        let Text { id, text } = query.unwrap();
        if judgments.grades(&id).is_some() {
            let query = encoder.encode_query_for(&text, &small).unwrap();
            run.insert(&id, small.search(&query));
        }
    }
    let found = Measure::Ndcg(10).mean(&run, &judgments);
    let fingerprint = encoder.fingerprint();
    println!("{name} ({split}), {fingerprint}: nDCG@10 {found:.4}");
    assert!(
        found >= least,
        "{name}, {fingerprint}: {found:.4} is under {least}"
    );
}

fn data() -> Option<PathBuf> {
    let dir = env::var_os("SPARSELY_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    dir.join("eval").is_dir().then_some(dir)
}

/// The plainest index: integer impacts per term.
#[derive(Debug, Default)]
struct Small {
    keys: Vec<String>,
    postings: HashMap<TermId, Vec<(usize, u32)>>,
    /// How many documents have a term as their own.
    frequencies: HashMap<TermId, u64>,
}

impl Small {
    fn index(collection: &Collection, encoder: &dyn Encoder) -> Small {
        let limit = encoder.weight_limit().unwrap();
        let mut small = Small::default();
        for document in collection.documents().unwrap() {
            let Text { id, text } = document.unwrap();
            let vector = encoder.encode_document(&text).unwrap();
            let own = encoder.own_terms(&text).unwrap();
            for term in own.unwrap_or_else(|| vector.terms().to_vec()) {
                *small.frequencies.entry(term).or_default() += 1;
            }
            for (term, weight) in vector.iter() {
                let impact = (weight * 255.0 / limit).round().clamp(1.0, 255.0) as u32;
                let postings = small.postings.entry(term).or_default();
                postings.push((small.keys.len(), impact));
            }
            small.keys.push(id);
        }
        small
    }

    fn search(&self, query: &SparseVector) -> Ranking {
        let mut scores = vec![0; self.keys.len()];
        let heaviest = query.weights().iter().copied().fold(0.0, f32::max);
        for (term, weight) in query.iter() {
            let weight = (weight * 4095.0 / heaviest).round() as u32;
            for (document, impact) in self.postings.get(&term).into_iter().flatten() {
                scores[*document] += weight * impact;
            }
        }
        let found = self.keys.iter().zip(scores).filter(|(_, score)| *score > 0);
        Ranking::new(found.map(|(key, score)| (key.clone(), score as f32))).unwrap()
    }
}

impl Statistics for Small {
    fn document_count(&self) -> u64 {
        self.keys.len() as u64
    }

    fn document_frequency(&self, term: TermId) -> u64 {
        self.frequencies.get(&term).copied().unwrap_or(0)
    }
}

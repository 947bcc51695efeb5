//! An index goes out through each format and comes back with the same results.

use std::collections::{BTreeMap, HashMap};

use sparsely::{
    Config, Document, Encoder, Index, LexicalEncoder, Query, Result, Searcher, Snapshot,
    SparseVector, TermId,
    interchange::{self, Ciff, CsrFile, JsonVector, JsonVectors},
};

/// This test's own sources, in pieces.
fn original() -> (LexicalEncoder, Snapshot) {
    let encoder = LexicalEncoder::code();
    let index = Index::in_memory(Config::for_encoder(&encoder)).unwrap();
    let mut writer = index.writer().unwrap();
    let text = include_str!("journeys.rs");
    for (at, piece) in text.split("\n\n").enumerate() {
        let document = Document::from_text(&encoder, format!("é{at}"), piece).unwrap();
        writer.upsert(document).unwrap();
    }
    writer.commit().unwrap();
    (encoder, index.snapshot().unwrap())
}

const QUESTIONS: [&str; 5] = [
    "open an index",
    "commit and roll back",
    "let the writer delete a key",
    "snapshot search query assert",
    "nothing has zzzz",
];

fn keys(snapshot: &Snapshot, query: SparseVector) -> Vec<String> {
    let hits = snapshot.search(&Query::new(query).top(1000)).unwrap();
    hits.into_iter().map(|hit| hit.key().to_string()).collect()
}

/// An index of documents from elsewhere, whose impacts stay as they are.
fn imported(documents: impl Iterator<Item = (String, SparseVector)>) -> Snapshot {
    let index = Index::in_memory(Config::new().weight_limit(255.0)).unwrap();
    let mut writer = index.writer().unwrap();
    for (key, vector) in documents {
        writer.upsert(Document::new(key, vector)).unwrap();
    }
    writer.commit().unwrap();
    index.snapshot().unwrap()
}

fn check(new: &Snapshot, find: impl Fn(TermId) -> Option<TermId>) {
    let (encoder, old) = original();
    assert_eq!(new.document_count(), old.document_count());
    for question in QUESTIONS {
        let query = encoder.encode_query_for(question, &old).unwrap();
        let expected = keys(&old, query.clone());
        assert!(
            question.contains("zzzz") || expected.len() > 5,
            "{question}"
        );
        let moved = query
            .iter()
            .filter_map(|(term, weight)| Some((find(term)?.get(), weight)));
        // A word that no document has gets no term; it would only change the query's scale.
        let mut moved: Vec<(u32, f32)> = moved.collect();
        let heaviest = query.weights().iter().copied().fold(0.0, f32::max);
        moved.push((u32::MAX - 1, heaviest));
        let moved = SparseVector::new(moved).unwrap();
        assert_eq!(keys(new, moved), expected, "{question}");
    }
}

#[test]
fn through_ciff() {
    let (_, old) = original();
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("i.ciff");
    let name = |term: TermId| format!("{}#{term}", old.label(term).unwrap().unwrap());
    interchange::write_ciff(&path, "", interchange::impacts(&old).unwrap(), name).unwrap();
    let ciff = Ciff::read(&path).unwrap();
    let documents = ciff.documents();
    let new = imported(documents.map(|(id, vector)| (id.to_owned(), vector.clone())));
    check(&new, |term| {
        let label = old.label(term).unwrap()?;
        ciff.find(&format!("{label}#{term}"))
    });
}

#[test]
fn through_json_lines() {
    let (_, old) = original();
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("i.jsonl");
    let documents = interchange::impacts(&old).unwrap().map(|document| {
        let (id, vector) = document?;
        let named = vector
            .iter()
            .map(|(term, weight)| (term.to_string(), weight));
        Ok(JsonVector {
            id,
            contents: String::new(),
            vector: named.collect(),
        })
    });
    interchange::write_json_vectors(&path, documents).unwrap();
    let mut ids: HashMap<String, u32> = HashMap::new();
    let read: Vec<JsonVector> = JsonVectors::open(&path)
        .unwrap()
        .collect::<Result<_>>()
        .unwrap();
    let new = imported(read.into_iter().map(|document| {
        let pairs: BTreeMap<u32, f32> = document
            .vector
            .into_iter()
            .map(|(term, weight)| {
                let next = u32::try_from(ids.len()).unwrap();
                (*ids.entry(term).or_insert(next), weight)
            })
            .collect();
        (document.id, SparseVector::new(pairs).unwrap())
    }));
    check(&new, |term| {
        ids.get(&term.to_string()).copied().map(TermId::from)
    });
}

#[test]
fn through_csr() {
    let (_, old) = original();
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("i.csr");
    let all: Vec<(String, SparseVector)> = interchange::impacts(&old)
        .unwrap()
        .collect::<Result<_>>()
        .unwrap();
    // The format has columns of 31 bits.
    let mut terms: Vec<TermId> = all.iter().flat_map(|(_, v)| v.terms().to_vec()).collect();
    terms.sort_unstable();
    terms.dedup();
    let column = |term: TermId| {
        terms
            .binary_search(&term)
            .ok()
            .map(|at| u32::try_from(at).unwrap())
    };
    let vectors: Vec<SparseVector> = all
        .iter()
        .map(|(_, vector)| {
            let pairs = vector
                .iter()
                .map(|(term, weight)| (column(term).unwrap(), weight));
            SparseVector::new(pairs).unwrap()
        })
        .collect();
    let count = u32::try_from(terms.len()).unwrap();
    interchange::write_csr(&path, count, vectors.iter()).unwrap();
    let read = CsrFile::open(&path).unwrap().vectors().unwrap();
    let read = read.map(Result::unwrap).zip(&all);
    let new = imported(read.map(|(vector, (key, _))| (key.clone(), vector)));
    check(&new, |term| column(term).map(TermId::from));
}

//! Two-step retrieval equals its definition: exhaustive search over vectors that were cut before they
//! were indexed, then the candidates by the dot product of the whole vectors.

use std::collections::BTreeMap;

use sparsely::{Config, Document, Filter, Index, Mode, Query, Searcher, SparseVector, TwoStep};

use crate::generate::{Generator, Shape};

const VECTORS: Generator = Generator::new(Shape::SPLADE, 5);
const DOCUMENTS: u64 = 400;

fn key(number: u64) -> String {
    format!("{number:04}")
}

/// Every third document lacks the field that is filtered by.
fn document(number: u64, vector: SparseVector) -> Document {
    let document = Document::new(key(number), vector);
    match number % 3 {
        0 => document,
        _ => document.field("kind", "some"),
    }
}

fn filled(config: Config, document: impl Fn(u64) -> Document) -> Index {
    let index = Index::in_memory(config.weight_limit(4.5)).unwrap();
    let mut writer = index.writer().unwrap();
    for number in 0..DOCUMENTS {
        writer.upsert(document(number)).unwrap();
        if number == DOCUMENTS / 2 {
            writer.commit().unwrap();
        }
    }
    writer.commit().unwrap();
    drop(writer);
    index
}

/// The `n` heaviest terms, the lower term first among equals.
fn cut(vector: &SparseVector, n: usize) -> SparseVector {
    let mut pairs: Vec<_> = vector.iter().collect();
    pairs.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    pairs.truncate(n);
    SparseVector::new(pairs.into_iter().map(|(term, weight)| (term.get(), weight))).unwrap()
}

fn dot(left: &SparseVector, right: &SparseVector) -> f64 {
    let right: BTreeMap<_, _> = right.iter().collect();
    let shared = left.iter().filter_map(|(term, weight)| {
        let other = right.get(&term)?;
        Some(f64::from(weight) * f64::from(*other))
    });
    shared.sum()
}

#[test]
fn an_answer_in_two_steps_is_the_exhaustive_one_rescored() {
    let steps = [
        TwoStep::SPLADE_CODE,
        TwoStep {
            query_terms: 3,
            document_terms: 15,
            candidates: 25,
        },
    ];
    for steps in steps {
        let terms = steps.document_terms;
        let short = filled(Config::new(), |number| {
            document(number, cut(&VECTORS.document(number), terms))
        });
        let short = short.snapshot().unwrap();
        let mut differs_from_one_step = false;
        for ordered_from in [0, u64::MAX] {
            let config = Config::new().ordered_from(ordered_from);
            let index = filled(config, |number| {
                document(number, VECTORS.document(number)).two_step(steps)
            });
            let mut writer = index.writer().unwrap();
            if ordered_from == 0 {
                writer.merge_all(&mut sparsely::Progress::none()).unwrap();
                writer.commit().unwrap();
            }
            let snapshot = index.snapshot().unwrap();
            for number in 0..16 {
                let vector = VECTORS.query(number);
                let mut query = Query::new(vector.clone()).top(10).two_step(steps);
                let mut candidates = Query::new(cut(&vector, steps.query_terms))
                    .top(steps.candidates)
                    .mode(Mode::Exhaustive);
                if number % 2 == 0 {
                    query = query.filter(Filter::equals("kind", "some"));
                    candidates = candidates.filter(Filter::equals("kind", "some"));
                }
                let candidates = short.search(&candidates).unwrap();
                let mut expected: Vec<(String, f64)> = candidates
                    .iter()
                    .map(|hit| {
                        let number = hit.key().to_string().parse().unwrap();
                        (key(number), dot(&vector, &VECTORS.document(number)))
                    })
                    .collect();
                expected.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
                expected.truncate(10);
                let found = snapshot.search(&query).unwrap();
                assert!(!found.proven_exact());
                let keys: Vec<String> = found.iter().map(|hit| hit.key().to_string()).collect();
                let expected_keys: Vec<&String> = expected.iter().map(|(key, _)| key).collect();
                assert!(keys.iter().eq(expected_keys), "query {number}");
                for (hit, (_, score)) in found.iter().zip(&expected) {
                    assert!((f64::from(hit.score()) - score).abs() <= score * 1e-6);
                }
                let first: Vec<String> =
                    candidates.iter().map(|hit| hit.key().to_string()).collect();
                differs_from_one_step |= !first.starts_with(&keys);
            }
        }
        assert!(
            differs_from_one_step,
            "rescoring must have changed something"
        );
    }
}

#[test]
fn no_steps_leave_everything_as_it_is() {
    let vector = VECTORS.document(0);
    let whole = Document::new("k", vector.clone());
    assert_eq!(whole.clone().two_step(TwoStep::NONE), whole);
    let query = Query::new(vector);
    assert_eq!(query.clone().two_step(TwoStep::NONE), query);
}

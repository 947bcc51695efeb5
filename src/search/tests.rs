//! Every way of searching against a plain list of documents.

use std::cmp::Reverse;

use proptest::prelude::*;

use super::*;
use crate::{
    error::ErrorKind,
    id::TermId,
    quantize::{ImpactVector, QuantizedQuery},
    segment::{
        Document, LiveSegment, Schema, Value,
        testing::{documents, live, merged, merged_in_blocks, scale, vector, without},
    },
    sparse::SparseVector,
};

#[derive(Debug)]
struct Counts(u64);

impl Statistics for Counts {
    fn document_count(&self) -> u64 {
        self.0
    }

    fn document_frequency(&self, _: TermId) -> u64 {
        0
    }
}

/// Segments with what they share, as a snapshot holds them.
#[derive(Debug)]
struct Shared {
    segments: Vec<LiveSegment>,
    schema: Schema,
    counts: Counts,
}

impl Shared {
    fn new(segments: Vec<LiveSegment>) -> Shared {
        let mut schema = Schema::new();
        for live in &segments {
            schema.absorb(live.segment().schema()).unwrap();
        }
        let counts = Counts(segments.len() as u64);
        Shared {
            segments,
            schema,
            counts,
        }
    }

    fn collection(&self) -> Collection<'_> {
        Collection {
            segments: &self.segments,
            schema: &self.schema,
            scale: scale(),
        }
    }
}

impl Searcher for Shared {
    fn search_with(&self, query: &Query, scratch: &mut Scratch) -> Result<Hits> {
        self.collection().search(query, scratch)
    }

    fn explain(&self, query: &Query, key: &DocKey) -> Result<Explanation> {
        self.collection().explain(query, key)
    }

    fn statistics(&self) -> &dyn Statistics {
        &self.counts
    }
}

/// Keys and integer scores by the definition.
fn model(documents: &[&Document], query: &Query) -> Vec<(Vec<u8>, f32)> {
    let quantized = QuantizedQuery::new(&query.vector).unwrap();
    let filter = query.filter.as_ref();
    let admitted = documents
        .iter()
        .filter(|document| filter.is_none_or(|filter| filter.matches(document)));
    let mut scored: Vec<(Reverse<u32>, Vec<u8>)> = admitted
        .map(|document| {
            let impacts = ImpactVector::from_vector(&document.vector, scale());
            let key = document.key().as_bytes().to_vec();
            (Reverse(impacts.score(&quantized)), key)
        })
        .filter(|(score, _)| score.0 > 0)
        .collect();
    scored.sort_unstable();
    let real = |score| quantized.real_score(score, scale());
    let shown = scored
        .into_iter()
        .map(|(score, key)| (key, real(score.0)))
        .filter(|(_, score)| query.least_score.is_none_or(|least| *score >= least));
    shown.skip(query.offset).take(query.top).collect()
}

fn found(hits: &Hits) -> Vec<(Vec<u8>, f32)> {
    let hits = hits.iter();
    hits.map(|hit| (hit.key().as_bytes().to_vec(), hit.score()))
        .collect()
}

fn filters() -> impl Strategy<Value = Filter> {
    let number = prop_oneof![-4_i64..5, Just(i64::MIN), Just(i64::MAX)];
    let leaf = prop_oneof![
        prop::sample::select(vec!["rust", "c", "é", "", "none"])
            .prop_map(|kind| Filter::equals("kind", kind)),
        prop::collection::vec("[a-d]{0,3}", 0..6).prop_map(|names| Filter::is_in("name", names)),
        any::<bool>().prop_map(|test| Filter::equals("test", test)),
        prop::collection::vec(number.clone(), 0..4).prop_map(|n| Filter::is_in("lines", n)),
        (number.clone(), number).prop_map(|(a, b)| Filter::range("lines", a..=b)),
        "[ab]{0,2}".prop_map(Filter::key_prefix),
        Just(Filter::key_prefix([0xFF])),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(Filter::not),
            prop::collection::vec(inner.clone(), 0..3).prop_map(Filter::and),
            prop::collection::vec(inner, 0..3).prop_map(Filter::or),
        ]
    })
}

fn queries() -> impl Strategy<Value = Query> {
    let top = prop_oneof![0_usize..12, Just(usize::MAX)];
    let least = prop::option::of(0.0_f32..20.0);
    (
        vector(),
        top,
        0_usize..5,
        least,
        prop::option::of(filters()),
    )
        .prop_map(|(vector, top, offset, least, filter)| {
            let mut query = Query::new(vector).top(top).offset(offset);
            query.least_score = least;
            query.filter = filter;
            query
        })
}

/// Keys and float scores by the definition.
fn float_model(documents: &[&Document], query: &Query) -> Vec<(Vec<u8>, f32)> {
    let filter = query.filter.as_ref();
    let mut scored: Vec<(Vec<u8>, f32)> = documents
        .iter()
        .filter(|document| filter.is_none_or(|filter| filter.matches(document)))
        .filter_map(|document| {
            let products = query.vector.iter().filter_map(|(term, weight)| {
                let own = document.vector.weight(term)?;
                Some(f64::from(weight) * f64::from(own))
            });
            let products: Vec<f64> = products.collect();
            #[expect(clippy::cast_possible_truncation, reason = "scores are `f32`")]
            let score = products.iter().sum::<f64>() as f32;
            let key = document.key().as_bytes().to_vec();
            (!products.is_empty()).then_some((key, score))
        })
        .filter(|(_, score)| query.least_score.is_none_or(|least| *score >= least))
        .collect();
    scored.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let page = scored.into_iter().skip(query.offset);
    page.take(query.top).collect()
}

/// All fields that [`documents`] may give, so that every filter fits.
fn typed() -> Document {
    Document::new("zzz typed", SparseVector::default())
        .field("kind", "x")
        .field("name", "y")
        .field("lines", 77)
        .field("test", true)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_search_equals_the_model(
        mut documents in documents(150),
        cut in any::<prop::sample::Index>(),
        delete_every in 1_usize..9,
        queries in prop::collection::vec(queries(), 1..12),
    ) {
        documents.push(typed());
        let doomed: Vec<&DocKey> = documents[..documents.len() - 1]
            .iter().step_by(delete_every).map(Document::key).collect();
        let left: Vec<&Document> = documents.iter()
            .filter(|document| !doomed.contains(&document.key())).collect();
        let cut = cut.index(documents.len());
        let parts = [&documents[..cut], &documents[cut..]];
        let parts: Vec<LiveSegment> = parts.iter().filter(|part| !part.is_empty())
            .map(|part| without(&live(part), &doomed)).collect();
        let one = Shared::new(vec![merged(&parts)]);
        let blocks = Shared::new(vec![merged_in_blocks(&parts)]);
        let several = Shared::new(parts);
        let oracle = Exhaustive::new(several.collection(), &several.counts);
        let mut scratch = Scratch::new();
        for query in &queries {
            let expected = model(&left, query);
            for searcher in [&several as &dyn Searcher, &one, &blocks, &oracle] {
                let hits = searcher.search_with(query, &mut scratch).unwrap();
                prop_assert!(hits.proven_exact());
                prop_assert_eq!(&found(&hits), &expected);
            }
            let floats = query.clone().mode(Mode::FloatExact);
            let expected = float_model(&left, query);
            for searcher in [&several as &dyn Searcher, &one, &blocks] {
                let hits = searcher.search_with(&floats, &mut scratch).unwrap();
                prop_assert!(hits.proven_exact());
                prop_assert_eq!(&found(&hits), &expected);
            }
            if let Some(filter) = &query.filter {
                let matching = several.collection().matching(filter).unwrap();
                let count: usize = matching.iter().map(Vec::len).sum();
                prop_assert_eq!(count, left.iter().filter(|one| filter.matches(one)).count());
            }
        }
        let batch = several.search_batch(&queries, 3).unwrap();
        for (query, hits) in queries.iter().zip(&batch) {
            prop_assert_eq!(found(hits), model(&left, query));
        }
    }

    #[test]
    fn explanations_add_up_to_the_score(documents in documents(30), vector in vector()) {
        let shared = Shared::new(vec![live(&documents)]);
        let own: Vec<TermId> = vector.terms().iter().copied().take(1).collect();
        for query in [
            Query::new(vector.clone()).top(1000).own_terms(own.clone()),
            Query::new(vector.clone()).top(1000).keep(2).rescore(1000),
            Query::new(vector.clone()).top(1000).keep(3).mode(Mode::FloatExact),
        ] {
            for hit in &shared.search(&query).unwrap() {
                let explanation = shared.explain(&query, hit.key()).unwrap();
                prop_assert_eq!(explanation.score, hit.score());
                prop_assert!(explanation.admitted);
                let sum: f32 = explanation.terms.iter().map(|term| term.contribution).sum();
                prop_assert!((sum - hit.score()).abs() <= 1e-4 * hit.score(), "{sum} {hit:?}");
                for term in &explanation.terms {
                    let expected = match &query.own_terms {
                        None => Origin::Unknown,
                        Some(own) if own.contains(&term.term) => Origin::Text,
                        Some(_) => Origin::Expansion,
                    };
                    prop_assert_eq!(term.origin, expected);
                }
            }
        }
    }
}

fn pair(key: &str, weight: f32) -> Document {
    let vector = SparseVector::new([(1, weight), (2, weight / 2.0)]).unwrap();
    Document::new(key, vector)
}

fn query() -> Query {
    Query::new(SparseVector::new([(1, 1.0), (2, 1.0)]).unwrap())
}

fn keys(hits: &Hits) -> Vec<String> {
    hits.iter().map(|hit| hit.key().to_string()).collect()
}

#[test]
fn two_steps_rank_by_the_full_vectors() {
    let full = |weight| SparseVector::new([(1, 1.0), (3, weight)]).unwrap();
    let documents = [
        pair("a", 2.0).full_vector(full(0.5)),
        pair("b", 1.0).full_vector(full(2.0)),
        pair("c", 1.0),
    ];
    let shared = Shared::new(vec![live(&documents)]);
    let vector = SparseVector::new([(1, 1.0), (3, 0.5)]).unwrap();
    let one_step = shared.search(&Query::new(vector.clone()).keep(1)).unwrap();
    assert_eq!(keys(&one_step), ["a", "b", "c"]);
    assert!(one_step.proven_exact());
    let two_steps = Query::new(vector.clone()).keep(1).rescore(10);
    let two_steps = shared.search(&two_steps).unwrap();
    assert_eq!(keys(&two_steps), ["b", "a", "c"]);
    assert!(!two_steps.proven_exact());
    assert_eq!(two_steps.as_slice()[0].score(), 2.0);
    let preset = Query::new(vector).two_step(TwoStep::SPLARE).top(1);
    assert_eq!(keys(&shared.search(&preset).unwrap()), ["b"]);
}

#[test]
fn equal_scores_of_the_second_step_go_by_key() {
    let full = SparseVector::new([(1, 1.0), (2, 1.0)]).unwrap();
    let weights = [("d", 1.0), ("b", 2.0), ("c", 0.5), ("a", 1.5)];
    let documents = weights.map(|(key, weight)| pair(key, weight).full_vector(full.clone()));
    let shared = Shared::new(documents.chunks(2).map(live).collect());
    let two_steps = query().rescore(10);
    assert_eq!(
        keys(&shared.search(&query()).unwrap()),
        ["b", "a", "d", "c"]
    );
    assert_eq!(
        keys(&shared.search(&two_steps).unwrap()),
        ["a", "b", "c", "d"]
    );
    let page = two_steps.offset(1).top(2);
    assert_eq!(keys(&shared.search(&page).unwrap()), ["b", "c"]);
}

#[test]
fn a_hit_is_at_least_its_own_score() {
    let documents: Vec<Document> = (1_u16..200)
        .map(|at| pair(&format!("{at}"), f32::from(at) / 60.0))
        .collect();
    let shared = Shared::new(vec![live(&documents)]);
    let all = shared.search(&query().top(500)).unwrap();
    for hit in &all {
        let hits = shared
            .search(&query().top(500).least_score(hit.score()))
            .unwrap();
        assert!(hits.iter().any(|other| other.key() == hit.key()));
        assert!(hits.iter().all(|other| other.score() >= hit.score()));
    }
    let refused = shared.search(&query().least_score(f32::NAN));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
    let none = shared.search(&query().least_score(f32::INFINITY)).unwrap();
    assert!(none.is_empty());
}

#[test]
fn odd_queries_have_an_answer() {
    let shared = Shared::new(vec![live(&[pair("a", 1.0), typed()])]);
    let empty = Query::new(SparseVector::default());
    assert!(shared.search(&empty).unwrap().is_empty());
    assert!(shared.search(&query().top(0)).unwrap().is_empty());
    assert_eq!(shared.search(&query().top(usize::MAX)).unwrap().len(), 1);
    let last = query().offset(usize::MAX).top(usize::MAX);
    assert!(shared.search(&last).unwrap().is_empty());

    let wide = SparseVector::new((0..100_000).map(|term| (term, 1.0))).unwrap();
    let refused = shared.search(&Query::new(wide.clone())).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Limit);
    assert!(refused.to_string().contains("keep"), "{refused}");
    let kept = Query::new(wide).keep(100).rescore(10);
    assert_eq!(shared.search(&kept).unwrap().len(), 1);

    let kind = |query: &Query| shared.search(query).map_err(|error| error.kind());
    let unknown = query().filter(Filter::equals("nowhere", 1));
    assert_eq!(kind(&unknown), Err(ErrorKind::NotFound));
    let wrong = query().filter(Filter::equals("lines", "many"));
    assert_eq!(kind(&wrong), Err(ErrorKind::InvalidInput));
    assert_eq!(kind(&query().fields(["nowhere"])), Err(ErrorKind::NotFound));
    assert!(
        shared
            .search_batch(&[query(), unknown, query()], 2)
            .is_err()
    );
    assert!(shared.search_batch(&[], 8).unwrap().is_empty());

    let nobody = Shared::new(Vec::new());
    assert!(nobody.search(&query()).unwrap().is_empty());
    let missing = nobody.explain(&query(), &DocKey::from("a"));
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn queries_of_any_magnitude_have_an_answer() {
    let documents = [pair("a", 3.0), pair("b", 0.01), pair("c", 1e-30), typed()];
    let shared = Shared::new(vec![live(&documents)]);
    let blocks = Shared::new(vec![merged_in_blocks(&[live(&documents)])]);
    let query = |weights: [f32; 2]| {
        // The last term is one that no document has.
        let pairs = [(1, weights[0]), (2, weights[1]), (77, weights[0])];
        Query::new(SparseVector::new(pairs).unwrap())
    };
    for shared in [&shared, &blocks] {
        for weights in [[1e-30, 1e-30], [1e30, 1e30], [1e30, 1e-30], [1e38, 1e38]] {
            for mode in [Mode::Exact, Mode::FloatExact, Mode::Exhaustive] {
                let hits = shared.search(&query(weights).mode(mode)).unwrap();
                assert_eq!(keys(&hits), ["a", "b", "c"], "{weights:?}, {mode:?}");
                assert!(hits.iter().all(|hit| hit.score() >= 0.0));
                for hit in &hits {
                    let query = query(weights).mode(mode);
                    let explanation = shared.explain(&query, hit.key()).unwrap();
                    assert_eq!(explanation.score, hit.score());
                }
            }
        }
        // A term whose weight rounds to nothing finds documents by floats only.
        let rare = SparseVector::new([(2, 1e-30), (77, 1e30)]).unwrap();
        let rare = Query::new(rare);
        assert!(shared.search(&rare).unwrap().is_empty());
        let hits = shared.search(&rare.mode(Mode::FloatExact)).unwrap();
        assert_eq!(keys(&hits), ["a", "b", "c"]);
        let unknown = Query::new(SparseVector::new([(77, 1.0)]).unwrap());
        assert!(shared.search(&unknown).unwrap().is_empty());
        assert!(
            shared
                .search(&unknown.mode(Mode::FloatExact))
                .unwrap()
                .is_empty()
        );
    }
}

#[test]
fn float_order_is_that_of_the_weights_and_not_of_the_impacts() {
    let mut state = 1_u64;
    let mut random = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    let mut vector = |terms: u32, heaviest: f32| {
        let pairs: std::collections::BTreeMap<u32, f32> = (0..terms)
            .map(|_| {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "0 to 200"
                )]
                let term = (random() * random() * 200.0) as u32;
                (term, 0.001 + heaviest * random() * random() * random())
            })
            .collect();
        SparseVector::new(pairs).unwrap()
    };
    // Weights over the limit (4) in one segment only.
    let documents: Vec<Document> = (0..1500_u32)
        .map(|at| {
            Document::new(
                format!("{at}"),
                vector(40, if at < 700 { 4.0 } else { 5.0 }),
            )
        })
        .collect();
    let all: Vec<&Document> = documents.iter().collect();
    let parts = [live(&documents[..700]), live(&documents[700..])];
    let blocks = Shared::new(vec![merged_in_blocks(&parts)]);
    let several = Shared::new(parts.to_vec());
    let mut changed = 0;
    for at in 0..30 {
        let query = Query::new(vector(30, 3.0)).top([1, 10, 100][at % 3]);
        let floats = query.clone().mode(Mode::FloatExact);
        let expected = float_model(&all, &query);
        for shared in [&several, &blocks] {
            assert_eq!(found(&shared.search(&floats).unwrap()), expected);
            let impacts = keys(&shared.search(&query).unwrap());
            changed += usize::from(impacts != keys(&shared.search(&floats).unwrap()));
        }
    }
    assert!(changed > 20, "{changed}");
    let both = Query::new(vector(3, 1.0)).mode(Mode::FloatExact).rescore(5);
    let refused = several.search(&both).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
}

#[test]
fn hits_carry_the_fields_that_were_asked_for() {
    let documents = [pair("a", 2.0).field("n", 7).field("s", "x"), pair("b", 1.0)];
    let shared = Shared::new(vec![live(&documents)]);
    let hits = shared.search(&query().fields(["n"])).unwrap();
    assert_eq!(hits.as_slice()[0].value("n"), Some(&Value::Integer(7)));
    assert_eq!(hits.as_slice()[0].value("s"), None);
    assert_eq!(hits.as_slice()[1].value("n"), None);
}

#[test]
fn several_searchers_answer_as_one() {
    let first = Shared::new(vec![live(&[pair("a", 1.0), pair("c", 2.0)])]);
    let second = Shared::new(vec![live(&[pair("b", 1.0), pair("d", 3.0)])]);
    let both = Federated::new([&first as &dyn Searcher, &second]);
    let hits = both.search(&query()).unwrap();
    assert_eq!(keys(&hits), ["d", "c", "a", "b"]);
    let sources: Vec<usize> = hits.iter().map(Hit::source).collect();
    assert_eq!(sources, [1, 0, 0, 1]);
    let page = both.search(&query().offset(1).top(2)).unwrap();
    assert_eq!(keys(&page), ["c", "a"]);
    assert_eq!(both.statistics().document_count(), 2);
    let explanation = both.explain(&query(), &DocKey::from("d")).unwrap();
    assert_eq!(explanation.score, hits.as_slice()[0].score());
    let missing = both.explain(&query(), &DocKey::from("z")).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[test]
fn labels_come_from_the_index_first_and_the_caller_second() {
    let documents = [pair("a", 1.0).labels([(TermId::from(1), "lock")])];
    let shared = Shared::new(vec![live(&documents)]);
    let explanation = shared.explain(&query(), &DocKey::from("a")).unwrap();
    let explanation = explanation.labeled(|term| Some(format!("#{term}").into()));
    let labels: Vec<_> = explanation
        .terms
        .iter()
        .map(|term| term.label.as_deref())
        .collect();
    assert_eq!(labels, [Some("lock"), Some("#2")]);
}

//! Every way of searching returns what exhaustive scoring of every document returns.

use std::borrow::Cow;

use super::*;
use crate::{
    quantize::ImpactVector,
    search::top_k::Found,
    segment::postings::{
        Layout,
        testing::{Random, corpus, postings, query, vector},
    },
};

const LAYOUTS: [Layout; 3] = [Layout::Windows, Layout::Blocks, Layout::BlocksAndLists];

/// The meaning of a search: score every document, sort, cut.
fn exhaustive(
    docs: &[ImpactVector],
    query: &SegmentQuery<'_>,
    k: usize,
    floor: u32,
) -> Vec<(u32, u32, DocId)> {
    let mut all: Vec<(u32, u32, DocId)> = (0..)
        .map(DocId)
        .zip(docs)
        .map(|(doc, vector)| (vector.score(query.query), query.rank(doc), doc))
        .filter(|&(score, _, doc)| score >= floor.max(1) && query.allowed.contains(doc))
        .collect();
    all.sort_unstable_by_key(|&(score, rank, _)| (std::cmp::Reverse(score), rank));
    all.truncate(k);
    all
}

/// Ranks that have nothing to do with document ids.
fn ranks(docs: &[ImpactVector], random: &mut Random) -> Vec<[u8; 4]> {
    let mut ranks: Vec<u32> = (0..u32::try_from(docs.len()).unwrap()).collect();
    for at in (1..ranks.len()).rev() {
        ranks.swap(at, random.below(u32::try_from(at + 1).unwrap()) as usize);
    }
    ranks.iter().map(|rank| rank.to_le_bytes()).collect()
}

fn found(found: Vec<Found>) -> Vec<(u32, u32, DocId)> {
    found.iter().map(|f| (f.score, f.rank, f.doc)).collect()
}

fn doc_sets(docs: &[ImpactVector], random: &mut Random) -> Vec<DocSet<'static>> {
    let count = u32::try_from(docs.len()).unwrap();
    let mut sets = vec![DocSet::All, DocSet::Few(Cow::Owned(Vec::new()))];
    for one_in in [2, 20, 200] {
        let mut words = vec![0_u64; docs.len().div_ceil(64)];
        let mut few = Vec::new();
        for doc in (0..count).filter(|_| random.below(one_in) == 0) {
            words[DocId(doc).index() / 64] |= 1 << (doc % 64);
            few.push(DocId(doc));
        }
        sets.push(DocSet::Bits(Cow::Owned(words)));
        sets.push(DocSet::Few(Cow::Owned(few)));
    }
    // A contiguous tenth.
    let some = (count / 2..count / 2 + count / 10).map(DocId).collect();
    sets.push(DocSet::Few(Cow::Owned(some)));
    sets
}

fn check(docs: &[ImpactVector], terms: u32, seed: u64) {
    let mut random = Random(seed);
    let ranks = ranks(docs, &mut random);
    let sets = doc_sets(docs, &mut random);
    let mut scratch = Scratch::new();
    for layout in LAYOUTS {
        let postings = postings(docs, layout);
        for len in [0, 1, 2, 5, 20, 80] {
            let query = query(len, terms, &mut random);
            for allowed in &sets {
                let query = SegmentQuery {
                    query: &query,
                    allowed,
                    ranks: &ranks,
                    effort: Effort::Exact,
                };
                check_query(docs, &postings, &query, &mut scratch);
                check_approximate(docs, &postings, &query, &mut scratch);
            }
        }
    }
}

fn check_query(
    docs: &[ImpactVector],
    postings: &Postings,
    query: &SegmentQuery<'_>,
    scratch: &mut Scratch,
) {
    let best = exhaustive(docs, query, 1, 0)
        .first()
        .map_or(9, |best| best.0);
    for floor in [0, best / 2, best, best.saturating_add(1)] {
        for k in [0, 1, 3, 10, 100, usize::MAX] {
            let mut top = TopK::new(k, floor);
            let proof = search_postings(postings, query, &mut top, scratch).unwrap();
            assert_eq!(proof, Proof::Exact);
            let expected = exhaustive(docs, query, k, floor);
            assert_eq!(
                found(top.into_sorted()),
                expected,
                "k = {k}, floor = {floor}"
            );
        }
    }
}

/// Scores of approximate answers are true, and an answer that is called exact is.
fn check_approximate(
    docs: &[ImpactVector],
    postings: &Postings,
    query: &SegmentQuery<'_>,
    scratch: &mut Scratch,
) {
    let expected = exhaustive(docs, query, 10, 0);
    let efforts = [
        Effort::Blocks(0),
        Effort::Blocks(3),
        Effort::Approximate(Share::of_recall(0.5)),
        Effort::Approximate(Share::of_recall(0.99)),
        Effort::Approximate(Share::of_recall(1.0)),
    ];
    for effort in efforts {
        let query = SegmentQuery { effort, ..*query };
        let mut top = TopK::new(10, 0);
        let proof = search_postings(postings, &query, &mut top, scratch).unwrap();
        let got = found(top.into_sorted());
        if proof == Proof::Exact || effort == Effort::Approximate(Share::of_recall(1.0)) {
            assert_eq!(got, expected, "{effort:?}");
        }
        for (score, rank, doc) in got {
            assert_eq!(score, docs[doc.index()].score(query.query));
            assert_eq!(rank, query.rank(doc));
        }
    }
}

#[test]
fn every_instruction_set_gives_the_same() {
    let docs = corpus(3000, 500, 11);
    let mut random = Random(11);
    let ranks = ranks(&docs, &mut random);
    let postings = postings(&docs, Layout::Blocks);
    for set in crate::simd::InstructionSet::available() {
        let mut scratch = Scratch::with_instruction_set(set).unwrap();
        let mut random = Random(12);
        for len in [1, 7, 40, 300] {
            let query = SegmentQuery {
                query: &query(len, 500, &mut random),
                allowed: &DocSet::All,
                ranks: &ranks,
                effort: Effort::Exact,
            };
            check_query(&docs, &postings, &query, &mut scratch);
        }
    }
}

#[test]
fn flat_queries_leave_every_block_and_are_as_exact() {
    // No topics: every block has some of every term.
    let mut random = Random(21);
    let docs: Vec<_> = (0..6000)
        .map(|_| {
            let pairs =
                (0..30).map(|_| (random.below(120), 90 + random.below(20).to_le_bytes()[0]));
            vector(pairs.collect::<Vec<_>>())
        })
        .collect();
    let ranks = ranks(&docs, &mut random);
    let flat = (0..100).map(|term| (term, 1.0 + (term % 5) as f32 / 100.0));
    let flat = crate::sparse::SparseVector::new(flat).unwrap();
    let flat = QuantizedQuery::new(&flat).unwrap();
    let sets = doc_sets(&docs, &mut random);
    for layout in LAYOUTS {
        let postings = postings(&docs, layout);
        for set in crate::simd::InstructionSet::available() {
            let mut scratch = Scratch::with_instruction_set(set).unwrap();
            for allowed in &sets[..4] {
                let query = SegmentQuery {
                    query: &flat,
                    allowed,
                    ranks: &ranks,
                    effort: Effort::Exact,
                };
                for k in [10, 1000] {
                    let mut top = TopK::new(k, 0);
                    search_postings(&postings, &query, &mut top, &mut scratch).unwrap();
                    let expected = exhaustive(&docs, &query, k, 0);
                    assert_eq!(
                        found(top.into_sorted()),
                        expected,
                        "{layout:?}, {set:?}, {k}"
                    );
                }
            }
        }
        if let LayoutView::Blocks(blocks, lists) = postings.layout() {
            let query = SegmentQuery {
                query: &flat,
                allowed: &DocSet::All,
                ranks: &ranks,
                effort: Effort::Exact,
            };
            assert_eq!(lists.is_some(), layout == Layout::BlocksAndLists);
            let outcome = |most| {
                let mut top = TopK::new(10, 0);
                pruned::search(&blocks, &query, most, &mut top, &mut Scratch::new())
            };
            assert_eq!(outcome(Some(1)), Outcome::TooManyBlocks);
            assert_eq!(outcome(Some(u64::MAX)), Outcome::Done(Proof::Exact));
            assert_eq!(outcome(None), Outcome::Done(Proof::Exact));
        }
    }
}

#[test]
fn queries_of_the_most_terms() {
    let docs = corpus(400, 5000, 13);
    let mut random = Random(13);
    let ranks = ranks(&docs, &mut random);
    let spread = u32::MAX / 5000;
    let pairs = (0..4096).map(|term| (term * spread, 1.0 + (term % 7) as f32));
    let vector = crate::sparse::SparseVector::new(pairs).unwrap();
    for layout in LAYOUTS {
        let query = SegmentQuery {
            query: &QuantizedQuery::new(&vector).unwrap(),
            allowed: &DocSet::All,
            ranks: &ranks,
            effort: Effort::Exact,
        };
        check_query(&docs, &postings(&docs, layout), &query, &mut Scratch::new());
    }
}

#[test]
fn any_corpus() {
    check(&[], 10, 1);
    check(&[vector([(0, 1)])], 10, 2);
    check(&vec![ImpactVector::default(); 9], 10, 3);
    check(&corpus(7, 50, 4), 50, 4);
    check(&corpus(64, 50, 5), 50, 5);
    check(&corpus(700, 300, 6), 300, 6);
    check(&corpus(1300, 3000, 7), 3000, 7);
}

#[test]
fn equal_scores_go_by_rank() {
    let same = vector([(0, 10), (1_000_000, 20)]);
    check(&vec![same; 300], 4000, 8);
}

#[test]
fn documents_of_every_length() {
    let mut docs = corpus(30, 100, 9);
    let spread = u32::MAX / 100;
    docs.push(vector((0..100).map(|term| (term * spread, 255))));
    docs.push(vector((0..65_535).map(|term| (term * 65_537, 9))));
    check(&docs, 100, 9);
}

#[test]
fn several_windows() {
    let docs: Vec<_> = (0..70_000_u32)
        .map(|doc| {
            let impact = doc.wrapping_mul(2_654_435_761).to_le_bytes()[3];
            vector([(doc % 3, impact), (10 + doc % 1000, 9)])
        })
        .collect();
    let mut random = Random(10);
    let ranks = ranks(&docs, &mut random);
    let pairs = [(0, 1.0), (1, 0.9), (17, 2.0), (500, 0.1)];
    let vector = crate::sparse::SparseVector::new(pairs).unwrap();
    let query = QuantizedQuery::new(&vector).unwrap();
    for allowed in &doc_sets(&docs, &mut random)[..4] {
        for layout in LAYOUTS {
            let query = SegmentQuery {
                query: &query,
                allowed,
                ranks: &ranks,
                effort: Effort::Exact,
            };
            check_query(&docs, &postings(&docs, layout), &query, &mut Scratch::new());
        }
    }
}

//! The order is a permutation, depends on documents alone, and puts like to like.

use super::*;
use crate::{
    error::ErrorKind,
    segment::postings::testing::{RESOURCES, corpus, vector},
};

fn order(docs: &[crate::quantize::ImpactVector], threads: usize) -> Vec<u32> {
    let count = u32::try_from(docs.len()).unwrap();
    let resources = resources(threads);
    by_similarity(&docs, Parts::one(count), resources, &mut Progress::none()).unwrap()
}

fn resources(threads: usize) -> Resources {
    Resources {
        threads,
        ..RESOURCES
    }
}

#[test]
fn every_document_appears_once_whatever_the_threads() {
    for count in [0, 1, 8, 9, 16, 17, 100, 513, 5000, 9000] {
        let docs = corpus(count, 200, u64::from(count));
        let one = order(&docs, 1);
        let mut sorted = one.clone();
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..count), "{count}");
        assert_eq!(one, order(&docs, 3), "{count}");
    }
}

#[test]
fn documents_of_a_topic_come_together() {
    // Ten topics without shared terms, documents dealt out in turn.
    let docs: Vec<_> = (0..800_u32)
        .map(|doc| {
            let topic = doc % 10;
            vector((0..12).map(|at| (topic * 100 + (doc * 7 + at * 5) % 40, 50)))
        })
        .collect();
    let order = order(&docs, 1);
    let blocks = order.chunks(8);
    let pure = blocks.filter(|block| block.iter().all(|doc| doc % 10 == block[0] % 10));
    assert!(pure.count() >= 90, "of 100 blocks");
}

#[test]
fn parts_stay_together_and_their_leaves_are_blocks() {
    // Three parts of lengths that no block divides; topics of eight documents inside each.
    let docs: Vec<_> = (0..300_u32)
        .map(|doc| vector((0..6).map(|at| (doc / 3 % 12 * 100 + at * 7 + doc % 2, 50))))
        .collect();
    let part_of = |doc: u32| [0, 1, 1, 2][doc as usize % 4] ^ u32::from(doc < 5);
    for threads in [1, 2] {
        let parts = Parts::by_rank(300, part_of);
        let order =
            by_similarity(&&docs[..], parts, resources(threads), &mut Progress::none()).unwrap();
        let ranks: Vec<u32> = order.iter().map(|doc| part_of(*doc)).collect();
        assert!(ranks.is_sorted(), "{ranks:?}");
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..300));
    }
    let mut order: Vec<u32> = (0..30).collect();
    align(&mut order, &[3, 23, 30]);
    // The second part begins at 3: five documents fill its first block, whole leaves follow.
    assert_eq!(order[3..8], [18, 19, 20, 21, 22]);
    assert_eq!(order[8..16], [3, 4, 5, 6, 7, 8, 9, 10]);
}

#[test]
fn documents_without_terms_are_no_trouble() {
    let docs = vec![crate::quantize::ImpactVector::default(); 100];
    assert_eq!(order(&docs, 2).len(), 100);
}

#[test]
fn little_memory_means_fewer_terms_and_an_order_all_the_same() {
    let resources = |memory| Resources { threads: 2, memory };
    assert_eq!(kept_terms(1_000_000, 2, resources(256 << 20)), KEPT_TERMS);
    assert_eq!(kept_terms(10_000_000, 4, resources(256 << 20)), LEAST_TERMS);
    let some = kept_terms(1_000_000, 4, resources(128 << 20));
    assert!((LEAST_TERMS + 1..KEPT_TERMS).contains(&some), "{some}");

    let docs = corpus(3000, 200, 9);
    let parts = || Parts::one(3000);
    let none = &mut Progress::none();
    let [one, two] = [1, 2].map(|threads| {
        let resources = Resources { threads, memory: 0 };
        by_similarity(&&docs[..], parts(), resources, none).unwrap()
    });
    assert_eq!(one, two);
    assert_ne!(one, order(&docs, 1), "8 terms order otherwise than 40");
    let mut sorted = one;
    sorted.sort_unstable();
    assert!(sorted.into_iter().eq(0..3000));
}

#[test]
fn ids_of_two_bytes_and_of_four_order_alike() {
    // The same vectors under ids that fit into two bytes and under ids that do not.
    let small: Vec<_> = corpus(2000, 200, 4)
        .iter()
        .map(|doc| {
            vector(
                doc.iter()
                    .map(|(term, impact)| (term.get() / 21_474_836, impact)),
            )
        })
        .collect();
    let large: Vec<_> = small
        .iter()
        .map(|doc| {
            vector(
                doc.iter()
                    .map(|(term, impact)| (term.get() + 70_000, impact)),
            )
        })
        .collect();
    assert!((&small[..]).term_limit() < 65_536);
    assert_eq!(order(&small, 1), order(&large, 2));
}

#[test]
fn progress_can_cancel() {
    let docs = corpus(20_000, 200, 3);
    for threads in [1, 2] {
        for after in [0, 3, 5] {
            let mut calls = 0;
            let mut report = |_| {
                calls += 1;
                match calls > after {
                    true => std::ops::ControlFlow::Break(()),
                    false => std::ops::ControlFlow::Continue(()),
                }
            };
            let got = by_similarity(
                &&docs[..],
                Parts::one(20_000),
                resources(threads),
                &mut Progress::new(&mut report),
            );
            assert_eq!(got.unwrap_err().kind(), ErrorKind::Cancelled);
        }
    }
}

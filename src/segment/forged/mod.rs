//! Sections that break one rule each, under right checksums: what no writer here makes. The error
//! is one of damage and names the section.

mod deletes;
mod fields;
mod stored;

use super::{
    full_vectors::FULL_VECTORS, info::INFO, keys, labels::LABELS, own_terms, testing::*,
    weights::WEIGHTS, *,
};
use crate::{
    error::ErrorKind,
    format::SectionId,
    id::{DocId, TermId},
    segment::postings::testing::is_damage,
    sparse::SparseVector,
};

const DOCS: usize = 70;

/// A change of one section, and the rule that it breaks, in the words of the error.
type Rule = (&'static str, fn(&mut Vec<u8>));

/// Every section, with numbers of one digit or two that are easy to find.
fn documents() -> Vec<Document> {
    (0..70_u32)
        .map(|at| {
            let vector = SparseVector::new([(at % 3, 1.0), (10, 5.0)]).unwrap();
            let labels = [
                (0, "zero".repeat(50)),
                (1, "none".repeat(50)),
                (2, "two".to_owned()),
            ];
            Document::new(format!("k{at:02}"), vector.clone())
                .text(format!("text {at:02}"))
                .payload(vec![7; 2])
                .field("always", true)
                .field("mixed", if at % 40 == 7 { "b" } else { "a" })
                .field("name", format!("n{at:02}"))
                .field("number", i64::from(at))
                .field("test", at % 2 == 0)
                .own_terms([TermId::from(at % 3)])
                .full_vector(vector)
                .labels(labels.map(|(term, label)| (TermId::from(term), label)))
        })
        .collect()
}

fn number<const LEN: usize>(bytes: &[u8], at: usize) -> usize {
    let bytes = bytes[at..at + LEN].iter().rev();
    bytes.fold(0, |number, byte| number << 8 | usize::from(*byte))
}

fn put<const LEN: usize>(bytes: &mut [u8], at: usize, value: [u8; LEN]) {
    bytes[at..at + LEN].copy_from_slice(&value);
}

fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    put(bytes, at, value.to_le_bytes());
}

fn put_u64(bytes: &mut [u8], at: usize, value: u64) {
    put(bytes, at, value.to_le_bytes());
}

/// Opening or verifying the file says that `expected` was broken in the section.
#[track_caller]
fn refused(bytes: Vec<u8>, id: SectionId, expected: &str) {
    let error = open(bytes).and_then(|segment| segment.verify());
    is_damage(&error.unwrap_err(), id, expected);
}

fn check(id: SectionId, rules: &[Rule]) {
    let good = open(written(&documents())).unwrap();
    good.verify().unwrap();
    for (expected, change) in rules {
        refused(altered(&good, id, change), id, expected);
    }
}

#[test]
fn the_head() {
    check(
        INFO,
        &[
            ("fewer documents", |s| put_u32(s, 0, u32::MAX)),
            ("0 or 1", |s| put_u32(s, 4, 2)),
            ("a weight limit", |s| put(s, 8, f32::NAN.to_le_bytes())),
            ("a weight limit", |s| put_u32(s, 8, 0)),
            ("a finite number from zero on", |s| {
                put(s, 12, f32::INFINITY.to_le_bytes());
            }),
            ("a finite number from zero on", |s| {
                put(s, 12, (-1.0_f32).to_le_bytes());
            }),
            ("a posting count of 140", |s| put_u64(s, 16, 139)),
            ("zero bytes", |s| s[32] = 1),
            ("the end of the section", |s| s.push(0)),
            // Weights of 5 stand on a scale up to 4.
            ("at least 1", |s| put(s, 12, 0.5_f32.to_le_bytes())),
        ],
    );
}

#[test]
fn keys_and_their_order() {
    check(
        keys::KEYS,
        &[
            ("a key of 1 to 4096 bytes", |s| put(s, 4, [0, 0])),
            ("shared bytes up to 3", |s| s[4] = 4),
            ("keys that strictly rise", |s| s[6] = b'0'),
            (" bytes, found ", |s| s.push(0)),
        ],
    );
    check(keys::GROUPS, &[("a group at 0", |s| put_u64(s, 0, 1))]);
    let good = open(written(&documents())).unwrap();
    let beyond = altered(&good, keys::GROUPS, |s| put_u64(s, 8, u64::MAX));
    refused(beyond, keys::KEYS, "a range in ");
    let longer = altered(&good, keys::GROUPS, |s| s[8] += 1);
    refused(longer, keys::KEYS, "the end of the section");
    check(
        keys::ORDER,
        &[
            ("a document below 70", |s| put_u32(s, 0, 70)),
            ("a rank below 70", |s| put_u32(s, 4 * DOCS, 70)),
            ("a document of rank 0", |s| put_u32(s, 0, 1)),
        ],
    );
}

#[test]
fn a_key_is_at_most_4096_bytes() {
    let keys = [b'x', b'y'].map(|last| [&[b'x'; 4095][..], &[last]].concat());
    let documents = keys.map(|key| Document::new(key, SparseVector::new([(1, 1.0)]).unwrap()));
    let good = open(written(&documents)).unwrap();
    good.verify().unwrap();
    let second = 2 + 4096;
    let bad = altered(&good, keys::KEYS, |s| {
        assert_eq!(s[second..], [0xFF, 0x1F, 1, b'y']);
        put(s, second, [0x80, 0x20]);
    });
    refused(bad, keys::KEYS, "a key of 1 to 4096 bytes, found 4097");
}

#[test]
fn fuller_vectors_and_weights() {
    check(
        FULL_VECTORS[0],
        &[
            // Terms 0 and 10: their number, their gaps, their weights.
            ("terms of a vector up to 2", |s| s[0] = 3),
            ("a sparse vector", |s| put(s, 3, f32::NAN.to_le_bytes())),
            ("a sparse vector", |s| put(s, 3, (-1.0_f32).to_le_bytes())),
            ("the end of the section", |s| s[0] = 0),
            (" bytes, found ", |s| s.push(0)),
        ],
    );
    check(
        FULL_VECTORS[1],
        &[
            ("a start from 0 on", |s| put_u64(s, 0, 1)),
            ("a start from 23 on", |s| put_u64(s, 8, 23)),
        ],
    );
    check(
        WEIGHTS[0],
        &[
            ("a finite weight above zero", |s| put_u32(s, 0, 0)),
            ("a weight of impact 64", |s| {
                put(s, 0, 2.0_f32.to_le_bytes());
            }),
            (" bytes, found ", |s| s.push(0)),
        ],
    );
    check(
        WEIGHTS[1],
        &[
            ("a start from 0 on", |s| put_u64(s, 0, 1)),
            ("a start from 17 on", |s| put_u64(s, 8, 17)),
        ],
    );
    let good = open(written(&documents())).unwrap();
    let bad = altered(&good, WEIGHTS[1], |s| put_u64(s, 8, 4));
    refused(bad, WEIGHTS[0], "2 weights, found 4 bytes");
}

/// What a query meets of a fuller vector is checked, without the rest of it.
#[test]
fn a_dot_product_does_not_trust_weights() {
    let good = open(written(&documents())).unwrap();
    let query = |term: u32| SparseVector::new([(term, 2.0)]).unwrap();
    assert_eq!(good.full_dot(DocId(0), &query(10)).unwrap(), Some(10.0));
    for weight in [f32::NAN, f32::INFINITY, 0.0, -1.0] {
        let bad = open(altered(&good, FULL_VECTORS[0], |s| {
            put(s, 7, weight.to_le_bytes());
        }));
        let bad = bad.unwrap();
        let error = bad.full_dot(DocId(0), &query(10)).unwrap_err();
        is_damage(&error, FULL_VECTORS[0], "a finite weight above zero");
        assert_eq!(bad.full_dot(DocId(0), &query(0)).unwrap(), Some(2.0));
    }
}

#[test]
fn labels_and_own_terms() {
    const LABEL: &str = "a label of at most 255 bytes";
    check(
        LABELS,
        &[
            ("label count that fits", |s| put_u32(s, 0, 1000)),
            ("terms that strictly rise", |s| put_u32(s, 8, 0)),
            (LABEL, |s| put_u64(s, 16, 0)),
            (LABEL, |s| put_u64(s, 24, 100)),
            (LABEL, |s| s[40] = 0xFF),
            (" bytes, found ", |s| s.push(0)),
            ("a range in ", |s| s.truncate(s.len() - 1)),
        ],
    );
    const COUNTED: &str = "the counts of the documents' own terms";
    check(
        own_terms::COUNTS,
        &[
            (COUNTED, |s| put_u32(s, 0, 1)),
            (COUNTED, |s| put_u32(s, 12, 25)),
            (COUNTED, |s| s.truncate(16)),
            (" bytes, found ", |s| s.push(0)),
        ],
    );
    check(
        own_terms::MASKS[1],
        &[
            ("a start from 0 on", |s| put_u64(s, 0, 1)),
            (" bytes, found ", |s| s.truncate(8)),
        ],
    );
    let good = open(written(&documents())).unwrap();
    let bad = altered(&good, own_terms::MASKS[1], |s| put_u64(s, 8, 2));
    refused(
        bad,
        own_terms::MASKS[0],
        "a mask over 2 terms, found 2 bytes",
    );
}

/// Of sections that belong together none may be missing, even where all of them may be.
#[test]
fn sections_come_together() {
    let good = open(written(&documents())).unwrap();
    let known = [&view::SECTIONS, postings::Postings::SECTIONS].concat();
    let present: Vec<SectionId> = known
        .into_iter()
        .filter(|id| good.file().has(*id))
        .collect();
    for missing in &present {
        let (bytes, ()) = file_with(IDENTITY, |mut file| {
            for id in present.iter().filter(|id| *id != missing) {
                file.section(*id, good.file().section(*id)).unwrap();
            }
            file.finish().unwrap();
        });
        match open(bytes) {
            // What terms mean stands nowhere else.
            Ok(segment) if *missing == LABELS => segment.verify().unwrap(),
            Ok(_) => panic!("opened without `{}`", missing.name),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                let expected = format!("a section `{}`", missing.name);
                assert!(error.to_string().contains(&expected), "{error}");
            }
        }
    }
}

//! Segments give back what they were given, through merges and deletes, and withstand damage.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{testing::*, view::SECTIONS, *};
use crate::{
    format::{FileIdentity, FileKind},
    id::{DocId, TermId},
    quantize::ImpactVector,
    sparse::SparseVector,
    storage::FileBytes,
};

/// Everything that a segment says, against the documents it was made of.
fn check(segment: &Segment, documents: &[&Document]) -> Result<(), TestCaseError> {
    segment.verify().unwrap();
    prop_assert_eq!(segment.doc_count() as usize, documents.len());
    let mut vector = ImpactVector::default();
    for document in documents {
        let key = document.key();
        let doc = segment.find(key.as_bytes()).unwrap().unwrap();
        prop_assert_eq!(&segment.key(doc).unwrap(), key);
        let stored = segment.stored(doc).unwrap();
        prop_assert_eq!(stored.text(), document.text.as_deref());
        prop_assert_eq!(stored.payload(), document.payload.as_deref());
        prop_assert_eq!(stored.fields(), &document.fields);
        segment.postings().read(doc, &mut vector).unwrap();
        let expected = ImpactVector::from_vector(&document.vector, scale());
        prop_assert_eq!(&vector, &expected);
        prop_assert_eq!(&segment.full_vector(doc).unwrap(), &document.full_vector);
        for query in [&document.vector, &documents[0].vector] {
            let expected = document.full_vector.as_ref().map(|full| query.dot(full));
            prop_assert_eq!(segment.full_dot(doc, query).unwrap(), expected);
        }
        let mut weights = Vec::new();
        segment.weights(doc, vector.len(), &mut weights).unwrap();
        prop_assert_eq!(&weights[..], document.vector.weights());
        let mut own = Vec::new();
        segment.own_terms(doc, &mut own).unwrap();
        prop_assert_eq!(own, own_terms(document));
        for (term, label) in &document.labels {
            prop_assert_eq!(segment.label(*term).unwrap(), Some(label.as_str()));
        }
    }
    for absent in [&b"nowhere"[..], b"", &[0xFF; 9], &[b'a'; 5000]] {
        let is_there = documents.iter().any(|one| one.key().as_bytes() == absent);
        prop_assert_eq!(segment.find(absent).unwrap().is_some(), is_there);
    }
    for prefix in [&b""[..], b"a", b"ab", b"b/", &[0xFF], &[0xFF, 0xFF], b"zz"] {
        let ranks = segment.ranks_with_prefix(prefix).unwrap();
        let keys = documents.iter().map(|one| one.key().as_bytes());
        let expected = keys.filter(|key| key.starts_with(prefix)).count();
        prop_assert_eq!(ranks.len(), expected);
        for rank in ranks {
            let key = segment.key(segment.doc_of_rank(rank).unwrap()).unwrap();
            prop_assert!(key.as_bytes().starts_with(prefix));
        }
    }
    Ok(())
}

fn own_terms(document: &Document) -> Vec<TermId> {
    let terms = document.vector.terms().iter().copied();
    match &document.own_terms {
        None => terms.collect(),
        Some(own) => terms.filter(|term| own.contains(term)).collect(),
    }
}

fn counts(documents: &[&Document]) -> BTreeMap<TermId, u64> {
    let mut counts = BTreeMap::new();
    for term in documents.iter().flat_map(|document| own_terms(document)) {
        *counts.entry(term).or_default() += 1;
    }
    counts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_and_merges_keep_it(
        documents in documents(120),
        cuts in prop::array::uniform2(any::<prop::sample::Index>()),
        delete_every in 1_usize..7,
    ) {
        let all: Vec<&Document> = documents.iter().collect();
        check(live(&documents).segment(), &all)?;

        let mut cuts = cuts.map(|cut| cut.index(documents.len()));
        cuts.sort_unstable();
        let parts = [&documents[..cuts[0]], &documents[cuts[0]..cuts[1]], &documents[cuts[1]..]];
        let doomed: Vec<&DocKey> = documents.iter().step_by(delete_every).map(Document::key).collect();
        let left: Vec<&Document> = documents.iter().filter(|one| !doomed.contains(&one.key())).collect();
        let parts: Vec<LiveSegment> = parts
            .iter()
            .filter(|part| !part.is_empty())
            .map(|part| without(&live(part), &doomed))
            .collect();
        let count: u32 = parts.iter().map(LiveSegment::live_count).sum();
        prop_assert_eq!(count as usize, left.len());

        let counts = counts(&left);
        for term in documents.iter().flat_map(|one| one.vector.terms()) {
            let found: u64 = parts.iter().map(|part| part.document_frequency(*term)).sum();
            prop_assert_eq!(found, counts.get(term).copied().unwrap_or(0));
        }
        for part in &parts {
            reopened_deletes_are_equal(part)?;
        }
        if !left.is_empty() {
            let once = merged(&parts);
            let ordered = merged_in_blocks(&parts);
            let again = merged(std::slice::from_ref(&ordered));
            for merged in [once, ordered, again] {
                check(merged.segment(), &left)?;
                for (term, count) in &counts {
                    prop_assert_eq!(merged.document_frequency(*term), *count);
                }
            }
        }
    }

    #[test]
    fn equal_documents_make_equal_files(documents in documents(40)) {
        prop_assert_eq!(written(&documents), written(&documents));
    }
}

const DELETES: FileIdentity = FileIdentity {
    kind: FileKind::Deletes,
    ..IDENTITY
};

fn deletes_file(deletes: &Deletes) -> Vec<u8> {
    let (bytes, ()) = file_with(DELETES, |mut file| {
        deletes.write(&mut file).unwrap();
        file.finish().unwrap();
    });
    bytes
}

fn open_deletes(bytes: Vec<u8>, doc_count: u32) -> Result<Deletes> {
    let (index, number) = (IDENTITY.index, IDENTITY.number);
    Deletes::open(
        FileBytes::new(bytes),
        "deletes-3-1",
        index,
        number,
        doc_count,
    )
}

fn reopened_deletes_are_equal(live: &LiveSegment) -> Result<(), TestCaseError> {
    let deletes = live.deletes().unwrap();
    let doc_count = live.segment().doc_count();
    let again = open_deletes(deletes_file(deletes), doc_count).unwrap();
    prop_assert_eq!(again.len(), deletes.len());
    for doc in (0..doc_count).map(DocId) {
        prop_assert_eq!(again.contains(doc), deletes.contains(doc));
        let bit = deletes.live_bits(doc_count)[doc.index() / 64] >> (doc.0 % 64) & 1;
        prop_assert_eq!(bit == 0, deletes.contains(doc));
    }
    for term in 0..12 {
        let term = TermId::from(term);
        prop_assert_eq!(again.own_count(term), deletes.own_count(term));
    }
    if let Some(last) = deletes.iter().last() {
        prop_assert!(open_deletes(deletes_file(deletes), last.0).is_err());
    }
    Ok(())
}

fn sample() -> Vec<Document> {
    (0..70_u32)
        .map(|at| {
            let pairs = (0..at % 5).map(|term| (term * 7 + at % 3, 0.5 + term as f32));
            let vector = SparseVector::new(pairs).unwrap();
            let own: Vec<TermId> = vector.terms().iter().copied().skip(1).collect();
            let text = format!("fn number_{at}() {{}}\n").repeat(1 + at as usize * 2);
            Document::new(format!("src/{}/file-{at}.rs", at / 9), vector.clone())
                .text(text)
                .payload(vec![1, 2, 3])
                .field("language", if at % 3 == 0 { "rust" } else { "c" })
                .field("name", format!("n{at}"))
                .field("lines", i64::from(at))
                .field("test", at % 2 == 0)
                .own_terms(own)
                .full_vector(vector.clone())
                .labels(
                    vector
                        .terms()
                        .iter()
                        .map(|term| (*term, format!("l{term}"))),
                )
        })
        .collect()
}

#[test]
fn texts_of_nothing_and_of_many_blocks() {
    let vector = SparseVector::new([(1, 1.0)]).unwrap();
    let texts = ["".to_owned(), "x".repeat(32 * 1024), "é".repeat(5_000_000)];
    let documents: Vec<Document> = (0..)
        .zip(&texts)
        .map(|(at, text)| Document::new(format!("{at}"), vector.clone()).text(text.as_str()))
        .collect();
    let segment = open(written(&documents)).unwrap();
    segment.verify().unwrap();
    for (at, text) in (0..).zip(&texts) {
        let stored = segment.stored(DocId(at)).unwrap();
        assert_eq!(stored.text(), Some(text.as_str()));
        assert_eq!(stored.payload(), None);
    }
}

#[test]
fn a_key_twice_and_no_document_at_all_are_refused() {
    let document = Document::new("k", SparseVector::default());
    let twice = [document.clone(), document.clone()];
    let progress = &mut Progress::none();
    let (_, result) = file_with(IDENTITY, |file| {
        write_segment(&twice, &options(), file, progress).map(|_| ())
    });
    assert!(result.unwrap_err().to_string().contains("\"k\""));
    let (_, result) = file_with(IDENTITY, |file| {
        write_segment(&[] as &[Document], &options(), file, progress).map(|_| ())
    });
    assert!(result.is_err());
    let other = document.field("f", 1);
    let conflict = [
        other,
        Document::new("l", SparseVector::default()).field("f", "x"),
    ];
    let (_, result) = file_with(IDENTITY, |file| {
        write_segment(&conflict, &options(), file, progress).map(|_| ())
    });
    assert!(result.unwrap_err().to_string().contains("field `f`"));
}

/// A storage may hand out bytes that begin anywhere in memory.
#[test]
fn bitsets_of_fields_need_not_lie_on_words() {
    struct Shifted(Vec<u8>, usize);
    impl AsRef<[u8]> for Shifted {
        fn as_ref(&self) -> &[u8] {
            &self.0[self.1..]
        }
    }
    let bytes = written(&sample());
    let shifted = [0, 1, 4].map(|by| {
        let bytes = FileBytes::new(Shifted([&vec![0; by][..], &bytes].concat(), by));
        Segment::open(bytes, "segment-3", IDENTITY.index, IDENTITY.number).unwrap()
    });
    for (name, value) in [
        ("language", Value::from("rust")),
        ("test", Value::from(true)),
    ] {
        let values = [value];
        let [on_words, others @ ..] = shifted
            .each_ref()
            .map(|segment| segment.fields().equal_to(name, &values).unwrap());
        assert!(matches!(on_words, Selection::Bits(_)), "{name}");
        assert!(others.iter().all(|other| *other == on_words), "{name}");
    }
    shifted.iter().for_each(|segment| segment.verify().unwrap());
}

#[test]
fn saturated_weights_and_postings_are_counted() {
    let heavy = SparseVector::new([(1, 4.0), (2, 4.5), (3, 1e30)]).unwrap();
    let segment = open(written(&[Document::new("k", heavy)])).unwrap();
    assert_eq!(segment.saturated_count(), 2);
    assert_eq!(segment.posting_count(), 3);
}

/// Reads all that a damaged file offers; only errors are allowed.
fn use_up(bytes: Vec<u8>) -> Result<()> {
    let segment = open(bytes)?;
    let verdict = segment.verify();
    let mut own = Vec::new();
    let query = SparseVector::new((0..60).map(|term| (term, 1.0))).unwrap();
    for doc in (0..segment.doc_count().min(200)).map(DocId) {
        let _ = segment.stored(doc);
        let _ = segment.full_vector(doc);
        let _ = segment.full_dot(doc, &query);
        let _ = segment.own_terms(doc, &mut own);
    }
    for key in [&b"src/3/file-30.rs"[..], b"a", b"z", b"src/7/file-69.rs"] {
        let _ = segment.find(key);
        let _ = segment.ranks_with_prefix(key);
        let _ = segment.ranks_with_prefix(&key[..1]);
    }
    for term in (0..40).map(TermId::from) {
        segment.own_count(term);
        let _ = segment.label(term);
    }
    for (name, value) in [
        ("language", Value::from("rust")),
        ("name", Value::from("n7")),
        ("lines", Value::from(7)),
        ("test", Value::from(true)),
    ] {
        let _ = segment.fields().equal_to(name, &[value]);
        let _ = segment.fields().between(name, i64::MIN, i64::MAX);
        let _ = segment.fields().between(name, 3, 9);
    }
    let live = LiveSegment::new(std::sync::Arc::new(segment), None);
    let progress = &mut Progress::none();
    let (_, _merged) = file_with(IDENTITY, |file| {
        merge_segments(&[live], &options(), file, progress).map(|_| ())
    });
    verdict
}

#[test]
fn damage_under_valid_checksums_is_harmless_and_its_structure_is_found() {
    let good = open(written(&sample())).unwrap();
    use_up(altered(&good, SECTIONS[0], |_| {})).unwrap();
    let present = SECTIONS.iter().filter(|id| good.file().has(**id));
    assert_eq!(present.clone().count(), SECTIONS.len());
    for &id in present {
        let len = good.file().section(id).len();
        let mut undetected = 0;
        let stride = len.div_ceil(60);
        for at in (0..len).step_by(stride) {
            for with in [0x01, 0xFF] {
                let bad = altered(&good, id, |bytes| bytes[at] ^= with);
                undetected += usize::from(use_up(bad).is_ok());
            }
        }
        // What is content rather than structure (characters of a label, weights, a key that stays
        // in order) cannot be told from other content once its checksum fits.
        let share = undetected as f64 / (2 * len.div_ceil(stride)) as f64;
        let most = match id.name {
            "keys" | "labels" | "full vectors" | "segment info" => 0.9,
            "fields" | "stored blocks" | "exact weights" => 0.5,
            _ => 0.02,
        };
        assert!(share <= most, "{}: {share} undetected", id.name);
        for cut in [0, len / 2, len - 1] {
            let bad = altered(&good, id, |bytes| bytes.truncate(cut));
            assert!(use_up(bad).is_err(), "{} cut at {cut}", id.name);
        }
        for more in [1, 8, 64] {
            let bad = altered(&good, id, |bytes| bytes.resize(len + more, 0));
            assert!(use_up(bad).is_err(), "{} longer by {more}", id.name);
        }
    }
}

#[test]
fn absurd_numbers_under_valid_checksums_are_harmless() {
    let good = open(written(&sample())).unwrap();
    for &id in &SECTIONS {
        let len = good.file().section(id).len();
        let stride = len.div_ceil(30).next_multiple_of(4);
        for at in (0..len.saturating_sub(3)).step_by(stride) {
            for number in [0, 71, 0x8000_0000, u32::MAX] {
                let bad = altered(&good, id, |bytes| {
                    bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
                });
                let _ = use_up(bad);
            }
        }
        for at in (0..len.saturating_sub(7)).step_by(stride.next_multiple_of(8)) {
            for number in [1 << 32, u64::MAX, u64::MAX - 7] {
                let bad = altered(&good, id, |bytes| {
                    bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
                });
                let _ = use_up(bad);
            }
        }
    }
}

#[test]
fn damaged_deletes_are_errors_or_harmless() {
    let live = live(&sample());
    let documents = sample();
    let doomed: Vec<&DocKey> = documents.iter().step_by(3).map(Document::key).collect();
    let live = without(&live, &doomed);
    let bytes = deletes_file(live.deletes().unwrap());
    open_deletes(bytes.clone(), 70).unwrap();
    for at in 0..bytes.len() {
        for with in [0x01, 0x80, 0xFF] {
            let mut bad = bytes.clone();
            bad[at] ^= with;
            assert!(open_deletes(bad, 70).is_err(), "byte {at}");
        }
    }
    let view = crate::format::FileView::open(
        FileBytes::new(bytes),
        "deletes-3-1",
        DELETES,
        &deletes::SECTIONS,
    )
    .unwrap();
    for id in deletes::SECTIONS {
        for at in 0..view.section(id).len() {
            for with in [0x01, 0x80, 0xFF] {
                let (bad, ()) = file_with(DELETES, |mut file| {
                    for section in deletes::SECTIONS {
                        let mut bytes = view.section(section).to_vec();
                        if section == id {
                            bytes[at] ^= with;
                        }
                        file.section(section, &bytes).unwrap();
                    }
                    file.finish().unwrap();
                });
                if let Ok(deletes) = open_deletes(bad, 70) {
                    assert!(deletes.iter().all(|doc| doc.0 < 70));
                    deletes.live_bits(70);
                }
            }
        }
    }
}

#[test]
fn a_merge_writes_the_same_file_whatever_the_threads() {
    let corpus = postings::testing::corpus(3000, 300, 8);
    let documents: Vec<Document> = (0_u32..)
        .zip(&corpus)
        .map(|(at, impacts)| {
            let pairs = impacts
                .iter()
                .map(|(term, impact)| (term.get(), f32::from(impact) / 64.0));
            Document::new(format!("{at:05}"), SparseVector::new(pairs).unwrap())
                .field("third", i64::from(at % 3))
        })
        .collect();
    let inputs: Vec<LiveSegment> = documents.chunks(1200).map(live).collect();
    let first = documents[17].key();
    let inputs = [
        without(&inputs[0], &[first]),
        inputs[1].clone(),
        inputs[2].clone(),
    ];
    for partition in [None, Some("third".to_owned())] {
        let bytes = [1, 2, 5].map(|threads| {
            let mut options = SegmentOptions {
                layout: postings::Layout::BlocksAndLists,
                order: Order::Similarity,
                partition: partition.clone(),
                ..options()
            };
            options.resources.threads = threads;
            merged_bytes(&inputs, &options)
        });
        assert!(bytes[0] == bytes[1] && bytes[1] == bytes[2]);
    }
}

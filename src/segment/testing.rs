//! Segments in memory for the tests of this floor and the floor above.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::{
    postings::{Layout, Postings},
    view::SECTIONS,
    *,
};
use crate::{
    format::{FileIdentity, FileKind, SectionId},
    id::TermId,
    quantize::Scale,
    sparse::SparseVector,
    storage::FileBytes,
};

pub(crate) const IDENTITY: FileIdentity = FileIdentity {
    kind: FileKind::Segment,
    index: [7; 16],
    number: 3,
};

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl WriteFile for Sink {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        Ok(())
    }
}

/// The bytes of a file that `content` fills and finishes.
pub(crate) fn file_with<T>(
    identity: FileIdentity,
    content: impl FnOnce(FileWriter) -> T,
) -> (Vec<u8>, T) {
    let sink = Sink::default();
    let file = FileWriter::new(Box::new(sink.clone()), identity).unwrap();
    let result = content(file);
    let bytes = std::mem::take(&mut *sink.0.lock().unwrap());
    (bytes, result)
}

pub(crate) fn scale() -> Scale {
    Scale::new(4.0).unwrap()
}

pub(crate) fn options() -> SegmentOptions {
    SegmentOptions {
        statistics: StatisticsKept::OwnTerms,
        keeps_weights: true,
        ..SegmentOptions::new(scale())
    }
}

pub(crate) fn written(documents: &[Document]) -> Vec<u8> {
    let progress = &mut Progress::none();
    let write = |file| write_segment(documents, &options(), file, progress);
    let (bytes, result) = file_with(IDENTITY, write);
    let (_, summary) = result.unwrap();
    assert_eq!(summary.file_len, bytes.len() as u64);
    bytes
}

pub(crate) fn open(bytes: Vec<u8>) -> Result<Segment> {
    Segment::open(
        FileBytes::new(bytes),
        "segment-3",
        IDENTITY.index,
        IDENTITY.number,
    )
}

/// The file with its sections changed, under valid checksums.
pub(crate) fn changed(good: &Segment, mut change: impl FnMut(SectionId, &mut Vec<u8>)) -> Vec<u8> {
    let known = [&SECTIONS, Postings::SECTIONS].concat();
    let (bytes, ()) = file_with(IDENTITY, |mut file| {
        for &section in known.iter().filter(|id| good.file().has(**id)) {
            let mut bytes = good.file().section(section).to_vec();
            change(section, &mut bytes);
            file.section(section, &bytes).unwrap();
        }
        file.finish().unwrap();
    });
    bytes
}

/// The same with the bytes of one section changed.
pub(crate) fn altered(good: &Segment, id: SectionId, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut change = Some(change);
    changed(good, |section, bytes| {
        if section == id {
            change.take().unwrap()(bytes);
        }
    })
}

pub(crate) fn live(documents: &[Document]) -> LiveSegment {
    let segment = open(written(documents)).unwrap();
    LiveSegment::new(Arc::new(segment), None)
}

/// The same segment without the documents of `keys`.
pub(crate) fn without(live: &LiveSegment, keys: &[&DocKey]) -> LiveSegment {
    let mut deletes = live
        .deletes()
        .map_or_else(Deletes::default, |deletes| (**deletes).clone());
    for key in keys {
        if let Some(doc) = live.segment().find(key.as_bytes()).unwrap() {
            deletes.add(live.segment(), doc).unwrap();
        }
    }
    LiveSegment::new(Arc::clone(live.segment()), Some(Arc::new(deletes)))
}

pub(crate) fn merged(inputs: &[LiveSegment]) -> LiveSegment {
    merged_with(inputs, &options())
}

/// As large segments are: similar documents together, in blocks.
pub(crate) fn merged_in_blocks(inputs: &[LiveSegment]) -> LiveSegment {
    let options = SegmentOptions {
        layout: Layout::Blocks,
        order: Order::Similarity,
        ..options()
    };
    merged_with(inputs, &options)
}

fn merged_with(inputs: &[LiveSegment], options: &SegmentOptions) -> LiveSegment {
    let bytes = merged_bytes(inputs, options);
    LiveSegment::new(Arc::new(open(bytes).unwrap()), None)
}

pub(crate) fn merged_bytes(inputs: &[LiveSegment], options: &SegmentOptions) -> Vec<u8> {
    let progress = &mut Progress::none();
    let merge = |file| merge_segments(inputs, options, file, progress);
    let (bytes, result) = file_with(IDENTITY, merge);
    result.unwrap();
    bytes
}

/// Documents of different keys with everything that a document may have.
pub(crate) fn documents(most: usize) -> impl Strategy<Value = Vec<Document>> {
    let key = prop_oneof![
        "[ab/]{1,6}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 1..5),
        prop::collection::vec(Just(0xFF_u8), 1..4),
    ];
    let document = (vector(), fields(), stored(), any::<[bool; 4]>(), vector());
    prop::collection::btree_map(key, document, 1..most).prop_map(|all| {
        all.into_iter()
            .rev()
            .map(|(key, (vector, fields, (text, payload), choices, full))| {
                let own: Vec<TermId> = vector.terms().iter().copied().step_by(2).collect();
                let labels: Vec<_> = own.iter().map(|term| (*term, format!("t{term}"))).collect();
                let mut document = Document::new(key, vector);
                document.fields = fields;
                document.text = text;
                document.payload = payload;
                if choices[0] {
                    document = document.own_terms(own);
                }
                if choices[1] {
                    document = document.full_vector(full);
                }
                if choices[2] {
                    document = document.labels(labels);
                }
                document
            })
            .collect()
    })
}

/// Few distinct terms and weights, so that scores tie.
pub(crate) fn vector() -> impl Strategy<Value = SparseVector> {
    let pair = (
        prop_oneof![4 => 0_u32..12, 1 => any::<u32>()],
        prop::sample::select(vec![0.5_f32, 1.0, 2.0, 9.0]),
    );
    prop::collection::btree_map(pair.0, pair.1, 0..8)
        .prop_map(|pairs| SparseVector::new(pairs).unwrap())
}

fn fields() -> impl Strategy<Value = Vec<(String, Value)>> {
    let kind = prop::sample::select(vec!["rust", "c", "é", ""]);
    let number = prop_oneof![-3_i64..4, Just(i64::MIN), Just(i64::MAX)];
    let kind = prop::option::of(kind.prop_map(Value::from));
    let lines = prop::option::of(number.prop_map(Value::from));
    let name = prop::option::of("[a-d]{0,3}".prop_map(Value::from));
    let test = prop::option::of(any::<bool>().prop_map(Value::from));
    (kind, lines, name, test).prop_map(|(kind, lines, name, test)| {
        let fields = [
            ("kind", kind),
            ("lines", lines),
            ("name", name),
            ("test", test),
        ];
        let fields = fields.into_iter();
        fields
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect()
    })
}

fn stored() -> impl Strategy<Value = (Option<String>, Option<Vec<u8>>)> {
    let text = prop_oneof![
        4 => "[a-zé ]{0,40}",
        1 => (0..50_000_usize).prop_map(|len| "é".repeat(len)),
    ];
    let payload = prop::collection::vec(any::<u8>(), 0..30);
    (prop::option::of(text), prop::option::of(payload))
}

//! Small corpora and segment files for tests of this floor and the floor above.

use std::sync::{Arc, Mutex};

use super::{Layout, Postings, write};
use crate::{
    error::{Error, ErrorKind, Result},
    format::{FileIdentity, FileKind, FileView, FileWriter, SectionId},
    id::TermId,
    progress::Progress,
    quantize::{ImpactVector, QuantizedQuery},
    segment::parallel::Resources,
    sparse::SparseVector,
    storage::{FileBytes, WriteFile},
};

pub(crate) const IDENTITY: FileIdentity = FileIdentity {
    kind: FileKind::Segment,
    index: [7; 16],
    number: 3,
};

/// A xorshift generator: tests repeat exactly.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, end: u32) -> u32 {
        u32::try_from(self.next() >> 16 & 0xFFFF_FFFF).unwrap() % end
    }

    /// Small numbers are likelier, as frequent terms and small impacts are.
    pub(crate) fn skewed(&mut self, end: u32) -> u32 {
        let limit = self.below(end) + 1;
        self.below(limit)
    }
}

pub(crate) fn vector(pairs: impl IntoIterator<Item = (u32, u8)>) -> ImpactVector {
    let map: std::collections::BTreeMap<u32, u8> = pairs.into_iter().collect();
    let mut vector = ImpactVector::default();
    for (term, impact) in map {
        vector.push(TermId::from(term), impact.max(1));
    }
    vector
}

/// Topical documents: each topic has terms of its own, all share frequent ones. Term ids are
/// spread over the whole of `u32`, so that nothing relies on small ones.
pub(crate) fn corpus(docs: u32, terms: u32, seed: u64) -> Vec<ImpactVector> {
    let mut random = Random(seed | 1);
    let spread = u32::MAX / terms;
    (0..docs)
        .map(|_| {
            let topic = random.below(20);
            let len = random.skewed(60);
            let pairs = (0..len).map(|_| {
                let term = match random.below(3) {
                    0 => random.skewed(terms),
                    _ => (topic * 31 + random.skewed(40)) % terms,
                };
                let impact = u8::try_from(random.skewed(255) + 1).unwrap();
                (term * spread, impact)
            });
            vector(pairs.collect::<Vec<_>>())
        })
        .collect()
}

/// A query of terms of the corpus and some of none.
pub(crate) fn query(len: u32, terms: u32, random: &mut Random) -> QuantizedQuery {
    let spread = u32::MAX / terms;
    let pairs: std::collections::BTreeMap<u32, f32> = (0..len)
        .map(|_| {
            let term = random.skewed(terms);
            let unknown = u32::from(random.below(16) == 0);
            (term * spread + unknown, random.below(1000) as f32 + 1.0)
        })
        .collect();
    QuantizedQuery::new(&SparseVector::new(pairs).unwrap()).unwrap()
}

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

/// The bytes of a file that `content` fills.
pub(crate) fn file_with(content: impl FnOnce(&mut FileWriter)) -> Vec<u8> {
    let sink = Sink::default();
    let mut file = FileWriter::new(Box::new(sink.clone()), IDENTITY).unwrap();
    content(&mut file);
    file.finish().unwrap();
    std::mem::take(&mut sink.0.lock().unwrap())
}

/// What the writer's default is.
pub(crate) const RESOURCES: Resources = Resources {
    threads: 1,
    memory: 256 << 20,
};

pub(crate) fn written(docs: &[ImpactVector], layout: Layout) -> Vec<u8> {
    written_with(docs, layout, RESOURCES)
}

pub(crate) fn written_with(docs: &[ImpactVector], layout: Layout, resources: Resources) -> Vec<u8> {
    let none = &mut Progress::none();
    file_with(|file| write(&docs, layout, resources, file, none).unwrap())
}

pub(crate) fn view(bytes: Vec<u8>) -> Result<FileView> {
    FileView::open(
        FileBytes::new(bytes),
        "segment-3",
        IDENTITY,
        Postings::SECTIONS,
    )
}

pub(crate) fn open(bytes: Vec<u8>, doc_count: u32) -> Result<Postings> {
    Postings::open(&view(bytes)?, doc_count)
}

pub(crate) fn postings(docs: &[ImpactVector], layout: Layout) -> Postings {
    let count = u32::try_from(docs.len()).unwrap();
    open(written(docs, layout), count).unwrap()
}

/// A file with the bytes of one section changed, under valid checksums.
pub(crate) fn altered(good: &[u8], id: SectionId, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let view = view(good.to_vec()).unwrap();
    let mut change = Some(change);
    file_with(|file| {
        for &section in Postings::SECTIONS.iter().filter(|id| view.has(**id)) {
            let mut bytes = view.section(section).to_vec();
            if section == id {
                change.take().unwrap()(&mut bytes);
            }
            file.section(section, &bytes).unwrap();
        }
    })
}

/// The error is one of damage, names the section, and says what was expected of it.
#[track_caller]
pub(crate) fn is_damage(error: &Error, id: SectionId, expected: &str) {
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{expected}: {error}");
    let (_, section, _) = error.corrupt_place().unwrap();
    assert_eq!(section, id.name, "{expected}: {error}");
    let message = error.to_string();
    assert!(message.contains(expected), "{expected}: {message}");
}

//! Which documents of a segment are deleted, and what that takes off its document frequencies.

use std::{collections::BTreeMap, sync::OnceLock};

use roaring::RoaringBitmap;

use super::Segment;
use crate::{
    bytes::Reader,
    error::{Error, Result},
    format::{FileIdentity, FileKind, FileView, FileWriter, IndexId, SectionId},
    id::{DocId, TermId},
    storage::FileBytes,
};

/// The deleted documents.
pub(crate) const DELETED: SectionId = SectionId::required(90, "deleted documents");
/// Terms with how many deleted documents have them as their own.
pub(crate) const DECREMENTS: SectionId = SectionId::required(91, "deleted own terms");

pub(super) const SECTIONS: [SectionId; 2] = [DELETED, DECREMENTS];

/// The deleted documents of one segment as of one commit. Cloned to be added to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deletes {
    docs: RoaringBitmap,
    decrements: BTreeMap<TermId, u32>,
    live_bits: OnceLock<Box<[u64]>>,
}

impl Deletes {
    /// How many documents are deleted.
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.docs.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn contains(&self, doc: DocId) -> bool {
        self.docs.contains(doc.0)
    }

    /// The deleted documents, rising.
    pub(crate) fn iter(&self) -> impl Iterator<Item = DocId> + '_ {
        self.docs.iter().map(DocId)
    }

    /// Deletes `doc` of `segment`, and says whether it was alive.
    pub(crate) fn add(&mut self, segment: &Segment, doc: DocId) -> Result<bool> {
        if doc.0 >= segment.doc_count() || self.docs.contains(doc.0) {
            return Ok(false);
        }
        let mut terms = Vec::new();
        segment.own_terms(doc, &mut terms)?;
        for term in terms {
            *self.decrements.entry(term).or_default() += 1;
        }
        self.docs.insert(doc.0);
        self.live_bits = OnceLock::new();
        Ok(true)
    }

    /// Deleted documents that have `term` as their own.
    pub(crate) fn own_count(&self, term: TermId) -> u32 {
        self.decrements.get(&term).copied().unwrap_or(0)
    }

    /// The complement, in words of 64 documents; made once.
    pub(crate) fn live_bits(&self, doc_count: u32) -> &[u64] {
        self.live_bits.get_or_init(|| {
            let mut words = vec![u64::MAX; DocId(doc_count.div_ceil(64)).index()];
            for doc in &self.docs {
                if let Some(word) = words.get_mut(DocId(doc / 64).index()) {
                    *word &= !(1 << (doc % 64));
                }
            }
            words.into_boxed_slice()
        })
    }

    /// Writes the sections of a file of kind [`FileKind::Deletes`]; the caller finishes it.
    pub(crate) fn write(&self, file: &mut FileWriter) -> Result<()> {
        let mut bytes = Vec::with_capacity(self.docs.serialized_size());
        if let Err(error) = self.docs.serialize_into(&mut bytes) {
            return Err(Error::io("serialize", "deleted documents", error));
        }
        file.section(DELETED, &bytes)?;
        bytes.clear();
        for (term, count) in &self.decrements {
            bytes.extend_from_slice(&term.get().to_le_bytes());
            bytes.extend_from_slice(&count.to_le_bytes());
        }
        file.section(DECREMENTS, &bytes)
    }

    /// Opens the deletes file `name` of segment `number`, which has `doc_count` documents.
    pub(crate) fn open(
        bytes: FileBytes,
        name: &str,
        index: IndexId,
        number: u64,
        doc_count: u32,
    ) -> Result<Deletes> {
        let identity = FileIdentity {
            kind: FileKind::Deletes,
            index,
            number,
        };
        let view = FileView::open(bytes, name, identity, &SECTIONS)?;
        view.verify()?;
        let docs = read_docs(&view, doc_count)?;
        view.required(DECREMENTS)?;
        let decrements = read_decrements(view.reader(DECREMENTS), docs.len())?;
        Ok(Deletes {
            docs,
            decrements,
            live_bits: OnceLock::new(),
        })
    }
}

/// Parses with every check that the bitmap's own reader has, and none of its trust: memory grows
/// with the bytes read, and no document lies beyond the segment.
fn read_docs(view: &FileView, doc_count: u32) -> Result<RoaringBitmap> {
    let bytes = view.required(DELETED)?;
    let origin = view.origin(DELETED);
    let mut rest = bytes;
    let docs = RoaringBitmap::deserialize_from(&mut rest)
        .map_err(|error| origin.corrupt(bytes.len() - rest.len(), "a roaring bitmap", error))?;
    if !rest.is_empty() {
        let at = bytes.len() - rest.len();
        return Err(origin.corrupt(at, "the end of the section", rest.len()));
    }
    match docs.max() {
        Some(last) if last >= doc_count => {
            let expected = format_args!("documents below {doc_count}");
            Err(origin.corrupt(0, expected, last))
        }
        _ => Ok(docs),
    }
}

fn read_decrements(mut reader: Reader<'_>, deleted: u64) -> Result<BTreeMap<TermId, u32>> {
    let mut decrements = BTreeMap::new();
    let mut last = None;
    while reader.remaining() > 0 {
        let term = TermId::from(reader.u32("term")?);
        let count = reader.u32("count")?;
        if last.is_some_and(|last| last >= term) {
            return Err(reader.corrupt("terms that rise", term));
        }
        if count == 0 || u64::from(count) > deleted {
            return Err(reader.corrupt(format_args!("a count of 1 to {deleted}"), count));
        }
        last = Some(term);
        decrements.insert(term, count);
    }
    Ok(decrements)
}

//! Bytes per document, of any length: one section of bytes, one of where each document's begin.

use std::sync::Arc;

use super::part::{Part, index};
use crate::{
    bytes::Reader,
    error::Result,
    format::{FileView, FileWriter, SectionId},
    id::DocId,
    simd::prefetch,
};

/// Bytes of a document that are fetched ahead at most: the length of a damaged one may be anything.
const PREFETCHED_MAX: usize = 4096;

/// Reads what [`ListsWriter`] wrote.
#[derive(Clone, Debug)]
pub(super) struct Lists {
    bytes: Part,
    starts: Part,
}

impl Lists {
    /// Both sections, or neither.
    pub(super) fn open(
        view: &Arc<FileView>,
        ids: [SectionId; 2],
        doc_count: u32,
    ) -> Result<Option<Lists>> {
        let parts = Part::together(view, ids)?;
        parts.map(|parts| Lists::of(parts, doc_count)).transpose()
    }

    /// The bytes, and where each document's begin.
    pub(super) fn of([bytes, starts]: [Part; 2], doc_count: u32) -> Result<Lists> {
        starts.check_len(8 * (u64::from(doc_count) + 1))?;
        Ok(Lists { bytes, starts })
    }

    pub(super) fn reader(&self, doc: DocId) -> Result<Reader<'_>> {
        let start = self.starts.u64(0, doc.0)?;
        let end = self.starts.u64(8, doc.0)?;
        self.bytes.reader(start, end)
    }

    pub(super) fn bytes(&self, doc: DocId) -> Result<&[u8]> {
        let start = self.starts.u64(0, doc.0)?;
        let end = self.starts.u64(8, doc.0)?;
        self.bytes.slice(start, end)
    }

    /// Asks for where the bytes of a document begin and end.
    pub(super) fn prefetch_place(&self, doc: DocId) {
        prefetch(self.starts.bytes(), doc.index() * 8);
    }

    /// Asks for the bytes of a document.
    pub(super) fn prefetch(&self, doc: DocId) {
        let (starts, _) = self.starts.bytes().as_chunks::<8>();
        let place = |at: usize| starts.get(at).map(|start| u64::from_le_bytes(*start));
        let Some((start, end)) = place(doc.index()).zip(place(doc.index() + 1)) else {
            return;
        };
        let [Ok(start), Ok(end)] = [start, end].map(usize::try_from) else {
            return;
        };
        let end = end.min(start.saturating_add(PREFETCHED_MAX));
        for at in (start..end).step_by(64) {
            prefetch(self.bytes.bytes(), at);
        }
    }

    /// The documents' bytes follow one another and fill the section.
    pub(super) fn verify(&self, doc_count: u32) -> Result<()> {
        let mut last = 0;
        for doc in 0..=doc_count {
            let start = self.starts.u64(0, doc)?;
            if start < last || (doc == 0 && start != 0) {
                let expected = format_args!("a start from {last} on");
                return Err(self.starts.corrupt(8 * index(doc), expected, start));
            }
            last = start;
        }
        self.bytes.check_len(last)
    }
}

/// Writes the bytes of each document in turn.
pub(super) struct ListsWriter {
    starts_id: SectionId,
    starts: Vec<u8>,
}

impl ListsWriter {
    pub(super) fn begin(
        [bytes, starts]: [SectionId; 2],
        file: &mut FileWriter,
    ) -> Result<ListsWriter> {
        file.begin(bytes)?;
        Ok(ListsWriter {
            starts_id: starts,
            starts: 0_u64.to_le_bytes().to_vec(),
        })
    }

    pub(super) fn push(&mut self, bytes: &[u8], file: &mut FileWriter) -> Result<()> {
        file.write(bytes)?;
        self.starts
            .extend_from_slice(&file.section_len().to_le_bytes());
        Ok(())
    }

    pub(super) fn finish(self, file: &mut FileWriter) -> Result<()> {
        file.section(self.starts_id, &self.starts)
    }
}

//! The forward section of a windowed segment: every document's whole vector, compact.
//!
//! A vector is its number of terms, the gaps between its terms, both as LEB128, then its impacts.
//! Terms go by their position among the segment's terms: where ids are hashes, a gap between ids
//! takes four or five bytes and one between positions one or two.
//! Whatever the bytes hold, reading stays inside the document's own bytes and allocates no more
//! than they could hold.

use std::ops::Range;

use super::{halves, windows::TERMS};
use crate::{
    bytes::{Origin, Reader, put_number},
    error::Result,
    format::{FileView, FileWriter, SectionId},
    id::{DocId, TermId},
    quantize::ImpactVector,
    simd::prefetch,
};

/// Where each document's bytes begin, and where the last end.
pub(super) const STARTS: SectionId = SectionId::required(24, "vector starts");
/// The bytes of all vectors.
pub(super) const BYTES: SectionId = SectionId::required(25, "vectors");

/// Bytes of a document that are fetched ahead at most: the length of a damaged one may be anything.
const PREFETCHED_MAX: usize = 4096;

/// The checked starts and the bytes behind them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vectors<'a> {
    starts: &'a [[u8; 8]],
    bytes: &'a [u8],
    /// The segment's terms, rising, each with something else.
    terms: &'a [[u8; 8]],
    origin: Origin<'a>,
    file: &'a FileView,
}

impl<'a> Vectors<'a> {
    /// The sections as they are; [`Vectors::check`] makes sure of them once per file.
    pub(super) fn new(view: &'a FileView) -> Vectors<'a> {
        Vectors {
            starts: view.section(STARTS).as_chunks().0,
            bytes: view.section(BYTES),
            terms: view.section(TERMS).as_chunks().0,
            origin: view.origin(BYTES),
            file: view,
        }
    }

    /// Checks that the starts rise inside the section.
    pub(super) fn check(view: &FileView, doc_count: u32) -> Result<()> {
        let bytes_len = view.required(BYTES)?.len() as u64;
        let mut reader = view.checked_reader(STARTS)?;
        let mut last = 0;
        for doc in 0..=u64::from(doc_count) {
            let start = reader.u64("vector start")?;
            let is_end = doc == u64::from(doc_count);
            let fits = start >= last && start <= bytes_len;
            if !fits || (doc == 0 && start != 0) || (is_end && start != bytes_len) {
                let expected = format_args!("starts rising from 0 to {bytes_len}");
                return Err(reader.corrupt(expected, start));
            }
            last = start;
        }
        reader.finish()
    }

    /// Asks for where the bytes of a document begin and end.
    pub(crate) fn prefetch_place(&self, doc: DocId) {
        prefetch(self.starts.as_flattened(), doc.index() * 8);
    }

    /// Asks for the bytes of a document.
    pub(crate) fn prefetch(&self, doc: DocId) {
        let range = self.range(doc).unwrap_or(0..0);
        let end = range.end.min(range.start.saturating_add(PREFETCHED_MAX));
        for at in (range.start..end).step_by(64) {
            prefetch(self.bytes, at);
        }
    }

    fn range(&self, doc: DocId) -> Option<Range<usize>> {
        let [start, end] = [0, 1].map(|next| self.starts.get(doc.index() + next));
        let [start, end] = [start?, end?].map(|at| usize::try_from(u64::from_le_bytes(*at)));
        Some(start.ok()?..end.ok()?)
    }

    /// Replaces `into` by the vector of `doc`.
    pub(crate) fn read(&self, doc: DocId, into: &mut ImpactVector) -> Result<()> {
        self.read_places(doc, into)?;
        for term in &mut into.terms {
            let place = term.get() as usize;
            // All of them are there, as the last is.
            let record = self.terms.get(place).copied().unwrap_or_default();
            *term = TermId::from(halves(record).0);
        }
        Ok(())
    }

    /// The same with places among the segment's terms instead of terms: looking those up takes as
    /// long as decoding.
    pub(crate) fn read_places(&self, doc: DocId, into: &mut ImpactVector) -> Result<()> {
        into.clear();
        let range = self.range(doc).unwrap_or(0..0);
        let start = range.start;
        let bytes = self.bytes.get(range).unwrap_or_default();
        let origin = Origin {
            start: self.origin.start + start as u64,
            ..self.origin
        };
        let at = usize::try_from(origin.start).unwrap_or(usize::MAX);
        self.file
            .check(BYTES.name, at..at.saturating_add(bytes.len()))?;
        let mut reader = Reader::new(bytes, origin);
        let count = reader.number(u64::from(u32::MAX), "term count")?;
        // A term takes two bytes at least: its gap and its impact.
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count > reader.remaining() / 2 {
            return Err(reader.corrupt("fewer terms than bytes for them", count));
        }
        into.terms.reserve(count);
        let mut next = 0_u32;
        for _ in 0..count {
            let gap = reader.number(u64::from(u32::MAX), "gap between terms")?;
            let place = u32::try_from(gap).unwrap_or(u32::MAX).saturating_add(next);
            next = place.saturating_add(1);
            into.terms.push(TermId::from(place));
        }
        if next as usize > self.terms.len() {
            let expected = format_args!("a term below {}", self.terms.len());
            return Err(reader.corrupt(expected, next - 1));
        }
        let impacts = reader.bytes(count, "impacts")?;
        if impacts.contains(&0) {
            return Err(reader.corrupt("impacts of at least 1", 0));
        }
        into.impacts.extend_from_slice(impacts);
        reader.finish()
    }
}

/// Vectors as they are in the file, one after another.
#[derive(Debug, Default)]
pub(super) struct EncodedVectors {
    bytes: Vec<u8>,
    lens: Vec<u64>,
}

impl EncodedVectors {
    /// Adds the vector of the next document; `places` are the positions of its terms.
    pub(super) fn push(&mut self, vector: &ImpactVector, places: &[u32]) {
        let start = self.bytes.len();
        put_number(&mut self.bytes, vector.len() as u64);
        let mut next = 0;
        for place in places {
            put_number(&mut self.bytes, u64::from(place - next));
            next = place + 1;
        }
        self.bytes.extend_from_slice(&vector.impacts);
        self.lens.push((self.bytes.len() - start) as u64);
    }
}

/// Streams vectors into the file; the starts follow as a section of their own.
#[derive(Debug)]
pub(super) struct VectorsWriter {
    starts: Vec<u64>,
}

impl VectorsWriter {
    pub(super) fn begin(file: &mut FileWriter) -> Result<VectorsWriter> {
        file.begin(BYTES)?;
        Ok(VectorsWriter { starts: vec![0] })
    }

    /// Adds the vectors of the next documents.
    pub(super) fn push(&mut self, vectors: &EncodedVectors, file: &mut FileWriter) -> Result<()> {
        let mut end = file.section_len();
        for len in &vectors.lens {
            end += len;
            self.starts.push(end);
        }
        file.write(&vectors.bytes)
    }

    pub(super) fn finish(self, file: &mut FileWriter) -> Result<()> {
        file.begin(STARTS)?;
        for start in self.starts {
            file.write(&start.to_le_bytes())?;
        }
        Ok(())
    }
}

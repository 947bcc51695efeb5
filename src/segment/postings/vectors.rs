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
    bytes::{Origin, Reader},
    error::Result,
    format::{FileView, FileWriter, SectionId},
    id::{DocId, TermId},
    quantize::ImpactVector,
};

/// Where each document's bytes begin, and where the last end.
pub(super) const STARTS: SectionId = SectionId::required(24, "vector starts");
/// The bytes of all vectors.
pub(super) const BYTES: SectionId = SectionId::required(25, "vectors");

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

    fn range(&self, doc: DocId) -> Option<Range<usize>> {
        let [start, end] = [0, 1].map(|next| self.starts.get(doc.index() + next));
        let [start, end] = [start?, end?].map(|at| usize::try_from(u64::from_le_bytes(*at)));
        Some(start.ok()?..end.ok()?)
    }

    /// Replaces `into` by the vector of `doc`.
    pub(crate) fn read(&self, doc: DocId, into: &mut ImpactVector) -> Result<()> {
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
        let count = read_number(&mut reader)?;
        // A term takes two bytes at least: its gap and its impact.
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count > reader.remaining() / 2 {
            return Err(reader.corrupt("fewer terms than bytes for them", count));
        }
        into.terms.reserve(count);
        let mut next = 0;
        for _ in 0..count {
            let place = read_number(&mut reader)? as usize;
            let place = place.saturating_add(next);
            next = place.saturating_add(1);
            let Some(&term) = self.terms.get(place) else {
                let expected = format_args!("a term below {}", self.terms.len());
                return Err(reader.corrupt(expected, place));
            };
            into.terms.push(TermId::from(halves(term).0));
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
        put_number(&mut self.bytes, u32::try_from(vector.len()).unwrap_or(0));
        let mut next = 0;
        for place in places {
            put_number(&mut self.bytes, place - next);
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

fn put_number(out: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

#[inline]
fn read_number(reader: &mut Reader<'_>) -> Result<u32> {
    let first = reader.u8("number")?;
    match first < 0x80 {
        true => Ok(first.into()),
        false => read_long_number(reader, first),
    }
}

fn read_long_number(reader: &mut Reader<'_>, first: u8) -> Result<u32> {
    let mut number = u64::from(first & 0x7F);
    for shift in [7, 14, 21, 28] {
        let byte = reader.u8("number")?;
        number |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return u32::try_from(number)
                .map_err(|_| reader.corrupt("a number below 2^32", number));
        }
    }
    Err(reader.corrupt("a number of at most 5 bytes", "more"))
}

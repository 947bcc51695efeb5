//! A section as its readers hold it: bytes of a shared file, read at places that are checked at
//! every access, and the little numbers that several sections are made of.

use std::{ops::Range, sync::Arc};

use crate::{
    bytes::{Origin, Reader},
    error::{Error, Result},
    format::{FileView, SectionId},
    id::DocId,
};

/// One section of a shared file.
#[derive(Clone, Debug)]
pub(super) struct Part {
    view: Arc<FileView>,
    id: SectionId,
    range: Range<usize>,
}

impl Part {
    /// A section that must be there.
    pub(super) fn required(view: &Arc<FileView>, id: SectionId) -> Result<Part> {
        view.required(id)?;
        Ok(Part::of(view, id))
    }

    /// A section, if the file has it.
    pub(super) fn optional(view: &Arc<FileView>, id: SectionId) -> Result<Option<Part>> {
        match view.has(id) {
            true => Part::required(view, id).map(Some),
            false => Ok(None),
        }
    }

    /// Sections that come together: all of them, or none.
    pub(super) fn together<const COUNT: usize>(
        view: &Arc<FileView>,
        ids: [SectionId; COUNT],
    ) -> Result<Option<[Part; COUNT]>> {
        if ids.iter().all(|id| !view.has(*id)) {
            return Ok(None);
        }
        for id in ids {
            view.required(id)?;
        }
        Ok(Some(ids.map(|id| Part::of(view, id))))
    }

    fn of(view: &Arc<FileView>, id: SectionId) -> Part {
        Part {
            view: Arc::clone(view),
            id,
            range: view.range(id).unwrap_or_default(),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.view
            .bytes()
            .get(self.range.clone())
            .unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.range.len()
    }

    /// All bytes, once they agree with their checksums.
    pub(super) fn checked_bytes(&self) -> Result<&[u8]> {
        self.view.check(self.id.name, self.range.clone())?;
        Ok(self.bytes())
    }

    /// The bytes from `start` up to `end`, counted from the section's start, once they agree with
    /// their checksums.
    pub(super) fn slice(&self, start: u64, end: u64) -> Result<&[u8]> {
        let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        let inside = range.and_then(|(start, end)| Some((start, self.bytes().get(start..end)?)));
        let Some((at, bytes)) = inside else {
            let at = usize::try_from(start).unwrap_or(usize::MAX);
            let expected = format_args!("a range in {} bytes", self.len());
            return Err(self.corrupt(at, expected, format_args!("{start} to {end}")));
        };
        let start = self.range.start + at;
        self.view.check(self.id.name, start..start + bytes.len())?;
        Ok(bytes)
    }

    /// A cursor over all bytes, for a table whose length only reading it shows; the caller
    /// [checks](Part::check) what it read.
    pub(super) fn unchecked_reader(&self) -> Reader<'_> {
        Reader::new(self.bytes(), self.origin())
    }

    /// Compares the first `len` bytes with their checksums.
    pub(super) fn check(&self, len: usize) -> Result<()> {
        let end = self.range.end.min(self.range.start.saturating_add(len));
        self.view.check(self.id.name, self.range.start..end)
    }

    /// A cursor over the bytes from `start` up to `end`.
    pub(super) fn reader(&self, start: u64, end: u64) -> Result<Reader<'_>> {
        let bytes = self.slice(start, end)?;
        let mut origin = self.origin();
        origin.start = origin.start.saturating_add(start);
        Ok(Reader::new(bytes, origin))
    }

    /// Element `at` of an array of u32 that begins at `start`.
    pub(super) fn u32(&self, start: u64, at: u32) -> Result<u32> {
        let start = start + 4 * u64::from(at);
        let bytes = self.slice(start, start + 4)?;
        Ok(le_u32(bytes))
    }

    /// Element `at` of an array of u64 that begins at `start`.
    pub(super) fn u64(&self, start: u64, at: u32) -> Result<u64> {
        let start = start + 8 * u64::from(at);
        let bytes = self.slice(start, start + 8)?;
        Ok(le_u64(bytes))
    }

    pub(super) fn origin(&self) -> Origin<'_> {
        Origin {
            file: self.view.name(),
            section: self.id.name,
            start: self.range.start as u64,
        }
    }

    /// Refuses a section of another length than its counts give.
    pub(super) fn check_len(&self, expected: u64) -> Result<()> {
        if self.len() as u64 == expected {
            return Ok(());
        }
        let expected = format_args!("{expected} bytes");
        Err(self.corrupt(0, expected, self.len()))
    }

    #[cold]
    pub(super) fn corrupt(
        &self,
        offset: usize,
        expected: impl std::fmt::Display,
        found: impl std::fmt::Display,
    ) -> Error {
        self.origin().corrupt(offset, expected, found)
    }
}

/// A position as an index: lossless, as for documents.
pub(super) const fn index(at: u32) -> usize {
    DocId(at).index()
}

fn le_u32(bytes: &[u8]) -> u32 {
    bytes
        .first_chunk()
        .map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn le_u64(bytes: &[u8]) -> u64 {
    bytes
        .first_chunk()
        .map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

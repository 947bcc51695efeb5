//! Opens a file of sections: after [`FileView::open`] every section lies inside the file.

use std::{ops::Range, sync::Arc};

use super::{
    ALIGNMENT, CHECKSUM_BLOCK_LEN, END_MAGIC, FOOTER_LEN, FileIdentity, HEADER_LEN, MAGIC,
    SECTION_COUNT_MAX, SECTION_ENTRY_LEN, SECTION_REQUIRED, SectionId, VERSION_MAJOR,
    VERSION_MINOR, compared::Compared,
};
use crate::{
    bytes::{Origin, Reader},
    error::{Error, Result},
    storage::FileBytes,
};

/// A file whose frame was checked: header, footer, section table and the checksums' own checksum.
///
/// Checks run in the order of dependence: length, header, footer, table, checksums, sections. The
/// content of sections is not read: [`FileView::check`] compares it with its checksums when it is
/// first needed, [`FileView::verify`] all of it at once.
#[derive(Clone, Debug)]
pub(crate) struct FileView {
    bytes: FileBytes,
    name: String,
    sections: Vec<(u32, Range<usize>)>,
    checksums: Range<usize>,
    /// Bytes that the checksums cover.
    covered: usize,
    /// Clones share it.
    compared: Arc<Compared>,
}

impl FileView {
    /// Opens `bytes`, the content of the file `name`, which must be what `identity` says and hold
    /// no required section but those of `known`.
    pub(crate) fn open(
        bytes: FileBytes,
        name: &str,
        identity: FileIdentity,
        known: &[SectionId],
    ) -> Result<FileView> {
        let len = bytes.len();
        let frame = Frame {
            bytes: &bytes,
            name,
        };
        frame.check_header(identity)?;
        let footer = frame.footer(identity)?;
        let sections = frame.sections(&footer, known)?;
        let checksums = frame.checksums(&footer, len)?;
        Ok(FileView {
            name: name.to_owned(),
            sections,
            checksums,
            covered: footer.table.end,
            compared: Arc::new(Compared::new(footer.checksum_count)),
            bytes,
        })
    }

    /// From now on nothing is compared with its checksum: to name what a damaged file held.
    pub(crate) fn trust(&self) {
        self.compared.trust_all();
    }

    /// The identity that a header claims, unchecked but for its checksum: for `verify`, and for
    /// manifests, whose index is not known before.
    pub(crate) fn claimed_index(bytes: &[u8], name: &str) -> Result<super::IndexId> {
        Frame { bytes, name }.header().map(|header| header.index)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The whole file.
    pub(crate) fn bytes(&self) -> &FileBytes {
        &self.bytes
    }

    /// Where a section lies in the file, if the file has it.
    pub(crate) fn range(&self, id: SectionId) -> Option<Range<usize>> {
        self.sections
            .iter()
            .find(|(number, _)| *number == id.number)
            .map(|(_, range)| range.clone())
    }

    /// The bytes of a section; none where the file lacks it.
    pub(crate) fn section(&self, id: SectionId) -> &[u8] {
        self.range(id)
            .and_then(|range| self.bytes.get(range))
            .unwrap_or_default()
    }

    /// Whether the file has the section.
    pub(crate) fn has(&self, id: SectionId) -> bool {
        self.range(id).is_some()
    }

    /// The bytes of a section that must be there.
    pub(crate) fn required(&self, id: SectionId) -> Result<&[u8]> {
        if self.has(id) {
            return Ok(self.section(id));
        }
        Err(Error::corrupt(
            &self.name,
            "section table",
            self.covered as u64,
            format_args!("a section `{}`", id.name),
            "none",
        ))
    }

    /// For errors about the bytes of a section.
    pub(crate) fn origin(&self, id: SectionId) -> Origin<'_> {
        Origin {
            file: &self.name,
            section: id.name,
            start: self.range(id).map_or(0, |range| range.start as u64),
        }
    }

    /// A cursor over a section.
    pub(crate) fn reader(&self, id: SectionId) -> Reader<'_> {
        Reader::new(self.section(id), self.origin(id))
    }

    /// Compares a section with its checksums (and with them its neighbours in the same 64 KiB).
    pub(crate) fn verify_section(&self, id: SectionId) -> Result<()> {
        match self.range(id) {
            None => Ok(()),
            Some(range) => self.verify_range(range, id.name),
        }
    }

    /// A cursor over a section that agrees with its checksums.
    pub(crate) fn checked_reader(&self, id: SectionId) -> Result<Reader<'_>> {
        self.required(id)?;
        self.check(id.name, self.range(id).unwrap_or_default())?;
        Ok(self.reader(id))
    }

    /// Compares every byte of the file with its checksums.
    pub(crate) fn verify(&self) -> Result<()> {
        self.verify_range(0..self.covered, "file")
    }

    /// Compares the blocks around `range`, which lies in `section`, with their checksums, each
    /// once in the life of this view: a bit and a branch where that was done before.
    #[inline]
    pub(crate) fn check(&self, section: &'static str, range: Range<usize>) -> Result<()> {
        let first = range.start / CHECKSUM_BLOCK_LEN;
        let last = range.end.saturating_sub(1) / CHECKSUM_BLOCK_LEN;
        if first == last && self.compared.has_agreed(first) || range.is_empty() {
            return Ok(());
        }
        self.compare(section, first, last)
    }

    /// As [`FileView::check`], for inner loops that cannot fail: says whether the bytes agree, and
    /// remembers where they do not, for [`FileView::damage`].
    #[inline]
    pub(crate) fn touch(&self, section: &'static str, range: Range<usize>) -> bool {
        let first = range.start / CHECKSUM_BLOCK_LEN;
        let last = range.end.saturating_sub(1) / CHECKSUM_BLOCK_LEN;
        if first == last && self.compared.has_agreed(first) || range.is_empty() {
            return true;
        }
        #[cfg(sparsely_planted)]
        if crate::planted::bug("planted: postings are not compared when they are read") {
            return true;
        }
        self.compare(section, first, last).is_ok()
    }

    /// The damage that [`FileView::touch`] met, if any: whatever was computed since is void, for
    /// the life of this view.
    pub(crate) fn damage(&self, section: &'static str) -> Result<()> {
        let Some(block) = self.compared.damaged() else {
            return Ok(());
        };
        let start = block * CHECKSUM_BLOCK_LEN;
        self.verify_range(start..start + 1, section)
    }

    #[cold]
    fn compare(&self, section: &'static str, first: usize, last: usize) -> Result<()> {
        (first..=last).try_for_each(|block| {
            let start = block * CHECKSUM_BLOCK_LEN;
            let compare = || self.verify_range(start..start + 1, section);
            self.compared.compare(block, compare)
        })
    }

    fn verify_range(&self, range: Range<usize>, section: &'static str) -> Result<()> {
        #[cfg(sparsely_planted)]
        if crate::planted::bug("planted: checksums are not compared") {
            return Ok(());
        }
        let first = range.start / CHECKSUM_BLOCK_LEN;
        let count = range.end.div_ceil(CHECKSUM_BLOCK_LEN).saturating_sub(first);
        let covered = self.bytes.get(..self.covered).unwrap_or_default();
        let stored = self.bytes.get(self.checksums.clone()).unwrap_or_default();
        let blocks = covered.chunks(CHECKSUM_BLOCK_LEN).zip(stored.chunks(4));
        for (at, (block, stored)) in blocks.enumerate().skip(first).take(count) {
            let found = crc32fast::hash(block);
            if found.to_le_bytes() != *stored {
                let offset = (at * CHECKSUM_BLOCK_LEN) as u64;
                let stored = stored
                    .iter()
                    .rev()
                    .fold(0_u32, |crc, b| crc << 8 | u32::from(*b));
                return Err(Error::corrupt(
                    &self.name,
                    section,
                    offset,
                    format_args!("checksum {stored:08x} of 64 KiB"),
                    format_args!("{found:08x}"),
                ));
            }
        }
        Ok(())
    }
}

/// A file during its checks.
struct Frame<'a> {
    bytes: &'a [u8],
    name: &'a str,
}

struct Header {
    kind: u32,
    index: super::IndexId,
    number: u64,
}

struct Footer {
    table: Range<usize>,
    section_count: usize,
    table_crc: u32,
    checksum_count: usize,
    checksum_crc: u32,
}

impl<'a> Frame<'a> {
    fn header(&self) -> Result<Header> {
        let mut reader = self.reader("header", 0, HEADER_LEN)?;
        let magic = reader.array::<8>("magic")?;
        if *magic != MAGIC {
            return Err(self.corrupt("header", 0, "a file of this library", "another magic"));
        }
        let major = reader.u16("major version")?;
        let minor = reader.u16("minor version")?;
        if major != VERSION_MAJOR {
            let supported = format!("{VERSION_MAJOR}.0 to {VERSION_MAJOR}.{VERSION_MINOR}");
            let found = format!("{major}.{minor}");
            return Err(Error::version(self.name, found, &supported));
        }
        let kind = reader.u32("kind")?;
        let index = *reader.array::<16>("index id")?;
        let number = reader.u64("file number")?;
        let reserved = reader.bytes(20, "reserved")?;
        let crc = reader.u32("header checksum")?;
        self.check_crc("header", 0..HEADER_LEN - 4, crc)?;
        self.check_zero("header", 40, reserved)?;
        Ok(Header {
            kind,
            index,
            number,
        })
    }

    fn check_header(&self, identity: FileIdentity) -> Result<()> {
        let header = self.header()?;
        if header.kind != identity.kind.number() {
            let expected = format!("{:?}, kind {}", identity.kind, identity.kind.number());
            return Err(self.corrupt("header", 12, expected, header.kind));
        }
        if header.index != identity.index {
            return Err(self.corrupt("header", 16, "a file of this index", "one of another index"));
        }
        if header.number != identity.number {
            return Err(self.corrupt("header", 32, identity.number, header.number));
        }
        Ok(())
    }

    fn footer(&self, identity: FileIdentity) -> Result<Footer> {
        let len = self.bytes.len();
        let start = len
            .checked_sub(FOOTER_LEN)
            .filter(|start| *start >= HEADER_LEN && len.is_multiple_of(ALIGNMENT))
            .ok_or_else(|| {
                let expected = format!("at least {} bytes, in whole 64s", HEADER_LEN + FOOTER_LEN);
                self.corrupt("footer", len, expected, len)
            })?;
        let mut reader = self.reader("footer", start, FOOTER_LEN)?;
        let table_offset = reader.u64("table offset")?;
        let section_count = reader.u32("section count")?;
        let table_crc = reader.u32("table checksum")?;
        let checksum_count = reader.u64("checksum count")?;
        let checksum_crc = reader.u32("checksums' checksum")?;
        let reserved = reader.bytes(4, "reserved")?;
        let file_len = reader.u64("file length")?;
        let number = reader.u64("file number")?;
        let magic = reader.array::<8>("end magic")?;
        let reserved_2 = reader.bytes(4, "reserved")?;
        let crc = reader.u32("footer checksum")?;
        if *magic != END_MAGIC {
            return Err(self.corrupt("footer", start + 48, "the end of a file", "another magic"));
        }
        self.check_crc("footer", start..start + FOOTER_LEN - 4, crc)?;
        self.check_zero("footer", start + 28, reserved)?;
        self.check_zero("footer", start + 56, reserved_2)?;
        if file_len != len as u64 {
            return Err(self.corrupt("footer", start + 32, file_len, len));
        }
        if number != identity.number {
            return Err(self.corrupt("footer", start + 40, identity.number, number));
        }
        let section_count = usize::try_from(section_count)
            .ok()
            .filter(|count| *count <= SECTION_COUNT_MAX);
        let Some(section_count) = section_count else {
            let expected = format!("at most {SECTION_COUNT_MAX} sections");
            return Err(self.corrupt("footer", start + 8, expected, "more"));
        };
        let table_len = section_count * SECTION_ENTRY_LEN;
        let table = usize::try_from(table_offset)
            .ok()
            .filter(|at| *at >= HEADER_LEN && at.is_multiple_of(ALIGNMENT) && *at <= start)
            .filter(|at| table_len <= start - at)
            .map(|at| at..at + table_len)
            .ok_or_else(|| {
                self.corrupt("footer", start, "a table inside the file", table_offset)
            })?;
        let checksum_count = usize::try_from(checksum_count)
            .ok()
            .filter(|count| *count == table.end.div_ceil(CHECKSUM_BLOCK_LEN))
            .ok_or_else(|| {
                let expected = table.end.div_ceil(CHECKSUM_BLOCK_LEN);
                self.corrupt("footer", start + 16, expected, checksum_count)
            })?;
        Ok(Footer {
            table,
            section_count,
            table_crc,
            checksum_count,
            checksum_crc,
        })
    }

    fn sections(&self, footer: &Footer, known: &[SectionId]) -> Result<Vec<(u32, Range<usize>)>> {
        const TABLE: &str = "section table";
        self.check_crc(TABLE, footer.table.clone(), footer.table_crc)?;
        let mut reader = self.reader(TABLE, footer.table.start, footer.table.len())?;
        let mut sections = Vec::with_capacity(footer.section_count);
        let mut free = HEADER_LEN;
        for _ in 0..footer.section_count {
            let at = footer.table.start + reader.offset();
            let number = reader.u32("section id")?;
            let flags = reader.u32("section flags")?;
            let offset = reader.u64("section offset")?;
            let len = reader.u64("section length")?;
            if flags & !SECTION_REQUIRED != 0 {
                return Err(self.corrupt(TABLE, at + 4, "known flags", format!("{flags:#x}")));
            }
            let is_known = known.iter().any(|id| id.number == number);
            if flags & SECTION_REQUIRED != 0 && !is_known {
                let found = format!("required section {number}");
                return Err(Error::version(self.name, found, "only the sections of 1.0"));
            }
            if sections.iter().any(|(other, _)| *other == number) {
                return Err(self.corrupt(TABLE, at, "each section once", number));
            }
            let start = usize::try_from(offset).ok().filter(|start| {
                *start == free.next_multiple_of(ALIGNMENT) && *start <= footer.table.start
            });
            let range = start.and_then(|start| {
                let len = usize::try_from(len).ok()?;
                (len <= footer.table.start - start).then(|| start..start + len)
            });
            let Some(range) = range else {
                let expected = format!("a section at {}", free.next_multiple_of(ALIGNMENT));
                let found = format!("{len} bytes at {offset}");
                return Err(self.corrupt(TABLE, at + 8, expected, found));
            };
            free = range.end;
            sections.push((number, range));
        }
        if free.next_multiple_of(ALIGNMENT) != footer.table.start {
            return Err(self.corrupt(TABLE, footer.table.start, "sections up to the table", free));
        }
        Ok(sections)
    }

    fn checksums(&self, footer: &Footer, len: usize) -> Result<Range<usize>> {
        let start = footer.table.end;
        let end = start + footer.checksum_count * 4;
        if end.next_multiple_of(ALIGNMENT) != len - FOOTER_LEN {
            return Err(self.corrupt("checksums", start, len - FOOTER_LEN, end));
        }
        self.check_crc("checksums", start..len - FOOTER_LEN, footer.checksum_crc)?;
        self.check_zero(
            "checksums",
            end,
            self.bytes.get(end..len - FOOTER_LEN).unwrap_or(&[1]),
        )?;
        Ok(start..end)
    }

    fn reader(&self, section: &'static str, start: usize, len: usize) -> Result<Reader<'a>> {
        let origin = Origin {
            file: self.name,
            section,
            start: start as u64,
        };
        let bytes = start
            .checked_add(len)
            .and_then(|end| self.bytes.get(start..end))
            .ok_or_else(|| origin.corrupt(0, format_args!("{len} bytes"), self.bytes.len()))?;
        Ok(Reader::new(bytes, origin))
    }

    fn check_crc(&self, section: &'static str, range: Range<usize>, stored: u32) -> Result<()> {
        let start = range.start;
        let found = crc32fast::hash(self.bytes.get(range).unwrap_or_default());
        if found == stored {
            return Ok(());
        }
        let expected = format!("checksum {stored:08x}");
        Err(self.corrupt(section, start, expected, format!("{found:08x}")))
    }

    fn check_zero(&self, section: &'static str, at: usize, bytes: &[u8]) -> Result<()> {
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        Err(self.corrupt(section, at, "zero bytes", "others"))
    }

    #[cold]
    fn corrupt(
        &self,
        section: &'static str,
        offset: usize,
        expected: impl std::fmt::Display,
        found: impl std::fmt::Display,
    ) -> Error {
        Error::corrupt(self.name, section, offset as u64, expected, found)
    }
}

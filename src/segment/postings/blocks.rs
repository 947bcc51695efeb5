//! Blocks of eight similar documents with a bound per term and block.
//!
//! Terms go by *number*: the more blocks have a term, the smaller its number. The first numbers
//! have a *dense* row each, a 4-bit bound for every block; the others a *sparse* list of the blocks
//! that have them. Both are never below the block's largest impact of the term, so a block whose
//! bounds do not reach the threshold holds no result.

use std::ops::Range;

use super::{
    HEAD, HEAD_LEN,
    windows::{self, WindowsView},
};
use crate::{
    bytes::Reader,
    codec::block::{Block, PADDING},
    error::Result,
    format::{FileView, SectionId},
    id::{DocId, TermId},
    quantize::ImpactVector,
    simd::{LANES, LINE_CELLS, LINE_LEN, Line, prefetch},
};

/// Value of the head's layout field.
pub(super) const LAYOUT: u32 = 2;
/// Term id and number of each term, by rising term.
pub(super) const TERMS: SectionId = SectionId::required(30, "block terms");
/// What there is to know of each term, by number.
pub(super) const NUMBERS: SectionId = SectionId::required(31, "term numbers");
/// Bounds of the dense terms, for every block.
pub(super) const ROWS: SectionId = SectionId::required(32, "bound rows");
/// Bounds of the other terms, for blocks that have them.
pub(super) const SPARSE: SectionId = SectionId::required(33, "sparse bounds");
/// Where each block begins, and where the last ends.
pub(super) const STARTS: SectionId = SectionId::required(34, "block starts");
/// All blocks and [`PADDING`].
pub(super) const BLOCKS: SectionId = SectionId::required(35, "blocks");

/// Bytes of a block that are fetched ahead at most; one of eight usual documents has 2,000.
const PREFETCHED_MAX: usize = 8192;

/// Documents of a block.
pub(crate) const BLOCK_LEN: u32 = 8;
const _: () = assert!(BLOCK_LEN as usize == LANES);

/// Blocks whose bounds share a line.
pub(crate) const LINE_BLOCKS: u32 = 128;
const _: () = assert!(LINE_BLOCKS as usize == LINE_CELLS);

/// Bytes of an entry of a sparse list with narrow distances, and with wide ones.
pub(super) const NARROW_LEN: usize = 2;
pub(super) const WIDE_LEN: usize = 3;
/// Set beside the largest impact of a term whose list has narrow distances.
const NARROW: u32 = 1 << 8;
/// The largest code of a dense bound.
pub(crate) const CODE_MAX: u32 = 15;

/// The code of a dense bound: the least whose value, `code * most / 15`, is not below `impact`.
pub(crate) fn code(impact: u8, most: u8) -> u8 {
    let code = (u32::from(impact) * CODE_MAX).div_ceil(u32::from(most.max(1)));
    code.to_le_bytes()[0]
}

/// The checked tables of a segment in blocks.
#[derive(Debug)]
pub(crate) struct Blocks {
    view: FileView,
    doc_count: u32,
    dense_count: usize,
    has_lists: bool,
}

impl Blocks {
    pub(super) fn open(view: &FileView, mut head: Reader<'_>, doc_count: u32) -> Result<Blocks> {
        let term_count = head.u32("term count")?;
        let dense_count = head.u32("dense term count")?;
        let block_len = head.u32("block length")?;
        if block_len != BLOCK_LEN {
            return Err(head.corrupt(format_args!("blocks of {BLOCK_LEN}"), block_len));
        }
        let list_count = head.u32("list count")?;
        let posting_count = head.u32("posting count")?;
        if head.bytes(HEAD_LEN - 28, "reserved")? != [0; HEAD_LEN - 28] {
            return Err(head.corrupt("zeros", "something else"));
        }
        if dense_count > term_count {
            return Err(head.corrupt(format_args!("at most {term_count}"), dense_count));
        }
        head.finish()?;
        check_terms(view, term_count)?;
        check_numbers(view, term_count, dense_count, doc_count)?;
        let lines = u64::from(line_count(doc_count));
        check_len(view, ROWS, lines * u64::from(dense_count) * LINE_LEN as u64)?;
        check_starts(view, doc_count.div_ceil(BLOCK_LEN))?;
        let has_lists = list_count > 0 || view.has(windows::TERMS);
        if has_lists {
            windows::check(view, term_count, list_count, posting_count, doc_count)?;
        } else if posting_count > 0 {
            return Err(view.origin(HEAD).corrupt(24, 0, posting_count));
        }
        Ok(Blocks {
            view: view.clone(),
            doc_count,
            dense_count: dense_count as usize,
            has_lists,
        })
    }

    pub(super) fn doc_count(&self) -> u32 {
        self.doc_count
    }

    pub(super) fn view(&self) -> BlocksView<'_> {
        BlocksView {
            terms: self.view.section(TERMS).as_chunks().0,
            numbers: self.view.section(NUMBERS).as_chunks().0,
            rows: self.view.section(ROWS).as_chunks().0,
            sparse: self.view.section(SPARSE),
            starts: self.view.section(STARTS).as_chunks().0,
            blocks: self.view.section(BLOCKS),
            doc_count: self.doc_count,
            dense_count: self.dense_count,
            file: &self.view,
            starts_in_file: [ROWS, SPARSE, BLOCKS]
                .map(|id| self.view.range(id).map_or(0, |range| range.start)),
        }
    }

    /// The lists by term, where the segment has them.
    pub(super) fn lists(&self) -> Option<WindowsView<'_>> {
        self.has_lists
            .then(|| WindowsView::new(&self.view, self.doc_count))
    }

    pub(super) fn damage(&self) -> Result<()> {
        self.view.damage(BLOCKS.name)
    }

    /// The file, for checks and errors.
    pub(super) fn file(&self) -> &FileView {
        &self.view
    }

    pub(super) fn read(&self, doc: DocId, into: &mut ImpactVector) -> Result<()> {
        into.clear();
        let view = self.view();
        self.view
            .check(BLOCKS.name, view.place_of_block(doc.0 / BLOCK_LEN))?;
        let lane = doc.0 % BLOCK_LEN;
        // First what the block holds, then what its numbers stand for: in a loop of its own each
        // miss of the caches does not wait for the one before.
        let mut postings: Vec<u64> = Vec::with_capacity(256);
        let mut whole = view.visit(doc.0 / BLOCK_LEN, |number, mask, impacts| {
            if mask >> lane & 1 == 1 {
                let before = mask & ((1 << lane) - 1);
                let impact = impacts.get(before.count_ones() as usize);
                let impact = impact.copied().unwrap_or(0);
                postings.push(u64::from(number) << 8 | u64::from(impact));
            }
        });
        for posting in &mut postings {
            let number = usize::try_from(*posting >> 8).unwrap_or(usize::MAX);
            let impact = *posting & 0xFF;
            let term = view
                .numbers
                .get(number)
                .and_then(|record| record.first_chunk());
            whole &= term.is_some() && impact != 0;
            let term = u32::from_le_bytes(*term.unwrap_or(&[0; 4]));
            *posting = u64::from(term) << 8 | impact;
        }
        postings.sort_unstable();
        whole &= postings.is_sorted_by(|a, b| a >> 8 < b >> 8);
        if !whole {
            let start = view.block_range(doc.0 / BLOCK_LEN).start;
            let origin = self.view.origin(BLOCKS);
            return Err(origin.corrupt(start, "a block of terms with impacts", "something else"));
        }
        into.terms.reserve(postings.len());
        into.impacts.reserve(postings.len());
        for posting in postings {
            let term = u32::try_from(posting >> 8).unwrap_or(u32::MAX);
            into.push(TermId::from(term), posting.to_le_bytes()[0]);
        }
        Ok(())
    }
}

/// Lines of 64 bytes that one row takes.
pub(super) fn line_count(doc_count: u32) -> u32 {
    doc_count.div_ceil(BLOCK_LEN * LINE_BLOCKS)
}

fn check_len(view: &FileView, id: SectionId, expected: u64) -> Result<()> {
    let found = view.required(id)?.len() as u64;
    if found == expected {
        return Ok(());
    }
    Err(view
        .origin(id)
        .corrupt(0, format_args!("{expected} bytes"), found))
}

fn check_terms(view: &FileView, term_count: u32) -> Result<()> {
    check_len(view, TERMS, u64::from(term_count) * 8)?;
    check_len(view, NUMBERS, u64::from(term_count) * 16)?;
    let mut reader = view.checked_reader(TERMS)?;
    let numbers = view.section(NUMBERS).as_chunks::<16>().0;
    let mut last = None;
    for _ in 0..term_count {
        let term = reader.u32("term")?;
        let number = reader.u32("number")?;
        let back = numbers
            .get(number as usize)
            .map(|&record| Number::from_bytes(record).term);
        if last.is_some_and(|last| last >= term) || back != Some(TermId::from(term)) {
            let expected = "terms that rise, with numbers that lead back";
            return Err(reader.corrupt(expected, format_args!("{term}, {number}")));
        }
        last = Some(term);
    }
    reader.finish()
}

fn check_numbers(view: &FileView, terms: u32, dense: u32, doc_count: u32) -> Result<()> {
    let sparse_len = view.required(SPARSE)?.len() as u64;
    let mut reader = view.checked_reader(NUMBERS)?;
    let mut last_end = 0;
    for number in 0..terms {
        let record = Number::from_bytes(*reader.array("number")?);
        let count_fits = (1..=doc_count).contains(&record.posting_count);
        let end_fits = if number < dense {
            record.sparse_end == 0 && !record.is_narrow
        } else {
            let len = record.sparse_end.saturating_sub(last_end) as usize;
            len > 0 && len.is_multiple_of(record.entry_len())
        };
        let end_fits = end_fits && u64::from(record.sparse_end) <= sparse_len;
        if !count_fits || !end_fits || record.most == 0 {
            let expected = "counts, ends and impacts in range";
            return Err(reader.corrupt(expected, format_args!("{record:?}")));
        }
        last_end = record.sparse_end;
    }
    check_len(view, SPARSE, u64::from(last_end))
}

fn check_starts(view: &FileView, block_count: u32) -> Result<()> {
    check_len(view, STARTS, (u64::from(block_count) + 1) * 8)?;
    let len = view.required(BLOCKS)?.len().checked_sub(PADDING);
    let mut reader = view.checked_reader(STARTS)?;
    let mut last = None;
    for block in 0..=block_count {
        let start = reader.u64("block start")?;
        let rises = last.map_or(start == 0, |last| start > last);
        let ends = block < block_count || len.is_some_and(|len| start == len as u64);
        if !rises || !ends {
            let expected = format_args!("starts that rise to {len:?}");
            return Err(reader.corrupt(expected, start));
        }
        last = Some(start);
    }
    reader.finish()
}

/// What there is to know of a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    pub(crate) term: TermId,
    /// Documents that have it.
    pub(crate) posting_count: u32,
    /// Bytes of all sparse lists up to and with this one; 0 for dense terms.
    pub(crate) sparse_end: u32,
    /// Largest impact.
    pub(crate) most: u8,
    /// Whether the distances of its sparse list are bytes.
    pub(crate) is_narrow: bool,
}

impl Number {
    pub(super) fn from_bytes(bytes: [u8; 16]) -> Number {
        let [words, _] = [bytes.as_chunks::<4>().0, &[]];
        let word = |at: usize| words.get(at).map_or(0, |word| u32::from_le_bytes(*word));
        Number {
            term: TermId::from(word(0)),
            posting_count: word(1),
            sparse_end: word(2),
            // A record with anything in the reserved bits has no valid impact.
            most: u8::try_from(word(3) & !NARROW).unwrap_or(0),
            is_narrow: word(3) & NARROW != 0,
        }
    }

    fn entry_len(self) -> usize {
        if self.is_narrow { NARROW_LEN } else { WIDE_LEN }
    }

    pub(super) fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        let words = [
            self.term.get(),
            self.posting_count,
            self.sparse_end,
            u32::from(self.most) | if self.is_narrow { NARROW } else { 0 },
        ];
        for (place, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *place = word.to_le_bytes();
        }
        bytes
    }
}

/// Where a term's bounds are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bounds<'a> {
    /// One cell per block.
    Dense(&'a [Line]),
    Sparse(SparseList<'a>),
}

/// Blocks of a sparse term by rising id, each as its distance from the one before (from block 0
/// for the first), and its largest impact; 0 where the distance alone was too large.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SparseList<'a> {
    pub(crate) distances: Distances<'a>,
    pub(crate) impacts: &'a [u8],
}

/// Distances of a sparse list, in the width that makes the list shorter.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Distances<'a> {
    Narrow(&'a [u8]),
    Wide(&'a [[u8; 2]]),
}

impl Distances<'_> {
    pub(super) fn get(&self, at: usize) -> Option<u32> {
        match self {
            Distances::Narrow(distances) => distances.get(at).map(|&d| u32::from(d)),
            Distances::Wide(distances) => {
                let distance = distances.get(at);
                distance.map(|&d| u32::from(u16::from_le_bytes(d)))
            }
        }
    }

    /// The largest distance, with which an entry without an impact moves on.
    pub(super) fn most(&self) -> u32 {
        match self {
            Distances::Narrow(_) => u32::from(u8::MAX),
            Distances::Wide(_) => u32::from(u16::MAX),
        }
    }
}

impl SparseList<'_> {
    pub(crate) fn len(&self) -> usize {
        self.impacts.len()
    }

    /// Calls `visit` with the distance and the impact of each entry.
    #[inline]
    pub(crate) fn visit(&self, mut visit: impl FnMut(u32, u8)) {
        match self.distances {
            Distances::Narrow(distances) => {
                for (&distance, &impact) in distances.iter().zip(self.impacts) {
                    visit(u32::from(distance), impact);
                }
            }
            Distances::Wide(distances) => {
                for (&distance, &impact) in distances.iter().zip(self.impacts) {
                    visit(u32::from(u16::from_le_bytes(distance)), impact);
                }
            }
        }
    }
}

/// The tables, borrowed for a search.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlocksView<'a> {
    terms: &'a [[u8; 8]],
    numbers: &'a [[u8; 16]],
    rows: &'a [Line],
    sparse: &'a [u8],
    starts: &'a [[u8; 8]],
    blocks: &'a [u8],
    doc_count: u32,
    dense_count: usize,
    file: &'a FileView,
    /// Where the rows, the sparse bounds and the blocks begin in the file.
    starts_in_file: [usize; 3],
}

impl<'a> BlocksView<'a> {
    pub(crate) fn doc_count(&self) -> u32 {
        self.doc_count
    }

    pub(crate) fn block_count(&self) -> u32 {
        self.doc_count.div_ceil(BLOCK_LEN)
    }

    pub(crate) fn line_count(&self) -> usize {
        line_count(self.doc_count) as usize
    }

    pub(crate) fn term_count(&self) -> u32 {
        u32::try_from(self.numbers.len()).unwrap_or(u32::MAX)
    }

    /// The id of the last term.
    pub(super) fn last_term(&self) -> Option<u32> {
        self.terms.last().map(|&record| super::halves(record).0)
    }

    pub(crate) fn dense_count(&self) -> usize {
        self.dense_count
    }

    /// The number of a term, when the segment has it.
    pub(crate) fn find(&self, term: TermId) -> Option<u32> {
        let id = |record: &[u8; 8]| super::halves(*record).0;
        let at = self.terms.binary_search_by_key(&term.get(), id).ok()?;
        Some(super::halves(*self.terms.get(at)?).1)
    }

    pub(crate) fn number(&self, number: u32) -> Option<Number> {
        self.numbers
            .get(number as usize)
            .map(|&bytes| Number::from_bytes(bytes))
    }

    pub(crate) fn posting_count(&self, term: TermId) -> u32 {
        let number = self.find(term).and_then(|number| self.number(number));
        number.map_or(0, |number| number.posting_count)
    }

    pub(crate) fn bounds(&self, number: u32) -> Bounds<'a> {
        let at = number as usize;
        if at < self.dense_count {
            let lines = self.line_count();
            let row = self.rows.get(at * lines..(at + 1) * lines);
            return Bounds::Dense(row.unwrap_or_default());
        }
        let record = |at: usize| self.numbers.get(at).map(|&bytes| Number::from_bytes(bytes));
        let before = at.checked_sub(1).and_then(record);
        let start = before.map_or(0, |number| number.sparse_end as usize);
        let (end, is_narrow) = record(at).map_or((0, false), |number| {
            (number.sparse_end as usize, number.is_narrow)
        });
        let bytes = self.sparse.get(start..end).unwrap_or_default();
        Bounds::Sparse(if is_narrow {
            let (distances, impacts) = bytes.split_at(bytes.len() / NARROW_LEN);
            SparseList {
                distances: Distances::Narrow(distances),
                impacts,
            }
        } else {
            let (distances, impacts) = bytes.split_at(bytes.len() / WIDE_LEN * 2);
            SparseList {
                distances: Distances::Wide(distances.as_chunks().0),
                impacts,
            }
        })
    }

    /// Where the list of a term's bounds lies.
    fn sparse_range(&self, number: usize) -> Range<usize> {
        let end = |at: usize| {
            self.numbers
                .get(at)
                .map_or(0, |&n| Number::from_bytes(n).sparse_end)
        };
        let start = number.checked_sub(1).map_or(0, end) as usize;
        let end = (end(number) as usize).max(start);
        start..end
    }

    /// The code of a dense term's bound for a block; 0 when the block lacks it.
    #[inline]
    pub(crate) fn cell(&self, number: u32, block: u32) -> u32 {
        let line = number as usize * self.line_count() + block as usize / LINE_CELLS;
        let line = self.rows.get(line);
        line.map_or(0, |line| {
            u32::from(nibble(line, block as usize % LINE_CELLS))
        })
    }

    /// Compares a term's bounds with their checksums: once before a search uses them. Damage is
    /// remembered by the file.
    pub(crate) fn touch_bounds(&self, number: u32) -> bool {
        let [rows, sparse, _] = self.starts_in_file;
        let at = number as usize;
        let (section, start, range) = if at < self.dense_count {
            let row = self.line_count() * LINE_LEN;
            (ROWS, rows, at * row..(at + 1) * row)
        } else {
            (SPARSE, sparse, self.sparse_range(at))
        };
        let range = start.saturating_add(range.start)..start.saturating_add(range.end);
        self.file.touch(section.name, range)
    }

    /// A block, and whatever follows it as padding. None for a damaged one, which the file
    /// remembers.
    #[inline]
    pub(crate) fn block(&self, block: u32) -> Option<Block<'a>> {
        if !self.file.touch(BLOCKS.name, self.place_of_block(block)) {
            return None;
        }
        Block::new(self.blocks.get(self.block_start(block as usize)..)?)
    }

    /// Where a block lies in the file.
    #[inline]
    fn place_of_block(&self, block: u32) -> Range<usize> {
        let range = self.block_range(block);
        let start = self.starts_in_file[2];
        start.saturating_add(range.start)..start.saturating_add(range.end)
    }

    /// Asks for where a block begins.
    #[inline]
    pub(crate) fn prefetch_start(&self, block: u32) {
        prefetch(self.starts.as_flattened(), block as usize * 8);
    }

    /// Asks for the directory of a block, if that has as many buckets as usual.
    #[inline]
    pub(crate) fn prefetch_directory(&self, block: u32) {
        let start = self.block_start(block as usize);
        for line in 0..5 {
            prefetch(self.blocks, start.saturating_add(line * 64));
        }
    }

    /// Asks for all lines of a block.
    #[inline]
    pub(crate) fn prefetch_block(&self, block: u32) {
        let range = self.block_range(block);
        // The length is bounded for damaged starts' sake only.
        let end = range.end.min(range.start.saturating_add(PREFETCHED_MAX));
        for at in (range.start..end).step_by(64) {
            prefetch(self.blocks, at);
        }
    }

    pub(super) fn block_range(&self, block: u32) -> Range<usize> {
        self.block_start(block as usize)..self.block_start(block as usize + 1)
    }

    /// Calls `visit` with each term's number, mask and impacts; false for a damaged block.
    pub(crate) fn visit(&self, block: u32, visit: impl FnMut(u32, u8, &'a [u8])) -> bool {
        let range = self.block_range(block);
        match self.block(block) {
            Some(found) => found.visit(range.len(), visit),
            None => false,
        }
    }

    #[inline]
    fn block_start(&self, block: usize) -> usize {
        let start = self
            .starts
            .get(block)
            .map_or(0, |start| u64::from_le_bytes(*start));
        usize::try_from(start).unwrap_or(usize::MAX)
    }
}

/// A cell of a line, as `simd::Line` has them.
#[inline]
pub(crate) fn nibble(line: &Line, cell: usize) -> u8 {
    line[cell % 32 * 2 + cell / 64] >> (cell / 32 % 2 * 4) & 0xF
}

//! The bounds of a range of terms, gathered while blocks go by, and how they are written.

use std::ops::Range;

use super::{
    blocks::{BLOCK_LEN, LINE_BLOCKS, NARROW_LEN, WIDE_LEN, code, line_count},
    blocks_write::{Term, Terms},
};
use crate::{
    error::Result,
    format::FileWriter,
    simd::{LINE_CELLS, LINE_LEN},
};

/// Bounds of the terms of one pass.
pub(super) struct BoundsBuilder {
    rows: Rows,
    row_len: usize,
    /// The sparse terms, from the number `first_sparse` on.
    first_sparse: u32,
    sparse: Vec<Sparse>,
    distances: Vec<u16>,
    impacts: Vec<u8>,
}

/// Cells of some dense terms for some lines, each term's together.
#[derive(Clone, Debug)]
struct Rows {
    numbers: Range<u32>,
    lines: Range<u32>,
    cells: Vec<u8>,
}

/// Where a list of the builder begins, and how far it has come.
struct Sparse {
    start: usize,
    len: usize,
    last_block: u32,
}

/// The numbers of the terms of a pass.
#[derive(Clone, Debug)]
pub(super) struct Pass {
    dense: Range<u32>,
    sparse: Range<u32>,
}

/// The bounds of some blocks, of the terms of a pass.
pub(super) struct PieceBounds {
    rows: Rows,
    sparse_numbers: Range<u32>,
    /// Number, block and largest impact, for the sparse terms, by rising block.
    sparse: Vec<(u32, u32, u8)>,
}

/// Bytes that the bounds of a term take while they are gathered.
pub(super) fn gathered_len(terms: &Terms, number: usize, doc_count: u32) -> usize {
    match number < terms.dense_count {
        true => line_count(doc_count) as usize * LINE_LEN,
        false => size_of::<Sparse>() + room(&terms.list[number], doc_count) * WIDE_LEN,
    }
}

/// Entries that a list may have: one per block, and those that only move on.
fn room(term: &Term, doc_count: u32) -> usize {
    (term.block_count + doc_count / BLOCK_LEN / u32::from(u16::MAX)) as usize
}

impl Rows {
    fn new(numbers: Range<u32>, lines: Range<u32>) -> Rows {
        let cells = numbers.len() * lines.len() * LINE_LEN;
        Rows {
            numbers,
            lines,
            cells: vec![0; cells],
        }
    }

    fn set(&mut self, number: u32, block: u32, code: u8) {
        let at = (number - self.numbers.start) as usize * self.lines.len();
        let line = at + (block / LINE_BLOCKS - self.lines.start) as usize;
        let cell = block as usize % LINE_CELLS;
        self.cells[line * LINE_LEN + cell % 32 * 2 + cell / 64] |= code << (cell / 32 % 2 * 4);
    }
}

impl Pass {
    /// Where some lines of blocks gather their bounds.
    pub(super) fn piece(&self, lines: Range<u32>) -> PieceBounds {
        PieceBounds {
            rows: Rows::new(self.dense.clone(), lines),
            sparse_numbers: self.sparse.clone(),
            sparse: Vec::new(),
        }
    }
}

impl PieceBounds {
    /// Adds the bound of a term in a block, if the pass is about it.
    pub(super) fn push(&mut self, terms: &Terms, block: u32, number: u32, most: u8) {
        if self.rows.numbers.contains(&number) {
            let code = code(most, terms.list[number as usize].most);
            self.rows.set(number, block, code);
        } else if self.sparse_numbers.contains(&number) {
            self.sparse.push((number, block, most));
        }
    }
}

impl BoundsBuilder {
    pub(super) fn new(terms: &Terms, pass: Range<u32>, doc_count: u32) -> BoundsBuilder {
        let dense_count = u32::try_from(terms.dense_count).unwrap_or(u32::MAX);
        let first_sparse = dense_count.clamp(pass.start, pass.end);
        let mut sparse = Vec::with_capacity((first_sparse..pass.end).len());
        let mut start = 0;
        for term in &terms.list[first_sparse as usize..pass.end as usize] {
            sparse.push(Sparse {
                start,
                len: 0,
                last_block: 0,
            });
            start += room(term, doc_count);
        }
        BoundsBuilder {
            rows: Rows::new(pass.start..first_sparse, 0..line_count(doc_count)),
            row_len: line_count(doc_count) as usize * LINE_LEN,
            first_sparse,
            sparse,
            distances: vec![0; start],
            impacts: vec![0; start],
        }
    }

    /// What the threads that read blocks must know of the pass.
    pub(super) fn pass(&self) -> Pass {
        let sparse_count = u32::try_from(self.sparse.len()).unwrap_or(u32::MAX);
        Pass {
            dense: self.rows.numbers.clone(),
            sparse: self.first_sparse..self.first_sparse + sparse_count,
        }
    }

    /// Takes in the next piece.
    pub(super) fn take(&mut self, piece: &PieceBounds) {
        let lines = &piece.rows.lines;
        let place = lines.start as usize * LINE_LEN..lines.end as usize * LINE_LEN;
        let from = piece.rows.cells.chunks_exact(place.len().max(1));
        let to = self.rows.cells.chunks_exact_mut(self.row_len.max(1));
        for (to, from) in to.zip(from) {
            to[place.clone()].copy_from_slice(from);
        }
        for &(number, block, most) in &piece.sparse {
            self.push_sparse(number, block, most);
        }
    }

    fn push_sparse(&mut self, number: u32, block: u32, most: u8) {
        let list = &mut self.sparse[(number - self.first_sparse) as usize];
        let mut distance = block - list.last_block;
        list.last_block = block;
        loop {
            let step = u16::try_from(distance).unwrap_or(u16::MAX);
            distance -= u32::from(step);
            let at = list.start + list.len;
            list.len += 1;
            self.distances[at] = step;
            // The largest distance with an impact of 0 only moves on.
            if distance == 0 {
                self.impacts[at] = most;
                return;
            }
        }
    }

    pub(super) fn write_rows(&self, file: &mut FileWriter) -> Result<()> {
        file.write(&self.rows.cells)
    }

    /// Appends the lists to the section; says of each whether it is narrow, and where it ends.
    pub(super) fn write_sparse(
        &self,
        file: &mut FileWriter,
        lists: &mut Vec<(bool, u64)>,
    ) -> Result<()> {
        let mut buffer = ListBuffer::default();
        for list in &self.sparse {
            let range = list.start..list.start + list.len;
            let is_narrow = buffer.fill(&self.distances[range.clone()], &self.impacts[range]);
            file.write(&buffer.distances)?;
            file.write(&buffer.impacts)?;
            lists.push((is_narrow, file.section_len()));
        }
        Ok(())
    }
}

/// One list as it will be in the file.
#[derive(Default)]
struct ListBuffer {
    distances: Vec<u8>,
    impacts: Vec<u8>,
}

impl ListBuffer {
    /// Lays a list out in the shorter way, and says whether that has narrow distances.
    fn fill(&mut self, wide: &[u16], impacts: &[u8]) -> bool {
        self.distances.clear();
        self.impacts.clear();
        let mut distance = 0;
        for (&step, &impact) in wide.iter().zip(impacts) {
            distance += u32::from(step);
            if impact == 0 {
                continue;
            }
            while distance > u32::from(u8::MAX) {
                self.distances.push(u8::MAX);
                self.impacts.push(0);
                distance -= u32::from(u8::MAX);
            }
            self.distances.push(distance.to_le_bytes()[0]);
            self.impacts.push(impact);
            distance = 0;
        }
        if self.impacts.len() * NARROW_LEN < impacts.len() * WIDE_LEN {
            return true;
        }
        self.distances.clear();
        self.distances
            .extend(wide.iter().flat_map(|distance| distance.to_le_bytes()));
        self.impacts.clear();
        self.impacts.extend_from_slice(impacts);
        false
    }
}

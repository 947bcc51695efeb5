//! Adds up the bounds of all blocks.

use std::{array::from_fn, ops::Range};

use super::{super::doc_set::DocSet, plan::Plan};
use crate::{
    segment::postings::blocks::{BLOCK_LEN, BlocksView, Bounds, LINE_BLOCKS, SparseList},
    simd::{Keep, LINE_CELLS, Level, Line, Maxima, Sums},
};

/// Documents of a line, and words of a set of documents for them.
const LINE_DOCS: u32 = LINE_BLOCKS * BLOCK_LEN;
const LINE_WORDS: usize = LINE_DOCS as usize / 64;

/// Lines of a tile: its sums (16 KiB) and four streams of cells stay in a first-level cache.
const TILE_LINES: usize = 64;

/// Entries of a list from which a table of the bounds of all impacts costs less than multiplying.
const LONG: usize = 512;

/// Replaces `sums` by the scaled bound of every block, 0 for blocks without an allowed document,
/// and `most` by the largest of each line.
pub(super) fn add_up(
    view: &BlocksView<'_>,
    plan: &Plan<'_>,
    allowed: &DocSet<'_>,
    level: Level,
    sums: &mut Vec<Sums>,
    most: &mut Vec<u16>,
) {
    let lines = view.line_count();
    sums.clear();
    sums.resize(lines, [0; LINE_CELLS]);
    most.clear();
    most.resize(lines, 0);
    let cells = sums.as_flattened_mut();
    for term in plan.sparse() {
        if let Bounds::Sparse(list) = view.bounds(term.number) {
            match list.len() < LONG {
                true => add_list(list, |impact| term.sparse_bound(impact), cells),
                false => {
                    let bounds: [u16; 256] = from_fn(|impact| {
                        term.sparse_bound(u8::try_from(impact).unwrap_or(u8::MAX))
                    });
                    add_list(list, |impact| bounds[usize::from(impact)], cells);
                }
            }
        }
    }
    let tiles = sums.chunks_mut(TILE_LINES).zip(most.chunks_mut(TILE_LINES));
    for (tile, (sums, most)) in tiles.enumerate() {
        let first = tile * TILE_LINES;
        if !allowed.any_in(docs(first..first + sums.len())) {
            sums.fill([0; LINE_CELLS]);
            continue;
        }
        for four in plan.dense().chunks(4) {
            let row = |at: usize| -> (&[Line], u16) {
                // A missing fourth repeats the first, with no weight.
                let term = four.get(at).unwrap_or(&four[0]);
                let weight = if at < four.len() { term.unit } else { 0 };
                let row = match view.bounds(term.number) {
                    Bounds::Dense(row) => row.get(first..first + sums.len()),
                    Bounds::Sparse(_) => None,
                };
                (
                    row.unwrap_or_default(),
                    u16::try_from(weight).unwrap_or(u16::MAX),
                )
            };
            let four = [row(0), row(1), row(2), row(3)];
            level.add_rows(four.map(|row| row.0), four.map(|row| row.1), sums);
        }
        strike_off(allowed, first, level, sums);
        level.run(Maxima { sums, most });
    }
}

/// The documents of some lines.
fn docs(lines: Range<usize>) -> Range<u32> {
    let doc = |line: usize| {
        let line = u32::try_from(line).unwrap_or(u32::MAX);
        line.saturating_mul(LINE_DOCS)
    };
    doc(lines.start)..doc(lines.end)
}

fn add_list(list: SparseList<'_>, bound: impl Fn(u8) -> u16, cells: &mut [u16]) {
    let mut block = 0_usize;
    list.visit(|distance, impact| {
        block += distance as usize;
        // Lists of a damaged file may lead outside, or to sums that wrap; they are wrong anyway.
        if let Some(cell) = cells.get_mut(block) {
            *cell = cell.wrapping_add(bound(impact));
        }
    });
}

/// Forgets the blocks of a tile, whose first line is `first`, that hold no allowed document.
fn strike_off(allowed: &DocSet<'_>, first: usize, level: Level, sums: &mut [Sums]) {
    match allowed {
        DocSet::All => (),
        DocSet::Bits(words) => {
            // A block is a byte of the set.
            let words = words.get(first * LINE_WORDS..).unwrap_or_default();
            let mut words = words.chunks(LINE_WORDS);
            for sums in sums {
                let mut kept = [0; LINE_CELLS];
                let bytes = kept.as_chunks_mut::<8>().0;
                for (bytes, word) in bytes.iter_mut().zip(words.next().unwrap_or_default()) {
                    *bytes = word.to_le_bytes();
                }
                level.run(Keep { sums, kept: &kept });
            }
        }
        DocSet::Few(few) => {
            let range = docs(first..first + sums.len());
            let few = few.get(few.partition_point(|doc| doc.0 < range.start)..);
            let few = few.unwrap_or_default();
            let few = few.get(..few.partition_point(|doc| doc.0 < range.end));
            let mut few = few.unwrap_or_default().iter().peekable();
            for (line, sums) in (first..).zip(sums) {
                let end = docs(line..line + 1).end;
                let mut kept = [0; LINE_CELLS];
                while let Some(doc) = few.next_if(|doc| doc.0 < end) {
                    kept[(doc.0 / BLOCK_LEN) as usize % LINE_CELLS] = 1;
                }
                level.run(Keep { sums, kept: &kept });
            }
        }
    }
}

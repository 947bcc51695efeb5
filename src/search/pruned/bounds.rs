//! Adds up the bounds of all blocks.

use super::{super::doc_set::DocSet, plan::Plan};
use crate::{
    segment::postings::blocks::{BLOCK_LEN, BlocksView, Bounds, SparseList},
    simd::{LINE_CELLS, Level, Line, Sums},
};

/// Lines of a tile: its sums (16 KiB) and four streams of cells stay in a first-level cache.
const TILE_LINES: usize = 64;

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
    let (dense, sparse) = plan.terms.split_at(plan.dense_count);
    for (tile, sums) in (0..).zip(sums.chunks_mut(TILE_LINES)) {
        let first = tile * TILE_LINES;
        for four in dense.chunks(4) {
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
    }
    let cells = sums.as_flattened_mut();
    for term in sparse {
        if let Bounds::Sparse(list) = view.bounds(term.number) {
            add_list(list, |impact| plan.sparse_bound(term.weight, impact), cells);
        }
    }
    strike_off(allowed, cells);
    most.extend(
        sums.iter()
            .map(|sums| sums.iter().fold(0, |most, &sum| most.max(sum))),
    );
}

fn add_list(list: SparseList<'_>, bound: impl Fn(u8) -> u16, cells: &mut [u16]) {
    let mut block = 0_usize;
    list.visit(|distance, impact| {
        block += distance as usize;
        // Lists of a damaged file may lead outside; they are wrong anyway.
        if let Some(cell) = cells.get_mut(block) {
            *cell = cell.saturating_add(bound(impact));
        }
    });
}

/// Forgets the blocks that hold no allowed document.
fn strike_off(allowed: &DocSet<'_>, cells: &mut [u16]) {
    match allowed {
        DocSet::All => (),
        DocSet::Bits(words) => {
            // A block is a byte of the set.
            let bytes = words.iter().flat_map(|word| word.to_le_bytes());
            for (cell, byte) in cells.iter_mut().zip(bytes.chain(std::iter::repeat(0))) {
                if byte == 0 {
                    *cell = 0;
                }
            }
        }
        DocSet::Few(docs) => {
            let mut next = 0;
            for block in docs.iter().map(|doc| (doc.0 / BLOCK_LEN) as usize) {
                if let Some(between) = cells.get_mut(next..block) {
                    between.fill(0);
                }
                next = next.max(block + 1);
            }
            if let Some(rest) = cells.get_mut(next..) {
                rest.fill(0);
            }
        }
    }
}

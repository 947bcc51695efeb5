//! Reads every block and compares it with all that the tables say about it.

use super::{
    HEAD,
    blocks::{
        BLOCK_LEN, BLOCKS, Blocks, BlocksView, Bounds, NUMBERS, Number, ROWS, SPARSE, STARTS,
        SparseList, TERMS, code,
    },
    windows,
};
use crate::{
    codec::block::PADDING,
    error::Result,
    quantize::{DOCUMENT_TERMS_MAX, ImpactVector},
    simd::LANES,
};

/// What the blocks read so far say about a term.
#[derive(Clone, Debug, Default)]
struct Seen {
    posting_count: u32,
    most: u8,
    cells: usize,
    /// Entries of the sparse list that were matched, and the block of the last.
    entries: usize,
    block: u32,
}

pub(super) fn verify(blocks: &Blocks) -> Result<()> {
    let file = blocks.file();
    for id in [HEAD, TERMS, NUMBERS, ROWS, SPARSE, STARTS, BLOCKS] {
        file.verify_section(id)?;
    }
    let view = blocks.view();
    let mut seen = vec![Seen::default(); view.term_count() as usize];
    for block in 0..view.block_count() {
        if let Err(found) = verify_block(&view, block, &mut seen) {
            let start = view.block_range(block).start;
            let expected = "a block that agrees with the tables";
            return Err(file.origin(BLOCKS).corrupt(start, expected, found));
        }
    }
    for (number, seen) in (0..).zip(&seen) {
        if let Err(found) = verify_term(&view, number, seen) {
            let expected = format_args!("bounds of term number {number} as blocks have them");
            return Err(file
                .origin(NUMBERS)
                .corrupt(number as usize * 16, expected, found));
        }
    }
    if let Some(lists) = blocks.lists() {
        let mut read = |doc, into: &mut ImpactVector| blocks.read(doc, into);
        windows::verify_lists(file, &lists, &mut read)?;
    }
    let section = file.section(BLOCKS);
    if section.iter().rev().take(PADDING).any(|&byte| byte != 0) {
        let end = section.len() - PADDING;
        return Err(file.origin(BLOCKS).corrupt(end, "zeros", "something else"));
    }
    Ok(())
}

fn verify_block(view: &BlocksView<'_>, block: u32, seen: &mut [Seen]) -> Result<(), &'static str> {
    let lanes = (view.doc_count() - block * BLOCK_LEN).min(BLOCK_LEN);
    let mut lens = [0; LANES];
    let mut wrong = None;
    let whole = view.visit(block, |number, mask, impacts| {
        let (Some(seen), Some(record)) = (seen.get_mut(number as usize), view.number(number))
        else {
            wrong = Some("a term that is not of the segment");
            return;
        };
        if u32::from(mask) >> lanes != 0 {
            wrong = Some("a document beyond the last");
        }
        for (lane, len) in lens.iter_mut().enumerate() {
            *len += usize::from(mask >> lane & 1);
        }
        let most = impacts.iter().copied().max().unwrap_or(0);
        if impacts.contains(&0) {
            wrong = Some("an impact of 0");
        }
        seen.posting_count = seen.posting_count.saturating_add(mask.count_ones());
        seen.most = seen.most.max(most);
        if !seen.bounds_agree(view, number, record, block, most) {
            wrong = Some("an impact that its bound does not have");
        }
    });
    if !whole || !view.block(block).is_some_and(|block| block.is_canonical()) {
        return Err("records that do not add up");
    }
    if lens.iter().any(|&len| len > DOCUMENT_TERMS_MAX) {
        return Err("a document of too many terms");
    }
    wrong.map_or(Ok(()), Err)
}

impl Seen {
    fn bounds_agree(
        &mut self,
        view: &BlocksView<'_>,
        number: u32,
        record: Number,
        block: u32,
        most: u8,
    ) -> bool {
        match view.bounds(number) {
            Bounds::Dense(_) => {
                self.cells += 1;
                view.cell(number, block) == u32::from(code(most, record.most))
            }
            Bounds::Sparse(list) => self.next(&list) == Some((block, most)),
        }
    }

    /// The next entry of the list that is not just a distance.
    fn next(&mut self, list: &SparseList<'_>) -> Option<(u32, u8)> {
        loop {
            let distance = list.distances.get(self.entries)?;
            let impact = *list.impacts.get(self.entries)?;
            self.entries += 1;
            self.block = self.block.checked_add(distance)?;
            if impact != 0 {
                return Some((self.block, impact));
            }
            if distance != list.distances.most() {
                return None;
            }
        }
    }
}

fn verify_term(view: &BlocksView<'_>, number: u32, seen: &Seen) -> Result<(), &'static str> {
    let record = view.number(number).ok_or("no record")?;
    if (record.posting_count, record.most) != (seen.posting_count, seen.most) {
        return Err("another number of documents, or another largest impact");
    }
    let all = match view.bounds(number) {
        Bounds::Sparse(list) => list.impacts.len() == seen.entries,
        Bounds::Dense(row) => {
            let nibbles = row
                .iter()
                .flatten()
                .flat_map(|byte| [byte & 0xF, byte >> 4]);
            nibbles.filter(|&nibble| nibble != 0).count() == seen.cells
        }
    };
    if all {
        Ok(())
    } else {
        Err("bounds of blocks that lack the term")
    }
}

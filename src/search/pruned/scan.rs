//! Many blocks to score: in their order, line by line.
//!
//! Best first leaves blocks early, but each jump to a block misses the caches once for the block
//! and once for every term's cell. Where so many blocks are left that most lines of cells have
//! several, it is cheaper to read lines whole: which terms a block has comes from one comparison
//! for 128 blocks, and blocks lie one behind the other.

use super::{super::top_k::TopK, halves, score::Scorer};
use crate::{
    segment::postings::blocks::{BlocksView, LINE_BLOCKS, nibble},
    simd::{LINE_CELLS, Level},
};

/// The dense terms that each block of a line has.
#[derive(Debug, Default)]
pub(super) struct Present {
    /// A position among the dense terms, and the cell; as many places a block as there are terms.
    terms: Vec<(u16, u8)>,
    counts: Vec<usize>,
}

/// Scores candidates, in any order, whose bound reaches the threshold.
pub(super) fn visit(
    view: &BlocksView<'_>,
    scorer: &Scorer<'_>,
    level: Level,
    candidates: &mut [u64],
    present: &mut Present,
    top: &mut TopK,
) {
    candidates.sort_unstable_by_key(|&candidate| halves(candidate).1);
    let line_of = |candidate: u64| halves(candidate).1 / LINE_BLOCKS;
    for line in candidates.chunk_by(|a, b| line_of(*a) == line_of(*b)) {
        let cut = scorer.cut(top.threshold());
        let mut wanted = [0_u64; 2];
        for (bound, block) in line.iter().map(|&candidate| halves(candidate)) {
            let cell = block % LINE_BLOCKS;
            wanted[usize::from(cell >= 64)] |= u64::from(bound >= cut) << (cell % 64);
        }
        if wanted == [0; 2] {
            continue;
        }
        present.fill(view, scorer, level, line_of(line[0]), wanted);
        let mut ahead = line.iter().map(|&candidate| halves(candidate).1).skip(1);
        for (bound, block) in line.iter().map(|&candidate| halves(candidate)) {
            if let Some(ahead) = ahead.next() {
                view.prefetch_block(ahead);
            }
            if bound < scorer.cut(top.threshold()) {
                continue;
            }
            let dense = scorer.dense();
            let terms = present.of(block % LINE_BLOCKS).iter();
            let terms = terms.filter_map(|&(at, cell)| {
                let term = dense.get(usize::from(at))?;
                Some((term, u32::from(cell)))
            });
            scorer.score_present(block, bound, terms, top);
        }
    }
}

impl Present {
    fn fill(
        &mut self,
        view: &BlocksView<'_>,
        scorer: &Scorer<'_>,
        level: Level,
        line: u32,
        wanted: [u64; 2],
    ) {
        let stride = scorer.dense().len();
        self.counts.clear();
        self.counts.resize(LINE_CELLS, 0);
        self.terms.resize(LINE_CELLS * stride, (0, 0));
        for (at, term) in (0..).zip(scorer.dense()) {
            let Some(cells) = view.line(term.number, line) else {
                continue;
            };
            let words = level.present(cells);
            for (first, mut word) in [(0, words[0] & wanted[0]), (64, words[1] & wanted[1])] {
                while word != 0 {
                    let cell = first + word.trailing_zeros() as usize;
                    let count = &mut self.counts[cell];
                    self.terms[cell * stride + *count] = (at, nibble(cells, cell));
                    *count += 1;
                    word &= word - 1;
                }
            }
        }
    }

    fn of(&self, cell: u32) -> &[(u16, u8)] {
        let (cell, stride) = (cell as usize, self.terms.len() / LINE_CELLS);
        let count = self.counts.get(cell).copied().unwrap_or(0);
        let terms = self.terms.get(cell * stride..cell * stride + count);
        terms.unwrap_or_default()
    }
}

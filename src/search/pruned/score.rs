//! Scores single blocks, and gives each up as soon as none of its documents can win.

use super::{
    super::{
        doc_set::DocSet,
        postings::{Effort, Proof, SegmentQuery},
        top_k::TopK,
    },
    first_doc, halves,
    plan::{Plan, Term},
};
use crate::{
    codec::block::Found,
    id::DocId,
    segment::postings::blocks::BlocksView,
    simd::{LANES, Level, Masked, prefetch},
};

/// Heaviest terms whose cells and records are fetched ahead; the others are seldom looked at.
const AHEAD_TERMS: usize = 12;
/// How many blocks ahead directories and cells are fetched.
const AHEAD_FIRST: usize = 8;
/// How many blocks ahead records are fetched, by directories that have arrived.
const AHEAD_SECOND: usize = 4;
pub(super) struct Scorer<'a> {
    view: &'a BlocksView<'a>,
    query: &'a SegmentQuery<'a>,
    plan: &'a Plan<'a>,
    level: Level,
}

impl<'a> Scorer<'a> {
    pub(super) fn new(
        view: &'a BlocksView<'a>,
        query: &'a SegmentQuery<'a>,
        plan: &'a Plan<'a>,
        level: Level,
    ) -> Scorer<'a> {
        Scorer {
            view,
            query,
            plan,
            level,
        }
    }

    pub(super) fn cut(&self, threshold: u32) -> u32 {
        self.plan.cut(threshold)
    }

    /// Scores candidates, which fall by bound, until the threshold is above the rest. Says whether
    /// all were scored that could hold a result.
    pub(super) fn visit(&self, candidates: &[u64], effort: Effort, top: &mut TopK) -> Proof {
        let most = match effort {
            Effort::Blocks(most) => usize::try_from(most).unwrap_or(usize::MAX),
            _ => usize::MAX,
        };
        for &candidate in candidates.iter().take(AHEAD_FIRST) {
            self.fetch_first(halves(candidate).1);
        }
        for &candidate in candidates.iter().take(AHEAD_SECOND) {
            self.fetch_second(halves(candidate).1);
        }
        for (at, &candidate) in candidates.iter().enumerate() {
            let (bound, block) = halves(candidate);
            let cut = self.plan.cut(top.threshold());
            if bound < cut {
                return Proof::Exact;
            }
            let enough = match effort {
                Effort::Approximate(share) => share.lessen(bound) < cut,
                _ => at >= most,
            };
            if enough {
                return Proof::Unproven;
            }
            if let Some(&ahead) = candidates.get(at + AHEAD_FIRST) {
                self.fetch_first(halves(ahead).1);
            }
            if let Some(&ahead) = candidates.get(at + AHEAD_SECOND) {
                self.fetch_second(halves(ahead).1);
            }
            self.score(block, bound, top);
        }
        Proof::Exact
    }

    pub(super) fn dense(&self) -> &'a [Term] {
        self.plan
            .terms
            .get(..self.plan.dense_count)
            .unwrap_or_default()
    }

    fn sparse(&self) -> &'a [Term] {
        self.plan
            .terms
            .get(self.plan.dense_count..)
            .unwrap_or_default()
    }

    fn fetch_first(&self, block: u32) {
        let (bytes, place) = self.view.block_place(block);
        for line in 0..5 {
            prefetch(bytes, place + line * 64);
        }
        for term in self.dense().iter().take(AHEAD_TERMS) {
            self.view.prefetch_cell(term.number, block);
        }
    }

    fn fetch_second(&self, block: u32) {
        let Some(found) = self.view.block(block) else {
            return;
        };
        for term in self.dense().iter().take(AHEAD_TERMS) {
            if self.view.cell(term.number, block) != 0 {
                found.prefetch_record(term.number);
            }
        }
    }

    /// Offers the documents of a block whose scaled score is at most `bound`.
    fn score(&self, block: u32, bound: u32, top: &mut TopK) {
        let cells = self.dense().iter().map(|term| {
            let cell = self.view.cell(term.number, block);
            (term, cell)
        });
        let present = cells.filter(|&(_, cell)| cell != 0);
        self.score_present(block, bound, present, top);
    }

    /// [`Scorer::score`], with the dense terms of the block and their cells at hand.
    pub(super) fn score_present<'t>(
        &self,
        block: u32,
        bound: u32,
        dense: impl Iterator<Item = (&'t Term, u32)>,
        top: &mut TopK,
    ) {
        let Some(found) = self.view.block(block) else {
            return;
        };
        let threshold = top.threshold();
        let mut sum = Sum::new(self.level);
        // What the terms not yet looked at can add, scaled.
        let mut rest = bound;
        let mut allowed = None;
        for (term, cell) in dense {
            rest = rest.saturating_sub(term.unit * cell);
            let Some(most) = sum.add(term, found.find(term.number)) else {
                continue;
            };
            let wanted = threshold.saturating_sub(self.plan.score(rest));
            if most < wanted {
                return;
            }
            // Most often the heaviest document is one that may win.
            if !matches!(self.query.allowed, DocSet::All) {
                let allowed = *allowed.get_or_insert_with(|| self.allowed(block));
                if sum.most_of(allowed) < wanted {
                    return;
                }
            }
        }
        for term in self.sparse() {
            if rest == 0 {
                break;
            }
            let found = found.find(term.number);
            let Some(postings) = found else {
                continue;
            };
            // What the sum of bounds holds for this term: nothing is left once all are found.
            let bound = self.plan.sparse_bound(term.weight, postings.largest());
            rest = rest.saturating_sub(u32::from(bound));
            if let Some(most) = sum.add(term, found)
                && most < threshold.saturating_sub(self.plan.score(rest))
            {
                return;
            }
        }
        self.offer(block, sum, top);
    }

    /// Scores blocks without their bounds: looking those up costs more where blocks are few.
    pub(super) fn score_whole(&self, blocks: impl Iterator<Item = u32> + Clone, top: &mut TopK) {
        for block in blocks.clone().take(AHEAD_FIRST) {
            self.view.prefetch_block(block);
        }
        let mut ahead = blocks.clone().skip(AHEAD_FIRST);
        for block in blocks {
            if let Some(ahead) = ahead.next() {
                self.view.prefetch_block(ahead);
            }
            let Some(found) = self.view.block(block) else {
                continue;
            };
            let mut sum = Sum::new(self.level);
            for term in self.plan.terms {
                sum.add(term, found.find(term.number));
            }
            self.offer(block, sum, top);
        }
    }

    fn allowed(&self, block: u32) -> u8 {
        let first = first_doc(block).0;
        let group = self.query.allowed.group(first / 64 * 64);
        (group >> (first % 64)).to_le_bytes()[0]
    }

    fn offer(&self, block: u32, sum: Sum, top: &mut TopK) {
        let (most, lanes) = sum.finish();
        if most < top.threshold() {
            return;
        }
        for (doc, &score) in (first_doc(block).0..self.view.doc_count()).zip(&lanes) {
            let doc = DocId(doc);
            if score >= top.threshold() && self.query.allowed.contains(doc) {
                top.push(score, self.query.rank(doc), doc);
            }
        }
    }
}

/// The scores of a block's documents while terms are added four at a time.
struct Sum {
    level: Level,
    lanes: [u32; LANES],
    batch: [Masked; 4],
    filled: usize,
}

impl Sum {
    #[inline]
    fn new(level: Level) -> Sum {
        Sum {
            level,
            lanes: [0; LANES],
            batch: [Masked::default(); 4],
            filled: 0,
        }
    }

    /// Adds a term; the largest score so far when that is known again.
    #[inline]
    fn add(&mut self, term: &Term, found: Option<Found>) -> Option<u32> {
        let found = found?;
        *self.batch.get_mut(self.filled)? = Masked {
            impacts: found.impacts,
            mask: found.mask,
            weight: term.weight,
        };
        self.filled += 1;
        if self.filled < self.batch.len() {
            return None;
        }
        self.filled = 0;
        Some(self.level.add_masked(&self.batch, &mut self.lanes))
    }

    /// The largest score among the lanes of a mask, as of the last full batch.
    fn most_of(&self, mask: u8) -> u32 {
        let lanes = (0..).zip(&self.lanes);
        let own = lanes.filter(|&(lane, _)| mask >> lane & 1 == 1);
        own.fold(0, |most, (_, &score)| most.max(score))
    }

    /// The largest score, and all.
    fn finish(mut self) -> (u32, [u32; LANES]) {
        for masked in self.batch.iter_mut().skip(self.filled) {
            masked.mask = 0;
        }
        let most = self.level.add_masked(&self.batch, &mut self.lanes);
        (most, self.lanes)
    }
}

//! Scores single blocks, and gives each up as soon as none of its documents can win.

use super::{
    super::{
        postings::{Effort, Proof, SegmentQuery},
        top_k::TopK,
    },
    first_doc, halves,
    plan::{Plan, Term},
};
use crate::{
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

    fn dense(&self) -> &'a [Term] {
        self.plan
            .terms
            .get(..self.plan.dense_count)
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
        let Some(found) = self.view.block(block) else {
            return;
        };
        let threshold = top.threshold();
        let mut lanes = [0; LANES];
        let mut batch = [Masked::default(); 4];
        let mut filled = 0;
        // What the terms not yet looked at can add, scaled.
        let mut rest = bound;
        for (at, term) in self.plan.terms.iter().enumerate() {
            if at < self.plan.dense_count {
                let cell = self.view.cell(term.number, block);
                if cell == 0 {
                    continue;
                }
                rest = rest.saturating_sub(term.unit * cell);
            } else if rest == 0 {
                break;
            }
            let Some(postings) = found.find(term.number) else {
                continue;
            };
            batch[filled] = Masked {
                impacts: postings.impacts,
                mask: postings.mask,
                weight: term.weight,
            };
            filled += 1;
            if filled == batch.len() {
                filled = 0;
                let most = self.level.add_masked(&batch, &mut lanes);
                if most < threshold.saturating_sub(self.plan.score(rest)) {
                    return;
                }
            }
        }
        batch
            .iter_mut()
            .skip(filled)
            .for_each(|masked| masked.mask = 0);
        if self.level.add_masked(&batch, &mut lanes) >= threshold {
            self.offer(block, &lanes, top);
        }
    }

    fn offer(&self, block: u32, lanes: &[u32; LANES], top: &mut TopK) {
        for (doc, &score) in (first_doc(block).0..self.view.doc_count()).zip(lanes) {
            let doc = DocId(doc);
            if score >= top.threshold() && self.query.allowed.contains(doc) {
                top.push(score, self.query.rank(doc), doc);
            }
        }
    }
}

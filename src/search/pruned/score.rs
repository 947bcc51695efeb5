//! Scores blocks, and stops at each as soon as none of its documents can be a result.

use super::{
    super::{
        doc_set::DocSet,
        postings::{Effort, Proof, SegmentQuery, Share},
        top_k::TopK,
    },
    first_doc, halves,
    plan::Plan,
};
use crate::{
    codec::block::Block,
    id::DocId,
    segment::postings::blocks::BlocksView,
    simd::{LANES, Level, Masked, Plain},
};

/// How many blocks ahead the place of one is fetched, and all of its bytes.
const AHEAD_PLACES: usize = 12;
const AHEAD_BLOCKS: usize = 3;
/// For short queries less is fetched: the directory, and when that has arrived the records of the
/// terms.
const SHORT: usize = 16;
const AHEAD_DIRECTORIES: usize = 8;
const AHEAD_RECORDS: usize = 4;
/// The same where all terms are looked up.
const AHEAD_FEW: usize = 8;

/// Terms that are looked up at a time.
const TOGETHER: usize = 4;

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
        self.fetch_first(candidates);
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
            self.fetch_after(candidates, at);
            self.score(block, bound, top);
        }
        Proof::Exact
    }

    /// Does what [`Scorer::visit`] does with each of many shares, which fall: what a lower one looks at is the
    /// beginning of what a higher one does. Where a share would end the visit, `ended` gets its place.
    pub(super) fn visit_by_shares(
        &self,
        candidates: &[u64],
        shares: &[Share],
        ended: &mut dyn FnMut(usize, &TopK),
        top: &mut TopK,
    ) {
        let mut left = shares;
        self.fetch_first(candidates);
        for (at, &candidate) in candidates.iter().enumerate() {
            let (bound, block) = halves(candidate);
            let cut = self.plan.cut(top.threshold());
            while let Some((share, higher)) = left.split_last()
                && share.lessen(bound) < cut
            {
                left = higher;
                ended(left.len(), top);
            }
            if bound < cut {
                break;
            }
            self.fetch_after(candidates, at);
            self.score(block, bound, top);
        }
        for place in 0..left.len() {
            ended(place, top);
        }
    }

    /// Scores candidates in any order whose bound reaches the threshold.
    pub(super) fn visit_all(&self, candidates: &[u64], top: &mut TopK) {
        self.fetch_first(candidates);
        for (at, &candidate) in candidates.iter().enumerate() {
            let (bound, block) = halves(candidate);
            self.fetch_after(candidates, at);
            if bound >= self.plan.cut(top.threshold()) {
                self.score(block, bound, top);
            }
        }
    }

    /// Scores blocks without their bounds: looking those up costs more where blocks are few.
    pub(super) fn score_whole(&self, blocks: impl Iterator<Item = u32> + Clone, top: &mut TopK) {
        let mut ahead = blocks.clone();
        for block in ahead.by_ref().take(AHEAD_FEW) {
            self.view.prefetch_block(block);
        }
        for block in blocks {
            if let Some(ahead) = ahead.next() {
                self.view.prefetch_block(ahead);
            }
            self.score(block, u32::MAX, top);
        }
    }

    fn fetch_first(&self, candidates: &[u64]) {
        for at in 0..AHEAD_PLACES {
            if let Some(&candidate) = candidates.get(at) {
                self.view.prefetch_start(halves(candidate).1);
            }
        }
        let (first, second) = self.distances();
        candidates
            .iter()
            .take(first)
            .for_each(|&candidate| self.fetch_begin(candidate));
        candidates
            .iter()
            .take(second)
            .for_each(|&candidate| self.fetch_rest(candidate));
    }

    #[inline]
    fn fetch_after(&self, candidates: &[u64], at: usize) {
        let (first, second) = self.distances();
        if let Some(&ahead) = candidates.get(at + AHEAD_PLACES) {
            self.view.prefetch_start(halves(ahead).1);
        }
        if let Some(&ahead) = candidates.get(at + first) {
            self.fetch_begin(ahead);
        }
        if let Some(&ahead) = candidates.get(at + second) {
            self.fetch_rest(ahead);
        }
    }

    fn is_short(&self) -> bool {
        self.plan.terms.len() <= SHORT
    }

    fn distances(&self) -> (usize, usize) {
        match self.is_short() {
            true => (AHEAD_DIRECTORIES, AHEAD_RECORDS),
            false => (AHEAD_BLOCKS, 0),
        }
    }

    fn fetch_begin(&self, candidate: u64) {
        let (_, block) = halves(candidate);
        match self.is_short() {
            true => self.view.prefetch_directory(block),
            false => self.view.prefetch_block(block),
        }
    }

    fn fetch_rest(&self, candidate: u64) {
        if self.is_short()
            && let Some(block) = self.view.block(halves(candidate).1)
        {
            for term in self.plan.terms {
                block.prefetch_record(term.number);
            }
        }
    }

    /// Offers the documents of a block whose scaled score is at most `bound`.
    fn score(&self, block: u32, bound: u32, top: &mut TopK) {
        let Some(found) = self.view.block(block) else {
            return;
        };
        let threshold = top.threshold();
        let scored = self.level.run(ScoreBlock {
            scorer: self,
            block: found,
            allowed: self.allowed(block),
            bound,
            threshold,
        });
        let Some(lanes) = scored else {
            return;
        };
        for (doc, &score) in (first_doc(block).0..self.view.doc_count()).zip(&lanes) {
            let doc = DocId(doc);
            if score >= top.threshold() && self.query.allowed.contains(doc) {
                top.push(score, self.query.rank(doc), doc);
            }
        }
    }

    /// Which lanes of a block are allowed.
    fn allowed(&self, block: u32) -> u8 {
        if matches!(self.query.allowed, DocSet::All) {
            return u8::MAX;
        }
        let first = first_doc(block).0;
        let group = self.query.allowed.group(first / 64 * 64);
        (group >> (first % 64)).to_le_bytes()[0]
    }
}

/// The scores of a block's documents; none when no allowed one of them reaches the threshold.
/// Compiled for each level, so that looking terms up has the instructions that count bits.
struct ScoreBlock<'a> {
    scorer: &'a Scorer<'a>,
    block: Block<'a>,
    allowed: u8,
    bound: u32,
    threshold: u32,
}

impl Plain for ScoreBlock<'_> {
    type Output = Option<[u32; LANES]>;

    #[inline(always)]
    fn run(self) -> Option<[u32; LANES]> {
        let Scorer { plan, level, .. } = *self.scorer;
        let mut lanes = [0; LANES];
        // What the terms not yet looked up can add, scaled: their bounds follow from the largest
        // impacts, so that rows of bounds are not read again, each of which would miss the caches.
        let mut rest = self.bound;
        for terms in plan.terms.chunks(TOGETHER) {
            let mut batch = [Masked::default(); TOGETHER];
            for (masked, term) in batch.iter_mut().zip(terms) {
                let found = self.block.probe(term.number);
                rest = rest.saturating_sub(term.bound(found.largest()));
                *masked = Masked {
                    impacts: found.impacts,
                    mask: found.mask,
                    weight: term.weight,
                };
            }
            let most = level.add_masked(&batch, &mut lanes);
            let wanted = self.threshold.saturating_sub(plan.score(rest));
            if most < wanted {
                return None;
            }
            // Most often the heaviest document is one that may win.
            if self.allowed != u8::MAX {
                let own = (0..).zip(&lanes);
                let own = own.filter(|&(lane, _)| self.allowed >> lane & 1 == 1);
                if own.fold(0, |most, (_, &score)| most.max(score)) < wanted {
                    return None;
                }
            }
            // All that the block has is found.
            if rest == 0 {
                break;
            }
        }
        Some(lanes)
    }
}

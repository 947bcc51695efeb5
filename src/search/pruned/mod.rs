//! Exact top-k over blocks: look only at blocks that could hold a result.
//!
//! 1. *Plan*: scale weights so that the sum of all bounds of a block fits `u16`.
//! 2. *Bounds*: add up the bounds of every block, tile by tile so that sums stay in the first-level
//!    cache; note the largest of every line of 128 blocks.
//! 3. *Seed*: score the best block of the best lines, which gives a threshold near the final one.
//! 4. *Visit*: score the blocks whose bound reaches the threshold, best first, until none is left;
//!    or in their order, where there are very many.
//!
//! Why this is exact: a block's sum is at least the scaled score of each of its documents (codes,
//! units and products are all rounded up, the threshold down), so a block left out holds only
//! documents below the threshold; ties with it are kept, and [`TopK`] decides them by rank.

mod bounds;
mod plan;
mod score;

use self::{plan::Plan, score::Scorer};
use super::{
    doc_set::DocSet,
    postings::{Effort, Proof, SegmentQuery, Share},
    scratch::Scratch,
    top_k::TopK,
};
use crate::{
    id::DocId,
    segment::postings::blocks::{BLOCK_LEN, BlocksView, LINE_BLOCKS},
    simd::Sums,
};

/// Working memory of this searcher.
#[derive(Debug, Default)]
pub(super) struct Memory {
    terms: Vec<plan::Term>,
    sums: Vec<Sums>,
    /// Largest sum of each line.
    most: Vec<u16>,
    /// Blocks to visit: bound in the upper half, block in the lower.
    candidates: Vec<u64>,
}

/// Blocks that are scored for a threshold before any is left out, for k = 10 and below; 16 and 64
/// are equal within noise.
const SEEDS: usize = 16;

/// One more seed for so many results: fewer than `k` scored documents give no threshold at all, and
/// then every block is a candidate.
const RESULTS_PER_SEED: usize = 4;

/// One block of a small set of allowed documents for so many lines: up to there looking up all
/// terms of the blocks costs less than adding up the bounds of all blocks.
const LINES_PER_FEW: usize = 3;

/// Candidates a line from which they are scored in their order instead of best first.
const SCANNED_PER_LINE: usize = 8;

/// What came of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Done(Proof),
    /// So many blocks are left that accumulation costs less. What was scored is in the results.
    TooManyBlocks,
}

/// Postings that are accumulated in the time that a block takes whose every term is looked up: so
/// many, and so many for each term of the query.
const POSTINGS_PER_BLOCK: u64 = 200;
const POSTINGS_PER_TERM: u64 = 9;

/// Gives up where scoring what is left costs more than accumulating `most` postings, if they are
/// given.
pub(super) fn search(
    view: &BlocksView<'_>,
    query: &SegmentQuery<'_>,
    most_postings: Option<u64>,
    top: &mut TopK,
    scratch: &mut Scratch,
) -> Outcome {
    let visit = |scorer: &Scorer<'_>, candidates: &[u64], top: &mut TopK| {
        scorer.visit(candidates, query.effort, top)
    };
    search_with(view, query, most_postings, top, scratch, visit)
}

/// Searches exactly, and tells `ended` for each of `shares`, by its place, what an approximate search
/// would have found with it. Shares fall. The query must not be for a few documents, and its effort
/// approximate: exact searches may take another way.
pub(super) fn search_by_shares(
    view: &BlocksView<'_>,
    query: &SegmentQuery<'_>,
    shares: &[Share],
    ended: &mut dyn FnMut(usize, &TopK),
    top: &mut TopK,
    scratch: &mut Scratch,
) {
    let visit = |scorer: &Scorer<'_>, candidates: &[u64], top: &mut TopK| {
        scorer.visit_by_shares(candidates, shares, ended, top);
        Proof::Exact
    };
    search_with(view, query, None, top, scratch, visit);
}

/// Searches up to the last candidates, which fall by bound, and hands these to `visit`.
fn search_with(
    view: &BlocksView<'_>,
    query: &SegmentQuery<'_>,
    most_postings: Option<u64>,
    top: &mut TopK,
    scratch: &mut Scratch,
    visit: impl FnOnce(&Scorer<'_>, &[u64], &mut TopK) -> Proof,
) -> Outcome {
    let level = scratch.level();
    let Memory {
        terms,
        sums,
        most: line_most,
        candidates,
    } = &mut scratch.pruned;
    let Some(plan) = Plan::new(view, query, terms) else {
        return Outcome::Done(Proof::Exact);
    };
    let scorer = Scorer::new(view, query, &plan, level);
    candidates.clear();
    if let DocSet::Few(docs) = query.allowed
        && docs.len() <= view.line_count() / LINES_PER_FEW
    {
        let blocks = docs.chunk_by(|a, b| a.0 / BLOCK_LEN == b.0 / BLOCK_LEN);
        let blocks = blocks.map(|docs| docs[0].0 / BLOCK_LEN);
        scorer.score_whole(blocks.filter(|&block| block < view.block_count()), top);
        return Outcome::Done(Proof::Exact);
    }
    let seeds = SEEDS + top.k() / RESULTS_PER_SEED;
    let per_block = POSTINGS_PER_BLOCK + POSTINGS_PER_TERM * plan.terms.len() as u64;
    let cost = |blocks: usize| (blocks as u64).saturating_mul(per_block);
    let most = most_postings.filter(|_| query.effort == Effort::Exact);
    // Six candidates of ten are scored; the threshold rules the others out by then.
    let is_too_much = |blocks: usize| most.is_some_and(|most| cost(blocks) / 5 * 3 > most);
    // Without a threshold all seeds are scored: a quarter of what accumulation costs may be lost.
    if top.threshold() <= 1 && most.is_some_and(|most| cost(seeds) > most / 4) {
        return Outcome::TooManyBlocks;
    }
    bounds::add_up(view, &plan, query.allowed, level, sums, line_most);
    if seeds <= line_most.len() / 2 {
        seed(&scorer, seeds, sums, line_most, candidates, top);
    }
    collect(&plan, level, sums, line_most, candidates, top);
    let is_stubborn = thin_out(&scorer, seeds, candidates, is_too_much, top);
    if is_too_much(candidates.len()) {
        return Outcome::TooManyBlocks;
    }
    if query.effort == Effort::Exact
        && is_stubborn
        && candidates.len() / SCANNED_PER_LINE > line_most.len()
    {
        // Where so many are left, reading them in their order is worth more than the threshold
        // that the best would give.
        candidates.sort_unstable_by_key(|&candidate| halves(candidate).1);
        scorer.visit_all(candidates, top);
        return Outcome::Done(Proof::Exact);
    }
    candidates.sort_unstable_by(|a, b| b.cmp(a));
    Outcome::Done(visit(&scorer, candidates, top))
}

/// Scores the best block of the best lines and strikes them off the sums.
fn seed(
    scorer: &Scorer<'_>,
    seeds: usize,
    sums: &mut [Sums],
    most: &[u16],
    candidates: &mut Vec<u64>,
    top: &mut TopK,
) {
    let least = u64::from(scorer.cut(top.threshold())) << 32;
    let lines = (0_u64..)
        .zip(most)
        .map(|(line, &most)| u64::from(most) << 32 | line);
    candidates.extend(lines.filter(|&line| line >= least));
    if candidates.len() > seeds {
        candidates.select_nth_unstable_by(seeds - 1, |a, b| b.cmp(a));
        candidates.truncate(seeds);
    }
    candidates.sort_unstable_by(|a, b| b.cmp(a));
    for candidate in candidates.iter_mut() {
        let (bound, line) = halves(*candidate);
        let best = sums
            .get(line as usize)
            .and_then(|sums| sums.iter().position(|&sum| u32::from(sum) == bound));
        *candidate = u64::from(bound) << 32 | u64::from(line * LINE_BLOCKS);
        if let (Some(best), Some(sums)) = (best, sums.get_mut(line as usize)) {
            sums[best] = 0;
            *candidate += best as u64;
        }
    }
    scorer.visit(candidates, Effort::Exact, top);
    candidates.clear();
}

/// Collects the blocks whose sum reaches the threshold.
fn collect(
    plan: &Plan<'_>,
    level: crate::simd::Level,
    sums: &[Sums],
    most: &[u16],
    candidates: &mut Vec<u64>,
    top: &TopK,
) {
    let cut = plan.cut(top.threshold());
    let Ok(cut) = u16::try_from(cut) else {
        return;
    };
    for ((line, sums), _) in (0..).zip(sums).zip(most).filter(|(_, most)| **most >= cut) {
        for (half, mut found) in (0..).zip(level.at_least(sums, cut)) {
            while found != 0 {
                let cell = half * 64 + found.trailing_zeros();
                let block = line * LINE_BLOCKS + cell;
                let sum = sums.get(cell as usize).copied().unwrap_or(0);
                candidates.push(u64::from(sum) << 32 | u64::from(block));
                found &= found - 1;
            }
        }
    }
}

/// Where seeds left many candidates (or there were too few lines to seed from), scores the best of
/// them and drops those that the new threshold rules out, which is cheaper than sorting them all;
/// as often as that rules out many. Says whether in the end it did not.
fn thin_out(
    scorer: &Scorer<'_>,
    seeds: usize,
    candidates: &mut Vec<u64>,
    is_too_much: impl Fn(usize) -> bool,
    top: &mut TopK,
) -> bool {
    let mut count = seeds;
    while candidates.len() / 4 > count {
        candidates.select_nth_unstable_by(count, |a, b| b.cmp(a));
        if let Some(best) = candidates.get_mut(..count) {
            best.sort_unstable_by(|a, b| b.cmp(a));
            scorer.visit(best, Effort::Exact, top);
        }
        let cut = scorer.cut(top.threshold());
        candidates.drain(..count);
        let before = candidates.len();
        candidates.retain(|&candidate| halves(candidate).0 >= cut);
        if candidates.len() > before / 8 * 7 || is_too_much(candidates.len()) {
            return true;
        }
        count *= 2;
    }
    false
}

fn halves(both: u64) -> (u32, u32) {
    let low = u32::try_from(both & u64::from(u32::MAX)).unwrap_or(0);
    (u32::try_from(both >> 32).unwrap_or(0), low)
}

/// The first document of a block.
fn first_doc(block: u32) -> DocId {
    DocId(block.saturating_mul(BLOCK_LEN))
}

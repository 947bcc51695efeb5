//! Top-k over the postings of one segment: picks the way that costs least, all with one answer.

use super::{
    Approximation, Mode, accumulate,
    doc_set::DocSet,
    pruned::{self, Outcome},
    scratch::Scratch,
    top_k::TopK,
};
use crate::{
    error::Result,
    id::DocId,
    quantize::QuantizedQuery,
    segment::postings::{LayoutView, Postings},
};

/// A query as one segment sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentQuery<'a> {
    pub(crate) query: &'a QuantizedQuery,
    pub(crate) allowed: &'a DocSet<'a>,
    /// Rank of each document, little-endian. A missing one ranks last.
    pub(crate) ranks: &'a [[u8; 4]],
    pub(crate) effort: Effort,
}

/// How much work an answer is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Effort {
    /// The exact answer, by the cheapest way.
    #[default]
    Exact,
    /// Blocks whose lessened bound does not reach the threshold are left out.
    Approximate(Share),
    /// At most so many blocks are scored after the first few that set the threshold.
    Blocks(u32),
}

/// What a block's bound is multiplied by before it is compared: bounds are seldom reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Share(pub(super) u32);

impl Share {
    const ONE: u32 = 1024;

    /// A share that finds `recall` of the true results on average, on real vectors with blocks of
    /// eight (`docs/decisions.md` has the measurement, on 1M passages).
    fn of_recall(recall: f32) -> Share {
        let share = match recall {
            recall if recall >= 1.0 => Share::ONE,
            recall if recall > 0.995 => 1003,
            recall if recall > 0.99 => 993,
            recall if recall > 0.98 => 983,
            recall if recall > 0.95 => 973,
            recall if recall > 0.9 => 963,
            recall if recall > 0.8 => 922,
            _ => 870,
        };
        Share(share)
    }

    pub(super) fn lessen(self, bound: u32) -> u32 {
        // Bounds are below 2^16 but for sets of few documents, whose sums may be larger.
        bound.saturating_mul(self.0) / Share::ONE
    }
}

impl From<Mode> for Effort {
    fn from(mode: Mode) -> Effort {
        match mode {
            Mode::Exact | Mode::FloatExact | Mode::Exhaustive => Effort::Exact,
            Mode::Approximate(Approximation::Recall(recall)) => {
                Effort::Approximate(Share::of_recall(recall))
            }
            Mode::Approximate(Approximation::Blocks(most)) => Effort::Blocks(most),
        }
    }
}

/// Whether the answer is known to be exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    Exact,
    Unproven,
}

/// Offers `top` every allowed document that could be among its best.
pub(crate) fn search_postings(
    postings: &Postings,
    query: &SegmentQuery<'_>,
    top: &mut TopK,
    scratch: &mut Scratch,
) -> Result<Proof> {
    if top.k() == 0 || query.query.terms().is_empty() {
        return Ok(Proof::Exact);
    }
    let proof = match postings.layout() {
        LayoutView::Windows(windows) => {
            if let DocSet::Few(docs) = query.allowed
                && is_cheaper_one_by_one(postings, query, docs)
            {
                score_each(postings, query, docs, top, scratch)?;
                return Ok(Proof::Exact);
            }
            accumulate::search(&windows, query, top, scratch);
            Proof::Exact
        }
        LayoutView::Blocks(blocks, lists) => {
            let most = lists.map(|_| posting_count(postings, query));
            match pruned::search(&blocks, query, most, top, scratch) {
                Outcome::Done(proof) => proof,
                Outcome::TooManyBlocks => {
                    if let Some(lists) = lists {
                        // The threshold so far is one that k documents reach; they are met again.
                        let floor = top.threshold();
                        top.reset(top.k(), floor);
                        accumulate::search(&lists, query, top, scratch);
                    }
                    Proof::Exact
                }
            }
        }
    };
    postings.damage()?;
    Ok(proof)
}

impl SegmentQuery<'_> {
    pub(super) fn rank(&self, doc: DocId) -> u32 {
        self.ranks
            .get(doc.index())
            .map_or(u32::MAX, |rank| u32::from_le_bytes(*rank))
    }
}

/// Postings that are accumulated in the time in which one document is read and scored.
const POSTINGS_PER_DOCUMENT: u64 = 1000;

fn is_cheaper_one_by_one(postings: &Postings, query: &SegmentQuery<'_>, docs: &[DocId]) -> bool {
    docs.len() as u64 * POSTINGS_PER_DOCUMENT <= posting_count(postings, query)
}

/// Postings of all of the query's terms.
fn posting_count(postings: &Postings, query: &SegmentQuery<'_>) -> u64 {
    let terms = query.query.terms().iter();
    let counts = terms.map(|&(term, _)| u64::from(postings.posting_count(term)));
    counts.sum()
}

/// Scores the given documents from their whole vectors.
fn score_each(
    postings: &Postings,
    query: &SegmentQuery<'_>,
    docs: &[DocId],
    top: &mut TopK,
    scratch: &mut Scratch,
) -> Result<()> {
    for &doc in docs.iter().take_while(|doc| doc.0 < postings.doc_count()) {
        postings.read(doc, &mut scratch.vector)?;
        let score = scratch.vector.score(query.query);
        if score >= top.threshold() {
            top.push(score, query.rank(doc), doc);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;

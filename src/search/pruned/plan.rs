//! A query against one segment: numbers, weights, and the scale on which sums of bounds fit `u16`.

use super::super::postings::SegmentQuery;
use crate::segment::postings::blocks::{BlocksView, CODE_MAX};

/// A query term that the segment has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Term {
    pub(super) number: u32,
    pub(super) weight: u16,
    pub(super) is_dense: bool,
    /// Largest score of the term.
    most: u32,
    /// Scaled bound per code of a dense term; scaled largest bound of a sparse one.
    pub(super) unit: u32,
}

/// Fraction bits of the scale.
const SCALE_BITS: u32 = 32;
/// Fraction bits of its inverse.
const INVERSE_BITS: u32 = 16;

/// Largest sum of bounds.
const SUM_MAX: u64 = 65_535;

/// Most that rounding up adds to the sum per term: one for each of 15 codes.
const ROUNDING_MAX: u64 = 15;

#[derive(Debug)]
pub(super) struct Plan<'a> {
    /// Dense terms first, then sparse ones, each by falling largest score.
    pub(super) terms: &'a [Term],
    pub(super) dense_count: usize,
    /// Scaled bound of a score of 1, in 2^-32; at most 1.
    scale: u64,
    /// The score of a scaled bound of 1, in 2^-16, rounded up.
    inverse: u64,
}

impl<'a> Plan<'a> {
    /// None when no document of the segment has any term of the query.
    pub(super) fn new(
        view: &BlocksView<'_>,
        query: &SegmentQuery<'_>,
        terms: &'a mut Vec<Term>,
    ) -> Option<Plan<'a>> {
        terms.clear();
        for &(term, weight) in query.query.terms() {
            let found = view
                .find(term)
                .and_then(|number| Some((number, view.number(number)?)));
            if let Some((number, record)) = found
                && view.touch_bounds(number)
            {
                terms.push(Term {
                    number,
                    weight,
                    is_dense: (number as usize) < view.dense_count(),
                    most: u32::from(weight) * u32::from(record.most),
                    unit: 0,
                });
            }
        }
        // `number` makes the order total, so that every run does the same.
        terms.sort_unstable_by_key(|term| {
            (!term.is_dense, std::cmp::Reverse(term.most), term.number)
        });
        let total: u64 = terms.iter().map(|term| u64::from(term.most)).sum();
        if total == 0 {
            return None;
        }
        let rounding = ROUNDING_MAX * terms.len() as u64;
        // Even 4,096 terms leave a sixteenth: bounds are coarse then, but bounds.
        let room = SUM_MAX.saturating_sub(rounding);
        let scale = (room << SCALE_BITS)
            .checked_div(total)?
            .min(1 << SCALE_BITS);
        for term in terms.iter_mut() {
            let codes = if term.is_dense {
                u64::from(CODE_MAX)
            } else {
                1
            };
            let unit = (u64::from(term.most) * scale).div_ceil(codes << SCALE_BITS);
            // At most SUM_MAX by the choice of the scale.
            term.unit = u32::try_from(unit).unwrap_or(u32::MAX);
        }
        Some(Plan {
            dense_count: terms.partition_point(|term| term.is_dense),
            terms,
            scale,
            inverse: (1_u64 << (SCALE_BITS + INVERSE_BITS)).div_ceil(scale.max(1)),
        })
    }

    /// The least sum of bounds of a block that holds a document of score `threshold`. Never 0: a
    /// block without terms of the query has no result.
    pub(super) fn cut(&self, threshold: u32) -> u32 {
        let cut = (u64::from(threshold) * self.scale) >> SCALE_BITS;
        u32::try_from(cut.max(1)).unwrap_or(u32::MAX)
    }

    /// The score that a scaled bound stands for, or more.
    pub(super) fn score(&self, bound: u32) -> u32 {
        let score = (u64::from(bound) * self.inverse) >> INVERSE_BITS;
        u32::try_from(score).unwrap_or(u32::MAX)
    }

    /// The scaled bound of a sparse term's score.
    pub(super) fn sparse_bound(&self, weight: u16, impact: u8) -> u16 {
        let score = u64::from(weight) * u64::from(impact);
        let bound = (score * self.scale).div_ceil(1 << SCALE_BITS);
        u16::try_from(bound).unwrap_or(u16::MAX)
    }
}

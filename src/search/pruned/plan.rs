//! A query against one segment: numbers, weights, and the scale on which sums of bounds fit `u16`.

use super::super::postings::SegmentQuery;
use crate::segment::postings::blocks::{BlocksView, CODE_MAX};

/// A query term that the segment has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Term {
    pub(super) number: u32,
    pub(super) weight: u16,
    is_dense: bool,
    /// Largest score of the term.
    most: u32,
    /// Largest impact of the term.
    most_impact: u8,
    /// Scaled bound of an impact of 1, in 2^-32.
    factor: u64,
    /// What a division by `most_impact` multiplies with, in 2^-20.
    inverse: u32,
    /// Scaled bound per code of a dense term; scaled largest bound of a sparse one.
    pub(super) unit: u32,
}

/// Fraction bits of the scale.
const SCALE_BITS: u32 = 32;
/// Fraction bits of its inverse.
const INVERSE_BITS: u32 = 16;

/// Fraction bits of the inverse of an impact.
const IMPACT_BITS: u32 = 20;

/// Largest sum of bounds.
const SUM_MAX: u64 = 65_535;

/// Most that rounding up adds to the sum per term: one for each of 15 codes.
const ROUNDING_MAX: u64 = 15;

#[derive(Debug)]
pub(super) struct Plan<'a> {
    /// Dense terms first, then sparse ones, each by falling largest score.
    pub(super) terms: &'a [Term],
    dense_count: usize,
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
                let is_dense = (number as usize) < view.dense_count();
                terms.push(Term::new(number, (weight, is_dense), record.most));
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
            // At most 2^44: below 2^52 with an impact.
            term.factor = u64::from(term.weight) * scale;
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

    /// The dense terms.
    pub(super) fn dense(&self) -> &'a [Term] {
        self.terms.get(..self.dense_count).unwrap_or_default()
    }

    /// The sparse terms.
    pub(super) fn sparse(&self) -> &'a [Term] {
        self.terms.get(self.dense_count..).unwrap_or_default()
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
}

impl Term {
    /// A term that lacks what comes of the scale.
    fn new(number: u32, (weight, is_dense): (u16, bool), most_impact: u8) -> Term {
        Term {
            number,
            weight,
            is_dense,
            most: u32::from(weight) * u32::from(most_impact),
            most_impact,
            factor: 0,
            inverse: (1 << IMPACT_BITS) / u32::from(most_impact.max(1)) + 1,
            unit: 0,
        }
    }

    /// What the sum of bounds of a block has of this term, by the block's largest impact of it.
    #[inline(always)]
    pub(super) fn bound(&self, largest: u8) -> u32 {
        if self.is_dense {
            self.unit * self.code(largest)
        } else {
            u32::from(self.sparse_bound(largest))
        }
    }

    /// The code that the cell of a block with this largest impact has.
    #[inline(always)]
    fn code(&self, largest: u8) -> u32 {
        let most = u32::from(self.most_impact);
        let over = u32::from(largest.min(self.most_impact)) * CODE_MAX + most - 1;
        (over * self.inverse) >> IMPACT_BITS
    }

    /// The scaled bound of a sparse term's score.
    #[inline(always)]
    pub(super) fn sparse_bound(&self, impact: u8) -> u16 {
        let bound = (self.factor * u64::from(impact)).div_ceil(1 << SCALE_BITS);
        u16::try_from(bound).unwrap_or(u16::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::postings::blocks::code;

    #[test]
    fn codes_are_those_of_cells() {
        for most_impact in 1..=u8::MAX {
            let term = Term::new(1, (1, true), most_impact);
            for largest in 0..=most_impact {
                let cell = u32::from(code(largest, most_impact));
                assert_eq!(term.code(largest), cell, "{largest} of {most_impact}");
            }
        }
    }
}

//! Sparse vectors: term ids that strictly rise, each with a finite positive weight.

use crate::{
    error::{Error, Result},
    id::TermId,
};

/// A sparse vector over the terms of an encoder: what an [`Encoder`](crate::Encoder) gives, an
/// index stores and a [`Query`](crate::Query) carries.
///
/// Term ids strictly rise; weights are finite and above zero; there may be none. `nnz`, the number
/// of terms, is [`SparseVector::len`].
///
/// The checking constructor [`SparseVector::new`] has one rule per kind of odd input:
///
/// | input | what happens |
/// | --- | --- |
/// | unsorted terms | sorted |
/// | a term that repeats | an error: the caller decides how to combine |
/// | a weight of zero, or below | the term is left out, as encoders with a ReLU mean it |
/// | NaN or an infinity | an error |
///
/// ```
/// use sparsely::SparseVector;
/// let vector = SparseVector::new([(9, 0.5), (2, 1.5), (4, 0.0)])?;
/// let pairs: Vec<_> = vector.iter().map(|(term, weight)| (term.get(), weight)).collect();
/// assert_eq!(pairs, [(2, 1.5), (9, 0.5)]);
/// # Ok::<(), sparsely::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SparseVector {
    terms: Vec<TermId>,
    weights: Vec<f32>,
}

impl SparseVector {
    /// Checks, sorts and keeps the given terms and weights.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a weight that is not finite
    /// and for a term that repeats.
    pub fn new(pairs: impl IntoIterator<Item = (u32, f32)>) -> Result<SparseVector> {
        let mut kept = Vec::new();
        for (term, weight) in pairs {
            if !weight.is_finite() {
                return Err(Error::invalid(
                    format!("weight of term {term}"),
                    "a finite number",
                    weight.to_string(),
                ));
            }
            if weight > 0.0 {
                kept.push((TermId::from(term), weight));
            }
        }
        kept.sort_unstable_by_key(|&(term, _)| term);
        if let Some(pair) = kept.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(Error::invalid(
                format!("term {}", pair[0].0),
                "each term once",
                "it twice",
            ));
        }
        let (terms, weights) = kept.into_iter().unzip();
        Ok(SparseVector { terms, weights })
    }

    /// Keeps parts that already obey the rules, without sorting.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when the lengths differ, the
    /// terms do not strictly rise, or a weight is not finite and above zero.
    pub fn from_sorted(terms: Vec<TermId>, weights: Vec<f32>) -> Result<SparseVector> {
        if terms.len() != weights.len() {
            return Err(Error::invalid(
                "weights of a sparse vector",
                format!("{} of them, one a term", terms.len()),
                weights.len().to_string(),
            ));
        }
        if let Some(pair) = terms.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(Error::invalid(
                "terms of a sparse vector",
                "ids that strictly rise",
                format!("{} before {}", pair[0], pair[1]),
            ));
        }
        if let Some(at) = weights.iter().position(|w| !(w.is_finite() && *w > 0.0)) {
            return Err(Error::invalid(
                format!("weight of term {}", terms[at]),
                "a finite number above zero",
                weights[at].to_string(),
            ));
        }
        Ok(SparseVector { terms, weights })
    }

    /// How many terms there are (nnz).
    #[must_use]
    pub fn len(&self) -> usize {
        self.terms.len()
    }

    /// Whether there are no terms at all. Such a document is stored and never found by a vector.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The terms, strictly rising.
    #[must_use]
    pub fn terms(&self) -> &[TermId] {
        &self.terms
    }

    /// The weights, in the order of [`SparseVector::terms`].
    #[must_use]
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// Terms with their weights, by rising term.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (TermId, f32)> + '_ {
        self.terms.iter().copied().zip(self.weights.iter().copied())
    }

    /// The weight of `term`, where the vector has it.
    #[must_use]
    pub fn weight(&self, term: TermId) -> Option<f32> {
        let at = self.terms.binary_search(&term).ok()?;
        Some(self.weights[at])
    }

    /// The `n` heaviest terms; of equal weights the lower term ids. This is the top-k pruning of
    /// SPLARE (arXiv 2603.13277, section 4), there (40, 400) for queries and documents.
    ///
    /// ```
    /// use sparsely::SparseVector;
    /// let vector = SparseVector::new([(1, 0.5), (2, 2.0), (3, 0.5)])?;
    /// assert_eq!(vector.keep(2), SparseVector::new([(1, 0.5), (2, 2.0)])?);
    /// # Ok::<(), sparsely::Error>(())
    /// ```
    #[must_use]
    pub fn keep(&self, n: usize) -> SparseVector {
        if n >= self.len() {
            return self.clone();
        }
        let mut order: Vec<usize> = (0..self.len()).collect();
        order
            .sort_unstable_by(|&a, &b| self.weights[b].total_cmp(&self.weights[a]).then(a.cmp(&b)));
        order.truncate(n);
        order.sort_unstable();
        SparseVector {
            terms: order.iter().map(|&at| self.terms[at]).collect(),
            weights: order.iter().map(|&at| self.weights[at]).collect(),
        }
    }

    /// The dot product with `other`, summed in `f64` by rising term.
    #[must_use]
    pub fn dot(&self, other: &SparseVector) -> f32 {
        let (mut left, mut right) = (0, 0);
        let mut sum = 0.0_f64;
        while left < self.len() && right < other.len() {
            match self.terms[left].cmp(&other.terms[right]) {
                std::cmp::Ordering::Less => left += 1,
                std::cmp::Ordering::Greater => right += 1,
                std::cmp::Ordering::Equal => {
                    sum += f64::from(self.weights[left]) * f64::from(other.weights[right]);
                    left += 1;
                    right += 1;
                }
            }
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "rounding to the precision of the weights is meant"
        )]
        let rounded = sum as f32;
        rounded
    }
}

/// How many of `terms`, which rise, are below `term`. The answer is most often small: where vectors
/// are walked side by side, a search by halves mispredicts its every step.
#[inline]
pub(crate) fn count_below(terms: &[TermId], term: TermId) -> usize {
    let Some((first, rest)) = terms.split_first_chunk::<NEAR>() else {
        return terms.partition_point(|&other| other < term);
    };
    // All of them, without a branch: the compiler makes vectors of it.
    let near: usize = first.iter().map(|&other| usize::from(other < term)).sum();
    match near < NEAR {
        true => near,
        false => NEAR + rest.partition_point(|&other| other < term),
    }
}

/// Terms that are compared together.
const NEAR: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_of_the_constructor() {
        assert!(SparseVector::new([]).unwrap().is_empty());
        assert!(SparseVector::new([(1, f32::NAN)]).is_err());
        assert!(SparseVector::new([(1, f32::INFINITY)]).is_err());
        assert!(SparseVector::new([(1, 1.0), (1, 2.0)]).is_err());
        let kept = SparseVector::new([(5, 1.0), (3, -1.0), (1, 2.0), (0, 0.0)]).unwrap();
        assert_eq!(kept.terms(), [TermId::from(1), TermId::from(5)]);
        // A term whose every weight is left out does not count as a repetition.
        assert!(SparseVector::new([(1, 0.0), (1, 2.0)]).is_ok());
    }

    #[test]
    fn sorted_parts_are_checked() {
        let ids = |ids: &[u32]| ids.iter().map(|&id| TermId::from(id)).collect::<Vec<_>>();
        assert!(SparseVector::from_sorted(ids(&[1, 2]), vec![1.0, 1.0]).is_ok());
        assert!(SparseVector::from_sorted(ids(&[1, 2]), vec![1.0]).is_err());
        assert!(SparseVector::from_sorted(ids(&[2, 2]), vec![1.0, 1.0]).is_err());
        assert!(SparseVector::from_sorted(ids(&[1]), vec![0.0]).is_err());
        assert!(SparseVector::from_sorted(ids(&[1]), vec![f32::NAN]).is_err());
    }

    #[test]
    fn dot_takes_shared_terms_only() {
        let left = SparseVector::new([(1, 2.0), (3, 4.0)]).unwrap();
        let right = SparseVector::new([(2, 9.0), (3, 0.5)]).unwrap();
        assert_eq!(left.dot(&right), 2.0);
        assert_eq!(left.dot(&SparseVector::default()), 0.0);
    }

    #[test]
    fn terms_below_one_are_counted() {
        let terms: Vec<TermId> = (0..100).map(|at| TermId::from(at * 3)).collect();
        for len in 0..terms.len() {
            for term in 0..310 {
                let term = TermId::from(term);
                let counted = terms[..len].iter().filter(|other| **other < term).count();
                assert_eq!(count_below(&terms[..len], term), counted);
            }
        }
    }

    #[test]
    fn keep_takes_the_heaviest() {
        let vector = SparseVector::new([(1, 1.0), (2, 3.0), (3, 2.0)]).unwrap();
        assert_eq!(vector.keep(0).len(), 0);
        assert_eq!(vector.keep(2).weight(TermId::from(1)), None);
        assert_eq!(vector.keep(9), vector);
    }
}

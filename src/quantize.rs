//! Weights to integers: impacts of documents, weights of queries, and what a score can reach.
//!
//! Scores are sums of integer products, so that every kernel and every order of addition returns
//! the same bits. The scale of impacts belongs to the index and never changes; the scale of query
//! weights belongs to the query.

use crate::{
    error::{Error, Result},
    id::TermId,
    sparse::{SparseVector, count_below},
};

/// The quantized weight of a posting: 1 to 255.
pub(crate) type Impact = u8;

/// Query weights are 1 to this.
pub(crate) const QUERY_WEIGHT_MAX: u16 = 4095;

/// Most terms of a query: with [`QUERY_WEIGHT_MAX`] the largest score still fits `u32`.
pub(crate) const QUERY_TERMS_MAX: usize = 4096;

/// Most terms of a document.
pub(crate) const DOCUMENT_TERMS_MAX: usize = 65_535;

const _: () = assert!(QUERY_TERMS_MAX as u64 * QUERY_WEIGHT_MAX as u64 * 255 <= u32::MAX as u64);

/// The scale of an index's impacts: `impact = round(weight * 255 / limit)`, at least 1, at most
/// 255.
///
/// The error of a weight below the limit is at most half a unit (`limit / 510`), except that a
/// weight under half a unit becomes a whole one: no term of a document is ever lost. A weight over
/// the limit saturates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scale {
    limit: f32,
}

impl Scale {
    /// A scale on which `limit` becomes 255.
    pub(crate) fn new(limit: f32) -> Result<Scale> {
        if limit.is_finite() && limit >= f32::MIN_POSITIVE {
            Ok(Scale { limit })
        } else {
            Err(Error::invalid(
                "weight limit",
                "a finite number above zero",
                limit.to_string(),
            ))
        }
    }

    pub(crate) fn limit(self) -> f32 {
        self.limit
    }

    /// The weight of one unit of impact.
    pub(crate) fn unit(self) -> f64 {
        f64::from(self.limit) / 255.0
    }

    /// The impact of `weight`, which is finite and above zero.
    pub(crate) fn impact(self, weight: f32) -> Impact {
        let units = (f64::from(weight) / self.unit()).clamp(1.0, 255.0);
        // Rounds as `round` does, exactly in this range; `round` calls a function on most targets.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to 1..=255, and a NaN casts to 0 without harm"
        )]
        let impact = (units + 0.5) as u8;
        impact.max(1)
    }

    /// Whether `weight` is over the limit, so that its impact saturates.
    pub(crate) fn saturates(self, weight: f32) -> bool {
        weight > self.limit
    }

    /// The weight that `impact` stands for.
    pub(crate) fn weight(self, impact: Impact) -> f32 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "rounding to the precision of the weights is meant"
        )]
        let weight = (f64::from(impact) * self.unit()) as f32;
        weight
    }
}

/// A document's terms with their impacts, by rising term. Reused as a buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ImpactVector {
    pub(crate) terms: Vec<TermId>,
    pub(crate) impacts: Vec<Impact>,
}

impl ImpactVector {
    pub(crate) fn from_vector(vector: &SparseVector, scale: Scale) -> ImpactVector {
        ImpactVector {
            terms: vector.terms().to_vec(),
            impacts: vector.weights().iter().map(|&w| scale.impact(w)).collect(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.terms.len()
    }

    pub(crate) fn clear(&mut self) {
        self.terms.clear();
        self.impacts.clear();
    }

    pub(crate) fn push(&mut self, term: TermId, impact: Impact) {
        self.terms.push(term);
        self.impacts.push(impact);
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (TermId, Impact)> + '_ {
        self.terms.iter().copied().zip(self.impacts.iter().copied())
    }

    /// The exact score of this document: what every search path must return.
    pub(crate) fn score(&self, query: &QuantizedQuery) -> u32 {
        let (mut at, mut score) = (0, 0);
        for &(term, weight) in query.terms() {
            at += count_below(&self.terms[at..], term);
            if self.terms.get(at) == Some(&term) {
                score += u32::from(weight) * u32::from(self.impacts[at]);
            }
        }
        score
    }
}

/// A query's terms with integer weights, by rising term, and the weight of one unit.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct QuantizedQuery {
    terms: Vec<(TermId, u16)>,
    unit: f64,
}

impl QuantizedQuery {
    /// Scales the heaviest term to [`QUERY_WEIGHT_MAX`]; terms that round to nothing are left out.
    pub(crate) fn new(vector: &SparseVector) -> Result<QuantizedQuery> {
        let mut query = QuantizedQuery::default();
        query.fill(vector)?;
        Ok(query)
    }

    /// Becomes [`QuantizedQuery::new`] of `vector` in the memory that there is.
    pub(crate) fn fill(&mut self, vector: &SparseVector) -> Result<()> {
        self.fill_with_least(vector, 0)
    }

    /// The same, but a term that rounds to nothing has a weight of 1: what shares a term with the
    /// query has a score.
    pub(crate) fn of_all_terms(vector: &SparseVector) -> Result<QuantizedQuery> {
        let mut query = QuantizedQuery::default();
        query.fill_with_least(vector, 1)?;
        Ok(query)
    }

    fn fill_with_least(&mut self, vector: &SparseVector, least: u16) -> Result<()> {
        self.terms.clear();
        if vector.len() > QUERY_TERMS_MAX {
            return Err(Error::limit(
                "terms of a query (prune it with `keep`)",
                QUERY_TERMS_MAX as u64,
                vector.len() as u64,
            ));
        }
        let heaviest = vector.weights().iter().copied().fold(0.0_f32, f32::max);
        let unit = f64::from(heaviest) / f64::from(QUERY_WEIGHT_MAX);
        let quantized = vector.iter().filter_map(|(term, weight)| {
            let units = (f64::from(weight) / unit).round();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "weights are positive and at most the heaviest, so units are 0..=4095"
            )]
            let units = (units.min(f64::from(QUERY_WEIGHT_MAX)) as u16).max(least);
            (units > 0).then_some((term, units))
        });
        self.terms.extend(quantized);
        self.unit = unit;
        Ok(())
    }

    pub(crate) fn terms(&self) -> &[(TermId, u16)] {
        &self.terms
    }

    /// The weight of one unit of query weight.
    pub(crate) fn unit(&self) -> f64 {
        self.unit
    }

    /// A score in the encoder's own units.
    pub(crate) fn real_score(&self, score: u32, scale: Scale) -> f32 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "rounding to the precision of the weights is meant"
        )]
        let real = (f64::from(score) * self.unit * scale.unit()) as f32;
        real
    }

    /// The largest score of which `least` is no less, for bounds that were widened already.
    pub(crate) fn floor(&self, least: f64, scale: Scale) -> u32 {
        let units = (least / (self.unit * scale.unit())).floor();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to u32; NaN casts to 0, which asks for nothing"
        )]
        let floor = units.clamp(0.0, f64::from(u32::MAX)) as u32;
        floor
    }

    /// The smallest score whose real value is at least `least`.
    pub(crate) fn least_score(&self, least: f32, scale: Scale) -> u32 {
        let units = (f64::from(least) / (self.unit * scale.unit())).ceil();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to u32; NaN casts to 0, which asks for nothing"
        )]
        let least = units.clamp(0.0, f64::from(u32::MAX)) as u32;
        least
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impacts_stay_within_half_a_unit() {
        let scale = Scale::new(3.5).unwrap();
        for step in 1..=3500_u16 {
            let weight = f32::from(step) / 1000.0;
            let error = f64::from((scale.weight(scale.impact(weight)) - weight).abs());
            let half = scale.unit() / 2.0 + 1e-6;
            assert!(error <= half || scale.impact(weight) == 1, "{weight}");
        }
        assert_eq!(scale.impact(1e-30), 1);
        assert_eq!(scale.impact(1e30), 255);
        assert!(scale.saturates(3.6) && !scale.saturates(3.5));
        for bad in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            assert!(Scale::new(bad).is_err());
        }
    }

    #[test]
    fn queries_of_any_magnitude_quantize() {
        for magnitude in [1e-38_f32, 1e-30, 1.0, 1e30, 3e38] {
            let vector = SparseVector::new([(1, magnitude), (2, magnitude / 2.0)]).unwrap();
            let query = QuantizedQuery::new(&vector).unwrap();
            assert_eq!(query.terms()[0].1, QUERY_WEIGHT_MAX, "{magnitude}");
            assert_eq!(query.terms()[1].1, 2048, "{magnitude}");
        }
        let tiny = SparseVector::new([(1, 1e30), (2, 1e-30)]).unwrap();
        assert_eq!(QuantizedQuery::new(&tiny).unwrap().terms().len(), 1);
        assert!(
            QuantizedQuery::new(&SparseVector::default())
                .unwrap()
                .terms()
                .is_empty()
        );
        let huge = SparseVector::new((0..100_000).map(|term| (term, 1.0))).unwrap();
        assert_eq!(
            QuantizedQuery::new(&huge).unwrap_err().kind(),
            crate::error::ErrorKind::Limit
        );
    }

    #[test]
    fn scores_add_shared_terms() {
        let scale = Scale::new(255.0).unwrap();
        let vector = SparseVector::new([(1, 10.0), (5, 20.0), (9, 255.0)]).unwrap();
        let document = ImpactVector::from_vector(&vector, scale);
        let query = SparseVector::new([(5, 1.0), (9, 1.0), (10, 1.0)]).unwrap();
        let query = QuantizedQuery::new(&query).unwrap();
        assert_eq!(document.score(&query), 4095 * (20 + 255));
        assert!((query.real_score(4095 * 275, scale) - 275.0).abs() < 1e-3);
        assert_eq!(query.least_score(275.0, scale), 4095 * 275);
    }
}

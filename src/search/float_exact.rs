//! Results in the order of the encoder's own weights, proven.
//!
//! 1. The best `k` by impacts, whose weights give a threshold: the `k`-th of their float scores.
//! 2. How far a float score can be above what the impacts say is bounded for the query: by the
//!    most that a weight is above its impact (each segment states it), and by what rounding took
//!    from the query's weights.
//! 3. Every document whose score by impacts is within that bound of the threshold is gathered, and
//!    ranked by its weights. No other document can be among the best.

use super::{
    collection::{Collection, Gathered, Place, kept},
    hits::Hits,
    query::Query,
    scratch::Scratch,
};
use crate::{
    error::{Error, Result},
    quantize::{ImpactVector, QuantizedQuery},
    sparse::SparseVector,
};

/// More than all that 64-bit sums of 4,096 products and one rounding to 32 bits can lose, relative
/// to a score.
const ROUNDING: f64 = 1e-6;

impl Collection<'_> {
    pub(super) fn search_floats(&self, query: &Query, scratch: &mut Scratch) -> Result<Hits> {
        if query.rescore.is_some() {
            let expected = "a mode other than float-exact, whose results have their scores already";
            return Err(Error::invalid("rescoring", expected, "both"));
        }
        let mut over = 0.0_f32;
        for live in self.segments {
            over = over.max(live.segment().most_over()?);
        }
        let vector = kept(query);
        let quantized = QuantizedQuery::of_all_terms(&vector)?;
        let wanted = query.offset.saturating_add(query.top);
        let mut gathered = Gathered::default();
        self.best(query, &quantized, (wanted, 0), scratch, &mut gathered)?;
        let mut ranked = self.weighed(&vector, &gathered.best)?;
        if ranked.len() == wanted {
            let threshold = ranked.iter().map(|place| place.score);
            // Scores over what 32 bits hold are all infinite, and equal.
            let threshold = threshold.fold(f32::MAX, f32::min);
            let floor = self.floor(&vector, &quantized, over, threshold);
            // All that reach the floor, instead of the best: most often only a few more.
            let all = (usize::MAX, floor);
            self.best(query, &quantized, all, scratch, &mut gathered)?;
            ranked = self.weighed(&vector, &gathered.best)?;
        }
        if let Some(least) = query.least_score {
            ranked.retain(|place| place.score >= least);
        }
        let mut keyed = Vec::with_capacity(ranked.len());
        for place in ranked {
            keyed.push((self.key(&place)?, place));
        }
        keyed.sort_unstable_by(|(a_key, a), (b_key, b)| {
            let by_score = b.score.total_cmp(&a.score);
            by_score.then_with(|| a_key.cmp(b_key))
        });
        let mut hits = Hits::default();
        for (_, place) in keyed.iter().skip(query.offset).take(query.top) {
            self.hit_into(query, place.segment, place.doc, place.score, hits.next())?;
        }
        hits.end(true);
        Ok(hits)
    }

    /// The encoder's own vector of a document.
    pub(super) fn own_vector(&self, place: &Place<u32>) -> Result<SparseVector> {
        let segment = self.segments[place.segment].segment();
        let mut impacts = ImpactVector::default();
        segment.postings().read(place.doc, &mut impacts)?;
        let mut weights = Vec::new();
        segment.weights(place.doc, impacts.len(), &mut weights)?;
        SparseVector::from_sorted(impacts.terms, weights)
    }

    /// Places with their float scores.
    fn weighed(&self, vector: &SparseVector, places: &[Place<u32>]) -> Result<Vec<Place<f32>>> {
        let mut ranked = Vec::with_capacity(places.len());
        for place in places {
            ranked.push(Place {
                segment: place.segment,
                doc: place.doc,
                score: score(vector, &self.own_vector(place)?),
            });
        }
        Ok(ranked)
    }

    /// The least score by impacts of a document whose float score may reach `threshold`.
    fn floor(
        &self,
        vector: &SparseVector,
        quantized: &QuantizedQuery,
        over: f32,
        threshold: f32,
    ) -> u32 {
        let over = f64::from(over);
        let heaviest = f64::from(self.scale.limit());
        let lost = vector
            .iter()
            .zip(quantized.terms())
            .map(|((_, exact), (_, units))| {
                let exact = f64::from(exact);
                let rounded_off = (exact - f64::from(*units) * quantized.unit()).max(0.0);
                exact * over + rounded_off * heaviest
            });
        let lost: f64 = lost.sum();
        let least = f64::from(threshold) * (1.0 - ROUNDING) - lost * (1.0 + ROUNDING);
        quantized.floor(least, self.scale)
    }
}

/// The dot product in 64-bit floats (products of two weights are exact in them), added by rising
/// term, then rounded once.
pub(super) fn score(query: &SparseVector, document: &SparseVector) -> f32 {
    let mut rest = document.iter().peekable();
    let mut sum = 0.0_f64;
    for (term, weight) in query.iter() {
        while rest.next_if(|(other, _)| *other < term).is_some() {}
        if let Some((_, own)) = rest.next_if(|(other, _)| *other == term) {
            sum += f64::from(weight) * f64::from(own);
        }
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounding to the precision of the weights is meant"
    )]
    let rounded = sum as f32;
    rounded
}

//! The live segments of a snapshot as one searchable thing.
//!
//! Segments are searched one after another; the k-th best score so far is the floor of the next.
//! A document that just reaches the floor may still win by its key, so ties are kept until keys
//! decide.

use std::cmp::Ordering;

use super::{
    admit::{admitted, for_each},
    doc_set::DocSet,
    explain::{Explanation, Origin, TermExplanation},
    filter::Filter,
    float_exact,
    hits::{Hit, Hits},
    postings::{Effort, Proof, SegmentQuery, Share, search_postings},
    query::{Approximation, Mode, Query},
    scratch::Scratch,
    top_k::TopK,
};
use crate::{
    error::{Error, Result},
    id::{DocId, TermId},
    quantize::{ImpactVector, QuantizedQuery, Scale},
    segment::{DocKey, LiveSegment, Schema, Segment},
    sparse::SparseVector,
};

/// Live segments, with what all of them share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Collection<'a> {
    pub(crate) segments: &'a [LiveSegment],
    pub(crate) schema: &'a Schema,
    /// The scale of all segments; of no meaning where there are none.
    pub(crate) scale: Scale,
}

/// A document of a collection with its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place<S> {
    pub(super) segment: usize,
    pub(super) doc: DocId,
    pub(super) score: S,
}

impl<'a> Collection<'a> {
    /// The best documents.
    pub(crate) fn search(&self, query: &Query, scratch: &mut Scratch) -> Result<Hits> {
        self.check(query)?;
        let wanted = query.offset.saturating_add(query.top);
        if query.top == 0 {
            return Ok(Hits::new(Vec::new(), true));
        }
        if query.mode == Mode::FloatExact {
            return self.search_floats(query, scratch);
        }
        let Some(candidates) = query.rescore else {
            let quantized = QuantizedQuery::new(&kept(query))?;
            let least = self.least_score(query, &quantized);
            let (best, exact) = self.best(query, &quantized, (wanted, least), scratch)?;
            let page = best.iter().skip(query.offset);
            let hits = page.map(|place| {
                let score = quantized.real_score(place.score, self.scale);
                self.hit(query, place.segment, place.doc, score)
            });
            return Ok(Hits::new(hits.collect::<Result<_>>()?, exact));
        };
        let quantized = QuantizedQuery::new(&kept(query))?;
        let count = candidates.max(wanted);
        let (best, _) = self.best(query, &quantized, (count, 0), scratch)?;
        let ranked = self.rescored(query, &best)?;
        let page = ranked.iter().skip(query.offset).take(query.top);
        let hits = page.map(|place| self.hit(query, place.segment, place.doc, place.score));
        Ok(Hits::new(hits.collect::<Result<_>>()?, false))
    }

    /// Takes the score of a document apart.
    pub(crate) fn explain(&self, query: &Query, key: &DocKey) -> Result<Explanation> {
        self.check(query)?;
        let Some((at, doc)) = self.find(key.as_bytes())? else {
            let remedy = "it was never committed, or is deleted";
            return Err(Error::not_found(format!("document `{key}`"), remedy));
        };
        let live = &self.segments[at];
        let admitted = admitted(live, query.filter.as_ref())?.contains(doc);
        let mut impacts = ImpactVector::default();
        live.segment().postings().read(doc, &mut impacts)?;
        let (score, weights) = match query.rescore {
            _ if query.mode == Mode::FloatExact => {
                let place = Place {
                    segment: at,
                    doc,
                    score: 0,
                };
                let (vector, own) = (kept(query), self.own_vector(&place)?);
                let parts = vector.iter().map(|(term, weight)| {
                    let own = own.weight(term).unwrap_or(0.0);
                    (term, weight, own, weight * own)
                });
                (float_exact::score(&vector, &own), parts.collect())
            }
            None => self.quantized_parts(query, &impacts)?,
            Some(_) => {
                let vector = self.rescoring_vector(live.segment(), doc, &mut impacts)?;
                let parts = query.vector.iter().map(|(term, weight)| {
                    let document_weight = vector.weight(term).unwrap_or(0.0);
                    (term, weight, document_weight, weight * document_weight)
                });
                (query.vector.dot(&vector), parts.collect())
            }
        };
        let mut terms = Vec::with_capacity(weights.len());
        for (term, query_weight, document_weight, contribution) in weights {
            terms.push(TermExplanation {
                term,
                label: self.label(at, term)?,
                query_weight,
                document_weight,
                contribution,
                origin: origin(query, term),
            });
        }
        let mut explanation = Explanation {
            key: key.clone(),
            score,
            admitted,
            terms,
        };
        explanation.sort();
        Ok(explanation)
    }

    /// The live documents that `filter` matches, segment by segment, for deletion. The filter is
    /// checked first.
    pub(crate) fn matching(&self, filter: &Filter) -> Result<Vec<Vec<DocId>>> {
        filter.check(self.schema)?;
        let sets = self.segments.iter().map(|live| {
            let mut docs = Vec::new();
            let set = admitted(live, Some(filter))?;
            for_each(&set, live.segment().doc_count(), |doc| {
                docs.push(doc);
                Ok(())
            })?;
            Ok(docs)
        });
        sets.collect()
    }

    /// Where a live document is: position of its segment, and its id there.
    pub(crate) fn find(&self, key: &[u8]) -> Result<Option<(usize, DocId)>> {
        for (at, live) in self.segments.iter().enumerate() {
            if let Some(doc) = live.find(key)? {
                return Ok(Some((at, doc)));
            }
        }
        Ok(None)
    }

    /// For [`Statistics`](crate::Statistics).
    pub(crate) fn document_count(&self) -> u64 {
        self.segments
            .iter()
            .map(|live| u64::from(live.live_count()))
            .sum()
    }

    /// For [`Statistics`](crate::Statistics).
    pub(crate) fn document_frequency(&self, term: TermId) -> u64 {
        self.segments
            .iter()
            .map(|live| live.document_frequency(term))
            .sum()
    }

    fn check(&self, query: &Query) -> Result<()> {
        if let Some(filter) = &query.filter {
            filter.check(self.schema)?;
        }
        for name in &query.fields {
            self.schema.named(name)?;
        }
        if query.least_score.is_some_and(f32::is_nan) {
            return Err(Error::invalid("least score", "a number", "NaN"));
        }
        Ok(())
    }

    /// The smallest integer score whose hit shows at least the query's least score. Rounding to
    /// `f32` makes several integer scores show as one; all of them count.
    fn least_score(&self, query: &Query, quantized: &QuantizedQuery) -> u32 {
        let Some(wanted) = query.least_score else {
            return 0;
        };
        let mut least = quantized.least_score(wanted, self.scale);
        while let Some(below) = least.checked_sub(1)
            && quantized.real_score(below, self.scale) >= wanted
            && below > 0
        {
            least = below;
        }
        least
    }

    /// The best `k` documents of at least `least`, in order, and whether that is proven.
    pub(super) fn best(
        &self,
        query: &Query,
        quantized: &QuantizedQuery,
        (k, least): (usize, u32),
        scratch: &mut Scratch,
    ) -> Result<(Vec<Place<u32>>, bool)> {
        let mut best: Vec<Place<u32>> = Vec::new();
        let mut exact = true;
        if quantized.terms().is_empty() {
            return Ok((best, exact));
        }
        let mut order: Vec<usize> = (0..self.segments.len()).collect();
        // The largest first: it most likely has the scores that spare work in the others.
        order.sort_by_key(|&at| std::cmp::Reverse(self.segments[at].live_count()));
        let mut top = TopK::default();
        let mut found = Vec::new();
        for at in order {
            let live = &self.segments[at];
            let allowed = admitted(live, query.filter.as_ref())?;
            if matches!(&allowed, DocSet::Few(docs) if docs.is_empty()) {
                continue;
            }
            let floor = match best.last() {
                Some(worst) if best.len() == k => worst.score.max(least),
                _ => least,
            };
            top.reset(k, floor);
            let segment = live.segment();
            if query.mode == Mode::Exhaustive {
                score_all(segment, quantized, &allowed, &mut top)?;
            } else {
                let segment_query = SegmentQuery {
                    query: quantized,
                    allowed: &allowed,
                    ranks: segment.ranks(),
                    effort: effort(query.mode, live, k),
                };
                let proof = search_postings(segment.postings(), &segment_query, &mut top, scratch)?;
                exact &= proof == Proof::Exact;
            }
            found.clear();
            top.drain_sorted(&mut found);
            let places = found.iter().map(|found| Place {
                segment: at,
                doc: found.doc,
                score: found.score,
            });
            best = self.merged(best, places.collect(), k)?;
        }
        Ok((best, exact))
    }

    /// Two sorted lists as one of at most `k`.
    fn merged(
        &self,
        left: Vec<Place<u32>>,
        right: Vec<Place<u32>>,
        k: usize,
    ) -> Result<Vec<Place<u32>>> {
        if left.is_empty() {
            return Ok(right);
        }
        let len = left.len().saturating_add(right.len()).min(k);
        let mut all = Vec::with_capacity(len);
        let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
        while all.len() < len {
            let takes_left = match (left.peek(), right.peek()) {
                (Some(a), Some(b)) => match b.score.cmp(&a.score) {
                    Ordering::Equal => self.key(a)? <= self.key(b)?,
                    order => order == Ordering::Less,
                },
                (a, _) => a.is_some(),
            };
            all.extend(if takes_left {
                left.next()
            } else {
                right.next()
            });
        }
        Ok(all)
    }

    /// Candidates by the full query and the fullest vector there is.
    fn rescored(&self, query: &Query, candidates: &[Place<u32>]) -> Result<Vec<Place<f32>>> {
        let mut impacts = ImpactVector::default();
        let mut ranked = Vec::with_capacity(candidates.len());
        for place in candidates {
            let segment = self.segments[place.segment].segment();
            let score = match segment.full_dot(place.doc, &query.vector)? {
                Some(score) => score,
                None => {
                    let vector = self.rescoring_vector(segment, place.doc, &mut impacts)?;
                    query.vector.dot(&vector)
                }
            };
            if query.least_score.is_none_or(|least| score >= least) {
                ranked.push(Place {
                    segment: place.segment,
                    doc: place.doc,
                    score,
                });
            }
        }
        ranked.sort_by(|a, b| b.score.total_cmp(&a.score));
        // Keys are read for ties only: there are seldom any, and reading a hundred keys takes as
        // long as the first step.
        for tied in ranked.chunk_by_mut(|a, b| a.score.total_cmp(&b.score).is_eq()) {
            if tied.len() > 1 {
                let keyed = tied.iter().map(|place| Ok((self.key(place)?, *place)));
                let mut keyed = keyed.collect::<Result<Vec<_>>>()?;
                keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
                for (place, (_, sorted)) in tied.iter_mut().zip(keyed) {
                    *place = sorted;
                }
            }
        }
        Ok(ranked)
    }

    /// The fullest vector of a document that there is.
    fn rescoring_vector(
        &self,
        segment: &Segment,
        doc: DocId,
        impacts: &mut ImpactVector,
    ) -> Result<SparseVector> {
        if let Some(full) = segment.full_vector(doc)? {
            return Ok(full);
        }
        segment.postings().read(doc, impacts)?;
        let weights = impacts.impacts.iter();
        let weights = weights.map(|impact| self.scale.weight(*impact));
        SparseVector::from_sorted(impacts.terms.clone(), weights.collect())
    }

    /// Score and parts of a document as the integer search sees it.
    fn quantized_parts(&self, query: &Query, impacts: &ImpactVector) -> Result<Parts> {
        let quantized = QuantizedQuery::new(&kept(query))?;
        let score = quantized.real_score(impacts.score(&quantized), self.scale);
        let parts = quantized.terms().iter().map(|&(term, weight)| {
            let at = impacts.terms.binary_search(&term).ok();
            let impact = at.map_or(0, |at| impacts.impacts[at]);
            let product = u32::from(weight) * u32::from(impact);
            #[expect(
                clippy::cast_possible_truncation,
                reason = "rounding to the precision of the weights is meant"
            )]
            let query_weight = (f64::from(weight) * quantized.unit()) as f32;
            let contribution = quantized.real_score(product, self.scale);
            (term, query_weight, self.scale.weight(impact), contribution)
        });
        Ok((score, parts.collect()))
    }

    pub(super) fn hit(&self, query: &Query, segment: usize, doc: DocId, score: f32) -> Result<Hit> {
        let segment = self.segments[segment].segment();
        let mut hit = Hit::new(segment.key(doc)?, score);
        for name in &query.fields {
            if let Some(value) = segment.fields().value_of(name, doc)? {
                hit.fields.push((name.clone(), value));
            }
        }
        Ok(hit)
    }

    pub(super) fn key<S>(&self, place: &Place<S>) -> Result<DocKey> {
        self.segments[place.segment].segment().key(place.doc)
    }

    /// What a term means: the document's own segment is asked first.
    fn label(&self, first: usize, term: TermId) -> Result<Option<String>> {
        let others = (0..self.segments.len()).filter(|at| *at != first);
        for at in [first].into_iter().chain(others) {
            if let Some(label) = self.segments[at].segment().label(term)? {
                return Ok(Some(label.to_owned()));
            }
        }
        Ok(None)
    }
}

/// A score, and per term: query weight, document weight, contribution.
type Parts = (f32, Vec<(TermId, f32, f32, f32)>);

/// How far the bounds of a segment are lessened: as was measured there, if it was.
fn effort(mode: Mode, live: &LiveSegment, k: usize) -> Effort {
    match (mode, live.calibration()) {
        (Mode::Approximate(Approximation::Recall(recall)), Some(found)) if recall < 1.0 => {
            Effort::Approximate(Share(found.share(k, recall)))
        }
        (mode, _) => Effort::from(mode),
    }
}

/// The query's vector as the first step sees it.
pub(super) fn kept(query: &Query) -> SparseVector {
    match query.keep {
        Some(terms) => query.vector.keep(terms),
        None => query.vector.clone(),
    }
}

fn origin(query: &Query, term: TermId) -> Origin {
    match &query.own_terms {
        None => Origin::Unknown,
        Some(own) if own.contains(&term) => Origin::Text,
        Some(_) => Origin::Expansion,
    }
}

/// The definition of a search: every allowed document, one by one.
fn score_all(
    segment: &Segment,
    query: &QuantizedQuery,
    allowed: &DocSet<'_>,
    top: &mut TopK,
) -> Result<()> {
    let mut vector = ImpactVector::default();
    for_each(allowed, segment.doc_count(), |doc| {
        segment.postings().read(doc, &mut vector)?;
        let rank = segment.ranks().get(doc.index());
        let rank = rank.map_or(u32::MAX, |rank| u32::from_le_bytes(*rank));
        top.push(vector.score(query), rank, doc);
        Ok(())
    })
}

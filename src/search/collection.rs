//! The live segments of a snapshot as one searchable thing.
//!
//! Segments are searched one after another; the k-th best score so far is the floor of the next.
//! A document that just reaches the floor may still win by its key, so ties are kept until keys
//! decide.

use std::cmp::{Ordering, Reverse};

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
    top_k::{Found, TopK},
};
use crate::{
    error::{Error, Result},
    id::{DocId, TermId},
    quantize::{ImpactVector, QuantizedQuery, Scale},
    segment::{DocKey, LiveSegment, Schema, Segment},
    sparse::SparseVector,
};

/// Hits between two steps of fetching a key ahead.
const AHEAD_KEYS: usize = 8;

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
        let mut hits = Hits::default();
        self.search_into(query, scratch, &mut hits)?;
        Ok(hits)
    }

    /// [`Collection::search`] into hits whose memory is used again. A plain query allocates
    /// nothing but for hits and scratch that are too small.
    pub(crate) fn search_into(
        &self,
        query: &Query,
        scratch: &mut Scratch,
        hits: &mut Hits,
    ) -> Result<()> {
        self.check(query)?;
        hits.restart(true);
        let wanted = query.offset.saturating_add(query.top);
        if query.top == 0 {
            return Ok(());
        }
        if query.mode == Mode::FloatExact {
            *hits = self.search_floats(query, scratch)?;
            return Ok(());
        }
        // Taken out while a search fills it and uses the scratch.
        let mut gathered = std::mem::take(&mut scratch.gathered);
        let found = match query.rescore {
            None => self.search_once(query, wanted, scratch, &mut gathered, hits),
            Some(candidates) => {
                let candidates = candidates.max(wanted);
                self.search_twice(query, candidates, scratch, &mut gathered, hits)
            }
        };
        scratch.gathered = gathered;
        found
    }

    fn search_once(
        &self,
        query: &Query,
        wanted: usize,
        scratch: &mut Scratch,
        gathered: &mut Gathered,
        hits: &mut Hits,
    ) -> Result<()> {
        let mut quantized = std::mem::take(&mut gathered.query);
        let filled = match query.keep {
            None => quantized.fill(&query.vector),
            Some(terms) => quantized.fill(&query.vector.keep(terms)),
        };
        let exact = filled.and_then(|()| {
            let least = self.least_score(query, &quantized);
            self.best(query, &quantized, (wanted, least), scratch, gathered)
        })?;
        let page = gathered.best.get(query.offset..).unwrap_or_default();
        for (at, place) in page.iter().enumerate() {
            self.prefetch_keys(page, at);
            let score = quantized.real_score(place.score, self.scale);
            self.hit_into(query, place.segment, place.doc, score, hits.next())?;
        }
        gathered.query = quantized;
        hits.end(exact);
        Ok(())
    }

    fn search_twice(
        &self,
        query: &Query,
        candidates: usize,
        scratch: &mut Scratch,
        gathered: &mut Gathered,
        hits: &mut Hits,
    ) -> Result<()> {
        let quantized = QuantizedQuery::new(&kept(query))?;
        self.best(query, &quantized, (candidates, 0), scratch, gathered)?;
        let ranked = self.rescored(query, &gathered.best)?;
        for place in ranked.iter().skip(query.offset).take(query.top) {
            self.hit_into(query, place.segment, place.doc, place.score, hits.next())?;
        }
        hits.end(false);
        Ok(())
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

    /// Gathers the best `k` documents of at least `least`, in order; says whether that is proven.
    pub(super) fn best(
        &self,
        query: &Query,
        quantized: &QuantizedQuery,
        (k, least): (usize, u32),
        scratch: &mut Scratch,
        gathered: &mut Gathered,
    ) -> Result<bool> {
        let Gathered {
            order,
            top,
            found,
            best,
            merged,
            ..
        } = gathered;
        best.clear();
        let mut exact = true;
        if quantized.terms().is_empty() {
            return Ok(exact);
        }
        order.clear();
        order.extend(0..self.segments.len());
        // The largest first: it most likely has the scores that spare work in the others.
        order.sort_unstable_by_key(|&at| (Reverse(self.segments[at].live_count()), at));
        for &at in &*order {
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
                score_all(segment, quantized, &allowed, top)?;
            } else {
                let segment_query = SegmentQuery {
                    query: quantized,
                    allowed: &allowed,
                    ranks: segment.ranks()?,
                    effort: effort(query.mode, live, k),
                };
                let proof = search_postings(segment.postings(), &segment_query, top, scratch)?;
                exact &= proof == Proof::Exact;
            }
            found.clear();
            top.drain_sorted(found);
            let places = found.iter().map(|found| Place {
                segment: at,
                doc: found.doc,
                score: found.score,
            });
            if best.is_empty() {
                best.extend(places);
            } else {
                self.merge(best, places, k, merged)?;
                std::mem::swap(best, merged);
            }
        }
        Ok(exact)
    }

    /// Two sorted lists as one of at most `k`.
    fn merge(
        &self,
        left: &[Place<u32>],
        right: impl Iterator<Item = Place<u32>>,
        k: usize,
        into: &mut Vec<Place<u32>>,
    ) -> Result<()> {
        into.clear();
        let (mut left, mut right) = (left.iter().copied().peekable(), right.peekable());
        while into.len() < k {
            let takes_left = match (left.peek(), right.peek()) {
                (Some(a), Some(b)) => match b.score.cmp(&a.score) {
                    Ordering::Equal => self.key(a)? <= self.key(b)?,
                    order => order == Ordering::Less,
                },
                (a, _) => a.is_some(),
            };
            let next = if takes_left {
                left.next()
            } else {
                right.next()
            };
            let Some(next) = next else {
                break;
            };
            into.push(next);
        }
        Ok(())
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

    /// Asks for the keys of places some way after `at`.
    fn prefetch_keys(&self, page: &[Place<u32>], at: usize) {
        for step in 0..Segment::PREFETCH_KEY_STEPS {
            let ahead = (Segment::PREFETCH_KEY_STEPS - step) * AHEAD_KEYS;
            if let Some(place) = page.get(at + ahead) {
                let segment = self.segments[place.segment].segment();
                segment.prefetch_key(place.doc, step);
            }
        }
    }

    pub(super) fn hit_into(
        &self,
        query: &Query,
        segment: usize,
        doc: DocId,
        score: f32,
        hit: &mut Hit,
    ) -> Result<()> {
        let segment = self.segments[segment].segment();
        segment.read_key(doc, hit.restart(score))?;
        for name in &query.fields {
            if let Some(value) = segment.fields().value_of(name, doc)? {
                hit.fields.push((name.clone(), value));
            }
        }
        Ok(())
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

/// What a search gathers, kept between searches.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    query: QuantizedQuery,
    order: Vec<usize>,
    top: TopK,
    found: Vec<Found>,
    pub(super) best: Vec<Place<u32>>,
    merged: Vec<Place<u32>>,
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
    let ranks = segment.ranks()?;
    for_each(allowed, segment.doc_count(), |doc| {
        segment.postings().read(doc, &mut vector)?;
        let rank = ranks.get(doc.index());
        let rank = rank.map_or(u32::MAX, |rank| u32::from_le_bytes(*rank));
        top.push(vector.score(query), rank, doc);
        Ok(())
    })
}

//! The second of two steps: candidates by the full query and the fullest vectors that there are.
//!
//! Candidates are taken in the order in which they are stored, so that those of one block share
//! its look-ups, and so that what comes next is fetched ahead: read one by one, in the order of
//! their first scores, a hundred of them took ten times the first step.

use super::{
    collection::{Collection, Place},
    query::Query,
};
use crate::{
    error::Result,
    id::{DocId, TermId},
    quantize::{ImpactVector, Scale},
    segment::{
        Segment,
        postings::{
            LayoutView,
            blocks::{BLOCK_LEN, BlocksView},
            windows::WindowsView,
        },
    },
    simd::LANES,
    sparse::{SparseVector, count_below},
};

/// How many vectors ahead the place of one is fetched, and its bytes.
const AHEAD_PLACES: usize = 16;
const AHEAD_BYTES: usize = 8;
/// How many blocks ahead one is fetched.
const AHEAD_BLOCKS: usize = 4;

impl Collection<'_> {
    /// Candidates by the full query and the fullest vector there is.
    pub(super) fn rescored(
        &self,
        query: &Query,
        candidates: &[Place<u32>],
    ) -> Result<Vec<Place<f32>>> {
        let mut stored: Vec<_> = candidates.iter().map(|at| (at.segment, at.doc)).collect();
        stored.sort_unstable();
        let mut ranked = Vec::with_capacity(candidates.len());
        let mut docs = Vec::new();
        for one in stored.chunk_by(|a, b| a.0 == b.0) {
            docs.clear();
            docs.extend(one.iter().map(|(_, doc)| *doc));
            let at = one[0].0;
            let mut add = |doc, score| {
                if query.least_score.is_none_or(|least| score >= least) {
                    let segment = at;
                    ranked.push(Place {
                        segment,
                        doc,
                        score,
                    });
                }
            };
            let segment = self.segments[at].segment();
            by_full_vectors(segment, &query.vector, &mut docs, &mut add)?;
            by_impacts(segment, self.scale, &query.vector, &docs, &mut add)?;
        }
        ranked.sort_unstable_by(|a, b| {
            let stored = (a.segment, a.doc).cmp(&(b.segment, b.doc));
            b.score.total_cmp(&a.score).then(stored)
        });
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
}

/// Calls `add` with the documents that have a fuller vector, and leaves the others in `docs`.
fn by_full_vectors(
    segment: &Segment,
    query: &SparseVector,
    docs: &mut Vec<DocId>,
    add: &mut impl FnMut(DocId, f32),
) -> Result<()> {
    if !segment.has_full_vectors() {
        return Ok(());
    }
    for doc in docs.iter().take(AHEAD_PLACES) {
        segment.prefetch_full_place(*doc);
    }
    for doc in docs.iter().take(AHEAD_BYTES) {
        segment.prefetch_full(*doc);
    }
    let mut without = 0;
    for at in 0..docs.len() {
        if let Some(ahead) = docs.get(at + AHEAD_PLACES) {
            segment.prefetch_full_place(*ahead);
        }
        if let Some(ahead) = docs.get(at + AHEAD_BYTES) {
            segment.prefetch_full(*ahead);
        }
        let doc = docs[at];
        match segment.full_dot(doc, query)? {
            Some(score) => add(doc, score),
            None => {
                docs[without] = doc;
                without += 1;
            }
        }
    }
    docs.truncate(without);
    Ok(())
}

/// Calls `add` with documents that rise and the dot products of their dequantized vectors: bit for
/// bit what [`SparseVector::dot`] gives.
fn by_impacts(
    segment: &Segment,
    scale: Scale,
    query: &SparseVector,
    docs: &[DocId],
    add: &mut impl FnMut(DocId, f32),
) -> Result<()> {
    if docs.is_empty() {
        return Ok(());
    }
    let postings = segment.postings();
    match postings.layout() {
        LayoutView::Blocks(view, _) => in_blocks(&view, scale, query, docs, add),
        LayoutView::Windows(view) => in_windows(&view, scale, query, docs, add)?,
    }
    postings.damage()
}

fn in_windows(
    view: &WindowsView<'_>,
    scale: Scale,
    query: &SparseVector,
    docs: &[DocId],
    add: &mut impl FnMut(DocId, f32),
) -> Result<()> {
    // Places rise as terms do.
    let query: Vec<(TermId, f64)> = query
        .iter()
        .filter_map(|(term, weight)| {
            let place = u32::try_from(view.place(term)?).ok()?;
            Some((TermId::from(place), f64::from(weight)))
        })
        .collect();
    let weights = weights(scale);
    let vectors = view.vectors();
    let mut document = ImpactVector::default();
    for doc in docs.iter().take(AHEAD_PLACES) {
        vectors.prefetch_place(*doc);
    }
    for doc in docs.iter().take(AHEAD_BYTES) {
        vectors.prefetch(*doc);
    }
    for (next, &doc) in docs.iter().enumerate() {
        if let Some(ahead) = docs.get(next + AHEAD_PLACES) {
            vectors.prefetch_place(*ahead);
        }
        if let Some(ahead) = docs.get(next + AHEAD_BYTES) {
            vectors.prefetch(*ahead);
        }
        vectors.read_places(doc, &mut document)?;
        let mut at = 0;
        let mut sum = 0.0_f64;
        for &(place, weight) in &query {
            let rest = document.terms.get(at..).unwrap_or_default();
            at += count_below(rest, place);
            if document.terms.get(at) == Some(&place) {
                sum += weight * weights[usize::from(document.impacts[at])];
            }
        }
        add(doc, rounded(sum));
    }
    Ok(())
}

/// What each impact stands for.
fn weights(scale: Scale) -> [f64; 256] {
    let mut weights = [0.0; 256];
    for (weight, impact) in weights.iter_mut().zip(0..=u8::MAX) {
        *weight = f64::from(scale.weight(impact));
    }
    weights
}

fn in_blocks(
    view: &BlocksView<'_>,
    scale: Scale,
    query: &SparseVector,
    docs: &[DocId],
    add: &mut impl FnMut(DocId, f32),
) {
    // By rising term, so that each sum is added up in the order of its definition.
    let terms: Vec<(u32, f64)> = query
        .iter()
        .filter_map(|(term, weight)| Some((view.find(term)?, f64::from(weight))))
        .collect();
    let weights = weights(scale);
    let block_of = |doc: DocId| doc.0 / BLOCK_LEN;
    let groups = || docs.chunk_by(|a, b| block_of(*a) == block_of(*b));
    let mut ahead = groups();
    for group in ahead.by_ref().take(AHEAD_BLOCKS) {
        view.prefetch_block(block_of(group[0]));
    }
    for group in groups() {
        if let Some(ahead) = ahead.next() {
            view.prefetch_block(block_of(ahead[0]));
        }
        // A damaged block is remembered by its file.
        let Some(block) = view.block(block_of(group[0])) else {
            continue;
        };
        let lane = |doc: DocId| (doc.0 % BLOCK_LEN) as usize;
        let wanted = group.iter().fold(0_u8, |mask, doc| mask | 1 << lane(*doc));
        let mut sums = [0.0_f64; LANES];
        for &(number, weight) in &terms {
            let Some(found) = block.find(number) else {
                continue;
            };
            let mut lanes = found.mask & wanted;
            while lanes != 0 {
                let lane = lanes.trailing_zeros() as usize % LANES;
                sums[lane] += weight * weights[usize::from(found.of(lane))];
                lanes &= lanes - 1;
            }
        }
        for &doc in group {
            add(doc, rounded(sums[lane(doc)]));
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "rounding to the precision of the weights is meant"
)]
fn rounded(sum: f64) -> f32 {
    sum as f32
}

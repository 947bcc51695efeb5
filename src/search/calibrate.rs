//! Measures, once per large segment, what recall approximate search reaches, so that nobody has to
//! choose how far bounds may be lessened.
//!
//! Queries are the caller's samples or, without any, documents of the segment itself, shortened and
//! searched among all others: half of them to their heaviest terms, half to terms of every weight,
//! because a query has both, and which of the two is harder depends on the encoder. What is kept is
//! the lower of the two means of recall, each less its standard error: the target should be met by
//! other queries too.

use std::cmp::Reverse;

use super::{
    doc_set::DocSet,
    postings::{Effort, SegmentQuery, Share},
    pruned,
    scratch::Scratch,
    top_k::TopK,
};
use crate::{
    error::Result,
    format::{Calibration, RECALL_ONE, SHARES, TOPS},
    id::DocId,
    progress::Progress,
    quantize::{ImpactVector, QUERY_TERMS_MAX, QuantizedQuery},
    segment::{Segment, parallel::in_order, postings::LayoutView},
    sparse::SparseVector,
};

/// Queries for each number of results: enough for a standard error of two in a thousand, few
/// enough to take a second at a million documents, a few seconds where no order helps.
const SAMPLES: [usize; TOPS.len()] = [192, 64, 24];

/// Queries that a thread measures before it takes others.
const PIECE: usize = 4;

/// Documents find their like more easily than queries do, whatever they are cut to: so many times
/// what they miss is taken for what queries miss (`docs/decisions.md` has the measurement).
const STAND_IN_MISSES: u16 = 3;

/// As many terms as learned queries have.
const QUERY_TERMS: usize = 40;

/// Below, approximate search saves nothing worth a measurement.
const LEAST_DOCUMENTS: u32 = 4096;

/// Recalls below this are not told apart.
const LEAST_RECALL: f64 = 0.5;

/// The curves of a segment; none where it has no bounds to lessen, or too few documents.
pub(crate) fn calibrate(
    segment: &Segment,
    samples: &[SparseVector],
    threads: usize,
    progress: &mut Progress<'_>,
) -> Result<Option<Calibration>> {
    let is_blocks = matches!(segment.postings().layout(), LayoutView::Blocks(..));
    if !is_blocks || segment.doc_count() < LEAST_DOCUMENTS {
        return Ok(None);
    }
    curves(segment, samples, SAMPLES, threads, progress).map(Some)
}

fn curves(
    segment: &Segment,
    samples: &[SparseVector],
    most: [usize; TOPS.len()],
    threads: usize,
    progress: &mut Progress<'_>,
) -> Result<Calibration> {
    let mut recalls = [[RECALL_ONE; SHARES]; TOPS.len()];
    let total = most.iter().sum::<usize>() as u64;
    let mut done = 0;
    for ((top, most), curve) in TOPS.into_iter().zip(most).zip(&mut recalls) {
        for group in samples_of(segment, samples, most)? {
            let mut measured: Vec<[f64; SHARES]> = Vec::with_capacity(group.len());
            let pieces: Vec<&[Sample]> = group.chunks(PIECE).collect();
            let work = |piece: u32| {
                let samples = pieces.get(DocId(piece).index());
                Measure::new(segment).all(samples.copied().unwrap_or_default(), top)
            };
            let count = u32::try_from(pieces.len()).unwrap_or(u32::MAX);
            in_order(threads, count, work, |_, recalls| {
                progress.step("calibrating", done, total)?;
                done += PIECE as u64;
                measured.extend(recalls);
                Ok(())
            })?;
            let times = if samples.is_empty() {
                STAND_IN_MISSES
            } else {
                1
            };
            for (kept, found) in curve.iter_mut().zip(summary(&measured)) {
                let misses = (RECALL_ONE - found).saturating_mul(times);
                *kept = (RECALL_ONE - misses).min(*kept);
            }
        }
    }
    Ok(Calibration { recalls })
}

/// A query, and the document that it was made from.
struct Sample {
    query: QuantizedQuery,
    own: Option<DocId>,
}

/// At most `most` queries, spread evenly over what there is, in groups of a kind.
fn samples_of(segment: &Segment, given: &[SparseVector], most: usize) -> Result<Vec<Vec<Sample>>> {
    if !given.is_empty() {
        let stride = given.len().div_ceil(most);
        let samples = given.iter().step_by(stride).map(|vector| {
            let query = QuantizedQuery::new(&vector.keep(QUERY_TERMS_MAX))?;
            Ok(Sample { query, own: None })
        });
        return Ok(vec![samples.collect::<Result<_>>()?]);
    }
    let mut impacts = ImpactVector::default();
    let (mut heaviest, mut of_every_weight) = (Vec::new(), Vec::new());
    let count = segment.doc_count();
    let stride = count / u32::try_from(most).unwrap_or(u32::MAX);
    for doc in (0..count).step_by(DocId(stride.max(1)).index()).take(most) {
        segment.postings().read(DocId(doc), &mut impacts)?;
        let (group, vector) = match heaviest.len() <= of_every_weight.len() {
            true => (&mut heaviest, shortened(&impacts, 1)?),
            false => (
                &mut of_every_weight,
                shortened(&impacts, impacts.len().div_ceil(QUERY_TERMS))?,
            ),
        };
        group.push(Sample {
            query: QuantizedQuery::new(&vector)?,
            own: Some(DocId(doc)),
        });
    }
    Ok(vec![heaviest, of_every_weight])
}

/// Every `stride`-th term by falling impact, as many as queries have.
fn shortened(impacts: &ImpactVector, stride: usize) -> Result<SparseVector> {
    let mut terms: Vec<_> = impacts.iter().collect();
    terms.sort_unstable_by_key(|&(term, impact)| (Reverse(impact), term));
    let kept = terms.into_iter().step_by(stride.max(1)).take(QUERY_TERMS);
    // Weights of queries fall less steeply than those of documents, about as their roots do.
    SparseVector::new(kept.map(|(term, impact)| (term.get(), f32::from(impact).sqrt())))
}

struct Measure<'a> {
    segment: &'a Segment,
    scratch: Scratch,
    top: TopK,
}

impl<'a> Measure<'a> {
    fn new(segment: &'a Segment) -> Measure<'a> {
        Measure {
            segment,
            scratch: Scratch::new(),
            top: TopK::default(),
        }
    }

    fn all(&mut self, samples: &[Sample], top: usize) -> Result<Vec<[f64; SHARES]>> {
        let recalls = samples.iter().map(|sample| self.recalls(sample, top));
        recalls.filter_map(Result::transpose).collect()
    }

    /// The recall of one query at each share, of one search; none where it has no result.
    fn recalls(&mut self, sample: &Sample, top: usize) -> Result<Option<[f64; SHARES]>> {
        let postings = self.segment.postings();
        let LayoutView::Blocks(blocks, _) = postings.layout() else {
            return Ok(None);
        };
        let shares = std::array::from_fn::<_, SHARES, _>(|step| Share(Calibration::share_of(step)));
        let query = SegmentQuery {
            query: &sample.query,
            allowed: &DocSet::All,
            ranks: self.segment.ranks()?,
            effort: Effort::Approximate(shares[0]),
        };
        let others = |top: &TopK| {
            let found = top.found().filter(|found| Some(found.doc) != sample.own);
            found.map(|found| found.score).collect::<Vec<u32>>()
        };
        self.top.reset(top + usize::from(sample.own.is_some()), 0);
        let mut found = [const { Vec::new() }; SHARES];
        let mut ended = |step: usize, top: &TopK| found[step] = others(top);
        pruned::search_by_shares(
            &blocks,
            &query,
            &shares,
            &mut ended,
            &mut self.top,
            &mut self.scratch,
        );
        postings.damage()?;
        let mut exact = others(&self.top);
        exact.sort_unstable_by_key(|&score| Reverse(score));
        exact.truncate(top);
        let Some(&worst) = exact.last() else {
            return Ok(None);
        };
        let mut recalls = [0.0; SHARES];
        for (recall, found) in recalls.iter_mut().zip(found) {
            // Equal scores are equally good, whichever document has them.
            let true_ones = found.iter().filter(|&&score| score >= worst).count();
            *recall = ratio(true_ones.min(exact.len()), exact.len());
            if *recall < LEAST_RECALL {
                break;
            }
        }
        Ok(Some(recalls))
    }
}

/// Per share the mean less its standard error, made not to rise.
fn summary(measured: &[[f64; SHARES]]) -> [u16; SHARES] {
    let mut curve = [0; SHARES];
    let mut most = RECALL_ONE;
    for (step, kept) in curve.iter_mut().enumerate() {
        let values = measured.iter().map(|recalls| recalls[step]);
        let mean = values.clone().sum::<f64>() / float(measured.len().max(1));
        let squares = values.map(|value| (value - mean) * (value - mean));
        let variance = squares.sum::<f64>() / float(measured.len().max(2) - 1);
        let error = (variance / float(measured.len().max(1))).sqrt();
        let lower = (mean - error).clamp(0.0, 1.0) * f64::from(RECALL_ONE);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to what a recall can be"
        )]
        let lower = lower as u16;
        most = most.min(lower);
        *kept = most;
    }
    curve
}

fn ratio(part: usize, whole: usize) -> f64 {
    float(part) / float(whole)
}

fn float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{postings::search_postings, top_k::Found},
        *,
    };
    use crate::segment::{Document, testing};

    fn documents() -> Vec<Document> {
        let corpus = crate::segment::postings::testing::corpus(900, 300, 5);
        let documents = corpus.iter().enumerate().map(|(at, impacts)| {
            let pairs = impacts.iter().map(|(term, impact)| {
                let weight = f32::from(impact) / 64.0;
                (term.get(), weight)
            });
            Document::new(format!("{at:04}"), SparseVector::new(pairs).unwrap())
        });
        documents.collect()
    }

    fn curves_of(samples: &[SparseVector], threads: usize) -> Calibration {
        let live = testing::merged_in_blocks(&[testing::live(&documents())]);
        let none = &mut Progress::none();
        curves(live.segment(), samples, [24, 12, 6], threads, none).unwrap()
    }

    #[test]
    fn curves_fall_from_one_and_depend_on_the_samples() {
        let own = curves_of(&[], 1);
        for curve in &own.recalls {
            assert!(curve.is_sorted_by(|a, b| a >= b), "{curve:?}");
            assert!(curve[0] > RECALL_ONE / 10 * 7, "{curve:?}");
        }
        assert_eq!(own, curves_of(&[], 3), "the same at every time");
        let given: Vec<SparseVector> = documents()
            .iter()
            .step_by(40)
            .map(|document| document.vector().keep(3))
            .collect();
        assert_ne!(own, curves_of(&given, 2));
    }

    /// The best others of a search of its own.
    fn found(segment: &Segment, sample: &Sample, top: usize, effort: Effort) -> Vec<Found> {
        let query = SegmentQuery {
            query: &sample.query,
            allowed: &DocSet::All,
            ranks: segment.ranks().unwrap(),
            effort,
        };
        let mut best = TopK::new(top + usize::from(sample.own.is_some()), 0);
        search_postings(segment.postings(), &query, &mut best, &mut Scratch::new()).unwrap();
        let mut found = best.into_sorted();
        found.retain(|found| Some(found.doc) != sample.own);
        found.truncate(top);
        found
    }

    #[test]
    fn one_search_finds_what_a_search_for_each_share_does() {
        let live = testing::merged_in_blocks(&[testing::live(&documents())]);
        let segment = live.segment();
        let mut kinds = [0; 3];
        for top in [1, 7, 60] {
            let samples = samples_of(segment, &[], 24).unwrap();
            for sample in samples.iter().flatten() {
                let exact = found(segment, sample, top, Effort::Exact);
                let recalls = Measure::new(segment).recalls(sample, top).unwrap();
                assert_eq!(recalls.is_none(), exact.is_empty());
                for (step, recall) in recalls.into_iter().flatten().enumerate() {
                    let effort = Effort::Approximate(Share(Calibration::share_of(step)));
                    let found = found(segment, sample, top, effort);
                    let worst = exact.last().unwrap().score;
                    let true_ones = found.iter().filter(|found| found.score >= worst).count();
                    let expected = ratio(true_ones, exact.len());
                    kinds[usize::from(recall < 1.0) + usize::from(recall < LEAST_RECALL)] += 1;
                    assert_eq!(recall, expected, "top {top}, step {step}");
                    if recall < LEAST_RECALL {
                        break;
                    }
                }
            }
        }
        assert!(kinds[0] > 100 && kinds[1] > 100, "{kinds:?}");
    }

    #[test]
    fn small_segments_and_windows_are_not_measured() {
        let live = testing::live(&documents());
        let none = &mut Progress::none();
        assert_eq!(calibrate(live.segment(), &[], 1, none).unwrap(), None);
        let blocks = testing::merged_in_blocks(&[live]);
        assert_eq!(calibrate(blocks.segment(), &[], 1, none).unwrap(), None);
    }

    #[test]
    fn a_query_is_made_of_terms_of_every_weight() {
        let mut impacts = ImpactVector::default();
        for term in 0..120_u32 {
            impacts.push(term.into(), u8::try_from(term + 1).unwrap());
        }
        let heaviest = shortened(&impacts, 1).unwrap();
        assert_eq!(heaviest.terms().first().map(|term| term.get()), Some(80));
        let spread = shortened(&impacts, 3).unwrap();
        assert_eq!((heaviest.len(), spread.len()), (40, 40));
        assert_eq!(spread.terms().first().map(|term| term.get()), Some(2));
    }
}

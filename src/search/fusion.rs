//! Several rankings of the same documents as one.
//!
//! Fusion works on ranked lists, wherever they come from: searchers with encoders of their own, runs
//! of other programs. Each list keeps its part of a fused score, so a result can say where it comes
//! from.

use std::{collections::BTreeMap, iter};

use super::{Searcher, query::Query, scratch::Scratch};
use crate::{
    error::{Error, Result},
    segment::DocKey,
};

/// The constant of Cormack, Clarke and Büttcher.
const RANK_CONSTANT: f64 = 60.0;

/// How ranked lists become one.
///
/// **Reciprocal rank fusion** adds `weight / (constant + rank)` over the lists that have an item,
/// ranks from 1 (Cormack, Clarke and Büttcher, *Reciprocal rank fusion outperforms Condorcet and
/// individual rank learning methods*, SIGIR 2009). The scores themselves do not count.
///
/// **Linear fusion** adds `weight * normalized score`. What a list lacks counts as its
/// [`Normalization`] says.
///
/// Fused scores fall; equal ones are ordered by rising item (a document's key), so an answer does
/// not depend on the order of the lists beyond the rounding of a sum of `f64`.
///
/// ```
/// use sparsely::Fusion;
/// let words = [("a", 9.0), ("b", 8.0), ("c", 1.0)];
/// let learned = [("b", 0.7), ("d", 0.6), ("a", 0.1)];
/// let fused = Fusion::reciprocal_rank().fuse(&[&words, &learned])?;
/// let order: Vec<&str> = fused.iter().map(|found| found.item).collect();
/// assert_eq!(order, ["b", "a", "d", "c"]);
/// assert_eq!(fused[0].score, 1.0 / 62.0 + 1.0 / 61.0);
/// // Where it comes from: second of the words, first of the learned.
/// let ranks: Vec<_> = fused[0].parts.iter().map(|part| part.map(|part| part.rank)).collect();
/// assert_eq!(ranks, [Some(2), Some(1)]);
/// // `d` is no word's result.
/// assert_eq!(fused[2].parts[0], None);
/// # Ok::<(), sparsely::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Fusion {
    method: Method,
    weights: Option<Vec<f64>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Method {
    ReciprocalRank { constant: f64 },
    Linear(Normalization),
}

/// How the scores of a list become comparable with another's.
///
/// A list is what was asked for, not all there is: its lowest score depends on how deep it goes.
/// Ask for as many results of each list, some hundred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Normalization {
    /// `(score - lowest) / (highest - lowest)`, 0 to 1; 1 for all when they are equal. An item that
    /// the list lacks counts 0, as its last one does.
    MinMax,
    /// `score / highest`, for scores whose lower end is known to be 0, as dot products of sparse
    /// vectors have it: no matter how deep the list goes (Bruch, Gai and Ingber, *An analysis of
    /// fusion functions for hybrid retrieval*, arXiv 2210.11934, section 4.1, where it is the
    /// theoretical minimum). An item that the list lacks counts 0. Refuses scores below 0; of a
    /// list of zeros each counts 0.
    Highest,
    /// `(score - mean) / standard deviation` over the list; 0 for all when they are equal. An item
    /// that the list lacks counts what its last one does.
    ZScore,
}

/// An item of a fused ranking.
#[derive(Clone, Debug, PartialEq)]
pub struct Fused<T> {
    /// The item: of searchers, a document's key.
    pub item: T,
    /// Its fused score. Not in any encoder's units.
    pub score: f64,
    /// What each list says of it, in the order of the lists; `None` where it was not found.
    pub parts: Vec<Option<FusedPart>>,
}

/// What one list says of a fused item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FusedPart {
    /// Its rank in that list, from 1.
    pub rank: usize,
    /// Its score there.
    pub score: f32,
    /// What the list adds to the fused score.
    pub contribution: f64,
}

impl Fusion {
    /// Reciprocal rank fusion with the constant 60.
    #[must_use]
    pub fn reciprocal_rank() -> Fusion {
        Fusion {
            method: Method::ReciprocalRank {
                constant: RANK_CONSTANT,
            },
            weights: None,
        }
    }

    /// Linear fusion with equal weights.
    #[must_use]
    pub fn linear(normalization: Normalization) -> Fusion {
        Fusion {
            method: Method::Linear(normalization),
            weights: None,
        }
    }

    /// Sets the constant of reciprocal rank fusion; 60 unless said, 10 in the runs of SPLARE's
    /// authors (arXiv 2603.13277). A smaller one lets first ranks count more. Of no meaning for
    /// linear fusion.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) unless it is finite and at least
    /// 0.
    pub fn rank_constant(mut self, constant: f64) -> Result<Fusion> {
        check("rank constant", constant)?;
        if let Method::ReciprocalRank { constant: held } = &mut self.method {
            *held = constant;
        }
        Ok(self)
    }

    /// Weighs each list, in their order; 1 each unless said.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a weight that is not finite
    /// or below 0.
    pub fn weights(mut self, weights: impl IntoIterator<Item = f64>) -> Result<Fusion> {
        let weights: Vec<f64> = weights.into_iter().collect();
        for weight in &weights {
            check("weight of a list", *weight)?;
        }
        self.weights = Some(weights);
        Ok(self)
    }

    /// Fuses ranked lists, each best first. Equal scores of a list keep their places: its order
    /// decides their ranks.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a score that is not finite, a
    /// list that does not fall or has an item twice, and weights that are not one a list.
    pub fn fuse<T: Ord + Clone, L: AsRef<[(T, f32)]>>(&self, lists: &[L]) -> Result<Vec<Fused<T>>> {
        let weights = self.weights_of(lists.len())?;
        let mut found: BTreeMap<T, Vec<Option<FusedPart>>> = BTreeMap::new();
        let mut missing = Vec::with_capacity(lists.len());
        for (at, (list, weight)) in lists.iter().zip(weights).enumerate() {
            let list = list.as_ref();
            check_list(at, list)?;
            let scale = Scale::new(self.method, at, list)?;
            for (rank, (item, score)) in (1..).zip(list) {
                let parts = found
                    .entry(item.clone())
                    .or_insert_with(|| vec![None; lists.len()]);
                let part = FusedPart {
                    rank,
                    score: *score,
                    contribution: weight * scale.worth(rank, *score),
                };
                if parts[at].replace(part).is_some() {
                    return Err(Error::invalid(
                        format!("list {at} of a fusion"),
                        "each item once",
                        format!("one twice, the second time at rank {rank}"),
                    ));
                }
            }
            missing.push(weight * scale.missing());
        }
        let mut fused: Vec<Fused<T>> = found
            .into_iter()
            .map(|(item, parts)| {
                let worths = iter::zip(&parts, &missing);
                let worths =
                    worths.map(|(part, missing)| part.map_or(*missing, |p| p.contribution));
                Fused {
                    item,
                    score: worths.sum(),
                    parts,
                }
            })
            .collect();
        // The sort is stable: equal scores stay in the order of the map, by rising item.
        fused.sort_by(|a, b| (b.score + 0.0).total_cmp(&(a.score + 0.0)));
        Ok(fused)
    }

    /// Asks each searcher its own query, of its own encoder, and fuses the answers. Each query's
    /// own [`top`](Query::top) is how deep its list goes; 100 to 1,000 is usual.
    ///
    /// ```
    /// use sparsely::{Config, Document, Encoder, Fusion, Index, LexicalEncoder, Query, Searcher};
    /// let encoders = [LexicalEncoder::code(), LexicalEncoder::text()];
    /// let mut snapshots = Vec::new();
    /// for encoder in &encoders {
    ///     let index = Index::in_memory(Config::for_encoder(encoder))?;
    ///     let mut writer = index.writer()?;
    ///     for (key, text) in [("a", "open the lock"), ("b", "merge lists"), ("c", "a door")] {
    ///         writer.upsert(Document::from_text(encoder, key, text)?)?;
    ///     }
    ///     writer.commit()?;
    ///     snapshots.push(index.snapshot()?);
    /// }
    /// let mut asked: Vec<(&dyn Searcher, Query)> = Vec::new();
    /// for (encoder, snapshot) in encoders.iter().zip(&snapshots) {
    ///     let vector = encoder.encode_query_for("open a lock", snapshot)?;
    ///     asked.push((snapshot, Query::new(vector).top(100)));
    /// }
    /// let fused = Fusion::reciprocal_rank().search(&asked)?;
    /// assert_eq!(fused[0].item.to_string(), "a");
    /// assert_eq!(fused[0].score, 2.0 / 61.0);
    /// // Why the lists have it: ask the searcher that found it.
    /// let (searcher, query) = &asked[0];
    /// let explanation = searcher.explain(query, &fused[0].item)?;
    /// assert_eq!(explanation.score, fused[0].parts[0].unwrap().score);
    /// # Ok::<(), sparsely::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Searcher::search`] and [`Fusion::fuse`].
    pub fn search(&self, asked: &[(&dyn Searcher, Query)]) -> Result<Vec<Fused<DocKey>>> {
        self.search_with(asked, &mut Scratch::new())
    }

    /// As [`Fusion::search`], with working memory that is kept between queries.
    ///
    /// # Errors
    /// As [`Fusion::search`].
    pub fn search_with(
        &self,
        asked: &[(&dyn Searcher, Query)],
        scratch: &mut Scratch,
    ) -> Result<Vec<Fused<DocKey>>> {
        let mut lists = Vec::with_capacity(asked.len());
        for (searcher, query) in asked {
            let hits = searcher.search_with(query, scratch)?;
            let list = hits.into_iter().map(|hit| {
                let score = hit.score();
                (hit.into_key(), score)
            });
            lists.push(list.collect::<Vec<_>>());
        }
        self.fuse(&lists)
    }

    fn weights_of(&self, lists: usize) -> Result<Vec<f64>> {
        match &self.weights {
            None => Ok(vec![1.0; lists]),
            Some(weights) if weights.len() == lists => Ok(weights.clone()),
            Some(weights) => Err(Error::invalid(
                "weights of a fusion",
                format!("one for each of {lists} lists"),
                weights.len().to_string(),
            )),
        }
    }
}

/// What a list's scores and ranks are worth: `(score - zero) / unit`, or by rank.
struct Scale {
    method: Method,
    zero: f64,
    unit: f64,
    lowest: f64,
}

impl Scale {
    fn new<T>(method: Method, at: usize, list: &[(T, f32)]) -> Result<Scale> {
        let scores = || list.iter().map(|(_, score)| f64::from(*score));
        let highest = scores().next().unwrap_or(0.0);
        let lowest = scores().next_back().unwrap_or(0.0);
        let (zero, unit) = match method {
            Method::ReciprocalRank { .. } => (0.0, 1.0),
            Method::Linear(Normalization::MinMax) => (lowest, highest - lowest),
            Method::Linear(Normalization::Highest) if lowest < 0.0 => {
                return Err(Error::invalid(
                    format!("list {at} of a fusion"),
                    "scores of at least 0, as its normalization takes 0 for the lowest",
                    lowest.to_string(),
                ));
            }
            Method::Linear(Normalization::Highest) => (0.0, highest),
            Method::Linear(Normalization::ZScore) => {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "a list is far shorter than 2^53"
                )]
                let count = list.len().max(1) as f64;
                let mean = scores().sum::<f64>() / count;
                let variance = scores().map(|score| (score - mean).powi(2)).sum::<f64>() / count;
                (mean, variance.sqrt())
            }
        };
        Ok(Scale {
            method,
            zero,
            unit,
            lowest,
        })
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a list is far shorter than 2^53"
    )]
    fn worth(&self, rank: usize, score: f32) -> f64 {
        match self.method {
            Method::ReciprocalRank { constant } => 1.0 / (constant + rank as f64),
            Method::Linear(_) => self.normalized(f64::from(score)),
        }
    }

    /// What an item is worth that the list lacks.
    fn missing(&self) -> f64 {
        match self.method {
            Method::Linear(Normalization::ZScore) => self.normalized(self.lowest),
            _ => 0.0,
        }
    }

    fn normalized(&self, score: f64) -> f64 {
        match self.method {
            _ if self.unit > 0.0 => (score - self.zero) / self.unit,
            Method::Linear(Normalization::MinMax) => 1.0,
            _ => 0.0,
        }
    }
}

fn check(what: &str, value: f64) -> Result<()> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    Err(Error::invalid(
        what,
        "a finite number of at least 0",
        value.to_string(),
    ))
}

fn check_list<T>(at: usize, list: &[(T, f32)]) -> Result<()> {
    let what = || format!("list {at} of a fusion");
    if let Some((_, bad)) = list.iter().find(|(_, score)| !score.is_finite()) {
        return Err(Error::invalid(what(), "finite scores", bad.to_string()));
    }
    match list.windows(2).position(|pair| pair[0].1 < pair[1].1) {
        None => Ok(()),
        Some(place) => Err(Error::invalid(
            what(),
            "falling scores",
            format!("{} after {}", list[place + 1].1, list[place].1),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type List = Vec<(&'static str, f32)>;

    fn order(fused: &[Fused<&str>]) -> String {
        fused.iter().map(|found| found.item).collect()
    }

    #[test]
    fn equal_scores_rise_by_item_whatever_the_order_of_the_lists() {
        let one: List = vec![("b", 2.0), ("a", 1.0)];
        let other: List = vec![("a", 2.0), ("b", 1.0)];
        for fusion in [
            Fusion::reciprocal_rank(),
            Fusion::linear(Normalization::MinMax),
            Fusion::linear(Normalization::Highest),
            Fusion::linear(Normalization::ZScore),
        ] {
            for lists in [[&one, &other], [&other, &one]] {
                assert_eq!(order(&fusion.fuse(&lists).unwrap()), "ab", "{fusion:?}");
            }
        }
    }

    #[test]
    fn normalizations_worked_by_hand() {
        let one: List = vec![("a", 10.0), ("b", 6.0), ("c", 2.0)];
        let other: List = vec![("d", 4.0)];
        let scores = |normalization| {
            let fused = Fusion::linear(normalization).fuse(&[&one, &other]).unwrap();
            fused
                .into_iter()
                .map(|found| (found.item, found.score))
                .collect::<BTreeMap<_, _>>()
        };
        let expected = [("a", 1.0), ("b", 0.5), ("c", 0.0), ("d", 1.0)];
        assert_eq!(scores(Normalization::MinMax), BTreeMap::from(expected));
        let expected = [("a", 1.0), ("b", 0.6), ("c", 0.2), ("d", 1.0)];
        assert_eq!(scores(Normalization::Highest), BTreeMap::from(expected));
        let found = scores(Normalization::ZScore);
        // Mean 6, variance 32 / 3; what the list lacks counts as its last.
        let deviation = (32.0_f64 / 3.0).sqrt();
        assert!((found["a"] - 4.0 / deviation).abs() < 1e-12);
        assert_eq!(found["d"], found["c"]);
    }

    #[test]
    fn weights_and_the_constant_count() {
        let one: List = vec![("a", 2.0), ("b", 1.0)];
        let other: List = vec![("b", 2.0), ("a", 1.0)];
        let fusion = Fusion::reciprocal_rank().weights([1.0, 1.5]).unwrap();
        let fused = fusion.fuse(&[&one, &other]).unwrap();
        assert_eq!(order(&fused), "ba");
        let parts: f64 = fused[0]
            .parts
            .iter()
            .flatten()
            .map(|p| p.contribution)
            .sum();
        assert_eq!(fused[0].score, parts);
        let fusion = Fusion::reciprocal_rank().rank_constant(10.0).unwrap();
        assert_eq!(fusion.fuse(&[&one]).unwrap()[0].score, 1.0 / 11.0);
        assert!(
            fusion
                .clone()
                .weights([1.0])
                .unwrap()
                .fuse(&[&one, &other])
                .is_err()
        );
        for bad in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(Fusion::reciprocal_rank().weights([bad]).is_err());
            assert!(Fusion::reciprocal_rank().rank_constant(bad).is_err());
        }
    }

    #[test]
    fn bad_lists_are_refused_and_empty_ones_are_not() {
        let bad: [List; 4] = [
            vec![("a", f32::NAN)],
            vec![("a", f32::INFINITY)],
            vec![("a", 1.0), ("b", 2.0)],
            vec![("a", 1.0), ("b", 1.0), ("a", 1.0)],
        ];
        for list in &bad {
            let error = Fusion::reciprocal_rank().fuse(&[list]).unwrap_err();
            assert!(error.to_string().contains("list 0"), "{error}");
        }
        let below: List = vec![("a", 1.0), ("b", -1.0)];
        assert!(
            Fusion::linear(Normalization::Highest)
                .fuse(&[&below])
                .is_err()
        );
        assert!(
            Fusion::linear(Normalization::MinMax)
                .fuse(&[&below])
                .is_ok()
        );
        let empty: List = vec![];
        for normalization in [
            Normalization::MinMax,
            Normalization::Highest,
            Normalization::ZScore,
        ] {
            let fusion = Fusion::linear(normalization);
            let one: List = vec![("a", 0.0)];
            assert_eq!(order(&fusion.fuse(&[&empty, &one]).unwrap()), "a");
            assert!(fusion.fuse(&[&empty]).unwrap().is_empty());
        }
        assert!(
            Fusion::reciprocal_rank()
                .fuse::<&str, List>(&[])
                .unwrap()
                .is_empty()
        );
    }
}

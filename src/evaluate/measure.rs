//! The measures, as trec_eval defines them.

use std::fmt;

use super::{
    judgments::{Grades, Judgments},
    run::{Ranking, Run},
};

/// A measure of a ranking against graded judgments, 0 to 1.
///
/// A document is relevant when its grade is above 0; one that was not judged is not relevant.
/// A query that has no relevant document scores 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Measure {
    /// Normalized discounted cumulative gain of the first so many: grades divided by
    /// `log2(rank + 1)`, over the same sum for the best possible ranking (Järvelin and Kekäläinen,
    /// 2002, in the form of trec_eval's `ndcg_cut`, whose gain is the grade itself).
    Ndcg(usize),
    /// One over the rank of the first relevant document, where it is among the first so many.
    ReciprocalRank(usize),
    /// How many of the relevant documents are among the first so many.
    Recall(usize),
    /// The mean, over relevant documents, of the precision at their ranks; 0 for those not found.
    AveragePrecision,
}

impl Measure {
    /// The measure of one query's ranking.
    ///
    /// ```
    /// use sparsely::evaluate::{Grades, Measure, Ranking};
    /// let ranking = Ranking::new([("a".to_owned(), 3.0), ("b".to_owned(), 2.0)])?;
    /// let grades = Grades::from([("b".to_owned(), 1)]);
    /// assert_eq!(Measure::Ndcg(10).of(&ranking, &grades), 1.0 / 3.0_f64.log2());
    /// # Ok::<(), sparsely::Error>(())
    /// ```
    #[must_use]
    pub fn of(self, ranking: &Ranking, grades: &Grades) -> f64 {
        let relevant = grades.values().filter(|grade| **grade > 0).count();
        if relevant == 0 {
            return 0.0;
        }
        let found = ranking
            .ranked()
            .iter()
            .map(|ranked| grades.get(&ranked.document).copied().unwrap_or(0));
        match self {
            Measure::Ndcg(k) => {
                let mut ideal: Vec<i32> = grades.values().copied().collect();
                ideal.sort_unstable_by(|a, b| b.cmp(a));
                let best = gain(ideal.into_iter().take(k));
                // Of no places none can be gained.
                if best > 0.0 {
                    gain(found.take(k)) / best
                } else {
                    0.0
                }
            }
            Measure::ReciprocalRank(k) => {
                let first = found.take(k).position(|grade| grade > 0);
                first.map_or(0.0, |at| 1.0 / number(at + 1))
            }
            Measure::Recall(k) => {
                let hits = found.take(k).filter(|grade| *grade > 0).count();
                number(hits) / number(relevant)
            }
            Measure::AveragePrecision => {
                let mut hits = 0;
                let mut sum = 0.0;
                for (at, grade) in found.enumerate() {
                    if grade > 0 {
                        hits += 1;
                        sum += number(hits) / number(at + 1);
                    }
                }
                sum / number(relevant)
            }
        }
    }

    /// The mean over all queries that have a relevant document. One that the run lacks counts 0
    /// (trec_eval's `-c`); queries of the run without judgments do not count; with nothing to
    /// count, 0.
    #[must_use]
    pub fn mean(self, run: &Run, judgments: &Judgments) -> f64 {
        let mut queries = 0;
        let mut sum = 0.0;
        for (query, grades) in judgments.queries() {
            if grades.values().any(|grade| *grade > 0) {
                queries += 1;
                sum += run
                    .ranking(query)
                    .map_or(0.0, |ranking| self.of(ranking, grades));
            }
        }
        if queries == 0 {
            0.0
        } else {
            sum / number(queries)
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Measure::Ndcg(k) => write!(f, "nDCG@{k}"),
            Measure::ReciprocalRank(k) => write!(f, "MRR@{k}"),
            Measure::Recall(k) => write!(f, "recall@{k}"),
            Measure::AveragePrecision => write!(f, "MAP"),
        }
    }
}

/// Grades below zero gain nothing, as in trec_eval.
fn gain(grades: impl Iterator<Item = i32>) -> f64 {
    grades
        .enumerate()
        .map(|(at, grade)| f64::from(grade.max(0)) / number(at + 2).log2())
        .sum()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "ranks and counts of documents are far below 2^53"
)]
fn number(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranking(documents: &str) -> Ranking {
        let scored = documents.chars().rev().zip(1_u8..);
        Ranking::new(scored.map(|(c, score)| (c.to_string(), f32::from(score)))).unwrap()
    }

    fn grades(grades: &[(&str, i32)]) -> Grades {
        grades
            .iter()
            .map(|(id, grade)| ((*id).to_owned(), *grade))
            .collect()
    }

    fn assert_near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found} for {expected}");
    }

    #[test]
    fn worked_by_hand() {
        let grades = grades(&[("a", 3), ("b", 2), ("c", 1), ("d", 0), ("e", -1)]);
        let found = ranking("edbxa");
        // b at rank 3 (log2 4 = 2), a at rank 5 (log2 6).
        let dcg = 2.0 / 2.0 + 3.0 / 6.0_f64.log2();
        let best = 3.0 + 2.0 / 3.0_f64.log2() + 1.0 / 2.0;
        assert_near(Measure::Ndcg(10).of(&found, &grades), dcg / best);
        assert_near(Measure::Ndcg(3).of(&found, &grades), 1.0 / best);
        assert_near(Measure::Ndcg(2).of(&found, &grades), 0.0);
        // The best ranking is cut too.
        assert_near(Measure::Ndcg(1).of(&ranking("b"), &grades), 2.0 / 3.0);
        assert_near(Measure::ReciprocalRank(10).of(&found, &grades), 1.0 / 3.0);
        assert_near(Measure::ReciprocalRank(2).of(&found, &grades), 0.0);
        assert_near(Measure::Recall(4).of(&found, &grades), 1.0 / 3.0);
        assert_near(Measure::Recall(100).of(&found, &grades), 2.0 / 3.0);
        let precision = (1.0 / 3.0 + 2.0 / 5.0) / 3.0;
        assert_near(Measure::AveragePrecision.of(&found, &grades), precision);
    }

    #[test]
    fn nothing_to_find_is_zero() {
        for measure in [
            Measure::Ndcg(0),
            Measure::Ndcg(10),
            Measure::ReciprocalRank(0),
            Measure::Recall(0),
            Measure::AveragePrecision,
        ] {
            assert_near(measure.of(&ranking(""), &grades(&[("a", 1)])), 0.0);
            assert_near(measure.of(&ranking("a"), &grades(&[])), 0.0);
            assert_near(measure.of(&ranking("a"), &grades(&[("a", 0)])), 0.0);
            assert_near(measure.mean(&Run::default(), &Judgments::default()), 0.0);
        }
        assert_near(
            Measure::Ndcg(0).of(&ranking("a"), &grades(&[("a", 1)])),
            0.0,
        );
    }

    #[test]
    fn means_count_every_query_that_could_be_answered() {
        let mut judgments = Judgments::default();
        for (query, document, grade) in [("1", "a", 1), ("2", "a", 1), ("3", "a", 0)] {
            judgments.insert(query, document, grade).unwrap();
        }
        let mut run = Run::default();
        for query in ["1", "3", "4"] {
            run.insert(query, ranking("a"));
        }
        assert_near(Measure::Recall(10).mean(&run, &judgments), 0.5);
    }
}

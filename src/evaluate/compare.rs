//! Whether one run is better than another, or only luckier.

use super::{judgments::Judgments, measure::Measure, run::Run};

/// The same measure of two runs, query by query.
///
/// Every query that has a relevant document counts, as in [`Measure::mean`]; one that a run lacks
/// counts 0 for it.
///
/// ```
/// use sparsely::evaluate::{Comparison, Judgments, Measure, Randomization, Ranking, Run};
/// let mut judgments = Judgments::default();
/// let (mut first, mut second) = (Run::default(), Run::default());
/// for query in ["1", "2", "3", "4", "5", "6"] {
///     judgments.insert(query, "right", 1)?;
///     first.insert(query, Ranking::new([("right".to_owned(), 1.0)])?);
///     second.insert(query, Ranking::new([("wrong".to_owned(), 1.0)])?);
/// }
/// let comparison = Comparison::new(&first, &second, &judgments, Measure::Ndcg(10));
/// assert_eq!(comparison.means(), (1.0, 0.0));
/// assert_eq!((comparison.wins().count(), comparison.losses().count()), (6, 0));
/// // All signs equal happens in 2 of 2^6 ways.
/// let test = comparison.randomization(&Randomization::default());
/// assert_eq!(test.p, 2.0 / 64.0);
/// assert!(test.is_exact);
/// # Ok::<(), sparsely::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    measure: Measure,
    queries: Vec<QueryComparison>,
}

/// One query of a [`Comparison`].
#[derive(Clone, Debug, PartialEq)]
pub struct QueryComparison {
    /// The query's id.
    pub query: String,
    /// The measure of the first run.
    pub first: f64,
    /// The measure of the second run.
    pub second: f64,
}

/// How a randomization test is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Randomization {
    /// How many permutations to draw. Where there are no more than so many altogether, each is
    /// looked at once, and the test is exact.
    pub permutations: u32,
    /// Decides which are drawn.
    pub seed: u64,
}

/// What a randomization test says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Significance {
    /// How likely a difference of means at least as large, either way, is by chance: 0 to 1.
    pub p: f64,
    /// Whether all permutations were looked at.
    pub is_exact: bool,
    /// How many were.
    pub permutations: u64,
}

impl Default for Randomization {
    /// 10,000 permutations, seed 1.
    fn default() -> Randomization {
        Randomization {
            permutations: 10_000,
            seed: 1,
        }
    }
}

impl QueryComparison {
    /// The first run's measure less the second's.
    #[must_use]
    pub fn difference(&self) -> f64 {
        self.first - self.second
    }
}

impl Comparison {
    /// Measures both runs.
    #[must_use]
    pub fn new(first: &Run, second: &Run, judgments: &Judgments, measure: Measure) -> Comparison {
        let answerable = judgments
            .queries()
            .filter(|(_, grades)| grades.values().any(|grade| *grade > 0));
        let queries = answerable.map(|(query, grades)| {
            let of = |run: &Run| {
                let ranking = run.ranking(query);
                ranking.map_or(0.0, |ranking| measure.of(ranking, grades))
            };
            QueryComparison {
                query: query.to_owned(),
                first: of(first),
                second: of(second),
            }
        });
        Comparison {
            measure,
            queries: queries.collect(),
        }
    }

    /// What is compared.
    #[must_use]
    pub fn measure(&self) -> Measure {
        self.measure
    }

    /// The queries, by rising id.
    #[must_use]
    pub fn queries(&self) -> &[QueryComparison] {
        &self.queries
    }

    /// The means over all queries, the first run's and the second's; 0 where there is none.
    #[must_use]
    pub fn means(&self) -> (f64, f64) {
        let count = number(self.queries.len().max(1));
        let sum = |side: fn(&QueryComparison) -> f64| self.queries.iter().map(side).sum::<f64>();
        (sum(|q| q.first) / count, sum(|q| q.second) / count)
    }

    /// The queries that the first run answers better, the greatest difference first; equal
    /// differences by rising id.
    pub fn wins(&self) -> impl ExactSizeIterator<Item = &QueryComparison> {
        self.sorted(1.0)
    }

    /// The queries that the first run answers worse, as [`Comparison::wins`].
    pub fn losses(&self) -> impl ExactSizeIterator<Item = &QueryComparison> {
        self.sorted(-1.0)
    }

    /// The paired randomization test of the difference of means, two-sided: how often, when each
    /// query's two results change places by the toss of a coin, the means lie at least as far apart
    /// (Smucker, Allan and Carterette, *A comparison of statistical significance tests for
    /// information retrieval evaluation*, CIKM 2007, section 3.1). Of drawn permutations, `p` is
    /// `(as far + 1) / (drawn + 1)`, which is never 0; the same seed gives the same `p`.
    ///
    /// Queries without a difference do not matter. Without any difference `p` is 1.
    #[must_use]
    pub fn randomization(&self, how: &Randomization) -> Significance {
        let differences = self.queries.iter().map(QueryComparison::difference);
        let differences: Vec<f64> = differences.filter(|d| *d != 0.0).collect();
        let far = differences.iter().sum::<f64>().abs();
        // Sums of the same numbers in another order may differ in their last bits.
        let slack = 1e-12 * differences.iter().map(|d| d.abs()).sum::<f64>();
        let is_far = |sum: f64| sum.abs() >= far - slack;
        let all = u32::try_from(differences.len())
            .ok()
            .and_then(|len| 1_u64.checked_shl(len))
            .filter(|all| *all <= u64::from(how.permutations));
        if let Some(all) = all {
            let signed = |signs: u64| -> f64 {
                let terms = differences.iter().enumerate();
                terms
                    .map(|(at, d)| if signs >> at & 1 == 0 { *d } else { -d })
                    .sum()
            };
            let count = (0..all).filter(|signs| is_far(signed(*signs))).count();
            return Significance {
                p: number(count) / number_of(all),
                is_exact: true,
                permutations: all,
            };
        }
        let mut random = SplitMix(how.seed);
        let mut count = 0;
        for _ in 0..how.permutations {
            let mut sum = 0.0;
            for block in differences.chunks(64) {
                let signs = random.next();
                for (at, d) in block.iter().enumerate() {
                    sum += if signs >> at & 1 == 0 { *d } else { -d };
                }
            }
            count += usize::from(is_far(sum));
        }
        Significance {
            p: number(count + 1) / (f64::from(how.permutations) + 1.0),
            is_exact: false,
            permutations: u64::from(how.permutations),
        }
    }

    fn sorted(&self, sign: f64) -> std::vec::IntoIter<&QueryComparison> {
        let queries = self.queries.iter();
        let mut better: Vec<_> = queries.filter(|q| q.difference() * sign > 0.0).collect();
        better.sort_by(|a, b| (b.difference() * sign).total_cmp(&(a.difference() * sign)));
        better.into_iter()
    }
}

/// Steele, Lea and Flood, *Fast splittable pseudorandom number generators*, OOPSLA 2014.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn number(count: usize) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "counts are at most 2^32")]
fn number_of(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(differences: &[f64]) -> Comparison {
        let queries = differences.iter().enumerate();
        Comparison {
            measure: Measure::Ndcg(10),
            queries: queries
                .map(|(at, difference)| QueryComparison {
                    query: format!("{at:03}"),
                    first: difference.max(0.0),
                    second: (-difference).max(0.0),
                })
                .collect(),
        }
    }

    #[test]
    fn few_queries_are_tested_exactly() {
        let p = |differences: &[f64]| {
            let test = comparison(differences).randomization(&Randomization::default());
            assert!(test.is_exact);
            test.p
        };
        assert_eq!(p(&[]), 1.0);
        assert_eq!(p(&[0.0, 0.0]), 1.0);
        assert_eq!(p(&[0.5]), 1.0);
        // Of 0.1 + 0.2 + 0.4 and its 8 signs, only all plus and all minus are as far.
        assert_eq!(p(&[0.1, 0.0, 0.2, 0.4]), 0.25);
        // 0.3 - 0.1: both of +-0.2, both of +-0.4.
        assert_eq!(p(&[0.3, -0.1]), 1.0);
        assert_eq!(p(&[0.1; 13]), 2.0 / 8192.0);
    }

    #[test]
    fn drawn_permutations_come_near_the_exact_answer_and_repeat() {
        let differences: Vec<f64> = (0..13).map(|at| 0.05 * f64::from(at % 5) - 0.04).collect();
        let comparison = comparison(&differences);
        let test =
            |permutations, seed| comparison.randomization(&Randomization { permutations, seed });
        let exact = test(10_000, 1);
        let drawn = test(8_000, 1);
        assert!(exact.is_exact && !drawn.is_exact);
        assert!((exact.p - drawn.p).abs() < 0.02, "{exact:?} {drawn:?}");
        assert_eq!(drawn, test(8_000, 1));
        assert_ne!(drawn.p, test(8_000, 2).p);
        // Nothing drawn is no evidence.
        assert_eq!(test(0, 1).p, 1.0);
    }

    #[test]
    fn many_queries_all_one_way_are_significant() {
        let test = comparison(&[0.1; 500]).randomization(&Randomization::default());
        assert_eq!(test.p, 1.0 / 10_001.0);
        let mixed: Vec<f64> = (0..500)
            .map(|at| if at % 2 == 0 { 0.1 } else { -0.1 })
            .collect();
        assert!(
            comparison(&mixed)
                .randomization(&Randomization::default())
                .p
                > 0.9
        );
    }

    #[test]
    fn wins_and_losses_are_sorted() {
        let comparison = comparison(&[0.1, -0.2, 0.0, 0.3, -0.2, -0.5]);
        let ids = |queries: &mut dyn Iterator<Item = &QueryComparison>| {
            queries.map(|q| q.query.clone()).collect::<Vec<_>>()
        };
        assert_eq!(ids(&mut comparison.wins()), ["003", "000"]);
        assert_eq!(ids(&mut comparison.losses()), ["005", "001", "004"]);
        let (first, second) = comparison.means();
        assert!((first - 0.4 / 6.0).abs() < 1e-12 && (second - 0.9 / 6.0).abs() < 1e-12);
    }

    #[test]
    fn a_query_that_a_run_lacks_counts_nothing() {
        let mut judgments = Judgments::default();
        judgments.insert("1", "a", 1).unwrap();
        judgments.insert("2", "a", 0).unwrap();
        let mut run = Run::default();
        for query in ["1", "2", "3"] {
            let ranking = super::super::run::Ranking::new([("a".to_owned(), 1.0)]);
            run.insert(query, ranking.unwrap());
        }
        let empty = Run::default();
        let comparison = Comparison::new(&run, &empty, &judgments, Measure::Ndcg(10));
        assert_eq!(comparison.queries().len(), 1);
        assert_eq!(comparison.means(), (1.0, 0.0));
    }
}

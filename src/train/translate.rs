//! How likely a word of a passage is asked for with a word of a query: IBM model 1
//! (Brown et al., 1993) on the candidates, with a null word that asks for what is asked anyway.

use super::{
    corpus::small,
    pattern::{Pattern, precise},
    problem::{NONE, Problem},
};
use crate::{error::Result, progress::Progress};

const ROUNDS: u64 = 4;
/// What the null word explains.
const NULL_SHARE: f32 = 0.3;
/// Samples are split into this many parts whatever the number of threads, and their sums added
/// in order: the same sums on any machine.
const PARTS: usize = 8;

/// A probability for each entry of the pattern.
pub(super) fn estimate(
    problem: &Problem<'_>,
    pattern: &Pattern,
    threads: usize,
    progress: &mut Progress<'_>,
) -> Result<Vec<f32>> {
    let mut likely = vec![0.0; pattern.columns.len()];
    for source in 0..small(problem.sources.len()) {
        let row = pattern.row(source);
        let even = 1.0 / precise(small(row.len().max(1)));
        likely[row].fill(even);
    }
    let asked: f32 = precise(small(problem.corpus.queries.len().max(1)));
    let parts: Vec<&[super::corpus::Sample]> = problem
        .samples
        .chunks(problem.samples.len().div_ceil(PARTS).max(1))
        .collect();
    for round in 0..ROUNDS {
        progress.step("estimating translations", round, ROUNDS)?;
        let mut sums = vec![0.0_f32; likely.len()];
        for turn in parts.chunks(threads.max(1)) {
            let counted: Vec<Vec<f32>> = std::thread::scope(|scope| {
                let workers: Vec<_> = turn
                    .iter()
                    .map(|part| scope.spawn(|| expect(problem, pattern, &likely, part, asked)))
                    .collect();
                let joined = workers.into_iter().map(|worker| worker.join());
                joined.map(Result::unwrap_or_default).collect()
            });
            for counts in counted {
                sums.iter_mut()
                    .zip(counts)
                    .for_each(|(sum, count)| *sum += count);
            }
        }
        for source in 0..small(problem.sources.len()) {
            let row = pattern.row(source);
            let total: f32 = sums[row.clone()].iter().sum();
            if total > 0.0 {
                likely[row.clone()].copy_from_slice(&sums[row.clone()]);
                likely[row].iter_mut().for_each(|value| *value /= total);
            }
        }
    }
    Ok(likely)
}

/// Expected counts of every entry over `samples`.
fn expect(
    problem: &Problem<'_>,
    pattern: &Pattern,
    likely: &[f32],
    samples: &[super::corpus::Sample],
    asked: f32,
) -> Vec<f32> {
    let mut counts = vec![0.0; likely.len()];
    // One more than the place of each target in the query at work.
    let mut places = vec![0_u16; problem.targets.len()];
    let mut sums = Vec::new();
    let mut hits: Vec<(usize, u16, f32)> = Vec::new();
    for sample in samples {
        sums.clear();
        let mut targets = Vec::new();
        for &word in problem.corpus.query(sample) {
            let target = problem.target_of[word as usize];
            let place = u16::try_from(sums.len() + 1);
            if let (true, Ok(place)) = (target != NONE, place) {
                targets.push(target);
                places[target as usize] = place;
                let chance = precise(problem.queries_with[word as usize]) / asked;
                sums.push(NULL_SHARE * chance);
            }
        }
        let passage = || problem.corpus.passages.get(sample.passage);
        let root = |all: u8, inside: u8| (f32::from(all) + 2.0 * f32::from(inside)).sqrt();
        let total: f32 = passage().map(|(_, all, inside)| root(all, inside)).sum();
        hits.clear();
        for (word, all, inside) in passage() {
            let source = problem.source_of[word as usize];
            if source == NONE {
                continue;
            }
            let weight = (1.0 - NULL_SHARE) * root(all, inside) / total;
            for entry in pattern.row(source) {
                let place = places[usize::from(pattern.columns[entry])];
                if place > 0 {
                    let part = weight * likely[entry];
                    sums[usize::from(place) - 1] += part;
                    hits.push((entry, place - 1, part));
                }
            }
        }
        for &(entry, place, part) in &hits {
            counts[entry] += part / sums[usize::from(place)].max(f32::MIN_POSITIVE);
        }
        for target in targets {
            places[target as usize] = 0;
        }
    }
    counts
}

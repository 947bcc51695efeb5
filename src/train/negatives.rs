//! Passages that look right and are not: for each pair the best others by plain BM25.

use std::collections::HashMap;

use super::{
    Options,
    corpus::{Sample, small},
    problem::Problem,
    random::Random,
};
use crate::{error::Result, progress::Progress};

/// So many are kept of each pair.
pub(super) const KEPT: usize = 12;
/// Pairs are compared within random shards of this many: the best of a small pool are hard enough,
/// and the best of all are too often right.
const SHARD_LEN: usize = 15_000;
/// A word that more than one in this many passages have tells nothing and costs the most.
const COMMON: usize = 5;
/// Named pairs are told from their neighbors.
const NEIGHBORS: usize = 40;

/// For each sample the numbers of samples whose passages are hard for it; the sample itself where
/// there are too few.
pub(super) fn find(
    problem: &Problem<'_>,
    options: &Options,
    progress: &mut Progress<'_>,
) -> Result<Vec<[u32; KEPT]>> {
    let mut random = Random::new(options.seed ^ 0x6e65_6761_7469_7665);
    let mut hard: Vec<[u32; KEPT]> = (0..small(problem.samples.len()))
        .map(|own| [own; KEPT])
        .collect();
    let is_named = |number: &u32| problem.samples[*number as usize].is_named;
    let (named, mut described): (Vec<u32>, Vec<u32>) =
        (0..small(problem.samples.len())).partition(is_named);
    for number in named {
        neighbors(
            &problem.samples,
            number,
            &mut random,
            &mut hard[number as usize],
        );
    }
    random.shuffle(&mut described);
    let shards: Vec<&[u32]> = described.chunks(SHARD_LEN).collect();
    let mut done = 0;
    for turn in shards.chunks(options.threads.max(1)) {
        progress.step("finding hard negatives", done, shards.len() as u64)?;
        let found: Vec<Vec<(u32, [u32; KEPT])>> = std::thread::scope(|scope| {
            let workers: Vec<_> = turn
                .iter()
                .map(|shard| scope.spawn(|| search(problem, shard)))
                .collect();
            let joined = workers.into_iter().map(|worker| worker.join());
            joined.map(Result::unwrap_or_default).collect()
        });
        for (number, best) in found.into_iter().flatten() {
            hard[number as usize] = best;
        }
        done += turn.len() as u64;
    }
    Ok(hard)
}

fn neighbors(samples: &[Sample], own: u32, random: &mut Random, to: &mut [u32; KEPT]) {
    let at = own as usize;
    let group = samples[at].group;
    let low = at.saturating_sub(NEIGHBORS);
    let high = (at + NEIGHBORS + 1).min(samples.len());
    for slot in to {
        let other = low + random.below(high - low);
        if samples[other].group == group && samples[other].passage != samples[at].passage {
            *slot = small(other);
        }
    }
}

/// The best of `shard` for each of its own queries.
fn search(problem: &Problem<'_>, shard: &[u32]) -> Vec<(u32, [u32; KEPT])> {
    let mut lists: HashMap<u32, Vec<(u32, f32)>> = HashMap::new();
    for &number in shard {
        for &word in problem.corpus.query(&problem.samples[number as usize]) {
            lists.entry(word).or_default();
        }
    }
    for (place, &number) in (0_u32..).zip(shard) {
        let sample = &problem.samples[number as usize];
        for (word, weight) in problem.weighted(sample.passage) {
            if let Some(list) = lists.get_mut(&word) {
                list.push((place, weight));
            }
        }
    }
    lists.retain(|_, list| list.len() <= shard.len().div_ceil(COMMON));
    let mut scores = vec![0.0_f32; shard.len()];
    let mut touched: Vec<u32> = Vec::new();
    let mut found = Vec::with_capacity(shard.len());
    for (place, &number) in (0_u32..).zip(shard) {
        for &word in problem.corpus.query(&problem.samples[number as usize]) {
            let idf = problem.idf(word);
            for &(other, weight) in lists.get(&word).map_or(&[][..], Vec::as_slice) {
                let score = &mut scores[other as usize];
                if *score == 0.0 {
                    touched.push(other);
                }
                *score += weight * idf;
            }
        }
        let mut best: Vec<(f32, u32)> = touched
            .drain(..)
            .map(|other| (std::mem::take(&mut scores[other as usize]), other))
            .filter(|(_, other)| *other != place)
            .collect();
        let order = |a: &(f32, u32), b: &(f32, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        if best.len() > KEPT {
            best.select_nth_unstable_by(KEPT, order);
            best.truncate(KEPT);
        }
        best.sort_unstable_by(order);
        let mut kept = [number; KEPT];
        for (slot, (_, other)) in kept.iter_mut().zip(best) {
            *slot = shard[other as usize];
        }
        found.push((number, kept));
    }
    found
}

//! Which words can stand for which: the shape of the table, found by counting.
//!
//! A source and a target belong together when passages with the one are asked for with the other
//! more often than chance has it, in several groups. Ranking by the groups' square roots keeps a
//! single large package from filling the table with its own habits.

use super::{
    corpus::small,
    problem::{NONE, Problem},
};
use crate::{encode::StaticTable, error::Result, progress::Progress};

/// Most candidates of a source.
const CANDIDATES_MAX: usize = 96;
const GROUPS_MIN: u32 = 2;
/// Pointwise mutual information must be above this (natural logarithm).
const INFORMATION_MIN: f32 = 0.4;
/// Sources worked on between two looks at the progress.
const SOURCES_AT_ONCE: usize = 4096;

/// For each source its targets, rising, flat.
#[derive(Clone, Debug, Default)]
pub(super) struct Pattern {
    pub(super) starts: Vec<u32>,
    /// Places among the problem's targets.
    pub(super) columns: Vec<u16>,
}

impl Pattern {
    pub(super) fn row(&self, source: u32) -> std::ops::Range<usize> {
        let at = source as usize;
        self.starts[at] as usize..self.starts[at + 1] as usize
    }
}

pub(super) fn find(
    problem: &Problem<'_>,
    base: Option<&StaticTable>,
    threads: usize,
    progress: &mut Progress<'_>,
) -> Result<Pattern> {
    let postings = Postings::new(problem);
    let sources: Vec<u32> = (0..small(problem.sources.len())).collect();
    let mut pattern = Pattern {
        starts: vec![0],
        columns: Vec::new(),
    };
    for (turn, chunk) in sources.chunks(SOURCES_AT_ONCE).enumerate() {
        let done = (turn * SOURCES_AT_ONCE) as u64;
        progress.step("finding candidates", done, sources.len() as u64)?;
        let share = chunk.len().div_ceil(threads.max(1)).max(1);
        let rows: Vec<Vec<Vec<u16>>> = std::thread::scope(|scope| {
            let workers: Vec<_> = chunk
                .chunks(share)
                .map(|part| scope.spawn(|| rows(problem, &postings, part, base)))
                .collect();
            let joined = workers.into_iter().map(|worker| worker.join());
            joined.map(Result::unwrap_or_default).collect()
        });
        for row in rows.into_iter().flatten() {
            pattern.columns.extend_from_slice(&row);
            pattern.starts.push(small(pattern.columns.len()));
        }
    }
    Ok(pattern)
}

/// The samples with each source in their passage, in order, flat.
struct Postings {
    starts: Vec<u32>,
    samples: Vec<u32>,
}

impl Postings {
    fn new(problem: &Problem<'_>) -> Postings {
        let of = |word: u32| problem.source_of[word as usize];
        let mut starts = vec![0_u32; problem.sources.len() + 1];
        for sample in &problem.samples {
            for (word, _, _) in problem.corpus.passages.get(sample.passage) {
                if of(word) != NONE {
                    starts[of(word) as usize + 1] += 1;
                }
            }
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        let mut next = starts.clone();
        let mut samples = vec![0; sum as usize];
        for (number, sample) in (0_u32..).zip(&problem.samples) {
            for (word, _, _) in problem.corpus.passages.get(sample.passage) {
                if of(word) != NONE {
                    let place = &mut next[of(word) as usize];
                    samples[*place as usize] = number;
                    *place += 1;
                }
            }
        }
        Postings { starts, samples }
    }
}

/// Counts of one target next to the source at work.
#[derive(Clone, Copy, Default)]
struct Cell {
    /// In the group at work.
    here: u32,
    all: u32,
    groups: u32,
    roots: f32,
}

fn rows(
    problem: &Problem<'_>,
    postings: &Postings,
    sources: &[u32],
    base: Option<&StaticTable>,
) -> Vec<Vec<u16>> {
    let mut cells = vec![Cell::default(); problem.targets.len()];
    let (mut here, mut all) = (Vec::new(), Vec::new());
    let mut rows = Vec::with_capacity(sources.len());
    for &source in sources {
        let at = source as usize;
        let with =
            &postings.samples[postings.starts[at] as usize..postings.starts[at + 1] as usize];
        let mut group = NONE;
        for &number in with {
            let sample = &problem.samples[number as usize];
            if sample.group != group {
                close_group(&mut cells, &mut here, &mut all);
                group = sample.group;
            }
            for &word in problem.corpus.query(sample) {
                let target = problem.target_of[word as usize];
                if target != NONE {
                    let cell = &mut cells[target as usize];
                    if cell.here == 0 {
                        here.push(target);
                    }
                    cell.here += 1;
                }
            }
        }
        close_group(&mut cells, &mut here, &mut all);
        let mut row = best(problem, with.len(), &mut cells, &mut all);
        add_special(problem, source, base, &mut row);
        rows.push(row);
    }
    rows
}

fn close_group(cells: &mut [Cell], here: &mut Vec<u32>, all: &mut Vec<u32>) {
    for target in here.drain(..) {
        let cell = &mut cells[target as usize];
        if cell.all == 0 {
            all.push(target);
        }
        cell.all += cell.here;
        cell.groups += 1;
        cell.roots += precise(cell.here).sqrt();
        cell.here = 0;
    }
}

/// The best targets by information times the groups' roots; clears `cells`.
fn best(
    problem: &Problem<'_>,
    with_source: usize,
    cells: &mut [Cell],
    all: &mut Vec<u32>,
) -> Vec<u16> {
    let groups = GROUPS_MIN.min(problem.corpus.groups);
    let total = precise(small(problem.samples.len()));
    let mut ranked: Vec<(f32, u32)> = Vec::new();
    for target in all.drain(..) {
        let cell = std::mem::take(&mut cells[target as usize]);
        if cell.groups < groups {
            continue;
        }
        let with_target = problem.queries_with[problem.targets[target as usize] as usize];
        let chance = precise(small(with_source)) * precise(with_target);
        let information = (precise(cell.all) * total / chance.max(1.0)).ln();
        if information > INFORMATION_MIN {
            ranked.push((information * cell.roots, target));
        }
    }
    ranked.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    ranked.truncate(CANDIDATES_MAX);
    ranked
        .iter()
        .filter_map(|(_, target)| u16::try_from(*target).ok())
        .collect()
}

/// The word itself always, and what a base knows; sorts the row.
fn add_special(problem: &Problem<'_>, source: u32, base: Option<&StaticTable>, row: &mut Vec<u16>) {
    let word = problem.sources[source as usize];
    let mut add = |word: u32| {
        if let Ok(target) = u16::try_from(problem.target_of[word as usize]) {
            row.push(target);
        }
    };
    add(word);
    let text = &problem.corpus.words.list[word as usize];
    if let Some((base, id)) = base.and_then(|base| Some((base, base.find(text)?))) {
        for (target, _) in base.row(id) {
            if let Some(word) = base
                .word(target)
                .and_then(|text| problem.corpus.words.find(text))
            {
                add(word);
            }
        }
    }
    row.sort_unstable();
    row.dedup();
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts go into a ratio; 24 bits are plenty"
)]
pub(super) fn precise(count: u32) -> f32 {
    count as f32
}

//! From what was learned to a table: weak entries go, words get their numbers.

use std::cmp::Reverse;

use super::{
    corpus::small,
    gradient::Model,
    problem::{NONE, Problem},
};
use crate::{
    encode::{Row, StaticTable, TableParts},
    error::Result,
};

/// A row keeps at most this many entries, the strongest.
const ENTRIES_MAX: usize = 20;
/// Own factors are learned too eagerly: at half of their logarithm held-out packages and CoSQA's
/// development queries gain 0.2 to 0.4 points of nDCG, without them the former lose as much.
pub(super) const OWN_KEPT: f32 = 0.5;
/// Weaker entries are dropped.
const ENTRY_MIN: f32 = 0.03;

pub(super) fn table(
    problem: &Problem<'_>,
    model: &Model,
    base: Option<&StaticTable>,
) -> Result<StaticTable> {
    let rows: Vec<Vec<(u32, f32)>> = (0..small(problem.sources.len()))
        .map(|source| strongest(problem, model, source))
        .collect();
    let mut uses = vec![0_u32; problem.corpus.words.list.len()];
    for (target, _) in rows.iter().flatten() {
        uses[*target as usize] += 1;
    }
    let is_known = |word: u32| {
        problem.source_of[word as usize] != NONE || problem.target_of[word as usize] != NONE
    };
    let mut words: Vec<u32> = (0..small(uses.len()))
        .filter(|&word| is_known(word))
        .collect();
    let text = |word: u32| &problem.corpus.words.list[word as usize];
    words.sort_by_key(|&word| {
        (
            Reverse(uses[word as usize]),
            Reverse(problem.passages_with[word as usize]),
            text(word),
        )
    });
    let mut numbers = vec![NONE; uses.len()];
    for (number, word) in (0_u32..).zip(&words) {
        numbers[*word as usize] = number;
    }
    let rows = words.iter().map(|&word| {
        let at = word as usize;
        let entries = match problem.source_of[at] {
            NONE => Vec::new(),
            source => rows[source as usize]
                .iter()
                .map(|&(target, value)| (numbers[target as usize], value))
                .collect(),
        };
        Row {
            word: text(word).to_string(),
            own_log: model.own.logs[at] * OWN_KEPT,
            query_log: model.query.logs[at],
            share: problem.shares[at],
            entries,
        }
    });
    let passages = problem.corpus.passage_count + base.map_or(0, StaticTable::passage_count);
    TableParts {
        rows: rows.collect(),
        targets: small(uses.iter().filter(|uses| **uses > 0).count()),
        passages,
    }
    .into_table()
}

/// The entries of a source that stay, as words.
fn strongest(problem: &Problem<'_>, model: &Model, source: u32) -> Vec<(u32, f32)> {
    let row = model.pattern.row(source);
    let columns = &model.pattern.columns[row.clone()];
    let mut kept: Vec<(u32, f32)> = columns
        .iter()
        .zip(&model.entries[row])
        .filter(|(_, value)| value.abs() >= ENTRY_MIN)
        .map(|(column, value)| (problem.targets[usize::from(*column)], *value))
        .collect();
    kept.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()).then(a.0.cmp(&b.0)));
    kept.truncate(ENTRIES_MAX);
    kept
}

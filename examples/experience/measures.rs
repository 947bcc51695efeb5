//! Precision of the same kind of task, and the share of answers that hold a success.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// The values of K that are reported.
pub(crate) const TOPS: [usize; 3] = [1, 2, 4];

/// Sums over queries.
#[derive(Default)]
pub(crate) struct Measures {
    queries: f64,
    /// Queries that some episode of the same kind is left for.
    answerable: f64,
    precision: [f64; 3],
    /// The precision that a perfect answer would have.
    possible: [f64; 3],
    success: [f64; 3],
    misses: BTreeMap<(String, String), u64>,
}

/// What there is to find for one query.
pub(crate) struct Target<'a> {
    /// Kind of the task, where it is known.
    pub(crate) kind: Option<&'a str>,
    /// Episodes that may be found.
    pub(crate) candidates: usize,
    /// Those of the same kind.
    pub(crate) same_kind: usize,
    /// Those that succeeded.
    pub(crate) successes: usize,
}

impl Measures {
    /// Counts an answer: for each episode found, best first, its kind and whether it succeeded.
    pub(crate) fn count(&mut self, target: &Target<'_>, found: &[(Option<&str>, bool)]) {
        self.queries += 1.0;
        for (at, top) in TOPS.into_iter().enumerate() {
            let head = &found[..top.min(found.len())];
            self.success[at] += f64::from(u8::from(head.iter().any(|(_, success)| *success)));
        }
        let Some(kind) = target.kind.filter(|_| target.same_kind > 0) else {
            return;
        };
        self.answerable += 1.0;
        for (at, top) in TOPS.into_iter().enumerate() {
            let head = &found[..top.min(found.len())];
            let right = head
                .iter()
                .filter(|(other, _)| *other == Some(kind))
                .count();
            self.precision[at] += right as f64 / top as f64;
            self.possible[at] += target.same_kind.min(top) as f64 / top as f64;
        }
        let first = found
            .first()
            .map_or("nothing", |(other, _)| other.unwrap_or("no kind"));
        if first != kind {
            *self
                .misses
                .entry((kind.to_owned(), first.to_owned()))
                .or_default() += 1;
        }
    }

    /// Counts what a random choice among the candidates is worth on average.
    pub(crate) fn count_random(&mut self, target: &Target<'_>) {
        let candidates = target.candidates as f64;
        self.queries += 1.0;
        for (at, top) in TOPS.into_iter().enumerate() {
            let mut none = 1.0;
            for drawn in 0..top.min(target.candidates) {
                let left = candidates - drawn as f64;
                none *= ((left - target.successes as f64) / left).max(0.0);
            }
            self.success[at] += 1.0 - none;
        }
        if target.kind.is_some() && target.same_kind > 0 {
            self.answerable += 1.0;
            for (at, top) in TOPS.into_iter().enumerate() {
                self.precision[at] += target.same_kind as f64 / candidates;
                self.possible[at] += target.same_kind.min(top) as f64 / top as f64;
            }
        }
    }

    /// `precision_at_K` is over the queries that an episode of the same kind is left for;
    /// `precision_at_K_of_all` counts the others as wrong.
    pub(crate) fn to_json(&self) -> Value {
        let mut object = serde_json::Map::new();
        let share = |sum: f64, of: f64| match of > 0.0 {
            true => json!(sum / of),
            false => Value::Null,
        };
        object.insert("queries".to_owned(), json!(self.queries));
        object.insert("answerable".to_owned(), json!(self.answerable));
        for (at, top) in TOPS.into_iter().enumerate() {
            let known = if self.answerable > 0.0 {
                self.queries
            } else {
                0.0
            };
            let mut put = |name: &str, value| object.insert(format!("{name}_{top}"), value);
            put("precision_at", share(self.precision[at], self.answerable));
            put(
                "best_possible_at",
                share(self.possible[at], self.answerable),
            );
            put("success_in_top", share(self.success[at], self.queries));
            object.insert(
                format!("precision_at_{top}_of_all"),
                share(self.precision[at], known),
            );
        }
        Value::Object(object)
    }

    /// The kinds that were taken for one another at rank 1, most frequent first.
    pub(crate) fn misses(&self) -> Value {
        let mut misses: Vec<_> = self.misses.iter().collect();
        misses.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        misses
            .into_iter()
            .map(|((kind, found), count)| json!({"kind": kind, "found": found, "count": count}))
            .collect()
    }
}

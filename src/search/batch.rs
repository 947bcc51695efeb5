//! Many queries over the threads that a caller grants.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::{Searcher, hits::Hits, query::Query, scratch::Scratch};
use crate::error::Result;

/// Answers in the order of the queries; the first error, by that order, ends the work.
pub(super) fn search<S: Searcher + ?Sized>(
    searcher: &S,
    queries: &[Query],
    threads: usize,
) -> Result<Vec<Hits>> {
    let next = AtomicUsize::new(0);
    let answers = Mutex::new(Vec::with_capacity(queries.len()));
    let work = || {
        let mut scratch = Scratch::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(query) = queries.get(at) else {
                return;
            };
            let answer = searcher.search_with(query, &mut scratch);
            if answer.is_err() {
                // Queries before this one are under way already; later ones are not needed.
                next.store(queries.len(), Ordering::Relaxed);
            }
            let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
            answers.push((at, answer));
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads.min(queries.len()) {
            scope.spawn(work);
        }
        work();
    });
    let mut answers = answers.into_inner().unwrap_or_else(PoisonError::into_inner);
    answers.sort_unstable_by_key(|(at, _)| *at);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

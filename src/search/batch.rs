//! Many queries over the threads that a caller grants.

use std::{sync::PoisonError, thread};

use super::{Searcher, hits::Hits, query::Query, scratch::Scratch};
use crate::{
    error::Result,
    sync::{AtomicUsize, Mutex, Ordering},
};

/// Answers in the order of the queries; the first error, by that order, ends the work.
pub(super) fn search<S: Searcher + ?Sized>(
    searcher: &S,
    queries: &[Query],
    threads: usize,
) -> Result<Vec<Hits>> {
    let tasks = Tasks::new(queries.len());
    let work = || {
        let mut scratch = Scratch::new();
        tasks.work(|at| searcher.search_with(&queries[at], &mut scratch));
    };
    thread::scope(|scope| {
        for _ in 1..threads.min(queries.len()) {
            scope.spawn(work);
        }
        work();
    });
    tasks.finish()
}

/// Tasks by number, which threads take from each other, and what came of them.
struct Tasks<T, E> {
    count: usize,
    next: AtomicUsize,
    done: Mutex<Vec<(usize, Result<T, E>)>>,
}

impl<T, E> Tasks<T, E> {
    fn new(count: usize) -> Tasks<T, E> {
        Tasks {
            count,
            next: AtomicUsize::new(0),
            done: Mutex::new(Vec::with_capacity(count)),
        }
    }

    fn work(&self, mut task: impl FnMut(usize) -> Result<T, E>) {
        loop {
            let at = self.next.fetch_add(1, Ordering::Relaxed);
            if at >= self.count {
                return;
            }
            let outcome = task(at);
            if outcome.is_err() {
                // Those before this one are under way already; later ones are not needed.
                self.next.store(self.count, Ordering::Relaxed);
            }
            let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
            done.push((at, outcome));
        }
    }

    /// What came of all of them, in order, or the first error by that order.
    fn finish(&self) -> Result<Vec<T>, E> {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.sort_unstable_by_key(|(at, _)| *at);
        done.drain(..).map(|(_, outcome)| outcome).collect()
    }
}

#[cfg(all(loom, test))]
mod loom_models {
    use loom::{sync::Arc, thread};

    use super::*;

    /// Three tasks on two threads, of which those of `failing` fail.
    fn outcome(failing: &'static [usize]) -> Result<Vec<usize>, usize> {
        let tasks = Arc::new(Tasks::new(3));
        let task = |at: usize| {
            if failing.contains(&at) {
                Err(at)
            } else {
                Ok(at)
            }
        };
        let work = |tasks: Arc<Tasks<usize, usize>>| move || tasks.work(task);
        let other = thread::spawn(work(tasks.clone()));
        work(tasks.clone())();
        other.join().unwrap();
        tasks.finish()
    }

    #[test]
    fn every_task_is_done_once_and_the_first_error_is_told() {
        loom::model(|| assert_eq!(outcome(&[]), Ok(vec![0, 1, 2])));
        loom::model(|| assert_eq!(outcome(&[1]), Err(1)));
        loom::model(|| assert_eq!(outcome(&[1, 2]), Err(1)));
    }

    /// The model can fail: the error that comes first by time need not be the first by number.
    #[test]
    #[should_panic(expected = "by time")]
    fn the_first_error_by_time_may_be_another() {
        loom::model(|| {
            let tasks = Arc::new(Tasks::<(), usize>::new(2));
            let work = |tasks: Arc<Tasks<(), usize>>| move || tasks.work(Err);
            let other = thread::spawn(work(tasks.clone()));
            work(tasks.clone())();
            other.join().unwrap();
            let done = tasks.done.lock().unwrap();
            assert_eq!(done[0].1, Err(0), "by time");
        });
    }
}

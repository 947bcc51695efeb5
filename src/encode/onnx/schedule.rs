//! Handing batches to sessions.
//!
//! Sessions lie in a pool, since a run needs one for itself: a caller takes a free one or waits.
//! With several sessions the batches of one call run beside each other on scoped threads, one of
//! them the caller's own.

use std::sync::{
    Condvar, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use super::{
    batch::{Batch, Budget, Group, Padding, plan},
    worker::{Row, Worker},
};
use crate::{
    encode::{run::Run, tokenize::Window},
    error::{Error, Result},
    sparse::SparseVector,
};

/// Sessions, and how to fill them.
#[derive(Debug)]
pub(crate) struct Schedule {
    free: Mutex<Vec<Worker>>,
    returned: Condvar,
    pub(crate) sessions: usize,
    pub(crate) budget: Budget,
    pub(crate) padding: Padding,
    /// A number of texts that the graph insists on.
    pub(crate) rows: Option<usize>,
    /// A number of tokens that the graph insists on.
    pub(crate) length: Option<usize>,
}

impl Schedule {
    pub(crate) fn new(workers: Vec<Worker>, budget: Budget, padding: Padding) -> Schedule {
        let graph = workers.first().map(|worker| &worker.graph);
        Schedule {
            rows: graph.and_then(|graph| graph.rows),
            length: graph.and_then(|graph| graph.length),
            sessions: workers.len(),
            free: Mutex::new(workers),
            returned: Condvar::new(),
            budget,
            padding,
        }
    }

    fn group(
        &self,
        worker: &mut Worker,
        group: &Group,
        inputs: &[Window],
    ) -> Result<Vec<SparseVector>> {
        let members = group.members.iter().map(|at| &inputs[*at]);
        let mut texts: Vec<&[u32]> = members.clone().map(|input| &*input.ids).collect();
        let rows: Vec<Row> = members
            .map(|input| Row {
                own: input.own.clone(),
                tokens: input.ids.len(),
            })
            .collect();
        // A graph with a fixed batch gets the last text again, whose copies are not read.
        while let (Some(wanted), Some(last)) = (self.rows, texts.last().copied())
            && texts.len() < wanted
        {
            texts.push(last);
        }
        let length = self.length.unwrap_or(group.length);
        let batch = Batch::new(&texts, length, self.padding);
        worker.vectors(&batch, &rows)
    }

    /// Takes a session, waiting for one if need be.
    fn take(&self) -> Taken<'_> {
        let mut free = self.lock();
        loop {
            if let Some(worker) = free.pop() {
                return Taken {
                    worker: Some(worker),
                    schedule: self,
                };
            }
            free = self
                .returned
                .wait(free)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Worker>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Run for Schedule {
    fn run(&self, inputs: &[Window]) -> Result<Vec<SparseVector>> {
        let lengths: Vec<usize> = inputs.iter().map(|input| input.ids.len()).collect();
        self.budget
            .check(lengths.iter().copied().max().unwrap_or(0))?;
        let groups = plan(&lengths, self.budget);
        let mut vectors = vec![SparseVector::default(); inputs.len()];
        let helpers = self.sessions.min(groups.len()).saturating_sub(1);
        if helpers == 0 {
            let mut worker = self.take();
            for group in &groups {
                let done = self.group(&mut worker, group, inputs)?;
                place(&mut vectors, group, done);
            }
            return Ok(vectors);
        }
        let next = AtomicUsize::new(0);
        let (send, receive) = crossbeam::channel::unbounded();
        let work = || -> Result<()> {
            let mut worker = self.take();
            while let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
                let done = self.group(&mut worker, group, inputs);
                if done.is_err() {
                    // The others stop at their next batch.
                    next.store(groups.len(), Ordering::Relaxed);
                }
                let _ = send.send((group, done?));
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..helpers).map(|_| scope.spawn(work)).collect();
            let own = work();
            let mut outcome = own;
            for thread in threads {
                let theirs = thread
                    .join()
                    .unwrap_or_else(|_| Err(Error::model("ONNX Runtime", "a session failed")));
                outcome = outcome.and(theirs);
            }
            outcome
        })?;
        drop(send);
        for (group, done) in receive {
            place(&mut vectors, group, done);
        }
        Ok(vectors)
    }
}

fn place(vectors: &mut [SparseVector], group: &Group, done: Vec<SparseVector>) {
    for (at, vector) in group.members.iter().zip(done) {
        vectors[*at] = vector;
    }
}

/// A session on loan; it goes back when this is dropped, even by a panic.
struct Taken<'a> {
    worker: Option<Worker>,
    schedule: &'a Schedule,
}

impl std::ops::Deref for Taken<'_> {
    type Target = Worker;

    fn deref(&self) -> &Worker {
        self.worker.as_ref().expect("taken until dropped")
    }
}

impl std::ops::DerefMut for Taken<'_> {
    fn deref_mut(&mut self) -> &mut Worker {
        self.worker.as_mut().expect("taken until dropped")
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.take() {
            self.schedule.lock().push(worker);
            self.schedule.returned.notify_one();
        }
    }
}

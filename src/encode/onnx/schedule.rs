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
    session::Graph,
    worker::Row,
};
use crate::{
    encode::tokenize::Window,
    error::{Error, Result},
};

/// A session, and what it makes of a text.
pub(crate) trait Session: Send {
    /// What a text becomes; the default is that of an empty one.
    type Output: Clone + Default + Send;

    /// The graph that it runs.
    fn graph(&self) -> &Graph;

    /// As above.
    fn graph_mut(&mut self) -> &mut Graph;

    /// What the texts in `batch` become, of which `rows` are wanted.
    fn outputs(&mut self, batch: &Batch, rows: &[Row]) -> Result<Vec<Self::Output>>;
}

/// Sessions, and how to fill them.
#[derive(Debug)]
pub(crate) struct Schedule<S> {
    free: Mutex<Vec<S>>,
    returned: Condvar,
    pub(crate) sessions: usize,
    pub(crate) budget: Budget,
    pub(crate) padding: Padding,
    /// A number of texts that the graph insists on.
    pub(crate) rows: Option<usize>,
    /// A number of tokens that the graph insists on.
    pub(crate) length: Option<usize>,
}

impl<S: Session> Schedule<S> {
    pub(crate) fn new(workers: Vec<S>, budget: Budget, padding: Padding) -> Schedule<S> {
        let graph = workers.first().map(Session::graph);
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

    /// One output per input, in order.
    pub(crate) fn run(&self, inputs: &[Window]) -> Result<Vec<S::Output>> {
        let lengths: Vec<usize> = inputs.iter().map(|input| input.ids.len()).collect();
        self.budget
            .check(lengths.iter().copied().max().unwrap_or(0))?;
        let groups = plan(&lengths, self.budget);
        let mut vectors = vec![S::Output::default(); inputs.len()];
        let helpers = self.sessions.min(groups.len()).saturating_sub(1);
        if helpers == 0 {
            let mut worker = self.take();
            for group in &groups {
                let done = self.group(&mut worker, group, inputs)?;
                place(&mut vectors, group, done);
            }
            self.give_back(&mut worker, &groups);
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
            self.give_back(&mut worker, &groups);
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

    fn group(&self, worker: &mut S, group: &Group, inputs: &[Window]) -> Result<Vec<S::Output>> {
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
        worker.outputs(&batch, &rows)
    }

    /// After a call of many texts or of a large one, has the session give its memory back; between
    /// short queries it keeps what it has.
    fn give_back(&self, worker: &mut S, groups: &[Group]) {
        let is_large = |group: &Group| self.budget.is_large(group.members.len() * group.length);
        if groups.len() > 1 || groups.iter().any(is_large) {
            worker.graph_mut().give_back(self.padding);
        }
    }

    /// Takes a session, waiting for one if need be.
    fn take(&self) -> Taken<'_, S> {
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
}

impl<S> Schedule<S> {
    fn lock(&self) -> MutexGuard<'_, Vec<S>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place<T>(vectors: &mut [T], group: &Group, done: Vec<T>) {
    for (at, vector) in group.members.iter().zip(done) {
        vectors[*at] = vector;
    }
}

/// A session on loan; it goes back when this is dropped, even by a panic.
struct Taken<'a, S> {
    worker: Option<S>,
    schedule: &'a Schedule<S>,
}

impl<S> std::ops::Deref for Taken<'_, S> {
    type Target = S;

    fn deref(&self) -> &S {
        self.worker.as_ref().expect("taken until dropped")
    }
}

impl<S> std::ops::DerefMut for Taken<'_, S> {
    fn deref_mut(&mut self) -> &mut S {
        self.worker.as_mut().expect("taken until dropped")
    }
}

impl<S> Drop for Taken<'_, S> {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.take() {
            self.schedule.lock().push(worker);
            self.schedule.returned.notify_one();
        }
    }
}

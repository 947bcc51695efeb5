//! An order of documents in which neighbors share terms, so that the bounds of a block of eight
//! are close to what its documents score.
//!
//! Recursive bisection down to the block: split a node by two unlike documents, then move
//! documents between the halves for as long as that makes terms live on one side only (Dhulipala
//! et al., "Compressing Graphs and Indexes with Recursive Graph Bisection", 2016, with the
//! selection by bias of Mackenzie et al., "Faster Index Reordering with Bipartite Graph
//! Partitioning", 2021).
//!
//! Memory is [`KEPT_TERMS`] postings of 4 bytes and about 30 bytes more per document, and 16 bytes
//! per term: at most 200 bytes a document, whatever the length of vectors. The order depends on
//! the documents alone, not on threads.

mod bisect;
#[cfg(test)]
pub(crate) mod clusters;
mod copy;

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use self::{bisect::Bisector, copy::Copies};
use crate::{error::Result, progress::Progress, segment::source::ImpactSource};

/// The heaviest terms of a document decide its place: what they score is what bounds must be close
/// to. More terms take longer and order worse, see `docs/decisions.md`.
const KEPT_TERMS: usize = 40;

/// Documents that end up together anyway.
const LEAF_LEN: usize = 8;

const STAGE: &str = "ordering documents";

/// Documents that are to lie together, part after part, in whatever order inside.
#[derive(Debug)]
pub(crate) struct Parts {
    docs: Vec<u32>,
    /// Where each part ends in `docs`.
    ends: Vec<usize>,
}

impl Parts {
    /// All documents in one part.
    pub(crate) fn one(doc_count: u32) -> Parts {
        Parts::by_rank(doc_count, |_| 0)
    }

    /// One part for each rank, by rising rank.
    pub(crate) fn by_rank(doc_count: u32, rank: impl Fn(u32) -> u32) -> Parts {
        let mut docs: Vec<u32> = (0..doc_count).collect();
        docs.sort_by_key(|&doc| rank(doc));
        let mut ends = Vec::new();
        for part in docs.chunk_by(|&a, &b| rank(a) == rank(b)) {
            ends.push(ends.last().unwrap_or(&0) + part.len());
        }
        Parts { docs, ends }
    }
}

/// The documents in their new order, part by part: element `i` is the old id of new document `i`.
///
/// Runs on `threads` threads, the caller's among them if there is only one.
pub(crate) fn by_similarity(
    source: &dyn ImpactSource,
    parts: Parts,
    threads: usize,
    progress: &mut Progress<'_>,
) -> Result<Vec<u32>> {
    let Parts {
        docs: mut order,
        ends,
    } = parts;
    if order.len() <= LEAF_LEN {
        return Ok(order);
    }
    let copies = Copies::new(source, KEPT_TERMS, progress)?;
    let total = u64::from(source.doc_count());
    let threads = threads.max(1);

    // The large nodes at the top, one after another, each on all threads.
    let small = (order.len() / (threads * 4)).max(4096);
    let mut nodes: Vec<&mut [u32]> = divided(&mut order, &ends);
    let mut bisector = Bisector::new(&copies);
    while let Some(at) = nodes
        .iter()
        .position(|node| threads > 1 && node.len() > small)
    {
        progress.step(STAGE, 0, total)?;
        let node = nodes.swap_remove(at);
        let split = bisector.split(node, threads);
        let (left, right) = node.split_at_mut(split);
        nodes.extend([left, right]);
    }
    if threads == 1 {
        let mut done = 0;
        recurse_here(&mut bisector, nodes, &mut done, total, progress)?;
    } else {
        drop(bisector);
        recurse_on_threads(&copies, nodes, threads, total, progress)?;
    }
    align(&mut order, &ends);
    Ok(order)
}

/// A slice as its parts.
fn divided<'a>(mut docs: &'a mut [u32], ends: &[usize]) -> Vec<&'a mut [u32]> {
    let mut parts = Vec::with_capacity(ends.len());
    let mut start = 0;
    for &end in ends {
        let (part, rest) = docs.split_at_mut(end - start);
        parts.push(part);
        (docs, start) = (rest, end);
    }
    parts
}

/// Leaves were filled from the start of each part, but blocks are counted from the start of the
/// segment: moves the last documents of a part, of a leaf that is seldom full, before its first.
fn align(order: &mut [u32], ends: &[usize]) {
    let mut start = 0;
    for part in divided(order, ends) {
        let shift = (LEAF_LEN - start % LEAF_LEN) % LEAF_LEN;
        start += part.len();
        part.rotate_right(shift.min(part.len()));
    }
}

/// Depth first, on the caller's thread.
fn recurse_here(
    bisector: &mut Bisector<'_>,
    mut nodes: Vec<&mut [u32]>,
    done: &mut u64,
    total: u64,
    progress: &mut Progress<'_>,
) -> Result<()> {
    while let Some(node) = nodes.pop() {
        progress.step(STAGE, *done, total)?;
        if node.len() <= bisect::SUBTREE_LEN {
            bisector.order_subtree(node);
            *done += node.len() as u64;
        } else {
            let split = bisector.split(node, 1);
            let (left, right) = node.split_at_mut(split);
            nodes.extend([right, left]);
        }
    }
    Ok(())
}

/// Each thread takes a node at a time; the caller's thread reports.
fn recurse_on_threads(
    copies: &Copies,
    nodes: Vec<&mut [u32]>,
    threads: usize,
    total: u64,
    progress: &mut Progress<'_>,
) -> Result<()> {
    let queue = Mutex::new(nodes);
    let stop = AtomicBool::new(false);
    let (send, receive) = crossbeam::channel::unbounded::<u64>();
    let worked = crossbeam::thread::scope(|scope| {
        for _ in 0..threads {
            let (queue, stop, send) = (&queue, &stop, send.clone());
            scope.spawn(move |_| {
                let mut bisector = Bisector::new(copies);
                loop {
                    let next = queue.lock().map_or(None, |mut queue| queue.pop());
                    let Some(node) = next else {
                        return;
                    };
                    let mut report = |step: crate::progress::Step| {
                        // The receiver outlives the threads.
                        let _ = send.send(step.done);
                        match stop.load(Ordering::Relaxed) {
                            true => std::ops::ControlFlow::Break(()),
                            false => std::ops::ControlFlow::Continue(()),
                        }
                    };
                    let mut progress = Progress::new(&mut report);
                    let mut done = 0;
                    let len = node.len() as u64;
                    if recurse_here(&mut bisector, vec![node], &mut done, len, &mut progress)
                        .is_err()
                    {
                        return;
                    }
                    let _ = send.send(len);
                }
            });
        }
        drop(send);
        let mut cancelled = Ok(());
        let (mut finished, mut steps) = (0_u64, 0_u64);
        for done in receive {
            steps += 1;
            finished = finished.max(done);
            if cancelled.is_ok() {
                cancelled = progress.step(STAGE, steps.min(total), 0);
                stop.store(cancelled.is_err(), Ordering::Relaxed);
            }
        }
        cancelled
    });
    // A panic of a thread is a bug here; the caller gets it as such.
    worked.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[cfg(test)]
mod tests;

//! An order of documents in which neighbors share terms, so that the bounds of a block of eight
//! are close to what its documents score.
//!
//! Recursive bisection down to the block: split a node by two unlike documents, then move
//! documents between the halves for as long as that makes terms live on one side only (Dhulipala
//! et al., "Compressing Graphs and Indexes with Recursive Graph Bisection", 2016, with the
//! selection by bias of Mackenzie et al., "Faster Index Reordering with Bipartite Graph
//! Partitioning", 2021).
//!
//! Memory is the numbers of [`KEPT_TERMS`] terms a document, of 2 bytes each where all ids are below
//! 65,536, else of 4, and [`DOCUMENT_LEN`] bytes more. Where that is more than may be used, fewer
//! terms are kept, but [`LEAST_TERMS`] always. The order depends on the documents and on that
//! number, not on threads.

mod bisect;
#[cfg(test)]
pub(crate) mod clusters;
mod copy;

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use self::{
    bisect::Bisector,
    copy::{Copies, Number, Numbers},
};
use crate::{
    error::{Error, Result},
    progress::Progress,
    segment::{parallel::Resources, postings::term_map::TermMap, source::ImpactSource},
};

/// The heaviest terms of a document decide its place: what they score is what bounds must be close
/// to. More terms take longer and order worse, see `docs/decisions.md`.
const KEPT_TERMS: usize = 40;

/// With fewer, documents of different topics look alike.
const LEAST_TERMS: usize = 8;

/// Bytes per document beside its terms: where it is, where it was, its bias; and in the caller, which
/// knows it by its segment.
const DOCUMENT_LEN: usize = 28;

/// Bytes that a term of a document in a small node takes: copies of it, of its half, and so on.
const LOCAL_TERM_LEN: usize = 10;

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
pub(crate) fn by_similarity(
    source: &dyn ImpactSource,
    parts: Parts,
    resources: Resources,
    progress: &mut Progress<'_>,
) -> Result<Vec<u32>> {
    if parts.docs.len() <= LEAF_LEN {
        return Ok(parts.docs);
    }
    match u16::try_from(source.term_limit().saturating_sub(1)) {
        Ok(last) => {
            let numbers = Numbers::Ids(usize::from(last) + 1);
            by_copies::<u16>(source, parts, numbers, resources, progress)
        }
        Err(_) => {
            let numbers = Numbers::Map(TermMap::default());
            by_copies::<u32>(source, parts, numbers, resources, progress)
        }
    }
}

fn by_copies<N: Number>(
    source: &dyn ImpactSource,
    parts: Parts,
    numbers: Numbers,
    resources: Resources,
    progress: &mut Progress<'_>,
) -> Result<Vec<u32>> {
    let Parts {
        docs: mut order,
        ends,
    } = parts;
    let kept = kept_terms(order.len(), size_of::<N>(), resources);
    let copies = Copies::<N>::new(source, kept, numbers, resources, progress)?;
    let total = u64::from(source.doc_count());
    let threads = resources.threads.max(1);

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
        let mut tick = |docs: usize| {
            done += docs as u64;
            progress.step(STAGE, done, total)
        };
        recurse(&mut bisector, nodes, &mut tick)?;
    } else {
        drop(bisector);
        recurse_on_threads(&copies, nodes, threads, total, progress)?;
    }
    align(&mut order, &ends);
    Ok(order)
}

/// How many terms of a document may be kept, each of so many bytes.
fn kept_terms(docs: usize, term_len: usize, resources: Resources) -> usize {
    let room = resources.memory.saturating_sub(docs * DOCUMENT_LEN);
    let local = resources.threads * docs.min(bisect::LOCAL_LEN) * LOCAL_TERM_LEN;
    (room / (docs * term_len + local).max(1)).clamp(LEAST_TERMS, KEPT_TERMS)
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

/// Depth first, on the thread that calls.
fn recurse<N: Number>(
    bisector: &mut Bisector<'_, N>,
    mut nodes: Vec<&mut [u32]>,
    tick: &mut bisect::Tick<'_>,
) -> Result<()> {
    while let Some(node) = nodes.pop() {
        if node.len() <= bisect::LOCAL_LEN {
            bisector.order(node, tick)?;
        } else {
            tick(0)?;
            let split = bisector.split(node, 1);
            let (left, right) = node.split_at_mut(split);
            nodes.extend([right, left]);
        }
    }
    Ok(())
}

/// Each thread takes a node at a time; the caller's thread reports.
fn recurse_on_threads<N: Number>(
    copies: &Copies<N>,
    nodes: Vec<&mut [u32]>,
    threads: usize,
    total: u64,
    progress: &mut Progress<'_>,
) -> Result<()> {
    let queue = Mutex::new(nodes);
    let stop = AtomicBool::new(false);
    let (send, receive) = crossbeam::channel::unbounded::<usize>();
    let worked = crossbeam::thread::scope(|scope| {
        for _ in 0..threads {
            let (queue, stop, send) = (&queue, &stop, send.clone());
            scope.spawn(move |_| {
                let mut bisector = Bisector::new(copies);
                let mut tick = |docs| {
                    // The receiver outlives the threads.
                    let _ = send.send(docs);
                    match stop.load(Ordering::Relaxed) {
                        true => Err(Error::cancelled(STAGE)),
                        false => Ok(()),
                    }
                };
                loop {
                    let next = queue.lock().map_or(None, |mut queue| queue.pop());
                    let Some(node) = next else {
                        return;
                    };
                    if recurse(&mut bisector, vec![node], &mut tick).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        let mut cancelled = Ok(());
        let mut done = 0;
        for docs in receive {
            done += docs as u64;
            if cancelled.is_ok() {
                cancelled = progress.step(STAGE, done, total);
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

//! Splits a node of documents in two halves that share few terms.

use super::{
    LEAF_LEN,
    copy::{Copies, Number},
};
use crate::error::Result;

/// Nodes up to this many documents are ordered on copies of their own, with terms numbered anew, so
/// that counts and documents lie close together.
pub(super) const LOCAL_LEN: usize = 32_768;

/// Nodes up to this many documents are ordered without asking in between whether to go on.
const SUBTREE_LEN: usize = 512;

/// Halvings of a node of [`LOCAL_LEN`] documents until all are leaves, and one for rounding up.
const DEPTH: usize = (LOCAL_LEN / LEAF_LEN).ilog2() as usize + 2;

/// Rounds of moving documents between the halves. Gains flatten out; 20 rounds give 2% fewer
/// blocks than 12 at 1.5 times the time.
const ROUNDS: usize = 12;

/// Orders nodes; holds what that needs between calls.
#[derive(Debug)]
pub(super) struct Bisector<'a, N> {
    copies: &'a Copies<N>,
    work: Work,
    local: LocalWork,
}

/// Terms per document, in one run.
trait Terms: Sync {
    type Number: Number;
    fn terms(&self, doc: u32) -> &[Self::Number];
    fn term_count(&self) -> usize;
    /// Asks for the memory of a document's terms.
    fn prefetch(&self, doc: u32);
}

impl<N: Number> Terms for Copies<N> {
    type Number = N;

    fn terms(&self, doc: u32) -> &[N] {
        Copies::terms(self, doc)
    }

    fn term_count(&self) -> usize {
        Copies::term_count(self)
    }

    fn prefetch(&self, doc: u32) {
        Copies::prefetch(self, doc);
    }
}

/// Whether to go on, asked now and then with the documents ordered since.
pub(super) type Tick<'t> = dyn FnMut(usize) -> Result<()> + 't;

impl<'a, N: Number> Bisector<'a, N> {
    pub(super) fn new(copies: &'a Copies<N>) -> Bisector<'a, N> {
        Bisector {
            copies,
            work: Work::default(),
            local: LocalWork::default(),
        }
    }

    /// Reorders a node so that its two halves share few terms; returns where the right one begins,
    /// a multiple of [`LEAF_LEN`].
    pub(super) fn split(&mut self, node: &mut [u32], threads: usize) -> usize {
        self.work.split(self.copies, node, threads)
    }

    /// Orders a node of at most [`LOCAL_LEN`] documents down to the leaves.
    pub(super) fn order(&mut self, node: &mut [u32], tick: &mut Tick<'_>) -> Result<()> {
        let local = &mut self.local;
        local.levels.resize_with(DEPTH, Local::default);
        let Some((first, deeper)) = local.levels.split_first_mut() else {
            return Ok(());
        };
        if node.len() <= SUBTREE_LEN {
            tick(node.len())?;
        }
        first.fill(self.copies, node, &mut local.numbers);
        order(
            first,
            deeper,
            &mut local.work,
            &mut local.numbers,
            node,
            tick,
        )
    }
}

/// What ordering small nodes needs.
#[derive(Debug, Default)]
struct LocalWork {
    /// A copy per depth below a node.
    levels: Vec<Local>,
    work: Work,
    numbers: Vec<u32>,
}

/// A node's documents, numbered from 0, with its terms numbered from 0. Terms that only one of
/// them has are left out: they pull nobody.
#[derive(Debug, Default)]
struct Local {
    terms: Vec<u32>,
    starts: Vec<u32>,
    term_count: usize,
    order: Vec<u32>,
    /// The documents' numbers outside, as they were.
    old: Vec<u32>,
}

impl Terms for Local {
    type Number = u32;

    fn terms(&self, doc: u32) -> &[u32] {
        let at = doc as usize;
        &self.terms[self.starts[at] as usize..self.starts[at + 1] as usize]
    }

    fn term_count(&self) -> usize {
        self.term_count
    }

    /// What is this small lies in a cache.
    fn prefetch(&self, _: u32) {}
}

/// Orders the documents of a node, which `own` has copies of.
fn order(
    own: &mut Local,
    deeper: &mut [Local],
    work: &mut Work,
    numbers: &mut Vec<u32>,
    node: &mut [u32],
    tick: &mut Tick<'_>,
) -> Result<()> {
    if node.len() <= LEAF_LEN {
        return Ok(());
    }
    let mut order = std::mem::take(&mut own.order);
    order.clear();
    order.extend((0..).take(node.len()));
    let split = work.split(own, &mut order, 1);
    own.old.clear();
    own.old.extend_from_slice(node);
    for (doc, &local) in node.iter_mut().zip(&order) {
        *doc = own.old[local as usize];
    }
    own.order = order;
    if let Some((next, rest)) = deeper.split_first_mut() {
        let (left, right) = node.split_at_mut(split);
        let (left_docs, right_docs) = own.order.split_at(split);
        for (half, docs) in [(left, left_docs), (right, right_docs)] {
            if half.len() <= SUBTREE_LEN && own.old.len() > SUBTREE_LEN {
                tick(half.len())?;
            }
            if half.len() > LEAF_LEN {
                next.fill(own, docs, numbers);
                self::order(next, rest, work, numbers, half, tick)?;
            }
        }
    }
    Ok(())
}

/// Set in the entries of terms that have a number, beside it.
const NUMBERED: u32 = 1 << 31;

impl Local {
    /// Copies the terms of `docs`. `numbers` holds zeros between calls.
    fn fill<T: Terms>(&mut self, from: &T, docs: &[u32], numbers: &mut Vec<u32>) {
        if numbers.len() < from.term_count() {
            numbers.resize(from.term_count(), 0);
        }
        let mut total = 0;
        for &doc in docs {
            let terms = from.terms(doc);
            total += terms.len();
            for &term in terms {
                numbers[term.index()] += 1;
            }
        }
        self.terms.clear();
        self.terms.reserve_exact(total);
        self.starts.clear();
        self.starts.push(0);
        let mut next = 0;
        for &doc in docs {
            for &term in from.terms(doc) {
                let number = &mut numbers[term.index()];
                if *number == 1 {
                    continue;
                }
                if *number & NUMBERED == 0 {
                    *number = NUMBERED | next;
                    next += 1;
                }
                self.terms.push(*number & !NUMBERED);
            }
            // At most LOCAL_LEN documents of fewer than 256 terms.
            let end = u32::try_from(self.terms.len()).unwrap_or(u32::MAX);
            self.starts.push(end);
        }
        for &doc in docs {
            for &term in from.terms(doc) {
                numbers[term.index()] = 0;
            }
        }
        self.term_count = next as usize;
    }
}

/// Counts and biases of one node.
#[derive(Debug, Default)]
struct Work {
    /// Documents of the left and of the right half with each term.
    counts: Vec<[u32; 2]>,
    /// What a term says about the side of a document: above zero for left.
    pulls: Vec<f32>,
    /// Bias of each document of the node, above zero for left, and its place before it moved.
    biases: Vec<(f32, u32)>,
    /// The node as it was before documents moved.
    old: Vec<u32>,
    logarithms: Vec<f32>,
}

/// Counts whose logarithms are kept: nearly all that occur.
const LOGARITHMS: u32 = 4096;

impl Work {
    fn split<T: Terms>(&mut self, terms: &T, node: &mut [u32], threads: usize) -> usize {
        // Half of the leaves, rounded up: every leaf but the last is full.
        let split = node.len().div_ceil(LEAF_LEN).div_ceil(2) * LEAF_LEN;
        if split >= node.len() {
            return node.len();
        }
        if self.logarithms.is_empty() {
            self.logarithms = (0..LOGARITHMS).map(log2).collect();
        }
        self.pulls.resize(terms.term_count(), 0.0);
        self.pull_to_two(terms, node);
        self.place(terms, node, split, threads);
        self.count(terms, node, split, threads);
        for _ in 0..ROUNDS {
            self.pull();
            if !self.place(terms, node, split, threads) {
                break;
            }
            self.count_moves(terms, node, split);
        }
        split
    }

    /// The first pulls: a document to the left, one that shares the least with it to the right.
    fn pull_to_two<T: Terms>(&mut self, terms: &T, node: &[u32]) {
        self.pulls.fill(0.0);
        // Any document would do; the middle one depends on the node alone.
        let left = node[node.len() / 2];
        for &term in terms.terms(left) {
            self.pulls[term.index()] = 1.0;
        }
        let stride = (node.len() / 1024).max(1);
        let sampled = node.iter().step_by(stride).copied();
        let unlike = sampled.min_by_key(|&doc| {
            let own = terms.terms(doc);
            let shared = own.iter().filter(|&&term| self.pulls[term.index()] > 0.0);
            // Short documents are unlike everything; prefer long ones among the unlike.
            (shared.count(), std::cmp::Reverse(own.len()))
        });
        for &term in terms.terms(unlike.unwrap_or(left)) {
            self.pulls[term.index()] -= 1.0;
        }
    }

    /// Counts terms per half.
    fn count<T: Terms>(&mut self, terms: &T, node: &[u32], split: usize, threads: usize) {
        let count = |docs: &[u32], first: usize, counts: &mut Vec<[u32; 2]>| {
            counts.clear();
            counts.resize(terms.term_count(), [0; 2]);
            for (at, &doc) in docs.iter().enumerate() {
                ask_ahead(terms, docs, at);
                let side = usize::from(first + at >= split);
                for &term in terms.terms(doc) {
                    counts[term.index()][side] += 1;
                }
            }
        };
        if threads <= 1 {
            return count(node, 0, &mut self.counts);
        }
        let share = node.len().div_ceil(threads);
        let mut all = vec![Vec::new(); threads];
        std::thread::scope(|scope| {
            let shares = (0..).step_by(share).zip(node.chunks(share));
            for ((first, docs), counts) in shares.zip(&mut all) {
                let count = &count;
                scope.spawn(move || count(docs, first, counts));
            }
        });
        self.counts.clear();
        self.counts.resize(terms.term_count(), [0; 2]);
        for counts in all {
            for (sum, [left, right]) in self.counts.iter_mut().zip(counts) {
                *sum = [sum[0] + left, sum[1] + right];
            }
        }
    }

    /// Brings the counts up to date with what [`Work::place`] moved: a few documents, after the
    /// first rounds.
    fn count_moves<T: Terms>(&mut self, terms: &T, node: &[u32], split: usize) {
        for (at, (&doc, &(_, before))) in node.iter().zip(&self.biases).enumerate() {
            let (from, to) = (
                usize::from(before as usize >= split),
                usize::from(at >= split),
            );
            if from != to {
                for &term in terms.terms(doc) {
                    let counts = &mut self.counts[term.index()];
                    counts[from] -= 1;
                    counts[to] += 1;
                }
            }
        }
    }

    /// Turns counts into pulls.
    fn pull(&mut self) {
        let log = |count: u32| {
            let known = self.logarithms.get(count as usize);
            known.copied().unwrap_or_else(|| log2(count))
        };
        for (pull, &[left, right]) in self.pulls.iter_mut().zip(&self.counts) {
            *pull = log(left) - log(right);
        }
    }

    /// Puts the documents that are pulled left most into the left part; false when nobody moves.
    fn place<T: Terms>(
        &mut self,
        terms: &T,
        node: &mut [u32],
        split: usize,
        threads: usize,
    ) -> bool {
        self.bias(terms, node, threads);
        // Whoever sits left stays left among equals, so that rounds come to an end.
        let (left, right) = self.biases.split_at(split);
        let least_left = left.iter().map(|bias| bias.0).fold(f32::MAX, f32::min);
        let most_right = right.iter().map(|bias| bias.0).fold(f32::MIN, f32::max);
        if least_left >= most_right {
            return false;
        }
        self.biases
            .select_nth_unstable_by(split, |a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        self.old.clear();
        self.old.extend_from_slice(node);
        for (doc, bias) in node.iter_mut().zip(&self.biases) {
            *doc = self.old[bias.1 as usize];
        }
        true
    }

    /// Computes the bias of every document.
    fn bias<T: Terms>(&mut self, terms: &T, node: &[u32], threads: usize) {
        let pulls = &self.pulls;
        let bias = |docs: &[u32], first: u32, biases: &mut [(f32, u32)]| {
            let places = (first..).zip(docs.iter().enumerate());
            for (to, (place, (at, &doc))) in biases.iter_mut().zip(places) {
                ask_ahead(terms, docs, at);
                *to = (sum(pulls, terms.terms(doc)), place);
            }
        };
        self.biases.resize(node.len(), (0.0, 0));
        if threads <= 1 {
            return bias(node, 0, &mut self.biases);
        }
        let share = node.len().div_ceil(threads);
        std::thread::scope(|scope| {
            let shares = (0_u32..).zip(node.chunks(share));
            for ((part, docs), biases) in shares.zip(self.biases.chunks_mut(share)) {
                let first = part * u32::try_from(share).unwrap_or(u32::MAX);
                scope.spawn(move || bias(docs, first, biases));
            }
        });
    }
}

/// Documents of a large node lie anywhere in memory.
#[inline]
fn ask_ahead<T: Terms>(terms: &T, docs: &[u32], at: usize) {
    if let Some(&doc) = docs.get(at + AHEAD) {
        terms.prefetch(doc);
    }
}

/// Documents between the one whose terms are read and the one whose are asked for.
const AHEAD: usize = 8;

/// The sum of some pulls: four at a time, as each addition alone would wait for the one before.
fn sum<N: Number>(pulls: &[f32], terms: &[N]) -> f32 {
    let (fours, rest) = terms.as_chunks::<4>();
    let mut sums = [0.0; 4];
    for four in fours {
        for (sum, term) in sums.iter_mut().zip(four) {
            *sum += pulls[term.index()];
        }
    }
    let rest: f32 = rest.iter().map(|term| pulls[term.index()]).sum();
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

/// The logarithm of a count, 0 for 0 and 1: a term that one document has pulls nobody.
fn log2(count: u32) -> f32 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a pull needs no more than 24 bits"
    )]
    let count = count.max(1) as f32;
    count.log2()
}

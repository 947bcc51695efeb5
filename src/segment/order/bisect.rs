//! Splits a node of documents in two halves that share few terms.

use super::{LEAF_LEN, copy::Copies};

/// Nodes up to this many documents are split on a copy of their own, with terms numbered anew, so
/// that counts and documents lie close together.
const LOCAL_LEN: usize = 32_768;

/// Nodes up to this many documents are ordered without reporting in between.
pub(super) const SUBTREE_LEN: usize = 512;

/// Rounds of moving documents between the halves. Gains flatten out; 20 rounds give 2% fewer
/// blocks than 12 at 1.5 times the time.
const ROUNDS: usize = 12;

/// Splits nodes; holds the counts of terms between calls.
#[derive(Debug)]
pub(super) struct Bisector<'a> {
    copies: &'a Copies,
    work: Work,
    local: Local,
    local_work: Work,
    order: Vec<u32>,
    old: Vec<u32>,
}

/// Terms per document, in one run.
trait Terms: Sync {
    fn terms(&self, doc: u32) -> &[u32];
}

impl Terms for Copies {
    fn terms(&self, doc: u32) -> &[u32] {
        Copies::terms(self, doc)
    }
}

/// A subtree's documents, numbered from 0, with its terms numbered from 0.
#[derive(Debug, Default)]
struct Local {
    terms: Vec<u32>,
    starts: Vec<usize>,
    /// Number in the subtree plus one, of each term; 0 for others.
    numbers: Vec<u32>,
    term_count: usize,
}

impl Terms for Local {
    fn terms(&self, doc: u32) -> &[u32] {
        let at = doc as usize;
        &self.terms[self.starts[at]..self.starts[at + 1]]
    }
}

/// Counts and biases of one node.
#[derive(Debug, Default)]
struct Work {
    /// Documents of the left and of the right half with each term.
    counts: Vec<[u32; 2]>,
    /// What a term says about the side of a document: above zero for left.
    pulls: Vec<f32>,
    /// Bias of each document of the node, above zero for left, and the document.
    biases: Vec<(f32, u32)>,
    logarithms: Vec<f32>,
}

/// Counts whose logarithms are kept: nearly all that occur.
const LOGARITHMS: u32 = 4096;

impl<'a> Bisector<'a> {
    pub(super) fn new(copies: &'a Copies) -> Bisector<'a> {
        let mut work = Work::default();
        work.fit(copies.term_count());
        let local = Local {
            numbers: vec![0; copies.term_count()],
            ..Local::default()
        };
        Bisector {
            copies,
            work,
            local,
            local_work: Work::default(),
            order: Vec::new(),
            old: Vec::new(),
        }
    }

    /// Reorders a node so that its two halves share few terms; returns where the right one begins,
    /// a multiple of [`LEAF_LEN`].
    pub(super) fn split(&mut self, node: &mut [u32], threads: usize) -> usize {
        if node.len() > LOCAL_LEN {
            return self.work.split(self.copies, node, threads);
        }
        self.local.fill(self.copies, node);
        self.local_work.fit(self.local.term_count);
        self.order.clear();
        self.order.extend((0..).take(node.len()));
        let split = self.local_work.split(&self.local, &mut self.order, threads);
        self.old.clear();
        self.old.extend_from_slice(node);
        for (doc, &local) in node.iter_mut().zip(&self.order) {
            *doc = self.old[local as usize];
        }
        split
    }

    /// Orders a node of at most [`SUBTREE_LEN`] documents down to the leaves.
    pub(super) fn order_subtree(&mut self, node: &mut [u32]) {
        if node.len() > LEAF_LEN {
            let split = self.split(node, 1);
            let (left, right) = node.split_at_mut(split);
            self.order_subtree(left);
            self.order_subtree(right);
        }
    }
}

impl Local {
    fn fill(&mut self, copies: &Copies, node: &[u32]) {
        self.terms.clear();
        self.starts.clear();
        self.starts.push(0);
        let mut next = 0;
        for &doc in node {
            for &term in copies.terms(doc) {
                let number = &mut self.numbers[term as usize];
                if *number == 0 {
                    next += 1;
                    *number = next;
                }
                self.terms.push(*number - 1);
            }
            self.starts.push(self.terms.len());
        }
        for &doc in node {
            for &term in copies.terms(doc) {
                self.numbers[term as usize] = 0;
            }
        }
        self.term_count = next as usize;
    }
}

impl Work {
    fn fit(&mut self, term_count: usize) {
        if self.logarithms.is_empty() {
            self.logarithms = (0..LOGARITHMS).map(log2).collect();
        }
        self.counts.resize(term_count, [0; 2]);
        self.pulls.resize(term_count, 0.0);
    }

    fn split<T: Terms>(&mut self, terms: &T, node: &mut [u32], threads: usize) -> usize {
        // Half of the leaves, rounded up: every leaf but the last is full.
        let split = node.len().div_ceil(LEAF_LEN).div_ceil(2) * LEAF_LEN;
        if split >= node.len() {
            return node.len();
        }
        self.pull_to_two(terms, node);
        self.place(terms, node, split, threads);
        for _ in 0..ROUNDS {
            self.count(terms, node, split);
            if !self.place(terms, node, split, threads) {
                break;
            }
        }
        split
    }

    /// The first pulls: a document to the left, one that shares the least with it to the right.
    fn pull_to_two<T: Terms>(&mut self, terms: &T, node: &[u32]) {
        self.pulls.fill(0.0);
        // Any document would do; the middle one depends on the node alone.
        let left = node[node.len() / 2];
        for &term in terms.terms(left) {
            self.pulls[term as usize] = 1.0;
        }
        let stride = (node.len() / 1024).max(1);
        let sampled = node.iter().step_by(stride).copied();
        let unlike = sampled.min_by_key(|&doc| {
            let own = terms.terms(doc);
            let shared = own.iter().filter(|&&term| self.pulls[term as usize] > 0.0);
            // Short documents are unlike everything; prefer long ones among the unlike.
            (shared.count(), std::cmp::Reverse(own.len()))
        });
        for &term in terms.terms(unlike.unwrap_or(left)) {
            self.pulls[term as usize] -= 1.0;
        }
    }

    /// Counts terms per half and turns the counts into pulls.
    fn count<T: Terms>(&mut self, terms: &T, node: &[u32], split: usize) {
        self.counts.fill([0; 2]);
        let (left, right) = node.split_at(split);
        for (side, docs) in [left, right].into_iter().enumerate() {
            for &doc in docs {
                for &term in terms.terms(doc) {
                    self.counts[term as usize][side] += 1;
                }
            }
        }
        for (pull, &[left, right]) in self.pulls.iter_mut().zip(&self.counts) {
            let log = |count: u32| {
                let known = self.logarithms.get(count as usize);
                known.copied().unwrap_or_else(|| log2(count))
            };
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
        let pulls = &self.pulls;
        let bias = |doc: u32| {
            let sum: f32 = terms
                .terms(doc)
                .iter()
                .map(|&term| pulls[term as usize])
                .sum();
            (sum, doc)
        };
        self.biases.clear();
        if threads > 1 {
            self.biases.resize(node.len(), (0.0, 0));
            let share = node.len().div_ceil(threads);
            std::thread::scope(|scope| {
                for (docs, biases) in node.chunks(share).zip(self.biases.chunks_mut(share)) {
                    scope.spawn(move || {
                        for (to, &doc) in biases.iter_mut().zip(docs) {
                            *to = bias(doc);
                        }
                    });
                }
            });
        } else {
            self.biases.extend(node.iter().map(|&doc| bias(doc)));
        }
        // Whoever sits left stays left among equals, so that rounds come to an end.
        let least_left = self.biases[..split]
            .iter()
            .map(|b| b.0)
            .fold(f32::MAX, f32::min);
        let most_right = self.biases[split..]
            .iter()
            .map(|b| b.0)
            .fold(f32::MIN, f32::max);
        if least_left >= most_right {
            return false;
        }
        self.biases
            .select_nth_unstable_by(split, |a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        for (doc, bias) in node.iter_mut().zip(&self.biases) {
            *doc = bias.1;
        }
        true
    }
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

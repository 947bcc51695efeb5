//! From hidden states to pooled latents, some latents at a time.
//!
//! The product of hidden states with all weights would be as large as tokens times latents; here it
//! is made in tiles that stay in the second-level cache, and of each tile only maxima are kept. ReLU
//! and JumpReLU never fall as their argument rises, so the maximum over a text's tokens is taken of
//! raw products, and bias, threshold and gain are applied once a latent. TopK chooses within each
//! token and is applied there.
//!
//! Weights that lie latent after latent are multiplied where they lie. For the other layout, which
//! has to be copied into panels, there is a library's product.

use std::{
    cmp::Ordering,
    ops::Range,
    sync::atomic::{self, AtomicUsize},
};

use super::autoencoder::Autoencoder;
use crate::{
    encode::matrix::{Matrix, multiply},
    error::{Error, Result},
    simd::products::{PANEL, Panels},
};

/// Latents of a tile.
const LATENTS: usize = 512;

/// Tokens of a tile: with [`LATENTS`] half a megabyte.
const TOKENS: usize = 256;

/// Bytes of candidates that TopK may hold at once, over all threads.
const CANDIDATES: usize = 64 << 20;

/// Hidden states, as the product with the weights wants them.
enum States {
    Rows(Vec<f32>),
    Panels(Panels),
}

/// Latents of a text: id and value, rising.
pub(super) type Latents = Vec<(u32, f32)>;

impl Autoencoder {
    /// For each of `texts`, ranges of tokens of `states` in rising order, the largest value of each
    /// latent over its tokens; those above 0.
    pub(super) fn pooled(
        &self,
        mut states: Vec<f32>,
        texts: &[Range<usize>],
        threads: usize,
    ) -> Result<Vec<Latents>> {
        if !states.len().is_multiple_of(self.hidden) {
            return Err(Error::invalid(
                "hidden states of a text",
                format!("a multiple of {} values", self.hidden),
                states.len().to_string(),
            ));
        }
        if states.iter().any(|value| !value.is_finite()) {
            return Err(Error::model(
                "hidden states",
                "one is NaN or infinite: the backbone or its weights are damaged, or overflow in the precision they were exported with",
            ));
        }
        self.prepare(&mut states);
        let tokens = states.len() / self.hidden;
        let states = if self.has_latents_first() {
            let panels = Panels::new(&states, self.hidden);
            drop(states);
            States::Panels(panels)
        } else {
            States::Rows(states)
        };
        let texts: Vec<Range<usize>> = texts
            .iter()
            .map(|text| text.start.min(tokens)..text.end.min(tokens))
            .collect();
        let threads = threads.clamp(1, self.latents.div_ceil(LATENTS));
        let pooled = match &self.gate.top {
            None => self.largest(&states, tokens, &texts, threads),
            Some((k, ranks)) => {
                self.largest_of_top(&states, tokens, &texts, (*k, ranks.as_deref()), threads)
            }
        };
        let overflows = |latents: &Latents| latents.iter().any(|(_, value)| !value.is_finite());
        if pooled.iter().any(overflows) {
            return Err(Error::model(
                "latents",
                "one is infinite: hidden states and weights do not belong together",
            ));
        }
        Ok(pooled)
    }

    /// Where tokens do not depend on each other's latents.
    fn largest(
        &self,
        states: &States,
        tokens: usize,
        texts: &[Range<usize>],
        threads: usize,
    ) -> Vec<Latents> {
        let tiles = self.each_block(threads, |start, end, weights, product| {
            let width = end - start;
            let mut found: Vec<Latents> = vec![Vec::new(); texts.len()];
            let mut maxima = vec![f32::NEG_INFINITY; width];
            let mut open: Option<usize> = None;
            let mut close = |text: usize, maxima: &mut [f32]| {
                for (latent, maximum) in (start..end).zip(&mut *maxima) {
                    let value = self.gate.value(latent, *maximum + self.bias[latent]);
                    if value > 0.0 {
                        found[text].push((id(latent), value));
                    }
                    *maximum = f32::NEG_INFINITY;
                }
            };
            for tile in tiles_of(0..tokens) {
                self.multiply(states, &tile, weights, product);
                let first = texts.partition_point(|text| text.end <= tile.start);
                for (at, text) in texts.iter().enumerate().skip(first) {
                    let from = text.start.max(tile.start);
                    let to = text.end.min(tile.end);
                    if text.start >= tile.end {
                        break;
                    }
                    if open != Some(at)
                        && let Some(before) = open.replace(at)
                    {
                        close(before, &mut maxima);
                    }
                    if from < to {
                        let rows = (from - tile.start) * width..(to - tile.start) * width;
                        for row in product[rows].chunks_exact(width) {
                            raise(&mut maxima, row);
                        }
                    }
                }
            }
            if let Some(last) = open {
                close(last, &mut maxima);
            }
            found
        });
        let mut pooled: Vec<Latents> = vec![Vec::new(); texts.len()];
        for tile in tiles {
            for (all, part) in pooled.iter_mut().zip(tile) {
                all.extend(part);
            }
        }
        pooled
    }

    /// Where each token keeps its `k` largest.
    fn largest_of_top(
        &self,
        states: &States,
        tokens: usize,
        texts: &[Range<usize>],
        (k, ranks): (usize, Option<&[f32]>),
        threads: usize,
    ) -> Vec<Latents> {
        let mut pooled: Vec<Latents> = vec![Vec::new(); texts.len()];
        let at_once = CANDIDATES / (2 * k * threads * size_of::<Candidate>());
        // Whole panels.
        let at_once = (at_once / PANEL).max(1) * PANEL;
        for start in (0..tokens).step_by(at_once) {
            let end = tokens.min(start + at_once);
            let mut tops = self.tops(states, start..end, (k, ranks), threads);
            let first = texts.partition_point(|text| text.end <= start);
            for (text, pooled) in texts.iter().zip(&mut pooled).skip(first) {
                for token in text.start.max(start)..text.end.min(end) {
                    let kept = tops[token - start].finish();
                    pooled.extend(kept.iter().map(|kept| (kept.latent, kept.value)));
                }
                settle(pooled);
            }
        }
        pooled
    }

    /// The best of each token.
    fn tops(
        &self,
        states: &States,
        tokens: Range<usize>,
        (k, ranks): (usize, Option<&[f32]>),
        threads: usize,
    ) -> Vec<Top> {
        let work = |next: &AtomicUsize| {
            let mut tops = vec![Top::new(k); tokens.len()];
            self.blocks(next, |start, end, weights, product| {
                let width = end - start;
                for tile in tiles_of(tokens.clone()) {
                    self.multiply(states, &tile, weights, product);
                    let own = tile.start - tokens.start..tile.end - tokens.start;
                    for (row, top) in product.chunks_exact_mut(width).zip(&mut tops[own]) {
                        add(row, &self.bias[start..end]);
                        let gain = self.gate.gain.as_ref().map(|gain| &gain[start..end]);
                        top.offer(row, start, ranks.map(|ranks| &ranks[start..end]), gain);
                    }
                }
            });
            tops
        };
        let mut parts = scatter(threads, work);
        let mut tops = parts.pop().unwrap_or_default();
        for part in parts {
            for (top, other) in tops.iter_mut().zip(part) {
                top.kept.extend(other.kept);
            }
        }
        tops
    }

    /// The products of a tile of tokens with a block of weights, a row a token.
    fn multiply(
        &self,
        states: &States,
        tile: &Range<usize>,
        weights: Matrix<'_>,
        product: &mut Vec<f32>,
    ) {
        product.resize(tile.len() * weights.columns(), 0.0);
        match states {
            States::Panels(panels) => {
                let weights = weights.contiguous_columns().unwrap_or_default();
                panels.multiply(tile.start, tile.end, weights, product);
            }
            States::Rows(rows) => {
                let rows = &rows[tile.start * self.hidden..tile.end * self.hidden];
                multiply(Matrix::new(rows, self.hidden), weights, product, 1);
            }
        }
    }

    /// Runs `work` for every block of latents, on `threads` threads; what it gave, in order.
    fn each_block<T: Send>(
        &self,
        threads: usize,
        work: impl Fn(usize, usize, Matrix<'_>, &mut Vec<f32>) -> T + Sync,
    ) -> Vec<T> {
        let parts = scatter(threads, |next| {
            let mut done = Vec::new();
            self.blocks(next, |start, end, weights, product| {
                done.push((start, work(start, end, weights, product)));
            });
            done
        });
        let mut all: Vec<_> = parts.into_iter().flatten().collect();
        all.sort_by_key(|(start, _)| *start);
        all.into_iter().map(|(_, done)| done).collect()
    }

    /// Takes blocks of latents until `next` says that there are no more.
    fn blocks(
        &self,
        next: &AtomicUsize,
        mut work: impl FnMut(usize, usize, Matrix<'_>, &mut Vec<f32>),
    ) {
        let (mut scratch, mut product) = (Vec::new(), Vec::new());
        loop {
            let start = next.fetch_add(LATENTS, atomic::Ordering::Relaxed);
            if start >= self.latents {
                return;
            }
            let end = self.latents.min(start + LATENTS);
            self.with_block(start, end, &mut scratch, |weights| {
                work(start, end, weights, &mut product);
            });
        }
    }
}

/// Runs `work` on `threads` threads, the caller's own among them, with one counter for all.
fn scatter<T: Send>(threads: usize, work: impl Fn(&AtomicUsize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    if threads == 1 {
        return vec![work(&next)];
    }
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(|| work(&next))).collect();
        let mut all = vec![work(&next)];
        for thread in others {
            match thread.join() {
                Ok(done) => all.push(done),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    })
}

fn tiles_of(tokens: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = tokens.end;
    tokens
        .step_by(TOKENS)
        .map(move |start| start..end.min(start + TOKENS))
}

/// Written so that it becomes vector code: no branch.
fn raise(maxima: &mut [f32], row: &[f32]) {
    for (maximum, value) in maxima.iter_mut().zip(row) {
        *maximum = if *value > *maximum { *value } else { *maximum };
    }
}

fn add(row: &mut [f32], bias: &[f32]) {
    row.iter_mut()
        .zip(bias)
        .for_each(|(sum, bias)| *sum += bias);
}

/// Latents are at most `LATENTS_MAX`.
fn id(latent: usize) -> u32 {
    u32::try_from(latent).unwrap_or(u32::MAX)
}

/// Sorts by latent and keeps the largest value of each.
fn settle(latents: &mut Latents) {
    latents.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
    latents.dedup_by_key(|pair| pair.0);
}

/// The best latents of one token so far.
#[derive(Clone, Debug)]
struct Top {
    k: usize,
    kept: Vec<Candidate>,
    /// What is not above this cannot be among the `k` largest, or is worth nothing.
    floor: f32,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    rank: f32,
    value: f32,
    latent: u32,
}

impl Candidate {
    /// The better comes first.
    fn order(&self, other: &Candidate) -> Ordering {
        other
            .rank
            .total_cmp(&self.rank)
            .then(self.latent.cmp(&other.latent))
    }
}

impl Top {
    fn new(k: usize) -> Top {
        Top {
            k,
            kept: Vec::new(),
            floor: 0.0,
        }
    }

    /// Takes what is good enough of a block of sums that begins at latent `start`.
    fn offer(&mut self, sums: &[f32], start: usize, ranks: Option<&[f32]>, gain: Option<&[f32]>) {
        const LANES: usize = 16;
        for (at, lanes) in (0..).step_by(LANES).zip(sums.chunks(LANES)) {
            // Most lanes hold nothing; without norms that is seen before any is looked at.
            let floor = if ranks.is_some() { 0.0 } else { self.floor };
            if !lanes.iter().fold(false, |any, sum| any | (*sum > floor)) {
                continue;
            }
            for (lane, sum) in lanes.iter().enumerate() {
                let rank = ranks.map_or(*sum, |ranks| *sum * ranks[at + lane]);
                // Latents come in rising order on each thread, so an equal one comes too late.
                if rank > self.floor {
                    let value = gain.map_or(*sum, |gain| *sum * gain[at + lane]);
                    self.kept.push(Candidate {
                        rank,
                        value,
                        latent: id(start + at + lane),
                    });
                    if self.kept.len() >= 2 * self.k {
                        self.cut();
                    }
                }
            }
        }
    }

    fn cut(&mut self) {
        if self.kept.len() > self.k {
            self.kept
                .select_nth_unstable_by(self.k - 1, Candidate::order);
            self.kept.truncate(self.k);
        }
        if self.kept.len() == self.k {
            let last = self.kept.iter().map(|kept| kept.rank).reduce(f32::min);
            self.floor = last.unwrap_or(0.0);
        }
    }

    fn finish(&mut self) -> &[Candidate] {
        self.cut();
        &self.kept
    }
}

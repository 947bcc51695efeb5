//! From the slopes of scores to those of weights.

use super::texts::{Fired, Texts};
use crate::train::sae::{
    adam::{Adam, Moments},
    pieces::in_pieces,
    weights::add_scaled,
};

/// Latents that are stepped together.
const PIECE: usize = 512;

/// One side of a batch: what each of its texts fires, and the weight of its regularizer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Side<'a> {
    pub(super) fired: &'a [Vec<Fired>],
    pub(super) flops: f32,
}

/// A latent of a text of a side.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    text: u32,
    weight: f32,
    row: u32,
}

/// What fires each latent.
#[derive(Debug)]
struct ByLatent {
    starts: Vec<usize>,
    entries: Vec<Entry>,
}

impl ByLatent {
    fn new(latents: usize, fired: &[Vec<Fired>]) -> ByLatent {
        let mut starts = vec![0; latents + 1];
        for fired in fired.iter().flatten() {
            starts[fired.latent as usize + 1] += 1;
        }
        for latent in 0..latents {
            starts[latent + 1] += starts[latent];
        }
        let mut next = starts.clone();
        let mut entries = vec![Entry::default(); starts[latents]];
        for (text, fired) in (0_u32..).zip(fired) {
            for fired in fired {
                let place = &mut next[fired.latent as usize];
                entries[*place] = Entry {
                    text,
                    weight: fired.weight,
                    row: fired.row,
                };
                *place += 1;
            }
        }
        ByLatent { starts, entries }
    }

    fn of(&self, latent: usize) -> &[Entry] {
        &self.entries[self.starts[latent]..self.starts[latent + 1]]
    }
}

/// What is moved: encoder and bias, with their means.
#[derive(Debug)]
pub(super) struct Moved<'a> {
    pub(super) encoder: &'a mut [f32],
    pub(super) of_encoder: &'a mut Moments,
    pub(super) bias: &'a mut [f32],
    pub(super) of_bias: &'a mut Moments,
}

/// A batch: rows that its texts were read from, its sides, and the slopes of the loss by the score of
/// each query (a row) with each passage.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch<'a> {
    pub(super) width: usize,
    pub(super) queries: (&'a Texts, Side<'a>),
    pub(super) passages: (&'a Texts, Side<'a>),
    pub(super) slopes: &'a [f32],
}

/// `sum over latents of (mean over texts of weight)^2`: FLOPS (Paria et al., arXiv 2004.05665).
pub(super) fn flops(latents: usize, fired: &[Vec<Fired>]) -> f64 {
    let mut sums = vec![0.0_f64; latents];
    for fired in fired.iter().flatten() {
        sums[fired.latent as usize] += f64::from(fired.weight);
    }
    let texts = fired.len().max(1) as f64;
    sums.iter().map(|sum| (sum / texts) * (sum / texts)).sum()
}

/// The grouped sides of a batch.
pub(super) struct Grouped<'a> {
    batch: Batch<'a>,
    queries: ByLatent,
    passages: ByLatent,
}

impl<'a> Grouped<'a> {
    pub(super) fn new(latents: usize, batch: Batch<'a>) -> Grouped<'a> {
        Grouped {
            queries: ByLatent::new(latents, batch.queries.1.fired),
            passages: ByLatent::new(latents, batch.passages.1.fired),
            batch,
        }
    }

    /// Writes the slopes of the loss by a latent's row of the encoder; returns that by its bias.
    pub(super) fn slopes(&self, latent: usize, encoder: &mut [f32]) -> f32 {
        encoder.fill(0.0);
        let (queries, passages) = (self.queries.of(latent), self.passages.of(latent));
        let width = self.batch.width;
        let count = self.batch.passages.1.fired.len();
        let slope = |query: &Entry, passage: &Entry| {
            self.batch.slopes[query.text as usize * count + passage.text as usize]
        };
        let mut bias = 0.0;
        let mut add = |entry: &Entry, texts: &Texts, by_weight: f32| {
            // d ln(1 + w) / dw = 1 / (1 + w) = e^-weight.
            let by_sum = by_weight * (-entry.weight).exp();
            add_scaled(
                encoder,
                by_sum,
                &texts.rows[entry.row as usize * width..][..width],
            );
            bias += by_sum;
        };
        for query in queries {
            let ranked: f32 = passages
                .iter()
                .map(|passage| slope(query, passage) * passage.weight)
                .sum();
            add(
                query,
                self.batch.queries.0,
                ranked + regular(self.batch.queries.1, queries),
            );
        }
        for passage in passages {
            let ranked: f32 = queries
                .iter()
                .map(|query| slope(query, passage) * query.weight)
                .sum();
            add(
                passage,
                self.batch.passages.0,
                ranked + regular(self.batch.passages.1, passages),
            );
        }
        bias
    }

    /// Moves every latent by a step.
    pub(super) fn descend(&self, moved: Moved<'_>, adam: Adam, threads: usize) {
        let width = self.batch.width;
        let rows = PIECE * width;
        let encoder = moved
            .encoder
            .chunks_mut(rows)
            .zip(moved.of_encoder.first.chunks_mut(rows))
            .zip(moved.of_encoder.second.chunks_mut(rows));
        let bias = moved
            .bias
            .chunks_mut(PIECE)
            .zip(moved.of_bias.first.chunks_mut(PIECE))
            .zip(moved.of_bias.second.chunks_mut(PIECE));
        let pieces: Vec<_> = encoder.zip(bias).enumerate().collect();
        in_pieces(
            threads,
            pieces,
            |(number, (((weights, first), second), ((bias, bias_first), bias_second)))| {
                let mut slopes = vec![0.0; width];
                let mut of_bias = vec![0.0; bias.len()];
                let each = weights
                    .chunks_mut(width)
                    .zip(first.chunks_mut(width))
                    .zip(second.chunks_mut(width))
                    .zip(&mut of_bias);
                for (at, (((weights, first), second), of_bias)) in each.enumerate() {
                    *of_bias = self.slopes(number * PIECE + at, &mut slopes);
                    adam.update(weights, first, second, &slopes);
                }
                adam.update(bias, bias_first, bias_second, &of_bias);
            },
        );
    }
}

/// The slope of a side's FLOPS by a weight of a latent.
fn regular(side: Side<'_>, entries: &[Entry]) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "texts of a batch")]
    let texts = side.fired.len().max(1) as f32;
    let sum: f32 = entries.iter().map(|entry| entry.weight).sum();
    side.flops * 2.0 * sum / texts / texts
}

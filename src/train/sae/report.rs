//! What a training did.

use super::{
    cache::HiddenCache,
    gradient::{Setting, pass},
    weights::{Scaling, Weights, distance2},
};
use crate::error::Result;

/// What a training of an autoencoder did. Shares are of 1.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AutoencoderReport {
    /// Steps of gradient descent.
    pub steps: u64,
    /// Tokens learned from, repetitions counted.
    pub tokens: u64,
    /// Tokens held out, which the next three are measured on; where none are, learned ones are.
    pub held_out_tokens: usize,
    /// 1 less the squared error over the squared distance from the mean.
    pub explained_variance: f64,
    /// Mean number of active latents of a token.
    pub l0: f64,
    /// Share of the latents that no held-out token uses.
    pub unused: f64,
    /// Share of the latents that are dead at the end of training.
    pub dead: f64,
    /// Mean squared error over the data's variance, of each step.
    pub losses: Vec<f32>,
}

/// Tokens that are measured at a time.
const CHUNK: usize = 2048;
/// More say the same.
const TOKENS_MAX: usize = 200_000;

/// Explained variance, l0 and share of unused latents over the tokens of `range`.
pub(super) fn measure(
    cache: &HiddenCache,
    range: std::ops::Range<usize>,
    weights: &Weights,
    scaling: &Scaling,
    active: usize,
    threads: usize,
) -> Result<(f64, f64, f64)> {
    let range = range.start..range.end.min(range.start + TOKENS_MAX);
    let width = weights.width;
    let mut used = vec![false; weights.latents()];
    let (mut error, mut uses) = (0.0, 0_usize);
    let mut sums = vec![0.0_f64; width];
    let mut from_center = 0.0;
    let mut rows = Vec::new();
    for first in range.clone().step_by(CHUNK) {
        let last = range.end.min(first + CHUNK);
        rows.resize((last - first) * width, 0.0);
        cache.read(first, &mut rows)?;
        for row in rows.chunks_exact_mut(width) {
            row.iter_mut().for_each(|value| *value *= scaling.input);
            from_center += f64::from(distance2(row, &scaling.center));
            for ((sum, value), center) in sums.iter_mut().zip(row.iter()).zip(&scaling.center) {
                *sum += f64::from(value - center);
            }
        }
        let setting = Setting {
            active,
            auxiliary: 0,
            dead: &[],
            threads,
        };
        for block in pass(weights, &rows, setting) {
            error += block.main.error;
            uses += block.main.uses.len();
            block
                .main
                .uses
                .iter()
                .for_each(|of| used[of.latent as usize] = true);
        }
    }
    let tokens = range.len().max(1) as f64;
    // Distances are from the start of the bias; what the mean differs from it comes off.
    let offset: f64 = sums.iter().map(|sum| sum * sum).sum::<f64>() / tokens;
    let variance = (from_center - offset).max(f64::MIN_POSITIVE);
    let unused = used.iter().filter(|used| !**used).count();
    Ok((
        1.0 - error / variance,
        uses as f64 / tokens,
        unused as f64 / used.len() as f64,
    ))
}

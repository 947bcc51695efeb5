//! The loss of a batch of tokens and its slopes.
//!
//! A token `x` has the latents `z = TopK(W (x - c) + b)`, the `k` largest that are positive, and the
//! loss `|D z + c - x|^2` over the data's variance (arXiv 2406.04093, section 2.3). Latents that have
//! not fired for long also try, the `k_aux` largest of them, to make what the others left over: `e = x - (D z + c)`,
//! held fixed, with `|D z' - e|^2` over `|e|^2` (its appendix A.2). Only active latents have slopes, so
//! everything but the product `W (x - c)` is sparse.

use super::{
    pieces::in_pieces,
    select::{Active, largest, largest_among},
    weights::{Weights, add_scaled, dot},
};
use crate::encode::matrix::{Matrix, multiply};

/// Bytes of activations that one thread holds at a time.
const BLOCK_BYTES: usize = 16 << 20;

/// What a pass over a batch needs besides the weights.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting<'a> {
    /// `k`.
    pub(super) active: usize,
    /// `k_aux`.
    pub(super) auxiliary: usize,
    /// Latents that count as dead, rising.
    pub(super) dead: &'a [u32],
    pub(super) threads: usize,
}

/// A latent that a token uses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Use {
    pub(super) latent: u32,
    pub(super) value: f32,
    /// By how much the squared error rises with half of the value.
    pub(super) slope: f32,
}

/// Tokens of a batch after the pass.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// `x - c`, token after token.
    pub(super) centered: Vec<f32>,
    pub(super) main: Side,
    pub(super) auxiliary: Side,
}

/// One reconstruction of the tokens of a block.
#[derive(Debug, Default)]
pub(super) struct Side {
    pub(super) uses: Vec<Use>,
    /// Where each token's uses end.
    pub(super) ends: Vec<usize>,
    /// What is made less what should be.
    pub(super) residual: Vec<f32>,
    /// Squared error, summed over tokens.
    pub(super) error: f64,
}

/// Tokens of a block: the same for any number of threads, since it decides how sums are grouped.
pub(super) fn block_tokens(latents: usize) -> usize {
    (BLOCK_BYTES / 4 / latents.max(1)).clamp(8, 256)
}

/// Runs the tokens of `rows` through the autoencoder.
pub(super) fn pass(weights: &Weights, rows: &[f32], setting: Setting<'_>) -> Vec<Block> {
    let step = block_tokens(weights.latents()) * weights.width;
    in_pieces(setting.threads, rows.chunks(step).collect(), |rows| {
        pass_block(weights, rows, setting)
    })
}

/// The pre-activations of centered tokens, a row each.
pub(super) fn activations(weights: &Weights, centered: &[f32]) -> Vec<f32> {
    let latents = weights.latents();
    let mut values = vec![0.0; centered.len() / weights.width * latents];
    let encoder = Matrix::new(&weights.encoder, weights.width).transposed();
    multiply(
        Matrix::new(centered, weights.width),
        encoder,
        &mut values,
        1,
    );
    for row in values.chunks_exact_mut(latents) {
        for (value, bias) in row.iter_mut().zip(&weights.encoder_bias) {
            *value += bias;
        }
    }
    values
}

pub(super) fn center(weights: &Weights, rows: &[f32]) -> Vec<f32> {
    let mut centered = rows.to_vec();
    for row in centered.chunks_exact_mut(weights.width) {
        for (value, center) in row.iter_mut().zip(&weights.decoder_bias) {
            *value -= center;
        }
    }
    centered
}

fn pass_block(weights: &Weights, rows: &[f32], setting: Setting<'_>) -> Block {
    let width = weights.width;
    let mut block = Block {
        centered: center(weights, rows),
        ..Block::default()
    };
    let values = activations(weights, &block.centered);
    let tries = setting.auxiliary > 0 && !setting.dead.is_empty();
    let mut found = Vec::new();
    let tokens = values
        .chunks_exact(weights.latents())
        .zip(block.centered.chunks_exact(width));
    for (values, centered) in tokens {
        largest(values, setting.active, &mut found);
        block.main.reconstruct(weights, &found, centered);
        if tries {
            let left: Vec<f32> = block.main.residual[block.main.residual.len() - width..]
                .iter()
                .map(|value| -value)
                .collect();
            largest_among(values, setting.dead, setting.auxiliary, &mut found);
            block.auxiliary.reconstruct(weights, &found, &left);
        }
    }
    block
}

impl Side {
    /// Adds a token with its latents.
    fn reconstruct(&mut self, weights: &Weights, found: &[Active], wanted: &[f32]) {
        let width = weights.width;
        let start = self.residual.len();
        self.residual.extend(wanted.iter().map(|value| -value));
        let residual = &mut self.residual[start..];
        let row = |latent: u32| &weights.decoder[latent as usize * width..][..width];
        for active in found {
            add_scaled(residual, active.value, row(active.latent));
        }
        self.error += f64::from(dot(residual, residual));
        self.uses.extend(found.iter().map(|active| Use {
            latent: active.latent,
            value: active.value,
            slope: dot(residual, row(active.latent)),
        }));
        self.ends.push(self.uses.len());
    }

    fn tokens(&self) -> impl Iterator<Item = &[Use]> {
        self.ends.iter().scan(0, |start, &end| {
            Some(&self.uses[std::mem::replace(start, end)..end])
        })
    }
}

/// The uses of a batch by latent.
#[derive(Debug)]
pub(super) struct ByLatent {
    starts: Vec<usize>,
    entries: Vec<Entry>,
}

/// A use of a latent by a token.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    token: u32,
    is_auxiliary: bool,
    value: f32,
    slope: f32,
}

/// By what the slopes of squared errors are multiplied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    pub(super) main: f32,
    pub(super) auxiliary: f32,
}

impl ByLatent {
    pub(super) fn new(latents: usize, blocks: &[Block]) -> ByLatent {
        let mut starts = vec![0; latents + 1];
        let sides = || {
            blocks
                .iter()
                .flat_map(|block| [&block.main, &block.auxiliary])
        };
        for used in sides().flat_map(|side| &side.uses) {
            starts[used.latent as usize + 1] += 1;
        }
        for latent in 0..latents {
            starts[latent + 1] += starts[latent];
        }
        let mut next = starts.clone();
        let mut entries = vec![Entry::default(); starts[latents]];
        let mut first = 0;
        for block in blocks {
            for (side, is_auxiliary) in [(&block.main, false), (&block.auxiliary, true)] {
                for (token, uses) in (first..).zip(side.tokens()) {
                    for used in uses {
                        let place = &mut next[used.latent as usize];
                        entries[*place] = Entry {
                            token,
                            is_auxiliary,
                            value: used.value,
                            slope: used.slope,
                        };
                        *place += 1;
                    }
                }
            }
            first += crate::train::corpus::small(block.main.ends.len());
        }
        ByLatent { starts, entries }
    }

    /// Whether a latent fired, auxiliary tries left out.
    pub(super) fn fired(&self, latent: usize) -> bool {
        self.of(latent).iter().any(|entry| !entry.is_auxiliary)
    }

    /// Writes the slopes of the loss by a latent's rows; returns that by its bias.
    pub(super) fn slopes(
        &self,
        latent: usize,
        blocks: &[Block],
        scale: Scale,
        encoder: &mut [f32],
        decoder: &mut [f32],
    ) -> f32 {
        let width = encoder.len();
        encoder.fill(0.0);
        decoder.fill(0.0);
        let tokens = blocks
            .first()
            .map_or(1, |block| block.main.ends.len())
            .max(1);
        let mut bias = 0.0;
        for entry in self.of(latent) {
            let token = entry.token as usize;
            let (block, row) = (&blocks[token / tokens], token % tokens * width);
            let (side, factor) = if entry.is_auxiliary {
                (&block.auxiliary, scale.auxiliary)
            } else {
                (&block.main, scale.main)
            };
            add_scaled(
                decoder,
                factor * entry.value,
                &side.residual[row..row + width],
            );
            add_scaled(
                encoder,
                factor * entry.slope,
                &block.centered[row..row + width],
            );
            bias += factor * entry.slope;
        }
        bias
    }

    fn of(&self, latent: usize) -> &[Entry] {
        &self.entries[self.starts[latent]..self.starts[latent + 1]]
    }
}

//! Trains sparse autoencoders on hidden states, and fine-tunes their encoders for retrieval.
//!
//! A pass of the backbone writes a [`HiddenCache`]; [`train_autoencoder`] learns a TopK autoencoder
//! from it; [`tune_for_ranking`] turns its encoder towards ranking. Everything runs on the threads that are
//! granted, and the same cache, options and seed give the same weights, bit for bit, on any number
//! of them (on one machine: which kernels multiply matrices depends on the processor).

mod adam;
mod cache;
mod checkpoint;
mod descent;
mod gradient;
mod half;
mod order;
mod pieces;
mod ranking;
mod report;
mod select;
mod training;
mod weights;

use std::path::PathBuf;

pub use self::{
    cache::{HiddenCache, HiddenWriter, Precision},
    ranking::{Distillation, Example, Ranked, RankingOptions, RankingReport, tune_for_ranking},
    report::AutoencoderReport,
    training::{Learned, train_autoencoder},
};
use crate::error::{Error, Result};

/// How to train an autoencoder.
///
/// ```
/// use sparsely::train::sae::AutoencoderOptions;
/// let options = AutoencoderOptions { latents: 65_536, threads: 8, ..AutoencoderOptions::default() };
/// assert_eq!(options.active, 32);
/// ```
#[derive(Clone, Debug)]
pub struct AutoencoderOptions {
    /// Latents. Training holds about `24 * latents * width` bytes. 16,384.
    pub latents: usize,
    /// Latents of a token, `k`. 32.
    pub active: usize,
    /// Dead latents that try to make what the others left over, `k_aux`; 0 for none. 256.
    pub auxiliary: usize,
    /// What their error counts. 1/32.
    pub auxiliary_weight: f32,
    /// A latent that so many tokens did not use is dead; `None` for a tenth of all tokens that will
    /// be seen, at most ten million. `None`.
    pub dead_after: Option<u64>,
    /// Tokens of a step. 2,048.
    pub batch: usize,
    /// Passes over the tokens. 1.
    pub epochs: u32,
    /// The highest learning rate. 0.001.
    pub rate: f32,
    /// Share of the steps over which the rate rises from nothing. 0.05.
    pub warm_up: f32,
    /// Share of the steps, the last ones, over which it falls to nothing. 0.3.
    pub decay: f32,
    /// Share of the texts, the last ones, that are kept for the report. 0.02.
    pub held_out: f32,
    /// Where latents point at first. [`Start::Tokens`].
    pub start: Start,
    /// Where the decoder's bias starts. [`Center::Median`].
    pub center: Center,
    /// Threads to work on; the result does not depend on it. 1.
    pub threads: usize,
    /// Decides every random choice. 1.
    pub seed: u64,
    /// Where to leave all there is to go on from. A training that finds a checkpoint of the same
    /// options and cache goes on where it stood, with the result it would have had. None.
    pub checkpoint: Option<PathBuf>,
    /// Steps between checkpoints. 200.
    pub checkpoint_every: u64,
}

/// Where latents point before they learn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Anywhere.
    Random,
    /// Three quarters to a token of the data: short trainings get further, and fewer latents die.
    Tokens,
}

/// Where the decoder's bias starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Center {
    /// The mean of the data.
    Mean,
    /// Its geometric median, which a few tokens of huge length, as there are in deep layers, do not move.
    Median,
}

impl Default for AutoencoderOptions {
    fn default() -> AutoencoderOptions {
        AutoencoderOptions {
            latents: 16_384,
            active: 32,
            auxiliary: 256,
            auxiliary_weight: 1.0 / 32.0,
            dead_after: None,
            batch: 2_048,
            epochs: 1,
            rate: 1e-3,
            warm_up: 0.05,
            decay: 0.3,
            held_out: 0.02,
            start: Start::Tokens,
            center: Center::Median,
            threads: 1,
            seed: 1,
            checkpoint: None,
            checkpoint_every: 200,
        }
    }
}

/// More latents than any published autoencoder has, and an index of a row still fits.
const LATENTS_MAX: usize = 1 << 24;

impl AutoencoderOptions {
    fn check(&self, cache: &HiddenCache) -> Result<()> {
        let refuse = |what: &str, expected: String, found: String| {
            Err(Error::invalid(what, expected, found))
        };
        if self.latents == 0 || self.latents > LATENTS_MAX {
            return refuse(
                "latents",
                format!("1 to {LATENTS_MAX}"),
                self.latents.to_string(),
            );
        }
        if self.active == 0 || self.active > self.latents {
            return refuse(
                "active latents of a token",
                format!("1 to the {} latents", self.latents),
                self.active.to_string(),
            );
        }
        if self.batch == 0 || self.batch > 1 << 20 || self.epochs == 0 {
            return refuse(
                "tokens of a step and passes",
                "1 to 1,048,576, and at least 1".to_owned(),
                format!("{} and {}", self.batch, self.epochs),
            );
        }
        for (what, value, most) in [
            ("learning rate", self.rate, 1.0),
            ("weight of the auxiliary error", self.auxiliary_weight, 1e3),
            ("share of warm-up", self.warm_up, 1.0),
            ("share of decay", self.decay, 1.0),
            ("share held out", self.held_out, 0.5),
        ] {
            if !(0.0..=most).contains(&value) {
                return refuse(what, format!("0 to {most}"), value.to_string());
            }
        }
        if cache.tokens() == 0 {
            return refuse(
                "cache of hidden states",
                "at least one token".to_owned(),
                "none: the file of texts was empty".to_owned(),
            );
        }
        Ok(())
    }

    /// What the result depends on, in words that stay the same.
    fn words(&self) -> String {
        format!(
            "{} {} {} {} {:?} {} {} {} {} {} {} {:?} {:?} {}",
            self.latents,
            self.active,
            self.auxiliary,
            self.auxiliary_weight,
            self.dead_after,
            self.batch,
            self.epochs,
            self.rate,
            self.warm_up,
            self.decay,
            self.held_out,
            self.start,
            self.center,
            self.seed
        )
    }
}

/// The learning rate at `step` of `steps`: a rise, a plain, a fall to nothing.
fn scheduled(rate: f32, step: u64, steps: u64, warm_up: f32, decay: f32) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    let done = (step as f64 + 0.5) / steps.max(1) as f64;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a rate in single precision"
    )]
    let done = done as f32;
    let rise = if warm_up > 0.0 { done / warm_up } else { 1.0 };
    let fall = if decay > 0.0 {
        (1.0 - done) / decay
    } else {
        1.0
    };
    rate * rise.min(fall).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests;

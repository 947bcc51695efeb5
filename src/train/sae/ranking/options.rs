//! How to tune.

use std::path::PathBuf;

use crate::error::{Error, Result};

/// What of a teacher's scores is imitated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distillation {
    /// Their softmax, by the Kullback-Leibler divergence.
    Divergence,
    /// The differences between the right candidate's and the others'.
    Margins,
}

/// How to tune for ranking. The defaults that have a source have the paper's values.
#[derive(Clone, Debug)]
pub struct RankingOptions {
    /// Queries of a step. 32.
    pub batch: usize,
    /// Passes over the examples. 1.
    pub epochs: u32,
    /// The highest learning rate. 0.0003.
    pub rate: f32,
    /// Share of the steps over which it rises. 0.05; it falls to nothing over the rest.
    pub warm_up: f32,
    /// Candidates of an example besides the right one; further ones are left out. 8.
    pub negatives: usize,
    /// Tokens of a query that count, and of a passage. 64 and 128.
    pub tokens: (usize, usize),
    /// By what scores are divided before the softmax. 20.
    pub temperature: f32,
    /// What is imitated of a teacher's scores.
    pub distillation: Distillation,
    /// Weight of the cross-entropy of the right passage among those of the batch, for examples without
    /// scores. 1.
    pub contrast: f32,
    /// Weight of a teacher that needs no scores: the softmax of the cosines of mean hidden states over
    /// the passages of the batch. For backbones that were trained to be used so; 0, the default, for none.
    pub pooled: f32,
    /// By what those cosines are multiplied. 20.
    pub pooled_scale: f32,
    /// Weights of FLOPS for queries and passages. 0.0001 and 0.0001.
    pub flops: (f32, f32),
    /// Share of the steps over which they rise, with the square of what is done. 0.3.
    pub flops_rise: f32,
    /// The last examples, which are not learned from but ranked among themselves. 0.05, as a share.
    pub held_out: f32,
    /// Latents of a query and of a passage that count where ranking is measured. 40 and 400.
    pub pruning: (usize, usize),
    /// Threads to work on; the result does not depend on it. 1.
    pub threads: usize,
    /// Decides every random choice. 1.
    pub seed: u64,
    /// As of [`AutoencoderOptions::checkpoint`](crate::train::sae::AutoencoderOptions::checkpoint).
    pub checkpoint: Option<PathBuf>,
    /// Steps between checkpoints, and between measurements on what is held out. 50.
    pub checkpoint_every: u64,
}

impl Default for RankingOptions {
    fn default() -> RankingOptions {
        RankingOptions {
            batch: 32,
            epochs: 1,
            rate: 3e-4,
            warm_up: 0.05,
            negatives: 8,
            tokens: (64, 128),
            temperature: 20.0,
            distillation: Distillation::Divergence,
            contrast: 1.0,
            pooled: 0.0,
            pooled_scale: 20.0,
            flops: (1e-4, 1e-4),
            flops_rise: 0.3,
            held_out: 0.05,
            pruning: (40, 400),
            threads: 1,
            seed: 1,
            checkpoint: None,
            checkpoint_every: 50,
        }
    }
}

impl RankingOptions {
    pub(super) fn check(&self) -> Result<()> {
        let share = 0.0..=1.0;
        for (what, value, range) in [
            ("learning rate", self.rate, &share),
            ("share of warm-up", self.warm_up, &share),
            ("share held out", self.held_out, &(0.0..=0.5)),
            ("temperature", self.temperature, &(1e-3..=1e6)),
            ("weight of the contrast", self.contrast, &(0.0..=1e6)),
            ("weight of the pooled teacher", self.pooled, &(0.0..=1e6)),
            (
                "scale of the pooled teacher",
                self.pooled_scale,
                &(0.0..=1e6),
            ),
            ("weight of FLOPS for queries", self.flops.0, &(0.0..=1e6)),
            ("weight of FLOPS for passages", self.flops.1, &(0.0..=1e6)),
            ("share of the rise of FLOPS", self.flops_rise, &share),
        ] {
            if !range.contains(&value) {
                return Err(Error::invalid(
                    what,
                    format!("{} to {}", range.start(), range.end()),
                    value.to_string(),
                ));
            }
        }
        if self.batch == 0
            || self.batch > 1 << 14
            || self.epochs == 0
            || self.tokens.0 == 0
            || self.tokens.1 == 0
        {
            return Err(Error::invalid(
                "queries of a step, passes and tokens",
                "1 to 16,384, and at least 1",
                format!("{}, {} and {:?}", self.batch, self.epochs, self.tokens),
            ));
        }
        Ok(())
    }

    pub(super) fn words(&self) -> String {
        let same = RankingOptions {
            threads: 1,
            checkpoint: None,
            checkpoint_every: 1,
            ..self.clone()
        };
        format!("{same:?}")
    }
}

//! From hidden states to one weight per term, some terms at a time.
//!
//! Logits of all tokens for all terms would be the largest thing in memory by far. A block of terms
//! is multiplied, pooled while it is in the cache, and overwritten by the next.

use std::{ops::Range, path::Path};

use super::{
    config::{Config, Family},
    transformer::{Transformer, apply},
    weights::{Head, Reader},
};
use crate::{
    encode::{
        Pool,
        matrix::{Matrix, multiply_add},
    },
    error::Result,
    simd::{
        Level,
        plain::{Activate, Activation, AddAndNormalize},
    },
};

/// The head of a masked language model.
#[derive(Debug)]
pub(super) struct TermHead {
    head: Head,
    activation: Activation,
    epsilon: f32,
    level: Level,
}

/// Logits of a block: 1 MiB, which stays in a core's own cache.
const BLOCK: usize = 256 << 10;

/// Terms of a block at least, so that the matrix kernels have work.
const TERMS_LEAST: usize = 256;

impl TermHead {
    pub(super) fn read(reader: &Reader<'_>, config: &Config) -> Result<TermHead> {
        Ok(TermHead {
            head: reader.head()?,
            activation: match config.family {
                // Whatever its layers have, RoBERTa's head has this.
                Family::Roberta => Activation::Gelu,
                Family::Bert | Family::DistilBert => config.activation,
            },
            epsilon: config.epsilon,
            level: Level::detect(),
        })
    }

    /// Pools the logits of texts whose tokens stand in `states` one behind the other: of each the
    /// tokens in its range, into its pool.
    pub(super) fn pool(
        &self,
        transformer: &Transformer,
        states: &[f32],
        texts: &[Range<usize>],
        pools: &mut [Pool],
        threads: usize,
    ) -> Result<()> {
        let width = transformer.config.width;
        let terms = transformer.config.vocabulary;
        let states = self.transform(states, threads);
        let words = match &self.head.decoder {
            Some(decoder) => decoder.get(),
            None => transformer.embeddings.words.get(),
        };
        let (states, words) = (Matrix::new(&states, width), Matrix::new(words, width));
        let bias = self.head.bias.get();
        let tokens = states.rows();
        let step = (BLOCK * threads / tokens.max(1))
            .max(TERMS_LEAST)
            .min(terms);
        let mut logits = vec![0.0; tokens * step];
        for first in (0..terms).step_by(step) {
            let last = terms.min(first + step);
            let count = last - first;
            let logits = &mut logits[..tokens * count];
            for row in logits.chunks_exact_mut(count) {
                row.copy_from_slice(&bias[first..last]);
            }
            let block = words.row_range(first, last).transposed();
            multiply_add(states, block, logits, threads);
            for (range, pool) in texts.iter().zip(&mut *pools) {
                let own = &logits[range.start * count..range.end * count];
                pool.add_part(first, count, own)?;
            }
        }
        Ok(())
    }

    fn transform(&self, states: &[f32], threads: usize) -> Vec<f32> {
        let Head {
            transform, norm, ..
        } = &self.head;
        let mut update = vec![0.0; states.len()];
        apply(transform, states, &mut update, threads);
        self.level.run(Activate {
            values: &mut update,
            bias: transform.bias.get(),
            activation: self.activation,
        });
        let mut out = vec![0.0; states.len()];
        let none = vec![0.0; transform.outputs];
        self.level.run(AddAndNormalize {
            states: &mut out,
            update: &update,
            bias: &none,
            weight: norm.weight.get(),
            shift: norm.shift.get(),
            epsilon: self.epsilon,
        });
        out
    }
}

/// Reads backbone and head of `weights`.
pub(super) fn read(weights: &Path, config: &Config) -> Result<(Transformer, TermHead)> {
    let reader = Reader::open(weights, config)?;
    let head = TermHead::read(&reader, config)?;
    Ok((Transformer::read(weights, config, &reader)?, head))
}

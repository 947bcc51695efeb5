//! The forward pass of BERT's family (arXiv 1810.04805; the layers are those of arXiv 1706.03762).
//!
//! Texts of a batch stand one behind the other, without filling: the products take all their tokens
//! at once, attention takes each text alone. So nothing is masked, and a text's states do not depend
//! on its company.

use std::{ops::Range, path::Path};

use super::{
    config::Config,
    weights::{Embeddings, Layer, Linear, Norm, Reader},
};
use crate::{
    encode::matrix::{Matrix, multiply},
    error::{Error, Result},
    simd::{
        Level,
        plain::{Activate, AddAndNormalize, Softmax},
    },
};

/// A transformer without a head.
#[derive(Debug)]
pub(super) struct Transformer {
    pub(super) config: Config,
    pub(super) embeddings: Embeddings,
    layers: Vec<Layer>,
    level: Level,
    file: String,
}

/// Tokens that attend at once: their weights over a text are all that is held of attention.
const ATTENDING: usize = 128;

/// What a layer works in.
struct Scratch {
    query: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
    attended: Vec<f32>,
    update: Vec<f32>,
    inner: Vec<f32>,
}

impl Transformer {
    /// Reads the embeddings and as many layers as `config` says.
    pub(super) fn read(path: &Path, config: &Config, reader: &Reader<'_>) -> Result<Transformer> {
        Ok(Transformer {
            embeddings: reader.embeddings()?,
            layers: (0..config.layers)
                .map(|at| reader.layer(at))
                .collect::<Result<_>>()?,
            config: config.clone(),
            level: Level::detect(),
            file: path.display().to_string(),
        })
    }

    /// The states of all tokens of `texts` after the last layer that was read, token after token.
    ///
    /// # Errors
    /// When a token is none of the model's, or a text is longer than its positions.
    pub(super) fn states(&self, texts: &[&[u32]], threads: usize) -> Result<Vec<f32>> {
        let mut states = self.embed(texts)?;
        let mut scratch = self.scratch(states.len() / self.config.width);
        for layer in &self.layers {
            self.attend(layer, texts, &mut states, &mut scratch, threads);
            self.feed_forward(layer, &mut states, &mut scratch, threads);
        }
        Ok(states)
    }

    fn embed(&self, texts: &[&[u32]]) -> Result<Vec<f32>> {
        let width = self.config.width;
        let Embeddings {
            words,
            positions,
            kind,
            norm,
        } = &self.embeddings;
        let (words, positions) = (words.get(), positions.get());
        let kind = kind.as_ref().map(|kind| &kind.get()[..width]);
        let tokens: usize = texts.iter().map(|text| text.len()).sum();
        let mut states = Vec::with_capacity(tokens * width);
        let mut places = Vec::with_capacity(tokens * width);
        for text in texts {
            if text.len() > self.config.longest() {
                return Err(Error::limit(
                    format!("tokens of a text for {}", self.file),
                    u64::try_from(self.config.longest()).unwrap_or(u64::MAX),
                    u64::try_from(text.len()).unwrap_or(u64::MAX),
                ));
            }
            let mut next = self.config.first_position();
            for id in *text {
                let row = |at: usize| at * width..(at + 1) * width;
                let at = usize::try_from(*id).unwrap_or(usize::MAX);
                if at >= self.config.vocabulary {
                    return Err(Error::model(
                        &self.file,
                        format!(
                            "its vocabulary has {} tokens, but the tokenizer gave token {id}",
                            self.config.vocabulary
                        ),
                    ));
                }
                states.extend_from_slice(&words[row(at)]);
                // A padding token inside a text, where one was written out, stands nowhere.
                let position = if self.counts(*id) {
                    next += 1;
                    next - 1
                } else {
                    self.config.first_position().saturating_sub(1)
                };
                places.extend_from_slice(&positions[row(position)]);
            }
        }
        let none = vec![0.0; width];
        self.level.run(AddAndNormalize {
            states: &mut states,
            update: &places,
            bias: kind.unwrap_or(&none),
            weight: norm.weight.get(),
            shift: norm.shift.get(),
            epsilon: self.config.epsilon,
        });
        Ok(states)
    }

    /// Whether a token takes a position.
    fn counts(&self, id: u32) -> bool {
        self.config.first_position() == 0 || id != self.config.padding
    }

    fn scratch(&self, tokens: usize) -> Scratch {
        let wide = || vec![0.0; tokens * self.config.width];
        Scratch {
            query: wide(),
            key: wide(),
            value: wide(),
            attended: wide(),
            update: wide(),
            inner: vec![0.0; tokens * self.config.inner],
        }
    }

    fn attend(
        &self,
        layer: &Layer,
        texts: &[&[u32]],
        states: &mut [f32],
        scratch: &mut Scratch,
        threads: usize,
    ) {
        let width = self.config.width;
        let Scratch {
            query,
            key,
            value,
            attended,
            update,
            ..
        } = scratch;
        for (linear, out) in [
            (&layer.query, &mut *query),
            (&layer.key, key),
            (&layer.value, value),
        ] {
            apply(linear, states, out, threads);
            add_bias(out, linear.bias.get());
        }
        let mut start = 0;
        for text in texts {
            let cells = start * width..(start + text.len()) * width;
            self.attend_one(
                [
                    &query[cells.clone()],
                    &key[cells.clone()],
                    &value[cells.clone()],
                ],
                &mut attended[cells],
            );
            start += text.len();
        }
        apply(&layer.attended, attended, update, threads);
        self.finish(&layer.attended, &layer.attention_norm, states, update);
    }

    /// `softmax(Q Kᵀ / √d) V` of one text, head by head.
    fn attend_one(&self, [query, key, value]: [&[f32]; 3], attended: &mut [f32]) {
        let width = self.config.width;
        let size = width / self.config.heads;
        let tokens = query.len() / width;
        #[expect(
            clippy::cast_precision_loss,
            reason = "the size of a head is far below 2^24"
        )]
        let scale = 1.0 / (size as f32).sqrt();
        let block = tokens.min(ATTENDING);
        let mut weights = vec![0.0; block * tokens];
        let mut sums = vec![0.0; block * size];
        for head in 0..self.config.heads {
            let columns = head * size..(head + 1) * size;
            let part = |data| part(data, width, columns.clone());
            for first in (0..tokens).step_by(ATTENDING) {
                let last = tokens.min(first + ATTENDING);
                let weights = &mut weights[..(last - first) * tokens];
                let sums = &mut sums[..(last - first) * size];
                let query = part(query).row_range(first, last);
                multiply(query, part(key).transposed(), weights, 1);
                self.level.run(Softmax {
                    values: weights,
                    width: tokens,
                    scale,
                });
                multiply(Matrix::new(weights, tokens), part(value), sums, 1);
                let rows = attended[first * width..last * width].chunks_exact_mut(width);
                for (row, sum) in rows.zip(sums.chunks_exact(size)) {
                    row[columns.clone()].copy_from_slice(sum);
                }
            }
        }
    }

    fn feed_forward(
        &self,
        layer: &Layer,
        states: &mut [f32],
        scratch: &mut Scratch,
        threads: usize,
    ) {
        apply(&layer.widen, states, &mut scratch.inner, threads);
        self.level.run(Activate {
            values: &mut scratch.inner,
            bias: layer.widen.bias.get(),
            activation: self.config.activation,
        });
        apply(&layer.narrow, &scratch.inner, &mut scratch.update, threads);
        self.finish(&layer.narrow, &layer.norm, states, &scratch.update);
    }

    /// Adds what a product gave to the states, and normalizes.
    fn finish(&self, linear: &Linear, norm: &Norm, states: &mut [f32], update: &[f32]) {
        self.level.run(AddAndNormalize {
            states,
            update,
            bias: linear.bias.get(),
            weight: norm.weight.get(),
            shift: norm.shift.get(),
            epsilon: self.config.epsilon,
        });
    }
}

/// Multiplies rows by a matrix.
pub(super) fn apply(linear: &Linear, rows: &[f32], out: &mut [f32], threads: usize) {
    let rows = Matrix::new(rows, linear.inputs);
    multiply(rows, linear.matrix(), out, threads);
}

fn add_bias(rows: &mut [f32], bias: &[f32]) {
    for row in rows.chunks_exact_mut(bias.len()) {
        row.iter_mut()
            .zip(bias)
            .for_each(|(value, bias)| *value += bias);
    }
}

/// Some columns of rows.
fn part(data: &[f32], width: usize, columns: Range<usize>) -> Matrix<'_> {
    Matrix::new(data, width).column_range(columns.start, columns.end)
}

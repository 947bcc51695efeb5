//! Texts through an encoder: which latents each fires, how strongly, and at which token.

use crate::{
    encode::{
        matrix::{Matrix, multiply},
        sae::{Activation, AutoencoderParts, InputNorm, Threshold},
    },
    error::{Error, Result},
    train::sae::{
        cache::HiddenCache,
        gradient::block_tokens,
        pieces::in_pieces,
        select::{Active, largest},
    },
};

/// The encoder that is tuned, and what stays as it is.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) width: usize,
    pub(super) encoder: Vec<f32>,
    pub(super) bias: Vec<f32>,
    scale: f32,
    subtracted: Option<Vec<f32>>,
    gate: Gate,
}

#[derive(Clone, Debug)]
enum Gate {
    Above(Threshold),
    Largest(usize),
}

/// A latent of a text: its largest value over the tokens, as a weight, and where that was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fired {
    pub(super) latent: u32,
    /// `ln(1 + value)`.
    pub(super) weight: f32,
    /// A row of [`Texts::rows`].
    pub(super) row: u32,
}

/// Texts of a batch.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// Hidden states as the encoder reads them, token after token.
    pub(super) rows: Vec<f32>,
    /// What each fires, by rising latent.
    pub(super) fired: Vec<Vec<Fired>>,
}

impl Head {
    pub(super) fn new(parts: AutoencoderParts, width: usize) -> Result<Head> {
        if parts.hidden != width {
            return Err(Error::invalid(
                "width of the autoencoder",
                format!("{width}, as the hidden states have it"),
                parts.hidden.to_string(),
            ));
        }
        if parts.norms.is_some() || parts.input.norm != InputNorm::None {
            return Err(Error::unsupported(
                "tuning an autoencoder that normalizes hidden states or weighs latents by decoder norms",
                "fold both into encoder and bias first",
            ));
        }
        let gate = match parts.activation {
            Activation::Relu => Gate::Above(Threshold::Scalar(0.0)),
            Activation::JumpRelu(threshold) => Gate::Above(threshold),
            Activation::TopK(most) => Gate::Largest(most),
        };
        Ok(Head {
            width,
            encoder: parts.encoder,
            bias: parts.bias,
            scale: parts.input.scale,
            subtracted: parts.input.subtracted,
            gate,
        })
    }

    pub(super) fn latents(&self) -> usize {
        self.bias.len()
    }

    /// Runs `texts` of `cache`, of each its first `tokens_most` tokens.
    pub(super) fn run(
        &self,
        cache: &HiddenCache,
        texts: &[usize],
        tokens_most: usize,
        threads: usize,
    ) -> Result<Texts> {
        let mut ends = Vec::with_capacity(texts.len());
        let mut rows = Vec::new();
        for &text in texts {
            let range = cache.text(text);
            let tokens = range.len().min(tokens_most);
            let start = rows.len();
            rows.resize(start + tokens * self.width, 0.0);
            cache.read(range.start, &mut rows[start..])?;
            ends.push(rows.len() / self.width);
        }
        rows.iter_mut().for_each(|value| *value *= self.scale);
        if let Some(subtracted) = &self.subtracted {
            for row in rows.chunks_exact_mut(self.width) {
                row.iter_mut()
                    .zip(subtracted)
                    .for_each(|(value, less)| *value -= less);
            }
        }
        let step = block_tokens(self.latents()) * self.width;
        let active: Vec<Vec<Vec<Active>>> =
            in_pieces(threads, rows.chunks(step).collect(), |rows| {
                self.active(rows)
            });
        let active: Vec<Vec<Active>> = active.into_iter().flatten().collect();
        let spans = ends
            .iter()
            .scan(0, |start, &end| Some(std::mem::replace(start, end)..end));
        let fired = in_pieces(threads, spans.collect(), |span| strongest(&active, span));
        Ok(Texts { rows, fired })
    }

    /// The active latents of each row.
    fn active(&self, rows: &[f32]) -> Vec<Vec<Active>> {
        let latents = self.latents();
        let mut values = vec![0.0; rows.len() / self.width * latents];
        let encoder = Matrix::new(&self.encoder, self.width).transposed();
        multiply(Matrix::new(rows, self.width), encoder, &mut values, 1);
        let each = values.chunks_exact_mut(latents).map(|values| {
            for (value, bias) in values.iter_mut().zip(&self.bias) {
                *value += bias;
            }
            let mut found = Vec::new();
            match &self.gate {
                Gate::Largest(most) => largest(values, *most, &mut found),
                Gate::Above(threshold) => {
                    found.extend((0_u32..).zip(&*values).filter_map(|(latent, &value)| {
                        let least = match threshold {
                            Threshold::Scalar(least) => *least,
                            Threshold::PerLatent(least) => least[latent as usize],
                        };
                        (value > least.max(0.0)).then_some(Active { latent, value })
                    }))
                }
            }
            found
        });
        each.collect()
    }
}

/// Of the tokens in `span`, each latent's largest; the first of equal ones.
fn strongest(active: &[Vec<Active>], span: std::ops::Range<usize>) -> Vec<Fired> {
    let first = crate::train::corpus::small(span.start);
    let mut all: Vec<(Active, u32)> = (first..)
        .zip(&active[span])
        .flat_map(|(row, active)| active.iter().map(move |active| (*active, row)))
        .collect();
    all.sort_unstable_by(|(a, at), (b, bt)| {
        a.latent
            .cmp(&b.latent)
            .then(b.value.total_cmp(&a.value))
            .then(at.cmp(bt))
    });
    all.dedup_by_key(|(active, _)| active.latent);
    all.into_iter()
        .map(|(active, row)| Fired {
            latent: active.latent,
            weight: active.value.ln_1p(),
            row,
        })
        .collect()
}

/// The scores of `queries` by `passages`, a row a query.
pub(super) fn scores(
    latents: usize,
    queries: &[Vec<Fired>],
    passages: &[Vec<Fired>],
    threads: usize,
) -> Vec<f32> {
    let rows = in_pieces(threads, queries.iter().collect(), |query: &Vec<Fired>| {
        let mut weights = vec![0.0; latents];
        query
            .iter()
            .for_each(|fired| weights[fired.latent as usize] = fired.weight);
        let score = |passage: &Vec<Fired>| {
            passage
                .iter()
                .map(|fired| weights[fired.latent as usize] * fired.weight)
                .sum::<f32>()
        };
        passages.iter().map(score).collect::<Vec<f32>>()
    });
    rows.concat()
}

/// The heaviest `most`, by rising latent.
pub(super) fn pruned(fired: &[Fired], most: Option<usize>) -> Vec<Fired> {
    let mut kept = fired.to_vec();
    if let Some(most) = most.filter(|most| *most < kept.len()) {
        kept.sort_unstable_by(|a, b| b.weight.total_cmp(&a.weight).then(a.latent.cmp(&b.latent)));
        kept.truncate(most);
        kept.sort_unstable_by_key(|fired| fired.latent);
    }
    kept
}

//! The encoder half of a sparse autoencoder: weights, biases, and what is done around them.
//!
//! `latents = activation(W (norm(x) * scale - b) + bias)`, with the pieces that the published suites
//! differ in as values, so that one kernel runs them all. Weights stay in their file, in either
//! layout and any precision; only vectors of one number a latent are kept in memory.

use super::{
    Activation, AutoencoderParts, DecoderNorm, HIDDEN_MAX, Input, InputNorm, LATENTS_MAX,
    TOP_K_MAX, Threshold,
};
use crate::{
    encode::{matrix::Matrix, tensors::Tensor},
    error::{Error, Result},
};

/// A sparse autoencoder's encoder.
///
/// ```
/// use sparsely::encode::sae::{Activation, Autoencoder, AutoencoderParts};
/// let parts = AutoencoderParts {
///     encoder: vec![1.0, 0.0, 0.0, 1.0, 1.0, 1.0], // three latents of two values
///     bias: vec![0.0, -1.0, 0.0],
///     ..AutoencoderParts::new(2, 3, Activation::TopK(1))
/// };
/// let autoencoder = Autoencoder::from_parts(parts)?;
/// let latents = autoencoder.latents_of(&[2.0, 1.0], 1)?; // one token
/// assert_eq!(latents, [vec![(2, 3.0)]]);
/// # Ok::<(), sparsely::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Autoencoder {
    pub(super) hidden: usize,
    pub(super) latents: usize,
    pub(super) weights: Weights,
    pub(super) bias: Vec<f32>,
    pub(super) activation: Activation,
    pub(super) input: Input,
    pub(super) norms: Option<(DecoderNorm, Vec<f32>)>,
    pub(super) gate: Gate,
}

/// Weights, where they are.
#[derive(Clone, Debug)]
pub(super) enum Weights {
    /// In memory, `[latents, hidden]`.
    Memory(Vec<f32>),
    /// In a file.
    File { tensor: Tensor, layout: Layout },
}

/// Which size of a matrix of weights comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// `[latents, hidden]`, as `nn.Linear` has it.
    LatentsFirst,
    /// `[hidden, latents]`, for `x @ W`.
    HiddenFirst,
}

/// Activation and decoder norms as the kernel wants them.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    /// A value is the sum times this.
    pub(super) gain: Option<Vec<f32>>,
    /// A value counts above this, which is not below 0.
    pub(super) threshold: Threshold,
    /// How many values of a token count, and what a sum is multiplied by to choose them.
    pub(super) top: Option<(usize, Option<Vec<f32>>)>,
}

impl Autoencoder {
    /// Puts an autoencoder together in memory.
    ///
    /// # Errors
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) when sizes do not agree, or a number is NaN,
    /// infinite or out of its range.
    pub fn from_parts(parts: AutoencoderParts) -> Result<Autoencoder> {
        let (hidden, latents) = (parts.hidden, parts.latents);
        let autoencoder = Autoencoder::new(
            "the autoencoder",
            (hidden, latents),
            Weights::Memory(parts.encoder),
            parts.bias,
            parts.activation,
            parts.input,
            parts.norms,
        )?;
        Ok(autoencoder)
    }

    /// Checks everything; `place` names the files in messages.
    pub(super) fn new(
        place: &str,
        (hidden, latents): (usize, usize),
        weights: Weights,
        bias: Vec<f32>,
        activation: Activation,
        input: Input,
        norms: Option<(DecoderNorm, Vec<f32>)>,
    ) -> Result<Autoencoder> {
        let refuse = |why: String| Err(Error::model(place, why));
        if !(1..=HIDDEN_MAX).contains(&hidden) || !(1..=LATENTS_MAX).contains(&latents) {
            return refuse(format!(
                "it has {latents} latents over {hidden} values; from 1 to {LATENTS_MAX} over 1 to {HIDDEN_MAX} are possible"
            ));
        }
        match &weights {
            Weights::File { tensor, layout } => {
                check_shape(tensor, *layout, hidden, latents)?;
                tensor.check_finite()?;
            }
            Weights::Memory(values) => check(place, "encoder weights", values, hidden * latents)?,
        }
        check(place, "biases", &bias, latents)?;
        if let Some(subtracted) = &input.subtracted {
            check(
                place,
                "values to subtract (the decoder's bias)",
                subtracted,
                hidden,
            )?;
        }
        if !(input.scale.is_finite() && input.scale > 0.0) {
            return refuse(format!(
                "its input scale is {}, expected above 0",
                input.scale
            ));
        }
        if input.norm == InputNorm::Layer && hidden < 2 {
            return refuse("one value has no standard deviation to normalize by".to_owned());
        }
        if let Some((_, norms)) = &norms {
            check(place, "norms of decoder rows", norms, latents)?;
            if norms.iter().any(|norm| *norm < 0.0) {
                return refuse("a norm of a decoder row is negative".to_owned());
            }
        }
        match &activation {
            Activation::TopK(k) if !(1..=TOP_K_MAX.min(latents)).contains(k) => {
                return refuse(format!(
                    "its activation keeps the {k} largest of {latents} latents; from 1 to {} are possible",
                    TOP_K_MAX.min(latents)
                ));
            }
            Activation::JumpRelu(Threshold::PerLatent(thresholds)) => {
                check(place, "thresholds", thresholds, latents)?;
            }
            Activation::JumpRelu(Threshold::Scalar(threshold)) if !threshold.is_finite() => {
                return refuse(format!("its threshold is {threshold}"));
            }
            _ => {}
        }
        let gate = Gate::new(&activation, norms.as_ref());
        Ok(Autoencoder {
            hidden,
            latents,
            weights,
            bias,
            activation,
            input,
            norms,
            gate,
        })
    }

    /// Values of a hidden state.
    #[must_use]
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// Latents.
    #[must_use]
    pub fn latents(&self) -> usize {
        self.latents
    }

    /// What becomes of a latent's sum.
    #[must_use]
    pub fn activation(&self) -> &Activation {
        &self.activation
    }

    /// What is done to a hidden state first.
    #[must_use]
    pub fn input(&self) -> &Input {
        &self.input
    }

    /// The latents of each token of `states`, `[tokens, hidden]`, by themselves: id and value,
    /// rising, those above 0. On up to `threads` threads, the caller's own among them.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when `states` are not whole
    /// tokens; [`ErrorKind::Model`](crate::ErrorKind::Model) when one is NaN or infinite.
    pub fn latents_of(&self, states: &[f32], threads: usize) -> Result<Vec<Vec<(u32, f32)>>> {
        let tokens: Vec<_> = (0..states.len() / self.hidden)
            .map(|at| at..at + 1)
            .collect();
        self.pooled(states.to_vec(), &tokens, threads)
    }

    /// The largest value of each latent over all tokens of `states`, `[tokens, hidden]`: id and value,
    /// rising, those above 0. What [`SaeEncoder`](super::SaeEncoder) does with a text.
    ///
    /// # Errors
    /// As [`Autoencoder::latents_of`].
    pub fn strongest(&self, states: &[f32], threads: usize) -> Result<Vec<(u32, f32)>> {
        let text = 0..states.len() / self.hidden;
        let mut pooled = self.pooled(states.to_vec(), std::slice::from_ref(&text), threads)?;
        Ok(pooled.pop().unwrap_or_default())
    }

    /// Identifies everything that its latents depend on.
    pub(super) fn digest(&self) -> Vec<u8> {
        let mut checksum = crc32fast::Hasher::new();
        match &self.weights {
            Weights::Memory(values) => add(&mut checksum, values),
            Weights::File { tensor, .. } => checksum.update(tensor.bytes()),
        }
        add(&mut checksum, &self.bias);
        if let Some(subtracted) = &self.input.subtracted {
            add(&mut checksum, subtracted);
        }
        if let Some((_, norms)) = &self.norms {
            add(&mut checksum, norms);
        }
        let activation = match &self.activation {
            Activation::JumpRelu(Threshold::PerLatent(thresholds)) => {
                add(&mut checksum, thresholds);
                "a threshold a latent".to_owned()
            }
            other => format!("{other:?}"),
        };
        let norm = self.norms.as_ref().map(|norms| norms.0);
        let settings = format!(
            "{}x{} {activation} {:?} {} {norm:?} ",
            self.latents, self.hidden, self.input.norm, self.input.scale
        );
        [settings.as_bytes(), &checksum.finalize().to_le_bytes()].concat()
    }

    /// All weights as they were given to [`Autoencoder::from_parts`], read into memory.
    #[must_use]
    pub fn to_parts(&self) -> AutoencoderParts {
        let mut encoder = vec![0.0; self.hidden * self.latents];
        match &self.weights {
            Weights::Memory(values) => encoder.copy_from_slice(values),
            Weights::File {
                tensor,
                layout: Layout::LatentsFirst,
            } => tensor.read(0, &mut encoder),
            Weights::File {
                tensor,
                layout: Layout::HiddenFirst,
            } => {
                let mut row = vec![0.0; self.latents];
                for at in 0..self.hidden {
                    tensor.read(at * self.latents, &mut row);
                    for (latent, value) in row.iter().enumerate() {
                        encoder[latent * self.hidden + at] = *value;
                    }
                }
            }
        }
        AutoencoderParts {
            hidden: self.hidden,
            latents: self.latents,
            encoder,
            bias: self.bias.clone(),
            activation: self.activation.clone(),
            input: self.input.clone(),
            norms: self.norms.clone(),
        }
    }

    /// What is done to hidden states, to those of `states`, in place.
    pub(super) fn prepare(&self, states: &mut [f32]) {
        let Input {
            norm,
            scale,
            subtracted,
        } = &self.input;
        for state in states.chunks_exact_mut(self.hidden) {
            match norm {
                InputNorm::None => {}
                InputNorm::Length => {
                    let length = dot(state, state).sqrt();
                    let factor = count(self.hidden).sqrt() / length.max(f32::MIN_POSITIVE);
                    state.iter_mut().for_each(|value| *value *= factor);
                }
                InputNorm::Layer => {
                    let mean = state.iter().sum::<f32>() / count(self.hidden);
                    state.iter_mut().for_each(|value| *value -= mean);
                    let variance = dot(state, state) / count(self.hidden - 1);
                    let factor = 1.0 / (variance.sqrt() + 1e-5);
                    state.iter_mut().for_each(|value| *value *= factor);
                }
            }
            if *scale != 1.0 {
                state.iter_mut().for_each(|value| *value *= scale);
            }
            if let Some(subtracted) = subtracted {
                let pairs = state.iter_mut().zip(subtracted);
                pairs.for_each(|(value, bias)| *value -= bias);
            }
        }
    }

    /// Whether weights lie latent after latent.
    pub(super) fn has_latents_first(&self) -> bool {
        match &self.weights {
            Weights::Memory(_) => true,
            Weights::File { layout, .. } => matches!(layout, Layout::LatentsFirst),
        }
    }

    /// Hands `work` the weights of the latents from `start` to `end` as a matrix
    /// `[hidden, latents]`; `scratch` is used where they have to be widened.
    pub(super) fn with_block<T>(
        &self,
        start: usize,
        end: usize,
        scratch: &mut Vec<f32>,
        work: impl FnOnce(Matrix<'_>) -> T,
    ) -> T {
        let hidden = self.hidden;
        match &self.weights {
            Weights::Memory(values) => {
                work(Matrix::new(&values[start * hidden..end * hidden], hidden).transposed())
            }
            Weights::File { tensor, layout } => match (tensor.in_place(), layout) {
                (Some(values), Layout::LatentsFirst) => {
                    work(Matrix::new(&values[start * hidden..end * hidden], hidden).transposed())
                }
                (Some(values), Layout::HiddenFirst) => {
                    work(Matrix::new(values, self.latents).column_range(start, end))
                }
                (None, Layout::LatentsFirst) => {
                    scratch.resize((end - start) * hidden, 0.0);
                    tensor.read(start * hidden, scratch);
                    work(Matrix::new(scratch, hidden).transposed())
                }
                (None, Layout::HiddenFirst) => {
                    scratch.resize((end - start) * hidden, 0.0);
                    for (row, at) in scratch.chunks_exact_mut(end - start).zip(0..) {
                        tensor.read(at * self.latents + start, row);
                    }
                    work(Matrix::new(scratch, end - start))
                }
            },
        }
    }
}

impl Gate {
    fn new(activation: &Activation, norms: Option<&(DecoderNorm, Vec<f32>)>) -> Gate {
        let gain = match norms {
            Some((DecoderNorm::Scales, norms)) => Some(norms.clone()),
            _ => None,
        };
        let mut gate = Gate {
            gain,
            threshold: Threshold::Scalar(0.0),
            top: None,
        };
        match (activation, norms) {
            (Activation::Relu, _) => {}
            (Activation::TopK(k), norms) => {
                gate.top = Some((*k, norms.map(|(_, norms)| norms.clone())));
            }
            (Activation::JumpRelu(threshold), Some((DecoderNorm::Selects, norms))) => {
                // `z n > t` is `z > t / n`; a norm of 0 lets nothing pass.
                let divided = norms.iter().enumerate().map(|(latent, norm)| {
                    if *norm == 0.0 {
                        f32::INFINITY
                    } else {
                        threshold.of(latent).max(0.0) / norm
                    }
                });
                gate.threshold = Threshold::PerLatent(divided.collect());
            }
            (Activation::JumpRelu(threshold), _) => {
                gate.threshold = match threshold {
                    Threshold::Scalar(value) => Threshold::Scalar(value.max(0.0)),
                    Threshold::PerLatent(values) => {
                        Threshold::PerLatent(values.iter().map(|value| value.max(0.0)).collect())
                    }
                };
            }
        }
        gate
    }

    /// What the sum of a latent is worth, without regard to the others of its token.
    pub(super) fn value(&self, latent: usize, sum: f32) -> f32 {
        let value = match &self.gain {
            None => sum,
            Some(gain) => sum * gain[latent],
        };
        if value > self.threshold.of(latent) {
            value
        } else {
            0.0
        }
    }
}

fn add(checksum: &mut crc32fast::Hasher, values: &[f32]) {
    let mut bytes = Vec::with_capacity(1 << 14);
    for values in values.chunks(1 << 12) {
        bytes.clear();
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        checksum.update(&bytes);
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// A number of values as a float: [`HIDDEN_MAX`] is exact in one.
#[expect(clippy::cast_precision_loss, reason = "at most 2^16")]
fn count(values: usize) -> f32 {
    values as f32
}

/// Refuses numbers that are not as many as they should be, or not finite.
fn check(place: &str, what: &str, values: &[f32], expected: usize) -> Result<()> {
    let refuse = |why: String| Err(Error::model(place, why));
    if values.len() != expected {
        return refuse(format!(
            "it has {} {what}, expected {expected}",
            values.len()
        ));
    }
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(at) => refuse(format!("number {at} of its {what} is NaN or infinite")),
    }
}

fn check_shape(tensor: &Tensor, layout: Layout, hidden: usize, latents: usize) -> Result<()> {
    let expected = match layout {
        Layout::LatentsFirst => [latents, hidden],
        Layout::HiddenFirst => [hidden, latents],
    };
    if tensor.shape() == expected {
        return Ok(());
    }
    let [first, second] = expected;
    let hint = if tensor.shape() == [second, first] {
        "; it is transposed, so it belongs to another suite's format"
    } else {
        ""
    };
    Err(Error::model(
        tensor.place(),
        format!(
            "it has the shape {:?}, expected {expected:?}{hint}",
            tensor.shape()
        ),
    ))
}

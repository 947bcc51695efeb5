//! What an autoencoder is made of.

/// The largest number of latents: four times that of the largest public suite.
pub const LATENTS_MAX: usize = 1 << 22;

/// The largest hidden state.
pub const HIDDEN_MAX: usize = 1 << 16;

/// The largest `k` of [`Activation::TopK`].
pub const TOP_K_MAX: usize = 1 << 14;

/// What an [`Autoencoder`](super::Autoencoder) is made of, for those who train one.
#[derive(Clone, Debug)]
pub struct AutoencoderParts {
    /// Values of a hidden state.
    pub hidden: usize,
    /// Latents.
    pub latents: usize,
    /// `[latents, hidden]`, latent after latent.
    pub encoder: Vec<f32>,
    /// One number a latent.
    pub bias: Vec<f32>,
    /// What becomes of a latent's sum.
    pub activation: Activation,
    /// What is done to a hidden state first.
    pub input: Input,
    /// The norm of each latent's row of the decoder, and what it is for.
    pub norms: Option<(DecoderNorm, Vec<f32>)>,
}

/// What becomes of the sum `z` of a latent.
#[derive(Clone, Debug, PartialEq)]
pub enum Activation {
    /// `max(z, 0)`.
    Relu,
    /// `max(z, 0)` of the `k` largest of a token, 0 of all others; of equal ones the lower latent
    /// counts as larger.
    TopK(usize),
    /// `z` where it is above the threshold and above 0, else 0.
    JumpRelu(Threshold),
}

/// The threshold of [`Activation::JumpRelu`].
#[derive(Clone, Debug, PartialEq)]
pub enum Threshold {
    /// The same for all latents.
    Scalar(f32),
    /// One a latent.
    PerLatent(Vec<f32>),
}

/// What is done to a hidden state before the weights, in the order of the fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// How it is normalized by itself.
    pub norm: InputNorm,
    /// What it is multiplied by.
    pub scale: f32,
    /// What is subtracted then: the decoder's bias, in suites that train so.
    pub subtracted: Option<Vec<f32>>,
}

/// How a hidden state is normalized by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputNorm {
    /// Not at all.
    None,
    /// To the length `sqrt(hidden)`.
    Length,
    /// To mean 0 and standard deviation 1 (that of a sample, over `hidden - 1`, plus 1e-5).
    Layer,
}

/// What the norm `n` of a latent's decoder row does to its sum `z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecoderNorm {
    /// `z n` is what is held against the threshold, or what the `k` largest are chosen by; the
    /// value stays `z`.
    Selects,
    /// `z n` is the value as well.
    Scales,
}

impl AutoencoderParts {
    /// Weights and biases of 0, the input as it is, no decoder norms.
    ///
    /// # Panics
    /// When the weights are more than memory can hold.
    #[must_use]
    pub fn new(hidden: usize, latents: usize, activation: Activation) -> AutoencoderParts {
        AutoencoderParts {
            hidden,
            latents,
            encoder: vec![0.0; hidden * latents],
            bias: vec![0.0; latents],
            activation,
            input: Input::default(),
            norms: None,
        }
    }
}

impl Default for Input {
    /// Hidden states as they are.
    fn default() -> Input {
        Input {
            norm: InputNorm::None,
            scale: 1.0,
            subtracted: None,
        }
    }
}

impl Threshold {
    pub(super) fn of(&self, latent: usize) -> f32 {
        match self {
            Threshold::Scalar(value) => *value,
            Threshold::PerLatent(values) => values[latent],
        }
    }
}

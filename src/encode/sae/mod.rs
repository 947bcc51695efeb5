//! Retrieval over the latents of a sparse autoencoder: SPLARE (arXiv 2603.13277).
//!
//! A backbone gives the hidden states of one of its layers ([`HiddenStates`]), the encoder of a
//! sparse autoencoder ([`Autoencoder`]) turns each token's state into latents, and a text's weight of
//! a latent is `max over its tokens of ln(1 + latent)` (section 2 of the paper). `docs/sae.md` says
//! which files are read and how a directory is put together.

mod autoencoder;
mod description;
mod encoder;
mod formats;
mod kernel;
mod labels;
#[cfg(any(feature = "onnx", feature = "native"))]
mod modules;
mod options;
mod parts;
mod states;

pub use self::{
    autoencoder::Autoencoder,
    description::{
        Description, Format, HeadDescription, Lengths, Prompts, PruningDescription, Tokens,
        Weighting,
    },
    encoder::SaeEncoder,
    labels::Labels,
    options::SaeOptions,
    parts::{
        Activation, AutoencoderParts, DecoderNorm, HIDDEN_MAX, Input, InputNorm, LATENTS_MAX,
        TOP_K_MAX, Threshold,
    },
    states::{HiddenStates, TextKind, TokenStates},
};

//! Encoders that run an ONNX graph: SPLADE and its relatives, on the processor or an accelerator.
//!
//! The runtime and the tokenizer are other people's; everything between a graph's outputs and a
//! sparse vector is here. `docs/models.md` says how to export the models there are, which layouts
//! of directories and which outputs are understood.
//!
//! ```no_run
//! use sparsely::{Encoder, encode::onnx::{OnnxOptions, LongTexts}, encode::Pruning};
//! let encoder = OnnxOptions::new()
//!     .pruning(Pruning::TOP_40_400)
//!     .long_texts(LongTexts::Windows { overlap: 32 })
//!     .threads(2)
//!     .open("models/splade")?;
//! let vector = encoder.encode_document("fn main() {}")?;
//! println!("{} terms, {} texts cut off", vector.len(), encoder.tally().truncated);
//! # Ok::<(), sparsely::Error>(())
//! ```

#[cfg(feature = "sae")]
mod backbone;
mod batch;
mod contract;
mod device;
mod encoder;
mod graph;
mod opening;
mod options;
mod runtime;
mod schedule;
mod session;
mod worker;

#[cfg(feature = "sae")]
pub use self::backbone::OnnxBackbone;
pub use self::{
    device::Device,
    encoder::OnnxEncoder,
    options::OnnxOptions,
    runtime::{load_runtime, share_environment},
};
pub use crate::encode::run::{LongTexts, Tally};

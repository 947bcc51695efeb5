//! Encoders that run a transformer from the files of a model hub, without any native library.
//!
//! What they need is `config.json`, `model.safetensors` and `tokenizer.json`, as models are
//! published: no export, no runtime. Masked language models of BERT's family are run (BERT,
//! DistilBERT, RoBERTa, XLM-RoBERTa, CamemBERT), which SPLADE and most of its relatives are; others
//! are refused by name. The feature `onnx` runs any graph and is faster for single short texts.
//!
//! ```no_run
//! use sparsely::{Encoder, encode::native::NativeOptions};
//! let encoder = NativeOptions::new().threads(2).open("models/splade")?;
//! let vector = encoder.encode_document("fn main() {}")?;
//! println!("{} terms, {} texts cut off", vector.len(), encoder.tally().truncated);
//! # Ok::<(), sparsely::Error>(())
//! ```

#[cfg(feature = "sae")]
mod backbone;
mod batches;
mod config;
mod encoder;
mod head;
mod options;
mod transformer;
mod weights;

#[cfg(feature = "sae")]
pub use self::backbone::NativeBackbone;
pub use self::{encoder::NativeEncoder, options::NativeOptions};
pub use crate::encode::run::{LongTexts, Tally};

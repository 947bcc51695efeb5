//! Opening whatever encoder a model directory holds.

use std::path::Path;

use super::Encoder;
use crate::error::{Error, Result};

/// Opens the model directory with its own settings; for others see `OnnxOptions` of the feature
/// `onnx`, `NativeOptions` of the feature `native`, and `SaeOptions` of the feature `sae` for a
/// directory with `sae.json` or of a sentence-transformers model with a `SparseAutoEncoder`.
///
/// With both, an ONNX graph is run where the directory has one, and its `model.safetensors`
/// otherwise. This function is in every build, so that a program can offer it and say what it lacks.
///
/// ```
/// let error = sparsely::encode::open("no/such/directory").err().unwrap();
/// assert!(error.to_string().contains("no/such/directory"));
/// ```
///
/// # Errors
/// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when there is no such directory;
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported), with the feature to build with, when
/// this build runs no such models; otherwise what `OnnxEncoder::open`, `NativeEncoder::open` or
/// `SaeEncoder::open` returns.
pub fn open(directory: impl AsRef<Path>) -> Result<Box<dyn Encoder>> {
    let directory = directory.as_ref();
    if !directory.is_dir() {
        return Err(Error::not_found(
            format!("model directory {}", directory.display()),
            "name a directory with model.onnx or model.safetensors and tokenizer.json; docs/models.md says how to make one",
        ));
    }
    if directory.join("sae.json").is_file() || ends_in_autoencoder(directory)? {
        return open_autoencoder(directory);
    }
    open_here(directory)
}

/// Whether `modules.json` names a `SparseAutoEncoder`.
#[cfg(feature = "tokenizers")]
fn ends_in_autoencoder(directory: &Path) -> Result<bool> {
    Ok(super::model::Model::read(directory)?.embedding.is_some())
}

#[cfg(not(feature = "tokenizers"))]
fn ends_in_autoencoder(_: &Path) -> Result<bool> {
    Ok(false)
}

#[cfg(feature = "sae")]
fn open_autoencoder(directory: &Path) -> Result<Box<dyn Encoder>> {
    Ok(Box::new(super::sae::SaeEncoder::open(directory)?))
}

#[cfg(not(feature = "sae"))]
fn open_autoencoder(directory: &Path) -> Result<Box<dyn Encoder>> {
    Err(Error::unsupported(
        format!("encoding with the autoencoder {}", directory.display()),
        "build with the feature `sae`, and `native` or `onnx-dynamic` for its backbone, as in `cargo run --features sae,native`",
    ))
}

#[cfg(all(feature = "onnx", feature = "native"))]
fn open_here(directory: &Path) -> Result<Box<dyn Encoder>> {
    let model = super::model::Model::read(directory)?;
    if model.graph.is_none() && model.weights.is_some() {
        return Ok(Box::new(super::NativeEncoder::open(directory)?));
    }
    Ok(Box::new(super::OnnxEncoder::open(directory)?))
}

#[cfg(all(feature = "onnx", not(feature = "native")))]
fn open_here(directory: &Path) -> Result<Box<dyn Encoder>> {
    Ok(Box::new(super::OnnxEncoder::open(directory)?))
}

#[cfg(all(feature = "native", not(feature = "onnx")))]
fn open_here(directory: &Path) -> Result<Box<dyn Encoder>> {
    Ok(Box::new(super::NativeEncoder::open(directory)?))
}

#[cfg(not(any(feature = "onnx", feature = "native")))]
fn open_here(directory: &Path) -> Result<Box<dyn Encoder>> {
    Err(Error::unsupported(
        format!("encoding with the model {}", directory.display()),
        "build with the feature `native` for a model.safetensors of BERT's family, or `onnx-dynamic` (or `onnx-download`) for an ONNX graph, as in `cargo run --features native`",
    ))
}

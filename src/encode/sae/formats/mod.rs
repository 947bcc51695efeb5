//! Reading autoencoders: each suite's files into the one description that the kernel runs.

mod suites;

use std::path::{Path, PathBuf};

use self::suites::{gemma_scope, llama_scope, sae_lens, sentence_transformers, sparsely};
use super::{
    Activation, Autoencoder, DecoderNorm, Description, Format, HeadDescription, InputNorm,
    Threshold,
    autoencoder::Layout,
    description::{FILE, Loaded},
};
use crate::{
    encode::{
        files::{bounded, inside},
        tensors::Tensor,
    },
    error::{Error, Result},
};

impl Autoencoder {
    /// Opens the autoencoder at `path`: a directory with `sae.json`, or a file or directory of one of
    /// the suites that `docs/sae.md` lists. Weights are mapped, and checked for NaN once.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when nothing that is known is there;
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) when a file is damaged, or sizes do not agree;
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for pickles and for activations that
    /// are not known.
    pub fn open(path: impl AsRef<Path>) -> Result<Autoencoder> {
        let path = path.as_ref();
        if path.join(FILE).is_file() {
            return Autoencoder::described(path, &Description::read(path)?);
        }
        let format = recognize(path)?;
        finish(load(format, path, None)?, None)
    }

    /// Opens the head of a `description` that lies in `directory`.
    pub(crate) fn described(directory: &Path, description: &Description) -> Result<Autoencoder> {
        let head = &description.head;
        let file = directory.join(FILE);
        if head.format == Format::Graph {
            return Err(Error::model(
                file.display().to_string(),
                "head.format is \"graph\": the autoencoder is inside the backbone's graph, and there are no weights to open",
            ));
        }
        let path = inside(directory, &head.weights, &file)?;
        let loaded = load(head.format, &path, Some(head))?;
        let refuse = |why: String| Error::model(file.display().to_string(), why);
        if loaded.latents != description.latents {
            return Err(refuse(format!(
                "it says {} latents, the head has {}",
                description.latents, loaded.latents
            )));
        }
        if let Some(hidden) = description.hidden
            && loaded.hidden != hidden
        {
            return Err(refuse(format!(
                "it says that hidden states have {hidden} values, the head takes {}",
                loaded.hidden
            )));
        }
        finish(loaded, Some((head, &file)))
    }
}

/// What is at `path`.
fn recognize(path: &Path) -> Result<Format> {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or("");
    let has = |name: &str| path.join(name).is_file();
    if name.ends_with(".npz") || has("params.npz") {
        return Ok(Format::GemmaScope);
    }
    if has("hyperparams.json") {
        return Ok(Format::LlamaScope);
    }
    if has("cfg.json") || has("sae_weights.safetensors") {
        return Ok(Format::SaeLens);
    }
    if has("config.json") && has("model.safetensors") {
        return Ok(Format::SentenceTransformers);
    }
    if path.is_file() {
        // Says what to do about pickles.
        crate::encode::tensors::Tensors::open(path)?;
    }
    Err(Error::not_found(
        format!("an autoencoder in {}", path.display()),
        "expected sae.json, params.npz (Gemma Scope), hyperparams.json (Llama Scope), cfg.json (SAELens), or config.json and model.safetensors (sentence-transformers); docs/sae.md has them all",
    ))
}

fn load(format: Format, path: &Path, head: Option<&HeadDescription>) -> Result<Loaded> {
    match format {
        Format::Sparsely => sparsely(path, head),
        Format::GemmaScope => gemma_scope(path),
        Format::LlamaScope => llama_scope(path),
        Format::SaeLens => sae_lens(path, head),
        Format::SentenceTransformers => sentence_transformers(path),
        Format::Graph => Err(Error::invalid(
            "head.format",
            "one that has weights",
            "\"graph\": the head is inside the graph",
        )),
    }
}

/// Applies what `sae.json` says beyond the files, and checks everything.
fn finish(mut loaded: Loaded, said: Option<(&HeadDescription, &PathBuf)>) -> Result<Autoencoder> {
    if let Some((head, file)) = said {
        let refuse = |key: &str, found: &str, known: &str| {
            Error::model(
                file.display().to_string(),
                format!("head.{key} is {found}, expected {known}"),
            )
        };
        match (head.activation.as_deref(), head.k, head.threshold) {
            (None, None, None) => {}
            (Some("relu"), None, None) => loaded.activation = Activation::Relu,
            (Some("topk") | None, Some(k), None) => loaded.activation = Activation::TopK(k),
            (Some("jumprelu") | None, None, Some(threshold)) => {
                loaded.activation = Activation::JumpRelu(Threshold::Scalar(threshold));
            }
            (Some("jumprelu"), None, None)
                if matches!(loaded.activation, Activation::JumpRelu(_)) => {}
            (found, k, threshold) => {
                return Err(refuse(
                    "activation",
                    &format!("{found:?} with k {k:?} and threshold {threshold:?}"),
                    "\"relu\", \"topk\" with a k, or \"jumprelu\" with a threshold here or in the weights",
                ));
            }
        }
        match head.input_norm.as_deref() {
            None => {}
            Some("none") => loaded.input.norm = InputNorm::None,
            Some("length") => loaded.input.norm = InputNorm::Length,
            Some("layer") => loaded.input.norm = InputNorm::Layer,
            Some(found) => {
                return Err(refuse(
                    "input_norm",
                    found,
                    "\"none\", \"length\" or \"layer\"",
                ));
            }
        }
        if let Some(scale) = head.input_scale {
            loaded.input.scale = scale;
        }
        let use_as = |loaded: &mut Loaded, norm: DecoderNorm| -> Result<()> {
            let norms = match (loaded.norms.take(), &loaded.decoder) {
                (Some((_, norms)), _) => norms,
                (None, Some((decoder, layout))) => {
                    decoder_norms(decoder, *layout, loaded.hidden, loaded.latents)?
                }
                (None, None) => {
                    return Err(refuse(
                        "decoder_norm",
                        decoder_words(norm),
                        "\"ignored\": the weights hold no decoder",
                    ));
                }
            };
            loaded.norms = Some((norm, norms));
            Ok(())
        };
        match head.decoder_norm.as_deref() {
            None => {}
            Some("ignored") => loaded.norms = None,
            Some("selects") => use_as(&mut loaded, DecoderNorm::Selects)?,
            Some("scales") => use_as(&mut loaded, DecoderNorm::Scales)?,
            Some(found) => {
                return Err(refuse(
                    "decoder_norm",
                    found,
                    "\"ignored\", \"selects\" or \"scales\"",
                ));
            }
        }
    }
    Autoencoder::new(
        &loaded.place,
        (loaded.hidden, loaded.latents),
        loaded.weights,
        loaded.bias,
        loaded.activation,
        loaded.input,
        loaded.norms,
    )
}

fn decoder_words(norm: DecoderNorm) -> &'static str {
    super::description::decoder_word(norm)
}

/// The Euclidean norm of each latent's part of a decoder; [`Layout::LatentsFirst`] has a row a
/// latent.
fn decoder_norms(
    decoder: &Tensor,
    layout: Layout,
    hidden: usize,
    latents: usize,
) -> Result<Vec<f32>> {
    let expected = match layout {
        Layout::LatentsFirst => [latents, hidden],
        Layout::HiddenFirst => [hidden, latents],
    };
    if decoder.shape() != expected {
        return Err(Error::model(
            decoder.place(),
            format!(
                "it has the shape {:?}, expected {expected:?}",
                decoder.shape()
            ),
        ));
    }
    let mut squares = vec![0.0_f64; latents];
    let mut row = vec![0.0_f32; expected[1]];
    for at in 0..expected[0] {
        decoder.read(at * row.len(), &mut row);
        match layout {
            Layout::LatentsFirst => {
                squares[at] = row.iter().map(|value| f64::from(*value).powi(2)).sum();
            }
            Layout::HiddenFirst => {
                for (sum, value) in squares.iter_mut().zip(&row) {
                    *sum += f64::from(*value).powi(2);
                }
            }
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "back to single precision")]
    Ok(squares.into_iter().map(|sum| sum.sqrt() as f32).collect())
}

/// Reads a JSON file of at most `limit` bytes.
pub(super) fn json<T: serde::de::DeserializeOwned>(path: &Path, limit: u64) -> Result<T> {
    let bytes = bounded(path, limit)?;
    serde_json::from_slice(&bytes).map_err(|why| {
        Error::model(
            path.display().to_string(),
            format!("not as expected: {why}"),
        )
    })
}

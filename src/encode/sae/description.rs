//! `sae.json`: what ties a backbone, a layer, a head, pruning and labels together.
//!
//! The file is specified in `docs/sae.md`. Keys that are not known are refused: a misspelt one would
//! otherwise change vectors in silence.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    Activation, Autoencoder, DecoderNorm, Input, InputNorm, Threshold,
    autoencoder::{Layout, Weights},
};
use crate::{
    encode::{
        prune::Pruning,
        tensors::{Content, write_safetensors},
    },
    error::{Error, Result},
};

/// The name of the file.
pub(crate) const FILE: &str = "sae.json";

/// The version that this library reads and writes.
const VERSION: u32 = 1;

/// No description comes near this.
const SIZE_MAX: u64 = 1 << 20;

/// The weights beside it, as [`Description::write`] names them.
const WEIGHTS: &str = "sae.safetensors";

/// A model of backbone and autoencoder, as `sae.json` describes it.
///
/// ```
/// use sparsely::encode::sae::{Activation, Autoencoder, AutoencoderParts, Description};
/// # let folder = tempfile::tempdir().unwrap();
/// # let folder = folder.path();
/// let parts = AutoencoderParts::new(4, 16, Activation::TopK(2));
/// let description = Description::new("../backbone");
/// description.write(folder, &Autoencoder::from_parts(parts)?)?;
///
/// let read = Description::read(folder)?;
/// assert_eq!((read.latents, read.hidden), (16, Some(4)));
/// assert_eq!(Autoencoder::open(folder)?.activation(), &Activation::TopK(2));
/// # Ok::<(), sparsely::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Description {
    /// Version of this format.
    pub version: u32,
    /// The directory of the backbone: absolute, or seen from here.
    pub backbone: String,
    /// The backbone's graph, where it is not its first `model.onnx`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph: Option<String>,
    /// Which output of the graph are the hidden states, as `hidden_states.6`. Without it that of
    /// [`layer`](Description::layer), or else the only one of its shape.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// The number of the layer, as `hidden_states` of Python's transformers counts them: 0 are the
    /// embeddings, `n` is what block `n` gives, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<u32>,
    /// What the fingerprint of the backbone has to be, where that is to be checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backbone_fingerprint: Option<String>,
    /// Values of a hidden state; none when the head is inside the graph.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<usize>,
    /// Latents.
    pub latents: usize,
    /// The autoencoder.
    pub head: HeadDescription,
    /// Which tokens the autoencoder sees.
    #[serde(default)]
    pub tokens: Tokens,
    /// Whether what the autoencoder sees of them is brought to length 1 first.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unit_length: bool,
    /// What a latent's value becomes.
    #[serde(default)]
    pub weighting: Weighting,
    /// Whether tokens that the tokenizer adds around a text count.
    #[serde(default)]
    pub drop_special_tokens: bool,
    /// How many latents of a text are kept.
    #[serde(default)]
    pub pruning: PruningDescription,
    /// How many tokens a text may have; the backbone's own lengths where it is not said.
    #[serde(default)]
    pub lengths: Lengths,
    /// What is put in front of a text; the backbone's own prompts where it is not said.
    #[serde(default)]
    pub prompts: Prompts,
    /// A file of labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
    /// Whatever who trained it wants to remember; not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<serde_json::Value>,
}

/// Where the autoencoder is, and what its files leave open.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct HeadDescription {
    /// Whose format it has.
    pub format: Format,
    /// Its file of weights, or the directory of its files; nothing for [`Format::Graph`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub weights: String,
    /// `"relu"`, `"topk"` or `"jumprelu"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation: Option<String>,
    /// Of `"topk"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub k: Option<usize>,
    /// Of `"jumprelu"`, where the weights hold none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f32>,
    /// `"none"`, `"length"` or `"layer"`; see [`InputNorm`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_norm: Option<String>,
    /// What hidden states are multiplied by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_scale: Option<f32>,
    /// `"ignored"`, `"selects"` or `"scales"`; see [`DecoderNorm`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoder_norm: Option<String>,
}

/// Formats of autoencoders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Format {
    /// This crate's.
    Sparsely,
    /// `params.npz` of Gemma Scope.
    GemmaScope,
    /// `hyperparams.json` and `checkpoints/final.safetensors` of Llama Scope.
    LlamaScope,
    /// `cfg.json` and `sae_weights.safetensors` of SAELens.
    SaeLens,
    /// A `SparseAutoEncoder` of sentence-transformers.
    SentenceTransformers,
    /// The graph gives latents.
    Graph,
}

/// Which tokens an autoencoder sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Tokens {
    /// Each by itself; a text has the largest value of each latent.
    #[default]
    Each,
    /// The mean of all.
    Mean,
    /// The first alone.
    First,
    /// The last alone.
    Last,
}

/// What the value of a latent becomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Weighting {
    /// `ln(1 + x)`: SPLARE.
    #[default]
    Log1p,
    /// `x` itself, as for autoencoders over pooled embeddings.
    Linear,
}

/// How many latents of a text are kept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct PruningDescription {
    /// Of a query; `null` keeps all.
    pub query: Option<usize>,
    /// Of a document; `null` keeps all.
    pub document: Option<usize>,
    /// Weights are kept above this.
    pub threshold: f32,
}

/// How many tokens a text may have, special ones included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Lengths {
    /// A query.
    pub query: Option<usize>,
    /// A document.
    pub document: Option<usize>,
}

/// What is put in front of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Prompts {
    /// Of a query.
    pub query: Option<String>,
    /// Of a document.
    pub document: Option<String>,
}

impl Default for PruningDescription {
    /// 40 of a query and 400 of a document, as in the paper.
    fn default() -> PruningDescription {
        let both = Pruning::TOP_40_400;
        PruningDescription {
            query: both.query().top,
            document: both.document().top,
            threshold: 0.0,
        }
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands out references"
)]
fn is_false(value: &bool) -> bool {
    !value
}

impl PruningDescription {
    #[cfg(any(feature = "onnx", feature = "native"))]
    pub(super) const NONE: PruningDescription = PruningDescription {
        query: None,
        document: None,
        threshold: 0.0,
    };

    pub(crate) fn pruning(self) -> Pruning {
        let mut pruning = Pruning::NONE.threshold(self.threshold);
        if let Some(top) = self.query {
            pruning = pruning.query_top(top);
        }
        if let Some(top) = self.document {
            pruning = pruning.document_top(top);
        }
        pruning
    }
}

impl Description {
    /// A model over the backbone in `backbone`, with this crate's format for its head, and
    /// everything else as the paper has it.
    #[must_use]
    pub fn new(backbone: impl Into<String>) -> Description {
        Description {
            version: VERSION,
            backbone: backbone.into(),
            graph: None,
            output: None,
            layer: None,
            backbone_fingerprint: None,
            hidden: None,
            latents: 0,
            head: HeadDescription::of(Format::Sparsely, WEIGHTS),
            tokens: Tokens::Each,
            unit_length: false,
            weighting: Weighting::Log1p,
            drop_special_tokens: false,
            pruning: PruningDescription::default(),
            lengths: Lengths::default(),
            prompts: Prompts::default(),
            labels: None,
            notes: None,
        }
    }

    /// Reads `sae.json` of `directory`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when there is none,
    /// [`ErrorKind::Version`](crate::ErrorKind::Version) when it is of another version, and
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) when it is damaged.
    pub fn read(directory: impl AsRef<Path>) -> Result<Description> {
        let path = directory.as_ref().join(FILE);
        let file = path.display().to_string();
        let value: serde_json::Value = super::formats::json(&path, SIZE_MAX)?;
        let version = value.get("version").and_then(serde_json::Value::as_u64);
        if let Some(version) = version
            && version != u64::from(VERSION)
        {
            return Err(Error::version(
                &file,
                version.to_string(),
                &VERSION.to_string(),
            ));
        }
        let description: Description = serde_json::from_value(value)
            .map_err(|why| Error::model(&file, format!("not as expected: {why}")))?;
        let pruning = description.pruning;
        if !pruning.threshold.is_finite() || pruning.threshold < 0.0 {
            return Err(Error::model(
                &file,
                "pruning.threshold has to be 0 or above",
            ));
        }
        Ok(description)
    }

    /// Writes `sae.json` and the weights of `autoencoder` into `directory`, which is created; each
    /// file replaces an older one whole. Sizes and the [head](Description::head) are taken from the
    /// autoencoder, whatever the description says of them.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn write(&self, directory: impl AsRef<Path>, autoencoder: &Autoencoder) -> Result<()> {
        let directory = directory.as_ref();
        std::fs::create_dir_all(directory)
            .map_err(|source| Error::io("create the directory", directory, source))?;
        let parts = autoencoder.to_parts();
        let (hidden, latents) = (parts.hidden, parts.latents);
        let mut head = HeadDescription::of(Format::Sparsely, WEIGHTS);
        let mut tensors = Vec::new();
        let matrix = [latents, hidden];
        let (per_latent, per_value) = ([latents], [hidden]);
        let mut tensor = |name, shape, values| {
            tensors.push(Content {
                name,
                shape,
                values,
            });
        };
        tensor("encoder.weight", &matrix[..], &parts.encoder[..]);
        tensor("encoder.bias", &per_latent, &parts.bias);
        match &parts.activation {
            Activation::Relu => head.activation = Some("relu".to_owned()),
            Activation::TopK(k) => {
                (head.activation, head.k) = (Some("topk".to_owned()), Some(*k));
            }
            Activation::JumpRelu(threshold) => {
                head.activation = Some("jumprelu".to_owned());
                match threshold {
                    Threshold::Scalar(value) => head.threshold = Some(*value),
                    Threshold::PerLatent(values) => tensor("threshold", &per_latent, values),
                }
            }
        }
        head.input_norm = Some(norm_word(parts.input.norm).to_owned());
        head.input_scale = Some(parts.input.scale);
        if let Some(subtracted) = &parts.input.subtracted {
            tensor("input.bias", &per_value, subtracted);
        }
        if let Some((norm, norms)) = &parts.norms {
            head.decoder_norm = Some(decoder_word(*norm).to_owned());
            tensor("decoder.norm", &per_latent, norms);
        }
        write_safetensors(&directory.join(WEIGHTS), &tensors)?;
        let description = Description {
            version: VERSION,
            hidden: Some(hidden),
            latents,
            head,
            ..self.clone()
        };
        description.write_alone(directory)
    }

    /// Writes `sae.json` into `directory`, for a head that is there already or inside the graph.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn write_alone(&self, directory: impl AsRef<Path>) -> Result<()> {
        let path = directory.as_ref().join(FILE);
        let mut text = serde_json::to_string_pretty(self)
            .map_err(|why| Error::invalid("description", "JSON", why.to_string()))?;
        text.push('\n');
        let partial = path.with_extension("json.partial");
        std::fs::write(&partial, text)
            .and_then(|()| std::fs::rename(&partial, &path))
            .map_err(|source| Error::io("write", &path, source))
    }

    /// Where the backbone is, for a description that lies in `directory`.
    #[must_use]
    pub fn backbone_in(&self, directory: impl AsRef<Path>) -> PathBuf {
        directory.as_ref().join(&self.backbone)
    }
}

impl HeadDescription {
    /// A head of this format in this file or directory, all else as its files say.
    #[must_use]
    pub fn of(format: Format, weights: impl Into<String>) -> HeadDescription {
        HeadDescription {
            format,
            weights: weights.into(),
            activation: None,
            k: None,
            threshold: None,
            input_norm: None,
            input_scale: None,
            decoder_norm: None,
        }
    }
}

pub(super) fn norm_word(norm: InputNorm) -> &'static str {
    match norm {
        InputNorm::None => "none",
        InputNorm::Length => "length",
        InputNorm::Layer => "layer",
    }
}

pub(super) fn decoder_word(norm: DecoderNorm) -> &'static str {
    match norm {
        DecoderNorm::Selects => "selects",
        DecoderNorm::Scales => "scales",
    }
}

/// An autoencoder as its files describe it, before what `sae.json` adds.
#[derive(Debug)]
pub(super) struct Loaded {
    /// Names its file in messages.
    pub(super) place: String,
    pub(super) hidden: usize,
    pub(super) latents: usize,
    pub(super) weights: Weights,
    pub(super) bias: Vec<f32>,
    pub(super) activation: Activation,
    pub(super) input: Input,
    /// Norms, and what the suite does with them.
    pub(super) norms: Option<(DecoderNorm, Vec<f32>)>,
    /// The decoder's matrix, for suites whose files could have norms and whose loaders do not all
    /// use them.
    pub(super) decoder: Option<(crate::encode::tensors::Tensor, Layout)>,
}

//! The formats of the public suites, and this crate's own.
//!
//! Sizes come from the matrix of weights, never from a settings file alone; what such a file says
//! otherwise is refused. Settings that change latents and are not understood are refused by name.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{decoder_norms, json};
use crate::{
    encode::{
        sae::{
            Activation, DecoderNorm, HeadDescription, Input, InputNorm, Threshold,
            autoencoder::{Layout, Weights},
            description::Loaded,
        },
        tensors::{Tensor, Tensors},
    },
    error::{Error, Result},
};

/// No settings of a suite come near this.
const SETTINGS_MAX: u64 = 4 << 20;

/// This crate's `sae.safetensors`, with the settings of `sae.json`.
pub(super) fn sparsely(path: &Path, head: Option<&HeadDescription>) -> Result<Loaded> {
    let tensors = Tensors::open(path)?;
    let weights = tensors.get("encoder.weight")?;
    let (latents, hidden) = sizes(weights)?;
    let activation = match (
        head.and_then(|head| head.activation.as_deref()),
        tensors.find("threshold"),
    ) {
        (Some("jumprelu"), Some(threshold)) => {
            Activation::JumpRelu(Threshold::PerLatent(threshold.values()))
        }
        _ => Activation::Relu,
    };
    // What they are for, `sae.json` says.
    let norms = tensors.find("decoder.norm");
    Ok(Loaded {
        activation,
        input: Input {
            subtracted: tensors.find("input.bias").map(Tensor::values),
            ..Input::default()
        },
        norms: norms.map(|norms| (DecoderNorm::Selects, norms.values())),
        ..loaded(
            weights,
            Layout::LatentsFirst,
            (hidden, latents),
            tensors.get("encoder.bias")?,
        )
    })
}

/// Gemma Scope: JumpReLU with a threshold a latent, hidden states as they are.
pub(super) fn gemma_scope(path: &Path) -> Result<Loaded> {
    let tensors = Tensors::open(&file_in(path, "params.npz"))?;
    let weights = tensors.get("W_enc")?;
    let (hidden, latents) = sizes(weights)?;
    let threshold = tensors.get("threshold")?.values();
    Ok(Loaded {
        activation: Activation::JumpRelu(Threshold::PerLatent(threshold)),
        decoder: tensors
            .find("W_dec")
            .map(|decoder| (decoder.clone(), Layout::LatentsFirst)),
        ..loaded(
            weights,
            Layout::HiddenFirst,
            (hidden, latents),
            tensors.get("b_enc")?,
        )
    })
}

/// `hyperparams.json`.
#[derive(Deserialize)]
struct HyperParameters {
    d_model: usize,
    d_sae: usize,
    act_fn: Option<String>,
    jump_relu_threshold: Option<f32>,
    top_k: Option<usize>,
    norm_activation: Option<String>,
    dataset_average_activation_norm: Option<AverageNorm>,
    #[serde(default)]
    apply_decoder_bias_to_pre_encoder: bool,
    #[serde(default)]
    sparsity_include_decoder_norm: bool,
    #[serde(default)]
    use_glu_encoder: bool,
}

#[derive(Deserialize)]
struct AverageNorm {
    r#in: f32,
}

/// Llama Scope: hidden states scaled by the average length in its training data, JumpReLU with one
/// threshold, held against sums times the decoder's norms.
pub(super) fn llama_scope(path: &Path) -> Result<Loaded> {
    let folder = if path.is_file() {
        // `checkpoints/final.safetensors` under the directory of its settings.
        let above = path.parent().unwrap_or(Path::new("."));
        if above.join("hyperparams.json").is_file() {
            above.to_owned()
        } else {
            above.parent().unwrap_or(above).to_owned()
        }
    } else {
        path.to_owned()
    };
    let settings_file = folder.join("hyperparams.json");
    let settings: HyperParameters = json(&settings_file, SETTINGS_MAX)?;
    let refuse = |key: &str, found: &str, known: &str| {
        Error::unsupported(
            format!("{}: {key} {found}", settings_file.display()),
            format!("expected {known}"),
        )
    };
    let weights_file = if path.is_file() {
        path.to_owned()
    } else {
        first_of(
            &folder,
            &[
                "checkpoints/final.safetensors",
                "final.safetensors",
                "sae_weights.safetensors",
            ],
        )
    };
    let tensors = Tensors::open(&weights_file)?;
    let weights = tensors.get("encoder.weight")?;
    let (latents, hidden) = sizes(weights)?;
    agree(
        weights,
        &settings_file,
        ("d_model", settings.d_model, hidden),
        ("d_sae", settings.d_sae, latents),
    )?;
    if settings.use_glu_encoder {
        return Err(refuse(
            "use_glu_encoder",
            "true",
            "an encoder without a gate",
        ));
    }
    let per_latent = tensors.find("log_jumprelu_threshold").map(|logs| {
        let thresholds = logs.values().into_iter().map(f32::exp);
        Threshold::PerLatent(thresholds.collect())
    });
    let jump = per_latent.or(settings
        .jump_relu_threshold
        .filter(|threshold| *threshold > 0.0)
        .map(Threshold::Scalar));
    let activation = match (settings.act_fn.as_deref(), jump, settings.top_k) {
        // The suite itself turns a trained TopK into JumpReLU where it knows a threshold.
        (Some("jumprelu" | "topk"), Some(threshold), _) => Activation::JumpRelu(threshold),
        (Some("topk"), None, Some(k)) => Activation::TopK(k),
        (Some("relu"), _, _) => Activation::Relu,
        (found, _, _) => {
            let found = format!("{found:?}");
            return Err(refuse(
                "act_fn",
                &found,
                "\"jumprelu\" with a threshold, \"topk\" or \"relu\"",
            ));
        }
    };
    let (norm, scale) = match settings.norm_activation.as_deref() {
        None | Some("no-norm" | "inference") => (InputNorm::None, 1.0),
        Some("token-wise") => (InputNorm::Length, 1.0),
        Some("dataset-wise") => {
            let average = settings.dataset_average_activation_norm.as_ref().ok_or_else(|| {
                Error::model(
                    settings_file.display().to_string(),
                    "norm_activation is dataset-wise, but dataset_average_activation_norm.in is missing",
                )
            })?;
            (InputNorm::None, root(hidden) / average.r#in)
        }
        Some(found) => {
            return Err(refuse(
                "norm_activation",
                found,
                "dataset-wise, token-wise or no-norm",
            ));
        }
    };
    let subtracted = if settings.apply_decoder_bias_to_pre_encoder {
        Some(tensors.get("decoder.bias")?.values())
    } else {
        None
    };
    // `nn.Linear` from latents to hidden: a column a latent.
    let decoder = tensors
        .find("decoder.weight")
        .map(|decoder| (decoder.clone(), Layout::HiddenFirst));
    let norms = if settings.sparsity_include_decoder_norm {
        let decoder = tensors.get("decoder.weight")?;
        let norms = decoder_norms(decoder, Layout::HiddenFirst, hidden, latents)?;
        Some((DecoderNorm::Selects, norms))
    } else {
        None
    };
    Ok(Loaded {
        activation,
        input: Input {
            norm,
            scale,
            subtracted,
        },
        norms,
        decoder,
        ..loaded(
            weights,
            Layout::LatentsFirst,
            (hidden, latents),
            tensors.get("encoder.bias")?,
        )
    })
}

/// `cfg.json`, of the versions of SAELens since 3.
#[derive(Deserialize)]
struct SaeLensConfig {
    d_in: usize,
    d_sae: usize,
    architecture: Option<String>,
    activation_fn: Option<String>,
    activation_fn_str: Option<String>,
    k: Option<usize>,
    activation_fn_kwargs: Option<Keywords>,
    #[serde(default)]
    apply_b_dec_to_input: bool,
    normalize_activations: Option<String>,
    #[serde(default)]
    rescale_acts_by_decoder_norm: bool,
}

#[derive(Deserialize)]
struct Keywords {
    k: Option<usize>,
}

/// SAELens: ReLU, TopK or JumpReLU, as `cfg.json` says.
pub(super) fn sae_lens(path: &Path, head: Option<&HeadDescription>) -> Result<Loaded> {
    let folder = if path.is_file() {
        path.parent().unwrap_or(Path::new(".")).to_owned()
    } else {
        path.to_owned()
    };
    let settings_file = folder.join("cfg.json");
    let settings: SaeLensConfig = json(&settings_file, SETTINGS_MAX)?;
    let refuse = |key: &str, found: &str, known: &str| {
        Error::unsupported(
            format!("{}: {key} {found}", settings_file.display()),
            format!("expected {known}"),
        )
    };
    let tensors = Tensors::open(&file_in(path, "sae_weights.safetensors"))?;
    let weights = tensors.get("W_enc")?;
    let (hidden, latents) = sizes(weights)?;
    agree(
        weights,
        &settings_file,
        ("d_in", settings.d_in, hidden),
        ("d_sae", settings.d_sae, latents),
    )?;
    let architecture = settings.architecture.as_deref().unwrap_or("standard");
    let function = settings.activation_fn.or(settings.activation_fn_str);
    let k = settings.k.or(settings
        .activation_fn_kwargs
        .and_then(|keywords| keywords.k));
    let activation = match (architecture, function.as_deref()) {
        ("jumprelu", None | Some("relu")) => {
            Activation::JumpRelu(Threshold::PerLatent(tensors.get("threshold")?.values()))
        }
        ("topk", _) | ("standard", Some("topk")) => {
            let known = "a k in cfg.json, as TopK needs";
            Activation::TopK(k.ok_or_else(|| refuse("k", "missing", known))?)
        }
        ("standard", None | Some("relu")) => Activation::Relu,
        (found, function) => {
            let found = format!("{found:?} with {function:?}");
            let known = "standard, topk or jumprelu with relu";
            return Err(refuse("architecture", &found, known));
        }
    };
    let norm = match settings.normalize_activations.as_deref() {
        None | Some("none") => InputNorm::None,
        Some("constant_norm_rescale") => InputNorm::Length,
        Some("layer_norm") => InputNorm::Layer,
        // The factor is not in the files, so somebody has to say it.
        Some("expected_average_only_in") if head.is_some_and(|head| head.input_scale.is_some()) => {
            InputNorm::None
        }
        Some(found) => {
            return Err(refuse(
                "normalize_activations",
                found,
                "none, constant_norm_rescale or layer_norm; expected_average_only_in needs the factor as head.input_scale in sae.json",
            ));
        }
    };
    let subtracted = if settings.apply_b_dec_to_input {
        Some(tensors.get("b_dec")?.values())
    } else {
        None
    };
    let decoder = tensors.find("W_dec");
    let norms = if settings.rescale_acts_by_decoder_norm {
        let norms = decoder_norms(tensors.get("W_dec")?, Layout::LatentsFirst, hidden, latents)?;
        Some((DecoderNorm::Scales, norms))
    } else {
        None
    };
    Ok(Loaded {
        activation,
        input: Input {
            norm,
            subtracted,
            ..Input::default()
        },
        norms,
        decoder: decoder.map(|decoder| (decoder.clone(), Layout::LatentsFirst)),
        ..loaded(
            weights,
            Layout::HiddenFirst,
            (hidden, latents),
            tensors.get("b_enc")?,
        )
    })
}

/// `config.json` of a `SparseAutoEncoder`.
#[derive(Deserialize)]
struct SparseAutoEncoder {
    input_dim: usize,
    hidden_dim: usize,
    k: usize,
    #[serde(default)]
    normalize: bool,
}

/// sentence-transformers: TopK over a pooled embedding, after its own layer norm and bias.
pub(super) fn sentence_transformers(path: &Path) -> Result<Loaded> {
    let folder = if path.is_file() {
        path.parent().unwrap_or(Path::new(".")).to_owned()
    } else {
        path.to_owned()
    };
    let settings_file = folder.join("config.json");
    let settings: SparseAutoEncoder = json(&settings_file, SETTINGS_MAX)?;
    let tensors = Tensors::open(&file_in(path, "model.safetensors"))?;
    // The decoder is the encoder transposed; saving keeps one name of the matrix that they share.
    let weights = tensors.first(&["encoder.weight", "decoder.linear.weight"])?;
    let (latents, hidden) = sizes(weights)?;
    agree(
        weights,
        &settings_file,
        ("input_dim", settings.input_dim, hidden),
        ("hidden_dim", settings.hidden_dim, latents),
    )?;
    let norm = if settings.normalize {
        InputNorm::Layer
    } else {
        InputNorm::None
    };
    Ok(Loaded {
        activation: Activation::TopK(settings.k),
        input: Input {
            norm,
            scale: 1.0,
            subtracted: Some(tensors.get("pre_bias")?.values()),
        },
        ..loaded(
            weights,
            Layout::LatentsFirst,
            (hidden, latents),
            tensors.get("latent_bias")?,
        )
    })
}

/// What all formats have; ReLU over hidden states as they are.
fn loaded(
    weights: &Tensor,
    layout: Layout,
    (hidden, latents): (usize, usize),
    bias: &Tensor,
) -> Loaded {
    Loaded {
        place: bias
            .place()
            .split(": ")
            .next()
            .unwrap_or_default()
            .to_owned(),
        hidden,
        latents,
        weights: Weights::File {
            tensor: weights.clone(),
            layout,
        },
        bias: bias.values(),
        activation: Activation::Relu,
        input: Input::default(),
        norms: None,
        decoder: None,
    }
}

/// The two sizes of a matrix.
fn sizes(weights: &Tensor) -> Result<(usize, usize)> {
    match weights.shape() {
        [first, second] => Ok((*first, *second)),
        other => Err(Error::model(
            weights.place(),
            format!("it has the shape {other:?}, expected a matrix"),
        )),
    }
}

/// Refuses weights whose sizes are not those of the settings.
fn agree(
    weights: &Tensor,
    settings: &Path,
    hidden: (&str, usize, usize),
    latents: (&str, usize, usize),
) -> Result<()> {
    if hidden.1 == hidden.2 && latents.1 == latents.2 {
        return Ok(());
    }
    let hint = if (hidden.1, latents.1) == (latents.2, hidden.2) {
        ": it is transposed, or of another suite"
    } else {
        ""
    };
    Err(Error::model(
        weights.place(),
        format!(
            "it has the shape {:?}, but {} says {} {} and {} {}{hint}",
            weights.shape(),
            settings.display(),
            hidden.0,
            hidden.1,
            latents.0,
            latents.1
        ),
    ))
}

/// `path` itself if it is a file, else `name` in it.
fn file_in(path: &Path, name: &str) -> PathBuf {
    if path.is_dir() {
        path.join(name)
    } else {
        path.to_owned()
    }
}

fn first_of(folder: &Path, names: &[&str]) -> PathBuf {
    let found = names
        .iter()
        .map(|name| folder.join(name))
        .find(|path| path.is_file());
    found.unwrap_or_else(|| folder.join(names[0]))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "sizes of hidden states are small"
)]
fn root(hidden: usize) -> f32 {
    (hidden as f32).sqrt()
}

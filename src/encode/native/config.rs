//! What `config.json` says about a transformer, and which families are understood.

use std::path::Path;

use serde::Deserialize;

use crate::{
    encode::model::settings,
    error::{Error, Result},
    simd::plain::Activation,
};

/// Families whose layers are alike, apart from names and positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Bert,
    DistilBert,
    /// RoBERTa, XLM-RoBERTa and CamemBERT: positions count from behind the padding token's id.
    Roberta,
}

/// The sizes of a transformer.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) family: Family,
    pub(super) vocabulary: usize,
    pub(super) width: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    /// Between the two products of a layer.
    pub(super) inner: usize,
    pub(super) positions: usize,
    pub(super) activation: Activation,
    pub(super) epsilon: f32,
    /// The padding token, which takes no position in RoBERTa's family.
    pub(super) padding: u32,
}

/// The file, with the names of both spellings.
#[derive(Deserialize)]
struct File {
    model_type: Option<String>,
    vocab_size: Option<usize>,
    #[serde(alias = "dim")]
    hidden_size: Option<usize>,
    #[serde(alias = "n_layers")]
    num_hidden_layers: Option<usize>,
    #[serde(alias = "n_heads")]
    num_attention_heads: Option<usize>,
    #[serde(alias = "hidden_dim")]
    intermediate_size: Option<usize>,
    max_position_embeddings: Option<usize>,
    #[serde(alias = "activation")]
    hidden_act: Option<String>,
    layer_norm_eps: Option<f32>,
    pad_token_id: Option<u32>,
    position_embedding_type: Option<String>,
    #[serde(default)]
    is_decoder: bool,
}

/// No model has sizes near this; products of two stay far from overflow.
const SIZE_LIMIT: usize = 1 << 24;

impl Config {
    /// Reads `path`.
    ///
    /// # Errors
    /// When it is missing or damaged, or of a family that is not understood.
    pub(super) fn read(path: &Path) -> Result<Config> {
        let place = path.display().to_string();
        let refuse = |why: String| Error::model(&place, why);
        let file: File = settings(path)?.ok_or_else(|| {
            Error::not_found(
                &place,
                "the weights of a transformer need the config.json that was saved with them",
            )
        })?;
        let kind = file.model_type.as_deref().unwrap_or("none");
        let family = match kind {
            "bert" => Family::Bert,
            "distilbert" => Family::DistilBert,
            "roberta" | "xlm-roberta" | "camembert" => Family::Roberta,
            _ => {
                return Err(refuse(format!(
                    "model_type is {kind:?}; without ONNX Runtime bert, distilbert, roberta, xlm-roberta and camembert are run, for others export an ONNX graph (docs/models.md)"
                )));
            }
        };
        if let Some(other) = file
            .position_embedding_type
            .filter(|kind| kind != "absolute")
        {
            return Err(refuse(format!(
                "position_embedding_type is {other:?}, expected \"absolute\""
            )));
        }
        if file.is_decoder {
            return Err(refuse("is_decoder is true, expected an encoder".to_owned()));
        }
        let activation = match file.hidden_act.as_deref() {
            None | Some("gelu") => Activation::Gelu,
            Some("gelu_new" | "gelu_pytorch_tanh") => Activation::GeluTanh,
            Some("relu") => Activation::Relu,
            Some(other) => {
                return Err(refuse(format!(
                    "its activation is {other:?}, expected \"gelu\", \"gelu_new\", \"gelu_pytorch_tanh\" or \"relu\""
                )));
            }
        };
        let size = |name: &str, size: Option<usize>| match size {
            Some(size) if (1..SIZE_LIMIT).contains(&size) => Ok(size),
            Some(size) => Err(refuse(format!(
                "{name} is {size}, expected 1 to {}",
                SIZE_LIMIT - 1
            ))),
            None => Err(refuse(format!("it does not say {name}"))),
        };
        let config = Config {
            family,
            vocabulary: size("vocab_size", file.vocab_size)?,
            width: size("hidden_size (or dim)", file.hidden_size)?,
            layers: size("num_hidden_layers (or n_layers)", file.num_hidden_layers)?,
            heads: size("num_attention_heads (or n_heads)", file.num_attention_heads)?,
            inner: size("intermediate_size (or hidden_dim)", file.intermediate_size)?,
            positions: size("max_position_embeddings", file.max_position_embeddings)?,
            activation,
            epsilon: file.layer_norm_eps.unwrap_or(1e-12),
            padding: file.pad_token_id.unwrap_or(match family {
                Family::Roberta => 1,
                Family::Bert | Family::DistilBert => 0,
            }),
        };
        if !config.width.is_multiple_of(config.heads) {
            return Err(refuse(format!(
                "its width of {} is not a multiple of its {} attention heads",
                config.width, config.heads
            )));
        }
        if config.layers > LAYERS_MAX {
            return Err(refuse(format!(
                "it has {} layers, expected at most {LAYERS_MAX}",
                config.layers
            )));
        }
        if config.longest() == 0 {
            return Err(refuse("it has no position for a token".to_owned()));
        }
        Ok(config)
    }

    /// What the states depend on besides the weights, in words that stay the same: they go into
    /// fingerprints.
    pub(super) fn words(&self) -> String {
        let activation = match self.activation {
            Activation::Gelu => "gelu",
            Activation::GeluTanh => "gelu tanh",
            Activation::Relu => "relu",
        };
        format!(
            "first position {}, {} heads, {activation}, epsilon {}",
            self.first_position(),
            self.heads,
            self.epsilon
        )
    }

    /// The first position.
    pub(super) fn first_position(&self) -> usize {
        match self.family {
            Family::Roberta => usize::try_from(self.padding)
                .unwrap_or(usize::MAX)
                .saturating_add(1),
            Family::Bert | Family::DistilBert => 0,
        }
    }

    /// How many tokens a text may have.
    pub(super) fn longest(&self) -> usize {
        self.positions.saturating_sub(self.first_position())
    }
}

/// The deepest of these families have 48.
const LAYERS_MAX: usize = 1024;

//! What a model directory says about the encoder in it.
//!
//! Reads the layouts that people already have (sentence-transformers sparse encoders, optimum
//! exports, fastembed mirrors, a bare graph with its tokenizer) into one description. Nothing here
//! runs a model or trusts a file: sizes are bounded, names stay inside the directory, and what is
//! not understood is refused by its name.

mod files;
mod layout;
mod settings;
mod weights;

use std::path::{Path, PathBuf};

#[cfg(feature = "native")]
pub(crate) use self::files::settings;
pub(crate) use self::{files::Digest, weights::TermWeights};
use crate::{
    encode::pool::Pooling,
    error::{Error, Result},
};

/// The encoder of a directory.
#[derive(Debug)]
pub(crate) struct Model {
    /// The directory.
    pub(crate) root: PathBuf,
    /// The ONNX graph; `None` when there is none, which is an error only to who needs it.
    pub(crate) graph: Option<PathBuf>,
    /// A second graph, from hidden states to logits.
    pub(crate) head: Option<PathBuf>,
    /// The weights of the transformer, beside its `config.json`.
    pub(crate) weights: Option<PathBuf>,
    /// Where graphs were looked for.
    pub(crate) graphs_tried: Vec<PathBuf>,
    /// The tokenizer of documents, and of queries unless those have a table.
    pub(crate) tokenizer: PathBuf,
    /// Pooling, where the directory says it.
    pub(crate) pooling: Option<Pooling>,
    /// The table that encodes queries without a model.
    pub(crate) query_table: Option<Table>,
    /// The other model that queries run through, where a Router gives them one of their own.
    pub(crate) asker: Option<Box<Model>>,
    /// How hidden states become the one embedding that a `SparseAutoEncoder` takes, where the
    /// directory ends in one.
    pub(crate) embedding: Option<Embedding>,
    /// What is put in front of a query.
    pub(crate) query_prompt: String,
    /// What is put in front of a document.
    pub(crate) document_prompt: String,
    /// The longest input in tokens, special ones included.
    pub(crate) max_tokens: Option<usize>,
    /// Whether texts are lower-cased before the tokenizer sees them.
    pub(crate) lower_case: bool,
    /// Whether shorter texts of a batch are filled up on the left, as decoders want it.
    pub(crate) pads_left: Option<bool>,
    /// How many terms the directory says to keep.
    pub(crate) top: Option<usize>,
}

/// One weight per term, for queries.
#[derive(Debug)]
pub(crate) struct Table {
    /// The file of weights: safetensors, or JSON from token to weight.
    pub(crate) weights: PathBuf,
    /// The tokenizer that goes with it.
    pub(crate) tokenizer: PathBuf,
}

/// The end of a dense model with an autoencoder (CSR, arXiv 2503.01776).
#[derive(Debug)]
#[cfg_attr(
    not(all(feature = "sae", any(feature = "onnx", feature = "native"))),
    expect(
        dead_code,
        reason = "told apart in every build, run where there is both"
    )
)]
pub(crate) struct Embedding {
    pub(crate) pooled: Pooled,
    /// Whether the embedding is brought to length 1.
    pub(crate) has_unit_length: bool,
    /// The directory of the `SparseAutoEncoder`.
    pub(crate) autoencoder: PathBuf,
}

/// Which hidden states become an embedding.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pooled {
    Mean,
    First,
    Last,
}

impl Model {
    /// Refuses a model whose vectors come from an autoencoder over hidden states.
    #[cfg(any(feature = "onnx", feature = "native"))]
    pub(crate) fn expect_terms(&self) -> Result<()> {
        match self.embedding {
            None => Ok(()),
            Some(_) => Err(Error::unsupported(
                format!("taking vectors of terms from {}", self.root.display()),
                "it ends in a SparseAutoEncoder: open it with encode::open or SaeEncoder, in a build with the feature `sae`",
            )),
        }
    }

    /// Reads the directory at `root`.
    ///
    /// # Errors
    /// When it is missing, or says something that this crate cannot do.
    pub(crate) fn read(root: &Path) -> Result<Model> {
        if !root.is_dir() {
            return Err(Error::not_found(
                format!("model directory {}", root.display()),
                "name a directory with model.onnx and tokenizer.json, or an export of a sentence-transformers sparse encoder; docs/models.md has the commands",
            ));
        }
        let mut model = layout::read(root)?;
        settings::apply(&mut model)?;
        if let Some(asker) = &mut model.asker {
            settings::apply(asker)?;
        }
        Ok(model)
    }

    /// The weights, or the error that says what is there instead.
    #[cfg(feature = "native")]
    pub(crate) fn weights(&self) -> Result<&Path> {
        self.weights.as_deref().ok_or_else(|| {
            let tokenizer = self.tokenizer.parent().unwrap_or(&self.root);
            let has = |name: &str| tokenizer.join(name).exists();
            let hint = if has("model.safetensors.index.json") {
                "its weights are in several files, which is not read: save it with max_shard_size=\"8GB\""
            } else if has("pytorch_model.bin") {
                "pytorch_model.bin is a pickle, which is a program rather than data: save it again as safetensors"
            } else if self.graph.is_some() {
                "OnnxEncoder runs its ONNX graph (feature `onnx-dynamic`)"
            } else {
                "there is no ONNX graph either; docs/models.md says how to get a model"
            };
            Error::model(
                self.root.display().to_string(),
                format!("there is no model.safetensors; {hint}"),
            )
        })
    }

    /// The graph, or the error that says where one was looked for.
    #[cfg(feature = "onnx")]
    pub(crate) fn graph(&self) -> Result<&Path> {
        self.graph.as_deref().ok_or_else(|| {
            let tried: Vec<_> = self
                .graphs_tried
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            let hint = if self.weights.is_some() {
                "NativeEncoder runs its model.safetensors (feature `native`)"
            } else {
                "there is no model.safetensors either; docs/models.md says how to get a model"
            };
            Error::model(
                self.root.display().to_string(),
                format!(
                    "there is no ONNX graph (looked for {}); {hint}",
                    tried.join(", ")
                ),
            )
        })
    }
}

//! Opening a model: where its backbone is and what runs it.

use std::path::{Path, PathBuf};

use super::{Description, Format, HiddenStates, SaeEncoder};
#[cfg(not(feature = "onnx"))]
use crate::error::Error;
use crate::{
    encode::{Encoder, Pruning},
    error::Result,
};

/// What a caller may say about a model beyond its `sae.json`.
#[derive(Clone, Debug, Default)]
pub struct SaeOptions {
    backbone: Option<PathBuf>,
    pruning: Option<Pruning>,
    threads: usize,
    #[cfg(feature = "onnx")]
    onnx: crate::encode::onnx::OnnxOptions,
}

impl SaeOptions {
    /// What `sae.json` says, one thread.
    #[must_use]
    pub fn new() -> SaeOptions {
        SaeOptions::default()
    }

    /// Takes the backbone from this directory, wherever `sae.json` says it is.
    #[must_use]
    pub fn backbone(mut self, directory: impl Into<PathBuf>) -> SaeOptions {
        self.backbone = Some(directory.into());
        self
    }

    /// Prunes so.
    #[must_use]
    pub fn pruning(mut self, pruning: Pruning) -> SaeOptions {
        self.pruning = Some(pruning);
        self
    }

    /// Lets the head use `threads` threads, the caller's own among them.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> SaeOptions {
        self.threads = threads;
        self
    }

    /// Opens the backbone's graph with these options; lengths, prompts and the graph's name are taken
    /// from `sae.json` where it has them.
    #[cfg(feature = "onnx")]
    #[must_use]
    pub fn onnx(mut self, options: crate::encode::onnx::OnnxOptions) -> SaeOptions {
        self.onnx = options;
        self
    }

    /// Opens the model in `directory`.
    ///
    /// # Errors
    /// As [`SaeEncoder::open`].
    pub fn open(self, directory: impl AsRef<Path>) -> Result<SaeEncoder> {
        let directory = directory.as_ref();
        let description = describe(directory)?;
        let backbone = match &self.backbone {
            Some(path) => path.clone(),
            None => description.backbone_in(directory),
        };
        if description.head.format == Format::Graph {
            let encoder = self.open_graph(&backbone, &description)?;
            return SaeEncoder::in_graph(encoder, directory, &description);
        }
        let backbone = self.open_backbone(&backbone, &description)?;
        let encoder = SaeEncoder::described(directory, &description, backbone)?;
        let encoder = encoder.threads(self.threads);
        Ok(match self.pruning {
            Some(pruning) => encoder.pruning(pruning),
            None => encoder,
        })
    }

    /// A graph where there is one that this build runs, else the weights.
    fn open_backbone(
        &self,
        backbone: &Path,
        description: &Description,
    ) -> Result<Box<dyn HiddenStates>> {
        #[cfg(feature = "native")]
        {
            let model = crate::encode::model::Model::read(backbone)?;
            let is_graph = description.graph.is_some() || model.graph.is_some();
            if !(is_graph && cfg!(feature = "onnx")) && model.weights.is_some() {
                return self.open_weights(backbone, description);
            }
        }
        self.open_hidden_graph(backbone, description)
    }

    #[cfg(feature = "native")]
    fn open_weights(
        &self,
        backbone: &Path,
        description: &Description,
    ) -> Result<Box<dyn HiddenStates>> {
        use crate::encode::native::{NativeBackbone, NativeOptions};
        let mut options = NativeOptions::new().threads(self.threads);
        description.apply(&mut options.texts);
        let backbone = NativeBackbone::open(backbone, options, description.layer)?;
        Ok(Box::new(backbone))
    }

    #[cfg(feature = "onnx")]
    fn open_hidden_graph(
        &self,
        backbone: &Path,
        description: &Description,
    ) -> Result<Box<dyn HiddenStates>> {
        let options = self.onnx_options(description);
        let output = description.output.as_deref();
        let backbone =
            crate::encode::onnx::OnnxBackbone::open(backbone, options, output, description.layer)?;
        Ok(Box::new(backbone))
    }

    #[cfg(not(feature = "onnx"))]
    fn open_hidden_graph(&self, backbone: &Path, _: &Description) -> Result<Box<dyn HiddenStates>> {
        Err(no_graphs(backbone))
    }

    #[cfg(feature = "onnx")]
    fn open_graph(&self, backbone: &Path, description: &Description) -> Result<Box<dyn Encoder>> {
        use crate::encode::pool::{Combine, Pooling, SpecialTokens};
        let terms = u32::try_from(description.latents).unwrap_or(u32::MAX);
        let pruning = self
            .pruning
            .unwrap_or_else(|| description.pruning.pruning());
        let pooling = Pooling {
            combine: Combine::Max,
            activation: description.weighting.curve(),
            special_tokens: if description.drop_special_tokens {
                SpecialTokens::Drop
            } else {
                SpecialTokens::Keep
            },
        };
        let options = self.onnx_options(description).terms(terms).pruning(pruning);
        Ok(Box::new(options.pooling(pooling).open(backbone)?))
    }

    #[cfg(not(feature = "onnx"))]
    fn open_graph(&self, backbone: &Path, _: &Description) -> Result<Box<dyn Encoder>> {
        Err(no_graphs(backbone))
    }

    #[cfg(feature = "onnx")]
    fn onnx_options(&self, description: &Description) -> crate::encode::onnx::OnnxOptions {
        let mut options = self.onnx.clone();
        if let Some(graph) = &description.graph {
            options = options.graph(graph);
        }
        description.apply(&mut options.texts);
        options
    }
}

#[cfg(any(feature = "onnx", feature = "native"))]
impl Description {
    /// What it says of texts takes the place of what the caller said.
    fn apply(&self, texts: &mut crate::encode::run::TextOptions) {
        let replace = |given: &mut Option<usize>, own: Option<usize>| *given = own.or(*given);
        replace(&mut texts.query_length, self.lengths.query);
        replace(&mut texts.document_length, self.lengths.document);
        let replace = |given: &mut Option<String>, own: &Option<String>| {
            if own.is_some() {
                given.clone_from(own);
            }
        };
        replace(&mut texts.query_prompt, &self.prompts.query);
        replace(&mut texts.document_prompt, &self.prompts.document);
    }
}

fn describe(directory: &Path) -> Result<Description> {
    #[cfg(any(feature = "onnx", feature = "native"))]
    if let Some(description) = Description::of_modules(directory)? {
        return Ok(description);
    }
    Description::read(directory)
}

#[cfg(not(feature = "onnx"))]
#[cold]
fn no_graphs(backbone: &Path) -> Error {
    Error::unsupported(
        format!("running the backbone {}", backbone.display()),
        "build with the feature `native` for a model.safetensors of BERT's family, or `onnx-dynamic` (or `onnx-download`) for a graph, or give hidden states of your own to SaeEncoder::with_backbone",
    )
}

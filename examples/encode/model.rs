//! The encoder of a model directory, whatever runs it.

use std::path::Path;

use sparsely::encode::native::{NativeEncoder, NativeOptions};
#[cfg(feature = "onnx")]
use sparsely::encode::onnx::{Device, OnnxEncoder, OnnxOptions};
use sparsely::{
    Encoder, Error, Progress, Result, SparseVector,
    encode::{LongTexts, Pruning, Tally},
};

/// What runs a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Engine {
    /// Its graph, by ONNX Runtime: needs the feature `onnx-dynamic`
    Onnx,
    /// Its weights, without a native library
    Native,
}

/// How to open a model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings<'a> {
    pub(crate) engine: Option<Engine>,
    pub(crate) device: &'a str,
    pub(crate) threads: usize,
    pub(crate) sessions: usize,
    pub(crate) batch_tokens: Option<usize>,
    pub(crate) top: Option<usize>,
    pub(crate) windows: Option<usize>,
}

/// An open model.
#[derive(Debug)]
pub(crate) enum Model {
    #[cfg(feature = "onnx")]
    Onnx(Box<OnnxEncoder>),
    Native(Box<NativeEncoder>),
}

impl Model {
    pub(crate) fn open(directory: &Path, settings: Settings<'_>) -> Result<Model> {
        let usual = if has_graph(directory) && cfg!(feature = "onnx") {
            Engine::Onnx
        } else {
            Engine::Native
        };
        match settings.engine.unwrap_or(usual) {
            Engine::Onnx => open_graph(directory, settings),
            Engine::Native => open_weights(directory, settings),
        }
    }

    pub(crate) fn encoder(&self) -> &dyn Encoder {
        match self {
            #[cfg(feature = "onnx")]
            Model::Onnx(encoder) => &**encoder,
            Model::Native(encoder) => &**encoder,
        }
    }

    pub(crate) fn tally(&self) -> Tally {
        match self {
            #[cfg(feature = "onnx")]
            Model::Onnx(encoder) => encoder.tally(),
            Model::Native(encoder) => encoder.tally(),
        }
    }

    pub(crate) fn padding_terms(&self) -> u32 {
        match self {
            #[cfg(feature = "onnx")]
            Model::Onnx(encoder) => encoder.padding_terms(),
            Model::Native(encoder) => encoder.padding_terms(),
        }
    }

    /// What it runs on, and by what.
    pub(crate) fn device(&self) -> String {
        match self {
            #[cfg(feature = "onnx")]
            Model::Onnx(encoder) => encoder.device().to_string(),
            Model::Native(_) => "cpu, without a runtime".to_owned(),
        }
    }

    pub(crate) fn encode_stream<T: Send>(
        &self,
        documents: impl Iterator<Item = Result<(T, String)>> + Send,
        progress: &mut Progress<'_>,
        sink: impl FnMut(T, SparseVector) -> Result<()>,
    ) -> Result<u64> {
        match self {
            #[cfg(feature = "onnx")]
            Model::Onnx(encoder) => encoder.encode_stream(documents, progress, sink),
            Model::Native(encoder) => encoder.encode_stream(documents, progress, sink),
        }
    }
}

/// Whether there is a graph where exporters put one: here, or in the folder of a module.
fn has_graph(directory: &Path) -> bool {
    let here = |folder: &Path| {
        folder.join("model.onnx").is_file() || folder.join("onnx/model.onnx").is_file()
    };
    let folders = directory.read_dir().into_iter().flatten().flatten();
    here(directory) || folders.map(|entry| entry.path()).any(|path| here(&path))
}

fn pruning(settings: Settings<'_>) -> Option<Pruning> {
    let top = settings.top?;
    Some(Pruning::NONE.query_top(top).document_top(top))
}

fn long_texts(settings: Settings<'_>) -> LongTexts {
    match settings.windows {
        Some(overlap) => LongTexts::Windows { overlap },
        None => LongTexts::Truncate,
    }
}

#[cfg(feature = "onnx")]
fn open_graph(directory: &Path, settings: Settings<'_>) -> Result<Model> {
    let device: Device = settings.device.parse()?;
    let mut options = OnnxOptions::new()
        .threads(settings.threads)
        .sessions(settings.sessions)
        .long_texts(long_texts(settings))
        .device(device);
    if let Some(tokens) = settings.batch_tokens {
        options = options.batch_tokens(tokens);
    }
    if let Some(pruning) = pruning(settings) {
        options = options.pruning(pruning);
    }
    Ok(Model::Onnx(Box::new(options.open(directory)?)))
}

#[cfg(not(feature = "onnx"))]
fn open_graph(directory: &Path, _: Settings<'_>) -> Result<Model> {
    Err(Error::invalid(
        format!("the model {}", directory.display()),
        "a build with the feature `onnx-dynamic`",
        "none",
    ))
}

fn open_weights(directory: &Path, settings: Settings<'_>) -> Result<Model> {
    if !matches!(settings.device, "cpu" | "auto") {
        return Err(Error::invalid(
            "--device",
            "cpu, which is where weights run without a runtime",
            settings.device,
        ));
    }
    let mut options = NativeOptions::new()
        .threads(settings.threads * settings.sessions)
        .long_texts(long_texts(settings));
    if let Some(pruning) = pruning(settings) {
        options = options.pruning(pruning);
    }
    Ok(Model::Native(Box::new(options.open(directory)?)))
}

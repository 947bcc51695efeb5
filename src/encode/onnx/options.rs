//! What a caller may say about a model beyond its directory.

use std::path::Path;

use super::{Device, OnnxEncoder};
use crate::{
    encode::{
        Pooling, Pruning,
        run::{LongTexts, TextOptions},
    },
    error::Result,
};

/// How to open a model directory. Whatever is left alone is taken from the directory, then from
/// the defaults named here.
#[derive(Clone, Debug)]
pub struct OnnxOptions {
    pub(super) graph: Option<String>,
    pub(super) pooling: Option<Pooling>,
    pub(crate) texts: TextOptions,
    pub(super) terms: Option<u32>,
    pub(super) device: Device,
    pub(super) threads: usize,
    pub(super) sessions: usize,
    pub(super) batch_tokens: Option<usize>,
    pub(super) logits_budget: u64,
}

impl OnnxOptions {
    /// The defaults: the processor, one thread, one session.
    #[must_use]
    pub fn new() -> OnnxOptions {
        OnnxOptions {
            graph: None,
            pooling: None,
            texts: TextOptions::NONE,
            terms: None,
            device: Device::Cpu,
            threads: 1,
            sessions: 1,
            batch_tokens: None,
            logits_budget: 1 << 30,
        }
    }

    /// Opens the model in `directory`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when the directory, one of its files or
    /// the runtime library is missing; [`ErrorKind::Model`](crate::ErrorKind::Model) when a file
    /// is damaged, belongs to another model, or says what this crate cannot do;
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) when the device cannot be had.
    pub fn open(self, directory: impl AsRef<Path>) -> Result<OnnxEncoder> {
        OnnxEncoder::with_options(directory.as_ref(), &self)
    }

    /// Runs this file of the directory, as `"onnx/model_qint8_avx512.onnx"`, instead of the first
    /// `model.onnx`.
    #[must_use]
    pub fn graph(mut self, name: impl Into<String>) -> OnnxOptions {
        self.graph = Some(name.into());
        self
    }

    /// Pools so, for directories that do not say it; the default is [`Pooling::SPLADE`]. Weights of
    /// single tokens are taken as they are unless this is given; final vectors always are.
    #[must_use]
    pub fn pooling(mut self, pooling: Pooling) -> OnnxOptions {
        self.pooling = Some(pooling);
        self
    }

    /// Prunes so. The default keeps what the directory says, mostly everything.
    #[must_use]
    pub fn pruning(mut self, pruning: Pruning) -> OnnxOptions {
        self.texts.pruning = Some(pruning);
        self
    }

    /// Puts `prompt` in front of queries.
    #[must_use]
    pub fn query_prompt(mut self, prompt: impl Into<String>) -> OnnxOptions {
        self.texts.query_prompt = Some(prompt.into());
        self
    }

    /// Puts `prompt` in front of documents.
    #[must_use]
    pub fn document_prompt(mut self, prompt: impl Into<String>) -> OnnxOptions {
        self.texts.document_prompt = Some(prompt.into());
        self
    }

    /// Takes queries of at most this many tokens, special ones included. The default is the
    /// model's limit, or 512 where it names none.
    #[must_use]
    pub fn query_length(mut self, tokens: usize) -> OnnxOptions {
        self.texts.query_length = Some(tokens);
        self
    }

    /// Takes documents of at most this many tokens at once; default as for queries.
    #[must_use]
    pub fn document_length(mut self, tokens: usize) -> OnnxOptions {
        self.texts.document_length = Some(tokens);
        self
    }

    /// What becomes of longer documents; longer queries are always truncated.
    #[must_use]
    pub fn long_texts(mut self, long_texts: LongTexts) -> OnnxOptions {
        self.texts.long_texts = long_texts;
        self
    }

    /// Says that the terms are not the tokenizer's tokens (latents of an autoencoder) but this
    /// many others.
    #[must_use]
    pub fn terms(mut self, count: u32) -> OnnxOptions {
        self.terms = Some(count);
        self
    }

    /// Runs on `device`.
    #[must_use]
    pub fn device(mut self, device: Device) -> OnnxOptions {
        self.device = device;
        self
    }

    /// Lets one run use `threads` threads: the way to fast single queries.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> OnnxOptions {
        self.threads = threads.max(1);
        self
    }

    /// Holds `sessions` copies of the model, which run beside each other on threads of their own:
    /// the way to throughput, and to several callers at once. Each takes the memory of the model.
    #[must_use]
    pub fn sessions(mut self, sessions: usize) -> OnnxOptions {
        self.sessions = sessions.max(1);
        self
    }

    /// Puts at most `tokens` tokens into a run, filling included. The default is 512 on the
    /// processor, where larger batches gain nothing, and 16,384 elsewhere.
    #[must_use]
    pub fn batch_tokens(mut self, tokens: usize) -> OnnxOptions {
        self.batch_tokens = Some(tokens.max(1));
        self
    }

    /// Bounds the logits of one run to `bytes`, 1 GiB by default: batches are made small enough,
    /// and a text that exceeds it alone is an error. A model with 151,936 terms needs 622 MB for
    /// 1,024 tokens; a graph of hidden states with a head beside it needs a fraction.
    #[must_use]
    pub fn logits_budget(mut self, bytes: u64) -> OnnxOptions {
        self.logits_budget = bytes;
        self
    }
}

impl Default for OnnxOptions {
    fn default() -> OnnxOptions {
        OnnxOptions::new()
    }
}

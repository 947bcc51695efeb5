//! What a caller may say about a model beyond its directory.

use std::path::Path;

use super::NativeEncoder;
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
pub struct NativeOptions {
    pub(super) pooling: Option<Pooling>,
    pub(crate) texts: TextOptions,
    pub(super) threads: usize,
}

impl NativeOptions {
    /// The defaults: one thread.
    #[must_use]
    pub fn new() -> NativeOptions {
        NativeOptions {
            pooling: None,
            texts: TextOptions::NONE,
            threads: 1,
        }
    }

    /// Opens the model in `directory`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when the directory or one of its files
    /// is missing; [`ErrorKind::Model`](crate::ErrorKind::Model) when a file is damaged, belongs to
    /// another model, or is of a family that is not run here.
    pub fn open(self, directory: impl AsRef<Path>) -> Result<NativeEncoder> {
        NativeEncoder::with_options(directory.as_ref(), &self)
    }

    /// Pools so, for directories that do not say it; the default is [`Pooling::SPLADE`].
    #[must_use]
    pub fn pooling(mut self, pooling: Pooling) -> NativeOptions {
        self.pooling = Some(pooling);
        self
    }

    /// Prunes so. The default keeps what the directory says, mostly everything.
    #[must_use]
    pub fn pruning(mut self, pruning: Pruning) -> NativeOptions {
        self.texts.pruning = Some(pruning);
        self
    }

    /// Puts `prompt` in front of queries.
    #[must_use]
    pub fn query_prompt(mut self, prompt: impl Into<String>) -> NativeOptions {
        self.texts.query_prompt = Some(prompt.into());
        self
    }

    /// Puts `prompt` in front of documents.
    #[must_use]
    pub fn document_prompt(mut self, prompt: impl Into<String>) -> NativeOptions {
        self.texts.document_prompt = Some(prompt.into());
        self
    }

    /// Takes queries of at most this many tokens, special ones included. The default is the
    /// model's limit.
    #[must_use]
    pub fn query_length(mut self, tokens: usize) -> NativeOptions {
        self.texts.query_length = Some(tokens);
        self
    }

    /// Takes documents of at most this many tokens at once; default as for queries.
    #[must_use]
    pub fn document_length(mut self, tokens: usize) -> NativeOptions {
        self.texts.document_length = Some(tokens);
        self
    }

    /// What becomes of longer documents; longer queries are always truncated.
    #[must_use]
    pub fn long_texts(mut self, long_texts: LongTexts) -> NativeOptions {
        self.texts.long_texts = long_texts;
        self
    }

    /// Lets one call use `threads` threads: on batches of many texts, or inside the products of a
    /// few.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> NativeOptions {
        self.threads = threads.max(1);
        self
    }
}

impl Default for NativeOptions {
    fn default() -> NativeOptions {
        NativeOptions::new()
    }
}

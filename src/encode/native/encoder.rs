//! The encoder itself: model directory, weights and tokenizer put together.

use std::{borrow::Cow, ops::Range, path::Path};

use super::{batches, config::Config, head, options::NativeOptions};
use crate::{
    encode::{
        Encoder, Fingerprint, Pooling,
        inference_free::{TableQueries, padding_allowed},
        model::{Digest, Model},
        run::{Counters, Runner, Tally, digest_settings},
        tokenize::{TERM_LIMIT, Tokenizer},
    },
    error::{Error, Result},
    id::TermId,
    progress::Progress,
    sparse::SparseVector,
};

/// An encoder whose vectors a masked language model computes, from its `model.safetensors`.
///
/// Open one per model and share it between threads. A text's vector depends on the text alone.
#[derive(Debug)]
pub struct NativeEncoder {
    runner: Runner<batches::Model>,
}

impl NativeEncoder {
    /// Opens the model in `directory` with its own settings, on one thread.
    ///
    /// # Errors
    /// As [`NativeOptions::open`].
    pub fn open(directory: impl AsRef<Path>) -> Result<NativeEncoder> {
        NativeOptions::new().open(directory)
    }

    pub(super) fn with_options(directory: &Path, options: &NativeOptions) -> Result<NativeEncoder> {
        let mut model = Model::read(directory)?;
        let asker = model.asker.take();
        let runner = NativeEncoder::runner(&model, options)?;
        let runner = match asker {
            Some(asker) => {
                let place = model.root.display().to_string();
                runner.asked_by(NativeEncoder::runner(&asker, options)?, &place)?
            }
            None => runner,
        };
        Ok(NativeEncoder { runner })
    }

    /// What runs one transformer.
    fn runner(model: &Model, options: &NativeOptions) -> Result<Runner<batches::Model>> {
        let weights = model.weights()?;
        let config = Config::read(&weights.with_file_name("config.json"))?;
        let tokenizer = Tokenizer::read(&model.tokenizer, model)?;
        let known = usize::try_from(tokenizer.term_count()).unwrap_or(usize::MAX);
        if config.vocabulary < known || config.vocabulary > known + padding_allowed(known) {
            return Err(Error::model(
                weights.display().to_string(),
                format!(
                    "it gives {} logits a token, but the tokenizer has {known} tokens: they belong to different vocabularies",
                    config.vocabulary
                ),
            ));
        }
        let pooling = options.pooling.or(model.pooling).unwrap_or(Pooling::SPLADE);
        let table = TableQueries::open(model, options.texts.query_prune(model))?;
        let (transformer, head) = head::read(weights, &config)?;
        // Beyond its positions a text cannot go, whatever the caller or the directory says.
        let query = options.texts.query(model, Some(config.longest()));
        let document = options.texts.document(model, Some(config.longest()));

        let mut digest = Digest::default();
        digest.file(weights)?;
        digest.file(&model.tokenizer)?;
        digest.setting(&config.words());
        digest.setting(&pooling.words());
        digest_settings(&mut digest, model, &document);
        Ok(Runner {
            fingerprint: Fingerprint::new("native", &[digest.bytes()]),
            term_count: u32::try_from(config.vocabulary).unwrap_or(TERM_LIMIT),
            has_token_terms: true,
            model: batches::Model {
                transformer,
                head,
                pooling,
                threads: options.threads,
                file: weights.display().to_string(),
            },
            tokenizer,
            table,
            asker: None,
            query,
            document,
            counters: Counters::default(),
        })
    }

    /// What was done so far, over all threads.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.runner.tally()
    }

    /// How many terms have no token: the rows by which a model's matrix is padded to a round
    /// number. They never get a weight in a trained model.
    #[must_use]
    pub fn padding_terms(&self) -> u32 {
        self.runner.padding_terms()
    }

    /// Whether queries are encoded by a table of weights, without the transformer.
    #[must_use]
    pub fn has_query_table(&self) -> bool {
        self.runner.table.is_some()
    }

    /// Encodes a long document as passages, one vector each: windows of the document length that
    /// share `overlap` tokens. The ranges are bytes of `text`.
    ///
    /// # Errors
    /// As [`Encoder::encode_documents`].
    pub fn encode_passages(
        &self,
        text: &str,
        overlap: usize,
    ) -> Result<Vec<(Range<usize>, SparseVector)>> {
        self.runner.passages(text, overlap)
    }

    /// Encodes documents as they come and hands each vector to `sink` in order, with what came
    /// attached to its text. Memory does not grow with the number of documents. Besides the
    /// encoder's own threads, one more reads and tokenizes ahead.
    ///
    /// An error of `documents` or `sink`, or a break of `progress`, ends the work; what `sink` was
    /// given before stands. To go on later, leave out the documents it was given.
    ///
    /// # Errors
    /// As [`Encoder::encode_documents`], and what `documents` and `sink` return.
    pub fn encode_stream<T: Send>(
        &self,
        documents: impl Iterator<Item = Result<(T, String)>> + Send,
        progress: &mut Progress<'_>,
        sink: impl FnMut(T, SparseVector) -> Result<()>,
    ) -> Result<u64> {
        self.runner.stream(documents, progress, sink)
    }
}

impl Encoder for NativeEncoder {
    /// Covers the weights, the tokenizer, pooling, and how documents are cut, prompted and pruned.
    /// How queries are treated and how many threads there are is not part of it.
    fn fingerprint(&self) -> Fingerprint {
        self.runner.fingerprint.clone()
    }

    fn term_count(&self) -> u32 {
        self.runner.term_count
    }

    fn encode_documents(&self, texts: &[&str]) -> Result<Vec<SparseVector>> {
        self.runner.documents(texts)
    }

    fn encode_queries(&self, texts: &[&str]) -> Result<Vec<SparseVector>> {
        self.runner.queries(texts)
    }

    fn term(&self, id: TermId) -> Option<Cow<'_, str>> {
        self.runner.term(id)
    }

    fn own_terms(&self, text: &str) -> Result<Option<Vec<TermId>>> {
        self.runner.own_terms(text)
    }
}

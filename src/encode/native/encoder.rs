//! The encoder itself: model directory, weights and tokenizer put together.

use std::path::Path;

use super::{batches, config::Config, head, options::NativeOptions};
use crate::{
    encode::{
        Fingerprint, Pooling,
        inference_free::{TableQueries, padding_allowed},
        model::{Digest, Model},
        run::{Counters, Runner, digest_settings, encoder_around_runner},
        tokenize::{TERM_LIMIT, Tokenizer},
    },
    error::{Error, Result},
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
        model.expect_terms()?;
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
}

encoder_around_runner!(NativeEncoder);

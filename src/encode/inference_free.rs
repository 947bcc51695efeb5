//! Queries without a model: a tokenizer and one weight per term.
//!
//! Inference-free retrieval (arXiv 2411.04403) leaves all expansion to the documents: a query is
//! the set of its tokens, each with a weight learned or counted beforehand. No graph runs, so a
//! query costs what its tokenization costs.

use std::{borrow::Cow, path::Path};

use crate::{
    encode::{
        Encoder, Fingerprint,
        model::{Digest, Model, TermWeights},
        prune::Prune,
        tokenize::Tokenizer,
    },
    error::{Error, Result},
    id::TermId,
    sparse::SparseVector,
};

/// Encodes queries by a table of weights, for documents that an
/// [`OnnxEncoder`](crate::encode::OnnxEncoder) of the same directory encoded.
///
/// It needs the feature `tokenizers` only, no runtime library, and can be shipped without the
/// model: a directory with `tokenizer.json` and `idf.json`, or the query half of a
/// sentence-transformers `Router`. Documents it refuses.
///
/// An index compares fingerprints. The one of this encoder covers what it has; to ask an index
/// that the whole model built, take over the whole model's with
/// [`InferenceFreeEncoder::answering_for`].
///
/// ```
/// use sparsely::{Encoder, encode::InferenceFreeEncoder};
/// # let directory = tempfile::tempdir()?;
/// # let directory = directory.path();
/// # std::fs::write(directory.join("tokenizer.json"), r#"{"version":"1.0","added_tokens":[],
/// #   "pre_tokenizer":{"type":"Whitespace"},
/// #   "model":{"type":"WordLevel","vocab":{"lock":0,"file":1,"[UNK]":2},"unk_token":"[UNK]"}}"#)?;
/// # std::fs::write(directory.join("idf.json"), r#"{"lock":2.5,"file":1.25}"#)?;
/// let encoder = InferenceFreeEncoder::open(directory)?;
/// let query = encoder.encode_query("lock file lock")?;
/// assert_eq!(query.weights(), [2.5, 1.25]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct InferenceFreeEncoder {
    queries: TableQueries,
    fingerprint: Fingerprint,
}

/// The query side of a model whose queries need no inference.
#[derive(Debug)]
pub(crate) struct TableQueries {
    tokenizer: Tokenizer,
    weights: TermWeights,
    prompt: String,
    prune: Prune,
}

impl InferenceFreeEncoder {
    /// Opens a model directory.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when the directory or one of its files
    /// is missing, [`ErrorKind::Model`](crate::ErrorKind::Model) when its queries need a model, or
    /// a file is damaged or of another vocabulary.
    pub fn open(directory: impl AsRef<Path>) -> Result<InferenceFreeEncoder> {
        let model = Model::read(directory.as_ref())?;
        let prune = Prune {
            top: model.top,
            ..Prune::NONE
        };
        let queries = TableQueries::open(&model, prune)?.ok_or_else(|| {
            Error::model(
                model.root.display().to_string(),
                "it has no query weights (an idf.json, or a Router with a SparseStaticEmbedding): its queries need the model, open it as an OnnxEncoder (feature `onnx`)",
            )
        })?;
        let mut digest = Digest::default();
        queries.digest(&model, &mut digest)?;
        let fingerprint = Fingerprint::new("inference-free", &[digest.bytes()]);
        Ok(InferenceFreeEncoder {
            queries,
            fingerprint,
        })
    }

    /// Takes over the fingerprint of the encoder that encoded the documents, as an index states
    /// it: the caller vouches that this directory is that model's query half.
    #[must_use]
    pub fn answering_for(mut self, documents: Fingerprint) -> InferenceFreeEncoder {
        self.fingerprint = documents;
        self
    }

    /// Keeps the `top` heaviest terms of a query.
    #[must_use]
    pub fn query_top(mut self, top: usize) -> InferenceFreeEncoder {
        self.queries.prune.top = Some(top);
        self
    }
}

impl Encoder for InferenceFreeEncoder {
    fn fingerprint(&self) -> Fingerprint {
        self.fingerprint.clone()
    }

    fn term_count(&self) -> u32 {
        self.queries.term_count()
    }

    /// # Errors
    /// Always [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
    fn encode_documents(&self, _texts: &[&str]) -> Result<Vec<SparseVector>> {
        Err(Error::unsupported(
            "encoding documents without their model",
            "open the directory as an OnnxEncoder (feature `onnx`) to encode documents",
        ))
    }

    fn encode_queries(&self, texts: &[&str]) -> Result<Vec<SparseVector>> {
        texts.iter().map(|text| self.queries.encode(text)).collect()
    }

    fn term(&self, id: TermId) -> Option<Cow<'_, str>> {
        self.queries.tokenizer.token(id.get()).map(Cow::Owned)
    }
}

impl TableQueries {
    /// The query side of `model`, where it has a table.
    pub(crate) fn open(model: &Model, prune: Prune) -> Result<Option<TableQueries>> {
        let Some(table) = &model.query_table else {
            return Ok(None);
        };
        let tokenizer = Tokenizer::read(&table.tokenizer, model)?;
        let weights = TermWeights::read(&table.weights, |token| tokenizer.id(token))?;
        let known = usize::try_from(tokenizer.term_count()).unwrap_or(usize::MAX);
        // Tables are as long as the vocabulary, or padded as the model's matrix is.
        let is_table = table.weights.extension().is_some_and(|end| end == "json")
            || (weights.len() >= known && weights.len() - known <= padding_allowed(known));
        if !is_table {
            return Err(Error::model(
                table.weights.display().to_string(),
                format!(
                    "{} weights, but {} has {known} tokens: they belong to different vocabularies",
                    weights.len(),
                    table.tokenizer.display()
                ),
            ));
        }
        Ok(Some(TableQueries {
            tokenizer,
            weights,
            prompt: model.query_prompt.clone(),
            prune,
        }))
    }

    /// The vector of a query: each of its tokens once, by the table's weight.
    pub(crate) fn encode(&self, text: &str) -> Result<SparseVector> {
        let ids = if self.prompt.is_empty() {
            self.tokenizer.distinct(text)?
        } else {
            self.tokenizer.distinct(&format!("{}{text}", self.prompt))?
        };
        let pairs = ids.into_iter().map(|id| (id, self.weights.of(id)));
        Ok(self.prune.apply(SparseVector::new(pairs)?))
    }

    /// The number of terms.
    pub(crate) fn term_count(&self) -> u32 {
        let weights = u32::try_from(self.weights.len()).unwrap_or(u32::MAX);
        weights.max(self.tokenizer.term_count())
    }

    /// Adds what a query's vector depends on.
    pub(crate) fn digest(&self, model: &Model, digest: &mut Digest) -> Result<()> {
        if let Some(table) = &model.query_table {
            digest.file(&table.weights)?;
            digest.file(&table.tokenizer)?;
        }
        digest.setting(&self.prompt);
        Ok(())
    }
}

/// By how many terms a model's matrix may be longer than its tokenizer: rows are padded to round
/// numbers (151,669 tokens, 151,936 rows), by 1.5% at most in the models there are.
pub(crate) fn padding_allowed(tokens: usize) -> usize {
    (tokens / 64).max(128)
}

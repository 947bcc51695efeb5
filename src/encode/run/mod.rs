//! Texts to vectors through a model, whatever runs it.
//!
//! Tokenizing, prompts, cutting, pruning, queries by a table and counting are the same for every
//! model; what differs is how inputs of tokens become vectors, which is [`Run`].

mod encoder;
mod options;
#[cfg(feature = "sae")]
mod states;
mod stream;
mod tally;

use std::{borrow::Cow, ops::Range};

pub(crate) use self::encoder::encoder_around_runner;
pub(crate) use self::options::TextOptions;
#[cfg(feature = "sae")]
pub(crate) use self::states::Texts;
pub(crate) use self::tally::Counters;
pub use self::{options::LongTexts, tally::Tally};
use crate::{
    encode::{
        Fingerprint, Prune,
        inference_free::TableQueries,
        model::{Digest, Model},
        tokenize::{Pieces, Room, Tokenizer, Window},
    },
    error::{Error, Result},
    id::TermId,
    sparse::SparseVector,
};

/// A model that makes vectors of tokens.
pub(crate) trait Run: Send + Sync {
    /// One vector per input, in order, nothing pruned.
    fn run(&self, inputs: &[Window]) -> Result<Vec<SparseVector>>;
}

/// A model with everything around it.
#[derive(Debug)]
pub(crate) struct Runner<R> {
    pub(crate) model: R,
    pub(crate) tokenizer: Tokenizer,
    /// Encodes queries where they need no model.
    pub(crate) table: Option<TableQueries>,
    /// Encodes queries where they have a model of their own.
    pub(crate) asker: Option<Box<Runner<R>>>,
    pub(crate) query: Side,
    pub(crate) document: Side,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) term_count: u32,
    /// Whether terms are tokens of the tokenizer.
    pub(crate) has_token_terms: bool,
    pub(crate) counters: Counters,
}

/// How one kind of text is treated.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    pub(crate) prompt: String,
    pub(crate) room: Room,
    pub(crate) prune: Prune,
}

impl Side {
    /// Adds what a vector of this side depends on, in words that stay the same: they go into
    /// fingerprints.
    pub(crate) fn digest(&self, digest: &mut Digest) {
        digest.setting(&format!(
            "length={} overlap={:?} top={:?} threshold={}",
            self.room.tokens, self.room.overlap, self.prune.top, self.prune.threshold
        ));
        digest.setting(&self.prompt);
    }
}

/// Texts as inputs of the model.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    windows: Vec<Window>,
    /// The windows of each text.
    texts: Vec<Range<usize>>,
}

impl<R: Run> Runner<R> {
    /// Gives queries a model of their own.
    ///
    /// # Errors
    /// When its terms are others.
    pub(crate) fn asked_by(mut self, asker: Runner<R>, place: &str) -> Result<Runner<R>> {
        if asker.term_count != self.term_count {
            return Err(Error::model(
                place,
                format!(
                    "queries have {} terms and documents {}: vectors of different vocabularies cannot be compared",
                    asker.term_count, self.term_count
                ),
            ));
        }
        self.asker = Some(Box::new(asker));
        Ok(self)
    }

    pub(crate) fn tally(&self) -> Tally {
        let own = self.counters.tally();
        match &self.asker {
            Some(asker) => own + asker.tally(),
            None => own,
        }
    }

    /// How many terms have no token.
    pub(crate) fn padding_terms(&self) -> u32 {
        if self.has_token_terms {
            self.term_count.saturating_sub(self.tokenizer.term_count())
        } else {
            0
        }
    }

    /// A long document as passages; see the public methods of the encoders.
    pub(crate) fn passages(
        &self,
        text: &str,
        overlap: usize,
    ) -> Result<Vec<(Range<usize>, SparseVector)>> {
        let pieces = self.pieces(text, &self.document)?;
        let room = Room {
            overlap: Some(overlap),
            ..self.document.room
        };
        let (windows, lost) = pieces.windows(room);
        self.counters.text(&windows, lost);
        let vectors = self.model.run(&windows)?;
        let prune = self.document.prune;
        Ok(windows
            .into_iter()
            .zip(vectors)
            .map(|(window, vector)| (window.place, prune.apply(vector)))
            .collect())
    }

    pub(crate) fn documents(&self, texts: &[&str]) -> Result<Vec<SparseVector>> {
        let inputs = self.inputs(texts, 0, &self.document)?;
        self.outputs(&inputs, &self.document)
    }

    pub(crate) fn queries(&self, texts: &[&str]) -> Result<Vec<SparseVector>> {
        if let Some(table) = &self.table {
            return texts.iter().map(|text| table.encode(text)).collect();
        }
        if let Some(asker) = &self.asker {
            return asker.queries(texts);
        }
        let inputs = self.inputs(texts, 0, &self.query)?;
        self.outputs(&inputs, &self.query)
    }

    pub(crate) fn term(&self, id: TermId) -> Option<Cow<'static, str>> {
        if !self.has_token_terms {
            return None;
        }
        self.tokenizer.token(id.get()).map(Cow::Owned)
    }

    pub(crate) fn own_terms(&self, text: &str) -> Result<Option<Vec<TermId>>> {
        if !self.has_token_terms {
            return Ok(None);
        }
        let ids = self.tokenizer.distinct(text)?;
        Ok(Some(ids.into_iter().map(TermId::from).collect()))
    }

    /// Tokenizes texts; `before` came before them, which numbers them in errors.
    fn inputs<S: AsRef<str>>(&self, texts: &[S], before: u64, side: &Side) -> Result<Inputs> {
        let mut inputs = Inputs::default();
        for (number, text) in (before + 1..).zip(texts) {
            let pieces = self
                .pieces(text.as_ref(), side)
                .map_err(|error| error.of_text(number))?;
            let (windows, lost) = pieces.windows(side.room);
            self.counters.text(&windows, lost);
            let start = inputs.windows.len();
            inputs.windows.extend(windows);
            inputs.texts.push(start..inputs.windows.len());
        }
        Ok(inputs)
    }

    /// Runs texts that were tokenized.
    fn outputs(&self, inputs: &Inputs, side: &Side) -> Result<Vec<SparseVector>> {
        let mut vectors = self.model.run(&inputs.windows)?;
        Ok(inputs
            .texts
            .iter()
            .map(|range| {
                let vector = match range.len() {
                    1 => std::mem::take(&mut vectors[range.start]),
                    _ => largest(&vectors[range.clone()]),
                };
                side.prune.apply(vector)
            })
            .collect())
    }

    fn pieces(&self, text: &str, side: &Side) -> Result<Pieces> {
        self.tokenizer.pieces(&side.prompt, text)
    }
}

/// Adds what every model's vectors depend on besides its own files.
pub(crate) fn digest_settings(digest: &mut Digest, model: &Model, document: &Side) {
    document.digest(digest);
    digest.setting(if model.lower_case { "lower" } else { "as is" });
}

/// Term by term the largest weight.
fn largest(vectors: &[SparseVector]) -> SparseVector {
    let mut pairs: Vec<(TermId, f32)> = vectors.iter().flat_map(SparseVector::iter).collect();
    pairs.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
    pairs.dedup_by_key(|pair| pair.0);
    let (terms, weights) = pairs.into_iter().unzip();
    // Rising terms with weights of valid vectors are valid.
    SparseVector::from_sorted(terms, weights).unwrap_or_default()
}

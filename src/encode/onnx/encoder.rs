//! The encoder itself: model directory, sessions and tokenizer put together.

use std::{
    borrow::Cow,
    ops::Range,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use super::{
    Device, LongTexts, OnnxOptions,
    batch::Padding,
    graph::GraphFacts,
    opening::{budget, open_workers},
    schedule::Schedule,
};
use crate::{
    encode::{
        Encoder, Fingerprint, Prune,
        inference_free::TableQueries,
        model::{Digest, Model, inside},
        tokenize::{Pieces, Room, TERM_LIMIT, Tokenizer, Window},
    },
    error::{Error, Result},
    id::TermId,
    sparse::SparseVector,
};

/// An encoder whose vectors an ONNX graph computes.
///
/// Open one per model and share it: calls from several threads take turns on its sessions.
/// A document's vector depends on its text alone: texts run together only where the model masks
/// the others and the filling, and graphs that quantize by the range of a batch get each text alone.
#[derive(Debug)]
pub struct OnnxEncoder {
    pub(super) tokenizer: Tokenizer,
    pub(super) schedule: Schedule,
    table: Option<TableQueries>,
    pub(super) query: Side,
    pub(super) document: Side,
    fingerprint: Fingerprint,
    term_count: u32,
    has_token_terms: bool,
    device: Device,
    runs_alone: bool,
    counters: Counters,
}

/// How one kind of text is treated.
#[derive(Debug)]
pub(super) struct Side {
    prompt: String,
    room: Room,
    prune: Prune,
}

/// What an encoder has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Texts encoded, queries and documents.
    pub texts: u64,
    /// Tokens run through the model, filling left out.
    pub tokens: u64,
    /// Texts whose end was dropped because the model takes no more tokens.
    pub truncated: u64,
    /// Tokens dropped with it.
    pub lost_tokens: u64,
}

impl Side {
    /// What a vector of this side depends on besides the prompt, in words that stay the same: they
    /// go into fingerprints.
    fn words(&self) -> String {
        format!(
            "length={} overlap={:?} top={:?} threshold={}",
            self.room.tokens, self.room.overlap, self.prune.top, self.prune.threshold
        )
    }
}

#[derive(Debug, Default)]
struct Counters {
    texts: AtomicU64,
    tokens: AtomicU64,
    truncated: AtomicU64,
    lost_tokens: AtomicU64,
}

/// Texts as inputs of the model.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    windows: Vec<Window>,
    /// The windows of each text.
    texts: Vec<Range<usize>>,
}

impl OnnxEncoder {
    /// Opens the model in `directory` with its own settings, on the processor, one thread.
    ///
    /// # Errors
    /// As [`OnnxOptions::open`].
    pub fn open(directory: impl AsRef<Path>) -> Result<OnnxEncoder> {
        OnnxOptions::new().open(directory)
    }

    pub(super) fn with_options(directory: &Path, mut options: OnnxOptions) -> Result<OnnxEncoder> {
        let mut model = Model::read(directory)?;
        if let Some(name) = &options.graph {
            let graph = inside(&model.root, name, Path::new("OnnxOptions::graph"))?;
            model.graph = Some(graph);
        }
        options.pooling = options.pooling.or(model.pooling);
        let path = model.graph()?.to_owned();
        if !path.is_file() {
            return Err(Error::not_found(
                format!("the graph {}", path.display()),
                "name a file of the model directory",
            ));
        }
        let tokenizer = Tokenizer::read(&model.tokenizer, &model)?;
        let facts = GraphFacts::read(&path)?;
        let head_facts = model.head.as_deref().map(GraphFacts::read).transpose()?;
        let pruning = options.pruning.unwrap_or_default();
        let own_top = |prune: Prune| Prune {
            top: prune.top.or(model.top),
            ..prune
        };
        let table = TableQueries::open(&model, own_top(pruning.query()))?;

        let (workers, device, shape) = open_workers(&model, &path, &options, &tokenizer)?;
        let graph = &workers[0].graph;
        let alone = facts.quantizes_batches || !graph.has_mask();
        if !graph.has_mask() && graph.length.is_some() {
            return Err(Error::model(
                path.display().to_string(),
                "it insists on one length but takes no attention mask: shorter texts cannot be told from their filling",
            ));
        }
        let longest = model.max_tokens.unwrap_or(512);
        let side = |length: Option<usize>, prompt: Option<&String>, own: &str, prune: Prune| Side {
            prompt: prompt.map_or_else(|| own.to_owned(), Clone::clone),
            room: Room {
                tokens: length
                    .unwrap_or(longest)
                    .min(graph.length.unwrap_or(usize::MAX)),
                overlap: None,
            },
            prune: own_top(prune),
        };
        let query = side(
            options.query_length,
            options.query_prompt.as_ref(),
            &model.query_prompt,
            pruning.query(),
        );
        let mut document = side(
            options.document_length,
            options.document_prompt.as_ref(),
            &model.document_prompt,
            pruning.document(),
        );
        if let LongTexts::Windows { overlap } = options.long_texts {
            document.room.overlap = Some(overlap);
        }

        let mut budget = budget(&options, &shape, device);
        budget.cap = query.room.tokens.max(document.room.tokens);
        if alone {
            (budget.rows, budget.multiple) = (1, 1);
        }
        if let Some(rows) = graph.rows {
            (budget.rows, budget.tokens) = (rows, usize::MAX);
        }

        let mut digest = Digest::default();
        let mut files: Vec<PathBuf> = vec![path.clone(), model.tokenizer.clone()];
        files.extend(facts.external.iter().cloned());
        files.extend(model.head.clone());
        files.extend(head_facts.into_iter().flat_map(|facts| facts.external));
        files.iter().try_for_each(|file| digest.file(file))?;
        digest.setting(&shape.pooling.words());
        digest.setting(&document.words());
        digest.setting(&document.prompt);
        digest.setting(if model.lower_case { "lower" } else { "as is" });

        let padding = Padding {
            token: tokenizer.pad(),
            left: tokenizer.pads_left(),
        };
        Ok(OnnxEncoder {
            fingerprint: Fingerprint::new("onnx", &[digest.bytes()]),
            term_count: u32::try_from(shape.term_count).unwrap_or(TERM_LIMIT),
            has_token_terms: options.terms.is_none(),
            schedule: Schedule::new(workers, budget, padding),
            tokenizer,
            table,
            query,
            document,
            device,
            runs_alone: alone,
            counters: Counters::default(),
        })
    }

    /// Where the model runs: what was asked for, or what [`Device::Auto`] found.
    #[must_use]
    pub fn device(&self) -> Device {
        self.device
    }

    /// What was done so far, over all threads.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Tally {
            texts: read(&self.counters.texts),
            tokens: read(&self.counters.tokens),
            truncated: read(&self.counters.truncated),
            lost_tokens: read(&self.counters.lost_tokens),
        }
    }

    /// How many terms have no token: the rows by which a model's matrix is padded to a round
    /// number. They never get a weight in a trained model.
    #[must_use]
    pub fn padding_terms(&self) -> u32 {
        if self.has_token_terms {
            self.term_count.saturating_sub(self.tokenizer.term_count())
        } else {
            0
        }
    }

    /// Whether each text runs alone, because the graph quantizes activations by the range of its
    /// batch, or takes no attention mask.
    #[must_use]
    pub fn runs_alone(&self) -> bool {
        self.runs_alone
    }

    /// Whether queries are encoded by a table of weights, without the graph.
    #[must_use]
    pub fn has_query_table(&self) -> bool {
        self.table.is_some()
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
        let pieces = self.pieces(text, &self.document)?;
        let room = Room {
            overlap: Some(overlap),
            ..self.document.room
        };
        let (windows, lost) = pieces.windows(room);
        self.count(1, &windows, lost);
        let vectors = self.schedule.run(&windows)?;
        let prune = self.document.prune;
        Ok(windows
            .into_iter()
            .zip(vectors)
            .map(|(window, vector)| (window.place, prune.apply(vector)))
            .collect())
    }

    /// Tokenizes texts.
    pub(super) fn inputs<S: AsRef<str>>(&self, texts: &[S], side: &Side) -> Result<Inputs> {
        let mut inputs = Inputs::default();
        for text in texts {
            let pieces = self.pieces(text.as_ref(), side)?;
            let (windows, lost) = pieces.windows(side.room);
            self.count(1, &windows, lost);
            let start = inputs.windows.len();
            inputs.windows.extend(windows);
            inputs.texts.push(start..inputs.windows.len());
        }
        Ok(inputs)
    }

    /// Runs texts that were tokenized.
    pub(super) fn outputs(&self, inputs: &Inputs, side: &Side) -> Result<Vec<SparseVector>> {
        let mut vectors = self.schedule.run(&inputs.windows)?;
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

    fn count(&self, texts: u64, windows: &[Window], lost: usize) {
        let add = |counter: &AtomicU64, amount: usize| {
            counter.fetch_add(u64::try_from(amount).unwrap_or(0), Ordering::Relaxed);
        };
        self.counters.texts.fetch_add(texts, Ordering::Relaxed);
        let tokens = windows.iter().map(|window| window.ids.len()).sum();
        add(&self.counters.tokens, tokens);
        add(&self.counters.truncated, usize::from(lost > 0));
        add(&self.counters.lost_tokens, lost);
    }
}

impl Encoder for OnnxEncoder {
    /// Covers the graph with its weights, the tokenizer, pooling, and how documents are cut,
    /// prompted and pruned. How queries are treated and where the model runs are not part of it.
    fn fingerprint(&self) -> Fingerprint {
        self.fingerprint.clone()
    }

    fn term_count(&self) -> u32 {
        self.term_count
    }

    fn encode_documents(&self, texts: &[&str]) -> Result<Vec<SparseVector>> {
        let inputs = self.inputs(texts, &self.document)?;
        self.outputs(&inputs, &self.document)
    }

    fn encode_queries(&self, texts: &[&str]) -> Result<Vec<SparseVector>> {
        if let Some(table) = &self.table {
            return texts.iter().map(|text| table.encode(text)).collect();
        }
        let inputs = self.inputs(texts, &self.query)?;
        self.outputs(&inputs, &self.query)
    }

    fn term(&self, id: TermId) -> Option<Cow<'_, str>> {
        if !self.has_token_terms {
            return None;
        }
        self.tokenizer.token(id.get()).map(Cow::Owned)
    }

    fn own_terms(&self, text: &str) -> Result<Option<Vec<TermId>>> {
        if !self.has_token_terms {
            return Ok(None);
        }
        let ids = self.tokenizer.distinct(text)?;
        Ok(Some(ids.into_iter().map(TermId::from).collect()))
    }
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

//! The encoder itself: model directory, sessions and tokenizer put together.

use std::path::{Path, PathBuf};

use super::{
    Device, OnnxOptions,
    batch::Padding,
    graph::GraphFacts,
    opening::{budget, open_workers},
    schedule::Schedule,
    worker::Worker,
};
use crate::{
    encode::{
        Fingerprint,
        files::inside,
        inference_free::TableQueries,
        model::{Digest, Model},
        run::{Counters, Runner, digest_settings, encoder_around_runner},
        tokenize::{TERM_LIMIT, Tokenizer},
    },
    error::{Error, Result},
};

/// An encoder whose vectors an ONNX graph computes.
///
/// Open one per model and share it: calls from several threads take turns on its sessions.
/// A document's vector depends on its text alone: texts run together only where the model masks
/// the others and the filling, and graphs that quantize by the range of a batch get each text alone.
#[derive(Debug)]
pub struct OnnxEncoder {
    runner: Runner<Schedule<Worker>>,
    device: Device,
    runs_alone: bool,
}

impl OnnxEncoder {
    /// Opens the model in `directory` with its own settings, on the processor, one thread.
    ///
    /// # Errors
    /// As [`OnnxOptions::open`].
    pub fn open(directory: impl AsRef<Path>) -> Result<OnnxEncoder> {
        OnnxOptions::new().open(directory)
    }

    pub(super) fn with_options(directory: &Path, options: &OnnxOptions) -> Result<OnnxEncoder> {
        let mut model = Model::read(directory)?;
        let asker = model.asker.take();
        if let Some(name) = &options.graph {
            let graph = inside(&model.root, name, Path::new("OnnxOptions::graph"))?;
            model.graph = Some(graph);
        }
        let encoder = OnnxEncoder::of(&model, options)?;
        let Some(asker) = asker else {
            return Ok(encoder);
        };
        let asker = OnnxEncoder::of(&asker, options)?.runner;
        let place = model.root.display().to_string();
        Ok(OnnxEncoder {
            runner: encoder.runner.asked_by(asker, &place)?,
            ..encoder
        })
    }

    /// The encoder of one transformer.
    fn of(model: &Model, options: &OnnxOptions) -> Result<OnnxEncoder> {
        model.expect_terms()?;
        let path = model.graph()?.to_owned();
        if !path.is_file() {
            return Err(Error::not_found(
                format!("the graph {}", path.display()),
                "name a file of the model directory",
            ));
        }
        let tokenizer = Tokenizer::read(&model.tokenizer, model)?;
        let facts = GraphFacts::read(&path)?;
        let head_facts = model.head.as_deref().map(GraphFacts::read).transpose()?;
        let table = TableQueries::open(model, options.texts.query_prune(model))?;

        let (workers, device, shape) = open_workers(model, &path, options, &tokenizer)?;
        let graph = &workers[0].graph;
        let alone = facts.quantizes_batches || !graph.has_mask();
        if !graph.has_mask() && graph.length.is_some() {
            return Err(Error::model(
                path.display().to_string(),
                "it insists on one length but takes no attention mask: shorter texts cannot be told from their filling",
            ));
        }
        let query = options.texts.query(model, graph.length);
        let document = options.texts.document(model, graph.length);

        let mut budget = budget(options, &shape, device);
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
        digest_settings(&mut digest, model, &document);

        let padding = Padding {
            token: tokenizer.pad(),
            left: tokenizer.pads_left(),
        };
        Ok(OnnxEncoder {
            runner: Runner {
                fingerprint: Fingerprint::new("onnx", &[digest.bytes()]),
                term_count: u32::try_from(shape.term_count).unwrap_or(TERM_LIMIT),
                has_token_terms: options.terms.is_none(),
                model: Schedule::new(workers, budget, padding),
                tokenizer,
                table,
                asker: None,
                query,
                document,
                counters: Counters::default(),
            },
            device,
            runs_alone: alone,
        })
    }

    /// Where the model runs: what was asked for, or what [`Device::Auto`] found.
    #[must_use]
    pub fn device(&self) -> Device {
        self.device
    }

    /// Whether each text runs alone, because the graph quantizes activations by the range of its
    /// batch, or takes no attention mask.
    #[must_use]
    pub fn runs_alone(&self) -> bool {
        self.runs_alone
    }
}

encoder_around_runner!(OnnxEncoder);

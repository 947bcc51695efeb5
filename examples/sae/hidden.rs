//! A pass of the backbone over texts, kept in a cache.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use clap::Args;
use sparsely::{
    Error, Fingerprint, Result,
    encode::{
        onnx::{OnnxBackbone, OnnxOptions},
        sae::{Description, HiddenStates, TextKind},
    },
    train::sae::{HiddenCache, HiddenWriter, Precision},
};

use crate::print::Bar;

/// What can be said of the backbone and its pass.
#[derive(Debug, Args)]
pub(crate) struct Pass {
    /// Threads to work on; the result does not depend on them
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) threads: usize,

    /// Tokens of a text that are read; the rest is left out
    #[arg(long, default_value_t = 256, value_name = "N")]
    length: usize,

    /// Where hidden states are kept; commands share them that read the same texts with the same
    /// backbone [default: hidden.cache in the output]
    #[arg(long, value_name = "FILE")]
    cache: Option<PathBuf>,

    /// Most bytes that hidden states may take on the disk
    #[arg(long, default_value_t = 16 << 30, value_name = "BYTES")]
    cache_bytes: u64,

    /// Keep hidden states in single precision; half of it is the default
    #[arg(long)]
    single: bool,
}

impl Pass {
    /// Opens the backbone in `directory`, at `layer` where it has several.
    pub(crate) fn open(
        &self,
        directory: &Path,
        description: Option<&Description>,
    ) -> Result<OnnxBackbone> {
        let mut options = OnnxOptions::new()
            .sessions(self.threads)
            .document_length(self.length)
            .query_length(self.length);
        let (mut output, mut layer) = (None, None);
        if let Some(description) = description {
            if let Some(graph) = &description.graph {
                options = options.graph(graph);
            }
            (output, layer) = (description.output.as_deref(), description.layer);
        }
        OnnxBackbone::open(directory, options, output, layer)
    }

    /// Runs `texts` through `backbone` into a cache, in `out` unless the user named a file, perhaps
    /// without special tokens; or takes what is there already from the same texts and the same backbone.
    pub(crate) fn cache(
        &self,
        backbone: &OnnxBackbone,
        texts: &[(&str, TextKind)],
        drop_special_tokens: bool,
        out: &Path,
        bar: &mut Bar,
    ) -> Result<HiddenCache> {
        let path = &match &self.cache {
            Some(path) => path.clone(),
            None => out.join("hidden.cache"),
        };
        let precision = if self.single {
            Precision::Single
        } else {
            Precision::Half
        };
        let mut parts = vec![
            backbone.fingerprint().to_string().into_bytes(),
            format!("{precision:?} {} {drop_special_tokens}", texts.len()).into_bytes(),
        ];
        parts.extend(
            texts
                .iter()
                .map(|(text, kind)| format!("{kind:?} {text}").into_bytes()),
        );
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let digest = Fingerprint::new("hidden states", &parts).digest();
        if path.exists() {
            let cache = HiddenCache::open(path)?;
            if cache.digest() == digest {
                return Ok(cache);
            }
            // What the user named is perhaps another command's.
            if self.cache.is_some() {
                return Err(Error::invalid(
                    "--cache",
                    "a new file, or hidden states of these texts at this --length from this backbone",
                    format!("others in {}", path.display()),
                ));
            }
        }
        let mut writer =
            HiddenWriter::create(path, backbone.width(), precision, digest, self.cache_bytes)?;
        let (chunk, total) = (64 * self.threads.max(1), texts.len() as u64);
        for (number, texts) in texts.chunks(chunk).enumerate() {
            bar.step("running the backbone", (number * chunk) as u64, total);
            // Queries and passages alternate; each kind by itself, the backbone takes several together.
            let run = |kind| {
                let own = texts.iter().filter(|(_, own)| *own == kind);
                let list: Vec<&str> = own.map(|(text, _)| *text).collect();
                Result::Ok(backbone.hidden_states(&list, kind)?.into_iter())
            };
            let (mut queries, mut documents) = (run(TextKind::Query)?, run(TextKind::Document)?);
            let in_order = texts.iter().filter_map(|(_, kind)| match kind {
                TextKind::Query => queries.next(),
                TextKind::Document => documents.next(),
            });
            for states in in_order {
                if drop_special_tokens {
                    writer.add(&states.own(backbone.width()))?;
                } else {
                    writer.add(&states.values)?;
                }
            }
        }
        writer.finish()?;
        HiddenCache::open(path)
    }
}

/// Texts, each once, numbered as they came.
#[derive(Debug, Default)]
pub(crate) struct Numbered<'a> {
    pub(crate) texts: Vec<(&'a str, TextKind)>,
    numbers: HashMap<(&'a str, bool), usize>,
}

impl<'a> Numbered<'a> {
    pub(crate) fn number(&mut self, text: &'a str, kind: TextKind) -> usize {
        *self
            .numbers
            .entry((text, kind == TextKind::Query))
            .or_insert_with(|| {
                self.texts.push((text, kind));
                self.texts.len() - 1
            })
    }
}

/// Creates `directory` where it is missing.
pub(crate) fn create(directory: &Path) -> Result<()> {
    std::fs::create_dir_all(directory)
        .map_err(|error| Error::io("create the directory", directory, error))
}

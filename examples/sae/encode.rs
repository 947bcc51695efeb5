//! `encode`: texts to vectors, or to an index.

use std::{collections::HashSet, path::PathBuf, time::Instant};

use clap::Args;
use serde::Serialize;
use sparsely::{
    Encoder, Result,
    encode::{onnx::OnnxOptions, sae::SaeOptions},
};

use crate::{
    output::Output,
    print::{Bar, answer},
    texts::Texts,
};

/// Arguments of `encode`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A folder with sae.json
    #[arg(value_name = "DIR")]
    model: PathBuf,

    /// One object per line, with `_id` or `id`, `text`, and perhaps `title`
    #[arg(value_name = "FILE.jsonl")]
    texts: PathBuf,

    /// Where vectors go: a file ending in .jsonl or .csr, or an index ending in .idx
    #[arg(long, value_name = "PATH")]
    out: PathBuf,

    /// Encode the texts as queries
    #[arg(long)]
    queries: bool,

    /// Only the first N texts
    #[arg(long, value_name = "N")]
    limit: Option<usize>,

    /// Threads to work on
    #[arg(long, default_value_t = 1, value_name = "N")]
    threads: usize,

    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Answer {
    texts: usize,
    mean_nnz: f64,
    seconds: f64,
    fingerprint: String,
}

/// Texts that are encoded together.
const CHUNK: usize = 256;

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let begun = Instant::now();
    let backbone = OnnxOptions::new().sessions(arguments.threads);
    let encoder = SaeOptions::new()
        .threads(arguments.threads)
        .onnx(backbone)
        .open(&arguments.model)?;
    let mut output = Output::create(&arguments.out, &encoder)?;
    let known: HashSet<String> = Output::known(&arguments.out)?;
    let texts = Texts::open(&arguments.texts, arguments.limit)?;
    let total = texts.len();
    let mut bar = Bar::new();
    let (mut done, mut nnz, mut seen) = (0_usize, 0_usize, 0_u64);
    let mut waiting: Vec<(String, String)> = Vec::new();
    let mut encode = |waiting: &mut Vec<(String, String)>| -> Result<()> {
        let list: Vec<&str> = waiting.iter().map(|(_, text)| text.as_str()).collect();
        let vectors = if arguments.queries {
            encoder.encode_queries(&list)?
        } else {
            encoder.encode_documents(&list)?
        };
        for ((id, text), vector) in waiting.drain(..).zip(vectors) {
            nnz += vector.len();
            done += 1;
            output.write(&id, text, vector)?;
        }
        Ok(())
    };
    for entry in texts {
        let (id, text) = entry?;
        seen += 1;
        if !known.contains(&id) {
            waiting.push((id, text));
        }
        if waiting.len() == CHUNK {
            encode(&mut waiting)?;
            bar.step("encoding", seen, total);
        }
    }
    encode(&mut waiting)?;
    output.finish()?;
    bar.clear();
    let found = Answer {
        texts: done,
        mean_nnz: nnz as f64 / done.max(1) as f64,
        seconds: begun.elapsed().as_secs_f64(),
        fingerprint: encoder.fingerprint().to_string(),
    };
    answer(&found, arguments.json, || {
        format!(
            "{} texts in {:.1} s, {:.0} latents a text",
            found.texts, found.seconds, found.mean_nnz
        )
    })
}

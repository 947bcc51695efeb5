//! `train`: from texts to an autoencoder.

use std::{path::PathBuf, time::Instant};

use clap::Args;
use serde::{Deserialize, Serialize};
use sparsely::{
    Error, Progress, Result,
    encode::sae::{Description, HiddenStates, TextKind},
    train::sae::{AutoencoderOptions, Center, Start, train_autoencoder},
};

use crate::{
    hidden::{Numbered, Pass, create},
    print::{Bar, answer, read_lines},
};

/// Arguments of `train`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A folder with a graph that gives hidden states: see docs/sae.md
    #[arg(value_name = "MODEL_DIR")]
    model: PathBuf,

    /// One object per line, with `text` and perhaps `title`, or a file of pairs
    #[arg(value_name = "FILE.jsonl")]
    texts: PathBuf,

    /// Latents
    #[arg(long, default_value_t = 16_384, value_name = "N")]
    latents: usize,

    /// Where the autoencoder goes; cache and checkpoint too, so that a run that was stopped goes on
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Latents of a token
    #[arg(long, default_value_t = 32, value_name = "K")]
    active: usize,

    /// Passes over the tokens
    #[arg(long, default_value_t = 1, value_name = "N")]
    epochs: u32,

    /// Tokens of a step
    #[arg(long, default_value_t = 2048, value_name = "N")]
    batch: usize,

    /// The highest learning rate
    #[arg(long, default_value_t = 1e-3, value_name = "RATE")]
    rate: f32,

    /// Begin with directions that have nothing to do with the data
    #[arg(long)]
    random_start: bool,

    /// Begin the decoder's bias at the mean rather than the geometric median
    #[arg(long)]
    mean: bool,

    /// Leave out tokens that the tokenizer adds around a text, here and wherever the model is used
    #[arg(long)]
    drop_special_tokens: bool,

    /// The layer, for graphs that give several
    #[arg(long, value_name = "N")]
    layer: Option<u32>,

    /// Decides every random choice
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,

    #[command(flatten)]
    pass: Pass,

    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

/// A text, or both sides of a pair.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    title: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    query: String,
    #[serde(default)]
    passage: String,
}

#[derive(Serialize)]
struct Answer {
    texts: usize,
    cached_tokens: usize,
    latents: usize,
    active: usize,
    steps: u64,
    tokens: u64,
    held_out_tokens: usize,
    explained_variance: f64,
    l0: f64,
    unused: f64,
    dead: f64,
    first_loss: f32,
    last_loss: f32,
    seconds: f64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let begun = Instant::now();
    let mut bar = Bar::new();
    let lines: Vec<Line> = read_lines(
        &arguments.texts,
        "an object with `text`, or with `query` and `passage`",
    )?;
    let whole: Vec<String> = lines
        .iter()
        .map(|line| join(&line.title, &line.text))
        .collect();
    let mut numbered = Numbered::default();
    for (line, text) in lines.iter().zip(&whole) {
        for (text, kind) in [
            (text, TextKind::Document),
            (&line.query, TextKind::Query),
            (&line.passage, TextKind::Document),
        ] {
            if !text.is_empty() {
                numbered.number(text, kind);
            }
        }
    }
    if numbered.texts.is_empty() {
        return Err(Error::invalid(
            arguments.texts.display().to_string(),
            "texts",
            "none",
        ));
    }
    create(&arguments.out)?;
    let backbone_path = std::path::absolute(&arguments.model)
        .map_err(|error| Error::io("find", &arguments.model, error))?;
    let mut description = Description::new(backbone_path.to_string_lossy());
    description.layer = arguments.layer;
    description.drop_special_tokens = arguments.drop_special_tokens;
    let backbone = arguments.pass.open(&arguments.model, Some(&description))?;
    let cache = arguments.pass.cache(
        &backbone,
        &numbered.texts,
        arguments.drop_special_tokens,
        &arguments.out,
        &mut bar,
    )?;
    let options = AutoencoderOptions {
        latents: arguments.latents,
        active: arguments.active,
        epochs: arguments.epochs,
        batch: arguments.batch,
        rate: arguments.rate,
        start: if arguments.random_start {
            Start::Random
        } else {
            Start::Tokens
        },
        center: if arguments.mean {
            Center::Mean
        } else {
            Center::Median
        },
        threads: arguments.pass.threads,
        seed: arguments.seed,
        checkpoint: Some(arguments.out.join("training.safetensors")),
        ..AutoencoderOptions::default()
    };
    let (learned, report) =
        train_autoencoder(&cache, &options, &mut Progress::new(&mut bar.report()))?;
    let found = Answer {
        texts: cache.texts(),
        cached_tokens: cache.tokens(),
        latents: arguments.latents,
        active: arguments.active,
        steps: report.steps,
        tokens: report.tokens,
        held_out_tokens: report.held_out_tokens,
        explained_variance: report.explained_variance,
        l0: report.l0,
        unused: report.unused,
        dead: report.dead,
        first_loss: report.losses.first().copied().unwrap_or(0.0),
        last_loss: report.losses.last().copied().unwrap_or(0.0),
        seconds: begun.elapsed().as_secs_f64(),
    };
    description.notes = serde_json::to_value(&found).ok();
    debug_assert_eq!(backbone.width(), learned.width);
    description.write(&arguments.out, &learned.into_autoencoder()?)?;
    bar.clear();
    answer(&found, arguments.json, || {
        format!(
            "{} latents over {} tokens of {} texts, {} steps in {:.0} s\nexplained variance {:.4}, l0 {:.2} (on {} held-out tokens)\ndead at the end {:.2}%, unused by held-out tokens {:.2}%",
            found.latents,
            found.cached_tokens,
            found.texts,
            found.steps,
            found.seconds,
            found.explained_variance,
            found.l0,
            found.held_out_tokens,
            found.dead * 100.0,
            found.unused * 100.0
        )
    })
}

fn join(title: &str, text: &str) -> String {
    if title.is_empty() {
        text.to_owned()
    } else {
        format!("{title} {text}")
    }
}

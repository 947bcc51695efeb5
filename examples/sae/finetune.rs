//! `finetune`: towards ranking.

use std::{path::PathBuf, time::Instant};

use clap::{Args, ValueEnum};
use serde::Serialize;
use sparsely::{
    Error, Progress, Result,
    encode::sae::{Activation, Autoencoder, AutoencoderParts, Description, TextKind},
    train::sae::{Distillation, Example, RankingOptions, tune_for_ranking},
};

use crate::{
    hidden::{Numbered, Pass, create},
    pairs,
    print::{Bar, answer},
};

/// Arguments of `finetune`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A folder with sae.json
    #[arg(value_name = "DIR")]
    model: PathBuf,

    /// One object per line, with `query`, `passage`, perhaps `negatives` and a teacher's `scores`
    #[arg(value_name = "PAIRS.jsonl")]
    pairs: PathBuf,

    /// Where the tuned model goes [default: DIR-tuned]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Queries of a step
    #[arg(long, default_value_t = 32, value_name = "N")]
    batch: usize,

    /// Passes over the pairs
    #[arg(long, default_value_t = 1, value_name = "N")]
    epochs: u32,

    /// The highest learning rate
    #[arg(long, default_value_t = 3e-4, value_name = "RATE")]
    rate: f32,

    /// By what scores are divided before the softmax
    #[arg(long, default_value_t = 20.0, value_name = "T")]
    temperature: f32,

    /// What of a teacher's scores is imitated
    #[arg(long, value_enum, default_value_t = Loss::Kl)]
    loss: Loss,

    /// Weight of telling a query's passage from the others of its batch
    #[arg(long, default_value_t = 1.0, value_name = "WEIGHT")]
    contrast: f32,

    /// Weight of the backbone's own mean-pooled cosines as a teacher, for backbones trained for them
    #[arg(long, default_value_t = 0.0, value_name = "WEIGHT")]
    pooled: f32,

    /// Latents of a token from now on, for a TopK autoencoder [default: as it is]
    #[arg(long, value_name = "K")]
    active: Option<usize>,

    /// Leave out tokens that the tokenizer adds around a text, from now on
    #[arg(long)]
    drop_special_tokens: bool,

    /// Weight of FLOPS for queries
    #[arg(long, default_value_t = 1e-4, value_name = "WEIGHT")]
    flops_query: f32,

    /// Weight of FLOPS for passages
    #[arg(long, default_value_t = 1e-4, value_name = "WEIGHT")]
    flops_passage: f32,

    /// Negatives of a pair that are used
    #[arg(long, default_value_t = 8, value_name = "N")]
    negatives: usize,

    /// Share of the pairs, the last ones, that are ranked instead of learned from
    #[arg(long, default_value_t = 0.05, value_name = "SHARE")]
    held_out: f32,

    /// Steps between checkpoints, and between measurements
    #[arg(long, default_value_t = 50, value_name = "N")]
    every: u64,

    /// Decides every random choice
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,

    #[command(flatten)]
    pass: Pass,

    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Loss {
    /// The softmax of its scores
    Kl,
    /// The differences of its scores
    MarginMse,
}

#[derive(Serialize)]
struct Answer {
    pairs: usize,
    taught: usize,
    cached_tokens: usize,
    steps: u64,
    first_loss: f32,
    last_loss: f32,
    /// Step, nDCG@10 of what is held out, latents of a query, of a passage.
    measured: Vec<(u64, f64, f64, f64)>,
    /// The step whose weights were kept.
    kept: u64,
    seconds: f64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let begun = Instant::now();
    let mut bar = Bar::new();
    let mut description = Description::read(&arguments.model)?;
    let out = arguments.out.clone().unwrap_or_else(|| {
        let mut name = arguments.model.as_os_str().to_owned();
        name.push("-tuned");
        name.into()
    });
    let lines = pairs::read(&arguments.pairs)?;
    let mut numbered = Numbered::default();
    // As a training numbers them, so that it can leave its hidden states: negatives that are no
    // other query's passage come last.
    for line in &lines {
        numbered.number(&line.query, TextKind::Query);
        numbered.number(&line.passage, TextKind::Document);
    }
    let mut examples = Vec::with_capacity(lines.len());
    for (number, line) in lines.iter().enumerate() {
        let query = numbered.number(&line.query, TextKind::Query);
        let candidates = std::iter::once(&line.passage)
            .chain(&line.negatives)
            .map(|text| numbered.number(text, TextKind::Document))
            .collect();
        if line
            .scores
            .as_ref()
            .is_some_and(|scores| scores.len() != line.negatives.len() + 1)
        {
            return Err(Error::invalid(
                format!(
                    "scores of line {} of {}",
                    number + 1,
                    arguments.pairs.display()
                ),
                format!(
                    "{}: of the passage and of each negative",
                    line.negatives.len() + 1
                ),
                line.scores.as_ref().map_or(0, Vec::len).to_string(),
            ));
        }
        examples.push(Example {
            query,
            candidates,
            teacher: line.scores.clone(),
        });
    }
    if examples.is_empty() {
        return Err(Error::invalid(
            arguments.pairs.display().to_string(),
            "pairs",
            "none",
        ));
    }
    let autoencoder = with_active(Autoencoder::open(&arguments.model)?, arguments.active)?;
    let backbone = arguments.pass.open(
        &description.backbone_in(&arguments.model),
        Some(&description),
    )?;
    create(&out)?;
    description.drop_special_tokens |= arguments.drop_special_tokens;
    let cache = arguments.pass.cache(
        &backbone,
        &numbered.texts,
        description.drop_special_tokens,
        &out,
        &mut bar,
    )?;
    let options = RankingOptions {
        batch: arguments.batch,
        epochs: arguments.epochs,
        rate: arguments.rate,
        temperature: arguments.temperature,
        distillation: match arguments.loss {
            Loss::Kl => Distillation::Divergence,
            Loss::MarginMse => Distillation::Margins,
        },
        contrast: arguments.contrast,
        pooled: arguments.pooled,
        flops: (arguments.flops_query, arguments.flops_passage),
        negatives: arguments.negatives,
        held_out: arguments.held_out,
        threads: arguments.pass.threads,
        seed: arguments.seed,
        checkpoint: Some(out.join("tuning.safetensors")),
        checkpoint_every: arguments.every,
        ..RankingOptions::default()
    };
    let (tuned, report) = tune_for_ranking(
        &autoencoder,
        &cache,
        &examples,
        &options,
        &mut Progress::new(&mut bar.report()),
    )?;
    let found = Answer {
        pairs: examples.len(),
        taught: lines.iter().filter(|line| line.scores.is_some()).count(),
        cached_tokens: cache.tokens(),
        steps: report.steps,
        first_loss: report.losses.first().copied().unwrap_or(0.0),
        last_loss: report.losses.last().copied().unwrap_or(0.0),
        measured: report
            .measured
            .iter()
            .map(|(step, ranked)| (*step, ranked.ndcg_at_10, ranked.latents.0, ranked.latents.1))
            .collect(),
        kept: report.kept,
        seconds: begun.elapsed().as_secs_f64(),
    };
    let backbone = description.backbone_in(&arguments.model);
    let backbone =
        std::path::absolute(&backbone).map_err(|error| Error::io("find", &backbone, error))?;
    description.backbone = backbone.to_string_lossy().into_owned();
    description.notes = serde_json::to_value(&found).ok();
    // Labels name what latents were before; they moved a little, and the file stays where it is.
    description.labels = None;
    description.write(&out, &tuned)?;
    bar.clear();
    answer(&found, arguments.json, || {
        let mut text = format!(
            "{} pairs, {} with a teacher's scores, {} steps in {:.0} s: loss {:.4} to {:.4}",
            found.pairs,
            found.taught,
            found.steps,
            found.seconds,
            found.first_loss,
            found.last_loss
        );
        for (step, ndcg, query, passage) in &found.measured {
            text += &format!(
                "\nstep {step}: nDCG@10 of held-out pairs {ndcg:.4}; {query:.0} latents a query, {passage:.0} a passage"
            );
        }
        text + &format!("\nkept: step {}", found.kept)
    })
}

/// The same with other `k`.
fn with_active(autoencoder: Autoencoder, active: Option<usize>) -> Result<Autoencoder> {
    let Some(active) = active else {
        return Ok(autoencoder);
    };
    if !matches!(autoencoder.activation(), Activation::TopK(_)) {
        return Err(Error::invalid(
            "--active",
            "an autoencoder whose activation is TopK",
            format!("{:?}", autoencoder.activation()),
        ));
    }
    Autoencoder::from_parts(AutoencoderParts {
        activation: Activation::TopK(active),
        ..autoencoder.to_parts()
    })
}

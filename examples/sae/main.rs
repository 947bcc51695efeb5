//! Trains a sparse autoencoder over a backbone, tunes it for ranking, encodes with it, and shows what
//! its latents mean.
//!
//! ```text
//! sae pairs PATH... --out PAIRS.jsonl
//! sae train MODEL_DIR FILE.jsonl --latents N --out DIR
//! sae mine DIR PAIRS.jsonl --out MINED.jsonl
//! sae finetune DIR PAIRS.jsonl --out DIR
//! sae encode DIR FILE.jsonl --out vectors.csr
//! sae latents DIR INDEX [--latent ID | --key KEY | --text TEXT]
//! ```
//!
//! Each takes `--json`. The answer goes to standard output, progress to standard error. Exits with 1
//! on failure and 2 on wrong use. Run it with the features `sae,onnx-dynamic`; `docs/sae.md` has the
//! files and the recipe.

mod encode;
mod finetune;
mod hidden;
mod latents;
mod mine;
mod pairs;
mod print;
mod train;

#[path = "../encode/output.rs"]
mod output;
#[path = "../encode/texts.rs"]
mod texts;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Sparse autoencoders for retrieval: training, tuning, encoding, looking inside.
#[derive(Debug, Parser)]
#[command(name = "sae", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes pairs of source files: comments and telling names are the queries
    Pairs(pairs::Arguments),
    /// Trains an autoencoder on the hidden states of a backbone
    Train(train::Arguments),
    /// Adds hard negatives to pairs, and a place for a teacher's scores
    Mine(mine::Arguments),
    /// Tunes the encoder for ranking
    Finetune(finetune::Arguments),
    /// Encodes texts
    Encode(encode::Arguments),
    /// Passages that fire a latent, and latents that a passage fires
    Latents(latents::Arguments),
}

fn main() -> ExitCode {
    let done = match &Arguments::parse().command {
        Command::Pairs(arguments) => pairs::run(arguments),
        Command::Train(arguments) => train::run(arguments),
        Command::Mine(arguments) => mine::run(arguments),
        Command::Finetune(arguments) => finetune::run(arguments),
        Command::Encode(arguments) => encode::run(arguments),
        Command::Latents(arguments) => latents::run(arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sae: {error}");
            ExitCode::FAILURE
        }
    }
}

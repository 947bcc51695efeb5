//! Builds and searches an index of vectors in the `.csr` format of the Big-ANN sparse track.
//!
//! ```text
//! vectors build DOCS.csr INDEX [--document-top N] [--threads T] [--json]
//! vectors search INDEX QUERIES.csr --top K [--query-top N] [--mode exact|approximate|exhaustive]
//!         [--recall 0.99] [--ground-truth FILE] [--run OUT.gt] [--limit Q] [--json]
//! vectors generate OUT.csr [--preset splade|sae] --documents N [--seed S] [--queries Q]
//! ```
//!
//! `generate` makes vectors for whoever has none; queries go beside the documents, as
//! `OUT-queries.csr`. A document's key is its row as 4 big-endian bytes. Exits with 1 on failure and 2 on wrong use.

mod build;
mod generate;
#[path = "../../benches/generate/mod.rs"]
mod generator;
mod search;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand, ValueEnum};

/// Builds and searches an index of sparse vectors in .csr files.
#[derive(Debug, Parser)]
#[command(name = "vectors", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes a new index of the vectors of a file
    Build(BuildArguments),
    /// Runs queries, one at a time on one thread, and measures them
    Search(SearchArguments),
    /// Makes documents and queries that behave like learned sparse vectors
    Generate(GenerateArguments),
}

#[derive(Debug, clap::Args)]
struct BuildArguments {
    /// The documents
    #[arg(value_name = "DOCS.csr")]
    documents: PathBuf,
    /// A folder that is not there yet
    #[arg(value_name = "INDEX")]
    index: PathBuf,
    /// Keep the N heaviest terms of each document
    #[arg(long, value_name = "N")]
    document_top: Option<usize>,
    /// Threads for ordering and writing
    #[arg(long, value_name = "T", default_value_t = 1)]
    threads: usize,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct SearchArguments {
    /// An index that `build` made
    #[arg(value_name = "INDEX")]
    index: PathBuf,
    /// The queries
    #[arg(value_name = "QUERIES.csr")]
    queries: PathBuf,
    /// Results a query
    #[arg(long, value_name = "K")]
    top: usize,
    /// Keep the N heaviest terms of each query
    #[arg(long, value_name = "N")]
    query_top: Option<usize>,
    /// How sure the answer must be
    #[arg(long, value_enum, default_value_t = ModeName::Exact)]
    mode: ModeName,
    /// The share of true results that approximate search aims at
    #[arg(long, value_name = "SHARE", default_value_t = 0.99)]
    recall: f32,
    /// True results, to measure recall against
    #[arg(long, value_name = "FILE")]
    ground_truth: Option<PathBuf>,
    /// Where to write what was found, in the format of a ground truth
    #[arg(long, value_name = "OUT.gt")]
    run: Option<PathBuf>,
    /// The first Q queries only
    #[arg(long, value_name = "Q")]
    limit: Option<usize>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct GenerateArguments {
    /// Where the documents go
    #[arg(value_name = "OUT.csr")]
    out: PathBuf,
    /// What the vectors are to look like
    #[arg(long, value_enum, default_value_t = PresetName::Splade)]
    preset: PresetName,
    /// How many documents
    #[arg(long, value_name = "N")]
    documents: u64,
    /// The same seed makes the same vectors
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// How many queries to write beside them, as OUT-queries.csr
    #[arg(long, value_name = "Q")]
    queries: Option<u64>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PresetName {
    /// 30,522 terms, about 130 a document and 44 a query
    Splade,
    /// Latents of a sparse autoencoder: 131,072 terms, about 400 a document and 40 a query
    Sae,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ModeName {
    Exact,
    Approximate,
    Exhaustive,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Build(arguments) => build::run(&arguments),
        Command::Search(arguments) => search::run(&arguments),
        Command::Generate(arguments) => generate::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vectors: {error}");
            ExitCode::FAILURE
        }
    }
}

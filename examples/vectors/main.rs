//! Builds and searches an index of vectors in the `.csr` format of the Big-ANN sparse track.
//!
//! ```text
//! vectors build DOCS.csr INDEX [--document-top N [--full]] [--threads T] [--memory M]
//!         [--windows | --lists] [--calibration-queries FILE.csr] [--tenants N [--by-tenant]] [--json]
//! vectors search INDEX QUERIES.csr --top K [--query-top N [--rescore C]] [--flat]
//!         [--mode exact|approximate|exhaustive] [--recall 0.99 | --blocks N] [--threads T]
//!         [--tenant V] [--copied] [--instructions SET] [--beside INDEX] [--ground-truth FILE] [--run OUT.gt]
//!         [--limit Q] [--rounds R] [--times FILE] [--json]
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

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, Subcommand, ValueEnum};
use peak_alloc::PeakAlloc;

/// Counts what is allocated: mapped pages of files, which a system takes back when it needs them, are
/// part of the resident size.
#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

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
    /// Keep whole vectors beside the heaviest terms, for rescoring
    #[arg(long, requires = "document_top")]
    full: bool,
    /// Give each document the field `tenant`, its row modulo N
    #[arg(long, value_name = "N")]
    tenants: Option<u32>,
    /// Lay documents of one tenant together
    #[arg(long, requires = "tenants")]
    by_tenant: bool,
    /// Keep lists by term only, as small segments have them: what blocks are measured against
    #[arg(long, conflicts_with = "lists")]
    windows: bool,
    /// Keep lists by term beside the blocks, which bound the time of queries that blocks do not suit
    #[arg(long)]
    lists: bool,
    /// Queries to calibrate approximate search with; without them documents stand in
    #[arg(long, value_name = "FILE.csr")]
    calibration_queries: Option<PathBuf>,
    /// Threads for ordering and writing
    #[arg(long, value_name = "T", default_value_t = 1)]
    threads: usize,
    /// Memory for building, in MiB
    #[arg(long, value_name = "M")]
    memory: Option<usize>,
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
    /// Give all terms of a query one weight, as decoders without pruning nearly do
    #[arg(long)]
    flat: bool,
    /// Rank the best C by the whole query and, where kept, the whole vectors
    #[arg(long, value_name = "C")]
    rescore: Option<usize>,
    /// How sure the answer must be
    #[arg(long, value_enum, default_value_t = ModeName::Exact)]
    mode: ModeName,
    /// The share of true results that approximate search aims at
    #[arg(long, value_name = "SHARE", default_value_t = 0.99)]
    recall: f32,
    /// Score at most N blocks instead of aiming at a recall
    #[arg(long, value_name = "N", conflicts_with = "recall")]
    blocks: Option<u32>,
    /// Read the index into memory instead of mapping its files
    #[arg(long)]
    copied: bool,
    /// Search with these instructions instead of the best that the processor has
    #[arg(long, value_enum, value_name = "SET")]
    instructions: Option<InstructionsName>,
    /// Another index of the same documents, or a copy (the same files would be warm from the turn
    /// before): search it by turns with the best instructions, compare the answers, and say how the
    /// times relate
    #[arg(long, value_name = "INDEX")]
    beside: Option<PathBuf>,
    /// Search the documents of one tenant only
    #[arg(long, value_name = "V")]
    tenant: Option<u32>,
    /// Also answer all queries as one batch on T threads, and say how long that took
    #[arg(long, value_name = "T")]
    threads: Option<usize>,
    /// True results, to measure recall against
    #[arg(long, value_name = "FILE")]
    ground_truth: Option<PathBuf>,
    /// Where to write what was found, in the format of a ground truth
    #[arg(long, value_name = "OUT.gt")]
    run: Option<PathBuf>,
    /// The first Q queries only
    #[arg(long, value_name = "Q")]
    limit: Option<usize>,
    /// How often to go over all queries; the least time of each counts
    #[arg(long, value_name = "R", default_value_t = 1)]
    rounds: usize,
    /// Where to write the microseconds of each query, as a list in JSON
    #[arg(long, value_name = "FILE")]
    times: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum InstructionsName {
    Portable,
    Avx2,
    Avx512,
    Neon,
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
    let said = done.map_err(|error| error.to_string()).and_then(|said| {
        match writeln!(io::stdout(), "{said}") {
            // A reader that has seen enough is no failure.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(format!("cannot write the output: {error}"))
            }
            _ => Ok(()),
        }
    });
    match said {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vectors: {error}");
            ExitCode::FAILURE
        }
    }
}

//! Trains a table for the static encoder, on a team's own code or on pairs.
//!
//! ```text
//! train_static tree PATH... --out TABLE [--base TABLE] [--threads N] [--seed N] [--json]
//! train_static pairs FILE.jsonl --out TABLE [--base TABLE] ...
//! train_static collection PATH... --out DIR
//! ```
//!
//! Exits with 1 on failure and 2 on wrong use.

mod collection;
mod pairs;
mod report;

use std::{
    io::{self, Write},
    num::NonZero,
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use sparsely::{
    Error, Progress, Result, StaticTable, Step,
    train::{Corpus, Options, save, train},
};

/// Trains a table for the static encoder: which words of code stand for which words of questions.
#[derive(Debug, Parser)]
#[command(name = "train_static", version)]
struct Arguments {
    #[command(subcommand)]
    source: Source,
}

#[derive(Debug, Subcommand)]
enum Source {
    /// Learns from source files: comments and telling names are the queries
    Tree {
        /// Folders or files; each is a group, a single folder is as many as it has folders
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,

        #[command(flatten)]
        how: How,
    },
    /// Learns from lines of JSON: {"query": ..., "passage": ..., "group": ...}, the group optional
    Pairs {
        #[arg(value_name = "FILE.jsonl")]
        file: PathBuf,

        #[command(flatten)]
        how: How,
    },
    /// Makes a collection for `evaluate` of code that was kept out: functions and their comments
    Collection {
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,

        /// The folder to write it to
        #[arg(long, value_name = "DIR")]
        out: PathBuf,

        /// At most so many of the comments are queries
        #[arg(long, default_value_t = 2_000, value_name = "N")]
        queries: usize,
    },
}

#[derive(Debug, Args)]
struct How {
    /// Where to write the table
    #[arg(long, value_name = "TABLE")]
    out: PathBuf,

    /// A table to start from
    #[arg(long, value_name = "TABLE")]
    base: Option<PathBuf>,

    /// Threads to work on; the table does not depend on them
    #[arg(long, default_value_t = NonZero::<usize>::MIN, value_name = "N")]
    threads: NonZero<usize>,

    /// Decides every random choice
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,

    /// Passes over the pairs
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,

    /// Learn from at most so many described pairs; the largest groups give up theirs first
    #[arg(long, default_value_t = 400_000, value_name = "N")]
    pairs: usize,

    /// Leave the table as far as it is here, ten times a pass
    #[arg(long, value_name = "TABLE")]
    checkpoint: Option<PathBuf>,

    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments.source).and_then(|text| print(&text)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("train_static: {error}");
            ExitCode::FAILURE
        }
    }
}

fn print(text: &str) -> Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::io("write", "standard output", error))
        }
        _ => Ok(()),
    }
}

fn run(source: &Source) -> Result<String> {
    let bar = ProgressBar::new(0).with_style(
        ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let mut show = |step: Step| {
        bar.set_message(step.stage);
        bar.set_length(step.total);
        bar.set_position(step.done);
        ControlFlow::Continue(())
    };
    let mut progress = Progress::new(&mut show);
    let text = match source {
        Source::Tree { paths, how } => learn(how, &mut progress, |progress| {
            read_trees(paths, how.threads.get(), progress)
        }),
        Source::Pairs { file, how } => {
            learn(how, &mut progress, |progress| pairs::read(file, progress))
        }
        Source::Collection {
            paths,
            out,
            queries,
        } => collection::write(paths, out, *queries, &mut progress),
    };
    bar.finish_and_clear();
    text
}

/// Trains on what `read` reads, writes the table and tells what was done.
fn learn(
    how: &How,
    progress: &mut Progress<'_>,
    read: impl FnOnce(&mut Progress<'_>) -> Result<Corpus>,
) -> Result<String> {
    let begun = Instant::now();
    // Before the work, so that a wrong place costs nothing.
    for place in [Some(&how.out), how.checkpoint.as_ref()] {
        place.map_or(Ok(()), |place| can_be_written(place))?;
    }
    let options = Options {
        threads: how.threads.get(),
        seed: how.seed,
        epochs: how.epochs,
        pairs: how.pairs,
        base: how.base.as_ref().map(StaticTable::open).transpose()?,
        checkpoint: how.checkpoint.clone(),
        ..Options::default()
    };
    let corpus = read(progress)?;
    let counts = corpus.counts().clone();
    let (table, report) = train(corpus, &options, progress)?;
    save(&table, &how.out)?;
    let summary = report::Summary {
        counts: &counts,
        report: &report,
        table: &table,
        seconds: begun.elapsed().as_secs_f64(),
    };
    Ok(if how.json {
        summary.to_json()
    } else {
        summary.to_string()
    })
}

fn can_be_written(file: &Path) -> Result<()> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let is_folder = folder == Path::new("") || folder.is_dir();
    match (is_folder, file.is_dir()) {
        (true, false) => Ok(()),
        (true, true) => Err(Error::invalid(
            file.display().to_string(),
            "the name of a file to write a table to",
            "a folder",
        )),
        (false, _) => Err(Error::invalid(
            file.display().to_string(),
            "a file in a folder that is there",
            "no such folder",
        )),
    }
}

fn read_trees(paths: &[PathBuf], threads: usize, progress: &mut Progress<'_>) -> Result<Corpus> {
    let mut corpus = Corpus::new();
    for path in groups(paths)? {
        corpus.add_tree(&path.to_string_lossy(), &path, threads, progress)?;
    }
    Ok(corpus)
}

/// A single folder's folders and files are its groups: what is said in several of them counts.
fn groups(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let [only] = paths else {
        return Ok(paths.to_vec());
    };
    if !only.is_dir() {
        return Ok(paths.to_vec());
    }
    let fail = |error| Error::io("list", only, error);
    let mut inside = Vec::new();
    for entry in std::fs::read_dir(only).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        if !entry.file_name().to_string_lossy().starts_with('.') && is_read(&entry.path()) {
            inside.push(entry.path());
        }
    }
    inside.sort_unstable();
    Ok(inside)
}

fn is_read(path: &Path) -> bool {
    path.is_file() || path.is_dir() && !path.is_symlink()
}

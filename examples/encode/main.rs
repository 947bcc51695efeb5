//! Encodes a file of texts with a model directory, or measures how fast that goes.
//!
//! ```text
//! encode MODEL_DIR FILE.jsonl --out vectors.jsonl|vectors.csr|DIR.idx [--top N] [--threads N] [--sessions N]
//!        [--engine onnx|native] [--device cpu|cuda|…] [--windows OVERLAP] [--limit N] [--queries] [--compare DEVICE] [--json]
//! ```
//!
//! Lines of the file are objects with `_id` or `id`, `text`, and perhaps `title`, as in BEIR. An
//! output that ends in `.idx` is an index: it is committed every few thousand texts, and texts whose
//! key it has already are left out, so that a run that was stopped goes on where it stood. The
//! answer goes to standard output, progress to standard error. Exits with 1 on failure, also when two
//! devices that are compared disagree, and 2 on
//! wrong use.
//!
//! Run it with the feature `native`, and with `onnx-dynamic` as well for models that have a graph;
//! `docs/models.md` says how to get a model and the runtime.

mod model;
mod output;
mod texts;

use std::{
    io::{self, IsTerminal, Write},
    ops::ControlFlow,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use sparsely::{Error, Progress, Result, SparseVector, encode::Tally};

use crate::{
    model::{Engine, Model, Settings},
    output::Output,
    texts::Texts,
};

/// Encodes texts with a model directory.
#[derive(Debug, Parser)]
#[command(name = "encode", version)]
struct Arguments {
    /// A folder with a model: see docs/models.md
    #[arg(value_name = "MODEL_DIR")]
    model: PathBuf,

    /// One object per line, with `_id` or `id`, `text`, and perhaps `title`
    #[arg(value_name = "FILE.jsonl")]
    texts: PathBuf,

    /// Where vectors go: a file ending in .jsonl or .csr, or an index ending in .idx
    #[arg(long, value_name = "PATH", required_unless_present = "compare", value_parser = known_ending)]
    out: Option<PathBuf>,

    /// Terms to keep of each text [default: what the model says, mostly all]
    #[arg(long, value_name = "N")]
    top: Option<usize>,

    /// Threads of one run of the model
    #[arg(long, default_value_t = 1, value_name = "N")]
    threads: usize,

    /// Copies of the model that run beside each other
    #[arg(long, default_value_t = 1, value_name = "N")]
    sessions: usize,

    /// Tokens of one run, filling included [default: 512, or 16384 off the processor]
    #[arg(long, value_name = "N")]
    batch_tokens: Option<usize>,

    /// Where the model runs: cpu, cuda[:N], tensorrt[:N], coreml, directml[:N] or auto
    #[arg(long, default_value = "cpu")]
    device: String,

    /// What runs the model [default: its graph, or its weights where it has no graph]
    #[arg(long, value_enum)]
    engine: Option<Engine>,

    /// Cut longer texts into windows that share this many tokens, instead of dropping their end
    #[arg(long, value_name = "OVERLAP")]
    windows: Option<usize>,

    /// Encode the texts as queries
    #[arg(long, conflicts_with = "compare")]
    queries: bool,

    /// Only the first N texts
    #[arg(long, value_name = "N")]
    limit: Option<usize>,

    /// Instead of writing: encode on --device and on this one, compare vectors and speed
    #[arg(long, value_name = "DEVICE", conflicts_with = "out")]
    compare: Option<String>,

    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

/// What a run did.
#[derive(Debug, Default, Serialize)]
struct Summary {
    device: String,
    texts: u64,
    tokens: u64,
    seconds: f64,
    texts_per_second: f64,
    tokens_per_second: f64,
    mean_nnz: f64,
    truncated: u64,
    lost_tokens: u64,
    padding_terms: u32,
    fingerprint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    compared: Option<Comparison>,
}

/// How another device did.
#[derive(Debug, Serialize)]
struct Comparison {
    device: String,
    texts_per_second: f64,
    largest_difference: f32,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments).and_then(|summary| print(&summary, arguments.json)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("encode: {error}");
            ExitCode::FAILURE
        }
    }
}

fn known_ending(path: &str) -> std::result::Result<PathBuf, String> {
    let path = PathBuf::from(path);
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("jsonl" | "csr" | "idx") => Ok(path),
        _ => Err("expected a path that ends in .jsonl, .csr or .idx".to_owned()),
    }
}

fn open(arguments: &Arguments, device: &str) -> Result<Model> {
    let settings = Settings {
        engine: arguments.engine,
        device,
        threads: arguments.threads,
        sessions: arguments.sessions,
        batch_tokens: arguments.batch_tokens,
        top: arguments.top,
        windows: arguments.windows,
    };
    Model::open(&arguments.model, settings)
}

fn run(arguments: &Arguments) -> Result<Summary> {
    let model = open(arguments, &arguments.device)?;
    let encoder = model.encoder();
    if let Some(other) = &arguments.compare {
        return compare(arguments, &model, other);
    }
    let Some(out) = &arguments.out else {
        return Err(Error::invalid("--out", "a path", "none"));
    };
    let texts = Texts::open(&arguments.texts, arguments.limit)?;
    let mut output = Output::create(out, encoder)?;
    let begun = Instant::now();
    let bar = Bar::new(texts.len());
    let mut nnz = 0;
    let mut write = |id: String, text: String, vector: SparseVector| {
        nnz += vector.len();
        output.write(&id, text, vector)
    };
    if arguments.queries {
        for entry in texts {
            let (id, text) = entry?;
            let vector = encoder.encode_query(&text)?;
            write(id, text, vector)?;
            bar.step();
        }
    } else {
        let known = Output::known(out)?;
        let fresh = texts.filter(|entry| match entry {
            Ok((id, _)) => !known.contains(id),
            Err(_) => true,
        });
        let entries = fresh.map(|entry| entry.map(|(id, text)| ((id, text.clone()), text)));
        let mut report = |step: sparsely::Step| {
            bar.set(step.done + u64::try_from(known.len()).unwrap_or(0));
            ControlFlow::Continue(())
        };
        model.encode_stream(
            entries,
            &mut Progress::new(&mut report),
            |(id, text), vector| write(id, text, vector),
        )?;
    }
    output.finish()?;
    bar.clear();
    Ok(summary(&model, Tally::default(), begun.elapsed(), nnz))
}

/// What was done since the encoder's tally stood at `before`.
fn summary(model: &Model, before: Tally, took: Duration, nnz: usize) -> Summary {
    let mut tally = model.tally();
    tally.texts -= before.texts;
    tally.tokens -= before.tokens;
    tally.truncated -= before.truncated;
    tally.lost_tokens -= before.lost_tokens;
    let seconds = took.as_secs_f64();
    let per_second = |count: u64| ratio(count, seconds);
    Summary {
        device: model.device(),
        texts: tally.texts,
        tokens: tally.tokens,
        seconds,
        texts_per_second: per_second(tally.texts),
        tokens_per_second: per_second(tally.tokens),
        mean_nnz: ratio(nnz as u64, tally.texts as f64),
        truncated: tally.truncated,
        lost_tokens: tally.lost_tokens,
        padding_terms: model.padding_terms(),
        fingerprint: model.encoder().fingerprint().to_string(),
        compared: None,
    }
}

fn ratio(count: u64, of: f64) -> f64 {
    if of > 0.0 { count as f64 / of } else { 0.0 }
}

/// Weights on two devices may differ by this: some multiply in fewer bits than others.
const TOLERANCE: f32 = 0.01;

/// Encodes the same texts on two devices, which have to agree.
fn compare(arguments: &Arguments, model: &Model, other: &str) -> Result<Summary> {
    let second = open(arguments, other)?;
    let texts: Vec<String> = Texts::open(&arguments.texts, arguments.limit)?
        .map(|entry| entry.map(|(_, text)| text))
        .collect::<Result<_>>()?;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let time = |model: &Model| -> Result<(Vec<SparseVector>, Duration, Tally)> {
        let encoder = model.encoder();
        // The first run of a shape makes kernels ready.
        encoder.encode_documents(&texts[..texts.len().min(4)])?;
        let before = model.tally();
        let begun = Instant::now();
        Ok((encoder.encode_documents(&texts)?, begun.elapsed(), before))
    };
    let (vectors, took, before) = time(model)?;
    let (others, others_took, _) = time(&second)?;
    let largest_difference = vectors
        .iter()
        .zip(&others)
        .map(|(one, two)| difference(one, two).max(difference(two, one)))
        .fold(0.0, f32::max);
    if largest_difference > TOLERANCE {
        return Err(Error::invalid(
            format!("weights on {} and on {}", model.device(), second.device()),
            format!("to differ by at most {TOLERANCE}"),
            largest_difference.to_string(),
        ));
    }
    let nnz = vectors.iter().map(SparseVector::len).sum();
    let mut summary = summary(model, before, took, nnz);
    summary.compared = Some(Comparison {
        device: second.device(),
        texts_per_second: ratio(summary.texts, others_took.as_secs_f64()),
        largest_difference,
    });
    Ok(summary)
}

/// The largest amount by which a weight of `one` differs in `two`.
fn difference(one: &SparseVector, two: &SparseVector) -> f32 {
    one.iter()
        .map(|(term, weight)| (weight - two.weight(term).unwrap_or(0.0)).abs())
        .fold(0.0, f32::max)
}

fn print(summary: &Summary, json: bool) -> Result<()> {
    let text = if json {
        serde_json::to_string(summary).map_err(|error| {
            Error::invalid("the summary", "something to write", error.to_string())
        })?
    } else {
        let mut text = format!(
            "{} texts, {} tokens in {:.1} s on {}: {:.1} texts/s, {:.0} tokens/s; {:.0} terms a text; {} texts cut off",
            summary.texts,
            summary.tokens,
            summary.seconds,
            summary.device,
            summary.texts_per_second,
            summary.tokens_per_second,
            summary.mean_nnz,
            summary.truncated
        );
        if let Some(other) = &summary.compared {
            text += &format!(
                "\n{}: {:.1} texts/s; vectors differ by at most {:.1e}",
                other.device, other.texts_per_second, other.largest_difference
            );
        }
        text
    };
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| Error::io("write", "standard output", error)),
    }
}

/// A bar on a terminal, nothing elsewhere.
struct Bar(ProgressBar);

impl Bar {
    fn new(texts: u64) -> Bar {
        let bar = ProgressBar::new(texts);
        if !io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        if let Ok(style) =
            ProgressStyle::with_template("{bar:40} {pos}/{len} texts, {per_sec}, {eta} left")
        {
            bar.set_style(style);
        }
        Bar(bar)
    }

    fn step(&self) {
        self.0.inc(1);
    }

    fn set(&self, done: u64) {
        self.0.set_position(done);
    }

    fn clear(&self) {
        self.0.finish_and_clear();
    }
}

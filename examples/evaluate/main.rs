//! Measures how well an encoder finds: indexes a collection in BEIR's layout, runs its queries and
//! compares with its judgments.
//!
//! ```text
//! evaluate BEIR_DIR [--encoder lexical|static|MODEL_DIR] [--split NAME] [--top 1000] [--run FILE] [--json]
//! ```
//!
//! The answer goes to standard output, warnings to standard error. Exits with 1 on failure and 2 on
//! wrong use.

mod encoders;
mod report;

use std::{
    collections::HashSet,
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;
use sparsely::{
    Config, Document, Encoder, Error, Index, Query, Result, Scratch, Searcher, Snapshot,
    evaluate::{Collection, Judgments, Measure, Ranking, Run, Text},
};

use crate::{encoders::Choice, report::Report};

/// Measures an encoder on a collection in BEIR's layout: nDCG@10, MRR@10, recall.
#[derive(Debug, Parser)]
#[command(name = "evaluate", version)]
struct Arguments {
    /// A folder with corpus.jsonl, queries.jsonl, and qrels/NAME.tsv, qrels_NAME.tsv or qrels.tsv
    #[arg(value_name = "BEIR_DIR")]
    collection: PathBuf,

    /// lexical (code or prose told apart by document), lexical-code, lexical-text, static, or the
    /// folder of a model
    #[arg(long, default_value = "lexical")]
    encoder: Choice,

    /// Whose judgments to use [default: test, else all, else en, else the only ones]
    #[arg(long, value_name = "NAME")]
    split: Option<String>,

    /// How many documents to ask for
    #[arg(long, default_value_t = 1000, value_name = "K")]
    top: u32,

    /// Where to write what was found, as a TREC run file
    #[arg(long, value_name = "FILE")]
    run: Option<PathBuf>,

    /// Keep the index in this new folder [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    index: Option<PathBuf>,

    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match evaluate(&arguments).and_then(|report| print(&report, &arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("evaluate: {error}");
            ExitCode::FAILURE
        }
    }
}

fn print(report: &Report, arguments: &Arguments) -> Result<()> {
    let text = if arguments.json {
        report.to_json()
    } else {
        report.to_string()
    };
    match writeln!(io::stdout(), "{text}") {
        // Whoever reads has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| Error::io("write", "standard output", error)),
    }
}

fn evaluate(arguments: &Arguments) -> Result<Report> {
    let encoder = arguments.encoder.open()?;
    let collection = Collection::open(&arguments.collection)?;
    let split = choose_split(&collection, arguments.split.as_deref())?;
    let judgments = collection.judgments(&split)?;
    // Before the work, so that a wrong place costs nothing.
    let run_file = arguments.run.as_deref().map(create).transpose()?;

    let temporary = tempfile::tempdir().map_err(|error| Error::io("create", "index", error))?;
    let place = match &arguments.index {
        Some(place) => place.clone(),
        None => temporary.path().join("index"),
    };
    let begun = Instant::now();
    let (snapshot, keys) = build(&collection, &*encoder, &place)?;
    let index_seconds = begun.elapsed().as_secs_f64();

    let (run, times) = search(&collection, &judgments, &*encoder, &snapshot, arguments.top)?;
    warn(&judgments, &run, &keys);
    if let (Some(file), Some(path)) = (run_file, &arguments.run) {
        run.write_trec(
            BufWriter::new(file),
            "sparsely",
            &path.display().to_string(),
        )?;
    }
    let mean = |measure: Measure| measure.mean(&run, &judgments);
    Ok(Report {
        collection: arguments.collection.display().to_string(),
        split,
        encoder: encoder.fingerprint().to_string(),
        documents: snapshot.document_count(),
        queries: times.len(),
        ndcg_at_10: mean(Measure::Ndcg(10)),
        mrr_at_10: mean(Measure::ReciprocalRank(10)),
        map: mean(Measure::AveragePrecision),
        recall_at_100: mean(Measure::Recall(100)),
        recall_at_1000: mean(Measure::Recall(1000)),
        index_seconds,
        query_p50_us: median_us(times),
        bytes: size(&place)?,
    })
}

fn create(path: &Path) -> Result<File> {
    File::create(path).map_err(|error| Error::io("create", path, error))
}

fn choose_split(collection: &Collection, named: Option<&str>) -> Result<String> {
    let split = named.or_else(|| collection.default_split());
    split.map(str::to_owned).ok_or_else(|| {
        let splits: Vec<&str> = collection.splits().collect();
        Error::invalid("--split", format!("one of {}", splits.join(", ")), "none")
    })
}

fn build(
    collection: &Collection,
    encoder: &dyn Encoder,
    place: &Path,
) -> Result<(Snapshot, HashSet<String>)> {
    let index = Index::create(place, Config::for_encoder(encoder))?;
    let mut writer = index.writer()?;
    let mut keys = HashSet::new();
    for document in collection.documents()? {
        let Text { id, text } = document?;
        writer.upsert(Document::from_text(encoder, id.as_str(), text)?)?;
        if !keys.insert(id.clone()) {
            eprintln!("evaluate: document {id:?} stands twice; the later one counts");
        }
    }
    writer.commit()?;
    Ok((index.snapshot()?, keys))
}

/// Runs the judged queries; returns what they found and how long each took, encoding included.
fn search(
    collection: &Collection,
    judgments: &Judgments,
    encoder: &dyn Encoder,
    snapshot: &Snapshot,
    top: u32,
) -> Result<(Run, Vec<Duration>)> {
    let mut run = Run::default();
    let mut times = Vec::new();
    let mut scratch = Scratch::new();
    let top = usize::try_from(top).unwrap_or(usize::MAX);
    for query in collection.queries()? {
        let Text { id, text } = query?;
        if judgments.grades(&id).is_none() {
            continue;
        }
        let begun = Instant::now();
        let vector = encoder.encode_query_for(&text, snapshot)?;
        let hits = snapshot.search_with(&Query::new(vector).top(top), &mut scratch)?;
        times.push(begun.elapsed());
        let scored = hits.iter().map(|hit| (hit.key().to_string(), hit.score()));
        run.insert(&id, Ranking::new(scored)?);
    }
    Ok((run, times))
}

/// Tells of judgments that nothing could have answered.
fn warn(judgments: &Judgments, run: &Run, keys: &HashSet<String>) {
    let missing = judgments
        .queries()
        .filter(|(query, _)| run.ranking(query).is_none());
    let missing = missing.count();
    if missing > 0 {
        eprintln!("evaluate: {missing} judged queries have no text; they count 0");
    }
    let judged = judgments.queries().flat_map(|(_, grades)| grades);
    let unknown: HashSet<&String> = judged
        .filter(|(document, grade)| **grade > 0 && !keys.contains(*document))
        .map(|(document, _)| document)
        .collect();
    if !unknown.is_empty() {
        let count = unknown.len();
        eprintln!(
            "evaluate: {count} relevant documents are not in the collection; they count as not found"
        );
    }
}

fn median_us(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    let median = times.get(times.len() / 2);
    median.map_or(0.0, |time| time.as_secs_f64() * 1e6)
}

fn size(dir: &Path) -> Result<u64> {
    let failed = |error| Error::io("list", dir, error);
    let mut bytes = 0;
    for entry in dir.read_dir().map_err(failed)? {
        let meta = entry.and_then(|entry| entry.metadata()).map_err(failed)?;
        bytes += if meta.is_file() { meta.len() } else { 0 };
    }
    Ok(bytes)
}

//! `vectors search`.

use std::{fs, path::Path, time::Instant};

use sparsely::{
    Approximation, Config, Error, Filter, Hits, Index, InstructionSet, Mode, Query, Result,
    Scratch, Searcher, Snapshot, SparseVector,
    interchange::{CsrFile, GroundTruth},
    storage::Reading,
};

use crate::{InstructionsName, ModeName, SearchArguments};

pub(crate) fn run(arguments: &SearchArguments) -> Result<String> {
    let reading = match arguments.copied {
        true => Reading::Copied,
        false => Reading::Mapped,
    };
    let snapshot = open(&arguments.index, reading)?;
    let file = CsrFile::open(&arguments.queries)?;
    let limit = arguments.limit.unwrap_or(usize::MAX);
    let queries: Vec<SparseVector> = file.vectors()?.take(limit).collect::<Result<_>>()?;
    let truth = arguments
        .ground_truth
        .as_ref()
        .map(GroundTruth::read)
        .transpose()?;
    let mode = match arguments.mode {
        ModeName::Exact => Mode::Exact,
        ModeName::Exhaustive => Mode::Exhaustive,
        ModeName::Approximate => Mode::Approximate(match arguments.blocks {
            Some(most) => Approximation::Blocks(most),
            None => Approximation::Recall(arguments.recall),
        }),
    };

    let scratch = match arguments.instructions {
        Some(name) => Scratch::with_instruction_set(instruction_set(name))?,
        None => Scratch::new(),
    };
    let k = u32::try_from(arguments.top).unwrap_or(u32::MAX);
    let mut run = GroundTruth::new(k.min(snapshot_limit(snapshot.document_count())));
    let ask = |vector: SparseVector| {
        let kept = arguments.query_top.map(|top| vector.keep(top));
        let vector = match arguments.flat {
            true => flat(&kept.unwrap_or(vector))?,
            false => vector,
        };
        let mut query = Query::new(vector).top(arguments.top).mode(mode);
        if let Some(top) = arguments.query_top {
            query = query.keep(top);
        }
        if let Some(candidates) = arguments.rescore {
            query = query.rescore(candidates);
        }
        if let Some(tenant) = arguments.tenant {
            query = query.filter(Filter::equals("tenant", i64::from(tenant)));
        }
        Ok(query)
    };
    let queries: Vec<Query> = queries.into_iter().map(ask).collect::<Result<_>>()?;
    let beside = arguments.beside.as_ref();
    let beside = beside
        .map(|index| open(index, Reading::Mapped))
        .transpose()?;
    let mut own = Measured::new(&snapshot, scratch, queries.len());
    let mut others = beside
        .as_ref()
        .map(|snapshot| Measured::new(snapshot, Scratch::new(), queries.len()));
    for _ in 0..arguments.rounds.max(1) {
        for (at, query) in queries.iter().enumerate() {
            own.search(at, query)?;
            if let Some(others) = &mut others {
                others.search(at, query)?;
            }
        }
    }
    if let Some(others) = &others {
        own.compare(others)?;
    }
    let Measured {
        answers,
        mut micros,
        ..
    } = own;
    if let Some(path) = &arguments.times {
        let list = serde_json::to_string(&micros).unwrap_or_default();
        fs::write(path, list).map_err(|error| Error::io("write", path, error))?;
    }
    let mut recalls = Vec::new();
    let mut proven = 0_u64;
    for (at, hits) in answers.iter().enumerate() {
        proven += u64::from(hits.proven_exact());
        let rows = rows(hits);
        if let Some(truth) = &truth {
            let ids: Vec<i32> = rows.iter().map(|row| row.0).collect();
            recalls.push(truth.recall(at, arguments.top, &ids));
        }
        run.push(rows);
    }
    if let Some(path) = &arguments.run {
        run.write(path)?;
    }

    let batch_us = match arguments.threads {
        None => None,
        Some(threads) => Some(batch_us(&snapshot, &queries, threads, arguments.rounds)?),
    };

    let count = micros.len();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let mean_us = mean(&micros);
    let beside_us = others.as_ref().map(|others| mean(&others.micros));
    let worst_ratio = others.as_ref().map(|others| worst(&micros, &others.micros));
    micros.sort_by(f64::total_cmp);
    let percentile = |share: f64| micros.get((count as f64 * share) as usize).copied();
    let recall = truth.as_ref().map(|_| mean(&recalls));
    let (p50, p99) = (
        percentile(0.5).unwrap_or(0.0),
        percentile(0.99).unwrap_or(0.0),
    );
    let proven_exact = proven as f64 / count.max(1) as f64;
    if arguments.json {
        let report = serde_json::json!({
            "documents": snapshot.document_count(),
            "queries": count,
            "top": arguments.top,
            "mode": format!("{:?}", arguments.mode).to_lowercase(),
            "recall": recall,
            "mean_us": mean_us,
            "p50_us": p50,
            "p99_us": p99,
            "proven_exact": proven_exact,
            "batch_us": batch_us,
            "beside_mean_us": beside_us,
            "ratio": beside_us.map(|beside| mean_us / beside),
            "worst_ratio": worst_ratio,
        });
        return Ok(report.to_string());
    }
    let mut lines = vec![format!(
        "{count} queries: mean {mean_us:.1} us, p50 {p50:.1}, p99 {p99:.1}"
    )];
    if let Some(recall) = recall {
        lines.push(format!("recall@{} {recall:.4}", arguments.top));
    }
    lines.push(format!("proven exact: {:.1}%", proven_exact * 100.0));
    if let Some((beside, worst)) = beside_us.zip(worst_ratio) {
        let ratio = mean_us / beside;
        lines.push(format!(
            "the index beside: mean {beside:.1} us; {ratio:.3} of it, {worst:.2} at worst"
        ));
    }
    if let Some(batch) = batch_us {
        lines.push(format!("as one batch: {batch:.1} us a query"));
    }
    Ok(lines.join("\n"))
}

fn open(index: &Path, reading: Reading) -> Result<Snapshot> {
    Index::open_with(index, Config::new().reading(reading))?.snapshot()
}

fn instruction_set(name: InstructionsName) -> InstructionSet {
    match name {
        InstructionsName::Portable => InstructionSet::Portable,
        InstructionsName::Avx2 => InstructionSet::Avx2,
        InstructionsName::Avx512 => InstructionSet::Avx512,
        InstructionsName::Neon => InstructionSet::Neon,
    }
}

/// One weight for all terms.
fn flat(vector: &SparseVector) -> Result<SparseVector> {
    SparseVector::new(vector.terms().iter().map(|term| (term.get(), 1.0)))
}

/// What one index answered, and the least time that each query took.
struct Measured<'a> {
    snapshot: &'a Snapshot,
    scratch: Scratch,
    answers: Vec<Hits>,
    micros: Vec<f64>,
}

impl Measured<'_> {
    fn new(snapshot: &Snapshot, scratch: Scratch, queries: usize) -> Measured<'_> {
        Measured {
            snapshot,
            scratch,
            answers: vec![Hits::default(); queries],
            micros: vec![f64::INFINITY; queries],
        }
    }

    fn search(&mut self, at: usize, query: &Query) -> Result<()> {
        let start = Instant::now();
        let answer = self.snapshot.search_with(query, &mut self.scratch)?;
        let micros = start.elapsed().as_secs_f64() * 1e6;
        self.micros[at] = self.micros[at].min(micros);
        self.answers[at] = answer;
        Ok(())
    }

    /// An error unless the other index gave the same answers.
    fn compare(&self, other: &Measured<'_>) -> Result<()> {
        let mut pairs = self.answers.iter().zip(&other.answers);
        match pairs.position(|(own, other)| own.as_slice() != other.as_slice()) {
            None => Ok(()),
            Some(at) => {
                let found = format!("other hits for query {at}");
                Err(Error::invalid("index beside", "the same answers", found))
            }
        }
    }
}

/// The largest ratio of two times of one query.
fn worst(own: &[f64], others: &[f64]) -> f64 {
    let ratios = own.iter().zip(others).map(|(own, other)| own / other);
    ratios.fold(0.0, f64::max)
}

/// Microseconds a query when all are answered at once, the least of some rounds.
fn batch_us(snapshot: &Snapshot, queries: &[Query], threads: usize, rounds: usize) -> Result<f64> {
    let mut least = f64::INFINITY;
    for _ in 0..rounds.max(1) {
        let start = Instant::now();
        snapshot.search_batch(queries, threads)?;
        least = least.min(start.elapsed().as_secs_f64() * 1e6);
    }
    Ok(least / queries.len().max(1) as f64)
}

/// Results beyond the documents would be padding only.
fn snapshot_limit(documents: u64) -> u32 {
    u32::try_from(documents).unwrap_or(u32::MAX)
}

/// Row and score of each hit; keys are rows as `build` makes them.
fn rows(hits: &Hits) -> Vec<(i32, f32)> {
    let row = |key: &[u8]| key.try_into().map_or(-1, i32::from_be_bytes);
    hits.iter()
        .map(|hit| (row(hit.key().as_bytes()), hit.score()))
        .collect()
}

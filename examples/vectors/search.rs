//! `vectors search`.

use std::{fs, time::Instant};

use sparsely::{
    Approximation, Error, Filter, Hits, Index, Mode, Query, Result, Scratch, Searcher, Snapshot,
    SparseVector,
    interchange::{CsrFile, GroundTruth},
};

use crate::{ModeName, SearchArguments};

pub(crate) fn run(arguments: &SearchArguments) -> Result<()> {
    let snapshot = Index::open(&arguments.index)?.snapshot()?;
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

    let mut scratch = Scratch::new();
    let k = u32::try_from(arguments.top).unwrap_or(u32::MAX);
    let mut run = GroundTruth::new(k.min(snapshot_limit(snapshot.document_count())));
    let ask = |vector| {
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
        query
    };
    let queries: Vec<Query> = queries.into_iter().map(ask).collect();
    let mut micros = vec![f64::INFINITY; queries.len()];
    let mut answers = Vec::new();
    for _ in 0..arguments.rounds.max(1) {
        answers.clear();
        for (query, micros) in queries.iter().zip(&mut micros) {
            let start = Instant::now();
            answers.push(snapshot.search_with(query, &mut scratch)?);
            *micros = micros.min(start.elapsed().as_secs_f64() * 1e6);
        }
    }
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
        });
        println!("{report}");
    } else {
        println!("{count} queries: mean {mean_us:.1} us, p50 {p50:.1}, p99 {p99:.1}");
        if let Some(recall) = recall {
            println!("recall@{} {recall:.4}", arguments.top);
        }
        println!("proven exact: {:.1}%", proven_exact * 100.0);
        if let Some(batch) = batch_us {
            println!("as one batch: {batch:.1} us a query");
        }
    }
    Ok(())
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

//! `vectors search`.

use std::time::Instant;

use sparsely::{
    Approximation, Hits, Index, Mode, Query, Result, Scratch, Searcher, SparseVector,
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
        ModeName::Approximate => Mode::Approximate(Approximation::Recall(arguments.recall)),
    };

    let mut scratch = Scratch::new();
    let k = u32::try_from(arguments.top).unwrap_or(u32::MAX);
    let mut run = GroundTruth::new(k.min(snapshot_limit(snapshot.document_count())));
    let mut micros = Vec::with_capacity(queries.len());
    let mut recalls = Vec::new();
    let mut proven = 0_u64;
    for (at, vector) in queries.into_iter().enumerate() {
        let mut query = Query::new(vector).top(arguments.top).mode(mode);
        if let Some(top) = arguments.query_top {
            query = query.keep(top);
        }
        let start = Instant::now();
        let hits = snapshot.search_with(&query, &mut scratch)?;
        micros.push(start.elapsed().as_secs_f64() * 1e6);
        proven += u64::from(hits.proven_exact());
        let rows = rows(&hits);
        if let Some(truth) = &truth {
            let ids: Vec<i32> = rows.iter().map(|row| row.0).collect();
            recalls.push(truth.recall(at, arguments.top, &ids));
        }
        run.push(rows);
    }
    if let Some(path) = &arguments.run {
        run.write(path)?;
    }

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
        });
        println!("{report}");
    } else {
        println!("{count} queries: mean {mean_us:.1} us, p50 {p50:.1}, p99 {p99:.1}");
        if let Some(recall) = recall {
            println!("recall@{} {recall:.4}", arguments.top);
        }
        println!("proven exact: {:.1}%", proven_exact * 100.0);
    }
    Ok(())
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

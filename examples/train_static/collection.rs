//! Code that was kept out of training, as a collection that `evaluate` reads: functions are the
//! documents, what their comments say are the queries.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use serde_json::json;
use sparsely::{
    Error, Progress, Result,
    train::{Pair, PairKind, pairs_of_tree},
};

/// Writes the functions with a comment below `paths` to the folder `out`, and `queries` of their
/// comments, evenly chosen; returns what was written in words.
pub(crate) fn write(
    paths: &[PathBuf],
    out: &Path,
    queries: usize,
    progress: &mut Progress<'_>,
) -> Result<String> {
    let mut pairs: Vec<(String, Pair)> = Vec::new();
    let mut seen = HashSet::new();
    for path in paths {
        let described = pairs_of_tree(path, progress)?;
        let described = described.into_iter();
        let described = described.filter(|pair| pair.kind == PairKind::Described);
        for (number, pair) in described.enumerate() {
            // What two packages share has no one answer.
            if seen.insert(pair.passage.clone()) {
                pairs.push((format!("{}#{number}", path.display()), pair));
            }
        }
    }
    if pairs.is_empty() || queries == 0 {
        return Err(Error::invalid(
            "a collection",
            "functions with comments, and queries to choose",
            format!("{} functions and {queries} queries", pairs.len()),
        ));
    }
    let step = pairs.len().div_ceil(queries);
    let asked = || pairs.iter().step_by(step);
    let qrels = out.join("qrels");
    fs::create_dir_all(&qrels).map_err(|error| Error::io("create", &qrels, error))?;
    let documents = pairs
        .iter()
        .map(|(id, pair)| json!({"_id": id, "text": pair.passage}).to_string());
    lines(&out.join("corpus.jsonl"), documents)?;
    let texts = asked().map(|(id, pair)| json!({"_id": id, "text": pair.query}).to_string());
    lines(&out.join("queries.jsonl"), texts)?;
    let head = std::iter::once("query-id\tcorpus-id\tscore".to_owned());
    let judgments = asked().map(|(id, _)| format!("{id}\t{id}\t1"));
    lines(&qrels.join("test.tsv"), head.chain(judgments))?;
    Ok(format!(
        "{} documents and {} queries in {}",
        pairs.len(),
        asked().count(),
        out.display()
    ))
}

fn lines(path: &Path, lines: impl Iterator<Item = String>) -> Result<()> {
    let file = File::create(path).map_err(|error| Error::io("create", path, error))?;
    let mut file = BufWriter::new(file);
    for line in lines {
        writeln!(file, "{line}").map_err(|error| Error::io("write", path, error))?;
    }
    file.flush()
        .map_err(|error| Error::io("write", path, error))
}

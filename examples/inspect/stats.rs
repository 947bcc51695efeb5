//! What an index holds.

use std::path::Path;

use serde_json::json;
use sparsely::{Index, Stats};

use crate::{Answer, count, told};

pub(crate) fn stats(path: &Path) -> Result<Answer, String> {
    let index = Index::open(path).map_err(|error| told(path, &error))?;
    let stats = index.stats().map_err(|error| told(path, &error))?;
    let fallback = stats.fallback.as_ref();
    let segments = stats.segments.iter().map(|segment| {
        json!({
            "segment": segment.id.get(),
            "documents": segment.documents,
            "deleted": segment.deleted,
            "postings": segment.postings,
            "bytes": segment.bytes,
        })
    });
    let parts = stats.parts.iter();
    let parts: serde_json::Map<_, _> = parts
        .map(|part| (part.name.to_owned(), part.bytes.into()))
        .collect();
    let json = json!({
        "commit": stats.commit.get(),
        "commits": stats.commits.iter().map(|commit| commit.get()).collect::<Vec<_>>(),
        "documents": stats.documents,
        "deleted": stats.deleted,
        "postings": postings(&stats),
        "files": stats.files,
        "bytes": stats.bytes,
        "bytes_per_posting": stats.bytes_per_posting(),
        "parts": parts,
        "segments": segments.collect::<Vec<_>>(),
        "encoder": stats.encoder,
        "term_count": stats.term_count,
        "weight_limit": stats.weight_limit,
        "saturated_weights": stats.saturated_weights,
        "keeps_statistics": stats.keeps_statistics,
        "created_with": stats.created_with,
        "newest_commit_is_damaged": fallback.map(|fallback| fallback.reason().to_owned()),
    });
    Ok(Answer {
        text: text(path, &stats),
        json,
        is_well: fallback.is_none(),
    })
}

fn postings(stats: &Stats) -> u64 {
    stats.segments.iter().map(|segment| segment.postings).sum()
}

fn text(path: &Path, stats: &Stats) -> String {
    let mut text = format!(
        "{}\ncommit {} ({} on disk), created with {}\n",
        path.display(),
        stats.commit,
        count(stats.commits.len() as u64, "commit"),
        stats.created_with
    );
    if let Some(fallback) = &stats.fallback {
        let damaged = fallback.commit();
        text += &format!(
            "commit {damaged} is damaged, this is an older one: {}\n",
            fallback.reason()
        );
    }
    text += &format!(
        "{}, {} deleted and not yet merged away\n{}, {} bytes in {}\n",
        count(stats.documents, "document"),
        stats.deleted,
        count(stats.segments.len() as u64, "segment"),
        stats.bytes,
        count(stats.files as u64, "file"),
    );
    if let Some(bytes) = stats.bytes_per_posting() {
        text += &format!(
            "{}, {bytes:.2} bytes each in postings and bounds\n",
            count(postings(stats), "posting")
        );
    }
    let encoder = stats.encoder.as_deref().unwrap_or("not named");
    text += &format!("encoder: {encoder}\n");
    if let Some(limit) = stats.weight_limit {
        text += &format!(
            "weight limit {limit}, {} over it\n",
            count(stats.saturated_weights, "weight")
        );
    }
    text += "bytes by part:\n";
    for part in &stats.parts {
        text += &format!("  {:>14}  {}\n", part.bytes, part.name);
    }
    text += "segments:\n";
    for segment in &stats.segments {
        text += &format!(
            "  {}: {}, {} deleted, {} bytes\n",
            segment.id,
            count(segment.documents.into(), "document"),
            segment.deleted,
            segment.bytes
        );
    }
    text.trim_end().to_owned()
}

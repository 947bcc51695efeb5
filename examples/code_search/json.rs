//! The same for programs: one JSON object per command on one line of standard output, with the
//! keys that `--help` lists.

use std::path::Path;

use serde_json::{Value, json};
use sparsely::Verification;

use crate::{
    answer::{Answer, Found, Request},
    failure::Failure,
    show,
    status::Status,
    update::Summary,
    walk::SkipCounts,
};

/// Part of `--help`; a test compares it with what is printed.
pub(crate) const HELP: &str = "\
JSON: with --json each command prints one object on one line.
  index   command, index, files, passages, added, changed, removed, unchanged, bytes_read,
          index_bytes, skipped {reason: count}, seconds
  search  command, index, query, results, proven_exact, seconds, notes; each result: rank, key,
          path, start, end, name, language, score, snippet [{line, text, matches}] and, with
          --explain, terms [{term, query_weight, passage_weight, contribution, origin}]
  status  command, index, commit, complete, encoder, files, passages, source_bytes, index_bytes,
          languages {name: {files, passages}}, skipped
  verify  command, index, clean, files, bytes, damage [{file, section, offset, message}]
  failure error {kind, message}
Lines count from 1, matches are byte ranges of the line's text, names are null where there are none.

Exit codes: 0 done (also without results), 1 failure, 2 wrong use.";

pub(crate) fn summary(summary: &Summary, dir: &Path, index_bytes: u64) -> Value {
    json!({
        "command": "index",
        "index": dir.to_string_lossy(),
        "files": summary.files,
        "passages": summary.passages,
        "added": summary.added,
        "changed": summary.changed,
        "removed": summary.removed,
        "unchanged": summary.unchanged,
        "bytes_read": summary.bytes_read,
        "index_bytes": index_bytes,
        "skipped": skipped(&summary.skipped),
        "seconds": summary.seconds,
    })
}

pub(crate) fn answer(answer: &Answer, request: &Request, dir: &Path) -> Value {
    let results = answer.results.iter().enumerate();
    json!({
        "command": "search",
        "index": dir.to_string_lossy(),
        "query": request.query,
        "results": results.map(|(at, found)| result(at + 1, found)).collect::<Vec<Value>>(),
        "proven_exact": answer.proven_exact,
        "seconds": answer.seconds,
        "notes": answer.notes,
    })
}

fn result(rank: usize, found: &Found) -> Value {
    let snippet: Vec<Value> = found
        .snippet
        .iter()
        .map(|line| {
            let matches: Vec<[usize; 2]> = line
                .matches
                .iter()
                .map(|range| [range.start, range.end])
                .collect();
            json!({ "line": line.number, "text": line.text, "matches": matches })
        })
        .collect();
    let mut result = json!({
        "rank": rank,
        "key": found.key,
        "path": found.path,
        "start": found.start,
        "end": found.end,
        "name": found.name,
        "language": found.language,
        "score": found.score,
        "snippet": snippet,
    });
    if let Some(explanation) = &found.explanation {
        let terms = explanation.terms.iter().map(|term| {
            json!({
                "term": show::label(term),
                "query_weight": term.query_weight,
                "passage_weight": term.document_weight,
                "contribution": term.contribution,
                "origin": show::origin(term.origin),
            })
        });
        result["terms"] = terms.collect();
    }
    result
}

pub(crate) fn status(status: &Status, dir: &Path) -> Value {
    let languages = status.languages.iter().map(|(name, counts)| {
        let counts = json!({ "files": counts.files, "passages": counts.passages });
        (name.clone(), counts)
    });
    json!({
        "command": "status",
        "index": dir.to_string_lossy(),
        "commit": status.commit.to_string().parse::<u64>().ok(),
        "complete": status.complete,
        "encoder": status.encoder,
        "files": status.files,
        "passages": status.passages,
        "source_bytes": status.source_bytes,
        "index_bytes": status.index_bytes,
        "languages": languages.collect::<serde_json::Map<String, Value>>(),
        "skipped": skipped(&status.skipped),
    })
}

pub(crate) fn verification(found: &Verification, dir: &Path) -> Value {
    let damage = found.damage().iter().map(|damage| {
        json!({
            "file": damage.file,
            "section": damage.section,
            "offset": damage.offset,
            "message": damage.message,
        })
    });
    json!({
        "command": "verify",
        "index": dir.to_string_lossy(),
        "clean": found.is_clean(),
        "files": found.files(),
        "bytes": found.bytes(),
        "damage": damage.collect::<Vec<Value>>(),
    })
}

pub(crate) fn failure(failure: &Failure) -> Value {
    json!({ "error": { "kind": failure.kind, "message": failure.to_string() } })
}

fn skipped(skipped: &SkipCounts) -> Value {
    skipped
        .iter()
        .map(|(reason, count)| (reason.key().to_owned(), Value::from(*count)))
        .collect()
}

//! Asks an index and gathers what is shown of each result.

use std::path::Path;

use sparsely::{Config, Encoder, Explanation, Filter, Index, Query, Searcher, Snapshot, Value};

use crate::{
    encoders::PassageEncoder,
    failure::Failure,
    languages::Language,
    ledger::{Ledger, RunState, parse_key},
    snippet::{QueryWords, SnippetLine},
};

/// What somebody asks.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) query: String,
    pub(crate) top: usize,
    pub(crate) language: Option<String>,
    pub(crate) explain: bool,
}

/// What the index answers.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) results: Vec<Found>,
    pub(crate) proven_exact: bool,
    pub(crate) seconds: f64,
    /// What the reader should know beside the results.
    pub(crate) notes: Vec<String>,
}

/// One result.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) key: String,
    pub(crate) path: String,
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) name: Option<String>,
    pub(crate) language: String,
    pub(crate) score: f32,
    pub(crate) snippet: Vec<SnippetLine>,
    pub(crate) explanation: Option<Explanation>,
}

/// Opens an index for reading.
pub(crate) fn open(dir: &Path, encoder: Option<&PassageEncoder>) -> Result<Snapshot, Failure> {
    let config = encoder.map_or_else(Config::new, |encoder| {
        Config::for_encoder(encoder.as_encoder())
    });
    let index = Index::open_with(dir, config).map_err(|error| match error.kind() {
        sparsely::ErrorKind::NotFound => Failure::no_index(dir),
        _ => Failure::of(&error, dir),
    })?;
    index.snapshot().map_err(|error| Failure::of(&error, dir))
}

pub(crate) fn answer(
    dir: &Path,
    encoder: &PassageEncoder,
    request: &Request,
) -> Result<Answer, Failure> {
    let failed = |error: sparsely::Error| Failure::of(&error, dir);
    let snapshot = open(dir, Some(encoder))?;
    let start = std::time::Instant::now();
    let encoder = encoder.as_encoder();
    let asked = encoder.encode_query(&request.query).map_err(failed)?;
    if asked.is_empty() {
        return Err(Failure::usage(format!(
            "the query `{}` has no words to search for",
            request.query
        )));
    }
    let own_terms = asked.terms().to_vec();
    let vector = encoder.weigh_query(asked, snapshot.statistics());
    let mut query = Query::new(vector)
        .top(request.top)
        .own_terms(own_terms)
        .fields(["language", "path", "name"]);
    let language = request.language.as_deref().map(Language::canonical);
    if let Some(language) = &language {
        query = query.filter(Filter::equals("language", language.as_str()));
    }
    let has_language = snapshot.fields().any(|(name, _)| name == "language");
    let hits = match has_language {
        true => Some(snapshot.search(&query).map_err(failed)?),
        // Nothing was ever indexed, so the field is not known.
        false => None,
    };
    let seconds = start.elapsed().as_secs_f64();

    let words = QueryWords::new(&request.query, |word| word_weight(encoder, &snapshot, word));
    let proven_exact = hits.as_ref().is_none_or(|hits| hits.proven_exact());
    let mut results = Vec::new();
    for hit in hits.into_iter().flatten() {
        let key = hit.key().to_string();
        let Some((_, start, end)) = parse_key(&key) else {
            continue;
        };
        let stored = snapshot.document(hit.key().clone()).map_err(failed)?;
        let text = stored
            .as_ref()
            .and_then(|stored| stored.text())
            .unwrap_or("");
        let field = |name: &str| match hit.value(name) {
            Some(Value::String(value)) => Some(value.clone()),
            _ => None,
        };
        let explanation = match request.explain {
            true => Some(snapshot.explain(&query, hit.key()).map_err(failed)?),
            false => None,
        };
        results.push(Found {
            path: field("path").unwrap_or_default(),
            start,
            end,
            name: field("name"),
            language: field("language").unwrap_or_default(),
            score: hit.score(),
            snippet: words.snippet(text, start),
            explanation: explanation.map(|found| found.labeled(|term| encoder.term(term))),
            key,
        });
    }
    let notes = notes(dir, &snapshot, language.as_deref(), results.is_empty())?;
    Ok(Answer {
        results,
        proven_exact,
        seconds,
        notes,
    })
}

/// How telling a word is: its idf where the encoder has one, else 1.
fn word_weight(encoder: &dyn Encoder, snapshot: &Snapshot, word: &str) -> f32 {
    encoder
        .encode_query_for(word, snapshot.statistics())
        .ok()
        .and_then(|vector| vector.iter().map(|(_, weight)| weight).reduce(f32::max))
        .unwrap_or(1.0)
}

/// Why results may be missing.
fn notes(
    dir: &Path,
    snapshot: &Snapshot,
    language: Option<&str>,
    is_empty: bool,
) -> Result<Vec<String>, Failure> {
    let mut notes = Vec::new();
    if let Some(fallback) = snapshot.fallback() {
        notes.push(format!(
            "the newest commit is damaged ({}); these results are of the one before: remove {} and index again",
            fallback.reason(),
            dir.display()
        ));
    }
    let run = RunState::load(snapshot).map_err(|error| error.failure(dir))?;
    if run.is_some_and(|run| !run.complete) {
        notes.push("indexing has not finished: run `code_search index` again (it goes on where it stopped)".to_owned());
    }
    if !is_empty {
        return Ok(notes);
    }
    let ledger = Ledger::load(snapshot).map_err(|error| error.failure(dir))?;
    let passages: usize = ledger.files().map(|(_, file)| file.passages.len()).sum();
    if passages == 0 {
        notes.push(format!(
            "the index at {} is empty: run `code_search index PATH`, and see there what is skipped and why",
            dir.display()
        ));
    }
    if let Some(language) = language
        && passages > 0
    {
        let mut known: Vec<&str> = ledger
            .files()
            .filter(|(_, file)| !file.passages.is_empty())
            .map(|(_, file)| file.language.as_str())
            .collect();
        known.sort_unstable();
        known.dedup();
        if !known.contains(&language) {
            notes.push(format!(
                "no file in language `{language}` is indexed; there are: {}",
                known.join(", ")
            ));
        }
    }
    Ok(notes)
}

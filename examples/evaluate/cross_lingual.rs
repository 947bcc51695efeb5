//! Queries of one language, documents of another: a table over a parallel collection.
//!
//! ```text
//! evaluate cross-lingual BEIR_DIR [--encoder NAME] [--queries en,de] [--documents en] [--limit N] [--json]
//! ```
//!
//! Ids of a parallel collection begin with a language and a hyphen; what follows a document's is the
//! same in all its translations. The judgments of a language's own split, `qrels_LANG.tsv`, then say
//! for its queries which documents of every other language are right: the translations.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Write as _,
    path::PathBuf,
};

use clap::Parser;
use serde::Serialize;
use sparsely::{
    Config, Document, Encoder, Error, Filter, Index, Query, Result, Scratch, Searcher, Snapshot,
    SparseVector,
    evaluate::{Collection, Judgments, Measure, Ranking, Run, Text},
};

use crate::encoders::Choice;

/// The word that chooses this command.
pub(crate) const NAME: &str = "cross-lingual";

/// Measures queries of each language against documents of each language.
#[derive(Debug, Parser)]
#[command(name = "evaluate cross-lingual")]
struct Arguments {
    /// A folder with corpus.jsonl, queries.jsonl and qrels_LANG.tsv, with ids as LANG-REST
    #[arg(value_name = "BEIR_DIR")]
    collection: PathBuf,

    /// As of `evaluate`
    #[arg(long, default_value = "lexical")]
    encoder: Choice,

    /// Languages of queries [default: all]
    #[arg(long, value_delimiter = ',', value_name = "LANG")]
    queries: Vec<String>,

    /// Languages of documents [default: all]
    #[arg(long, value_delimiter = ',', value_name = "LANG")]
    documents: Vec<String>,

    /// At most so many queries of each language, the first ones
    #[arg(long, value_name = "N")]
    limit: Option<usize>,

    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

/// nDCG@10 of each language of queries (rows) in each language of documents (columns).
#[derive(Debug, Serialize)]
struct Table {
    encoder: String,
    documents: BTreeMap<String, u64>,
    queries: BTreeMap<String, usize>,
    ndcg_at_10: BTreeMap<String, BTreeMap<String, f64>>,
}

/// Runs the command on what stands behind its word; returns the answer.
///
/// # Errors
/// What opening, encoding and searching can fail with.
pub(crate) fn run(arguments: impl IntoIterator<Item = String>) -> Result<String> {
    let arguments = Arguments::parse_from(arguments);
    let encoder = arguments.encoder.open()?;
    let collection = Collection::open(&arguments.collection)?;
    let mut table = Table {
        encoder: encoder.fingerprint().to_string(),
        documents: BTreeMap::new(),
        queries: BTreeMap::new(),
        ndcg_at_10: BTreeMap::new(),
    };
    let index = Index::in_memory(Config::for_encoder(&*encoder))?;
    let known = fill(
        &collection,
        &arguments,
        &*encoder,
        &mut index.writer()?,
        &mut table,
    )?;
    if known.is_empty() {
        return Err(Error::invalid(
            "documents of a parallel collection",
            "ids as en-REST, of the languages that were asked for",
            "none",
        ));
    }
    let snapshot = index.snapshot()?;
    let queries = encoded(&collection, &arguments, &*encoder, &snapshot)?;
    for (language, queries) in &queries {
        let judgments = collection.judgments(language)?;
        table.queries.insert(language.clone(), queries.len());
        for of_documents in table.documents.keys() {
            let value = measure(queries, &judgments, of_documents, &snapshot, &known)?;
            table
                .ndcg_at_10
                .entry(language.clone())
                .or_default()
                .insert(of_documents.clone(), value);
        }
    }
    if arguments.json {
        return serde_json::to_string(&table)
            .map_err(|why| Error::invalid("the table", "something to write", why.to_string()));
    }
    Ok(table.to_text())
}

/// The language of an id, and what its translations share.
fn parts(id: &str) -> Option<(&str, &str)> {
    id.split_once('-')
        .filter(|(language, rest)| !language.is_empty() && !rest.is_empty())
}

fn is_wanted(languages: &[String], language: &str) -> bool {
    languages.is_empty() || languages.iter().any(|wanted| wanted == language)
}

/// Indexes the documents; returns their ids.
fn fill(
    collection: &Collection,
    arguments: &Arguments,
    encoder: &dyn Encoder,
    writer: &mut sparsely::Writer,
    table: &mut Table,
) -> Result<BTreeSet<String>> {
    let mut known = BTreeSet::new();
    for document in collection.documents()? {
        let Text { id, text } = document?;
        let Some((language, _)) =
            parts(&id).filter(|(language, _)| is_wanted(&arguments.documents, language))
        else {
            continue;
        };
        writer.upsert(Document::new(id.as_str(), encoder.encode_document(&text)?))?;
        *table.documents.entry(language.to_owned()).or_default() += 1;
        known.insert(id);
    }
    writer.commit()?;
    Ok(known)
}

type Encoded = BTreeMap<String, Vec<(String, SparseVector)>>;

/// The vectors of the judged queries, by language.
fn encoded(
    collection: &Collection,
    arguments: &Arguments,
    encoder: &dyn Encoder,
    snapshot: &Snapshot,
) -> Result<Encoded> {
    let splits: BTreeSet<&str> = collection.splits().collect();
    let mut judged: HashMap<String, Judgments> = HashMap::new();
    let mut queries = Encoded::new();
    for query in collection.queries()? {
        let Text { id, text } = query?;
        let Some((language, _)) = parts(&id).filter(|(language, _)| {
            is_wanted(&arguments.queries, language) && splits.contains(language)
        }) else {
            continue;
        };
        if !judged.contains_key(language) {
            judged.insert(language.to_owned(), collection.judgments(language)?);
        }
        let list = queries.entry(language.to_owned()).or_default();
        if judged[language].grades(&id).is_some()
            && arguments.limit.is_none_or(|limit| list.len() < limit)
        {
            list.push((id, encoder.encode_query_for(&text, snapshot)?));
        }
    }
    queries.retain(|_, list| !list.is_empty());
    if queries.is_empty() {
        return Err(Error::invalid(
            "queries of a parallel collection",
            "ids as en-REST with judgments in qrels_en.tsv, of the languages that were asked for",
            "none",
        ));
    }
    Ok(queries)
}

/// nDCG@10 of queries among the documents of one language.
fn measure(
    queries: &[(String, SparseVector)],
    own: &Judgments,
    language: &str,
    snapshot: &Snapshot,
    known: &BTreeSet<String>,
) -> Result<f64> {
    let mut run = Run::default();
    let mut scratch = Scratch::new();
    let mut judgments = Judgments::default();
    for (id, vector) in queries {
        for (document, grade) in own.grades(id).into_iter().flatten() {
            let translation = parts(document).map(|(_, rest)| format!("{language}-{rest}"));
            if let Some(translation) = translation.filter(|translation| known.contains(translation))
            {
                judgments.insert(id, &translation, *grade)?;
            }
        }
        let query = Query::new(vector.clone())
            .top(10)
            .filter(Filter::key_prefix(format!("{language}-")));
        let hits = snapshot.search_with(&query, &mut scratch)?;
        run.insert(
            id,
            Ranking::new(hits.iter().map(|hit| (hit.key().to_string(), hit.score())))?,
        );
    }
    Ok(Measure::Ndcg(10).mean(&run, &judgments))
}

impl Table {
    fn to_text(&self) -> String {
        let mut text = format!("nDCG@10 of {}\nqueries \\ documents", self.encoder);
        for (language, count) in &self.documents {
            let _ = write!(text, "\t{language} ({count})");
        }
        for (language, values) in &self.ndcg_at_10 {
            let _ = write!(
                text,
                "\n{language} ({})",
                self.queries.get(language).copied().unwrap_or(0)
            );
            for value in values.values() {
                let _ = write!(text, "\t{value:.4}");
            }
        }
        text
    }
}

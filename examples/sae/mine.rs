//! `mine`: hard negatives, and a template for a teacher's scores.

use std::{collections::HashMap, path::PathBuf};

use clap::Args;
use serde::Serialize;
use sparsely::{
    Config, Document, Encoder, Error, Index, LexicalEncoder, Query, Result, Scratch, Searcher,
};

use crate::{
    pairs,
    print::{Bar, answer, write_lines},
};

/// Arguments of `mine`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A folder with sae.json, whose own mistakes are the negatives; or `lexical`
    #[arg(value_name = "DIR")]
    model: PathBuf,

    /// One object per line, with `query` and `passage`
    #[arg(value_name = "PAIRS.jsonl")]
    pairs: PathBuf,

    /// Where pairs with negatives go: each has `scores`, null until a teacher has filled it with
    /// numbers, of the passage first and then of each negative
    #[arg(long, value_name = "MINED.jsonl")]
    out: PathBuf,

    /// Negatives of a pair
    #[arg(long, default_value_t = 8, value_name = "N")]
    negatives: usize,

    /// The best found passages that are left out: too often they are right as well
    #[arg(long, default_value_t = 0, value_name = "N")]
    skip: usize,

    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Answer {
    pairs: usize,
    passages: usize,
    negatives: usize,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut lines = pairs::read(&arguments.pairs)?;
    let encoder: Box<dyn Encoder> = if arguments.model.as_os_str() == "lexical" {
        Box::new(LexicalEncoder::auto())
    } else {
        sparsely::encode::open(&arguments.model)?
    };
    let mut numbers: HashMap<String, usize> = HashMap::new();
    let mut passages: Vec<String> = Vec::new();
    for line in &lines {
        if !numbers.contains_key(&line.passage) {
            numbers.insert(line.passage.clone(), passages.len());
            passages.push(line.passage.clone());
        }
    }
    let mut bar = Bar::new();
    let index = Index::in_memory(Config::for_encoder(&*encoder))?;
    let mut writer = index.writer()?;
    for (number, passages) in passages.chunks(64).enumerate() {
        bar.step(
            "encoding passages",
            64 * number as u64,
            numbers.len() as u64,
        );
        let texts: Vec<&str> = passages.iter().map(String::as_str).collect();
        for (at, vector) in encoder.encode_documents(&texts)?.into_iter().enumerate() {
            writer.upsert(Document::new(
                (64 * number + at).to_string().as_str(),
                vector,
            ))?;
        }
    }
    writer.commit()?;
    let snapshot = index.snapshot()?;
    let mut scratch = Scratch::new();
    let total = lines.len() as u64;
    let mut negatives = 0;
    for (done, line) in (0_u64..).zip(&mut lines) {
        bar.step("mining", done, total);
        let query = Query::new(encoder.encode_query_for(&line.query, &snapshot)?)
            .top(arguments.negatives + arguments.skip + 1);
        let own = numbers.get(&line.passage).copied();
        line.negatives.clear();
        line.scores = None;
        let hits = snapshot.search_with(&query, &mut scratch)?;
        for hit in hits.iter().skip(arguments.skip) {
            let key = hit.key().to_text();
            let at: usize = key
                .parse()
                .map_err(|_| Error::invalid("key of a passage", "a number", key.into_owned()))?;
            if Some(at) != own && line.negatives.len() < arguments.negatives {
                line.negatives.push(passages[at].clone());
            }
        }
        negatives += line.negatives.len();
    }
    write_lines(&arguments.out, &lines)?;
    bar.clear();
    let found = Answer {
        pairs: lines.len(),
        passages: passages.len(),
        negatives,
    };
    answer(&found, arguments.json, || {
        format!(
            "{} negatives for {} pairs, from {} passages",
            found.negatives, found.pairs, found.passages
        )
    })
}

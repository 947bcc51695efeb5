//! The command line.

use std::{num::NonZero, path::PathBuf, str::FromStr};

use clap::{Parser, ValueEnum};
use sparsely::{Fusion, GroupScore, Normalization, Result, StaticEncoder, evaluate::Measure};

use crate::{
    encoders::Choice,
    passages::{Cut, combine},
};

/// Measures encoders on collections in BEIR's layout: nDCG@10, MRR@10, recall; compares and fuses
/// them.
///
/// Several collections, encoders or both give a table, with p values of a paired randomization
/// test. --fuse adds a row for the fused ranking. --compare tests whether one ranking is better than another, and shows where.
#[derive(Debug, Parser)]
#[command(name = "evaluate", version)]
pub(crate) struct Arguments {
    /// Folders with corpus.jsonl, queries.jsonl, and qrels/NAME.tsv, qrels_NAME.tsv or qrels.tsv;
    /// FOLDER:NAME uses the judgments of that name
    #[arg(value_name = "BEIR_DIR", required_unless_present = "compare")]
    pub(crate) collections: Vec<PathBuf>,

    /// lexical (code or prose told apart by document), lexical-code, lexical-text, static, the file
    /// of a table, or the folder of a model; several between commas; NAME+0.5*NAME for the weighted
    /// sum of several in one index [default: lexical]
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    pub(crate) encoder: Vec<Choice>,

    /// Whose judgments to use [default: test, else all, else en, else the only ones]
    #[arg(long, value_name = "NAME")]
    pub(crate) split: Option<String>,

    /// How many documents to ask for
    #[arg(long, default_value_t = 1000, value_name = "K")]
    pub(crate) top: u32,

    /// Where to write what was found, as a TREC run file (one collection, one encoder); with --fuse
    /// what the fused ranking found
    #[arg(long, value_name = "FILE")]
    pub(crate) run: Option<PathBuf>,

    /// Keep the index in this folder, or one for each collection and encoder where there are several.
    /// What an earlier run left there of the same encoder is not encoded again [default: a temporary
    /// folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) index: Option<PathBuf>,

    /// Answer in JSON: an object, or a list of them where there are several
    #[arg(long, conflicts_with = "markdown")]
    pub(crate) json: bool,

    /// Answer with a table in Markdown
    #[arg(long)]
    pub(crate) markdown: bool,

    /// Also draw nDCG@10 against query latency and index size, as SVG
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) plot: Option<PathBuf>,

    /// Fuse the rankings of these encoders
    #[arg(long, value_delimiter = ',', num_args = 1.., value_name = "NAME,NAME")]
    pub(crate) fuse: Vec<Choice>,

    #[command(flatten)]
    pub(crate) fusion: FusionArguments,

    /// Index passages of documents, and rank documents by them: words:N/OVERLAP, lines:N/OVERLAP or
    /// code:LINES
    #[arg(long, value_name = "CUT")]
    pub(crate) passages: Option<Cut>,

    /// How passages' scores become a document's: best, or sum:N of the best N
    #[arg(long, default_value = "best", value_name = "HOW", value_parser = combine)]
    pub(crate) combine: GroupScore,

    /// Compare two rankings: run files, or encoders on the collection
    #[arg(long, num_args = 2, value_names = ["A", "B"], conflicts_with_all = ["fuse", "plot", "markdown"])]
    pub(crate) compare: Vec<Side>,

    #[command(flatten)]
    pub(crate) comparison: ComparisonArguments,
}

#[derive(Debug, clap::Args)]
pub(crate) struct FusionArguments {
    /// How --fuse works: by ranks, or by normalized scores
    #[arg(long, default_value = "linear", value_name = "METHOD")]
    method: Method,

    /// The constant of reciprocal rank fusion
    #[arg(long, default_value_t = 60.0, value_name = "K")]
    rank_constant: f64,

    /// How scores become comparable in linear fusion
    #[arg(long, default_value = "highest", value_name = "NAME")]
    normalization: Scores,

    /// What each ranking counts [default: of words and the static encoder, for each query as far
    /// as the table knows its words; else 0.5 for one of words alone, 1 for a learned one]
    #[arg(long, value_delimiter = ',', value_name = "W,W")]
    weights: Vec<f64>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ComparisonArguments {
    /// The judgments of compared run files, in TREC's or BEIR's form
    #[arg(long, value_name = "FILE", requires = "compare")]
    pub(crate) qrels: Option<PathBuf>,

    /// What to compare by: ndcg@K, mrr@K, recall@K or map
    #[arg(long, default_value = "ndcg@10", value_name = "MEASURE", value_parser = measure)]
    pub(crate) measure: Measure,

    /// How many permutations the randomization test draws; few queries are tested exactly
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) permutations: u32,

    /// Decides which permutations are drawn
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,

    /// How many of the greatest wins and losses to show
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub(crate) show: usize,

    /// How many terms of each explanation to show
    #[arg(long, default_value = "6", value_name = "N")]
    pub(crate) terms: NonZero<usize>,
}

/// One side of a comparison.
#[derive(Clone, Debug)]
pub(crate) enum Side {
    Encoder(Choice),
    /// A TREC run file.
    Run(PathBuf),
}

impl FromStr for Side {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Side, String> {
        match name.parse() {
            Ok(choice) => Ok(Side::Encoder(choice)),
            Err(_) if PathBuf::from(name).is_file() => Ok(Side::Run(name.into())),
            Err(why) => Err(format!("{why}, nor a run file")),
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Method {
    Rrf,
    Linear,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Scores {
    MinMax,
    Highest,
    ZScore,
}

impl FusionArguments {
    /// The same fusion for every query; see [`FusionArguments::by_query`].
    pub(crate) fn fusion(&self, choices: &[Choice]) -> Result<Fusion> {
        let fusion = match self.method {
            Method::Rrf => Fusion::reciprocal_rank().rank_constant(self.rank_constant)?,
            Method::Linear => Fusion::linear(match self.normalization {
                Scores::MinMax => Normalization::MinMax,
                Scores::Highest => Normalization::Highest,
                Scores::ZScore => Normalization::ZScore,
            }),
        };
        match self.weights.as_slice() {
            [] => fusion.weights(choices.iter().map(|choice| match choice.is_words() {
                true => 0.5,
                false => 1.0,
            })),
            weights => fusion.weights(weights.iter().copied()),
        }
    }

    /// Of words and the static encoder, in either order, linear and without weights from the user:
    /// what says for each query how much the words' ranking counts. The static encoder's own vectors
    /// have the words already, so they count only as far as the table knows nothing of a query.
    pub(crate) fn by_query(&self, choices: &[Choice]) -> Result<Option<StaticEncoder>> {
        let is_open = matches!(self.method, Method::Linear) && self.weights.is_empty();
        match choices {
            [words, learned] | [learned, words] if is_open && words.is_words() => {
                learned.open_static()
            }
            _ => Ok(None),
        }
    }

    pub(crate) fn name(&self) -> String {
        match self.method {
            Method::Rrf => format!("rrf({})", self.rank_constant),
            Method::Linear => match self.normalization {
                Scores::MinMax => "linear(min-max)".to_owned(),
                Scores::Highest => "linear(highest)".to_owned(),
                Scores::ZScore => "linear(z-score)".to_owned(),
            },
        }
    }
}

fn measure(name: &str) -> std::result::Result<Measure, String> {
    let wrong = || format!("{name:?}: expected ndcg@K, mrr@K or recall@K with K from 1, or map");
    if name == "map" {
        return Ok(Measure::AveragePrecision);
    }
    let (name, k) = name.split_once('@').ok_or_else(wrong)?;
    let k = k.parse().ok().filter(|k| *k > 0).ok_or_else(wrong)?;
    match name {
        "ndcg" => Ok(Measure::Ndcg(k)),
        "mrr" => Ok(Measure::ReciprocalRank(k)),
        "recall" => Ok(Measure::Recall(k)),
        _ => Err(wrong()),
    }
}

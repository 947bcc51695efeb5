//! Trains tables for the static encoder, from pairs or from a bare tree of code.
//!
//! Three steps: which words of passages go with which words of queries (counts over groups), how
//! likely each such pair is (a translation model), and what it should weigh for the right passage
//! to be found among hard ones (gradients). The same corpus, options and seed give the same table,
//! byte for byte, on any number of threads.

mod corpus;
mod counts;
mod extract;
mod finish;
mod gradient;
mod negatives;
mod pairs;
mod pattern;
mod problem;
mod random;
#[cfg(feature = "sae")]
pub mod sae;
mod translate;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

pub use self::corpus::{Corpus, PASSAGE_BYTES_MAX, QUERY_BYTES_MAX};
pub use self::counts::Counts;
pub use self::pairs::{Pair, PairKind, pairs_of_tree};
use self::{gradient::Model, problem::Problem};
use crate::{
    encode::StaticTable,
    error::{Error, Result},
    progress::Progress,
};

/// Fewer pairs than this teach nothing.
const PAIRS_MIN: usize = 20;

/// How to train. Every field has a default that is right for code of any size.
///
/// ```
/// use sparsely::train::Options;
/// let options = Options { threads: 2, ..Options::default() };
/// assert_eq!(options.epochs, 2);
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    /// Threads to work on; the result does not depend on it. 1.
    pub threads: usize,
    /// Decides every random choice. 1.
    pub seed: u64,
    /// Passes over the pairs; the second and later ones learn at 0.4 of the rate. 2.
    pub epochs: u32,
    /// At most this many described pairs are learned from, and five eighths as many named ones;
    /// where there are more, the largest groups give up theirs first. 400,000.
    pub pairs: usize,
    /// At most this many words are known. 65,000.
    pub words: usize,
    /// A table to start from: what it knows and the corpus does not contradict stays.
    pub base: Option<StaticTable>,
    /// Where to leave the table as far as it is, ten times an epoch; the file is replaced as a whole.
    pub checkpoint: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            threads: 1,
            seed: 1,
            epochs: 2,
            pairs: 400_000,
            words: 65_000,
            base: None,
            checkpoint: None,
        }
    }
}

/// What a training did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// Pairs learned from: described, and named.
    pub pairs: (usize, usize),
    /// Groups of pairs.
    pub groups: u32,
    /// Words of the table.
    pub words: u32,
    /// Words that others can stand for.
    pub targets: u32,
    /// Candidate entries that were trained.
    pub candidates: usize,
    /// Entries of the table.
    pub entries: u32,
    /// Mean cross-entropy of a pair among 512 passages, ten times an epoch.
    pub losses: Vec<f32>,
    /// Time for counts and translation model.
    pub start_time: Duration,
    /// Time for hard negatives.
    pub negatives_time: Duration,
    /// Time for the gradients.
    pub gradient_time: Duration,
}

/// Trains a table on `corpus`.
///
/// # Errors
/// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when there are fewer than 20 pairs,
/// as in a tree without comments and telling names; [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled);
/// what writing a checkpoint can fail with.
///
/// # Examples
/// ```
/// use sparsely::{Progress, train::{Corpus, Options, train}};
/// let mut corpus = Corpus::new();
/// for n in 0..40 {
///     let passage = format!("fn f{n}(v: &[u32]) {{ v.iter().min().map(|x| x + {n}) }}");
///     corpus.add_pair("ours", &format!("smallest element number {n}"), &passage);
/// }
/// let (table, report) = train(corpus, &Options::default(), &mut Progress::none())?;
/// assert!(table.find("smallest").is_some());
/// assert_eq!(report.pairs.0, 40);
/// # Ok::<(), sparsely::Error>(())
/// ```
pub fn train(
    mut corpus: Corpus,
    options: &Options,
    progress: &mut Progress<'_>,
) -> Result<(StaticTable, Report)> {
    if corpus.samples.len() < PAIRS_MIN {
        return Err(Error::invalid(
            "training pairs",
            format!("at least {PAIRS_MIN} with words on both sides"),
            corpus.counts().to_string(),
        ));
    }
    if options.pairs < PAIRS_MIN {
        return Err(Error::invalid(
            "pairs to learn from",
            format!("at least {PAIRS_MIN}"),
            options.pairs.to_string(),
        ));
    }
    let begun = Instant::now();
    progress.step("choosing pairs", 0, 0)?;
    let base = options.base.as_ref();
    let problem = Problem::new(&mut corpus, options);
    let pattern = pattern::find(&problem, base, options.threads, progress)?;
    let likely = translate::estimate(&problem, &pattern, options.threads, progress)?;
    let candidates = pattern.columns.len();
    let mut model = Model::new(&problem, pattern, likely, base);
    let start_time = begun.elapsed();

    let begun = Instant::now();
    let hard = negatives::find(&problem, options, progress)?;
    let negatives_time = begun.elapsed();

    let begun = Instant::now();
    let mut losses = Vec::new();
    for epoch in 0..options.epochs {
        let mut run = model.epoch(&problem, &hard, options, epoch);
        loop {
            let (done, total) = run.progress();
            progress.step("learning", done, total)?;
            let Some(loss) = run.tenth() else { break };
            losses.push(loss);
            if let Some(path) = &options.checkpoint {
                save(&finish::table(&problem, run.model(), base)?, path)?;
            }
        }
    }
    let table = finish::table(&problem, &model, base)?;
    let report = Report {
        pairs: problem.pair_counts(),
        groups: corpus_groups(&problem),
        words: table.word_count(),
        targets: table.target_count(),
        candidates,
        entries: table.entry_count(),
        losses,
        start_time,
        negatives_time,
        gradient_time: begun.elapsed(),
    };
    Ok((table, report))
}

fn corpus_groups(problem: &Problem<'_>) -> u32 {
    problem.corpus.groups
}

/// Writes `table` to `path` so that there is a whole table at any time, the old one or the new.
///
/// # Errors
/// What the file system fails with.
pub fn save(table: &StaticTable, path: &Path) -> Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    std::fs::write(&beside, table.as_bytes())
        .map_err(|error| Error::io("write", &beside, error))?;
    std::fs::rename(&beside, path).map_err(|error| Error::io("replace", path, error))
}

#[cfg(test)]
mod tests;

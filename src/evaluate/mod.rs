//! How good rankings are: judgments, runs, and the measures between them.
//!
//! The measures are those of trec_eval, with its tie rule, and do no input or output. Readers and
//! writers speak TREC's qrels and run files and, with the feature `json`, BEIR collections; their
//! errors name file and line. [`Comparison`] says whether one run is better than another.
//!
//! ```
//! use sparsely::evaluate::{Judgments, Measure, Ranking, Run};
//! let mut judgments = Judgments::default();
//! judgments.insert("q1", "d1", 1)?;
//! let mut run = Run::default();
//! run.insert("q1", Ranking::new([("d1".to_owned(), 0.5), ("d2".to_owned(), 2.0)])?);
//! assert_eq!(Measure::ReciprocalRank(10).mean(&run, &judgments), 0.5);
//! # Ok::<(), sparsely::Error>(())
//! ```

#[cfg(feature = "json")]
mod beir;
mod compare;
mod judgments;
mod lines;
mod measure;
mod run;

#[cfg(feature = "json")]
pub use self::beir::{Collection, Text, Texts};
pub use self::{
    compare::{Comparison, QueryComparison, Randomization, Significance},
    judgments::{Grades, Judgments},
    measure::Measure,
    run::{Ranked, Ranking, Run},
};

//! Search: queries over the live segments of a snapshot.
//!
//! Every way of searching returns the same total order: score falling, then key bytes rising,
//! whatever segments the documents lie in. [`Searcher`] is the seam to other back ends;
//! [`Exhaustive`] is the oracle that the fast ways must equal; [`Federated`] asks several
//! searchers as one; [`Fusion`] makes one ranking of several; [`Grouping`] answers with the
//! documents that passages belong to.

mod accumulate;
mod admit;
mod batch;
mod calibrate;
mod collection;
pub(crate) mod doc_set;

mod exhaustive;
mod explain;
mod federated;
mod filter;
mod float_exact;
mod fusion;
mod grouping;
mod hits;
#[cfg(test)]
mod measured;
pub(crate) mod postings;
mod pruned;
mod query;
mod rescore;
pub(crate) mod scratch;
pub(crate) mod top_k;

pub(crate) use self::{calibrate::calibrate, collection::Collection};
pub use self::{
    exhaustive::Exhaustive,
    explain::{Explanation, Origin, TermExplanation},
    federated::Federated,
    filter::Filter,
    fusion::{Fused, FusedPart, Fusion, Normalization},
    grouping::{Group, GroupName, GroupScore, Grouping, Groups},
    hits::{Hit, Hits},
    query::{Approximation, Mode, Query, TwoStep},
    scratch::Scratch,
};
use crate::{error::Result, segment::DocKey, statistics::Statistics};

/// Answers queries: an index's snapshot, the exhaustive oracle, several searchers as one, or a
/// back end that lives elsewhere.
pub trait Searcher: Send + Sync {
    /// The best documents, with working memory that is kept between queries: one
    /// [`Scratch`] per thread.
    ///
    /// # Errors
    /// When the query breaks a limit or its filter does not fit the fields; when what is read is
    /// damaged.
    fn search_with(&self, query: &Query, scratch: &mut Scratch) -> Result<Hits>;

    /// Takes the score of the document `key` apart.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when there is no such document;
    /// otherwise as [`Searcher::search_with`].
    fn explain(&self, query: &Query, key: &DocKey) -> Result<Explanation>;

    /// What the collection's encoder may want to know of it.
    fn statistics(&self) -> &dyn Statistics;

    /// [`Searcher::search_with`] into an answer whose memory is used again. An index's snapshot
    /// allocates nothing for a query without filter, fields and pruning once hits and scratch
    /// have grown to what such queries need.
    ///
    /// # Errors
    /// As [`Searcher::search_with`]; then `hits` has some of the answer.
    fn search_into(&self, query: &Query, scratch: &mut Scratch, hits: &mut Hits) -> Result<()> {
        *hits = self.search_with(query, scratch)?;
        Ok(())
    }

    /// The best documents.
    ///
    /// # Errors
    /// As [`Searcher::search_with`].
    fn search(&self, query: &Query) -> Result<Hits> {
        self.search_with(query, &mut Scratch::new())
    }

    /// Answers all of `queries`, in their order, on this thread and up to `threads - 1` more,
    /// which end before this returns.
    ///
    /// # Errors
    /// As [`Searcher::search_with`], for the first query that fails.
    fn search_batch(&self, queries: &[Query], threads: usize) -> Result<Vec<Hits>> {
        batch::search(self, queries, threads)
    }
}

#[cfg(test)]
mod tests;

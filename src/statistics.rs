//! What an index knows about its collection, as an encoder sees it.

use std::fmt::Debug;

use crate::id::TermId;

/// Counts over the live documents of a collection.
///
/// Document weights never depend on the collection; query weights may, through
/// [`Encoder::weigh_query`](crate::Encoder::weigh_query), which is given these counts. An index
/// that keeps them (see [`Config::keep_statistics`](crate::Config::keep_statistics)) has them right
/// after every delete and merge.
pub trait Statistics: Debug {
    /// How many live documents there are.
    fn document_count(&self) -> u64;

    /// How many live documents have `term` as a term of their own text (an expansion does not
    /// count); 0 where the index keeps no counts.
    fn document_frequency(&self, term: TermId) -> u64;
}

//! The oracle: every live document, one by one, through its whole vector.

use super::{
    Searcher,
    collection::Collection,
    explain::Explanation,
    hits::Hits,
    query::{Mode, Query},
    scratch::Scratch,
};
use crate::{error::Result, segment::DocKey, statistics::Statistics};

/// Scores every document of a snapshot with the definition of the score, whatever mode the query
/// asks for. Slow, simple, and what every faster way must equal bit for bit.
#[derive(Clone, Copy, Debug)]
pub struct Exhaustive<'a> {
    collection: Collection<'a>,
    statistics: &'a (dyn Statistics + Send + Sync),
}

impl<'a> Exhaustive<'a> {
    pub(crate) fn new(
        collection: Collection<'a>,
        statistics: &'a (dyn Statistics + Send + Sync),
    ) -> Exhaustive<'a> {
        Exhaustive {
            collection,
            statistics,
        }
    }
}

impl Searcher for Exhaustive<'_> {
    fn search_with(&self, query: &Query, scratch: &mut Scratch) -> Result<Hits> {
        let query = query.clone().mode(Mode::Exhaustive);
        self.collection.search(&query, scratch)
    }

    fn explain(&self, query: &Query, key: &DocKey) -> Result<Explanation> {
        self.collection.explain(query, key)
    }

    fn statistics(&self) -> &dyn Statistics {
        self.statistics
    }
}

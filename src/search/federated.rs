//! Several searchers as one.

use std::fmt;

use super::{
    Searcher,
    explain::Explanation,
    hits::{Hit, Hits},
    query::Query,
    scratch::Scratch,
};
use crate::{
    error::{Error, ErrorKind, Result},
    id::TermId,
    segment::DocKey,
    statistics::Statistics,
};

/// Asks several searchers and merges their answers: score falling, then key bytes rising, then the
/// earlier searcher. [`Hit::source`] says which of them answered.
///
/// Their vectors must be comparable: the same encoder. Scores are compared in the encoder's units,
/// so their scales of impacts may differ. A filter must fit the fields of each.
pub struct Federated<'a> {
    searchers: Vec<&'a dyn Searcher>,
}

impl<'a> Federated<'a> {
    /// Searches all of `searchers`, in this order.
    pub fn new(searchers: impl IntoIterator<Item = &'a dyn Searcher>) -> Federated<'a> {
        Federated {
            searchers: searchers.into_iter().collect(),
        }
    }
}

impl fmt::Debug for Federated<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Federated")
            .field("searchers", &self.searchers.len())
            .finish()
    }
}

impl Searcher for Federated<'_> {
    fn search_with(&self, query: &Query, scratch: &mut Scratch) -> Result<Hits> {
        // Any searcher may hold all of the results that the offset passes over.
        let wanted = query.offset.saturating_add(query.top);
        let each = query.clone().top(wanted).offset(0);
        let mut proven_exact = true;
        let mut all: Vec<Hit> = Vec::new();
        for (source, searcher) in self.searchers.iter().enumerate() {
            let hits = searcher.search_with(&each, scratch)?;
            proven_exact &= hits.proven_exact();
            all.extend(hits.into_iter().map(|hit| hit.with_source(source)));
        }
        all.sort_by(|a, b| {
            let by_score = b.score().total_cmp(&a.score());
            by_score.then_with(|| a.key().cmp(b.key()))
        });
        let page = all.into_iter().skip(query.offset).take(query.top);
        Ok(Hits::new(page.collect(), proven_exact))
    }

    /// From the first searcher that has the document.
    fn explain(&self, query: &Query, key: &DocKey) -> Result<Explanation> {
        for searcher in &self.searchers {
            match searcher.explain(query, key) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                answer => return answer,
            }
        }
        let remedy = "no searcher has it";
        Err(Error::not_found(format!("document `{key}`"), remedy))
    }

    /// The sums over all searchers.
    fn statistics(&self) -> &dyn Statistics {
        self
    }
}

impl Statistics for Federated<'_> {
    fn document_count(&self) -> u64 {
        let counts = self.searchers.iter();
        counts.map(|one| one.statistics().document_count()).sum()
    }

    fn document_frequency(&self, term: TermId) -> u64 {
        let counts = self.searchers.iter();
        counts
            .map(|one| one.statistics().document_frequency(term))
            .sum()
    }
}

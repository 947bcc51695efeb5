//! Why a document has its score, term by term.

use std::borrow::Cow;

use crate::{id::TermId, segment::DocKey};

/// Where a query term comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// It stands in the query's own text.
    Text,
    /// The encoder added it.
    Expansion,
    /// The query does not say; see [`Query::own_terms`](crate::Query::own_terms).
    Unknown,
}

/// What one query term adds to a score.
#[derive(Clone, Debug, PartialEq)]
pub struct TermExplanation {
    /// The term.
    pub term: TermId,
    /// What it means, where the index or the caller knows.
    pub label: Option<String>,
    /// Its weight in the query, as it is scored.
    pub query_weight: f32,
    /// Its weight in the document, as it is scored; 0 where the document lacks it.
    pub document_weight: f32,
    /// What it adds to the score: the product of both.
    pub contribution: f32,
    /// Whether it stands in the query's text or came by expansion.
    pub origin: Origin,
}

/// The score of one document for one query, taken apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The document.
    pub key: DocKey,
    /// Its score, which is that of its [`Hit`](crate::Hit).
    pub score: f32,
    /// Whether the query's filter admits it.
    pub admitted: bool,
    /// Every term that the query is scored with: greatest contribution first, then the heavier in
    /// the query, then the lower term.
    pub terms: Vec<TermExplanation>,
}

impl Explanation {
    /// Fills in labels that the index does not have, as from
    /// [`Encoder::term`](crate::Encoder::term).
    #[must_use]
    pub fn labeled<'a>(mut self, label: impl Fn(TermId) -> Option<Cow<'a, str>>) -> Explanation {
        for term in &mut self.terms {
            if term.label.is_none() {
                term.label = label(term.term).map(Cow::into_owned);
            }
        }
        self
    }

    pub(super) fn sort(&mut self) {
        self.terms.sort_by(|a, b| {
            let by_contribution = b.contribution.total_cmp(&a.contribution);
            let by_weight = b.query_weight.total_cmp(&a.query_weight);
            by_contribution.then(by_weight).then(a.term.cmp(&b.term))
        });
    }
}

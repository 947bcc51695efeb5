//! Answers: documents with their scores, best first.

use crate::segment::{DocKey, Value};

/// One document of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    key: DocKey,
    score: f32,
    source: usize,
    pub(super) fields: Vec<(String, Value)>,
}

impl Hit {
    /// A result, for implementors of [`Searcher`](crate::Searcher).
    pub fn new(key: impl Into<DocKey>, score: f32) -> Hit {
        Hit {
            key: key.into(),
            score,
            source: 0,
            fields: Vec::new(),
        }
    }

    /// The document's key.
    #[must_use]
    pub fn key(&self) -> &DocKey {
        &self.key
    }

    /// The document's key, by value.
    #[must_use]
    pub fn into_key(self) -> DocKey {
        self.key
    }

    /// The score in the encoder's own units: the dot product of query and document, both quantized
    /// (or, after [`Query::rescore`](crate::Query::rescore), as exact as what is stored).
    #[must_use]
    pub fn score(&self) -> f32 {
        self.score
    }

    /// Which of several searchers answered; 0 where there is one. See
    /// [`Federated`](crate::Federated).
    #[must_use]
    pub fn source(&self) -> usize {
        self.source
    }

    /// The value of a field that [`Query::fields`](crate::Query::fields) named, where the document
    /// has it.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&Value> {
        let field = self.fields.iter().find(|(other, _)| other == name);
        field.map(|(_, value)| value)
    }

    /// Makes this another hit; the key's bytes are to be filled in.
    pub(super) fn restart(&mut self, score: f32) -> &mut Vec<u8> {
        self.score = score;
        self.source = 0;
        self.fields.clear();
        self.key.restart()
    }

    pub(crate) fn with_fields(self, fields: Vec<(String, Value)>) -> Hit {
        Hit { fields, ..self }
    }

    pub(super) fn with_source(self, source: usize) -> Hit {
        Hit { source, ..self }
    }
}

/// An answer: hits by falling score; equal scores by rising key bytes.
///
/// ```
/// use sparsely::{Hit, Hits};
/// let hits = Hits::new(vec![Hit::new("a", 2.0), Hit::new("b", 1.0)], true);
/// let keys: Vec<String> = hits.iter().map(|hit| hit.key().to_string()).collect();
/// assert_eq!(keys, ["a", "b"]);
/// assert!(hits.proven_exact());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Hits {
    hits: Vec<Hit>,
    proven_exact: bool,
    /// Hits of earlier answers, for their memory.
    spare: Vec<Hit>,
}

impl PartialEq for Hits {
    fn eq(&self, other: &Hits) -> bool {
        self.hits == other.hits && self.proven_exact == other.proven_exact
    }
}

impl Hits {
    /// An answer, for implementors of [`Searcher`](crate::Searcher): hits in their order, and
    /// whether they are proven to be the best there are.
    #[must_use]
    pub fn new(hits: Vec<Hit>, proven_exact: bool) -> Hits {
        Hits {
            hits,
            proven_exact,
            spare: Vec::new(),
        }
    }

    /// Whether these are proven to be the results, in order, of scoring every document with the
    /// query (as [`Query::keep`](crate::Query::keep) shortens it).
    ///
    /// Always true of [`Mode::Exact`](crate::Mode::Exact) and
    /// [`Mode::Exhaustive`](crate::Mode::Exhaustive) without
    /// [`Query::rescore`](crate::Query::rescore).
    #[must_use]
    pub fn proven_exact(&self) -> bool {
        self.proven_exact
    }

    /// How many hits there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hits.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hits.is_empty()
    }

    /// The hits, best first.
    pub fn iter(&self) -> std::slice::Iter<'_, Hit> {
        self.hits.iter()
    }

    /// The hits, best first.
    #[must_use]
    pub fn as_slice(&self) -> &[Hit] {
        &self.hits
    }
}

/// Filling an answer again: [`Hits::restart`], [`Hits::next`] for each hit, [`Hits::end`].
impl Hits {
    pub(super) fn restart(&mut self, proven_exact: bool) {
        self.spare.append(&mut self.hits);
        self.proven_exact = proven_exact;
    }

    pub(super) fn next(&mut self) -> &mut Hit {
        let hit = self.spare.pop().unwrap_or_else(|| Hit::new("", 0.0));
        self.hits.push(hit);
        let last = self.hits.len() - 1;
        &mut self.hits[last]
    }

    pub(super) fn end(&mut self, proven_exact: bool) {
        self.proven_exact = proven_exact;
    }
}

impl IntoIterator for Hits {
    type Item = Hit;
    type IntoIter = std::vec::IntoIter<Hit>;

    fn into_iter(self) -> Self::IntoIter {
        self.hits.into_iter()
    }
}

impl<'a> IntoIterator for &'a Hits {
    type Item = &'a Hit;
    type IntoIter = std::slice::Iter<'a, Hit>;

    fn into_iter(self) -> Self::IntoIter {
        self.hits.iter()
    }
}

//! What a caller asks: a vector, how many results, and under which conditions.

use super::filter::Filter;
use crate::{id::TermId, segment::Document, sparse::SparseVector};

/// How sure an answer must be.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Mode {
    /// The same results as scoring every document, found faster. The default.
    #[default]
    Exact,
    /// The same results, in the same order, as scoring every document with the encoder's own
    /// weights, which the index must [keep](crate::Config::keep_weights).
    ///
    /// A score is the sum of the products of query and document weights, added in 64-bit floats by
    /// rising term and rounded to 32 bits once; equal scores go by rising key. The other modes
    /// rank by weights rounded to 255 steps, which seldom changes more than the last of ten
    /// results.
    FloatExact,
    /// Perhaps not all of the best, for less work.
    Approximate(Approximation),
    /// Every document, one by one: slow, simple, and what the others are tested against.
    Exhaustive,
}

/// How far an approximate answer may go.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Approximation {
    /// The share of the true results to find on average, above 0 and at most 1. How far bounds may
    /// be lessened for that was measured in each large segment when it was written, see
    /// [`Config::calibration_queries`](crate::Config::calibration_queries).
    Recall(f32),
    /// How many blocks of documents to score at most, in each segment.
    Blocks(u32),
}

impl Default for Approximation {
    /// A recall of 0.99.
    fn default() -> Approximation {
        Approximation::Recall(0.99)
    }
}

/// Two-step retrieval: few of the heaviest terms find candidates, the whole vectors rank them.
///
/// The first step searches short vectors with a short query, which costs a fraction of the whole
/// search; the second takes the dot product of the whole query with the
/// [full vector](crate::Document::full_vector) of each candidate (Lassance et al., "Two-Step
/// SPLADE", arXiv 2404.13357). The answer is that of exhaustive scoring of the short vectors, then
/// rescored, whatever the layout of the index.
///
/// The published pairs are constants here. Give the same one to documents and to queries:
///
/// ```
/// use sparsely::{Document, Query, SparseVector, TwoStep};
/// let encoded = SparseVector::new((0..300).map(|term| (term, 1.0 + term as f32)))?;
/// let document = Document::new("k", encoded.clone()).two_step(TwoStep::SPLADE_CODE);
/// assert_eq!(document.vector().len(), 100);
/// let query = Query::new(encoded).two_step(TwoStep::SPLADE_CODE);
/// # Ok::<(), sparsely::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TwoStep {
    /// The heaviest terms of a query that find candidates; `usize::MAX` for all.
    pub query_terms: usize,
    /// The heaviest terms of a document that are searched; `usize::MAX` for all.
    pub document_terms: usize,
    /// How many candidates are rescored with the full vectors.
    pub candidates: usize,
}

impl TwoStep {
    /// One step with everything: queries and documents stay as they are.
    pub const NONE: TwoStep = TwoStep {
        query_terms: usize::MAX,
        document_terms: usize::MAX,
        candidates: 0,
    };

    /// 40 terms of a query, 400 of a document.
    pub const TOP_40_400: TwoStep = TwoStep::top(40, 400);

    /// 20 terms of a query, 200 of a document.
    pub const TOP_20_200: TwoStep = TwoStep::top(20, 200);

    /// 10 terms of a query, 100 of a document.
    pub const TOP_10_100: TwoStep = TwoStep::top(10, 100);

    /// (10, 100) with full rescoring, as SPLADE-Code is served.
    pub const SPLADE_CODE: TwoStep = TwoStep::TOP_10_100;

    /// (40, 400), as SPLARE prunes latents (arXiv 2603.13277, section 4).
    pub const SPLARE: TwoStep = TwoStep::TOP_40_400;

    /// A hundred candidates are rescored, as in two-step SPLADE (arXiv 2404.13357, section 3).
    const fn top(query_terms: usize, document_terms: usize) -> TwoStep {
        TwoStep {
            query_terms,
            document_terms,
            candidates: 100,
        }
    }
}

/// A question: a sparse vector, the number of results, and conditions.
///
/// ```
/// use sparsely::{Filter, Query, SparseVector};
/// let vector = SparseVector::new([(7, 1.0), (9, 0.25)])?;
/// let query = Query::new(vector).top(20).filter(Filter::equals("language", "rust"));
/// # Ok::<(), sparsely::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub(crate) vector: SparseVector,
    pub(crate) top: usize,
    pub(crate) offset: usize,
    pub(crate) least_score: Option<f32>,
    pub(crate) filter: Option<Filter>,
    pub(crate) mode: Mode,
    pub(crate) keep: Option<usize>,
    pub(crate) rescore: Option<usize>,
    pub(crate) own_terms: Option<Vec<TermId>>,
    pub(crate) fields: Vec<String>,
}

impl Query {
    /// The ten best documents for `vector`, exactly.
    #[must_use]
    pub fn new(vector: SparseVector) -> Query {
        Query {
            vector,
            top: 10,
            offset: 0,
            least_score: None,
            filter: None,
            mode: Mode::Exact,
            keep: None,
            rescore: None,
            own_terms: None,
            fields: Vec::new(),
        }
    }

    /// How many results to return; 10 unless said. There may be fewer: a document that shares no
    /// term with the query is no result. 0 asks for none, a huge number for all.
    #[must_use]
    pub fn top(mut self, k: usize) -> Query {
        self.top = k;
        self
    }

    /// How many of the best results to pass over, for the second page and later ones; 0 unless
    /// said.
    #[must_use]
    pub fn offset(mut self, offset: usize) -> Query {
        self.offset = offset;
        self
    }

    /// Leaves out results of a score below `score`, in the units of [`Hit::score`](crate::Hit).
    #[must_use]
    pub fn least_score(mut self, score: f32) -> Query {
        self.least_score = Some(score);
        self
    }

    /// Admits only documents that `filter` matches. A second filter narrows the first.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Query {
        self.filter = Some(match self.filter.take() {
            None => filter,
            Some(first) => Filter::and([first, filter]),
        });
        self
    }

    /// How sure the answer must be; [`Mode::Exact`] unless said.
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Query {
        self.mode = mode;
        self
    }

    /// Searches with the `terms` heaviest terms of the vector only. Without
    /// [`Query::rescore`] the shortened query is the query.
    #[must_use]
    pub fn keep(mut self, terms: usize) -> Query {
        self.keep = Some(terms);
        self
    }

    /// Finds this many candidates first (at least as many as results were asked for), with the
    /// query as [`Query::keep`] shortens it, then ranks them by the full query and, where a
    /// document has one, its [full vector](crate::Document::full_vector).
    #[must_use]
    pub fn rescore(mut self, candidates: usize) -> Query {
        self.rescore = Some(candidates);
        self
    }

    /// [`Query::keep`] and [`Query::rescore`] in the measures of a preset.
    #[must_use]
    pub fn two_step(self, steps: TwoStep) -> Query {
        match steps {
            TwoStep::NONE => self,
            steps => self.keep(steps.query_terms).rescore(steps.candidates),
        }
    }

    /// Says which terms stand in the query's own text, so that an
    /// [explanation](crate::Searcher::explain) can tell them from those that came by expansion.
    #[must_use]
    pub fn own_terms(mut self, terms: impl IntoIterator<Item = TermId>) -> Query {
        self.own_terms = Some(terms.into_iter().collect());
        self
    }

    /// Names fields whose values each [`Hit`](crate::Hit) should carry.
    #[must_use]
    pub fn fields<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Query {
        self.fields = names.into_iter().map(Into::into).collect();
        self
    }

    /// The vector as it was given.
    #[must_use]
    pub fn vector(&self) -> &SparseVector {
        &self.vector
    }
}

impl Document {
    /// Searches the heaviest terms only, as `steps` says, and keeps the whole vector for
    /// rescoring, unless a [full vector](Document::full_vector) was given already.
    #[must_use]
    pub fn two_step(mut self, steps: TwoStep) -> Document {
        if steps != TwoStep::NONE {
            let kept = self.vector.keep(steps.document_terms);
            let full = std::mem::replace(&mut self.vector, kept);
            self.full_vector.get_or_insert(full);
        }
        self
    }
}

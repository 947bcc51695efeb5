//! How many terms of a query and of a document are kept.
//!
//! Learned encoders give documents hundreds of terms. Keeping the heaviest, fewer of a query than
//! of a document, buys most of the speed at little loss; the published pairs are constants here.

#[cfg(any(feature = "tokenizers", feature = "sae"))]
use crate::sparse::SparseVector;

/// Pruning of queries and documents, apart.
///
/// Queries may be pruned again when they are asked, which costs nothing; what is pruned of a
/// document is gone. So the fingerprint of an encoder covers the document side only.
///
/// ```
/// use sparsely::encode::Pruning;
/// assert_eq!(Pruning::TOP_40_400.document().top, Some(400));
/// let own = Pruning::NONE.query_top(32).threshold(0.01);
/// assert_eq!((own.query().top, own.document().threshold), (Some(32), 0.01));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pruning {
    query: Prune,
    document: Prune,
}

/// Pruning of one kind of text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prune {
    /// How many of the heaviest terms are kept; `None` keeps all.
    pub top: Option<usize>,
    /// Terms are kept whose weight is above this.
    pub threshold: f32,
}

impl Prune {
    /// Keeps everything.
    pub const NONE: Prune = Prune {
        top: None,
        threshold: 0.0,
    };

    /// The terms of `vector` that are kept.
    #[cfg(any(feature = "tokenizers", feature = "sae"))]
    pub(crate) fn apply(self, vector: SparseVector) -> SparseVector {
        let vector = if self.threshold > 0.0 {
            let kept = vector.iter().filter(|pair| pair.1 > self.threshold);
            let (terms, weights) = kept.unzip();
            // A part of a valid vector is valid.
            SparseVector::from_sorted(terms, weights).unwrap_or_default()
        } else {
            vector
        };
        match self.top {
            Some(top) if top < vector.len() => vector.keep(top),
            _ => vector,
        }
    }

    const fn top(top: usize) -> Prune {
        Prune {
            top: Some(top),
            threshold: 0.0,
        }
    }
}

impl Pruning {
    /// Keeps everything, the default.
    pub const NONE: Pruning = Pruning {
        query: Prune::NONE,
        document: Prune::NONE,
    };
    /// 40 terms of a query and 400 of a document, as SPLARE (arXiv 2603.13277).
    pub const TOP_40_400: Pruning = Pruning {
        query: Prune::top(40),
        document: Prune::top(400),
    };
    /// 20 terms of a query and 200 of a document.
    pub const TOP_20_200: Pruning = Pruning {
        query: Prune::top(20),
        document: Prune::top(200),
    };
    /// 10 terms of a query and 100 of a document: the fastest published pair of SPLADE-Code.
    pub const TOP_10_100: Pruning = Pruning {
        query: Prune::top(10),
        document: Prune::top(100),
    };

    /// Keeps `top` terms of a query.
    #[must_use]
    pub fn query_top(mut self, top: usize) -> Pruning {
        self.query.top = Some(top);
        self
    }

    /// Keeps `top` terms of a document.
    #[must_use]
    pub fn document_top(mut self, top: usize) -> Pruning {
        self.document.top = Some(top);
        self
    }

    /// Keeps terms whose weight is above `threshold`, of queries and documents. What is not above
    /// 0 changes nothing.
    #[must_use]
    pub fn threshold(mut self, threshold: f32) -> Pruning {
        let threshold = threshold.max(0.0);
        self.query.threshold = threshold;
        self.document.threshold = threshold;
        self
    }

    /// What is kept of a query.
    #[must_use]
    pub const fn query(self) -> Prune {
        self.query
    }

    /// What is kept of a document.
    #[must_use]
    pub const fn document(self) -> Prune {
        self.document
    }
}

impl Default for Pruning {
    fn default() -> Pruning {
        Pruning::NONE
    }
}

//! An index that is a plain map: small, obvious, and what the real one is compared with.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{
    config::Config,
    work::{check_terms, weight_limit},
    writer::IndexWriter,
};
use crate::{
    error::{Error, Result},
    format::ManifestConfig,
    id::{CommitId, TermId},
    quantize::{ImpactVector, QuantizedQuery, Scale},
    search::{
        Explanation, Filter, Hit, Hits, Mode, Origin, Query, Scratch, Searcher, TermExplanation,
    },
    segment::{DocKey, Document, Schema, StoredDocument},
    statistics::Statistics,
};

/// A map from keys to documents that keeps every promise of an [`Index`](crate::Index) but
/// durability and speed: the same results, the same errors, the same commits. It scores every
/// document, one by one. For tests of what is built on an index, and of the index itself.
///
/// Reads see the last commit.
///
/// ```
/// use sparsely::{Config, Document, IndexWriter, MemoryIndex, Query, Searcher, SparseVector};
/// let mut index = MemoryIndex::new(Config::new())?;
/// index.upsert(Document::new("k", SparseVector::new([(3, 1.0)])?))?;
/// let query = Query::new(SparseVector::new([(3, 1.0)])?);
/// assert!(index.search(&query)?.is_empty());
/// index.commit()?;
/// assert_eq!(index.search(&query)?.len(), 1);
/// # Ok::<(), sparsely::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct MemoryIndex {
    config: ManifestConfig,
    commit: CommitId,
    committed: Collected,
    pending: Collected,
    is_changed: bool,
}

#[derive(Clone, Debug, Default)]
struct Collected {
    documents: BTreeMap<DocKey, Document>,
    schema: Schema,
    weight_limit: Option<f32>,
}

impl MemoryIndex {
    /// An empty index. Of `config`, what is fixed at creation counts.
    ///
    /// # Errors
    /// When the configuration breaks a rule.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "as the constructors of `Index` take it"
    )]
    pub fn new(config: Config) -> Result<MemoryIndex> {
        let config = config.to_stored()?;
        let empty = Collected {
            weight_limit: config.weight_limit,
            ..Collected::default()
        };
        Ok(MemoryIndex {
            config,
            commit: CommitId(0),
            committed: empty.clone(),
            pending: empty,
            is_changed: false,
        })
    }

    /// The last commit.
    #[must_use]
    pub fn commit_id(&self) -> CommitId {
        self.commit
    }

    /// Everything stored of a document but its vectors.
    #[must_use]
    pub fn document(&self, key: impl Into<DocKey>) -> Option<StoredDocument> {
        let document = self.committed.documents.get(&key.into())?;
        Some(StoredDocument {
            key: document.key.clone(),
            text: document.text.clone(),
            payload: document.payload.clone(),
            fields: document.fields.clone(),
        })
    }

    /// The keys of all documents, rising.
    pub fn keys(&self) -> impl Iterator<Item = &DocKey> + '_ {
        self.committed.documents.keys()
    }

    /// Deletes every document that `filter` matches, committed or not, and says how many there
    /// were.
    ///
    /// # Errors
    /// When the filter names an unknown field or a value of another type.
    pub fn delete_matching(&mut self, filter: &Filter) -> Result<u64> {
        filter.check(&self.pending.schema)?;
        let before = self.pending.documents.len();
        self.pending
            .documents
            .retain(|_, document| !filter.matches(document));
        let deleted = before - self.pending.documents.len();
        self.is_changed |= deleted > 0;
        Ok(deleted as u64)
    }

    fn scale(&self) -> Result<Scale> {
        Scale::new(self.committed.weight_limit.unwrap_or(1.0))
    }
}

impl IndexWriter for MemoryIndex {
    fn upsert(&mut self, document: Document) -> Result<()> {
        document.check()?;
        check_terms(&self.config, &document)?;
        self.pending.schema.learn(&document)?;
        let key = document.key().clone();
        self.pending.documents.insert(key, document);
        self.is_changed = true;
        Ok(())
    }

    fn delete(&mut self, key: &DocKey) -> Result<bool> {
        let was_there = self.pending.documents.remove(key).is_some();
        self.is_changed |= was_there;
        Ok(was_there)
    }

    fn commit(&mut self) -> Result<CommitId> {
        if !self.is_changed {
            return Ok(self.commit);
        }
        let pending = &mut self.pending;
        if pending.weight_limit.is_none() && !pending.documents.is_empty() {
            pending.weight_limit = Some(weight_limit(pending.documents.values()));
        }
        self.commit = CommitId(self.commit.0 + 1);
        self.committed = self.pending.clone();
        self.is_changed = false;
        Ok(self.commit)
    }

    fn rollback(&mut self) -> Result<()> {
        self.pending = self.committed.clone();
        self.is_changed = false;
        Ok(())
    }
}

impl MemoryIndex {
    /// Refuses queries that cannot be answered, or not by this index.
    fn check(&self, query: &Query) -> Result<()> {
        if query.rescore.is_some() {
            let remedy = "search an `Index`, or leave `rescore` out";
            return Err(Error::unsupported("rescoring by a `MemoryIndex`", remedy));
        }
        if query.mode == Mode::FloatExact {
            let remedy = "search an `Index` that was made with `Config::keep_weights`";
            return Err(Error::unsupported(
                "float-exact search of a `MemoryIndex`",
                remedy,
            ));
        }
        if query.least_score.is_some_and(f32::is_nan) {
            return Err(Error::invalid("least score", "a number", "NaN"));
        }
        if let Some(filter) = &query.filter {
            filter.check(&self.committed.schema)?;
        }
        for name in &query.fields {
            self.committed.schema.named(name)?;
        }
        Ok(())
    }
}

impl Searcher for MemoryIndex {
    /// # Errors
    /// When the query breaks a limit or its filter does not fit the fields, and for a query that
    /// asks for [rescoring](Query::rescore) or [float-exact](Mode::FloatExact) results, which this
    /// index does not do.
    fn search_with(&self, query: &Query, _scratch: &mut Scratch) -> Result<Hits> {
        self.check(query)?;
        let scale = self.scale()?;
        let quantized = quantize(query)?;
        let is_admitted = |document: &Document, score: u32| {
            let matches = query.filter.as_ref().is_none_or(|f| f.matches(document));
            let least = query.least_score;
            let reaches = least.is_none_or(|least| quantized.real_score(score, scale) >= least);
            score > 0 && matches && reaches
        };
        let mut found: Vec<(Reverse<u32>, &DocKey, &Document)> = Vec::new();
        for (key, document) in &self.committed.documents {
            let score = ImpactVector::from_vector(&document.vector, scale).score(&quantized);
            if is_admitted(document, score) {
                found.push((Reverse(score), key, document));
            }
        }
        found.sort_by_key(|&(score, key, _)| (score, key));
        let hits = found.into_iter().skip(query.offset).take(query.top);
        let hits = hits.map(|(Reverse(score), key, document)| {
            let fields = query.fields.iter().filter_map(|name| {
                let value = document.value(name)?;
                Some((name.clone(), value.clone()))
            });
            let score = quantized.real_score(score, scale);
            Hit::new(key, score).with_fields(fields.collect())
        });
        Ok(Hits::new(hits.collect(), true))
    }

    fn explain(&self, query: &Query, key: &DocKey) -> Result<Explanation> {
        self.check(query)?;
        let document = self.committed.documents.get(key).ok_or_else(|| {
            Error::not_found(format!("document `{key}`"), "check the key, or refresh")
        })?;
        let scale = self.scale()?;
        let quantized = quantize(query)?;
        let impacts = ImpactVector::from_vector(&document.vector, scale);
        let mut terms: Vec<TermExplanation> = quantized
            .terms()
            .iter()
            .map(|&(term, weight)| {
                let at = impacts.terms.binary_search(&term).ok();
                let impact = at.map_or(0, |at| impacts.impacts[at]);
                let label = document.labels.iter().find(|(labeled, _)| *labeled == term);
                TermExplanation {
                    term,
                    label: label.map(|(_, label)| label.clone()),
                    query_weight: query_weight(&quantized, weight),
                    document_weight: if impact == 0 {
                        0.0
                    } else {
                        scale.weight(impact)
                    },
                    contribution: quantized
                        .real_score(u32::from(weight) * u32::from(impact), scale),
                    origin: match &query.own_terms {
                        None => Origin::Unknown,
                        Some(own) if own.contains(&term) => Origin::Text,
                        Some(_) => Origin::Expansion,
                    },
                }
            })
            .collect();
        terms.sort_by(|a, b| {
            let by_contribution = b.contribution.total_cmp(&a.contribution);
            let by_weight = b.query_weight.total_cmp(&a.query_weight);
            by_contribution.then(by_weight).then(a.term.cmp(&b.term))
        });
        Ok(Explanation {
            key: key.clone(),
            score: quantized.real_score(impacts.score(&quantized), scale),
            admitted: query
                .filter
                .as_ref()
                .is_none_or(|filter| filter.matches(document)),
            terms,
        })
    }

    fn statistics(&self) -> &dyn Statistics {
        self
    }
}

impl Statistics for MemoryIndex {
    fn document_count(&self) -> u64 {
        self.committed.documents.len() as u64
    }

    fn document_frequency(&self, term: TermId) -> u64 {
        if !self.config.keeps_statistics {
            return 0;
        }
        let has = |document: &&Document| {
            document.vector.weight(term).is_some()
                && document
                    .own_terms
                    .as_ref()
                    .is_none_or(|own| own.binary_search(&term).is_ok())
        };
        self.committed.documents.values().filter(has).count() as u64
    }
}

fn quantize(query: &Query) -> Result<QuantizedQuery> {
    match query.keep {
        Some(terms) => QuantizedQuery::new(&query.vector.keep(terms)),
        None => QuantizedQuery::new(&query.vector),
    }
}

fn query_weight(query: &QuantizedQuery, weight: u16) -> f32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounding to the precision of the weights is meant"
    )]
    let weight = (f64::from(weight) * query.unit()) as f32;
    weight
}

//! Several vectors of one document, each with a name, as one vector: disjoint ranges of the term
//! space.
//!
//! So one index holds them, and one exact pass searches their weighted sum: nothing below knows of
//! names.

use std::borrow::Cow;

use super::{Encoder, Fingerprint};
use crate::{
    error::{Error, Result},
    id::TermId,
    sparse::SparseVector,
    statistics::Statistics,
};

/// Terms kept of one document, the heaviest: what an index can hold of one.
const DOCUMENT_TERMS_MAX: usize = 65_535;

/// Which range of the term space each named vector has.
///
/// The score of a query is the weighted sum of the scores that its vectors would have on their own:
/// `sum over names of weight * <query, document>`. A document's weights are divided by their own
/// limit and the query's multiplied by it, so each vector uses all 255 steps of an impact, as in an
/// index of its own: an error of at most `limit / 510` a term. Query weights have 4,095 steps of
/// the heaviest of all `weight * limit * query weight`; what is under half a step of that is left
/// out.
///
/// ```
/// use sparsely::{Config, Document, Index, Query, Searcher, SparseVector, encode::NamedVectors};
/// // Name, terms, weight limit.
/// let named = NamedVectors::new([("title", 1000, 2.0), ("body", 1000, 8.0)])?;
/// let index = Index::in_memory(Config::new().term_count(named.term_count()).weight_limit(named.weight_limit()))?;
/// let mut writer = index.writer()?;
/// let one = |weight| SparseVector::new([(7, weight)]);
/// for (key, title, body) in [("a", 2.0, 1.0), ("b", 0.5, 4.0)] {
///     let vector = named.document(&[("title", &one(title)?), ("body", &one(body)?)])?;
///     writer.upsert(Document::new(key, vector))?;
/// }
/// writer.commit()?;
/// let snapshot = index.snapshot()?;
/// let first = |title: f32, body: f32| -> sparsely::Result<(String, f32)> {
///     let query = named.query(&[("title", &one(1.0)?, title), ("body", &one(1.0)?, body)])?;
///     let hits = snapshot.search(&Query::new(query))?;
///     Ok((hits.as_slice()[0].key().to_string(), hits.as_slice()[0].score()))
/// };
/// assert_eq!(first(1.0, 0.0)?.0, "a");
/// let (key, score) = first(1.0, 1.0)?;
/// assert_eq!(key, "b");
/// assert!((score - 4.5).abs() < 0.02);
/// # Ok::<(), sparsely::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct NamedVectors {
    ranges: Vec<Range>,
}

#[derive(Clone, Debug, PartialEq)]
struct Range {
    name: String,
    start: u32,
    size: u32,
    limit: f32,
}

impl NamedVectors {
    /// A range for each name, in this order: how many terms its vectors have, and the weight that
    /// becomes the largest impact.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a name that is empty or
    /// twice, no terms, or a limit that is not finite and above zero;
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) for more than 2^32 - 1 terms altogether.
    pub fn new<N: Into<String>>(
        vectors: impl IntoIterator<Item = (N, u32, f32)>,
    ) -> Result<NamedVectors> {
        let mut ranges: Vec<Range> = Vec::new();
        let mut start = 0_u32;
        for (name, size, limit) in vectors {
            let name = name.into();
            let is_known = ranges.iter().any(|range| range.name == name);
            if name.is_empty() || is_known {
                let expected = "different names, none empty";
                return Err(Error::invalid(
                    "named vectors",
                    expected,
                    format!("{name:?}"),
                ));
            }
            if size == 0 || !(limit.is_finite() && limit > 0.0) {
                return Err(Error::invalid(
                    format!("vector {name:?}"),
                    "a term or more, and a finite weight limit above zero",
                    format!("{size} terms, limit {limit}"),
                ));
            }
            let next = start.checked_add(size).ok_or_else(|| {
                let what = "terms of all named vectors";
                Error::limit(what, u32::MAX.into(), u64::from(start) + u64::from(size))
            })?;
            ranges.push(Range {
                name,
                start,
                size,
                limit,
            });
            start = next;
        }
        Ok(NamedVectors { ranges })
    }

    /// The names, in their order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.ranges.iter().map(|range| range.name.as_str())
    }

    /// How many terms all vectors have together: for
    /// [`Config::term_count`](crate::Config::term_count).
    #[must_use]
    pub fn term_count(&self) -> u32 {
        self.ranges
            .last()
            .map_or(0, |range| range.start + range.size)
    }

    /// For [`Config::weight_limit`](crate::Config::weight_limit).
    #[must_use]
    pub fn weight_limit(&self) -> f32 {
        1.0
    }

    /// Puts a document's vectors together. A name may be missing.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a name that is unknown or
    /// twice, and for a term outside its range.
    pub fn document(&self, vectors: &[(&str, &SparseVector)]) -> Result<SparseVector> {
        let parts = vectors.iter().map(|(name, vector)| (*name, *vector, None));
        self.together(parts.collect())
    }

    /// Puts a query's vectors together, each with what it counts. A name may be missing, which is
    /// as if it counted 0.
    ///
    /// # Errors
    /// As [`NamedVectors::document`], and for a weight that is not finite or below 0.
    pub fn query(&self, vectors: &[(&str, &SparseVector, f32)]) -> Result<SparseVector> {
        let parts = vectors.iter();
        let parts = parts.map(|(name, vector, weight)| (*name, *vector, Some(*weight)));
        self.together(parts.collect())
    }

    /// Whose term it is, and its id there; nothing beyond all ranges.
    #[must_use]
    pub fn locate(&self, term: TermId) -> Option<(&str, TermId)> {
        let range = self.range_of(term)?;
        Some((&range.name, TermId::from(term.get() - range.start)))
    }

    fn range_of(&self, term: TermId) -> Option<&Range> {
        let after = self
            .ranges
            .partition_point(|range| range.start <= term.get());
        let range = self.ranges.get(after.checked_sub(1)?)?;
        (term.get() - range.start < range.size).then_some(range)
    }

    fn together(&self, mut parts: Vec<(&str, &SparseVector, Option<f32>)>) -> Result<SparseVector> {
        parts.sort_by_key(|(name, _, _)| self.names().position(|other| other == *name));
        if let Some(pair) = parts.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let found = format!("{:?} twice", pair[0].0);
            return Err(Error::invalid("named vectors", "each name once", found));
        }
        let mut pairs = Vec::new();
        for (name, vector, weight) in parts {
            let range = self.ranges.iter().find(|range| range.name == name);
            let range = range.ok_or_else(|| {
                let names: Vec<&str> = self.names().collect();
                let expected = format!("a name among {}", names.join(", "));
                Error::invalid("named vectors", expected, format!("{name:?}"))
            })?;
            if let Some(term) = vector
                .terms()
                .last()
                .filter(|term| term.get() >= range.size)
            {
                let expected = format!("terms below {}", range.size);
                return Err(Error::invalid(
                    format!("vector {name:?}"),
                    expected,
                    term.to_string(),
                ));
            }
            pairs.extend(range.scaled(vector, weight)?);
        }
        SparseVector::new(pairs)
    }
}

impl Range {
    /// A document's terms, or a query's of a weight, as the index has them.
    fn scaled<'a>(
        &self,
        vector: &'a SparseVector,
        weight: Option<f32>,
    ) -> Result<impl Iterator<Item = (u32, f32)> + use<'a>> {
        if let Some(weight) = weight.filter(|weight| !(weight.is_finite() && *weight >= 0.0)) {
            return Err(Error::invalid(
                format!("weight of vector {:?}", self.name),
                "a finite number of at least 0",
                weight.to_string(),
            ));
        }
        let Range {
            start, size, limit, ..
        } = *self;
        Ok(vector.iter().map(move |(term, value)| {
            let value = match weight {
                // A weight that vanishes beside its limit is still one.
                None => (value / limit).max(f32::MIN_POSITIVE),
                Some(weight) => value * limit * weight,
            };
            (start + term.get() % size, value)
        }))
    }
}

/// An encoder with a name, for [`NamedEncoders`].
pub struct NamedEncoder {
    name: String,
    encoder: Box<dyn Encoder>,
    weight: f32,
    limit: Option<f32>,
}

impl NamedEncoder {
    /// `encoder` under `name`, of weight 1.
    pub fn new(name: impl Into<String>, encoder: impl Encoder + 'static) -> NamedEncoder {
        NamedEncoder::boxed(name, Box::new(encoder))
    }

    /// As [`NamedEncoder::new`].
    pub fn boxed(name: impl Into<String>, encoder: Box<dyn Encoder>) -> NamedEncoder {
        NamedEncoder {
            name: name.into(),
            encoder,
            weight: 1.0,
            limit: None,
        }
    }

    /// What its part counts in a query. Only queries feel it: it may differ each time that an index
    /// is opened.
    #[must_use]
    pub fn weight(self, weight: f32) -> NamedEncoder {
        NamedEncoder { weight, ..self }
    }

    /// The document weight that becomes the largest impact, for encoders that do not know one.
    #[must_use]
    pub fn weight_limit(self, limit: f32) -> NamedEncoder {
        NamedEncoder {
            limit: Some(limit),
            ..self
        }
    }
}

impl std::fmt::Debug for NamedEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NamedEncoder")
            .field("name", &self.name)
            .field("encoder", &self.encoder.fingerprint())
            .field("weight", &self.weight)
            .finish_non_exhaustive()
    }
}

/// Several encoders as one: each text gets a vector by each, and a query's score is the weighted
/// sum of theirs. See [`NamedVectors`] for the precision.
///
/// An explanation names the encoder before each term. Encoders whose ids are hashes share what the
/// others leave of 2^32 ids; so folded, twice as many of their words share an id as on their own.
///
/// ```
/// use sparsely::{Config, Document, Encoder, Index, LexicalEncoder, Query, Searcher};
/// use sparsely::encode::{NamedEncoder, NamedEncoders};
/// let encoder = NamedEncoders::new([
///     NamedEncoder::new("code", LexicalEncoder::code()),
///     NamedEncoder::new("text", LexicalEncoder::text()).weight(0.5),
/// ])?;
/// let index = Index::in_memory(Config::for_encoder(&encoder))?;
/// let mut writer = index.writer()?;
/// writer.upsert(Document::from_text(&encoder, "a", "fn open_lock(path: &Path)")?)?;
/// writer.upsert(Document::from_text(&encoder, "b", "merge sorted lists")?)?;
/// writer.commit()?;
/// let snapshot = index.snapshot()?;
/// let query = Query::new(encoder.encode_query_for("lock", &snapshot)?);
/// let hits = snapshot.search(&query)?;
/// assert_eq!(hits.as_slice()[0].key().to_string(), "a");
/// let labels: Vec<_> = snapshot.explain(&query, &"a".into())?.terms.into_iter().filter_map(|term| term.label).collect();
/// assert_eq!(labels, ["code:lock", "text:lock"]);
/// # Ok::<(), sparsely::Error>(())
/// ```
#[derive(Debug)]
pub struct NamedEncoders {
    parts: Vec<NamedEncoder>,
    vectors: NamedVectors,
}

impl NamedEncoders {
    /// Puts encoders together.
    ///
    /// # Errors
    /// As [`NamedVectors::new`]; [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for an
    /// encoder without a [weight limit](NamedEncoder::weight_limit), and for a weight that is not
    /// finite or below 0.
    pub fn new(parts: impl IntoIterator<Item = NamedEncoder>) -> Result<NamedEncoders> {
        let parts: Vec<NamedEncoder> = parts.into_iter().collect();
        let is_hashed = |part: &&NamedEncoder| part.encoder.has_open_vocabulary();
        let (hashed, fixed): (Vec<_>, Vec<_>) = parts.iter().partition(is_hashed);
        let taken: u64 = fixed
            .iter()
            .map(|part| u64::from(part.encoder.term_count()))
            .sum();
        let share = u64::from(u32::MAX).saturating_sub(taken) / hashed.len().max(1) as u64;
        let share = u32::try_from(share).unwrap_or(u32::MAX);
        let mut ranges = Vec::with_capacity(parts.len());
        for part in &parts {
            if !(part.weight.is_finite() && part.weight >= 0.0) {
                return Err(Error::invalid(
                    format!("weight of encoder {:?}", part.name),
                    "a finite number of at least 0",
                    part.weight.to_string(),
                ));
            }
            let limit = part.limit.or_else(|| part.encoder.weight_limit());
            let limit = limit.ok_or_else(|| {
                let what = format!("encoder {:?}", part.name);
                Error::invalid(what, "a weight limit, its own or a given one", "none")
            })?;
            let count = part.encoder.term_count();
            let size = if is_hashed(&part) {
                count.min(share)
            } else {
                count
            };
            ranges.push((part.name.clone(), size, limit));
        }
        Ok(NamedEncoders {
            vectors: NamedVectors::new(ranges)?,
            parts,
        })
    }

    /// The ranges of the term space.
    #[must_use]
    pub fn vectors(&self) -> &NamedVectors {
        &self.vectors
    }

    fn ranged(&self) -> impl Iterator<Item = (&NamedEncoder, &Range)> {
        self.parts.iter().zip(&self.vectors.ranges)
    }

    fn query<'a>(
        &self,
        vectors: impl Iterator<Item = Cow<'a, SparseVector>>,
    ) -> Result<SparseVector> {
        let mut pairs = Vec::new();
        for ((part, range), vector) in self.ranged().zip(vectors) {
            pairs.extend(range.scaled(&vector, Some(part.weight))?);
        }
        folded(pairs)
    }
}

impl Range {
    /// The id that a folded one had, as far as the encoder knows its words.
    fn unfolded(&self, encoder: &dyn Encoder, term: TermId) -> TermId {
        let folded = term.get() - self.start;
        let step = usize::try_from(self.size).unwrap_or(usize::MAX);
        let mut candidates = (folded..encoder.term_count())
            .step_by(step)
            .map(TermId::from);
        let known = match encoder.has_open_vocabulary() {
            true => candidates.find(|id| encoder.term(*id).is_some()),
            false => None,
        };
        known.unwrap_or(TermId::from(folded))
    }
}

impl Encoder for NamedEncoders {
    fn fingerprint(&self) -> Fingerprint {
        let mut parts = Vec::new();
        for (part, range) in self.ranged() {
            let encoder = part.encoder.fingerprint();
            parts.push(range.name.clone().into_bytes());
            parts.push(encoder.to_string().into_bytes());
            parts.push([range.size.to_le_bytes(), range.limit.to_le_bytes()].concat());
        }
        let names: Vec<&str> = self.vectors.names().collect();
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        Fingerprint::new(&names.join("+"), &parts)
    }

    fn term_count(&self) -> u32 {
        self.vectors.term_count()
    }

    fn encode_documents(&self, texts: &[&str]) -> Result<Vec<SparseVector>> {
        let mut pairs: Vec<Vec<(u32, f32)>> = vec![Vec::new(); texts.len()];
        for (part, range) in self.ranged() {
            let vectors = part.encoder.encode_documents(texts)?;
            for (pairs, vector) in pairs.iter_mut().zip(vectors) {
                pairs.extend(range.scaled(&vector, None)?);
            }
        }
        let vectors = pairs.into_iter().map(|pairs| {
            let vector = folded(pairs)?;
            Ok(vector.keep(DOCUMENT_TERMS_MAX))
        });
        vectors.collect()
    }

    fn encode_queries(&self, texts: &[&str]) -> Result<Vec<SparseVector>> {
        let encoded = self
            .parts
            .iter()
            .map(|part| part.encoder.encode_queries(texts));
        let encoded: Vec<Vec<SparseVector>> = encoded.collect::<Result<_>>()?;
        let queries = (0..texts.len())
            .map(|at| self.query(encoded.iter().map(|vectors| Cow::Borrowed(&vectors[at]))));
        queries.collect()
    }

    fn term(&self, id: TermId) -> Option<Cow<'_, str>> {
        let range = self.vectors.range_of(id)?;
        let (part, _) = self.ranged().find(|(_, other)| *other == range)?;
        let term = part.encoder.term(range.unfolded(&*part.encoder, id))?;
        Some(format!("{}:{term}", part.name).into())
    }

    fn weigh_query(&self, query: SparseVector, statistics: &dyn Statistics) -> SparseVector {
        let vectors = self.ranged().map(|(part, range)| {
            let unscale = range.limit * part.weight;
            let own = query
                .iter()
                .filter(|(term, _)| self.vectors.range_of(*term) == Some(range))
                .map(|(term, weight)| {
                    (range.unfolded(&*part.encoder, term).get(), weight / unscale)
                });
            let own = SparseVector::new(own).unwrap_or_default();
            let view = RangeStatistics { statistics, range };
            Cow::Owned(part.encoder.weigh_query(own, &view))
        });
        self.query(vectors).unwrap_or_else(|_| query.clone())
    }

    fn uses_statistics(&self) -> bool {
        self.parts.iter().any(|part| part.encoder.uses_statistics())
    }

    fn weight_limit(&self) -> Option<f32> {
        Some(self.vectors.weight_limit())
    }

    fn own_terms(&self, text: &str) -> Result<Option<Vec<TermId>>> {
        let mut terms = Vec::new();
        for (part, range) in self.ranged() {
            let own = match part.encoder.own_terms(text)? {
                Some(own) => own,
                None => part.encoder.encode_document(text)?.terms().to_vec(),
            };
            let own = own.into_iter();
            terms.extend(own.map(|term| TermId::from(range.start + term.get() % range.size)));
        }
        terms.sort_unstable();
        terms.dedup();
        Ok(Some(terms))
    }

    fn has_open_vocabulary(&self) -> bool {
        self.parts
            .iter()
            .any(|part| part.encoder.has_open_vocabulary())
    }
}

/// What a collection counts, as one of several encoders asks for it.
#[derive(Debug)]
struct RangeStatistics<'a> {
    statistics: &'a dyn Statistics,
    range: &'a Range,
}

impl Statistics for RangeStatistics<'_> {
    fn document_count(&self) -> u64 {
        self.statistics.document_count()
    }

    fn document_frequency(&self, term: TermId) -> u64 {
        let Range { start, size, .. } = *self.range;
        self.statistics
            .document_frequency(TermId::from(start + term.get() % size))
    }
}

/// Of terms that were folded into one the heaviest counts.
fn folded(mut pairs: Vec<(u32, f32)>) -> Result<SparseVector> {
    pairs.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
    pairs.dedup_by_key(|(term, _)| *term);
    SparseVector::new(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::{LexicalEncoder, TableEncoder};

    fn vector(pairs: &[(u32, f32)]) -> SparseVector {
        SparseVector::new(pairs.iter().copied()).unwrap()
    }

    #[test]
    fn ranges_do_not_touch() {
        let named = NamedVectors::new([("a", 10, 2.0), ("b", 5, 4.0)]).unwrap();
        let (a, b) = (vector(&[(0, 1.0), (9, 2.0)]), vector(&[(0, 1.0), (4, 8.0)]));
        let document = named.document(&[("b", &b), ("a", &a)]).unwrap();
        assert_eq!(
            document,
            vector(&[(0, 0.5), (9, 1.0), (10, 0.25), (14, 2.0)])
        );
        let query = named.query(&[("a", &a, 0.5), ("b", &b, 0.0)]).unwrap();
        assert_eq!(query, vector(&[(0, 1.0), (9, 2.0)]));
        // The sum of the parts' products.
        let both = named.query(&[("a", &a, 0.5), ("b", &b, 2.0)]).unwrap();
        assert_eq!(both.dot(&document), 0.5 * a.dot(&a) + 2.0 * b.dot(&b));
        assert_eq!(named.locate(TermId::from(9)), Some(("a", TermId::from(9))));
        assert_eq!(named.locate(TermId::from(14)), Some(("b", TermId::from(4))));
        assert_eq!(named.locate(TermId::from(15)), None);
        assert_eq!(named.term_count(), 15);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let named = NamedVectors::new([("a", 10, 2.0), ("b", 5, 4.0)]).unwrap();
        let (small, large) = (vector(&[(4, 1.0)]), vector(&[(5, 1.0)]));
        assert!(named.document(&[("b", &small)]).is_ok());
        for bad in [
            &[("b", &large)][..],
            &[("c", &small)],
            &[("a", &small), ("a", &small)],
        ] {
            assert!(named.document(bad).is_err(), "{bad:?}");
        }
        for weight in [-1.0, f32::NAN, f32::INFINITY] {
            assert!(named.query(&[("a", &small, weight)]).is_err());
        }
        for bad in [
            ("", 1, 1.0),
            ("a", 0, 1.0),
            ("a", 1, 0.0),
            ("a", 1, f32::NAN),
        ] {
            assert!(NamedVectors::new([bad]).is_err());
        }
        assert!(NamedVectors::new([("a", 1, 1.0), ("a", 1, 1.0)]).is_err());
        assert!(NamedVectors::new([("a", u32::MAX, 1.0), ("b", 1, 1.0)]).is_err());
        let none = NamedVectors::new([("", 0, 0.0); 0]).unwrap();
        assert!(none.document(&[]).unwrap().is_empty());
    }

    #[test]
    fn encoders_keep_their_terms_and_weights() {
        let encoder = NamedEncoders::new([
            NamedEncoder::new("code", LexicalEncoder::code()),
            NamedEncoder::new("text", LexicalEncoder::text()).weight(0.5),
        ])
        .unwrap();
        let text = "fn open_lock_file(path: &Path) -> Result<File> { the }";
        let document = encoder.encode_document(text).unwrap();
        let alone = LexicalEncoder::text();
        let expected = alone.encode_document(text).unwrap();
        assert_eq!(document.len(), 2 * expected.len());
        for word in ["lock", "the", "path"] {
            let term = alone.encode_query(word).unwrap().terms()[0];
            let query = encoder.encode_query(word).unwrap();
            let terms: Vec<_> = query
                .terms()
                .iter()
                .filter_map(|t| encoder.term(*t))
                .collect();
            assert_eq!(terms, [format!("code:{word}"), format!("text:{word}")]);
            let own = document.weight(query.terms()[1]).unwrap() * alone.weight_limit().unwrap();
            assert!((own - expected.weight(term).unwrap()).abs() < 1e-6);
        }
        let again = NamedEncoders::new([
            NamedEncoder::new("code", LexicalEncoder::code()).weight(3.0),
            NamedEncoder::new("text", LexicalEncoder::text()),
        ]);
        assert_eq!(again.unwrap().fingerprint(), encoder.fingerprint());
    }

    #[derive(Debug)]
    struct Everywhere;

    impl Statistics for Everywhere {
        fn document_count(&self) -> u64 {
            100
        }

        fn document_frequency(&self, term: TermId) -> u64 {
            u64::from(term.get() % 50)
        }
    }

    #[test]
    fn queries_are_weighed_as_alone() {
        let encoder = NamedEncoders::new([
            NamedEncoder::new("code", LexicalEncoder::code()).weight(2.0),
            NamedEncoder::new("text", LexicalEncoder::text()).weight(0.25),
        ])
        .unwrap();
        // "the" counts as a function word whatever id it was folded to.
        let weighed = encoder.encode_query_for("the lock", &Everywhere).unwrap();
        assert_eq!(weighed.len(), 4);
        for (part, range) in encoder.ranged() {
            let view = RangeStatistics {
                statistics: &Everywhere,
                range,
            };
            let alone = part.encoder.encode_query_for("the lock", &view).unwrap();
            let scaled = range.scaled(&alone, Some(part.weight)).unwrap();
            for (term, weight) in scaled {
                let found = weighed.weight(TermId::from(term)).unwrap();
                assert!((found - weight).abs() < 1e-4 * weight, "{found} {weight}");
            }
        }
    }

    #[test]
    fn an_encoder_without_a_limit_needs_one() {
        let table = || TableEncoder::builder().build().unwrap();
        let result = NamedEncoders::new([NamedEncoder::new("table", table())]);
        assert_eq!(result.is_ok(), table().weight_limit().is_some());
        let bad = NamedEncoder::new("a", LexicalEncoder::code()).weight(f32::NAN);
        assert!(NamedEncoders::new([bad]).is_err());
    }
}

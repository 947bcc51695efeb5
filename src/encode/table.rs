//! An encoder over a caller's table: each word gives weighted terms, its own or others.
//!
//! For small controlled vocabularies, for tests, and as the smallest complete example of an
//! encoder. Everything about the table is checked when it is built.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
};

use super::{Encoder, Fingerprint};
use crate::{
    error::{Error, Result},
    id::TermId,
    sparse::SparseVector,
    text,
};

/// Encodes texts by a table from words to weighted terms.
///
/// The weight of a term in a text is the largest that any word of the text gives it, as in the max
/// pooling of SPLADE v2 (arXiv 2109.10086, equation 6); repetition changes nothing. Words that the
/// table lacks give nothing.
///
/// Words are found as [`text::words`] gives them: `Locks` in a row is `lock` in a text, and
/// `readFile` is `read_file`. Term ids count the names of terms in their order.
///
/// ```
/// use sparsely::{Encoder, encode::TableEncoder};
/// let encoder = TableEncoder::builder()
///     .row("lock", [("lock", 1.5), ("mutex", 0.5)])
///     .row("mutex", [("mutex", 2.0)])
///     .build()?;
/// let query = encoder.encode_query("Locks!")?;
/// let terms: Vec<_> = query.iter().map(|(term, weight)| (encoder.term(term).unwrap(), weight)).collect();
/// assert_eq!(terms, [("lock".into(), 1.5), ("mutex".into(), 0.5)]);
/// # Ok::<(), sparsely::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TableEncoder {
    /// The names of terms, by id; rising.
    names: Vec<String>,
    documents: Side,
    queries: Side,
    weight_limit: Option<f32>,
    fingerprint: Fingerprint,
}

/// Gathers the rows of a [`TableEncoder`]; see [`TableEncoder::builder`].
#[derive(Clone, Debug, Default)]
pub struct TableBuilder {
    documents: Vec<Row>,
    queries: Vec<Row>,
}

#[derive(Clone, Debug)]
struct Row {
    word: String,
    terms: Vec<(String, f32)>,
}

/// What each word gives on one side.
type Side = HashMap<String, Vec<Entry>>;

#[derive(Clone, Copy, Debug)]
struct Entry {
    term: TermId,
    weight: f32,
    /// Whether the term is named as the word, so that a text that has the word has the term.
    is_own: bool,
}

impl TableBuilder {
    /// A word's terms, in documents and in queries.
    #[must_use]
    pub fn row<N: Into<String>>(
        mut self,
        word: impl Into<String>,
        terms: impl IntoIterator<Item = (N, f32)>,
    ) -> TableBuilder {
        let row = Row::new(word, terms);
        self.documents.push(row.clone());
        self.queries.push(row);
        self
    }

    /// A word's terms in documents.
    #[must_use]
    pub fn document_row<N: Into<String>>(
        mut self,
        word: impl Into<String>,
        terms: impl IntoIterator<Item = (N, f32)>,
    ) -> TableBuilder {
        self.documents.push(Row::new(word, terms));
        self
    }

    /// A word's terms in queries.
    #[must_use]
    pub fn query_row<N: Into<String>>(
        mut self,
        word: impl Into<String>,
        terms: impl IntoIterator<Item = (N, f32)>,
    ) -> TableBuilder {
        self.queries.push(Row::new(word, terms));
        self
    }

    /// Checks the table and makes the encoder.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a row whose word is not one
    /// word, for two rows of one side that mean the same word, for a term that repeats in a row, for
    /// a weight that is not finite and above zero, and for more than `u32::MAX` terms.
    pub fn build(self) -> Result<TableEncoder> {
        let rows = || self.documents.iter().chain(&self.queries);
        let names: BTreeSet<&str> = rows()
            .flat_map(|row| &row.terms)
            .map(|(name, _)| name.as_str())
            .collect();
        let mut ids = BTreeMap::new();
        for (at, name) in names.iter().enumerate() {
            let id = u32::try_from(at).ok().filter(|id| *id < u32::MAX);
            let id = id.ok_or_else(|| {
                let limit = u64::from(u32::MAX);
                Error::limit("terms of a table", limit, names.len() as u64)
            })?;
            ids.insert(*name, TermId::from(id));
        }
        let documents = side("documents", &self.documents, &ids)?;
        let queries = side("queries", &self.queries, &ids)?;
        let weights = documents.values().flatten().map(|entry| entry.weight);
        Ok(TableEncoder {
            weight_limit: weights.reduce(f32::max),
            fingerprint: fingerprint(&names, [&documents, &queries]),
            names: names.into_iter().map(str::to_owned).collect(),
            documents,
            queries,
        })
    }
}

impl Row {
    fn new<N: Into<String>>(
        word: impl Into<String>,
        terms: impl IntoIterator<Item = (N, f32)>,
    ) -> Row {
        Row {
            word: word.into(),
            terms: terms
                .into_iter()
                .map(|(name, weight)| (name.into(), weight))
                .collect(),
        }
    }
}

fn side(what: &str, rows: &[Row], ids: &BTreeMap<&str, TermId>) -> Result<Side> {
    let mut side = Side::new();
    for row in rows {
        let place = || format!("row {:?} of a table for {what}", row.word);
        let word = single_word(&row.word)
            .ok_or_else(|| Error::invalid(place(), "one word", "none or several"))?;
        let mut entries = Vec::with_capacity(row.terms.len());
        for (name, weight) in &row.terms {
            if !(weight.is_finite() && *weight > 0.0) {
                return Err(Error::invalid(
                    format!("weight of term {name:?} in {}", place()),
                    "a finite number above zero",
                    weight.to_string(),
                ));
            }
            entries.push(Entry {
                term: ids[name.as_str()],
                weight: *weight,
                is_own: single_word(name).as_ref() == Some(&word),
            });
        }
        entries.sort_unstable_by_key(|entry| entry.term);
        if entries.windows(2).any(|pair| pair[0].term == pair[1].term) {
            return Err(Error::invalid(
                place(),
                "each term once",
                "one of them twice",
            ));
        }
        if side.insert(word, entries).is_some() {
            return Err(Error::invalid(place(), "one row a word", "a second one"));
        }
    }
    Ok(side)
}

/// The word that `text` is, in the form that texts give; `None` if it is none or several.
fn single_word(text: &str) -> Option<String> {
    // The parts of an identifier come before the whole of it, which begins where they begin.
    let (mut first, mut last) = (None, None);
    text::words(text, |word| {
        first.get_or_insert(word.offset);
        last = Some((word.offset, word.text.to_owned()));
    });
    let (offset, word) = last?;
    (first == Some(offset)).then_some(word)
}

fn fingerprint(names: &BTreeSet<&str>, sides: [&Side; 2]) -> Fingerprint {
    let mut parts: Vec<Vec<u8>> = names.iter().map(|name| name.as_bytes().to_vec()).collect();
    for side in sides {
        let mut rows: Vec<_> = side.iter().collect();
        rows.sort_unstable_by_key(|(word, _)| word.as_str());
        for (word, entries) in rows {
            parts.push(word.as_bytes().to_vec());
            let bytes = entries
                .iter()
                .flat_map(|entry| [entry.term.get().to_le_bytes(), entry.weight.to_le_bytes()]);
            parts.push(bytes.flatten().collect());
        }
        // Keeps a row from wandering to the other side unnoticed.
        parts.push(Vec::new());
    }
    parts.push(text::WORDS_VERSION.to_le_bytes().to_vec());
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    Fingerprint::new("table", &parts)
}

impl TableEncoder {
    /// Begins an empty table.
    #[must_use]
    pub fn builder() -> TableBuilder {
        TableBuilder::default()
    }
}

fn encode(side: &Side, texts: &[&str]) -> Result<Vec<SparseVector>> {
    let encode_one = |text: &&str| {
        let mut weights: BTreeMap<TermId, f32> = BTreeMap::new();
        text::words(text, |word| {
            for entry in side.get(word.text).into_iter().flatten() {
                let weight = weights.entry(entry.term).or_insert(entry.weight);
                *weight = weight.max(entry.weight);
            }
        });
        let (terms, weights) = weights.into_iter().unzip();
        SparseVector::from_sorted(terms, weights)
    };
    texts.iter().map(encode_one).collect()
}

impl Encoder for TableEncoder {
    fn fingerprint(&self) -> Fingerprint {
        self.fingerprint.clone()
    }

    fn term_count(&self) -> u32 {
        // `build` refuses more.
        u32::try_from(self.names.len()).unwrap_or(u32::MAX)
    }

    /// Never fails.
    fn encode_documents(&self, texts: &[&str]) -> Result<Vec<SparseVector>> {
        encode(&self.documents, texts)
    }

    /// Never fails.
    fn encode_queries(&self, texts: &[&str]) -> Result<Vec<SparseVector>> {
        encode(&self.queries, texts)
    }

    fn term(&self, id: TermId) -> Option<Cow<'_, str>> {
        let at = usize::try_from(id.get()).ok()?;
        self.names.get(at).map(|name| Cow::Borrowed(name.as_str()))
    }

    /// The largest weight of a document row.
    fn weight_limit(&self) -> Option<f32> {
        self.weight_limit
    }

    /// The terms that are named as a word of the text.
    fn own_terms(&self, text: &str) -> Result<Option<Vec<TermId>>> {
        let mut own = BTreeSet::new();
        text::words(text, |word| {
            let entries = self.documents.get(word.text).into_iter().flatten();
            own.extend(entries.filter(|entry| entry.is_own).map(|entry| entry.term));
        });
        Ok(Some(own.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(encoder: &TableEncoder, vector: &SparseVector) -> Vec<(String, f32)> {
        let name = |term| encoder.term(term).unwrap().into_owned();
        vector
            .iter()
            .map(|(term, weight)| (name(term), weight))
            .collect()
    }

    #[test]
    fn sides_may_differ() {
        let encoder = TableEncoder::builder()
            .document_row("mutex", [("mutex", 1.0), ("lock", 0.5)])
            .document_row("guards", [("lock", 0.75)])
            .query_row("lock", [("lock", 2.0)])
            .build()
            .unwrap();
        let document = encoder
            .encode_document("a guard of a mutex, the mutex")
            .unwrap();
        assert_eq!(
            ids(&encoder, &document),
            [("lock".into(), 0.75), ("mutex".into(), 1.0)]
        );
        let query = encoder.encode_query("mutex locked").unwrap();
        assert_eq!(ids(&encoder, &query), [("lock".into(), 2.0)]);
        assert_eq!(encoder.weight_limit(), Some(1.0));
        assert_eq!(encoder.term_count(), 2);
        assert_eq!(encoder.term(TermId::from(2)), None);
        let own = encoder.own_terms("guard mutex").unwrap().unwrap();
        assert_eq!(own, [TermId::from(1)], "`lock` came by expansion");
    }

    #[test]
    fn bad_tables_are_refused() {
        let row = |word: &str, terms: &[(&'static str, f32)]| {
            TableEncoder::builder().row(word, terms.to_vec())
        };
        assert!(row("two words", &[]).build().is_err());
        assert!(row("two.words", &[]).build().is_err());
        assert!(row("a a", &[]).build().is_err());
        assert!(row("東京都", &[]).build().is_err());
        assert!(row("", &[]).build().is_err());
        assert!(row("...", &[]).build().is_err());
        assert!(row("a", &[("t", 0.0)]).build().is_err());
        assert!(row("a", &[("t", -1.0)]).build().is_err());
        assert!(row("a", &[("t", f32::NAN)]).build().is_err());
        assert!(row("a", &[("t", f32::INFINITY)]).build().is_err());
        assert!(row("a", &[("t", 1.0), ("t", 1.0)]).build().is_err());
        assert!(row("lock", &[]).row("Locks", [("t", 1.0)]).build().is_err());
        for word in ["readFile", "__init_x__", "東京", "हिन्दी"] {
            assert!(row(word, &[("t", 1.0)]).build().is_ok(), "{word}");
        }
    }

    #[test]
    fn an_empty_table_gives_empty_vectors() {
        let encoder = TableEncoder::builder().build().unwrap();
        assert!(encoder.encode_document("anything").unwrap().is_empty());
        assert_eq!(encoder.weight_limit(), None);
        assert_eq!(encoder.term_count(), 0);
    }

    #[test]
    fn fingerprints_tell_tables_apart() {
        let build = |builder: TableBuilder| builder.build().unwrap().fingerprint();
        let one = build(TableEncoder::builder().document_row("a", [("t", 1.0)]));
        assert_eq!(
            one,
            build(TableEncoder::builder().document_row("a", [("t", 1.0)]))
        );
        for other in [
            TableEncoder::builder().document_row("a", [("t", 2.0)]),
            TableEncoder::builder().document_row("a", [("u", 1.0)]),
            TableEncoder::builder().document_row("b", [("t", 1.0)]),
            TableEncoder::builder().query_row("a", [("t", 1.0)]),
            TableEncoder::builder().row("a", [("t", 1.0)]),
        ] {
            assert_ne!(one, build(other));
        }
    }
}

//! The encoder that needs no model: words weighted as by BM25, told apart by code and prose.
//!
//! A document's weights depend on that document alone. What depends on the collection, the inverse
//! document frequency, is put on the query when it is asked, from the counts that the index keeps;
//! so an index never goes stale.

mod counter;
mod function_words;
mod vocabulary;

use std::borrow::Cow;

pub(super) use self::{counter::term_of, function_words::FunctionWords, vocabulary::Vocabulary};

use self::counter::Counter;
use super::{Encoder, Fingerprint};
use crate::{
    error::{Error, Result},
    id::TermId,
    sparse::SparseVector,
    statistics::Statistics,
    text,
};

/// Terms kept of one document, the heaviest: what an index can hold of one.
const DOCUMENT_TERMS_MAX: usize = 65_535;

/// Changes with every change of the formulas below.
const FORMULA_VERSION: u32 = 1;

/// BM25 impacts as sparse vectors, over [words](text::words) of code and prose.
///
/// The weight of a word in a document is `(k1 + 1) tf / (tf + k1 (1 - b + b length / average))`
/// (Robertson and Zaragoza, *The Probabilistic Relevance Framework*, 2009, equation 3.15), with an
/// average length that is fixed and not the collection's. In code, words of the signature count
/// more. A query has weight 1 for each of its words; [`Encoder::weigh_query`] multiplies
/// `ln(1 + (N - df + 0.5) / (df + 0.5))`.
///
/// Three presets differ in what they take a document for: [`LexicalEncoder::code`],
/// [`LexicalEncoder::text`], and [`LexicalEncoder::auto`], which looks at each document. Vectors of
/// all three can stand in one index, but their fingerprints differ.
///
/// # Terms
///
/// A term id is a hash of its word, with `u32::MAX` values. Of a collection with `n` distinct words
/// a given word shares its id with another one with a probability of about `n / 4.3e9`: 1 in 4,300
/// at a million distinct words, of which then about 230 words are in such pairs. Two words that
/// share an id count as one word, nothing else happens.
///
/// The readable words are remembered by the encoder as it sees them, up to a
/// [limit](LexicalEncoder::known_words); those of the latest documents are always known, so an
/// index can store them. Of a document the first 262,144 distinct words are counted and at most
/// 65,535 terms kept, the heaviest.
///
/// ```
/// use sparsely::{Encoder, LexicalEncoder};
/// let encoder = LexicalEncoder::code();
/// let document = encoder.encode_document("fn open_lock(path: &Path) -> Result<File> {")?;
/// let query = encoder.encode_query("opening a lock")?;
/// let shared: Vec<_> = query
///     .iter()
///     .filter(|(term, _)| document.weight(*term).is_some())
///     .filter_map(|(term, _)| encoder.term(term))
///     .collect();
/// assert_eq!(shared.len(), 2);
/// assert!(shared.contains(&"open".into()) && shared.contains(&"lock".into()));
/// # Ok::<(), sparsely::Error>(())
/// ```
#[derive(Debug)]
pub struct LexicalEncoder {
    gate: Gate,
    code: Saturation,
    text: Saturation,
    signature_weight: f32,
    function_words: FunctionWords,
    vocabulary: Vocabulary,
}

/// What a document is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    Code,
    Text,
    PerDocument,
}

/// How the weight of a word grows with its count and shrinks with the length of its document.
///
/// ```
/// use sparsely::encode::{LexicalEncoder, Saturation};
/// let encoder = LexicalEncoder::text().text_saturation(Saturation::new(0.9, 0.4, 100.0)?);
/// # let _ = encoder;
/// # Ok::<(), sparsely::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Saturation {
    k1: f32,
    b: f32,
    average: f32,
}

/// A part of a document, for [`LexicalEncoder::encode_fields`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field<'a> {
    /// Its text.
    pub text: &'a str,
    /// What one word in it counts; 1 for a body. Finite and at least 0.
    pub weight: f32,
}

impl Saturation {
    /// The constants of BM25: `k1`, at least 0, is how slowly repetition stops to count; `b`, 0 to
    /// 1, is how much length counts; `average` is the length, in words, that counts as neither
    /// short nor long.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for numbers outside these
    /// ranges; `k1` and `average` may not be above a million.
    pub fn new(k1: f32, b: f32, average: f32) -> Result<Saturation> {
        checked("k1 of a saturation", k1, 0.0, 1e6)?;
        checked("b of a saturation", b, 0.0, 1.0)?;
        checked("average length of a saturation", average, 1.0, 1e6)?;
        Ok(Saturation { k1, b, average })
    }

    /// The weight of a word that occurs `count` times in a document of `length` words.
    fn weight(&self, count: f64, length: f64) -> f32 {
        let (k1, b) = (f64::from(self.k1), f64::from(self.b));
        let norm = 1.0 - b + b * length / f64::from(self.average);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "rounding to the precision of weights is meant"
        )]
        let weight = ((k1 + 1.0) * count / (count + k1 * norm)) as f32;
        weight.min(self.limit())
    }

    fn limit(&self) -> f32 {
        self.k1 + 1.0
    }
}

impl LexicalEncoder {
    /// Takes every document for code: k1 2.5, b 1, average length 90, signature weight 2.
    #[must_use]
    pub fn code() -> LexicalEncoder {
        LexicalEncoder::new(Gate::Code)
    }

    /// Takes every document for prose: k1 1.2, b 0.75, average length 130.
    #[must_use]
    pub fn text() -> LexicalEncoder {
        LexicalEncoder::new(Gate::Text)
    }

    /// Takes each document for code or prose as its [share of code](text::code_share) tells.
    #[must_use]
    pub fn auto() -> LexicalEncoder {
        LexicalEncoder::new(Gate::PerDocument)
    }

    fn new(gate: Gate) -> LexicalEncoder {
        // Chosen on CoSQA's development queries and SciFact's training claims.
        LexicalEncoder {
            gate,
            code: Saturation {
                k1: 2.5,
                b: 1.0,
                average: 90.0,
            },
            text: Saturation {
                k1: 1.2,
                b: 0.75,
                average: 130.0,
            },
            signature_weight: 2.0,
            function_words: FunctionWords::with_share(0.2),
            vocabulary: Vocabulary::with_limit(1 << 19),
        }
    }

    /// Weighs code by `saturation`; the default is k1 2.5, b 1, average length 90.
    #[must_use]
    pub fn code_saturation(self, saturation: Saturation) -> LexicalEncoder {
        LexicalEncoder {
            code: saturation,
            ..self
        }
    }

    /// Weighs prose by `saturation`; the default is k1 1.2, b 0.75, average length 130.
    #[must_use]
    pub fn text_saturation(self, saturation: Saturation) -> LexicalEncoder {
        LexicalEncoder {
            text: saturation,
            ..self
        }
    }

    /// Counts a word in the [signature](text::signature) of code as if it stood there `weight`
    /// more times; the default is 2.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) unless `weight` is 0 to 1000.
    pub fn signature_weight(self, weight: f32) -> Result<LexicalEncoder> {
        checked("signature weight", weight, 0.0, 1e3)?;
        Ok(LexicalEncoder {
            signature_weight: weight,
            ..self
        })
    }

    /// Takes English function words ("the", "of", "which") in queries for words that at least
    /// `share` of all documents have; the default is 0.2, and 0 leaves them to the index's own
    /// counts.
    ///
    /// Code has few of them, so that its own counts would make "which" a rare and telling word.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) unless `share` is 0 to 1.
    pub fn function_word_share(self, share: f32) -> Result<LexicalEncoder> {
        checked("share of function words", share, 0.0, 1.0)?;
        Ok(LexicalEncoder {
            function_words: FunctionWords::with_share(share),
            ..self
        })
    }

    /// Remembers about `limit` words for [`Encoder::term`]; the default is 524,288, which takes up
    /// to about 50 MB. Beyond it the words longest unseen are forgotten; the words of the latest
    /// call are always known.
    #[must_use]
    pub fn known_words(self, limit: usize) -> LexicalEncoder {
        LexicalEncoder {
            vocabulary: Vocabulary::with_limit(limit),
            ..self
        }
    }

    /// Encodes a document of several fields that count differently, as a name more than a body. One
    /// field of weight 1 is the same as [`Encoder::encode_document`].
    ///
    /// ```
    /// use sparsely::encode::{Field, LexicalEncoder};
    /// use sparsely::Encoder;
    /// let encoder = LexicalEncoder::text();
    /// let document = encoder.encode_fields(&[
    ///     Field { text: "locks", weight: 3.0 },
    ///     Field { text: "A file is opened by one writer.", weight: 1.0 },
    /// ])?;
    /// let weight = |word| document.weight(encoder.encode_query(word).unwrap().terms()[0]).unwrap();
    /// assert!(weight("lock") > weight("file"));
    /// # Ok::<(), sparsely::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a weight that is not 0 to
    /// 1000.
    pub fn encode_fields(&self, fields: &[Field<'_>]) -> Result<SparseVector> {
        for field in fields {
            checked("weight of a field", field.weight, 0.0, 1e3)?;
        }
        let mut counter = Counter::default();
        let mut learner = self.vocabulary.learner();
        let vector = self.document(fields, &mut counter)?;
        learner.learn(&vector, &counter);
        Ok(vector)
    }

    fn document(&self, fields: &[Field<'_>], counter: &mut Counter) -> Result<SparseVector> {
        counter.clear();
        let is_code = match self.gate {
            Gate::Code => true,
            Gate::Text => false,
            Gate::PerDocument => {
                let longest = fields.iter().max_by_key(|field| field.text.len());
                longest.is_some_and(|field| text::code_share(field.text) > text::CODE_SHARE)
            }
        };
        for field in fields {
            let signature = is_code
                .then(|| text::signature(field.text))
                .flatten()
                .unwrap_or(0..0);
            let inside = field.weight * (1.0 + self.signature_weight);
            text::words(field.text, |word| {
                let in_signature = signature.contains(&word.offset);
                counter.add(word.text, if in_signature { inside } else { field.weight });
            });
        }
        let saturation = if is_code { &self.code } else { &self.text };
        let length = counter.length();
        let vector = counter.vector(|count| saturation.weight(count, length))?;
        Ok(if vector.len() > DOCUMENT_TERMS_MAX {
            vector.keep(DOCUMENT_TERMS_MAX)
        } else {
            vector
        })
    }

    /// The idf of Robertson and Zaragoza's equation 3.3 with the added 1 that keeps it positive.
    fn idf(&self, term: TermId, statistics: &dyn Statistics) -> f32 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "counts over 2^53 would lose nothing that a weight can show"
        )]
        let [documents, mut holders] = [
            statistics.document_count(),
            statistics.document_frequency(term),
        ]
        .map(|count| count as f64);
        if let Some(share) = self.function_words.share(term) {
            holders = holders.max(f64::from(share) * documents);
        }
        let holders = holders.min(documents);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "rounding to the precision of weights is meant"
        )]
        let idf = (1.0 + (documents - holders + 0.5) / (holders + 0.5)).ln() as f32;
        idf
    }
}

impl Encoder for LexicalEncoder {
    fn fingerprint(&self) -> Fingerprint {
        // What only queries feel, the function words, is no reason to refuse an index.
        let numbers = [
            self.code.k1,
            self.code.b,
            self.code.average,
            self.text.k1,
            self.text.b,
            self.text.average,
            self.signature_weight,
        ];
        let numbers: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        let versions = [FORMULA_VERSION, text::WORDS_VERSION].map(u32::to_le_bytes);
        let name = match self.gate {
            Gate::Code => "lexical-code",
            Gate::Text => "lexical-text",
            Gate::PerDocument => "lexical-auto",
        };
        Fingerprint::new(name, &[versions.as_flattened(), &numbers])
    }

    fn term_count(&self) -> u32 {
        u32::MAX
    }

    /// Never fails.
    fn encode_documents(&self, texts: &[&str]) -> Result<Vec<SparseVector>> {
        let mut counter = Counter::default();
        let mut learner = self.vocabulary.learner();
        let mut vectors = Vec::with_capacity(texts.len());
        for text in texts {
            let field = Field { text, weight: 1.0 };
            let vector = self.document(&[field], &mut counter)?;
            learner.learn(&vector, &counter);
            vectors.push(vector);
        }
        Ok(vectors)
    }

    /// Never fails. A word that stands twice in a query counts once: on the collections at hand
    /// that was as good as any count.
    fn encode_queries(&self, texts: &[&str]) -> Result<Vec<SparseVector>> {
        let mut counter = Counter::default();
        let mut learner = self.vocabulary.learner();
        let mut vectors = Vec::with_capacity(texts.len());
        for text in texts {
            counter.clear();
            text::words(text, |word| counter.add(word.text, 1.0));
            let vector = counter.vector(|_| 1.0)?;
            learner.learn(&vector, &counter);
            vectors.push(vector);
        }
        Ok(vectors)
    }

    fn term(&self, id: TermId) -> Option<Cow<'_, str>> {
        self.vocabulary.word(id).map(Cow::Owned)
    }

    fn weigh_query(&self, query: SparseVector, statistics: &dyn Statistics) -> SparseVector {
        let weigh = |(term, weight): (TermId, f32)| weight * self.idf(term, statistics);
        let weights = query.iter().map(weigh).collect();
        // Idfs are above zero and below 45, so only a weight at the edge of f32 could break a rule.
        SparseVector::from_sorted(query.terms().to_vec(), weights).unwrap_or(query)
    }

    fn uses_statistics(&self) -> bool {
        true
    }

    fn weight_limit(&self) -> Option<f32> {
        Some(match self.gate {
            Gate::Code => self.code.limit(),
            Gate::Text => self.text.limit(),
            Gate::PerDocument => self.code.limit().max(self.text.limit()),
        })
    }

    fn has_open_vocabulary(&self) -> bool {
        true
    }
}

fn checked(what: &str, value: f32, least: f32, most: f32) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Error::invalid(
        what,
        format!("{least} to {most}"),
        value.to_string(),
    ))
}

#[cfg(test)]
mod tests {
    use super::{counter::term_of, *};

    #[derive(Debug)]
    struct Counts(u64, Vec<(&'static str, u64)>);

    impl Statistics for Counts {
        fn document_count(&self) -> u64 {
            self.0
        }

        fn document_frequency(&self, term: TermId) -> u64 {
            let mut counts = self.1.iter();
            counts
                .find(|(word, _)| term_of(word) == term)
                .map_or(0, |(_, count)| *count)
        }
    }

    fn weight(vector: &SparseVector, word: &str) -> f32 {
        vector.weight(term_of(word)).expect("the word is there")
    }

    #[test]
    fn weights_are_worked_by_hand() {
        let encoder = LexicalEncoder::text();
        let vector = encoder.encode_document("lock file lock").unwrap();
        let norm = 1.2 * (0.25 + 0.75 * 3.0 / 130.0);
        assert!((weight(&vector, "lock") - 4.4 / (2.0 + norm)).abs() < 1e-6);
        assert!((weight(&vector, "file") - 2.2 / (1.0 + norm)).abs() < 1e-6);

        // Two words inside the signature count 3 each, one outside counts 1.
        let encoder = LexicalEncoder::code();
        let vector = encoder.encode_document("def lock:\n file").unwrap();
        let norm = 2.5 * 7.0 / 90.0;
        assert!((weight(&vector, "lock") - 3.5 * 3.0 / (3.0 + norm)).abs() < 1e-6);
        assert!((weight(&vector, "file") - 3.5 / (1.0 + norm)).abs() < 1e-6);
    }

    #[test]
    fn the_gate_looks_at_each_document() {
        let code = "fn f() { g(); }";
        let prose = "A writer opens the lock.";
        let auto = LexicalEncoder::auto()
            .encode_documents(&[code, prose])
            .unwrap();
        assert_eq!(
            auto[0],
            LexicalEncoder::code().encode_document(code).unwrap()
        );
        assert_eq!(
            auto[1],
            LexicalEncoder::text().encode_document(prose).unwrap()
        );
        assert_ne!(
            auto[1],
            LexicalEncoder::code().encode_document(prose).unwrap()
        );
    }

    #[test]
    fn no_weight_is_over_the_limit() {
        let texts = [
            "a",
            &"a ".repeat(100_000),
            &format!("def {}:\n", "a ".repeat(100)),
            "",
        ];
        for encoder in [
            LexicalEncoder::code(),
            LexicalEncoder::text(),
            LexicalEncoder::auto(),
        ] {
            let limit = encoder.weight_limit().unwrap();
            let encoder = encoder.signature_weight(1000.0).unwrap();
            for vector in encoder.encode_documents(&texts).unwrap() {
                assert!(vector.weights().iter().all(|w| *w > 0.0 && *w <= limit));
            }
        }
    }

    #[test]
    fn queries_take_idf_from_the_index() {
        let encoder = LexicalEncoder::code();
        let counts = Counts(
            1000,
            vec![("lock", 10), ("fil", 990), ("file", 990), ("the", 1)],
        );
        let query = encoder
            .encode_query_for("the lock file lock", &counts)
            .unwrap();
        let idf = |df: f32| (1.0 + (1000.5 - df) / (df + 0.5)).ln();
        assert!((weight(&query, "lock") - idf(10.0)).abs() < 1e-5);
        assert!((weight(&query, "file") - idf(990.0)).abs() < 1e-5);
        assert!(
            (weight(&query, "the") - idf(200.0)).abs() < 1e-5,
            "a function word"
        );
        let plain = LexicalEncoder::code().function_word_share(0.0).unwrap();
        let query = plain.encode_query_for("the", &counts).unwrap();
        assert!((weight(&query, "the") - idf(1.0)).abs() < 1e-5);
    }

    #[test]
    fn an_empty_or_lying_index_is_no_trouble() {
        let encoder = LexicalEncoder::auto();
        for counts in [
            Counts(0, vec![]),
            Counts(3, vec![("lock", 9)]),
            Counts(u64::MAX, vec![]),
        ] {
            let query = encoder.encode_query_for("lock the file", &counts).unwrap();
            assert_eq!(query.len(), 3);
            assert!(query.weights().iter().all(|w| w.is_finite() && *w > 0.0));
        }
        assert!(
            encoder
                .encode_query_for("", &Counts(1, vec![]))
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn fingerprints_tell_what_changes_documents() {
        let code = LexicalEncoder::code().fingerprint();
        assert_eq!(code, LexicalEncoder::code().fingerprint());
        assert_ne!(code, LexicalEncoder::auto().fingerprint());
        let other =
            LexicalEncoder::code().code_saturation(Saturation::new(1.2, 0.75, 90.0).unwrap());
        assert_ne!(code, other.fingerprint());
        let heavy = LexicalEncoder::code().signature_weight(3.0).unwrap();
        assert_ne!(code, heavy.fingerprint());
        let queries_only = LexicalEncoder::code().function_word_share(0.5).unwrap();
        assert_eq!(code, queries_only.fingerprint());
    }

    #[test]
    fn parameters_are_checked() {
        assert!(Saturation::new(-0.1, 0.5, 1.0).is_err());
        assert!(Saturation::new(1.0, 1.1, 1.0).is_err());
        assert!(Saturation::new(1.0, 1.0, 0.0).is_err());
        assert!(Saturation::new(f32::NAN, 1.0, 1.0).is_err());
        assert!(
            LexicalEncoder::code()
                .signature_weight(f32::INFINITY)
                .is_err()
        );
        assert!(LexicalEncoder::code().function_word_share(1.5).is_err());
        let field = Field {
            text: "a",
            weight: -1.0,
        };
        assert!(LexicalEncoder::code().encode_fields(&[field]).is_err());
    }

    #[test]
    fn fields_add_up() {
        let encoder = LexicalEncoder::auto();
        let text = "fn open_lock() { file }";
        let one = encoder
            .encode_fields(&[Field { text, weight: 1.0 }])
            .unwrap();
        assert_eq!(one, encoder.encode_document(text).unwrap());
        assert!(encoder.encode_fields(&[]).unwrap().is_empty());
        let silent = Field {
            text: "silent",
            weight: 0.0,
        };
        assert!(encoder.encode_fields(&[silent]).unwrap().is_empty());
    }

    #[test]
    fn a_document_of_too_many_words_keeps_the_heaviest() {
        let mut text = "often often ".to_owned();
        for word in 0..70_000_u32 {
            let letter =
                |shift: u32| char::from(b'b' + u8::try_from((word >> shift) & 15).unwrap());
            text.extend([letter(0), letter(4), letter(8), letter(12), letter(16), ' ']);
        }
        let vector = LexicalEncoder::text().encode_document(&text).unwrap();
        assert_eq!(vector.len(), DOCUMENT_TERMS_MAX);
        assert!(vector.weight(term_of("often")).is_some());
    }
}

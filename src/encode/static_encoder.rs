//! Learned expansion by table: no model to run, no download, a look-up a word.
//!
//! A document of code gets its own words, weighted as by BM25 with what stands in its signature
//! counting more, and up to a hundred words that its own words stand for; prose keeps its own
//! words only. A query is one look-up a word. What a word is worth in a collection is mixed from
//! the collection's own document frequencies and those of the training passages, so that a small
//! index borrows what a large one would know. The weights of documents never depend on the
//! collection.
//!
//! What is learned gives way where it has nothing to say: other words move the weight of a
//! document's own word in part only, and the fewer of a query's words the table knows, the nearer
//! its weights are to those of words alone.

mod weights;

use std::{borrow::Cow, cell::RefCell, ops::Range};

use self::weights::{PRIOR_DOCUMENTS, SIGNATURE_OCCURRENCES, idf, prose_weight};
pub(crate) use self::weights::{code_weight, own_weight, prior_idf, squashed};
#[cfg(feature = "train")]
pub(crate) use self::weights::{frequency, own_slopes, squashed_slope};
use super::lexical::{self, FunctionWords, Vocabulary};
use crate::{
    encode::{Encoder, Fingerprint, StaticTable},
    error::Result,
    id::TermId,
    sparse::SparseVector,
    statistics::Statistics,
    text::{CODE_SHARE, WORDS_VERSION, Word, code_share, signature, words},
};

/// Rises with every change of the weights that a table and a text give.
const RECIPE_VERSION: u32 = 2;

/// Ids are below this: first the words of the table, then the mark of code, then words that the
/// table does not know, by a hash.
const TERM_COUNT: u32 = u32::MAX;

/// Words that the table does not know are remembered for explanations, about this many.
const KNOWN_WORDS: usize = 1 << 19;
/// Terms kept of one document, the heaviest: what an index can hold of one.
const DOCUMENT_TERMS_MAX: usize = 65_535;

/// How many words a document of code gets that it does not have itself, unless
/// [`StaticEncoder::expansion`] says otherwise.
const EXPANSION: usize = 100;
/// An added word must weigh more than this.
const EXPANSION_WEIGHT_MIN: f32 = 0.02;
/// Function words count in queries as if this share of documents had them.
const FUNCTION_WORD_SHARE: f32 = 0.2;
/// The weight of the mark of code: the smallest impact, as no query asks for it.
const MARK_WEIGHT: f32 = 1e-6;
/// No weight of a document is above this: the largest seen over a million passages was 4.4, and a
/// heavier one saturates.
const WEIGHT_LIMIT: f32 = 4.5;

/// Learned sparse vectors by a table of words: better retrieval of code than BM25 at the cost of
/// BM25.
///
/// Words are those of [`words`](crate::text::words), as for
/// [`LexicalEncoder`](crate::LexicalEncoder). Texts that are not code
/// ([`code_share`](crate::text::code_share)) are weighted by their own words only.
///
/// The ids of words that the table does not know are hashes, as those of
/// [`LexicalEncoder`](crate::LexicalEncoder) are, with what is said there on collisions; the
/// encoder remembers about 500,000 of these words for explanations.
///
/// The weights of a query come to their own through
/// [`weigh_query`](Encoder::weigh_query), so ask with
/// [`encode_query_for`](Encoder::encode_query_for).
///
/// ```
/// # #[cfg(feature = "static-table")] {
/// use sparsely::{Encoder, StaticEncoder};
/// let encoder = StaticEncoder::embedded()?;
/// let sort = encoder.encode_document("fn f(v: &mut Vec<u32>) { v.sort_unstable(); v[0] }")?;
/// let query = encoder.encode_query("smallest of a list")?;
/// assert!(sort.len() > 10);
/// # let _ = query;
/// # }
/// # Ok::<(), sparsely::Error>(())
/// ```
#[derive(Debug)]
pub struct StaticEncoder {
    table: StaticTable,
    expansion: usize,
    /// Of the words that the table does not know.
    vocabulary: Vocabulary,
    function_words: FunctionWords,
}

/// A word of a passage and what it gave to a term of the passage's vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// The word, as in [`words`](crate::text::words).
    pub word: String,
    /// Where it stands for the first time: the byte at which it begins.
    pub offset: usize,
    /// Its part of the sum under the logarithm; negative where it speaks against the term. Of a
    /// term that the passage has itself, what other words say counts in part only.
    pub part: f32,
}

impl StaticEncoder {
    /// An encoder by `table`.
    #[must_use]
    pub fn new(table: StaticTable) -> StaticEncoder {
        let number = |word: &Word<'_>| TermId::from(term_of(&table, word));
        StaticEncoder {
            function_words: FunctionWords::numbered(FUNCTION_WORD_SHARE, number),
            table,
            expansion: EXPANSION,
            vocabulary: Vocabulary::with_limit(KNOWN_WORDS),
        }
    }

    /// An encoder by the table that comes with this library.
    ///
    /// # Errors
    /// None as published; see [`StaticTable::embedded`].
    #[cfg(feature = "static-table")]
    pub fn embedded() -> Result<StaticEncoder> {
        Ok(StaticEncoder::new(StaticTable::embedded()?))
    }

    /// Adds at most `count` words to a document (100 unless told): 32 make an index half as large
    /// for a point of quality.
    #[must_use]
    pub fn expansion(mut self, count: usize) -> StaticEncoder {
        self.expansion = count;
        self
    }

    /// The table behind it.
    #[must_use]
    pub fn table(&self) -> &StaticTable {
        &self.table
    }

    /// How far what was learned applies to `query`, 0 to 1: the cube of the share of its distinct
    /// words that the table knows, 0 where it has none. Questions about code in English have 1 or
    /// little less, in Spanish or Russian 0.1 and less.
    ///
    /// The encoder heeds it by itself. In a [`Fusion`](crate::Fusion) with words alone it is the
    /// weight of this encoder's list, and what is missing to 1 that of the words' list.
    ///
    /// ```
    /// # #[cfg(feature = "static-table")] {
    /// use sparsely::StaticEncoder;
    /// let encoder = StaticEncoder::embedded()?;
    /// assert_eq!(encoder.trust("read a file line by line"), 1.0);
    /// assert!(encoder.trust("прочитать файл построчно") < 0.1);
    /// # }
    /// # Ok::<(), sparsely::Error>(())
    /// ```
    #[must_use]
    pub fn trust(&self, query: &str) -> f32 {
        let mut terms = Vec::new();
        words(query, |word| terms.push(term_of(&self.table, &word)));
        terms.sort_unstable();
        terms.dedup();
        self.trust_in(terms.into_iter())
    }

    /// Which words of `text` gave it `term`, those that gave the most first. Empty for prose and
    /// for words the table does not know, whose only source is the word itself.
    #[must_use]
    pub fn sources(&self, text: &str, term: TermId) -> Vec<Source> {
        let own = OwnWords::count(&self.table, text);
        if !own.is_code || term.get() >= self.table.word_count() {
            return Vec::new();
        }
        let length = own.length();
        let mut sources: Vec<Source> = own
            .terms
            .iter()
            .filter_map(|count| {
                let weight = code_weight(count.frequency(), length);
                let row = self.table.row(count.term);
                let mut part: f32 = row
                    .filter(|(target, _)| *target == term.get())
                    .map(|(_, value)| value * weight)
                    .sum();
                if count.term == term.get() {
                    part += weight * self.table.own_factor(count.term);
                }
                (part != 0.0).then(|| Source {
                    word: self.table.word(count.term).unwrap_or_default().to_owned(),
                    offset: count.offset,
                    part,
                })
            })
            .collect();
        sources.sort_by(|a, b| b.part.total_cmp(&a.part).then(a.offset.cmp(&b.offset)));
        sources
    }

    /// The term that documents of code carry, so that an index knows their share.
    fn mark(&self) -> u32 {
        self.table.word_count()
    }

    fn document(&self, text: &str, room: &mut Room) -> Result<SparseVector> {
        let vector = self.whole_document(text, room)?;
        Ok(if vector.len() > DOCUMENT_TERMS_MAX {
            vector.keep(DOCUMENT_TERMS_MAX)
        } else {
            vector
        })
    }

    fn whole_document(&self, text: &str, room: &mut Room) -> Result<SparseVector> {
        let own = OwnWords::count(&self.table, text);
        self.remember(text, &own);
        if !own.is_code {
            let length = own.length();
            return SparseVector::new(own.terms.iter().map(|count| {
                let weight = prose_weight(count.frequency(), length);
                (count.term, weight)
            }));
        }
        let length = own.length();
        room.begin(self.table.target_count() as usize);
        for count in &own.terms {
            let weight = code_weight(count.frequency(), length);
            for (target, value) in self.table.row(count.term) {
                room.add(target, value * weight);
            }
        }
        let mut pairs = Vec::with_capacity(own.terms.len() + self.expansion + 1);
        for count in &own.terms {
            let weight = code_weight(count.frequency(), length);
            let learned = weight * self.table.own_factor(count.term);
            pairs.push((
                count.term,
                own_weight(weight, learned, room.take(count.term)),
            ));
        }
        pairs.push((self.mark(), MARK_WEIGHT));
        self.expand(room, &mut pairs);
        SparseVector::new(pairs)
    }

    /// Remembers the words of `text` that the table does not know.
    fn remember(&self, text: &str, own: &OwnWords) {
        let mut learner = self.vocabulary.learner();
        let known = self.table.word_count();
        if own.terms.last().is_none_or(|last| last.term < known) {
            return;
        }
        words(text, |word| {
            if self.table.find(word.text).is_none() {
                learner.learn_word(TermId::from(term_of(&self.table, &word)), word.text);
            }
        });
    }

    /// Adds the words that the sums left in `room` speak for, those worth the most first.
    fn expand(&self, room: &mut Room, pairs: &mut Vec<(u32, f32)>) {
        room.ranked.clear();
        for &target in &room.touched {
            // Taken out, because a sum that went through zero was noted twice.
            let x = squashed(std::mem::take(&mut room.sums[target as usize]));
            if x > EXPANSION_WEIGHT_MIN {
                let worth = x * prior_idf(self.table.share(target));
                room.ranked.push((worth, target, x));
            }
        }
        let better =
            |a: &(f32, u32, f32), b: &(f32, u32, f32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        if room.ranked.len() > self.expansion {
            if self.expansion > 0 {
                room.ranked
                    .select_nth_unstable_by(self.expansion - 1, better);
            }
            room.ranked.truncate(self.expansion);
        }
        pairs.extend(room.ranked.iter().map(|&(_, target, x)| (target, x)));
    }

    fn query(&self, text: &str) -> Result<SparseVector> {
        let mut terms = Vec::new();
        words(text, |word| terms.push(term_of(&self.table, &word)));
        terms.sort_unstable();
        let distinct = || terms.chunk_by(|a, b| a == b);
        let trust = self.trust_in(distinct().map(|same| same[0]));
        SparseVector::new(distinct().map(|same| {
            // The square root was worth 0.3 points on CoSQA's development queries, more where
            // queries are long.
            let repetition = precise(same.len() as u64).sqrt();
            let weight = self.table.query_factor(same[0]) * repetition;
            (same[0], weight.powf(trust))
        }))
    }

    /// [`StaticEncoder::trust`] of a query of these distinct terms.
    fn trust_in(&self, terms: impl Iterator<Item = u32>) -> f32 {
        let (mut known, mut all) = (0, 0);
        for term in terms {
            known += u64::from(term < self.table.word_count());
            all += 1;
        }
        (precise(known) / precise(all.max(1))).powi(3)
    }
}

impl Encoder for StaticEncoder {
    fn fingerprint(&self) -> Fingerprint {
        let table = crc32fast::hash(self.table.as_bytes());
        let expansion = self.expansion as u64;
        Fingerprint::new(
            "static",
            &[
                &RECIPE_VERSION.to_le_bytes(),
                &WORDS_VERSION.to_le_bytes(),
                &table.to_le_bytes(),
                &expansion.to_le_bytes(),
            ],
        )
    }

    fn term_count(&self) -> u32 {
        TERM_COUNT
    }

    fn encode_documents(&self, texts: &[&str]) -> Result<Vec<SparseVector>> {
        thread_local! {
            static ROOM: RefCell<Room> = RefCell::default();
        }
        ROOM.with_borrow_mut(|room| texts.iter().map(|text| self.document(text, room)).collect())
    }

    fn encode_queries(&self, texts: &[&str]) -> Result<Vec<SparseVector>> {
        texts.iter().map(|text| self.query(text)).collect()
    }

    fn term(&self, id: TermId) -> Option<Cow<'_, str>> {
        if id.get() == self.mark() {
            return Some(Cow::Borrowed("(code)"));
        }
        match self.table.word(id.get()) {
            Some(word) => Some(Cow::Borrowed(word)),
            None => self.vocabulary.word(id).map(Cow::Owned),
        }
    }

    /// Multiplies each weight with an inverse document frequency in which the training passages
    /// count as 10,000 documents times the share of code in the collection, and less for queries
    /// with words that the table does not know. A collection without counts is taken for a small
    /// one of code. English function words count as if one document in five had them.
    fn weigh_query(&self, query: SparseVector, statistics: &dyn Statistics) -> SparseVector {
        let frequency = |term| precise(statistics.document_frequency(term));
        let code = frequency(TermId::from(self.mark()));
        let frequencies: Vec<f32> = query.terms().iter().map(|&term| frequency(term)).collect();
        let counts = code > 0.0 || frequencies.iter().any(|&frequency| frequency > 0.0);
        let documents = precise(statistics.document_count());
        let (documents, prior) = match documents {
            documents if counts && documents > 0.0 => {
                let trust = self.trust_in(query.terms().iter().map(|term| term.get()));
                (
                    documents,
                    PRIOR_DOCUMENTS * (code / documents).min(1.0) * trust,
                )
            }
            _ => (0.0, PRIOR_DOCUMENTS),
        };
        let weights = query
            .iter()
            .zip(frequencies)
            .map(|((term, weight), frequency)| {
                let mut holders = frequency + prior * self.share(term);
                if let Some(share) = self.function_words.share(term) {
                    holders = holders.max(share * (documents + prior));
                }
                weight * idf(documents + prior, holders)
            });
        let weights = weights.collect();
        SparseVector::from_sorted(query.terms().to_vec(), weights).unwrap_or(query)
    }

    fn uses_statistics(&self) -> bool {
        true
    }

    fn weight_limit(&self) -> Option<f32> {
        Some(WEIGHT_LIMIT)
    }

    fn own_terms(&self, text: &str) -> Result<Option<Vec<TermId>>> {
        let own = OwnWords::count(&self.table, text);
        let mark = own.is_code.then_some(self.mark());
        let mut terms: Vec<u32> = own.terms.iter().map(|count| count.term).collect();
        terms.extend(mark);
        terms.sort_unstable();
        let mut terms: Vec<TermId> = terms.into_iter().map(TermId::from).collect();
        if terms.len() + self.expansion > DOCUMENT_TERMS_MAX {
            let vector = self.encode_document(text)?;
            terms.retain(|term| vector.weight(*term).is_some());
        }
        Ok(Some(terms))
    }

    fn has_open_vocabulary(&self) -> bool {
        true
    }
}

impl StaticEncoder {
    fn share(&self, term: TermId) -> f32 {
        if term.get() < self.table.word_count() {
            self.table.share(term.get())
        } else {
            0.0
        }
    }
}

/// The id of a word: its number in the table, or a hash above the mark.
fn term_of(table: &StaticTable, word: &Word<'_>) -> u32 {
    if let Some(id) = table.find(word.text) {
        return id;
    }
    let first = table.word_count() + 1;
    first + lexical::term_of(word.text).get() % (TERM_COUNT - first)
}

/// How often a word stands in a text.
struct Count {
    term: u32,
    occurrences: f32,
    in_signature: f32,
    /// Where it stands first.
    offset: usize,
}

impl Count {
    fn frequency(&self) -> f32 {
        self.occurrences + SIGNATURE_OCCURRENCES * self.in_signature
    }
}

/// The words of a text by rising term.
struct OwnWords {
    terms: Vec<Count>,
    is_code: bool,
}

impl OwnWords {
    fn count(table: &StaticTable, text: &str) -> OwnWords {
        let is_code = code_share(text) > CODE_SHARE;
        let head: Option<Range<usize>> = is_code.then(|| signature(text)).flatten();
        let mut found = Vec::with_capacity(text.len() / 6);
        words(text, |word| {
            found.push((term_of(table, &word), word.offset))
        });
        found.sort_unstable();
        let mut terms: Vec<Count> = Vec::new();
        for (term, offset) in found {
            let inside = head.as_ref().is_some_and(|head| head.contains(&offset));
            let in_signature = if inside { 1.0 } else { 0.0 };
            match terms.last_mut() {
                Some(last) if last.term == term => {
                    last.occurrences += 1.0;
                    last.in_signature += in_signature;
                }
                _ => terms.push(Count {
                    term,
                    occurrences: 1.0,
                    in_signature,
                    offset,
                }),
            }
        }
        OwnWords { terms, is_code }
    }

    fn length(&self) -> f32 {
        self.terms.iter().map(Count::frequency).sum()
    }
}

/// Sums over the targets of a table, kept between documents: zero wherever no document is at work.
#[derive(Default)]
struct Room {
    sums: Vec<f32>,
    touched: Vec<u32>,
    ranked: Vec<(f32, u32, f32)>,
}

impl Room {
    fn begin(&mut self, targets: usize) {
        for &target in &self.touched {
            self.sums[target as usize] = 0.0;
        }
        self.touched.clear();
        if self.sums.len() < targets {
            self.sums.resize(targets, 0.0);
        }
    }

    fn add(&mut self, target: u32, part: f32) {
        let sum = &mut self.sums[target as usize];
        if *sum == 0.0 {
            self.touched.push(target);
        }
        *sum += part;
    }

    /// The sum of `term`, which is zero from here on.
    fn take(&mut self, term: u32) -> f32 {
        let sum = self.sums.get_mut(term as usize);
        sum.map_or(0.0, std::mem::take)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts go into a logarithm; 24 bits are plenty"
)]
fn precise(count: u64) -> f32 {
    count as f32
}

#[cfg(test)]
mod tests;

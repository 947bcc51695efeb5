//! Filters to sets of documents, one segment at a time.
//!
//! Sets stay as small as they are: a list while few documents match, bits otherwise, borrowed from
//! the file where a single frequent value is asked for. The cost of a condition is the smaller of
//! its result and one bit per document.

use std::borrow::Cow;

use super::{
    doc_set::DocSet,
    filter::{Condition, Filter},
};
use crate::{
    error::Result,
    id::DocId,
    segment::{LiveSegment, Segment, Selection},
};

/// A set turns from a list to bits when one document in so many is in it.
const LIST_SHARE: u64 = 32;

/// The live documents of a segment that `filter`, already checked, admits.
pub(super) fn admitted<'a>(live: &'a LiveSegment, filter: Option<&Filter>) -> Result<DocSet<'a>> {
    let segment = live.segment();
    let matching = match filter {
        None => DocSet::All,
        Some(filter) => evaluate(segment, filter)?,
    };
    Ok(match live.live_bits() {
        None => matching,
        Some(words) => and(matching, DocSet::Bits(Cow::Borrowed(words))),
    })
}

/// Calls `visit` with every document of a set, rising.
pub(super) fn for_each(
    set: &DocSet<'_>,
    doc_count: u32,
    mut visit: impl FnMut(DocId) -> Result<()>,
) -> Result<()> {
    match set {
        DocSet::All => (0..doc_count).try_for_each(|doc| visit(DocId(doc))),
        DocSet::Few(docs) => docs.iter().try_for_each(|doc| visit(*doc)),
        DocSet::Bits(words) => {
            for (base, &word) in (0..doc_count).step_by(64).zip(words.iter()) {
                let mut left = word;
                while left != 0 {
                    let doc = base + left.trailing_zeros();
                    if doc < doc_count {
                        visit(DocId(doc))?;
                    }
                    left &= left - 1;
                }
            }
            Ok(())
        }
    }
}

fn evaluate<'a>(segment: &'a Segment, filter: &Filter) -> Result<DocSet<'a>> {
    let doc_count = segment.doc_count();
    match &filter.0 {
        Condition::IsIn(name, values) => segment.fields().equal_to(name, values).map(selected),
        Condition::Between(name, least, most) => {
            segment.fields().between(name, *least, *most).map(selected)
        }
        Condition::Nothing(_) => Ok(none()),
        Condition::KeyPrefix(prefix) => with_prefix(segment, prefix),
        Condition::Not(filter) => Ok(not(evaluate(segment, filter)?, doc_count)),
        Condition::And(filters) => {
            let mut all = DocSet::All;
            for filter in filters {
                all = and(all, evaluate(segment, filter)?);
            }
            Ok(all)
        }
        Condition::Or(filters) => {
            let mut any = none();
            for filter in filters {
                any = or(any, evaluate(segment, filter)?, doc_count);
            }
            Ok(any)
        }
    }
}

fn with_prefix<'a>(segment: &Segment, prefix: &[u8]) -> Result<DocSet<'a>> {
    let ranks = segment.ranks_with_prefix(prefix)?;
    let doc_count = segment.doc_count();
    if ranks == (0..doc_count) {
        return Ok(DocSet::All);
    }
    if (ranks.len() as u64) * LIST_SHARE < u64::from(doc_count) {
        let docs: Result<Vec<DocId>> = ranks.map(|rank| segment.doc_of_rank(rank)).collect();
        let mut docs = docs?;
        docs.sort_unstable();
        docs.dedup();
        return Ok(DocSet::Few(Cow::Owned(docs)));
    }
    let mut words = vec![0; word_count(doc_count)];
    for rank in ranks {
        insert(&mut words, segment.doc_of_rank(rank)?);
    }
    Ok(DocSet::Bits(Cow::Owned(words)))
}

fn selected(selection: Selection<'_>) -> DocSet<'_> {
    match selection {
        Selection::Bits(words) => DocSet::Bits(words),
        Selection::Few(docs) => DocSet::Few(Cow::Owned(docs)),
    }
}

fn none<'a>() -> DocSet<'a> {
    DocSet::Few(Cow::Borrowed(&[]))
}

fn and<'a>(left: DocSet<'a>, right: DocSet<'a>) -> DocSet<'a> {
    match (left, right) {
        (DocSet::All, other) | (other, DocSet::All) => other,
        (DocSet::Few(few), other) | (other, DocSet::Few(few)) => {
            let mut few = few.into_owned();
            few.retain(|doc| other.contains(*doc));
            DocSet::Few(Cow::Owned(few))
        }
        (DocSet::Bits(left), DocSet::Bits(right)) => {
            let words = left.iter().zip(right.iter()).map(|(a, b)| a & b);
            DocSet::Bits(words.collect())
        }
    }
}

fn or<'a>(left: DocSet<'a>, right: DocSet<'a>, doc_count: u32) -> DocSet<'a> {
    match (left, right) {
        (DocSet::All, _) | (_, DocSet::All) => DocSet::All,
        (DocSet::Few(few), other) | (other, DocSet::Few(few)) if few.is_empty() => other,
        (DocSet::Few(left), DocSet::Few(right))
            if ((left.len() + right.len()) as u64) * LIST_SHARE < u64::from(doc_count) =>
        {
            let mut docs = left.into_owned();
            docs.extend_from_slice(&right);
            docs.sort_unstable();
            docs.dedup();
            DocSet::Few(Cow::Owned(docs))
        }
        (left, right) => {
            let mut words = to_words(left, doc_count);
            match right {
                DocSet::Few(docs) => docs.iter().for_each(|doc| insert(&mut words, *doc)),
                right => {
                    let right = to_words(right, doc_count);
                    for (word, more) in words.iter_mut().zip(right) {
                        *word |= more;
                    }
                }
            }
            DocSet::Bits(Cow::Owned(words))
        }
    }
}

fn not<'a>(set: DocSet<'a>, doc_count: u32) -> DocSet<'a> {
    match set {
        DocSet::All => none(),
        DocSet::Few(docs) if docs.is_empty() => DocSet::All,
        set => {
            let mut words = to_words(set, doc_count);
            for word in &mut words {
                *word = !*word;
            }
            DocSet::Bits(Cow::Owned(words))
        }
    }
}

fn to_words(set: DocSet<'_>, doc_count: u32) -> Vec<u64> {
    let len = word_count(doc_count);
    match set {
        DocSet::All => vec![u64::MAX; len],
        DocSet::Bits(words) => {
            let mut words = words.into_owned();
            words.resize(len, 0);
            words
        }
        DocSet::Few(docs) => {
            let mut words = vec![0; len];
            docs.iter().for_each(|doc| insert(&mut words, *doc));
            words
        }
    }
}

fn insert(words: &mut [u64], doc: DocId) {
    if let Some(word) = words.get_mut(doc.index() / 64) {
        *word |= 1 << (doc.0 % 64);
    }
}

fn word_count(doc_count: u32) -> usize {
    DocId(doc_count.div_ceil(64)).index()
}

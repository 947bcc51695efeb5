//! Writes the windowed layout: a pass to count, one to write vectors, then lists in passes over
//! ranges of terms.
//!
//! Memory is that of the postings of a range, as many as may be used, and tables of terms, lists and
//! documents. More postings mean more passes over the source, not more memory.

use std::ops::Range;

use super::{
    HEAD, HEAD_LEN,
    term_map::TermMap,
    vectors::{EncodedVectors, VectorsWriter},
    windows::{LAYOUT, LISTS, POSTINGS, TERMS, WINDOW_LEN},
};
use crate::{
    error::{Error, Result},
    format::FileWriter,
    id::{DocId, TermId},
    progress::Progress,
    quantize::ImpactVector,
    segment::{
        parallel::{Resources, in_order},
        source::ImpactSource,
    },
};

/// Documents of a piece of counting and of vectors.
const PIECE: u32 = 8192;

/// Bytes that a posting takes while it is sorted, and then until it is written.
const SORTED_LEN: usize = 8;
const WRITTEN_LEN: usize = 3;

/// The share of memory for postings: the documents themselves may be in memory, too.
const POSTINGS_SHARE: usize = 3;

pub(super) fn write(
    source: &dyn ImpactSource,
    resources: Resources,
    file: &mut FileWriter,
    progress: &mut Progress<'_>,
) -> Result<()> {
    let terms = count_terms(source, resources, progress)?;
    write_vectors(source, &terms, resources, file, progress)?;
    let (list_count, posting_count) = write_lists(source, &terms, resources, file, progress)?;
    let mut head = Vec::with_capacity(HEAD_LEN);
    let term_count = u32::try_from(terms.len()).unwrap_or(u32::MAX);
    let fields = [
        LAYOUT,
        source.doc_count(),
        term_count,
        list_count,
        posting_count,
        WINDOW_LEN,
    ];
    head.extend(fields.iter().flat_map(|field| field.to_le_bytes()));
    head.resize(HEAD_LEN, 0);
    file.section(HEAD, &head)
}

/// Writes the lists of terms, given by rising term with their numbers of documents; returns how
/// many lists and postings there are.
pub(super) fn write_lists(
    source: &dyn ImpactSource,
    terms: &[(TermId, u32)],
    resources: Resources,
    file: &mut FileWriter,
    progress: &mut Progress<'_>,
) -> Result<(u32, u32)> {
    let total: u64 = terms.iter().map(|&(_, count)| u64::from(count)).sum();
    let posting_count = u32::try_from(total)
        .map_err(|_| Error::limit("postings of a segment", u64::from(u32::MAX), total))?;

    file.begin(POSTINGS)?;
    let ranges = ranges(terms, range_postings(resources));
    let count = u32::try_from(ranges.len()).unwrap_or(u32::MAX);
    let places = places(terms);
    let mut tables = Tables::default();
    let work = |at: u32| {
        let range = ranges[at as usize].clone();
        sorted_lists(source, &terms[range.clone()], range.start, &places)
    };
    in_order(resources.threads, count, work, |at, sorted| {
        progress.step("sorting postings", u64::from(at), u64::from(count))?;
        tables.push(&terms[ranges[at as usize].clone()], &sorted);
        file.write(&sorted.postings)
    })?;
    tables.write(file)?;
    Ok((tables.list_count, posting_count))
}

/// Postings that one piece of work may sort: with a thread, one piece is sorted while another, and two
/// more, wait to be written.
fn range_postings(resources: Resources) -> u64 {
    let sorted = resources.threads * (SORTED_LEN + WRITTEN_LEN);
    let waiting = match resources.threads {
        1 => 0,
        threads => (threads + 1) * WRITTEN_LEN,
    };
    (resources.memory / POSTINGS_SHARE / (sorted + waiting)) as u64
}

/// Terms in runs of at most so many postings, but of one term at least.
fn ranges(terms: &[(TermId, u32)], most: u64) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let mut filled = 0;
    for (at, &(_, count)) in terms.iter().enumerate() {
        filled += u64::from(count);
        match ranges.last_mut() {
            Some(last) if filled <= most => last.end = at + 1,
            _ => {
                ranges.push(at..at + 1);
                filled = u64::from(count);
            }
        }
    }
    ranges
}

/// Each term with its number of documents, by rising term.
fn count_terms(
    source: &dyn ImpactSource,
    resources: Resources,
    progress: &mut Progress<'_>,
) -> Result<Vec<(TermId, u32)>> {
    let mut counts = TermMap::default();
    let work = |piece: u32| {
        let mut counts = TermMap::default();
        let mut vector = ImpactVector::default();
        for doc in docs_of(source, piece) {
            source.read(DocId(doc), &mut vector)?;
            for &term in &vector.terms {
                *counts.entry(term) += 1;
            }
        }
        Ok(counts)
    };
    let pieces = source.doc_count().div_ceil(PIECE);
    in_order(resources.threads, pieces, work, |piece, counted| {
        report("counting terms", piece, source, progress)?;
        for (term, count) in counted.iter() {
            *counts.entry(term) += count;
        }
        Ok(())
    })?;
    let mut terms: Vec<(TermId, u32)> = counts.iter().collect();
    terms.sort_unstable();
    Ok(terms)
}

/// Writes the forward section.
fn write_vectors(
    source: &dyn ImpactSource,
    terms: &[(TermId, u32)],
    resources: Resources,
    file: &mut FileWriter,
    progress: &mut Progress<'_>,
) -> Result<()> {
    let map = places(terms);
    let mut writer = VectorsWriter::begin(file)?;
    let work = |piece: u32| {
        let mut encoded = EncodedVectors::default();
        let mut vector = ImpactVector::default();
        let mut places = Vec::new();
        for doc in docs_of(source, piece) {
            source.read(DocId(doc), &mut vector)?;
            places.clear();
            places.extend(vector.terms.iter().filter_map(|&term| map.get(term)));
            if places.len() != vector.len() {
                let found = format!("other terms of document {doc}");
                let expected = "the same at every reading";
                return Err(Error::invalid("documents", expected, found));
            }
            encoded.push(&vector, &places);
        }
        Ok(encoded)
    };
    let pieces = source.doc_count().div_ceil(PIECE);
    in_order(resources.threads, pieces, work, |piece, encoded| {
        report("writing vectors", piece, source, progress)?;
        writer.push(&encoded, file)
    })?;
    writer.finish(file)
}

fn docs_of(source: &dyn ImpactSource, piece: u32) -> Range<u32> {
    let first = piece * PIECE;
    first..source.doc_count().min(first.saturating_add(PIECE))
}

fn report(
    stage: &'static str,
    piece: u32,
    source: &dyn ImpactSource,
    progress: &mut Progress<'_>,
) -> Result<()> {
    let done = u64::from(piece) * u64::from(PIECE);
    progress.step(stage, done, u64::from(source.doc_count()))
}

/// The position of each term.
fn places(terms: &[(TermId, u32)]) -> TermMap {
    let mut places = TermMap::default();
    for (place, &(term, _)) in (0..).zip(terms) {
        *places.entry(term) = place;
    }
    places
}

/// The lists of a range of terms.
#[derive(Default)]
struct SortedLists {
    postings: Vec<u8>,
    /// Lists of each term.
    counts: Vec<u32>,
    /// Window and length of each list.
    lists: Vec<(u32, u32)>,
}

/// Reads all documents for the postings of `terms`, of which the first is at `first` in `places`.
fn sorted_lists(
    source: &dyn ImpactSource,
    terms: &[(TermId, u32)],
    first: usize,
    places: &TermMap,
) -> Result<SortedLists> {
    let mut next = Vec::with_capacity(terms.len());
    let mut total = 0;
    for &(_, count) in terms {
        next.push(total);
        total += count as usize;
    }
    let mut keys = vec![0_u64; total];
    let least = terms.first().map_or(TermId::from(0), |term| term.0);
    let last = terms.last().map_or(least, |term| term.0);
    let mut vector = ImpactVector::default();
    for doc in 0..source.doc_count() {
        source.read(DocId(doc), &mut vector)?;
        let start = vector.terms.partition_point(|&term| term < least);
        for (term, impact) in vector.iter().skip(start) {
            if term > last {
                break;
            }
            let place = places
                .get(term)
                .and_then(|at| (at as usize).checked_sub(first));
            if let Some(next) = place.and_then(|place| next.get_mut(place))
                && let Some(to) = keys.get_mut(*next)
            {
                *to = key(doc, impact);
                *next += 1;
            }
        }
    }
    let mut sorted = SortedLists::default();
    sorted.postings.reserve_exact(total * WRITTEN_LEN);
    let mut start = 0;
    for &(_, count) in terms {
        let own = &mut keys[start..start + count as usize];
        start += count as usize;
        own.sort_unstable();
        sorted.push_term(own);
    }
    Ok(sorted)
}

const PLACE_BITS: u32 = WINDOW_LEN.ilog2();

/// A posting such that those of a term sort as they are stored: by window, by falling impact, by place.
fn key(doc: u32, impact: u8) -> u64 {
    let window = u64::from(doc / WINDOW_LEN);
    let rank = u64::from(255 - impact);
    (window << 8 | rank) << PLACE_BITS | u64::from(doc % WINDOW_LEN)
}

impl SortedLists {
    fn push_term(&mut self, keys: &[u64]) {
        let window = |key: u64| key >> (PLACE_BITS + 8);
        let mut count = 0;
        for list in keys.chunk_by(|&a, &b| window(a) == window(b)) {
            for &key in list {
                let [low, high, ..] = (key & u64::from(WINDOW_LEN - 1)).to_le_bytes();
                self.postings.extend([low, high]);
            }
            let impacts = list
                .iter()
                .map(|key| 255 - (key >> PLACE_BITS).to_le_bytes()[0]);
            self.postings.extend(impacts);
            // Windows and lengths are those of documents, which have 32 bits.
            let window = u32::try_from(window(list[0])).unwrap_or(u32::MAX);
            let len = u32::try_from(list.len()).unwrap_or(u32::MAX);
            self.lists.push((window, len));
            count += 1;
        }
        self.counts.push(count);
    }
}

/// What is written after the postings.
#[derive(Default)]
struct Tables {
    terms: Vec<u8>,
    lists: Vec<u8>,
    list_count: u32,
    posting_count: u32,
}

impl Tables {
    /// Adds the lists of the next terms. Both counts stay below the posting count, which was checked
    /// to fit.
    fn push(&mut self, terms: &[(TermId, u32)], sorted: &SortedLists) {
        for (&(term, _), count) in terms.iter().zip(&sorted.counts) {
            self.terms.extend_from_slice(&term.get().to_le_bytes());
            self.terms.extend_from_slice(&self.list_count.to_le_bytes());
            self.list_count += count;
        }
        for (window, len) in &sorted.lists {
            self.posting_count += len;
            self.lists.extend_from_slice(&window.to_le_bytes());
            self.lists
                .extend_from_slice(&self.posting_count.to_le_bytes());
        }
    }

    fn write(&self, file: &mut FileWriter) -> Result<()> {
        file.section(TERMS, &self.terms)?;
        file.section(LISTS, &self.lists)
    }
}

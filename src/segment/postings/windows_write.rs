//! Writes the windowed layout: a pass to count, one to write vectors, then lists in passes over
//! ranges of terms.
//!
//! Memory is 5 bytes per posting of a pass, at most [`PASS_POSTINGS`] of them, and tables of terms,
//! lists and documents. More postings mean more passes over the source, not more memory.

use super::{
    HEAD, HEAD_LEN,
    term_map::TermMap,
    vectors::VectorsWriter,
    windows::{LAYOUT, LISTS, POSTINGS, TERMS, WINDOW_LEN},
};
use crate::{
    error::{Error, Result},
    format::FileWriter,
    id::{DocId, TermId},
    progress::Progress,
    quantize::ImpactVector,
    segment::source::ImpactSource,
};

/// Postings that one pass sorts: 320 MB.
pub(super) const PASS_POSTINGS: u64 = 64 << 20;

/// Documents between two calls of the progress callback.
const STEP: u32 = 4096;

pub(super) fn write(
    source: &dyn ImpactSource,
    file: &mut FileWriter,
    progress: &mut Progress<'_>,
) -> Result<()> {
    write_with(source, file, progress, PASS_POSTINGS)
}

pub(super) fn write_with(
    source: &dyn ImpactSource,
    file: &mut FileWriter,
    progress: &mut Progress<'_>,
    pass_postings: u64,
) -> Result<()> {
    let terms = count_terms(source, progress)?;
    write_vectors(source, &terms, file, progress)?;
    let (list_count, posting_count) = write_lists(source, &terms, file, progress, pass_postings)?;
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
    file: &mut FileWriter,
    progress: &mut Progress<'_>,
    pass_postings: u64,
) -> Result<(u32, u32)> {
    let total: u64 = terms.iter().map(|&(_, count)| u64::from(count)).sum();
    let posting_count = u32::try_from(total)
        .map_err(|_| Error::limit("postings of a segment", u64::from(u32::MAX), total))?;

    file.begin(POSTINGS)?;
    let mut tables = Tables::default();
    let mut rest = terms;
    while !rest.is_empty() {
        let mut filled = 0;
        let fits = rest.iter().take_while(|&&(_, count)| {
            filled += u64::from(count);
            filled <= pass_postings
        });
        let (now, later) = rest.split_at(fits.count().max(1));
        let pass = Pass::new(now);
        pass.run(source, &mut tables, file, progress)?;
        rest = later;
    }
    tables.write(file)?;
    Ok((tables.list_count, posting_count))
}

/// Each term with its number of documents, by rising term.
fn count_terms(
    source: &dyn ImpactSource,
    progress: &mut Progress<'_>,
) -> Result<Vec<(TermId, u32)>> {
    let mut counts = TermMap::default();
    let mut vector = ImpactVector::default();
    for doc in 0..source.doc_count() {
        if doc.is_multiple_of(STEP) {
            let total = u64::from(source.doc_count());
            progress.step("counting terms", u64::from(doc), total)?;
        }
        source.read(DocId(doc), &mut vector)?;
        for &term in &vector.terms {
            *counts.entry(term) += 1;
        }
    }
    let mut terms: Vec<(TermId, u32)> = counts.iter().collect();
    terms.sort_unstable();
    Ok(terms)
}

/// Writes the forward section.
fn write_vectors(
    source: &dyn ImpactSource,
    terms: &[(TermId, u32)],
    file: &mut FileWriter,
    progress: &mut Progress<'_>,
) -> Result<()> {
    let Pass { places: map, .. } = Pass::new(terms);
    let mut writer = VectorsWriter::begin(file)?;
    let mut vector = ImpactVector::default();
    let mut places = Vec::new();
    for doc in 0..source.doc_count() {
        if doc.is_multiple_of(STEP) {
            let total = u64::from(source.doc_count());
            progress.step("writing vectors", u64::from(doc), total)?;
        }
        source.read(DocId(doc), &mut vector)?;
        places.clear();
        places.extend(vector.terms.iter().filter_map(|&term| map.get(term)));
        if places.len() != vector.len() {
            let found = format!("other terms of document {doc}");
            let expected = "the same at every reading";
            return Err(Error::invalid("documents", expected, found));
        }
        writer.push(&vector, &places, file)?;
    }
    writer.finish(file)
}

/// The terms of one pass over the source.
struct Pass<'a> {
    terms: &'a [(TermId, u32)],
    places: TermMap,
}

impl<'a> Pass<'a> {
    fn new(terms: &'a [(TermId, u32)]) -> Pass<'a> {
        let mut places = TermMap::default();
        for (place, &(term, _)) in (0..).zip(terms) {
            *places.entry(term) = place;
        }
        Pass { terms, places }
    }

    fn run(
        &self,
        source: &dyn ImpactSource,
        tables: &mut Tables,
        file: &mut FileWriter,
        progress: &mut Progress<'_>,
    ) -> Result<()> {
        let mut starts = Vec::with_capacity(self.terms.len());
        let mut total = 0;
        for &(_, count) in self.terms {
            starts.push(total);
            total += count as usize;
        }
        let (mut docs, mut impacts) = (vec![0_u32; total], vec![0_u8; total]);
        let mut next = starts.clone();
        let mut vector = ImpactVector::default();
        for doc in 0..source.doc_count() {
            if doc.is_multiple_of(STEP) {
                let total = u64::from(source.doc_count());
                progress.step("sorting postings", u64::from(doc), total)?;
            }
            source.read(DocId(doc), &mut vector)?;
            for (term, impact) in vector.iter() {
                if let Some(place) = self.places.get(term) {
                    let at = &mut next[place as usize];
                    docs[*at] = doc;
                    impacts[*at] = impact;
                    *at += 1;
                }
            }
        }
        let mut list = Vec::new();
        for (&(term, count), &start) in self.terms.iter().zip(&starts) {
            tables.begin_term(term);
            let mut range = start..start + count as usize;
            while !range.is_empty() {
                let window = docs[range.start] / WINDOW_LEN;
                let len = docs[range.clone()].partition_point(|doc| doc / WINDOW_LEN == window);
                let end = range.start + len;
                list.clear();
                list.extend((range.start..end).map(|at| (impacts[at], docs[at])));
                tables.push_list(window, &mut list, file)?;
                range.start = end;
            }
        }
        Ok(())
    }
}

/// What is written after the postings.
#[derive(Default)]
struct Tables {
    terms: Vec<u8>,
    lists: Vec<u8>,
    list_count: u32,
    posting_count: u32,
    buffer: Vec<u8>,
}

impl Tables {
    fn begin_term(&mut self, term: TermId) {
        self.terms.extend_from_slice(&term.get().to_le_bytes());
        self.terms.extend_from_slice(&self.list_count.to_le_bytes());
    }

    /// Sorts and writes one list.
    fn push_list(
        &mut self,
        window: u32,
        list: &mut [(u8, u32)],
        file: &mut FileWriter,
    ) -> Result<()> {
        list.sort_unstable_by_key(|&(impact, doc)| (255 - impact, doc));
        self.buffer.clear();
        for &(_, doc) in list.iter() {
            let [low, high, ..] = (doc % WINDOW_LEN).to_le_bytes();
            self.buffer.extend([low, high]);
        }
        self.buffer.extend(list.iter().map(|&(impact, _)| impact));
        file.write(&self.buffer)?;
        // Both counts are below the posting count, which was checked to fit.
        self.posting_count += u32::try_from(list.len()).unwrap_or(0);
        self.list_count += 1;
        self.lists.extend_from_slice(&window.to_le_bytes());
        self.lists
            .extend_from_slice(&self.posting_count.to_le_bytes());
        Ok(())
    }

    fn write(&self, file: &mut FileWriter) -> Result<()> {
        file.section(TERMS, &self.terms)?;
        file.section(LISTS, &self.lists)
    }
}

//! Lists by term in windows of consecutive documents, the heaviest impacts first.
//!
//! A posting is a `u16` (the document's place in its window) and a `u8` (its impact). Because a
//! `u16` cannot leave an array of 65,536 scores, accumulating a damaged list is harmless.

use std::ops::Range;

use super::{HEAD, HEAD_LEN, halves, vectors::Vectors};
use crate::{
    bytes::Reader,
    error::Result,
    format::{FileView, SectionId},
    id::{DocId, TermId},
    quantize::ImpactVector,
};

/// Value of the head's layout field.
pub(super) const LAYOUT: u32 = 1;
/// Term id and first list of each term, by rising term.
pub(super) const TERMS: SectionId = SectionId::required(21, "window terms");
/// Window and end of each list, by term, then by window.
pub(super) const LISTS: SectionId = SectionId::required(22, "window lists");
/// The postings of all lists: places of a list, then its impacts.
pub(super) const POSTINGS: SectionId = SectionId::required(23, "window postings");

/// Documents of a window. Scores of one (128 KiB) stay in a second-level cache.
pub(crate) const WINDOW_LEN: u32 = 32_768;
/// Bytes of a posting.
pub(super) const POSTING_LEN: usize = 3;

/// The checked tables of a windowed segment.
#[derive(Debug)]
pub(crate) struct Windows {
    view: FileView,
    doc_count: u32,
}

impl Windows {
    pub(super) fn open(view: &FileView, mut head: Reader<'_>, doc_count: u32) -> Result<Windows> {
        let term_count = head.u32("term count")?;
        let list_count = head.u32("list count")?;
        let posting_count = head.u32("posting count")?;
        let window_len = head.u32("window length")?;
        if window_len != WINDOW_LEN {
            return Err(head.corrupt(format_args!("windows of {WINDOW_LEN}"), window_len));
        }
        if head.bytes(HEAD_LEN - 24, "reserved")? != [0; HEAD_LEN - 24] {
            return Err(head.corrupt("zeros", "something else"));
        }
        head.finish()?;
        check(view, term_count, list_count, posting_count, doc_count)?;
        Vectors::check(view, doc_count)?;
        Ok(Windows {
            view: view.clone(),
            doc_count,
        })
    }

    pub(super) fn doc_count(&self) -> u32 {
        self.doc_count
    }

    pub(super) fn damage(&self) -> Result<()> {
        self.view.damage(POSTINGS.name)
    }

    pub(super) fn vectors(&self) -> Vectors<'_> {
        Vectors::new(&self.view)
    }

    pub(super) fn view(&self) -> WindowsView<'_> {
        WindowsView::new(&self.view, self.doc_count)
    }

    pub(super) fn verify(&self) -> Result<()> {
        for id in [HEAD, super::vectors::STARTS, super::vectors::BYTES] {
            self.view.verify_section(id)?;
        }
        let mut read = |doc, into: &mut ImpactVector| self.vectors().read(doc, into);
        verify_lists(&self.view, &self.view(), &mut read)
    }
}

/// Checks the tables of lists against one another and the documents.
pub(super) fn check(
    view: &FileView,
    term_count: u32,
    list_count: u32,
    posting_count: u32,
    doc_count: u32,
) -> Result<()> {
    check_terms(view, term_count, list_count)?;
    check_lists(view, list_count, posting_count, doc_count)?;
    let expected = u64::from(posting_count) * POSTING_LEN as u64;
    let found = view.required(POSTINGS)?.len() as u64;
    if found == expected {
        return Ok(());
    }
    let origin = view.origin(POSTINGS);
    Err(origin.corrupt(0, format_args!("{expected} bytes"), found))
}

type ReadVector<'r> = dyn FnMut(DocId, &mut ImpactVector) -> Result<()> + 'r;

/// Walks all lists by rising term and takes each posting off the front of its document's vector:
/// both hold the same postings exactly when every vector ends up empty.
pub(super) fn verify_lists(
    file: &FileView,
    view: &WindowsView<'_>,
    read: &mut ReadVector<'_>,
) -> Result<()> {
    for id in [TERMS, LISTS, POSTINGS] {
        file.verify_section(id)?;
    }
    for window in 0..view.window_count() {
        let docs = view.documents(window);
        let mut vectors = vec![ImpactVector::default(); docs.len()];
        for (vector, doc) in vectors.iter_mut().zip(docs.clone()) {
            read(DocId(doc), vector)?;
        }
        let mut taken = vec![0_usize; docs.len()];
        for at in 0..view.terms.len() {
            let (term, lists) = view.term(at);
            let Some(list) = lists.clone().find(|&list| view.window(list) == window) else {
                continue;
            };
            let (places, impacts) = view.postings(list);
            let mut last = (0, 0);
            for (place, &impact) in places.iter().zip(impacts) {
                let place = usize::from(u16::from_le_bytes(*place));
                let order = (255 - impact, place + 1);
                let next = taken.get(place).copied().unwrap_or(0);
                let vector = vectors.get(place);
                let expected = vector.and_then(|vector| {
                    Some((*vector.terms.get(next)?, *vector.impacts.get(next)?))
                });
                if order <= last || expected != Some((term, impact)) {
                    let start = view.list_start(list) * POSTING_LEN;
                    let found = format!("place {place} with impact {impact}");
                    let expected = format_args!("postings of term {term} as vectors have them");
                    return Err(file.origin(POSTINGS).corrupt(start, expected, found));
                }
                last = order;
                taken[place] = next + 1;
            }
        }
        for (at, vector) in vectors.iter().enumerate() {
            if taken[at] != vector.len() {
                let origin = file.origin(LISTS);
                let found = format!("{} of {}", taken[at], vector.len());
                return Err(origin.corrupt(0, "every posting of a vector in a list", found));
            }
        }
    }
    Ok(())
}

fn check_terms(view: &FileView, term_count: u32, list_count: u32) -> Result<()> {
    let mut reader = view.checked_reader(TERMS)?;
    let mut last: Option<(u32, u32)> = None;
    for _ in 0..term_count {
        let term = reader.u32("term")?;
        let first_list = reader.u32("first list")?;
        let rises = match last {
            None => first_list == 0,
            Some(last) => term > last.0 && first_list > last.1,
        };
        if !rises || first_list >= list_count {
            let expected = format_args!("terms and lists that rise, lists below {list_count}");
            return Err(reader.corrupt(expected, format_args!("{term}, {first_list}")));
        }
        last = Some((term, first_list));
    }
    if last.is_none() && list_count > 0 {
        return Err(reader.corrupt("a term for each list", "no terms"));
    }
    reader.finish()
}

/// Windows strictly rise inside a term, which a second table says; here they only have to exist,
/// and a list that repeats a window costs time, not safety. `verify` finds it.
fn check_lists(view: &FileView, list_count: u32, postings: u32, doc_count: u32) -> Result<()> {
    let mut reader = view.checked_reader(LISTS)?;
    let mut last_end = 0;
    for _ in 0..list_count {
        let window = reader.u32("window")?;
        let end = reader.u32("list end")?;
        if window >= doc_count.div_ceil(WINDOW_LEN) || end <= last_end || end > postings {
            let expected = format_args!("lists that rise to {postings}, in a window that exists");
            return Err(reader.corrupt(expected, format_args!("{window}, {end}")));
        }
        last_end = end;
    }
    if last_end != postings {
        return Err(reader.corrupt(format_args!("a last end of {postings}"), last_end));
    }
    reader.finish()
}

/// The tables, borrowed for a search.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WindowsView<'a> {
    terms: &'a [[u8; 8]],
    lists: &'a [[u8; 8]],
    postings: &'a [u8],
    doc_count: u32,
    file: &'a FileView,
    /// Where the postings begin in the file.
    postings_start: usize,
}

impl<'a> WindowsView<'a> {
    pub(super) fn new(view: &'a FileView, doc_count: u32) -> WindowsView<'a> {
        WindowsView {
            terms: view.section(TERMS).as_chunks().0,
            lists: view.section(LISTS).as_chunks().0,
            postings: view.section(POSTINGS),
            doc_count,
            file: view,
            postings_start: view.range(POSTINGS).map_or(0, |range| range.start),
        }
    }

    /// The id of the last term.
    pub(super) fn last_term(&self) -> Option<u32> {
        self.terms.last().map(|&record| halves(record).0)
    }

    pub(crate) fn window_count(&self) -> u32 {
        self.doc_count.div_ceil(WINDOW_LEN)
    }

    /// The documents of a window.
    pub(crate) fn documents(&self, window: u32) -> Range<u32> {
        let start = window * WINDOW_LEN;
        start..start.saturating_add(WINDOW_LEN).min(self.doc_count)
    }

    /// The documents' vectors.
    pub(crate) fn vectors(&self) -> Vectors<'a> {
        Vectors::new(self.file)
    }

    /// The place of a term among those of the segment.
    pub(crate) fn place(&self, term: TermId) -> Option<usize> {
        let found = self
            .terms
            .binary_search_by_key(&term.get(), |&record| halves(record).0);
        found.ok()
    }

    /// The lists of a term, by window; none when no document has it.
    pub(crate) fn lists(&self, term: TermId) -> Range<usize> {
        self.place(term).map_or(0..0, |at| self.term(at).1)
    }

    pub(crate) fn window(&self, list: usize) -> u32 {
        self.lists
            .get(list)
            .map_or(u32::MAX, |&record| halves(record).0)
    }

    /// Places in the window and impacts of a list; impacts fall. Of a damaged list none, and the
    /// file remembers it.
    pub(crate) fn postings(&self, list: usize) -> (&'a [[u8; 2]], &'a [u8]) {
        let start = self.list_start(list);
        let len = self.list_end(list).saturating_sub(start);
        let bytes = self.postings.get(start * POSTING_LEN..).unwrap_or_default();
        let bytes = bytes.get(..len * POSTING_LEN).unwrap_or_default();
        let start = self.postings_start + start * POSTING_LEN;
        let agrees = self.file.touch(POSTINGS.name, start..start + bytes.len());
        let bytes = if agrees { bytes } else { &[] };
        let (places, impacts) = bytes.split_at(bytes.len() / POSTING_LEN * 2);
        (places.as_chunks().0, impacts)
    }

    pub(crate) fn posting_count(&self, term: TermId) -> u32 {
        let lists = self.lists(term);
        let count = match lists.end.checked_sub(1) {
            Some(last) if !lists.is_empty() => self.list_end(last) - self.list_start(lists.start),
            _ => 0,
        };
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    fn term(&self, at: usize) -> (TermId, Range<usize>) {
        let first = |at: usize| self.terms.get(at).map(|&record| halves(record));
        let (term, start) = first(at).unwrap_or_default();
        let end = first(at + 1).map_or(self.lists.len(), |(_, first)| first as usize);
        (TermId::from(term), start as usize..end)
    }

    fn list_start(&self, list: usize) -> usize {
        list.checked_sub(1)
            .map_or(0, |before| self.list_end(before))
    }

    fn list_end(&self, list: usize) -> usize {
        self.lists
            .get(list)
            .map_or(0, |&record| halves(record).1 as usize)
    }
}

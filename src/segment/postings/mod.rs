//! The postings of a segment in one of two layouts, behind one view.
//!
//! *Windows* are lists by term, cheap to write and fast to accumulate: for fresh and small
//! segments. *Blocks* hold a few similar documents each, with an upper bound per term and block:
//! for large segments, where most blocks need not be looked at.
//!
//! After [`Postings::open`] every table lies inside the file and refers to what is inside the
//! file. Payloads are not read by `open`; whatever they hold, decoders stay in bounds and give an
//! error or an answer that is wrong only for the damaged documents. [`Postings::verify`] reads
//! all.

pub(crate) mod blocks;
mod blocks_verify;
mod blocks_write;
mod bounds_write;
pub(crate) mod term_map;
mod vectors;
pub(crate) mod windows;
mod windows_write;

use std::sync::Arc;

use self::{blocks::Blocks, windows::Windows};
use crate::{
    error::Result,
    format::{FileView, FileWriter, SectionId},
    id::{DocId, TermId},
    progress::Progress,
    quantize::ImpactVector,
    segment::{parallel::Resources, source::ImpactSource},
};

/// How postings lie in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Lists by term in windows of documents: small, fresh segments.
    Windows,
    /// Blocks of similar documents with bounds: large, ordered segments.
    Blocks,
    /// Blocks, and the lists of windows beside them, for queries that blocks do not suit.
    BlocksAndLists,
}

/// Which layout, and the counts that all tables agree with. Written by both layouts.
pub(super) const HEAD: SectionId = SectionId::required(20, "postings head");
pub(super) const HEAD_LEN: usize = 32;

/// Writes the documents of `source`, already in their final order.
pub(crate) fn write(
    source: &dyn ImpactSource,
    layout: Layout,
    resources: Resources,
    file: &mut FileWriter,
    progress: &mut Progress<'_>,
) -> Result<()> {
    match layout {
        Layout::Windows => windows_write::write(source, resources, file, progress),
        Layout::Blocks => blocks_write::write(source, false, resources, file, progress),
        Layout::BlocksAndLists => blocks_write::write(source, true, resources, file, progress),
    }
}

/// The postings of one segment. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Postings {
    kind: Arc<Kind>,
}

#[derive(Debug)]
enum Kind {
    Windows(Windows),
    Blocks(Blocks),
}

impl Postings {
    /// Every section that a segment's postings may have.
    pub(crate) const SECTIONS: &'static [SectionId] = &[
        HEAD,
        windows::TERMS,
        windows::LISTS,
        windows::POSTINGS,
        vectors::STARTS,
        vectors::BYTES,
        blocks::TERMS,
        blocks::NUMBERS,
        blocks::ROWS,
        blocks::SPARSE,
        blocks::STARTS,
        blocks::BLOCKS,
    ];

    /// Checks the tables and keeps a view of them.
    pub(crate) fn open(view: &FileView, doc_count: u32) -> Result<Postings> {
        let mut head = view.checked_reader(HEAD)?;
        let layout = head.u32("layout")?;
        let documents = head.u32("document count")?;
        if documents != doc_count {
            return Err(head.corrupt(format_args!("{doc_count} documents"), documents));
        }
        let kind = match layout {
            windows::LAYOUT => Kind::Windows(Windows::open(view, head, doc_count)?),
            blocks::LAYOUT => Kind::Blocks(Blocks::open(view, head, doc_count)?),
            other => return Err(head.corrupt("a known layout", other)),
        };
        Ok(Postings {
            kind: Arc::new(kind),
        })
    }

    pub(crate) fn doc_count(&self) -> u32 {
        match &*self.kind {
            Kind::Windows(windows) => windows.doc_count(),
            Kind::Blocks(blocks) => blocks.doc_count(),
        }
    }

    /// Documents of this segment with `term`, deleted ones included.
    pub(crate) fn posting_count(&self, term: TermId) -> u32 {
        match &*self.kind {
            Kind::Windows(windows) => windows.view().posting_count(term),
            Kind::Blocks(blocks) => blocks.view().posting_count(term),
        }
    }

    /// A number that all terms are below.
    pub(crate) fn term_limit(&self) -> u64 {
        let last = match &*self.kind {
            Kind::Windows(windows) => windows.view().last_term(),
            Kind::Blocks(blocks) => blocks.view().last_term(),
        };
        last.map_or(0, |term| u64::from(term) + 1)
    }

    /// Replaces `into` by the vector of a document.
    pub(crate) fn read(&self, doc: DocId, into: &mut ImpactVector) -> Result<()> {
        match &*self.kind {
            Kind::Windows(windows) => windows.vectors().read(doc, into),
            Kind::Blocks(blocks) => blocks.read(doc, into),
        }
    }

    /// Reads everything and compares all that is stored twice.
    pub(crate) fn verify(&self) -> Result<()> {
        match &*self.kind {
            Kind::Windows(windows) => windows.verify(),
            Kind::Blocks(blocks) => blocks_verify::verify(blocks),
        }
    }

    /// The damage that a search met and could not report on its way, if any.
    pub(crate) fn damage(&self) -> Result<()> {
        match &*self.kind {
            Kind::Windows(windows) => windows.damage(),
            Kind::Blocks(blocks) => blocks.damage(),
        }
    }

    /// The lists by term, in the layout that has them. What is damaged seems absent there;
    /// [`Postings::damage`] tells, and must be asked before anything is answered.
    pub(crate) fn layout(&self) -> LayoutView<'_> {
        match &*self.kind {
            Kind::Windows(windows) => LayoutView::Windows(windows.view()),
            Kind::Blocks(blocks) => LayoutView::Blocks(blocks.view(), blocks.lists()),
        }
    }
}

/// What the search kernels walk over.
#[derive(Debug)]
pub(crate) enum LayoutView<'a> {
    Windows(windows::WindowsView<'a>),
    /// And lists, where the segment has them.
    Blocks(blocks::BlocksView<'a>, Option<windows::WindowsView<'a>>),
}

/// The two fields of a table record.
fn halves(record: [u8; 8]) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = record;
    (
        u32::from_le_bytes([a, b, c, d]),
        u32::from_le_bytes([e, f, g, h]),
    )
}

#[cfg(test)]
mod forged;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

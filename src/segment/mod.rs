//! Segments: the immutable parts of an index, and what is deleted of them.
//!
//! [`write_segment`] makes a file of documents, [`Segment::open`] a checked view of it, in time
//! that does not grow with the documents; [`merge_segments`] makes one file of several without
//! what was deleted. After `open` every table lies inside the file; what the tables point to is
//! checked when it is read, so that damage gives an error, never a wrong place.

mod build;
mod deletes;
mod document;
mod fields;
mod fields_write;
mod fresh;
mod full_vectors;
mod info;
mod keys;
mod labels;
mod lists;
mod live;
mod merge;
mod options;
pub(crate) mod order;
mod own_terms;
pub(crate) mod parallel;
mod part;
pub(crate) mod postings;
#[cfg(feature = "json")]
mod remains;
mod schema;
pub(crate) mod source;
mod stored;
mod view;
mod weights;
#[cfg(feature = "json")]
mod whole;

#[cfg(test)]
mod forged;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::borrow::Borrow;

pub(crate) use self::document::FIELD_NAME_LEN_MAX;
pub use self::document::{DocKey, Document, FieldType, StoredDocument, Value};
pub(crate) use self::{
    deletes::Deletes,
    fields::Selection,
    live::LiveSegment,
    options::{Order, SegmentOptions, SegmentSummary, StatisticsKept},
    schema::{Schema, check_type},
    view::Segment,
};
#[cfg(feature = "json")]
pub(crate) use self::{
    remains::{Remains, RemainsView},
    whole::{Whole, WholeReader},
};
use crate::{error::Result, format::FileWriter, progress::Progress, storage::WriteFile};

/// Writes a segment of `documents`, which are checked, have different keys, and are at least one.
/// Returns the file, not yet synced.
pub(crate) fn write_segment<D: Borrow<Document> + Sync>(
    documents: &[D],
    options: &SegmentOptions,
    file: FileWriter,
    progress: &mut Progress<'_>,
) -> Result<(Box<dyn WriteFile>, SegmentSummary)> {
    let documents = fresh::Fresh::new(documents, options.scale)?;
    build::build(&documents, options, file, progress)
}

/// Writes one segment of all live documents of `inputs`, of which there is at least one. Returns
/// the file, not yet synced.
pub(crate) fn merge_segments(
    inputs: &[LiveSegment],
    options: &SegmentOptions,
    file: FileWriter,
    progress: &mut Progress<'_>,
) -> Result<(Box<dyn WriteFile>, SegmentSummary)> {
    let documents = merge::Merged::new(inputs, options.scale)?;
    build::build(&documents, options, file, progress)
}

//! Fuller vectors for rescoring, in the encoder's own weights.

use super::{
    lists::Lists,
    part::{put_number, read_number},
};
use crate::{
    error::Result,
    format::SectionId,
    id::{DocId, TermId},
    quantize::DOCUMENT_TERMS_MAX,
    sparse::SparseVector,
};

/// Vectors, and where each begins; no bytes where a document has none.
pub(super) const FULL_VECTORS: [SectionId; 2] = [
    SectionId::required(8, "full vectors"),
    SectionId::required(9, "full vector starts"),
];

/// The fuller vector of a document, if it has one.
pub(super) fn read(lists: &Lists, doc: DocId) -> Result<Option<SparseVector>> {
    let mut reader = lists.reader(doc)?;
    if reader.remaining() == 0 {
        return Ok(None);
    }
    // A term takes five bytes at least, which bounds the allocation by the file.
    let most = (reader.remaining() / 5).min(DOCUMENT_TERMS_MAX);
    let len = read_number(&mut reader, most as u64, "terms of a vector")?;
    let len = usize::try_from(len).unwrap_or(0);
    let mut terms = Vec::with_capacity(len);
    let mut next = 0;
    for _ in 0..len {
        let most = u64::from(u32::MAX).saturating_sub(next);
        let gap = read_number(&mut reader, most, "gap between terms")?;
        let term = u32::try_from(next + gap).unwrap_or(u32::MAX);
        terms.push(TermId::from(term));
        next = u64::from(term) + 1;
    }
    let mut weights = Vec::with_capacity(len);
    for _ in 0..len {
        weights.push(reader.f32("weight")?);
    }
    let vector = SparseVector::from_sorted(terms, weights)
        .map_err(|error| reader.corrupt("a sparse vector", error))?;
    reader.finish()?;
    Ok(Some(vector))
}

/// Replaces `out` by the bytes of a vector.
pub(super) fn write(vector: &SparseVector, out: &mut Vec<u8>) {
    out.clear();
    put_number(out, vector.len() as u64);
    let mut next = 0;
    for term in vector.terms() {
        put_number(out, u64::from(term.get()) - next);
        next = u64::from(term.get()) + 1;
    }
    for weight in vector.weights() {
        out.extend_from_slice(&weight.to_le_bytes());
    }
}

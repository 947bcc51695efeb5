//! Fuller vectors for rescoring, in the encoder's own weights.

use super::lists::Lists;
use crate::{
    bytes::put_number,
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
    let len = reader.number(most as u64, "terms of a vector")?;
    let len = usize::try_from(len).unwrap_or(0);
    let mut terms = Vec::with_capacity(len);
    let mut next = 0;
    for _ in 0..len {
        let most = u64::from(u32::MAX).saturating_sub(next);
        let gap = reader.number(most, "gap between terms")?;
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

/// The dot product of `query` with the fuller vector of a document, if it has one: what [`read`] and
/// [`SparseVector::dot`] give, bit for bit, in a fraction of the time. Weights that no query term
/// meets are not looked at, so damage there shows in `verify` alone.
pub(super) fn dot(lists: &Lists, doc: DocId, query: &SparseVector) -> Result<Option<f32>> {
    let mut reader = lists.reader(doc)?;
    if reader.remaining() == 0 {
        return Ok(None);
    }
    let most = (reader.remaining() / 5).min(DOCUMENT_TERMS_MAX);
    let len = reader.number(most as u64, "terms of a vector")?;
    let len = usize::try_from(len).unwrap_or(0);
    // The weights are the end of the bytes, whatever the terms before them take.
    let bytes = lists.bytes(doc)?;
    let weights = bytes.get(bytes.len().saturating_sub(4 * len)..);
    let (weights, _) = weights.unwrap_or_default().as_chunks::<4>();
    let mut wanted = query.iter().peekable();
    let (mut next, mut sum) = (0, 0.0_f64);
    for weight in weights {
        let gap = reader.number(u64::from(u32::MAX) - next, "gap between terms")?;
        let term = u32::try_from(next + gap).unwrap_or(u32::MAX);
        while wanted.next_if(|(wanted, _)| wanted.get() < term).is_some() {}
        let Some((first, factor)) = wanted.peek() else {
            break;
        };
        if first.get() == term {
            let weight = f32::from_le_bytes(*weight);
            if !(weight.is_finite() && weight > 0.0) {
                return Err(reader.corrupt("a finite weight above zero", weight));
            }
            sum += f64::from(*factor) * f64::from(weight);
        }
        next = (u64::from(term) + 1).min(u64::from(u32::MAX));
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounding to the precision of the weights is meant"
    )]
    let rounded = sum as f32;
    Ok(Some(rounded))
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

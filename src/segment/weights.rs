//! The encoder's own weights of each document, beside the impacts that stand for them: for
//! results in the order of the weights.

use super::lists::Lists;
use crate::{error::Result, format::SectionId, id::DocId, quantize::Scale};

pub(super) const WEIGHTS: [SectionId; 2] = [
    SectionId::required(10, "exact weights"),
    SectionId::required(11, "exact weight starts"),
];

/// Replaces `into` by the weights of a document's `len` terms, by rising term.
pub(super) fn read(lists: &Lists, doc: DocId, len: usize, into: &mut Vec<f32>) -> Result<()> {
    into.clear();
    let mut reader = lists.reader(doc)?;
    let bytes = reader.remaining();
    if bytes != len * 4 {
        return Err(reader.corrupt(format_args!("{len} weights"), format_args!("{bytes} bytes")));
    }
    into.reserve(len);
    for _ in 0..len {
        let weight = reader.f32("weight")?;
        if !(weight.is_finite() && weight > 0.0) {
            return Err(reader.corrupt("a finite weight above zero", weight));
        }
        into.push(weight);
    }
    reader.finish()
}

pub(super) fn write(weights: &[f32], out: &mut Vec<u8>) {
    out.clear();
    out.extend(weights.iter().flat_map(|weight| weight.to_le_bytes()));
}

/// The most by which any of the weights is above what its impact stands for; rounded up.
pub(super) fn most_over<'a>(weights: impl Iterator<Item = &'a f32>, scale: Scale) -> f32 {
    weights.fold(0.0, |most: f32, &weight| {
        let over = f64::from(weight) - f64::from(scale.impact(weight)) * scale.unit();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "what rounding loses is added back"
        )]
        let rounded = (over as f32).next_up().min(f32::MAX);
        most.max(rounded)
    })
}

//! What words weigh: own ones of code and of prose, those that others stand for, and what a word is
//! worth in a collection.

/// An own word weighs at least this.
const OWN_WEIGHT_MIN: f32 = 1e-6;
/// An occurrence in the signature counts as this many more.
pub(super) const SIGNATURE_OCCURRENCES: f32 = 3.0;
/// Saturation of term frequencies in code, and the length of a document that counts as average.
const CODE_SATURATION: f32 = 2.5;
const CODE_LENGTH: f32 = 110.0;
/// The scale of the logarithm that all weights of code go through.
const CODE_SCALE: f32 = 1.5;
/// An own word of code weighs at least this share of what BM25 gives it: the logarithm takes too
/// much from short passages.
const OWN_SHARE: f32 = 0.8;
/// What other words add to an own word's weight counts this much, and what they take from it.
const OWN_RAISED: f32 = 0.5;
const OWN_LOWERED: f32 = 0.3;
/// BM25 of prose: saturation, share of the length normalization, average length.
const PROSE_SATURATION: f32 = 1.2;
const PROSE_LENGTH_SHARE: f32 = 0.75;
const PROSE_LENGTH: f32 = 100.0;
/// The passages of training count as this many documents of an index that is all code.
pub(super) const PRIOR_DOCUMENTS: f32 = 10_000.0;

pub(crate) fn code_weight(frequency: f32, length: f32) -> f32 {
    let saturation = CODE_SATURATION * length / CODE_LENGTH;
    (CODE_SATURATION + 1.0) * frequency / (frequency + saturation)
}

/// How often a word counts that stands `all` times in a text of code, of them `inside` times in
/// its signature.
#[cfg(feature = "train")]
pub(crate) fn frequency(all: u8, inside: u8) -> f32 {
    f32::from(all) + SIGNATURE_OCCURRENCES * f32::from(inside)
}

/// The weight of an own word of code: `weight` by BM25, `learned` with its factor, `others` what
/// other words say of it.
pub(crate) fn own_weight(weight: f32, learned: f32, others: f32) -> f32 {
    let alone = squashed(learned);
    let moved = squashed(learned + others) - alone;
    // A word that others speak against stays, as its document is counted among those that have
    // it.
    (alone.max(OWN_SHARE * weight) + counted(moved) * moved).max(OWN_WEIGHT_MIN)
}

fn counted(moved: f32) -> f32 {
    if moved > 0.0 { OWN_RAISED } else { OWN_LOWERED }
}

/// How fast [`own_weight`] rises with `others`, and with the logarithm of the factor in `learned`.
/// Where the sum is not above zero `below_zero` stands for the slope of its logarithm.
#[cfg(feature = "train")]
pub(crate) fn own_slopes(weight: f32, learned: f32, others: f32, below_zero: f32) -> (f32, f32) {
    let alone = squashed(learned);
    let counted = counted(squashed(learned + others) - alone);
    let by_sum = squashed_slope(learned + others, 0.0);
    let by_learned = squashed_slope(learned, 0.0);
    let kept = if alone > OWN_SHARE * weight {
        by_learned
    } else {
        0.0
    };
    (
        counted * squashed_slope(learned + others, below_zero),
        (kept + counted * (by_sum - by_learned)) * learned,
    )
}

pub(super) fn prose_weight(frequency: f32, length: f32) -> f32 {
    let norm = 1.0 - PROSE_LENGTH_SHARE + PROSE_LENGTH_SHARE * length / PROSE_LENGTH;
    (PROSE_SATURATION + 1.0) * frequency / (frequency + PROSE_SATURATION * norm)
}

/// The weight that a sum over words gives.
pub(crate) fn squashed(sum: f32) -> f32 {
    CODE_SCALE * sum.max(0.0).ln_1p()
}

/// How fast [`squashed`] rises: `below_zero` where the sum is not above zero.
#[cfg(feature = "train")]
pub(crate) fn squashed_slope(sum: f32, below_zero: f32) -> f32 {
    if sum > 0.0 {
        CODE_SCALE / (1.0 + sum)
    } else {
        CODE_SCALE * below_zero
    }
}

/// The inverse document frequency of BM25, never negative.
pub(super) fn idf(documents: f32, frequency: f32) -> f32 {
    let frequency = frequency.min(documents);
    ((documents - frequency + 0.5) / (frequency + 0.5)).ln_1p()
}

/// The inverse document frequency by the training passages alone.
pub(crate) fn prior_idf(share: f32) -> f32 {
    idf(PRIOR_DOCUMENTS, PRIOR_DOCUMENTS * share)
}

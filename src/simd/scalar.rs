//! The meaning of every kernel, one plain loop each.

use super::{LANES, Line, Masked, Sums};

pub(super) fn add_rows(rows: [&[Line]; 4], weights: [u16; 4], sums: &mut [Sums]) {
    for (row, weight) in rows.into_iter().zip(weights) {
        for (line, sums) in row.iter().zip(&mut *sums) {
            let (words, _) = line.as_chunks::<2>();
            let ([first, second, third, fourth], _) = sums.as_chunks_mut::<32>() else {
                continue;
            };
            let words: [u16; 32] = std::array::from_fn(|at| u16::from_le_bytes(words[at]));
            add_quarter::<0>(&words, weight, first);
            add_quarter::<4>(&words, weight, second);
            add_quarter::<8>(&words, weight, third);
            add_quarter::<12>(&words, weight, fourth);
        }
    }
}

/// A shift that is known at compile time lets the compiler use what vectors every machine has:
/// 20 times faster than a variable one.
fn add_quarter<const SHIFT: u32>(words: &[u16; 32], weight: u16, sums: &mut [u16; 32]) {
    for (sum, word) in sums.iter_mut().zip(words) {
        let cell = word >> SHIFT & 0xF;
        *sum = sum.wrapping_add(weight.wrapping_mul(cell));
    }
}

pub(super) fn at_least(sums: &Sums, least: u16) -> [u64; 2] {
    let (halves, _) = sums.as_chunks::<64>();
    let mut found = [0; 2];
    for (found, half) in found.iter_mut().zip(halves) {
        for (cell, &sum) in half.iter().enumerate() {
            *found |= u64::from(sum >= least) << cell;
        }
    }
    found
}

pub(super) fn add_masked(terms: &[Masked; 4], lanes: &mut [u32; LANES]) -> u32 {
    for term in terms {
        let (mut mask, mut impacts) = (term.mask, term.impacts);
        while mask != 0 {
            let lane = &mut lanes[mask.trailing_zeros() as usize % LANES];
            let impact = u32::from(impacts.to_le_bytes()[0]);
            *lane = lane.wrapping_add(u32::from(term.weight) * impact);
            impacts >>= 8;
            mask &= mask - 1;
        }
    }
    lanes.iter().fold(0, |most, &lane| most.max(lane))
}

#[cfg_attr(
    all(target_arch = "x86_64", not(test)),
    expect(dead_code, reason = "the meaning")
)]
pub(super) fn largest_byte(word: u64) -> u8 {
    word.to_le_bytes().into_iter().fold(0, u8::max)
}

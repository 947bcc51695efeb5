//! 256-bit kernels.
#![expect(unsafe_code, reason = "vector loads and stores go through pointers")]

use core::arch::x86_64::*;

use super::{LANES, LINE_CELLS, Line, Masked, Sums, expand::POSITIONS, plain::Plain};

/// Proof that this CPU has AVX2, and the instructions on bits that came with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

impl Avx2 {
    pub(super) fn detect() -> Option<Avx2> {
        // Every CPU with AVX2 has the others too, but nobody promises it.
        let all = std::is_x86_feature_detected!("avx2")
            && std::is_x86_feature_detected!("bmi1")
            && std::is_x86_feature_detected!("bmi2")
            && std::is_x86_feature_detected!("popcnt");
        all.then_some(Avx2(()))
    }

    pub(super) fn add_rows(self, rows: [&[Line]; 4], weights: [u16; 4], sums: &mut [Sums]) {
        // SAFETY: `detect` is the only constructor of `Avx2`, so the CPU has AVX2.
        unsafe { add_rows(rows, weights, sums) }
    }

    pub(super) fn at_least(self, sums: &Sums, least: u16) -> [u64; 2] {
        // SAFETY: `detect` is the only constructor of `Avx2`, so the CPU has AVX2.
        unsafe { at_least(sums, least) }
    }

    pub(super) fn add_masked(self, terms: &[Masked; 4], lanes: &mut [u32; LANES]) -> u32 {
        // SAFETY: `detect` is the only constructor of `Avx2`, so the CPU has AVX2.
        unsafe { add_masked(terms, lanes) }
    }

    pub(super) fn run<P: Plain>(self, plain: P) -> P::Output {
        // SAFETY: `detect` is the only constructor of `Avx2`, so the CPU has all four.
        unsafe { run(plain) }
    }
}

#[target_feature(enable = "avx2,bmi1,bmi2,popcnt")]
fn run<P: Plain>(plain: P) -> P::Output {
    plain.run()
}

/// The largest byte of a word.
#[inline(always)]
pub(super) fn largest_byte(word: u64) -> u8 {
    // SAFETY: every x86-64 CPU has SSE2.
    unsafe { largest_byte_sse2(word) }
}

#[inline]
#[target_feature(enable = "sse2")]
fn largest_byte_sse2(word: u64) -> u8 {
    let bytes = _mm_cvtsi64_si128(word.cast_signed());
    let bytes = _mm_max_epu8(bytes, _mm_srli_epi64::<32>(bytes));
    let bytes = _mm_max_epu8(bytes, _mm_srli_epi64::<16>(bytes));
    let bytes = _mm_max_epu8(bytes, _mm_srli_epi64::<8>(bytes));
    _mm_cvtsi128_si32(bytes).to_le_bytes()[0]
}

/// Asks for the cache line of `byte`.
#[inline(always)]
pub(super) fn prefetch(byte: &u8) {
    // SAFETY: every x86-64 CPU has SSE; a prefetch reads nothing and `byte` is readable anyway.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(byte).cast()) }
}

/// Rows are read tile by tile, one row after another: what follows a line in its row comes a tile
/// later. Asking for it a tile (4 KiB) ahead was worth a fifth of the pass; less ahead, nothing.
const AHEAD: usize = 4096;

/// Asks for the line of the same row one tile later, into the second-level cache.
#[inline(always)]
pub(super) fn prefetch_later(line: &Line) {
    let later = line.as_ptr().wrapping_add(AHEAD);
    // SAFETY: every x86-64 CPU has SSE; a prefetch reads nothing, so any address will do.
    unsafe { _mm_prefetch::<_MM_HINT_T1>(later.cast()) }
}

#[target_feature(enable = "avx2")]
fn add_rows(rows: [&[Line]; 4], weights: [u16; 4], sums: &mut [Sums]) {
    let nibble = _mm256_set1_epi16(0xF);
    let weights = weights.map(|weight| _mm256_set1_epi16(weight.cast_signed()));
    let [a, b, c, d] = rows;
    let lines = a.iter().zip(b).zip(c).zip(d);
    for ((((a, b), c), d), sums) in lines.zip(sums) {
        [a, b, c, d].into_iter().for_each(prefetch_later);
        // A quarter of the cells of a half line: 16 sums.
        let (quarters, _) = sums.as_chunks_mut::<16>();
        for half in 0..2 {
            let cells = [a, b, c, d].map(|line| load(&line.as_chunks::<32>().0[half]));
            let mut at = half;
            macro_rules! quarter {
                ($shift:literal) => {
                    let mut sum = load_sums(&quarters[at]);
                    for (cells, weight) in cells.into_iter().zip(weights) {
                        let cells = _mm256_and_si256(_mm256_srli_epi16::<$shift>(cells), nibble);
                        sum = _mm256_add_epi16(sum, _mm256_mullo_epi16(cells, weight));
                    }
                    store_sums(sum, &mut quarters[at]);
                    at += 2;
                };
            }
            quarter!(0);
            quarter!(4);
            quarter!(8);
            quarter!(12);
            debug_assert_eq!(at, half + LINE_CELLS / 16);
        }
    }
}

#[target_feature(enable = "avx2")]
fn at_least(sums: &Sums, least: u16) -> [u64; 2] {
    let least = _mm256_set1_epi16(least.cast_signed());
    let (quarters, _) = sums.as_chunks::<32>();
    let mut found = [0; 4];
    for (found, quarter) in found.iter_mut().zip(quarters) {
        let [low, high] = [0, 1].map(|half| {
            let sums = load_sums(&quarter.as_chunks::<16>().0[half]);
            _mm256_cmpeq_epi16(_mm256_max_epu16(sums, least), sums)
        });
        // Packing takes 8 sums from each side in turn; the permutation puts them in order.
        let packed = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi16(low, high));
        *found = u64::from(_mm256_movemask_epi8(packed).cast_unsigned());
    }
    [found[0] | found[1] << 32, found[2] | found[3] << 32]
}

#[target_feature(enable = "avx2")]
fn add_masked(terms: &[Masked; 4], lanes: &mut [u32; LANES]) -> u32 {
    let pointer: *mut __m256i = lanes.as_mut_ptr().cast();
    // SAFETY: `lanes` is 32 readable bytes and the load has no alignment requirement.
    let mut sum = unsafe { _mm256_loadu_si256(pointer) };
    for term in terms {
        let impacts = _mm_cvtsi64_si128(term.impacts.cast_signed());
        let positions = u64::from_le_bytes(POSITIONS[usize::from(term.mask)]);
        let positions = _mm_cvtsi64_si128(positions.cast_signed());
        let impacts = _mm256_cvtepu8_epi32(_mm_shuffle_epi8(impacts, positions));
        let weight = _mm256_set1_epi32(i32::from(term.weight));
        // Both factors fit 16 bits, the upper halves are zero: one multiply-add gives the product.
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(impacts, weight));
    }
    // SAFETY: `lanes` is 32 writable bytes, exclusively borrowed.
    unsafe { _mm256_storeu_si256(pointer, sum) };
    let most = _mm_max_epu32(
        _mm256_castsi256_si128(sum),
        _mm256_extracti128_si256::<1>(sum),
    );
    let most = _mm_max_epu32(most, _mm_shuffle_epi32::<0b01_00_11_10>(most));
    let most = _mm_max_epu32(most, _mm_shuffle_epi32::<0b10_11_00_01>(most));
    _mm_cvtsi128_si32(most).cast_unsigned()
}

#[target_feature(enable = "avx2")]
fn load(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: `bytes` is 32 readable bytes and the load has no alignment requirement.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
fn load_sums(sums: &[u16; 16]) -> __m256i {
    // SAFETY: `sums` is 32 readable bytes and the load has no alignment requirement.
    unsafe { _mm256_loadu_si256(sums.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
fn store_sums(vector: __m256i, sums: &mut [u16; 16]) {
    // SAFETY: `sums` is 32 writable bytes, exclusively borrowed.
    unsafe { _mm256_storeu_si256(sums.as_mut_ptr().cast(), vector) }
}

//! 512-bit kernels, with the byte expansion of VBMI2.
#![expect(unsafe_code, reason = "vector loads and stores go through pointers")]

use core::arch::x86_64::*;

use super::{LANES, Line, Masked, Sums, avx2::prefetch_later, plain::Plain};

/// Proof that this CPU has AVX-512 F, BW, VL and VBMI2, and the instructions on bits of AVX2's time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512(());

impl Avx512 {
    pub(super) fn detect() -> Option<Avx512> {
        let all = std::is_x86_feature_detected!("avx512f")
            && std::is_x86_feature_detected!("avx512bw")
            && std::is_x86_feature_detected!("avx512vl")
            && std::is_x86_feature_detected!("avx512vbmi2")
            && std::is_x86_feature_detected!("bmi1")
            && std::is_x86_feature_detected!("bmi2")
            && std::is_x86_feature_detected!("popcnt");
        all.then_some(Avx512(()))
    }

    pub(super) fn add_rows(self, rows: [&[Line]; 4], weights: [u16; 4], sums: &mut [Sums]) {
        // SAFETY: `detect` is the only constructor of `Avx512`, so the CPU has them all.
        unsafe { add_rows(rows, weights, sums) }
    }

    pub(super) fn at_least(self, sums: &Sums, least: u16) -> [u64; 2] {
        // SAFETY: `detect` is the only constructor of `Avx512`, so the CPU has them all.
        unsafe { at_least(sums, least) }
    }

    pub(super) fn add_masked(self, terms: &[Masked; 4], lanes: &mut [u32; LANES]) -> u32 {
        // SAFETY: `detect` is the only constructor of `Avx512`, so the CPU has them all.
        unsafe { add_masked(terms, lanes) }
    }

    pub(super) fn run<P: Plain>(self, plain: P) -> P::Output {
        // SAFETY: `detect` is the only constructor of `Avx512`, so the CPU has them all.
        unsafe { run(plain) }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,bmi1,bmi2,popcnt")]
fn run<P: Plain>(plain: P) -> P::Output {
    plain.run()
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2")]
fn add_rows(rows: [&[Line]; 4], weights: [u16; 4], sums: &mut [Sums]) {
    let nibble = _mm512_set1_epi16(0xF);
    let weights = weights.map(|weight| _mm512_set1_epi16(weight.cast_signed()));
    let [a, b, c, d] = rows;
    let lines = a.iter().zip(b).zip(c).zip(d);
    for ((((a, b), c), d), sums) in lines.zip(sums) {
        let [s0, s1, s2, s3] = sums.as_chunks_mut::<32>().0 else {
            return;
        };
        let mut sum = [load_sums(s0), load_sums(s1), load_sums(s2), load_sums(s3)];
        for (line, weight) in [a, b, c, d].into_iter().zip(weights) {
            prefetch_later(line);
            let cells = load(line);
            let quarters = [
                _mm512_and_si512(cells, nibble),
                _mm512_and_si512(_mm512_srli_epi16::<4>(cells), nibble),
                _mm512_and_si512(_mm512_srli_epi16::<8>(cells), nibble),
                _mm512_srli_epi16::<12>(cells),
            ];
            for (sum, cells) in sum.iter_mut().zip(quarters) {
                *sum = _mm512_add_epi16(*sum, _mm512_mullo_epi16(cells, weight));
            }
        }
        for (sum, sums) in sum.into_iter().zip([s0, s1, s2, s3]) {
            store_sums(sum, sums);
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2")]
fn at_least(sums: &Sums, least: u16) -> [u64; 2] {
    let least = _mm512_set1_epi16(least.cast_signed());
    let mut found = [0_u64; 4];
    for (found, sums) in found.iter_mut().zip(sums.as_chunks::<32>().0) {
        *found = u64::from(_mm512_cmpge_epu16_mask(load_sums(sums), least));
    }
    [found[0] | found[1] << 32, found[2] | found[3] << 32]
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2")]
fn add_masked(terms: &[Masked; 4], lanes: &mut [u32; LANES]) -> u32 {
    let pointer: *mut __m256i = lanes.as_mut_ptr().cast();
    // SAFETY: `lanes` is 32 readable bytes and the load has no alignment requirement.
    let mut sum = unsafe { _mm256_loadu_si256(pointer) };
    for term in terms {
        let impacts = _mm_cvtsi64_si128(term.impacts.cast_signed());
        let impacts = _mm_maskz_expand_epi8(u16::from(term.mask), impacts);
        let impacts = _mm256_cvtepu8_epi32(impacts);
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

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2")]
fn load(line: &Line) -> __m512i {
    // SAFETY: `line` is 64 readable bytes and the load has no alignment requirement.
    unsafe { _mm512_loadu_si512(line.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2")]
fn load_sums(sums: &[u16; 32]) -> __m512i {
    // SAFETY: `sums` is 64 readable bytes and the load has no alignment requirement.
    unsafe { _mm512_loadu_si512(sums.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2")]
fn store_sums(vector: __m512i, sums: &mut [u16; 32]) {
    // SAFETY: `sums` is 64 writable bytes, exclusively borrowed.
    unsafe { _mm512_storeu_si512(sums.as_mut_ptr().cast(), vector) }
}

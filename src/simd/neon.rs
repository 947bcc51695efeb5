//! 128-bit kernels of AArch64.
#![expect(unsafe_code, reason = "vector loads and stores go through pointers")]

use core::arch::aarch64::*;

use super::{LANES, Line, Masked, Sums, expand::POSITIONS};

/// Proof that this CPU has NEON.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Neon(());

impl Neon {
    pub(super) fn detect() -> Option<Neon> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Neon(()))
    }

    pub(super) fn add_rows(self, rows: [&[Line]; 4], weights: [u16; 4], sums: &mut [Sums]) {
        // SAFETY: `detect` is the only constructor of `Neon`, so the CPU has NEON.
        unsafe { add_rows(rows, weights, sums) }
    }

    pub(super) fn at_least(self, sums: &Sums, least: u16) -> [u64; 2] {
        // SAFETY: `detect` is the only constructor of `Neon`, so the CPU has NEON.
        unsafe { at_least(sums, least) }
    }

    pub(super) fn add_masked(self, terms: &[Masked; 4], lanes: &mut [u32; LANES]) -> u32 {
        // SAFETY: `detect` is the only constructor of `Neon`, so the CPU has NEON.
        unsafe { add_masked(terms, lanes) }
    }
}

#[target_feature(enable = "neon")]
fn add_rows(rows: [&[Line]; 4], weights: [u16; 4], sums: &mut [Sums]) {
    let nibble = vdupq_n_u16(0xF);
    let [a, b, c, d] = rows;
    let lines = a.iter().zip(b).zip(c).zip(d);
    for ((((a, b), c), d), sums) in lines.zip(sums) {
        // Eight sums; four of them share an eighth of a line.
        let (eights, _) = sums.as_chunks_mut::<8>();
        for part in 0..4 {
            let cells = [a, b, c, d].map(|line| load(&line.as_chunks::<16>().0[part]));
            macro_rules! quarter {
                ($at:expr, $cells:expr) => {
                    let mut sum = load_sums(&eights[$at]);
                    for (cells, weight) in cells.into_iter().zip(weights) {
                        sum = vmlaq_n_u16(sum, $cells(cells), weight);
                    }
                    store_sums(sum, &mut eights[$at]);
                };
            }
            quarter!(part, |cells| vandq_u16(cells, nibble));
            quarter!(part + 4, |cells| vandq_u16(vshrq_n_u16::<4>(cells), nibble));
            quarter!(part + 8, |cells| vandq_u16(vshrq_n_u16::<8>(cells), nibble));
            quarter!(part + 12, |cells| vshrq_n_u16::<12>(cells));
        }
    }
}

#[target_feature(enable = "neon")]
fn at_least(sums: &Sums, least: u16) -> [u64; 2] {
    let least = vdupq_n_u16(least);
    let (eights, _) = sums.as_chunks::<8>();
    [0, 8].map(|start| {
        let marks = |at: usize| vcgeq_u16(load_sums(&eights[start + at]), least);
        bits([0, 2, 4, 6].map(|at| narrow(marks(at), marks(at + 1))))
    })
}

/// A byte for each word: all ones or all zeros, as the words are.
#[target_feature(enable = "neon")]
fn narrow(low: uint16x8_t, high: uint16x8_t) -> uint8x16_t {
    vcombine_u8(vmovn_u16(low), vmovn_u16(high))
}

/// A bit for each byte. NEON has no move-mask: every byte keeps the bit of its place among eight,
/// and three rounds of pairwise sums bring eight bytes into one.
#[target_feature(enable = "neon")]
fn bits(marks: [uint8x16_t; 4]) -> u64 {
    let places = vreinterpretq_u8_u64(vdupq_n_u64(0x8040_2010_0804_0201));
    let [a, b, c, d] = marks.map(|marks| vandq_u8(marks, places));
    let sums = vpaddq_u8(vpaddq_u8(a, b), vpaddq_u8(c, d));
    vgetq_lane_u64::<0>(vreinterpretq_u64_u8(vpaddq_u8(sums, sums)))
}

#[target_feature(enable = "neon")]
fn add_masked(terms: &[Masked; 4], lanes: &mut [u32; LANES]) -> u32 {
    let (halves, _) = lanes.as_chunks_mut::<4>();
    let mut sums = [load_lanes(&halves[0]), load_lanes(&halves[1])];
    for term in terms {
        let impacts = vcreate_u8(term.impacts);
        let positions = vcreate_u8(u64::from_le_bytes(POSITIONS[usize::from(term.mask)]));
        let impacts = vmovl_u8(vtbl1_u8(impacts, positions));
        sums[0] = vmlal_n_u16(sums[0], vget_low_u16(impacts), term.weight);
        sums[1] = vmlal_n_u16(sums[1], vget_high_u16(impacts), term.weight);
    }
    for (sum, half) in sums.into_iter().zip(halves) {
        store_lanes(sum, half);
    }
    vmaxvq_u32(vmaxq_u32(sums[0], sums[1]))
}

#[target_feature(enable = "neon")]
fn load(bytes: &[u8; 16]) -> uint16x8_t {
    // SAFETY: `bytes` is 16 readable bytes and the load has no alignment requirement.
    let bytes = unsafe { vld1q_u8(bytes.as_ptr()) };
    vreinterpretq_u16_u8(bytes)
}

#[target_feature(enable = "neon")]
fn load_sums(sums: &[u16; 8]) -> uint16x8_t {
    // SAFETY: `sums` is 16 readable bytes, aligned as `u16`.
    unsafe { vld1q_u16(sums.as_ptr()) }
}

#[target_feature(enable = "neon")]
fn store_sums(vector: uint16x8_t, sums: &mut [u16; 8]) {
    // SAFETY: `sums` is 16 writable bytes, exclusively borrowed, aligned as `u16`.
    unsafe { vst1q_u16(sums.as_mut_ptr(), vector) }
}

#[target_feature(enable = "neon")]
fn load_lanes(lanes: &[u32; 4]) -> uint32x4_t {
    // SAFETY: `lanes` is 16 readable bytes, aligned as `u32`.
    unsafe { vld1q_u32(lanes.as_ptr()) }
}

#[target_feature(enable = "neon")]
fn store_lanes(vector: uint32x4_t, lanes: &mut [u32; 4]) {
    // SAFETY: `lanes` is 16 writable bytes, exclusively borrowed, aligned as `u32`.
    unsafe { vst1q_u32(lanes.as_mut_ptr(), vector) }
}

//! The inner loops of block search, once per instruction set.
//!
//! Each kernel is written in [`scalar`], which defines its meaning, and again per level. All
//! arithmetic is on integers and wraps, so every level returns the same bits for every input, and
//! tests compare with `==`.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod expand;
mod lines;
#[cfg(any(feature = "sae", feature = "native"))]
pub(crate) mod matrix;
#[cfg(target_arch = "aarch64")]
mod neon;
pub(crate) mod plain;
#[cfg(feature = "sae")]
pub(crate) mod products;
mod scalar;
#[cfg(test)]
mod tests;

pub(crate) use self::{
    lines::{Keep, Maxima},
    plain::Plain,
};

/// Documents of a block: one lane each.
pub(crate) const LANES: usize = 8;

/// Cells of a row of bounds that lie in one line of 64 bytes.
pub(crate) const LINE_CELLS: usize = 128;

/// Bytes of such a line.
pub(crate) const LINE_LEN: usize = 64;

/// Sums of bounds of one line of cells.
pub(crate) type Sums = [u16; LINE_CELLS];

/// Bounds of one term for [`LINE_CELLS`] blocks. Cell `c` is nibble `c / 32` of the little-endian
/// `u16` at `c % 32`, so that a shift and a mask give 32 cells in order.
pub(crate) type Line = [u8; LINE_LEN];

/// A term's postings in a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Masked {
    /// Impacts of the documents that have the term, by rising lane, from the lowest byte; what
    /// follows them does not matter.
    pub(crate) impacts: u64,
    /// Which lanes have the term.
    pub(crate) mask: u8,
    /// Weight of the term in the query.
    pub(crate) weight: u16,
}

/// An instruction set to run the kernels on, for callers who compare them.
///
/// ```
/// use sparsely::InstructionSet;
/// assert!(InstructionSet::available().contains(&InstructionSet::Portable));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InstructionSet {
    /// Plain Rust: every machine.
    Portable,
    /// 256-bit vectors of x86-64.
    Avx2,
    /// 512-bit vectors of x86-64 with byte expansion (AVX-512 F, BW, VL, VBMI2).
    Avx512,
    /// 128-bit vectors of AArch64.
    Neon,
}

impl InstructionSet {
    /// The sets that this machine and this build can run, the best last.
    #[must_use]
    pub fn available() -> Vec<InstructionSet> {
        let all = [
            InstructionSet::Portable,
            InstructionSet::Avx2,
            InstructionSet::Avx512,
            InstructionSet::Neon,
        ];
        all.into_iter()
            .filter(|&set| Level::of(set).is_some())
            .collect()
    }
}

/// An instruction set that this machine was seen to have.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Level {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Avx512),
    #[cfg(target_arch = "aarch64")]
    Neon(neon::Neon),
}

impl Level {
    /// The best level of this machine.
    pub(crate) fn detect() -> Level {
        let sets = [
            InstructionSet::Avx512,
            InstructionSet::Avx2,
            InstructionSet::Neon,
        ];
        sets.into_iter()
            .find_map(Level::of)
            .unwrap_or(Level::Scalar)
    }

    /// A level by name, if this machine has it.
    pub(crate) fn of(set: InstructionSet) -> Option<Level> {
        match set {
            InstructionSet::Portable => Some(Level::Scalar),
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => avx2::Avx2::detect().map(Level::Avx2),
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => avx512::Avx512::detect().map(Level::Avx512),
            #[cfg(target_arch = "aarch64")]
            InstructionSet::Neon => neon::Neon::detect().map(Level::Neon),
            #[allow(unreachable_patterns, reason = "other architectures lack arms above")]
            _ => None,
        }
    }

    /// `sums[c] += weights[r] * rows[r][c]` for four rows and every cell.
    ///
    /// Callers choose weights so that no sum reaches 2^16; a larger one wraps.
    pub(crate) fn add_rows(self, rows: [&[Line]; 4], weights: [u16; 4], sums: &mut [Sums]) {
        match self {
            Level::Scalar => scalar::add_rows(rows, weights, sums),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(avx2) => avx2.add_rows(rows, weights, sums),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(avx512) => avx512.add_rows(rows, weights, sums),
            #[cfg(target_arch = "aarch64")]
            Level::Neon(neon) => neon.add_rows(rows, weights, sums),
        }
    }

    /// The cells of at least `least`: bit `c % 64` of word `c / 64`.
    pub(crate) fn at_least(self, sums: &Sums, least: u16) -> [u64; 2] {
        match self {
            Level::Scalar => scalar::at_least(sums, least),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(avx2) => avx2.at_least(sums, least),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(avx512) => avx512.at_least(sums, least),
            #[cfg(target_arch = "aarch64")]
            Level::Neon(neon) => neon.at_least(sums, least),
        }
    }

    /// Adds `weight * impact` of four terms to the lanes that have them; returns the largest lane.
    pub(crate) fn add_masked(self, terms: &[Masked; 4], lanes: &mut [u32; LANES]) -> u32 {
        match self {
            Level::Scalar => scalar::add_masked(terms, lanes),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(avx2) => avx2.add_masked(terms, lanes),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(avx512) => avx512.add_masked(terms, lanes),
            #[cfg(target_arch = "aarch64")]
            Level::Neon(neon) => neon.add_masked(terms, lanes),
        }
    }
}

impl Level {
    /// Runs a loop that is compiled for this level.
    pub(crate) fn run<P: plain::Plain>(self, plain: P) -> P::Output {
        match self {
            Level::Scalar => plain.run(),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(avx2) => avx2.run(plain),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(avx512) => avx512.run(plain),
            // Its vectors are part of every AArch64, so the plain loop has them.
            #[cfg(target_arch = "aarch64")]
            Level::Neon(_) => plain.run(),
        }
    }
}

/// Asks for the cache line of `bytes[at]` ahead of its use; a place outside is ignored. No
/// meaning, only time.
#[inline]
pub(crate) fn prefetch(bytes: &[u8], at: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(byte) = bytes.get(at) {
        avx2::prefetch(byte);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (bytes, at);
}

/// The largest byte of a word. On x86-64 by the vectors that all of them have: the compiler makes
/// seven comparisons of it, one after another.
#[inline(always)]
pub(crate) fn largest_byte(word: u64) -> u8 {
    #[cfg(target_arch = "x86_64")]
    return avx2::largest_byte(word);
    #[cfg(not(target_arch = "x86_64"))]
    return scalar::largest_byte(word);
}

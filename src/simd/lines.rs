//! Loops over lines of sums, written once: the compiler makes vectors of them for each level.

use super::{LINE_CELLS, Sums, plain::Plain};

/// The largest sum of each line.
pub(crate) struct Maxima<'a> {
    pub(crate) sums: &'a [Sums],
    /// One per line.
    pub(crate) most: &'a mut [u16],
}

impl Plain for Maxima<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (sums, most) in self.sums.iter().zip(self.most) {
            *most = sums.iter().fold(0, |most, &sum| most.max(sum));
        }
    }
}

/// Makes the sums 0 whose byte of `kept` is 0.
pub(crate) struct Keep<'a> {
    pub(crate) sums: &'a mut Sums,
    pub(crate) kept: &'a [u8; LINE_CELLS],
}

impl Plain for Keep<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (sum, &kept) in self.sums.iter_mut().zip(self.kept) {
            *sum = if kept == 0 { 0 } else { *sum };
        }
    }
}

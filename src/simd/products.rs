//! Dot products of the rows of two matrices, of which the one stays where it lies.
//!
//! A library's product of matrices first copies both operands into panels; with few rows of the one,
//! copying the other is most of the work. Here only the hidden states are laid out anew, once: a
//! panel has sixteen of them side by side, so that one register has the same value of each, and a
//! weight is read once and multiplied with all sixteen. Each sum is taken in the order of the values,
//! so its bits depend neither on the instruction set nor on what else is multiplied.

use super::{Level, plain::Plain};

/// Rows of a panel: as many as the widest register holds floats.
pub(crate) const PANEL: usize = 16;

/// A matrix whose rows stand side by side in panels of [`PANEL`].
#[derive(Debug)]
pub(crate) struct Panels {
    /// Panel after panel, in each a register for each column; filled up with 0.
    values: Vec<[f32; PANEL]>,
    rows: usize,
    columns: usize,
}

impl Panels {
    /// Lays out whole rows of `columns` values.
    pub(crate) fn new(matrix: &[f32], columns: usize) -> Panels {
        let rows = matrix.len() / columns;
        let mut values = vec![[0.0; PANEL]; rows.div_ceil(PANEL) * columns];
        for (row, numbers) in matrix.chunks_exact(columns).enumerate() {
            let panel = &mut values[row / PANEL * columns..][..columns];
            for (lanes, number) in panel.iter_mut().zip(numbers) {
                lanes[row % PANEL] = *number;
            }
        }
        Panels {
            values,
            rows,
            columns,
        }
    }

    /// Sets `out`, a row of `weights.len() / columns` values for each row from `start` to `end`, to
    /// the dot products with the rows of `weights`.
    ///
    /// # Panics
    /// When `start` is not the first row of a panel, or the shapes do not fit.
    pub(crate) fn multiply(&self, start: usize, end: usize, weights: &[f32], out: &mut [f32]) {
        let others = weights.len() / self.columns;
        assert!(
            start.is_multiple_of(PANEL) && start <= end && end <= self.rows,
            "rows {start}..{end} of {}",
            self.rows
        );
        assert_eq!(out.len(), (end - start) * others, "the size of a product");
        let panels = start / PANEL * self.columns..end.div_ceil(PANEL) * self.columns;
        let panels = &self.values[panels];
        let columns = self.columns;
        match Level::detect() {
            #[cfg(target_arch = "x86_64")]
            level @ Level::Avx512(_) => level.run(Products::<8> {
                panels,
                weights,
                columns,
                out,
            }),
            // Eight sums of sixteen floats would not fit into its registers.
            level => level.run(Products::<4> {
                panels,
                weights,
                columns,
                out,
            }),
        }
    }
}

/// `R` rows of weights at a time, by every panel.
struct Products<'a, const R: usize> {
    panels: &'a [[f32; PANEL]],
    weights: &'a [f32],
    columns: usize,
    out: &'a mut [f32],
}

impl<const R: usize> Plain for Products<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let columns = self.columns;
        let others = self.weights.len() / columns;
        for (some, first) in self.weights.chunks(R * columns).zip((0..).step_by(R)) {
            let count = some.len() / columns;
            // Where there are fewer, the last one again: what that gives is not kept.
            let weights: [&[f32]; R] = std::array::from_fn(|row| {
                let row = row.min(count - 1);
                &some[row * columns..(row + 1) * columns]
            });
            let outputs = self.out.chunks_mut(PANEL * others);
            for (panel, out) in self.panels.chunks_exact(columns).zip(outputs) {
                let sums = sums(weights, panel);
                for (row, out) in out.chunks_exact_mut(others).enumerate() {
                    for (out, sums) in out[first..first + count].iter_mut().zip(&sums) {
                        *out = sums[row];
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn sums<const R: usize>(weights: [&[f32]; R], panel: &[[f32; PANEL]]) -> [[f32; PANEL]; R] {
    let mut sums = [[0.0; PANEL]; R];
    // One length for all, which the compiler sees.
    let weights = weights.map(|row| &row[..panel.len()]);
    for (column, values) in panel.iter().enumerate() {
        for (sums, weights) in sums.iter_mut().zip(weights) {
            let weight = weights[column];
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum += weight * *value;
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::InstructionSet;

    fn numbers(count: usize) -> Vec<f32> {
        (0..count)
            .map(|at| f32::from(u16::try_from(at * 7919 % 1009).unwrap()) / 500.0 - 1.0)
            .collect()
    }

    #[test]
    fn every_level_returns_the_bits_of_the_plain_loop() {
        for (rows, columns, others) in
            [(1, 1, 1), (5, 3, 9), (16, 33, 8), (40, 7, 21), (33, 384, 5)]
        {
            let (matrix, weights) = (numbers(rows * columns), numbers(others * columns));
            let mut want = Vec::new();
            for row in matrix.chunks_exact(columns) {
                for other in weights.chunks_exact(columns) {
                    want.push(
                        row.iter()
                            .zip(other)
                            .fold(0.0_f32, |sum, (a, b)| sum + b * a),
                    );
                }
            }
            let panels = Panels::new(&matrix, columns);
            let mut out = vec![f32::NAN; rows * others];
            panels.multiply(0, rows, &weights, &mut out);
            assert_eq!(out, want, "{rows} x {columns} x {others}");
            let start = rows / PANEL * PANEL;
            panels.multiply(start, rows, &weights, &mut out[start * others..]);
            assert_eq!(out, want, "from row {start}");
            for set in InstructionSet::available() {
                let level = Level::of(set).unwrap();
                let mut four = vec![f32::NAN; rows * others];
                let (panels, weights) = (&panels.values[..], &weights[..]);
                level.run(Products::<4> {
                    panels,
                    weights,
                    columns,
                    out: &mut four,
                });
                assert_eq!(four, want, "{set:?}");
                let mut eight = vec![f32::NAN; rows * others];
                level.run(Products::<8> {
                    panels,
                    weights,
                    columns,
                    out: &mut eight,
                });
                assert_eq!(eight, want, "{set:?}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "size of a product")]
    fn shapes_that_do_not_fit_are_refused() {
        Panels::new(&[1.0; 6], 3).multiply(0, 2, &[1.0; 6], &mut [0.0; 3]);
    }
}

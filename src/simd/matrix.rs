//! The matrix product of 32-bit floats, on one thread.
//!
//! The kernels are those of `matrixmultiply`, which takes pointers and strides; this file turns
//! slices into both. Unlike the rest of this module it is floating point: which kernel runs decides
//! the order of additions, so results agree between machines within rounding, not bit for bit.
#![expect(
    unsafe_code,
    reason = "the kernels take pointers; every bound is checked first"
)]

/// A matrix inside a slice: element `(row, column)` stands at `row * step.0 + column * step.1`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    steps: (usize, usize),
}

impl<'a> Matrix<'a> {
    /// Whole rows of `columns` values each, one after the other.
    ///
    /// # Panics
    /// When `data` is not whole rows.
    pub(crate) fn new(data: &'a [f32], columns: usize) -> Matrix<'a> {
        let rows = data.len().checked_div(columns).unwrap_or(0);
        assert!(rows * columns == data.len(), "a matrix of whole rows");
        Matrix {
            data,
            rows,
            columns,
            steps: (columns, 1),
        }
    }

    /// The same numbers with rows and columns exchanged.
    pub(crate) fn transposed(self) -> Matrix<'a> {
        Matrix {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            steps: (self.steps.1, self.steps.0),
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// The rows from `start` to `end`.
    pub(crate) fn row_range(self, start: usize, end: usize) -> Matrix<'a> {
        assert!(
            start <= end && end <= self.rows,
            "rows {start}..{end} of {}",
            self.rows
        );
        // Of an empty part nothing is read, and its first element may lie behind the data.
        let first = (start * self.steps.0).min(self.data.len());
        Matrix {
            data: &self.data[first..],
            rows: end - start,
            ..self
        }
    }

    /// The columns from `start` to `end`.
    pub(crate) fn column_range(self, start: usize, end: usize) -> Matrix<'a> {
        self.transposed().row_range(start, end).transposed()
    }

    /// Column after column, where they stand so without gaps.
    #[cfg(feature = "sae")]
    pub(crate) fn contiguous_columns(&self) -> Option<&'a [f32]> {
        let is_so = self.steps == (1, self.rows);
        is_so.then(|| &self.data[..self.rows * self.columns])
    }

    /// One more than the largest place that an element stands at.
    fn extent(&self) -> usize {
        if self.rows == 0 || self.columns == 0 {
            return 0;
        }
        (self.rows - 1) * self.steps.0 + (self.columns - 1) * self.steps.1 + 1
    }
}

/// Sets `out`, `a.rows()` rows of `b.columns()` values, to `a b`, or adds that to it.
///
/// # Panics
/// When the shapes do not fit.
pub(crate) fn multiply(a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32], adds: bool) {
    assert_eq!(a.columns, b.rows, "inner sizes of a product");
    let size = a.rows.checked_mul(b.columns);
    assert_eq!(Some(out.len()), size, "the size of a product");
    assert!(
        a.extent() <= a.data.len() && b.extent() <= b.data.len(),
        "matrices lie in their slices"
    );
    if out.is_empty() {
        return;
    }
    let step = |size: usize| isize::try_from(size).expect("a step inside a slice");
    // SAFETY: the assertions above hold every element that is read inside `a.data` and `b.data`
    // (strides are not negative, the largest place is below the length), and every element that is
    // written inside `out`, whose rows of `b.columns` values do not overlap. `out` is borrowed
    // exclusively, so it overlaps neither input.
    unsafe {
        matrixmultiply::sgemm(
            a.rows,
            a.columns,
            b.columns,
            1.0,
            a.data.as_ptr(),
            step(a.steps.0),
            step(a.steps.1),
            b.data.as_ptr(),
            step(b.steps.0),
            step(b.steps.1),
            if adds { 1.0 } else { 0.0 },
            out.as_mut_ptr(),
            step(b.columns),
            1,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The meaning, in doubles.
    fn plain(a: Matrix<'_>, b: Matrix<'_>) -> Vec<f32> {
        let at = |m: &Matrix<'_>, row: usize, column: usize| {
            f64::from(m.data[row * m.steps.0 + column * m.steps.1])
        };
        let mut out = Vec::new();
        for row in 0..a.rows {
            for column in 0..b.columns {
                let sum: f64 = (0..a.columns)
                    .map(|inner| at(&a, row, inner) * at(&b, inner, column))
                    .sum();
                #[expect(clippy::cast_possible_truncation, reason = "back to single")]
                out.push(sum as f32);
            }
        }
        out
    }

    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                f32::from(u16::try_from(state >> 16).unwrap()) / 32_768.0 - 1.0
            })
            .collect()
    }

    #[test]
    fn products_agree_with_their_meaning_in_every_layout() {
        for (rows, inner, columns) in [(1, 1, 1), (3, 5, 7), (17, 33, 9), (40, 130, 70), (2, 0, 3)]
        {
            let a = numbers(rows * inner, 1);
            let b = numbers(inner * columns, 2);
            let straight = |data, rows: usize, columns: usize| Matrix {
                data,
                rows,
                columns,
                steps: (columns, 1),
            };
            for (a, b) in [
                (straight(&a, rows, inner), straight(&b, inner, columns)),
                (
                    straight(&a, inner, rows).transposed(),
                    straight(&b, inner, columns),
                ),
                (
                    straight(&a, rows, inner),
                    straight(&b, columns, inner).transposed(),
                ),
            ] {
                let want = plain(a, b);
                let mut out = vec![f32::NAN; rows * columns];
                multiply(a, b, &mut out, false);
                let mut twice = out.clone();
                multiply(a, b, &mut twice, true);
                for ((got, twice), want) in out.iter().zip(&twice).zip(&want) {
                    assert!((got - want).abs() < 1e-4, "{got} {want}");
                    assert!((twice - 2.0 * want).abs() < 2e-4, "{twice} {want}");
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "inner sizes")]
    fn shapes_that_do_not_fit_are_refused() {
        multiply(
            Matrix::new(&[1.0; 6], 3),
            Matrix::new(&[1.0; 6], 3),
            &mut [0.0; 6],
            false,
        );
    }
}

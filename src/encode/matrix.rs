//! Matrix products on the threads that a caller grants.
//!
//! The output is cut into ranges of rows, one a thread; where it has too few rows for that, into
//! ranges of columns, which are made aside and copied. The kernels pack blocks of a fixed size, so
//! what is needed besides the operands does not grow with them.

pub(crate) use crate::simd::matrix::Matrix;
use crate::simd::matrix::multiply as multiply_here;

/// Rows that a thread should get at least: the kernels work on tiles of up to 24.
const ROWS_LEAST: usize = 48;

/// Columns that a thread should get at least.
const COLUMNS_LEAST: usize = 256;

/// Products below this many multiply-adds are not worth a thread.
const WORK_LEAST: usize = 1 << 21;

/// Sets `out` to `a b`: `a` is `[rows, inner]`, `b` is `[inner, columns]`, each maybe
/// [transposed](Matrix::transposed), `out` is `[rows, columns]`, row after row. The calling thread
/// works too, so 1 starts none.
///
/// # Panics
/// When the shapes do not fit.
pub(crate) fn multiply(a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32], threads: usize) {
    product(a, b, out, false, threads);
}

#[allow(
    dead_code,
    reason = "sums of products are for training, which not every build has"
)]
/// Adds `a b` to `out`; otherwise [`multiply`].
pub(crate) fn multiply_add(a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32], threads: usize) {
    product(a, b, out, true, threads);
}

fn product(a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32], adds: bool, threads: usize) {
    let (rows, columns) = (a.rows(), b.columns());
    let work = rows.saturating_mul(columns).saturating_mul(a.columns());
    let threads = threads.min(work / WORK_LEAST).max(1);
    if threads == 1 || columns == 0 || out.len() != rows * columns {
        return multiply_here(a, b, out, adds);
    }
    if rows >= threads * ROWS_LEAST || columns < threads * COLUMNS_LEAST {
        let step = rows.div_ceil(threads).next_multiple_of(8);
        std::thread::scope(|scope| {
            let mut parts = out.chunks_mut(step * columns).zip(0..);
            let first = parts.next();
            for (part, at) in parts {
                scope.spawn(move || {
                    let rows = a.row_range(at * step, at * step + part.len() / columns);
                    multiply_here(rows, b, part, adds);
                });
            }
            if let Some((part, _)) = first {
                multiply_here(a.row_range(0, part.len() / columns), b, part, adds);
            }
        });
        return;
    }
    let step = columns.div_ceil(threads).next_multiple_of(16);
    let side = |start: usize| {
        let end = columns.min(start + step);
        let mut part = vec![0.0; rows * (end - start)];
        multiply_here(a, b.column_range(start, end), &mut part, false);
        (start, end, part)
    };
    std::thread::scope(|scope| {
        let later: Vec<_> = (step..columns)
            .step_by(step)
            .map(|start| scope.spawn(move || side(start)))
            .collect();
        place(out, columns, side(0), adds);
        for thread in later {
            match thread.join() {
                Ok(part) => place(out, columns, part, adds),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
}

/// Puts a range of columns where it belongs.
fn place(out: &mut [f32], columns: usize, part: (usize, usize, Vec<f32>), adds: bool) {
    let (start, end, part) = part;
    for (row, part) in out
        .chunks_exact_mut(columns)
        .zip(part.chunks_exact(end - start))
    {
        let row = &mut row[start..end];
        if adds {
            row.iter_mut()
                .zip(part)
                .for_each(|(sum, value)| *sum += value);
        } else {
            row.copy_from_slice(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize) -> Vec<f32> {
        (0..count)
            .map(|at| f32::from(u16::try_from(at * 7919 % 1009).unwrap()) / 500.0 - 1.0)
            .collect()
    }

    #[test]
    fn threads_change_nothing_but_the_time() {
        for (rows, inner, columns) in [
            (300, 64, 300),
            (7, 256, 3000),
            (1, 4096, 2000),
            (90, 300, 5),
        ] {
            let (a, b) = (numbers(rows * inner), numbers(inner * columns));
            let a = Matrix::new(&a, inner);
            for b in [
                Matrix::new(&b, columns),
                Matrix::new(&b, inner).transposed(),
            ] {
                let mut alone = vec![0.0; rows * columns];
                multiply(a, b, &mut alone, 1);
                for threads in [2, 3, 7] {
                    let mut out = vec![1.0; rows * columns];
                    multiply(a, b, &mut out, threads);
                    multiply_add(a, b, &mut out, threads);
                    for (got, want) in out.iter().zip(&alone) {
                        assert!((got - 2.0 * want).abs() < 1e-2, "{got} {want}");
                    }
                }
            }
        }
    }
}

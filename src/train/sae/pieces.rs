//! Work in pieces, on as many threads as are granted, with results that do not depend on how many.

use std::sync::{Mutex, PoisonError};

/// Does each piece once and returns the results in the order of the pieces. The calling thread works
/// too, so 1 starts none.
pub(super) fn in_pieces<W: Send, R: Send>(
    threads: usize,
    pieces: Vec<W>,
    each: impl Fn(W) -> R + Sync,
) -> Vec<R> {
    if threads <= 1 || pieces.len() <= 1 {
        return pieces.into_iter().map(each).collect();
    }
    let threads = threads.min(pieces.len());
    let mut results: Vec<Option<R>> = pieces.iter().map(|_| None).collect();
    // Pieces are large, so one lock a piece costs nothing.
    let queue = Mutex::new(pieces.into_iter().zip(&mut results));
    let work = || {
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((piece, result)) = next else { break };
            *result = Some(each(piece));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    drop(queue);
    results.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_once_in_order() {
        for threads in [1, 2, 5, 100] {
            let results = in_pieces(threads, (0..40).collect(), |piece| piece * 3);
            assert!(results.into_iter().eq((0..40).map(|piece| piece * 3)));
        }
    }
}

//! Work in numbered pieces, on the threads that the caller granted; results come in order.
//!
//! So what is made of them does not depend on threads, and only the caller's own thread writes,
//! reports progress and hears of being cancelled.

use std::collections::BTreeMap;

use crossbeam::channel::{Sender, unbounded};

use crate::error::Result;

/// What building may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resources {
    /// Threads that may work; at least 1, which is the caller's own.
    pub(crate) threads: usize,
    /// Bytes to stay within, as far as documents and terms allow.
    pub(crate) memory: usize,
}

/// Calls `work` for each of `0..count`, on `threads` threads, and `take` with each result, by
/// rising number, on the caller's thread.
///
/// Twice as many pieces as threads are under way or wait to be taken at any time, not more. The
/// first error, by number, ends the work.
pub(crate) fn in_order<T: Send>(
    threads: usize,
    count: u32,
    work: impl Fn(u32) -> Result<T> + Sync,
    mut take: impl FnMut(u32, T) -> Result<()>,
) -> Result<()> {
    if threads <= 1 || count <= 1 {
        return (0..count).try_for_each(|piece| take(piece, work(piece)?));
    }
    let (send_piece, pieces) = unbounded::<u32>();
    let (send_done, done) = unbounded();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (pieces, send_done, work) = (pieces.clone(), send_done.clone(), &work);
            scope.spawn(move || {
                let ending = Ending(send_done);
                for piece in pieces {
                    // The receiver outlives this thread.
                    let _ = ending.0.send(Some((piece, work(piece))));
                }
            });
        }
        let mut waiting: BTreeMap<u32, Result<T>> = BTreeMap::new();
        let mut unsent = 0..count;
        let ahead = threads.saturating_mul(2);
        for piece in unsent.by_ref().take(ahead) {
            let _ = send_piece.send(piece);
        }
        let mut result = Ok(());
        for piece in 0..count {
            while !waiting.contains_key(&piece) {
                // Threads end early only by a panic, which the scope passes on.
                let Ok(Some((at, made))) = done.recv() else {
                    break;
                };
                waiting.insert(at, made);
            }
            let Some(made) = waiting.remove(&piece) else {
                break;
            };
            if let Some(next) = unsent.next() {
                let _ = send_piece.send(next);
            }
            result = made.and_then(|made| take(piece, made));
            if result.is_err() {
                break;
            }
        }
        while pieces.try_recv().is_ok() {}
        drop(send_piece);
        result
    })
}

/// Says that a thread ends, also when it panics.
struct Ending<T>(Sender<Option<(u32, Result<T>)>>);

impl<T> Drop for Ending<T> {
    fn drop(&mut self) {
        let _ = self.0.send(None);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        hint::black_box,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use super::*;
    use crate::error::Error;

    #[test]
    fn results_come_in_order_whatever_the_threads() {
        for threads in [1, 2, 5] {
            let mut taken = Vec::new();
            let work = |piece: u32| {
                // Later pieces are often done first.
                (0..piece.wrapping_mul(2_654_435_761) >> 20).for_each(|at| _ = black_box(at));
                Ok(piece)
            };
            in_order(threads, 100, work, |piece, made| {
                taken.push((piece, made));
                Ok(())
            })
            .unwrap();
            assert!(taken.into_iter().eq((0..100).map(|at| (at, at))));
        }
    }

    #[test]
    fn no_more_pieces_than_said_are_under_way() {
        let begun = AtomicUsize::new(0);
        let work = |_| Ok(begun.fetch_add(1, Ordering::SeqCst));
        in_order(3, 200, work, |piece, _| {
            assert!(begun.load(Ordering::SeqCst) <= piece as usize + 1 + 6);
            Ok(())
        })
        .unwrap();
        assert_eq!(begun.into_inner(), 200);
    }

    #[test]
    fn the_first_error_ends_the_work() {
        for threads in [1, 4] {
            let fail = |piece| match piece {
                7 | 8 => Err(Error::invalid("a piece", "another", piece.to_string())),
                piece => Ok(piece),
            };
            let mut last = 0;
            let error = in_order(threads, 1000, fail, |piece, _| {
                last = piece;
                Ok(())
            });
            assert!(error.unwrap_err().to_string().contains('7'));
            assert_eq!(last, 6);
            let begun = AtomicUsize::new(0);
            let work = |piece| Ok(begun.fetch_add(1, Ordering::SeqCst) + piece as usize);
            let stop = |_, _| Err(Error::cancelled("testing"));
            assert!(in_order(threads, 1000, work, stop).is_err());
            assert!(begun.into_inner() <= 2 * threads + 1);
        }
    }

    #[test]
    #[should_panic(expected = "a scoped thread panicked")]
    fn a_panic_of_a_thread_reaches_the_caller() {
        let work = |piece| {
            assert!(piece != 3);
            Ok(())
        };
        let _ = in_order(2, 50, work, |_, ()| Ok(()));
    }
}

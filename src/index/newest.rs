//! The newest commit that a process has open, shared by its readers and its writer.

use std::sync::{Arc, PoisonError};

use crate::sync::{Mutex, MutexGuard};

/// What replaces what: a later one does.
pub(super) trait Succeeds {
    fn succeeds(&self, other: &Self) -> bool;
}

/// The newest of several states. Holders of the lock only copy a pointer, so nobody waits for what
/// another one reads.
#[derive(Debug)]
pub(super) struct Newest<T>(Mutex<Arc<T>>);

impl<T: Succeeds> Newest<T> {
    pub(super) fn new(state: T) -> Newest<T> {
        Newest(Mutex::new(Arc::new(state)))
    }

    pub(super) fn get(&self) -> Arc<T> {
        self.lock().clone()
    }

    /// For whoever holds the index's lock: nobody can know a newer one.
    pub(super) fn set(&self, state: Arc<T>) {
        *self.lock() = state;
    }

    /// The state that stands, at least as new as when this was called: the known one if `stands`
    /// says so, else the one that `load` makes of it.
    ///
    /// Other threads do the same meanwhile, and a writer sets what it has committed. What is
    /// returned is what this thread found, not what is here by then: another reader may have been
    /// slow, and have put an older one here. Nor is a newer one replaced by an older one.
    pub(super) fn refresh<E>(
        &self,
        stands: impl FnOnce(&T) -> Result<bool, E>,
        load: impl FnOnce(&T) -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let known = self.get();
        if stands(&known)? {
            return Ok(known);
        }
        let found = Arc::new(load(&known)?);
        let mut newest = self.lock();
        // Where nothing happened meanwhile, what was found counts, whatever it is: an index may go
        // back, to a copy that somebody restored.
        if Arc::ptr_eq(&newest, &known) || found.succeeds(&newest) {
            *newest = found.clone();
        }
        Ok(found)
    }

    fn lock(&self) -> MutexGuard<'_, Arc<T>> {
        // Nobody panics while holding it, so a poisoned lock is still whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(loom, test))]
mod loom_models {
    use loom::{
        sync::{
            Arc as Shared,
            atomic::{AtomicU64, Ordering},
        },
        thread,
    };

    use super::*;

    impl Succeeds for u64 {
        fn succeeds(&self, other: &u64) -> bool {
            self > other
        }
    }

    /// A disk whose newest commit is a number, and what a process has open of it.
    struct Index {
        disk: AtomicU64,
        newest: Newest<u64>,
    }

    impl Index {
        fn new() -> Shared<Index> {
            Shared::new(Index {
                disk: AtomicU64::new(0),
                newest: Newest::new(0),
            })
        }

        fn commit(&self, number: u64) {
            self.disk.store(number, Ordering::SeqCst);
            self.newest.set(Arc::new(number));
        }

        fn refresh(&self) -> u64 {
            let read = || self.disk.load(Ordering::SeqCst);
            let stands = |known: &u64| Ok::<_, ()>(*known == read());
            *self.newest.refresh(stands, |_| Ok(read())).unwrap()
        }
    }

    /// Two readers and a writer; `snapshot` is what a reader gets.
    fn check(snapshot: impl Fn(&Index) -> u64 + Copy + Send + Sync + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(move || {
            let index = Index::new();
            let reader = |index: Shared<Index>| {
                move || {
                    let mut last = 0;
                    for _ in 0..2 {
                        let stood = index.disk.load(Ordering::SeqCst);
                        let seen = snapshot(&index);
                        assert!(seen >= stood.max(last), "time went back");
                        last = seen;
                    }
                }
            };
            let readers = [(); 2].map(|()| thread::spawn(reader(index.clone())));
            index.commit(1);
            index.commit(2);
            for reader in readers {
                reader.join().unwrap();
            }
            assert_eq!(*index.newest.get(), 2, "time went back in what is open");
        });
    }

    #[test]
    fn no_reader_goes_back_in_time() {
        check(Index::refresh);
    }

    /// The model can fail: what is here after a refresh may be what a slower reader found.
    #[test]
    #[should_panic(expected = "time went back")]
    fn what_another_reader_found_may_be_older() {
        check(|index| {
            let known = *index.newest.get();
            let read = index.disk.load(Ordering::SeqCst);
            if known != read {
                index.newest.set(Arc::new(read));
            }
            *index.newest.get()
        });
    }
}

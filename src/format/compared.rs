//! Which blocks of a file were compared with their checksums, by all threads that read it.

use crate::sync::{AtomicU64, Ordering};

/// A bit for each block that agreed, and one block that did not. All accesses are relaxed: they say
/// something of bytes that never change, and a thread that meets damage asks for it itself.
#[derive(Debug)]
pub(super) struct Compared {
    agreed: Box<[AtomicU64]>,
    /// A block that was found damaged, plus 1; 0: none.
    damaged: AtomicU64,
}

impl Compared {
    pub(super) fn new(blocks: usize) -> Compared {
        Compared {
            agreed: (0..blocks.div_ceil(64))
                .map(|_| AtomicU64::new(0))
                .collect(),
            damaged: AtomicU64::new(0),
        }
    }

    /// From now on every block counts as one that agreed.
    pub(super) fn trust_all(&self) {
        for word in &self.agreed {
            word.store(u64::MAX, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(super) fn has_agreed(&self, block: usize) -> bool {
        let word = self.agreed.get(block / 64);
        word.is_some_and(|word| word.load(Ordering::Relaxed) >> (block % 64) & 1 == 1)
    }

    /// Compares a block by `compare` unless it is known to agree, and remembers the outcome.
    pub(super) fn compare<E>(
        &self,
        block: usize,
        compare: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        if self.has_agreed(block) {
            return Ok(());
        }
        let agrees = compare();
        match (&agrees, self.agreed.get(block / 64)) {
            (Err(_), _) => self.damaged.store(block as u64 + 1, Ordering::Relaxed),
            (Ok(()), Some(word)) => _ = word.fetch_or(1 << (block % 64), Ordering::Relaxed),
            (Ok(()), None) => {}
        }
        agrees
    }

    /// A block that was found damaged by any thread; surely one if it was this one.
    pub(super) fn damaged(&self) -> Option<usize> {
        let block = self.damaged.load(Ordering::Relaxed).checked_sub(1)?;
        usize::try_from(block).ok()
    }
}

#[cfg(all(loom, test))]
mod loom_models {
    use loom::{sync::Arc, thread};

    use super::*;

    /// Block 1 is damaged, the others are whole.
    fn agrees(block: usize) -> Result<(), usize> {
        if block == 1 { Err(block) } else { Ok(()) }
    }

    #[test]
    fn who_meets_damage_is_told_and_no_agreement_is_lost() {
        loom::model(|| {
            let compared = Arc::new(Compared::new(3));
            let read = |blocks: [usize; 2]| {
                let compared = compared.clone();
                move || {
                    for block in blocks {
                        let outcome = compared.compare(block, || agrees(block));
                        assert_eq!(outcome.is_err(), block == 1);
                    }
                    if blocks.contains(&1) {
                        assert_eq!(compared.damaged(), Some(1));
                    }
                }
            };
            let other = thread::spawn(read([1, 2]));
            read([0, 1])();
            other.join().unwrap();
            assert!(compared.has_agreed(0) && compared.has_agreed(2));
            assert!(!compared.has_agreed(1));
        });
    }

    /// The model can fail: agreement that is stored over, not added, is lost in some order.
    #[test]
    #[should_panic(expected = "lost")]
    fn stores_instead_of_additions_lose_agreement() {
        loom::model(|| {
            let word = Arc::new(AtomicU64::new(0));
            let add = |bit: u64| {
                let word = word.clone();
                move || word.store(word.load(Ordering::Relaxed) | bit, Ordering::Relaxed)
            };
            let other = thread::spawn(add(1));
            add(2)();
            other.join().unwrap();
            assert_eq!(word.load(Ordering::Relaxed), 3, "lost");
        });
    }
}

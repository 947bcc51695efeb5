//! Texts onto threads: batches of about as many tokens each, taken one after the other.

use std::{
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{head::TermHead, transformer::Transformer};
use crate::{
    encode::{Pool, Pooling, Prune, SpecialTokens, run::Run, tokenize::Window},
    error::{Error, Result},
    sparse::SparseVector,
};

/// A masked language model at work.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) transformer: Transformer,
    pub(super) head: TermHead,
    pub(super) pooling: Pooling,
    pub(super) threads: usize,
    /// The weights, for messages.
    pub(super) file: String,
}

/// Tokens of a batch: enough for the matrix kernels, little enough for the caches.
const BATCH: usize = 512;

/// Texts of a batch: each holds a value per term.
const TEXTS: usize = 64;

impl Run for Model {
    fn run(&self, inputs: &[Window]) -> Result<Vec<SparseVector>> {
        let batches = plan(inputs);
        let workers = self.threads.min(batches.len()).max(1);
        // Where there are fewer batches than threads, a batch has several.
        let threads = self.threads / workers;
        let next = AtomicUsize::new(0);
        let vectors = Mutex::new(vec![SparseVector::default(); inputs.len()]);
        let work = || -> Result<()> {
            while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                let done = self.batch(&inputs[batch.clone()], threads);
                if done.is_err() {
                    // The others stop at their next batch.
                    next.store(batches.len(), Ordering::Relaxed);
                }
                let mut vectors = vectors.lock().unwrap_or_else(PoisonError::into_inner);
                for (vector, done) in vectors[batch.clone()].iter_mut().zip(done?) {
                    *vector = done;
                }
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (1..workers).map(|_| scope.spawn(work)).collect();
            let mut outcome = work();
            for thread in threads {
                let theirs = thread
                    .join()
                    .unwrap_or_else(|_| Err(Error::model(&self.file, "a thread failed")));
                outcome = outcome.and(theirs);
            }
            outcome
        })?;
        Ok(vectors.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Model {
    fn batch(&self, inputs: &[Window], threads: usize) -> Result<Vec<SparseVector>> {
        let texts: Vec<&[u32]> = inputs.iter().map(|input| &*input.ids).collect();
        let states = self.transformer.states(&texts, usize::MAX, threads)?;
        let mut ranges = Vec::with_capacity(texts.len());
        let mut start = 0;
        for input in inputs {
            ranges.push(match self.pooling.special_tokens {
                SpecialTokens::Keep => start..start + input.ids.len(),
                SpecialTokens::Drop => start + input.own.start..start + input.own.end,
            });
            start += input.ids.len();
        }
        let terms = self.transformer.config.vocabulary;
        let mut pools: Vec<Pool> = ranges
            .iter()
            .map(|_| Pool::new(self.pooling, terms))
            .collect();
        // Named here, since a pool knows no files.
        let named = |error: Error| Error::model(&self.file, error.to_string());
        self.head
            .pool(&self.transformer, &states, &ranges, &mut pools, threads)
            .map_err(named)?;
        pools
            .iter_mut()
            .map(|pool| pool.finish(Prune::NONE).map_err(named))
            .collect()
    }
}

/// Cuts inputs into batches, in order: without filling, texts of different lengths may go together.
fn plan(inputs: &[Window]) -> Vec<Range<usize>> {
    let mut batches = Vec::new();
    let (mut start, mut tokens) = (0, 0);
    for (at, input) in inputs.iter().enumerate() {
        if at > start && (tokens + input.ids.len() > BATCH || at - start == TEXTS) {
            batches.push(start..at);
            (start, tokens) = (at, 0);
        }
        tokens += input.ids.len();
    }
    if start < inputs.len() {
        batches.push(start..inputs.len());
    }
    batches
}

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
        spread(inputs, self.threads, |inputs, threads| {
            self.batch(inputs, threads)
        })
    }
}

/// Cuts inputs into batches and lets threads take one after the other, the caller's among them. What
/// `work` makes of each input comes back in order; it is told how many threads it may use itself.
pub(super) fn spread<T: Default + Send>(
    inputs: &[Window],
    threads: usize,
    work: impl Fn(&[Window], usize) -> Result<Vec<T>> + Sync,
) -> Result<Vec<T>> {
    let batches = plan(inputs);
    let workers = threads.min(batches.len()).max(1);
    // Where there are fewer batches than threads, a batch has several.
    let threads = (threads / workers).max(1);
    let next = AtomicUsize::new(0);
    let mut outputs = Vec::new();
    outputs.resize_with(inputs.len(), T::default);
    let outputs = Mutex::new(outputs);
    let take = || -> Result<()> {
        while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
            let done = work(&inputs[batch.clone()], threads);
            if done.is_err() {
                // The others stop at their next batch.
                next.store(batches.len(), Ordering::Relaxed);
            }
            let mut outputs = outputs.lock().unwrap_or_else(PoisonError::into_inner);
            for (output, done) in outputs[batch.clone()].iter_mut().zip(done?) {
                *output = done;
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..workers).map(|_| scope.spawn(take)).collect();
        let mut outcome = take();
        for other in others {
            let theirs = other
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            outcome = outcome.and(theirs);
        }
        outcome
    })?;
    Ok(outputs.into_inner().unwrap_or_else(PoisonError::into_inner))
}

impl Model {
    fn batch(&self, inputs: &[Window], threads: usize) -> Result<Vec<SparseVector>> {
        let texts: Vec<&[u32]> = inputs.iter().map(|input| &*input.ids).collect();
        let states = self.transformer.states(&texts, threads)?;
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

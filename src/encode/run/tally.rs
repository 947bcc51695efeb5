//! What an encoder has done, counted over all threads.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::encode::tokenize::Window;

/// What an encoder has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Texts encoded, queries and documents.
    pub texts: u64,
    /// Tokens run through the model, filling left out.
    pub tokens: u64,
    /// Texts whose end was dropped because the model takes no more tokens.
    pub truncated: u64,
    /// Tokens dropped with it.
    pub lost_tokens: u64,
}

impl std::ops::Add for Tally {
    type Output = Tally;

    fn add(self, other: Tally) -> Tally {
        Tally {
            texts: self.texts + other.texts,
            tokens: self.tokens + other.tokens,
            truncated: self.truncated + other.truncated,
            lost_tokens: self.lost_tokens + other.lost_tokens,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    texts: AtomicU64,
    tokens: AtomicU64,
    truncated: AtomicU64,
    lost_tokens: AtomicU64,
}

impl Counters {
    /// Counts a text that became `windows` and lost so many tokens.
    pub(super) fn text(&self, windows: &[Window], lost: usize) {
        let add = |counter: &AtomicU64, amount: usize| {
            counter.fetch_add(u64::try_from(amount).unwrap_or(0), Ordering::Relaxed);
        };
        add(&self.texts, 1);
        add(
            &self.tokens,
            windows.iter().map(|window| window.ids.len()).sum(),
        );
        add(&self.truncated, usize::from(lost > 0));
        add(&self.lost_tokens, lost);
    }

    pub(super) fn tally(&self) -> Tally {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Tally {
            texts: read(&self.texts),
            tokens: read(&self.tokens),
            truncated: read(&self.truncated),
            lost_tokens: read(&self.lost_tokens),
        }
    }
}

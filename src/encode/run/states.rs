//! Texts to hidden states through a model, whatever runs it.

use super::Side;
use crate::{
    encode::{
        sae::{TextKind, TokenStates},
        tokenize::{Tokenizer, Window},
    },
    error::Result,
};

/// A tokenizer, and how texts of either kind are cut and prompted.
#[derive(Debug)]
pub(crate) struct Texts {
    pub(crate) tokenizer: Tokenizer,
    pub(crate) query: Side,
    pub(crate) document: Side,
}

impl Texts {
    /// The tokens that a text has at most, of either kind.
    pub(crate) fn longest(&self) -> usize {
        self.query.room.tokens.max(self.document.room.tokens)
    }

    /// Cuts texts into windows, lets `run` make states of each, and joins those of a text.
    pub(crate) fn states(
        &self,
        texts: &[&str],
        kind: TextKind,
        run: impl FnOnce(&[Window]) -> Result<Vec<TokenStates>>,
    ) -> Result<Vec<TokenStates>> {
        let side = match kind {
            TextKind::Query => &self.query,
            TextKind::Document => &self.document,
        };
        let mut inputs = Vec::new();
        let mut counts = Vec::with_capacity(texts.len());
        for text in texts {
            let pieces = self.tokenizer.pieces(&side.prompt, text)?;
            let (windows, _) = pieces.windows(side.room);
            counts.push(windows.len());
            inputs.extend(windows);
        }
        let mut parts = run(&inputs)?.into_iter();
        let states = counts.into_iter().map(|count| {
            let mut parts = parts.by_ref().take(count);
            let mut whole = parts.next().unwrap_or_default();
            for part in parts {
                whole.values.extend(part.values);
                whole.special.extend(part.special);
            }
            whole
        });
        Ok(states.collect())
    }
}

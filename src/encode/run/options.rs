//! What a caller may say about texts beyond the model's directory, whatever runs the model.

use super::Side;
use crate::encode::{Prune, Pruning, model::Model, tokenize::Room};

/// What becomes of a text with more tokens than the model takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LongTexts {
    /// Its end is dropped, and counted in [`Tally`](super::Tally). The default, as in Python.
    Truncate,
    /// It is cut into windows, each sharing `overlap` tokens with the one before; a term's weight
    /// is its largest in any window. The prompt stands in front of each.
    Windows {
        /// Tokens shared by neighbors.
        overlap: usize,
    },
}

/// The choices about texts; `None` leaves one to the directory.
#[derive(Clone, Debug)]
pub(crate) struct TextOptions {
    pub(crate) pruning: Option<Pruning>,
    pub(crate) query_prompt: Option<String>,
    pub(crate) document_prompt: Option<String>,
    pub(crate) query_length: Option<usize>,
    pub(crate) document_length: Option<usize>,
    pub(crate) long_texts: LongTexts,
}

impl TextOptions {
    pub(crate) const NONE: TextOptions = TextOptions {
        pruning: None,
        query_prompt: None,
        document_prompt: None,
        query_length: None,
        document_length: None,
        long_texts: LongTexts::Truncate,
    };

    /// How queries are pruned.
    pub(crate) fn query_prune(&self, model: &Model) -> Prune {
        own_top(self.pruning.unwrap_or_default().query(), model)
    }

    /// How queries are treated; `fixed` is a length that the model insists on.
    pub(crate) fn query(&self, model: &Model, fixed: Option<usize>) -> Side {
        Side {
            prompt: prompt(self.query_prompt.as_ref(), &model.query_prompt),
            room: room(self.query_length, model, fixed),
            prune: self.query_prune(model),
        }
    }

    /// How documents are treated.
    pub(crate) fn document(&self, model: &Model, fixed: Option<usize>) -> Side {
        let mut side = Side {
            prompt: prompt(self.document_prompt.as_ref(), &model.document_prompt),
            room: room(self.document_length, model, fixed),
            prune: own_top(self.pruning.unwrap_or_default().document(), model),
        };
        if let LongTexts::Windows { overlap } = self.long_texts {
            side.room.overlap = Some(overlap);
        }
        side
    }
}

/// Tokens of a model that names no limit.
const USUAL_LENGTH: usize = 512;

fn prompt(given: Option<&String>, own: &str) -> String {
    given.map_or_else(|| own.to_owned(), Clone::clone)
}

fn room(length: Option<usize>, model: &Model, fixed: Option<usize>) -> Room {
    let length = length.unwrap_or(model.max_tokens.unwrap_or(USUAL_LENGTH));
    Room {
        tokens: length.min(fixed.unwrap_or(usize::MAX)),
        overlap: None,
    }
}

fn own_top(prune: Prune, model: &Model) -> Prune {
    Prune {
        top: prune.top.or(model.top),
        ..prune
    }
}

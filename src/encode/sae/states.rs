//! Where hidden states come from: the seam between a backbone and an autoencoder.

use crate::{encode::Fingerprint, error::Result};

/// A language model that gives the hidden states of one of its layers.
///
/// ```
/// use sparsely::{Fingerprint, Result, encode::sae::{HiddenStates, TextKind, TokenStates}};
///
/// /// Each byte is a token; its state is one-hot over eight classes.
/// struct Bytes;
///
/// impl HiddenStates for Bytes {
///     fn fingerprint(&self) -> Fingerprint {
///         Fingerprint::new("bytes", &[])
///     }
///     fn width(&self) -> usize {
///         8
///     }
///     fn longest(&self) -> usize {
///         512
///     }
///     fn hidden_states(&self, texts: &[&str], _: TextKind) -> Result<Vec<TokenStates>> {
///         let one_hot = |byte: u8| (0..8).map(move |at| f32::from(u8::from(byte % 8 == at)));
///         let states = |text: &&str| TokenStates {
///             values: text.bytes().take(512).flat_map(one_hot).collect(),
///             special: vec![false; text.len().min(512)],
///         };
///         Ok(texts.iter().map(states).collect())
///     }
/// }
/// assert_eq!(Bytes.hidden_states(&["ab"], TextKind::Query)?[0].special.len(), 2);
/// # Ok::<(), sparsely::Error>(())
/// ```
pub trait HiddenStates: Send + Sync {
    /// Identifies model, tokenizer, layer, and how documents are cut and prompted.
    fn fingerprint(&self) -> Fingerprint;

    /// Values of a token's state.
    fn width(&self) -> usize;

    /// About how many tokens a text has at most, to plan memory with.
    fn longest(&self) -> usize;

    /// The states of each text's tokens, in order. A text of several windows gives the tokens of
    /// all; an empty one may give none.
    ///
    /// # Errors
    /// What the model or the input makes impossible; see the implementation.
    fn hidden_states(&self, texts: &[&str], kind: TextKind) -> Result<Vec<TokenStates>>;
}

/// Whether a text asks or is to be found: prompts and lengths may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextKind {
    /// It asks.
    Query,
    /// It is to be found.
    Document,
}

/// The hidden states of one text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenStates {
    /// `[tokens, width]`, token after token.
    pub values: Vec<f32>,
    /// For each token whether the tokenizer added it around the text, as `[CLS]` and `[SEP]`.
    pub special: Vec<bool>,
}

impl TokenStates {
    /// The tokens that are the text's own: the others are left out.
    ///
    /// # Panics
    /// When there are not `width` values a token.
    #[must_use]
    pub fn own(&self, width: usize) -> Vec<f32> {
        assert_eq!(
            self.values.len(),
            self.special.len() * width,
            "states of whole tokens"
        );
        let tokens = self.values.chunks_exact(width.max(1)).zip(&self.special);
        let own = tokens.filter(|(_, special)| !**special);
        own.flat_map(|(values, _)| values).copied().collect()
    }
}

impl<T: HiddenStates + ?Sized> HiddenStates for Box<T> {
    fn fingerprint(&self) -> Fingerprint {
        (**self).fingerprint()
    }

    fn width(&self) -> usize {
        (**self).width()
    }

    fn longest(&self) -> usize {
        (**self).longest()
    }

    fn hidden_states(&self, texts: &[&str], kind: TextKind) -> Result<Vec<TokenStates>> {
        (**self).hidden_states(texts, kind)
    }
}

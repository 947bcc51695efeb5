//! English words that carry grammar and no topic.
//!
//! Questions are full of them and code is not: by a code index's own counts, "which" would be as
//! telling as a rare identifier. A floor under their document share costs nothing where they are
//! frequent anyway. A stop list was rejected: "for", "in" and "with" do tell something in code.

use super::counter::term_of;
use crate::{
    id::TermId,
    text::{self, Word},
};

const WORDS: &str = "a an the this that these those such
    of to in on at by from with as into than between
    is are be been was were do does has have can could will would should may must
    and or but not if then so
    i you we it they my your its our their there
    how what which when where
    all any each other some more only also";

#[derive(Debug)]
pub(in crate::encode) struct FunctionWords {
    /// Rising.
    terms: Vec<TermId>,
    share: f32,
}

impl FunctionWords {
    pub(super) fn with_share(share: f32) -> FunctionWords {
        FunctionWords::numbered(share, |word| term_of(word.text))
    }

    /// For an encoder that numbers its words otherwise.
    pub(in crate::encode) fn numbered(
        share: f32,
        number: impl Fn(&Word<'_>) -> TermId,
    ) -> FunctionWords {
        let mut terms = Vec::new();
        // As texts give them, so that "does" is the word that a query has.
        text::words(WORDS, |word| terms.push(number(&word)));
        terms.sort_unstable();
        FunctionWords { terms, share }
    }

    /// The least share of documents that `term` counts as having, if it is such a word.
    pub(in crate::encode) fn share(&self, term: TermId) -> Option<f32> {
        self.terms
            .binary_search(&term)
            .is_ok()
            .then_some(self.share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_as_texts_have_them() {
        let words = FunctionWords::with_share(0.25);
        for word in ["the", "which", "doe", "thi", "for", "lock"] {
            let listed = words.share(term_of(word)).is_some();
            assert_eq!(listed, ["the", "which", "doe"].contains(&word), "{word}");
        }
    }
}

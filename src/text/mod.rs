//! Texts as an encoder sees them: words, signatures, code or prose, passages.
//!
//! Everything here is a pure function of a `&str`: one pass, memory bounded by a word and not by the
//! text, no panic whatever the characters, the same answer on every platform. What the words are
//! is part of an encoder's meaning: a change here changes its fingerprint
//! ([`WORDS_VERSION`]).

mod code;
mod passages;
mod script;
mod stem;
mod words;

pub use self::{
    code::{CODE_SHARE, code_share, signature},
    passages::{LineWindows, Passage},
    words::{WORD_BYTES_MAX, WORDS_VERSION, Word, words},
};

//! Texts as an encoder sees them: words, signatures, code or prose, passages.
//!
//! Everything here is a pure function of a `&str`: one pass, memory bounded by a word and not by the
//! text (but for [`CodeBlocks`], which keeps some numbers a line), no panic whatever the characters, the same answer on every platform. What the words are
//! is part of an encoder's meaning: a change here changes its fingerprint
//! ([`WORDS_VERSION`]).

mod code;
mod code_blocks;
mod passages;
mod script;
mod stem;
mod word_windows;
mod words;

pub use self::{
    code::{CODE_SHARE, code_share, signature},
    code_blocks::CodeBlocks,
    passages::{LineWindows, Passage},
    word_windows::WordWindows,
    words::{WORD_BYTES_MAX, WORDS_VERSION, Word, words},
};

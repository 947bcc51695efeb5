//! Definitions and their comments, out of source files of several languages.
//!
//! Two readers do: one for languages that use braces, one for Python. Neither is a parser; each
//! looks for the shapes in which nearly all functions are written and leaves out what it does not
//! understand, as a training set can. The library takes no grammars for this.

mod braces;
mod comments;
mod python;
mod remarks;

use std::path::Path;

pub(super) use self::{comments::first_words, remarks::remarks};

/// A function or method of a source file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) name: String,
    /// What its comment says, without comment signs; empty where there is none.
    pub(super) comment: String,
    /// Signature and body, without the comment.
    pub(super) code: String,
}

/// A language, as far as extraction tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Language {
    Python,
    Rust,
    JavaScript,
    Java,
    C,
    Go,
    Other,
}

impl Language {
    /// By the ending of the file's name; `None` for what is not read.
    pub(super) fn of(path: &Path) -> Option<Language> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        Some(match extension.as_str() {
            "py" | "pyx" => Language::Python,
            "rs" => Language::Rust,
            "js" | "jsx" | "mjs" | "cjs" | "ts" | "tsx" | "mts" => Language::JavaScript,
            "java" => Language::Java,
            "c" | "h" | "cc" | "cpp" | "cxx" | "hpp" | "hh" | "hxx" => Language::C,
            "go" => Language::Go,
            "kt" | "cs" | "swift" | "scala" | "php" => Language::Other,
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Language::Python => "python",
            Language::Rust => "rust",
            Language::JavaScript => "javascript",
            Language::Java => "java",
            Language::C => "c",
            Language::Go => "go",
            Language::Other => "other",
        }
    }
}

/// The definitions in `text`, in order.
pub(super) fn definitions(language: Language, text: &str) -> Vec<Definition> {
    match language {
        Language::Python => python::definitions(text),
        _ => braces::definitions(text),
    }
}

/// Definitions of fewer bytes say too little, of more are cut at a line.
const CODE_BYTES_MIN: usize = 40;
const CODE_BYTES_MAX: usize = 4000;

/// `code` as a passage: cut at the end of a line where it is long, `None` where it is too short.
fn passage(code: &str) -> Option<&str> {
    let code = code.trim_end();
    if code.len() < CODE_BYTES_MIN {
        return None;
    }
    if code.len() <= CODE_BYTES_MAX {
        return Some(code);
    }
    let head = cut(code, CODE_BYTES_MAX);
    Some(head.rsplit_once('\n').map_or(head, |(lines, _)| lines))
}

/// The first `bytes` bytes of `text` at most, whole characters only.
pub(super) fn cut(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests;

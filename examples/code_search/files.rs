//! From a file on disk to the documents of its passages: what the workers do, one file at a time.

use std::path::Path;

use sparsely::Document;

use crate::{
    encoders::PassageEncoder,
    hash::Hash,
    languages::Language,
    ledger::{FileState, passage_key},
    lines::Lines,
    passages::Cutter,
    walk::{self, Candidate},
};

/// What became of one file.
pub(crate) struct FileWork {
    pub(crate) state: FileState,
    /// What goes into the index; empty when the content is as it was.
    pub(crate) documents: Vec<Document>,
    pub(crate) is_unchanged: bool,
}

/// Reads a file and, unless its content is that of `known`, cuts and encodes it.
pub(crate) fn work(
    root: &Path,
    candidate: &Candidate,
    known: Option<&FileState>,
    encoder: &PassageEncoder,
    cutter: &mut Cutter,
) -> sparsely::Result<FileWork> {
    let mut state = FileState {
        size: candidate.size,
        digest: 0,
        stamp: candidate.stamp,
        language: String::new(),
        passages: Vec::new(),
        skipped: None,
    };
    let refused = |mut state: FileState, reason: walk::Skip| FileWork {
        is_unchanged: known.is_some_and(|known| known.skipped.as_deref() == Some(reason.key())),
        state: {
            state.skipped = Some(reason.key().to_owned());
            state
        },
        documents: Vec::new(),
    };
    let bytes = match walk::read(root, candidate) {
        Ok(bytes) => bytes,
        Err(reason) => {
            // Perhaps readable or smaller the next time.
            state.stamp = 0;
            return Ok(refused(state, reason));
        }
    };
    state.size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    state.digest = Hash::new().add(&bytes).finish();
    if let Some(known) = known
        && (known.digest, known.size) == (state.digest, state.size)
    {
        return Ok(FileWork {
            state: FileState {
                stamp: state.stamp,
                ..known.clone()
            },
            documents: Vec::new(),
            is_unchanged: true,
        });
    }
    if let Some(reason) = walk::refuse_content(&bytes) {
        return Ok(refused(state, reason));
    }
    let text = String::from_utf8_lossy(&bytes);
    // A byte order mark is no part of the first word.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let language = Language::of(candidate.path.as_ref(), text);
    state.language = language.name.to_owned();
    let lines = Lines::new(text);
    let path_words = path_words(&candidate.path);
    let mut documents = Vec::new();
    for passage in cutter.cut(&lines, text, language) {
        let place = (passage.lines.start + 1, passage.lines.end);
        let key = passage_key(&candidate.path, place);
        let context = format!("{path_words} {}", passage.name);
        let passage_text = lines.text(&passage.lines).trim_end_matches(['\r', '\n']);
        let mut document = encoder
            .document(&key, &context, passage_text)?
            .field("language", language.name)
            .field("path", candidate.path.as_str());
        if !passage.name.is_empty() {
            document = document.field("name", passage.name);
        }
        state.passages.push(place);
        documents.push(document);
    }
    Ok(FileWork {
        state,
        documents,
        is_unchanged: false,
    })
}

/// The parts of a path that say what a file is about. What nearly every path has would only make
/// the index larger.
fn path_words(path: &str) -> String {
    let name = path.rfind('/').map_or(0, |at| at + 1);
    let stem = path[name..]
        .rfind('.')
        .map_or(path, |at| &path[..name + at]);
    let is_telling =
        |part: &&str| !["src", "lib", "mod", "main", "index", "__init__", "include"].contains(part);
    let parts: Vec<&str> = stem.split('/').filter(is_telling).collect();
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_gives_the_words_that_tell_files_apart() {
        assert_eq!(path_words("a/src/file_lock/mod.rs"), "a file_lock");
        assert_eq!(path_words("v1.2/README"), "v1.2 README");
        assert_eq!(path_words("main.go"), "");
    }
}

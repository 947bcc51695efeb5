//! Pairs as texts: what [`Corpus`](super::Corpus) learns from, kept as it stands, for trainings that
//! read texts through a model.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use super::{
    corpus::{FILES_AT_ONCE, REPEATS_MAX, Read, is_number, read_file, source_files, without},
    extract::{self, cut},
    random::digest,
};
use crate::{error::Result, progress::Progress, text::words};

/// A query and the passage that answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The first words of a function's comment, the words of its name, or a comment inside it.
    pub query: String,
    /// The function without that comment, or without that name, or the lines under that comment.
    pub passage: String,
    /// Which of these it is.
    pub kind: PairKind,
}

/// What a pair was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairKind {
    /// A function and the comment before it.
    Described,
    /// A function and its name.
    Named,
    /// A comment inside a function and the lines under it.
    Remark,
}

/// The pairs of the source files under `path`, a folder or a file, in the order of the files' names.
/// A function can give pairs of every kind. Passages that another pair of the kind had are left out,
/// and so are queries that were there three times.
///
/// # Errors
/// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) or its relatives where a folder cannot be
/// read, [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled).
///
/// # Examples
/// ```
/// use sparsely::{Progress, train::{PairKind, pairs_of_tree}};
/// let folder = tempfile::tempdir().unwrap();
/// let source = "/// Reads a whole file as text.\nfn slurp_file(path: &Path) -> String {\n    read_to_string(path).unwrap()\n}\n";
/// std::fs::write(folder.path().join("a.rs"), source).unwrap();
/// let pairs = pairs_of_tree(folder.path(), &mut Progress::none())?;
/// assert_eq!(pairs[0].query, "Reads a whole file as text.");
/// assert_eq!(pairs[1].query, "slurp file");
/// assert!(!pairs[1].passage.contains("slurp_file"));
/// assert_eq!(pairs[1].kind, PairKind::Named);
/// # Ok::<(), sparsely::Error>(())
/// ```
pub fn pairs_of_tree(path: &Path, progress: &mut Progress<'_>) -> Result<Vec<Pair>> {
    let mut files = Vec::new();
    source_files(path, 0, &mut files)?;
    files.sort_unstable();
    let total = files.len() as u64;
    let mut gatherer = Gatherer::default();
    for (done, file) in (0_u64..).zip(&files) {
        if done % FILES_AT_ONCE as u64 == 0 {
            progress.step("reading sources", done, total)?;
        }
        let Read::Definitions(language, definitions) = read_file(file) else {
            continue;
        };
        for definition in definitions {
            gatherer.take(language, &definition);
        }
    }
    Ok(gatherer.pairs)
}

#[derive(Default)]
struct Gatherer {
    pairs: Vec<Pair>,
    seen: HashSet<u64>,
    asked: HashMap<u64, u8>,
}

impl Gatherer {
    fn take(&mut self, language: extract::Language, definition: &extract::Definition) {
        let (code, comment) = (&definition.code, &definition.comment);
        if let Some(query) = extract::first_words(comment) {
            self.add(query, code.clone(), PairKind::Described);
        }
        for (comment, lines) in extract::remarks(language, code) {
            if let Some(query) = extract::first_words(&comment) {
                self.add(query, lines, PairKind::Remark);
            }
        }
        let Some(query) = telling(&definition.name) else {
            return;
        };
        let mut passage = without(code, &definition.name);
        // As the corpus has it: half of the passages are seen with their comments.
        if digest(code.as_bytes()) >> 8 & 1 == 1 && !comment.is_empty() {
            passage.push('\n');
            passage.push_str(&without(cut(comment, 1000), &definition.name));
        }
        self.add(query, passage, PairKind::Named);
    }

    fn add(&mut self, query: String, passage: String, kind: PairKind) {
        let key = digest(passage.as_bytes()) ^ kind as u64;
        if self.seen.contains(&key) {
            return;
        }
        let asked = self.asked.entry(digest(query.as_bytes())).or_default();
        if *asked >= REPEATS_MAX {
            return;
        }
        *asked += 1;
        self.seen.insert(key);
        self.pairs.push(Pair {
            query,
            passage,
            kind,
        });
    }
}

/// The parts of a name as a query, where two or more of them say something.
fn telling(name: &str) -> Option<String> {
    let mut parts = Vec::new();
    words(name, |word| parts.push(word.text.to_owned()));
    // The whole of it is the last.
    parts.pop();
    let count = parts
        .iter()
        .filter(|part| part.len() > 1 && !is_number(part))
        .count();
    (count >= 2).then(|| parts.join(" "))
}

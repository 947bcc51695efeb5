//! Pairs of a query and a passage, as bags of numbered words.
//!
//! Texts are not kept: a million pairs of code fit in some hundred megabytes.

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    counts::Counts,
    extract::{self, Definition, Language, cut},
    random::digest,
};
use crate::{
    error::{Error, Result},
    progress::Progress,
    text::{signature, words},
};

/// Longer passages are cut here, at a character.
pub const PASSAGE_BYTES_MAX: usize = 16_000;
/// Longer queries are cut here, at a character.
pub const QUERY_BYTES_MAX: usize = 1_000;

/// Files over this are data or generated.
const FILE_BYTES_MAX: u64 = 1_500_000;
/// The same query more often than this is boilerplate.
pub(super) const REPEATS_MAX: u8 = 3;
/// Of the definitions in test files this share is kept, in 256ths.
const TESTS_KEPT: u64 = 77;
/// Files that are read at a time.
pub(super) const FILES_AT_ONCE: usize = 256;
const DEPTH_MAX: usize = 64;

/// Folders that hold other people's code or no code.
const SKIPPED_FOLDERS: &[&str] = &[
    "node_modules",
    "target",
    "vendor",
    "third_party",
    "build",
    "dist",
    "__pycache__",
    "venv",
];

/// What training reads: (query, passage) pairs in groups, a group being a repository or package.
///
/// ```
/// use sparsely::train::Corpus;
/// let mut corpus = Corpus::new();
/// corpus.add_pair("ours", "read a whole file", "fn slurp(p: &Path) -> String { fs::read_to_string(p) }");
/// corpus.add_pair("ours", "", "fn f() {}");
/// assert_eq!((corpus.counts().described, corpus.counts().empty), (1, 1));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Corpus {
    pub(super) words: Words,
    pub(super) samples: Vec<Sample>,
    pub(super) passages: Bags,
    pub(super) queries: Vec<u32>,
    pub(super) groups: u32,
    group_names: HashMap<String, u32>,
    /// In how many passages, as they stand with their comments, each word is.
    pub(super) frequencies: Vec<u32>,
    pub(super) passage_count: u64,
    seen: HashSet<u64>,
    asked: HashMap<u64, u8>,
    counts: Counts,
}

/// One pair.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) group: u32,
    pub(super) is_named: bool,
    /// Where its query's words lie, each once.
    query: (u32, u32),
    /// Its bag in [`Corpus::passages`].
    pub(super) passage: u32,
}

/// Words of many texts with their counts, flat.
#[derive(Clone, Debug, Default)]
pub(super) struct Bags {
    ends: Vec<u32>,
    pub(super) terms: Vec<u32>,
    /// Occurrences in all, and in the signature.
    counts: Vec<(u8, u8)>,
}

impl Bags {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Word, occurrences, occurrences in the signature.
    pub(super) fn get(&self, bag: u32) -> impl ExactSizeIterator<Item = (u32, u8, u8)> + '_ {
        let at = bag as usize;
        let start = if at == 0 {
            0
        } else {
            self.ends[at - 1] as usize
        };
        let range = start..self.ends[at] as usize;
        let counts = self.counts[range.clone()].iter();
        let terms = self.terms[range].iter();
        terms
            .zip(counts)
            .map(|(term, count)| (*term, count.0, count.1))
    }
}

/// Words and their numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    numbers: HashMap<Box<str>, u32>,
    pub(super) list: Vec<Box<str>>,
}

impl Words {
    fn number(&mut self, word: &str) -> u32 {
        if let Some(number) = self.numbers.get(word) {
            return *number;
        }
        let number = small(self.list.len());
        self.list.push(word.into());
        self.numbers.insert(word.into(), number);
        number
    }

    pub(super) fn find(&self, word: &str) -> Option<u32> {
        self.numbers.get(word).copied()
    }
}

impl Corpus {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Corpus {
        Corpus::default()
    }

    /// What was read so far.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Adds one pair to `group`. Sides without words, repeated passages and boilerplate queries
    /// are counted and left out; long texts are cut ([`PASSAGE_BYTES_MAX`], [`QUERY_BYTES_MAX`]).
    pub fn add_pair(&mut self, group: &str, query: &str, passage: &str) {
        let group = self.group(group);
        let before = self.counts.described;
        let terms = self.query_terms(query);
        self.add(group, terms, passage, false);
        self.note_passage(passage, "");
        if self.counts.described > before {
            *self.counts.languages.entry("pairs").or_default() += 1;
        }
    }

    /// Reads the sources under `path`, a folder or a file, into `group` on `threads` threads:
    /// each function with a comment is a pair of the comment's first words and its code, and each
    /// function with a telling name one of that name and its code without it. Folders that are
    /// hidden or hold dependencies are skipped, links are not followed.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) or its relatives where a folder cannot
    /// be read, [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled).
    pub fn add_tree(
        &mut self,
        group: &str,
        path: &Path,
        threads: usize,
        progress: &mut Progress<'_>,
    ) -> Result<()> {
        let group = self.group(group);
        let root = path.parent().unwrap_or(Path::new(""));
        let mut files = Vec::new();
        source_files(path, 0, &mut files)?;
        files.sort_unstable();
        let total = files.len() as u64;
        for (chunk_number, chunk) in files.chunks(FILES_AT_ONCE).enumerate() {
            progress.step(
                "reading sources",
                (chunk_number * FILES_AT_ONCE) as u64,
                total,
            )?;
            let share = chunk.len().div_ceil(threads.max(1));
            let read: Vec<Vec<Read>> = std::thread::scope(|scope| {
                let parts = chunk.chunks(share.max(1));
                let workers: Vec<_> = parts
                    .map(|part| scope.spawn(move || part.iter().map(read_file).collect()))
                    .collect();
                let joined = workers.into_iter().map(|worker| worker.join());
                joined.map(Result::unwrap_or_default).collect()
            });
            for (read, path) in read.into_iter().flatten().zip(chunk) {
                self.add_read(group, read, below(path, root));
            }
        }
        Ok(())
    }

    fn add_read(&mut self, group: u32, read: Read, path: &Path) {
        let (language, definitions) = match read {
            Read::Definitions(language, definitions) => (language, definitions),
            Read::NotText => {
                self.counts.not_text += 1;
                return;
            }
            Read::TooLarge => {
                self.counts.too_large += 1;
                return;
            }
            Read::Failed => return,
        };
        self.counts.files += 1;
        let lower = path.to_string_lossy().to_ascii_lowercase();
        let is_test = ["test", "spec.", "mock", "bench"]
            .iter()
            .any(|part| lower.contains(part));
        for definition in definitions {
            let choice = digest(definition.code.as_bytes());
            if is_test && choice & 0xff >= TESTS_KEPT {
                continue;
            }
            self.add_definition(group, language, &definition, choice >> 8);
        }
    }

    fn add_definition(
        &mut self,
        group: u32,
        language: Language,
        definition: &Definition,
        choice: u64,
    ) {
        if let Some(query) = extract::first_words(&definition.comment) {
            let before = self.counts.described;
            let terms = self.query_terms(&query);
            self.add(group, terms, &definition.code, false);
            let added = self.counts.described - before;
            *self.counts.languages.entry(language.name()).or_default() += added;
            if added == 0 {
                return;
            }
        }
        self.note_passage(&definition.code, &definition.comment);
        let Some(terms) = self.name_terms(&definition.name) else {
            return;
        };
        let mut passage = without(&definition.code, &definition.name);
        if choice & 1 == 1 && !definition.comment.is_empty() {
            // Passages are mostly indexed with their comments, so half of them are seen so.
            passage.push('\n');
            passage.push_str(&without(cut(&definition.comment, 1000), &definition.name));
        }
        self.add(group, terms, &passage, true);
    }

    /// Adds a pair unless it says nothing new.
    fn add(&mut self, group: u32, query: Vec<u32>, passage: &str, is_named: bool) {
        let passage = cut(passage, PASSAGE_BYTES_MAX);
        let bag = self.bag(passage);
        if query.is_empty() || bag.is_empty() {
            self.counts.empty += 1;
            return;
        }
        let mut key = Vec::with_capacity(bag.len() * 5 + 1);
        key.push(u8::from(is_named));
        for (term, count, _) in &bag {
            key.extend_from_slice(&term.to_le_bytes());
            key.push(*count);
        }
        if !self.seen.insert(digest(&key)) {
            self.counts.repeated += 1;
            return;
        }
        let asked: Vec<u8> = query.iter().flat_map(|term| term.to_le_bytes()).collect();
        let asked = self.asked.entry(digest(&asked)).or_default();
        if *asked >= REPEATS_MAX {
            self.counts.boilerplate += 1;
            return;
        }
        *asked += 1;
        let start = small(self.queries.len());
        self.queries.extend_from_slice(&query);
        self.samples.push(Sample {
            group,
            is_named,
            query: (start, small(self.queries.len())),
            passage: small(self.passages.len()),
        });
        for (term, count, inside) in bag {
            self.passages.terms.push(term);
            self.passages.counts.push((count, inside));
        }
        self.passages.ends.push(small(self.passages.terms.len()));
        if is_named {
            self.counts.named += 1;
        } else {
            self.counts.described += 1;
        }
    }

    /// The words of `passage` with their counts.
    fn bag(&mut self, passage: &str) -> Vec<(u32, u8, u8)> {
        let head = signature(passage);
        let mut found = Vec::new();
        words(passage, |word| {
            let inside = head
                .as_ref()
                .is_some_and(|head| head.contains(&word.offset));
            found.push((self.words.number(word.text), inside));
        });
        found.sort_unstable();
        let mut bag: Vec<(u32, u8, u8)> = Vec::new();
        for (term, inside) in found {
            match bag.last_mut() {
                Some(last) if last.0 == term => {
                    last.1 = last.1.saturating_add(1);
                    last.2 = last.2.saturating_add(u8::from(inside));
                }
                _ => bag.push((term, 1, u8::from(inside))),
            }
        }
        bag
    }

    fn query_terms(&mut self, query: &str) -> Vec<u32> {
        let mut terms = Vec::new();
        words(cut(query, QUERY_BYTES_MAX), |word| {
            terms.push(self.words.number(word.text));
        });
        terms.sort_unstable();
        terms.dedup();
        terms
    }

    /// The parts of a name, where it has two or more that say something.
    fn name_terms(&mut self, name: &str) -> Option<Vec<u32>> {
        let mut parts = Vec::new();
        words(name, |word| parts.push(word.text.to_owned()));
        // The whole of it is the last.
        parts.pop();
        let telling = parts
            .iter()
            .filter(|part| part.len() > 1 && !is_number(part))
            .count();
        if telling < 2 {
            return None;
        }
        let mut terms: Vec<u32> = parts.iter().map(|part| self.words.number(part)).collect();
        terms.sort_unstable();
        terms.dedup();
        Some(terms)
    }

    /// Counts the words of a passage as an index would hold it.
    fn note_passage(&mut self, code: &str, comment: &str) {
        let mut terms = Vec::new();
        for text in [
            cut(code, PASSAGE_BYTES_MAX),
            cut(comment, PASSAGE_BYTES_MAX),
        ] {
            words(text, |word| terms.push(self.words.number(word.text)));
        }
        terms.sort_unstable();
        terms.dedup();
        self.frequencies.resize(self.words.list.len(), 0);
        for term in terms {
            self.frequencies[term as usize] += 1;
        }
        self.passage_count += 1;
    }

    /// Gives numbers to `words`, though no text may have them.
    pub(super) fn know<'a>(&mut self, words: impl Iterator<Item = &'a str>) {
        for word in words {
            self.words.number(word);
        }
        self.frequencies.resize(self.words.list.len(), 0);
    }

    fn group(&mut self, name: &str) -> u32 {
        if let Some(group) = self.group_names.get(name) {
            return *group;
        }
        let group = self.groups;
        self.groups += 1;
        self.group_names.insert(name.to_owned(), group);
        group
    }

    pub(super) fn query(&self, sample: &Sample) -> &[u32] {
        &self.queries[sample.query.0 as usize..sample.query.1 as usize]
    }
}

/// What came of a file.
pub(super) enum Read {
    Definitions(Language, Vec<Definition>),
    NotText,
    TooLarge,
    Failed,
}

pub(super) fn read_file(path: &PathBuf) -> Read {
    let Some(language) = Language::of(path) else {
        return Read::Failed;
    };
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() > FILE_BYTES_MAX => return Read::TooLarge,
        Ok(_) => {}
        Err(_) => return Read::Failed,
    }
    match fs::read_to_string(path) {
        Ok(text) => Read::Definitions(language, extract::definitions(language, &text)),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Read::NotText,
        Err(_) => Read::Failed,
    }
}

/// `path` without the folders that the whole tree lies in, whose names say nothing of it.
fn below<'a>(path: &'a Path, root: &Path) -> &'a Path {
    path.strip_prefix(root).unwrap_or(path)
}

/// The source files under `path`.
pub(super) fn source_files(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<()> {
    let metadata = fs::metadata(path).map_err(|error| Error::io("read", path, error))?;
    if metadata.is_file() {
        if Language::of(path).is_some() {
            files.push(path.to_owned());
        }
        return Ok(());
    }
    if depth > DEPTH_MAX {
        return Ok(());
    }
    let entries = fs::read_dir(path).map_err(|error| Error::io("list", path, error))?;
    for entry in entries {
        let entry = entry.map_err(|error| Error::io("list", path, error))?;
        let kind = entry
            .file_type()
            .map_err(|error| Error::io("list", path, error))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_skipped = name.starts_with('.') || SKIPPED_FOLDERS.contains(&name.as_ref());
        let is_source = kind.is_file() && Language::of(&entry.path()).is_some();
        if is_source || kind.is_dir() && !is_skipped {
            source_files(&entry.path(), depth + 1, files)?;
        }
    }
    Ok(())
}

/// `text` without the identifier `name`.
pub(super) fn without(text: &str, name: &str) -> String {
    let mut rest = text;
    let mut kept = String::with_capacity(text.len());
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    while let Some(at) = rest.find(name) {
        let before = rest[..at].chars().next_back().is_some_and(is_word);
        let after = rest[at + name.len()..].chars().next().is_some_and(is_word);
        kept.push_str(&rest[..at]);
        if before || after {
            kept.push_str(name);
        }
        rest = &rest[at + name.len()..];
    }
    kept.push_str(rest);
    kept
}

pub(super) fn is_number(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}

/// Counts of things in memory here stay far below 2^32: the bags of that many words would not fit.
pub(super) fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

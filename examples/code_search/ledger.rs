//! What the index knows of each file: its digest and the passages it gave.
//!
//! The ledger lives in the index itself, so that it and the passages change in one commit and a kill
//! at any moment leaves them in step. It is kept in pages of up to [`PAGE_FILES`] files: documents
//! with an empty vector, which no search returns, and a JSON payload. A commit writes the pages that
//! changed. Their keys begin with `/`, as no passage's does: paths are relative.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use sparsely::{Document, Result, Snapshot, SparseVector};

use crate::{failure::Failure, passages::RULES};

const PAGE_FILES: usize = 256;

/// What was found in one file when it was last read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileState {
    pub(crate) size: u64,
    /// Digest of the content.
    pub(crate) digest: u64,
    /// See [`Candidate::stamp`](crate::walk::Candidate::stamp).
    pub(crate) stamp: u64,
    pub(crate) language: String,
    /// First and last line of each passage, from 1.
    pub(crate) passages: Vec<(usize, usize)>,
    /// Why the content is not indexed, as a [`Skip`](crate::walk::Skip) key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) skipped: Option<String>,
}

/// How the last run ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunState {
    /// [`RULES`] of the run; passages of other rules are cut anew.
    pub(crate) rules: u32,
    /// Whether the run saw every file; a run that was killed did not.
    pub(crate) complete: bool,
    /// Files and directories left out by the walk, by reason.
    pub(crate) skipped: BTreeMap<String, u64>,
}

/// All files that the index knows.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pages: Vec<Page>,
    page_of: HashMap<String, usize>,
    run: RunState,
    run_is_dirty: bool,
}

#[derive(Debug, Default)]
struct Page {
    files: BTreeMap<String, FileState>,
    is_dirty: bool,
}

const RUN_KEY: &str = "/run";

fn page_key(page: usize) -> String {
    format!("/files/{page}")
}

/// The key of a passage: what a user sees and can open.
pub(crate) fn passage_key(path: &str, lines: (usize, usize)) -> String {
    format!("{path}:{}-{}", lines.0, lines.1)
}

/// Path, first and last line of a passage's key.
pub(crate) fn parse_key(key: &str) -> Option<(&str, usize, usize)> {
    let (path, lines) = key.rsplit_once(':')?;
    let (first, last) = lines.split_once('-')?;
    Some((path, first.parse().ok()?, last.parse().ok()?))
}

impl RunState {
    /// `None` in an index that nothing was ever committed to.
    pub(crate) fn load(snapshot: &Snapshot) -> Result<Option<RunState>, LoadError> {
        match snapshot.document(RUN_KEY)? {
            Some(run) => Ok(Some(parse(run.payload())?)),
            None if snapshot.document_count() > 0 => Err(LoadError::Foreign),
            None => Ok(None),
        }
    }
}

impl Ledger {
    /// Reads the ledger of a commit.
    pub(crate) fn load(snapshot: &Snapshot) -> Result<Ledger, LoadError> {
        let mut ledger = Ledger::default();
        while let Some(page) = snapshot.document(page_key(ledger.pages.len()))? {
            let files: BTreeMap<String, FileState> = parse(page.payload())?;
            for path in files.keys() {
                ledger.page_of.insert(path.clone(), ledger.pages.len());
            }
            ledger.pages.push(Page {
                files,
                is_dirty: false,
            });
        }
        ledger.run = RunState::load(snapshot)?.unwrap_or_default();
        Ok(ledger)
    }

    pub(crate) fn run(&self) -> &RunState {
        &self.run
    }

    /// Whether the passages were cut as this program would cut them.
    pub(crate) fn is_current(&self) -> bool {
        self.run.rules == RULES
    }

    pub(crate) fn set_run(&mut self, run: RunState) {
        self.run_is_dirty |= self.run != run;
        self.run = run;
    }

    pub(crate) fn get(&self, path: &str) -> Option<&FileState> {
        self.pages[*self.page_of.get(path)?].files.get(path)
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &FileState)> {
        let pages = self.pages.iter().flat_map(|page| &page.files);
        pages.map(|(path, state)| (path.as_str(), state))
    }

    pub(crate) fn put(&mut self, path: &str, state: FileState) {
        let page = match self.page_of.get(path) {
            Some(page) => *page,
            None => {
                let page = self.page_with_room();
                self.page_of.insert(path.to_owned(), page);
                page
            }
        };
        let page = &mut self.pages[page];
        page.is_dirty = true;
        page.files.insert(path.to_owned(), state);
    }

    pub(crate) fn remove(&mut self, path: &str) -> Option<FileState> {
        let page = &mut self.pages[self.page_of.remove(path)?];
        page.is_dirty = true;
        page.files.remove(path)
    }

    /// Whether the next commit has anything of the ledger to write.
    pub(crate) fn is_dirty(&self) -> bool {
        self.run_is_dirty || self.pages.iter().any(|page| page.is_dirty)
    }

    /// The documents that bring the index up to date.
    pub(crate) fn take_changes(&mut self) -> Result<Vec<Document>, serde_json::Error> {
        let mut changes = Vec::new();
        let bare =
            |key: String, payload| Document::new(key, SparseVector::default()).payload(payload);
        for (at, page) in self.pages.iter_mut().enumerate() {
            if std::mem::take(&mut page.is_dirty) {
                changes.push(bare(page_key(at), serde_json::to_vec(&page.files)?));
            }
        }
        if std::mem::take(&mut self.run_is_dirty) {
            changes.push(bare(RUN_KEY.to_owned(), serde_json::to_vec(&self.run)?));
        }
        Ok(changes)
    }

    /// The last page, or a new one; removed files leave room that is not looked for, as pages are
    /// cheap.
    fn page_with_room(&mut self) -> usize {
        if self
            .pages
            .last()
            .is_none_or(|page| page.files.len() >= PAGE_FILES)
        {
            self.pages.push(Page::default());
        }
        self.pages.len() - 1
    }
}

/// Why a ledger could not be read.
pub(crate) enum LoadError {
    Index(sparsely::Error),
    /// The index holds documents of another program.
    Foreign,
}

impl From<sparsely::Error> for LoadError {
    fn from(error: sparsely::Error) -> LoadError {
        LoadError::Index(error)
    }
}

impl LoadError {
    pub(crate) fn failure(&self, dir: &std::path::Path) -> Failure {
        match self {
            LoadError::Index(error) => Failure::of(error, dir),
            LoadError::Foreign => Failure::new(
                "foreign_index",
                format!(
                    "{}: the index there was not made by code_search (it keeps no list of files); choose another directory with --index DIR",
                    dir.display()
                ),
            ),
        }
    }
}

fn parse<T: for<'de> Deserialize<'de>>(payload: Option<&[u8]>) -> Result<T, LoadError> {
    let payload = payload.ok_or(LoadError::Foreign)?;
    serde_json::from_slice(payload).map_err(|_| LoadError::Foreign)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(digest: u64) -> FileState {
        FileState {
            size: 1,
            digest,
            stamp: 0,
            language: "rust".to_owned(),
            passages: vec![(1, 2)],
            skipped: None,
        }
    }

    #[test]
    fn keys_are_read_back_even_of_odd_paths() {
        let key = passage_key("a:b/c-d:1-2.rs", (3, 14));
        assert_eq!(parse_key(&key), Some(("a:b/c-d:1-2.rs", 3, 14)));
        assert_eq!(parse_key("/files/3"), None);
    }

    #[test]
    fn only_pages_that_changed_are_written() {
        let mut ledger = Ledger::default();
        for i in 0..PAGE_FILES + 10 {
            ledger.put(&format!("f{i}"), state(1));
        }
        assert_eq!(ledger.take_changes().unwrap().len(), 2);
        assert!(!ledger.is_dirty());
        ledger.put("f3", state(2));
        assert_eq!(ledger.remove("f4"), Some(state(1)));
        assert_eq!(ledger.remove("f4"), None);
        let changes = ledger.take_changes().unwrap();
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].key().to_text(), "/files/0");
        assert_eq!(ledger.get("f3"), Some(&state(2)));
        ledger.put("f4", state(5));
        assert_eq!(ledger.files().count(), PAGE_FILES + 10);
    }
}

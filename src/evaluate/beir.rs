//! Collections in BEIR's layout: a folder with documents, queries and judgments.

use std::{
    fs::{self, File},
    io::BufReader,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{judgments::Judgments, lines::Lines};
use crate::error::{Error, Result};

const CORPUS: &str = "corpus.jsonl";
const QUERIES: &str = "queries.jsonl";

/// A folder with `corpus.jsonl`, `queries.jsonl` and judgments.
///
/// Lines of the first two are JSON objects with `_id`, a string or an integer, `text`, and perhaps
/// `title`. The judgments of the split `NAME` stand in `qrels/NAME.tsv` or `qrels_NAME.tsv`; those
/// in a plain `qrels.tsv` are the split `test`.
#[derive(Clone, Debug)]
pub struct Collection {
    dir: PathBuf,
    /// By name; rising.
    splits: Vec<(String, PathBuf)>,
}

/// A document or a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Its id; an integer stands as its digits.
    pub id: String,
    /// Its title, where it has one, a line end, and its text.
    pub text: String,
}

/// Reads the texts of one file, one after the other.
#[derive(Debug)]
pub struct Texts {
    from: BufReader<File>,
    file: String,
    read: u64,
    done: bool,
}

#[derive(Deserialize)]
struct Record {
    #[serde(rename = "_id")]
    id: Id,
    title: Option<String>,
    text: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Text(String),
    Number(i64),
}

impl Collection {
    /// Looks at what a folder has.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) where the folder, its documents, its
    /// queries or all judgments are missing; and those of the file system.
    pub fn open(dir: impl AsRef<Path>) -> Result<Collection> {
        let dir = dir.as_ref();
        for file in [CORPUS, QUERIES] {
            let path = dir.join(file);
            fs::metadata(&path).map_err(|error| Error::io("find", &path, error))?;
        }
        // What comes later takes precedence.
        let mut found: Vec<(String, PathBuf)> = Vec::new();
        let plain = dir.join("qrels.tsv");
        if plain.is_file() {
            found.push(("test".to_owned(), plain));
        }
        for name in files(dir)? {
            if let Some(split) = split_name(&name).and_then(|name| name.strip_prefix("qrels_")) {
                found.push((split.to_owned(), dir.join(&name)));
            }
        }
        let folder = dir.join("qrels");
        if folder.is_dir() {
            for name in files(&folder)? {
                if let Some(split) = split_name(&name) {
                    found.push((split.to_owned(), folder.join(&name)));
                }
            }
        }
        found.reverse();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found.dedup_by(|later, first| later.0 == first.0);
        if found.is_empty() {
            return Err(Error::not_found(
                format!("{}: judgments", dir.display()),
                "put them into qrels/test.tsv, qrels_test.tsv or qrels.tsv",
            ));
        }
        Ok(Collection {
            dir: dir.to_owned(),
            splits: found,
        })
    }

    /// The names of the splits, rising.
    pub fn splits(&self) -> impl ExactSizeIterator<Item = &str> {
        self.splits.iter().map(|(name, _)| name.as_str())
    }

    /// The split to take where none was named: `test`, else `all`, else `en`, else the only one.
    #[must_use]
    pub fn default_split(&self) -> Option<&str> {
        let named = ["test", "all", "en"];
        let named = named
            .into_iter()
            .find(|name| self.splits().any(|split| split == *name));
        named.or_else(|| match self.splits.as_slice() {
            [(only, _)] => Some(only),
            _ => None,
        })
    }

    /// The documents.
    ///
    /// # Errors
    /// Those of the file system; reading on gives errors of kind
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) with file and line.
    pub fn documents(&self) -> Result<Texts> {
        Texts::open(&self.dir.join(CORPUS))
    }

    /// The queries of all splits.
    ///
    /// # Errors
    /// As [`Collection::documents`].
    pub fn queries(&self) -> Result<Texts> {
        Texts::open(&self.dir.join(QUERIES))
    }

    /// The judgments of a split.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) for a split that is not there; as
    /// [`Judgments::read_tsv`] otherwise.
    pub fn judgments(&self, split: &str) -> Result<Judgments> {
        let Some((_, path)) = self.splits.iter().find(|(name, _)| name == split) else {
            let splits: Vec<&str> = self.splits().collect();
            return Err(Error::not_found(
                format!("{}: split {split:?}", self.dir.display()),
                format!("there are {}", splits.join(", ")),
            ));
        };
        let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
        Judgments::read_tsv(BufReader::new(file), &path.display().to_string())
    }
}

fn files(dir: &Path) -> Result<Vec<String>> {
    let read = |error| Error::io("list", dir, error);
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(read)? {
        // A name that is not UTF-8 is no split's.
        if let Ok(name) = entry.map_err(read)?.file_name().into_string() {
            names.push(name);
        }
    }
    Ok(names)
}

fn split_name(file: &str) -> Option<&str> {
    file.strip_suffix(".tsv").filter(|name| !name.is_empty())
}

impl Texts {
    fn open(path: &Path) -> Result<Texts> {
        let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
        Ok(Texts {
            from: BufReader::new(file),
            file: path.display().to_string(),
            read: 0,
            done: false,
        })
    }

    fn read(&mut self) -> Result<Option<Text>> {
        let mut lines = Lines::after(&mut self.from, &self.file, self.read);
        let text = loop {
            let Some(line) = lines.next_line()? else {
                break None;
            };
            if line.trim_ascii().is_empty() {
                continue;
            }
            let record: Record = serde_json::from_str(&line).map_err(|error| {
                let expected = "an object with `_id`, a string or an integer, and `text`";
                // The line's own number stands in front; that in the parser's message is always 1.
                let found = error.to_string().replace("at line 1 column", "at byte");
                lines.refuse(expected, found)
            })?;
            break Some(record.into_text());
        };
        self.read = lines.number();
        Ok(text)
    }
}

impl Record {
    fn into_text(self) -> Text {
        let id = match self.id {
            Id::Text(id) => id,
            Id::Number(number) => number.to_string(),
        };
        let text = match self.title {
            Some(title) if !title.is_empty() => format!("{title}\n{}", self.text),
            _ => self.text,
        };
        Text { id, text }
    }
}

impl Iterator for Texts {
    type Item = Result<Text>;

    /// Ends after the first error.
    fn next(&mut self) -> Option<Result<Text>> {
        if self.done {
            return None;
        }
        let next = self.read().transpose();
        self.done = !matches!(next, Some(Ok(_)));
        next
    }
}

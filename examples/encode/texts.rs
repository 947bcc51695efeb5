//! Texts of a JSON-lines file, one at a time.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use sparsely::{Error, Result};

/// A line of the file.
#[derive(Deserialize)]
struct Line {
    #[serde(alias = "_id")]
    id: Id,
    #[serde(default)]
    title: String,
    #[serde(default)]
    text: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Text(String),
    Number(i64),
}

/// The texts of a file.
pub(crate) struct Texts {
    lines: BufReader<File>,
    path: PathBuf,
    number: u64,
    count: u64,
}

impl Texts {
    /// Opens `path`, of which at most `limit` lines are read.
    pub(crate) fn open(path: &Path, limit: Option<usize>) -> Result<Texts> {
        let open = || File::open(path).map_err(|error| Error::io("open", path, error));
        // Counted first, so that progress has an end; the lines are read again, never kept.
        let mut reader = BufReader::new(open()?);
        let mut count = 0;
        while reader
            .skip_until(b'\n')
            .map_err(|error| Error::io("read", path, error))?
            > 0
        {
            count += 1;
        }
        let limit = limit.map_or(u64::MAX, |limit| u64::try_from(limit).unwrap_or(u64::MAX));
        Ok(Texts {
            lines: BufReader::new(open()?),
            path: path.to_owned(),
            number: 0,
            count: count.min(limit),
        })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u64 {
        self.count
    }
}

impl Iterator for Texts {
    type Item = Result<(String, String)>;

    fn next(&mut self) -> Option<Result<(String, String)>> {
        let mut line = Vec::new();
        while self.number < self.count {
            self.number += 1;
            line.clear();
            if let Err(error) = self.lines.read_until(b'\n', &mut line) {
                return Some(Err(Error::io("read", &self.path, error)));
            }
            if !line.trim_ascii().is_empty() {
                return Some(self.entry(&line));
            }
        }
        None
    }
}

impl Texts {
    fn entry(&self, line: &[u8]) -> Result<(String, String)> {
        let refuse = |found: String| {
            Error::invalid(
                format!("line {} of {}", self.number, self.path.display()),
                "an object with `_id` or `id` and `text`",
                found,
            )
        };
        let line: Line = serde_json::from_slice(line).map_err(|why| refuse(why.to_string()))?;
        let id = match line.id {
            Id::Text(id) if id.is_empty() => return Err(refuse("an empty id".to_owned())),
            Id::Text(id) => id,
            Id::Number(id) => id.to_string(),
        };
        let text = match (line.title.is_empty(), line.text) {
            (true, text) => text,
            (false, text) => format!("{} {text}", line.title),
        };
        Ok((id, text))
    }
}

//! Texts of a JSON-lines file, one at a time.

use std::{
    fs::File,
    io::{BufRead, BufReader, Lines},
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
    lines: Lines<BufReader<File>>,
    path: PathBuf,
    number: u64,
    count: u64,
}

impl Texts {
    /// Opens `path`, of which at most `limit` lines are read.
    pub(crate) fn open(path: &Path, limit: Option<usize>) -> Result<Texts> {
        let open = || File::open(path).map_err(|error| Error::io("open", path, error));
        // Counted first, so that progress has an end; the lines are read again, never kept.
        let mut count = 0;
        for line in BufReader::new(open()?).lines() {
            line.map_err(|error| Error::io("read", path, error))?;
            count += 1;
        }
        let limit = limit.map_or(u64::MAX, |limit| u64::try_from(limit).unwrap_or(u64::MAX));
        Ok(Texts {
            lines: BufReader::new(open()?).lines(),
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
        if self.number >= self.count {
            return None;
        }
        self.number += 1;
        let line = match self.lines.next()? {
            Ok(line) => line,
            Err(error) => return Some(Err(Error::io("read", &self.path, error))),
        };
        Some(
            serde_json::from_str::<Line>(&line)
                .map(|line| {
                    let id = match line.id {
                        Id::Text(id) => id,
                        Id::Number(id) => id.to_string(),
                    };
                    let text = match (line.title.is_empty(), line.text) {
                        (true, text) => text,
                        (false, text) => format!("{} {text}", line.title),
                    };
                    (id, text)
                })
                .map_err(|error| {
                    Error::invalid(
                        format!("line {} of {}", self.number, self.path.display()),
                        "an object with `_id` or `id` and `text`",
                        error.to_string(),
                    )
                }),
        )
    }
}

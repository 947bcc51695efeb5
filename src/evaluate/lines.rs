//! Lines of a text file, each with its number, none without bound.

use std::{
    io::{self, BufRead, Read},
    path::Path,
};

use crate::error::{Error, Result};

/// A line longer than this is refused, not read: 256 MiB.
const LINE_BYTES_MAX: u64 = 256 << 20;

pub(super) struct Lines<'a, R> {
    from: R,
    file: &'a str,
    number: u64,
    line: Vec<u8>,
}

impl<'a, R> Lines<'a, R> {
    pub(super) fn new(from: R, file: &'a str) -> Lines<'a, R> {
        Lines::after(from, file, 0)
    }

    /// Goes on after `number` lines.
    pub(super) fn after(from: R, file: &'a str, number: u64) -> Lines<'a, R> {
        Lines {
            from,
            file,
            number,
            line: Vec::new(),
        }
    }

    /// The number of the line read last, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// An error at the line read last.
    pub(super) fn refuse(&self, expected: &str, found: impl Into<String>) -> Error {
        Error::invalid(format!("{}:{}", self.file, self.number), expected, found)
    }
}

impl<R: BufRead> Lines<'_, R> {
    /// The next line without its end, and without the byte order mark that some programs write.
    pub(super) fn next_line(&mut self) -> Result<Option<String>> {
        self.line.clear();
        let mut limited = self.from.by_ref().take(LINE_BYTES_MAX);
        let read = limited
            .read_until(b'\n', &mut self.line)
            .map_err(|error| Error::io("read", Path::new(self.file), error))?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        if self.line.len() as u64 == LINE_BYTES_MAX && !self.line.ends_with(b"\n") {
            let what = format!("{}:{}: bytes of a line", self.file, self.number);
            return Err(Error::limit(what, LINE_BYTES_MAX, LINE_BYTES_MAX + 1));
        }
        let Ok(line) = std::str::from_utf8(&self.line) else {
            return Err(self.refuse("text in UTF-8", "other bytes"));
        };
        let line = line.strip_suffix('\n').unwrap_or(line);
        let line = line.strip_suffix('\r').unwrap_or(line);
        let line = match self.number {
            1 => line.strip_prefix('\u{feff}').unwrap_or(line),
            _ => line,
        };
        Ok(Some(line.to_owned()))
    }
}

pub(super) fn failed_write(file: &str, error: io::Error) -> Error {
    Error::io("write", Path::new(file), error)
}

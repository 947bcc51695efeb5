//! Reads pairs, one a line, as JSON.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use serde::Deserialize;
use sparsely::{Error, Progress, Result, train::Corpus};

/// A line that is longer is no pair.
const LINE_BYTES_MAX: usize = 64 << 20;

#[derive(Deserialize)]
struct Pair {
    query: String,
    passage: String,
    #[serde(default)]
    group: String,
}

/// All pairs of the file. Empty lines are skipped; a line that is no pair ends it with the line's
/// number.
pub(crate) fn read(path: &Path, progress: &mut Progress<'_>) -> Result<Corpus> {
    let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
    let mut reader = BufReader::new(file);
    let mut corpus = Corpus::new();
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let read = std::io::Read::take(&mut reader, LINE_BYTES_MAX as u64 + 1)
            .read_until(b'\n', &mut line)
            .map_err(|error| Error::io("read", path, error))?;
        if read == 0 {
            break;
        }
        let fail = |found: String| {
            Error::invalid(
                format!("{}:{number}", path.display()),
                "a JSON object with the strings query and passage",
                found,
            )
        };
        if read > LINE_BYTES_MAX {
            return Err(fail(format!("a line of more than {LINE_BYTES_MAX} bytes")));
        }
        let text = std::str::from_utf8(&line).map_err(|error| fail(error.to_string()))?;
        if text.trim().is_empty() {
            continue;
        }
        // The line's own number stands in front; that in the parser's message is always 1.
        let pair: Pair = serde_json::from_str(text.trim_end())
            .map_err(|error| fail(error.to_string().replace("at line 1 column", "at byte")))?;
        corpus.add_pair(&pair.group, &pair.query, &pair.passage);
        if number % 10_000 == 0 {
            progress.step("reading pairs", number, 0)?;
        }
    }
    Ok(corpus)
}

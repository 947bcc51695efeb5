//! Lines of JSON as Anserini and Pyserini read them (`JsonVectorCollection`):
//! `{"id": "d1", "contents": "", "vector": {"word": 12, "other": 3}}`.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{refused, unreadable};
use crate::error::{Error, Result};

/// A line longer than this is refused, not read: 256 MiB.
const LINE_BYTES_MAX: u64 = 256 << 20;

/// A document or query of such a file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JsonVector {
    /// Its id; an integer stands as its digits.
    #[serde(deserialize_with = "id")]
    pub id: String,
    /// Its text, which may be empty.
    #[serde(default, alias = "content")]
    pub contents: String,
    /// Weights by the names of terms; impacts where Anserini is to read them.
    pub vector: BTreeMap<String, f32>,
}

/// The documents of a file, one by one, in constant memory.
///
/// ```
/// use sparsely::interchange::{JsonVector, JsonVectors, write_json_vectors};
/// let path = std::env::temp_dir().join(format!("sparsely-doc-{}.jsonl", std::process::id()));
/// let document = JsonVector {
///     id: "d1".to_owned(),
///     contents: "a lock".to_owned(),
///     vector: [("lock".to_owned(), 212.0)].into(),
/// };
/// write_json_vectors(&path, [Ok(document.clone())])?;
/// let read: Vec<JsonVector> = JsonVectors::open(&path)?.collect::<Result<_, _>>()?;
/// assert_eq!(read, [document]);
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), sparsely::Error>(())
/// ```
#[derive(Debug)]
pub struct JsonVectors {
    from: BufReader<File>,
    path: PathBuf,
    line: u64,
    done: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Text(String),
    Number(i64),
}

fn id<'de, D: serde::Deserializer<'de>>(from: D) -> std::result::Result<String, D::Error> {
    Ok(match Id::deserialize(from)? {
        Id::Text(id) => id,
        Id::Number(number) => number.to_string(),
    })
}

impl JsonVectors {
    /// Opens a file.
    ///
    /// # Errors
    /// When it cannot be opened; the iterator gives an error of kind
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) with file and line for a line of
    /// another shape, and ends after it.
    pub fn open(path: impl AsRef<Path>) -> Result<JsonVectors> {
        let path = path.as_ref().to_owned();
        let file = File::open(&path).map_err(|error| Error::io("open", &path, error))?;
        Ok(JsonVectors {
            from: BufReader::new(file),
            path,
            line: 0,
            done: false,
        })
    }

    fn read(&mut self) -> Result<Option<JsonVector>> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let mut limited = self.from.by_ref().take(LINE_BYTES_MAX);
            let read = limited.read_until(b'\n', &mut line);
            if read.map_err(|error| unreadable(&self.path, error))? == 0 {
                return Ok(None);
            }
            self.line += 1;
            if line.len() as u64 == LINE_BYTES_MAX && !line.ends_with(b"\n") {
                let what = format!("{}:{}: bytes of a line", self.path.display(), self.line);
                return Err(Error::limit(what, LINE_BYTES_MAX, LINE_BYTES_MAX + 1));
            }
            if !line.trim_ascii().is_empty() {
                break;
            }
        }
        let what = format!("line {}", self.line);
        let vector: JsonVector = serde_json::from_slice(&line).map_err(|error| {
            let expected = "an object with `id` and `vector`, weights by term";
            refused(&self.path, &what, expected, error)
        })?;
        // Numbers over the range of a weight come as infinities.
        match vector.vector.iter().find(|(_, weight)| !weight.is_finite()) {
            None => Ok(Some(vector)),
            Some((term, weight)) => {
                let found = format!("{weight} for {term:?}");
                Err(refused(&self.path, &what, "finite weights", found))
            }
        }
    }
}

impl Iterator for JsonVectors {
    type Item = Result<JsonVector>;

    /// Ends after the first error.
    fn next(&mut self) -> Option<Result<JsonVector>> {
        if self.done {
            return None;
        }
        let next = self.read().transpose();
        self.done = !matches!(next, Some(Ok(_)));
        next
    }
}

/// Writes documents, one a line. Whole weights are written as integers, which is how Anserini wants
/// impacts.
///
/// # Errors
/// The first error of `documents`; [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a
/// weight that is not finite; and when the file cannot be written.
pub fn write_json_vectors(
    path: impl AsRef<Path>,
    documents: impl IntoIterator<Item = Result<JsonVector>>,
) -> Result<()> {
    let path = path.as_ref();
    let failed = |error| Error::io("write", path, error);
    let mut to = BufWriter::new(File::create(path).map_err(failed)?);
    for document in documents {
        let JsonVector {
            id,
            contents,
            vector,
        } = document?;
        let mut weights = serde_json::Map::new();
        for (term, weight) in vector {
            let number = number(weight).ok_or_else(|| {
                let what = format!("document {id:?}: weight of term {term:?}");
                Error::invalid(what, "a finite number", weight.to_string())
            })?;
            weights.insert(term, number);
        }
        let line = serde_json::json!({"id": id, "contents": contents, "vector": weights});
        writeln!(to, "{line}").map_err(failed)?;
    }
    to.flush().map_err(failed)
}

fn number(weight: f32) -> Option<serde_json::Value> {
    /// Beyond, not every integer is an `f32`.
    const WHOLE_MAX: f32 = 16_777_216.0;
    if weight.fract() == 0.0 && weight.abs() <= WHOLE_MAX {
        #[expect(clippy::cast_possible_truncation, reason = "a whole number of 25 bits")]
        let whole = weight as i32;
        return Some(whole.into());
    }
    // As short as reads back the same, which its double would not be.
    let shortest: f64 = weight.to_string().parse().ok()?;
    serde_json::Number::from_f64(shortest).map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Result<JsonVector>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.jsonl");
        std::fs::write(&path, text).unwrap();
        JsonVectors::open(&path).unwrap().collect()
    }

    #[test]
    fn lines_of_others_are_read() {
        let text = "{\"id\": 7, \"content\": \"x\", \"vector\": {\"a b\": 3, \"##c\": 0.25}, \"more\": []}\n\n{\"id\":\"8\",\"vector\":{}}";
        let all: Vec<JsonVector> = read(text).into_iter().map(Result::unwrap).collect();
        assert_eq!((all[0].id.as_str(), all[0].contents.as_str()), ("7", "x"));
        assert_eq!(all[0].vector["##c"], 0.25);
        assert_eq!((all[1].id.as_str(), all[1].vector.len()), ("8", 0));
    }

    #[test]
    fn bad_lines_are_named_and_end_the_reading() {
        for bad in [
            "{\"id\": \"a\"",
            "{\"id\": \"a\"}",
            "{\"vector\": {}}",
            "{\"id\": 1.5, \"vector\": {}}",
            "{\"id\": \"a\", \"vector\": {\"t\": \"x\"}}",
            "{\"id\": \"a\", \"vector\": {\"t\": 1e300}}",
            "[]",
        ] {
            let all = read(&format!("{{\"id\":\"0\",\"vector\":{{}}}}\n{bad}\n{{}}\n"));
            assert_eq!(all.len(), 2, "{bad}");
            let error = all[1].as_ref().unwrap_err().to_string();
            assert!(error.contains("v.jsonl: line 2: expected"), "{error}");
        }
    }

    #[test]
    fn weights_read_back_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.jsonl");
        let weights = [0.1, 1e-30, 3.4e38, 255.0, 16_777_216.0, -2.5];
        let vector = weights
            .map(|weight: f32| (weight.to_string(), weight))
            .into();
        let document = JsonVector {
            id: "é\"\n".to_owned(),
            contents: "\u{1}".to_owned(),
            vector,
        };
        write_json_vectors(&path, [Ok(document.clone())]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(":255,") || text.contains(":255}"), "{text}");
        assert_eq!(
            JsonVectors::open(&path).unwrap().next().unwrap().unwrap(),
            document
        );
        let bad = JsonVector {
            vector: [("a".to_owned(), f32::NAN)].into(),
            ..document
        };
        assert!(write_json_vectors(&path, [Ok(bad)]).is_err());
    }
}

//! Where vectors go: JSON lines, a CSR file, or an index.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, BufWriter, Seek, Write},
    path::{Path, PathBuf},
};

use sparsely::{Config, Document, Encoder, Error, Index, Result, SparseVector, Writer};

/// Texts between two commits of an index.
const COMMIT_EVERY: u64 = 5000;

/// An output, being written.
pub(crate) enum Output {
    Lines(Partial),
    Csr(Csr),
    Index(Box<Writer>, u64),
}

/// A file that gets its name when it is whole: a run that fails leaves what was there before.
pub(crate) struct Partial {
    file: BufWriter<File>,
    path: PathBuf,
}

/// A CSR file in the making: where rows end has to stand first, so the two long arrays wait in
/// temporary files.
pub(crate) struct Csr {
    file: Partial,
    ends: Vec<i64>,
    columns: i64,
    terms: BufWriter<File>,
    weights: BufWriter<File>,
}

impl Output {
    /// Creates what the ending of `path` says.
    pub(crate) fn create(path: &Path, encoder: &dyn Encoder) -> Result<Output> {
        let scratch = || {
            tempfile::tempfile()
                .map(BufWriter::new)
                .map_err(|error| Error::io("create", "a temporary file", error))
        };
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("jsonl") => Ok(Output::Lines(Partial::create(path)?)),
            Some("csr") => Ok(Output::Csr(Csr {
                file: Partial::create(path)?,
                ends: vec![0],
                columns: encoder.term_count().into(),
                terms: scratch()?,
                weights: scratch()?,
            })),
            Some("idx") => {
                let index = Index::open_or_create(path, Config::for_encoder(encoder))?;
                Ok(Output::Index(Box::new(index.writer()?), 0))
            }
            _ => Err(Error::invalid(
                "--out",
                "a path that ends in .jsonl, .csr or .idx",
                path.display().to_string(),
            )),
        }
    }

    /// Keys that need no encoding, since the index at `path` has them.
    pub(crate) fn known(path: &Path) -> Result<HashSet<String>> {
        if path.extension().is_none_or(|ending| ending != "idx") {
            return Ok(HashSet::new());
        }
        let snapshot = Index::open(path)?.snapshot()?;
        snapshot
            .keys()
            .map(|key| key.map(|key| key.to_string()))
            .collect()
    }

    /// Writes one text's vector.
    pub(crate) fn write(&mut self, id: &str, text: String, vector: SparseVector) -> Result<()> {
        match self {
            Output::Lines(lines) => {
                let pairs: serde_json::Map<String, serde_json::Value> = vector
                    .iter()
                    .map(|(term, weight)| (term.to_string(), f64::from(weight).into()))
                    .collect();
                let line = serde_json::json!({"id": id, "vector": pairs});
                writeln!(lines.file, "{line}").map_err(|error| lines.failed(error))
            }
            Output::Csr(csr) => csr.write(&vector).map_err(|error| csr.file.failed(error)),
            Output::Index(writer, since) => {
                writer.upsert(Document::new(id, vector).text(text))?;
                *since += 1;
                if *since == COMMIT_EVERY {
                    writer.commit()?;
                    *since = 0;
                }
                Ok(())
            }
        }
    }

    /// Writes what is still missing.
    pub(crate) fn finish(self) -> Result<()> {
        match self {
            Output::Lines(lines) => lines.finish(),
            Output::Csr(mut csr) => {
                csr.join().map_err(|error| csr.file.failed(error))?;
                csr.file.finish()
            }
            Output::Index(mut writer, _) => writer.commit().map(|_| ()),
        }
    }
}

impl Partial {
    fn create(path: &Path) -> Result<Partial> {
        let here = partial(path);
        let file = File::create(&here).map_err(|error| Error::io("create", here, error))?;
        Ok(Partial {
            file: BufWriter::new(file),
            path: path.to_owned(),
        })
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::io("write", &self.path, error)
    }

    fn finish(mut self) -> Result<()> {
        let flushed = self.file.flush();
        flushed
            .and_then(|()| fs::rename(partial(&self.path), &self.path))
            .map_err(|error| self.failed(error))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Gone already where it got its name.
        let _ = fs::remove_file(partial(&self.path));
    }
}

fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

impl Csr {
    fn write(&mut self, vector: &SparseVector) -> io::Result<()> {
        for (term, weight) in vector.iter() {
            self.terms.write_all(&term.get().to_le_bytes())?;
            self.weights.write_all(&weight.to_le_bytes())?;
        }
        let before = self.ends.last().copied().unwrap_or(0);
        let count = i64::try_from(vector.len()).unwrap_or(i64::MAX);
        self.ends.push(before + count);
        Ok(())
    }

    /// Puts the parts behind each other.
    fn join(&mut self) -> io::Result<()> {
        let file = &mut self.file.file;
        let rows = i64::try_from(self.ends.len() - 1).unwrap_or(i64::MAX);
        let entries = self.ends.last().copied().unwrap_or(0);
        for number in [rows, self.columns, entries].iter().chain(&self.ends) {
            file.write_all(&number.to_le_bytes())?;
        }
        for part in [&mut self.terms, &mut self.weights] {
            part.flush()?;
            part.get_mut().rewind()?;
            io::copy(part.get_mut(), file)?;
        }
        Ok(())
    }
}

//! Where vectors go: JSON lines, a CSR file, or an index.

use std::{
    collections::HashSet,
    fs::File,
    io::{BufWriter, Seek, Write},
    path::{Path, PathBuf},
};

use sparsely::{Config, Document, Encoder, Error, Index, Result, SparseVector, Writer};

/// Texts between two commits of an index.
const COMMIT_EVERY: u64 = 5000;

/// An output, being written.
pub(crate) enum Output {
    Lines(BufWriter<File>, PathBuf),
    Csr(Csr),
    Index(Box<Writer>, u64),
}

/// A CSR file in the making: where rows end has to stand first, so the two long arrays wait in
/// temporary files.
pub(crate) struct Csr {
    path: PathBuf,
    ends: Vec<i64>,
    columns: i64,
    terms: BufWriter<File>,
    weights: BufWriter<File>,
}

impl Output {
    /// Creates what the ending of `path` says.
    pub(crate) fn create(path: &Path, encoder: &dyn Encoder) -> Result<Output> {
        let create = || File::create(path).map_err(|error| Error::io("create", path, error));
        let scratch = || {
            tempfile::tempfile()
                .map(BufWriter::new)
                .map_err(|error| Error::io("create", "a temporary file", error))
        };
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("jsonl") => Ok(Output::Lines(BufWriter::new(create()?), path.to_owned())),
            Some("csr") => {
                create()?;
                Ok(Output::Csr(Csr {
                    path: path.to_owned(),
                    ends: vec![0],
                    columns: encoder.term_count().into(),
                    terms: scratch()?,
                    weights: scratch()?,
                }))
            }
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
            Output::Lines(file, path) => {
                let pairs: serde_json::Map<String, serde_json::Value> = vector
                    .iter()
                    .map(|(term, weight)| (term.to_string(), f64::from(weight).into()))
                    .collect();
                let line = serde_json::json!({"id": id, "vector": pairs});
                writeln!(file, "{line}").map_err(|error| Error::io("write", path, error))
            }
            Output::Csr(csr) => csr
                .write(&vector)
                .map_err(|error| Error::io("write", &csr.path, error)),
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
            Output::Lines(mut file, path) => file
                .flush()
                .map_err(|error| Error::io("write", path, error)),
            Output::Csr(csr) => {
                let path = csr.path.clone();
                csr.finish()
                    .map_err(|error| Error::io("write", path, error))
            }
            Output::Index(mut writer, _) => writer.commit().map(|_| ()),
        }
    }
}

impl Csr {
    fn write(&mut self, vector: &SparseVector) -> std::io::Result<()> {
        for (term, weight) in vector.iter() {
            self.terms.write_all(&term.get().to_le_bytes())?;
            self.weights.write_all(&weight.to_le_bytes())?;
        }
        let before = self.ends.last().copied().unwrap_or(0);
        let count = i64::try_from(vector.len()).unwrap_or(i64::MAX);
        self.ends.push(before + count);
        Ok(())
    }

    fn finish(self) -> std::io::Result<()> {
        let mut file = BufWriter::new(File::create(&self.path)?);
        let rows = i64::try_from(self.ends.len() - 1).unwrap_or(i64::MAX);
        let entries = self.ends.last().copied().unwrap_or(0);
        for number in [rows, self.columns, entries].iter().chain(&self.ends) {
            file.write_all(&number.to_le_bytes())?;
        }
        for part in [self.terms, self.weights] {
            let mut part = part.into_inner().map_err(|error| error.into_error())?;
            part.rewind()?;
            std::io::copy(&mut part, &mut file)?;
        }
        file.flush()
    }
}

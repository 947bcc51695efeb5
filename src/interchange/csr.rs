//! Sparse matrices of the Big-ANN sparse track: `int64` rows, columns, non-zeros; `int64` row
//! starts; `int32` columns; `float32` values; all little-endian.
//!
//! Files are streamed: memory does not grow with them, and no count in them is believed before the
//! file was found long enough.

use std::{
    borrow::Borrow,
    fs::File,
    io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use super::{refused, unreadable};
use crate::{
    error::{Error, Result},
    sparse::SparseVector,
};

const HEADER_LEN: u64 = 24;
const BUFFER_LEN: usize = 1 << 18;

/// A file of vectors, of a checked size.
#[derive(Clone, Debug)]
pub struct CsrFile {
    path: PathBuf,
    rows: u64,
    columns: u32,
    values: u64,
}

impl CsrFile {
    /// Reads the header and compares the sizes it claims with the file's.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when they differ, and when the
    /// file cannot be read.
    pub fn open(path: impl AsRef<Path>) -> Result<CsrFile> {
        let path = path.as_ref().to_owned();
        let mut file = open(&path)?;
        let len = file
            .metadata()
            .map_err(|error| unreadable(&path, error))?
            .len();
        let mut header = [[0; 8]; 3];
        file.read_exact(header.as_flattened_mut())
            .map_err(|_| refused(&path, "header", "24 bytes", len))?;
        let [rows, columns, values] = header.map(u64::from_le_bytes);
        let expected = rows.checked_add(1).and_then(|starts| {
            starts
                .checked_add(values)?
                .checked_mul(8)?
                .checked_add(HEADER_LEN)
        });
        if expected != Some(len) {
            let found = format!("{rows} rows with {values} values");
            return Err(refused(
                &path,
                "header",
                format!("counts that fill {len} bytes"),
                found,
            ));
        }
        let columns = u32::try_from(columns)
            .map_err(|_| refused(&path, "header", "at most 2^32 - 1 columns", columns))?;
        Ok(CsrFile {
            path,
            rows,
            columns,
            values,
        })
    }

    /// How many vectors there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.rows
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// How many terms the vectors may have: the columns of the matrix.
    #[must_use]
    pub fn term_count(&self) -> u32 {
        self.columns
    }

    /// The vectors, from first to last. Values of zero and below are left out.
    ///
    /// # Errors
    /// When the file cannot be read; the iterator gives an error for a row that is no sparse
    /// vector, and ends after it.
    pub fn vectors(&self) -> Result<CsrVectors> {
        let starts_len = (self.rows + 1) * 8;
        let terms = HEADER_LEN + starts_len;
        let at = |offset: u64| -> Result<BufReader<File>> {
            let mut file = open(&self.path)?;
            file.seek(SeekFrom::Start(offset))
                .map_err(|error| unreadable(&self.path, error))?;
            Ok(BufReader::with_capacity(BUFFER_LEN, file))
        };
        let mut vectors = CsrVectors {
            starts: at(HEADER_LEN)?,
            terms: at(terms)?,
            weights: at(terms + self.values * 4)?,
            file: self.clone(),
            row: 0,
            start: 0,
        };
        vectors.start = vectors.next_start()?;
        if vectors.start != 0 {
            return Err(refused(&self.path, "first row", "start 0", vectors.start));
        }
        Ok(vectors)
    }
}

/// The vectors of a [`CsrFile`], one by one.
#[derive(Debug)]
pub struct CsrVectors {
    file: CsrFile,
    starts: BufReader<File>,
    terms: BufReader<File>,
    weights: BufReader<File>,
    row: u64,
    start: u64,
}

impl CsrVectors {
    fn next_start(&mut self) -> Result<u64> {
        let mut start = [0; 8];
        let read = self.starts.read_exact(&mut start);
        read.map_err(|error| unreadable(&self.file.path, error))?;
        Ok(u64::from_le_bytes(start))
    }

    fn row(&mut self) -> Result<SparseVector> {
        let end = self.next_start()?;
        let what = format!("row {}", self.row);
        let path = &self.file.path;
        let len = end
            .checked_sub(self.start)
            .filter(|len| end <= self.file.values && *len <= u64::from(self.file.columns))
            .ok_or_else(|| {
                let expected = format!("an end from {} to {}", self.start, self.file.values);
                refused(path, &what, expected, end)
            })?;
        self.start = end;
        let mut pairs = Vec::new();
        for _ in 0..len {
            let (mut term, mut weight) = ([0; 4], [0; 4]);
            let read = self.terms.read_exact(&mut term);
            read.and_then(|()| self.weights.read_exact(&mut weight))
                .map_err(|error| unreadable(path, error))?;
            let term = u32::from_le_bytes(term);
            if term >= self.file.columns {
                let expected = format!("columns below {}", self.file.columns);
                return Err(refused(path, &what, expected, term));
            }
            pairs.push((term, f32::from_le_bytes(weight)));
        }
        SparseVector::new(pairs).map_err(|error| refused(path, &what, "a sparse vector", error))
    }
}

impl Iterator for CsrVectors {
    type Item = Result<SparseVector>;

    fn next(&mut self) -> Option<Result<SparseVector>> {
        if self.row >= self.file.rows {
            return None;
        }
        let row = self.row();
        // After an error the readers are somewhere inside a row.
        self.row = if row.is_ok() {
            self.row + 1
        } else {
            self.file.rows
        };
        Some(row)
    }
}

/// Writes vectors over `term_count` terms. They are asked for three times, so an iterator that makes
/// them needs no memory for all.
///
/// # Errors
/// When a vector has a term beyond them, and when the file cannot be written.
pub fn write_csr<V: Borrow<SparseVector>>(
    path: impl AsRef<Path>,
    term_count: u32,
    vectors: impl Iterator<Item = V> + Clone,
) -> Result<()> {
    let path = path.as_ref();
    let mut starts = vec![0_u64];
    for vector in vectors.clone() {
        let vector = vector.borrow();
        if let Some(last) = vector
            .terms()
            .last()
            .filter(|last| last.get() >= term_count)
        {
            let expected = format!("terms below {term_count}");
            return Err(Error::invalid("a vector", expected, last.to_string()));
        }
        starts.push(starts.last().unwrap_or(&0) + vector.len() as u64);
    }
    let write = || -> std::io::Result<()> {
        let mut file = BufWriter::with_capacity(BUFFER_LEN, File::create(path)?);
        let rows = starts.len() as u64 - 1;
        for count in [rows, u64::from(term_count), *starts.last().unwrap_or(&0)] {
            file.write_all(&count.to_le_bytes())?;
        }
        for start in &starts {
            file.write_all(&start.to_le_bytes())?;
        }
        for vector in vectors.clone() {
            for term in vector.borrow().terms() {
                file.write_all(&term.get().to_le_bytes())?;
            }
        }
        for vector in vectors.clone() {
            for weight in vector.borrow().weights() {
                file.write_all(&weight.to_le_bytes())?;
            }
        }
        file.flush()
    };
    write().map_err(|error| Error::io("write", path, error))
}

fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|error| Error::io("open", path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.csr");
        std::fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    fn good() -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.csr");
        let rows: Vec<_> = [vec![(1, 0.5), (2, 1.0)], vec![], vec![(9, 2.0)]]
            .into_iter()
            .map(|pairs| SparseVector::new(pairs).unwrap())
            .collect();
        write_csr(&path, 10, rows.iter()).unwrap();
        assert!(write_csr(&path, 9, rows.iter()).is_err());
        write_csr(&path, 10, rows.iter()).unwrap();
        std::fs::read(path).unwrap()
    }

    #[test]
    fn every_truncation_and_absurd_count_is_refused() {
        let good = good();
        for len in 0..good.len() {
            let (_folder, path) = file(&good[..len]);
            assert!(CsrFile::open(path).is_err(), "{len}");
        }
        for at in [0, 8, 16] {
            for count in [u64::MAX, i64::MAX.unsigned_abs(), 1 << 40] {
                let mut bad = good.clone();
                bad[at..at + 8].copy_from_slice(&count.to_le_bytes());
                let (_folder, path) = file(&bad);
                assert!(CsrFile::open(path).is_err(), "{at}: {count}");
            }
        }
    }

    #[test]
    fn damaged_rows_give_errors() {
        let good = good();
        let mut failed = 0;
        for at in 24..good.len() {
            let mut bad = good.clone();
            bad[at] = 0xFF;
            let (_folder, path) = file(&bad);
            let all = CsrFile::open(path)
                .unwrap()
                .vectors()
                .map(|rows| rows.filter(Result::is_err).count());
            failed += all.unwrap_or(1);
        }
        assert!(failed > 24, "{failed}");
    }
}

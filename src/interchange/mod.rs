//! Formats that other tools speak.
//!
//! | format | what | who speaks it |
//! | --- | --- | --- |
//! | `.csr` ([`CsrFile`], [`write_csr`]) | vectors | the Big-ANN sparse track, Seismic's tools |
//! | `.gt` ([`GroundTruth`]) | true results | the Big-ANN tracks |
//! | CIFF ([`Ciff`], [`write_ciff`]) | an inverted index of impacts | Lucene and Anserini, PISA, JASS, Terrier |
//! | JSON lines ([`JsonVectors`], feature `json`) | vectors by term names | Anserini, Pyserini |
//!
//! [`impacts()`] gives what an index holds; term names come from the
//! [encoder](crate::Encoder::term) or from [`Snapshot::label`](crate::Snapshot::label).
//!
//! ```
//! use sparsely::{SparseVector, interchange::{self, CsrFile}};
//! let path = std::env::temp_dir().join(format!("sparsely-doc-{}.csr", std::process::id()));
//! let vectors = [SparseVector::new([(3, 0.5), (7, 1.5)])?, SparseVector::default()];
//! interchange::write_csr(&path, 10, vectors.iter())?;
//! let file = CsrFile::open(&path)?;
//! assert_eq!((file.len(), file.term_count()), (2, 10));
//! let read: Vec<SparseVector> = file.vectors()?.collect::<Result<_, _>>()?;
//! assert_eq!(read, vectors);
//! # std::fs::remove_file(path).unwrap();
//! # Ok::<(), sparsely::Error>(())
//! ```

mod ciff;
mod csr;
mod ground_truth;
mod impacts;
#[cfg(feature = "json")]
mod json_vectors;
mod wire;

#[cfg(feature = "json")]
pub use self::json_vectors::{JsonVector, JsonVectors, write_json_vectors};
pub use self::{
    ciff::{Ciff, write_ciff},
    csr::{CsrFile, CsrVectors, write_csr},
    ground_truth::GroundTruth,
    impacts::impacts,
};

use std::{io, path::Path};

use crate::error::Error;

/// Bytes that break a format, which callers meet as refused input: the file is theirs.
#[cold]
fn refused(path: &Path, what: &str, expected: impl Into<String>, found: impl ToString) -> Error {
    Error::invalid(
        format!("{}: {what}", path.display()),
        expected,
        found.to_string(),
    )
}

#[cold]
fn unreadable(path: &Path, source: io::Error) -> Error {
    Error::io("read", path, source)
}

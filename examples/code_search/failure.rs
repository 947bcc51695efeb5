//! What went wrong, in words that say what to do, and the exit code that goes with it.

use std::{fmt, path::Path};

use sparsely::{Error, ErrorKind};

/// Why the program stops.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    /// A word for programs, in JSON output.
    pub(crate) kind: &'static str,
    /// 2 for wrong use, 1 for all else.
    pub(crate) exit: u8,
    /// Whether the output has said it already.
    pub(crate) is_told: bool,
}

impl Failure {
    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Failure {
            message: message.into(),
            kind: "usage",
            exit: 2,
            is_told: false,
        }
    }

    pub(crate) fn new(kind: &'static str, message: impl Into<String>) -> Failure {
        Failure {
            message: message.into(),
            kind,
            exit: 1,
            is_told: false,
        }
    }

    pub(crate) fn told(kind: &'static str) -> Failure {
        Failure {
            is_told: true,
            ..Failure::new(kind, "")
        }
    }

    pub(crate) fn no_index(dir: &Path) -> Failure {
        Failure::new(
            "no_index",
            format!(
                "no index at {}: build one with `code_search index PATH`, or name its directory with --index DIR",
                dir.display()
            ),
        )
    }

    /// An error of the library, as seen by somebody who searches in `dir`.
    pub(crate) fn of(error: &Error, dir: &Path) -> Failure {
        let dir = dir.display();
        let (kind, advice) = match error.kind() {
            ErrorKind::NotFound => ("not_found", String::new()),
            ErrorKind::Locked => (
                "locked",
                "; another `code_search index` is at work there: wait for it (searching needs no lock and works meanwhile)".to_owned(),
            ),
            ErrorKind::Corrupt => (
                "damaged",
                format!(
                    " (that is `code_search verify --index {dir}`); all of it comes from your files: remove {dir} and run `code_search index` again"
                ),
            ),
            ErrorKind::Version => (
                "version",
                format!("; or remove {dir} and run `code_search index` again"),
            ),
            ErrorKind::EncoderMismatch => (
                "encoder_mismatch",
                format!("; remove {dir} and run `code_search index` again, or use another directory with --index"),
            ),
            ErrorKind::StorageFull => (
                "storage_full",
                "; what was committed before stands: make room and run the same command again".to_owned(),
            ),
            ErrorKind::ReadOnly => (
                "read_only",
                "; put the index elsewhere with --index DIR".to_owned(),
            ),
            ErrorKind::InvalidInput | ErrorKind::Limit => ("invalid", String::new()),
            _ => ("failed", String::new()),
        };
        Failure::new(kind, format!("{error}{advice}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

//! The one error type: a kind for programs, a sentence for people.
//!
//! A message names the place, what was expected, what was found and, where something can be done,
//! what to do. Constructors are cold and few; context is structured, never parsed back out of text.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any failure of this crate.
///
/// Programs branch on [`Error::kind`]; people read the [`fmt::Display`] message.
///
/// ```
/// use sparsely::{ErrorKind, SparseVector};
/// let error = SparseVector::new([(7, f32::NAN)]).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::InvalidInput);
/// assert!(error.to_string().contains("term 7"));
/// ```
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Repr>);

/// What went wrong, coarsely.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Bytes on disk break the format; no retry helps. `verify` says how much is damaged.
    Corrupt,
    /// A file was written by a version of the format that this library does not read.
    Version,
    /// Another writer holds the index.
    Locked,
    /// The file system failed in a way that has no kind of its own.
    Io,
    /// The device is full.
    StorageFull,
    /// The index cannot be written: read-only media, or no permission.
    ReadOnly,
    /// There is no index, file, field or document where one was named.
    NotFound,
    /// There is an index where a new one was to be created.
    AlreadyExists,
    /// The caller's input breaks a documented rule.
    InvalidInput,
    /// The caller's input is larger than a documented limit.
    Limit,
    /// The index was built with another encoder.
    EncoderMismatch,
    /// A model, table or tokenizer cannot be used.
    Model,
    /// The caller's progress callback asked to stop.
    Cancelled,
    /// An earlier failure made this writer unusable; drop it and open a new one.
    Poisoned,
    /// A commit failed after its last write: the commit may or may not stand. Reopening decides.
    OutcomeUnknown,
    /// The platform or the build lacks what was asked for.
    Unsupported,
}

#[derive(Debug, thiserror::Error)]
enum Repr {
    #[error(
        "{file}: {section} at byte {offset}: expected {expected}, found {found}; run `verify` to see how far the damage goes"
    )]
    Corrupt {
        file: String,
        section: &'static str,
        offset: u64,
        expected: String,
        found: String,
    },
    #[error(
        "{file}: format version {found}, but this library reads {supported}; use the version of the library that wrote it, or rebuild the index"
    )]
    Version {
        file: String,
        found: String,
        supported: String,
    },
    #[error("{}: another writer holds the index ({holder}); wait for it, or open the index for reading only", path.display())]
    Locked { path: PathBuf, holder: String },
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{what}: expected {expected}, found {found}")]
    InvalidInput {
        what: String,
        expected: String,
        found: String,
    },
    #[error("{what}: {found} is over the limit of {limit}")]
    Limit {
        what: String,
        limit: u64,
        found: u64,
    },
    #[error("{what} not found: {remedy}")]
    NotFound { what: String, remedy: String },
    #[error("{}: an index is already here; open it, or choose another directory", path.display())]
    AlreadyExists { path: PathBuf },
    #[error(
        "the index was built with encoder {index}, the caller has {encoder}; use that encoder, rebuild the index, or allow another encoder in the configuration if their vectors are comparable"
    )]
    EncoderMismatch { index: String, encoder: String },
    #[error("{file}: {why}")]
    Model { file: String, why: String },
    #[error("cancelled by the caller during {during}; what was committed before stands")]
    Cancelled { during: &'static str },
    #[error(
        "this writer failed earlier ({earlier}); the last commit stands: drop this writer and open a new one"
    )]
    Poisoned { earlier: String },
    #[error(
        "commit {commit} failed after its manifest was in place: it may or may not stand; reopen the index to see ({source})"
    )]
    OutcomeUnknown {
        commit: u64,
        #[source]
        source: Error,
    },
    #[error("{what} is not supported here: {remedy}")]
    Unsupported { what: String, remedy: String },
}

impl Error {
    /// The category of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match &*self.0 {
            Repr::Corrupt { .. } => ErrorKind::Corrupt,
            Repr::Version { .. } => ErrorKind::Version,
            Repr::Locked { .. } => ErrorKind::Locked,
            Repr::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull
                | io::ErrorKind::QuotaExceeded
                | io::ErrorKind::FileTooLarge => ErrorKind::StorageFull,
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    ErrorKind::ReadOnly
                }
                io::ErrorKind::NotFound => ErrorKind::NotFound,
                _ => ErrorKind::Io,
            },
            Repr::InvalidInput { .. } => ErrorKind::InvalidInput,
            Repr::Limit { .. } => ErrorKind::Limit,
            Repr::NotFound { .. } => ErrorKind::NotFound,
            Repr::AlreadyExists { .. } => ErrorKind::AlreadyExists,
            Repr::EncoderMismatch { .. } => ErrorKind::EncoderMismatch,
            Repr::Model { .. } => ErrorKind::Model,
            Repr::Cancelled { .. } => ErrorKind::Cancelled,
            Repr::Poisoned { .. } => ErrorKind::Poisoned,
            Repr::OutcomeUnknown { .. } => ErrorKind::OutcomeUnknown,
            Repr::Unsupported { .. } => ErrorKind::Unsupported,
        }
    }

    /// Where the damage is, for an error of kind [`ErrorKind::Corrupt`]: file, section, byte
    /// offset in the file.
    #[must_use]
    pub fn corrupt_place(&self) -> Option<(&str, &str, u64)> {
        match &*self.0 {
            Repr::Corrupt {
                file,
                section,
                offset,
                ..
            } => Some((file, section, *offset)),
            _ => None,
        }
    }

    /// A refusal of the caller's input, for implementors of this crate's traits: `what` was
    /// looked at, what was `expected` of it, what was `found`.
    #[cold]
    pub fn invalid(
        what: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Error {
        Error::new(Repr::InvalidInput {
            what: what.into(),
            expected: expected.into(),
            found: found.into(),
        })
    }

    /// A failed operation of the file system: `action` reads after "cannot", as in "open".
    #[cold]
    pub fn io(action: &'static str, path: impl AsRef<Path>, source: io::Error) -> Error {
        Error::new(Repr::Io {
            action,
            path: path.as_ref().to_owned(),
            source,
        })
    }

    /// A model, table or tokenizer that cannot be used: the file, and why.
    #[cold]
    pub fn model(file: impl Into<String>, why: impl Into<String>) -> Error {
        Error::new(Repr::Model {
            file: file.into(),
            why: why.into(),
        })
    }

    #[cold]
    pub(crate) fn corrupt(
        file: &str,
        section: &'static str,
        offset: u64,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) -> Error {
        Error::new(Repr::Corrupt {
            file: file.to_owned(),
            section,
            offset,
            expected: expected.to_string(),
            found: found.to_string(),
        })
    }

    #[cold]
    pub(crate) fn version(file: &str, found: impl Into<String>, supported: &str) -> Error {
        Error::new(Repr::Version {
            file: file.to_owned(),
            found: found.into(),
            supported: supported.to_owned(),
        })
    }

    #[cold]
    pub(crate) fn locked(path: &Path, holder: impl Into<String>) -> Error {
        Error::new(Repr::Locked {
            path: path.to_owned(),
            holder: holder.into(),
        })
    }

    #[cold]
    pub(crate) fn limit(what: impl Into<String>, limit: u64, found: u64) -> Error {
        Error::new(Repr::Limit {
            what: what.into(),
            limit,
            found,
        })
    }

    #[cold]
    pub(crate) fn not_found(what: impl Into<String>, remedy: impl Into<String>) -> Error {
        Error::new(Repr::NotFound {
            what: what.into(),
            remedy: remedy.into(),
        })
    }

    #[cold]
    pub(crate) fn already_exists(path: &Path) -> Error {
        Error::new(Repr::AlreadyExists {
            path: path.to_owned(),
        })
    }

    #[cold]
    pub(crate) fn encoder_mismatch(index: String, encoder: String) -> Error {
        Error::new(Repr::EncoderMismatch { index, encoder })
    }

    #[cold]
    pub(crate) fn cancelled(during: &'static str) -> Error {
        Error::new(Repr::Cancelled { during })
    }

    #[cold]
    pub(crate) fn poisoned(earlier: String) -> Error {
        Error::new(Repr::Poisoned { earlier })
    }

    #[cold]
    pub(crate) fn outcome_unknown(commit: u64, source: Error) -> Error {
        Error::new(Repr::OutcomeUnknown { commit, source })
    }

    #[cold]
    pub(crate) fn unsupported(what: impl Into<String>, remedy: impl Into<String>) -> Error {
        Error::new(Repr::Unsupported {
            what: what.into(),
            remedy: remedy.into(),
        })
    }

    /// Names the text that it happened to, by its number among those given.
    #[cfg(any(feature = "onnx", feature = "native"))]
    #[cold]
    pub(crate) fn of_text(mut self, number: u64) -> Error {
        if let Repr::Limit { what: words, .. } | Repr::Model { why: words, .. } = &mut *self.0 {
            *words = format!("text {number}: {words}");
        }
        self
    }

    fn new(repr: Repr) -> Error {
        Error(Box::new(repr))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_word_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }

    #[test]
    fn a_full_disk_has_its_own_kind() {
        let error = Error::io("write", "a/b", io::ErrorKind::StorageFull.into());
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert!(error.to_string().starts_with("a/b: cannot write"));
    }
}

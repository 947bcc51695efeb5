//! Files without meaning: what an index asks of a file system, and the places that give it.
//!
//! The trait is small so that tests can stand in a file system that loses, tears and reorders what
//! was not synced. Files are written once, from front to back, and never changed after; readers
//! borrow whole files.

use std::{fmt, ops::Deref, path::PathBuf, sync::Arc};

use crate::error::Result;

mod disk;
mod memory;
mod mmap;

pub use self::disk::{Disk, Reading};
pub use self::memory::Memory;

/// A flat directory of write-once files.
///
/// Names are short ASCII. Durability is explicit: the bytes of a file stand after
/// [`WriteFile::sync`], its name (and every rename and removal) after
/// [`Storage::sync_directory`]. Everything else may be lost, in any order, when power fails.
pub trait Storage: Send + Sync + fmt::Debug {
    /// Where this is, for messages.
    fn place(&self) -> PathBuf;

    /// Begins a new file. It is finished, and may be opened, when the returned value is dropped.
    ///
    /// # Errors
    /// When the name is taken, or the device fails.
    fn create(&self, name: &str) -> Result<Box<dyn WriteFile>>;

    /// The bytes of a finished file.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when there is none; otherwise when the
    /// device fails.
    fn open(&self, name: &str) -> Result<FileBytes>;

    /// Renames a file; `to` is never an existing name.
    ///
    /// # Errors
    /// When the device fails.
    fn rename(&self, from: &str, to: &str) -> Result<()>;

    /// Removes a file. Readers that have it open keep their bytes.
    ///
    /// # Errors
    /// When the device fails.
    fn remove(&self, name: &str) -> Result<()>;

    /// The names of all files, in any order; none when the directory does not exist.
    ///
    /// # Errors
    /// When the device fails.
    fn list(&self) -> Result<Vec<String>>;

    /// Makes creations, renames and removals durable.
    ///
    /// # Errors
    /// When the device fails.
    fn sync_directory(&self) -> Result<()>;

    /// Takes the exclusive lock `name`, or says who holds it. The lock ends with the value, and
    /// with the process.
    ///
    /// # Errors
    /// When the device fails or cannot lock.
    fn try_lock(&self, name: &str) -> Result<LockAttempt>;
}

/// A file being written, from front to back.
pub trait WriteFile: Send {
    /// Appends all of `bytes`.
    ///
    /// # Errors
    /// When the device fails; the file is then of no use.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;

    /// Makes what was written durable. A failure is final: what a device dropped once it may
    /// later call clean.
    ///
    /// # Errors
    /// When the device fails; the file is then of no use.
    fn sync(&mut self) -> Result<()>;
}

/// What became of [`Storage::try_lock`].
pub enum LockAttempt {
    /// The lock, held until this value is dropped.
    Acquired(Box<dyn Send + Sync>),
    /// Somebody else holds it; a description for people.
    Held(String),
}

impl fmt::Debug for LockAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockAttempt::Acquired(_) => f.write_str("Acquired"),
            LockAttempt::Held(holder) => f.debug_tuple("Held").field(holder).finish(),
        }
    }
}

/// The bytes of a whole file: mapped, or in memory. Cheap to clone.
#[derive(Clone)]
pub struct FileBytes(Arc<dyn AsRef<[u8]> + Send + Sync>);

impl FileBytes {
    /// Shares `bytes`.
    pub fn new(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> FileBytes {
        FileBytes(Arc::new(bytes))
    }
}

impl Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

impl fmt::Debug for FileBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileBytes")
            .field("len", &self.len())
            .finish()
    }
}

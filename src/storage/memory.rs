//! Files in memory: for indexes that need not outlive the process, and for tests.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Arc, PoisonError},
};

use super::{FileBytes, LockAttempt, Storage, WriteFile};
use crate::{
    error::{Error, Result},
    sync::{AtomicBool, Mutex, MutexGuard, Ordering},
};

/// A directory in memory. Clones share it.
///
/// ```
/// use sparsely::storage::{Memory, Storage};
/// let memory = Memory::default();
/// memory.create("a")?.write(b"bytes")?;
/// assert_eq!(&*memory.clone().open("a")?, b"bytes");
/// # Ok::<(), sparsely::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    files: Mutex<BTreeMap<String, FileBytes>>,
    locked: AtomicBool,
}

impl Memory {
    /// No operation panics while it holds the lock, so a poisoned one is still whole.
    fn files(&self) -> MutexGuard<'_, BTreeMap<String, FileBytes>> {
        self.0.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Storage for Memory {
    fn place(&self) -> PathBuf {
        PathBuf::from("(memory)")
    }

    fn create(&self, name: &str) -> Result<Box<dyn WriteFile>> {
        let mut files = self.files();
        if files.contains_key(name) {
            return Err(error("create", name, io::ErrorKind::AlreadyExists));
        }
        files.insert(name.to_owned(), FileBytes::new([]));
        Ok(Box::new(MemoryFile {
            bytes: Vec::new(),
            name: name.to_owned(),
            memory: self.clone(),
        }))
    }

    fn open(&self, name: &str) -> Result<FileBytes> {
        let found = self.files().get(name).cloned();
        found.ok_or_else(|| error("open", name, io::ErrorKind::NotFound))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let mut files = self.files();
        let bytes = files
            .remove(from)
            .ok_or_else(|| error("rename", from, io::ErrorKind::NotFound))?;
        files.insert(to.to_owned(), bytes);
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        let removed = self.files().remove(name).map(drop);
        removed.ok_or_else(|| error("remove", name, io::ErrorKind::NotFound))
    }

    fn list(&self) -> Result<Vec<String>> {
        Ok(self.files().keys().cloned().collect())
    }

    fn sync_directory(&self) -> Result<()> {
        Ok(())
    }

    fn try_lock(&self, _name: &str) -> Result<LockAttempt> {
        if self.0.locked.swap(true, Ordering::AcqRel) {
            return Ok(LockAttempt::Held("this process".to_owned()));
        }
        Ok(LockAttempt::Acquired(Box::new(MemoryLock(self.clone()))))
    }
}

/// Collects bytes and hands them over when it is finished, so that readers share them uncopied.
struct MemoryFile {
    bytes: Vec<u8>,
    name: String,
    memory: Memory,
}

impl WriteFile for MemoryFile {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        let bytes = FileBytes::new(std::mem::take(&mut self.bytes));
        if let Some(file) = self.memory.files().get_mut(&self.name) {
            *file = bytes;
        }
    }
}

struct MemoryLock(Memory);

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.0.0.locked.store(false, Ordering::Release);
    }
}

fn error(action: &'static str, name: &str, kind: io::ErrorKind) -> Error {
    Error::io(action, format!("(memory)/{name}"), kind.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_locks_and_bytes() {
        let memory = Memory::default();
        let mut file = memory.create("a").unwrap();
        assert!(memory.create("a").is_err());
        file.write(b"x").unwrap();
        file.sync().unwrap();
        drop(file);
        memory.rename("a", "b").unwrap();
        let bytes = memory.open("b").unwrap();
        memory.remove("b").unwrap();
        assert_eq!(&*bytes, b"x");
        assert_eq!(memory.list().unwrap().len(), 0);
        for missing in [
            memory.remove("b"),
            memory.open("b").map(drop),
            memory.rename("b", "c"),
        ] {
            let error = missing.unwrap_err();
            assert_eq!(error.kind(), crate::error::ErrorKind::NotFound);
            assert!(error.to_string().starts_with("(memory)/b: "), "{error}");
        }

        let lock = memory.try_lock("l").unwrap();
        let held = memory.clone().try_lock("l").unwrap();
        assert!(matches!(held, LockAttempt::Held(_)));
        drop((lock, held));
        let again = memory.try_lock("l").unwrap();
        assert!(matches!(again, LockAttempt::Acquired(_)));
    }
}

#[cfg(all(loom, test))]
mod loom_models {
    use loom::thread;

    use super::*;

    /// Reads a number, and writes one more in its place.
    fn count(memory: &Memory, lock: LockAttempt) -> usize {
        let LockAttempt::Acquired(_lock) = lock else {
            return 0;
        };
        let read = memory.open("count").map_or(0, |bytes| bytes.len());
        let _ = memory.remove("count");
        let mut file = memory.create("count").unwrap();
        file.write(&vec![0; read + 1]).unwrap();
        1
    }

    fn check(lock: impl Fn(&Memory) -> LockAttempt + Copy + Send + Sync + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(move || {
            let memory = Memory::default();
            let work = |memory: Memory| move || count(&memory, lock(&memory));
            let other = thread::spawn(work(memory.clone()));
            let done = work(memory.clone())() + other.join().unwrap();
            let counted = memory.open("count").map_or(0, |bytes| bytes.len());
            assert_eq!(counted, done, "two at once");
        });
    }

    #[test]
    fn one_at_a_time_holds_the_lock() {
        check(|memory| memory.try_lock("l").unwrap());
    }

    /// The model can fail: without the lock both write what one would have written.
    #[test]
    #[should_panic]
    fn without_a_lock_one_change_is_lost() {
        check(|_| LockAttempt::Acquired(Box::new(())));
    }
}

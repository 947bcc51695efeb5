//! A directory of the file system.
//!
//! Promises: a file is created under a name that was free and is never opened for writing again;
//! [`Storage::sync_directory`] makes names durable where the platform can; the lock is the
//! operating system's, so that it ends with its process however that ends. Every error names its
//! path. Nothing is retried after a failed sync: a device may call clean what it has dropped.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, ErrorKind, Read, Seek, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{FileBytes, LockAttempt, Storage, WriteFile, mmap};
use crate::error::{Error, Result};

/// How the bytes of a finished file are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reading {
    /// Files are mapped: opening costs nothing, pages come and go with use. The default.
    ///
    /// Files of an index are never changed, so this is safe against this library itself. If
    /// *another program* truncates a mapped file, the operating system ends the process with
    /// SIGBUS when the lost part is read; no library can turn that into an error.
    #[default]
    Mapped,
    /// Files are read into memory whole, in large pages where Linux has them. For removable, network
    /// or untrusted media, where a lost page must be an error, and for indexes that are searched
    /// so much that they should stay in memory: searches of a large one take less time.
    Copied,
}

/// An index directory on disk.
///
/// ```
/// use sparsely::storage::{Disk, Storage};
/// # let dir = tempfile::tempdir().unwrap();
/// let disk = Disk::create(dir.path().join("demo.idx"))?;
/// disk.create("segment-1")?.write(b"bytes")?;
/// assert_eq!(&*disk.open("segment-1")?, b"bytes");
/// # Ok::<(), sparsely::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Disk {
    path: PathBuf,
    reading: Reading,
}

impl Disk {
    /// The directory at `path`, which need not exist: nothing is touched.
    pub fn open(path: impl AsRef<Path>) -> Disk {
        Disk {
            path: path.as_ref().to_owned(),
            reading: Reading::Mapped,
        }
    }

    /// Creates the directory at `path` and what lies above it, where they are missing, and makes
    /// their names durable. A new directory belongs to its user alone (mode 0700 on Unix) and
    /// holds a `.gitignore` that keeps it out of version control; one that is there already stays
    /// as it is.
    ///
    /// # Errors
    /// When the file system refuses, or `path` is not a directory.
    pub fn create(path: impl AsRef<Path>) -> Result<Disk> {
        let disk = Disk::open(path);
        if disk.path.is_dir() {
            return Ok(disk);
        }
        let above = parent(&disk.path);
        let missing: Vec<&Path> = above.ancestors().take_while(|dir| !dir.exists()).collect();
        fs::create_dir_all(above).map_err(|e| Error::io("create the directory", above, e))?;
        let created = match private_directory(&disk.path) {
            // Another process was faster.
            Err(error) if error.kind() == ErrorKind::AlreadyExists && disk.path.is_dir() => false,
            Err(error) => return Err(Error::io("create the directory", &disk.path, error)),
            Ok(()) => true,
        };
        for dir in missing.iter().map(|dir| parent(dir)).chain([above]) {
            sync_directory(dir)?;
        }
        if created {
            let path = disk.path.join(".gitignore");
            fs::write(&path, "*\n").map_err(|e| Error::io("write", &path, e))?;
        }
        Ok(disk)
    }

    /// Chooses how files are read.
    #[must_use]
    pub fn reading(mut self, reading: Reading) -> Disk {
        self.reading = reading;
        self
    }

    fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Storage for Disk {
    fn place(&self) -> PathBuf {
        self.path.clone()
    }

    fn create(&self, name: &str) -> Result<Box<dyn WriteFile>> {
        let path = self.at(name);
        let file = patiently(|| OpenOptions::new().write(true).create_new(true).open(&path))
            .map_err(|e| Error::io("create", &path, e))?;
        Ok(Box::new(DiskFile { file, path }))
    }

    fn open(&self, name: &str) -> Result<FileBytes> {
        let path = self.at(name);
        let mut file = patiently(|| File::open(&path)).map_err(|e| Error::io("open", &path, e))?;
        let metadata = file.metadata().map_err(|e| Error::io("open", &path, e))?;
        if !metadata.is_file() {
            let error = io::Error::new(ErrorKind::InvalidInput, "not a regular file");
            return Err(Error::io("open", &path, error));
        }
        let len = usize::try_from(metadata.len())
            .map_err(|_| Error::limit("bytes of a file", usize::MAX as u64, metadata.len()))?;
        // An empty range cannot be mapped on every platform.
        if len == 0 {
            return Ok(FileBytes::new([]));
        }
        match self.reading {
            Reading::Mapped => mmap::map(&file, len)
                .map(FileBytes::new)
                .map_err(|e| Error::io("map", &path, e)),
            Reading::Copied => mmap::copy(&mut file, len)
                .map(FileBytes::new)
                .map_err(|e| Error::io("read", &path, e)),
        }
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let to = self.at(to);
        patiently(|| fs::rename(self.at(from), &to)).map_err(|e| Error::io("rename to", &to, e))
    }

    fn remove(&self, name: &str) -> Result<()> {
        let path = self.at(name);
        patiently(|| fs::remove_file(&path)).map_err(|e| Error::io("remove", &path, e))
    }

    fn list(&self) -> Result<Vec<String>> {
        let entries = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|e| Error::io("list", &self.path, e))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| Error::io("list", &self.path, e))?;
            // A name that is not UTF-8 is none of ours.
            names.extend(entry.file_name().into_string());
        }
        Ok(names)
    }

    fn sync_directory(&self) -> Result<()> {
        sync_directory(&self.path)
    }

    fn try_lock(&self, name: &str) -> Result<LockAttempt> {
        let path = self.at(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file =
            patiently(|| options.open(&path)).map_err(|e| Error::io("open", &path, e))?;
        match file.try_lock() {
            Ok(()) => {
                // For people who wonder who holds it; a lock without its hint is a lock.
                let _ = file
                    .set_len(0)
                    .and_then(|()| file.write_all(format!("{}\n", std::process::id()).as_bytes()));
                Ok(LockAttempt::Acquired(Box::new(HeldLock(file))))
            }
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.rewind();
                let _ = file.take(64).read_to_string(&mut holder);
                Ok(LockAttempt::Held(match holder.trim() {
                    "" => "a process that left no number".to_owned(),
                    pid => format!("process {pid}"),
                }))
            }
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
                Err(Error::unsupported(
                    format!("locking {}", path.display()),
                    "keep the index on a file system that has locks, such as a local disk",
                ))
            }
            Err(TryLockError::Error(error)) => Err(Error::io("lock", &path, error)),
        }
    }
}

/// Gives the lock back by name. Closing the file would do, but for a process that is being started
/// at this moment by another thread: until its program runs, it has a copy of every open file, and
/// the lock would live in the copy.
struct HeldLock(File);

impl Drop for HeldLock {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

struct DiskFile {
    file: File,
    path: PathBuf,
}

impl WriteFile for DiskFile {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file
            .write_all(bytes)
            .map_err(|e| Error::io("write", &self.path, e))
    }

    fn sync(&mut self) -> Result<()> {
        self.file
            .sync_all()
            .map_err(|e| Error::io("sync", &self.path, e))
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    }
}

fn private_directory(path: &Path) -> io::Result<()> {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "modes are Unix's"))]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Windows makes names durable with the files themselves and cannot open a directory for this.
fn sync_directory(path: &Path) -> Result<()> {
    if cfg!(windows) {
        return Ok(());
    }
    File::open(path)
        .and_then(|dir| dir.sync_all())
        .map_err(|e| Error::io("sync the directory", path, e))
}

/// Repeats what a signal interrupted; on Windows also what a virus scanner or a late close of
/// another process refuses for some milliseconds (errors 5 and 32).
fn patiently<T>(mut operation: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut pauses = [10, 25, 50, 100, 200].into_iter();
    loop {
        match operation() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if cfg!(windows) && matches!(error.raw_os_error(), Some(5 | 32)) => {
                match pauses.next() {
                    Some(pause) => std::thread::sleep(Duration::from_millis(pause)),
                    None => return Err(error),
                }
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind as Kind;

    #[test]
    fn a_name_is_taken_once() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::open(dir.path());
        disk.create("a").unwrap().write(b"first").unwrap();
        assert!(disk.create("a").is_err());
        assert_eq!(&*disk.open("a").unwrap(), b"first");
        assert_eq!(disk.open("b").unwrap_err().kind(), Kind::NotFound);
        fs::create_dir(disk.at("c")).unwrap();
        assert_eq!(disk.open("c").unwrap_err().kind(), Kind::Io);
        assert_eq!(disk.remove("b").unwrap_err().kind(), Kind::NotFound);
    }

    #[test]
    fn mapped_and_copied_bytes_are_the_same_and_outlive_the_name() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::open(dir.path());
        for (name, content) in [("empty", &b""[..]), ("full", &[7; 10_000])] {
            disk.create(name).unwrap().write(content).unwrap();
            let mapped = disk.open(name).unwrap();
            let copied = disk.clone().reading(Reading::Copied).open(name).unwrap();
            assert_eq!(*mapped, *copied);
            if cfg!(unix) {
                disk.remove(name).unwrap();
                assert_eq!(&*mapped, content);
            }
        }
    }

    /// A kind for programs, and the place and what was tried for people.
    fn refused<T>(result: Result<T>, kind: Kind, says: &[&str]) {
        let Err(error) = result else {
            panic!("an error of kind {kind:?} was expected");
        };
        assert_eq!(error.kind(), kind, "{error}");
        let message = error.to_string();
        assert!(says.iter().all(|word| message.contains(word)), "{message}");
    }

    #[test]
    fn nothing_is_done_in_a_directory_that_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::open(dir.path().join("missing"));
        let missing = Kind::NotFound;
        refused(disk.create("a"), missing, &["cannot create", "missing"]);
        refused(disk.open("a"), missing, &["cannot open", "missing"]);
        refused(disk.remove("a"), missing, &["cannot remove", "missing"]);
        refused(disk.rename("a", "b"), missing, &["cannot rename to", "b"]);
        refused(disk.sync_directory(), missing, &["cannot sync", "missing"]);
        refused(disk.try_lock("l"), missing, &["cannot open", "missing"]);
        assert!(!disk.path.exists());
    }

    #[test]
    fn a_file_is_no_directory() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "text").unwrap();
        refused(Disk::open(&file).list(), Kind::Io, &["cannot list", "file"]);
        for below in ["a", "a/b"] {
            let created = Disk::create(file.join(below));
            refused(created, Kind::Io, &["cannot create the directory", "file"]);
        }
        assert_eq!(fs::read(&file).unwrap(), b"text");
    }

    #[test]
    fn a_name_alone_lies_in_the_directory_of_the_process() {
        assert_eq!(parent(Path::new("index")), Path::new("."));
        assert_eq!(parent(Path::new("a/index")), Path::new("a"));
        assert_eq!(parent(Path::new("/index")), Path::new("/"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    #[expect(clippy::print_stdout, reason = "a test that sees nothing says so")]
    fn names_that_are_no_text_are_not_listed() {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
        let dir = tempfile::tempdir().unwrap();
        if fs::write(dir.path().join(OsStr::from_bytes(b"\xFF")), "").is_err() {
            println!("this file system has no such names: nothing to see");
        }
        fs::write(dir.path().join("a"), "").unwrap();
        assert_eq!(Disk::open(dir.path()).list().unwrap(), ["a"]);
    }

    #[test]
    fn an_interrupted_call_is_made_again() {
        let mut left = 3;
        let done = patiently(|| {
            left -= 1;
            match left {
                0 => Ok("done"),
                _ => Err(ErrorKind::Interrupted.into()),
            }
        });
        assert_eq!((done.unwrap(), left), ("done", 0));
        let mut calls = 0;
        let refused = patiently(|| {
            calls += 1;
            Err::<(), _>(ErrorKind::PermissionDenied.into())
        });
        let kind = refused.unwrap_err().kind();
        assert_eq!((kind, calls), (ErrorKind::PermissionDenied, 1));
    }

    /// Devices that refuse, as every Linux has them: one that is always full, one that cannot sync.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_device_that_refuses_is_an_error() {
        let device = |path: &str| DiskFile {
            file: OpenOptions::new().write(true).open(path).unwrap(),
            path: path.into(),
        };
        let written = device("/dev/full").write(b"bytes");
        refused(written, Kind::StorageFull, &["/dev/full: cannot write"]);
        let synced = device("/dev/null").sync();
        refused(synced, Kind::Io, &["/dev/null: cannot sync"]);
    }

    /// Files that the kernel makes up claim a length and cannot be mapped.
    #[cfg(target_os = "linux")]
    #[test]
    #[expect(clippy::print_stdout, reason = "a test that sees nothing says so")]
    fn what_cannot_be_mapped_is_an_error_or_copied_as_far_as_it_goes() {
        let disk = Disk::open("/sys/kernel");
        let Ok(text) = fs::read(disk.at("uevent_seqnum")) else {
            println!("there is no /sys here: nothing to see");
            return;
        };
        assert!(text.len() < 100);
        refused(disk.open("uevent_seqnum"), Kind::Io, &["cannot map"]);
        let copied = disk.reading(Reading::Copied).open("uevent_seqnum").unwrap();
        assert!(!copied.is_empty() && copied.len() < 100, "{copied:?}");
    }

    #[test]
    fn the_lock_has_one_holder_who_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::open(dir.path());
        let LockAttempt::Acquired(lock) = disk.try_lock("writer.lock").unwrap() else {
            panic!("nobody held it");
        };
        let LockAttempt::Held(holder) = disk.try_lock("writer.lock").unwrap() else {
            panic!("two holders");
        };
        assert_eq!(holder, format!("process {}", std::process::id()));
        // A number is a hint; a lock without it is a lock.
        File::create(disk.at("writer.lock")).unwrap();
        let LockAttempt::Held(holder) = disk.try_lock("writer.lock").unwrap() else {
            panic!("two holders");
        };
        assert_eq!(holder, "a process that left no number");
        drop(lock);
        let again = disk.try_lock("writer.lock").unwrap();
        assert!(matches!(again, LockAttempt::Acquired(_)));
    }

    #[test]
    fn a_copy_of_the_file_does_not_keep_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::open(dir.path());
        let file = File::create(disk.at("writer.lock")).unwrap();
        file.try_lock().unwrap();
        let in_a_process_being_started = file.try_clone().unwrap();
        drop(HeldLock(file));
        let again = disk.try_lock("writer.lock").unwrap();
        assert!(matches!(again, LockAttempt::Acquired(_)));
        drop(in_a_process_being_started);
    }

    #[test]
    fn a_missing_directory_is_empty_and_is_created_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b c/\n");
        assert_eq!(Disk::open(&path).list().unwrap(), [""; 0]);
        let disk = Disk::create(&path).unwrap();
        assert_eq!(disk.list().unwrap(), [".gitignore"]);
        Disk::create(&path).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(Disk::create(dir.path().join("file")).is_err());
    }
}

//! The one place that maps files, and memory for copies of them.
//!
//! Contract: what is mapped is a finished file of an index. Such a file was created under a name
//! that was free, is never written to again and never truncated by this library, and goes away by
//! being unlinked, which leaves mappings whole. Its length is taken once, before mapping, and all
//! reads stay inside it.
#![expect(
    unsafe_code,
    reason = "mapping a file is unsafe by nature; the contract is above"
)]

use std::{
    fs::File,
    io::{self, ErrorKind, Read},
};

use memmap2::{Mmap, MmapMut, MmapOptions};

/// Maps the first `len` bytes of `file`, for reading.
pub(super) fn map(file: &File, len: usize) -> io::Result<Mmap> {
    // SAFETY: the file is write-once (module docs), so its bytes do not change under the slice.
    // Another program that changes an index file breaks the contract that `Reading::Mapped`
    // documents; `Reading::Copied` is for places where that can happen.
    unsafe { MmapOptions::new().len(len).map(file) }
}

/// Memory that holds a file's bytes.
pub(super) struct Copy {
    memory: Mmap,
    len: usize,
}

impl AsRef<[u8]> for Copy {
    fn as_ref(&self) -> &[u8] {
        self.memory.get(..self.len).unwrap_or_default()
    }
}

/// Reads the first `len` bytes of `file`, or as many as it has by now, into memory of their own; in
/// large pages where the system has them. Searches jump about in it, and the processor's table of
/// small pages misses most of their jumps.
pub(super) fn copy(file: &mut File, len: usize) -> io::Result<Copy> {
    let mut memory = MmapMut::map_anon(len)?;
    // Before the first byte is there: what has small pages by then keeps them. Where the system
    // refuses, pages stay small.
    #[cfg(target_os = "linux")]
    let _ = memory.advise(memmap2::Advice::HugePage);
    let mut read = 0;
    while let Some(rest) = memory.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(count) => read += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Copy {
        memory: memory.make_read_only()?,
        len: read,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_ends_where_the_file_does() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, b"bytes").unwrap();
        for (len, expected) in [(3, &b"byt"[..]), (5, b"bytes"), (9000, b"bytes")] {
            let copied = copy(&mut File::open(&path).unwrap(), len).unwrap();
            assert_eq!(copied.as_ref(), expected);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_directory_is_neither_mapped_nor_copied() {
        let dir = tempfile::tempdir().unwrap();
        let mut dir = File::open(dir.path()).unwrap();
        assert!(map(&dir, 10).is_err());
        let copied = copy(&mut dir, 10).map(|copied| copied.len);
        assert_eq!(copied.unwrap_err().kind(), ErrorKind::IsADirectory);
    }
}

//! The one place that maps files.
//!
//! Contract: what is mapped is a finished file of an index. Such a file was created under a name
//! that was free, is never written to again and never truncated by this library, and goes away by
//! being unlinked, which leaves mappings whole. Its length is taken once, before mapping, and all
//! reads stay inside it.
#![expect(
    unsafe_code,
    reason = "mapping a file is unsafe by nature; the contract is above"
)]

use std::{fs::File, io};

use memmap2::{Mmap, MmapOptions};

/// Maps the first `len` bytes of `file`, for reading.
pub(super) fn map(file: &File, len: usize) -> io::Result<Mmap> {
    // SAFETY: the file is write-once (module docs), so its bytes do not change under the slice.
    // Another program that changes an index file breaks the contract that `Reading::Mapped`
    // documents; `Reading::Copied` is for places where that can happen.
    unsafe { MmapOptions::new().len(len).map(file) }
}

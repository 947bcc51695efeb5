//! Numbers that mean things.

use std::fmt;

/// A term of an encoder's space: a vocabulary entry, a latent of an autoencoder, a hashed word.
///
/// ```
/// use sparsely::TermId;
/// assert_eq!(TermId::from(7).get(), 7);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct TermId(u32);

/// A document inside one segment: dense, from 0. Never shown to callers, who have their own keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub(crate) struct DocId(pub(crate) u32);

/// A segment of an index; never reused within it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct SegmentId(pub(crate) u64);

/// A commit of an index; rises by one with each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct CommitId(pub(crate) u64);

/// Numbers of segments and commits are below this, which no index reaches. A forged one above would
/// leave no number for what comes after it.
pub(crate) const NUMBER_END: u64 = 1 << 62;

impl TermId {
    /// The number of this term.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl From<u32> for TermId {
    fn from(id: u32) -> TermId {
        TermId(id)
    }
}

impl DocId {
    /// The position of this document in arrays of its segment. Lossless: `usize` has at least 32
    /// bits wherever this crate builds (`lib.rs` asserts it).
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

impl SegmentId {
    /// The number of this segment.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl CommitId {
    /// The number of this commit; 0 is the empty index before the first.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for TermId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

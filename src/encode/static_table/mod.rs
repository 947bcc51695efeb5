//! The table of the static encoder: words, what each is worth, and which others it stands for.
//!
//! A table is one flat piece of bytes, described in `docs/static-table.md`, embedded or read from a
//! file. It is checked as a whole before use (lengths, checksums, every column and every word), so
//! that look-ups neither fail nor panic.

mod lookup;
mod read;
#[cfg(any(test, feature = "train"))]
mod write;

use std::{borrow::Cow, fmt, path::Path};

#[cfg(any(test, feature = "train"))]
pub(crate) use self::write::{Row, TableParts};
use self::{lookup::Lookup, read::Layout};
use crate::error::{Error, Result};

/// A table is at most this large.
pub const TABLE_BYTES_MAX: usize = 8 << 20;

/// Shares of documents are kept as `round(-12 * log2(share))`.
const SHARE_STEPS: f32 = 12.0;
/// Logarithms of factors are kept in units of 1/64.
const LOG_STEPS: f32 = 64.0;
/// Entries are kept in units of 1/32.
const ENTRY_STEPS: f32 = 32.0;

/// What the table of the [`StaticEncoder`](crate::StaticEncoder) knows of words.
///
/// Cloning copies an owned table; share an encoder instead.
///
/// ```no_run
/// use sparsely::{StaticEncoder, StaticTable};
/// let table = StaticTable::open("ours.table")?;
/// println!("{} words", table.word_count());
/// let encoder = StaticEncoder::new(table);
/// # Ok::<(), sparsely::Error>(())
/// ```
#[derive(Clone)]
pub struct StaticTable {
    bytes: Cow<'static, [u8]>,
    layout: Layout,
    /// Where each word's text ends; one more than words, beginning with 0.
    word_ends: Vec<u32>,
    /// Where each word's entries end; one more than words, beginning with 0.
    row_ends: Vec<u32>,
    lookup: Lookup,
}

impl StaticTable {
    /// The table that comes with this library; `docs/static-data-card.md` says what it was
    /// trained on.
    ///
    /// # Errors
    /// None as published: the same checks as for a file are made.
    #[cfg(feature = "static-table")]
    pub fn embedded() -> Result<StaticTable> {
        let bytes = include_bytes!("../../../data/static.table");
        StaticTable::checked(Cow::Borrowed(bytes), "the embedded table")
    }

    /// Reads a table from the file at `path`.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) or its relatives when the file cannot be read,
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) when it is over [`TABLE_BYTES_MAX`], and
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) when it is no sound table of this version.
    pub fn open(path: impl AsRef<Path>) -> Result<StaticTable> {
        use std::io::Read;
        let path = path.as_ref();
        let file = std::fs::File::open(path).map_err(|error| Error::io("open", path, error))?;
        let mut bytes = Vec::new();
        // One byte more than allowed tells a table that is too large from one that just fits,
        // and bounds what a wrong path can cost.
        file.take(TABLE_BYTES_MAX as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| Error::io("read", path, error))?;
        StaticTable::checked(Cow::Owned(bytes), &path.to_string_lossy())
    }

    /// Takes a table as bytes; `name` stands for it in errors.
    ///
    /// # Errors
    /// As [`StaticTable::open`], without those of files.
    pub fn from_bytes(bytes: Vec<u8>, name: &str) -> Result<StaticTable> {
        StaticTable::checked(Cow::Owned(bytes), name)
    }

    fn checked(bytes: Cow<'static, [u8]>, name: &str) -> Result<StaticTable> {
        let (layout, word_ends, row_ends) = read::check(&bytes, name)?;
        let mut table = StaticTable {
            lookup: Lookup::with_room_for(layout.words),
            bytes,
            layout,
            word_ends,
            row_ends,
        };
        let mut lookup = std::mem::take(&mut table.lookup);
        for id in 0..table.layout.words {
            let word = table.word_bytes(id);
            let bytes = word.unwrap_or_default();
            match lookup.slot(bytes, |other| table.word_bytes(other) == word) {
                Ok(slot) => lookup.fill(slot, id),
                Err(other) => {
                    return Err(Error::model(
                        name,
                        format!("words {other} and {id} are the same; the table is damaged"),
                    ));
                }
            }
        }
        table.lookup = lookup;
        Ok(table)
    }

    /// The table as it is in a file.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many words the table knows.
    #[must_use]
    pub fn word_count(&self) -> u32 {
        self.layout.words
    }

    /// How many words others can stand for: those below this number.
    #[must_use]
    pub fn target_count(&self) -> u32 {
        self.layout.targets
    }

    /// How many entries all rows have together.
    #[must_use]
    pub fn entry_count(&self) -> u32 {
        self.layout.entries
    }

    /// How many passages the shares of words were counted in.
    #[must_use]
    pub fn passage_count(&self) -> u64 {
        self.layout.passages
    }

    /// The number of `word`, which is lower-cased and stemmed as by [`words`](crate::text::words).
    #[must_use]
    pub fn find(&self, word: &str) -> Option<u32> {
        let bytes = word.as_bytes();
        self.lookup
            .find(bytes, |id| self.word_bytes(id) == Some(bytes))
    }

    /// The word of number `id`.
    #[must_use]
    pub fn word(&self, id: u32) -> Option<&str> {
        std::str::from_utf8(self.word_bytes(id)?).ok()
    }

    fn word_bytes(&self, id: u32) -> Option<&[u8]> {
        let (start, end) = span(&self.word_ends, id)?;
        self.bytes.get(self.layout.strings.clone())?.get(start..end)
    }

    /// What the weight of word `id` in a document's own text is multiplied with (`exp(a)`).
    #[must_use]
    pub fn own_factor(&self, id: u32) -> f32 {
        self.log_at(self.layout.own.start, id).exp()
    }

    /// What the weight of word `id` in a query is multiplied with (`exp(b)`).
    #[must_use]
    pub fn query_factor(&self, id: u32) -> f32 {
        self.log_at(self.layout.query.start, id).exp()
    }

    fn log_at(&self, start: usize, id: u32) -> f32 {
        f32::from(self.byte_at(start, id).cast_signed()) / LOG_STEPS
    }

    /// The share of passages that had word `id` when the table was trained: 0 to 1.
    #[must_use]
    pub fn share(&self, id: u32) -> f32 {
        (-f32::from(self.byte_at(self.layout.share.start, id)) / SHARE_STEPS).exp2()
    }

    fn byte_at(&self, start: usize, id: u32) -> u8 {
        if id >= self.layout.words {
            return 0;
        }
        self.bytes.get(start + id as usize).copied().unwrap_or(0)
    }

    /// The words that word `id` stands for, with their weights, which may be negative.
    pub fn row(&self, id: u32) -> impl Iterator<Item = (u32, f32)> + '_ {
        let (start, end) = span(&self.row_ends, id).unwrap_or((0, 0));
        let columns = &self.bytes[self.layout.columns.clone()][2 * start..2 * end];
        let values = &self.bytes[self.layout.values.clone()][start..end];
        columns.chunks_exact(2).zip(values).map(|(column, value)| {
            let column = u16::from_le_bytes([column[0], column[1]]);
            (
                u32::from(column),
                f32::from(value.cast_signed()) / ENTRY_STEPS,
            )
        })
    }
}

impl fmt::Debug for StaticTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticTable")
            .field("words", &self.layout.words)
            .field("targets", &self.layout.targets)
            .field("entries", &self.layout.entries)
            .finish_non_exhaustive()
    }
}

/// Where item `id` begins and ends.
fn span(ends: &[u32], id: u32) -> Option<(usize, usize)> {
    let at = id as usize;
    Some((
        *ends.get(at)? as usize,
        *ends.get(at.checked_add(1)?)? as usize,
    ))
}

#[cfg(test)]
mod tests;

//! The check of a table's bytes, in the order of `docs/static-table.md`: size, magic, version,
//! checksums, lengths, the words' tokenizer, then words and columns one by one.

use std::ops::Range;

use super::TABLE_BYTES_MAX;
use crate::{
    bytes::{Origin, Reader},
    error::{Error, Result},
    text::WORDS_VERSION,
};

pub(super) const MAGIC: [u8; 8] = *b"SPRT\x0D\x0A\x1A\x0A";
pub(super) const VERSION: u16 = 1;
pub(super) const HEADER_LEN: usize = 64;
/// Columns are u16.
pub(super) const TARGETS_MAX: u32 = 1 << 16;
/// Where the checksum of the body stands in the header; that of the header follows it.
pub(super) const BODY_CHECKSUM_OFFSET: usize = 56;
pub(super) const HEADER_CHECKSUM_OFFSET: usize = 60;

/// Where the parts of a table lie in its bytes.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) words: u32,
    pub(super) targets: u32,
    pub(super) entries: u32,
    pub(super) passages: u64,
    pub(super) word_lens: Range<usize>,
    pub(super) row_lens: Range<usize>,
    pub(super) own: Range<usize>,
    pub(super) query: Range<usize>,
    pub(super) share: Range<usize>,
    pub(super) columns: Range<usize>,
    pub(super) values: Range<usize>,
    pub(super) strings: Range<usize>,
}

impl Layout {
    pub(super) fn new(
        (words, targets, entries): (u32, u32, u32),
        strings_len: u32,
        passages: u64,
    ) -> Layout {
        let mut end = HEADER_LEN;
        let mut part = |count: u32, width: usize| {
            let start = end;
            end = end.saturating_add((count as usize).saturating_mul(width));
            start..end
        };
        Layout {
            words,
            targets,
            entries,
            passages,
            word_lens: part(words, 1),
            row_lens: part(words, 1),
            own: part(words, 1),
            query: part(words, 1),
            share: part(words, 1),
            columns: part(entries, 2),
            values: part(entries, 1),
            strings: part(strings_len, 1),
        }
    }
}

/// Checks everything; returns where things lie and the running ends of words and rows.
pub(super) fn check(bytes: &[u8], name: &str) -> Result<(Layout, Vec<u32>, Vec<u32>)> {
    if bytes.len() > TABLE_BYTES_MAX {
        return Err(Error::limit(
            format!("{name}: bytes of a table"),
            TABLE_BYTES_MAX as u64,
            bytes.len() as u64,
        ));
    }
    let layout = header(bytes, name)?;
    if layout.strings.end != bytes.len() {
        return Err(Error::model(
            name,
            format!(
                "the header asks for {} bytes, the table has {}; it is cut off or damaged",
                layout.strings.end,
                bytes.len()
            ),
        ));
    }
    let body = &bytes[HEADER_LEN..];
    let stored = u32_at(bytes, BODY_CHECKSUM_OFFSET);
    if crc32fast::hash(body) != stored {
        return Err(Error::model(
            name,
            "the checksum of its contents is wrong; the table is damaged, fetch or train it again",
        ));
    }
    let word_ends = ends(&bytes[layout.word_lens.clone()], layout.strings.len(), name)?;
    let row_ends = ends(&bytes[layout.row_lens.clone()], layout.values.len(), name)?;
    check_words(bytes, &layout, &word_ends, name)?;
    check_columns(bytes, &layout, name)?;
    Ok((layout, word_ends, row_ends))
}

fn header(bytes: &[u8], name: &str) -> Result<Layout> {
    let Some(head) = bytes.get(..HEADER_LEN) else {
        return Err(Error::model(
            name,
            format!(
                "a table has at least {HEADER_LEN} bytes, this has {}",
                bytes.len()
            ),
        ));
    };
    if !head.starts_with(&MAGIC) {
        return Err(Error::model(
            name,
            "this is no table of the static encoder: the first eight bytes are not those of one",
        ));
    }
    let origin = Origin {
        file: name,
        section: "header of a table",
        start: 0,
    };
    let mut reader = Reader::new(&head[MAGIC.len()..], origin);
    let version = reader.u16("version")?;
    let _minor = reader.u16("minor version")?;
    if version != VERSION {
        return Err(Error::model(
            name,
            format!(
                "this is a table of version {version}, the library reads {VERSION}; use a table or a library of the same version"
            ),
        ));
    }
    if crc32fast::hash(&head[..HEADER_CHECKSUM_OFFSET]) != u32_at(head, HEADER_CHECKSUM_OFFSET) {
        return Err(Error::model(
            name,
            "the checksum of its header is wrong; the table is damaged, fetch or train it again",
        ));
    }
    let words_version = reader.u32("words version")?;
    if words_version != WORDS_VERSION {
        return Err(Error::model(
            name,
            format!(
                "it was trained with version {words_version} of the words, the library cuts texts by version {WORDS_VERSION}; train it again"
            ),
        ));
    }
    let words = reader.u32("words")?;
    let targets = reader.u32("targets")?;
    let entries = reader.u32("entries")?;
    let strings_len = reader.u32("length of the strings")?;
    let passages = reader.u64("passages")?;
    if targets > words.min(TARGETS_MAX) {
        return Err(Error::model(
            name,
            format!("{targets} targets among {words} words; there are at most {TARGETS_MAX}"),
        ));
    }
    Ok(Layout::new(
        (words, targets, entries),
        strings_len,
        passages,
    ))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let field = bytes.get(at..).and_then(<[u8]>::first_chunk);
    field.map_or(0, |field| u32::from_le_bytes(*field))
}

/// Running ends of things of these lengths, which must fill `total` exactly.
fn ends(lens: &[u8], total: usize, name: &str) -> Result<Vec<u32>> {
    let mut ends = Vec::with_capacity(lens.len() + 1);
    ends.push(0);
    let mut end = 0_u32;
    for len in lens {
        end += u32::from(*len);
        ends.push(end);
    }
    if end as usize != total {
        return Err(Error::model(
            name,
            format!("the lengths of its parts sum to {end}, but {total} are there"),
        ));
    }
    Ok(ends)
}

fn check_words(bytes: &[u8], layout: &Layout, ends: &[u32], name: &str) -> Result<()> {
    let strings = &bytes[layout.strings.clone()];
    for (id, pair) in ends.windows(2).enumerate() {
        let word = &strings[pair[0] as usize..pair[1] as usize];
        if word.is_empty() || std::str::from_utf8(word).is_err() {
            return Err(Error::model(
                name,
                format!("word {id} is empty or not UTF-8"),
            ));
        }
    }
    Ok(())
}

fn check_columns(bytes: &[u8], layout: &Layout, name: &str) -> Result<()> {
    let columns = bytes[layout.columns.clone()].chunks_exact(2);
    for (at, column) in columns.enumerate() {
        let column = u32::from(u16::from_le_bytes([column[0], column[1]]));
        if column >= layout.targets {
            return Err(Error::model(
                name,
                format!(
                    "entry {at} names word {column}, but only the first {} can be named",
                    layout.targets
                ),
            ));
        }
    }
    Ok(())
}

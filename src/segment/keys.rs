//! Keys: sorted and prefix-compressed in groups of 16, with the order of documents beside them.
//!
//! The position of a key among the sorted keys is its document's *rank*; equal scores are ordered
//! by it. Opening reads nothing but lengths; a lookup is a binary search over the groups' first
//! keys and a walk through one group.

use std::{ops::Range, sync::Arc};

use super::{
    document::KEY_LEN_MAX,
    part::{Part, index},
};
use crate::{
    bytes::{Reader, put_number},
    error::{Error, Result},
    format::{FileView, FileWriter, SectionId},
    id::DocId,
    simd::prefetch,
};

/// Groups of keys.
pub(super) const KEYS: SectionId = SectionId::required(2, "keys");
/// Where each group begins.
pub(super) const GROUPS: SectionId = SectionId::required(3, "key groups");
/// Rank to document, then document to rank.
pub(super) const ORDER: SectionId = SectionId::required(4, "key order");

/// Keys of a group; the last group may have fewer.
const GROUP_LEN: u32 = 16;

#[derive(Clone, Debug)]
pub(super) struct Keys {
    keys: Part,
    groups: Part,
    order: Part,
    doc_count: u32,
}

impl Keys {
    pub(super) fn open(view: &Arc<FileView>, doc_count: u32) -> Result<Keys> {
        let keys = Keys {
            keys: Part::required(view, KEYS)?,
            groups: Part::required(view, GROUPS)?,
            order: Part::required(view, ORDER)?,
            doc_count,
        };
        keys.groups
            .check_len(8 * (u64::from(keys.group_count()) + 1))?;
        keys.order.check_len(8 * u64::from(doc_count))?;
        Ok(keys)
    }

    /// Ranks by document, little-endian.
    pub(super) fn ranks(&self) -> Result<&[[u8; 4]]> {
        let (numbers, _) = self.order.checked_bytes()?.as_chunks();
        Ok(numbers.get(index(self.doc_count)..).unwrap_or_default())
    }

    /// The rank of a document.
    pub(super) fn rank(&self, doc: DocId) -> Result<u32> {
        let rank = self.order.u32(4 * u64::from(self.doc_count), doc.0)?;
        self.in_bounds("a rank", self.doc_count.saturating_add(doc.0), rank)
    }

    /// The document of a rank.
    pub(super) fn doc(&self, rank: u32) -> Result<DocId> {
        let doc = self.order.u32(0, rank)?;
        self.in_bounds("a document", rank, doc).map(DocId)
    }

    /// As [`Keys::doc`], of a document that says the same of itself: going through all ranks, each
    /// document comes once.
    pub(super) fn doc_of(&self, rank: u32) -> Result<DocId> {
        let doc = self.doc(rank)?;
        let back = self.rank(doc)?;
        if back == rank {
            return Ok(doc);
        }
        let expected = format_args!("a document of rank {rank}");
        Err(self.order.corrupt(4 * index(rank), expected, back))
    }

    /// Appends the key of `rank` to `into`.
    pub(super) fn read(&self, rank: u32, into: &mut Vec<u8>) -> Result<()> {
        let start = into.len();
        self.walk(rank / GROUP_LEN, |at, shared, rest| {
            into.truncate(start + shared);
            into.extend_from_slice(rest);
            at < rank % GROUP_LEN
        })
    }

    /// Asks for what reading the key of a document needs, in three steps, each of which needs what
    /// the one before asked for: its rank, where its group begins, and that.
    pub(super) fn prefetch(&self, doc: DocId, step: usize) {
        let order = self.order.bytes();
        let at = 4 * (index(self.doc_count) + doc.index());
        if step == 0 {
            return prefetch(order, at);
        }
        let rank = order.get(at..).and_then(|rest| rest.first_chunk());
        let group = u32::from_le_bytes(*rank.unwrap_or(&[0; 4])) / GROUP_LEN;
        let (groups, at) = (self.groups.bytes(), 8 * index(group));
        if step == 1 {
            return prefetch(groups, at);
        }
        let start = groups.get(at..).and_then(|rest| rest.first_chunk());
        let start = usize::try_from(u64::from_le_bytes(*start.unwrap_or(&[0; 8])));
        for line in 0..2 {
            let start = start.unwrap_or(usize::MAX);
            prefetch(self.keys.bytes(), start.saturating_add(line * 64));
        }
    }

    /// The rank of `key`, if it is there.
    pub(super) fn find(&self, key: &[u8]) -> Result<Option<u32>> {
        let rank = self.first_from(key)?;
        if rank == self.doc_count {
            return Ok(None);
        }
        let mut found = Vec::new();
        self.read(rank, &mut found)?;
        Ok((found == key).then_some(rank))
    }

    /// Ranks of the keys that begin with `prefix`.
    pub(super) fn with_prefix(&self, prefix: &[u8]) -> Result<Range<u32>> {
        let start = self.first_from(prefix)?;
        let mut next = prefix.to_vec();
        while next.pop_if(|last| *last == u8::MAX).is_some() {}
        let end = match next.last_mut() {
            None => self.doc_count,
            Some(last) => {
                *last += 1;
                self.first_from(&next)?
            }
        };
        Ok(start..end.max(start))
    }

    /// The lowest rank whose key is not below `key`.
    fn first_from(&self, key: &[u8]) -> Result<u32> {
        let (mut low, mut high) = (0, self.group_count());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.first_of(middle)? <= key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let Some(group) = low.checked_sub(1) else {
            return Ok(0);
        };
        let mut found = GROUP_LEN;
        let mut current = Vec::new();
        self.walk(group, |at, shared, rest| {
            current.truncate(shared);
            current.extend_from_slice(rest);
            let is_below = current.as_slice() < key;
            if !is_below {
                found = at;
            }
            is_below
        })?;
        Ok((group * GROUP_LEN + found).min(self.doc_count))
    }

    fn first_of(&self, group: u32) -> Result<&[u8]> {
        let mut reader = self.group(group)?;
        let len = reader.length("key length")?;
        reader.bytes(len, "key")
    }

    /// Hands out the keys of a group (place, bytes shared with the one before, the rest) until
    /// told to stop.
    fn walk(&self, group: u32, mut visit: impl FnMut(u32, usize, &[u8]) -> bool) -> Result<()> {
        let mut reader = self.group(group)?;
        let mut last_len = 0;
        let len = GROUP_LEN.min(self.doc_count.saturating_sub(group * GROUP_LEN));
        for at in 0..len {
            let shared = match at {
                0 => 0,
                _ => reader.number(last_len as u64, "shared bytes")?,
            };
            let shared = usize::try_from(shared).unwrap_or(usize::MAX);
            let rest_len = reader.length("key length")?;
            let rest = reader.bytes(rest_len, "key")?;
            last_len = shared + rest_len;
            if last_len == 0 || last_len > KEY_LEN_MAX {
                return Err(reader.corrupt("a key of 1 to 4096 bytes", last_len));
            }
            if !visit(at, shared, rest) {
                return Ok(());
            }
        }
        reader.finish()
    }

    fn group(&self, group: u32) -> Result<Reader<'_>> {
        let start = self.groups.u64(0, group)?;
        let end = self.groups.u64(0, group + 1)?;
        self.keys.reader(start, end)
    }

    fn group_count(&self) -> u32 {
        self.doc_count.div_ceil(GROUP_LEN)
    }

    fn in_bounds(&self, what: &str, at: u32, found: u32) -> Result<u32> {
        if found < self.doc_count {
            return Ok(found);
        }
        let expected = format_args!("{what} below {}", self.doc_count);
        Err(self.order.corrupt(4 * index(at), expected, found))
    }

    /// Keys strictly rise, groups follow one another, and ranks and documents are inverse.
    pub(super) fn verify(&self) -> Result<()> {
        let mut end = 0;
        let mut last: Vec<u8> = Vec::new();
        let mut current = Vec::new();
        for group in 0..self.group_count() {
            let start = self.groups.u64(0, group)?;
            if start != end {
                let expected = format_args!("a group at {end}");
                return Err(self.groups.corrupt(8 * index(group), expected, start));
            }
            end = self.groups.u64(0, group + 1)?;
            let mut rises = true;
            self.walk(group, |_, shared, rest| {
                current.truncate(shared);
                current.extend_from_slice(rest);
                rises &= last < current;
                last.clone_from(&current);
                true
            })?;
            if !rises {
                let at = usize::try_from(start).unwrap_or(0);
                return Err(self.keys.corrupt(at, "keys that strictly rise", "others"));
            }
        }
        self.keys.check_len(end)?;
        (0..self.doc_count).try_for_each(|rank| self.doc_of(rank).map(drop))
    }
}

/// Writes keys as they come, by rising bytes.
pub(super) struct KeysWriter {
    groups: Vec<u8>,
    docs: Vec<u32>,
    last: Vec<u8>,
    buffer: Vec<u8>,
}

impl KeysWriter {
    pub(super) fn begin(file: &mut FileWriter) -> Result<KeysWriter> {
        file.begin(KEYS)?;
        Ok(KeysWriter {
            groups: Vec::new(),
            docs: Vec::new(),
            last: Vec::new(),
            buffer: Vec::new(),
        })
    }

    pub(super) fn push(&mut self, key: &[u8], doc: u32, file: &mut FileWriter) -> Result<()> {
        let is_first = self.docs.is_empty();
        if !is_first && self.last.as_slice() >= key {
            return Err(Error::invalid(
                "keys of a segment",
                "each once, by rising bytes",
                format!("\"{}\" again or late", key.escape_ascii()),
            ));
        }
        self.buffer.clear();
        let mut shared = 0;
        if self.docs.len().is_multiple_of(index(GROUP_LEN)) {
            let start = file.section_len();
            self.groups.extend_from_slice(&start.to_le_bytes());
        } else {
            let pairs = self.last.iter().zip(key);
            shared = pairs.take_while(|(a, b)| a == b).count();
            put_number(&mut self.buffer, shared as u64);
        }
        put_number(&mut self.buffer, (key.len() - shared) as u64);
        self.buffer.extend_from_slice(&key[shared..]);
        file.write(&self.buffer)?;
        self.last.clear();
        self.last.extend_from_slice(key);
        self.docs.push(doc);
        Ok(())
    }

    pub(super) fn finish(mut self, file: &mut FileWriter) -> Result<()> {
        let end = file.section_len();
        self.groups.extend_from_slice(&end.to_le_bytes());
        file.section(GROUPS, &self.groups)?;
        file.begin(ORDER)?;
        let mut ranks = vec![0_u32; self.docs.len()];
        for (rank, doc) in (0..).zip(&self.docs) {
            file.write(&doc.to_le_bytes())?;
            ranks[index(*doc)] = rank;
        }
        for rank in ranks {
            file.write(&rank.to_le_bytes())?;
        }
        Ok(())
    }
}

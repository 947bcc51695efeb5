//! Stored texts and payloads: one stream of records, cut into compressed blocks of 32 KiB.
//!
//! A record may span blocks, so that no block, and no allocation, grows with a record. Records
//! keep the order in which they were given even where documents are reordered, because neighbors
//! compress well together and merges read them from front to back.

use std::sync::Arc;

use super::{
    document::{PAYLOAD_LEN_MAX, TEXT_LEN_MAX},
    part::{Part, index},
};
use crate::{
    error::{Error, Result},
    format::{FileView, FileWriter, SectionId},
    id::DocId,
};

/// Compressed blocks.
pub(super) const BLOCKS: SectionId = SectionId::required(6, "stored blocks");
/// Where blocks and records begin.
pub(super) const INDEX: SectionId = SectionId::required(7, "stored index");

/// Bytes of a block before compression; the last may have fewer.
const BLOCK_LEN: usize = 32 * 1024;
const HEADER_LEN: u64 = 16;
const RECORD_HEADER_LEN: usize = 12;
/// In place of a record's start: the document has none.
const NONE: u64 = u64::MAX;
/// In place of a length: the record lacks this part.
const ABSENT: u32 = u32::MAX;

/// The stored texts and payloads of a segment.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    blocks: Part,
    index: Part,
    raw_len: u64,
    block_count: u32,
    doc_count: u32,
}

/// What is stored of one document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) text: Option<String>,
    pub(super) payload: Option<Vec<u8>>,
}

impl Stored {
    pub(super) fn open(view: &Arc<FileView>, doc_count: u32) -> Result<Option<Stored>> {
        let Some([blocks, index]) = Part::together(view, [BLOCKS, INDEX])? else {
            return Ok(None);
        };
        let mut header = index.reader(0, HEADER_LEN)?;
        let raw_len = header.u64("raw length")?;
        let block_count = header.u32("block count")?;
        let reserved = header.u32("reserved")?;
        if raw_len.div_ceil(BLOCK_LEN as u64) != u64::from(block_count) || reserved != 0 {
            let expected = format_args!("the blocks of {raw_len} bytes, and zero");
            return Err(header.corrupt(expected, format_args!("{block_count}, {reserved}")));
        }
        let numbers = u64::from(block_count) + 1 + u64::from(doc_count);
        index.check_len(HEADER_LEN + 8 * numbers)?;
        Ok(Some(Stored {
            blocks,
            index,
            raw_len,
            block_count,
            doc_count,
        }))
    }

    /// Where the record of a document begins in the stream, if it has one.
    pub(super) fn start(&self, doc: DocId) -> Result<Option<u64>> {
        let starts = HEADER_LEN + 8 * (u64::from(self.block_count) + 1);
        let start = self.index.u64(starts, doc.0)?;
        Ok((start != NONE).then_some(start))
    }

    /// A cursor that keeps the block it decoded last.
    pub(super) fn cursor(&self) -> Result<StoredCursor<'_>> {
        Ok(StoredCursor {
            stored: self,
            decoder: decoder()?,
            block: Vec::with_capacity(BLOCK_LEN),
            block_at: None,
        })
    }

    /// Every block decodes to its length, every record lies in the stream, and they follow one
    /// another without gap.
    pub(super) fn verify(&self) -> Result<()> {
        let mut cursor = self.cursor()?;
        let mut end = 0;
        for block in 0..self.block_count {
            let (start, next) = self.block_range(block)?;
            if start != end {
                let at = usize::try_from(HEADER_LEN).unwrap_or(0) + 8 * index(block);
                let expected = format_args!("a block at {end}");
                return Err(self.index.corrupt(at, expected, start));
            }
            end = next;
        }
        self.blocks.check_len(end)?;
        let mut starts = Vec::new();
        for doc in (0..self.doc_count).map(DocId) {
            starts.extend(self.start(doc)?.map(|start| (start, doc)));
        }
        starts.sort_unstable();
        let mut expected = 0;
        for (start, doc) in starts {
            if start != expected {
                let found = format_args!("{start}, of document {}", doc.0);
                return Err(self.wrong(format_args!("a record at {expected}"), found));
            }
            expected = cursor.check(start)?;
        }
        if expected != self.raw_len {
            return Err(self.wrong(format_args!("records of {} bytes", self.raw_len), expected));
        }
        Ok(())
    }

    fn block_range(&self, block: u32) -> Result<(u64, u64)> {
        let start = self.index.u64(HEADER_LEN, block)?;
        let end = self.index.u64(HEADER_LEN, block + 1)?;
        Ok((start, end))
    }

    #[cold]
    fn wrong(&self, expected: impl std::fmt::Display, found: impl std::fmt::Display) -> Error {
        self.index.corrupt(0, expected, found)
    }
}

/// Reads records; near ones decode their block once.
pub(super) struct StoredCursor<'a> {
    stored: &'a Stored,
    decoder: zstd::bulk::Decompressor<'static>,
    block: Vec<u8>,
    block_at: Option<u32>,
}

impl StoredCursor<'_> {
    /// The record of a document; an empty one where nothing is stored.
    pub(super) fn read(&mut self, doc: DocId) -> Result<Record> {
        let Some(start) = self.stored.start(doc)? else {
            return Ok(Record::default());
        };
        let header = self.header(start)?;
        let mut at = start + RECORD_HEADER_LEN as u64;
        let mut record = Record::default();
        if let Some(len) = header.text_len {
            let bytes = self.bytes(at, len)?;
            at += u64::from(len);
            let text = String::from_utf8(bytes)
                .map_err(|error| self.stored.wrong("text in UTF-8", error.utf8_error()))?;
            record.text = Some(text);
        }
        if let Some(len) = header.payload_len {
            record.payload = Some(self.bytes(at, len)?);
        }
        Ok(record)
    }

    /// Checks the record at `start` and returns where it ends, without holding it in memory.
    fn check(&mut self, start: u64) -> Result<u64> {
        let header = self.header(start)?;
        let mut at = start + RECORD_HEADER_LEN as u64;
        let mut left = u64::from(header.text_len.unwrap_or(0));
        // At most three bytes of a character wait for the next block.
        let mut tail: Vec<u8> = Vec::new();
        while left > 0 {
            let piece = self.piece(at, left)?;
            let piece_len = piece.len() as u64;
            tail.extend_from_slice(piece);
            (at, left) = (at + piece_len, left - piece_len);
            match std::str::from_utf8(&tail) {
                Ok(_) => tail.clear(),
                Err(error) if error.error_len().is_none() && left > 0 => {
                    tail.drain(..error.valid_up_to());
                }
                Err(error) => return Err(self.stored.wrong("text in UTF-8", error)),
            }
        }
        let mut left = u64::from(header.payload_len.unwrap_or(0));
        while left > 0 {
            let piece_len = self.piece(at, left)?.len() as u64;
            (at, left) = (at + piece_len, left - piece_len);
        }
        Ok(at)
    }

    fn header(&mut self, start: u64) -> Result<RecordHeader> {
        let bytes = self.bytes(start, 12)?;
        let (numbers, _) = bytes.as_chunks::<4>();
        let number = |at: usize| {
            numbers
                .get(at)
                .map_or(0, |bytes| u32::from_le_bytes(*bytes))
        };
        let part = |at, most: usize| match number(at) {
            ABSENT => Ok(None),
            len if index(len) <= most => Ok(Some(len)),
            len => Err(self
                .stored
                .wrong(format_args!("a length up to {most}"), len)),
        };
        let header = RecordHeader {
            text_len: part(0, TEXT_LEN_MAX)?,
            payload_len: part(1, PAYLOAD_LEN_MAX)?,
        };
        let len = u64::from(header.text_len.unwrap_or(0))
            + u64::from(header.payload_len.unwrap_or(0))
            + RECORD_HEADER_LEN as u64;
        let end = start.checked_add(len);
        if end.is_none_or(|end| end > self.stored.raw_len) || number(2) != 0 {
            let expected = format_args!("a record within {} bytes", self.stored.raw_len);
            return Err(self
                .stored
                .wrong(expected, format_args!("{len} at {start}")));
        }
        Ok(header)
    }

    /// The next bytes of the stream, collected block by block: memory grows with what was truly
    /// decoded, not with what a length claims.
    fn bytes(&mut self, mut at: u64, len: u32) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut left = u64::from(len);
        while left > 0 {
            let piece = self.piece(at, left)?;
            bytes.extend_from_slice(piece);
            let piece_len = piece.len() as u64;
            (at, left) = (at + piece_len, left - piece_len);
        }
        Ok(bytes)
    }

    /// At most `most` and at least one of the bytes that follow `at`.
    fn piece(&mut self, at: u64, most: u64) -> Result<&[u8]> {
        let block = at / BLOCK_LEN as u64;
        let block = u32::try_from(block)
            .ok()
            .filter(|block| *block < self.stored.block_count);
        let Some(block) = block else {
            let expected = format_args!("a place in {} blocks", self.stored.block_count);
            return Err(self.stored.wrong(expected, at));
        };
        self.load(block)?;
        let inside = usize::try_from(at % BLOCK_LEN as u64).unwrap_or(0);
        let rest = self.block.get(inside..).unwrap_or_default();
        let len = usize::try_from(most).map_or(rest.len(), |most| most.min(rest.len()));
        match rest.get(..len) {
            Some(piece) if !piece.is_empty() => Ok(piece),
            _ => Err(self
                .stored
                .wrong("bytes of a record", "the end of the stream")),
        }
    }

    fn load(&mut self, block: u32) -> Result<()> {
        if self.block_at == Some(block) {
            return Ok(());
        }
        self.block_at = None;
        let (start, end) = self.stored.block_range(block)?;
        let compressed = self.stored.blocks.slice(start, end)?;
        let before = u64::from(block) * BLOCK_LEN as u64;
        let expected = (self.stored.raw_len - before).min(BLOCK_LEN as u64);
        // The buffer's capacity is the cap: a block that decodes to more is an error.
        self.block.clear();
        let decoded = self
            .decoder
            .decompress_to_buffer(compressed, &mut self.block);
        let at = usize::try_from(start).unwrap_or(usize::MAX);
        match decoded {
            Ok(len) if len as u64 == expected => {
                self.block_at = Some(block);
                Ok(())
            }
            Ok(len) => {
                let expected = format_args!("a block of {expected} bytes");
                Err(self.stored.blocks.corrupt(at, expected, len))
            }
            Err(error) => Err(self.stored.blocks.corrupt(at, "a zstd frame", error)),
        }
    }
}

struct RecordHeader {
    text_len: Option<u32>,
    payload_len: Option<u32>,
}

/// Writes records one after another.
pub(super) struct StoredWriter {
    encoder: zstd::bulk::Compressor<'static>,
    raw: Vec<u8>,
    raw_len: u64,
    block_starts: Vec<u64>,
    starts: Vec<u64>,
}

impl StoredWriter {
    pub(super) fn begin(doc_count: u32, level: i32, file: &mut FileWriter) -> Result<StoredWriter> {
        file.begin(BLOCKS)?;
        let encoder = zstd::bulk::Compressor::new(level)
            .map_err(|error| Error::io("prepare compression of", "stored texts", error))?;
        Ok(StoredWriter {
            encoder,
            raw: Vec::with_capacity(BLOCK_LEN),
            raw_len: 0,
            block_starts: Vec::new(),
            starts: vec![NONE; index(doc_count)],
        })
    }

    pub(super) fn push(
        &mut self,
        doc: DocId,
        text: Option<&str>,
        payload: Option<&[u8]>,
        file: &mut FileWriter,
    ) -> Result<()> {
        if text.is_none() && payload.is_none() {
            return Ok(());
        }
        self.starts[doc.index()] = self.raw_len;
        let len = |part: Option<&[u8]>| {
            part.map_or(ABSENT, |part| u32::try_from(part.len()).unwrap_or(ABSENT))
        };
        let text = text.map(str::as_bytes);
        let mut header = [0; RECORD_HEADER_LEN];
        header[..4].copy_from_slice(&len(text).to_le_bytes());
        header[4..8].copy_from_slice(&len(payload).to_le_bytes());
        self.put(&header, file)?;
        self.put(text.unwrap_or_default(), file)?;
        self.put(payload.unwrap_or_default(), file)
    }

    fn put(&mut self, mut bytes: &[u8], file: &mut FileWriter) -> Result<()> {
        self.raw_len += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = BLOCK_LEN - self.raw.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.raw.extend_from_slice(now);
            if self.raw.len() == BLOCK_LEN {
                self.flush(file)?;
            }
            bytes = later;
        }
        Ok(())
    }

    fn flush(&mut self, file: &mut FileWriter) -> Result<()> {
        self.block_starts.push(file.section_len());
        let compressed = self.encoder.compress(&self.raw);
        let compressed =
            compressed.map_err(|error| Error::io("compress", "stored texts", error))?;
        self.raw.clear();
        file.write(&compressed)
    }

    pub(super) fn finish(mut self, file: &mut FileWriter) -> Result<()> {
        if !self.raw.is_empty() {
            self.flush(file)?;
        }
        let block_count = u32::try_from(self.block_starts.len())
            .map_err(|_| Error::limit("blocks of stored texts", u64::from(u32::MAX), u64::MAX))?;
        self.block_starts.push(file.section_len());
        file.begin(INDEX)?;
        file.write(&self.raw_len.to_le_bytes())?;
        file.write(&block_count.to_le_bytes())?;
        file.write(&[0; 4])?;
        for start in self.block_starts.iter().chain(&self.starts) {
            file.write(&start.to_le_bytes())?;
        }
        Ok(())
    }
}

fn decoder() -> Result<zstd::bulk::Decompressor<'static>> {
    zstd::bulk::Decompressor::new()
        .map_err(|error| Error::io("prepare decompression of", "stored texts", error))
}

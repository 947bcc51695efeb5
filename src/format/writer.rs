//! Writes a file of sections, front to back, with its checksums.

use super::{
    ALIGNMENT, CHECKSUM_BLOCK_LEN, END_MAGIC, FileIdentity, HEADER_LEN, MAGIC, SECTION_REQUIRED,
    SectionId, VERSION_MAJOR, VERSION_MINOR,
};
use crate::{error::Result, storage::WriteFile};

/// Streams sections into a new file. Memory is one buffer and 4 bytes per 64 KiB written.
pub(crate) struct FileWriter {
    file: Box<dyn WriteFile>,
    identity: FileIdentity,
    buffer: Vec<u8>,
    /// Bytes written, the buffer included.
    position: u64,
    checksums: Checksums,
    sections: Vec<Entry>,
}

struct Entry {
    id: SectionId,
    offset: u64,
    len: u64,
}

const BUFFER_LEN: usize = 256 * 1024;

impl FileWriter {
    /// Begins the file with its header.
    pub(crate) fn new(file: Box<dyn WriteFile>, identity: FileIdentity) -> Result<FileWriter> {
        let mut writer = FileWriter {
            file,
            identity,
            buffer: Vec::with_capacity(BUFFER_LEN),
            position: 0,
            checksums: Checksums::default(),
            sections: Vec::new(),
        };
        writer.put(&header(identity))?;
        Ok(writer)
    }

    /// Begins the next section; the one before ends here.
    pub(crate) fn begin(&mut self, id: SectionId) -> Result<()> {
        self.pad()?;
        self.sections.push(Entry {
            id,
            offset: self.position,
            len: 0,
        });
        Ok(())
    }

    /// Appends to the section begun last.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(section) = self.sections.last_mut() {
            section.len += bytes.len() as u64;
        }
        self.put(bytes)
    }

    /// A whole section at once.
    pub(crate) fn section(&mut self, id: SectionId, bytes: &[u8]) -> Result<()> {
        self.begin(id)?;
        self.write(bytes)
    }

    /// Length so far of the section begun last.
    pub(crate) fn section_len(&self) -> u64 {
        self.sections.last().map_or(0, |section| section.len)
    }

    /// Writes tables and footer and returns the file, not yet synced, with its length.
    pub(crate) fn finish(mut self) -> Result<(Box<dyn WriteFile>, u64)> {
        self.pad()?;
        let table_offset = self.position;
        let table = self.table();
        self.put(&table)?;
        self.flush()?;
        let mut checksums = std::mem::take(&mut self.checksums).finish();
        let checksum_count = (checksums.len() / 4) as u64;
        let unpadded = self.position + checksums.len() as u64;
        checksums.resize(checksums.len() + padding(unpadded), 0);
        self.put(&checksums)?;

        let mut footer = Vec::with_capacity(super::FOOTER_LEN);
        footer.extend_from_slice(&table_offset.to_le_bytes());
        let section_count = u32::try_from(self.sections.len()).unwrap_or(u32::MAX);
        footer.extend_from_slice(&section_count.to_le_bytes());
        footer.extend_from_slice(&crc32fast::hash(&table).to_le_bytes());
        footer.extend_from_slice(&checksum_count.to_le_bytes());
        footer.extend_from_slice(&crc32fast::hash(&checksums).to_le_bytes());
        footer.extend_from_slice(&[0; 4]);
        let file_len = self.position + super::FOOTER_LEN as u64;
        footer.extend_from_slice(&file_len.to_le_bytes());
        footer.extend_from_slice(&self.identity.number.to_le_bytes());
        footer.extend_from_slice(&END_MAGIC);
        footer.extend_from_slice(&[0; 4]);
        let crc = crc32fast::hash(&footer);
        footer.extend_from_slice(&crc.to_le_bytes());
        self.put(&footer)?;
        self.flush()?;
        Ok((self.file, file_len))
    }

    fn table(&self) -> Vec<u8> {
        let mut table = Vec::new();
        for section in &self.sections {
            let flags = if section.id.required {
                SECTION_REQUIRED
            } else {
                0
            };
            table.extend_from_slice(&section.id.number.to_le_bytes());
            table.extend_from_slice(&flags.to_le_bytes());
            table.extend_from_slice(&section.offset.to_le_bytes());
            table.extend_from_slice(&section.len.to_le_bytes());
        }
        table
    }

    fn pad(&mut self) -> Result<()> {
        self.put(&[0; ALIGNMENT][..padding(self.position)])
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.position += bytes.len() as u64;
        if self.buffer.len() + bytes.len() > BUFFER_LEN {
            self.flush()?;
        }
        if bytes.len() >= BUFFER_LEN {
            self.checksums.update(bytes);
            return self.file.write(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Checksums are made here: of a few bytes at a time they would cost more than all else.
    fn flush(&mut self) -> Result<()> {
        self.checksums.update(&self.buffer);
        self.file.write(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

impl std::fmt::Debug for FileWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileWriter")
            .field("identity", &self.identity)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

fn header(identity: FileIdentity) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER_LEN);
    header.extend_from_slice(&MAGIC);
    header.extend_from_slice(&VERSION_MAJOR.to_le_bytes());
    header.extend_from_slice(&VERSION_MINOR.to_le_bytes());
    header.extend_from_slice(&identity.kind.number().to_le_bytes());
    header.extend_from_slice(&identity.index);
    header.extend_from_slice(&identity.number.to_le_bytes());
    header.extend_from_slice(&[0; 20]);
    let crc = crc32fast::hash(&header);
    header.extend_from_slice(&crc.to_le_bytes());
    header
}

/// Zero bytes between `position` and the next multiple of [`ALIGNMENT`].
fn padding(position: u64) -> usize {
    // Below ALIGNMENT, so no width of usize can lose anything.
    usize::try_from(position.next_multiple_of(ALIGNMENT as u64) - position).unwrap_or(0)
}

/// One CRC per [`CHECKSUM_BLOCK_LEN`] bytes of a stream.
#[derive(Default)]
struct Checksums {
    done: Vec<u8>,
    current: crc32fast::Hasher,
    filled: usize,
}

impl Checksums {
    fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = CHECKSUM_BLOCK_LEN - self.filled;
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.current.update(now);
            self.filled += now.len();
            if self.filled == CHECKSUM_BLOCK_LEN {
                self.end_block();
            }
            bytes = later;
        }
    }

    fn end_block(&mut self) {
        let crc = std::mem::take(&mut self.current).finalize();
        self.done.extend_from_slice(&crc.to_le_bytes());
        self.filled = 0;
    }

    fn finish(mut self) -> Vec<u8> {
        if self.filled > 0 {
            self.end_block();
        }
        self.done
    }
}

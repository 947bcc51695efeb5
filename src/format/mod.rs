//! The frame that all files share, and what the manifest says. The bytes are those of
//! `docs/format.md`; a test compares the two.

mod calibration;
mod compared;
mod manifest;
mod names;
mod reader;
mod writer;

pub(crate) use self::{
    calibration::{Calibration, RECALL_ONE, SHARES, TOPS},
    manifest::{DeletesRecord, FileRecord, Manifest, ManifestConfig, SegmentRecord},
    names::FileName,
    reader::FileView,
    writer::FileWriter,
};

/// First bytes of every file: letters, then what a text-mode transfer breaks (as PNG does).
pub(crate) const MAGIC: [u8; 8] = *b"SPRS\x0D\x0A\x1A\x0A";
/// Last bytes but eight of every file.
pub(crate) const END_MAGIC: [u8; 8] = *b"sprsend\x0A";
pub(crate) const VERSION_MAJOR: u16 = 1;
pub(crate) const VERSION_MINOR: u16 = 0;

pub(crate) const HEADER_LEN: usize = 64;
pub(crate) const FOOTER_LEN: usize = 64;
pub(crate) const SECTION_ENTRY_LEN: usize = 24;
/// Sections, the table and the footer begin at multiples of this.
pub(crate) const ALIGNMENT: usize = 64;
/// Bytes of a file that share one checksum.
pub(crate) const CHECKSUM_BLOCK_LEN: usize = 64 * 1024;
/// More sections than any file has; a table that claims more is damaged.
pub(crate) const SECTION_COUNT_MAX: usize = 1024;

/// Bit of a section's flags: a reader that does not know the section must refuse the file.
pub(crate) const SECTION_REQUIRED: u32 = 1;

/// Drawn once per index and carried by all of its files, so that files of two indexes are never
/// mixed up.
pub(crate) type IndexId = [u8; 16];

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Manifest,
    Segment,
    Deletes,
}

impl FileKind {
    pub(crate) const fn number(self) -> u32 {
        match self {
            FileKind::Manifest => 1,
            FileKind::Segment => 2,
            FileKind::Deletes => 3,
        }
    }
}

/// What identifies a file besides its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    pub(crate) kind: FileKind,
    pub(crate) index: IndexId,
    /// Commit of a manifest, segment of the others.
    pub(crate) number: u64,
}

/// A section's number in `docs/format.md`, its name for errors, and whether readers must know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SectionId {
    pub(crate) number: u32,
    pub(crate) name: &'static str,
    pub(crate) required: bool,
}

impl SectionId {
    /// A section that every reader must know.
    pub(crate) const fn required(number: u32, name: &'static str) -> SectionId {
        SectionId {
            number,
            name,
            required: true,
        }
    }

    /// A section that a reader may pass over.
    pub(crate) const fn optional(number: u32, name: &'static str) -> SectionId {
        SectionId {
            number,
            name,
            required: false,
        }
    }
}

#[cfg(test)]
mod tests;

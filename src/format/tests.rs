//! The frame under damage: every bit and every length.

use std::sync::{Arc, Mutex};

use super::*;
use crate::{
    error::Result,
    storage::{FileBytes, WriteFile},
};

const FIRST: SectionId = SectionId::required(1, "first");
const SECOND: SectionId = SectionId::required(2, "second");
const IDENTITY: FileIdentity = FileIdentity {
    kind: FileKind::Segment,
    index: [7; 16],
    number: 3,
};

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl WriteFile for Sink {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        Ok(())
    }
}

fn file(first: &[u8], second: &[u8]) -> Vec<u8> {
    let sink = Sink::default();
    let mut writer = FileWriter::new(Box::new(sink.clone()), IDENTITY).unwrap();
    writer.section(FIRST, first).unwrap();
    writer.begin(SECOND).unwrap();
    for byte in second.chunks(3) {
        writer.write(byte).unwrap();
    }
    let (_, len) = writer.finish().unwrap();
    let bytes = sink.0.lock().unwrap().clone();
    assert_eq!(len, bytes.len() as u64);
    bytes
}

fn open(bytes: Vec<u8>) -> Result<FileView> {
    FileView::open(
        FileBytes::new(bytes),
        "segment-3",
        IDENTITY,
        &[FIRST, SECOND],
    )
}

#[test]
fn what_was_written_is_read() {
    // Miri takes ten minutes for checksums of so much.
    let len = if cfg!(miri) { 2_000 } else { 200_000 };
    let second: Vec<u8> = (0..=255).cycle().take(len).collect();
    let view = open(file(b"hello", &second)).unwrap();
    assert_eq!(view.section(FIRST), b"hello");
    assert_eq!(view.section(SECOND), second);
    view.verify().unwrap();
    view.verify_section(SECOND).unwrap();
}

#[test]
fn a_file_without_sections_opens() {
    let sink = Sink::default();
    FileWriter::new(Box::new(sink.clone()), IDENTITY)
        .unwrap()
        .finish()
        .unwrap();
    let bytes = sink.0.lock().unwrap().clone();
    let view = open(bytes).unwrap();
    view.verify().unwrap();
    assert!(view.required(FIRST).is_err());
}

/// Miri takes seconds for a byte's changes.
const STEP: usize = if cfg!(miri) { 31 } else { 1 };

#[test]
fn every_flipped_bit_is_found() {
    let good = file(b"hello", &[1; 100]);
    for at in (0..good.len()).step_by(STEP) {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            let found = open(bad).and_then(|view| view.verify());
            assert!(found.is_err(), "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn every_truncation_and_every_tail_is_found() {
    let good = file(b"hello", &[1; 100]);
    for len in (0..good.len()).step_by(STEP) {
        assert!(open(good[..len].to_vec()).is_err(), "cut at {len}");
    }
    for more in [1, 64, 4096] {
        let mut bad = good.clone();
        bad.resize(good.len() + more, 0);
        assert!(open(bad).is_err(), "{more} bytes more");
    }
}

#[test]
fn a_newer_major_version_and_unknown_required_sections_are_refused() {
    let mut newer = file(b"", b"");
    newer[8] = 2;
    assert_eq!(
        open(newer).unwrap_err().kind(),
        crate::error::ErrorKind::Version
    );
    let known_first = FileView::open(
        FileBytes::new(file(b"a", b"b")),
        "segment-3",
        IDENTITY,
        &[FIRST],
    );
    assert_eq!(
        known_first.unwrap_err().kind(),
        crate::error::ErrorKind::Version
    );
}

#[test]
fn files_of_another_index_or_number_are_refused() {
    let bytes = FileBytes::new(file(b"a", b"b"));
    for identity in [
        FileIdentity {
            index: [8; 16],
            ..IDENTITY
        },
        FileIdentity {
            number: 4,
            ..IDENTITY
        },
        FileIdentity {
            kind: FileKind::Deletes,
            ..IDENTITY
        },
    ] {
        let opened = FileView::open(bytes.clone(), "f", identity, &[FIRST, SECOND]);
        assert!(opened.is_err(), "{identity:?}");
    }
}

/// Puts the frame's checksums right, as far as its table can be found: what an attacker would do.
fn seal(bytes: &mut [u8]) {
    let put = |bytes: &mut [u8], at: usize, covered: std::ops::Range<usize>| {
        if let Some(covered) = bytes.get(covered) {
            let crc = crc32fast::hash(covered).to_le_bytes();
            bytes[at..at + 4].copy_from_slice(&crc);
        }
    };
    put(bytes, 60, 0..60);
    let end = bytes.len() - FOOTER_LEN;
    let number = |bytes: &[u8], range: std::ops::Range<usize>| {
        let field = bytes[range].iter().rev();
        field.fold(0, |number: usize, byte| number << 8 | usize::from(*byte))
    };
    let table = number(bytes, end..end + 8);
    let table_end = table.saturating_add(number(bytes, end + 8..end + 12) * SECTION_ENTRY_LEN);
    put(bytes, end + 12, table..table_end);
    if table >= HEADER_LEN && table_end.saturating_add(4) <= end {
        put(bytes, table_end, 0..table_end);
    }
    put(bytes, end + 24, table_end..end);
    put(bytes, end + 60, end..end + 60);
}

#[test]
fn every_rule_of_the_frame_is_checked() {
    let good = file(b"hello", &[1; 100]);
    let mut sealed = good.clone();
    seal(&mut sealed);
    assert_eq!(sealed, good);
    let end = good.len() - FOOTER_LEN;
    let table = end - ALIGNMENT;
    let shifted = |field: &str, by: usize| {
        let range = documented(field);
        range.start + by..range.end + by
    };
    let footer = |field: &str| shifted(field, end);
    let entry = |at: usize, field: &str| shifted(field, table + at * SECTION_ENTRY_LEN);
    let refused = |range: std::ops::Range<usize>, value: u64, section: &str| {
        let mut bad = good.clone();
        let width = range.len().min(8);
        bad[range.clone()][..width].copy_from_slice(&value.to_le_bytes()[..width]);
        seal(&mut bad);
        let error = open(bad).unwrap_err();
        assert_eq!(error.kind(), crate::error::ErrorKind::Corrupt, "{error}");
        let message = error.to_string();
        assert!(message.contains(section), "{value} at {range:?}: {message}");
    };
    refused(documented("MAGIC"), 7, "header");
    refused(documented("HEADER_RESERVED"), 1, "header");
    refused(footer("END_MAGIC"), 7, "footer");
    refused(footer("FILE_LEN"), 64, "footer");
    refused(footer("FOOTER_FILE_NUMBER"), 4, "footer");
    refused(end + 28..end + 32, 1, "footer");
    refused(end + 56..end + 60, 1, "footer");
    refused(footer("SECTION_COUNT"), 1025, "footer");
    refused(footer("SECTION_COUNT"), 1, "section table");
    refused(footer("CHECKSUM_COUNT"), 0, "footer");
    refused(footer("CHECKSUM_COUNT"), u64::MAX, "footer");
    for offset in [0, 63, table + 1, end - 1, end + 64] {
        refused(footer("TABLE_OFFSET"), offset as u64, "footer");
    }
    refused(footer("TABLE_OFFSET"), u64::MAX, "footer");
    refused(footer("TABLE_OFFSET"), 64, "section table");
    refused(entry(1, "SECTION_ID"), 1, "section table");
    refused(entry(0, "SECTION_FLAGS"), 3, "section table");
    for offset in [0, 64, 129, 192, u64::MAX] {
        refused(entry(1, "SECTION_OFFSET"), offset, "section table");
    }
    for len in [0, 1000, u64::MAX] {
        refused(entry(1, "SECTION_LEN"), len, "section table");
    }
    let padding = table + 2 * SECTION_ENTRY_LEN + 4;
    refused(padding..padding + 1, 1, "checksums");
}

/// Offset and size of a field, as the tables of `docs/format.md` have them.
pub(super) fn documented(field: &str) -> std::ops::Range<usize> {
    let doc = include_str!("../../docs/format.md");
    let cell = format!("| `{field}` |");
    let row = doc.lines().find(|line| line.contains(&cell));
    let row = row.unwrap_or_else(|| panic!("docs/format.md has no field {field}"));
    let mut numbers = row
        .split('|')
        .map(str::trim)
        .filter_map(|cell| cell.parse().ok());
    let (offset, size): (usize, usize) = (numbers.next().unwrap(), numbers.next().unwrap());
    offset..offset + size
}

#[test]
fn the_frame_is_as_documented() {
    let bytes = file(b"hello", &[1; 100]);
    let number = |range: std::ops::Range<usize>| {
        let field = bytes[range].iter().rev();
        field.fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
    };
    assert_eq!(bytes[documented("MAGIC")], MAGIC);
    assert_eq!(
        number(documented("VERSION_MAJOR")),
        u64::from(VERSION_MAJOR)
    );
    assert_eq!(
        number(documented("VERSION_MINOR")),
        u64::from(VERSION_MINOR)
    );
    assert_eq!(number(documented("KIND")), 2);
    assert_eq!(bytes[documented("INDEX_ID")], IDENTITY.index);
    assert_eq!(number(documented("FILE_NUMBER")), IDENTITY.number);
    assert_eq!(bytes[documented("HEADER_RESERVED")], [0; 20]);
    let header_crc = crc32fast::hash(&bytes[..documented("HEADER_CRC").start]);
    assert_eq!(number(documented("HEADER_CRC")), u64::from(header_crc));
    assert_eq!(documented("HEADER_CRC").end, HEADER_LEN);

    let end = bytes.len() - FOOTER_LEN;
    let footer = |field: &str| {
        let range = documented(field);
        range.start + end..range.end + end
    };
    let table = usize::try_from(number(footer("TABLE_OFFSET"))).unwrap();
    assert_eq!(number(footer("SECTION_COUNT")), 2);
    let table_len = 2 * SECTION_ENTRY_LEN;
    let table_crc = crc32fast::hash(&bytes[table..table + table_len]);
    assert_eq!(number(footer("TABLE_CRC")), u64::from(table_crc));
    assert_eq!(number(footer("CHECKSUM_COUNT")), 1);
    let file_crc = crc32fast::hash(&bytes[..table + table_len]);
    let checksums = table + table_len..end;
    assert_eq!(bytes[checksums.clone()][..4], file_crc.to_le_bytes());
    let checksum_crc = crc32fast::hash(&bytes[checksums]);
    assert_eq!(number(footer("CHECKSUM_CRC")), u64::from(checksum_crc));
    assert_eq!(number(footer("FILE_LEN")), bytes.len() as u64);
    assert_eq!(number(footer("FOOTER_FILE_NUMBER")), IDENTITY.number);
    assert_eq!(bytes[footer("END_MAGIC")], END_MAGIC);
    let footer_crc = crc32fast::hash(&bytes[end..footer("FOOTER_CRC").start]);
    assert_eq!(number(footer("FOOTER_CRC")), u64::from(footer_crc));
    assert_eq!(documented("FOOTER_CRC").end, FOOTER_LEN);

    let entry = |field: &str| {
        let range = documented(field);
        range.start + table..range.end + table
    };
    assert_eq!(number(entry("SECTION_ID")), u64::from(FIRST.number));
    assert_eq!(number(entry("SECTION_FLAGS")), u64::from(SECTION_REQUIRED));
    let first = usize::try_from(number(entry("SECTION_OFFSET"))).unwrap();
    assert_eq!(number(entry("SECTION_LEN")), 5);
    assert_eq!(&bytes[first..first + 5], b"hello");
    assert_eq!(documented("SECTION_LEN").end, SECTION_ENTRY_LEN);
}

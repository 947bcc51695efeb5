//! A small table: written, read, and refused in every damaged form.

use super::{read::HEADER_CHECKSUM_OFFSET, *};
use crate::error::ErrorKind;

pub(crate) fn row(word: &str, entries: &[(u32, f32)]) -> Row {
    Row {
        word: word.to_owned(),
        own_log: 0.25,
        query_log: -0.5,
        share: 0.125,
        entries: entries.to_vec(),
    }
}

fn parts() -> TableParts {
    TableParts {
        rows: vec![
            row("read", &[(0, 0.5), (1, -0.25)]),
            row("load", &[]),
            row("größe", &[(1, 3.0)]),
        ],
        targets: 2,
        passages: 1000,
    }
}

fn refused(bytes: Vec<u8>) -> String {
    let error = StaticTable::from_bytes(bytes, "t.table").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Model, "{error}");
    let message = error.to_string();
    assert!(message.starts_with("t.table: "), "{message}");
    message
}

/// Puts the checksums right, as one who means to deceive would.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let body = crc32fast::hash(&bytes[64..]);
    bytes[56..60].copy_from_slice(&body.to_le_bytes());
    let header = crc32fast::hash(&bytes[..HEADER_CHECKSUM_OFFSET]);
    bytes[60..64].copy_from_slice(&header.to_le_bytes());
    bytes
}

#[test]
fn what_is_written_is_read() {
    let table = parts().into_table().unwrap();
    let again = StaticTable::from_bytes(table.as_bytes().to_vec(), "again").unwrap();
    assert_eq!((again.word_count(), again.target_count()), (3, 2));
    assert_eq!((again.entry_count(), again.passage_count()), (3, 1000));
    assert_eq!(again.find("größe"), Some(2));
    assert_eq!(again.find("write"), None);
    assert_eq!(again.word(1), Some("load"));
    assert_eq!(again.word(3), None);
    assert_eq!(again.row(0).collect::<Vec<_>>(), [(0, 0.5), (1, -0.25)]);
    assert_eq!(again.row(2).collect::<Vec<_>>(), [(1, 3.0)]);
    assert_eq!(again.row(u32::MAX).count(), 0);
    assert!((again.own_factor(0) - 0.25_f32.exp()).abs() < 1e-6);
    assert!((again.query_factor(0) + 0.5 - 0.5 - (-0.5_f32).exp()).abs() < 1e-6);
    assert!((again.share(0) - 0.125).abs() < 1e-6);
    assert_eq!(again.query_factor(77), 1.0);
}

#[test]
fn the_bytes_are_those_of_the_document() {
    let table = TableParts {
        rows: vec![row("ab", &[(0, 0.5)])],
        targets: 1,
        passages: 7,
    };
    let bytes = table.into_table().unwrap().as_bytes().to_vec();
    assert_eq!(&bytes[..12], b"SPRT\r\n\x1a\n\x01\x00\x00\x00");
    let fields: Vec<u32> = bytes[12..32]
        .chunks(4)
        .map(|field| u32::from_le_bytes(field.try_into().unwrap()))
        .collect();
    assert_eq!(fields, [crate::text::WORDS_VERSION, 1, 1, 1, 2]);
    assert_eq!(&bytes[32..40], 7_u64.to_le_bytes());
    // Lengths of word and row, own, query, share (3 octaves of 12), column, value, string.
    assert_eq!(
        &bytes[64..],
        [2, 1, 16, (-32_i8).cast_unsigned(), 36, 0, 0, 16, b'a', b'b']
    );
}

#[test]
fn every_truncation_is_refused() {
    let whole = parts().into_table().unwrap().as_bytes().to_vec();
    for len in 0..whole.len() {
        refused(whole[..len].to_vec());
    }
    refused([&whole[..], &[0]].concat());
}

#[test]
fn every_changed_byte_is_refused() {
    let whole = parts().into_table().unwrap().as_bytes().to_vec();
    for at in (0..whole.len()).filter(|at| !(10..12).contains(at)) {
        let mut changed = whole.clone();
        changed[at] ^= 0x41;
        refused(changed);
    }
}

#[test]
fn sealed_nonsense_is_refused() {
    let whole = parts().into_table().unwrap().as_bytes().to_vec();
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = whole.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        refused(sealed(changed))
    };
    assert!(with(8, &[9, 0]).contains("version 9"));
    assert!(with(12, &[99]).contains("version 99 of the words"));
    assert!(with(16, &u32::MAX.to_le_bytes()).contains("cut off"));
    assert!(with(20, &7_u32.to_le_bytes()).contains("7 targets"));
    assert!(with(64, &[5, 4, 7]).contains("sum to"));
    let columns = 64 + 3 * 5;
    assert!(with(columns, &[2, 0]).contains("names word 2"));
    let strings = columns + 3 * 3;
    assert!(with(strings, &[0xff]).contains("UTF-8"));
    assert!(with(strings, b"load").contains("the same"));
}

#[test]
fn size_is_limited() {
    let error = StaticTable::from_bytes(vec![0; TABLE_BYTES_MAX + 1], "t").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("large");
    std::fs::write(&path, vec![0; TABLE_BYTES_MAX + 9]).unwrap();
    assert_eq!(
        StaticTable::open(&path).unwrap_err().kind(),
        ErrorKind::Limit
    );
    let missing = StaticTable::open(dir.path().join("none")).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

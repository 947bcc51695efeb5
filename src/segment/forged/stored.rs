//! Stored texts: their index, and the records in their blocks.

use super::*;
use crate::segment::stored;

/// The first record is `text 00` with two bytes of payload, 21 bytes in all.
const RECORD_LEN: usize = 12 + 7 + 2;

#[test]
fn the_index_of_stored_texts() {
    const STARTS: usize = 16 + 2 * 8;
    check(
        stored::INDEX,
        &[
            ("the blocks of 1470 bytes", |s| put_u32(s, 8, 2)),
            ("the blocks of 1470 bytes", |s| put_u32(s, 12, 1)),
            ("a block at 0", |s| put_u64(s, 16, 1)),
            (" bytes, found ", |s| s.extend([0; 8])),
            ("a record at 0", |s| put_u64(s, STARTS, 1)),
            ("a record at 21", |s| put_u64(s, STARTS + 8, 42)),
            ("records of 1470 bytes", |s| {
                put_u64(s, STARTS + 8 * 69, u64::MAX);
            }),
        ],
    );
}

/// Reading one record does not look at the others.
#[test]
fn a_start_beyond_the_texts_is_an_error() {
    let good = open(written(&documents())).unwrap();
    for (start, expected) in [
        (u64::MAX - 1, "a place in 1 blocks"),
        (1 << 32, "a place in 1 blocks"),
        (1470, "bytes of a record"),
        (1465, "bytes of a record"),
    ] {
        let bad = altered(&good, stored::INDEX, |s| put_u64(s, 32, start));
        let error = open(bad).unwrap().stored(DocId(0)).unwrap_err();
        is_damage(&error, stored::INDEX, expected);
    }
}

/// The file with its block of texts changed and compressed again.
fn rewritten(good: &Segment, change: fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut texts = zstd::bulk::decompress(good.file().section(stored::BLOCKS), 1 << 16);
    let texts = texts.as_mut().unwrap();
    change(texts);
    let block = zstd::bulk::compress(texts, 3).unwrap();
    changed(good, |id, bytes| match id {
        stored::BLOCKS => bytes.clone_from(&block),
        stored::INDEX => put_u64(bytes, 24, block.len() as u64),
        _ => {}
    })
}

#[test]
fn the_records_of_stored_texts() {
    let good = open(written(&documents())).unwrap();
    open(rewritten(&good, |_| {})).unwrap().verify().unwrap();
    let rules: &[Rule] = &[
        ("a length up to 268435456", |s| {
            put_u32(s, 0, (256 << 20) + 1)
        }),
        ("a length up to 16777216", |s| put_u32(s, 4, (16 << 20) + 1)),
        ("a record within 1470 bytes", |s| put_u32(s, 8, 1)),
        ("a record within 1470 bytes", |s| put_u32(s, 0, 1470)),
        ("a record at 20", |s| put_u32(s, 4, 1)),
        ("text in UTF-8", |s| s[12] = 0xFF),
        // Half a character, and no next block to go on.
        ("text in UTF-8", |s| s[18] = 0xC3),
    ];
    for (expected, change) in rules {
        let bad = rewritten(&good, *change);
        refused(bad.clone(), stored::INDEX, expected);
        let read = open(bad).unwrap().stored(DocId(0));
        match *expected {
            "a record at 20" => assert_eq!(read.unwrap().payload(), Some(&[7][..])),
            _ => is_damage(&read.unwrap_err(), stored::INDEX, expected),
        }
    }
    let shorter = rewritten(&good, |s| s.truncate(s.len() - RECORD_LEN));
    refused(shorter, stored::BLOCKS, "a block of 1470 bytes, found 1449");
    check(
        stored::BLOCKS,
        &[
            ("a zstd frame", |s| s[0] ^= 1),
            (" bytes, found ", |s| s.push(0)),
        ],
    );
}

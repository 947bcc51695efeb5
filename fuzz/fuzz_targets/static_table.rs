//! Any bytes at all as a table of the static encoder, as they are and with both checksums right.
#![no_main]

use sparsely::{Encoder, StaticEncoder, StaticTable};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((&kind, data)) = data.split_first() else {
        return;
    };
    let mut bytes = data.to_vec();
    if kind % 4 > 0 && bytes.len() >= 64 {
        let body = crc32fast::hash(&bytes[64..]).to_le_bytes();
        bytes[56..60].copy_from_slice(&body);
        let head = crc32fast::hash(&bytes[..60]).to_le_bytes();
        bytes[60..64].copy_from_slice(&head);
    }
    let Ok(table) = StaticTable::from_bytes(bytes, "f") else {
        return;
    };
    for id in 0..table.word_count().min(300) {
        let word = table.word(id).expect("a word");
        assert_eq!(table.find(word), Some(id));
        assert!(table.row(id).all(|(target, _)| target < table.target_count()));
    }
    let encoder = StaticEncoder::new(table);
    for text in ["fn f(v: &mut Vec<u32>) { v.sort_unstable(); v[0] }", "the smallest of a list"] {
        encoder.encode_document(text).expect("text encodes");
        encoder.encode_query(text).expect("text encodes");
    }
});

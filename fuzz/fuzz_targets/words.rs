//! Any text: words lie inside it, and its vectors obey the rules.
#![no_main]

use sparsely::{Encoder, LexicalEncoder};

libfuzzer_sys::fuzz_target!(|text: &str| {
    sparsely::text::words(text, |word| {
        assert!(!word.text.is_empty() && word.offset < text.len());
    });
    for encoder in [LexicalEncoder::code(), LexicalEncoder::text()] {
        let document = encoder.encode_document(text).expect("text encodes");
        let again = encoder.encode_document(text).expect("text encodes");
        assert_eq!(document, again);
        encoder.encode_query(text).expect("text encodes");
    }
});

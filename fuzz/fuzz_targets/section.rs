//! Any bytes at all as one section of a sound file (term tables, windows, blocks, vectors, keys,
//! fields, stored text, labels, deletes, manifest), under right checksums everywhere.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some(files) = sparsely_fuzz::with_section(data) {
        sparsely_fuzz::read_all(&files);
    }
});

//! Bytes of a sound index overwritten, with or without its checksums put right.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some(files) = sparsely_fuzz::damaged(data) {
        sparsely_fuzz::read_all(&files);
    }
});

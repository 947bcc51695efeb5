//! Any bytes at all as the newest manifest, their checksums put right, beside sound segments.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some(files) = sparsely_fuzz::with_manifest(data) {
        sparsely_fuzz::read_all(&files);
    }
});

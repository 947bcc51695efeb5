//! Bytes of a sound index overwritten, with or without its checksums put right.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    sparsely_fuzz::read_all(&sparsely_fuzz::damaged(data));
});

//! Any bytes at all as the newest manifest, their checksums put right, beside sound segments.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut files = sparsely_fuzz::FILES.clone();
    let newest = files.iter_mut().filter(|(name, _)| name.starts_with("manifest-")).max();
    if let Some((_, bytes)) = newest {
        let body = 64.min(bytes.len());
        let footer = bytes.split_off(bytes.len() - body);
        bytes.truncate(body);
        bytes.extend_from_slice(data);
        bytes.resize(bytes.len().next_multiple_of(64), 0);
        bytes.extend_from_slice(&footer);
        sparsely_fuzz::reseal(bytes);
    }
    sparsely_fuzz::read_all(&files);
});

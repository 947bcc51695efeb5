//! What the fuzz targets share: a small index that holds every kind of section, damage done to its
//! files, and the checksums put right again, as an attacker would.

use std::sync::{Arc, LazyLock};

use sparsely::{
    Config, Document, Index, Mode, Query, Result, Searcher, SparseVector,
    storage::{Memory, Storage},
};

/// The files of a small, sound index.
pub static FILES: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    let memory = Memory::default();
    build(memory.clone()).expect("a sound index builds");
    let names = memory.list().expect("memory lists");
    let file = |name: String| {
        let bytes = memory.open(&name).expect("memory opens").to_vec();
        (name, bytes)
    };
    names.into_iter().map(file).collect()
});

fn build(memory: Memory) -> Result<()> {
    let config = Config::new().weight_limit(4.0).keep_statistics().keep_labels();
    let index = Index::with_storage(Arc::new(memory), config)?;
    let mut writer = index.writer()?;
    for commit in 0..3_u32 {
        for number in 0..20_u32 {
            let terms = (0..12).map(|step| ((number * 7 + step * step * 5) % 97, 0.25 + step as f32 / 4.0));
            let pairs: std::collections::BTreeMap<u32, f32> = terms.collect();
            let vector = SparseVector::new(pairs)?;
            let document = Document::new(format!("{commit}/{number}"), vector)
                .text(format!("text of {number}"))
                .payload(vec![number as u8; 40])
                .field("name", format!("n{}", number % 3))
                .field("number", i64::from(number))
                .field("even", number % 2 == 0);
            writer.upsert(document)?;
        }
        writer.delete("0/3")?;
        writer.commit()?;
    }
    Ok(())
}

/// Overwrites bytes of one file: `data` is the file's number, whether to seal it again, then
/// (offset, byte) pairs of 3 bytes each.
pub fn damaged(data: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut files = FILES.clone();
    let Some((&[file, seal], edits)) = data.split_first_chunk::<2>() else {
        return files;
    };
    let at = usize::from(file) % files.len();
    let (_, bytes) = &mut files[at];
    for edit in edits.chunks_exact(3) {
        let offset = usize::from(edit[0]) << 8 | usize::from(edit[1]);
        if let Some(byte) = bytes.get_mut(offset) {
            *byte = edit[2];
        }
    }
    if seal % 2 == 1 {
        reseal(bytes);
    }
    files
}

/// Opens an index of `files`, reads all of it and searches: whatever the files say, the outcome is
/// an answer or an error.
pub fn read_all(files: &[(String, Vec<u8>)]) {
    let memory = Memory::default();
    for (name, bytes) in files {
        let file = memory.create(name).and_then(|mut file| {
            file.write(bytes)?;
            file.sync()
        });
        file.expect("memory takes every file");
    }
    let Ok(index) = Index::with_storage(Arc::new(memory), Config::new()) else {
        return;
    };
    let Ok(snapshot) = index.snapshot() else {
        return;
    };
    for key in snapshot.keys().take(200).flatten() {
        let _ = snapshot.document(key);
    }
    let vector = SparseVector::new((0..97).map(|term| (term, 1.0))).expect("a sound vector");
    for mode in [Mode::Exact, Mode::Exhaustive] {
        let _ = snapshot.search(&Query::new(vector.clone()).top(10).mode(mode));
    }
    if let Ok(mut writer) = index.writer() {
        let _ = writer.merge_all(&mut sparsely::Progress::none());
        let _ = writer.commit();
    }
}

/// Puts every checksum of a file right (docs/format.md, section 3); leaves alone what is no file.
pub fn reseal(file: &mut [u8]) {
    const HEADER: usize = 64;
    const FOOTER: usize = 64;
    let len = file.len();
    if len < HEADER + FOOTER {
        return;
    }
    put_crc(file, 0..60, 60);
    let footer = len - FOOTER;
    let table = number(file, footer, 8);
    let sections = number(file, footer + 8, 4);
    let Some(table_end) = sections.checked_mul(24).and_then(|len| table.checked_add(len)) else {
        return;
    };
    if table_end > footer {
        return;
    }
    put_crc(file, table..table_end, footer + 12);
    let blocks: Vec<u32> = file[..table_end].chunks(64 * 1024).map(crc32fast::hash).collect();
    for (at, crc) in blocks.iter().enumerate() {
        let at = table_end + at * 4;
        if at + 4 <= footer {
            file[at..at + 4].copy_from_slice(&crc.to_le_bytes());
        }
    }
    put_crc(file, table_end..footer, footer + 24);
    put_crc(file, footer..footer + 60, footer + 60);
}

fn number(file: &[u8], at: usize, len: usize) -> usize {
    let bytes = file[at..at + len].iter().rev();
    bytes.fold(0_usize, |number, byte| number.wrapping_shl(8) | usize::from(*byte))
}

fn put_crc(file: &mut [u8], range: std::ops::Range<usize>, at: usize) {
    let crc = crc32fast::hash(&file[range]);
    file[at..at + 4].copy_from_slice(&crc.to_le_bytes());
}

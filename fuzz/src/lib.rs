//! What the fuzz targets share: small indexes that hold every kind of section between them, damage
//! done to their files as an attacker would, with every checksum right, and everything that reads.
//!
//! The indexes and the forging are those of the integration tests.

#[allow(dead_code, unreachable_pub, reason = "fuzzing needs some of what the tests share")]
#[path = "../../tests/integration/support/mod.rs"]
mod support;

mod models;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

use sparsely::{
    Checks, ErrorKind, Filter, Index, Mode, Progress, Query, Result, Searcher, SparseVector,
    Verify,
    storage::Storage,
};
pub use models::{DIRECTORIES, Edited, Models, SAE_MODELS, model};
use support::{
    model::{config, vector},
    mutants::{forge, put_checksums_right, sections, seeds},
    simulated::Simulated,
};

/// Names with their bytes.
pub type Files = std::collections::BTreeMap<String, Arc<Vec<u8>>>;

/// Sound indexes: windows, blocks, and both with every section.
pub static INDEXES: LazyLock<Vec<Files>> =
    LazyLock::new(|| seeds().into_iter().map(|(files, _)| files).collect());

/// Every section of every file of [`INDEXES`]: index, file, place among the file's sections.
pub static SECTIONS: LazyLock<Vec<(usize, String, usize)>> = LazyLock::new(|| {
    let mut all = Vec::new();
    for (index, files) in INDEXES.iter().enumerate() {
        for (name, bytes) in files.iter().filter(|(name, _)| name.contains('-')) {
            let count = sections(bytes).len();
            all.extend((0..count).map(|place| (index, name.clone(), place)));
        }
    }
    all
});

/// The bytes of one of [`SECTIONS`].
pub fn section(at: usize) -> Vec<u8> {
    let (index, name, place) = &SECTIONS[at];
    let bytes = &INDEXES[*index][name];
    bytes[sections(bytes)[*place].1.clone()].to_vec()
}

/// One section, which the first byte chooses, replaced by the other bytes.
pub fn with_section(data: &[u8]) -> Option<Files> {
    let (&chosen, content) = data.split_first()?;
    let (index, name, place) = &SECTIONS[usize::from(chosen) % SECTIONS.len()];
    let files = &INDEXES[*index];
    Some(forge(files, name, rebuilt(&files[name], *place, content)))
}

/// A file whose section number `place` has another content, framed as `docs/format.md` says.
fn rebuilt(file: &[u8], place: usize, content: &[u8]) -> Vec<u8> {
    let pad = |bytes: &mut Vec<u8>| bytes.resize(bytes.len().next_multiple_of(64), 0);
    let footer = &file[file.len() - 64..];
    let old_table = number(&footer[..8]);
    let mut out = file[..64].to_vec();
    let mut table = Vec::new();
    for (at, (_, range)) in sections(file).into_iter().enumerate() {
        pad(&mut out);
        let bytes = if at == place { content } else { &file[range] };
        let entry = old_table + at * 24;
        table.extend_from_slice(&file[entry..entry + 8]);
        table.extend_from_slice(&(out.len() as u64).to_le_bytes());
        table.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        out.extend_from_slice(bytes);
    }
    pad(&mut out);
    let table_offset = out.len() as u64;
    out.extend_from_slice(&table);
    let checksums = out.len().div_ceil(64 * 1024);
    out.resize(out.len() + checksums * 4, 0);
    pad(&mut out);
    let start = out.len();
    out.extend_from_slice(footer);
    let len = out.len() as u64;
    out[start..start + 8].copy_from_slice(&table_offset.to_le_bytes());
    out[start + 16..start + 24].copy_from_slice(&(checksums as u64).to_le_bytes());
    out[start + 32..start + 40].copy_from_slice(&len.to_le_bytes());
    out
}

/// Overwrites bytes of one file: `data` is the index, the file, whether to put checksums right,
/// then (offset, byte) pairs of 3 bytes each.
pub fn damaged(data: &[u8]) -> Option<Files> {
    let (&[index, file, seal], edits) = data.split_first_chunk::<3>()?;
    let files = &INDEXES[usize::from(index) % INDEXES.len()];
    let (name, bytes) = files.iter().nth(usize::from(file) % files.len())?;
    let mut bytes = bytes.to_vec();
    for edit in edits.chunks_exact(3) {
        let offset = usize::from(edit[0]) << 8 | usize::from(edit[1]);
        if let Some(byte) = bytes.get_mut(offset) {
            *byte = edit[2];
        }
    }
    Some(match seal % 4 {
        0 => {
            let mut changed = files.clone();
            changed.insert(name.clone(), Arc::new(bytes));
            changed
        }
        _ => forge(files, name, bytes),
    })
}

/// Any bytes between the header and the footer of an index's newest manifest.
pub fn with_manifest(data: &[u8]) -> Option<Files> {
    let (&index, body) = data.split_first()?;
    let mut files = INDEXES[usize::from(index) % INDEXES.len()].clone();
    let manifests = files.iter_mut().filter(|(name, _)| name.starts_with("manifest-"));
    let (_, newest) = manifests.max_by_key(|(name, _)| name.len() * 1000 + name.bytes().map(usize::from).sum::<usize>())?;
    let mut bytes = newest[..64].to_vec();
    bytes.extend_from_slice(body);
    bytes.resize(bytes.len().next_multiple_of(64), 0);
    bytes.extend_from_slice(&newest[newest.len() - 64..]);
    put_checksums_right(&mut bytes);
    *newest = Arc::new(bytes);
    Some(files)
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

/// Verifies, exports, searches, reads and merges an index of `files`: whatever they say, the
/// outcome is an answer or an error; and what full verification calls clean can be used.
pub fn read_all(files: &Files) {
    let storage: Arc<dyn Storage> = Arc::new(Simulated::holding(files));
    let Ok(report) = Index::verify_storage(&*storage, Verify::Full) else {
        return;
    };
    let exported = Index::export_storage(&*storage, std::io::sink(), &mut Progress::none());
    let used = use_up(&storage).and(exported);
    if report.is_clean()
        && let Err(error) = used
    {
        assert_ne!(error.kind(), ErrorKind::Corrupt, "called clean: {error}");
    }
}

fn use_up(storage: &Arc<dyn Storage>) -> Result<()> {
    let index = Index::open_storage(storage.clone(), config().checks(Checks::OnTouch))?;
    let snapshot = index.snapshot()?;
    let mut first = Ok(());
    let mut keep = |outcome: Result<()>| {
        if first.is_ok() {
            first = outcome;
        }
    };
    let whole = SparseVector::new((0..120).map(|term| (term, 1.0)))?;
    for asked in [vector(3), whole] {
        let query = Query::new(asked.clone()).top(7).fields(["version"]);
        for mode in [Mode::Exact, Mode::Exhaustive, Mode::Approximate(sparsely::Approximation::Blocks(1))] {
            keep(snapshot.search(&query.clone().mode(mode)).map(drop));
        }
        // Needs weights, full vectors or fields that not every index has.
        let _ = snapshot.search(&query.clone().mode(Mode::FloatExact));
        let _ = snapshot.search(&query.clone().rescore(5));
        for filter in [
            Filter::equals("even", true),
            Filter::range("version", 3..9),
            Filter::key_prefix("dir/"),
            Filter::not(Filter::equals("even", false)),
        ] {
            let _ = snapshot.search(&query.clone().filter(filter));
        }
    }
    for key in snapshot.keys().take(100) {
        match key {
            Ok(key) => {
                keep(snapshot.document(&key).map(drop));
                let _ = snapshot.explain(&Query::new(vector(1)), &key);
            }
            Err(error) => keep(Err(error)),
        }
    }
    for term in 0..130 {
        keep(snapshot.label(term.into()).map(drop));
    }
    let merged = index.writer().and_then(|mut writer| {
        writer.merge_all(&mut Progress::none())?;
        writer.commit()
    });
    keep(merged.map(drop));
    first
}

/// A directory of this process's own, for what is read by path.
pub fn folder() -> &'static Path {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = std::env::temp_dir().join(format!("sparsely-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a directory to write in");
        folder
    });
    &FOLDER
}

/// A file of [`folder`] with these bytes.
pub fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder().join(name);
    std::fs::write(&path, bytes).expect("a file is written");
    path
}

/// A store of one episode that was given feedback, as lines of an export.
pub fn stored_episode() -> String {
    use sparsely::{
        LexicalEncoder,
        memory::{ExperienceStore, Outcome, Step, StoreConfig, Trajectory},
    };
    let encoder = Arc::new(LexicalEncoder::text());
    let mut store = ExperienceStore::in_memory(encoder, StoreConfig::new()).expect("a store");
    let trajectory = Trajectory::new("id", "boil the lead")
        .with_environment("lab").with_outcome(Outcome::Success)
        .with_step(Step::new("look", "you see").with_thought("hm"))
        .with_step(Step::new("heat the lead", "it melts"));
    store.record(trajectory).expect("recorded");
    store.give_feedback(&["id"], &["id"]).expect("counted");
    let mut lines = Vec::new();
    store.index().export(&mut lines, &mut Progress::none()).expect("exports");
    String::from_utf8(lines).expect("lines of JSON")
}

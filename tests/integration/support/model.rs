//! Small documents, and an index as a map of what it should hold.

use std::{collections::BTreeMap, sync::Arc};

use sparsely::{
    Config, Document, ErrorKind, Index, Query, Searcher, Snapshot, SparseVector, Verify, Writer,
    storage::Storage,
};

use super::simulated::{Files, Simulated};

/// Keys with the version of their document.
pub(crate) type Model = BTreeMap<String, u32>;

/// The configuration of all small indexes: nothing is left to the first commit.
pub(crate) fn config() -> Config {
    Config::new()
        .term_count(1000)
        .weight_limit(4.0)
        .keep_statistics()
}

/// A vector over few terms, so that documents share some.
pub(crate) fn vector(seed: u32) -> SparseVector {
    let pair = |at: u32| {
        let mixed = seed.wrapping_mul(31).wrapping_add(at * 7) % 6;
        let tenths = u16::try_from(1 + (seed + at) % 30).unwrap();
        (mixed + at * 20, f32::from(tenths) / 10.0)
    };
    SparseVector::new((0..4).map(pair)).unwrap()
}

pub(crate) fn document(key: &str, version: u32) -> Document {
    Document::new(key, vector(version))
        .text(format!("{key} version {version}"))
        .field("version", version)
        .field("even", version.is_multiple_of(2))
}

pub(crate) fn upsert(writer: &mut Writer, model: &mut Model, key: &str, version: u32) {
    writer.upsert(document(key, version)).unwrap();
    model.insert(key.to_owned(), version);
}

/// What a snapshot holds, read document by document and checked against its own counts.
pub(crate) fn content(snapshot: &Snapshot) -> Model {
    let documents = snapshot.documents().map(|stored| {
        let stored = stored.unwrap();
        let key = stored.key().to_string();
        let text = stored.text().unwrap();
        let version = text.rsplit(' ').next().unwrap().parse().unwrap();
        assert_eq!(text, format!("{key} version {version}"));
        (key, version)
    });
    let documents: Vec<(String, u32)> = documents.collect();
    let model: Model = documents.iter().cloned().collect();
    assert_eq!(documents.len(), model.len(), "a key twice");
    assert_eq!(snapshot.document_count(), model.len() as u64);
    model
}

/// Whether a snapshot's answers are those of its documents.
pub(crate) fn check_search(snapshot: &Snapshot, model: &Model) {
    for seed in [3, 8] {
        let query = Query::new(vector(seed)).top(model.len());
        let found = snapshot.search(&query).unwrap();
        let shares = |version: u32| vector(version).dot(&vector(seed)) > 0.0;
        let expected = model.values().filter(|version| shares(**version)).count();
        assert_eq!(found.len(), expected);
        let slow = snapshot.exhaustive().search(&query).unwrap();
        assert_eq!(found, slow);
    }
}

/// The promises of a reopened index, for one state of the medium: it opens to one of the states
/// that `allowed` names (no index at all is the state `None`), is whole, takes a new commit, and
/// is clean afterwards.
pub(crate) fn check_recovery(files: &Files, allowed: &[Option<Model>]) -> Result<(), String> {
    let disk = Simulated::holding(files);
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let before = disk.files();
    let opened = Index::open_storage(storage.clone(), config());
    let (index, found) = match opened {
        Err(error) if error.kind() == ErrorKind::NotFound => (None, None),
        Err(error) => return Err(format!("cannot open: {error}")),
        Ok(index) => {
            let snapshot = index.snapshot().map_err(|error| error.to_string())?;
            if let Some(fallback) = snapshot.fallback() {
                return Err(format!("fell back: {fallback:?}"));
            }
            let model = content(&snapshot);
            check_search(&snapshot, &model);
            let report = index.verify(Verify::Full).map_err(|e| e.to_string())?;
            if !report.is_clean() {
                return Err(format!("damage: {:?}", report.damage()));
            }
            (Some(index), Some(model))
        }
    };
    if !allowed.contains(&found) {
        return Err(format!("found {found:?}, allowed {allowed:?}"));
    }
    if disk.files() != before {
        return Err("reading changed files".to_owned());
    }
    let index = match index {
        Some(index) => index,
        None => Index::with_storage(storage.clone(), config()).map_err(|e| e.to_string())?,
    };
    let mut writer = index.writer().map_err(|error| error.to_string())?;
    let mut model = found.unwrap_or_default();
    upsert(&mut writer, &mut model, "after", 99);
    writer.commit().map_err(|error| error.to_string())?;
    drop(writer);
    let again = Index::open_storage(storage, config()).map_err(|e| e.to_string())?;
    let snapshot = again.snapshot().map_err(|error| error.to_string())?;
    if content(&snapshot) != model {
        return Err("a commit after recovery is not what was written".to_owned());
    }
    let manifests = disk
        .files()
        .keys()
        .filter(|name| name.starts_with("manifest"))
        .count();
    let unfinished = disk
        .files()
        .keys()
        .filter(|name| name.starts_with("unfinished"))
        .count();
    if manifests > 2 || unfinished > 0 {
        return Err(format!("leftovers: {:?}", disk.files().keys()));
    }
    Ok(())
}

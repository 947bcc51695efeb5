//! Repairs and what full verification alone finds, on damage that was made for it.

use std::sync::Arc;

use sparsely::{Config, ErrorKind, Index, Merging, Verify, storage::Storage};

use crate::support::{
    model::{Model, config, content, upsert},
    mutants::{put_checksums_right, sections},
    simulated::{Files, Simulated},
};

fn by_caller() -> Config {
    config().merging(Merging::ByCaller)
}

/// Four documents in a segment of which one is then deleted and one replaced, in another segment.
fn with_deletes() -> (Files, Model) {
    let disk = Simulated::default();
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let index = Index::with_storage(storage, by_caller()).unwrap();
    let mut writer = index.writer().unwrap();
    let mut model = Model::new();
    for (version, key) in ["deleted", "replaced", "kept", "kept too"]
        .iter()
        .enumerate()
    {
        upsert(
            &mut writer,
            &mut model,
            key,
            u32::try_from(version).unwrap(),
        );
    }
    writer.commit().unwrap();
    assert!(writer.delete("deleted").unwrap());
    model.remove("deleted");
    upsert(&mut writer, &mut model, "replaced", 9);
    writer.commit().unwrap();
    (disk.files(), model)
}

fn open(files: &Files) -> (Simulated, sparsely::Result<Index>) {
    let disk = Simulated::holding(files);
    let index = Index::open_storage(Arc::new(disk.clone()), by_caller());
    (disk, index)
}

#[test]
fn lost_deletes_bring_back_what_was_deleted_and_not_what_was_replaced() {
    let (mut files, mut model) = with_deletes();
    let name = files.keys().find(|name| name.starts_with("deletes-"));
    let name = name.unwrap().clone();
    let bytes = files.get_mut(&name).unwrap();
    Arc::make_mut(bytes)[64] ^= 1;
    let (disk, opened) = open(&files);
    assert_eq!(opened.unwrap_err().kind(), ErrorKind::Corrupt);
    let found = Index::verify_storage(&disk, Verify::Full).unwrap();
    assert!(found.damage().iter().any(|damage| damage.file == name));

    let repair = Index::repair_storage(&disk, &by_caller()).unwrap();
    assert_eq!(repair.revived_segments().len(), 1);
    assert!(repair.lost_keys().is_empty() && repair.lost_unnamed() == 0);
    assert!(!repair.is_unneeded());
    model.insert("deleted".to_owned(), 0);
    let (_, repaired) = open(&disk.files());
    let repaired = repaired.unwrap();
    assert_eq!(content(&repaired.snapshot().unwrap()), model);
    let verified = repaired.verify(Verify::Full).unwrap();
    assert!(verified.is_clean() && verified.files() > 1 && verified.bytes() > 128);
    assert!(repaired.repair().unwrap().is_unneeded());
}

/// A manifest that leaves the deletes out would have a key alive twice: every file is whole, and
/// only all of them together are not.
#[test]
fn a_key_that_is_alive_in_two_segments_is_found() {
    const SEGMENTS: u32 = 82;
    let (mut files, _) = with_deletes();
    let newest = files.keys().filter(|name| name.starts_with("manifest-"));
    let newest = newest.max().unwrap().clone();
    let manifest = Arc::make_mut(files.get_mut(&newest).unwrap());
    let found = sections(manifest);
    let (_, records) = found.into_iter().find(|(id, _)| *id == SEGMENTS).unwrap();
    // Commit, length, checksum and count of the deletes of the first segment.
    manifest[records.start + 24..records.start + 48].fill(0);
    put_checksums_right(manifest);
    let (disk, _) = open(&files);
    let quick = Index::verify_storage(&disk, Verify::Quick).unwrap();
    assert!(quick.is_clean(), "{quick:?}");
    let full = Index::verify_storage(&disk, Verify::Full).unwrap();
    let message = full.damage()[0].to_string();
    assert!(
        message.contains("`replaced` alive in one segment"),
        "{message}"
    );
}

#[test]
fn nothing_is_created_over_what_is_left_of_an_index() {
    let (mut files, _) = with_deletes();
    files.retain(|name, _| !name.starts_with("manifest-"));
    let (disk, opened) = open(&files);
    assert_eq!(opened.unwrap_err().kind(), ErrorKind::NotFound);
    let before = disk.files();
    let error = Index::with_storage(Arc::new(disk.clone()), by_caller()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    let error = Index::repair_storage(&disk, &by_caller()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let found = Index::verify_storage(&disk, Verify::Full).unwrap();
    assert!(!found.is_clean());
    assert_eq!(disk.files(), before);
}

//! The order in which a commit reaches the disk, and what it leaves behind.
//!
//! Every file that a manifest names is written, synced and has its name synced before the manifest
//! gets its own name; the manifest's bytes are synced before its rename, and its name after. So
//! at every moment the newest manifest by name is whole and so is all that it names. Files are
//! removed only when neither the newest commit nor the one before needs them.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher, RandomState},
};

use super::config::Durability;
#[cfg(sparsely_planted)]
use crate::planted;
use crate::{
    error::{Error, ErrorKind, Result},
    format::{FileName, Manifest},
    id::CommitId,
    storage::{Storage, WriteFile},
};

/// Why a commit did not come about.
#[derive(Debug)]
pub(super) enum Failure {
    /// The commit does not stand, and the writer may roll back and go on.
    Abandoned(Error),
    /// The commit does not stand, and nothing that this writer syncs can be trusted any more.
    Unsynced(Error),
    /// The commit may stand.
    Unknown(Error),
}

/// Makes `manifest` the newest of the index. All files that it names are written and synced.
pub(super) fn publish(
    storage: &dyn Storage,
    durability: Durability,
    manifest: &Manifest,
) -> Result<(), Failure> {
    #[cfg(sparsely_planted)]
    let asked = durability;
    #[cfg(sparsely_planted)]
    let durability = unless(
        "planted: the directory is not synced before the manifest",
        asked,
    );
    sync_directory(storage, durability).map_err(Failure::Unsynced)?;
    let unfinished = FileName::Unfinished(manifest.commit, random()).to_string();
    let file = storage.create(&unfinished).map_err(Failure::Abandoned)?;
    let file = manifest.write(file).map_err(Failure::Abandoned)?;
    let name = FileName::Manifest(manifest.commit).to_string();
    #[cfg(sparsely_planted)]
    if planted::bug("planted: the manifest is renamed before its sync") {
        let renamed = storage.rename(&unfinished, &name);
        return renamed
            .and_then(|()| finish(file, asked))
            .and_then(|()| sync_directory(storage, asked))
            .map_err(|error| Failure::Unknown(Error::outcome_unknown(manifest.commit.0, error)));
    }
    #[cfg(sparsely_planted)]
    let durability = unless("planted: the manifest is not synced", asked);
    finish(file, durability).map_err(Failure::Unsynced)?;
    let unknown = |error| {
        #[cfg(sparsely_planted)]
        if planted::bug("planted: an unknown outcome is called a failure") {
            return Failure::Abandoned(error);
        }
        Failure::Unknown(Error::outcome_unknown(manifest.commit.0, error))
    };
    #[cfg(sparsely_planted)]
    let durability = unless(
        "planted: the directory is not synced after the manifest",
        asked,
    );
    match storage.rename(&unfinished, &name) {
        Ok(()) => sync_directory(storage, durability).map_err(unknown),
        Err(error) => match storage.open(&name) {
            Err(absent) if absent.kind() == ErrorKind::NotFound => Err(Failure::Abandoned(error)),
            _ => Err(unknown(error)),
        },
    }
}

/// Ends a file: its bytes are durable, where that was asked for.
pub(super) fn finish(mut file: Box<dyn WriteFile>, durability: Durability) -> Result<()> {
    #[cfg(sparsely_planted)]
    if planted::bug("planted: a failed sync is taken for done") {
        let _ = file.sync();
        return Ok(());
    }
    match durability {
        Durability::Full => file.sync(),
        Durability::OsCache => Ok(()),
    }
}

pub(super) fn sync_directory(storage: &dyn Storage, durability: Durability) -> Result<()> {
    match durability {
        Durability::Full => storage.sync_directory(),
        Durability::OsCache => Ok(()),
    }
}

/// What a commit is to survive: nothing, where the bug is real.
#[cfg(sparsely_planted)]
pub(super) fn unless(bug: &str, asked: Durability) -> Durability {
    if planted::bug(bug) {
        Durability::OsCache
    } else {
        asked
    }
}

/// Removes every file of the index that none of `kept` needs, but `spared`. What cannot be removed now, because
/// the system refuses, is left for the next commit: it harms nobody.
pub(super) fn remove_unneeded(storage: &dyn Storage, kept: &[&Manifest], spared: Option<FileName>) {
    let needed = kept.iter().flat_map(|manifest| files(manifest));
    let needed: BTreeSet<FileName> = needed.chain(spared).collect();
    let Ok(names) = storage.list() else {
        return;
    };
    // Manifests sort first and go first: what is left of a commit is then not taken for one.
    let unneeded: BTreeSet<FileName> = names
        .iter()
        .filter_map(|name| FileName::parse(name))
        .filter(|file| !needed.contains(file))
        .collect();
    for file in unneeded {
        let _ = storage.remove(&file.to_string());
    }
}

/// Refuses to create an index where there is one, or what is left of one, and clears away what an
/// earlier creation left when it was cut off.
pub(super) fn check_vacant(storage: &dyn Storage) -> Result<()> {
    let names = storage.list()?;
    check_absent(storage, &names)?;
    for name in &names {
        match FileName::parse(name) {
            Some(FileName::Segment(_) | FileName::Deletes(..)) => {
                let expected = "a manifest beside it, or an empty directory to create an index in";
                return Err(Error::corrupt(name, "file", 0, expected, "neither"));
            }
            Some(FileName::Manifest(_) | FileName::Unfinished(..)) | None => {}
        }
    }
    remove_unneeded(storage, &[], None);
    Ok(())
}

/// Refuses to create an index where one of these names is that of a commit.
pub(super) fn check_absent(storage: &dyn Storage, names: &[String]) -> Result<()> {
    match commits(names).is_empty() {
        true => Ok(()),
        false => Err(Error::already_exists(&storage.place())),
    }
}

/// The files that `manifest` needs, itself included.
pub(super) fn files(manifest: &Manifest) -> impl Iterator<Item = FileName> + '_ {
    let segments = manifest.segments.iter().flat_map(|segment| {
        let deletes = segment.deletes.iter();
        deletes
            .map(|deletes| FileName::Deletes(segment.id, deletes.commit))
            .chain([FileName::Segment(segment.id)])
    });
    segments.chain([FileName::Manifest(manifest.commit)])
}

/// The commits whose manifests are there, newest first, whole or not.
pub(super) fn commits(names: &[String]) -> Vec<CommitId> {
    let mut commits: Vec<CommitId> = names
        .iter()
        .filter_map(|name| match FileName::parse(name) {
            Some(FileName::Manifest(commit)) => Some(commit),
            _ => None,
        })
        .collect();
    commits.sort_unstable_by(|a, b| b.cmp(a));
    commits
}

/// A number that another writer is unlikely to draw: the standard library seeds its hashers from
/// the system's randomness.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

//! A copy of one commit in another directory, made while writers write.

use std::path::Path;

use super::{
    commit::{self, Failure},
    lock,
    snapshot::Snapshot,
    work::Target,
};
use crate::{
    error::{Error, Result},
    format::{DeletesRecord, FileKind, FileName, Manifest, SegmentRecord},
    segment::LiveSegment,
    storage::Disk,
};

impl Snapshot {
    /// Copies this commit into the directory `path`, which is created where it is missing: a
    /// backup that is an index itself, with the same identity and the same commit number. It does
    /// not matter what writers do meanwhile.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`](crate::ErrorKind::AlreadyExists) when there is an index
    /// already, [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) when this one is damaged;
    /// otherwise when the file system refuses or a file cannot be read. What was copied
    /// until then is no index.
    pub fn copy_to(&self, path: impl AsRef<Path>) -> Result<()> {
        let disk = Disk::create(path)?;
        let config = self.config();
        let _lock = lock(&disk, config.lock_wait)?;
        commit::check_vacant(&disk)?;
        let state = self.state();
        let target = Target::new(&disk, config, &state.manifest);
        let mut manifest = Manifest::clone(&state.manifest);
        for (record, live) in manifest.segments.iter_mut().zip(&state.segments) {
            copy_segment(target, record, live).map_err(error_of)?;
        }
        commit::publish(&disk, config.durability, &manifest).map_err(error_of)
    }
}

fn copy_segment(
    target: Target<'_>,
    record: &mut SegmentRecord,
    live: &LiveSegment,
) -> Result<(), Failure> {
    // A backup of damage would be found out when it is needed.
    let whole = live.segment().file().verify();
    whole.map_err(Failure::Abandoned)?;
    let name = FileName::Segment(record.id).to_string();
    let written = target.storage.create(&name).and_then(|mut file| {
        file.write(live.segment().file().bytes())?;
        Ok(file)
    });
    let file = written.map_err(Failure::Abandoned)?;
    commit::finish(file, target.config.durability).map_err(Failure::Unsynced)?;
    // Written anew: the file of the original may be gone, and the set is in memory anyway.
    if let (Some(before), Some(deletes)) = (record.deletes, live.deletes()) {
        let name = FileName::Deletes(record.id, before.commit);
        let (file, ()) = target.write(name, FileKind::Deletes, record.id, |mut file| {
            deletes.write(&mut file)?;
            file.finish().map(|(file, _)| (file, ()))
        })?;
        record.deletes = Some(DeletesRecord { file, ..before });
    }
    Ok(())
}

fn error_of(failure: Failure) -> Error {
    match failure {
        Failure::Abandoned(error) | Failure::Unsynced(error) | Failure::Unknown(error) => error,
    }
}

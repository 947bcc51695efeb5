//! From files to the state of a commit: what a reader does at open, which is also all of recovery.
//!
//! The newest manifest that verifies, and whose files are there as it recorded them, is the index.
//! If that is not the newest by name, the state says so: readers answer from it, and a writer
//! asks for a repair before it builds on it. Nothing is locked, nothing is written.

use std::sync::Arc;

use super::{commit, config::Checks, state::State, verify::damage};
#[cfg(feature = "json")]
use crate::segment::RemainsView;
use crate::{
    error::{Error, ErrorKind, Result},
    format::{FileName, FileRecord, IndexId, Manifest, SegmentRecord},
    id::CommitId,
    segment::{Deletes, LiveSegment, Segment},
    storage::{FileBytes, Storage},
};

/// How often a reader starts over because a writer removed files under it. Each time two commits
/// went by while it looked, which on a busy machine, beside processes that do nothing but commit, can
/// happen many times in a row.
pub(super) const ATTEMPTS: usize = 100;

/// An index answers from an older commit than its newest, because that is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    commit: CommitId,
    reason: String,
}

impl Fallback {
    /// The newest commit, which cannot be read.
    #[must_use]
    pub fn commit(&self) -> CommitId {
        self.commit
    }

    /// Why it cannot be read.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// Loads the newest commit; segments that `known` has open already are shared with it.
pub(super) fn load(storage: &dyn Storage, checks: Checks, known: Option<&State>) -> Result<State> {
    let mut commits = commit::commits(&storage.list()?);
    for _ in 0..ATTEMPTS {
        let Some(&newest) = commits.first() else {
            // A listing is not of one moment: every name may have gone, and come, behind it.
            commits = commit::commits(&storage.list()?);
            match commits.is_empty() {
                true => return Err(absent(storage)),
                false => continue,
            }
        };
        let error = match load_commit(storage, newest, checks, known) {
            Ok(state) => return Ok(state),
            Err(error) => error,
        };
        let is_gone = matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt);
        if !is_gone {
            return Err(error);
        }
        // A writer may have committed and removed files since they were listed.
        let now = commit::commits(&storage.list()?);
        match now.split_first() {
            Some((&damaged, older)) if damaged == newest => {
                return fall_back(storage, damaged, older, checks, error);
            }
            _ => commits = now,
        }
    }
    Err(Error::io(
        "keep up with the writer of",
        storage.place(),
        std::io::ErrorKind::ResourceBusy.into(),
    ))
}

/// The newest of `older` commits that can be read, below one that cannot.
fn fall_back(
    storage: &dyn Storage,
    damaged: CommitId,
    older: &[CommitId],
    checks: Checks,
    newest: Error,
) -> Result<State> {
    if !is_unfinished(storage, damaged)? {
        return Err(newest);
    }
    for &commit in older {
        match load_commit(storage, commit, checks, None) {
            Ok(mut state) => {
                state.fallback = Some(Fallback {
                    commit: damaged,
                    reason: newest.to_string(),
                });
                return Ok(state);
            }
            Err(error) => damage(error)?,
        };
    }
    Err(newest)
}

/// Whether a commit is not whole as its files stand: the manifest does not verify, or a file is
/// missing or not the one that was recorded. Anything else is damage inside files that were
/// written whole, and an older answer would hide it.
fn is_unfinished(storage: &dyn Storage, commit: CommitId) -> Result<bool> {
    let manifest = match read_manifest(storage, commit) {
        Ok(manifest) => manifest,
        Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(true),
        Err(error) => return Err(error),
    };
    for (name, record) in manifest.segments.iter().flat_map(recorded) {
        match storage.open(&name.to_string()) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
            Err(error) => return Err(error),
            Ok(bytes) if record_of(&bytes) != record => return Ok(true),
            Ok(_) => {}
        }
    }
    Ok(false)
}

/// Loads one commit, or says what is wrong with it.
pub(super) fn load_commit(
    storage: &dyn Storage,
    commit: CommitId,
    checks: Checks,
    known: Option<&State>,
) -> Result<State> {
    let manifest = read_manifest(storage, commit)?;
    let known = known.filter(|known| known.manifest.index == manifest.index);
    let mut segments = Vec::with_capacity(manifest.segments.len());
    for record in &manifest.segments {
        let before = known.and_then(|known| known.find(record.id));
        let live = open_live(storage, manifest.index, record, before)?;
        if checks == Checks::Everything && before.is_none() {
            live.segment().verify()?;
        }
        segments.push(live);
    }
    State::new(manifest, segments)
}

/// Opens a segment with its deletes, or shares what is open already.
pub(super) fn open_live(
    storage: &dyn Storage,
    index: IndexId,
    record: &SegmentRecord,
    known: Option<(&SegmentRecord, &LiveSegment)>,
) -> Result<LiveSegment> {
    let segment = match known {
        Some((known, open)) if known.file == record.file => open.segment().clone(),
        _ => {
            let name = FileName::Segment(record.id).to_string();
            let bytes = open_recorded(storage, &name, record.file)?;
            Arc::new(Segment::open(bytes, &name, index, record.id.0)?)
        }
    };
    let deletes = match (&record.deletes, known) {
        (None, _) => None,
        (deletes, Some((known, open))) if known.deletes == *deletes => open.deletes().cloned(),
        (Some(deletes), _) => {
            let name = FileName::Deletes(record.id, deletes.commit).to_string();
            let bytes = open_recorded(storage, &name, deletes.file)?;
            let doc_count = segment.doc_count();
            let opened = Deletes::open(bytes, &name, index, record.id.0, doc_count)?;
            Some(Arc::new(opened))
        }
    };
    Ok(LiveSegment::new(segment, deletes).calibrated(record.calibration))
}

/// A damaged segment as far as it can be opened, to name what it held; never to answer from.
pub(super) fn open_damaged(
    storage: &dyn Storage,
    index: IndexId,
    record: &SegmentRecord,
) -> Option<LiveSegment> {
    let name = FileName::Segment(record.id).to_string();
    let bytes = storage.open(&name).ok()?;
    let segment = Segment::open_damaged(bytes, &name, index, record.id.0).ok()?;
    let deletes = whole_deletes(storage, index, record, segment.doc_count());
    Some(LiveSegment::new(Arc::new(segment), deletes.map(Arc::new)))
}

/// What a segment holds beside its vectors, whatever else of it is damaged, and which of it is
/// deleted, as far as that is known.
#[cfg(feature = "json")]
pub(super) fn open_remains(
    storage: &dyn Storage,
    index: IndexId,
    record: &SegmentRecord,
) -> Option<(RemainsView, Option<Deletes>)> {
    let name = FileName::Segment(record.id).to_string();
    let bytes = storage.open(&name).ok()?;
    let remains = RemainsView::open(bytes, &name, index, record.id.0).ok()?;
    let is_recorded = remains.doc_count() == record.doc_count;
    let deletes = whole_deletes(storage, index, record, remains.doc_count());
    is_recorded.then_some((remains, deletes))
}

fn whole_deletes(
    storage: &dyn Storage,
    index: IndexId,
    record: &SegmentRecord,
    doc_count: u32,
) -> Option<Deletes> {
    let deletes = record.deletes?;
    let name = FileName::Deletes(record.id, deletes.commit).to_string();
    let bytes = open_recorded(storage, &name, deletes.file).ok()?;
    Deletes::open(bytes, &name, index, record.id.0, doc_count).ok()
}

pub(super) fn read_manifest(storage: &dyn Storage, commit: CommitId) -> Result<Manifest> {
    let bytes = storage.open(&FileName::Manifest(commit).to_string())?;
    Manifest::read(bytes, commit)
}

/// The files of a segment, with what the manifest remembers of them.
pub(super) fn recorded(
    segment: &SegmentRecord,
) -> impl Iterator<Item = (FileName, FileRecord)> + use<> {
    let id = segment.id;
    let deletes = segment
        .deletes
        .map(|deletes| (FileName::Deletes(id, deletes.commit), deletes.file));
    deletes
        .into_iter()
        .chain([(FileName::Segment(id), segment.file)])
}

/// What a manifest would remember of a file.
pub(super) fn record_of(bytes: &FileBytes) -> FileRecord {
    let crc = bytes.last_chunk::<4>().copied().unwrap_or_default();
    FileRecord {
        len: bytes.len() as u64,
        crc: u32::from_le_bytes(crc),
    }
}

fn open_recorded(storage: &dyn Storage, name: &str, record: FileRecord) -> Result<FileBytes> {
    let bytes = storage.open(name)?;
    let found = record_of(&bytes);
    if found == record {
        return Ok(bytes);
    }
    let describe =
        |record: FileRecord| format!("{} bytes, checksum {:08x}", record.len, record.crc);
    Err(Error::corrupt(
        name,
        "file",
        0,
        format_args!("the file of the manifest: {}", describe(record)),
        describe(found),
    ))
}

pub(super) fn absent(storage: &dyn Storage) -> Error {
    let what = format!("an index in {}", storage.place().display());
    Error::not_found(what, "create one, or check the path")
}

//! Looks for damage, and says where it is.

use std::{collections::BTreeSet, fmt, path::Path};

use super::{Index, commit, recovery, state::State};
use crate::{
    error::{Error, ErrorKind, Result},
    format::{FileName, Manifest},
    id::{CommitId, DocId, SegmentId},
    segment::LiveSegment,
    storage::{Disk, Storage},
};

/// How thoroughly [`Index::verify`] looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verify {
    /// What opening looks at: manifests whole; of other files that they are those which the
    /// manifests recorded, and their tables. Takes milliseconds.
    Quick,
    /// Every byte against its checksum, every structure against itself and the others. Reads
    /// everything.
    Full,
}

/// Something wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file's name in the directory.
    pub file: String,
    /// The section, as `docs/format.md` names it; "file" where it is not inside one.
    pub section: String,
    /// Byte offset in the file.
    pub offset: u64,
    /// The whole story.
    pub message: String,
}

/// What [`Index::verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    damage: Vec<Damage>,
    files: usize,
    bytes: u64,
}

impl Verification {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.damage.is_empty()
    }

    /// What is wrong, at most one finding a file.
    #[must_use]
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// How many files were looked at.
    #[must_use]
    pub fn files(&self) -> usize {
        self.files
    }

    /// How many bytes they have.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn add(&mut self, file: &str, error: &Error) {
        let damage = Damage::of(file, error);
        if !self.damage.contains(&damage) {
            self.damage.push(damage);
        }
    }
}

impl Damage {
    /// What an error about `file`, or a file that it names itself, says.
    pub(super) fn of(file: &str, error: &Error) -> Damage {
        let (file, section, offset) = error.corrupt_place().unwrap_or((file, "file", 0));
        Damage {
            file: file.to_owned(),
            section: section.to_owned(),
            offset,
            message: error.to_string(),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Index {
    /// Looks for damage in the files of the newest commit and the one before. It takes no lock;
    /// what a writer removes meanwhile is looked for again.
    ///
    /// # Errors
    /// When the files cannot be listed or read. Damage is no error here but a finding.
    pub fn verify(&self, level: Verify) -> Result<Verification> {
        Index::verify_storage(&*self.core.storage, level)
    }

    /// [`Index::verify`] for an index that may be too damaged to open.
    ///
    /// # Errors
    /// As [`Index::verify`].
    pub fn verify_at(path: impl AsRef<Path>, level: Verify) -> Result<Verification> {
        Index::verify_storage(&Disk::open(path), level)
    }

    /// [`Index::verify_at`], wherever the files are.
    ///
    /// # Errors
    /// As [`Index::verify`].
    pub fn verify_storage(storage: &dyn Storage, level: Verify) -> Result<Verification> {
        let mut commits = commit::commits(&storage.list()?);
        loop {
            let found = verify_commits(storage, &commits, level)?;
            let now = commit::commits(&storage.list()?);
            if found.is_clean() || now == commits {
                return Ok(found);
            }
            commits = now;
        }
    }
}

/// Looks at commits from the newest on, up to the one before the first that is whole: older ones
/// are leftovers, some of whose files may be gone.
fn verify_commits(
    storage: &dyn Storage,
    commits: &[CommitId],
    level: Verify,
) -> Result<Verification> {
    let mut found = Verification::default();
    let mut seen = BTreeSet::new();
    let mut oldest = CommitId(0);
    for &commit in commits {
        if commit < oldest {
            break;
        }
        let name = FileName::Manifest(commit).to_string();
        found.files += 1;
        let len = storage.open(&name).map_or(0, |bytes| bytes.len() as u64);
        found.bytes = found.bytes.saturating_add(len);
        let before = found.damage.len();
        let previous = recovery::read_manifest(storage, commit).and_then(|manifest| {
            let previous = manifest.previous;
            verify_commit(storage, manifest, level, &mut seen, &mut found)?;
            Ok(previous)
        });
        match previous {
            Err(error) => found.add(&name, &damage(error)?),
            Ok(previous) if found.damage.len() == before => oldest = oldest.max(previous),
            Ok(_) => {}
        }
    }
    if commits.is_empty() {
        let name = FileName::Manifest(CommitId(0)).to_string();
        found.add(&name, &recovery::absent(storage));
    }
    Ok(found)
}

/// Damage is what is looked for; any other error, as of a device that cannot be read, says
/// nothing of it.
pub(super) fn damage(error: Error) -> Result<Error> {
    match error.kind() {
        ErrorKind::Corrupt | ErrorKind::NotFound | ErrorKind::Version => Ok(error),
        _ => Err(error),
    }
}

/// Findings go to `found`; the error is one of the commit as a whole.
pub(super) fn verify_commit(
    storage: &dyn Storage,
    manifest: Manifest,
    level: Verify,
    seen: &mut BTreeSet<FileName>,
    found: &mut Verification,
) -> Result<()> {
    let mut segments = Vec::new();
    for record in &manifest.segments {
        for (name, file) in recovery::recorded(record) {
            if seen.insert(name) {
                found.files += 1;
                found.bytes = found.bytes.saturating_add(file.len);
            }
        }
        let name = FileName::Segment(record.id);
        match recovery::open_live(storage, manifest.index, record, None) {
            Err(error) => found.add(&name.to_string(), &damage(error)?),
            Ok(live) => {
                if level == Verify::Full
                    && let Err(error) = live.segment().verify()
                {
                    found.add(&name.to_string(), &error);
                }
                segments.push(live);
            }
        }
    }
    if segments.len() < manifest.segments.len() {
        return Ok(());
    }
    let state = State::new(manifest, segments)?;
    if level == Verify::Full {
        check_unique(&state)?;
    }
    Ok(())
}

/// No key may be alive in two segments.
fn check_unique(state: &State) -> Result<()> {
    let all = &state.segments;
    for (at, live) in all.iter().enumerate() {
        for doc in live_documents(live) {
            let key = live.segment().key(doc)?;
            for (other, record) in all.iter().zip(&state.manifest.segments).skip(at + 1) {
                if other.find(key.as_bytes())?.is_some() {
                    let name = FileName::Segment(record.id).to_string();
                    let expected = format!("key `{key}` alive in one segment");
                    let found = format!("it in segment {} too", id(state, at));
                    return Err(Error::corrupt(&name, "keys", 0, expected, found));
                }
            }
        }
    }
    Ok(())
}

fn id(state: &State, at: usize) -> SegmentId {
    state.manifest.segments[at].id
}

pub(super) fn live_documents(live: &LiveSegment) -> impl Iterator<Item = DocId> + '_ {
    let docs = (0..live.segment().doc_count()).map(DocId);
    docs.filter(|doc| live.is_live(*doc))
}

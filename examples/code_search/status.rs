//! What an index holds, and whether it is whole.

use std::{collections::BTreeMap, path::Path};

use sparsely::{CommitId, Index, Verification, Verify};

use crate::{
    answer,
    encoders::PassageEncoder,
    failure::Failure,
    ledger::Ledger,
    place,
    walk::{Skip, SkipCounts},
};

#[derive(Debug, Default)]
pub(crate) struct Status {
    pub(crate) commit: CommitId,
    pub(crate) complete: bool,
    pub(crate) encoder: String,
    pub(crate) files: u64,
    pub(crate) passages: u64,
    pub(crate) source_bytes: u64,
    pub(crate) index_bytes: u64,
    pub(crate) languages: BTreeMap<String, LanguageCounts>,
    pub(crate) skipped: SkipCounts,
}

#[derive(Debug, Default)]
pub(crate) struct LanguageCounts {
    pub(crate) files: u64,
    pub(crate) passages: u64,
}

pub(crate) fn status(dir: &Path, encoder: &PassageEncoder) -> Result<Status, Failure> {
    let snapshot = answer::open(dir, Some(encoder))?;
    let ledger = Ledger::load(&snapshot).map_err(|error| error.failure(dir))?;
    let mut status = Status {
        commit: snapshot.commit_id(),
        complete: ledger.run().complete,
        encoder: encoder.as_encoder().fingerprint().to_string(),
        index_bytes: place::size(dir),
        ..Status::default()
    };
    for (reason, count) in &ledger.run().skipped {
        if let Some(reason) = Skip::from_key(reason) {
            *status.skipped.entry(reason).or_default() += count;
        }
    }
    for (_, file) in ledger.files() {
        if let Some(reason) = &file.skipped {
            if let Some(reason) = Skip::from_key(reason) {
                *status.skipped.entry(reason).or_default() += 1;
            }
            continue;
        }
        let passages = u64::try_from(file.passages.len()).unwrap_or(0);
        status.files += 1;
        status.passages += passages;
        status.source_bytes += file.size;
        let counts = status.languages.entry(file.language.clone()).or_default();
        counts.files += 1;
        counts.passages += passages;
    }
    Ok(status)
}

/// Reads every byte of the index and compares it with what was written.
pub(crate) fn verify(dir: &Path) -> Result<Verification, Failure> {
    if !place::holds_index(dir) {
        return Err(Failure::no_index(dir));
    }
    Index::verify_at(dir, Verify::Full).map_err(|error| Failure::of(&error, dir))
}

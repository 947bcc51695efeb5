//! Mistakes that somebody could make, planted to see that the tests notice them.
//!
//! This module, and every place that asks it, exists only under `--cfg sparsely_planted`, which
//! `tests/reliability.sh` sets for one build of its own.

use std::sync::{Mutex, PoisonError};

/// The mistakes.
pub const BUGS: &[&str] = &[
    "planted: segments are not synced",
    "planted: the manifest is not synced",
    "planted: the directory is not synced before the manifest",
    "planted: the directory is not synced after the manifest",
    "planted: the manifest is renamed before its sync",
    "planted: the last commit is removed before the next stands",
    "planted: the commit before the last is not kept",
    "planted: a failed sync is taken for done",
    "planted: a failed sync does not end the writer",
    "planted: an unknown outcome is called a failure",
    "planted: leftovers are adopted",
    "planted: numbers of leftovers are used again",
    "planted: no lock is taken",
    "planted: checksums are not compared",
    "planted: a torn manifest is accepted",
    "planted: postings are not compared when they are read",
    "planted: repair does not look inside segments",
    "planted: refresh stays where it is",
    "planted: an upsert forgets the older version",
    "planted: deletes are not carried into a merge",
    "planted: deletes during a granted merge are lost",
    "planted: a rollback keeps what was done",
];

static SELECTED: Mutex<Option<&str>> = Mutex::new(None);

/// Makes one of [`BUGS`] real, in the whole process, or none.
///
/// # Panics
/// When there is no such bug.
pub fn select(name: Option<&'static str>) {
    assert!(name.is_none_or(|name| BUGS.contains(&name)), "{name:?}");
    *SELECTED.lock().unwrap_or_else(PoisonError::into_inner) = name;
}

/// Whether the bug is real now.
pub(crate) fn bug(name: &str) -> bool {
    assert!(BUGS.contains(&name), "{name}");
    *SELECTED.lock().unwrap_or_else(PoisonError::into_inner) == Some(name)
}

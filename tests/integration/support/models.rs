//! The tiny models of `tests/models`, and copies of them to be changed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sparsely::SparseVector;

pub(crate) fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models")
}

/// A copy of a model directory, to be changed.
pub(crate) fn copy(name: &str) -> tempfile::TempDir {
    let target = tempfile::tempdir().unwrap();
    copy_into(&models().join(name), target.path());
    target
}

fn copy_into(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy_into(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

pub(crate) fn edit(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{} has no {from}", file.display());
    fs::write(file, text.replace(from, to)).unwrap();
}

/// The largest difference of any weight; a term in one of the two only counts with all of its.
pub(crate) fn difference(golden: &[(u32, f32)], vector: &SparseVector) -> f32 {
    let golden = SparseVector::new(golden.iter().copied()).unwrap();
    let of = |one: &SparseVector, other: &SparseVector| {
        one.iter()
            .map(|(term, weight)| (weight - other.weight(term).unwrap_or(0.0)).abs())
            .fold(0.0, f32::max)
    };
    of(&golden, vector).max(of(vector, &golden))
}

//! The directory of an index, as the program sees it before the library does.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::failure::Failure;

/// Where an index lies when nobody says otherwise.
pub(crate) const DEFAULT: &str = ".sparsely";

/// The directory named by `--index`, else the default one below `root`.
pub(crate) fn index_dir(named: Option<&Path>, root: &Path) -> PathBuf {
    named.map_or_else(|| root.join(DEFAULT), Path::to_owned)
}

/// Refuses a directory that holds something else, so that a slip (`--index src`) does no harm.
pub(crate) fn prepare(dir: &Path) -> Result<(), Failure> {
    let names: Vec<String> = match fs::read_dir(dir) {
        Ok(entries) => entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(Failure::new(
                "io",
                format!(
                    "{}: cannot read the index directory: {error}",
                    dir.display()
                ),
            ));
        }
    };
    let is_ours = |name: &String| {
        let starts = [
            "manifest-",
            "segment-",
            "deletes-",
            "writer.lock",
            ".gitignore",
        ];
        starts.iter().any(|start| name.starts_with(start))
    };
    if names.is_empty() || names.iter().any(is_ours) {
        Ok(())
    } else {
        Err(Failure::usage(format!(
            "{}: holds other files and no index; name an empty or new directory with --index DIR",
            dir.display()
        )))
    }
}

/// Whether there is anything of an index in a directory.
pub(crate) fn holds_index(dir: &Path) -> bool {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.any(|name| name.starts_with("manifest-") || name.starts_with("segment-"))
}

/// An index beside the sources should never be committed to a repository. That it could not be
/// written is no reason to stop.
pub(crate) fn hide_from_git(dir: &Path) {
    let path = dir.join(".gitignore");
    if !path.exists() {
        let _ = fs::write(path, "*\n");
    }
}

/// Bytes of all files of an index.
pub(crate) fn size(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let sizes = entries
        .filter_map(|entry| entry.metadata().ok())
        .map(|data| data.len());
    sizes.sum()
}

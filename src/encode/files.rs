//! Files that a model's own files name: bounded, and never outside of its directory.

use std::{
    fs::File,
    io::Read,
    path::{Component, Path, PathBuf},
};

use crate::error::{Error, Result};

/// Reads a file of at most `limit` bytes.
pub(crate) fn bounded(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(|source| Error::io("open", path, source))?;
    let length = file
        .metadata()
        .map_err(|source| Error::io("read", path, source))?
        .len();
    let over = |length: u64| match length > limit {
        true => Err(Error::limit(
            format!("bytes of {}", path.display()),
            limit,
            length,
        )),
        false => Ok(()),
    };
    over(length)?;
    // What grows meanwhile, or is no ordinary file, has another length than it said.
    let mut bytes = Vec::new();
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| Error::io("read", path, source))?;
    over(u64::try_from(bytes.len()).unwrap_or(u64::MAX))?;
    Ok(bytes)
}

/// The path of `name` under `root`; `name` comes out of a file and may not leave it.
pub(crate) fn inside(root: &Path, name: &str, named_by: &Path) -> Result<PathBuf> {
    let relative = Path::new(name);
    let stays = relative
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !stays || name.contains(['\\', '\0']) {
        return Err(Error::model(
            named_by.display().to_string(),
            format!("it names {name:?}, which is not inside the model directory"),
        ));
    }
    Ok(root.join(relative))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside() {
        let root = Path::new("models/a");
        let by = Path::new("modules.json");
        assert_eq!(inside(root, "", by).unwrap(), root.join(""));
        assert_eq!(
            inside(root, "1_SpladePooling", by).unwrap(),
            root.join("1_SpladePooling")
        );
        for name in ["..", "a/../../b", "/etc/passwd", "a\\b"] {
            assert!(inside(root, name, by).is_err(), "{name}");
        }
    }
}

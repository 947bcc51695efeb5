//! Reading the files of a model directory: bounded, and never outside of it.

use std::{
    fs::File,
    io::{BufReader, Read},
    path::{Component, Path, PathBuf},
};

use crate::error::{Error, Result};

/// No settings file of a model comes near this.
const SETTINGS_LIMIT: u64 = 4 << 20;

/// Reads a settings file, or `None` where there is none.
pub(crate) fn settings<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    if !path.exists() {
        return Ok(None);
    }
    let bytes = bounded(path, SETTINGS_LIMIT)?;
    serde_json::from_slice(&bytes).map(Some).map_err(|why| {
        Error::model(
            path.display().to_string(),
            format!("not as expected: {why}"),
        )
    })
}

/// Reads a file of at most `limit` bytes.
pub(crate) fn bounded(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(|source| Error::io("open", path, source))?;
    let length = file
        .metadata()
        .map_err(|source| Error::io("read", path, source))?
        .len();
    if length > limit {
        return Err(Error::limit(
            format!("bytes of {}", path.display()),
            limit,
            length,
        ));
    }
    let mut bytes = Vec::new();
    file.take(limit)
        .read_to_end(&mut bytes)
        .map_err(|source| Error::io("read", path, source))?;
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

/// Length and CRC-32 of files, gathered into what identifies a model.
#[derive(Debug, Default)]
pub(crate) struct Digest(Vec<u8>);

impl Digest {
    /// Adds the content of `path`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn file(&mut self, path: &Path) -> Result<()> {
        let file = File::open(path).map_err(|source| Error::io("open", path, source))?;
        let mut reader = BufReader::new(file);
        let mut checksum = crc32fast::Hasher::new();
        let mut buffer = vec![0; 1 << 18];
        let mut length = 0_u64;
        loop {
            let read = reader
                .read(&mut buffer)
                .map_err(|source| Error::io("read", path, source))?;
            if read == 0 {
                break;
            }
            checksum.update(&buffer[..read]);
            length += u64::try_from(read).unwrap_or(0);
        }
        self.0.extend(length.to_le_bytes());
        self.0.extend(checksum.finalize().to_le_bytes());
        Ok(())
    }

    /// Adds a setting, in words.
    pub(crate) fn setting(&mut self, words: &str) {
        self.0.extend(words.as_bytes());
        self.0.push(0);
    }

    /// What was gathered.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
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

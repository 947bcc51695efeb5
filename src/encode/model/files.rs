//! Settings of a model directory, and what identifies it.

use std::{
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

use crate::{
    encode::files::bounded,
    error::{Error, Result},
};

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

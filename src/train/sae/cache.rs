//! Hidden states in a file: a pass of the backbone writes them once, trainings read them often.
//!
//! The layout, little-endian: 64 bytes of header (magic `SPLYHIDN`, version, bytes of a number, width
//! of a row, a zero, then as 64-bit integers the counts of texts and tokens and a digest of the
//! backbone; zeros), a row of `width` numbers per token, text after text, and for each text the
//! number of tokens up to its end, as a 64-bit integer. Rows are halves or singles. The file is mapped, so its
//! size is bounded by the disk, and what a training holds of it is what the operating system likes.

use std::{
    fs::File,
    io::{BufWriter, Seek, Write},
    path::{Path, PathBuf},
};

use super::half;
use crate::{
    error::{Error, Result},
    storage::{Disk, FileBytes, Storage},
};

const MAGIC: &[u8; 8] = b"SPLYHIDN";
const VERSION: u32 = 1;
const HEADER_LEN: usize = 64;
/// Wider rows are no hidden states.
const WIDTH_MAX: usize = 1 << 16;

/// How a number of the cache is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// IEEE 754 halves: half the disk; what a layer's norm leaves fits them.
    Half,
    /// IEEE 754 singles.
    Single,
}

impl Precision {
    fn bytes(self) -> usize {
        match self {
            Precision::Half => 2,
            Precision::Single => 4,
        }
    }
}

/// Hidden states of texts, mapped from a file.
#[derive(Clone, Debug)]
pub struct HiddenCache {
    file: String,
    bytes: FileBytes,
    precision: Precision,
    width: usize,
    ends: Vec<usize>,
    digest: u64,
}

impl HiddenCache {
    /// Maps `path`, which a [`HiddenWriter`] finished.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when there is no file, and
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) when it is no cache or not a whole one.
    pub fn open(path: impl AsRef<Path>) -> Result<HiddenCache> {
        let path = path.as_ref();
        let file = path.display().to_string();
        let folder = path.parent().unwrap_or(Path::new(""));
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| Error::model(&file, "its name is no text"))?;
        let bytes = Disk::open(folder).open(name)?;
        let refuse = |why: String| Error::model(&file, why);
        let header: &[u8; HEADER_LEN] = bytes
            .first_chunk()
            .filter(|header| header.starts_with(MAGIC))
            .ok_or_else(|| refuse("it is no cache of hidden states, or not a finished one: encode the texts again".to_owned()))?;
        let word = |at: usize| {
            u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        if word(8) != VERSION {
            return Err(refuse(format!(
                "version {}, but this library reads {VERSION}: encode the texts again",
                word(8)
            )));
        }
        let precision = match word(12) {
            2 => Precision::Half,
            4 => Precision::Single,
            other => {
                return Err(refuse(format!(
                    "numbers of {other} bytes; 2 and 4 are read"
                )));
            }
        };
        let width = usize::try_from(word(16)).unwrap_or(usize::MAX);
        if width == 0 || width > WIDTH_MAX {
            return Err(refuse(format!(
                "rows of {width} numbers; 1 to {WIDTH_MAX} are read"
            )));
        }
        let sizes = || {
            let texts = usize::try_from(long(24)).ok()?;
            let tokens = usize::try_from(long(32)).ok()?;
            let rows = tokens.checked_mul(width * precision.bytes())?;
            let whole = texts.checked_mul(8)?.checked_add(rows)?;
            (whole.checked_add(HEADER_LEN)? == bytes.len()).then_some((tokens, HEADER_LEN + rows))
        };
        let Some((tokens, at)) = sizes() else {
            return Err(refuse(format!(
                "its header promises {} texts of {} tokens, which its {} bytes do not hold: it was cut off",
                long(24),
                long(32),
                bytes.len()
            )));
        };
        let mut ends = Vec::with_capacity((bytes.len() - at) / 8);
        for chunk in bytes[at..].as_chunks::<8>().0 {
            let end = usize::try_from(u64::from_le_bytes(*chunk)).unwrap_or(usize::MAX);
            if end < ends.last().copied().unwrap_or(0) || end > tokens {
                return Err(refuse(format!(
                    "text {} ends at token {end} of {tokens}",
                    ends.len()
                )));
            }
            ends.push(end);
        }
        if ends.last().copied().unwrap_or(0) != tokens {
            return Err(refuse("tokens that belong to no text".to_owned()));
        }
        Ok(HiddenCache {
            file,
            bytes: bytes.clone(),
            precision,
            width,
            ends,
            digest: long(40),
        })
    }

    /// Numbers of a row.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Texts.
    #[must_use]
    pub fn texts(&self) -> usize {
        self.ends.len()
    }

    /// Tokens of all texts.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// What the writer was told of the backbone, to tell caches of different ones apart.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// The tokens of text `text`, as row numbers.
    ///
    /// # Panics
    /// When there is no such text.
    #[must_use]
    pub fn text(&self, text: usize) -> std::ops::Range<usize> {
        let start = text.checked_sub(1).map_or(0, |before| self.ends[before]);
        start..self.ends[text]
    }

    /// Reads the rows from `first` on into `out`, as many as it takes.
    ///
    /// # Errors
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) when a number is NaN or infinite.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn read(&self, first: usize, out: &mut [f32]) -> Result<()> {
        let size = self.precision.bytes();
        let start = HEADER_LEN + first * self.width * size;
        let last = first + out.len() / self.width;
        assert!(
            last <= self.tokens(),
            "rows up to {last} of {}",
            self.tokens()
        );
        let bytes = &self.bytes[start..start + out.len() * size];
        match self.precision {
            Precision::Half => {
                for (value, pair) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
                    *value = half::widen(u16::from_le_bytes(*pair));
                }
            }
            Precision::Single => {
                for (value, four) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
                    *value = f32::from_le_bytes(*four);
                }
            }
        }
        if out.iter().fold(true, |all, value| all & value.is_finite()) {
            return Ok(());
        }
        let bad = out.iter().position(|value| !value.is_finite()).unwrap_or(0);
        Err(Error::model(
            &self.file,
            format!(
                "a hidden state of token {} is NaN or infinite: the backbone overflows in the precision it was run or stored in",
                first + bad / self.width
            ),
        ))
    }
}

/// Writes a cache, text after text. Nothing stands under the path until [`HiddenWriter::finish`].
#[derive(Debug)]
pub struct HiddenWriter {
    out: BufWriter<File>,
    path: PathBuf,
    partial: PathBuf,
    precision: Precision,
    width: usize,
    digest: u64,
    ends: Vec<u64>,
    row: Vec<u8>,
    bytes_most: u64,
}

impl HiddenWriter {
    /// Begins a cache at `path` of rows of `width` numbers and at most `bytes_most` bytes.
    /// `digest` says which backbone they come from.
    ///
    /// # Errors
    /// When the file system refuses, or `width` is 0 or over 65,536.
    pub fn create(
        path: impl AsRef<Path>,
        width: usize,
        precision: Precision,
        digest: u64,
        bytes_most: u64,
    ) -> Result<HiddenWriter> {
        if width == 0 || width > WIDTH_MAX {
            return Err(Error::invalid(
                "width of hidden states",
                format!("1 to {WIDTH_MAX}"),
                width.to_string(),
            ));
        }
        let path = path.as_ref().to_owned();
        let mut partial = path.clone().into_os_string();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let file = File::create(&partial).map_err(|error| Error::io("create", &partial, error))?;
        let mut out = BufWriter::with_capacity(1 << 18, file);
        out.write_all(&[0; HEADER_LEN])
            .map_err(|error| Error::io("write", &partial, error))?;
        Ok(HiddenWriter {
            out,
            path,
            partial,
            precision,
            width,
            digest,
            ends: Vec::new(),
            row: Vec::new(),
            bytes_most,
        })
    }

    /// Adds a text: the hidden states of its tokens, one after the other.
    ///
    /// # Errors
    /// When they are not whole rows or not finite, the bytes that were granted are used up
    /// ([`ErrorKind::Limit`](crate::ErrorKind::Limit)), or the device fails.
    pub fn add(&mut self, hidden: &[f32]) -> Result<()> {
        if !hidden.len().is_multiple_of(self.width) {
            return Err(Error::invalid(
                "hidden states of a text",
                format!("a multiple of {}", self.width),
                hidden.len().to_string(),
            ));
        }
        let largest = match self.precision {
            Precision::Half => half::MAX,
            Precision::Single => f32::MAX,
        };
        // NaN fails the comparison too.
        if !hidden.iter().all(|value| value.abs() <= largest) {
            return Err(Error::invalid(
                "hidden states of a text",
                format!("numbers of at most {largest}"),
                "larger ones or NaN; store singles, or look at the backbone",
            ));
        }
        let tokens = self.ends.last().copied().unwrap_or(0) + (hidden.len() / self.width) as u64;
        let bytes = tokens * (self.width * self.precision.bytes()) as u64
            + (self.ends.len() as u64 + 9) * 8;
        if bytes > self.bytes_most {
            return Err(Error::limit(
                "bytes of the cache of hidden states (grant more, or take fewer texts)",
                self.bytes_most,
                bytes,
            ));
        }
        self.row.clear();
        match self.precision {
            Precision::Half => self.row.extend(
                hidden
                    .iter()
                    .flat_map(|value| half::narrow(*value).to_le_bytes()),
            ),
            Precision::Single => self
                .row
                .extend(hidden.iter().flat_map(|value| value.to_le_bytes())),
        }
        self.out
            .write_all(&self.row)
            .map_err(|error| Error::io("write", &self.partial, error))?;
        self.ends.push(tokens);
        Ok(())
    }

    /// Writes what is missing and puts the file where it belongs.
    ///
    /// # Errors
    /// When the device fails.
    pub fn finish(mut self) -> Result<()> {
        let tokens = self.ends.last().copied().unwrap_or(0);
        let mut header = MAGIC.to_vec();
        let words = [
            VERSION,
            if self.precision == Precision::Half {
                2
            } else {
                4
            },
            u32::try_from(self.width).unwrap_or(0),
            0,
        ];
        header.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        header.extend(
            [self.ends.len() as u64, tokens, self.digest]
                .iter()
                .flat_map(|number| number.to_le_bytes()),
        );
        let mut write = || -> std::io::Result<()> {
            for end in &self.ends {
                self.out.write_all(&end.to_le_bytes())?;
            }
            self.out.rewind()?;
            self.out.write_all(&header)?;
            self.out.flush()?;
            self.out.get_ref().sync_all()
        };
        write().map_err(|error| Error::io("write", &self.partial, error))?;
        std::fs::rename(&self.partial, &self.path)
            .map_err(|error| Error::io("rename to", &self.path, error))
    }
}

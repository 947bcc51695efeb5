//! Tensors in files: safetensors, and numpy's `.npz` and `.npy`.
//!
//! The numbers stay where the file is mapped; a reader asks for ranges of them as 32-bit floats,
//! whatever they are stored as. Headers are checked when a file is opened, so a range inside a
//! tensor's shape is inside its file. Pickles are programs and are refused by name.

#[cfg(feature = "sae")]
mod npy;
mod safetensors;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(feature = "sae")]
mod write;

use std::{collections::BTreeMap, ops::Range, path::Path};

#[cfg(feature = "sae")]
pub(crate) use self::write::{Content, write_safetensors};
use crate::{
    error::{Error, Result},
    storage::{Disk, FileBytes, Storage},
};

/// The tensors of one file.
#[derive(Clone, Debug)]
pub(crate) struct Tensors {
    file: String,
    tensors: BTreeMap<String, Tensor>,
}

/// Numbers with a shape, row after row, inside a mapped file.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    /// File and name, for messages.
    place: String,
    bytes: FileBytes,
    range: Range<usize>,
    precision: Precision,
    shape: Vec<usize>,
}

/// How numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precision {
    /// IEEE 754 single.
    F32,
    /// IEEE 754 half.
    F16,
    /// The upper half of a single.
    Bf16,
}

/// Ends of names whose content is a Python pickle.
const PICKLES: &[&str] = &["pt", "pth", "bin", "pkl", "pickle", "ckpt"];

impl Tensors {
    /// Maps `path` and reads its header.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when there is no such file, and
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) when it is damaged or of another kind.
    pub(crate) fn open(path: &Path) -> Result<Tensors> {
        let file = path.display().to_string();
        let end = path.extension().and_then(|end| end.to_str()).unwrap_or("");
        let end = end.to_lowercase();
        let folder = path.parent().unwrap_or(Path::new(""));
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| Error::model(&file, "its name is no text"))?;
        if PICKLES.contains(&end.as_str()) {
            return Err(pickle(&file));
        }
        let bytes = Disk::open(folder).open(name)?;
        // What protocols 2 to 5 of Python's pickle begin with.
        if bytes.first() == Some(&0x80)
            && matches!(bytes.get(1), Some(2..=5))
            && end != "safetensors"
        {
            return Err(pickle(&file));
        }
        let refuse = |why: String| Error::model(&file, why);
        let tensors = match end.as_str() {
            "safetensors" => safetensors::read(&file, &bytes).map_err(refuse)?,
            #[cfg(feature = "sae")]
            "npz" => npy::read_archive(&file, &bytes).map_err(|why| match why {
                npy::Refusal::Pickle => pickle(&file),
                npy::Refusal::Damage(why) => refuse(why),
            })?,
            #[cfg(feature = "sae")]
            "npy" => {
                let tensor = npy::read_array(&file, "array", &bytes, 0..bytes.len());
                BTreeMap::from([("array".to_owned(), tensor.map_err(refuse)?)])
            }
            _ => {
                return Err(refuse(
                    "weights are read from .safetensors, .npz and .npy".to_owned(),
                ));
            }
        };
        Ok(Tensors { file, tensors })
    }

    /// The tensor `name`.
    ///
    /// # Errors
    /// As [`Tensors::first`].
    #[cfg(any(feature = "sae", feature = "native", test))]
    pub(crate) fn get(&self, name: &str) -> Result<&Tensor> {
        self.first(&[name])
    }

    /// The tensor of the first of `names` there is.
    ///
    /// # Errors
    /// When there is none; the message lists those there are.
    pub(crate) fn first(&self, names: &[&str]) -> Result<&Tensor> {
        let found = names.iter().find_map(|name| self.tensors.get(*name));
        found.ok_or_else(|| {
            let has: Vec<_> = self.tensors.keys().take(16).map(String::as_str).collect();
            Error::model(
                &self.file,
                format!(
                    "expected a tensor {:?}, found {}",
                    names[0],
                    if has.is_empty() {
                        "none".to_owned()
                    } else {
                        has.join(", ")
                    }
                ),
            )
        })
    }

    /// The tensor `name`, where there is one.
    #[cfg(any(feature = "sae", feature = "native", test))]
    pub(crate) fn find(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }
}

impl Tensor {
    /// Sizes, outermost first.
    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How many numbers there are.
    pub(crate) fn len(&self) -> usize {
        self.range.len() / self.precision.size()
    }

    /// The numbers as they are stored.
    #[cfg(feature = "sae")]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[self.range.clone()]
    }

    /// File and name, for messages.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// Reads the numbers from `start` on into `out`.
    ///
    /// # Panics
    /// When they are not inside the tensor.
    pub(crate) fn read(&self, start: usize, out: &mut [f32]) {
        let size = self.precision.size();
        assert!(
            start <= self.len() && out.len() <= self.len() - start,
            "{} numbers from {start} on, of {}",
            out.len(),
            self.len()
        );
        let first = self.range.start + start * size;
        self.precision
            .widen(&self.bytes[first..first + out.len() * size], out);
    }

    /// All numbers.
    pub(crate) fn values(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.len()];
        self.read(0, &mut values);
        values
    }

    /// All numbers where they are, if they are single floats that this machine can read in place.
    #[cfg(any(feature = "sae", feature = "native", test))]
    pub(crate) fn in_place(&self) -> Option<&[f32]> {
        let bytes = &self.bytes[self.range.clone()];
        if self.precision != Precision::F32 || cfg!(target_endian = "big") {
            return None;
        }
        bytemuck::try_cast_slice(bytes).ok()
    }

    /// Finds the first number that is NaN or infinite.
    ///
    /// # Errors
    /// With its place.
    #[cfg(any(feature = "sae", feature = "native", test))]
    pub(crate) fn check_finite(&self) -> Result<()> {
        let mut block = vec![0.0; 1 << 14];
        for start in (0..self.len()).step_by(block.len()) {
            let count = block.len().min(self.len() - start);
            let block = &mut block[..count];
            self.read(start, block);
            // No early exit inside the block, so that it becomes vector code.
            let bad = block
                .iter()
                .fold(false, |bad, value| bad | !value.is_finite());
            if bad {
                let at = block.iter().position(|value| !value.is_finite());
                let at = start + at.unwrap_or(0);
                return Err(Error::model(
                    &self.place,
                    format!("number {at} is NaN or infinite: the weights are damaged"),
                ));
            }
        }
        Ok(())
    }
}

impl Precision {
    /// Bytes of a number.
    pub(crate) fn size(self) -> usize {
        match self {
            Precision::F32 => 4,
            Precision::F16 | Precision::Bf16 => 2,
        }
    }

    /// Widens as many numbers as `out` takes; `bytes` are exactly those.
    fn widen(self, bytes: &[u8], out: &mut [f32]) {
        match self {
            Precision::F32 => each(bytes, out, f32::from_le_bytes),
            Precision::Bf16 => each(bytes, out, |[low, high]| {
                f32::from_le_bytes([0, 0, low, high])
            }),
            Precision::F16 => each(bytes, out, |bytes| half(u16::from_le_bytes(bytes))),
        }
    }
}

fn each<const N: usize>(bytes: &[u8], out: &mut [f32], number: impl Fn([u8; N]) -> f32) {
    let (chunks, _) = bytes.as_chunks::<N>();
    for (value, chunk) in out.iter_mut().zip(chunks) {
        *value = number(*chunk);
    }
}

/// IEEE 754 half precision, without a branch, so that a loop of it becomes vector code: the bits are
/// moved to where a single has them, and a multiplication by 2^112 corrects the exponent, of
/// subnormals too.
fn half(bits: u16) -> f32 {
    const REBIAS: f32 = f32::from_bits((127 + 112) << 23);
    let value = f32::from_bits(u32::from(bits & 0x7fff) << 13) * REBIAS;
    // At 2^16 and above only infinities and NaN are left, whose exponent is all ones.
    let special = u32::from(value >= 65_536.0) * 0x7f80_0000;
    f32::from_bits(value.to_bits() | special | u32::from(bits & 0x8000) << 16)
}

#[cold]
fn pickle(file: &str) -> Error {
    Error::unsupported(
        format!("{file}: a pickle, which is a program rather than data; reading it"),
        "convert it where PyTorch is at hand: python scripts/convert_autoencoder.py FILE OUT.safetensors (docs/sae.md)",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_widen_exactly() {
        // By the definition, in doubles.
        let meaning = |bits: u16| {
            let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
            let fraction = f64::from(bits & 0x3ff);
            match i32::from(bits >> 10 & 0x1f) {
                0 => sign * fraction * 2.0_f64.powi(-24),
                31 if fraction == 0.0 => sign * f64::INFINITY,
                31 => f64::NAN,
                exponent => sign * (1.0 + fraction / 1024.0) * 2.0_f64.powi(exponent - 15),
            }
        };
        for bits in 0..=u16::MAX {
            let (got, want) = (f64::from(half(bits)), meaning(bits));
            assert!(
                got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan(),
                "{bits:04x}: {got} {want}"
            );
        }
    }

    #[test]
    fn pickles_are_refused_with_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in [
            ("a.pt", &b"PK\x03\x04"[..]),
            ("pytorch_model.bin", b"\x80\x02}q\x00."),
            ("b.npz", b"\x80\x04\x95"),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let error = Tensors::open(&path).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Unsupported);
            assert!(
                error.to_string().contains("convert_autoencoder.py"),
                "{error}"
            );
        }
        let path = folder.path().join("weights.h5");
        std::fs::write(&path, b"x").unwrap();
        assert!(
            Tensors::open(&path)
                .unwrap_err()
                .to_string()
                .contains(".npz")
        );
    }
}

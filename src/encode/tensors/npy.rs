//! numpy's arrays: `.npy`, and `.npz`, which is a zip of those.
//!
//! An array that the zip merely stores is read where it is mapped. One that it deflated is inflated
//! when the file is opened, after its announced size was held against what deflate can reach.

use std::{collections::BTreeMap, ops::Range};

use rawzip::{CompressionMethod, ZipArchive};

use super::{Precision, Tensor};
use crate::storage::FileBytes;

/// Arrays of an archive; a suite has five.
const ARRAYS_MAX: usize = 4096;

/// Inflated bytes of an archive: larger weights are to be stored, so that they are mapped.
const INFLATED_MAX: u64 = 4 << 30;

/// Deflate makes at most 1032 bytes of one.
const DEFLATE_RATIO: u64 = 1032;

/// The longest header of an array that is read; numpy's are 128 bytes.
const HEADER_MAX: usize = 1 << 16;

/// Why an archive is not read.
pub(super) enum Refusal {
    Pickle,
    Damage(String),
}

impl From<String> for Refusal {
    fn from(why: String) -> Refusal {
        Refusal::Damage(why)
    }
}

pub(super) fn read_archive(
    file: &str,
    bytes: &FileBytes,
) -> Result<BTreeMap<String, Tensor>, Refusal> {
    let damage = |why: rawzip::Error| format!("it is cut off or damaged: as a zip archive: {why}");
    let archive = ZipArchive::from_slice(&**bytes).map_err(damage)?;
    let mut tensors = BTreeMap::new();
    let mut inflated = 0_u64;
    let mut entries = archive.entries();
    while let Some(entry) = entries.next_entry().map_err(damage)? {
        let path = entry.file_path();
        let name = String::from_utf8_lossy(path.as_ref()).into_owned();
        if name.ends_with("data.pkl") {
            return Err(Refusal::Pickle);
        }
        let Some(name) = name.strip_suffix(".npy") else {
            continue;
        };
        if tensors.len() == ARRAYS_MAX {
            return Err(format!("it has more than {ARRAYS_MAX} arrays").into());
        }
        let local = archive.get_entry(entry.wayfinder()).map_err(damage)?;
        let (packed, size) = (local.data(), local.claim_verifier().uncompressed_size);
        let tensor = match entry.compression_method() {
            CompressionMethod::STORE => {
                if u64::try_from(packed.len()) != Ok(size) {
                    return Err(format!("array {name:?} has two different sizes").into());
                }
                let (start, end) = local.compressed_data_range();
                let place = |at: u64| usize::try_from(at).ok().filter(|at| *at <= bytes.len());
                let range = place(start)
                    .zip(place(end))
                    .filter(|(start, end)| start <= end);
                let (start, end) =
                    range.ok_or_else(|| format!("array {name:?} ends behind the file"))?;
                read_array(file, name, bytes, start..end)?
            }
            CompressionMethod::DEFLATE => {
                inflated = inflated.saturating_add(size);
                let possible = u64::try_from(packed.len()).unwrap_or(u64::MAX);
                if size > possible.saturating_mul(DEFLATE_RATIO) {
                    return Err(format!(
                        "array {name:?} is said to inflate from {possible} to {size} bytes, which deflate cannot"
                    )
                    .into());
                }
                if inflated > INFLATED_MAX {
                    return Err(format!(
                        "its compressed arrays are more than {INFLATED_MAX} bytes: save it with numpy.savez, and they are mapped instead"
                    )
                    .into());
                }
                let whole = inflate(name, packed, size, local.claim_verifier().crc)?;
                let len = whole.len();
                read_array(file, name, &FileBytes::new(whole), 0..len)?
            }
            other => {
                return Err(format!(
                    "array {name:?} is compressed in a way that is not read ({other:?}): save it with numpy.savez"
                )
                .into());
            }
        };
        tensors.insert(name.to_owned(), tensor);
    }
    Ok(tensors)
}

fn inflate(name: &str, packed: &[u8], size: u64, checksum: u32) -> Result<Vec<u8>, String> {
    let damaged = || format!("array {name:?} is damaged: it does not inflate to what it should");
    let size = usize::try_from(size).map_err(|_| damaged())?;
    let mut out = Vec::new();
    out.try_reserve_exact(size)
        .map_err(|why| format!("array {name:?} does not fit into memory: {why}"))?;
    out.resize(size, 0);
    let parts = std::iter::once(packed);
    let written =
        miniz_oxide::inflate::decompress_slice_iter_to_slice(&mut out, parts, false, false)
            .map_err(|_| damaged())?;
    if written != size || crc32fast::hash(&out) != checksum {
        return Err(damaged());
    }
    Ok(out)
}

/// Reads the array in `range` of `bytes`.
pub(super) fn read_array(
    file: &str,
    name: &str,
    bytes: &FileBytes,
    range: Range<usize>,
) -> Result<Tensor, String> {
    let array = bytes.get(range.clone()).unwrap_or_default();
    let refuse = |why: &str| format!("array {name:?}: {why}");
    let short = || refuse("it is cut off");
    let rest = array
        .strip_prefix(b"\x93NUMPY")
        .ok_or_else(|| refuse("it does not begin like an array of numpy"))?;
    let (version, rest) = rest.split_first_chunk::<2>().ok_or_else(short)?;
    let (length, rest) = match version[0] {
        1 => {
            let (length, rest) = rest.split_first_chunk::<2>().ok_or_else(short)?;
            (usize::from(u16::from_le_bytes(*length)), rest)
        }
        2 | 3 => {
            let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
            let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| short())?;
            (length, rest)
        }
        other => {
            return Err(refuse(&format!(
                "version {other} of the format is not read"
            )));
        }
    };
    if length > HEADER_MAX {
        return Err(refuse("its header is absurdly long"));
    }
    let (header, data) = rest.split_at_checked(length).ok_or_else(short)?;
    let header = std::str::from_utf8(header).map_err(|_| refuse("its header is no text"))?;
    let (precision, shape) = describe(header).map_err(|why| refuse(&why))?;
    if bytes_of(&shape, precision) != Some(data.len()) {
        return Err(refuse(&format!(
            "it has {} bytes of numbers, which the shape {shape:?} does not",
            data.len()
        )));
    }
    Ok(Tensor {
        place: format!("{file}: array {name:?}"),
        bytes: bytes.clone(),
        range: range.end - data.len()..range.end,
        precision,
        shape,
    })
}

/// Reads `{'descr': '<f4', 'fortran_order': False, 'shape': (2304, 16384), }`.
fn describe(header: &str) -> Result<(Precision, Vec<usize>), String> {
    let value = |key: &str| {
        let (_, rest) = header.split_once(&format!("'{key}':"))?;
        Some(rest.trim_start())
    };
    let missing = |key: &str| format!("its header does not say {key}");
    let descr = value("descr").ok_or_else(|| missing("descr"))?;
    let kind = descr.split('\'').nth(1).unwrap_or(descr);
    let precision = match kind {
        "<f4" => Precision::F32,
        "<f2" => Precision::F16,
        _ => {
            return Err(format!(
                "it holds {kind:?}, expected '<f4' or '<f2': save it with .astype(numpy.float32)"
            ));
        }
    };
    let shape = value("shape").ok_or_else(|| missing("shape"))?;
    let inner = shape
        .strip_prefix('(')
        .and_then(|shape| shape.split_once(')'))
        .ok_or_else(|| missing("shape"))?;
    let sizes = inner
        .0
        .split(',')
        .map(str::trim)
        .filter(|size| !size.is_empty());
    let shape = sizes
        .map(str::parse::<usize>)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|why| format!("its shape is damaged: {why}"))?;
    let fortran = value("fortran_order").is_some_and(|order| order.starts_with("True"));
    if fortran && shape.len() > 1 {
        return Err(
            "its columns come first (fortran_order): save it with numpy.ascontiguousarray"
                .to_owned(),
        );
    }
    Ok((precision, shape))
}

/// What a tensor's numbers take, if that is a number at all.
fn bytes_of(shape: &[usize], precision: Precision) -> Option<usize> {
    shape
        .iter()
        .try_fold(precision.size(), |bytes, size| bytes.checked_mul(*size))
}

#[cfg(test)]
mod tests {
    use rawzip::ZipArchiveWriter;

    use super::super::Tensors;
    use crate::Result;

    fn array(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    fn archive(name: &str, content: &[u8], deflates: bool) -> Vec<u8> {
        use std::io::Write;
        let mut bytes = Vec::new();
        let mut zip = ZipArchiveWriter::new(&mut bytes);
        let packed = miniz_oxide::deflate::compress_to_vec(content, 6);
        let method = if deflates {
            rawzip::CompressionMethod::DEFLATE
        } else {
            rawzip::CompressionMethod::STORE
        };
        let (mut entry, config) = zip
            .new_file(name)
            .compression_method(method)
            .start()
            .unwrap();
        let mut data = config.wrap(std::io::sink());
        data.write_all(content).unwrap();
        let (_, descriptor) = data.finish().unwrap();
        entry
            .write_all(if deflates { &packed } else { content })
            .unwrap();
        entry.finish(descriptor).unwrap();
        zip.finish().unwrap();
        bytes
    }

    fn open(end: &str, bytes: &[u8]) -> Result<Tensors> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(format!("a.{end}"));
        std::fs::write(&path, bytes).unwrap();
        Tensors::open(&path)
    }

    const HEADER: &str = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }\n";

    fn data() -> Vec<u8> {
        [1.0_f32, 2.0, 3.0, -4.5].map(f32::to_le_bytes).concat()
    }

    #[test]
    fn stored_and_deflated_arrays_are_read() {
        let array = array(HEADER, &data());
        for deflates in [false, true] {
            let tensors = open("npz", &archive("W_enc.npy", &array, deflates)).unwrap();
            let tensor = tensors.get("W_enc").unwrap();
            assert_eq!(
                (tensor.shape(), tensor.values()),
                (&[2, 2][..], vec![1.0, 2.0, 3.0, -4.5])
            );
        }
        let tensors = open("npy", &array).unwrap();
        assert_eq!(tensors.get("array").unwrap().len(), 4);
    }

    #[test]
    fn damage_is_named() {
        let good = array(HEADER, &data());
        for cut in 0..good.len() {
            assert!(open("npy", &good[..cut]).is_err(), "cut at {cut}");
        }
        for deflates in [false, true] {
            let good = archive("a.npy", &good, deflates);
            for cut in 0..good.len() {
                assert!(open("npz", &good[..cut]).is_err(), "cut at {cut}");
            }
            for at in 0..good.len() {
                for byte in [0, 1, 0x7f, 0xff] {
                    let mut damaged = good.clone();
                    damaged[at] = byte;
                    let _ = open("npz", &damaged);
                }
            }
        }
        for (from, to) in [
            ("(2, 2)", "(4611686018427387904, 4)"),
            ("(2, 2)", "(2, 3)"),
            ("(2, 2)", "(2, -2)"),
            ("<f4", "<f8"),
            ("<f4", "|O"),
            ("False", "True"),
        ] {
            let error = open("npy", &array(&HEADER.replace(from, to), &data())).unwrap_err();
            assert!(error.to_string().contains("array"), "{error}");
        }
    }

    #[test]
    fn a_renamed_pickle_is_seen() {
        let error = open("npz", &archive("archive/data.pkl", b"x", false)).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Unsupported);
    }
}

//! safetensors: eight bytes of length, a JSON header, raw numbers.
//!
//! The crate of that name checks the header: its length, that shapes and offsets agree, and that
//! tensors neither overlap nor leave gaps nor end behind the file.

use std::collections::BTreeMap;

use safetensors::{Dtype, SafeTensors};

use super::{Precision, Tensor};
use crate::storage::FileBytes;

/// What the length of the header takes.
const PREFIX: usize = 8;

pub(super) fn read(file: &str, bytes: &FileBytes) -> Result<BTreeMap<String, Tensor>, String> {
    let (header, metadata) = SafeTensors::read_metadata(bytes)
        .map_err(|why| format!("it is cut off or damaged: its safetensors header: {why}"))?;
    let data = PREFIX + header;
    let mut tensors = BTreeMap::new();
    for (name, info) in metadata.tensors() {
        let precision = match info.dtype {
            Dtype::F32 => Precision::F32,
            Dtype::F16 => Precision::F16,
            Dtype::BF16 => Precision::Bf16,
            // Counters of a training run lie beside weights; who asks for one finds it missing.
            _ => continue,
        };
        let (start, end) = info.data_offsets;
        let tensor = Tensor {
            place: format!("{file}: tensor {name:?}"),
            bytes: bytes.clone(),
            range: data + start..data + end,
            precision,
            shape: info.shape.clone(),
        };
        tensors.insert(name, tensor);
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests {
    use super::super::{Tensors, testing::safetensors as file};
    use crate::ErrorKind;

    fn open(bytes: &[u8]) -> crate::Result<Tensors> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        std::fs::write(&path, bytes).unwrap();
        Tensors::open(&path)
    }

    #[test]
    fn every_precision_is_read() {
        let data = [
            &1.5_f32.to_le_bytes()[..],
            &0.25_f32.to_le_bytes(),
            &0x3e00_u16.to_le_bytes(),
            &0x3400_u16.to_le_bytes(),
            &0x3fc0_u16.to_le_bytes(),
            &0x3e80_u16.to_le_bytes(),
        ]
        .concat();
        // Two spaces, so that the numbers stand at an odd place.
        let header = r#"{"__metadata__":{"by":"a test"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
            "b":{"dtype":"F16","shape":[1,2],"data_offsets":[8,12]},"c":{"dtype":"BF16","shape":[2,1],"data_offsets":[12,16]} }"#;
        let tensors = open(&file(header, &data)).unwrap();
        for (name, shape) in [("a", vec![2]), ("b", vec![1, 2]), ("c", vec![2, 1])] {
            let tensor = tensors.get(name).unwrap();
            assert_eq!(tensor.values(), [1.5, 0.25], "{name}");
            assert_eq!(tensor.shape(), shape);
            let mut one = [0.0];
            tensor.read(1, &mut one);
            assert_eq!(one, [0.25]);
        }
        let error = tensors.get("weight").unwrap_err();
        assert!(error.to_string().contains("found a, b, c"), "{error}");
    }

    #[test]
    fn damage_is_named() {
        let header = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}"#;
        let good = file(header, &[0; 12]);
        open(&good).unwrap();
        for cut in 0..good.len() {
            assert_eq!(
                open(&good[..cut]).unwrap_err().kind(),
                ErrorKind::Model,
                "cut at {cut}"
            );
        }
        let shapes = header.replace("[2]", "[3]");
        let huge = header.replace("[2]", "[4611686018427387904,4]");
        let overlap = header.replace("[8,12]", "[4,8]");
        let gap = header.replace("[8,12]", "[12,16]");
        let order = header.replace("[0,8]", "[8,0]");
        for (what, header) in [
            ("shape", shapes),
            ("huge", huge),
            ("overlap", overlap),
            ("gap", gap),
            ("order", order),
        ] {
            assert!(open(&file(&header, &[0; 16])).is_err(), "{what}");
        }
        for length in [u64::MAX, 1 << 60, 100_000_001, 4096] {
            let mut absurd = good.clone();
            absurd[..8].copy_from_slice(&length.to_le_bytes());
            assert!(open(&absurd).is_err(), "{length}");
        }
    }

    #[test]
    fn numbers_that_are_not_finite_are_found() {
        let header = r#"{"a":{"dtype":"BF16","shape":[3],"data_offsets":[0,6]}}"#;
        let tensors = open(&file(header, &[0, 0, 0x80, 0x3f, 0xc0, 0x7f])).unwrap();
        let error = tensors.get("a").unwrap().check_finite().unwrap_err();
        assert!(error.to_string().contains("number 2"), "{error}");
    }
}

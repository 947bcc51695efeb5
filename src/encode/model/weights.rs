//! One weight per term, from a `model.safetensors` or from `idf.json`.
//!
//! safetensors is eight bytes of length, a JSON header, and raw numbers: the few lines here read
//! the one vector that is wanted and check every offset, so no other package is needed for it.

use std::{collections::HashMap, path::Path};

use serde::Deserialize;

use super::files::bounded;
use crate::error::{Error, Result};

/// A million terms in double precision would be half of this.
const WEIGHTS_LIMIT: u64 = 64 << 20;

/// The weight of each term in a query; terms beyond it have none.
#[derive(Debug)]
pub(crate) struct TermWeights(Vec<f32>);

/// A tensor as the header of a safetensors file describes it.
#[derive(Deserialize)]
struct Tensor {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

impl TermWeights {
    /// Reads `path`; `id` says which term a token of a JSON file is.
    ///
    /// # Errors
    /// When the file is damaged, or is for another vocabulary.
    pub(crate) fn read(path: &Path, id: impl Fn(&str) -> Option<u32>) -> Result<TermWeights> {
        let bytes = bounded(path, WEIGHTS_LIMIT)?;
        let refuse = |why: String| Error::model(path.display().to_string(), why);
        let weights = if path.extension().is_some_and(|end| end == "json") {
            from_json(&bytes, id).map_err(refuse)?
        } else {
            from_tensors(&bytes).map_err(refuse)?
        };
        if let Some(at) = weights.iter().position(|weight| !weight.is_finite()) {
            return Err(refuse(format!("the weight of term {at} is not finite")));
        }
        Ok(TermWeights(weights))
    }

    /// How many terms there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The weight of `term`.
    pub(crate) fn of(&self, term: u32) -> f32 {
        let at = usize::try_from(term).unwrap_or(usize::MAX);
        self.0.get(at).copied().unwrap_or(0.0)
    }
}

fn from_json(bytes: &[u8], id: impl Fn(&str) -> Option<u32>) -> Result<Vec<f32>, String> {
    let tokens: HashMap<String, f32> = serde_json::from_slice(bytes)
        .map_err(|why| format!("expected an object from token to weight: {why}"))?;
    let mut weights = Vec::new();
    let mut unknown = 0;
    for (token, weight) in &tokens {
        let Some(id) = id(token) else {
            unknown += 1;
            continue;
        };
        let at = usize::try_from(id).map_err(|_| "a token id beyond memory".to_owned())?;
        if weights.len() <= at {
            weights.resize(at + 1, 0.0);
        }
        weights[at] = *weight;
    }
    // Special tokens and padding may differ; another vocabulary differs in most.
    if unknown * 10 > tokens.len() {
        return Err(format!(
            "{unknown} of its {} tokens are not in the tokenizer: it belongs to another vocabulary",
            tokens.len()
        ));
    }
    Ok(weights)
}

fn from_tensors(bytes: &[u8]) -> Result<Vec<f32>, String> {
    let short = || "it is cut off: expected a safetensors header".to_owned();
    let (length, rest) = bytes.split_first_chunk::<8>().ok_or_else(short)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| short())?;
    let (header, data) = rest.split_at_checked(length).ok_or_else(short)?;
    let mut header: HashMap<String, serde_json::Value> =
        serde_json::from_slice(header).map_err(|why| format!("its header is damaged: {why}"))?;
    header.remove("__metadata__");
    let name = ["weight", "idf", "embedding.weight"]
        .into_iter()
        .find(|name| header.contains_key(*name))
        .ok_or_else(|| {
            let names: Vec<_> = header.keys().cloned().collect();
            format!("expected a tensor \"weight\", found {}", names.join(", "))
        })?;
    let tensor: Tensor = serde_json::from_value(header.remove(name).unwrap_or_default())
        .map_err(|why| format!("tensor {name:?} is damaged: {why}"))?;
    let count = match tensor.shape[..] {
        [count] | [count, 1] | [1, count] => count,
        _ => {
            return Err(format!(
                "tensor {name:?} has the shape {:?}, expected one weight a term",
                tensor.shape
            ));
        }
    };
    let data = data
        .get(tensor.data_offsets[0]..tensor.data_offsets[1])
        .ok_or_else(|| format!("it is cut off: tensor {name:?} ends behind the file"))?;
    let weights: Vec<f32> = match tensor.dtype.as_str() {
        "F32" => numbers(data, f32::from_le_bytes),
        "BF16" => numbers(data, |b: [u8; 2]| f32::from_le_bytes([0, 0, b[0], b[1]])),
        "F16" => numbers(data, |b: [u8; 2]| half(u16::from_le_bytes(b))),
        other => {
            return Err(format!(
                "tensor {name:?} holds {other}, expected F32, F16 or BF16"
            ));
        }
    };
    if weights.len() != count {
        return Err(format!(
            "tensor {name:?} has {} weights, its shape says {count}",
            weights.len()
        ));
    }
    Ok(weights)
}

fn numbers<const N: usize>(data: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let (chunks, _) = data.as_chunks::<N>();
    chunks.iter().map(|chunk| number(*chunk)).collect()
}

/// IEEE 754 half precision. Subnormals are at most 2^-14: no weight that a search could notice,
/// but they are converted right all the same.
fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let exponent = i32::from((bits >> 10) & 0x1f);
    let fraction = f32::from(bits & 0x3ff);
    let size = match exponent {
        0 => fraction * (-24.0_f32).exp2(),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1.0 + fraction / 1024.0) * 2.0_f32.powi(exponent - 15),
    };
    sign * size
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = u64::try_from(header.len()).unwrap().to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn every_precision_is_read() {
        let header = |dtype: &str, end: usize| {
            format!(
                r#"{{"__metadata__":{{}},"weight":{{"dtype":"{dtype}","shape":[2],"data_offsets":[0,{end}]}}}}"#
            )
        };
        let f32s = [1.5_f32.to_le_bytes(), 0.25_f32.to_le_bytes()].concat();
        assert_eq!(
            from_tensors(&file(&header("F32", 8), &f32s)).unwrap(),
            [1.5, 0.25]
        );
        let halves = [0x3e00_u16.to_le_bytes(), 0x3400_u16.to_le_bytes()].concat();
        assert_eq!(
            from_tensors(&file(&header("F16", 4), &halves)).unwrap(),
            [1.5, 0.25]
        );
        let brains = [0x3fc0_u16.to_le_bytes(), 0x3e80_u16.to_le_bytes()].concat();
        assert_eq!(
            from_tensors(&file(&header("BF16", 4), &brains)).unwrap(),
            [1.5, 0.25]
        );
        assert_eq!(half(0x0001), 5.960_464_5e-8);
        assert_eq!(half(0xfc00), f32::NEG_INFINITY);
    }

    #[test]
    fn damage_is_named() {
        let header = r#"{"weight":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
        let good = file(header, &[0; 8]);
        for cut in 0..good.len() {
            assert!(from_tensors(&good[..cut]).is_err(), "cut at {cut}");
        }
        let other = file(&header.replace("weight", "bias"), &[0; 8]);
        assert!(from_tensors(&other).unwrap_err().contains("bias"));
        let shape = file(&header.replace("[2]", "[3]"), &[0; 8]);
        assert!(from_tensors(&shape).is_err());
        let order = file(&header.replace("[0,8]", "[8,0]"), &[0; 8]);
        assert!(from_tensors(&order).is_err());
    }

    #[test]
    fn a_json_table_of_another_vocabulary_is_refused() {
        let id = |token: &str| token.parse::<u32>().ok();
        let weights = from_json(br#"{"3": 1.5, "0": 2.0}"#, id).unwrap();
        assert_eq!(weights, [2.0, 0.0, 0.0, 1.5]);
        assert!(from_json(br#"{"a": 1.5, "0": 2.0}"#, id).is_err());
        assert!(from_json(b"[1]", id).is_err());
    }
}

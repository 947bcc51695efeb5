//! One weight per term, from a `model.safetensors` or from `idf.json`.
//!
//! Either is small: a million terms in single precision are 4 MB.

use std::{collections::HashMap, path::Path};

use crate::{
    encode::{files::bounded, tensors::Tensors},
    error::{Error, Result},
};

/// A million terms in double precision would be half of this.
const WEIGHTS_LIMIT: u64 = 64 << 20;

/// More than the largest term id.
const WEIGHTS_MAX: usize = 1 << 24;

/// The weight of each term in a query; terms beyond it have none.
#[derive(Debug)]
pub(crate) struct TermWeights(Vec<f32>);

impl TermWeights {
    /// Reads `path`; `id` says which term a token of a JSON file is.
    ///
    /// # Errors
    /// When the file is damaged, or is for another vocabulary.
    pub(crate) fn read(path: &Path, id: impl Fn(&str) -> Option<u32>) -> Result<TermWeights> {
        let refuse = |why: String| Error::model(path.display().to_string(), why);
        let weights = if path.extension().is_some_and(|end| end == "json") {
            from_json(&bounded(path, WEIGHTS_LIMIT)?, id).map_err(refuse)?
        } else {
            from_tensors(path)?
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

fn from_tensors(path: &Path) -> Result<Vec<f32>> {
    let tensors = Tensors::open(path)?;
    let tensor = tensors.first(&["weight", "idf", "embedding.weight"])?;
    let refuse = |why: String| Err(Error::model(tensor.place(), why));
    let ([count] | [count, 1] | [1, count]) = tensor.shape()[..] else {
        return refuse(format!(
            "it has the shape {:?}, expected one weight a term",
            tensor.shape()
        ));
    };
    if count > WEIGHTS_MAX {
        return refuse(format!("it has {count} weights, which no vocabulary has"));
    }
    Ok(tensor.values())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::tensors::testing::safetensors;

    fn read(header: &str) -> Result<Vec<f32>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let data = [1.5_f32.to_le_bytes(), 0.25_f32.to_le_bytes()].concat();
        std::fs::write(&path, safetensors(header, &data)).unwrap();
        from_tensors(&path)
    }

    #[test]
    fn a_vector_of_weights_is_read_and_nothing_else() {
        let header = r#"{"weight":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
        assert_eq!(read(header).unwrap(), [1.5, 0.25]);
        assert_eq!(read(&header.replace("[2]", "[1,2]")).unwrap(), [1.5, 0.25]);
        let error = read(&header.replace("weight", "bias")).unwrap_err();
        assert!(error.to_string().contains("bias"), "{error}");
        assert!(read(&header.replace("[2]", "[3]")).is_err());
        let matrix = r#"{"weight":{"dtype":"F16","shape":[2,2],"data_offsets":[0,8]}}"#;
        assert!(read(matrix).unwrap_err().to_string().contains("[2, 2]"));
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

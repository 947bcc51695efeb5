//! An index as lines of JSON, and back: what outlives every version of the binary format.
//!
//! The first line says what the index was told when it was created:
//!
//! | field | meaning |
//! | --- | --- |
//! | `sparsely_export` | version of these lines, 1 |
//! | `commit`, `documents` | the commit, and how many documents it counts |
//! | `encoder` | `name` and `digest` (16 hexadecimal digits) of the encoder's fingerprint, or null |
//! | `term_count` | term ids are below it, or null |
//! | `weight_limit` | the weight of impact 255, or null where no document ever set it |
//! | `keeps_statistics`, `keeps_labels`, `keeps_weights` | as [`Config`](super::Config) has them |
//! | `partition_by` | the field by which large segments are laid out, or null |
//! | `fields` | the type of each field: `string`, `integer` or `boolean` |
//! | `created_with` | version of the library |
//!
//! Then a line for each document; of these fields, only a key must be there:
//!
//! | field | meaning |
//! | --- | --- |
//! | `key`, or `key_hex` where it is not UTF-8 | the key |
//! | `vector` | `terms`, which rise, and either `impacts`, 1 to 255, or `weights`; missing where it is damaged, and the document then counts as lost |
//! | `full_vector` | the same with `weights` |
//! | `text`, `payload_hex`, `fields` | what is stored |
//! | `own_terms` | the terms that stand in the document's own text, where not all do |
//! | `labels` | what terms mean |
//!
//! The last line is `{"end": {"documents": 2, "lost": 0}}`, so that a file that was cut off is
//! noticed.

mod export;
mod import;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::value::RawValue;

pub use self::{export::Export, import::Import};
use crate::{
    error::{Error, Result},
    format::ManifestConfig,
    segment::Value,
};

/// The version of the lines that this library writes and reads.
const LINES_VERSION: u32 = 1;

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct HeaderLine {
    sparsely_export: u32,
    commit: u64,
    documents: u64,
    encoder: Option<EncoderLine>,
    term_count: Option<u32>,
    weight_limit: Option<Weight>,
    keeps_statistics: bool,
    keeps_labels: bool,
    keeps_weights: bool,
    partition_by: Option<String>,
    fields: BTreeMap<String, String>,
    created_with: String,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct EncoderLine {
    name: String,
    digest: String,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct DocumentLine<'a> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    key: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_hex: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vector: Option<VectorLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    full_vector: Option<VectorLine>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_hex: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    fields: BTreeMap<String, FieldLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    own_terms: Option<Vec<u32>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<u32, String>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct VectorLine {
    terms: Vec<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    impacts: Option<Vec<u8>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weights: Option<Vec<Weight>>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(untagged)]
enum FieldLine {
    Boolean(bool),
    Integer(i64),
    String(String),
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct EndLine {
    end: Counts,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Counts {
    documents: u64,
    lost: u64,
}

/// An `f32` that comes back with the same bits: `serde_json` would round it twice, by way of
/// `f64`.
#[derive(Clone, Copy, Debug, Serialize)]
struct Weight(f32);

impl<'de> Deserialize<'de> for Weight {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Weight, D::Error> {
        let number = <&RawValue>::deserialize(deserializer)?.get();
        let weight = number.parse().map_err(|_| {
            let shown: String = number.chars().take(20).collect();
            D::Error::custom(format_args!("expected a number, found {shown}"))
        });
        weight.map(Weight)
    }
}

impl From<Value> for FieldLine {
    fn from(value: Value) -> FieldLine {
        match value {
            Value::String(value) => FieldLine::String(value),
            Value::Integer(value) => FieldLine::Integer(value),
            Value::Boolean(value) => FieldLine::Boolean(value),
        }
    }
}

impl From<FieldLine> for Value {
    fn from(line: FieldLine) -> Value {
        match line {
            FieldLine::String(value) => Value::String(value),
            FieldLine::Integer(value) => Value::Integer(value),
            FieldLine::Boolean(value) => Value::Boolean(value),
        }
    }
}

impl HeaderLine {
    fn new(config: &ManifestConfig, commit: u64, documents: u64) -> HeaderLine {
        let encoder = config.encoder.as_ref().map(|(name, digest)| EncoderLine {
            name: name.clone(),
            digest: format!("{digest:016x}"),
        });
        HeaderLine {
            sparsely_export: LINES_VERSION,
            commit,
            documents,
            encoder,
            term_count: config.term_count,
            weight_limit: config.weight_limit.map(Weight),
            keeps_statistics: config.keeps_statistics,
            keeps_labels: config.keeps_labels,
            keeps_weights: config.keeps_weights,
            partition_by: config.partition.clone(),
            fields: BTreeMap::new(),
            created_with: config.created_with.clone(),
        }
    }

    /// What an index that takes these lines is created with.
    fn config(&self) -> Result<ManifestConfig> {
        let encoder = self.encoder.as_ref().map(|encoder| {
            let digest = u64::from_str_radix(&encoder.digest, 16).map_err(|_| {
                let expected = "16 hexadecimal digits";
                Error::invalid("the encoder's digest", expected, encoder.digest.clone())
            });
            digest.map(|digest| (encoder.name.clone(), digest))
        });
        Ok(ManifestConfig {
            encoder: encoder.transpose()?,
            term_count: self.term_count,
            weight_limit: self.weight_limit.map(|limit| limit.0),
            keeps_statistics: self.keeps_statistics,
            keeps_labels: self.keeps_labels,
            keeps_weights: self.keeps_weights,
            partition: self.partition_by.clone(),
            created_with: self.created_with.clone(),
        })
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(hex: &str) -> Result<Vec<u8>> {
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok();
    let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
    bytes.filter(|_| rest.is_empty()).ok_or_else(|| {
        let shown: String = hex.chars().take(20).collect();
        Error::invalid("bytes", "pairs of hexadecimal digits", shown)
    })
}

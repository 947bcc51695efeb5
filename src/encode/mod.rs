//! Text in, sparse vectors out.
//!
//! The vector is the seam: nothing below the index knows an encoder, and an encoder knows no
//! index. The trait stands here; each implementation has its own file.

#[cfg(any(feature = "tokenizers", feature = "sae"))]
pub(crate) mod files;
#[cfg(feature = "tokenizers")]
mod inference_free;
mod lexical;
#[cfg(any(feature = "sae", feature = "native"))]
pub(crate) mod matrix;
#[cfg(feature = "tokenizers")]
mod model;
mod named;
#[cfg(feature = "native")]
pub mod native;
#[cfg(feature = "onnx")]
pub mod onnx;
mod open;
mod pool;
mod prune;
#[cfg(any(feature = "onnx", feature = "native"))]
pub(crate) mod run;
#[cfg(feature = "sae")]
pub mod sae;
mod static_encoder;
mod static_table;
mod table;
#[cfg(any(feature = "tokenizers", feature = "sae"))]
pub(crate) mod tensors;
#[cfg(feature = "tokenizers")]
#[cfg_attr(
    not(feature = "onnx"),
    expect(
        dead_code,
        reason = "only graphs need filling, and queries by a table use half of the rest"
    )
)]
mod tokenize;

use std::{borrow::Cow, fmt};

#[cfg(feature = "tokenizers")]
pub use self::inference_free::InferenceFreeEncoder;
#[cfg(feature = "native")]
pub use self::native::NativeEncoder;
#[cfg(feature = "onnx")]
pub use self::onnx::OnnxEncoder;
#[cfg(any(feature = "onnx", feature = "native"))]
pub use self::run::{LongTexts, Tally};
pub use self::{
    lexical::{Field, LexicalEncoder, Saturation},
    named::{NamedEncoder, NamedEncoders, NamedVectors},
    open::open,
    pool::{Activation, Combine, Pool, Pooling, SpecialTokens},
    prune::{Prune, Pruning},
    static_encoder::{Source, StaticEncoder},
    static_table::{StaticTable, TABLE_BYTES_MAX},
    table::{TableBuilder, TableEncoder},
};
#[cfg(feature = "train")]
pub(crate) use self::{
    static_encoder::{
        code_weight, frequency, own_slopes, own_weight, prior_idf, squashed, squashed_slope,
    },
    static_table::{Row, TableParts},
};

use crate::{
    error::{Error, Result},
    id::TermId,
    sparse::SparseVector,
    statistics::Statistics,
};

/// Turns texts into sparse vectors.
///
/// Queries and documents may be encoded differently (prompts, lengths, pruning); a document's
/// vector never depends on the other documents of its collection.
///
/// ```
/// use sparsely::{Encoder, LexicalEncoder};
/// let encoder = LexicalEncoder::code();
/// let vector = encoder.encode_query("open the lock file")?;
/// assert!(vector.len() >= 3);
/// # Ok::<(), sparsely::Error>(())
/// ```
pub trait Encoder: Send + Sync {
    /// Identifies model, tokenizer, pooling and pruning; kept in the index, which refuses vectors
    /// of another encoder.
    fn fingerprint(&self) -> Fingerprint;

    /// The size of the term space: every term id is below it.
    fn term_count(&self) -> u32;

    /// One vector per text, in order.
    ///
    /// # Errors
    /// What the model or the input makes impossible; see the implementation.
    fn encode_documents(&self, texts: &[&str]) -> Result<Vec<SparseVector>>;

    /// One vector per text, in order.
    ///
    /// # Errors
    /// What the model or the input makes impossible; see the implementation.
    fn encode_queries(&self, texts: &[&str]) -> Result<Vec<SparseVector>>;

    /// What a term means, for explanations; `None` where the encoder cannot say.
    fn term(&self, id: TermId) -> Option<Cow<'_, str>>;

    /// Adapts an encoded query to a collection, as by an inverse document frequency. The default
    /// leaves it as it is.
    fn weigh_query(&self, query: SparseVector, statistics: &dyn Statistics) -> SparseVector {
        let _ = statistics;
        query
    }

    /// Whether [`Encoder::weigh_query`] uses document frequencies, so that the index should keep
    /// them. The default is no.
    fn uses_statistics(&self) -> bool {
        false
    }

    /// The largest weight a document term can have, where the encoder knows one; it fixes the
    /// scale of impacts. `None`, the default, lets the index take it from its first commit.
    fn weight_limit(&self) -> Option<f32> {
        None
    }

    /// Of an encoded document's terms, those that stand in its text rather than came by expansion,
    /// rising; `None`, the default, means all of them. An index that keeps statistics counts
    /// these.
    ///
    /// # Errors
    /// As [`Encoder::encode_documents`].
    fn own_terms(&self, text: &str) -> Result<Option<Vec<TermId>>> {
        let _ = text;
        Ok(None)
    }

    /// Whether term ids mean the same for ever (a fixed vocabulary: `false`) or get their meaning
    /// from the texts seen (hashed words: `true`), so that an index should store the readable
    /// terms of its documents.
    fn has_open_vocabulary(&self) -> bool {
        false
    }

    /// Encodes one document.
    ///
    /// # Errors
    /// As [`Encoder::encode_documents`].
    fn encode_document(&self, text: &str) -> Result<SparseVector> {
        single(self.encode_documents(&[text])?)
    }

    /// Encodes one query.
    ///
    /// # Errors
    /// As [`Encoder::encode_queries`].
    fn encode_query(&self, text: &str) -> Result<SparseVector> {
        single(self.encode_queries(&[text])?)
    }

    /// Encodes one query and weighs it for a collection: the everyday way to ask.
    ///
    /// # Errors
    /// As [`Encoder::encode_queries`].
    fn encode_query_for(&self, text: &str, statistics: &dyn Statistics) -> Result<SparseVector> {
        Ok(self.weigh_query(self.encode_query(text)?, statistics))
    }
}

fn single(mut vectors: Vec<SparseVector>) -> Result<SparseVector> {
    match (vectors.pop(), vectors.len()) {
        (Some(vector), 0) => Ok(vector),
        (_, rest) => Err(Error::invalid(
            "vectors of an encoder",
            "one a text",
            format!("{rest} more or none"),
        )),
    }
}

/// Identity of an encoder: a readable name and a digest over everything that changes its vectors.
///
/// ```
/// use sparsely::Fingerprint;
/// let one = Fingerprint::new("table", &[b"v1"]);
/// assert_ne!(one, Fingerprint::new("table", &[b"v2"]));
/// assert!(one.to_string().starts_with("table:"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    name: String,
    digest: u64,
}

impl Fingerprint {
    /// A fingerprint of `name` over `parts`, each delimited by its length.
    #[must_use]
    pub fn new(name: &str, parts: &[&[u8]]) -> Fingerprint {
        let mut digest = Fnv::default();
        digest.write(name.as_bytes());
        for part in parts {
            digest.write(part);
        }
        Fingerprint {
            name: name.to_owned(),
            digest: digest.0,
        }
    }

    /// Puts a stored fingerprint together again.
    pub(crate) fn from_parts(name: &str, digest: u64) -> Fingerprint {
        Fingerprint {
            name: name.to_owned(),
            digest,
        }
    }

    /// The readable part.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The digest part.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:016x}", self.name, self.digest)
    }
}

/// FNV-1a, 64 bits: a mix-up of models is what it guards against, not an attacker.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn write(&mut self, bytes: &[u8]) {
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        for byte in len.to_le_bytes().iter().chain(bytes) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

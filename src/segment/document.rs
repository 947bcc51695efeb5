//! What a caller stores: a key, a vector, and what goes with them; and the limits of each.
//!
//! A [`Document`] is built freely and checked in one place, [`Document::check`], when it is handed
//! to a writer: so a builder chain needs no `?` on every line, and nothing over a limit ever
//! reaches a file.

use std::{borrow::Cow, fmt};

use crate::{
    error::{Error, Result},
    id::TermId,
    quantize::DOCUMENT_TERMS_MAX,
    sparse::SparseVector,
};

/// Longest key, in bytes.
pub(crate) const KEY_LEN_MAX: usize = 4096;
/// Most fields of a document.
pub(crate) const DOCUMENT_FIELDS_MAX: usize = 64;
/// Longest name of a field, in bytes.
pub(crate) const FIELD_NAME_LEN_MAX: usize = 255;
/// Longest string in a field, in bytes.
pub(crate) const FIELD_STRING_LEN_MAX: usize = 64 * 1024;
/// Longest stored text, in bytes.
pub(crate) const TEXT_LEN_MAX: usize = 256 * 1024 * 1024;
/// Longest stored payload, in bytes.
pub(crate) const PAYLOAD_LEN_MAX: usize = 16 * 1024 * 1024;
/// Longest readable term that is kept, in bytes; a longer one is cut.
pub(crate) const LABEL_LEN_MAX: usize = 255;

/// The caller's own name of a document: any bytes, 1 to 4,096 of them.
///
/// Keys are unique within an index and order equal scores (by their bytes, rising). The length is
/// checked when a document is written; looking for a key that could not be stored finds nothing.
///
/// ```
/// use sparsely::DocKey;
/// let key = DocKey::from("src/lib.rs:10-42");
/// assert_eq!(key.as_bytes(), b"src/lib.rs:10-42");
/// assert_eq!(key.to_string(), "src/lib.rs:10-42");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocKey(Vec<u8>);

impl DocKey {
    /// The key's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The key's bytes, by value.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// The key as text; bytes that are not UTF-8 become U+FFFD.
    #[must_use]
    pub fn to_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// No bytes, to be filled.
    pub(crate) fn restart(&mut self) -> &mut Vec<u8> {
        self.0.clear();
        &mut self.0
    }

    pub(crate) fn check(&self) -> Result<()> {
        match self.0.len() {
            0 => Err(Error::invalid("key", "1 to 4096 bytes", "none")),
            len if len > KEY_LEN_MAX => Err(over("bytes of a key", KEY_LEN_MAX, len)),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for DocKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

impl fmt::Debug for DocKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DocKey(\"{}\")", self.0.escape_ascii())
    }
}

impl From<&str> for DocKey {
    fn from(key: &str) -> DocKey {
        DocKey(key.as_bytes().to_vec())
    }
}

impl From<String> for DocKey {
    fn from(key: String) -> DocKey {
        DocKey(key.into_bytes())
    }
}

impl From<&String> for DocKey {
    fn from(key: &String) -> DocKey {
        DocKey::from(key.as_str())
    }
}

impl From<&[u8]> for DocKey {
    fn from(key: &[u8]) -> DocKey {
        DocKey(key.to_vec())
    }
}

impl From<Vec<u8>> for DocKey {
    fn from(key: Vec<u8>) -> DocKey {
        DocKey(key)
    }
}

impl From<&DocKey> for DocKey {
    fn from(key: &DocKey) -> DocKey {
        key.clone()
    }
}

/// A value of a typed field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// Text of at most 64 KiB; compared byte by byte.
    String(String),
    /// A signed number.
    Integer(i64),
    /// Yes or no.
    Boolean(bool),
}

/// The type of a field: that of its first value, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldType {
    /// [`Value::String`].
    String,
    /// [`Value::Integer`].
    Integer,
    /// [`Value::Boolean`].
    Boolean,
}

impl Value {
    /// The type of this value.
    #[must_use]
    pub fn field_type(&self) -> FieldType {
        match self {
            Value::String(_) => FieldType::String,
            Value::Integer(_) => FieldType::Integer,
            Value::Boolean(_) => FieldType::Boolean,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::String(value) => f.write_str(value),
            Value::Integer(value) => value.fmt(f),
            Value::Boolean(value) => value.fmt(f),
        }
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FieldType::String => "string",
            FieldType::Integer => "integer",
            FieldType::Boolean => "boolean",
        })
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Value {
        Value::String(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Value {
        Value::String(value)
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Value {
        Value::String(value.clone())
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Value {
        Value::Integer(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Value {
        Value::Integer(value.into())
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Value {
        Value::Integer(value.into())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Boolean(value)
    }
}

/// What a writer takes: a key, a vector, and whatever should come back with it.
///
/// ```
/// use sparsely::{Document, SparseVector};
/// let vector = SparseVector::new([(7, 1.25), (9, 0.5)])?;
/// let document = Document::new("src/lib.rs:10-42", vector)
///     .text("fn main() {}")
///     .field("language", "rust")
///     .field("lines", 33);
/// assert_eq!(document.key().to_string(), "src/lib.rs:10-42");
/// # Ok::<(), sparsely::Error>(())
/// ```
///
/// | part | limit |
/// | --- | --- |
/// | key | 1 to 4,096 bytes |
/// | vector, full vector | 65,535 terms |
/// | fields | 64; names of 1 to 255 bytes; strings of 64 KiB |
/// | text | 256 MiB |
/// | payload | 16 MiB |
///
/// Over a limit, the writer answers with an error and keeps what it had.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    pub(crate) key: DocKey,
    pub(crate) vector: SparseVector,
    pub(crate) full_vector: Option<SparseVector>,
    pub(crate) text: Option<String>,
    pub(crate) payload: Option<Vec<u8>>,
    /// By rising name, each once.
    pub(crate) fields: Vec<(String, Value)>,
    pub(crate) own_terms: Option<Vec<TermId>>,
    pub(crate) labels: Vec<(TermId, String)>,
}

impl Document {
    /// A document of `vector` under `key`.
    #[must_use]
    pub fn new(key: impl Into<DocKey>, vector: SparseVector) -> Document {
        Document {
            key: key.into(),
            vector,
            full_vector: None,
            text: None,
            payload: None,
            fields: Vec::new(),
            own_terms: None,
            labels: Vec::new(),
        }
    }

    /// Stores `text` with the document; it is not searched, the vector is.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Document {
        self.text = Some(text.into());
        self
    }

    /// Stores `payload` with the document: bytes that only the caller understands.
    #[must_use]
    pub fn payload(mut self, payload: impl Into<Vec<u8>>) -> Document {
        self.payload = Some(payload.into());
        self
    }

    /// Sets the field `name`, for filters; a value it had before is replaced. A field has one type
    /// throughout an index: that of the first value ever committed.
    #[must_use]
    pub fn field(mut self, name: impl Into<String>, value: impl Into<Value>) -> Document {
        let (name, value) = (name.into(), value.into());
        match self.fields.binary_search_by(|(other, _)| other.cmp(&name)) {
            Ok(at) => self.fields[at].1 = value,
            Err(at) => self.fields.insert(at, (name, value)),
        }
        self
    }

    /// Keeps a fuller vector beside the one that is searched, for
    /// [`Query::rescore`](crate::Query::rescore).
    #[must_use]
    pub fn full_vector(mut self, vector: SparseVector) -> Document {
        self.full_vector = Some(vector);
        self
    }

    /// Says which terms of the vector stand in the document's own text, rather than came by
    /// expansion; those are the ones that the index's statistics count. Without this call all of
    /// them do. Terms that are not in the vector are ignored.
    #[must_use]
    pub fn own_terms(mut self, terms: impl IntoIterator<Item = TermId>) -> Document {
        let mut terms: Vec<TermId> = terms.into_iter().collect();
        terms.sort_unstable();
        terms.dedup();
        self.own_terms = Some(terms);
        self
    }

    /// Stores what terms mean, for explanations, where the encoder's vocabulary is open. A label
    /// over 255 bytes is cut.
    #[must_use]
    pub fn labels<L: Into<String>>(
        mut self,
        labels: impl IntoIterator<Item = (TermId, L)>,
    ) -> Document {
        self.labels
            .extend(labels.into_iter().map(|(term, label)| (term, label.into())));
        self
    }

    /// The document's key.
    #[must_use]
    pub fn key(&self) -> &DocKey {
        &self.key
    }

    /// The vector that is searched.
    #[must_use]
    pub fn vector(&self) -> &SparseVector {
        &self.vector
    }

    /// The value of the field `name`, if it was set.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&Value> {
        value_of(&self.fields, name)
    }

    /// Bytes that this document holds in memory, roughly: for a writer's budget.
    pub(crate) fn memory_len(&self) -> usize {
        let vectors = self.vector.len() + self.full_vector.as_ref().map_or(0, SparseVector::len);
        let fields = self.fields.iter().map(|(name, value)| {
            let len = match value {
                Value::String(value) => value.len(),
                Value::Integer(_) | Value::Boolean(_) => 0,
            };
            name.len() + len + size_of::<(String, Value)>()
        });
        let labels = self.labels.iter().map(|(_, label)| label.len() + 32);
        size_of::<Document>()
            + self.key.0.len()
            + vectors * 8
            + self.text.as_ref().map_or(0, String::len)
            + self.payload.as_ref().map_or(0, Vec::len)
            + self.own_terms.as_ref().map_or(0, |terms| terms.len() * 4)
            + fields.sum::<usize>()
            + labels.sum::<usize>()
    }

    /// Every limit of a document, in one place.
    pub(crate) fn check(&self) -> Result<()> {
        self.key.check()?;
        let vectors = [Some(&self.vector), self.full_vector.as_ref()];
        for len in vectors.into_iter().flatten().map(SparseVector::len) {
            if len > DOCUMENT_TERMS_MAX {
                let what = "terms of a document (prune its vector with `keep`)";
                return Err(over(what, DOCUMENT_TERMS_MAX, len));
            }
        }
        if self.fields.len() > DOCUMENT_FIELDS_MAX {
            let found = self.fields.len();
            return Err(over("fields of a document", DOCUMENT_FIELDS_MAX, found));
        }
        for (name, value) in &self.fields {
            check_field(name, value)?;
        }
        let text_len = self.text.as_ref().map_or(0, String::len);
        if text_len > TEXT_LEN_MAX {
            return Err(over("bytes of a stored text", TEXT_LEN_MAX, text_len));
        }
        let payload_len = self.payload.as_ref().map_or(0, Vec::len);
        if payload_len > PAYLOAD_LEN_MAX {
            let what = "bytes of a stored payload";
            return Err(over(what, PAYLOAD_LEN_MAX, payload_len));
        }
        Ok(())
    }
}

/// A document as it comes back from an index: everything stored but its vectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDocument {
    pub(crate) key: DocKey,
    pub(crate) text: Option<String>,
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) fields: Vec<(String, Value)>,
}

impl StoredDocument {
    /// The document's key.
    #[must_use]
    pub fn key(&self) -> &DocKey {
        &self.key
    }

    /// The stored text, if there is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// The stored payload, if there is one.
    #[must_use]
    pub fn payload(&self) -> Option<&[u8]> {
        self.payload.as_deref()
    }

    /// The fields, by rising name.
    #[must_use]
    pub fn fields(&self) -> &[(String, Value)] {
        &self.fields
    }

    /// The value of the field `name`, if it was set.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&Value> {
        value_of(&self.fields, name)
    }
}

fn value_of<'a>(fields: &'a [(String, Value)], name: &str) -> Option<&'a Value> {
    let at = fields.binary_search_by(|(other, _)| other.as_str().cmp(name));
    Some(&fields[at.ok()?].1)
}

fn check_field(name: &str, value: &Value) -> Result<()> {
    if name.is_empty() {
        return Err(Error::invalid("name of a field", "1 to 255 bytes", "none"));
    }
    if name.len() > FIELD_NAME_LEN_MAX {
        let what = "bytes in the name of a field";
        return Err(over(what, FIELD_NAME_LEN_MAX, name.len()));
    }
    match value {
        Value::String(value) if value.len() > FIELD_STRING_LEN_MAX => Err(over(
            &format!("bytes of field `{name}`"),
            FIELD_STRING_LEN_MAX,
            value.len(),
        )),
        _ => Ok(()),
    }
}

#[cold]
fn over(what: &str, limit: usize, found: usize) -> Error {
    Error::limit(what, limit as u64, found as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn document(key: &str) -> Document {
        Document::new(key, SparseVector::default())
    }

    #[test]
    fn every_limit_holds_at_its_edge() {
        let kind = |document: Document| document.check().map_err(|error| error.kind());
        assert_eq!(kind(document("")), Err(ErrorKind::InvalidInput));
        assert_eq!(kind(document(&"k".repeat(4096))), Ok(()));
        assert_eq!(kind(document(&"k".repeat(4097))), Err(ErrorKind::Limit));

        let wide = |n| SparseVector::new((0..n).map(|term| (term, 1.0))).unwrap();
        assert_eq!(kind(Document::new("k", wide(65_535))), Ok(()));
        assert_eq!(
            kind(Document::new("k", wide(65_536))),
            Err(ErrorKind::Limit)
        );
        assert_eq!(
            kind(document("k").full_vector(wide(65_536))),
            Err(ErrorKind::Limit)
        );

        assert_eq!(
            kind(document("k").field("", 1)),
            Err(ErrorKind::InvalidInput)
        );
        assert_eq!(kind(document("k").field("n".repeat(255), 1)), Ok(()));
        assert_eq!(
            kind(document("k").field("n".repeat(256), 1)),
            Err(ErrorKind::Limit)
        );
        assert_eq!(kind(document("k").field("n", "v".repeat(65_536))), Ok(()));
        assert_eq!(
            kind(document("k").field("n", "v".repeat(65_537))),
            Err(ErrorKind::Limit)
        );
        let many = |n: i32| (0..n).fold(document("k"), |d, i| d.field(i.to_string(), i));
        assert_eq!(kind(many(64)), Ok(()));
        assert_eq!(kind(many(65)), Err(ErrorKind::Limit));
        assert_eq!(
            kind(document("k").payload(vec![0; 16 * 1024 * 1024 + 1])),
            Err(ErrorKind::Limit)
        );
    }

    #[test]
    fn a_field_set_twice_keeps_the_later_value() {
        let document = document("k").field("b", 1).field("a", true).field("b", 2);
        assert_eq!(document.value("b"), Some(&Value::Integer(2)));
        assert_eq!(document.fields.len(), 2);
        assert_eq!(document.fields[0].0, "a");
    }

    #[test]
    fn keys_need_not_be_text() {
        let key = DocKey::from(&[b'a', 0xFF][..]);
        assert_eq!(key.to_string(), "a\u{FFFD}");
        assert_eq!(format!("{key:?}"), "DocKey(\"a\\xff\")");
    }
}

//! Reads lines back into an index.

use std::{
    borrow::Cow,
    io::{BufRead, Read},
};

use super::{Counts, DocumentLine, EndLine, HeaderLine, LINES_VERSION, VectorLine, from_hex};
use crate::{
    encode::Encoder,
    error::{Error, ErrorKind, Result},
    format::ManifestConfig,
    id::TermId,
    index::{Config, IndexWriter},
    progress::Progress,
    quantize::Scale,
    segment::{DocKey, Document, Remains, Value},
    sparse::SparseVector,
};

/// The longest line, in bytes: what a text and a payload at their limits may take.
const LINE_LEN_MAX: u64 = 1 << 30;

/// How many documents go by between two calls of the progress callback.
const STEP: u64 = 1024;

/// Reads what [`Index::export`](crate::Index::export) wrote: into a new index or one that exists,
/// document by document, through its writer.
///
/// It needs as much memory as the longest line and the writer's budget. Into an index of the same
/// weight limit every impact goes back as it was; one of another limit rounds anew.
#[derive(Debug)]
pub struct Import<R> {
    lines: Lines<R>,
    header: HeaderLine,
    config: ManifestConfig,
    scale: Option<Scale>,
}

impl<R: BufRead> Import<R> {
    /// Reads the first line. `name` is the file's, for messages.
    ///
    /// # Errors
    /// When it is not the first line of an export, or one of a newer version; when reading fails.
    pub fn open(name: impl Into<String>, from: R) -> Result<Import<R>> {
        let mut lines = Lines {
            from,
            name: name.into(),
            number: 0,
            line: Vec::new(),
        };
        let header = match lines.next()? {
            Some(line) => serde_json::from_slice::<HeaderLine>(line).map_err(|e| e.to_string()),
            None => Err("the end of the file".to_owned()),
        };
        let header = header.map_err(|found| lines.refuse("the first line of an export", found))?;
        if header.sparsely_export != LINES_VERSION {
            let found = format!("version {}", header.sparsely_export);
            return Err(lines.refuse("an export of version 1", found));
        }
        let at_line = |error: Error| lines.refuse("what an index is told", error.to_string());
        let config = header.config().map_err(at_line)?;
        let scale = config.weight_limit.map(Scale::new).transpose();
        Ok(Import {
            scale: scale.map_err(at_line)?,
            config,
            header,
            lines,
        })
    }

    /// How many documents the first line announces.
    #[must_use]
    pub fn documents(&self) -> u64 {
        self.header.documents
    }

    /// `config` with what is fixed at creation as the exported index had it.
    #[must_use]
    pub fn configure(&self, config: Config) -> Config {
        config.with_stored(&self.config)
    }

    /// Hands every document that has a vector to `writer`, which commits nothing: that is for the
    /// caller, once this has returned. Returns how many there were.
    ///
    /// # Errors
    /// At the first line that is no document, or one that the index refuses, or when the last line
    /// is missing, because the file was cut off; the message names the line. Roll the writer back
    /// to forget the lines before. [`ErrorKind::Cancelled`]; otherwise when reading or writing
    /// fails.
    pub fn read_into(
        self,
        writer: &mut dyn IndexWriter,
        progress: &mut Progress<'_>,
    ) -> Result<u64> {
        self.read_with(None, writer, progress)
    }

    /// As [`Import::read_into`], and documents whose vectors were lost are encoded again from their
    /// texts, where those are there.
    ///
    /// # Errors
    /// As [`Import::read_into`]; [`ErrorKind::EncoderMismatch`] when the lines are another encoder's;
    /// when encoding fails.
    pub fn read_into_encoding(
        self,
        encoder: &dyn Encoder,
        writer: &mut dyn IndexWriter,
        progress: &mut Progress<'_>,
    ) -> Result<u64> {
        Config::for_encoder(encoder).check_encoder(&self.config)?;
        self.read_with(Some(encoder), writer, progress)
    }

    fn read_with(
        mut self,
        encoder: Option<&dyn Encoder>,
        writer: &mut dyn IndexWriter,
        progress: &mut Progress<'_>,
    ) -> Result<u64> {
        let (mut count, mut encoded, mut without_vector) = (0, 0, 0);
        loop {
            if (count + without_vector) % STEP == 0 {
                progress.step("importing", count + without_vector, self.header.documents)?;
            }
            let Some(line) = self.lines.next()? else {
                let expected = "a document, or the last line of an export";
                return Err(self.lines.refuse(expected, "the end of the file"));
            };
            let document = match parse(line, self.scale) {
                Ok(Line::Document(document)) => {
                    count += 1;
                    *document
                }
                Ok(Line::Remains(left)) => {
                    without_vector += 1;
                    let Some((encoder, text)) = encoder.zip(left.text) else {
                        continue;
                    };
                    encoded += 1;
                    let document = Document::from_text(encoder, left.key, text)?;
                    with_stored(document, left.payload, left.fields)
                }
                Ok(Line::End(end)) => {
                    self.check_end(end, count, without_vector)?;
                    return Ok(count + encoded);
                }
                Err(error) => return Err(self.lines.refuse("a document", error)),
            };
            match writer.upsert(document) {
                Err(error) if is_refusal(&error) => {
                    let expected = "a document that the index takes";
                    return Err(self.lines.refuse(expected, error.to_string()));
                }
                result => result?,
            }
        }
    }

    fn check_end(&mut self, end: Counts, count: u64, without_vector: u64) -> Result<()> {
        if without_vector > end.lost {
            // Lines that somebody wrote otherwise would go unnoticed.
            let expected = format!("at most {} documents without a vector", end.lost);
            return Err(self.lines.refuse(&expected, without_vector.to_string()));
        }
        if end.documents != count {
            let expected = format!("{} documents before the last line", end.documents);
            return Err(self.lines.refuse(&expected, count.to_string()));
        }
        match self.lines.next()? {
            None => Ok(()),
            Some(_) => Err(self.lines.refuse("the end of the file", "another line")),
        }
    }
}

fn is_refusal(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Limit)
}

enum Line {
    Document(Box<Document>),
    /// A document that has lost its vector.
    Remains(Box<Remains>),
    End(Counts),
}

fn parse(line: &[u8], scale: Option<Scale>) -> Result<Line, String> {
    // Text that is no document is most likely the last line; the first error is the better one.
    let document = match serde_json::from_slice::<DocumentLine<'_>>(line) {
        Ok(document) => document,
        Err(error) => {
            let end = serde_json::from_slice::<EndLine>(line);
            return end
                .map(|end| Line::End(end.end))
                .map_err(|_| error.to_string());
        }
    };
    to_line(document, scale).map_err(|error| error.to_string())
}

fn to_line(line: DocumentLine<'_>, scale: Option<Scale>) -> Result<Line> {
    let key = match (line.key, line.key_hex) {
        (Some(key), None) => DocKey::from(key.into_owned()),
        (None, Some(hex)) => DocKey::from(from_hex(&hex)?),
        _ => return Err(Error::invalid("a document", "one key", "none or two")),
    };
    let text = line.text.map(Cow::into_owned);
    let payload = line.payload_hex.as_deref().map(from_hex).transpose()?;
    let fields = line.fields.into_iter();
    let fields = fields.map(|(name, value)| (name, Value::from(value)));
    let Some(vector) = line.vector else {
        return Ok(Line::Remains(Box::new(Remains {
            key,
            text,
            payload,
            fields: fields.collect(),
        })));
    };
    let mut document = Document::new(key, to_vector(vector, scale)?);
    if let Some(vector) = line.full_vector {
        document = document.full_vector(to_vector(vector, scale)?);
    }
    if let Some(text) = text {
        document = document.text(text);
    }
    if let Some(terms) = line.own_terms {
        document = document.own_terms(terms.into_iter().map(TermId::from));
    }
    let labels = line.labels.into_iter();
    document = document.labels(labels.map(|(term, label)| (TermId::from(term), label)));
    Ok(Line::Document(Box::new(with_stored(
        document, payload, fields,
    ))))
}

fn with_stored(
    mut document: Document,
    payload: Option<Vec<u8>>,
    fields: impl IntoIterator<Item = (String, Value)>,
) -> Document {
    if let Some(payload) = payload {
        document = document.payload(payload);
    }
    for (name, value) in fields {
        document = document.field(name, value);
    }
    document
}

fn to_vector(line: VectorLine, scale: Option<Scale>) -> Result<SparseVector> {
    let weights = match (line.impacts, line.weights, scale) {
        (Some(impacts), None, Some(scale)) if !impacts.contains(&0) => {
            impacts.into_iter().map(|i| scale.weight(i)).collect()
        }
        (None, Some(weights), _) => weights.into_iter().map(|weight| weight.0).collect(),
        (Some(_), None, None) => {
            let expected = "a `weight_limit` in the first line";
            return Err(Error::invalid("a vector of impacts", expected, "none"));
        }
        _ => {
            let expected = "either `impacts` of at least 1, or `weights`";
            return Err(Error::invalid("a vector", expected, "something else"));
        }
    };
    let terms = line.terms.into_iter().map(TermId::from).collect();
    SparseVector::from_sorted(terms, weights)
}

/// Lines with their numbers, none without bound.
#[derive(Debug)]
struct Lines<R> {
    from: R,
    name: String,
    number: u64,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// The next line that is not blank.
    fn next(&mut self) -> Result<Option<&[u8]>> {
        loop {
            self.line.clear();
            let mut limited = self.from.by_ref().take(LINE_LEN_MAX);
            let read = limited.read_until(b'\n', &mut self.line);
            let len = read.map_err(|error| Error::io("read", &self.name, error))? as u64;
            if len == 0 {
                return Ok(None);
            }
            self.number += 1;
            if len == LINE_LEN_MAX && !self.line.ends_with(b"\n") {
                let what = format!("{}:{}: bytes of a line", self.name, self.number);
                return Err(Error::limit(what, LINE_LEN_MAX, LINE_LEN_MAX + 1));
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(Some(&self.line));
            }
        }
    }

    /// An error at the line read last.
    fn refuse(&self, expected: &str, found: impl Into<String>) -> Error {
        Error::invalid(format!("{}:{}", self.name, self.number), expected, found)
    }
}

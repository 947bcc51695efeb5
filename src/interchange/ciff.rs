//! The Common Index File Format: an inverted index as protobuf messages, which Lucene, PISA, JASS,
//! Terrier and OldDog exchange (Lin and others, *Supporting interoperability between open-source
//! search engines with the Common Index File Format*, SIGIR 2020).
//!
//! A header, lists of postings by term, records of documents. Where the format has term
//! frequencies, learned sparse indexes have impacts.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufReader, BufWriter, Write},
    path::Path,
};

use super::{
    refused, unreadable,
    wire::{Broken, Fields, Message, read_message},
};
use crate::{
    error::{Error, Result},
    id::TermId,
    sparse::SparseVector,
};

const VERSION: u32 = 1;
const BUFFER_LEN: usize = 1 << 18;
/// A record of a document has its length, and an id of a byte or more with tag and length.
const RECORD_LEN_MIN: u64 = 4;

/// A file in the Common Index File Format, read and turned round: documents with their impacts.
///
/// A term's id is the place of its list in the file, from 0. Memory is a small multiple of the
/// file, whatever its counts say.
///
/// ```
/// use sparsely::{Config, Document, Index, SparseVector, interchange::{self, Ciff}};
/// let path = std::env::temp_dir().join(format!("sparsely-doc-{}.ciff", std::process::id()));
/// let documents = [("d1", SparseVector::new([(3, 20.0), (7, 255.0)])?), ("d2", SparseVector::new([(7, 1.0)])?)];
/// let documents = documents.map(|(id, vector)| Ok((id.to_owned(), vector)));
/// interchange::write_ciff(&path, "an example", documents, |term| format!("term{term}"))?;
///
/// let ciff = Ciff::read(&path)?;
/// assert_eq!(ciff.find("term7").and_then(|term| ciff.term(term)), Some("term7"));
/// // Impacts of at most 255 stay as they are under this weight limit.
/// let index = Index::in_memory(Config::new().weight_limit(255.0))?;
/// let mut writer = index.writer()?;
/// for (id, vector) in ciff.documents() {
///     writer.upsert(Document::new(id, vector.clone()))?;
/// }
/// writer.commit()?;
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), sparsely::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Ciff {
    description: String,
    terms: Vec<String>,
    /// Places of terms by their names.
    by_name: Vec<u32>,
    documents: Vec<(String, SparseVector)>,
}

#[derive(Default)]
struct Header {
    lists: u32,
    documents: u32,
    description: String,
}

impl Ciff {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) with the place for a file that is
    /// cut off or longer than its header says, of another version, with documents that are out of
    /// order, unknown or twice, a term twice, or an impact that is not 1 to 2^31 - 1; and when the
    /// file cannot be read.
    pub fn read(path: impl AsRef<Path>) -> Result<Ciff> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
        let len = file
            .metadata()
            .map_err(|error| unreadable(path, error))?
            .len();
        let mut messages = Messages {
            from: BufReader::with_capacity(BUFFER_LEN, file),
            path,
            left: len,
            message: Vec::new(),
        };
        let header = messages.next("header", header)?;
        if u64::from(header.documents) > len / RECORD_LEN_MIN || u64::from(header.lists) > len {
            let found = format!("{} documents, {} lists", header.documents, header.lists);
            let expected = format!("counts that fit {len} bytes");
            return Err(refused(path, "header", expected, found));
        }

        let mut terms = Vec::new();
        let mut vectors = vec![(Vec::new(), Vec::new()); header.documents as usize];
        for term in 0..header.lists {
            let what = format!("list {term}");
            let name =
                messages.next(&what, |bytes| list(bytes, TermId::from(term), &mut vectors))?;
            terms.push(name);
        }
        let by_name = by_name(&terms).map_err(|twice| {
            refused(path, "lists", "each term once", format!("{twice:?} twice"))
        })?;

        let mut ids: Vec<Option<String>> = vec![None; vectors.len()];
        for at in 0..header.documents {
            messages.next(&format!("document {at}"), |bytes| record(bytes, &mut ids))?;
        }
        if messages.left > 0 {
            let found = format!("{} bytes more", messages.left);
            return Err(refused(path, "end", "the last document's", found));
        }
        let mut documents = Vec::with_capacity(vectors.len());
        for (id, (terms, weights)) in ids.into_iter().zip(vectors) {
            // As many records as documents, none twice: each has one.
            documents.push((
                id.unwrap_or_default(),
                SparseVector::from_sorted(terms, weights)?,
            ));
        }
        Ok(Ciff {
            description: header.description,
            terms,
            by_name,
            documents,
        })
    }

    /// What whoever wrote it says of it.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// How many terms there are: every term id is below it.
    #[must_use]
    pub fn term_count(&self) -> u32 {
        u32::try_from(self.terms.len()).unwrap_or(u32::MAX)
    }

    /// The name of a term.
    #[must_use]
    pub fn term(&self, id: TermId) -> Option<&str> {
        self.terms.get(id.get() as usize).map(String::as_str)
    }

    /// The term of a name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<TermId> {
        let name_of = |place: &u32| self.terms[*place as usize].as_str();
        let at = self
            .by_name
            .binary_search_by(|place| name_of(place).cmp(name));
        at.ok().map(|at| TermId::from(self.by_name[at]))
    }

    /// The documents with their impacts, whole numbers from 1 up, in the order of the file's ids.
    pub fn documents(&self) -> impl ExactSizeIterator<Item = (&str, &SparseVector)> {
        self.documents
            .iter()
            .map(|(id, vector)| (id.as_str(), vector))
    }
}

/// Writes documents with impacts, whole numbers from 1 to 16,777,216, in the Common Index File
/// Format. `term` names terms, each differently; lists are ordered by these names. What an index
/// holds comes from [`impacts`](super::impacts()).
///
/// Takes 8 bytes of memory a posting.
///
/// # Errors
/// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a weight that is no whole number
/// or too large and for two terms of one name; the first error of `documents`; and when the file
/// cannot be written.
pub fn write_ciff(
    path: impl AsRef<Path>,
    description: &str,
    documents: impl IntoIterator<Item = Result<(String, SparseVector)>>,
    mut term: impl FnMut(TermId) -> String,
) -> Result<()> {
    let path = path.as_ref();
    let mut lists: BTreeMap<TermId, Vec<(u32, u32)>> = BTreeMap::new();
    let mut records: Vec<(String, u64)> = Vec::new();
    for document in documents {
        let (id, vector) = document?;
        let at = i32::try_from(records.len())
            .map_err(|_| Error::limit("documents of a CIFF file", i32::MAX as u64, 1 << 31))?;
        let mut length = 0;
        for (term, weight) in vector.iter() {
            let impact = whole(weight).ok_or_else(|| {
                let what = format!("document {id:?}: weight of term {term}");
                let expected = "a whole number of 1 to 16777216, an impact";
                Error::invalid(what, expected, weight.to_string())
            })?;
            length += u64::from(impact);
            lists
                .entry(term)
                .or_default()
                .push((at.cast_unsigned(), impact));
        }
        records.push((id, length));
    }
    let mut named: Vec<(String, Vec<(u32, u32)>)> = lists
        .into_iter()
        .map(|(id, postings)| (term(id), postings))
        .collect();
    named.sort_by(|a, b| a.0.cmp(&b.0));
    if let Some(pair) = named.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(Error::invalid(
            "names of terms",
            "each once",
            format!("{:?} twice", pair[0].0),
        ));
    }
    let write = || -> std::io::Result<()> {
        let mut to = BufWriter::with_capacity(BUFFER_LEN, File::create(path)?);
        write_messages(&mut to, description, &named, &records)?;
        to.flush()
    };
    write().map_err(|error| Error::io("write", path, error))
}

fn write_messages(
    to: &mut impl Write,
    description: &str,
    lists: &[(String, Vec<(u32, u32)>)],
    records: &[(String, u64)],
) -> std::io::Result<()> {
    let total: u64 = records.iter().map(|(_, length)| length).sum();
    #[expect(clippy::cast_precision_loss, reason = "an average for people")]
    let average = total as f64 / records.len().max(1) as f64;
    let mut message = Message::default();
    message.number(1, VERSION.into());
    message.number(2, lists.len() as u64);
    message.number(3, records.len() as u64);
    message.number(4, lists.len() as u64);
    message.number(5, records.len() as u64);
    message.number(6, total);
    message.double(7, average);
    message.bytes(8, description.as_bytes());
    message.write(to)?;
    let mut posting = Message::default();
    for (name, postings) in lists {
        message.bytes(1, name.as_bytes());
        message.number(2, postings.len() as u64);
        message.number(
            3,
            postings.iter().map(|(_, impact)| u64::from(*impact)).sum(),
        );
        let mut last = 0;
        for (document, impact) in postings {
            posting.number(1, (document - last).into());
            posting.number(2, (*impact).into());
            message.bytes(4, &posting.0);
            posting.0.clear();
            last = *document;
        }
        message.write(to)?;
    }
    for (at, (id, length)) in records.iter().enumerate() {
        message.number(1, at as u64);
        message.bytes(2, id.as_bytes());
        // An int32 in the format; nothing here reads it.
        message.number(3, (*length).min(i32::MAX as u64));
        message.write(to)?;
    }
    Ok(())
}

/// Messages of a file, one by one.
struct Messages<'a> {
    from: BufReader<File>,
    path: &'a Path,
    left: u64,
    message: Vec<u8>,
}

impl Messages<'_> {
    fn next<T>(&mut self, what: &str, parse: impl FnOnce(&[u8]) -> Result<T, Broken>) -> Result<T> {
        let read = read_message(&mut self.from, &mut self.left, &mut self.message);
        read.map_err(|error| unreadable(self.path, error))?
            .and_then(|()| parse(&self.message))
            .map_err(|broken| refused(self.path, what, "a message of the format", broken))
    }
}

fn header(message: &[u8]) -> Result<Header, Broken> {
    let mut header = Header::default();
    let mut version = 0;
    let mut fields = Fields(message);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => version = field.number()?,
            2 => header.lists = field.number()?,
            3 => header.documents = field.number()?,
            8 => field.text()?.clone_into(&mut header.description),
            _ => {}
        }
    }
    match version {
        VERSION => Ok(header),
        other => Err(format!("version {other}")),
    }
}

/// Adds a list's impacts to the documents' vectors; returns the term.
fn list(
    message: &[u8],
    id: TermId,
    vectors: &mut [(Vec<TermId>, Vec<f32>)],
) -> Result<String, Broken> {
    let mut name = String::new();
    let mut last: Option<u64> = None;
    let mut fields = Fields(message);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => field.text()?.clone_into(&mut name),
            4 => {
                let (gap, impact) = posting(field.bytes()?)?;
                let document = match last {
                    None => u64::from(gap),
                    Some(_) if gap == 0 => return Err("a document twice in a list".to_owned()),
                    Some(last) => last + u64::from(gap),
                };
                let count = vectors.len();
                let vector = usize::try_from(document)
                    .ok()
                    .and_then(|at| vectors.get_mut(at));
                let Some((terms, weights)) = vector else {
                    return Err(format!("document {document} of {count}"));
                };
                terms.push(id);
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "an impact above 2^24 is rounded to what a weight can hold"
                )]
                weights.push(impact as f32);
                last = Some(document);
            }
            _ => {}
        }
    }
    Ok(name)
}

fn posting(message: &[u8]) -> Result<(u32, u32), Broken> {
    let (mut gap, mut impact) = (0, 0);
    let mut fields = Fields(message);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => gap = field.number()?,
            2 => impact = field.number()?,
            _ => {}
        }
    }
    match impact {
        1..=0x7fff_ffff => Ok((gap, impact)),
        other => Err(format!("the impact {other}")),
    }
}

fn record(message: &[u8], ids: &mut [Option<String>]) -> Result<(), Broken> {
    let (mut at, mut id) = (0_usize, "");
    let mut fields = Fields(message);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => at = field.number()?,
            2 => id = field.text()?,
            _ => {}
        }
    }
    let count = ids.len();
    match ids.get_mut(at) {
        _ if id.is_empty() => Err("a document without an id".to_owned()),
        None => Err(format!("document {at} of {count}")),
        Some(Some(_)) => Err(format!("document {at} twice")),
        Some(place) => {
            *place = Some(id.to_owned());
            Ok(())
        }
    }
}

/// The places of names in their order, or one that is there twice.
fn by_name(terms: &[String]) -> Result<Vec<u32>, &str> {
    let count = u32::try_from(terms.len()).unwrap_or(u32::MAX);
    let name = |place: &u32| terms[*place as usize].as_str();
    let mut places: Vec<u32> = (0..count).collect();
    places.sort_by(|a, b| name(a).cmp(name(b)));
    match places
        .windows(2)
        .find(|pair| name(&pair[0]) == name(&pair[1]))
    {
        Some(pair) => Err(name(&pair[0])),
        None => Ok(places),
    }
}

/// The whole number that a weight is.
fn whole(weight: f32) -> Option<u32> {
    let is_impact = weight.fract() == 0.0 && (1.0..=16_777_216.0).contains(&weight);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number of 1 to 2^24"
    )]
    let impact = weight as u32;
    is_impact.then_some(impact)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn documents() -> Vec<(String, SparseVector)> {
        let vector = |pairs: &[(u32, f32)]| SparseVector::new(pairs.iter().copied()).unwrap();
        vec![
            (
                "first".to_owned(),
                vector(&[(9, 3.0), (2, 255.0), (70_000, 1.0)]),
            ),
            ("empty".to_owned(), vector(&[])),
            ("é/3".to_owned(), vector(&[(9, 1.0), (10, 300.0)])),
        ]
    }

    fn written() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.ciff");
        write_ciff(
            &path,
            "made here",
            documents().into_iter().map(Ok),
            |term| format!("t{term}"),
        )
        .unwrap();
        (folder, path)
    }

    #[test]
    fn documents_come_back_under_new_term_ids() {
        let (_folder, path) = written();
        let ciff = Ciff::read(&path).unwrap();
        assert_eq!((ciff.description(), ciff.term_count()), ("made here", 4));
        let name = |id: TermId| ciff.term(id).unwrap()[1..].parse::<u32>().unwrap();
        let back: Vec<(String, SparseVector)> = ciff
            .documents()
            .map(|(id, vector)| {
                let pairs = vector.iter().map(|(term, impact)| (name(term), impact));
                (id.to_owned(), SparseVector::new(pairs).unwrap())
            })
            .collect();
        assert_eq!(back, documents());
        assert_eq!(ciff.find("t9").map(name), Some(9));
        assert_eq!(ciff.find("t99"), None);
        // Names are in the order of their bytes.
        assert_eq!(ciff.term(TermId::from(0)), Some("t10"));
    }

    #[test]
    fn the_bytes_are_those_of_the_format() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.ciff");
        let one = SparseVector::new([(1, 5.0)]).unwrap();
        let both = [("a", one.clone()), ("b", one)].map(|(id, v)| Ok((id.to_owned(), v)));
        write_ciff(&path, "", both, |_| "x".to_owned()).unwrap();
        let mut expected = vec![
            23, 8, 1, 16, 1, 24, 2, 32, 1, 40, 2, 48, 10, 57, 0, 0, 0, 0, 0, 0, 20, 64, 66, 0,
        ];
        // term "x", df 2, cf 10, postings {tf 5} and {docid 1, tf 5}.
        expected.extend([
            17, 10, 1, b'x', 16, 2, 24, 10, 34, 2, 16, 5, 34, 4, 8, 1, 16, 5,
        ]);
        expected.extend([5, 18, 1, b'a', 24, 5, 7, 8, 1, 18, 1, b'b', 24, 5]);
        assert_eq!(std::fs::read(&path).unwrap(), expected);
    }

    #[test]
    fn damage_gives_errors_or_other_documents_and_never_a_panic() {
        let (_folder, path) = written();
        let good = std::fs::read(&path).unwrap();
        for len in 0..good.len() {
            std::fs::write(&path, &good[..len]).unwrap();
            let error = Ciff::read(&path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{len}: {error}");
        }
        let mut refused = 0;
        for at in 0..good.len() {
            for byte in [0, 0x7f, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] = byte;
                std::fs::write(&path, &bad).unwrap();
                refused += usize::from(Ciff::read(&path).is_err());
            }
        }
        assert!(refused > good.len(), "{refused}");
        std::fs::write(&path, [&good[..], &[0]].concat()).unwrap();
        assert!(Ciff::read(&path).is_err());
    }

    #[test]
    fn absurd_counts_are_refused_before_memory_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.ciff");
        for (lists, count) in [(0, i32::MAX), (i32::MAX, 0), (i32::MAX, i32::MAX)] {
            let mut bytes = Vec::new();
            let mut message = Message::default();
            message.number(1, 1);
            message.number(2, lists.cast_unsigned().into());
            message.number(3, count.cast_unsigned().into());
            message.write(&mut bytes).unwrap();
            std::fs::write(&path, &bytes).unwrap();
            let error = Ciff::read(&path).unwrap_err().to_string();
            assert!(
                error.contains("header: expected counts that fit"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_the_format_cannot_hold_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.ciff");
        for weight in [0.5, 1.5, 2e7] {
            let vector = SparseVector::new([(1, weight)]).unwrap();
            let written = write_ciff(&path, "", [Ok(("a".to_owned(), vector))], |_| String::new());
            assert!(written.unwrap_err().to_string().contains("document \"a\""));
        }
        let vector = SparseVector::new([(1, 1.0), (2, 1.0)]).unwrap();
        let twice = write_ciff(&path, "", [Ok(("a".to_owned(), vector))], |_| {
            "x".to_owned()
        });
        assert!(twice.unwrap_err().to_string().contains("\"x\" twice"));
    }
}

//! Writes an index as lines, damaged or not.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    io::{BufWriter, Write},
    path::Path,
    sync::Arc,
};

use serde::Serialize;

use super::{Counts, DocumentLine, EndLine, FieldLine, HeaderLine, VectorLine, Weight, to_hex};
use crate::{
    error::{Error, ErrorKind, Result},
    format::{Manifest, SegmentRecord},
    id::{CommitId, DocId, SegmentId},
    index::{
        Damage, Index, recovery, repair,
        verify::{damage, live_documents},
    },
    progress::Progress,
    segment::{Deletes, DocKey, LiveSegment, Remains, RemainsView, Schema, Whole, WholeReader},
    sparse::SparseVector,
    storage::{Disk, Storage},
};

/// How many documents go by between two calls of the progress callback.
const STEP: u64 = 1024;

/// What [`Index::export`] wrote, and what it could not read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Export {
    commit: CommitId,
    documents: u64,
    given_up_commits: Vec<CommitId>,
    revived_segments: Vec<SegmentId>,
    lost_keys: Vec<DocKey>,
    lost_unnamed: u64,
    remains: u64,
    damage: Vec<Damage>,
}

impl Export {
    /// The commit that was exported.
    #[must_use]
    pub fn commit(&self) -> CommitId {
        self.commit
    }

    /// How many documents were written.
    #[must_use]
    pub fn documents(&self) -> u64 {
        self.documents
    }

    /// Newer commits whose manifests could not be read.
    #[must_use]
    pub fn given_up_commits(&self) -> &[CommitId] {
        &self.given_up_commits
    }

    /// Segments whose record of deletes could not be read: documents deleted from them, and not
    /// replaced since, were written.
    #[must_use]
    pub fn revived_segments(&self) -> &[SegmentId] {
        &self.revived_segments
    }

    /// Keys of the documents that could not be read, as far as the keys can.
    #[must_use]
    pub fn lost_keys(&self) -> &[DocKey] {
        &self.lost_keys
    }

    /// How many more could not be read, not even their keys.
    #[must_use]
    pub fn lost_unnamed(&self) -> u64 {
        self.lost_unnamed
    }

    /// How many of the lost documents have a line without a vector: their keys, and what can be read
    /// of their texts, payloads and fields. [`Import::read_into_encoding`](super::Import::read_into_encoding)
    /// makes documents of them again.
    #[must_use]
    pub fn remains(&self) -> u64 {
        self.remains
    }

    /// Why, at most one finding a place.
    #[must_use]
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// Whether everything was written.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.damage.is_empty() && self.given_up_commits.is_empty()
    }

    /// A segment that cannot be opened.
    fn lose(&mut self, record: &SegmentRecord, named: Option<&LiveSegment>) {
        let count = u64::from(record.doc_count - record.deleted_count());
        let before = self.lost_keys.len();
        if let Some(live) = named {
            let docs = live_documents(live).filter_map(|doc| live.segment().key(doc).ok());
            self.lost_keys.extend(docs);
        }
        let named = (self.lost_keys.len() - before) as u64;
        self.lost_unnamed += count.saturating_sub(named);
    }

    /// A document that has no vector any more.
    fn put_remains<W: Write>(
        &mut self,
        left: Option<Remains>,
        lines: &mut LineWriter<W>,
    ) -> Result<()> {
        let Some(left) = left else {
            self.lost_unnamed += 1;
            return Ok(());
        };
        self.lost_keys.push(left.key.clone());
        if left.text.is_none() && left.payload.is_none() && left.fields.is_empty() {
            return Ok(());
        }
        self.remains += 1;
        lines.put(&DocumentLine::of_remains(left))
    }

    fn note(&mut self, error: &Error) {
        let damage = Damage::of("a segment", error);
        if !self.damage.contains(&damage) {
            self.damage.push(damage);
        }
    }
}

impl Index {
    /// Writes the newest commit to `out` as lines of JSON: first what the index was told when it
    /// was created, then every document with all that is stored of it, then a count. What
    /// disagrees with its checksum is left out and reported; everything else is written, whatever
    /// is damaged around it: of a document whose vector is damaged, a line without one.
    /// [`Import`](super::Import) reads the lines back, and the answers are then the same, bit for bit.
    ///
    /// ```
    /// use sparsely::{Config, Document, Import, Index, Progress, SparseVector};
    /// let index = Index::in_memory(Config::new())?;
    /// let mut writer = index.writer()?;
    /// writer.upsert(Document::new("k", SparseVector::new([(3, 1.0)])?).text("text"))?;
    /// writer.commit()?;
    /// let mut lines = Vec::new();
    /// assert!(index.export(&mut lines, &mut Progress::none())?.is_complete());
    ///
    /// let import = Import::open("the lines", &lines[..])?;
    /// let copy = Index::in_memory(import.configure(Config::new()))?;
    /// let mut writer = copy.writer()?;
    /// assert_eq!(import.read_into(&mut writer, &mut Progress::none())?, 1);
    /// writer.commit()?;
    /// assert_eq!(copy.snapshot()?.document("k")?, index.snapshot()?.document("k")?);
    /// # Ok::<(), sparsely::Error>(())
    /// ```
    ///
    /// # Errors
    /// When `out` fails, when no manifest can be read, or when the device fails in a way that is
    /// no damage; [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled).
    pub fn export(&self, out: impl Write, progress: &mut Progress<'_>) -> Result<Export> {
        Index::export_storage(&*self.core.storage, out, progress)
    }

    /// [`Index::export`] for an index that may be too damaged to open.
    ///
    /// # Errors
    /// As [`Index::export`].
    pub fn export_at(
        path: impl AsRef<Path>,
        out: impl Write,
        progress: &mut Progress<'_>,
    ) -> Result<Export> {
        Index::export_storage(&Disk::open(path), out, progress)
    }

    /// [`Index::export_at`], wherever the files are.
    ///
    /// # Errors
    /// As [`Index::export`].
    pub fn export_storage(
        storage: &dyn Storage,
        out: impl Write,
        progress: &mut Progress<'_>,
    ) -> Result<Export> {
        let opened = Opened::newest(storage)?;
        let mut lines = LineWriter(BufWriter::new(out));
        opened.write(&mut lines, progress)
    }
}

/// A commit with all that could be opened of it.
struct Opened {
    manifest: Manifest,
    segments: Vec<(SegmentRecord, LiveSegment)>,
    /// Segments that cannot be opened: what does not depend on their vectors, and what is deleted.
    broken: Vec<(RemainsView, Option<Deletes>)>,
    export: Export,
}

impl Opened {
    /// Opened at once, so that a writer that removes files does not matter afterwards. What cannot
    /// be read while a writer commits may be removed and not damaged, so then it starts over.
    fn newest(storage: &dyn Storage) -> Result<Opened> {
        let mut attempts = 0;
        loop {
            let names = storage.list()?;
            let opened = repair::newest_manifest(storage, &names)
                .and_then(|(manifest, given_up)| Opened::open(storage, manifest, given_up));
            let is_settled = match &opened {
                Ok(opened) => opened.export.is_complete(),
                Err(error) => !matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound),
            };
            attempts += 1;
            if is_settled
                || attempts == recovery::ATTEMPTS
                || storage.list()?.iter().all(|name| names.contains(name))
            {
                return opened;
            }
        }
    }

    fn open(storage: &dyn Storage, manifest: Manifest, given_up: Vec<CommitId>) -> Result<Opened> {
        let mut export = Export {
            commit: manifest.commit,
            given_up_commits: given_up,
            ..Export::default()
        };
        let mut segments = Vec::new();
        let mut broken = Vec::new();
        for record in &manifest.segments {
            let bare = SegmentRecord {
                deletes: None,
                ..*record
            };
            let open = |record| recovery::open_live(storage, manifest.index, record, None);
            let error = match open(record) {
                Ok(live) => {
                    segments.push((*record, live));
                    continue;
                }
                Err(error) => error,
            };
            export.note(&damage(error)?);
            match open(&bare) {
                Ok(live) if record.deletes.is_some() => {
                    export.revived_segments.push(record.id);
                    segments.push((bare, live));
                }
                _ => match recovery::open_remains(storage, manifest.index, record) {
                    Some(remains) => {
                        if record.deletes.is_some() && remains.1.is_none() {
                            export.revived_segments.push(record.id);
                        }
                        broken.push(remains);
                    }
                    None => {
                        let named = recovery::open_damaged(storage, manifest.index, record);
                        export.lose(record, named.as_ref());
                    }
                },
            }
        }
        Ok(Opened {
            manifest,
            segments,
            broken,
            export,
        })
    }

    fn write<W: Write>(
        mut self,
        lines: &mut LineWriter<W>,
        progress: &mut Progress<'_>,
    ) -> Result<Export> {
        let counts = self.manifest.segments.iter();
        let total: u64 = counts
            .map(|record| u64::from(record.doc_count - record.deleted_count()))
            .sum();
        let commit = self.manifest.commit.get();
        let mut header = HeaderLine::new(&self.manifest.config, commit, total);
        header.fields = self.fields();
        lines.put(&header)?;
        for at in 0..self.segments.len() {
            self.write_segment(at, total, lines, progress)?;
        }
        for (remains, deletes) in std::mem::take(&mut self.broken) {
            let docs = (0..remains.doc_count()).map(DocId);
            let is_deleted = |doc| deletes.as_ref().is_some_and(|all| all.contains(doc));
            let live = docs.filter(|doc| !is_deleted(*doc));
            remains.visit(live, |_, left| match left {
                // Where nothing says what is deleted.
                Some(left) if deletes.is_none() && self.is_replaced(None, &left.key) => Ok(()),
                left => self.export.put_remains(left, lines),
            })?;
        }
        let lost = self.export.lost_keys.len() as u64 + self.export.lost_unnamed;
        let documents = self.export.documents;
        lines.put(&EndLine {
            end: Counts { documents, lost },
        })?;
        lines.finish()?;
        Ok(self.export)
    }

    fn fields(&self) -> BTreeMap<String, String> {
        let mut schema = Schema::default();
        for (_, live) in &self.segments {
            // Types that contradict each other are damage, which reading the values reports.
            let _ = schema.absorb(live.segment().schema());
        }
        let fields = schema.iter();
        fields
            .map(|(name, field_type)| (name.to_owned(), field_type.to_string()))
            .collect()
    }

    fn write_segment<W: Write>(
        &mut self,
        at: usize,
        total: u64,
        lines: &mut LineWriter<W>,
        progress: &mut Progress<'_>,
    ) -> Result<()> {
        let (record, live) = self.segments[at].clone();
        let is_revived = self.export.revived_segments.contains(&record.id);
        let segment = Arc::clone(live.segment());
        let mut reader = WholeReader::new(&segment)?;
        let mut lost = Vec::new();
        for doc in reader.order(live_documents(&live)) {
            if self.export.documents.is_multiple_of(STEP) {
                progress.step("exporting", self.export.documents, total)?;
            }
            let whole = match reader.read(doc) {
                Ok(whole) => whole,
                Err(error) => {
                    self.export.note(&damage(error)?);
                    lost.push(doc);
                    continue;
                }
            };
            if is_revived && self.is_replaced(Some(at), &whole.key) {
                continue;
            }
            lines.put(&DocumentLine::of(whole))?;
            self.export.documents += 1;
        }
        if lost.is_empty() {
            return Ok(());
        }
        let remains = segment.remains()?;
        remains.visit(lost.into_iter(), |_, left| match left {
            Some(left) if is_revived && self.is_replaced(Some(at), &left.key) => Ok(()),
            left => self.export.put_remains(left, lines),
        })
    }

    /// Whether another segment than the one at `at` holds a document of this key: a newer one, since
    /// keys are unique.
    fn is_replaced(&self, at: Option<usize>, key: &DocKey) -> bool {
        let others = self.segments.iter().enumerate();
        let mut others = others.filter(|(other, _)| Some(*other) != at);
        others.any(|(_, (_, live))| matches!(live.find(key.as_bytes()), Ok(Some(_))))
    }
}

impl DocumentLine<'static> {
    fn of(whole: Whole) -> DocumentLine<'static> {
        let numbers = |terms: &[crate::TermId]| terms.iter().map(|term| term.get()).collect();
        let full = |vector: SparseVector| VectorLine {
            terms: numbers(vector.terms()),
            impacts: None,
            weights: Some(vector.weights().iter().copied().map(Weight).collect()),
        };
        let labels = whole.labels.into_iter();
        DocumentLine {
            vector: Some(VectorLine {
                terms: numbers(&whole.vector.terms),
                // Impacts follow from the weights that they stand for.
                impacts: whole.weights.is_none().then_some(whole.vector.impacts),
                weights: whole
                    .weights
                    .map(|all| all.into_iter().map(Weight).collect()),
            }),
            full_vector: whole.full_vector.map(full),
            own_terms: whole.own_terms.as_deref().map(numbers),
            labels: labels.map(|(term, label)| (term.get(), label)).collect(),
            ..DocumentLine::of_remains(Remains {
                key: whole.key,
                text: whole.text,
                payload: whole.payload,
                fields: whole.fields,
            })
        }
    }

    fn of_remains(left: Remains) -> DocumentLine<'static> {
        let (key, key_hex) = match String::from_utf8(left.key.into_bytes()) {
            Ok(key) => (Some(Cow::Owned(key)), None),
            Err(error) => (None, Some(to_hex(error.as_bytes()))),
        };
        let fields = left.fields.into_iter();
        DocumentLine {
            key,
            key_hex,
            text: left.text.map(Cow::Owned),
            payload_hex: left.payload.as_deref().map(to_hex),
            fields: fields
                .map(|(name, value)| (name, FieldLine::from(value)))
                .collect(),
            ..DocumentLine::default()
        }
    }
}

struct LineWriter<W: Write>(BufWriter<W>);

impl<W: Write> LineWriter<W> {
    fn put(&mut self, line: &impl Serialize) -> Result<()> {
        serde_json::to_writer(&mut self.0, line)
            .map_err(std::io::Error::from)
            .and_then(|()| self.0.write_all(b"\n"))
            .map_err(failed)
    }

    fn finish(&mut self) -> Result<()> {
        self.0.flush().map_err(failed)
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::io("write", "the export", error)
}

//! Documents without their vectors: what is left of those whose vectors are damaged.

use std::sync::Arc;

use super::{
    document::{DocKey, Value},
    fields::Fields,
    info::Info,
    keys::Keys,
    stored::{Record, Stored, StoredCursor},
    view::open_file,
};
use crate::{
    error::Result,
    format::{FileView, IndexId},
    id::DocId,
    storage::FileBytes,
};

/// What a segment keeps of a document beside its vector, as far as it agrees with its checksums.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Remains {
    pub(crate) key: DocKey,
    pub(crate) text: Option<String>,
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) fields: Vec<(String, Value)>,
}

/// The parts of a segment that do not depend on its postings: they open where the segment does not.
#[derive(Clone, Debug)]
pub(crate) struct RemainsView {
    doc_count: u32,
    keys: Keys,
    fields: Option<Fields>,
    stored: Option<Stored>,
}

impl RemainsView {
    /// Opens what can be opened of the file `name` of segment `number`.
    ///
    /// # Errors
    /// When the frame, the head or the tables of the keys are damaged: nothing can be named then.
    pub(crate) fn open(
        bytes: FileBytes,
        name: &str,
        index: IndexId,
        number: u64,
    ) -> Result<RemainsView> {
        RemainsView::of(&Arc::new(open_file(bytes, name, index, number)?))
    }

    /// The same of a file whose frame is open.
    pub(super) fn of(file: &Arc<FileView>) -> Result<RemainsView> {
        let doc_count = Info::read(file)?.doc_count;
        Ok(RemainsView {
            doc_count,
            keys: Keys::open(file, doc_count)?,
            fields: Fields::open(file, doc_count).ok(),
            stored: Stored::open(file, doc_count).ok().flatten(),
        })
    }

    pub(crate) fn doc_count(&self) -> u32 {
        self.doc_count
    }

    /// Calls `visit` with each of `docs` and what is left of it, none where not even its key is; in
    /// the order in which texts lie in the file, so that each block of them is decompressed once.
    pub(crate) fn visit(
        &self,
        docs: impl Iterator<Item = DocId>,
        mut visit: impl FnMut(DocId, Option<Remains>) -> Result<()>,
    ) -> Result<()> {
        let mut cursor = match &self.stored {
            Some(stored) => Some(stored.cursor()?),
            None => None,
        };
        let start = |doc| {
            let stored = self.stored.as_ref();
            stored.and_then(|stored| stored.start(doc).ok().flatten())
        };
        let mut docs: Vec<(Option<u64>, DocId)> = docs.map(|doc| (start(doc), doc)).collect();
        docs.sort_unstable();
        for (_, doc) in docs {
            visit(doc, self.read(doc, cursor.as_mut()))?;
        }
        Ok(())
    }

    fn read(&self, doc: DocId, cursor: Option<&mut StoredCursor<'_>>) -> Option<Remains> {
        let mut key = Vec::new();
        let rank = self.keys.rank(doc).ok()?;
        self.keys.read(rank, &mut key).ok()?;
        let record = cursor.and_then(|cursor| cursor.read(doc).ok());
        let Record { text, payload } = record.unwrap_or_default();
        let fields = self.fields.as_ref();
        Some(Remains {
            key: DocKey::from(key),
            text,
            payload,
            fields: fields
                .and_then(|all| all.values(doc).ok())
                .unwrap_or_default(),
        })
    }
}

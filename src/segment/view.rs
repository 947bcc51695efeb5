//! The view of a segment's file.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

#[cfg(feature = "json")]
use super::remains::RemainsView;
use super::{
    document::{DocKey, StoredDocument},
    fields::{FIELDS, Fields},
    full_vectors::{self, FULL_VECTORS},
    info::{INFO, Info},
    keys::{self, Keys},
    labels::{LABELS, Labels},
    lists::Lists,
    options::StatisticsKept,
    own_terms::{COUNTS, MASKS, Own, OwnTerms},
    postings::Postings,
    schema::Schema,
    stored::{self, Record, Stored},
    weights::{self, WEIGHTS},
};
use crate::{
    error::{Error, Result},
    format::{FileIdentity, FileKind, FileView, IndexId, SectionId},
    id::{DocId, TermId},
    quantize::{ImpactVector, Scale},
    sparse::SparseVector,
    storage::FileBytes,
};

/// Every section of a segment but those of its postings.
pub(super) const SECTIONS: [SectionId; 15] = [
    INFO,
    keys::KEYS,
    keys::GROUPS,
    keys::ORDER,
    FIELDS,
    stored::BLOCKS,
    stored::INDEX,
    FULL_VECTORS[0],
    FULL_VECTORS[1],
    WEIGHTS[0],
    WEIGHTS[1],
    LABELS,
    COUNTS,
    MASKS[0],
    MASKS[1],
];

/// Opens the frame of a segment's file.
pub(super) fn open_file(
    bytes: FileBytes,
    name: &str,
    index: IndexId,
    number: u64,
) -> Result<FileView> {
    let identity = FileIdentity {
        kind: FileKind::Segment,
        index,
        number,
    };
    let known = [&SECTIONS, Postings::SECTIONS].concat();
    FileView::open(bytes, name, identity, &known)
}

/// A checked view of a segment's file.
#[derive(Debug)]
pub(crate) struct Segment {
    file: Arc<FileView>,
    info: Info,
    keys: Keys,
    fields: Fields,
    stored: Option<Stored>,
    full_vectors: Option<Lists>,
    weights: Option<Lists>,
    labels: Option<Labels>,
    own_terms: Option<OwnTerms>,
    postings: Postings,
}

impl Segment {
    /// Opens the file `name` of segment `number`: frame, head, then each section's table against
    /// the head's count of documents.
    pub(crate) fn open(
        bytes: FileBytes,
        name: &str,
        index: IndexId,
        number: u64,
    ) -> Result<Segment> {
        Segment::open_as(bytes, name, index, number, false)
    }

    /// As [`Segment::open`], without a look at the checksums of what the frame holds: whatever is
    /// read may be wrong. To name what a damaged segment held.
    pub(crate) fn open_damaged(
        bytes: FileBytes,
        name: &str,
        index: IndexId,
        number: u64,
    ) -> Result<Segment> {
        Segment::open_as(bytes, name, index, number, true)
    }

    fn open_as(
        bytes: FileBytes,
        name: &str,
        index: IndexId,
        number: u64,
        trusts: bool,
    ) -> Result<Segment> {
        let file = Arc::new(open_file(bytes, name, index, number)?);
        if trusts {
            file.trust();
        }
        let info = Info::read(&file)?;
        let doc_count = info.doc_count;
        Ok(Segment {
            keys: Keys::open(&file, doc_count)?,
            fields: Fields::open(&file, doc_count)?,
            stored: Stored::open(&file, doc_count)?,
            full_vectors: Lists::open(&file, FULL_VECTORS, doc_count)?,
            weights: Lists::open(&file, WEIGHTS, doc_count)?,
            labels: Labels::open(&file)?,
            own_terms: OwnTerms::open(&file, doc_count)?,
            postings: Postings::open(&file, doc_count)?,
            info,
            file,
        })
    }

    /// Documents, deleted ones included.
    pub(crate) fn doc_count(&self) -> u32 {
        self.info.doc_count
    }

    /// Postings, those of deleted documents included.
    pub(crate) fn posting_count(&self) -> u64 {
        self.info.posting_count
    }

    /// Weights that were over the scale's limit when they were written.
    pub(crate) fn saturated_count(&self) -> u64 {
        self.info.saturated_count
    }

    pub(crate) fn scale(&self) -> Scale {
        self.info.scale
    }

    /// The file's frame.
    pub(crate) fn file(&self) -> &FileView {
        &self.file
    }

    /// The sections that the file has: name, whether it is one of the postings, bytes.
    pub(crate) fn sections(&self) -> impl Iterator<Item = (&'static str, bool, u64)> + '_ {
        let own = SECTIONS.iter().map(|id| (*id, false));
        let all = own.chain(Postings::SECTIONS.iter().map(|id| (*id, true)));
        all.filter_map(|(id, is_postings)| {
            let len = self.file.range(id)?.len() as u64;
            Some((id.name, is_postings, len))
        })
    }

    pub(crate) fn schema(&self) -> &Schema {
        self.fields.schema()
    }

    pub(crate) fn fields(&self) -> &Fields {
        &self.fields
    }

    pub(crate) fn postings(&self) -> &Postings {
        &self.postings
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(super) fn stored_records(&self) -> Option<&Stored> {
        self.stored.as_ref()
    }

    /// What does not depend on the vectors.
    #[cfg(feature = "json")]
    pub(crate) fn remains(&self) -> Result<RemainsView> {
        RemainsView::of(&self.file)
    }

    pub(super) fn full_vectors(&self) -> Option<&Lists> {
        self.full_vectors.as_ref()
    }

    /// The document of a key, deleted or not.
    pub(crate) fn find(&self, key: &[u8]) -> Result<Option<DocId>> {
        let rank = self.keys.find(key)?;
        rank.map(|rank| self.keys.doc(rank)).transpose()
    }

    /// The key of a document.
    pub(crate) fn key(&self, doc: DocId) -> Result<DocKey> {
        let mut key = Vec::new();
        self.read_key(doc, &mut key)?;
        Ok(DocKey::from(key))
    }

    /// Appends the key of a document to `into`.
    pub(crate) fn read_key(&self, doc: DocId, into: &mut Vec<u8>) -> Result<()> {
        self.keys.read(self.keys.rank(doc)?, into)
    }

    /// The number of steps of [`Segment::prefetch_key`].
    pub(crate) const PREFETCH_KEY_STEPS: usize = 3;

    /// Asks for what [`Segment::read_key`] needs, in steps from 0, each of which needs what the one
    /// before asked for.
    pub(crate) fn prefetch_key(&self, doc: DocId, step: usize) {
        self.keys.prefetch(doc, step);
    }

    /// Positions of the keys among the segment's sorted keys, by document, little-endian.
    pub(crate) fn ranks(&self) -> Result<&[[u8; 4]]> {
        self.keys.ranks()
    }

    /// Ranks of the keys with a prefix.
    pub(crate) fn ranks_with_prefix(&self, prefix: &[u8]) -> Result<Range<u32>> {
        self.keys.with_prefix(prefix)
    }

    /// The first and the last key.
    pub(crate) fn key_ends(&self) -> Result<[DocKey; 2]> {
        let key = |rank| self.key(self.doc_of_rank(rank)?);
        Ok([key(0)?, key(self.doc_count().saturating_sub(1))?])
    }

    /// The document of a rank.
    pub(crate) fn doc_of_rank(&self, rank: u32) -> Result<DocId> {
        self.keys.doc(rank)
    }

    /// Everything stored of a document but its vectors.
    pub(crate) fn stored(&self, doc: DocId) -> Result<StoredDocument> {
        let record = match &self.stored {
            Some(stored) => stored.cursor()?.read(doc)?,
            None => Record::default(),
        };
        Ok(StoredDocument {
            key: self.key(doc)?,
            text: record.text,
            payload: record.payload,
            fields: self.fields.values(doc)?,
        })
    }

    /// The fuller vector of a document, if it has one.
    pub(crate) fn full_vector(&self, doc: DocId) -> Result<Option<SparseVector>> {
        match &self.full_vectors {
            Some(lists) => full_vectors::read(lists, doc),
            None => Ok(None),
        }
    }

    /// The dot product of `query` with the fuller vector of a document, if it has one.
    pub(crate) fn full_dot(&self, doc: DocId, query: &SparseVector) -> Result<Option<f32>> {
        match &self.full_vectors {
            Some(lists) => full_vectors::dot(lists, doc, query),
            None => Ok(None),
        }
    }

    /// Whether some documents may have a fuller vector.
    pub(crate) fn has_full_vectors(&self) -> bool {
        self.full_vectors.is_some()
    }

    /// Asks for the bytes that [`Segment::full_dot`] needs, once the place where they begin was
    /// asked for.
    pub(crate) fn prefetch_full(&self, doc: DocId) {
        if let Some(lists) = &self.full_vectors {
            lists.prefetch(doc);
        }
    }

    /// Asks for where the fuller vector of a document begins.
    pub(crate) fn prefetch_full_place(&self, doc: DocId) {
        if let Some(lists) = &self.full_vectors {
            lists.prefetch_place(doc);
        }
    }

    /// The most by which one of the encoder's own weights is above what its impact stands for.
    ///
    /// # Errors
    /// When those weights are not kept.
    pub(crate) fn most_over(&self) -> Result<f32> {
        match &self.weights {
            Some(_) => Ok(self.info.weight_over),
            None => Err(no_weights()),
        }
    }

    /// Replaces `into` by the encoder's own weights of a document, which has `len` terms, by
    /// rising term.
    pub(crate) fn weights(&self, doc: DocId, len: usize, into: &mut Vec<f32>) -> Result<()> {
        match &self.weights {
            Some(lists) => weights::read(lists, doc, len, into),
            None => Err(no_weights()),
        }
    }

    /// Whether the encoder's own weights are kept.
    #[cfg(feature = "json")]
    pub(super) fn has_weights(&self) -> bool {
        self.weights.is_some()
    }

    /// [`Segment::weights`], of as many terms as there are weights.
    pub(super) fn stored_weights(&self, doc: DocId, into: &mut Vec<f32>) -> Result<()> {
        match &self.weights {
            Some(lists) => weights::read(lists, doc, lists.bytes(doc)?.len() / 4, into),
            None => Err(no_weights()),
        }
    }

    /// What a term means, if the segment knows.
    pub(crate) fn label(&self, term: TermId) -> Result<Option<&str>> {
        match &self.labels {
            Some(labels) => labels.label(term),
            None => Ok(None),
        }
    }

    pub(super) fn for_each_label(&self, visit: impl FnMut(TermId, &str)) -> Result<()> {
        match &self.labels {
            Some(labels) => labels.for_each(visit),
            None => Ok(()),
        }
    }

    /// Whether some documents have terms that are not their own.
    pub(super) fn has_expansions(&self) -> bool {
        self.own_terms.is_some()
    }

    /// Documents that have `term` as their own, deleted ones included; 0 where statistics are not
    /// kept.
    pub(crate) fn own_count(&self, term: TermId) -> u32 {
        match (self.info.statistics, &self.own_terms) {
            (StatisticsKept::None, _) => 0,
            (StatisticsKept::OwnTerms, Some(own)) => own.count(term),
            (StatisticsKept::OwnTerms, None) => self.postings.posting_count(term),
        }
    }

    /// Appends the terms that a document counts for; none where statistics are not kept.
    pub(crate) fn own_terms(&self, doc: DocId, into: &mut Vec<TermId>) -> Result<()> {
        if self.info.statistics == StatisticsKept::None {
            return Ok(());
        }
        let mut vector = ImpactVector::default();
        self.postings.read(doc, &mut vector)?;
        let own = self.own(doc, vector.len())?;
        let terms = vector.terms.iter().enumerate();
        into.extend(terms.filter(|(at, _)| own.has(*at)).map(|(_, term)| *term));
        Ok(())
    }

    pub(super) fn own(&self, doc: DocId, len: usize) -> Result<Own> {
        let mask = match &self.own_terms {
            Some(own) => own.mask(doc, len)?,
            None => None,
        };
        Ok(mask.map_or(Own::All, |mask| Own::Mask(mask.to_vec())))
    }

    /// Reads everything, and compares it with its checksums and with itself.
    pub(crate) fn verify(&self) -> Result<()> {
        self.file.verify()?;
        self.keys.verify()?;
        self.fields.verify()?;
        if let Some(stored) = &self.stored {
            stored.verify()?;
        }
        if let Some(lists) = &self.full_vectors {
            lists.verify(self.doc_count())?;
        }
        if let Some(lists) = &self.weights {
            lists.verify(self.doc_count())?;
        }
        if let Some(labels) = &self.labels {
            labels.verify()?;
        }
        self.postings.verify()?;
        self.verify_vectors()
    }

    fn verify_vectors(&self) -> Result<()> {
        let mut vector = ImpactVector::default();
        let mut counted: BTreeMap<TermId, u32> = BTreeMap::new();
        let mut postings = 0;
        let mut own_weights = Vec::new();
        for doc in (0..self.doc_count()).map(DocId) {
            self.full_vector(doc)?;
            self.postings.read(doc, &mut vector)?;
            postings += vector.len() as u64;
            if let Some(lists) = &self.weights {
                weights::read(lists, doc, vector.len(), &mut own_weights)?;
                self.verify_weights(&vector, &own_weights)?;
            }
            if self.own_terms.is_some() {
                let own = self.own(doc, vector.len())?;
                for (at, term) in vector.terms.iter().enumerate() {
                    if own.has(at) {
                        *counted.entry(*term).or_default() += 1;
                    }
                }
            }
        }
        if postings != self.info.posting_count {
            let origin = self.file.origin(INFO);
            let expected = format_args!("a posting count of {postings}");
            return Err(origin.corrupt(16, expected, self.info.posting_count));
        }
        match &self.own_terms {
            Some(own) => own.verify(&counted, self.doc_count()),
            None => Ok(()),
        }
    }

    /// Impacts that stand for the weights, within the bound that the head states.
    fn verify_weights(&self, vector: &ImpactVector, own: &[f32]) -> Result<()> {
        let scale = self.scale();
        let mut pairs = vector.impacts.iter().zip(own);
        if let Some((impact, weight)) = pairs.find(|(i, w)| scale.impact(**w) != **i) {
            let origin = self.file.origin(WEIGHTS[0]);
            let expected = format_args!("a weight of impact {impact}");
            return Err(origin.corrupt(0, expected, weight));
        }
        let over = weights::most_over(own.iter(), scale);
        if over > self.info.weight_over {
            let origin = self.file.origin(INFO);
            let expected = format_args!("at least {over}");
            return Err(origin.corrupt(12, expected, self.info.weight_over));
        }
        Ok(())
    }
}

/// What a segment without weights is asked for.
fn no_weights() -> Error {
    Error::unsupported(
        "float-exact search without the encoder's own weights",
        "create the index with `Config::keep_weights` and add the documents again",
    )
}

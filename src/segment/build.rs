//! Writes a segment's file from any source of documents: fresh ones, or segments being merged.
//!
//! The source says what each document holds; this module decides in which order the documents lie
//! and writes section after section. It never holds all texts or all vectors.

use std::collections::BTreeMap;

use super::{
    Schema,
    document::Value,
    fields::ValueRef,
    fields_write,
    full_vectors::{self, FULL_VECTORS},
    info::{INFO, Info},
    keys::KeysWriter,
    labels::{LABELS, label_bytes},
    lists::ListsWriter,
    options::{Order, SegmentOptions, SegmentSummary, StatisticsKept},
    order::{self, Parts},
    own_terms::{COUNTS, MASKS, Own, count_bytes},
    part::index,
    postings,
    source::ImpactSource,
    stored::StoredWriter,
    weights::{self, WEIGHTS},
};
use crate::{
    error::{Error, Result},
    format::FileWriter,
    id::{DocId, TermId},
    progress::Progress,
    quantize::ImpactVector,
    sparse::SparseVector,
    storage::WriteFile,
};

/// Visits the key of each document.
pub(super) type VisitKey<'v> = dyn FnMut(&[u8], u32) -> Result<()> + 'v;
/// Visits the value of each document that has one.
pub(super) type VisitValue<'v> = dyn FnMut(u32, ValueRef<'_>) + 'v;
/// Visits the text and payload of each document that has some.
pub(super) type VisitStored<'v> = dyn FnMut(u32, Option<&str>, Option<&[u8]>) -> Result<()> + 'v;

/// Documents to write, by their number in the source.
pub(super) trait Documents: ImpactSource {
    fn schema(&self) -> &Schema;
    /// By rising key.
    fn keys(&self, visit: &mut VisitKey<'_>) -> Result<()>;
    /// In any order.
    fn values(&self, field: &str, visit: &mut VisitValue<'_>) -> Result<()>;
    /// In the order that texts should lie in the file.
    fn stored(&self, visit: &mut VisitStored<'_>) -> Result<()>;
    fn has_stored(&self) -> bool;
    fn full_vector(&self, doc: u32) -> Result<Option<SparseVector>>;
    fn has_full_vectors(&self) -> bool;
    /// Replaces `into` by the encoder's own weights of a document, by rising term.
    fn weights(&self, doc: u32, into: &mut Vec<f32>) -> Result<()>;
    /// The most by which such a weight is above what its impact stands for, or more.
    fn weight_over(&self) -> f32;
    /// Which of `terms`, the document's own vector, are its own.
    fn own(&self, doc: u32, terms: &[TermId]) -> Result<Own>;
    /// Whether some document may own less than all of its terms.
    fn has_expansions(&self) -> bool;
    fn labels(&self) -> Result<BTreeMap<TermId, String>>;
    fn posting_count(&self) -> Result<u64>;
    /// Weights over the scale's limit.
    fn saturated_count(&self) -> u64;
}

/// Writes all sections and finishes the file.
pub(super) fn build(
    documents: &dyn Documents,
    options: &SegmentOptions,
    mut file: FileWriter,
    progress: &mut Progress<'_>,
) -> Result<(Box<dyn WriteFile>, SegmentSummary)> {
    let doc_count = documents.doc_count();
    if doc_count == 0 || doc_count == u32::MAX {
        let expected = "1 to 4,294,967,294 documents";
        return Err(Error::invalid("a segment", expected, doc_count.to_string()));
    }
    let info = Info {
        doc_count,
        statistics: options.statistics,
        scale: options.scale,
        posting_count: documents.posting_count()?,
        saturated_count: documents.saturated_count(),
        weight_over: match options.keeps_weights {
            true => documents.weight_over(),
            false => 0.0,
        },
    };
    file.section(INFO, &info.bytes())?;
    let arranged = Arranged::new(documents, options, progress)?;
    write_keys(&arranged, &mut file, progress)?;
    write_fields(&arranged, &mut file, progress)?;
    if documents.has_stored() {
        write_stored(&arranged, options, &mut file, progress)?;
    }
    if documents.has_full_vectors() {
        write_full_vectors(&arranged, &mut file, progress)?;
    }
    if options.keeps_weights {
        write_weights(&arranged, &mut file, progress)?;
    }
    postings::write(
        &arranged,
        options.layout,
        options.resources,
        &mut file,
        progress,
    )?;
    let labels = documents.labels()?;
    if !labels.is_empty() {
        file.section(LABELS, &label_bytes(&labels))?;
    }
    if options.statistics == StatisticsKept::OwnTerms && documents.has_expansions() {
        write_own_terms(&arranged, &mut file, progress)?;
    }
    let (file, file_len) = file.finish()?;
    let summary = SegmentSummary {
        doc_count,
        file_len,
        posting_count: info.posting_count,
        saturated_count: info.saturated_count,
        schema: documents.schema().clone(),
    };
    Ok((file, summary))
}

/// Documents in the order of the file.
struct Arranged<'a> {
    documents: &'a dyn Documents,
    /// Place in the file to number in the source, and back; none where they are the same.
    order: Option<(Vec<u32>, Vec<u32>)>,
}

impl<'a> Arranged<'a> {
    fn new(
        documents: &'a dyn Documents,
        options: &SegmentOptions,
        progress: &mut Progress<'_>,
    ) -> Result<Arranged<'a>> {
        let order = match options.order {
            Order::Given => None,
            Order::Similarity => {
                let parts = parts(documents, options.partition.as_deref())?;
                let order = order::by_similarity(documents, parts, options.resources, progress)?;
                let mut places = vec![0; order.len()];
                for (place, source) in (0_u32..).zip(&order) {
                    places[index(*source)] = place;
                }
                Some((order, places))
            }
        };
        Ok(Arranged { documents, order })
    }

    fn place(&self, source: u32) -> u32 {
        match &self.order {
            None => source,
            Some((_, places)) => places[index(source)],
        }
    }

    fn source(&self, place: u32) -> u32 {
        match &self.order {
            None => place,
            Some((order, _)) => order[index(place)],
        }
    }
}

/// Documents by the value that they have in a field; those without one first.
fn parts(documents: &dyn Documents, field: Option<&str>) -> Result<Parts> {
    let doc_count = documents.doc_count();
    let Some(field) = field else {
        return Ok(Parts::one(doc_count));
    };
    let mut numbers: BTreeMap<Value, u32> = BTreeMap::new();
    let mut of_docs = vec![0; index(doc_count)];
    documents.values(field, &mut |doc, value| {
        let next = u32::try_from(numbers.len() + 1).unwrap_or(u32::MAX);
        of_docs[index(doc)] = *numbers.entry(value.to_value()).or_insert(next);
    })?;
    // Numbers are by appearance; parts go by value.
    let mut ranks = vec![0; numbers.len() + 1];
    for (rank, number) in (1..).zip(numbers.values()) {
        ranks[index(*number)] = rank;
    }
    Ok(Parts::by_rank(doc_count, |doc| {
        ranks[index(of_docs[index(doc)])]
    }))
}

impl ImpactSource for Arranged<'_> {
    fn doc_count(&self) -> u32 {
        self.documents.doc_count()
    }

    fn read(&self, doc: DocId, into: &mut ImpactVector) -> Result<()> {
        self.documents.read(DocId(self.source(doc.0)), into)
    }

    fn term_limit(&self) -> u64 {
        self.documents.term_limit()
    }

    fn posting_estimate(&self) -> u64 {
        self.documents.posting_estimate()
    }
}

/// How many documents go by between two calls of the progress callback.
const STEP: u64 = 1024;

fn write_keys(
    arranged: &Arranged<'_>,
    file: &mut FileWriter,
    progress: &mut Progress<'_>,
) -> Result<()> {
    let doc_count = arranged.doc_count();
    let mut keys = KeysWriter::begin(file)?;
    let mut done = 0;
    arranged.documents.keys(&mut |key, doc| {
        if done % STEP == 0 {
            progress.step("writing keys", done, doc_count.into())?;
        }
        done += 1;
        keys.push(key, arranged.place(doc), file)
    })?;
    keys.finish(file)
}

fn write_fields(
    arranged: &Arranged<'_>,
    file: &mut FileWriter,
    progress: &mut Progress<'_>,
) -> Result<()> {
    let doc_count = arranged.doc_count();
    progress.step("writing fields", 0, doc_count.into())?;
    let documents = arranged.documents;
    fields_write::write(documents.schema(), doc_count, file, &mut |field, visit| {
        documents.values(field, &mut |doc, value| visit(arranged.place(doc), value))
    })
}

fn write_stored(
    arranged: &Arranged<'_>,
    options: &SegmentOptions,
    file: &mut FileWriter,
    progress: &mut Progress<'_>,
) -> Result<()> {
    let doc_count = arranged.doc_count();
    let mut stored = StoredWriter::begin(doc_count, options.compression_level, file)?;
    let mut done = 0;
    arranged.documents.stored(&mut |doc, text, payload| {
        if done % STEP == 0 {
            progress.step("writing texts", done, doc_count.into())?;
        }
        done += 1;
        stored.push(DocId(arranged.place(doc)), text, payload, file)
    })?;
    stored.finish(file)
}

fn write_full_vectors(
    arranged: &Arranged<'_>,
    file: &mut FileWriter,
    progress: &mut Progress<'_>,
) -> Result<()> {
    let doc_count = arranged.doc_count();
    let mut lists = ListsWriter::begin(FULL_VECTORS, file)?;
    let mut bytes = Vec::new();
    for place in 0..doc_count {
        if u64::from(place) % STEP == 0 {
            progress.step("writing full vectors", place.into(), doc_count.into())?;
        }
        bytes.clear();
        if let Some(vector) = arranged.documents.full_vector(arranged.source(place))? {
            full_vectors::write(&vector, &mut bytes);
        }
        lists.push(&bytes, file)?;
    }
    lists.finish(file)
}

fn write_weights(
    arranged: &Arranged<'_>,
    file: &mut FileWriter,
    progress: &mut Progress<'_>,
) -> Result<()> {
    let doc_count = arranged.doc_count();
    let mut lists = ListsWriter::begin(WEIGHTS, file)?;
    let (mut own, mut bytes) = (Vec::new(), Vec::new());
    for place in 0..doc_count {
        if u64::from(place) % STEP == 0 {
            progress.step("writing weights", place.into(), doc_count.into())?;
        }
        let source = arranged.source(place);
        arranged.documents.weights(source, &mut own)?;
        weights::write(&own, &mut bytes);
        lists.push(&bytes, file)?;
    }
    lists.finish(file)
}

fn write_own_terms(
    arranged: &Arranged<'_>,
    file: &mut FileWriter,
    progress: &mut Progress<'_>,
) -> Result<()> {
    let doc_count = arranged.doc_count();
    let mut masks = ListsWriter::begin(MASKS, file)?;
    let mut counts: BTreeMap<TermId, u32> = BTreeMap::new();
    let mut vector = ImpactVector::default();
    for place in 0..doc_count {
        if u64::from(place) % STEP == 0 {
            progress.step("counting terms", place.into(), doc_count.into())?;
        }
        arranged.read(DocId(place), &mut vector)?;
        let source = arranged.source(place);
        let own = arranged.documents.own(source, &vector.terms)?;
        for (at, term) in vector.terms.iter().enumerate() {
            if own.has(at) {
                *counts.entry(*term).or_default() += 1;
            }
        }
        masks.push(own.bytes(), file)?;
    }
    masks.finish(file)?;
    file.section(COUNTS, &count_bytes(&counts))
}

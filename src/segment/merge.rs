//! Live documents of several segments as the source of one.
//!
//! Vectors, texts and values are read one by one as the writer asks for them; what is held is a
//! few numbers per document and the distinct values of one field.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use super::{
    LiveSegment, Segment,
    build::{Documents, VisitKey, VisitStored, VisitValue},
    full_vectors,
    own_terms::Own,
    part::index,
    schema::Schema,
    source::ImpactSource,
};
use crate::{
    error::{Error, Result},
    id::{DocId, TermId},
    quantize::{ImpactVector, Scale},
    sparse::SparseVector,
};

pub(super) struct Merged<'a> {
    inputs: &'a [LiveSegment],
    /// Per document, its input and its id there, by rising input and id.
    docs: Vec<(u32, DocId)>,
    schema: Schema,
}

impl<'a> Merged<'a> {
    pub(super) fn new(inputs: &'a [LiveSegment], scale: Scale) -> Result<Merged<'a>> {
        let live = inputs.iter().map(|live| index(live.live_count()));
        let mut docs = Vec::with_capacity(live.sum());
        let mut schema = Schema::new();
        for (input, live) in (0_u32..).zip(inputs) {
            let segment = live.segment();
            if segment.scale() != scale {
                return Err(Error::invalid(
                    "segments to merge",
                    format!("a weight limit of {}", scale.limit()),
                    segment.scale().limit().to_string(),
                ));
            }
            schema.absorb(segment.schema())?;
            let all = (0..segment.doc_count()).map(DocId);
            docs.extend(all.filter(|doc| live.is_live(*doc)).map(|doc| (input, doc)));
        }
        Ok(Merged {
            inputs,
            docs,
            schema,
        })
    }

    fn at(&self, doc: u32) -> (&'a Segment, DocId) {
        let (input, inside) = self.docs[index(doc)];
        (self.inputs[index(input)].segment(), inside)
    }

    /// The number of a live document of an input.
    fn number(&self, input: u32, inside: DocId) -> Option<u32> {
        let at = self.docs.binary_search(&(input, inside)).ok()?;
        u32::try_from(at).ok()
    }

    fn segments(&self) -> impl Iterator<Item = &'a Segment> {
        self.inputs.iter().map(|live| &**live.segment())
    }
}

impl ImpactSource for Merged<'_> {
    fn doc_count(&self) -> u32 {
        u32::try_from(self.docs.len()).unwrap_or(u32::MAX)
    }

    fn read(&self, doc: DocId, into: &mut ImpactVector) -> Result<()> {
        let (segment, inside) = self.at(doc.0);
        segment.postings().read(inside, into)
    }

    fn term_limit(&self) -> u64 {
        let limits = self
            .segments()
            .map(|segment| segment.postings().term_limit());
        limits.max().unwrap_or(0)
    }

    /// Those of deleted documents are among them.
    fn posting_estimate(&self) -> u64 {
        self.segments().map(Segment::posting_count).sum()
    }
}

impl Documents for Merged<'_> {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn keys(&self, visit: &mut VisitKey<'_>) -> Result<()> {
        let mut heap = BinaryHeap::new();
        let push = |heap: &mut BinaryHeap<_>, input: u32, mut rank: u32| {
            let segment = self.inputs[index(input)].segment();
            while rank < segment.doc_count() {
                let inside = segment.keys().doc_of(rank)?;
                if let Some(doc) = self.number(input, inside) {
                    let mut key = Vec::new();
                    segment.keys().read(rank, &mut key)?;
                    heap.push(Reverse((key, input, rank, doc)));
                    return Ok::<(), Error>(());
                }
                rank += 1;
            }
            Ok(())
        };
        for (input, _) in (0..).zip(self.inputs) {
            push(&mut heap, input, 0)?;
        }
        while let Some(Reverse((key, input, rank, doc))) = heap.pop() {
            visit(&key, doc)?;
            push(&mut heap, input, rank + 1)?;
        }
        Ok(())
    }

    fn values(&self, field: &str, visit: &mut VisitValue<'_>) -> Result<()> {
        for doc in 0..self.doc_count() {
            let (segment, inside) = self.at(doc);
            if let Some(value) = segment.fields().value(field, inside)? {
                visit(doc, value);
            }
        }
        Ok(())
    }

    fn stored(&self, visit: &mut VisitStored<'_>) -> Result<()> {
        for (input, segment) in (0..).zip(self.segments()) {
            let Some(stored) = segment.stored_records() else {
                continue;
            };
            let mut order = Vec::new();
            for inside in (0..segment.doc_count()).map(DocId) {
                if let Some(doc) = self.number(input, inside)
                    && let Some(start) = stored.start(inside)?
                {
                    order.push((start, inside, doc));
                }
            }
            order.sort_unstable();
            let mut cursor = stored.cursor()?;
            for (_, inside, doc) in order {
                let record = cursor.read(inside)?;
                visit(doc, record.text.as_deref(), record.payload.as_deref())?;
            }
        }
        Ok(())
    }

    fn has_stored(&self) -> bool {
        self.segments()
            .any(|segment| segment.stored_records().is_some())
    }

    fn full_vector(&self, doc: u32) -> Result<Option<SparseVector>> {
        let (segment, inside) = self.at(doc);
        match segment.full_vectors() {
            Some(lists) => full_vectors::read(lists, inside),
            None => Ok(None),
        }
    }

    fn weights(&self, doc: u32, into: &mut Vec<f32>) -> Result<()> {
        let (segment, inside) = self.at(doc);
        segment.stored_weights(inside, into)
    }

    fn weight_over(&self) -> f32 {
        let all = self
            .segments()
            .filter_map(|segment| segment.most_over().ok());
        all.fold(0.0, f32::max)
    }

    fn has_full_vectors(&self) -> bool {
        self.segments()
            .any(|segment| segment.full_vectors().is_some())
    }

    fn own(&self, doc: u32, terms: &[TermId]) -> Result<Own> {
        let (segment, inside) = self.at(doc);
        segment.own(inside, terms.len())
    }

    fn has_expansions(&self) -> bool {
        self.segments().any(Segment::has_expansions)
    }

    fn labels(&self) -> Result<BTreeMap<TermId, String>> {
        let mut labels = BTreeMap::new();
        for segment in self.segments() {
            segment.for_each_label(|term, label| {
                labels.entry(term).or_insert_with(|| label.to_owned());
            })?;
        }
        Ok(labels)
    }

    fn posting_count(&self) -> Result<u64> {
        let mut vector = ImpactVector::default();
        let mut count = 0_u64;
        for live in self.inputs {
            let segment = live.segment();
            count = count.saturating_add(segment.posting_count());
            let Some(deletes) = live.deletes() else {
                continue;
            };
            for doc in deletes.iter() {
                segment.postings().read(doc, &mut vector)?;
                count = count.saturating_sub(vector.len() as u64);
            }
        }
        Ok(count)
    }

    /// Of all documents, the deleted ones included: which of them had such weights is not known.
    fn saturated_count(&self) -> u64 {
        let counts = self.segments().map(Segment::saturated_count);
        counts.fold(0, u64::saturating_add)
    }
}

//! What a writer has done since the last commit: documents in memory, segments written but not yet
//! named by a manifest, deletes not yet written. Dropping it is a rollback.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use super::{
    commit::{self, Failure},
    config::{Config, Merging},
    merge_policy::{self, SegmentSize},
    recovery,
    state::State,
};
#[cfg(sparsely_planted)]
use crate::planted;
use crate::{
    error::{Error, Result},
    format::{
        DeletesRecord, FileIdentity, FileKind, FileName, FileRecord, FileWriter, IndexId, Manifest,
        ManifestConfig, SegmentRecord,
    },
    id::{CommitId, DocId, NUMBER_END, SegmentId},
    progress::Progress,
    quantize::Scale,
    search::{Collection, Filter, calibrate},
    segment::{
        Deletes, DocKey, Document, LiveSegment, Order, Schema, SegmentOptions, SegmentSummary,
        StatisticsKept, merge_segments, parallel::Resources, postings::Layout, write_segment,
    },
    sparse::SparseVector,
    storage::{Storage, WriteFile},
};

/// A first commit of fewer documents than this has hardly seen the largest weight.
const REPRESENTATIVE: usize = 1000;

/// Documents are written out when they fill one part in this many of the memory budget: inverting
/// them takes about as much again, and a merge may follow.
const BUFFER_SHARE: usize = 3;

/// Everything since the last commit.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) parts: Vec<Part>,
    pub(super) schema: Schema,
    pub(super) weight_limit: Option<f32>,
    pub(super) saturated_weights: u64,
    pub(super) next_segment: SegmentId,
    /// Whether a commit would change anything.
    pub(super) is_changed: bool,
    buffer: Buffer,
}

/// Segments to merge, by number, as they were when the merge was begun.
pub(super) type MergeInputs = Vec<(SegmentId, LiveSegment)>;

/// A segment that the next commit will name, unless all of it is deleted.
#[derive(Debug)]
pub(super) struct Part {
    /// With the deletes as they were last written.
    pub(super) record: SegmentRecord,
    pub(super) live: LiveSegment,
    has_new_deletes: bool,
    /// The first and the last key, once they were asked for.
    ends: OnceLock<Option<[DocKey; 2]>>,
}

/// Documents in memory, by the place where they were added; `None` where one was replaced or
/// deleted since.
#[derive(Debug, Default)]
struct Buffer {
    documents: Vec<Option<Document>>,
    places: HashMap<DocKey, usize>,
    /// With the places of those that are gone.
    bytes: usize,
}

/// What all files of one index are written with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    pub(super) storage: &'a dyn Storage,
    pub(super) config: &'a Config,
    pub(super) index: IndexId,
    pub(super) statistics: StatisticsKept,
    pub(super) partition: Option<&'a str>,
    pub(super) keeps_weights: bool,
}

impl Work {
    /// Nothing yet, after `state`. No segment number below `next_segment` is used.
    pub(super) fn after(state: &State, next_segment: SegmentId) -> Work {
        let records = state.manifest.segments.iter();
        let parts = records.zip(&state.segments);
        let parts = parts.map(|(record, live)| Part::new(*record, live.clone()));
        Work {
            parts: parts.collect(),
            schema: state.schema.clone(),
            weight_limit: state.manifest.config.weight_limit,
            saturated_weights: state.manifest.saturated_weights,
            next_segment: state.manifest.next_segment.max(next_segment),
            is_changed: false,
            buffer: Buffer::default(),
        }
    }

    /// Adds a document that was checked, in the place of an older one of its key.
    pub(super) fn upsert(&mut self, document: Document) -> Result<()> {
        self.schema.learn(&document)?;
        #[cfg(sparsely_planted)]
        if planted::bug("planted: an upsert forgets the older version") {
            self.buffer.remove(document.key());
            self.buffer.add(document);
            self.is_changed = true;
            return Ok(());
        }
        self.delete(document.key())?;
        self.buffer.add(document);
        self.is_changed = true;
        Ok(())
    }

    /// Deletes the document of a key and says whether there was one.
    pub(super) fn delete(&mut self, key: &DocKey) -> Result<bool> {
        if self.buffer.remove(key) {
            return Ok(true);
        }
        for part in &mut self.parts {
            if let Some(doc) = part.find(key)? {
                part.delete(&[doc])?;
                self.is_changed = true;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Deletes every document that `filter` matches and says how many there were.
    pub(super) fn delete_matching(&mut self, filter: &Filter) -> Result<u64> {
        filter.check(&self.schema)?;
        let segments: Vec<LiveSegment> = self.parts.iter().map(|part| part.live.clone()).collect();
        let collection = Collection {
            segments: &segments,
            schema: &self.schema,
            scale: Scale::new(self.weight_limit.unwrap_or(1.0))?,
        };
        let matching = collection.matching(filter)?;
        drop(segments);
        let mut count = 0;
        for (part, docs) in self.parts.iter_mut().zip(matching) {
            part.delete(&docs)?;
            count += docs.len() as u64;
        }
        count += self.buffer.remove_matching(filter);
        self.is_changed |= count > 0;
        Ok(count)
    }

    /// Whether the documents in memory are due to be written.
    pub(super) fn is_full(&self, config: &Config) -> bool {
        self.buffer.bytes >= config.memory_budget / BUFFER_SHARE
            || self.buffer.documents.len() >= DocId(u32::MAX).index()
    }

    /// Writes the documents in memory as a segment.
    pub(super) fn flush(&mut self, target: Target<'_>) -> Result<(), Failure> {
        let documents = self.buffer.take();
        if documents.is_empty() {
            return Ok(());
        }
        let limit = *self
            .weight_limit
            .get_or_insert_with(|| weight_limit(documents.iter()));
        let options = target.options(limit).map_err(Failure::Abandoned)?;
        let progress = &mut Progress::none();
        self.add_part(target, progress, |file, progress| {
            write_segment(&documents, &options, file, progress)
        })
    }

    /// Drops the segments that are deleted as a whole.
    pub(super) fn drop_empty(&mut self) {
        self.parts.retain(|part| part.live.live_count() > 0);
    }

    /// Merges what the policy says, until it says no more.
    pub(super) fn merge(
        &mut self,
        target: Target<'_>,
        progress: &mut Progress<'_>,
    ) -> Result<(), Failure> {
        self.drop_empty();
        let sizes: Vec<SegmentSize> = self.parts.iter().map(Part::size).collect();
        match merge_policy::candidates(&sizes).as_slice() {
            [] => Ok(()),
            chosen => self.merge_parts(target, chosen, progress),
        }
    }

    /// Merges everything into one segment, laid out as well as it can be.
    pub(super) fn merge_all(
        &mut self,
        target: Target<'_>,
        progress: &mut Progress<'_>,
    ) -> Result<(), Failure> {
        self.drop_empty();
        if self.parts.is_empty() {
            return Ok(());
        }
        let all: Vec<usize> = (0..self.parts.len()).collect();
        self.merge_parts(target, &all, progress)
    }

    /// Writes the deletes of all segments that have new ones, as of `commit`.
    pub(super) fn write_deletes(
        &mut self,
        target: Target<'_>,
        commit: CommitId,
    ) -> Result<(), Failure> {
        for part in self.parts.iter_mut().filter(|part| part.has_new_deletes) {
            let Some(deletes) = part.live.deletes() else {
                continue;
            };
            let name = FileName::Deletes(part.record.id, commit);
            let kind = FileKind::Deletes;
            let file = target.write(name, kind, part.record.id, |mut file| {
                deletes.write(&mut file)?;
                file.finish().map(|(file, _)| (file, ()))
            })?;
            part.record.deletes = Some(DeletesRecord {
                commit,
                file: file.0,
                count: deletes.len(),
            });
            part.has_new_deletes = false;
        }
        Ok(())
    }

    /// What the next commit after `base` will be.
    pub(super) fn next_state(&self, base: &Manifest, commit: CommitId) -> Result<State> {
        let mut config = base.config.clone();
        config.weight_limit = self.weight_limit;
        let manifest = Manifest {
            index: base.index,
            commit,
            previous: base.commit,
            config,
            next_segment: self.next_segment,
            saturated_weights: self.saturated_weights,
            segments: self.parts.iter().map(|part| part.record).collect(),
        };
        let live = self.parts.iter().map(|part| part.live.clone());
        State::new(manifest, live.collect())
    }

    /// Deletes from a segment whose deletes were lost what later segments have replaced.
    pub(super) fn delete_replaced(&mut self, id: SegmentId) -> Result<()> {
        let Some(at) = self.parts.iter().position(|part| part.record.id == id) else {
            return Ok(());
        };
        let segment = self.parts[at].live.segment().clone();
        let mut replaced = Vec::new();
        for doc in (0..segment.doc_count()).map(DocId) {
            let key = segment.key(doc)?;
            for (other, part) in self.parts.iter().enumerate() {
                if other != at && part.live.find(key.as_bytes())?.is_some() {
                    replaced.push(doc);
                    break;
                }
            }
        }
        self.parts[at].delete(&replaced)
    }

    fn merge_parts(
        &mut self,
        target: Target<'_>,
        chosen: &[usize],
        progress: &mut Progress<'_>,
    ) -> Result<(), Failure> {
        let inputs: Vec<LiveSegment> = chosen
            .iter()
            .map(|at| self.parts[*at].live.clone())
            .collect();
        #[cfg(sparsely_planted)]
        let inputs = match planted::bug("planted: deletes are not carried into a merge") {
            true => {
                let bare = inputs.iter().map(|live| live.segment().clone());
                bare.map(|segment| LiveSegment::new(segment, None))
                    .collect()
            }
            false => inputs,
        };
        if !fit_one_segment(inputs.iter()) {
            return Ok(());
        }
        let limit = self.weight_limit.unwrap_or(1.0);
        let id = self.take_segment_id().map_err(Failure::Abandoned)?;
        let (record, _) = target.merge(id, &inputs, limit, progress)?;
        // Its weights were counted when they were first written.
        self.parts.push(target.open_part(record, progress)?);
        let mut at = 0;
        self.parts.retain(|_| {
            at += 1;
            !chosen.contains(&(at - 1))
        });
        self.is_changed = true;
        Ok(())
    }

    /// Writes a new segment, opens it and, where that makes sense, calibrates it.
    fn add_part(
        &mut self,
        target: Target<'_>,
        progress: &mut Progress<'_>,
        write: impl FnOnce(
            FileWriter,
            &mut Progress<'_>,
        ) -> Result<(Box<dyn WriteFile>, SegmentSummary)>,
    ) -> Result<(), Failure> {
        let id = self.take_segment_id().map_err(Failure::Abandoned)?;
        let (record, summary) = target.segment(id, |file| write(file, progress))?;
        self.parts.push(target.open_part(record, progress)?);
        self.saturated_weights = self
            .saturated_weights
            .saturating_add(summary.saturated_count);
        Ok(())
    }

    /// The next number, which is then taken whatever becomes of the segment: a name is never used
    /// twice.
    fn take_segment_id(&mut self) -> Result<SegmentId> {
        let id = self.next_segment;
        self.next_segment = after(id.0).map(SegmentId)?;
        Ok(id)
    }

    /// What the policy says to merge, and a number for the result.
    pub(super) fn reserve_merge(&mut self) -> Result<Option<(MergeInputs, SegmentId)>> {
        self.drop_empty();
        let sizes: Vec<SegmentSize> = self.parts.iter().map(Part::size).collect();
        let chosen = merge_policy::candidates(&sizes);
        let chosen = chosen.iter().map(|at| &self.parts[*at]);
        let inputs: MergeInputs = chosen
            .map(|part| (part.record.id, part.live.clone()))
            .collect();
        if inputs.is_empty() || !fit_one_segment(inputs.iter().map(|(_, live)| live)) {
            return Ok(None);
        }
        let id = self.take_segment_id()?;
        Ok(Some((inputs, id)))
    }
}

impl Part {
    pub(super) fn new(record: SegmentRecord, live: LiveSegment) -> Part {
        Part {
            record,
            live,
            has_new_deletes: false,
            ends: OnceLock::new(),
        }
    }

    /// The live document of a key.
    fn find(&self, key: &DocKey) -> Result<Option<DocId>> {
        // New keys often come after all that there are: then no segment is searched.
        let ends = self
            .ends
            .get_or_init(|| self.live.segment().key_ends().ok());
        match ends {
            Some([first, last]) if key < first || key > last => Ok(None),
            _ => self.live.find(key.as_bytes()),
        }
    }

    pub(super) fn delete(&mut self, docs: &[DocId]) -> Result<()> {
        if docs.is_empty() {
            return Ok(());
        }
        let segment = self.live.segment().clone();
        // Given up first, so that a set nobody else holds is added to in place.
        let before = self.live.deletes().cloned();
        self.live = LiveSegment::new(segment.clone(), None);
        let mut deletes: Deletes = before.map(Arc::unwrap_or_clone).unwrap_or_default();
        let mut added = docs.iter().map(|doc| deletes.add(&segment, *doc));
        let result = added.try_for_each(|added| added.map(drop));
        let deletes = (deletes.len() > 0).then(|| Arc::new(deletes));
        self.live = LiveSegment::new(segment, deletes).calibrated(self.record.calibration);
        self.has_new_deletes = true;
        result
    }

    fn size(&self) -> SegmentSize {
        let live = self.live.live_count();
        SegmentSize {
            live,
            deleted: self.live.segment().doc_count().saturating_sub(live),
        }
    }
}

impl Buffer {
    fn add(&mut self, document: Document) {
        self.bytes += document.memory_len();
        self.places
            .insert(document.key().clone(), self.documents.len());
        self.documents.push(Some(document));
    }

    fn remove(&mut self, key: &DocKey) -> bool {
        let place = self.places.remove(key);
        let removed = place.and_then(|place| self.documents.get_mut(place)?.take());
        if let Some(document) = &removed {
            self.bytes -= document.memory_len() - size_of::<Document>();
        }
        removed.is_some()
    }

    fn remove_matching(&mut self, filter: &Filter) -> u64 {
        let matching: Vec<DocKey> = self
            .documents
            .iter()
            .flatten()
            .filter(|document| filter.matches(document))
            .map(|document| document.key().clone())
            .collect();
        for key in &matching {
            self.remove(key);
        }
        matching.len() as u64
    }

    fn take(&mut self) -> Vec<Document> {
        let buffer = std::mem::take(self);
        buffer.documents.into_iter().flatten().collect()
    }
}

impl<'a> Target<'a> {
    pub(super) fn new(
        storage: &'a dyn Storage,
        config: &'a Config,
        manifest: &'a Manifest,
    ) -> Target<'a> {
        Target {
            storage,
            config,
            index: manifest.index,
            statistics: match manifest.config.keeps_statistics {
                true => StatisticsKept::OwnTerms,
                false => StatisticsKept::None,
            },
            partition: manifest.config.partition.as_deref(),
            keeps_weights: manifest.config.keeps_weights,
        }
    }

    fn options(&self, weight_limit: f32) -> Result<SegmentOptions> {
        let mut options = SegmentOptions::new(Scale::new(weight_limit)?);
        options.statistics = self.statistics;
        options.partition = self.partition.map(str::to_owned);
        options.keeps_weights = self.keeps_weights;
        options.resources = Resources {
            threads: self.config.threads,
            memory: self.config.memory_budget,
        };
        Ok(options)
    }

    /// Merges `inputs`, of which some document is alive, into segment `id`.
    pub(super) fn merge(
        &self,
        id: SegmentId,
        inputs: &[LiveSegment],
        weight_limit: f32,
        progress: &mut Progress<'_>,
    ) -> Result<(SegmentRecord, SegmentSummary), Failure> {
        let mut options = self.options(weight_limit).map_err(Failure::Abandoned)?;
        let live: u64 = inputs.iter().map(|live| u64::from(live.live_count())).sum();
        if live >= self.config.ordered_from {
            options.layout = match self.config.keeps_lists {
                true => Layout::BlocksAndLists,
                false => Layout::Blocks,
            };
            options.order = Order::Similarity;
        }
        self.segment(id, |file| merge_segments(inputs, &options, file, progress))
    }

    /// Opens a segment that was written and, where that makes sense, calibrates it.
    pub(super) fn open_part(
        &self,
        mut record: SegmentRecord,
        progress: &mut Progress<'_>,
    ) -> Result<Part, Failure> {
        let live = recovery::open_live(self.storage, self.index, &record, None)
            .map_err(Failure::Abandoned)?;
        let samples = &self.config.calibration_queries;
        record.calibration = calibrate(live.segment(), samples, self.config.threads, progress)
            .map_err(Failure::Abandoned)?;
        let live = live.calibrated(record.calibration);
        Ok(Part::new(record, live))
    }

    /// Writes segment `id`.
    fn segment(
        &self,
        id: SegmentId,
        write: impl FnOnce(FileWriter) -> Result<(Box<dyn WriteFile>, SegmentSummary)>,
    ) -> Result<(SegmentRecord, SegmentSummary), Failure> {
        let name = FileName::Segment(id);
        let (file, summary) = self.write(name, FileKind::Segment, id, write)?;
        let record = SegmentRecord {
            id,
            file,
            doc_count: summary.doc_count,
            deletes: None,
            calibration: None,
        };
        Ok((record, summary))
    }

    /// Writes a file whole and durably, and says what the manifest should remember of it.
    pub(super) fn write<T>(
        &self,
        name: FileName,
        kind: FileKind,
        number: SegmentId,
        write: impl FnOnce(FileWriter) -> Result<(Box<dyn WriteFile>, T)>,
    ) -> Result<(FileRecord, T), Failure> {
        let identity = FileIdentity {
            kind,
            index: self.index,
            number: number.0,
        };
        let name = name.to_string();
        let written = self
            .storage
            .create(&name)
            .and_then(|file| FileWriter::new(file, identity))
            .and_then(write);
        let (file, summary) = written.map_err(|error| {
            // The next writer removes it otherwise.
            let _ = self.storage.remove(&name);
            Failure::Abandoned(error)
        })?;
        let durability = self.config.durability;
        #[cfg(sparsely_planted)]
        let durability = commit::unless("planted: segments are not synced", durability);
        commit::finish(file, durability).map_err(Failure::Unsynced)?;
        let bytes = self.storage.open(&name).map_err(Failure::Abandoned)?;
        Ok((recovery::record_of(&bytes), summary))
    }

    pub(super) fn merges_at_commit(&self) -> bool {
        self.config.merging == Merging::AtCommit
    }
}

/// Whether a segment can hold all live documents of others. Its tables count documents, postings and
/// bytes of bounds in 32 bits, and a bound takes three bytes at most.
fn fit_one_segment<'l>(inputs: impl Iterator<Item = &'l LiveSegment>) -> bool {
    let (mut documents, mut postings) = (0_u64, 0_u64);
    for input in inputs {
        documents += u64::from(input.live_count());
        postings = postings.saturating_add(input.segment().posting_count());
    }
    let most = u64::from(u32::MAX);
    documents < most && postings <= most / 3
}

/// The weight of the largest impact, from the first documents of an index.
pub(super) fn weight_limit<'a>(documents: impl ExactSizeIterator<Item = &'a Document>) -> f32 {
    let is_small = documents.len() < REPRESENTATIVE;
    let weights = documents.flat_map(|document| document.vector().weights());
    let heaviest = weights.copied().fold(0.0, f32::max);
    let limit = if is_small { heaviest * 2.0 } else { heaviest };
    match limit {
        limit if limit < f32::MIN_POSITIVE => 1.0,
        limit => limit.min(f32::MAX),
    }
}

/// Refuses terms that the index's encoder does not have.
pub(super) fn check_terms(config: &ManifestConfig, document: &Document) -> Result<()> {
    let Some(count) = config.term_count else {
        return Ok(());
    };
    let vectors = [Some(&document.vector), document.full_vector.as_ref()];
    let last = |vector: &SparseVector| vector.terms().last().copied();
    match vectors.into_iter().flatten().filter_map(last).max() {
        Some(term) if term.get() >= count => Err(Error::invalid(
            format!("terms of document `{}`", document.key()),
            format!("ids below the index's term count, {count}"),
            term.to_string(),
        )),
        _ => Ok(()),
    }
}

/// The next number; a file that carries the last one there is was not written by this library.
pub(super) fn after(number: u64) -> Result<u64> {
    if number >= NUMBER_END - 1 {
        let expected = "a number below 2^62";
        return Err(Error::corrupt(
            "the directory",
            "file name",
            0,
            expected,
            number,
        ));
    }
    Ok(number + 1)
}

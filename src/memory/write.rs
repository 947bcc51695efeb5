//! What recording an episode does before its commit: identity, duplicates, documents.

use std::collections::{HashMap, HashSet};

use crate::{
    error::{Error, Result},
    index::Writer,
    search::{Filter, Query, Searcher},
    segment::Document,
    sparse::SparseVector,
};

use super::{
    config::{Conflict, Fate, NearDuplicate, Recorded},
    keys::KeyKind,
    layout::{self, PART_LEN, Parts, field},
    record,
    store::{ExperienceStore, first_document, read_parts},
    trajectory::Trajectory,
    wording::Wording,
};

impl ExperienceStore {
    /// Adds an episode to what `writer` will commit.
    pub(super) fn add(
        &self,
        writer: &mut Writer,
        mut trajectory: Trajectory,
        batch: &mut Batch,
        conflict: Conflict,
    ) -> Result<Recorded> {
        layout::check(&trajectory)?;
        let fate = self.identify(&mut trajectory, batch, conflict)?;
        let warning = trajectory.contradiction();
        let (texts, windows_left_out) = self.plan.texts(&trajectory);
        let (digest, vectors) = (trajectory.digest(), self.encode_keys(&texts)?);
        let mut recorded = Recorded {
            id: trajectory.id.clone(),
            fate,
            near_duplicates: Vec::new(),
            warning,
            windows_left_out,
        };
        if recorded.fate == Fate::Stored {
            let probe = vectors.first().cloned().unwrap_or_default();
            if let Some(of) = self.duplicate(&trajectory, (digest, &probe), batch)? {
                recorded.fate = Fate::Duplicate(of);
            } else {
                recorded.near_duplicates = self.near_duplicates(&trajectory, &probe, batch)?;
            }
        }
        if matches!(recorded.fate, Fate::Duplicate(_)) {
            return Ok(recorded);
        }
        if recorded.fate == Fate::Replaced && !batch.ids.contains(&trajectory.id) {
            self.delete(writer, &trajectory.id)?;
        }
        for document in self.documents(&trajectory, digest, texts, vectors) {
            writer.upsert(document)?;
        }
        batch.remember(trajectory, digest);
        Ok(recorded)
    }

    /// Decides what an id that is taken means, and renames where that is asked for.
    fn identify(
        &self,
        trajectory: &mut Trajectory,
        batch: &Batch,
        conflict: Conflict,
    ) -> Result<Fate> {
        let is_taken = |id: &str| Ok::<bool, Error>(batch.ids.contains(id) || self.contains(id)?);
        if !is_taken(&trajectory.id)? {
            return Ok(Fate::Stored);
        }
        if !batch.ids.contains(&trajectory.id)
            && self.read(&trajectory.id)?.says_the_same(trajectory)
        {
            return Ok(Fate::Duplicate(trajectory.id.clone()));
        }
        if let Some(same) = batch.same(trajectory.digest())
            && same == trajectory.id
        {
            return Ok(Fate::Duplicate(same.to_owned()));
        }
        match conflict {
            // Two of one call cannot replace one another: which one was meant?
            Conflict::Replace if !batch.ids.contains(&trajectory.id) => Ok(Fate::Replaced),
            Conflict::Rename => {
                let mut number = 2_u64;
                let renamed = loop {
                    let id = format!("{}~{number}", trajectory.id);
                    if !is_taken(&id)? {
                        break id;
                    }
                    number += 1;
                };
                trajectory.id = renamed;
                Ok(Fate::Stored)
            }
            Conflict::Refuse | Conflict::Replace => Err(Error::invalid(
                format!("id {:?}", trajectory.id),
                "an id that no other episode has (or a store that replaces or renames)",
                "one that is taken by an episode that says something else",
            )),
        }
    }

    /// The id of an episode that says exactly the same.
    fn duplicate(
        &self,
        trajectory: &Trajectory,
        (digest, probe): (u64, &SparseVector),
        batch: &Batch,
    ) -> Result<Option<String>> {
        if let Some(id) = batch.same(digest) {
            return Ok(Some(id.to_owned()));
        }
        if probe.is_empty() || !self.knows_field(field::DIGEST) {
            return Ok(None);
        }
        // An equal episode has equal keys, so the key itself finds it among those of its digest.
        let query = Query::new(probe.keep(64))
            .filter(Filter::equals(field::DIGEST, hex(digest)))
            .top(4);
        for hit in &self.snapshot.search(&query)? {
            if let Some((_, _, id)) = layout::parse_key(hit.key())
                && self.read(id)?.says_the_same(trajectory)
            {
                return Ok(Some(id.to_owned()));
            }
        }
        Ok(None)
    }

    /// Among the episodes that the first key finds first, those that are worded almost the same.
    fn near_duplicates(
        &self,
        trajectory: &Trajectory,
        probe: &SparseVector,
        batch: &Batch,
    ) -> Result<Vec<NearDuplicate>> {
        let least = self.config.near_duplicate;
        if least > 1.0 {
            return Ok(Vec::new());
        }
        let wording = Wording::of(&said(trajectory));
        let mut candidates: Vec<(String, Wording)> = Vec::new();
        for earlier in batch.latest(&trajectory.task) {
            candidates.push((earlier.id.clone(), Wording::of(&said(earlier))));
        }
        if !probe.is_empty() && self.knows_field(field::KIND) {
            let first = self.plan.kinds.first().map_or("", |kind| kind.name());
            let query = Query::new(probe.keep(64))
                .filter(Filter::equals(field::KIND, first))
                .top(NEAR_CANDIDATES);
            for hit in &self.snapshot.search(&query)? {
                if let Some((_, _, id)) = layout::parse_key(hit.key()) {
                    candidates.push((id.to_owned(), Wording::of(&said(&self.read(id)?))));
                }
            }
        }
        let mut near: Vec<NearDuplicate> = candidates
            .into_iter()
            .map(|(id, other)| NearDuplicate {
                id,
                likeness: wording.likeness(&other),
            })
            .filter(|one| one.likeness >= least && one.id != trajectory.id)
            .collect();
        near.sort_by(|one, other| other.likeness.total_cmp(&one.likeness));
        near.dedup_by(|one, other| one.id == other.id);
        Ok(near)
    }

    fn knows_field(&self, name: &str) -> bool {
        self.snapshot.fields().any(|(known, _)| known == name)
    }

    pub(super) fn encode_keys(&self, texts: &[(KeyKind, String)]) -> Result<Vec<SparseVector>> {
        let texts: Vec<&str> = texts.iter().map(|(_, text)| text.as_str()).collect();
        self.encoder.encode_documents(&texts)
    }

    /// The documents of an episode, the first of them with its record.
    fn documents(
        &self,
        trajectory: &Trajectory,
        digest: u64,
        texts: Vec<(KeyKind, String)>,
        vectors: Vec<SparseVector>,
    ) -> Vec<Document> {
        let mut keys: Vec<(KeyKind, u32)> = Vec::new();
        let mut documents = Vec::new();
        for ((kind, text), vector) in texts.into_iter().zip(vectors) {
            if keys.last().is_none_or(|(last, _)| *last != kind) {
                keys.push((kind, 0));
            }
            let window = keys.last_mut().map_or(0, |(_, windows)| {
                *windows += 1;
                *windows - 1
            });
            let key = layout::key_document(kind, window, &trajectory.id);
            let document = layout::with_fields(Document::new(key, vector), kind, trajectory)
                .field(field::DIGEST, hex(digest));
            documents.push(match kind {
                KeyKind::WhenToUse => document.field(field::WHEN, layout::task_value(&text)),
                _ => document,
            });
        }
        let first = first_document(&self.plan, &trajectory.id);
        if documents
            .first()
            .is_none_or(|document| *document.key() != first)
        {
            // The plan's first kind gave no key (no steps, no "when to use"): an empty one holds
            // the record.
            let kind = self.plan.kinds.first().copied().unwrap_or(KeyKind::Task);
            keys.insert(0, (kind, 1));
            let empty = Document::new(first, SparseVector::default());
            documents.insert(0, layout::with_fields(empty, kind, trajectory));
        }
        let bytes = record::encode(trajectory);
        let mut pieces = bytes.chunks(PART_LEN);
        let head = pieces.next().unwrap_or_default();
        let rest: Vec<&[u8]> = pieces.collect();
        let parts = Parts {
            keys,
            parts: u32::try_from(rest.len()).unwrap_or(u32::MAX),
        };
        if let Some(document) = documents.first_mut() {
            *document = document.clone().payload([&parts.encode(), head].concat());
        }
        for (part, piece) in (1..).zip(rest) {
            let key = layout::part_document(part, &trajectory.id);
            documents.push(Document::new(key, SparseVector::default()).payload(piece));
        }
        documents
    }

    pub(super) fn delete(&self, writer: &mut Writer, id: &str) -> Result<()> {
        let (parts, _) = read_parts(&self.snapshot, &self.plan, id)?;
        for key in parts.documents(id) {
            writer.delete(key)?;
        }
        Ok(())
    }
}

/// How many episodes are compared with a new one.
const NEAR_CANDIDATES: usize = 8;

/// What a call has written so far: not yet in any snapshot.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) written: u64,
    ids: HashSet<String>,
    digests: HashMap<u64, String>,
    /// The latest few episodes of each task.
    by_task: HashMap<String, Vec<Trajectory>>,
}

impl Batch {
    fn remember(&mut self, trajectory: Trajectory, digest: u64) {
        self.written += 1;
        self.ids.insert(trajectory.id.clone());
        self.digests.insert(digest, trajectory.id.clone());
        let latest = self.by_task.entry(trajectory.task.clone()).or_default();
        if latest.len() == NEAR_CANDIDATES {
            latest.remove(0);
        }
        latest.push(trajectory);
    }

    fn same(&self, digest: u64) -> Option<&str> {
        self.digests.get(&digest).map(String::as_str)
    }

    fn latest(&self, task: &str) -> &[Trajectory] {
        self.by_task.get(task).map_or(&[], Vec::as_slice)
    }
}

/// What an episode says, for comparison.
fn said(trajectory: &Trajectory) -> String {
    let mut text = trajectory.task.clone();
    for step in &trajectory.steps {
        step.push_text(&mut text);
    }
    text
}

fn hex(digest: u64) -> String {
    format!("{digest:016x}")
}

//! Filling an index that an earlier run may have filled.

use std::collections::HashSet;

use sparsely::{DocKey, Document, Encoder, Index, Result, Snapshot, Writer};

use crate::system::DOCUMENT;

/// Texts that are encoded together.
const TOGETHER: usize = 64;

/// Texts between two commits of an index that stays, so that a run that was stopped goes on where it
/// stood.
const COMMIT_EVERY: usize = 2048;

/// An index on its way to holding one collection and nothing else.
pub(crate) struct Filling<'a> {
    encoder: &'a dyn Encoder,
    writer: Writer,
    /// What an earlier run left.
    before: Snapshot,
    /// Whether the index outlives the program.
    stays: bool,
    waiting: Vec<(String, String, Option<String>)>,
    seen: HashSet<DocKey>,
    fresh: usize,
    reused: u64,
}

impl<'a> Filling<'a> {
    pub(crate) fn new(index: &Index, encoder: &'a dyn Encoder, stays: bool) -> Result<Filling<'a>> {
        Ok(Filling {
            encoder,
            writer: index.writer()?,
            before: index.snapshot()?,
            stays,
            waiting: Vec::new(),
            seen: HashSet::new(),
            fresh: 0,
            reused: 0,
        })
    }

    /// Adds a document, or a passage of `document`.
    pub(crate) fn add(&mut self, key: String, text: String, document: Option<&str>) -> Result<()> {
        // Of a key that stands twice the later text counts, whatever was there before.
        let is_first = self.seen.insert(key.as_str().into());
        let stored = self.before.document(key.as_str())?;
        if is_first && stored.is_some_and(|stored| stored.text() == Some(&text)) {
            self.reused += 1;
            return Ok(());
        }
        self.waiting.push((key, text, document.map(str::to_owned)));
        if self.waiting.len() == TOGETHER {
            self.encode()?;
        }
        Ok(())
    }

    fn encode(&mut self) -> Result<()> {
        self.fresh += self.waiting.len();
        let (texts, owners): (Vec<_>, Vec<_>) = self
            .waiting
            .drain(..)
            .map(|(key, text, owner)| ((key, text), owner))
            .unzip();
        let documents = Document::from_texts(self.encoder, texts)?;
        for (document, owner) in documents.into_iter().zip(owners) {
            self.writer.upsert(match owner {
                Some(owner) => document.field(DOCUMENT, owner),
                None => document,
            })?;
        }
        if self.stays && self.fresh >= COMMIT_EVERY {
            self.writer.commit()?;
            self.fresh = 0;
        }
        Ok(())
    }

    /// Ends with everything that was added and nothing else; returns how many were there before.
    pub(crate) fn finish(mut self) -> Result<u64> {
        self.encode()?;
        for key in self.before.keys() {
            let key = key?;
            if !self.seen.contains(&key) {
                self.writer.delete(key)?;
            }
        }
        self.writer.commit()?;
        Ok(self.reused)
    }
}

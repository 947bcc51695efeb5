//! What terms mean, where the encoder's vocabulary is open.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    document::LABEL_LEN_MAX,
    part::{Part, index},
};
use crate::{
    error::Result,
    format::{FileView, SectionId},
    id::TermId,
};

/// Terms by rising id, the ends of their labels, the labels.
pub(super) const LABELS: SectionId = SectionId::required(60, "labels");

#[derive(Clone, Debug)]
pub(super) struct Labels {
    part: Part,
    count: u32,
}

impl Labels {
    pub(super) fn open(view: &Arc<FileView>) -> Result<Option<Labels>> {
        let Some(part) = Part::optional(view, LABELS)? else {
            return Ok(None);
        };
        let mut reader = part.unchecked_reader();
        let count = reader.count(12, "label count")?;
        part.check(reader.offset())?;
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        Ok(Some(Labels { part, count }))
    }

    /// The label of a term, if it has one.
    pub(super) fn label(&self, term: TermId) -> Result<Option<&str>> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.term(middle)? < term {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        match low < self.count && self.term(low)? == term {
            true => self.text(low).map(Some),
            false => Ok(None),
        }
    }

    pub(super) fn for_each(&self, mut visit: impl FnMut(TermId, &str)) -> Result<()> {
        for at in 0..self.count {
            visit(self.term(at)?, self.text(at)?);
        }
        Ok(())
    }

    pub(super) fn verify(&self) -> Result<()> {
        let mut last = None;
        let mut end = 0;
        for at in 0..self.count {
            let term = self.term(at)?;
            if last.replace(term).is_some_and(|last| last >= term) {
                let place = 4 + 4 * index(at);
                return Err(self.part.corrupt(place, "terms that strictly rise", term));
            }
            end += self.text(at)?.len() as u64;
        }
        self.part.check_len(self.texts() + end)
    }

    fn term(&self, at: u32) -> Result<TermId> {
        self.part.u32(4, at).map(TermId::from)
    }

    fn text(&self, at: u32) -> Result<&str> {
        let ends = 4 + 4 * u64::from(self.count);
        let start = match at {
            0 => 0,
            _ => self.part.u64(ends, at - 1)?,
        };
        let end = self.part.u64(ends, at)?;
        let damage = |found: &dyn std::fmt::Display| {
            let place = usize::try_from(ends).unwrap_or(0) + 8 * index(at);
            self.part
                .corrupt(place, "a label of at most 255 bytes", found)
        };
        if end < start || end - start > LABEL_LEN_MAX as u64 {
            return Err(damage(&end));
        }
        let texts = self.texts();
        let bytes = self
            .part
            .slice(texts.saturating_add(start), texts.saturating_add(end))?;
        std::str::from_utf8(bytes).map_err(|error| damage(&error))
    }

    fn texts(&self) -> u64 {
        4 + 12 * u64::from(self.count)
    }
}

/// The bytes of section [`LABELS`].
pub(super) fn label_bytes(labels: &BTreeMap<TermId, String>) -> Vec<u8> {
    let count = u32::try_from(labels.len()).unwrap_or(u32::MAX);
    let mut bytes = count.to_le_bytes().to_vec();
    bytes.extend(labels.keys().flat_map(|term| term.get().to_le_bytes()));
    let mut end = 0_u64;
    for label in labels.values() {
        end += label.len() as u64;
        bytes.extend_from_slice(&end.to_le_bytes());
    }
    bytes.extend(labels.values().flat_map(|label| label.bytes()));
    bytes
}

//! Memory that searches reuse, so that a warm query allocates nothing.

use super::{collection::Gathered, pruned};
use crate::{
    error::{Error, Result},
    quantize::ImpactVector,
    simd::{InstructionSet, Level},
};

/// The working memory of one search at a time. Keep one per thread and hand it to every search:
/// after the first few queries none of them allocates.
///
/// A scratch holds no results and belongs to no index; any scratch serves any search.
#[derive(Debug, Default)]
pub struct Scratch {
    /// One score per place of a window. 65,536 of them once used, so that a `u16` cannot leave it.
    pub(super) scores: Vec<u32>,
    /// Lists of the query's terms still to walk, each with its weight.
    pub(super) lists: Vec<QueryLists>,
    pub(super) vector: ImpactVector,
    pub(super) pruned: pruned::Memory,
    pub(super) gathered: Gathered,
    level: Option<Level>,
}

/// The lists of one query term.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueryLists {
    pub(super) weight: u32,
    /// The next list.
    pub(super) next: usize,
    pub(super) end: usize,
}

impl Scratch {
    /// An empty scratch; it grows with the first search.
    #[must_use]
    pub fn new() -> Scratch {
        Scratch::default()
    }

    /// A scratch whose searches run on a given instruction set, for comparisons: answers are the
    /// same on all.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) when this machine lacks it.
    ///
    /// ```
    /// use sparsely::{InstructionSet, Scratch};
    /// assert!(Scratch::with_instruction_set(InstructionSet::Portable).is_ok());
    /// ```
    pub fn with_instruction_set(set: InstructionSet) -> Result<Scratch> {
        let level = Level::of(set).ok_or_else(|| {
            let remedy = format!("use one of {:?}", InstructionSet::available());
            Error::unsupported(format!("{set:?}"), remedy)
        })?;
        Ok(Scratch {
            level: Some(level),
            ..Scratch::default()
        })
    }

    pub(super) fn level(&mut self) -> Level {
        *self.level.get_or_insert_with(Level::detect)
    }
}

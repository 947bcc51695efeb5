//! Dynamic retrieval, step by step: each step is encoded once, and the caller learns whether what
//! was retrieved has changed, so that a prompt cache can be kept while it has not.

use std::collections::HashSet;

use crate::{error::Result, search::Scratch, sparse::SparseVector};

use super::{
    find::{maximum, step_text},
    recall::{Moment, Recall},
    render::Memory,
    store::ExperienceStore,
    trajectory::Step,
};

/// An episode under way that asks the memory again as it goes on.
///
/// The query of a step is the maximum, term by term, over the vectors of its pieces: the task and
/// every step so far. So a new step costs the encoding of that step alone. With an encoder whose
/// vectors are maxima over tokens (SPLADE, SPLARE) this leaves out what tokens of different pieces
/// say to each other; [`ExperienceStore::recall`] with [`Recall::at_step`] gives the same answer,
/// for it uses the same pieces.
///
/// ```
/// use std::sync::Arc;
/// use sparsely::{LexicalEncoder, memory::{ExperienceStore, Recall, Session, Step, StoreConfig, Trajectory}};
/// let mut store = ExperienceStore::in_memory(Arc::new(LexicalEncoder::text()), StoreConfig::new())?;
/// store.record(Trajectory::new("1", "boil lead").with_step(Step::new("open stove", "it is open")))?;
/// let mut session = Session::start(&store, Recall::at_start("boil tin").top(1))?;
/// assert_eq!(session.memories().len(), 1);
/// let change = session.step(&store, Step::new("open stove", "it is open"))?;
/// assert!(!change.has_changed);
/// # Ok::<(), sparsely::Error>(())
/// ```
#[derive(Debug)]
pub struct Session {
    recall: Recall,
    query: SparseVector,
    every: usize,
    steps: usize,
    memories: Vec<Memory>,
    scratch: Scratch,
}

/// What a step changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whether the memory was asked at this step; see [`Session::every`].
    pub was_asked: bool,
    /// Whether another set of episodes was retrieved. While it has not, [`Session::memories`]
    /// stays as it is, in the order that it had.
    pub has_changed: bool,
}

impl Session {
    /// Begins with what the task alone retrieves.
    ///
    /// # Errors
    /// As [`ExperienceStore::recall`].
    pub fn start(store: &ExperienceStore, recall: Recall) -> Result<Session> {
        let mut scratch = Scratch::new();
        let memories = store.recall_with(&recall, &mut scratch)?;
        let recall = Recall {
            moment: Moment::Step,
            ..recall
        };
        let query = store.encode(&recall)?;
        Ok(Session {
            steps: recall.steps.len(),
            recall,
            query,
            every: 1,
            memories,
            scratch,
        })
    }

    /// Asks at every `steps`-th step only; 0 counts as 1, the default.
    #[must_use]
    pub fn every(mut self, steps: usize) -> Session {
        self.every = steps.max(1);
        self
    }

    /// Takes the next step, and asks with all that has happened so far. The store may have moved
    /// on since the last step.
    ///
    /// # Errors
    /// As [`ExperienceStore::recall`]; the session then stays as it was before the step.
    pub fn step(&mut self, store: &ExperienceStore, step: Step) -> Result<Change> {
        let finder = store.finder();
        let piece = finder.encode_pieces(&[step_text(&step)])?;
        let query = maximum(&[self.query.clone(), piece]);
        let was_asked = (self.steps + 1).is_multiple_of(self.every);
        let found = match was_asked {
            true => Some(finder.find(&self.recall, &query, &mut self.scratch)?),
            false => None,
        };
        self.query = query;
        self.steps += 1;
        let has_changed = match found {
            Some(found) if ids(&found) != ids(&self.memories) => {
                self.memories = found;
                true
            }
            _ => false,
        };
        Ok(Change {
            was_asked,
            has_changed,
        })
    }

    /// What is retrieved now, best first.
    #[must_use]
    pub fn memories(&self) -> &[Memory] {
        &self.memories
    }

    /// How many steps there have been.
    #[must_use]
    pub fn step_count(&self) -> usize {
        self.steps
    }
}

fn ids(memories: &[Memory]) -> HashSet<&str> {
    memories
        .iter()
        .map(|memory| memory.trajectory.id())
        .collect()
}

//! From a store to training examples: each episode with its own retrieved block.

use std::collections::HashMap;

use crate::{error::Result, search::Scratch};

use super::{
    recall::{Filters, Recall},
    render::{Memory, Renderer},
    store::ExperienceStore,
    training::{LeaveOut, TrainingExample, TrainingReport},
};

/// How training examples are made.
///
/// ```
/// use std::sync::Arc;
/// use sparsely::{LexicalEncoder, memory::*};
/// let mut store = ExperienceStore::in_memory(Arc::new(LexicalEncoder::text()), StoreConfig::new())?;
/// for (id, what) in [("1", "lead"), ("2", "tin")] {
///     let episode = Trajectory::new(id, format!("boil {what}"));
///     store.record(episode.with_step(Step::new("open stove", "")).with_outcome(Outcome::Success))?;
/// }
/// let mut shown = Vec::new();
/// let report = TrainingExport::new(Renderer::new(2000)).run(&store, |example| {
///     shown.push(example.retrieved.clone());
///     Ok(())
/// })?;
/// assert_eq!(shown, [["2"], ["1"]]);
/// assert_eq!(report.examples, 2);
/// # Ok::<(), sparsely::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TrainingExport<'a> {
    renderer: Renderer<'a>,
    system: String,
    top: usize,
    leave_out: LeaveOut,
    filters: Filters,
    retrieved: Filters,
}

impl<'a> TrainingExport<'a> {
    /// Examples with a block that `renderer` makes of the 2 best episodes (the paper's choice),
    /// leaving out the episode itself.
    #[must_use]
    pub fn new(renderer: Renderer<'a>) -> TrainingExport<'a> {
        TrainingExport {
            renderer,
            system: String::new(),
            top: 2,
            leave_out: LeaveOut::Episode,
            filters: Filters::new(),
            retrieved: Filters::new(),
        }
    }

    /// The system prompt before the block; none is the default.
    #[must_use]
    pub fn system(mut self, prompt: impl Into<String>) -> TrainingExport<'a> {
        self.system = prompt.into();
        self
    }

    /// How many episodes are retrieved for each.
    #[must_use]
    pub fn top(mut self, k: usize) -> TrainingExport<'a> {
        self.top = k;
        self
    }

    /// What an example's own retrieval must not find.
    #[must_use]
    pub fn leave_out(mut self, what: LeaveOut) -> TrainingExport<'a> {
        self.leave_out = what;
        self
    }

    /// Which episodes become examples: successes, say. All are the default.
    #[must_use]
    pub fn filter(mut self, filters: Filters) -> TrainingExport<'a> {
        self.filters = filters;
        self
    }

    /// Which episodes may be retrieved. All are the default.
    #[must_use]
    pub fn retrieve(mut self, filters: Filters) -> TrainingExport<'a> {
        self.retrieved = filters;
        self
    }

    /// Hands each example to `take`, by rising id, and reports on all of them. The same store
    /// gives the same examples.
    ///
    /// # Errors
    /// As [`ExperienceStore::recall`], and what `take` returns.
    pub fn run(
        &self,
        store: &ExperienceStore,
        mut take: impl FnMut(&TrainingExample) -> Result<()>,
    ) -> Result<TrainingReport> {
        let mut report = TrainingReport::default();
        let mut uses: HashMap<String, u64> = HashMap::new();
        let mut scratch = Scratch::new();
        for id in store.ids()? {
            let trajectory = store.read(&id)?;
            if !self.filters.pass(&trajectory) {
                continue;
            }
            let mut recall = Recall::at_start(trajectory.task())
                .top(self.top)
                .filter(self.retrieved.clone())
                .exclude_episode(&id);
            if let Some(opening) = trajectory.opening() {
                recall = recall.opening(opening);
            }
            if let Some(environment) = trajectory.environment() {
                recall = recall.environment(environment);
            }
            if self.leave_out == LeaveOut::Task {
                recall = recall.exclude_task(trajectory.task());
            }
            let memories = store.recall_with(&recall, &mut scratch)?;
            let rendered = self.renderer.render(&memories);
            let shown: Vec<&Memory> = memories
                .iter()
                .filter(|memory| !rendered.left_out.contains(&memory.trajectory.id))
                .collect();
            let retrieved: Vec<String> = shown
                .iter()
                .map(|memory| memory.trajectory.id.clone())
                .collect();
            for id in &retrieved {
                *uses.entry(id.clone()).or_default() += 1;
            }
            let example =
                TrainingExample::new(&retrieved, &self.system, &rendered.text, &trajectory);
            report.count(&example, &shown, rendered.tokens);
            report.left_out += u64::try_from(rendered.left_out.len()).unwrap_or(u64::MAX);
            take(&example)?;
        }
        report.distinct_retrieved = u64::try_from(uses.len()).unwrap_or(u64::MAX);
        report.most_retrieved = uses.into_values().max().unwrap_or(0);
        Ok(report)
    }
}

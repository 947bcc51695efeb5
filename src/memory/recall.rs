//! What is asked of the memory: one type for the static and the dynamic query of ExpRAG.

use std::ops::Bound;

use crate::error::{Error, Result};

use super::{
    keys::{KeyKind, KeyPlan},
    trajectory::{Outcome, Step, Trajectory},
};

/// A request for the most useful episodes.
///
/// *Static*, [`Recall::at_start`]: once, the task is the query. *Dynamic*, [`Recall::at_step`]: at
/// every step, the task and what has happened so far are the query (arXiv 2603.18272). Everything
/// else has a default: the 2 best episodes of any label, ranked by likeness alone.
///
/// ```
/// use sparsely::memory::{Filters, Outcome, Recall};
/// let recall = Recall::at_start("boil lead")
///     .top(4)
///     .filter(Filters::new().outcome(Outcome::Success).environment("lab"))
///     .exclude_episode("run-7")
///     .diversity(0.7)?;
/// assert_eq!(recall.task(), "boil lead");
/// # Ok::<(), sparsely::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Recall {
    pub(super) task: String,
    pub(super) environment: Option<String>,
    pub(super) opening: Option<String>,
    pub(super) steps: Vec<Step>,
    pub(super) moment: Moment,
    pub(super) keys: Option<Vec<KeyKind>>,
    pub(super) top: usize,
    pub(super) filters: Filters,
    pub(super) excluded_episodes: Vec<String>,
    pub(super) excluded_tasks: Vec<String>,
    pub(super) quota: Option<Quota>,
    pub(super) diversity: Option<f32>,
    pub(super) recency: Option<Recency>,
    pub(super) utility: f32,
    pub(super) least_score: f32,
    pub(super) ranking: Option<Ranking>,
}

/// When the memory is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Moment {
    /// Before the first step: static retrieval.
    Start,
    /// After some steps: dynamic retrieval.
    Step,
}

/// What decides the order of the episodes that the encoder finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ranking {
    /// The encoder's score.
    Score,
    /// The likeness of the tasks in their phrases of up to three words, among the best by the
    /// encoder's score. Where only instructions are searched (the task, "when to use"), it alone
    /// decides, and the encoder's score between equal ones; elsewhere it is multiplied with the
    /// encoder's score. The default with an encoder of open vocabulary, that is a lexical one.
    Wording,
}

/// How many episodes of each label are wanted: the best of each, and no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quota {
    pub(super) successes: usize,
    pub(super) failures: usize,
}

/// Newer episodes count more.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Recency {
    pub(super) weight: f32,
    pub(super) half_life: f64,
    pub(super) now: i64,
}

impl Recall {
    /// Asks before the first step.
    pub fn at_start(task: impl Into<String>) -> Recall {
        Recall {
            task: task.into(),
            environment: None,
            opening: None,
            steps: Vec::new(),
            moment: Moment::Start,
            keys: None,
            top: 2,
            filters: Filters::new(),
            excluded_episodes: Vec::new(),
            excluded_tasks: Vec::new(),
            quota: None,
            diversity: None,
            recency: None,
            utility: 0.0,
            least_score: 0.0,
            ranking: None,
        }
    }

    /// Asks after `steps`.
    pub fn at_step(task: impl Into<String>, steps: impl IntoIterator<Item = Step>) -> Recall {
        Recall {
            steps: steps.into_iter().collect(),
            moment: Moment::Step,
            ..Recall::at_start(task)
        }
    }

    /// The world that the task is done in: a part of the query against keys of
    /// [`KeyKind::TaskAndEnvironment`]. To see episodes of one world only, use [`Filters`].
    #[must_use]
    pub fn environment(mut self, environment: impl Into<String>) -> Recall {
        self.environment = Some(environment.into());
        self
    }

    /// What the agent saw before its first action: a part of the query, at a step and against keys
    /// of [`KeyKind::TaskAndEnvironment`].
    #[must_use]
    pub fn opening(mut self, observation: impl Into<String>) -> Recall {
        self.opening = Some(observation.into());
        self
    }

    /// How many episodes; the paper uses 1, 2 and 4. The default is 2; 0 gives none.
    #[must_use]
    pub fn top(mut self, k: usize) -> Recall {
        self.top = k;
        self
    }

    /// Searches among keys of these kinds. The default is the task at the start, and at a step the
    /// prefixes and whole episodes, as far as the store has them.
    #[must_use]
    pub fn keys(mut self, kinds: impl IntoIterator<Item = KeyKind>) -> Recall {
        self.keys = Some(kinds.into_iter().collect());
        self
    }

    /// Leaves out the episodes that do not pass.
    #[must_use]
    pub fn filter(mut self, filters: Filters) -> Recall {
        self.filters = filters;
        self
    }

    /// Leaves out one episode: the one that is being replayed, say. May be repeated.
    #[must_use]
    pub fn exclude_episode(mut self, id: impl Into<String>) -> Recall {
        self.excluded_episodes.push(id.into());
        self
    }

    /// Leaves out all episodes whose task has this very text. May be repeated.
    #[must_use]
    pub fn exclude_task(mut self, task: impl Into<String>) -> Recall {
        self.excluded_tasks.push(task.into());
        self
    }

    /// The best `successes` successes and the best `failures` failures, and nothing else; it takes
    /// the place of [`Recall::top`].
    #[must_use]
    pub fn quota(mut self, successes: usize, failures: usize) -> Recall {
        self.top = successes.saturating_add(failures);
        self.quota = Some(Quota {
            successes,
            failures,
        });
        self
    }

    /// Maximal marginal relevance: each next episode has the largest `balance * relevance -
    /// (1 - balance) * likeness to those chosen before`, where relevance is relative to the best
    /// and likeness is the cosine of the sparse vectors of the keys found. 1 changes nothing; 0.7
    /// is a common choice.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) outside 0 to 1.
    pub fn diversity(mut self, balance: f32) -> Result<Recall> {
        if !(0.0..=1.0).contains(&balance) {
            return Err(Error::invalid(
                "balance of relevance and diversity",
                "0 to 1",
                balance.to_string(),
            ));
        }
        self.diversity = Some(balance);
        Ok(self)
    }

    /// Newer episodes count more: relevance is multiplied by `1 + weight * 2^(-age / half_life)`,
    /// both in seconds, the age as of `now` (seconds since 1970 UTC). An episode without a time is
    /// infinitely old.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a weight below 0 or a half
    /// life that is not above 0.
    pub fn recency(mut self, weight: f32, half_life: f64, now: i64) -> Result<Recall> {
        check_weight("recency weight", weight)?;
        if !(half_life.is_finite() && half_life > 0.0) {
            return Err(Error::invalid(
                "half life",
                "seconds above 0",
                half_life.to_string(),
            ));
        }
        self.recency = Some(Recency {
            weight,
            half_life,
            now,
        });
        Ok(self)
    }

    /// Episodes that helped count more: relevance is multiplied by `1 + weight * (helped + 1) /
    /// (retrieved + 2)`, from the counters that the caller keeps with
    /// [`ExperienceStore::give_feedback`](super::ExperienceStore::give_feedback).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a weight below 0.
    pub fn utility(mut self, weight: f32) -> Result<Recall> {
        check_weight("utility weight", weight)?;
        self.utility = weight;
        Ok(self)
    }

    /// Leaves out what the encoder scores below this. The scale is the encoder's own.
    #[must_use]
    pub fn least_score(mut self, score: f32) -> Recall {
        self.least_score = score;
        self
    }

    /// What decides the order; the default depends on the encoder, see [`Ranking`].
    #[must_use]
    pub fn ranking(mut self, ranking: Ranking) -> Recall {
        self.ranking = Some(ranking);
        self
    }

    /// The task.
    #[must_use]
    pub fn task(&self) -> &str {
        &self.task
    }

    /// Whether this is a static or a dynamic query.
    #[must_use]
    pub fn moment(&self) -> Moment {
        self.moment
    }

    /// The kinds of key to search, among those that the store has.
    pub(super) fn kinds(&self, plan: &KeyPlan) -> Result<Vec<KeyKind>> {
        let has = |kind: &KeyKind| plan.kinds.contains(kind);
        let wanted: Vec<KeyKind> = match (&self.keys, self.moment) {
            (Some(kinds), _) => {
                if let Some(missing) = kinds.iter().find(|kind| !has(kind)) {
                    return Err(Error::invalid(
                        "kind of key to search",
                        format!("one of the store's: {}", names(&plan.kinds)),
                        missing.name(),
                    ));
                }
                kinds.clone()
            }
            (None, Moment::Start) => vec![KeyKind::Task, KeyKind::WhenToUse],
            (None, Moment::Step) => vec![KeyKind::StepPrefix, KeyKind::WholeTrajectory],
        };
        let found: Vec<KeyKind> = wanted.into_iter().filter(|kind| has(kind)).collect();
        match found.is_empty() {
            true => Ok(plan.kinds.clone()),
            false => Ok(found),
        }
    }

    /// The texts of the query, each encoded by itself: one at the start, one for the situation and
    /// one for each step later.
    pub(super) fn first_text(&self, kinds: &[KeyKind]) -> String {
        let of_situation = kinds.contains(&KeyKind::TaskAndEnvironment);
        let opening = self
            .opening
            .as_deref()
            .filter(|_| self.moment == Moment::Step || of_situation);
        let environment = self.environment.as_deref().filter(|_| of_situation);
        super::keys::situation(environment, &self.task, opening)
    }
}

/// Conditions on episodes; all of them must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filters {
    pub(super) outcomes: Vec<Outcome>,
    pub(super) environments: Vec<String>,
    pub(super) tags: Vec<String>,
    pub(super) agents: Vec<String>,
    pub(super) time: Option<(Bound<i64>, Bound<i64>)>,
    pub(super) least_reward: Option<f64>,
}

impl Filters {
    /// No condition.
    #[must_use]
    pub fn new() -> Filters {
        Filters::default()
    }

    /// Has this label, or another one given so.
    #[must_use]
    pub fn outcome(mut self, outcome: Outcome) -> Filters {
        self.outcomes.push(outcome);
        self
    }

    /// Was done in this world, or another one given so.
    #[must_use]
    pub fn environment(mut self, environment: impl Into<String>) -> Filters {
        self.environments.push(environment.into());
        self
    }

    /// Has this tag, and every other one given so.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Filters {
        self.tags.push(tag.into());
        self
    }

    /// Was done by this agent, or another one given so.
    #[must_use]
    pub fn agent(mut self, agent: impl Into<String>) -> Filters {
        self.agents.push(agent.into());
        self
    }

    /// Ended in this range of seconds since 1970 UTC; an episode without a time does not.
    #[must_use]
    pub fn time(mut self, range: impl std::ops::RangeBounds<i64>) -> Filters {
        self.time = Some((range.start_bound().cloned(), range.end_bound().cloned()));
        self
    }

    /// Has a score of at least this; an episode without a score does not.
    #[must_use]
    pub fn least_reward(mut self, score: f64) -> Filters {
        self.least_reward = Some(score);
        self
    }

    /// Whether an episode passes: the meaning of the conditions.
    #[must_use]
    pub fn pass(&self, trajectory: &Trajectory) -> bool {
        let among = |wanted: &[String], found: Option<&str>| {
            wanted.is_empty() || found.is_some_and(|found| wanted.iter().any(|one| one == found))
        };
        (self.outcomes.is_empty() || self.outcomes.contains(&trajectory.outcome))
            && among(&self.environments, trajectory.environment())
            && among(&self.agents, trajectory.agent())
            && self.tags.iter().all(|tag| trajectory.tags.contains(tag))
            && self.time.is_none_or(|range| {
                use std::ops::RangeBounds as _;
                trajectory.time.is_some_and(|time| range.contains(&time))
            })
            && self
                .least_reward
                .is_none_or(|least| trajectory.score.is_some_and(|score| score >= least))
    }
}

fn check_weight(what: &'static str, weight: f32) -> Result<()> {
    match weight.is_finite() && weight >= 0.0 {
        true => Ok(()),
        false => Err(Error::invalid(
            what,
            "a finite number from 0",
            weight.to_string(),
        )),
    }
}

fn names(kinds: &[KeyKind]) -> String {
    kinds
        .iter()
        .map(|kind| kind.name())
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_fall_back_to_what_the_store_has() {
        let plan = KeyPlan::of([KeyKind::Task]).unwrap();
        let step = Recall::at_step("t", []);
        assert_eq!(step.kinds(&plan).unwrap(), [KeyKind::Task]);
        assert!(
            step.clone()
                .keys([KeyKind::WholeTrajectory])
                .kinds(&plan)
                .is_err()
        );
        assert_eq!(
            step.kinds(&KeyPlan::default()).unwrap(),
            [KeyKind::WholeTrajectory]
        );
        let start = Recall::at_start("t");
        assert_eq!(
            start.kinds(&KeyPlan::default()).unwrap(),
            [KeyKind::Task, KeyKind::WhenToUse]
        );
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        let recall = || Recall::at_start("t");
        assert!(recall().diversity(1.1).is_err());
        assert!(recall().diversity(f32::NAN).is_err());
        assert!(recall().utility(-1.0).is_err());
        assert!(recall().recency(1.0, 0.0, 0).is_err());
        assert!(recall().recency(f32::NAN, 1.0, 0).is_err());
    }

    #[test]
    fn filters_mean_what_they_say() {
        let episode = Trajectory::new("1", "t")
            .with_environment("lab")
            .with_tag("a")
            .with_time(10)
            .with_outcome(Outcome::Failure)
            .with_score(0.5)
            .unwrap();
        let pass = |filters: Filters| filters.pass(&episode);
        assert!(pass(Filters::new()));
        assert!(pass(
            Filters::new()
                .outcome(Outcome::Success)
                .outcome(Outcome::Failure)
        ));
        assert!(!pass(Filters::new().outcome(Outcome::Success)));
        assert!(pass(
            Filters::new()
                .environment("lab")
                .tag("a")
                .time(10..11)
                .least_reward(0.5)
        ));
        assert!(!pass(Filters::new().tag("a").tag("b")));
        assert!(!pass(Filters::new().time(11..)));
        assert!(!pass(Filters::new().agent("x")));
        assert!(!pass(Filters::new().least_reward(0.6)));
    }
}

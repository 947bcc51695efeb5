//! A whole episode of an agent: what it was asked, what it did, what came of it.
//!
//! A trajectory is stored whole and comes back whole, unknown JSON fields included; nothing is
//! summarized. It is the `τ = (task, o_1, a_1, …)` of ExpRAG (arXiv 2603.18272) with a label.

use std::fmt;

use crate::error::{Error, Result};

/// An episode.
///
/// ```
/// use sparsely::memory::{Outcome, Step, Trajectory};
/// let trajectory = Trajectory::new("run-7", "boil lead")
///     .with_environment("lab")
///     .with_step(Step::new("open stove", "the stove is open").with_thought("heat first"))
///     .with_outcome(Outcome::Success)
///     .with_score(1.0)?;
/// assert_eq!(trajectory.steps().len(), 1);
/// assert_eq!(trajectory.contradiction(), None);
/// # Ok::<(), sparsely::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Trajectory {
    pub(super) id: String,
    pub(super) task: String,
    pub(super) environment: Option<String>,
    pub(super) opening: Option<String>,
    pub(super) steps: Vec<Step>,
    pub(super) outcome: Outcome,
    pub(super) score: Option<f64>,
    pub(super) time: Option<i64>,
    pub(super) tags: Vec<String>,
    pub(super) agent: Option<String>,
    pub(super) provenance: Option<String>,
    pub(super) when_to_use: Vec<String>,
    pub(super) payload: Vec<u8>,
    pub(super) extra: Vec<(String, String)>,
}

/// One turn: what the agent thought and did, and what it saw then.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    pub(super) thought: Option<String>,
    pub(super) action: String,
    pub(super) observation: String,
    pub(super) extra: Vec<(String, String)>,
}

/// What came of an episode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// The task was done.
    Success,
    /// The task was not done.
    Failure,
    /// A part of the task was done.
    Partial,
    /// Nobody said.
    #[default]
    Unknown,
}

impl Trajectory {
    /// An episode of `task` that has no steps yet, under the caller's own `id`. The id is checked
    /// when the episode is recorded: 1 to 1,024 bytes, one episode each.
    pub fn new(id: impl Into<String>, task: impl Into<String>) -> Trajectory {
        Trajectory {
            id: id.into(),
            task: task.into(),
            ..Trajectory::default()
        }
    }

    /// Names the world that the task was done in.
    #[must_use]
    pub fn with_environment(mut self, environment: impl Into<String>) -> Trajectory {
        self.environment = Some(environment.into());
        self
    }

    /// What the agent saw before its first action: `o_1` of the paper.
    #[must_use]
    pub fn with_opening(mut self, observation: impl Into<String>) -> Trajectory {
        self.opening = Some(observation.into());
        self
    }

    /// Adds a step at the end.
    #[must_use]
    pub fn with_step(mut self, step: Step) -> Trajectory {
        self.steps.push(step);
        self
    }

    /// Adds steps at the end.
    #[must_use]
    pub fn with_steps(mut self, steps: impl IntoIterator<Item = Step>) -> Trajectory {
        self.steps.extend(steps);
        self
    }

    /// Labels the episode. The default is [`Outcome::Unknown`].
    #[must_use]
    pub fn with_outcome(mut self, outcome: Outcome) -> Trajectory {
        self.outcome = outcome;
        self
    }

    /// What the episode earned, on the environment's own scale.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a score that is not finite.
    pub fn with_score(mut self, score: f64) -> Result<Trajectory> {
        if !score.is_finite() {
            return Err(Error::invalid(
                format!("score of episode {:?}", self.id),
                "a finite number",
                score.to_string(),
            ));
        }
        self.score = Some(score);
        Ok(self)
    }

    /// When the episode ended, in seconds since 1970-01-01 UTC.
    #[must_use]
    pub fn with_time(mut self, seconds: i64) -> Trajectory {
        self.time = Some(seconds);
        self
    }

    /// Adds a tag to filter by.
    #[must_use]
    pub fn with_tag(mut self, tag: impl Into<String>) -> Trajectory {
        self.tags.push(tag.into());
        self
    }

    /// Names the agent that acted.
    #[must_use]
    pub fn with_agent(mut self, agent: impl Into<String>) -> Trajectory {
        self.agent = Some(agent.into());
        self
    }

    /// Says where the episode comes from; shown with every rendered item.
    #[must_use]
    pub fn with_provenance(mut self, provenance: impl Into<String>) -> Trajectory {
        self.provenance = Some(provenance.into());
        self
    }

    /// Adds a text to be found by, beside the task: "when to use" this episode, a lesson learned.
    #[must_use]
    pub fn with_when_to_use(mut self, text: impl Into<String>) -> Trajectory {
        self.when_to_use.push(text.into());
        self
    }

    /// Bytes of the caller's own that come back as they are.
    #[must_use]
    pub fn with_payload(mut self, payload: impl Into<Vec<u8>>) -> Trajectory {
        self.payload = payload.into();
        self
    }

    /// The caller's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What the agent was asked to do.
    #[must_use]
    pub fn task(&self) -> &str {
        &self.task
    }

    /// The world that the task was done in.
    #[must_use]
    pub fn environment(&self) -> Option<&str> {
        self.environment.as_deref()
    }

    /// What the agent saw before its first action.
    #[must_use]
    pub fn opening(&self) -> Option<&str> {
        self.opening.as_deref()
    }

    /// The turns, in order.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The label.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// What the episode earned.
    #[must_use]
    pub fn score(&self) -> Option<f64> {
        self.score
    }

    /// When the episode ended, in seconds since 1970-01-01 UTC.
    #[must_use]
    pub fn time(&self) -> Option<i64> {
        self.time
    }

    /// The tags.
    #[must_use]
    pub fn tags(&self) -> &[String] {
        &self.tags
    }

    /// The agent that acted.
    #[must_use]
    pub fn agent(&self) -> Option<&str> {
        self.agent.as_deref()
    }

    /// Where the episode comes from.
    #[must_use]
    pub fn provenance(&self) -> Option<&str> {
        self.provenance.as_deref()
    }

    /// Texts to be found by, beside the task.
    #[must_use]
    pub fn when_to_use(&self) -> &[String] {
        &self.when_to_use
    }

    /// The caller's own bytes.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// A field of the JSON that the episode was read from, which has no meaning here: its JSON
    /// text, byte for byte.
    #[must_use]
    pub fn extra(&self, name: &str) -> Option<&str> {
        find(&self.extra, name)
    }

    /// All fields without a meaning here: name and JSON text.
    pub fn extras(&self) -> impl Iterator<Item = (&str, &str)> {
        self.extra.iter().map(|(name, json)| (&**name, &**json))
    }

    /// Where label and score disagree, in words; the label is what counts. A success with a score
    /// of zero or below does, and a failure with 1 or above.
    #[must_use]
    pub fn contradiction(&self) -> Option<String> {
        let score = self.score?;
        let odd = match self.outcome {
            Outcome::Success => score <= 0.0,
            Outcome::Failure => score >= 1.0,
            Outcome::Partial | Outcome::Unknown => false,
        };
        odd.then(|| {
            format!(
                "episode {:?} is labelled {} but has score {score}; the label counts",
                self.id, self.outcome
            )
        })
    }

    /// A digest of everything but the id: equal episodes have equal digests.
    pub(super) fn digest(&self) -> u64 {
        let mut anonymous = self.clone();
        anonymous.id.clear();
        digest(&super::record::encode(&anonymous))
    }

    /// Whether `other` says the same under whatever id.
    pub(super) fn says_the_same(&self, other: &Trajectory) -> bool {
        self == &Trajectory {
            id: self.id.clone(),
            ..other.clone()
        }
    }
}

impl Step {
    /// An action and what the agent saw then. The observation may be empty.
    pub fn new(action: impl Into<String>, observation: impl Into<String>) -> Step {
        Step {
            action: action.into(),
            observation: observation.into(),
            ..Step::default()
        }
    }

    /// What the agent thought before it acted.
    #[must_use]
    pub fn with_thought(mut self, thought: impl Into<String>) -> Step {
        self.thought = Some(thought.into());
        self
    }

    /// What the agent thought before it acted.
    #[must_use]
    pub fn thought(&self) -> Option<&str> {
        self.thought.as_deref()
    }

    /// What it did.
    #[must_use]
    pub fn action(&self) -> &str {
        &self.action
    }

    /// What it saw then.
    #[must_use]
    pub fn observation(&self) -> &str {
        &self.observation
    }

    /// A field of the JSON that the step was read from, which has no meaning here: its JSON text.
    #[must_use]
    pub fn extra(&self, name: &str) -> Option<&str> {
        find(&self.extra, name)
    }

    /// Everything that the step says, for a key.
    pub(super) fn push_text(&self, text: &mut String) {
        for part in [
            self.thought.as_deref(),
            Some(&*self.action),
            Some(&*self.observation),
        ] {
            if let Some(part) = part.filter(|part| !part.is_empty()) {
                text.push('\n');
                text.push_str(part);
            }
        }
    }
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Outcome; 4] = [
        Outcome::Success,
        Outcome::Failure,
        Outcome::Partial,
        Outcome::Unknown,
    ];

    /// The word for it, as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::Failure => "failure",
            Outcome::Partial => "partial",
            Outcome::Unknown => "unknown",
        }
    }

    /// The outcome that a word names.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Outcome> {
        Outcome::ALL.into_iter().find(|one| one.name() == name)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// FNV-1a, 64 bits: finds what may be equal; equality itself is always compared.
pub(super) fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn find<'a>(extra: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let (_, json) = extra.iter().find(|(other, _)| other == name)?;
    Some(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_ignores_the_id_and_nothing_else() {
        let one = Trajectory::new("a", "t").with_step(Step::new("x", "y"));
        let renamed = Trajectory::new("b", "t").with_step(Step::new("x", "y"));
        assert_eq!(one.digest(), renamed.digest());
        assert!(one.says_the_same(&renamed));
        for other in [
            one.clone().with_time(1),
            one.clone().with_outcome(Outcome::Failure),
            one.clone().with_step(Step::new("", "")),
            one.clone().with_payload([0]),
        ] {
            assert_ne!(one.digest(), other.digest());
            assert!(!one.says_the_same(&other));
        }
    }

    #[test]
    fn contradictions_are_named() {
        let one = |outcome, score| {
            let episode = Trajectory::new("a", "t").with_outcome(outcome);
            episode.with_score(score).unwrap().contradiction().is_some()
        };
        assert!(one(Outcome::Success, 0.0));
        assert!(one(Outcome::Failure, 1.0));
        assert!(!one(Outcome::Failure, 0.5));
        assert!(!one(Outcome::Partial, 0.0));
        assert!(Trajectory::new("a", "t").with_score(f64::NAN).is_err());
    }
}

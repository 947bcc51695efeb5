//! What an episode is found by: the texts that are encoded, apart from what comes back.
//!
//! One episode has several keys and is found once, by its best. Texts longer than the encoder's
//! limit are cut into windows that overlap; the best window counts (maximum).

use crate::error::{Error, Result};

use super::trajectory::{Step, Trajectory};

/// Which text of an episode a key is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyKind {
    /// The task: key of the static retrieval of ExpRAG.
    Task,
    /// The environment, the task and the opening observation.
    TaskAndEnvironment,
    /// The task and the episode up to a step, one key for each step: finds the moment that is like
    /// now.
    StepPrefix,
    /// The task and the whole episode: key of the dynamic retrieval of ExpRAG.
    WholeTrajectory,
    /// The caller's own "when to use" texts.
    WhenToUse,
}

impl KeyKind {
    /// Every kind.
    pub const ALL: [KeyKind; 5] = [
        KeyKind::Task,
        KeyKind::TaskAndEnvironment,
        KeyKind::StepPrefix,
        KeyKind::WholeTrajectory,
        KeyKind::WhenToUse,
    ];

    /// The word for it, as in the store's `key` field.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            KeyKind::Task => "task",
            KeyKind::TaskAndEnvironment => "task-environment",
            KeyKind::StepPrefix => "step-prefix",
            KeyKind::WholeTrajectory => "whole",
            KeyKind::WhenToUse => "when-to-use",
        }
    }

    /// The kind that a word names.
    #[must_use]
    pub fn from_name(name: &str) -> Option<KeyKind> {
        KeyKind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// One byte in document keys and in the store's settings; never reused.
    pub(super) const fn code(self) -> u8 {
        match self {
            KeyKind::Task => b'a',
            KeyKind::TaskAndEnvironment => b'b',
            KeyKind::StepPrefix => b'c',
            KeyKind::WholeTrajectory => b'd',
            KeyKind::WhenToUse => b'e',
        }
    }

    pub(super) fn from_code(code: u8) -> Option<KeyKind> {
        KeyKind::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// Whether the text is a short instruction, whose wording can be compared word by word.
    pub(super) const fn is_instruction(self) -> bool {
        matches!(self, KeyKind::Task | KeyKind::WhenToUse)
    }
}

/// Which keys a store makes of each episode. Fixed when the store is created.
///
/// The default makes the task, the whole episode and the caller's texts into keys, with windows of
/// 400 words (about 512 tokens of a transformer), at most 64 of them an episode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPlan {
    pub(super) kinds: Vec<KeyKind>,
    pub(super) window_words: u32,
    pub(super) windows_most: u32,
}

impl Default for KeyPlan {
    fn default() -> KeyPlan {
        KeyPlan {
            kinds: vec![KeyKind::Task, KeyKind::WholeTrajectory, KeyKind::WhenToUse],
            window_words: 400,
            windows_most: 64,
        }
    }
}

impl KeyPlan {
    /// Makes keys of `kinds` only.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when there is none.
    pub fn of(kinds: impl IntoIterator<Item = KeyKind>) -> Result<KeyPlan> {
        let mut kinds: Vec<KeyKind> = kinds.into_iter().collect();
        kinds.sort_unstable();
        kinds.dedup();
        if kinds.is_empty() {
            return Err(Error::invalid(
                "key plan",
                "at least one kind of key",
                "none",
            ));
        }
        Ok(KeyPlan {
            kinds,
            ..KeyPlan::default()
        })
    }

    /// Words in a window: what the encoder reads of one text. At least 16. An encoder without a
    /// limit, such as the lexical one, finds whole episodes better with large windows.
    #[must_use]
    pub fn window_words(mut self, words: u32) -> KeyPlan {
        self.window_words = words.max(16);
        self
    }

    /// The most windows (and the most step prefixes) that one episode gets; at least 1. Where
    /// there would be more, evenly spaced ones are kept, the first and the last among them, and
    /// [`Recorded::windows_left_out`](super::Recorded::windows_left_out) counts the others.
    #[must_use]
    pub fn windows_most(mut self, windows: u32) -> KeyPlan {
        self.windows_most = windows.max(1);
        self
    }

    /// The kinds, rising.
    #[must_use]
    pub fn kinds(&self) -> &[KeyKind] {
        &self.kinds
    }

    /// Every key text of an episode, and how many windows were left out.
    pub(super) fn texts(&self, trajectory: &Trajectory) -> (Vec<(KeyKind, String)>, u32) {
        let mut texts = Vec::new();
        let mut left_out = 0;
        for &kind in &self.kinds {
            let (found, left) = match kind {
                KeyKind::StepPrefix => self.prefixes(trajectory),
                _ => self.windows(&full_texts(kind, trajectory)),
            };
            left_out += left;
            texts.extend(found.into_iter().map(|text| (kind, text)));
        }
        (texts, left_out)
    }

    /// Cuts texts into windows, and keeps at most as many as the plan allows.
    pub(super) fn windows(&self, texts: &[String]) -> (Vec<String>, u32) {
        let size = usize_of(self.window_words);
        let mut windows = Vec::new();
        for text in texts {
            let starts: Vec<usize> = word_starts(text).collect();
            // An eighth of a window overlaps, so that what stands at a cut is whole in one of them.
            let stride = (size - size / 8).max(1);
            let mut at = 0;
            loop {
                let from = if at == 0 { 0 } else { starts[at] };
                let to = starts.get(at + size).copied().unwrap_or(text.len());
                windows.push(&text[from..to]);
                if at + size >= starts.len() {
                    break;
                }
                at += stride;
            }
        }
        let (kept, left_out) = self.spread(windows.len());
        (kept.map(|at| windows[at].to_owned()).collect(), left_out)
    }

    /// One text for each step: the task, then the most recent words up to the step.
    fn prefixes(&self, trajectory: &Trajectory) -> (Vec<String>, u32) {
        let (kept, left_out) = self.spread(trajectory.steps.len());
        let texts = kept
            .map(|at| self.prefix(trajectory, &trajectory.steps[..=at]))
            .collect();
        (texts, left_out)
    }

    fn prefix(&self, trajectory: &Trajectory, steps: &[Step]) -> String {
        // From the last step backwards, so that 10,000 steps cost 10,000 windows, not their square.
        let mut recent: Vec<String> = Vec::new();
        let mut words = word_starts(&trajectory.task).count();
        for step in steps.iter().rev() {
            let mut text = String::new();
            step.push_text(&mut text);
            words += word_starts(&text).count();
            recent.push(text);
            if words >= usize_of(self.window_words) {
                break;
            }
        }
        let mut prefix = trajectory.task.clone();
        prefix.extend(recent.into_iter().rev());
        prefix
    }

    /// Which of `count` things are kept, evenly spaced with both ends, and how many are not.
    fn spread(&self, count: usize) -> (impl Iterator<Item = usize>, u32) {
        let most = usize_of(self.windows_most).min(count);
        let left_out = u32::try_from(count - most).unwrap_or(u32::MAX);
        let last = count.saturating_sub(1);
        let kept = (0..most).map(move |at| match most {
            1 => 0,
            _ => at * last / (most - 1),
        });
        (kept, left_out)
    }
}

fn full_texts(kind: KeyKind, trajectory: &Trajectory) -> Vec<String> {
    match kind {
        KeyKind::Task => vec![trajectory.task.clone()],
        KeyKind::TaskAndEnvironment => vec![situation(
            trajectory.environment.as_deref(),
            &trajectory.task,
            trajectory.opening.as_deref(),
        )],
        KeyKind::WhenToUse => trajectory.when_to_use.clone(),
        KeyKind::StepPrefix | KeyKind::WholeTrajectory => {
            let mut text = trajectory.task.clone();
            if let Some(opening) = &trajectory.opening {
                text.push('\n');
                text.push_str(opening);
            }
            for step in &trajectory.steps {
                step.push_text(&mut text);
            }
            vec![text]
        }
    }
}

/// Environment, task and opening observation as one text, for keys and for queries.
pub(super) fn situation(environment: Option<&str>, task: &str, opening: Option<&str>) -> String {
    let parts = [environment, Some(task), opening];
    parts.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

/// Where each word of a text begins: what stands between blanks.
fn word_starts(text: &str) -> impl Iterator<Item = usize> {
    let mut in_word = false;
    text.char_indices().filter_map(move |(at, letter)| {
        let starts = !letter.is_whitespace() && !in_word;
        in_word = !letter.is_whitespace();
        starts.then_some(at)
    })
}

/// Lossless: `usize` has at least 32 bits wherever this crate builds.
fn usize_of(count: u32) -> usize {
    count as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn episode(steps: usize) -> Trajectory {
        Trajectory::new("1", "the task")
            .with_steps((0..steps).map(|at| Step::new(format!("do{at}"), format!("see{at}"))))
    }

    #[test]
    fn windows_cover_every_word_and_overlap() {
        let plan = KeyPlan::default().window_words(16).windows_most(1000);
        for words in [0, 1, 15, 16, 17, 30, 100] {
            let text = (0..words)
                .map(|at| format!("w{at}"))
                .collect::<Vec<_>>()
                .join(" ");
            let (windows, left_out) = plan.windows(&[text]);
            assert_eq!(left_out, 0);
            let joined = windows.join(" ");
            for at in 0..words {
                assert!(
                    joined
                        .split_whitespace()
                        .any(|word| word == format!("w{at}"))
                );
            }
            assert!(
                windows
                    .iter()
                    .all(|window| window.split_whitespace().count() <= 16)
            );
            assert_eq!(windows.len() > 1, words > 16, "{words} words");
        }
    }

    #[test]
    fn long_episodes_keep_spaced_windows_with_both_ends() {
        let plan = KeyPlan::of([KeyKind::StepPrefix]).unwrap().windows_most(5);
        let (texts, left_out) = plan.texts(&episode(10_000));
        assert_eq!((texts.len(), left_out), (5, 9_995));
        assert!(texts[0].1.ends_with("do0\nsee0"));
        assert!(texts[4].1.ends_with("do9999\nsee9999"));
        assert!(texts.iter().all(|(_, text)| text.starts_with("the task\n")));
        let (texts, _) = plan.texts(&episode(0));
        assert!(texts.is_empty());
    }

    #[test]
    fn kinds_and_their_names() {
        for kind in KeyKind::ALL {
            assert_eq!(KeyKind::from_name(kind.name()), Some(kind));
            assert_eq!(KeyKind::from_code(kind.code()), Some(kind));
        }
        assert!(KeyPlan::of([]).is_err());
        let (texts, _) = KeyPlan::default().texts(&episode(2));
        let kinds: Vec<KeyKind> = texts.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [KeyKind::Task, KeyKind::WholeTrajectory]);
    }
}

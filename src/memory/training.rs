//! Supervised fine-tuning examples as ExpRAG-LoRA builds them: each episode as a conversation with
//! its own retrieved block in the system prompt, and a loss on the assistant's tokens only.
//!
//! The block comes from the same retrieval as at use. The paper does not say whether an episode
//! may find itself; here it never does (leave-one-out), and on demand no episode of the same task
//! either (leave-task-out), so that the block cannot hold the answer.

use super::{
    chat::{Message, Role},
    render::Memory,
    trajectory::{Outcome, Trajectory},
};

/// What an example's own retrieval must not find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LeaveOut {
    /// The episode itself.
    Episode,
    /// The episode itself, and every one whose task has the same text.
    Task,
}

/// A conversation to train on.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingExample {
    /// Id of the episode.
    pub id: String,
    /// The conversation: the caller's system prompt with the retrieved block, then the turns.
    pub messages: Vec<TrainingMessage>,
    /// Ids of the retrieved episodes that the block shows, best first.
    pub retrieved: Vec<String>,
}

/// A message, and whether it is trained on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainingMessage {
    /// The message.
    pub message: Message,
    /// Whether its tokens count in the loss: the episode's own assistant messages do, nothing else
    /// does.
    pub is_trained: bool,
}

/// What was retrieved for a set of examples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrainingReport {
    /// Examples written.
    pub examples: u64,
    /// Examples whose block is empty.
    pub without_memory: u64,
    /// Episodes retrieved and shown, over all examples.
    pub retrieved: u64,
    /// Those of them that were successes.
    pub retrieved_successes: u64,
    /// Episodes retrieved that did not fit into the budget.
    pub left_out: u64,
    /// Tokens of all blocks, by the caller's counter.
    pub block_tokens: u64,
    /// Messages that count in the loss.
    pub trained_messages: u64,
    /// How many different episodes were retrieved for some example.
    pub distinct_retrieved: u64,
    /// The largest number of examples that one episode was retrieved for.
    pub most_retrieved: u64,
}

impl TrainingExample {
    /// The conversation of `episode` after a system prompt and a block, either of which may be
    /// empty.
    pub(super) fn new(
        retrieved: &[String],
        system: &str,
        block: &str,
        episode: &Trajectory,
    ) -> TrainingExample {
        let mut prompt = system.to_owned();
        if !prompt.is_empty() && !block.is_empty() {
            prompt.push_str("\n\n");
        }
        prompt.push_str(block);
        let mut messages = Vec::new();
        if !prompt.is_empty() {
            messages.push(Message::new(Role::System, prompt));
        }
        messages.extend(episode.to_messages());
        TrainingExample {
            id: episode.id.clone(),
            messages: messages
                .into_iter()
                .map(|message| TrainingMessage {
                    is_trained: message.role == Role::Assistant,
                    message,
                })
                .collect(),
            retrieved: retrieved.to_vec(),
        }
    }

    /// The example as one JSON line `{"messages": [{"role", "content", "weight"?}]}`. Assistant
    /// messages carry `"weight": 1`, which fine-tuning services read; trainers that mask by role
    /// ("assistant only") find the same mask. No other field is there: some tools refuse them.
    #[cfg(feature = "json")]
    #[must_use]
    pub fn to_json(&self) -> String {
        let messages: Vec<String> = self
            .messages
            .iter()
            .map(|one| {
                let mut json = one.message.to_json();
                if one.is_trained {
                    json.truncate(json.len() - 1);
                    json.push_str(",\"weight\":1}");
                }
                json
            })
            .collect();
        format!("{{\"messages\":[{}]}}", messages.join(","))
    }
}

impl TrainingReport {
    pub(super) fn count(&mut self, example: &TrainingExample, shown: &[&Memory], tokens: usize) {
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let succeeded = |one: &&&Memory| one.trajectory.outcome == Outcome::Success;
        self.examples += 1;
        self.without_memory += u64::from(shown.is_empty());
        self.retrieved += number(shown.len());
        self.retrieved_successes += number(shown.iter().filter(succeeded).count());
        self.block_tokens += number(tokens);
        self.trained_messages +=
            number(example.messages.iter().filter(|one| one.is_trained).count());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{Step, Trajectory};

    fn episode() -> Trajectory {
        Trajectory::new("1", "task").with_step(Step::new("go", "there"))
    }

    #[test]
    fn only_the_assistant_is_trained() {
        let example = TrainingExample::new(&[], "be good", "a block", &episode());
        let roles: Vec<(Role, bool)> = example
            .messages
            .iter()
            .map(|one| (one.message.role, one.is_trained))
            .collect();
        assert_eq!(
            roles,
            [
                (Role::System, false),
                (Role::User, false),
                (Role::Assistant, true),
                (Role::User, false)
            ]
        );
        assert_eq!(example.messages[0].message.content, "be good\n\na block");
        let bare = TrainingExample::new(&[], "", "", &episode());
        assert_eq!(bare.messages[0].message.role, Role::User);
    }

    #[cfg(feature = "json")]
    #[test]
    fn json_marks_what_is_trained() {
        let json = TrainingExample::new(&[], "", "", &episode()).to_json();
        assert_eq!(
            json,
            r#"{"messages":[{"role":"user","content":"task"},{"role":"assistant","content":"go","weight":1},{"role":"user","content":"there"}]}"#
        );
    }
}

//! Trajectories as chat messages, and back: observation is `user`, action is `assistant`.
//!
//! This is the raw chat format in which ExpRAG keeps its bank. A thought stands before its action
//! in one assistant message, as ReAct agents write it: `Thought: …`, then `Action: …`.

use crate::error::{Error, Result};

use super::trajectory::{Step, Trajectory};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Instructions of the host application.
    System,
    /// The task and what the environment answers.
    User,
    /// The agent.
    Assistant,
}

/// A chat message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

const THOUGHT: &str = "Thought: ";
const ACTION: &str = "\nAction: ";
/// Between the task and the first observation, in the first user message.
const OPENING: &str = "\n\nObservation: ";

impl Role {
    /// The word for it, as fine-tuning tools and chat servers write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        }
    }

    /// The role that a word names.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Role> {
        [Role::System, Role::User, Role::Assistant]
            .into_iter()
            .find(|role| role.name() == name)
    }
}

impl Message {
    /// A message.
    pub fn new(role: Role, content: impl Into<String>) -> Message {
        Message {
            role,
            content: content.into(),
        }
    }
}

impl Trajectory {
    /// The episode as a conversation: the task (and the opening observation) from the user, then
    /// each action from the assistant and each observation from the user. An empty observation
    /// gives no message at the very end, and an empty message elsewhere, so that roles alternate.
    ///
    /// ```
    /// use sparsely::memory::{Role, Step, Trajectory};
    /// let episode = Trajectory::new("1", "boil lead").with_step(Step::new("open stove", "it is open"));
    /// let messages = episode.to_messages();
    /// assert_eq!(messages.len(), 3);
    /// assert_eq!((messages[1].role, &*messages[1].content), (Role::Assistant, "open stove"));
    /// assert_eq!(Trajectory::from_messages("1", &messages)?, episode);
    /// # Ok::<(), sparsely::Error>(())
    /// ```
    #[must_use]
    pub fn to_messages(&self) -> Vec<Message> {
        let mut task = self.task.clone();
        if let Some(opening) = &self.opening {
            task.push_str(OPENING);
            task.push_str(opening);
        }
        let mut messages = vec![Message::new(Role::User, task)];
        for step in &self.steps {
            messages.push(Message::new(Role::Assistant, step.spoken()));
            messages.push(Message::new(Role::User, &*step.observation));
        }
        if messages.len() > 1 && messages.last().is_some_and(|last| last.content.is_empty()) {
            messages.pop();
        }
        messages
    }

    /// An episode out of a conversation. System messages are left out (they belong to the host);
    /// the first user message is the task; user messages after one another become one observation.
    /// Label, score and the rest are for the caller to add.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when no user message comes
    /// before the first assistant message.
    pub fn from_messages(id: impl Into<String>, messages: &[Message]) -> Result<Trajectory> {
        let mut spoken = messages
            .iter()
            .filter(|message| message.role != Role::System)
            .peekable();
        let id = id.into();
        let Some(first) = spoken.next_if(|message| message.role == Role::User) else {
            return Err(Error::invalid(
                format!("conversation {id:?}"),
                "a user message with the task first",
                spoken.next().map_or("no message", |next| next.role.name()),
            ));
        };
        let mut trajectory = match first.content.split_once(OPENING) {
            Some((task, opening)) => Trajectory::new(id, task).with_opening(opening),
            None => Trajectory::new(id, &*first.content),
        };
        for message in spoken {
            match (message.role, trajectory.steps.last_mut()) {
                (Role::Assistant, _) => trajectory.steps.push(Step::from_spoken(&message.content)),
                (_, Some(step)) => append(&mut step.observation, &message.content),
                (_, None) => append(trajectory.opening.get_or_insert_default(), &message.content),
            }
        }
        Ok(trajectory)
    }
}

impl Step {
    /// What the assistant says in this step.
    pub(super) fn spoken(&self) -> String {
        match &self.thought {
            Some(thought) => format!("{THOUGHT}{thought}{ACTION}{}", self.action),
            None => self.action.clone(),
        }
    }

    fn from_spoken(content: &str) -> Step {
        let parts = content
            .strip_prefix(THOUGHT)
            .and_then(|rest| rest.split_once(ACTION));
        match parts {
            Some((thought, action)) => Step::new(action, "").with_thought(thought),
            None => Step::new(content, ""),
        }
    }
}

fn append(text: &mut String, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push('\n');
    }
    text.push_str(more);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_comes_back() {
        let episode = Trajectory::new("1", "task")
            .with_opening("a room")
            .with_step(Step::new("look", "a door").with_thought("where am I"))
            .with_step(Step::new("wait", ""))
            .with_step(Step::new("leave", ""));
        let messages = episode.to_messages();
        assert_eq!(messages.len(), 6);
        assert_eq!(Trajectory::from_messages("1", &messages).unwrap(), episode);
    }

    #[test]
    fn odd_conversations() {
        let message = |role, text| Message::new(role, text);
        let episode = Trajectory::from_messages(
            "1",
            &[
                message(Role::System, "be good"),
                message(Role::User, "task"),
                message(Role::User, "a room"),
                message(Role::Assistant, "go"),
                message(Role::User, "b"),
                message(Role::User, "c"),
            ],
        )
        .unwrap();
        assert_eq!(episode.opening(), Some("a room"));
        assert_eq!(episode.steps()[0].observation(), "b\nc");
        assert!(Trajectory::from_messages("1", &[]).is_err());
        assert!(Trajectory::from_messages("1", &[message(Role::Assistant, "go")]).is_err());
    }
}

//! Trajectories as JSON lines. Fields without a meaning here are kept byte for byte.
//!
//! | field | type | meaning |
//! | --- | --- | --- |
//! | `id` | string or integer | the episode's id; required |
//! | `task` | string | required, unless `messages` begin with it |
//! | `env` or `environment` | string | the world |
//! | `init_observation` | string | seen before the first action |
//! | `steps` | array of `{thought?, action, observation?}` | the turns |
//! | `messages` | array of `{role, content}` | the turns as a conversation, where there are no `steps` |
//! | `outcome` | `success`, `failure`, `partial`, `unknown` | the label; any other word is kept and means nothing here |
//! | `success` | boolean | the label, where `outcome` gives none |
//! | `reward` | number | the score |
//! | `time` | integer | seconds since 1970 UTC; anything else is kept and means nothing here |
//! | `tags`, `when_to_use` | array of strings | |
//! | `agent`, `provenance`, `payload_hex` | string | |

use std::{collections::BTreeMap, io::BufRead};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::error::{Error, Result};

use super::{
    chat::{Message, Role},
    trajectory::{Outcome, Step, Trajectory},
};

type Fields = BTreeMap<String, Box<RawValue>>;

impl Trajectory {
    /// Reads an episode from one JSON object.
    ///
    /// ```
    /// use sparsely::memory::{Outcome, Trajectory};
    /// let line = r#"{"id": 7, "task": "t", "success": true, "steps": [], "run": "a"}"#;
    /// let episode = Trajectory::from_json(line.as_bytes())?;
    /// assert_eq!((episode.id(), episode.outcome()), ("7", Outcome::Success));
    /// assert_eq!(episode.extra("run"), Some("\"a\""));
    /// assert_eq!(Trajectory::from_json(episode.to_json().as_bytes())?, episode);
    /// # Ok::<(), sparsely::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for text that is not UTF-8 or
    /// not JSON, a missing id or task, a field of the wrong type, and a label that contradicts
    /// itself (`outcome` against `success`; a score that contradicts the label is no error, see
    /// [`Trajectory::contradiction`]).
    pub fn from_json(json: &[u8]) -> Result<Trajectory> {
        let text = std::str::from_utf8(json)
            .map_err(|error| Error::invalid("JSON of an episode", "UTF-8", error.to_string()))?;
        let mut fields: Fields = parse("JSON of an episode", "an object", text)?;
        let id = identifier(&mut fields)?;
        let place = format!("episode {id:?}");
        let mut trajectory = turns(&mut fields, &id, &place)?;
        trajectory.environment = match take(&mut fields, &place, "env")? {
            Some(environment) => Some(environment),
            None => take(&mut fields, &place, "environment")?,
        };
        if let Some(opening) = take(&mut fields, &place, "init_observation")? {
            trajectory.opening = Some(opening);
        }
        trajectory.outcome = outcome(&mut fields, &place)?;
        trajectory.score = take(&mut fields, &place, "reward")?;
        trajectory.time = take_if(&mut fields, "time");
        trajectory.tags = take(&mut fields, &place, "tags")?.unwrap_or_default();
        trajectory.agent = take(&mut fields, &place, "agent")?;
        trajectory.provenance = take(&mut fields, &place, "provenance")?;
        trajectory.when_to_use = take(&mut fields, &place, "when_to_use")?.unwrap_or_default();
        if let Some(hex) = take::<String>(&mut fields, &place, "payload_hex")? {
            trajectory.payload = from_hex(&hex).ok_or_else(|| {
                Error::invalid(format!("{place}, payload_hex"), "pairs of hex digits", hex)
            })?;
        }
        trajectory.extra = extras(fields);
        Ok(trajectory)
    }

    /// The episode as one JSON object, without a line break in it.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut object = Object::new();
        object.text("id", &self.id);
        object.text("task", &self.task);
        object.optional("env", self.environment.as_deref());
        object.optional("init_observation", self.opening.as_deref());
        object.optional("agent", self.agent.as_deref());
        object.optional("provenance", self.provenance.as_deref());
        if self.extra("outcome").is_none() {
            object.text("outcome", self.outcome.name());
        }
        match self.outcome {
            Outcome::Success => object.raw("success", "true"),
            Outcome::Failure => object.raw("success", "false"),
            Outcome::Partial | Outcome::Unknown => {}
        }
        if let Some(score) = self.score {
            object.raw("reward", &quote(&score));
        }
        if let Some(time) = self.time {
            object.raw("time", &time.to_string());
        }
        for (name, texts) in [("tags", &self.tags), ("when_to_use", &self.when_to_use)] {
            if !texts.is_empty() {
                object.raw(name, &quote(texts));
            }
        }
        if !self.payload.is_empty() {
            object.text("payload_hex", &to_hex(&self.payload));
        }
        object.extras(&self.extra);
        let steps: Vec<String> = self.steps.iter().map(Step::to_json).collect();
        object.raw("steps", &format!("[{}]", steps.join(",")));
        object.end()
    }
}

impl Step {
    /// The step as one JSON object.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut object = Object::new();
        object.optional("thought", self.thought.as_deref());
        object.text("action", &self.action);
        object.text("observation", &self.observation);
        object.extras(&self.extra);
        object.end()
    }

    /// Reads an array of steps: the part of an episode that has happened so far.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when `json` is not that.
    pub fn from_json_array(json: &[u8]) -> Result<Vec<Step>> {
        let text = std::str::from_utf8(json)
            .map_err(|error| Error::invalid("JSON of steps", "UTF-8", error.to_string()))?;
        steps(
            parse("JSON of steps", "an array of objects", text)?,
            "steps",
        )
    }
}

impl Message {
    /// The message as one JSON object `{role, content}`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut object = Object::new();
        object.text("role", self.role.name());
        object.text("content", &self.content);
        object.end()
    }
}

/// The episodes of a JSON-lines text, each with the number of its line from 1; blank lines are
/// passed over. An error names its line and does not end the reading: the caller decides.
///
/// ```
/// let text = b"{\"id\": \"a\", \"task\": \"t\"}\n\nnot json\n";
/// let read: Vec<_> = sparsely::memory::read_json_lines(&text[..]).collect();
/// assert!(read[0].1.is_ok() && read[1].1.is_err());
/// assert_eq!(read[1].0, 3);
/// ```
pub fn read_json_lines(
    mut source: impl BufRead,
) -> impl Iterator<Item = (u64, Result<Trajectory>)> {
    let mut line_number = 0;
    let mut failed = false;
    std::iter::from_fn(move || {
        let mut line = Vec::new();
        while !failed {
            line.clear();
            line_number += 1;
            match source.read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(_) if line.iter().all(u8::is_ascii_whitespace) => {}
                Ok(_) => {
                    let read = Trajectory::from_json(&line).map_err(|error| {
                        Error::invalid(
                            format!("line {line_number}"),
                            "an episode",
                            error.to_string(),
                        )
                    });
                    return Some((line_number, read));
                }
                Err(error) => {
                    failed = true;
                    return Some((line_number, Err(Error::io("read", "JSON lines", error))));
                }
            }
        }
        None
    })
}

fn parse<T: DeserializeOwned>(what: &str, expected: &str, json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|error| Error::invalid(what, expected, error.to_string()))
}

fn identifier(fields: &mut Fields) -> Result<String> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Identifier {
        Text(String),
        Number(i64),
    }
    match take(fields, "episode", "id")? {
        Some(Identifier::Text(id)) => Ok(id),
        Some(Identifier::Number(id)) => Ok(id.to_string()),
        None => Err(Error::invalid("episode", "a field `id`", "none")),
    }
}

/// Task and steps, from `steps` or from `messages`.
fn turns(fields: &mut Fields, id: &str, place: &str) -> Result<Trajectory> {
    #[derive(Deserialize)]
    struct Spoken {
        role: String,
        content: String,
    }
    let task: Option<String> = take(fields, place, "task")?;
    if !fields.contains_key("steps") && fields.contains_key("messages") {
        let spoken: Vec<Spoken> = take(fields, place, "messages")?.unwrap_or_default();
        let messages: Vec<Message> = spoken
            .into_iter()
            .map(|one| match Role::from_name(&one.role) {
                Some(role) => Ok(Message::new(role, one.content)),
                None => Err(Error::invalid(
                    format!("{place}, messages"),
                    "role system, user or assistant",
                    one.role,
                )),
            })
            .collect::<Result<_>>()?;
        let mut trajectory = Trajectory::from_messages(id, &messages)?;
        if let Some(task) = task.filter(|task| *task != trajectory.task) {
            // The conversation opens with more than the task: what it opens with is kept.
            trajectory.opening = Some(std::mem::replace(&mut trajectory.task, task));
        }
        return Ok(trajectory);
    }
    let task = task.ok_or_else(|| Error::invalid(place, "a field `task`", "none"))?;
    let found = take(fields, place, "steps")?.unwrap_or_default();
    Ok(Trajectory::new(id, task).with_steps(steps(found, place)?))
}

fn steps(found: Vec<Fields>, place: &str) -> Result<Vec<Step>> {
    let read = |(at, mut fields): (usize, Fields)| {
        let place = format!("{place}, step {at}");
        Ok(Step {
            thought: take(&mut fields, &place, "thought")?,
            action: take(&mut fields, &place, "action")?
                .ok_or_else(|| Error::invalid(&place, "a field `action`", "none"))?,
            observation: take(&mut fields, &place, "observation")?.unwrap_or_default(),
            extra: extras(fields),
        })
    };
    found.into_iter().enumerate().map(read).collect()
}

fn outcome(fields: &mut Fields, place: &str) -> Result<Outcome> {
    let success: Option<bool> = take(fields, place, "success")?;
    let flagged = success.map(|success| match success {
        true => Outcome::Success,
        false => Outcome::Failure,
    });
    let word: Option<String> = fields
        .get("outcome")
        .and_then(|json| serde_json::from_str(json.get()).ok());
    let Some(named) = word.as_deref().and_then(Outcome::from_name) else {
        return Ok(flagged.unwrap_or_default());
    };
    fields.remove("outcome");
    let against = matches!(
        (named, flagged),
        (Outcome::Success, Some(Outcome::Failure))
            | (Outcome::Failure | Outcome::Partial, Some(Outcome::Success))
    );
    match against {
        true => Err(Error::invalid(
            place,
            "`outcome` and `success` that agree",
            format!(
                "outcome {named} and success {}",
                success.unwrap_or_default()
            ),
        )),
        false if named == Outcome::Unknown => Ok(flagged.unwrap_or(named)),
        false => Ok(named),
    }
}

/// A known field; absent and `null` are the same.
fn take<T: DeserializeOwned>(fields: &mut Fields, place: &str, name: &str) -> Result<Option<T>> {
    match fields.remove(name) {
        None => Ok(None),
        Some(json) => serde_json::from_str(json.get()).map_err(|error| {
            Error::invalid(
                format!("{place}, field `{name}`"),
                "a value of its type",
                error.to_string(),
            )
        }),
    }
}

/// A known field where it has its type; otherwise it stays.
fn take_if<T: DeserializeOwned>(fields: &mut Fields, name: &str) -> Option<T> {
    let value = serde_json::from_str(fields.get(name)?.get()).ok()?;
    fields.remove(name);
    Some(value)
}

fn extras(fields: Fields) -> Vec<(String, String)> {
    let text = |json: Box<RawValue>| {
        // A line break inside a kept value would break a JSON line; JSON allows one only between
        // tokens, where a space means the same.
        json.get().replace(['\n', '\r'], " ")
    };
    fields
        .into_iter()
        .map(|(name, json)| (name, text(json)))
        .collect()
}

/// A JSON object being written.
struct Object(String);

impl Object {
    fn new() -> Object {
        Object("{".to_owned())
    }

    fn raw(&mut self, name: &str, json: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push_str(&quote(name));
        self.0.push(':');
        self.0.push_str(json);
    }

    fn text(&mut self, name: &str, text: &str) {
        self.raw(name, &quote(text));
    }

    fn optional(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    fn extras(&mut self, extra: &[(String, String)]) {
        for (name, json) in extra {
            self.raw(name, json);
        }
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// JSON of a value that always has one: texts, lists of texts, finite numbers.
fn quote<T: serde::Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(hex: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = hex
        .chars()
        .map(|digit| u8::try_from(digit.to_digit(16)?).ok())
        .collect();
    let digits = digits?;
    let pairs = digits.chunks_exact(2);
    pairs
        .remainder()
        .is_empty()
        .then(|| pairs.map(|pair| pair[0] * 16 + pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Trajectory> {
        Trajectory::from_json(json.as_bytes())
    }

    #[test]
    fn unknown_fields_are_kept_to_the_byte() {
        let episode = read(
            r#"{"id":"a","task":"t","big":123456789012345678901234567890,"f":0.10,
                "outcome":"halted","success":false,"steps":[{"action":"x","score":1e-0}]}"#,
        )
        .unwrap();
        assert_eq!(episode.extra("big"), Some("123456789012345678901234567890"));
        assert_eq!(episode.extra("f"), Some("0.10"));
        assert_eq!(episode.extra("outcome"), Some("\"halted\""));
        assert_eq!(episode.outcome(), Outcome::Failure);
        assert_eq!(episode.steps()[0].extra("score"), Some("1e-0"));
        let json = episode.to_json();
        assert!(!json.contains('\n'));
        assert_eq!(read(&json).unwrap(), episode);
    }

    #[test]
    fn every_known_field_goes_both_ways() {
        let json = r#"{"id":"a","task":"t","env":"e","init_observation":"o","outcome":"partial",
            "reward":0.5,"time":-3,"tags":["x"],"agent":"g","provenance":"p",
            "when_to_use":["w"],"payload_hex":"00ff","steps":[{"thought":"h","action":"x","observation":"y"}]}"#;
        let episode = read(json).unwrap();
        assert_eq!(episode.payload(), [0, 255]);
        assert_eq!(episode.extras().count(), 0);
        assert_eq!(read(&episode.to_json()).unwrap(), episode);
        let missing = read(r#"{"id":"a","task":"t"}"#).unwrap();
        assert_eq!(missing.outcome(), Outcome::Unknown);
    }

    #[test]
    fn conversations_are_read() {
        let episode = read(
            r#"{"id":"a","messages":[{"role":"user","content":"t"},{"role":"assistant","content":"go"}]}"#,
        )
        .unwrap();
        assert_eq!((episode.task(), episode.steps().len()), ("t", 1));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (json, word) in [
            (r#"{"task":"t"}"#, "`id`"),
            (r#"{"id":"a"}"#, "`task`"),
            (r#"{"id":"a","task":3}"#, "`task`"),
            (r#"{"id":"a","task":"t","steps":[{}]}"#, "step 0"),
            (r#"{"id":"a","task":"t","success":1}"#, "`success`"),
            (
                r#"{"id":"a","task":"t","success":true,"outcome":"failure"}"#,
                "agree",
            ),
            (r#"{"id":"a","task":"t","payload_hex":"0"}"#, "hex"),
            (r#"[1]"#, "object"),
        ] {
            let message = read(json).unwrap_err().to_string();
            assert!(message.contains(word), "{json}: {message}");
        }
        let error = Trajectory::from_json(b"{\"id\":\"\xff\"}").unwrap_err();
        assert!(error.to_string().contains("UTF-8"));
    }
}

//! How episodes lie in an index: document keys, fields, filters. `docs/memory.md` has the tables.
//!
//! Each key text is a document. The first of an episode (its first kind, first window) also holds
//! the episode itself as payload, so an episode is stored once and its keys cannot outlive it in a
//! commit. A record over the index's limit of a payload goes on in documents without terms, which
//! no search finds.

use crate::{
    bytes::{Origin, Reader},
    error::{Error, Result},
    search::Filter,
    segment::{DocKey, Document, Value},
};

use super::{
    keys::{KeyKind, KeyPlan},
    recall::{Filters, Recall},
    select::Usage,
    trajectory::{Outcome, Trajectory, digest},
};

/// Longest id of an episode, in bytes.
pub(super) const ID_LEN_MAX: usize = 1024;
/// Bytes of a record in one document: half of what a payload may have.
pub(super) const PART_LEN: usize = 8 * 1024 * 1024;
/// Longest task that a field holds whole; what is longer is held by its beginning and a digest.
const TASK_FIELD_LEN: usize = 4096;
/// Tags are found through this many fields, since an index has at most 1,024; what a field finds
/// is compared with the tags themselves.
const TAG_FIELDS: u64 = 256;
/// An episode with more tags than this is looked at whatever tag is asked for.
const TAGS_INDEXED: usize = 40;

/// Names of fields of key documents.
pub(super) mod field {
    pub(crate) const KIND: &str = "key";
    pub(crate) const TASK: &str = "task";
    pub(crate) const WHEN: &str = "when_to_use";
    pub(crate) const OUTCOME: &str = "outcome";
    pub(crate) const ENVIRONMENT: &str = "environment";
    pub(crate) const AGENT: &str = "agent";
    pub(crate) const TIME: &str = "time";
    pub(crate) const REWARD: &str = "reward";
    pub(crate) const TAGS: &str = "tags";
    pub(crate) const DIGEST: &str = "digest";
    pub(crate) const EPISODE: &str = "episode";
    pub(crate) const MANY_TAGS: &str = "many_tags";
}

/// Between the tags of the `tags` field; a tag cannot hold it.
const TAG_SEPARATOR: char = '\u{1f}';

/// The document that holds the store's settings.
pub(super) fn settings_key() -> DocKey {
    DocKey::from("s")
}

/// The document of a key text.
pub(super) fn key_document(kind: KeyKind, window: u32, id: &str) -> DocKey {
    let mut key = vec![b'k', kind.code()];
    key.extend_from_slice(&rising(window));
    key.extend_from_slice(id.as_bytes());
    DocKey::from(key)
}

/// The document of a part of a long record, from 1.
pub(super) fn part_document(part: u32, id: &str) -> DocKey {
    let mut key = vec![b'p'];
    key.extend_from_slice(&rising(part));
    key.extend_from_slice(id.as_bytes());
    DocKey::from(key)
}

/// The document of an episode's counters.
pub(super) fn usage_document(id: &str) -> DocKey {
    DocKey::from(format!("u{id}"))
}

/// The kind, window and episode of a key document.
pub(super) fn parse_key(key: &DocKey) -> Option<(KeyKind, u32, &str)> {
    let [b'k', code, a, b, c, d, id @ ..] = key.as_bytes() else {
        return None;
    };
    let window = [a, b, c, d]
        .into_iter()
        .fold(0, |sum, &byte| (sum << 8) | u32::from(byte));
    Some((
        KeyKind::from_code(*code)?,
        window,
        std::str::from_utf8(id).ok()?,
    ))
}

/// Big-endian, so that keys sort by number.
fn rising(number: u32) -> [u8; 4] {
    let mut bytes = number.to_le_bytes();
    bytes.reverse();
    bytes
}

/// Refuses what no document could hold.
pub(super) fn check(trajectory: &Trajectory) -> Result<()> {
    let place = || format!("episode {:?}", trajectory.id);
    if trajectory.id.is_empty() {
        return Err(Error::invalid(
            "id of an episode",
            "1 to 1024 bytes",
            "none",
        ));
    }
    let over = |what: &str, limit: usize, found: usize| {
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        match found > limit {
            true => Err(Error::limit(
                format!("{what} of {}", place()),
                number(limit),
                number(found),
            )),
            false => Ok(()),
        }
    };
    over("bytes of the id", ID_LEN_MAX, trajectory.id.len())?;
    for (what, text) in [
        ("bytes of the environment", trajectory.environment()),
        ("bytes of the agent", trajectory.agent()),
        ("bytes of the tags", Some(&*joined_tags(trajectory))),
    ] {
        over(what, 60 * 1024, text.unwrap_or_default().len())?;
    }
    match trajectory
        .tags
        .iter()
        .find(|tag| tag.contains(TAG_SEPARATOR))
    {
        Some(tag) => Err(Error::invalid(
            format!("tag {tag:?} of {}", place()),
            "no unit separator (U+001F)",
            "one",
        )),
        None => Ok(()),
    }
}

/// Adds the fields of an episode to one of its key documents.
pub(super) fn with_fields(document: Document, kind: KeyKind, episode: &Trajectory) -> Document {
    let mut document = document
        .field(field::KIND, kind.name())
        .field(field::EPISODE, episode.id.as_str())
        .field(field::TASK, task_value(&episode.task))
        .field(field::OUTCOME, episode.outcome.name());
    if let Some(environment) = episode.environment() {
        document = document.field(field::ENVIRONMENT, environment);
    }
    if let Some(agent) = episode.agent() {
        document = document.field(field::AGENT, agent);
    }
    if let Some(time) = episode.time {
        document = document.field(field::TIME, time);
    }
    if let Some(score) = episode.score {
        document = document.field(field::REWARD, reward_value(score));
    }
    if !episode.tags.is_empty() {
        document = document.field(field::TAGS, joined_tags(episode));
        match episode.tags.len() > TAGS_INDEXED {
            true => document = document.field(field::MANY_TAGS, true),
            false => {
                for tag in &episode.tags {
                    document = document.field(tag_field(tag), true);
                }
            }
        }
    }
    document
}

/// The condition that key documents must meet, or `None` when none can: `has` says which fields
/// the index knows, since a filter on an unknown one is an error.
pub(super) fn condition(
    recall: &Recall,
    kinds: &[KeyKind],
    outcomes: &[Outcome],
    has: &dyn Fn(&str) -> bool,
) -> Option<Filter> {
    let Filters {
        environments,
        tags,
        agents,
        time,
        least_reward,
        ..
    } = &recall.filters;
    let mut conditions = vec![Filter::is_in(
        field::KIND,
        kinds.iter().map(|kind| kind.name()),
    )];
    let mut required = vec![field::KIND];
    if !outcomes.is_empty() {
        conditions.push(Filter::is_in(
            field::OUTCOME,
            outcomes.iter().map(|outcome| outcome.name()),
        ));
    }
    for (name, values) in [(field::ENVIRONMENT, environments), (field::AGENT, agents)] {
        if !values.is_empty() {
            required.push(name);
            conditions.push(Filter::is_in(name, values));
        }
    }
    if let Some(range) = time {
        required.push(field::TIME);
        conditions.push(Filter::range(field::TIME, *range));
    }
    if let Some(least) = least_reward {
        required.push(field::REWARD);
        conditions.push(Filter::range(field::REWARD, reward_value(*least)..));
    }
    if !required.into_iter().all(has) {
        return None;
    }
    for tag in tags {
        let either = [tag_field(tag), field::MANY_TAGS.to_owned()];
        let known = either.into_iter().filter(|name| has(name));
        conditions.push(Filter::or(known.map(|name| Filter::equals(name, true))));
    }
    if !recall.excluded_tasks.is_empty() {
        let tasks = recall.excluded_tasks.iter().map(|task| task_value(task));
        conditions.push(Filter::not(Filter::is_in(field::TASK, tasks)));
    }
    if !recall.excluded_episodes.is_empty() {
        let ids = recall.excluded_episodes.iter().map(String::as_str);
        conditions.push(Filter::not(Filter::is_in(field::EPISODE, ids)));
    }
    Some(Filter::and(conditions))
}

/// Whether an answer's tags hold all that are asked for.
pub(super) fn has_tags(found: Option<&Value>, wanted: &[String]) -> bool {
    let found = match found {
        Some(Value::String(tags)) => tags.as_str(),
        _ => "",
    };
    wanted.iter().all(|tag| {
        found
            .split(TAG_SEPARATOR)
            .any(|one| one == tag && !found.is_empty())
    })
}

/// A task as the value of a field.
pub(super) fn task_value(task: &str) -> String {
    if task.len() <= TASK_FIELD_LEN {
        return task.to_owned();
    }
    let cut = (0..TASK_FIELD_LEN)
        .rev()
        .find(|&at| task.is_char_boundary(at));
    format!(
        "{} {:016x}",
        &task[..cut.unwrap_or(0)],
        digest(task.as_bytes())
    )
}

/// Millionths of a score, so that a field of integers orders scores; what is out of range counts
/// as the nearest in it.
fn reward_value(score: f64) -> i64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "`as` from a float saturates, which is what is meant"
    )]
    let millionths = (score * 1e6).round() as i64;
    millionths
}

fn joined_tags(episode: &Trajectory) -> String {
    episode.tags.join(&TAG_SEPARATOR.to_string())
}

fn tag_field(tag: &str) -> String {
    format!("tag_{}", digest(tag.as_bytes()) % TAG_FIELDS)
}

/// The settings as a payload: version, window words, most windows, codes of the kinds.
pub(super) fn encode_plan(plan: &KeyPlan) -> Vec<u8> {
    let mut out = vec![1];
    out.extend_from_slice(&plan.window_words.to_le_bytes());
    out.extend_from_slice(&plan.windows_most.to_le_bytes());
    out.extend(plan.kinds.iter().map(|kind| kind.code()));
    out
}

pub(super) fn decode_plan(bytes: &[u8]) -> Result<KeyPlan> {
    let mut reader = reader(bytes, "settings");
    let version = reader.u8("version")?;
    if version != 1 {
        return Err(Error::version("experience store", version.to_string(), "1"));
    }
    let window_words = reader.u32("words of a window")?;
    let windows_most = reader.u32("most windows")?;
    let codes = reader.bytes(reader.remaining(), "kinds of key")?;
    let kinds: Option<Vec<KeyKind>> = codes.iter().map(|&code| KeyKind::from_code(code)).collect();
    let kinds = kinds.ok_or_else(|| reader.corrupt("codes of kinds of key", "another"))?;
    Ok(KeyPlan::of(kinds)?
        .window_words(window_words)
        .windows_most(windows_most))
}

pub(super) fn encode_usage(usage: Usage) -> Vec<u8> {
    [usage.retrieved.to_le_bytes(), usage.helped.to_le_bytes()].concat()
}

pub(super) fn decode_usage(bytes: &[u8]) -> Result<Usage> {
    let mut reader = reader(bytes, "counters");
    let usage = Usage {
        retrieved: reader.u64("retrieved")?,
        helped: reader.u64("helped")?,
    };
    reader.finish()?;
    Ok(usage)
}

/// The first document of an episode holds, before its record, how many documents there are: of
/// keys (kind and count of windows) and of further parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) keys: Vec<(KeyKind, u32)>,
    pub(super) parts: u32,
}

impl Parts {
    pub(super) fn encode(&self) -> Vec<u8> {
        let count = u8::try_from(self.keys.len()).unwrap_or(u8::MAX);
        let mut out = vec![count];
        for (kind, windows) in &self.keys {
            out.push(kind.code());
            out.extend_from_slice(&windows.to_le_bytes());
        }
        out.extend_from_slice(&self.parts.to_le_bytes());
        out
    }

    /// The parts, and the beginning of the record behind them.
    pub(super) fn decode(bytes: &[u8]) -> Result<(Parts, &[u8])> {
        let mut reader = reader(bytes, "parts");
        let count = reader.u8("kinds of key")?;
        let mut keys = Vec::new();
        for _ in 0..count {
            let code = reader.u8("kind of key")?;
            let kind = KeyKind::from_code(code)
                .ok_or_else(|| reader.corrupt("the code of a kind of key", code))?;
            keys.push((kind, reader.u32("windows")?));
        }
        let parts = reader.u32("further parts")?;
        let rest = reader.bytes(reader.remaining(), "record")?;
        Ok((Parts { keys, parts }, rest))
    }

    /// Every document of the episode but its counters.
    pub(super) fn documents<'a>(&'a self, id: &'a str) -> impl Iterator<Item = DocKey> + 'a {
        let keys = self.keys.iter().flat_map(move |&(kind, windows)| {
            (0..windows).map(move |at| key_document(kind, at, id))
        });
        keys.chain((1..=self.parts).map(move |part| part_document(part, id)))
    }
}

fn reader<'a>(bytes: &'a [u8], section: &'static str) -> Reader<'a> {
    Reader::new(
        bytes,
        Origin {
            file: "experience store",
            section,
            start: 0,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_both_ways() {
        for kind in KeyKind::ALL {
            let key = key_document(kind, 0x0102_0304, "an id");
            assert_eq!(parse_key(&key), Some((kind, 0x0102_0304, "an id")));
        }
        assert_eq!(parse_key(&usage_document("x")), None);
        assert!(key_document(KeyKind::Task, 1, "b") < key_document(KeyKind::Task, 256, "a"));
    }

    #[test]
    fn settings_counters_and_parts_go_both_ways() {
        let plan = KeyPlan::default().window_words(77).windows_most(3);
        assert_eq!(decode_plan(&encode_plan(&plan)).unwrap(), plan);
        let usage = Usage {
            retrieved: 3,
            helped: 1,
        };
        assert_eq!(decode_usage(&encode_usage(usage)).unwrap(), usage);
        let parts = Parts {
            keys: vec![(KeyKind::Task, 1), (KeyKind::WholeTrajectory, 3)],
            parts: 2,
        };
        let mut bytes = parts.encode();
        bytes.extend_from_slice(b"rest");
        assert_eq!(
            Parts::decode(&bytes).unwrap(),
            (parts.clone(), &b"rest"[..])
        );
        assert_eq!(parts.documents("x").count(), 6);
        assert!(Parts::decode(&bytes[..5]).is_err());
        assert!(decode_plan(&[1, 0]).is_err());
        assert!(decode_usage(&[0; 15]).is_err());
    }

    #[test]
    fn tags_are_compared_themselves() {
        let tags = Value::String("a\u{1f}bc".to_owned());
        let wanted = |tags: &[&str]| tags.iter().map(|&tag| tag.to_owned()).collect::<Vec<_>>();
        assert!(has_tags(Some(&tags), &wanted(&["a", "bc"])));
        assert!(!has_tags(Some(&tags), &wanted(&["b"])));
        assert!(!has_tags(None, &wanted(&["a"])));
        assert!(has_tags(None, &[]));
    }

    #[test]
    fn long_tasks_differ_by_digest() {
        let (one, other) = ("x".repeat(5000), "x".repeat(5001));
        assert_ne!(task_value(&one), task_value(&other));
        assert!(task_value(&one).len() < 4200);
        assert_eq!(task_value("t"), "t");
    }

    #[test]
    fn rewards_keep_their_order() {
        assert!(reward_value(0.5) < reward_value(0.500_001));
        assert!(reward_value(f64::MAX) > reward_value(1e6));
    }
}

//! How a store is opened, and what its calls answer.

use std::time::Duration;

use crate::{encode::Encoder, id::CommitId, index::Config};

use super::{
    keys::{KeyKind, KeyPlan},
    recall::Filters,
    select::Usage,
};

/// How a store is opened.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreConfig {
    pub(super) plan: KeyPlan,
    lock_wait: Duration,
    pub(super) conflict: Conflict,
    pub(super) near_duplicate: f32,
    pub(super) queues: bool,
}

/// What becomes of an episode whose id is taken by one that says something else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Conflict {
    /// An error, and nothing of the call is recorded: the default.
    #[default]
    Refuse,
    /// The new one takes the place of the old one, which is gone; its counters stay.
    Replace,
    /// Both are kept: the new one under its id with `~2`, or the next number that is free.
    Rename,
}

/// What became of an episode that was recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// The id that it has.
    pub id: String,
    /// Whether it is new.
    pub fate: Fate,
    /// Episodes of the store that say almost the same; they and this one are all kept.
    pub near_duplicates: Vec<NearDuplicate>,
    /// What is odd about it, as [`Trajectory::contradiction`](super::Trajectory::contradiction) says.
    pub warning: Option<String>,
    /// Windows and step prefixes that are no keys, since there would be too many; see
    /// [`KeyPlan::windows_most`].
    pub windows_left_out: u32,
}

/// Whether a recorded episode is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is.
    Stored,
    /// It took the place of the one that had its id.
    Replaced,
    /// The store has an episode that says exactly the same, under this id; nothing was written.
    Duplicate(String),
    /// Another process was writing: the episode waits beside the store, durably, and the next
    /// write of any process takes it in. Until then it is not found.
    Queued,
}

/// An episode that says almost the same.
#[derive(Clone, Debug, PartialEq)]
pub struct NearDuplicate {
    /// Its id.
    pub id: String,
    /// How alike the two are in their wording, 0 to 1.
    pub likeness: f32,
}

/// What a call wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordReport {
    /// One for each episode, in order.
    pub episodes: Vec<Recorded>,
    /// What had waited and was taken in first.
    pub absorbed: Absorbed,
    /// The commit; the one before when nothing was written.
    pub commit: CommitId,
}

/// What a write took in of the episodes that had waited.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Absorbed {
    /// One for each episode, in the order in which they were queued.
    pub episodes: Vec<Recorded>,
    /// Files that cannot be read, and why. They stay where they are.
    pub unreadable: Vec<(String, String)>,
}

/// What a store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Episodes.
    pub episodes: u64,
    /// Episodes of each outcome, in the order of [`Outcome::ALL`](super::Outcome::ALL).
    pub outcomes: [u64; 4],
    /// Steps of all episodes.
    pub steps: u64,
    /// Bytes of all episodes before compression.
    pub record_bytes: u64,
    /// Keys of each kind that the store makes.
    pub keys: Vec<(KeyKind, u64)>,
    /// Counters of all episodes, added up.
    pub usage: Usage,
    /// Episodes by environment, rising by name.
    pub environments: Vec<(String, u64)>,
}

/// Which episodes to forget.
#[derive(Clone, Debug, PartialEq)]
pub enum Forget {
    /// Those of these ids.
    Ids(Vec<String>),
    /// Those that pass.
    Matching(Filters),
    /// Those that ended before this time, in seconds since 1970 UTC; not those without a time.
    Before(i64),
}

impl Default for StoreConfig {
    fn default() -> StoreConfig {
        StoreConfig {
            plan: KeyPlan::default(),
            lock_wait: Duration::from_secs(10),
            conflict: Conflict::Refuse,
            near_duplicate: 0.9,
            queues: false,
        }
    }
}

impl StoreConfig {
    /// The defaults that each method names.
    #[must_use]
    pub fn new() -> StoreConfig {
        StoreConfig::default()
    }

    /// Which keys to make. Counts when the store is created; later the store has its own plan. The
    /// default is [`KeyPlan::default`].
    #[must_use]
    pub fn plan(mut self, plan: KeyPlan) -> StoreConfig {
        self.plan = plan;
        self
    }

    /// How long a write waits for another process that is writing, before it fails with
    /// [`ErrorKind::Locked`](crate::ErrorKind::Locked), or queues where
    /// [`StoreConfig::queue_when_busy`] says so. The default is 10 s; zero does so at once.
    #[must_use]
    pub fn lock_wait(mut self, wait: Duration) -> StoreConfig {
        self.lock_wait = wait;
        self
    }

    /// Whether an episode that another process keeps from being written is left in a queue beside
    /// the store instead of being refused: [`Fate::Queued`]. The next write of any process, or
    /// [`ExperienceStore::absorb`](super::ExperienceStore::absorb), takes it in. Where its id is
    /// taken by then and the store would refuse, it is renamed. The default is no.
    #[must_use]
    pub fn queue_when_busy(mut self, queues: bool) -> StoreConfig {
        self.queues = queues;
        self
    }

    /// What becomes of an episode whose id is taken. The default is [`Conflict::Refuse`].
    #[must_use]
    pub fn conflict(mut self, conflict: Conflict) -> StoreConfig {
        self.conflict = conflict;
        self
    }

    /// From which likeness on, 0 to 1, episodes are reported as near duplicates; above 1 none are
    /// looked for. The default is 0.9.
    #[must_use]
    pub fn near_duplicate(mut self, likeness: f32) -> StoreConfig {
        self.near_duplicate = likeness;
        self
    }

    pub(super) fn index(&self, encoder: &dyn Encoder) -> Config {
        Config::for_encoder(encoder).lock_wait(self.lock_wait)
    }
}

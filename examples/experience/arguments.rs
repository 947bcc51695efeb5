//! What the program is told.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use sparsely::memory::{Conflict, Filters, KeyKind, Outcome, Ranking, Recall};

/// Experience memory for agents.
#[derive(Parser)]
#[command(name = "experience", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Answers in JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Records the episodes of a JSON-lines file: one commit
    Import(Import),
    /// Finds the most useful episodes for a task
    Recall(RecallArguments),
    /// Finds them and renders the block for a prompt
    Render(Render),
    /// Writes supervised fine-tuning examples as JSON lines of chat messages
    ExportSft(Export),
    /// Measures retrieval on a file of episodes, leaving out each episode or its task
    Evaluate(Evaluate),
    /// Measures recall and recording in a store of many episodes made out of a file's
    Scale(Scale),
    /// Says what a store holds
    Stats(Stats),
}

#[derive(Args)]
pub(crate) struct Store {
    /// Directory of the store
    #[arg(long, default_value = ".experience")]
    pub(crate) store: PathBuf,
}

#[derive(Args)]
pub(crate) struct Import {
    /// Episodes, one JSON object a line
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) store: Store,
    /// What becomes of an episode whose id is taken
    #[arg(long, value_enum, default_value_t = OnConflict::Refuse)]
    pub(crate) on_conflict: OnConflict,
    /// Leave the episodes in the store's queue where another process is writing; the next import
    /// takes them in. Without it, wait up to 10 seconds and fail
    #[arg(long)]
    pub(crate) queue: bool,
    /// Kinds of key that a new store makes: task, task-environment, step-prefix, whole,
    /// when-to-use
    #[arg(long, value_delimiter = ',', value_parser = kind)]
    pub(crate) keys: Vec<KeyKind>,
}

#[derive(Args)]
pub(crate) struct RecallArguments {
    /// The task
    pub(crate) task: String,
    #[command(flatten)]
    pub(crate) store: Store,
    #[command(flatten)]
    pub(crate) selection: Selection,
}

#[derive(Args)]
pub(crate) struct Selection {
    /// How many episodes
    #[arg(long, default_value_t = 4)]
    pub(crate) k: usize,
    /// Only episodes of this outcome; may be repeated
    #[arg(long, value_parser = outcome)]
    pub(crate) outcome: Vec<Outcome>,
    /// Only episodes of this environment; may be repeated
    #[arg(long)]
    pub(crate) env: Vec<String>,
    /// Only episodes with this tag; may be repeated
    #[arg(long)]
    pub(crate) tag: Vec<String>,
    /// Only episodes of this agent; may be repeated
    #[arg(long)]
    pub(crate) agent: Vec<String>,
    /// Leaves out an episode; may be repeated
    #[arg(long)]
    pub(crate) exclude: Vec<String>,
    /// Leaves out episodes of the same task
    #[arg(long)]
    pub(crate) exclude_task: bool,
    /// Maximal marginal relevance: 1 relevance only, 0 diversity only
    #[arg(long)]
    pub(crate) diversity: Option<f32>,
    /// The steps so far: a JSON array of {thought?, action, observation}
    #[arg(long, value_name = "STEPS.json")]
    pub(crate) dynamic: Option<PathBuf>,
    /// Kinds of key to search
    #[arg(long, value_delimiter = ',', value_parser = kind)]
    pub(crate) keys: Vec<KeyKind>,
    /// What decides the order
    #[arg(long, value_enum)]
    pub(crate) ranking: Option<RankingName>,
}

#[derive(Args)]
pub(crate) struct Render {
    /// The task
    pub(crate) task: String,
    #[command(flatten)]
    pub(crate) store: Store,
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// Most tokens of the block, at 4 bytes a token
    #[arg(long, default_value_t = 4000)]
    pub(crate) budget: usize,
    /// Renders chat messages instead of one text
    #[arg(long)]
    pub(crate) messages: bool,
}

#[derive(Args)]
pub(crate) struct Export {
    /// File for the examples
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) store: Store,
    /// How many episodes are retrieved for each
    #[arg(long, default_value_t = 2)]
    pub(crate) k: usize,
    /// Most tokens of each block, at 4 bytes a token
    #[arg(long, default_value_t = 8000)]
    pub(crate) budget: usize,
    /// Leaves out all episodes of the same task, not only the episode itself
    #[arg(long)]
    pub(crate) leave_task_out: bool,
    /// Only these episodes become examples; may be repeated
    #[arg(long, value_parser = outcome)]
    pub(crate) outcome: Vec<Outcome>,
    /// System prompt before the block
    #[arg(long, default_value = "")]
    pub(crate) system: String,
    /// File for the report; default: the examples' name with `.report.json`
    #[arg(long)]
    pub(crate) report: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Evaluate {
    /// Episodes, one JSON object a line
    pub(crate) file: PathBuf,
    /// Dynamic queries: one at every so many steps of an episode
    #[arg(long, default_value_t = 5)]
    pub(crate) every: usize,
    /// Field that names the kind of a task; default: `task_name`, `task_type`, or the kind in the
    /// run's name of ALFWorld demonstrations. Never part of a key.
    #[arg(long)]
    pub(crate) kind_field: Option<String>,
    /// What decides the order of static answers
    #[arg(long, value_enum)]
    pub(crate) ranking: Option<RankingName>,
    /// Words in a window of the keys
    #[arg(long)]
    pub(crate) window_words: Option<u32>,
}

#[derive(Args)]
pub(crate) struct Scale {
    /// Episodes, one JSON object a line
    pub(crate) file: PathBuf,
    /// Directory of the store
    #[arg(long)]
    pub(crate) store: PathBuf,
    /// How many episodes to make
    #[arg(long, default_value_t = 100_000)]
    pub(crate) episodes: usize,
    /// Keeps the store
    #[arg(long)]
    pub(crate) keep: bool,
    /// Measures a store that was kept instead of filling one
    #[arg(long)]
    pub(crate) reuse: bool,
}

#[derive(Args)]
pub(crate) struct Stats {
    #[command(flatten)]
    pub(crate) store: Store,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum OnConflict {
    Refuse,
    Replace,
    Rename,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum RankingName {
    Score,
    Wording,
}

impl OnConflict {
    pub(crate) fn conflict(self) -> Conflict {
        match self {
            OnConflict::Refuse => Conflict::Refuse,
            OnConflict::Replace => Conflict::Replace,
            OnConflict::Rename => Conflict::Rename,
        }
    }
}

impl RankingName {
    pub(crate) fn ranking(self) -> Ranking {
        match self {
            RankingName::Score => Ranking::Score,
            RankingName::Wording => Ranking::Wording,
        }
    }
}

impl Selection {
    /// Puts the choices on a request.
    pub(crate) fn apply(&self, mut recall: Recall) -> sparsely::Result<Recall> {
        let mut filters = Filters::new();
        for &outcome in &self.outcome {
            filters = filters.outcome(outcome);
        }
        for environment in &self.env {
            filters = filters.environment(environment);
        }
        for tag in &self.tag {
            filters = filters.tag(tag);
        }
        for agent in &self.agent {
            filters = filters.agent(agent);
        }
        for id in &self.exclude {
            recall = recall.exclude_episode(id);
        }
        if self.exclude_task {
            let task = recall.task().to_owned();
            recall = recall.exclude_task(task);
        }
        if let Some(balance) = self.diversity {
            recall = recall.diversity(balance)?;
        }
        if !self.keys.is_empty() {
            recall = recall.keys(self.keys.iter().copied());
        }
        if let Some(ranking) = self.ranking {
            recall = recall.ranking(ranking.ranking());
        }
        Ok(recall.top(self.k).filter(filters))
    }
}

fn outcome(name: &str) -> Result<Outcome, String> {
    Outcome::from_name(name).ok_or_else(|| "success, failure, partial or unknown".to_owned())
}

fn kind(name: &str) -> Result<KeyKind, String> {
    let names: Vec<&str> = KeyKind::ALL.iter().map(|kind| kind.name()).collect();
    KeyKind::from_name(name).ok_or_else(|| format!("one of {}", names.join(", ")))
}

//! Retrieval on real episodes: every episode asks for others, with itself (leave-one-out) or all
//! episodes of its task (leave-task-out) left out.
//!
//! The kind of a task is only ever compared with; it is part of no key and no query.

use std::error::Error;

use serde_json::{Value, json};
use sparsely::{
    Progress,
    memory::{
        Conflict, ExperienceStore, KeyPlan, LeaveOut, Memory, Outcome, Recall, Session,
        StoreConfig, Trajectory,
    },
};

use crate::{
    arguments::Evaluate,
    baseline::Bm25,
    commands::{Done, encoder, read_file},
    measures::{Measures, TOPS, Target},
};

/// Answers as long as the largest K.
const MOST: usize = TOPS[TOPS.len() - 1];

/// The episodes of a file, and everything that is asked with them.
struct Trial<'a> {
    arguments: &'a Evaluate,
    episodes: Vec<Trajectory>,
    kinds: Vec<Option<String>>,
    store: ExperienceStore,
    by_task: Bm25,
    by_whole: Bm25,
}

pub(crate) fn run(arguments: &Evaluate, as_json: bool) -> Done {
    let episodes = read_file(&arguments.file)?
        .into_iter()
        .map(|(_, read)| read)
        .collect::<sparsely::Result<Vec<Trajectory>>>()?;
    let trial = Trial::new(arguments, episodes)?;
    let mut report = json!({
        "file": arguments.file.file_name().map(|name| name.to_string_lossy()),
        "episodes": trial.episodes.len(),
        "kinds": trial.kind_count(),
        "dynamic_every": arguments.every,
    });
    for (name, leave_out) in [
        ("leave_one_out", LeaveOut::Episode),
        ("leave_task_out", LeaveOut::Task),
    ] {
        report[name] = json!({
            "static": trial.at_start(leave_out)?,
            "dynamic": trial.at_steps(leave_out)?,
        });
    }
    match as_json {
        true => crate::say(format_args!("{report}")),
        false => print(&report),
    }
    Ok(())
}

impl<'a> Trial<'a> {
    fn new(
        arguments: &'a Evaluate,
        episodes: Vec<Trajectory>,
    ) -> Result<Trial<'a>, Box<dyn Error>> {
        let mut plan = KeyPlan::default();
        if let Some(words) = arguments.window_words {
            plan = plan.window_words(words);
        }
        let config = StoreConfig::new()
            .plan(plan)
            .conflict(Conflict::Rename)
            .near_duplicate(2.0);
        let mut store = ExperienceStore::in_memory(encoder(), config)?;
        store.record_all(episodes.iter().cloned(), &mut Progress::none())?;
        let kind = |episode: &Trajectory| kind(episode, arguments.kind_field.as_deref());
        let whole: Vec<String> = episodes
            .iter()
            .map(|one| told(one, one.steps().len()))
            .collect();
        Ok(Trial {
            arguments,
            kinds: episodes.iter().map(kind).collect(),
            by_task: Bm25::new(episodes.iter().map(Trajectory::task)),
            by_whole: Bm25::new(whole.iter().map(String::as_str)),
            store,
            episodes,
        })
    }

    fn kind_count(&self) -> usize {
        let mut kinds: Vec<&String> = self.kinds.iter().flatten().collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds.len()
    }

    fn at_start(&self, leave_out: LeaveOut) -> Result<Value, Box<dyn Error>> {
        let mut of = [
            Measures::default(),
            Measures::default(),
            Measures::default(),
        ];
        for (at, episode) in self.episodes.iter().enumerate() {
            let target = self.target(at, leave_out);
            let memories = self.store.recall(&self.request(episode, leave_out))?;
            of[0].count(&target, &self.found(&memories));
            of[1].count_random(&target);
            let best = self.by_task.best(episode.task(), MOST, |other| {
                self.may_find(at, other, leave_out)
            });
            of[2].count(&target, &self.labels(&best));
        }
        Ok(summary(&of))
    }

    fn at_steps(&self, leave_out: LeaveOut) -> Result<Value, Box<dyn Error>> {
        let every = self.arguments.every.max(1);
        let mut of = [
            Measures::default(),
            Measures::default(),
            Measures::default(),
        ];
        for (at, episode) in self.episodes.iter().enumerate() {
            let target = self.target(at, leave_out);
            let request = self.request(episode, leave_out);
            let mut session = Session::start(&self.store, request)?.every(every);
            // After the last step there is nothing left to help with.
            let steps = episode.steps().len().saturating_sub(1);
            for (done, step) in (1..).zip(&episode.steps()[..steps]) {
                if !session.step(&self.store, step.clone())?.was_asked {
                    continue;
                }
                of[0].count(&target, &self.found(session.memories()));
                of[1].count_random(&target);
                let best = self.by_whole.best(&told(episode, done), MOST, |other| {
                    self.may_find(at, other, leave_out)
                });
                of[2].count(&target, &self.labels(&best));
            }
        }
        Ok(summary(&of))
    }

    fn request(&self, episode: &Trajectory, leave_out: LeaveOut) -> Recall {
        let mut recall = Recall::at_start(episode.task())
            .top(MOST)
            .exclude_episode(episode.id());
        if let Some(opening) = episode.opening() {
            recall = recall.opening(opening);
        }
        if leave_out == LeaveOut::Task {
            recall = recall.exclude_task(episode.task());
        }
        match self.arguments.ranking {
            Some(name) => recall.ranking(name.ranking()),
            None => recall,
        }
    }

    fn may_find(&self, at: usize, other: usize, leave_out: LeaveOut) -> bool {
        match leave_out {
            LeaveOut::Episode => at != other,
            LeaveOut::Task => self.episodes[at].task() != self.episodes[other].task(),
        }
    }

    fn target(&self, at: usize, leave_out: LeaveOut) -> Target<'_> {
        let candidates: Vec<usize> = (0..self.episodes.len())
            .filter(|&other| self.may_find(at, other, leave_out))
            .collect();
        let kind = self.kinds[at].as_deref();
        let same = |other: &&usize| kind.is_some() && self.kinds[**other].as_deref() == kind;
        let succeeded = |other: &&usize| self.episodes[**other].outcome() == Outcome::Success;
        Target {
            kind,
            candidates: candidates.len(),
            same_kind: candidates.iter().filter(same).count(),
            successes: candidates.iter().filter(succeeded).count(),
        }
    }

    /// Kinds of what was recalled. An id is that of the file: renamed episodes are told apart by
    /// their fields, not by their ids.
    fn found(&self, memories: &[Memory]) -> Vec<(Option<&str>, bool)> {
        let position = |memory: &Memory| {
            let is_it = |one: &Trajectory| one.id() == memory.trajectory.id();
            self.episodes.iter().position(is_it)
        };
        let found: Vec<usize> = memories.iter().filter_map(position).collect();
        self.labels(&found)
    }

    fn labels(&self, found: &[usize]) -> Vec<(Option<&str>, bool)> {
        let label = |&at: &usize| {
            let success = self.episodes[at].outcome() == Outcome::Success;
            (self.kinds[at].as_deref(), success)
        };
        found.iter().map(label).collect()
    }
}

fn summary([ours, random, bm25]: &[Measures; 3]) -> Value {
    let mut summary = ours.to_json();
    summary["misses"] = ours.misses();
    summary["random"] = random.to_json();
    summary["bm25"] = bm25.to_json();
    summary
}

/// The task and the first steps of an episode, as raw text.
fn told(episode: &Trajectory, steps: usize) -> String {
    let mut text = episode.task().to_owned();
    for step in &episode.steps()[..steps] {
        for part in [
            step.thought().unwrap_or_default(),
            step.action(),
            step.observation(),
        ] {
            text.push('\n');
            text.push_str(part);
        }
    }
    text
}

/// The kind of an episode's task, from a field that no key holds.
fn kind(episode: &Trajectory, field: Option<&str>) -> Option<String> {
    let text = |name: &str| -> Option<String> { serde_json::from_str(episode.extra(name)?).ok() };
    match field {
        Some(name) => text(name),
        None => text("task_name").or_else(|| text("task_type")).or_else(|| {
            // Runs of the ALFWorld demonstrations are named METHOD_KIND_NUMBER.
            let run = text("run").filter(|_| episode.environment() == Some("alfworld"))?;
            run.split('_').nth(1).map(str::to_owned)
        }),
    }
}

fn print(report: &Value) {
    crate::say(format_args!(
        "{} episodes, {} kinds of task",
        report["episodes"], report["kinds"]
    ));
    crate::say(format_args!(
        "{:<30} {:>7} {:>7} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6}",
        "", "queries", "answer.", "P@1", "P@2", "P@4", "S@1", "S@2", "S@4"
    ));
    for protocol in ["leave_one_out", "leave_task_out"] {
        for moment in ["static", "dynamic"] {
            let ours = &report[protocol][moment];
            for (name, row) in [
                ("", ours),
                ("bm25", &ours["bm25"]),
                ("random", &ours["random"]),
            ] {
                let number = |name: String| match row[name].as_f64() {
                    Some(number) => format!("{number:.3}"),
                    None => "-".to_owned(),
                };
                let precision = TOPS.map(|top| number(format!("precision_at_{top}")));
                let success = TOPS.map(|top| number(format!("success_in_top_{top}")));
                crate::say(format_args!(
                    "{:<30} {:>7} {:>7} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6}",
                    format!("{protocol} {moment} {name}"),
                    row["queries"],
                    row["answerable"],
                    precision[0],
                    precision[1],
                    precision[2],
                    success[0],
                    success[1],
                    success[2]
                ));
            }
        }
    }
}

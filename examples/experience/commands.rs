//! The commands that work on a store.

use std::{
    error::Error,
    fs::{self, File},
    io::{self, BufReader, BufWriter, Write},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sparsely::{
    LexicalEncoder, Progress,
    memory::{
        ExperienceStore, Fate, Filters, KeyPlan, LeaveOut, Memory, Outcome, Recall, Renderer,
        Session, Step, StoreConfig, TrainingExport, Trajectory, read_json_lines,
    },
};

use crate::arguments::{Export, Import, RecallArguments, Render, Selection, Stats};

pub(crate) type Done = Result<(), Box<dyn Error>>;

pub(crate) fn import(arguments: &Import, as_json: bool) -> Done {
    let (mut episodes, mut errors) = (Vec::new(), Vec::new());
    for (line, read) in read_file(&arguments.file)? {
        match read {
            Ok(episode) => episodes.push((line, episode)),
            Err(error) => errors.push(error.to_string()),
        }
    }
    let mut config = StoreConfig::new().conflict(arguments.on_conflict.conflict());
    if arguments.queue {
        config = config.queue_when_busy(true).lock_wait(Duration::ZERO);
    }
    if !arguments.keys.is_empty() {
        config = config.plan(KeyPlan::of(arguments.keys.iter().copied())?);
    }
    let path = &arguments.store.store;
    let mut store = ExperienceStore::open_or_create(path, encoder(), config)?;
    let begun = Instant::now();
    // First what had waited, in a commit of its own: a refusal below must not keep it out.
    let absorbed = store.absorb()?;
    let unreadable = absorbed.unreadable.iter();
    errors.extend(unreadable.map(|(file, why)| format!("queued file {file}: {why}")));
    // All in one commit; where an id is taken, one by one, so that only that episode is refused.
    let all: Vec<Trajectory> = episodes
        .iter()
        .map(|(_, episode)| episode.clone())
        .collect();
    let recorded = match store.record_all(all, &mut Progress::none()) {
        Ok(report) => report.episodes,
        Err(_) => {
            let mut recorded = Vec::new();
            for (line, episode) in episodes {
                match store.record(episode) {
                    Ok(one) => recorded.push(one),
                    Err(error) => errors.push(format!("line {line}: {error}")),
                }
            }
            recorded
        }
    };
    let count = |wanted: fn(&Fate) -> bool| recorded.iter().filter(|one| wanted(&one.fate)).count();
    let duplicates: Vec<Value> = recorded
        .iter()
        .filter_map(|one| match &one.fate {
            Fate::Duplicate(of) => Some(json!({"id": one.id, "of": of})),
            _ => None,
        })
        .collect();
    let near: Vec<Value> = recorded
        .iter()
        .filter_map(|one| {
            let nearest = one.near_duplicates.first()?;
            Some(json!({"id": one.id, "of": nearest.id, "likeness": nearest.likeness}))
        })
        .collect();
    let warnings: Vec<&String> = recorded
        .iter()
        .filter_map(|one| one.warning.as_ref())
        .collect();
    let summary = json!({
        "stored": count(|fate| *fate == Fate::Stored),
        "replaced": count(|fate| *fate == Fate::Replaced),
        "queued": count(|fate| *fate == Fate::Queued),
        "taken_in": absorbed.episodes.len(),
        "duplicates": duplicates,
        "near_duplicates": near,
        "warnings": warnings,
        "windows_left_out": recorded.iter().map(|one| one.windows_left_out).sum::<u32>(),
        "errors": errors,
        "seconds": begun.elapsed().as_secs_f64(),
        "bytes": directory_len(path)?,
    });
    if as_json {
        crate::say(format_args!("{summary}"));
    } else {
        crate::say(format_args!(
            "{} stored, {} replaced, {} queued, {} taken in from the queue, {} duplicates, {} near duplicates (kept), {} refused",
            summary["stored"],
            summary["replaced"],
            summary["queued"],
            summary["taken_in"],
            duplicates.len(),
            near.len(),
            errors.len()
        ));
        warnings
            .iter()
            .for_each(|warning| crate::say(format_args!("{warning}")));
    }
    for error in &errors {
        eprintln!("experience: {error}");
    }
    match errors.len() {
        0 => Ok(()),
        count => Err(format!("{count} lines were not recorded; the others were").into()),
    }
}

pub(crate) fn recall(arguments: &RecallArguments, as_json: bool) -> Done {
    let store = open(&arguments.store.store)?;
    let (memories, changes) = find(&store, &arguments.task, &arguments.selection)?;
    if as_json {
        let found: Vec<Value> = memories.iter().map(memory_json).collect();
        crate::say(format_args!(
            "{}",
            json!({"memories": found, "changes": changes})
        ));
        return Ok(());
    }
    for (rank, memory) in (1..).zip(&memories) {
        let episode = &memory.trajectory;
        crate::say(format_args!(
            "{rank}. {} [{}] {:.3} by {}: {}",
            episode.id(),
            episode.outcome(),
            memory.score,
            memory.found_by.name(),
            episode.task().lines().next().unwrap_or_default()
        ));
    }
    if arguments.selection.dynamic.is_some() {
        crate::say(format_args!("the set changed at steps {changes:?}"));
    }
    Ok(())
}

pub(crate) fn render(arguments: &Render, as_json: bool) -> Done {
    let store = open(&arguments.store.store)?;
    let (memories, _) = find(&store, &arguments.task, &arguments.selection)?;
    let renderer = Renderer::new(arguments.budget);
    let item = |item: &sparsely::memory::RenderedItem| json!({"id": item.id, "steps_shown": item.steps_shown, "is_whole": item.is_whole});
    if arguments.messages {
        let rendered = renderer.render_messages(&memories);
        let messages: Vec<Value> = rendered
            .messages
            .iter()
            .map(|one| json!({"role": one.role.name(), "content": one.content}))
            .collect();
        match as_json {
            true => crate::say(format_args!(
                "{}",
                json!({
                    "messages": messages,
                    "tokens": rendered.tokens,
                    "items": rendered.items.iter().map(item).collect::<Vec<_>>(),
                    "left_out": rendered.left_out,
                })
            )),
            false => messages
                .iter()
                .for_each(|message| crate::say(format_args!("{message}"))),
        }
        return Ok(());
    }
    let rendered = renderer.render(&memories);
    match as_json {
        true => crate::say(format_args!(
            "{}",
            json!({
                "text": rendered.text,
                "tokens": rendered.tokens,
                "items": rendered.items.iter().map(item).collect::<Vec<_>>(),
                "left_out": rendered.left_out,
            })
        )),
        false => crate::say(format_args!("{}", rendered.text.trim_end_matches('\n'))),
    }
    Ok(())
}

pub(crate) fn export(arguments: &Export, as_json: bool) -> Done {
    let store = open(&arguments.store.store)?;
    let mut out = BufWriter::new(File::create(&arguments.file)?);
    let mut failed: Option<io::Error> = None;
    let mut filters = Filters::new();
    for &outcome in &arguments.outcome {
        filters = filters.outcome(outcome);
    }
    let leave_out = match arguments.leave_task_out {
        true => LeaveOut::Task,
        false => LeaveOut::Episode,
    };
    let mut retrieved = Vec::new();
    let report = TrainingExport::new(Renderer::new(arguments.budget))
        .system(arguments.system.as_str())
        .top(arguments.k)
        .leave_out(leave_out)
        .filter(filters)
        .run(&store, |example| {
            if failed.is_none() {
                failed = writeln!(out, "{}", example.to_json()).err();
            }
            retrieved.push(json!({"id": example.id, "retrieved": example.retrieved}));
            Ok(())
        })?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    out.flush()?;
    let share = |part: u64| part as f64 / report.examples.max(1) as f64;
    let summary = json!({
        "examples": report.examples,
        "k": arguments.k,
        "leave_out": if arguments.leave_task_out { "task" } else { "episode" },
        "commit": store.commit_id().get(),
        "without_memory": report.without_memory,
        "retrieved": report.retrieved,
        "retrieved_successes": report.retrieved_successes,
        "left_out_for_budget": report.left_out,
        "mean_retrieved": share(report.retrieved),
        "mean_block_tokens": share(report.block_tokens),
        "trained_messages": report.trained_messages,
        "distinct_retrieved": report.distinct_retrieved,
        "most_retrieved": report.most_retrieved,
    });
    let mut full = summary.clone();
    full["episodes"] = Value::Array(retrieved);
    let beside = arguments.file.with_extension("report.json");
    fs::write(
        arguments.report.as_ref().unwrap_or(&beside),
        full.to_string(),
    )?;
    match as_json {
        true => crate::say(format_args!("{summary}")),
        false => crate::say(format_args!(
            "{} examples, {:.2} episodes and {:.0} tokens of memory each; {} without memory",
            report.examples,
            share(report.retrieved),
            share(report.block_tokens),
            report.without_memory
        )),
    }
    Ok(())
}

pub(crate) fn stats(arguments: &Stats, as_json: bool) -> Done {
    let path = &arguments.store.store;
    let store = open(path)?;
    let stats = store.stats()?;
    let names = Outcome::ALL.iter().map(|outcome| outcome.name().to_owned());
    let outcomes: serde_json::Map<String, Value> =
        names.zip(stats.outcomes.map(Value::from)).collect();
    let summary = json!({
        "episodes": stats.episodes,
        "outcomes": outcomes,
        "steps": stats.steps,
        "keys": stats.keys.iter().map(|(kind, count)| json!({"kind": kind.name(), "count": count})).collect::<Vec<_>>(),
        "environments": stats.environments.iter().map(|(name, count)| json!({"name": name, "count": count})).collect::<Vec<_>>(),
        "queued": store.queued()?,
        "retrieved": stats.usage.retrieved,
        "helped": stats.usage.helped,
        "record_bytes": stats.record_bytes,
        "bytes": directory_len(path)?,
        "commit": store.commit_id().get(),
    });
    match as_json {
        true => crate::say(format_args!("{summary}")),
        false => crate::say(format_args!("{summary:#}")),
    }
    Ok(())
}

/// The answer for a task, and the steps at which the retrieved set changed.
fn find(
    store: &ExperienceStore,
    task: &str,
    selection: &Selection,
) -> Result<(Vec<Memory>, Vec<usize>), Box<dyn Error>> {
    let recall = selection.apply(Recall::at_start(task))?;
    let Some(file) = &selection.dynamic else {
        return Ok((store.recall(&recall)?, Vec::new()));
    };
    let mut session = Session::start(store, recall)?;
    let mut changes = Vec::new();
    for step in Step::from_json_array(&fs::read(file)?)? {
        if session.step(store, step)?.has_changed {
            changes.push(session.step_count());
        }
    }
    Ok((session.memories().to_vec(), changes))
}

fn memory_json(memory: &Memory) -> Value {
    let episode: Value = serde_json::from_str(&memory.trajectory.to_json()).unwrap_or_default();
    json!({
        "id": memory.trajectory.id(),
        "score": memory.score,
        "encoder_score": memory.encoder_score,
        "found_by": memory.found_by.name(),
        "outcome": memory.trajectory.outcome().name(),
        "task": memory.trajectory.task(),
        "episode": episode,
    })
}

pub(crate) fn encoder() -> Arc<LexicalEncoder> {
    Arc::new(LexicalEncoder::text())
}

type Lines = Vec<(u64, sparsely::Result<Trajectory>)>;

pub(crate) fn read_file(path: &Path) -> Result<Lines, Box<dyn Error>> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(read_json_lines(BufReader::new(file)).collect())
}

fn open(path: &Path) -> Result<ExperienceStore, Box<dyn Error>> {
    Ok(ExperienceStore::open(path, encoder(), StoreConfig::new())?)
}

pub(crate) fn directory_len(path: &Path) -> io::Result<u64> {
    let mut len = 0;
    for entry in fs::read_dir(path)? {
        len += entry?.metadata()?.len();
    }
    Ok(len)
}

//! The experience memory from outside: what is stored comes back whole, what is asked for is
//! found, several processes get on, and odd input has the documented answer.

use std::{
    collections::HashSet,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use sparsely::{
    Encoder, ErrorKind, LexicalEncoder, Progress,
    memory::{
        Conflict, ExperienceStore, Fate, Filters, Forget, KeyKind, KeyPlan, LeaveOut, Memory,
        Outcome, Ranking, Recall, Renderer, Role, Session, Step, StoreConfig, TrainingExport,
        Trajectory, Usage, read_json_lines,
    },
};

fn encoder() -> Arc<dyn Encoder> {
    Arc::new(LexicalEncoder::text())
}

fn store() -> ExperienceStore {
    ExperienceStore::in_memory(encoder(), StoreConfig::new()).unwrap()
}

fn episode(id: &str, task: &str, outcome: Outcome) -> Trajectory {
    Trajectory::new(id, task)
        .with_environment("lab")
        .with_outcome(outcome)
        .with_step(Step::new("look around", format!("you see the {id}")))
}

fn ids(memories: &[Memory]) -> Vec<&str> {
    memories
        .iter()
        .map(|memory| memory.trajectory.id())
        .collect()
}

/// Four episodes: boiling and freezing, each done once and failed once.
fn small() -> ExperienceStore {
    let mut store = store();
    let episodes = [
        episode("boil-1", "boil the lead", Outcome::Success)
            .with_time(100)
            .with_tag("hot"),
        episode("boil-2", "boil the tin", Outcome::Failure)
            .with_time(200)
            .with_tag("hot"),
        episode("freeze-1", "freeze the lead", Outcome::Success).with_agent("a"),
        episode("freeze-2", "freeze the mercury", Outcome::Failure).with_agent("b"),
    ];
    store.record_all(episodes, &mut Progress::none()).unwrap();
    store
}

#[test]
fn an_episode_comes_back_whole_by_the_next_query() {
    let mut store = store();
    assert!(
        store
            .recall(&Recall::at_start("anything"))
            .unwrap()
            .is_empty()
    );
    let json = br#"{"id":"x","task":"boil lead","env":"lab","success":true,"reward":1.0,
        "run":"r1","steps":[{"action":"heat","observation":"hot","score":0.5}]}"#;
    let trajectory = Trajectory::from_json(json).unwrap();
    let before = store.commit_id();
    let recorded = store.record(trajectory.clone()).unwrap();
    assert_eq!(recorded.fate, Fate::Stored);
    assert_eq!(store.commit_id().get(), before.get() + 1);
    let found = store.recall(&Recall::at_start("boil tin")).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].trajectory, trajectory);
    assert_eq!(found[0].trajectory.extra("run"), Some("\"r1\""));
    assert_eq!(store.episode("x").unwrap(), Some(trajectory));
    assert_eq!(store.episode("y").unwrap(), None);
}

#[test]
fn one_episode_with_many_keys_is_found_once() {
    let plan = KeyPlan::of(KeyKind::ALL).unwrap().window_words(16);
    let mut store = ExperienceStore::in_memory(encoder(), StoreConfig::new().plan(plan)).unwrap();
    let long: Vec<Step> = (0..200)
        .map(|at| Step::new(format!("turn valve {at}"), "valve"))
        .collect();
    let first = Trajectory::new("long", "turn the valve")
        .with_steps(long)
        .with_when_to_use("valve");
    let recorded = store.record(first).unwrap();
    assert!(
        recorded.windows_left_out > 0,
        "200 prefixes are more than 64"
    );
    store
        .record(episode("other", "turn the valve once", Outcome::Success))
        .unwrap();
    for kinds in [vec![KeyKind::WholeTrajectory], KeyKind::ALL.to_vec()] {
        let recall = Recall::at_start("turn the valve").keys(kinds).top(5);
        let found = store.recall(&recall).unwrap();
        let distinct: HashSet<&str> = ids(&found).into_iter().collect();
        assert_eq!((found.len(), distinct.len()), (2, 2));
    }
    let stats = store.stats().unwrap();
    assert_eq!(stats.episodes, 2);
    assert!(
        stats
            .keys
            .iter()
            .all(|(kind, count)| *count >= 1 || *kind == KeyKind::WhenToUse)
    );
}

#[test]
fn filters_exclusions_and_quotas() {
    let store = small();
    let ask = |recall: Recall| {
        let found = store.recall(&recall.top(9)).unwrap();
        let mut found: Vec<String> = ids(&found).into_iter().map(str::to_owned).collect();
        found.sort_unstable();
        found
    };
    let boil = || Recall::at_start("boil or freeze the lead or tin or mercury");
    let with = |filters: Filters| ask(boil().filter(filters));
    assert_eq!(ask(boil()).len(), 4);
    assert_eq!(
        with(Filters::new().outcome(Outcome::Success)),
        ["boil-1", "freeze-1"]
    );
    assert_eq!(with(Filters::new().tag("hot")), ["boil-1", "boil-2"]);
    assert!(with(Filters::new().tag("cold")).is_empty());
    assert_eq!(with(Filters::new().agent("b")), ["freeze-2"]);
    assert_eq!(with(Filters::new().time(150..)), ["boil-2"]);
    assert_eq!(with(Filters::new().environment("lab")).len(), 4);
    assert!(with(Filters::new().environment("elsewhere")).is_empty());
    assert!(
        with(Filters::new().least_reward(0.0)).is_empty(),
        "no episode has a score"
    );
    assert_eq!(ask(boil().exclude_episode("boil-1")).len(), 3);
    assert_eq!(
        ask(boil()
            .exclude_task("boil the lead")
            .exclude_task("boil the tin")),
        ["freeze-1", "freeze-2"]
    );
    let quota = store.recall(&boil().quota(1, 2)).unwrap();
    let outcomes: Vec<Outcome> = quota.iter().map(|one| one.trajectory.outcome()).collect();
    assert_eq!(
        outcomes
            .iter()
            .filter(|one| **one == Outcome::Success)
            .count(),
        1
    );
    assert_eq!(outcomes.len(), 3);
    assert!(store.recall(&boil().top(0)).unwrap().is_empty());
}

#[test]
fn phrases_decide_between_tasks_of_one_template() {
    let mut store = store();
    let task = |what: &str| format!("Your task is to {what}. First, focus on the substance.");
    let filler = (0..30).map(|at| {
        episode(
            &format!("f{at}"),
            &task(&format!("melt the ice{at}")),
            Outcome::Success,
        )
    });
    store.record_all(filler, &mut Progress::none()).unwrap();
    store
        .record(episode("same-kind", &task("melt tin"), Outcome::Success))
        .unwrap();
    let other = task("change the state of matter of lead");
    store
        .record(episode("other-kind", &other, Outcome::Success))
        .unwrap();
    let asked = Recall::at_start(task("melt lead")).top(1);
    let by_score = store
        .recall(&asked.clone().ranking(Ranking::Score))
        .unwrap();
    assert_eq!(ids(&by_score), ["other-kind"], "`lead` is the rarer word");
    let by_wording = store.recall(&asked).unwrap();
    assert_eq!(ids(&by_wording), ["same-kind"]);
}

#[test]
fn diversity_recency_and_utility_change_the_order() {
    let mut store = store();
    let task = "water the plant in the kitchen";
    for (id, time) in [("a", 0), ("b", 1_000)] {
        store
            .record(episode(id, task, Outcome::Success).with_time(time))
            .unwrap();
    }
    store
        .record(episode("c", "water the garden", Outcome::Success).with_time(0))
        .unwrap();
    let ask = |store: &ExperienceStore, recall: Recall| {
        let found = store.recall(&recall).unwrap();
        ids(&found)
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let base = || Recall::at_start(task).top(2);
    assert_eq!(ask(&store, base()), ["a", "b"]);
    assert_eq!(ask(&store, base().diversity(0.3).unwrap()), ["a", "c"]);
    assert_eq!(
        ask(&store, base().recency(1.0, 100.0, 1_000).unwrap()),
        ["b", "a"]
    );
    assert_eq!(
        store.give_feedback(&["b", "b", "nobody"], &["b"]).unwrap(),
        1
    );
    assert_eq!(store.give_feedback(&["b"], &["b"]).unwrap(), 1);
    assert_eq!(
        store.usage("b").unwrap(),
        Usage {
            retrieved: 3,
            helped: 2
        }
    );
    assert_eq!(ask(&store, base().utility(1.0).unwrap()), ["b", "a"]);
    assert_eq!(
        ask(&store, base()),
        ["a", "b"],
        "counters weigh only when asked"
    );
}

#[test]
fn a_session_says_when_the_set_changes_and_equals_the_whole_question() {
    let mut store = store();
    for (id, place) in [("kitchen", "kitchen stove"), ("garden", "garden hose")] {
        let steps =
            (0..3).map(|_| Step::new(format!("use the {place}"), format!("the {place} works")));
        store
            .record(Trajectory::new(id, "do the chores").with_steps(steps))
            .unwrap();
    }
    let recall = || Recall::at_start("do the chores").top(1);
    let mut session = Session::start(&store, recall()).unwrap();
    let mut so_far = Vec::new();
    let mut changes = 0;
    for step in [
        "use the garden hose",
        "use the garden hose",
        "fill the garden hose",
    ] {
        let step = Step::new(step, "the garden hose works");
        so_far.push(step.clone());
        let before = session.memories().to_vec();
        let change = session.step(&store, step).unwrap();
        assert!(change.was_asked);
        assert_eq!(change.has_changed, ids(&before) != ids(session.memories()));
        changes += usize::from(change.has_changed);
        let whole = Recall::at_step("do the chores", so_far.clone()).top(1);
        assert_eq!(ids(&store.recall(&whole).unwrap()), ids(session.memories()));
    }
    assert_eq!(ids(session.memories()), ["garden"]);
    assert!(changes <= 1);
    let mut seldom = Session::start(&store, recall()).unwrap().every(2);
    assert!(!seldom.step(&store, Step::new("x", "y")).unwrap().was_asked);
    assert!(seldom.step(&store, Step::new("x", "y")).unwrap().was_asked);
}

#[test]
fn duplicates_are_reported_and_near_duplicates_kept() {
    let mut store = small();
    let same = episode("boil-1", "boil the lead", Outcome::Success)
        .with_time(100)
        .with_tag("hot");
    let again = store.record(same.clone()).unwrap();
    assert_eq!(again.fate, Fate::Duplicate("boil-1".to_owned()));
    // The same words under another id: found by the digest, wherever it lies.
    let json = same.to_json().replacen("boil-1", "copy", 1);
    let copy = Trajectory::from_json(json.as_bytes()).unwrap();
    let commit = store.commit_id();
    assert_eq!(
        store.record(copy).unwrap().fate,
        Fate::Duplicate("boil-1".to_owned())
    );
    assert_eq!(store.commit_id(), commit, "nothing was written");
    // Another time: not the same, but almost; both stay.
    let near = store.record(same_but("near", &same)).unwrap();
    assert_eq!(near.fate, Fate::Stored);
    assert_eq!(near.near_duplicates[0].id, "boil-1");
    assert_eq!(store.ids().unwrap().len(), 5);
    // Within one call, too.
    let twins = [
        episode("t1", "t", Outcome::Success),
        same_but("t2", &episode("t1", "t", Outcome::Success)),
    ];
    let report = store.record_all(twins, &mut Progress::none()).unwrap();
    assert_eq!(report.episodes[1].near_duplicates[0].id, "t1");
}

fn same_but(id: &str, other: &Trajectory) -> Trajectory {
    other.steps().iter().cloned().fold(
        Trajectory::new(id, other.task()).with_time(7),
        Trajectory::with_step,
    )
}

#[test]
fn a_taken_id_is_refused_replaced_or_renamed() {
    let changed = || episode("boil-1", "boil the copper", Outcome::Failure);
    let mut refusing = small();
    let error = refusing.record(changed()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("boil-1"));
    assert_eq!(refusing.ids().unwrap().len(), 4);

    let with = |conflict| {
        let config = StoreConfig::new().conflict(conflict);
        let mut store = ExperienceStore::in_memory(encoder(), config).unwrap();
        store
            .record(episode("boil-1", "boil the lead", Outcome::Success))
            .unwrap();
        let fate = store.record(changed()).unwrap();
        (store, fate)
    };
    let (replaced, recorded) = with(Conflict::Replace);
    assert_eq!(recorded.fate, Fate::Replaced);
    assert_eq!(replaced.episode("boil-1").unwrap(), Some(changed()));
    assert_eq!(
        replaced
            .recall(&Recall::at_start("boil the lead").top(9))
            .unwrap()
            .len(),
        1
    );
    let (renamed, recorded) = with(Conflict::Rename);
    assert_eq!(recorded.id, "boil-1~2");
    assert_eq!(renamed.ids().unwrap(), ["boil-1", "boil-1~2"]);
}

#[test]
fn episodes_are_forgotten_with_their_keys_and_counters() {
    let mut store = small();
    store.give_feedback(&["boil-1"], &[]).unwrap();
    let one = Forget::Ids(vec!["boil-1".to_owned(), "nobody".to_owned()]);
    assert_eq!(store.forget(&one).unwrap(), 1);
    assert!(!store.contains("boil-1").unwrap());
    assert_eq!(store.usage("boil-1").unwrap(), Usage::default());
    let found = store
        .recall(&Recall::at_start("boil the lead").top(9))
        .unwrap();
    assert!(!ids(&found).contains(&"boil-1"));
    assert_eq!(
        store.forget(&Forget::Before(1_000)).unwrap(),
        1,
        "boil-2 has a time"
    );
    let failures = Forget::Matching(Filters::new().outcome(Outcome::Failure));
    assert_eq!(store.forget(&failures).unwrap(), 1);
    assert_eq!(store.ids().unwrap(), ["freeze-1"]);
    assert_eq!(store.forget(&failures).unwrap(), 0);
}

#[test]
fn stores_merge_and_merging_again_changes_nothing() {
    let mut here = small();
    let mut there = store();
    there
        .record(episode("new", "paint the wall", Outcome::Success))
        .unwrap();
    there
        .record(
            episode("boil-1", "boil the lead", Outcome::Success)
                .with_time(100)
                .with_tag("hot"),
        )
        .unwrap();
    there.give_feedback(&["new"], &["new"]).unwrap();
    let report = here.merge(&there).unwrap();
    let fates: Vec<bool> = report
        .episodes
        .iter()
        .map(|one| one.fate == Fate::Stored)
        .collect();
    assert_eq!(fates, [false, true]);
    assert_eq!(here.usage("new").unwrap().helped, 1);
    let commit = here.commit_id();
    here.merge(&there).unwrap();
    assert_eq!(here.commit_id(), commit);
    assert_eq!(here.stats().unwrap().usage.retrieved, 1);
}

#[test]
fn several_handles_on_one_directory() {
    let directory = tempfile::tempdir().unwrap();
    let open = |wait| {
        let config = StoreConfig::new().lock_wait(wait);
        ExperienceStore::open_or_create(directory.path(), encoder(), config).unwrap()
    };
    let mut writer = open(Duration::from_secs(30));
    let mut reader = open(Duration::ZERO);
    writer
        .record(episode("1", "boil lead", Outcome::Success))
        .unwrap();
    assert!(
        reader
            .recall(&Recall::at_start("boil lead"))
            .unwrap()
            .is_empty()
    );
    assert!(reader.refresh().unwrap());
    assert_eq!(
        reader.recall(&Recall::at_start("boil lead")).unwrap().len(),
        1
    );
    // A held lock: one that returns, one that waits.
    let lock = reader.index().writer().unwrap();
    let refused = reader
        .record(episode("2", "boil tin", Outcome::Success))
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Locked);
    let waiting = std::thread::spawn(move || {
        writer
            .record(episode("3", "boil tin", Outcome::Success))
            .map(|one| one.fate)
    });
    std::thread::sleep(Duration::from_millis(50));
    drop(lock);
    assert_eq!(waiting.join().unwrap().unwrap(), Fate::Stored);
    // What another process wrote counts: the same episode again is a duplicate here.
    let again = reader
        .record(episode("3", "boil tin", Outcome::Success))
        .unwrap();
    assert_eq!(again.fate, Fate::Duplicate("3".to_owned()));
    drop(reader);
    let reopened = open(Duration::ZERO);
    assert_eq!(reopened.ids().unwrap(), ["1", "3"]);
}

#[test]
fn a_store_of_another_encoder_is_refused_and_its_plan_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let plan = KeyPlan::of([KeyKind::Task]).unwrap();
    let config = StoreConfig::new().plan(plan.clone());
    let mut store = ExperienceStore::open_or_create(directory.path(), encoder(), config).unwrap();
    store
        .record(episode("1", "boil lead", Outcome::Success))
        .unwrap();
    let other: Arc<dyn Encoder> = Arc::new(LexicalEncoder::code());
    let error = ExperienceStore::open(directory.path(), other, StoreConfig::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::EncoderMismatch);
    let again = ExperienceStore::open(directory.path(), encoder(), StoreConfig::new()).unwrap();
    assert_eq!(again.plan(), &plan);
    let missing = directory.path().join("missing");
    let error = ExperienceStore::open(missing, encoder(), StoreConfig::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn odd_episodes_are_kept_or_refused_by_name() {
    let mut store = store();
    for (id, steps) in [("none", 0), ("many", 10_000)] {
        let steps = (0..steps).map(|at| Step::new(format!("do {at}"), "seen"));
        let trajectory = Trajectory::new(id, format!("task with {id}")).with_steps(steps);
        store.record(trajectory.clone()).unwrap();
        assert_eq!(store.episode(id).unwrap(), Some(trajectory));
    }
    // A task without a word: stored, and found by its id alone.
    store.record(Trajectory::new("wordless", "?!")).unwrap();
    store.record(Trajectory::new("empty", "")).unwrap();
    assert!(store.contains("wordless").unwrap() && store.contains("empty").unwrap());
    assert!(store.recall(&Recall::at_start("")).unwrap().is_empty());
    for (trajectory, kind) in [
        (Trajectory::new("", "t"), ErrorKind::InvalidInput),
        (Trajectory::new("x".repeat(1025), "t"), ErrorKind::Limit),
        (
            Trajectory::new("x", "t").with_tag("a\u{1f}b"),
            ErrorKind::InvalidInput,
        ),
        (
            Trajectory::new("x", "t").with_environment("e".repeat(70_000)),
            ErrorKind::Limit,
        ),
    ] {
        assert_eq!(store.record(trajectory).unwrap_err().kind(), kind);
    }
    let odd = episode("odd", "t", Outcome::Success)
        .with_score(0.0)
        .unwrap();
    assert!(store.record(odd).unwrap().warning.unwrap().contains("odd"));
    let many_tags = (0..300).fold(Trajectory::new("tags", "tagged"), |one, at| {
        one.with_tag(format!("tag {at}"))
    });
    store.record(many_tags).unwrap();
    let tagged = Recall::at_start("tagged").filter(Filters::new().tag("tag 299"));
    assert_eq!(store.recall(&tagged).unwrap().len(), 1);
    assert_eq!(store.ids().unwrap().len(), 6);
}

#[test]
fn an_episode_of_fifty_megabytes_is_stored_in_parts() {
    let mut store = store();
    let line = "the pressure of the boiler rises and the valve opens again\n".repeat(1_000);
    let steps = (0..870).map(|at| Step::new(format!("read gauge {at}"), &*line));
    let huge = Trajectory::new("huge", "watch the boiler").with_steps(steps);
    store.record(huge.clone()).unwrap();
    let found = store.recall(&Recall::at_start("watch the boiler")).unwrap();
    assert!(found[0].trajectory == huge, "every byte comes back");
    let rendered = Renderer::new(300).render(&found);
    assert!(rendered.tokens <= 300 && rendered.items[0].steps_shown < 870);
    assert_eq!(
        store.forget(&Forget::Ids(vec!["huge".to_owned()])).unwrap(),
        1
    );
    let left = store.index().snapshot().unwrap().document_count();
    assert_eq!(left, 1, "only the settings are left");
}

#[test]
fn training_examples_never_hold_their_own_episode() {
    let store = small();
    for leave_out in [LeaveOut::Episode, LeaveOut::Task] {
        let mut seen = Vec::new();
        let report = TrainingExport::new(Renderer::new(10_000))
            .system("You are an agent.")
            .leave_out(leave_out)
            .run(&store, |example| {
                assert!(!example.retrieved.contains(&example.id));
                let own = format!("you see the {}", example.id);
                let system = &example.messages[0].message;
                assert_eq!(system.role, Role::System);
                assert!(!system.content.contains(&own));
                assert!(
                    example
                        .messages
                        .iter()
                        .all(|one| { one.is_trained == (one.message.role == Role::Assistant) })
                );
                seen.push(example.id.clone());
                Ok(())
            })
            .unwrap();
        assert_eq!(seen, ["boil-1", "boil-2", "freeze-1", "freeze-2"]);
        assert_eq!((report.examples, report.trained_messages), (4, 4));
        assert!(report.distinct_retrieved <= 4 && report.retrieved == 8);
    }
}

#[test]
fn a_file_with_bad_lines_names_them() {
    let text =
        b"{\"id\":\"1\",\"task\":\"t\"}\n\n{\"id\":\"2\"}\n{\"id\":\"\xff\",\"task\":\"t\"}\n";
    let read: Vec<_> = read_json_lines(&text[..]).collect();
    let good: Vec<bool> = read.iter().map(|(_, one)| one.is_ok()).collect();
    assert_eq!(good, [true, false, false]);
    let message = read[2].1.as_ref().unwrap_err().to_string();
    assert!(
        message.contains("line 4") && message.contains("UTF-8"),
        "{message}"
    );
}

/// Names the store for a process that records.
const CHILD: &str = "SPARSELY_MEMORY_CHILD";

/// A process that records episodes named after `name`; one that never waits for the writer's lock
/// queues instead.
fn spawn_recorder(path: &Path, name: &str, queues: bool) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["memory::records_until_killed", "--exact", "--nocapture"])
        .env(CHILD, path)
        .env("SPARSELY_MEMORY_NAME", name)
        .env("SPARSELY_MEMORY_QUEUES", queues.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Not a test of its own: what the other processes run.
#[test]
fn records_until_killed() {
    let Some(path) = std::env::var_os(CHILD) else {
        return;
    };
    let variable = |name| std::env::var(name).unwrap();
    let queues = variable("SPARSELY_MEMORY_QUEUES") == "true";
    let wait = Duration::from_secs(if queues { 0 } else { 60 });
    let config = StoreConfig::new().lock_wait(wait).queue_when_busy(queues);
    let mut store = ExperienceStore::open_or_create(path, encoder(), config).unwrap();
    println!("ready");
    for number in 0..100_000 {
        let id = format!("{}-{number}", variable("SPARSELY_MEMORY_NAME"));
        let recorded = store.record(episode(&id, &id, Outcome::Success)).unwrap();
        let is_queued = recorded.fate == Fate::Queued;
        println!("{} {id}", if is_queued { "queued" } else { "stored" });
    }
}

#[test]
fn killed_processes_that_record_at_once_lose_nothing_they_promised() {
    let directory = tempfile::tempdir().unwrap();
    let (mut promised, mut queued) = (HashSet::new(), 0);
    for round in 0..4 {
        let mut recorders = ["waits", "queues", "queues-too"].map(|name| {
            let queues = name.starts_with("queues");
            spawn_recorder(directory.path(), &format!("{name}-{round}"), queues)
        });
        let outputs = recorders.each_mut().map(|child| {
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            assert!(lines.any(|line| line.unwrap().ends_with("ready")));
            lines
        });
        std::thread::sleep(Duration::from_millis(250));
        for child in &mut recorders {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        for line in outputs.into_iter().flatten().map_while(Result::ok) {
            if let Some((fate @ ("stored" | "queued"), id)) = line.split_once(' ') {
                queued += usize::from(fate == "queued");
                assert!(promised.insert(id.to_owned()), "{id} twice");
            }
        }
        let mut store =
            ExperienceStore::open_or_create(directory.path(), encoder(), StoreConfig::new())
                .unwrap();
        let absorbed = store.absorb().unwrap();
        assert!(absorbed.unreadable.is_empty(), "{absorbed:?}");
        assert_eq!(store.queued().unwrap(), 0);
        let found = store.ids().unwrap();
        let distinct: HashSet<&String> = found.iter().collect();
        assert_eq!(distinct.len(), found.len());
        let lost: Vec<&String> = promised
            .iter()
            .filter(|id| !distinct.contains(id))
            .collect();
        assert!(lost.is_empty(), "{lost:?}");
        // Each of three processes may have been killed after a commit and before its word.
        assert!(
            found.len() <= promised.len() + 3 * (round + 1),
            "{}",
            found.len()
        );
        for id in found {
            assert_eq!(store.episode(&id).unwrap().unwrap().task(), id);
        }
    }
    assert!(queued > 0, "nothing was ever queued");
}

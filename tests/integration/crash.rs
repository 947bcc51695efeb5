//! Every state that a power cut may leave, at every operation of every scenario: the index opens
//! to the last commit that returned, or to the one that was under way; it is whole, takes a new
//! commit, and cleans up. And every operation fails once, and from then on, in each of eight ways.

use std::sync::Arc;

use sparsely::{Config, ErrorKind, Filter, Index, Progress, Writer, storage::Storage};

use crate::support::{
    model::{self, Model, check_recovery, config, document, upsert},
    report::{Tier, in_parallel, report},
    simulated::{Effort, Fault, FaultKind, Files, Neglect, Random, Simulated},
};

/// An index on a simulated disk, and what it may be found to hold at each moment.
struct Session {
    disk: Simulated,
    config: Config,
    /// Operations so far, and what was promised then.
    events: Vec<(usize, Event)>,
}

enum Event {
    Promised(Option<Model>),
    UnderWay(Model),
}

impl Session {
    fn start(files: &Files, found: Option<Model>) -> Session {
        Session {
            disk: Simulated::holding(files),
            config: config(),
            events: vec![(0, Event::Promised(found))],
        }
    }

    fn index(&self) -> Result<Index, sparsely::Error> {
        let storage: Arc<dyn Storage> = Arc::new(self.disk.clone());
        Index::with_storage(storage, self.config.clone())
    }

    fn open(&mut self) -> Result<(Index, Writer), sparsely::Error> {
        let is_new = self.allowed(usize::MAX) == [None];
        if is_new {
            self.note(Event::UnderWay(Model::new()));
        }
        let index = self.index()?;
        if is_new {
            self.note(Event::Promised(Some(Model::new())));
        }
        let writer = index.writer()?;
        Ok((index, writer))
    }

    fn commit(&mut self, writer: &mut Writer, model: &Model) -> Result<(), sparsely::Error> {
        self.note(Event::UnderWay(model.clone()));
        if let Err(error) = writer.commit() {
            // A writer that says yes after it failed must mean it.
            writer.commit().map_err(|_| error)?;
        }
        self.note(Event::Promised(Some(model.clone())));
        Ok(())
    }

    fn note(&mut self, event: Event) {
        self.events.push((self.disk.logged(), event));
    }

    /// What the index may hold after a cut at `prefix`.
    fn allowed(&self, prefix: usize) -> Vec<Option<Model>> {
        let mut promised = None;
        let mut under_way = None;
        for (at, event) in &self.events {
            if *at > prefix {
                break;
            }
            match event {
                Event::Promised(model) => (promised, under_way) = (model.clone(), None),
                Event::UnderWay(model) => under_way = Some(model.clone()),
            }
        }
        let mut allowed = vec![promised];
        if let Some(model) = under_way {
            allowed.push(Some(model));
        }
        allowed
    }

    /// What a reopened index holds now.
    fn current(&self) -> Option<Model> {
        let storage: Arc<dyn Storage> = Arc::new(self.disk.clone());
        let index = Index::open_storage(storage, config()).ok()?;
        Some(model::content(&index.snapshot().unwrap()))
    }
}

type Outcome = Result<(), sparsely::Error>;
type Scenario = fn(&mut Session, Model) -> Outcome;

/// Name, how many commits stand before, what happens.
const SCENARIOS: &[(&str, u32, Scenario)] = &[
    ("create", 0, |session, _| session.open().map(drop)),
    ("first commit", 0, append),
    ("append", 1, append),
    ("append twice", 2, |session, model| {
        append(session, model)?;
        let model = session.allowed(usize::MAX).remove(0).unwrap();
        append(session, model)
    }),
    ("upsert", 2, |session, mut model| {
        let (_, mut writer) = session.open()?;
        for key in model.clone().into_keys().step_by(2) {
            put(&mut writer, &mut model, &key, 50)?;
        }
        session.commit(&mut writer, &model)
    }),
    ("delete only", 2, |session, mut model| {
        let (_, mut writer) = session.open()?;
        let key = model.keys().next().unwrap().clone();
        assert!(writer.delete(key.as_str())?);
        model.remove(&key);
        session.commit(&mut writer, &model)
    }),
    ("delete all", 2, |session, _| {
        let (_, mut writer) = session.open()?;
        writer.delete_matching(&Filter::key_prefix(""))?;
        session.commit(&mut writer, &Model::new())
    }),
    ("delete by filter", 2, |session, mut model| {
        let (_, mut writer) = session.open()?;
        writer.delete_matching(&Filter::equals("even", true))?;
        model.retain(|_, version| !version.is_multiple_of(2));
        session.commit(&mut writer, &model)
    }),
    ("empty commit", 1, |session, model| {
        let (_, mut writer) = session.open()?;
        session.commit(&mut writer, &model)
    }),
    ("many segments in one commit", 1, |session, mut model| {
        session.config = config()
            .memory_budget(1)
            .merging(sparsely::Merging::ByCaller);
        let (_, mut writer) = session.open()?;
        for at in 0..4 {
            put(&mut writer, &mut model, &format!("many {at}"), at)?;
        }
        session.commit(&mut writer, &model)
    }),
    ("merge by the policy", 3, |session, mut model| {
        let (_, mut writer) = session.open()?;
        for at in 0..2 {
            put(&mut writer, &mut model, &format!("m{at}"), at)?;
            session.commit(&mut writer, &model)?;
        }
        Ok(())
    }),
    ("merge beside the writer", 3, |session, mut model| {
        session.config = config().merging(sparsely::Merging::ByCaller);
        let (_, mut writer) = session.open()?;
        put(&mut writer, &mut model, "m", 1)?;
        session.commit(&mut writer, &model)?;
        let Some(job) = writer.begin_merge()? else {
            panic!("four segments of a size are due");
        };
        let gone = model.keys().next().unwrap().clone();
        writer.delete(gone.as_str())?;
        model.remove(&gone);
        put(&mut writer, &mut model, "m", 2)?;
        session.commit(&mut writer, &model)?;
        let merged = job.run(&mut Progress::none())?;
        session.commit(&mut writer, &model)?;
        assert!(writer.finish_merge(merged)?);
        session.commit(&mut writer, &model)
    }),
    ("merge all", 3, |session, model| {
        let (_, mut writer) = session.open()?;
        writer.merge_all(&mut Progress::none())?;
        session.commit(&mut writer, &model)
    }),
    ("a reader holds the old commit", 3, |session, mut model| {
        let (index, mut writer) = session.open()?;
        let snapshot = index.snapshot()?;
        let before = model.clone();
        for at in 0..3 {
            put(&mut writer, &mut model, "again", at)?;
            session.commit(&mut writer, &model)?;
        }
        assert_eq!(model::content(&snapshot), before);
        Ok(())
    }),
    ("rollback, then commit", 1, |session, mut model| {
        session.config = config().memory_budget(1);
        let (_, mut writer) = session.open()?;
        writer.upsert(document("never", 1))?;
        writer.rollback()?;
        put(&mut writer, &mut model, "kept", 2)?;
        session.commit(&mut writer, &model)
    }),
    ("drop, then commit", 1, |session, mut model| {
        session.config = config().memory_budget(1);
        let (index, mut writer) = session.open()?;
        writer.upsert(document("never", 1))?;
        drop(writer);
        let mut writer = index.writer()?;
        put(&mut writer, &mut model, "kept", 2)?;
        session.commit(&mut writer, &model)
    }),
];

fn append(session: &mut Session, mut model: Model) -> Outcome {
    let (_, mut writer) = session.open()?;
    let first = u32::try_from(model.len()).unwrap();
    for at in first..first + 3 {
        put(&mut writer, &mut model, &format!("key {at}"), at)?;
    }
    session.commit(&mut writer, &model)
}

fn put(writer: &mut Writer, model: &mut Model, key: &str, version: u32) -> Outcome {
    writer.upsert(document(key, version))?;
    model.insert(key.to_owned(), version);
    Ok(())
}

/// The disk after so many commits.
fn prepared(commits: u32) -> (Files, Option<Model>) {
    if commits == 0 {
        return (Files::new(), None);
    }
    let disk = Simulated::default();
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let mut writer = Index::with_storage(storage, config())
        .unwrap()
        .writer()
        .unwrap();
    let mut model = Model::new();
    for commit in 0..commits {
        for at in 0..3 {
            upsert(
                &mut writer,
                &mut model,
                &format!("{commit} {at}"),
                commit * 3 + at,
            );
        }
        writer.commit().unwrap();
    }
    drop(writer);
    (disk.files(), Some(model))
}

fn run(scenario: &(&str, u32, Scenario), neglect: Option<Neglect>) -> Session {
    let (_, commits, act) = scenario;
    let (files, model) = prepared(*commits);
    let mut session = Session::start(&files, model.clone());
    if let Some(neglect) = neglect {
        session.disk.neglect(neglect);
    }
    act(&mut session, model.unwrap_or_default()).unwrap();
    session
}

/// Cuts the power after every operation; returns how many states there were, and what was wrong.
fn cut_everywhere(session: &Session, effort: Effort) -> (usize, Vec<String>) {
    let (mut states, mut wrong) = (0, Vec::new());
    for prefix in 0..=session.disk.logged() {
        let allowed = session.allowed(prefix);
        states += session.disk.power_cuts(prefix, effort, |files| {
            if let Err(error) = check_recovery(&files, &allowed) {
                wrong.push(format!("after operation {prefix}: {error}"));
            }
        });
    }
    (states, wrong)
}

#[test]
pub(crate) fn a_power_cut_leaves_one_of_two_commits() {
    let tier = tier();
    let histories = usize::try_from(tier.histories).unwrap();
    let done = in_parallel(SCENARIOS.len() + histories, |at| {
        let (name, session) = match SCENARIOS.get(at) {
            Some(scenario) => (scenario.0.to_owned(), run(scenario, None)),
            None => {
                let seed = (at - SCENARIOS.len()) as u64;
                (format!("history {seed}"), history(seed))
            }
        };
        let (states, wrong) = cut_everywhere(&session, tier.effort);
        let wrong = wrong.into_iter().map(|wrong| format!("{name}: {wrong}"));
        (states, wrong.collect())
    });
    conclude("crash_states", done);
}

/// Reports a count and the violations, and fails where there are some.
fn conclude(name: &str, done: Vec<(usize, Vec<String>)>) {
    let all: usize = done.iter().map(|(states, _)| states).sum();
    let wrong: Vec<String> = done.into_iter().flat_map(|(_, wrong)| wrong).collect();
    report(&[(name, all as u64), ("violations", wrong.len() as u64)]);
    let shown = &wrong[..wrong.len().min(3)];
    assert!(wrong.is_empty(), "{} violations: {shown:#?}", wrong.len());
}

/// A dozen random steps of a writer's life.
fn history(seed: u64) -> Session {
    let mut session = Session::start(&Files::new(), None);
    live(&mut session, seed, 12).unwrap();
    session
}

fn live(session: &mut Session, seed: u64, steps: u32) -> Outcome {
    let mut random = Random(seed);
    session.config = match seed % 3 {
        0 => config(),
        1 => config().memory_budget(1),
        _ => config()
            .memory_budget(1)
            .merging(sparsely::Merging::ByCaller),
    };
    let (mut index, mut writer) = session.open()?;
    let mut committed = Model::new();
    let mut model = Model::new();
    for step in 0..steps {
        match random.below(12) {
            0 => {
                writer.rollback()?;
                model = committed.clone();
            }
            1 => {
                drop(writer);
                (index, writer) = session.open()?;
                model = committed.clone();
            }
            2 => {
                writer
                    .delete_matching(&Filter::equals("even", true))
                    .or_else(no_field)?;
                model.retain(|_, version| !version.is_multiple_of(2));
            }
            3 => writer.merge_all(&mut Progress::none())?,
            4 | 5 => {
                let key = format!("key {}", random.below(6));
                let was_there = writer.delete(key.as_str())?;
                assert_eq!(was_there, model.remove(&key).is_some());
            }
            _ => {
                for _ in 0..=random.below(3) {
                    let key = format!("key {}", random.below(6));
                    put(&mut writer, &mut model, &key, step)?;
                }
            }
        }
        if random.below(2) == 0 {
            session.commit(&mut writer, &model)?;
            committed.clone_from(&model);
        }
    }
    drop((index, writer));
    Ok(())
}

/// A filter on a field that no document has yet is an error, and matches nothing.
fn no_field(error: sparsely::Error) -> Result<u64, sparsely::Error> {
    match error.kind() {
        ErrorKind::NotFound => Ok(0),
        _ => Err(error),
    }
}

/// A second cut, while a writer recovers from the first.
#[test]
pub(crate) fn a_power_cut_during_recovery_leaves_one_of_two_commits() {
    let tier = tier();
    let light = Effort {
        subsets_of: 2,
        mixtures: 2,
        sector: 4096,
    };
    let done = in_parallel(SCENARIOS.len() - 1, |at| {
        let scenario = &SCENARIOS[at + 1];
        let (mut all, mut violations) = (0, Vec::new());
        let session = run(scenario, None);
        let mut first_cuts = Vec::new();
        for prefix in 0..=session.disk.logged() {
            let allowed = session.allowed(prefix);
            session.disk.power_cuts(prefix, light, |files| {
                first_cuts.push((files, allowed.clone()))
            });
        }
        for (files, allowed) in first_cuts.iter().step_by(tier.nested_stride) {
            let found = Session::start(files, None).current();
            assert!(allowed.contains(&found));
            let mut recovery = Session::start(files, found.clone());
            append(&mut recovery, found.unwrap_or_default()).unwrap();
            let (states, wrong) = cut_everywhere(&recovery, light);
            violations.extend(wrong.into_iter().map(|w| format!("{}: {w}", scenario.0)));
            all += states;
        }
        (all, violations)
    });
    conclude("crash_states", done);
}

/// Repair may be cut off, too: run again, it ends where it would have ended.
#[test]
fn a_power_cut_during_repair_is_repaired_again() {
    let (mut files, model) = prepared(3);
    let segment = files.keys().find(|name| name.starts_with("segment-"));
    let damaged = files.get_mut(&segment.unwrap().clone()).unwrap();
    let middle = damaged.len() / 2;
    Arc::make_mut(damaged)[middle] ^= 4;
    let disk = Simulated::holding(&files);
    let repair = Index::repair_storage(&disk, &config()).unwrap();
    let index = Index::open_storage(Arc::new(disk.clone()), config()).unwrap();
    let expected = model::content(&index.snapshot().unwrap());
    let lost = repair.lost_keys().len() as u64 + repair.lost_unnamed();
    let all = model.unwrap().len() as u64;
    assert_eq!((lost, expected.len() as u64), (all / 3, all - all / 3));
    let (mut states, mut wrong) = (0, Vec::new());
    for prefix in 0..=disk.logged() {
        states += disk.power_cuts(prefix, tier().effort, |files| {
            let again: Arc<dyn Storage> = Arc::new(Simulated::holding(&files));
            Index::repair_storage(&*again, &config()).unwrap();
            let report = Index::verify_storage(&*again, sparsely::Verify::Full).unwrap();
            let index = Index::open_storage(again, config()).unwrap();
            let found = model::content(&index.snapshot().unwrap());
            if found != expected || !report.is_clean() {
                wrong.push(format!("after operation {prefix}: {found:?}, {report:?}"));
            }
        });
    }
    conclude("crash_states", vec![(states, wrong)]);
}

/// The first of these tests notices what it is there to notice.
#[test]
fn a_missing_sync_is_noticed() {
    for neglect in [
        Neglect::FileSync,
        Neglect::ManifestSync,
        Neglect::DirectorySync,
    ] {
        let session = run(&SCENARIOS[2], Some(neglect));
        let (_, wrong) = cut_everywhere(&session, Effort::QUICK);
        assert!(!wrong.is_empty(), "{neglect:?} went unnoticed");
    }
}

/// Something that may fail, on a disk that was prepared.
type Attempt<'a> = &'a (dyn Fn(&mut Session, Model) -> Outcome + Sync);

#[test]
pub(crate) fn any_operation_may_fail_in_any_way() {
    let tier = tier();
    let history = |seed| move |session: &mut Session, _| live(session, seed, 6);
    let histories: Vec<_> = (0..tier.failing_histories).map(history).collect();
    let mut attempts: Vec<(String, u32, Attempt<'_>)> = Vec::new();
    for (name, commits, act) in SCENARIOS {
        attempts.push(((*name).to_owned(), *commits, act));
    }
    for (seed, act) in histories.iter().enumerate() {
        attempts.push((format!("history {seed}"), 0, act));
    }
    let kinds: Vec<(usize, FaultKind, bool)> = FaultKind::ALL
        .into_iter()
        .enumerate()
        .flat_map(|(at, kind)| [(at, kind, false), (at, kind, true)])
        .collect();
    let done = in_parallel(attempts.len() * kinds.len(), |job| {
        let (name, commits, act) = &attempts[job / kinds.len()];
        let (at, kind, lasts) = kinds[job % kinds.len()];
        fail_everywhere(name, *commits, *act, Fault { at, kind, lasts })
    });
    conclude("injected_faults", done);
}

/// Fails every call, or every few, the first of them `first`; returns how many were failed, and
/// what was wrong.
fn fail_everywhere(
    name: &str,
    commits: u32,
    act: Attempt<'_>,
    first: Fault,
) -> (usize, Vec<String>) {
    let stride = tier().fault_stride;
    let Fault { at, kind, lasts } = first;
    let mut at = at % stride;
    let (mut injected, mut wrong) = (0, Vec::new());
    let (files, model) = prepared(commits);
    loop {
        let mut session = Session::start(&files, model.clone());
        session.disk.inject(Some(Fault { at, kind, lasts }));
        let outcome = act(&mut session, model.clone().unwrap_or_default());
        let fired = session.disk.fired();
        session.disk.inject(None);
        if fired == 0 {
            outcome.unwrap();
            return (injected, wrong);
        }
        let is_new = session.events.iter().all(|(at, _)| *at == 0) || commits == 0;
        let allowed = match &outcome {
            // What failed did not matter, or was not needed.
            Ok(()) => session.allowed(usize::MAX)[..1].to_vec(),
            Err(error) if error.kind() == ErrorKind::OutcomeUnknown => session.allowed(usize::MAX),
            // Creation returns the storage's own error, and opening again decides.
            Err(_) if is_new => session.allowed(usize::MAX),
            Err(_) => session.allowed(usize::MAX)[..1].to_vec(),
        };
        let context = || format!("{name}: {kind:?} at call {at}, lasting {lasts}: {outcome:?}");
        if let Err(error) = check_recovery(&session.disk.files(), &allowed) {
            wrong.push(format!("{}: {error}", context()));
        }
        // And the power goes, too.
        if injected % tier().cut_after_faults == 0 {
            let last = session.disk.logged();
            let allowed = session.allowed(usize::MAX);
            let light = Effort {
                subsets_of: 1,
                mixtures: 1,
                sector: 1 << 20,
            };
            session.disk.power_cuts(last, light, |files| {
                if let Err(error) = check_recovery(&files, &allowed) {
                    wrong.push(format!("{}, then a power cut: {error}", context()));
                }
            });
        }
        injected += 1;
        at += stride;
    }
}

/// Readers meet faults too: an answer is right, or an error; and nothing is written.
#[test]
pub(crate) fn any_reading_operation_may_fail_in_any_way() {
    type Reading = fn(Arc<dyn Storage>) -> Result<Option<Model>, sparsely::Error>;
    const READINGS: &[(&str, Reading)] = &[
        ("open and search", |storage| {
            let index = Index::open_storage(storage, config())?;
            let snapshot = index.snapshot()?;
            let model = model::content(&snapshot);
            model::check_search(&snapshot, &model);
            Ok(Some(model))
        }),
        ("refresh", |storage| {
            let index = Index::open_storage(storage, config())?;
            let mut snapshot = index.snapshot()?;
            snapshot.refresh()?;
            index.latest_commit()?;
            index.stats()?;
            Ok(Some(model::content(&snapshot)))
        }),
        ("verify", |storage| {
            let level = sparsely::Verify::Full;
            Index::verify_storage(&*storage, level).map(|_| None)
        }),
        ("export", |storage| {
            Index::export_storage(&*storage, std::io::sink(), &mut Progress::none()).map(|_| None)
        }),
        ("a writer that does nothing", |storage| {
            let index = Index::open_storage(storage, config())?;
            drop(index.writer()?);
            Ok(None)
        }),
        ("a repair that is not needed", |storage| {
            let repair = Index::repair_storage(&*storage, &config())?;
            assert!(repair.is_unneeded(), "{repair:?}");
            Ok(None)
        }),
    ];
    let stride = tier().fault_stride;
    let done = in_parallel(READINGS.len() * FaultKind::ALL.len(), |job| {
        let (name, read) = READINGS[job / FaultKind::ALL.len()];
        let kind = FaultKind::ALL[job % FaultKind::ALL.len()];
        let (mut injected, mut wrong) = (0, Vec::new());
        for commits in [1, 3, 9] {
            let (files, model) = prepared(commits);
            for lasts in [false, true] {
                let mut at = job % stride;
                loop {
                    let disk = Simulated::holding(&files);
                    disk.inject(Some(Fault { at, kind, lasts }));
                    let found = read(Arc::new(disk.clone()));
                    if disk.fired() == 0 {
                        found.unwrap();
                        break;
                    }
                    let context = || format!("{name}: {kind:?} at call {at}, lasting {lasts}");
                    if let Ok(Some(found)) = found
                        && Some(&found) != model.as_ref()
                    {
                        wrong.push(format!("{}: answered {found:?}", context()));
                    }
                    if disk.files() != files {
                        wrong.push(format!("{}: changed files", context()));
                    }
                    injected += 1;
                    at += stride;
                }
            }
        }
        (injected, wrong)
    });
    conclude("injected_faults", done);
}

struct Amount {
    effort: Effort,
    histories: u64,
    nested_stride: usize,
    fault_stride: usize,
    failing_histories: u64,
    /// One fault in so many is followed by power cuts.
    cut_after_faults: usize,
}

fn tier() -> Amount {
    let tier = Tier::chosen();
    Amount {
        effort: tier.pick(
            Effort::QUICK,
            Effort::SHORT,
            Effort::NIGHTLY,
            Effort::NIGHTLY,
        ),
        histories: tier.pick(2, 40, 170, 1000),
        nested_stride: tier.pick(30, 3, 1, 1),
        fault_stride: tier.pick(8, 1, 1, 1),
        failing_histories: tier.pick(1, 10, 20, 200),
        cut_after_faults: tier.pick(1, 4, 1, 1),
    }
}
